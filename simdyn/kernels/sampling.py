"""Gaussian data and weights of any dimension d without ever forming a d-vector.

All Gaussian vectors (n noises, 2m filters) split into a component along μ/‖μ‖ and a remainder
in R^{d−1}. Up to a rotation, the k = n + 2m remainders are the rows of the Bartlett factor L:
L_ii = χ_{d−1−i} (i = 0, 1, …) and standard normals below the diagonal, full normal rows once
i ≥ d − 1. Coordinate 0 is the component along μ/‖μ‖, the rest are the columns of L: an isometric
picture in D = 1 + min(k, d − 1) coordinates.

Filters stand in the order (r = 0, +1), (r = 0, −1), (r = 1, +1), … so that a wider network
extends a narrower one.
"""

from typing import NamedTuple

import numpy as np

from simdyn.kernels import random
from simdyn.kernels.compiled import part
from simdyn.kernels.linear import inner_products
from simdyn.kernels.network import Model
from simdyn.kernels.problem import Dictionary, Problem, Table


class Setting(NamedTuple):
    """One point of a study: the law of data and initial weights (symbols as in the paper)."""

    n_samples: int  # n
    dimension: int  # d
    signal_norm: float  # ‖μ‖
    noise_std: float  # σ_p
    n_patches: int  # P
    label_flip: float  # p
    orthogonal: bool  # noise orthogonal to μ
    n_filters: int  # m
    init_std: float  # σ_0
    model: Model


@part
def draw_labels(setting, stream):
    """True labels ŷ and observed labels y, each (n,) of ±1."""
    true_labels = np.empty(setting.n_samples)
    labels = np.empty(setting.n_samples)
    for i in range(setting.n_samples):
        up = random.uniform(stream, random.TRUE_LABEL, i, 0) < 0.5
        true_labels[i] = 1.0 if up else -1.0
        flipped = random.uniform(stream, random.LABEL_FLIP, i, 0) < setting.label_flip
        labels[i] = -true_labels[i] if flipped else true_labels[i]
    return true_labels, labels


@part
def draw_unit_vectors(setting, stream):
    """Noises (n, D) and filters (2m, D) with unit standard deviation, in picture coordinates."""
    n, banks = setting.n_samples, 2 * setting.n_filters
    remainder = setting.dimension - 1
    width = min(n + banks, remainder)
    noises = np.zeros((n, 1 + width))
    filters = np.zeros((banks, 1 + width))
    for i in range(n):
        if not setting.orthogonal:
            noises[i, 0] = random.normal(stream, random.NOISE_ALONG_SIGNAL, i, 0)
        random.fill_normals(stream, random.NOISE_ROW, i, noises[i, 1 : 1 + min(i, width)])
        if i < width:
            noises[i, 1 + i] = random.chi(stream, random.NOISE_RADIUS, i, float(remainder - i))
    for order in range(banks):
        r, negative = order // 2, order % 2
        row = filters[r + negative * setting.n_filters]
        row[0] = random.normal(stream, random.WEIGHT_ALONG_SIGNAL, order, 0)
        random.fill_normals(stream, random.WEIGHT_ON_NOISE, order, row[1 : 1 + min(n, width)])
        i = n + order
        random.fill_normals(stream, random.WEIGHT_ROW, order, row[1 + n : 1 + min(i, width)])
        if i < width:
            row[1 + i] = random.chi(stream, random.WEIGHT_RADIUS, order, float(remainder - i))
    return noises, filters


@part
def signal_noise_table(true_labels, copies):
    """The table of signal + shared noise: row 0 is μ, row 1 + i is ξ_i.

    Patches 0 and 1 are μ and −μ, patch 2 + i is ξ_i.
    """
    n = true_labels.size
    start = np.empty(n + 1, np.int64)
    patch, multiplicity = np.empty(2 * n, np.int64), np.empty(2 * n)
    row, sign = np.empty(n + 2, np.int64), np.empty(n + 2)
    row[0], sign[0], row[1], sign[1] = 0, 1.0, 0, -1.0
    start[0] = 0
    for i in range(n):
        start[i + 1] = 2 * (i + 1)
        patch[2 * i], multiplicity[2 * i] = (0 if true_labels[i] > 0.0 else 1), 1.0
        patch[2 * i + 1], multiplicity[2 * i + 1] = 2 + i, copies
        row[2 + i], sign[2 + i] = 1 + i, 1.0
    return Table(start, patch, multiplicity, row, sign)


@part
def draw_problem(setting, stream):
    """Data and initial weights of one replicate as a `Problem` with q = n + 1, row 0 being μ."""
    true_labels, labels = draw_labels(setting, stream)
    noises, filters = draw_unit_vectors(setting, stream)
    q, width = setting.n_samples + 1, noises.shape[1]
    rows = np.zeros((q, width))
    rows[0, 0] = setting.signal_norm
    for i in range(setting.n_samples):
        for c in range(width):
            rows[1 + i, c] = setting.noise_std * noises[i, c]
    for f in range(filters.shape[0]):
        for c in range(width):
            filters[f, c] *= setting.init_std
    factored = 2 * width < q
    gram = np.zeros((0, 0)) if factored else inner_products(rows, rows)
    return Problem(
        Dictionary(gram, rows),
        inner_products(rows, filters),
        filters,
        signal_noise_table(true_labels, setting.n_patches - 1.0),
        labels,
        true_labels,
        setting.model,
    )
