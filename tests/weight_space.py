"""What compares simdyn with plain weight space, step by step."""

from collections.abc import Callable, Sequence

import naive
import numba
import numpy as np

import simdyn
from simdyn.kernels import random
from simdyn.kernels.random import Stream
from simdyn.params import Phase

compiled = numba.njit(error_model="numpy", fastmath={"contract"})
EVERY_STEP = simdyn.Record(every=1, unit="step", weights=True)


@compiled
def permutation(seed, epoch, n):
    order = np.empty(n, np.int64)
    stream = Stream(np.uint64(seed), np.uint64(0))
    random.fill_permutation(stream, random.PARTITION, epoch, order)
    return order


def partitions(seed: int, n: int) -> Callable[[int], np.ndarray]:
    """The partitions simdyn draws, as `naive.train` takes them."""
    return lambda epoch: permutation(seed, epoch, n)


def phases_of(plan: Sequence[Phase]) -> list[naive.Phase]:
    return [
        naive.Phase(
            radius=phase.perturbation,
            learning_rate=phase.learning_rate,
            epochs=phase.epochs,
            batch_size=phase.batch_size,
        )
        for phase in plan
    ]


def relative(ours: np.ndarray, plain: np.ndarray) -> float:
    """Largest deviation relative to the largest entry."""
    return float(np.abs(ours - plain).max() / np.abs(plain).max())
