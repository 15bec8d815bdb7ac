"""Gaussian data and weights of any dimension d without ever forming a d-vector.

The s signals are in the first s of d orthonormal coordinates. All Gaussian vectors (noises,
2m filters) split into their components there and a remainder in R^{d−s}. Up to a rotation, the k
remainders are the rows of the Bartlett factor L: L_ii = χ_{d−s−i} (i = 0, 1, …) and standard
normals below the diagonal, full normal rows once i ≥ d − s. The columns of L stand after the
s coordinates: an isometric picture in D = s + min(k, d − s) coordinates.

Filters stand in the order (r = 0, +1), (r = 0, −1), (r = 1, +1), … so that a wider network
extends a narrower one.
"""

from typing import NamedTuple

import numpy as np

from simdyn.kernels import random
from simdyn.kernels.activations import Model
from simdyn.kernels.compiled import part
from simdyn.kernels.linear import gram_of, inner_products, scale_rows
from simdyn.kernels.structures import Dictionary, Matrix, Problem, Table, Views


class Setting(NamedTuple):
    """One point of a study: the law of data and initial weights (symbols as in the paper)."""

    n_samples: int  # n
    dimension: int  # d
    signals: Matrix  # in the first s coordinates, (s, s); the paper's is ‖μ‖
    views: Views  # what a sample shows of them
    noise_std: float  # σ_p
    noise_vectors: int  # independent noise vectors of a sample
    noise_copies: float  # patches that show each of them; P − 1 in the paper
    added: int  # 1 if signals and noise are added up in one patch, else 0
    label_flip: float  # p
    orthogonal: int  # 1 if noise has no component along the signals, else 0
    n_filters: int  # m
    init_std: float  # σ_0
    antisymmetric: int  # 1 if both banks start with the same weights
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
def draw_shown(setting, true_labels, stream):
    """With what sign each sample shows each signal, (n, s); 0 if it does not."""
    share, shown = setting.views.share, setting.views.shown
    out = np.zeros((true_labels.size, shown.shape[2]))
    for i in range(true_labels.size):
        view, left = 0, 0.0
        if share.size > 1:
            left = random.uniform(stream, random.VIEW, i, 0) - share[0]
            while left >= 0.0 and view + 1 < share.size:
                view += 1
                left -= share[view]
        label = 0 if true_labels[i] > 0.0 else 1
        for k in range(out.shape[1]):
            out[i, k] = shown[view, label, k]
    return out


@part
def draw_unit_vectors(setting, stream):
    """Noises (k, D) and filters (2m, D) with unit standard deviation, in picture coordinates."""
    n, banks = setting.n_samples * setting.noise_vectors, 2 * setting.n_filters
    known = setting.signals.shape[0]
    remainder = setting.dimension - known
    width = min(n + banks, remainder)
    noises = np.zeros((n, known + width))
    filters = np.zeros((banks, known + width))
    for i in range(n):
        if not setting.orthogonal:
            for c in range(known):
                noises[i, c] = random.normal(stream, random.NOISE_ALONG_SIGNAL, i, c)
        row = noises[i, known:]
        random.fill_normals(stream, random.NOISE_ROW, i, row[: min(i, width)])
        if i < width:
            row[i] = random.chi(stream, random.NOISE_RADIUS, i, float(remainder - i))
    for order in range(banks):
        r, negative = order // 2, order % 2
        whole = filters[r + negative * setting.n_filters]
        for c in range(known):
            whole[c] = random.normal(stream, random.WEIGHT_ALONG_SIGNAL, order, c)
        row = whole[known:]
        random.fill_normals(stream, random.WEIGHT_ON_NOISE, order, row[: min(n, width)])
        i = n + order
        random.fill_normals(stream, random.WEIGHT_ROW, order, row[n : min(i, width)])
        if i < width:
            row[i] = random.chi(stream, random.WEIGHT_RADIUS, order, float(remainder - i))
    if setting.antisymmetric:  # the bank +1 keeps the draws it has without
        filters[setting.n_filters :] = filters[: setting.n_filters]
    return noises, filters


@part
def sample_table(setting, shown):
    """The table of samples that show signals, and noises in patches of their own.

    Patches 2k and 2k + 1 are signal k and its negative, patch 2s + i is noise i. If signals and
    noise are added up, the latter already is the sum.
    """
    n, known = shown.shape
    noises = n * setting.noise_vectors
    start = np.zeros(n + 1, np.int64)
    patch, multiplicity = np.empty(n * known + noises, np.int64), np.empty(n * known + noises)
    row, sign = np.empty(2 * known + noises, np.int64), np.empty(2 * known + noises)
    for k in range(known):
        row[2 * k], sign[2 * k], row[2 * k + 1], sign[2 * k + 1] = k, 1.0, k, -1.0
    entries = 0
    for i in range(n):
        for k in range(known):
            if shown[i, k] != 0.0 and not setting.added:
                patch[entries], multiplicity[entries] = 2 * k + (1 if shown[i, k] < 0.0 else 0), 1.0
                entries += 1
        for v in range(setting.noise_vectors):
            number = i * setting.noise_vectors + v
            row[2 * known + number], sign[2 * known + number] = known + number, 1.0
            patch[entries], multiplicity[entries] = 2 * known + number, setting.noise_copies
            entries += 1
        start[i + 1] = entries
    return Table(start, patch[:entries], multiplicity[:entries], row, sign)


@part
def draw_problem(setting, stream):
    """Data and initial weights of one replicate: the dictionary holds the signals, then noises."""
    true_labels, labels = draw_labels(setting, stream)
    shown = draw_shown(setting, true_labels, stream)
    noises, filters = draw_unit_vectors(setting, stream)
    known, width = setting.signals.shape[0], noises.shape[1]
    q = known + noises.shape[0]
    rows = np.zeros((q, width))
    for k in range(known):
        for c in range(known):
            rows[k, c] = setting.signals[k, c]
    for i in range(noises.shape[0]):
        for c in range(width):
            rows[known + i, c] = setting.noise_std * noises[i, c]
    if setting.added:
        for i in range(noises.shape[0]):
            for k in range(known):
                for c in range(known):
                    rows[known + i, c] += shown[i, k] * setting.signals[k, c]
    for f in range(filters.shape[0]):
        for c in range(width):
            filters[f, c] *= setting.init_std
    rows, units = scale_rows(rows)
    table = sample_table(setting, shown)
    for p in range(table.row.size):
        table.sign[p] *= units[table.row[p]]
    return Problem(
        Dictionary(gram_of(rows), rows, units),
        inner_products(rows, filters),
        filters,
        table,
        labels,
        true_labels,
        known,
        setting.model,
    )
