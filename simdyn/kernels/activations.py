"""Formulas of the activations and losses; what else is known of them is in `codes`.

An activation has a value σ and a slope σ', a loss a value ℓ, a slope ℓ' and a curvature ℓ'' as
functions of the margin y f. A new one is a row in `codes` and a branch in each function here.
"""

import math
from typing import NamedTuple

from simdyn.kernels.codes import HINGE, HUBER_RELU, LEAKY_RELU, POWER_RELU
from simdyn.kernels.compiled import borrowing

SMALL = 1e-150  # below it, a square is lost


class Model(NamedTuple):
    """What the network computes of its overlaps, and what it is trained on."""

    activation: int  # a code
    shape: float  # the activation's own number
    degree: float  # the next three are those of `codes.Activation`
    least_slope: float
    active_below: int
    loss: int  # a code
    divisor: float  # of the outputs: m, or 1 if they are sums over filters
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
def small_slope_units(model, unit, peak):
    """Units in which slopes σ'(2^unit z) of 0 < z ≤ peak do not underflow.

    Returns
    -------
    stretch : int
    shape : float
    power : float
        Such that σ'(2^unit z) is 2^power σ'(2^−stretch z) with this shape.
    """
    stretch = math.frexp(peak)[1] + 1
    if model.degree == 1.0:  # slopes depend on the sign of z alone
        return 0, model.shape, 0.0
    if model.degree > 0.0:
        return stretch, model.shape, (unit + stretch) * (model.degree - 1.0)
    if model.activation == HUBER_RELU and math.ldexp(peak, unit) < SMALL * model.shape:
        width, exponent = math.frexp(model.shape)
        return stretch, width, float(unit + stretch - exponent)
    return -unit, model.shape, 0.0


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
def curvature_root(kind, margin):
    """√ℓ''(y f), at a kink that of the right."""
    if kind == HINGE:
        return 0.0
    decay = math.exp(-0.5 * abs(margin))
    return decay / (1.0 + decay * decay)  # ℓ'' = e^{−|y f|}/(1 + e^{−|y f|})²


@borrowing
def half_error(margin):
    """1 for a wrong output, ½ for an output of exactly zero, else 0."""
    return 1.0 if margin < 0.0 else (0.5 if margin == 0.0 else 0.0)
