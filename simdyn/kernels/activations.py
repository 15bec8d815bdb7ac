"""Activations and losses: the one place to add either.

An activation is a code, its value σ and its slope σ'; a loss a code, its value ℓ and its slope ℓ'
as functions of the margin y f. A new one is a branch in each of two functions here and a name in
`simdyn.params.network`.
"""

import math
from typing import NamedTuple

from simdyn.kernels.compiled import borrowing

RELU, LEAKY_RELU, POWER_RELU, HUBER_RELU = 0, 1, 2, 3
LOGISTIC, HINGE = 0, 1


class Model(NamedTuple):
    """What the network computes of its overlaps, and what it is trained on."""

    activation: int  # RELU, LEAKY_RELU, POWER_RELU or HUBER_RELU
    shape: float  # the activation's own number
    loss: int  # LOGISTIC or HINGE
    divisor: float  # of the outputs: m, or 1 where they are sums over filters
    summed: int  # 1: a batch's loss is the sum over its samples, 0: their mean


@borrowing
def activate(kind, shape, z):
    """σ(z)."""
    if kind == LEAKY_RELU:
        return z if z > 0.0 else shape * z
    if not z > 0.0:
        return 0.0 * z  # NaN stays NaN
    if kind == POWER_RELU:
        return z**shape
    if kind == HUBER_RELU:
        return 0.5 * z * (z / shape) if z < shape else z - 0.5 * shape
    return z


@borrowing
def activation_slope(kind, shape, z):
    """σ'(z), at a kink that of the left."""
    if kind == LEAKY_RELU:
        return 1.0 if z > 0.0 else shape
    if not z > 0.0:
        return 0.0
    if kind == POWER_RELU:
        return shape * z ** (shape - 1.0)
    if kind == HUBER_RELU:
        return min(z / shape, 1.0)
    return 1.0


@borrowing
def loss(kind, margin):
    """ℓ(y f): log(1 + exp(−y f)) without overflow, or max(0, 1 − y f)."""
    if kind == HINGE:
        return max(0.0, 1.0 - margin)
    return max(0.0, -margin) + math.log1p(math.exp(-abs(margin)))


@borrowing
def loss_slope(kind, margin):
    """ℓ'(y f), at a kink that of the right; the logistic loss has a faster one in `simd`."""
    if kind == HINGE:
        return -1.0 if margin < 1.0 else 0.0
    decay = math.exp(-abs(margin))
    return -(decay if margin >= 0.0 else 1.0) / (1.0 + decay)


@borrowing
def half_error(margin):
    """1 for a wrong output, ½ for an output of exactly zero, else 0."""
    return 1.0 if margin < 0.0 else (0.5 if margin == 0.0 else 0.0)
