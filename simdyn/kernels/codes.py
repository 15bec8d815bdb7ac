"""What kernels know by a number: states of a run, estimators, activations and losses.

The tables say all that is known of an activation or a loss but its formulas, which are in
`activations`. Nothing here needs the compiler, so that every room can read the tables.
"""

from collections.abc import Callable
from typing import NamedTuple

# Status of a run. A stopped run is never stored.
MISSING, DONE, ZERO_GRADIENT, NON_FINITE, FAILED, MASKED, UNREACHED, INTERPOLATED = range(8)
STOPPED = -1

# How the test error is found.
NO_TEST, LINE, COUNTED, RADIAL, TEST_SET = range(5)


# What a condition that ends a phase may read.
TRAIN_LOSS, TRAIN_ERROR, GRAD_NORM, MARGIN, LARGEST_SIGNAL, LARGEST_NOISE = range(1, 7)
TEST_ERROR, CLEAN_TEST_ERROR, SAM_GAP, DEACTIVATED, SHARPNESS = range(7, 12)
GOALS = {
    "train_loss": TRAIN_LOSS,
    "train_error": TRAIN_ERROR,
    "grad_norm": GRAD_NORM,
    "margin": MARGIN,  # the smallest
    "signal_coef": LARGEST_SIGNAL,
    "noise_coef": LARGEST_NOISE,
    "test_error": TEST_ERROR,
    "clean_test_error": CLEAN_TEST_ERROR,
    "sam_gap": SAM_GAP,
    "deactivated_fraction": DEACTIVATED,
    "sharpness": SHARPNESS,
}


class Estimator(NamedTuple):
    """An estimator of the test error on fresh samples, see `estimates`."""

    code: int
    draws: int  # by default


ESTIMATORS = {
    "line": Estimator(LINE, 32),
    "counted": Estimator(COUNTED, 1000),
    "radial": Estimator(RADIAL, 1000),
}

RELU, LEAKY_RELU, POWER_RELU, HUBER_RELU = range(4)
LOGISTIC, HINGE = range(2)


class Activation(NamedTuple):
    """An activation σ; the fields that are functions take its shape, a number of its own."""

    code: int
    formula: str
    default: float | None  # shape; None: it has none
    fits: Callable[[float], bool]  # Is this shape allowed?
    allowed: str  # that in words
    estimators: tuple[str, ...]  # those that suit it; the first is the default
    piecewise_linear: bool
    degree: Callable[[float], float]  # q, if σ(cz) = c^q σ(z) for all c > 0; else 0
    least_slope: Callable[[float], float]  # a bound below |σ'| wherever σ' is not 0; 0: none
    active_below: bool  # Is σ' other than 0 at z < 0?


ACTIVATIONS = {
    "relu": Activation(
        code=RELU,
        formula="max(z, 0)",
        default=None,
        fits=lambda shape: False,
        allowed="none: ReLU has no such number",
        estimators=("line", "counted", "radial"),
        piecewise_linear=True,
        degree=lambda shape: 1.0,
        least_slope=lambda shape: 1.0,
        active_below=False,
    ),
    "leaky_relu": Activation(
        code=LEAKY_RELU,
        formula="z, and a·z below zero, with the slope a",
        default=0.1,
        fits=lambda shape: 0.0 < shape < 1.0,
        allowed="a slope between 0 and 1",
        estimators=("line", "counted", "radial"),
        piecewise_linear=True,
        degree=lambda shape: 1.0,
        least_slope=lambda shape: shape,
        active_below=True,
    ),
    "relu_power": Activation(
        code=POWER_RELU,
        formula="max(z, 0)^q, with the power q",
        default=3.0,
        fits=lambda shape: shape > 1.0,
        allowed="a power q > 1",
        estimators=("counted", "radial"),
        piecewise_linear=False,
        degree=lambda shape: shape,
        least_slope=lambda shape: 0.0,
        active_below=False,
    ),
    "huber_relu": Activation(
        code=HUBER_RELU,
        formula="0 below zero, z²/(2κ) up to the width κ, z − κ/2 beyond",
        default=1.0,
        fits=lambda shape: shape > 0.0,
        allowed="a width κ > 0",
        estimators=("counted",),
        piecewise_linear=False,
        degree=lambda shape: 0.0,
        least_slope=lambda shape: 0.0,
        active_below=False,
    ),
}


class Loss(NamedTuple):
    """A loss ℓ of the margin y f."""

    code: int
    formula: str


LOSSES = {"logistic": Loss(LOGISTIC, "log(1 + exp(−y f))"), "hinge": Loss(HINGE, "max(0, 1 − y f)")}
