"""Courses of training as plain lists: means over runs of what is drawn, and what they came to."""

import math
from collections.abc import Mapping

import numpy as np

from simdyn.explore.narration import Outcome, reached
from simdyn.kernels.codes import NON_FINITE
from simdyn.params import DrawnData
from simdyn.theory.analysis import VALID

FIRST = 0.5  # where the initial state stands on a logarithmic axis of updates
COURSES = (
    *("signal", "noise", "fall", "train_loss", "train_error", "test_error"),
    *("clean_test_error", "deactivated_fraction"),
)
Course = dict[str, list[float]]


def course_of(
    values: Mapping[str, np.ndarray], updates: np.ndarray, data: object
) -> tuple[Course, Outcome]:
    """The means of one method at each state, and what it came to.

    Parameters
    ----------
    values : dict of str to ndarray
        Recorded variables of (run, state, …), status and status_step of (run,).
    updates : (state,) ndarray
    data : parameter object
        The law of the data.
    """
    status = values["status"]
    updates = updates.astype(float)
    end = updates.size
    if "updates_made" in values:  # the weights rest after the condition is met
        most = float(np.nanmax(values["updates_made"][:, -1], initial=0.0))
        end = min(int(np.searchsorted(updates, most)) + 1, end)
    found: Course = {"updates": np.maximum(updates[:end], FIRST).tolist()}
    quantities = {**values, **_largest(values, data)}
    for name in COURSES:
        known = name in quantities
        found[name] = _means(quantities[name], status)[:end] if known else [math.nan] * end
    at = updates[:end].tolist()
    wrong = status == NON_FINITE
    outcome = Outcome(
        updates=int(at[-1]),
        noise_at=reached(at, found["noise"]),
        signal_at=reached(at, found["signal"]),
        train_error=found["train_error"][-1],
        test_error=found["clean_test_error"][-1],
        broken_at=float(values["status_step"].min()) if wrong.all() else math.nan,
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


def _largest(values: Mapping[str, np.ndarray], data: object) -> dict[str, np.ndarray]:
    """Largest coefficients: of signals, of noises of a sample's own sign, and of the others.

    Each of (run, state), as `largest_coefficients` has them. If the data have several signals, or
    noises without a sample of their own, these are the largest absolute coefficients times the
    vector's squared length, of a noise σ_p²d, which is then the overlap that was learned.
    """
    found = {}
    if "signal_coef" in values:
        found["signal"] = values["signal_coef"].max(axis=(-2, -1))
    if "noise_coef" in values:
        noise = values["noise_coef"]
        found["noise"] = noise.max(axis=(-3, -2, -1))
        found["fall"] = -noise.min(axis=(-3, -2, -1))
    if "coef" in values and isinstance(data, DrawnData):
        sizes = abs(values["coef"])
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
