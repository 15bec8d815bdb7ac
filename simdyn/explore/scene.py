"""What the playground draws: plain lists out of results, beside what theory says of the setting."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from simdyn.explore.courses import Course, course_of
from simdyn.explore.narration import sentence
from simdyn.explore.setting import METHODS, Setting
from simdyn.params import SignalNoiseData, XORData
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
FARTHEST = 6.0  # powers of ten at which bars end


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

    courses: Mapping[str, Course]
    times: Mapping[str, Mapping[str, float]]
    law: float
    conditions: list[Condition]
    outside: str
    sentence: str


def scene_of(setting: Setting, ds: "xr.Dataset") -> Scene:
    """What is drawn of the results of a setting's study."""
    courses, outcomes = {}, {}
    for index, method in enumerate(METHODS):
        values = {str(name): array.values[index] for name, array in ds.data_vars.items()}
        at = ds["updates"]
        updates = at[index] if "method" in at.dims else at
        courses[method], outcomes[method] = course_of(values, updates.values, setting.data)
    times = {method: _times(setting, method) for method in METHODS}
    sam = setting.phases["sam"]
    law = deactivated_at_start(setting.data, setting.net, sam, sam.perturbation)
    told = regime(setting.data, setting.net, [sam])
    outside = ", ".join(told.reasons)
    if told.uncovered:
        outside = f"no law of times is derived for {told.uncovered}"
    return Scene(courses, times, law, _conditions(setting), outside, sentence(outcomes, NAMES))


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
