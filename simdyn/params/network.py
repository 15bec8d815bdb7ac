"""The network: its filters, activation, output and loss."""

from typing import Annotated, Any, Literal, Self

from pydantic import model_validator

from simdyn.kernels.codes import ACTIVATIONS, LOSSES
from simdyn.params.parameters import (
    Integer,
    Parameters,
    Real,
    described,
    in_words,
    integer,
    nonnegative,
    one_of,
)

PIECEWISE_LINEAR = tuple(name for name, row in ACTIVATIONS.items() if row.piecewise_linear)


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
        start, as papers on lazy training and on benign overfitting assume. The bank of sign +1 is
        the one that "gaussian" draws.
    activation : str
        σ(z). At a kink σ' is the slope on the left. Allowed are
        ACTIVATIONS
    activation_shape : float, optional
        The number in the formula of σ.
    output : {"mean", "sum"}
        Mean over the filters of a sign, as in the paper, or their sum, without 1/m.
    loss : str
        ℓ of the margin y f. Allowed are
        LOSSES
    reduction : {"mean", "sum"}
        Loss of a batch: the mean over its samples, or their sum.

    Examples
    --------
    >>> simdyn.TwoLayerCNN(n_filters=10, init_std=1e-3, activation="leaky_relu").shape
    0.1
    """

    n_filters: Integer = integer(..., "m", "filters of each sign", 1, 2**20)
    init_std: Real = nonnegative(..., "σ_0", "initial standard deviation")
    init: Literal["gaussian", "uniform", "antisymmetric"] = described(
        "gaussian", "", "law of the initial weights"
    )
    activation: Annotated[str, one_of(ACTIVATIONS)] = described(
        "relu", "σ", "activation", in_words(ACTIVATIONS)
    )
    activation_shape: Real | None = described(
        None, "", "shape of the activation", "a finite number that fits the activation"
    )
    output: Literal["mean", "sum"] = described("mean", "", "output")
    loss: Annotated[str, one_of(LOSSES)] = described("logistic", "ℓ", "loss", in_words(LOSSES))
    reduction: Literal["mean", "sum"] = described("mean", "", "reduction of the loss")

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        row = ACTIVATIONS[self.activation]
        if self.activation_shape is not None and not row.fits(self.activation_shape):
            raise ValueError(
                f"activation_shape = {self.activation_shape!r}: allowed for activation = "
                f"{self.activation!r} is {row.allowed}"
            )
        return self

    @property
    def shape(self) -> float:
        """The activation's own number; 0 for ReLU."""
        return self.activation_shape or ACTIVATIONS[self.activation].default or 0.0

    @property
    def piecewise_linear(self) -> bool:
        """Is the network piecewise linear in the weights?"""
        return ACTIVATIONS[self.activation].piecewise_linear


def _lines(rows: dict[str, Any]) -> str:
    """Rows of a table of `codes` as lines of a docstring."""
    shapes = {name: getattr(row, "default", None) for name, row in rows.items()}
    return "\n    ".join(
        f'"{name}": {row.formula}{f" (by default {shapes[name]:g})" if shapes[name] else ""};'
        for name, row in rows.items()
    ).removesuffix(";")


TwoLayerCNN.__doc__ = (
    (TwoLayerCNN.__doc__ or "")
    .replace("ACTIVATIONS", f"{_lines(ACTIVATIONS)}.")
    .replace("LOSSES", f"{_lines(LOSSES)}.")
)
