"""The error of strides, estimated by going the same way in strides twice as long."""

from collections.abc import Callable, Sequence

import numpy as np

from simdyn.engine.arguments import Wanted
from simdyn.params import Phase

# An error of first order is the difference itself. Three times the difference covers the error in
# 198 (SGD) and 189 (SAM) of 200 random settings (`python tests/speed/strides.py --settings 200`).
COVERING = 3.0

Arrays = dict[str, np.ndarray]
Plans = Sequence[Sequence[Phase]]


def with_stride_error(
    run: Callable[[Plans, Wanted], Arrays | None], plans: Plans, wanted: Wanted
) -> Arrays | None:
    """What a run records, with `stride_error` if it is wanted.

    Parameters
    ----------
    run : callable
        Takes plans and what is wanted, and returns arrays by name, or None if it was stopped.
        Margins have the samples along their last axis.
    """
    names = wanted.names
    if "stride_error" not in names:
        return run(plans, wanted)
    arrays = run(plans, wanted._replace(names=tuple(dict.fromkeys((*names, "margin")))))
    if arrays is None:
        return None
    coarser = [[phase.with_longer_strides() for phase in plan] for plan in plans]
    coarse = run(coarser, wanted._replace(names=("margin",)))
    if coarse is None:
        return None
    largest = np.abs(arrays["margin"]).max(axis=-1)
    differs = np.abs(arrays["margin"] - coarse["margin"]).max(axis=-1)
    error = np.divide(differs, largest, out=np.zeros_like(largest), where=differs != 0.0)
    return {name: array for name, array in arrays.items() if name in names} | {
        "stride_error": COVERING * error
    }
