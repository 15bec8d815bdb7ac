"""The network: its filters, activation, output and loss."""

from collections.abc import Callable
from typing import Literal, Self

from pydantic import model_validator

from simdyn.params.parameters import Parameters, Real, Whole, described, required

ACTIVATION_SHAPES: dict[str, tuple[float | None, Callable[[float], bool], str]] = {
    # the default of the activation's own number, what fits it, and that in words
    "relu": (None, lambda shape: False, "none: ReLU has no such number"),
    "leaky_relu": (0.1, lambda shape: 0.0 < shape < 1.0, "a slope between 0 and 1"),
    "relu_power": (3.0, lambda shape: shape > 1.0, "a power q > 1"),
    "huber_relu": (1.0, lambda shape: shape > 0.0, "a width κ > 0"),
}
PIECEWISE_LINEAR = ("relu", "leaky_relu")


class TwoLayerCNN(Parameters):
    """f = F₊₁ − F₋₁ with F_j(x) = (1/m) Σ_r Σ_p σ(⟨w_{j,r}, x^(p)⟩): m filters for each sign j.

    Parameters
    ----------
    n_filters : int ≥ 1
        Filters m of each sign.
    init_std : float ≥ 0
        Standard deviation σ_0 of the initial weights.
    init : {"gaussian", "uniform", "antisymmetric"}
        Law of the initial weights' entries: independent and Gaussian; "uniform" over ±√3 σ_0, for
        explicit vectors only; "antisymmetric": Gaussian in the bank of sign +1, and the same
        weights once more in that of sign −1, w_{−1,r}(0) = w_{+1,r}(0), so that f = 0 at the
        start. Papers on lazy training and on benign overfitting start there, so that the
        initial output plays no part. The bank of sign +1 is the one that "gaussian" draws.
    activation : {"relu", "leaky_relu", "relu_power", "huber_relu"}
        σ(z): max(z, 0); z or a·z below zero; max(z, 0)^q; z²/(2κ) up to κ and z − κ/2 beyond, zero
        below zero. At a kink σ' is that of the left.
    activation_shape : float, optional
        a (0.1 where absent), q (3) or κ (1).
    output : {"mean", "sum"}
        Mean over the filters of a sign, as in the paper, or their sum, without 1/m.
    loss : {"logistic", "hinge"}
        ℓ = log(1 + exp(−y f)), or max(0, 1 − y f).
    reduction : {"mean", "sum"}
        Loss of a batch: the mean over its samples, or their sum.

    Examples
    --------
    >>> simdyn.TwoLayerCNN(n_filters=10, init_std=1e-3, activation="leaky_relu").shape
    0.1
    """

    n_filters: Whole = required(
        "m", "filters of each sign", "an integer from 1 to 2**20", ge=1, le=2**20
    )
    init_std: Real = required("σ_0", "initial standard deviation", "a finite number ≥ 0", ge=0)
    init: Literal["gaussian", "uniform", "antisymmetric"] = described(
        "gaussian", "", "law of the initial weights", '"gaussian", "uniform" or "antisymmetric"'
    )
    activation: Literal["relu", "leaky_relu", "relu_power", "huber_relu"] = described(
        "relu", "σ", "activation", '"relu", "leaky_relu", "relu_power" or "huber_relu"'
    )
    activation_shape: Real | None = described(
        None, "", "shape of the activation", "a finite number that fits the activation"
    )
    output: Literal["mean", "sum"] = described("mean", "", "output", '"mean" or "sum"')
    loss: Literal["logistic", "hinge"] = described("logistic", "ℓ", "loss", '"logistic" or "hinge"')
    reduction: Literal["mean", "sum"] = described(
        "mean", "", "reduction of the loss", '"mean" or "sum"'
    )

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        _, fits, words = ACTIVATION_SHAPES[self.activation]
        if self.activation_shape is not None and not fits(self.activation_shape):
            raise ValueError(
                f"activation_shape = {self.activation_shape!r}: allowed for activation = "
                f"{self.activation!r} is {words}"
            )
        return self

    @property
    def shape(self) -> float:
        """The activation's own number; 0 for ReLU."""
        return self.activation_shape or ACTIVATION_SHAPES[self.activation][0] or 0.0

    @property
    def piecewise_linear(self) -> bool:
        """Is the network piecewise linear in the weights?"""
        return self.activation in PIECEWISE_LINEAR
