"""Nominal prices: what a point and a study take on one core."""

import math

import numpy as np

from simdyn.engine.image_files import sizes
from simdyn.kernels import LANCZOS_STEPS
from simdyn.params import Data, DrawnData, ImageData, Phase, Record
from simdyn.space.points import Point, Space
from simdyn.space.spread import spread

# Nominal seconds on one core, as `tests/speed` measured them. They shape blocks, and blocks shape
# stores, so they are fixed numbers: a store does not depend on the machine that made it.
PRICED_POINTS = 1000  # at least, if there are as many
PRODUCT_SECONDS = 2.5e-10  # for each of the 2m·q² products of a gradient
DRAW_SECONDS = 4.0e-8  # for each coordinate of a drawn vector
LINE_SECONDS = 1.0e-7  # for each filter of a line
REACH = 2.5  # strides are at most this times the tolerance of the updates before them


def _sizes(data: Data) -> tuple[int, int, int]:
    """Dictionary vectors, their dimension, and noise vectors of a sample."""
    if isinstance(data, DrawnData):
        return data.dictionary_size, data.dimension, data.noise_vectors
    assert isinstance(data, ImageData)
    return *sizes(data), 1


def _gradients(phase: Phase, n_samples: int) -> float:
    """Updates of a phase, or about as many strides as it makes: those grow like log t."""
    updates = float(phase.epochs * phase.updates_per_epoch(n_samples))
    if phase.stepping == "exact":
        return updates
    share = REACH * phase.stride_tolerance
    return 2.0 * math.log1p(updates * share) / share


def seconds(point: Point, record: Record, states: int) -> float:
    """Nominal seconds of one replicate of a point, all methods, on one core."""
    n, m = point.data.n_samples, point.net.n_filters
    q, dimension, vectors = _sizes(point.data)
    width = min(q + 2 * m, dimension)
    product = 2 * m * min(q * q, 2 * q * width) * PRODUCT_SECONDS
    names = record.variables or ()
    probing = 2 if {"sam_gap", "deactivated_fraction"} & set(names) else 0
    probing += min(n, LANCZOS_STEPS) if "sharpness" in names else 0
    total = 1e-5 + (q + 2 * m) * width * DRAW_SECONDS
    for plan in point.plans:
        for phase in plan:
            groups = -(-n // phase.perturbed_together) if phase.perturbed_together else 1
            passes = 2 * groups if phase.perturbation > 0 else 1
            total += _gradients(phase, n) * passes * product
        lines = states * record.draws(point.net.activation)
        total += lines * 2 * m * vectors**2 * LINE_SECONDS
        total += states * probing * product
    return total


def nominal_seconds(space: Space, record: Record, states: int) -> float:
    """Nominal core-seconds of one replicate of a space: of all points, or a thousand spread evenly.

    Masked points cost nothing; if all of those looked at are masked, about one in as many is not.
    """
    points = list(spread(space.shape, PRICED_POINTS))
    wanted = list(filter(space.wanted, points)) or [space.first]
    prices = [seconds(space.point(index), record, states) for index in wanted]
    share = len(wanted) / len(points)
    return float(np.mean(prices)) * share * space.size
