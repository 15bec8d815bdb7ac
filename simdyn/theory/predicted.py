"""What the theory says of one setting: its conditions and its predictions, as labelled results."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn.base.inputs import InputError, shown
from simdyn.params import Data, Phase, Plan, SignalNoiseData, TwoLayerCNN, XORData, as_plan
from simdyn.params.parameters import check_kind
from simdyn.theory import critical_norms, laws
from simdyn.theory import regime as regimes

if TYPE_CHECKING:
    import xarray as xr

MARKS = {"E": "exact", "N": "measured to leading order in a regime", "R": "recalled"}


def _checked(data: Data, net: TwoLayerCNN, plan: Plan) -> tuple[regimes.Lawful, list[Phase]]:
    """The arguments, if the theory has anything to say of them."""
    check_kind("net", net, TwoLayerCNN)
    if not isinstance(data, regimes.Lawful):
        raise InputError(
            f"data = {shown(data)}: allowed are SignalNoiseData and XORData, for which laws are "
            "derived"
        )
    phases = as_plan(plan)
    for phase in phases:
        phase.updates_per_epoch(data.n_samples)  # refuses a batch that does not fit
    return data, list(phases)


def conditions(data: Data, net: TwoLayerCNN, plan: Plan) -> "xr.Dataset":
    """By how much a setting meets the conditions of the theory.

    Parameters
    ----------
    data : SignalNoiseData or XORData
    net : TwoLayerCNN
    plan : Phase or list of Phase
        Rate and batch size are those of the first phase that trains at all.

    Returns
    -------
    xarray.Dataset
        Over `condition`: `log_ratio`, the power of ten by which each inequality is met, negative if
        it is violated, ±∞ if a side is zero, NaN if no law is derived (attribute `uncovered` says
        why); `met`, false for NaN; coordinate `mark`: "R", recalled, of Conditions 3.1 of the
        paper, up to constants and logarithms; "N", measured, of what the laws of `simdyn.theory`
        assume.

    Raises
    ------
    InputError
        One line that names the argument and what is allowed.

    Notes
    -----
    The condition on η is that the noise is fitted in one update or more. Conditions 3.1 on σ_0, as
    recalled, contradict each other; see `simdyn.theory.regime`.

    Examples
    --------
    >>> data = simdyn.SignalNoiseData(n_samples=20, dimension=5000, signal_norm=3.0)
    >>> net = simdyn.TwoLayerCNN(n_filters=10, init_std=1e-3)
    >>> found = simdyn.theory.conditions(data, net, simdyn.SGD(learning_rate=0.1, epochs=100))
    >>> round(found.log_ratio.sel(condition="d ≥ n²").item(), 3)
    1.097
    >>> found.condition.values[~found.met].tolist()
    ['σ_0 ≤ √n/(Pσ_p d)', 'η: noise is fitted in one update or more']
    """
    import xarray as xr

    data, phases = _checked(data, net, plan)
    trained = [phase for phase in phases if phase.epochs] or phases
    found = regimes.regime(data, net, phases)
    recalled = regimes.conditions(data, net, trained[0].batch_size or data.n_samples)
    with np.errstate(divide="ignore", invalid="ignore"):
        learned = np.fmax(np.divide(found.updates, found.noise_updates), 1.0 / found.signal_share)
        measured = {
            "η: noise is fitted in one update or more": np.log10(
                found.noise_updates / regimes.FEWEST_UPDATES
            ),
            "training lasts until noise or signal is learned": np.log10(learned),
            "initial outputs ≤ 0.3": np.log10(np.divide(regimes.LARGEST_OUTPUT, found.output)),
        }
    ratios = np.array([*recalled.values(), *measured.values()], dtype=np.float64)
    attrs = {"long_name": "log₁₀ of the larger side over the smaller"}
    return xr.Dataset(
        {
            "log_ratio": ("condition", ratios, attrs),
            "met": ("condition", ratios >= 0.0, {"long_name": "is the condition met?"}),
        },
        {
            "condition": [*recalled, *measured],
            "mark": ("condition", ["R"] * len(recalled) + ["N"] * len(measured), MARKS),
        },
        {"uncovered": found.uncovered} if found.uncovered else {},
    )


def predictions(data: Data, net: TwoLayerCNN, plan: Plan) -> "xr.Dataset":
    """What the laws predict of a setting.

    Parameters
    ----------
    data : SignalNoiseData or XORData
    net : TwoLayerCNN
    plan : Phase or list of Phase

    Returns
    -------
    xarray.Dataset
        Over `phase`, each as if training began with it: `noise_updates` and `signal_updates`, the
        updates until the noise is fitted and until γ = 1, and the same in epochs;
        `deactivated_fraction`, of SAM's first perturbation; `best_radius`. Once:
        `critical_signal_norm`, `signal_limit` of γ, `initial_gradient_norm` with the first phase's
        batch. NaN if no law is derived; infinite if it never happens. Each has the attributes
        `law`, the function of `simdyn.theory` with its source and regime, and `mark`: "E" exact,
        "N" measured to leading order in a regime, "R" recalled.

    Raises
    ------
    InputError
        One line that names the argument and what is allowed.

    Examples
    --------
    >>> data = simdyn.SignalNoiseData(n_samples=20, dimension=5000, signal_norm=3.0)
    >>> net = simdyn.TwoLayerCNN(n_filters=10, init_std=1e-3)
    >>> sam = simdyn.SAM(radius=0.03, learning_rate=0.1, epochs=100)
    >>> found = simdyn.theory.predictions(data, net, sam)
    >>> round(found.signal_updates.item(), 1), round(found.critical_signal_norm.item(), 2)
    (60.4, 3.98)
    """
    import xarray as xr

    data, phases = _checked(data, net, plan)
    rows = [_of_phase(data, net, phase) for phase in phases]
    variables: dict[str, Any] = {
        name: ("phase", [row[name] for row in rows], attrs) for name, attrs in PHASE_LAWS.items()
    }
    variables |= {name: ((), value, ONCE[name]) for name, value in _once(data, net, phases).items()}
    optimisers = [type(phase).__name__ for phase in phases]
    coords = {"phase": np.arange(len(phases)), "optimiser": ("phase", optimisers)}
    lacks = [regimes.uncovered(data, net, phase) for phase in phases]
    why = {"uncovered": "; ".join(dict.fromkeys(filter(None, lacks)))} if any(lacks) else {}
    return xr.Dataset(variables, coords, why)


def _law(long_name: str, symbol: str, law: str, mark: str) -> dict[str, str]:
    return {"long_name": long_name, "symbol": symbol, "law": law, "mark": mark}


PHASE_LAWS = {
    "noise_updates": _law("updates until the noise is fitted", "", "noise_time", "N"),
    "noise_epochs": _law("epochs until the noise is fitted", "", "noise_time", "N"),
    "signal_updates": _law("updates until the signal is learned, γ = 1", "", "signal_time", "N"),
    "signal_epochs": _law("epochs until the signal is learned, γ = 1", "", "signal_time", "N"),
    "deactivated_fraction": _law(
        "deactivated fraction of the first perturbation", "", "deactivation_probability", "N"
    ),
    "best_radius": _law("radius of the SAM theorem", "τ", "best_radius", "R"),
}
ONCE = {
    "critical_signal_norm": _law("critical signal norm", "‖μ‖", "critical_signal_norm", "R"),
    "signal_limit": _law("limit of the signal coefficient", "γ", "signal_limit", "N"),
    "initial_gradient_norm": _law(
        "root mean square of the first gradient's norm", "‖∇L‖_F", "initial_gradient_norm", "E"
    ),
}


def _of_phase(data: regimes.Lawful, net: TwoLayerCNN, phase: Phase) -> Mapping[str, float]:
    """The laws of one phase, NaN if none is derived."""
    found = dict.fromkeys(PHASE_LAWS, float("nan"))
    if regimes.uncovered(data, net, phase):
        return found
    each, batch = phase.updates_per_epoch(data.n_samples), phase.batch_size or data.n_samples
    found["noise_updates"] = regimes.noise_updates(data, net, phase)
    found["signal_updates"] = regimes.signal_updates(data, net, phase)
    found["noise_epochs"] = found["noise_updates"] / each
    found["signal_epochs"] = found["signal_updates"] / each
    if phase.perturbation > 0.0:
        found["deactivated_fraction"] = float(
            laws.deactivation_probability(phase.perturbation, net.init_std, batch, net.n_filters)
        )
    if data.noise_std > 0.0 and isinstance(data, SignalNoiseData):
        sizes = (data.dimension, batch, data.n_patches, data.noise_std, net.n_filters)
        found["best_radius"] = float(laws.best_radius(*sizes))
    return found


def _once(data: regimes.Lawful, net: TwoLayerCNN, phases: list[Phase]) -> Mapping[str, float]:
    """Laws that do not depend on a phase, NaN if none is derived."""
    found = dict.fromkeys(ONCE, float("nan"))
    if regimes.uncovered(data, net, phases[0]):
        return found
    sizes = (data.dimension, data.n_samples, data.n_patches, data.noise_std)
    if isinstance(data, XORData):
        norm = critical_norms.critical_signal_norm_xor(*sizes, data.angle)
    elif net.activation == "relu_power":
        norm = critical_norms.critical_signal_norm_power(*sizes, net.shape)
    else:
        norm = critical_norms.critical_signal_norm(*sizes)
        found["signal_limit"] = float(laws.signal_limit(np.float64(data.label_flip)))
        if data.noise == "isotropic":
            batch = phases[0].batch_size or data.n_samples
            rest = (data.n_patches, data.noise_std, net.n_filters, data.label_flip)
            found["initial_gradient_norm"] = float(
                laws.initial_gradient_norm(data.dimension, batch, data.signal_norm, *rest)
            )
    found["critical_signal_norm"] = float(norm)
    return found
