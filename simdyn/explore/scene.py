"""What the playground draws: plain lists out of results, beside what theory says of the setting."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from simdyn.explore.narration import Outcome, reached, sentence
from simdyn.explore.setting import METHODS, Setting
from simdyn.kernels.codes import NON_FINITE
from simdyn.params import SignalNoiseData, XORData
from simdyn.theory.analysis import VALID
from simdyn.theory.regime import (
    FEWEST_UPDATES,
    LARGEST_OUTPUT,
    deactivated_at_start,
    noise_updates,
    regime,
    signal_updates,
)

if TYPE_CHECKING:
    import xarray as xr

NAMES = {"sgd": "SGD", "sam": "SAM"}
FIRST = 0.5  # where the initial state stands on a logarithmic axis of updates
FARTHEST = 6.0  # powers of ten at which bars end
COURSES = (
    *("signal", "noise", "fall", "train_loss", "train_error", "test_error"),
    *("clean_test_error", "deactivated_fraction"),
)
Course = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Condition:
    """One condition of the theory: by how many powers of ten a setting meets it.

    `recalled` ones are the theorem's, with constants of one; the others were measured.
    """

    name: str
    ratio: float
    recalled: bool


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is drawn of a setting.

    Attributes
    ----------
    courses : dict of str to dict of str to list
        For each method "updates", and means over runs of each of `COURSES` (NaN: not recorded).
    times : dict of str to dict of str to float
        For each method the predicted updates until "signal" and "noise" are of order one; inf:
        never; absent if no law is derived.
    law : float
        Predicted deactivated fraction at the start; NaN if no law is derived.
    conditions : list of Condition
        Empty if no law is derived.
    outside : str
        Why the setting lies outside the regime of the laws; "" if it is inside.
    sentence : str
        What happens.
    """

    courses: Mapping[str, Mapping[str, list[float]]]
    times: Mapping[str, Mapping[str, float]]
    law: float
    conditions: list[Condition]
    outside: str
    sentence: str


def scene_of(setting: Setting, ds: "xr.Dataset") -> Scene:
    """What is drawn of the results of a setting's study."""
    courses, outcomes = {}, {}
    for index, method in enumerate(METHODS):
        courses[method], outcomes[method] = _course(setting, ds, index)
    times = {method: _times(setting, method) for method in METHODS}
    sam = setting.phases["sam"]
    law = deactivated_at_start(setting.data, setting.net, sam, sam.perturbation)
    told = regime(setting.data, setting.net, [sam])
    outside = ", ".join(told.reasons)
    if told.uncovered:
        outside = f"no law of times is derived for {told.uncovered}"
    return Scene(courses, times, law, _conditions(setting), outside, sentence(outcomes, NAMES))


def _course(setting: Setting, ds: "xr.Dataset", index: int) -> tuple[Course, Outcome]:
    """The means of one method at each state, and what it came to."""
    status = ds["status"].values[index]
    times = ds["updates"]
    updates = (times[index] if "method" in times.dims else times).values.astype(float)
    end = updates.size
    if "updates_made" in ds:  # the weights rest after the condition is met
        most = float(ds["updates_made"].values[index, :, -1].max())
        end = min(int(np.searchsorted(updates, most)) + 1, end)
    found: Course = {"updates": np.maximum(updates[:end], FIRST).tolist()}
    quantities = _largest(setting, ds, index)
    for name in COURSES:
        values = ds[name].values[index] if name in ds.data_vars else quantities.get(name)
        found[name] = [math.nan] * end if values is None else _means(values, status)[:end]
    at = updates[:end].tolist()
    wrong = status == NON_FINITE
    outcome = Outcome(
        updates=int(at[-1]),
        noise_at=reached(at, found["noise"]),
        signal_at=reached(at, found["signal"]),
        train_error=found["train_error"][-1],
        test_error=found["clean_test_error"][-1],
        broken_at=float(ds["status_step"].values[index].min()) if wrong.all() else math.nan,
    )
    return found, outcome


def _means(values: np.ndarray, status: np.ndarray) -> list[float]:
    """Means of (run, state) over the runs with a valid last state; as `over_replicates`, but quick.

    If no run is valid, these are of all runs, as far as they got.
    """
    valid = np.isin(status, VALID)
    with np.errstate(over="ignore", invalid="ignore"):
        means: list[float] = values[valid if valid.any() else slice(None)].mean(axis=0).tolist()
    return means


def _largest(setting: Setting, ds: "xr.Dataset", index: int) -> dict[str, np.ndarray]:
    """Largest coefficients: of signals, of noises of a sample's own sign, and of the others.

    Each of (run, state), as `largest_coefficients` has them. If the data have several signals, or
    noises without a sample of their own, these are the largest absolute coefficients times the
    vector's squared length, of a noise σ_p²d, which is then the overlap that was learned.
    """
    found = {}
    if "signal_coef" in ds:
        found["signal"] = ds["signal_coef"].values[index].max(axis=(-2, -1))
    if "noise_coef" in ds:
        noise = ds["noise_coef"].values[index]
        found["noise"] = noise.max(axis=(-3, -2, -1))
        found["fall"] = -noise.min(axis=(-3, -2, -1))
    if "coef" in ds:
        data, sizes = setting.data, abs(ds["coef"].values[index])
        squares = np.square(data.signals).sum(axis=1)
        noise_square = data.noise_scale**2 * data.dimension
        parts = {
            "signal": sizes[..., : squares.size] * squares,
            "noise": sizes[..., squares.size :] * noise_square,
        }
        for name, part in parts.items():
            if name not in found and part.size:
                found[name] = part.max(axis=(-3, -2, -1))
    return found


def _times(setting: Setting, method: str) -> dict[str, float]:
    """Predicted updates until the largest coefficients are of order one."""
    phase = setting.phases[method]
    times = {
        "signal": signal_updates(setting.data, setting.net, phase),
        "noise": noise_updates(setting.data, setting.net, phase),
    }
    return {name: time for name, time in times.items() if not math.isnan(time)}


def _conditions(setting: Setting) -> list[Condition]:
    """The theorem's conditions as signed log-ratios, and those that were measured."""
    if not isinstance(setting.data, SignalNoiseData | XORData):
        return []
    told = regime(setting.data, setting.net, [setting.phases["sam"]])
    found = [Condition(name, ratio, True) for name, ratio in told.conditions.items()]
    with np.errstate(divide="ignore"):
        if not math.isnan(told.noise_updates):
            ratio = float(np.log10(told.noise_updates / FEWEST_UPDATES))
            found.append(Condition("noise fits in ≥ 1 update", ratio, False))
        if not math.isnan(told.output):
            ratio = float(-np.log10(told.output / LARGEST_OUTPUT))
            found.append(Condition(f"initial outputs ≤ {LARGEST_OUTPUT}", ratio, False))
    return [item for item in found if not math.isnan(item.ratio)]
