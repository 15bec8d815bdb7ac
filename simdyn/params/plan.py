"""A plan of training: phases of SGD and SAM, one after the other."""

import math
import typing
from collections.abc import Iterable
from typing import ClassVar, Literal

from simdyn.inputs import InputError, shown
from simdyn.params.base import MAX_DIMENSION, Parameters, Real, Whole, described, required


class Phase(Parameters):
    """A stretch of training with one optimiser."""

    learning_rate: Real = required("η", "learning rate", "a finite number > 0", gt=0)
    epochs: Whole = required("", "epochs", "an integer from 0 to 2**53", ge=0, le=MAX_DIMENSION)
    batch_size: Whole | None = described(
        None, "B", "batch size", "an integer from 1 to n_samples, or none for the full batch", ge=1
    )
    last_batch: Literal["refuse", "drop", "keep"] = described(
        "refuse", "", "what to do where batch_size does not divide n_samples",
        '"refuse", "drop" or "keep"',
    )  # fmt: skip

    @property
    def perturbation(self) -> float:
        """The radius τ of the perturbation; 0 for SGD."""
        return 0.0

    def updates_per_epoch(self, n_samples: int) -> int:
        """Updates in one pass over the data; checks the batch size against it.

        Raises
        ------
        InputError
            Where batch_size exceeds n_samples, or does not divide it and last_batch refuses.
        """
        batch = n_samples if self.batch_size is None else self.batch_size
        name = type(self).__name__
        if batch > n_samples:
            raise InputError(
                f"{name}.batch_size = {batch}: allowed is an integer from 1 to "
                f"n_samples = {n_samples}"
            )
        if n_samples % batch and self.last_batch == "refuse":
            raise InputError(
                f"{name}.batch_size = {batch} does not divide n_samples = {n_samples}: choose a "
                'divisor, or last_batch = "drop" or "keep"'
            )
        return math.ceil(n_samples / batch) if self.last_batch == "keep" else n_samples // batch


class SGD(Phase):
    """W ← W − η ∇L_I(W), a fresh random partition into batches each epoch.

    Parameters
    ----------
    learning_rate : float > 0
        Step size η.
    epochs : int ≥ 0
        Passes over the data.
    batch_size : int, optional
        Samples B of a batch; the full batch where absent.
    last_batch : {"refuse", "drop", "keep"}
        Where B does not divide n: an error, or the remainder is left out, or it is a smaller batch.
    """

    optimiser: ClassVar[str] = "SGD"


class SAM(Phase):
    """W ← W − η ∇L_I(W + ε̂), ε̂ = τ ∇L_I(W)/‖∇L_I(W)‖_F, the same batch in both passes.

    Parameters
    ----------
    radius : float ≥ 0
        Perturbation radius τ. The norm runs over all filters; τ = 0 is SGD, bit for bit.
    learning_rate, epochs, batch_size, last_batch
        As for `SGD`.
    """

    optimiser: ClassVar[str] = "SAM"
    radius: Real = required("τ", "perturbation radius", "a finite number ≥ 0", ge=0)

    @property
    def perturbation(self) -> float:
        """The radius τ of the perturbation."""
        return self.radius


OPTIMISERS: dict[str, type[Phase]] = {"SGD": SGD, "SAM": SAM}

Plan = typing.Sequence[Phase] | Phase


def as_plan(plan: Plan) -> tuple[Phase, ...]:
    """A list of phases from one phase or several.

    Raises
    ------
    InputError
        Where something else is in it, or nothing.
    """
    several = isinstance(plan, Iterable) and not isinstance(plan, str | bytes)
    phases = tuple(plan) if several and not isinstance(plan, Phase) else (plan,)
    if not phases or not all(isinstance(phase, Phase) for phase in phases):
        raise InputError(f"plan = {shown(plan)}: allowed is a non-empty list of SGD(…) and SAM(…)")
    return typing.cast(tuple[Phase, ...], phases)
