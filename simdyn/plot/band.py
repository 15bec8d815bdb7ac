"""The band of a phase diagram: a critical line of theory, its constant fitted to a contour.

It is drawn for the test error of a method without perturbation, at those columns only whose contour
lies in the regime of the law (`simdyn.theory.regime`), and if the contour follows the law there.
"""

import dataclasses
from typing import Any

import numpy as np
import xarray as xr

from simdyn import theory
from simdyn.params import PhaseDiagram, SignalNoiseData
from simdyn.plot import captions
from simdyn.plot.source import point_at, space_of
from simdyn.theory import analysis
from simdyn.theory.regime import describe, regime

# The critical lines for which there is a theory: as mathtext, and the slope in d.
LAWS = {
    "relu": (r"c\,(P-1)\,\sigma_p\,(d/n)^{1/4}", "slope ¼"),
    "relu_power": (r"c\,(P-1)^{1/q}\sigma_p\,d^{1/2}n^{-1/q}", "slope ½"),
    "xor": (r"c\,(P-1)\,\sigma_p\,(d/n)^{1/4}(1-\cos\theta)^{-1/2}", "slope ¼"),
}
DEFAULT_POWER = 3.0  # of relu_power if the study names none
VARIABLES = ("test_error", "clean_test_error")  # of which the laws speak
LARGEST_SPREAD = 0.05  # of the logarithm of the contour about the law
BESIDE = ("signal", "short")  # of a regime: training that ends too soon shows in its loss


@dataclasses.dataclass(frozen=True)
class Band:
    """A law beside a contour, and the caption's sentence about it.

    Attributes
    ----------
    name : str
        One of LAWS; empty if there is none for these axes, data and network.
    line : xarray.DataArray, optional
        The fitted law over the columns at which it is drawn.
    sentence : str
        A sentence: what is drawn, or why nothing is. Empty if there is no law.
    """

    name: str = ""
    line: xr.DataArray | None = None
    sentence: str = ""


def law_name(ds: xr.Dataset) -> str:
    """Which law holds for the study's data and activation; empty if none is known."""
    model, activation = captions.data_model(ds), "relu"
    if "activation" in ds:
        activation = str(ds["activation"].item()) if ds["activation"].ndim == 0 else ""
    if model == SignalNoiseData.model:
        return activation if activation in LAWS else ""
    return model if model in LAWS and activation == "relu" else ""


def scale_of(ds: xr.Dataset, name: str) -> Any:
    """The law with a constant of one."""
    d, n, patches, std = (
        ds[field] for field in ("dimension", "n_samples", "n_patches", "noise_std")
    )
    if name == "relu":
        scale = theory.critical_signal_norm(d, n, patches, std)
    elif name == "xor":
        scale = theory.critical_signal_norm_xor(d, n, patches, std, ds["angle"])
    else:
        power = float(ds.get("activation_shape", DEFAULT_POWER))
        scale = theory.critical_signal_norm_power(d, n, patches, std, power)
    return scale


class _Setting:
    """The parameters of the cells of a phase diagram, from its dataset."""

    def __init__(self, ds: xr.Dataset, method: str) -> None:
        self.ds, self.space = ds, space_of(ds)
        self.method = self.space.methods.index(method)

    @property
    def perturbed(self) -> bool:
        plan = point_at(self.space, self.ds).plans[self.method]
        return any(phase.perturbation > 0.0 for phase in plan)

    def numbers(self, dimension: float, signal_norm: float) -> dict[str, float] | str:
        """Why this point is outside the regime, by kind; or what no law is derived for."""
        point = point_at(self.space, self.ds, dimension=dimension, signal_norm=signal_norm)
        found = regime(
            point.data.replace(signal_norm=signal_norm), point.net, point.plans[self.method]
        )
        if found.uncovered:
            return found.uncovered
        return {kind: value for kind, value in found.numbers.items() if kind not in BESIDE}


def fitted_band(
    ds: xr.Dataset,
    figure: PhaseDiagram,
    method: str,
    contour: xr.DataArray,
    loss: xr.DataArray | None,
) -> Band:
    """The band beside a contour.

    Parameters
    ----------
    ds : xarray.Dataset
        Results over the figure's two axes.
    figure : simdyn.params.PhaseDiagram
    method : str
        Whose contour it is.
    contour : (x) DataArray
    loss : (y, x) DataArray, optional
        The method's mean training loss.

    Returns
    -------
    Band
    """
    needed, name = ("dimension", "n_samples", "n_patches", "noise_std"), law_name(ds)
    axes = (figure.x, figure.y) == ("dimension", "signal_norm")
    if not axes or not name or not all(field in ds for field in needed):
        return Band()
    scale = scale_of(ds, name)
    if scale.dims != (figure.x,):  # a parameter that varies with ‖μ‖ leaves no line
        return Band()
    return _in_regime(ds, figure, method, contour, loss, scale, name)


def _in_regime(
    ds: xr.Dataset,
    figure: PhaseDiagram,
    method: str,
    contour: xr.DataArray,
    loss: xr.DataArray | None,
    scale: xr.DataArray,
    name: str,
) -> Band:
    law = f"${LAWS[name][0]}$"

    def none(why: str) -> Band:
        return Band(name, None, f"No band of theory ({law}): {why}.")

    if figure.variable not in VARIABLES:
        return none("it is a law of the test error")
    there = np.flatnonzero(contour.notnull())
    if not there.size:
        return Band(name, None, f"Without that contour $c$ of {law} cannot be fitted.")
    if "study" not in ds.attrs:
        return none("the results do not say how they were trained")
    setting = _Setting(ds, method)
    if setting.perturbed:
        return none(f"{captions.display_name(method, ds)} perturbs, the law is that of SGD")
    if loss is None:
        return none("without the training loss it is not known where training finished")

    outside: dict[str, list[float]] = {}
    inside = []
    for k in there:
        norm = float(contour[k])
        found = setting.numbers(float(ds[figure.x][k]), norm)
        if isinstance(found, str):
            return none(f"none is derived for {found}")
        last = float(loss.isel({figure.x: k}).sel({figure.y: norm}, method="nearest"))
        if not last < figure.hatch_loss:
            found["loss"] = last
        for kind, value in found.items():
            outside.setdefault(kind, []).append(value)
        inside.append(not found)
    why = "; ".join(describe(kind, values) for kind, values in outside.items())
    columns = there[_longest_run(np.array(inside))]
    if columns.size < 2:
        return none(why or "one point of a contour has no slope")
    line, scale = (array.isel({figure.x: columns}) for array in (contour, scale))
    fit = analysis.fit_critical_constant(line, scale)
    fitted = f"the contour of {captions.display_name(method, ds)} ({fit.points} points"
    if fit.spread > LARGEST_SPREAD:
        return none(f"{fitted}) is {fit.spread:.1%} off it, more than {LARGEST_SPREAD:.0%}")
    sentence = (
        f"Pale band: {law}, $c={fit.constant:.3g}$ fitted to {fitted}, residuals {fit.spread:.1%})"
    )
    if outside:
        sentence += f", drawn in the regime of the law only: elsewhere {why}"
    return Band(name, fit.constant * scale, f"{sentence}.")


def _longest_run(true: np.ndarray) -> slice:
    """The longest stretch of neighbours that are true, the first of several."""
    best, start = slice(0, 0), 0
    for k, here in enumerate([*true, False]):
        if not here:
            if k - start > best.stop - best.start:
                best = slice(start, k)
            start = k + 1
    return best
