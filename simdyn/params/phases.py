"""A plan of training: phases of SGD and SAM, one after the other."""

import typing
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import StrictBool, field_validator

from simdyn.base.inputs import InputError, nearest, shown
from simdyn.params.conditions import GOAL_EXAMPLE, Goal, goal_of
from simdyn.params.parameters import (
    MAX_DIMENSION,
    Integer,
    Parameters,
    Real,
    described,
    integer,
    nonnegative,
)
from simdyn.params.schedule import ALLOWED, Program, Rate, bad_rate, program_of


class Phase(Parameters):
    """A stretch of training with one optimiser."""

    learning_rate: Rate = described(..., "η", "learning rate", ALLOWED)
    epochs: Integer = integer(..., "", "epochs", 0, MAX_DIMENSION)
    batch_size: Integer | None = described(
        None, "B", "batch size", "an integer from 1 to n_samples, or none for the full batch", ge=1
    )
    last_batch: Literal["refuse", "drop", "keep"] = described(
        "refuse", "", "what to do where batch_size does not divide n_samples"
    )

    momentum: Real = described(0.0, "β", "momentum", "a number from 0 to below 1", ge=0, lt=1)
    weight_decay: Real = nonnegative(0.0, "λ", "weight decay")
    label_noise: Real = described(
        0.0, "", "label noise of an update", "a number from 0 to 0.5", ge=0, le=0.5
    )
    restart: StrictBool = described(False, "", "velocity starts at zero", "true or false")
    until: str | None = described(
        None, "", "condition that ends the phase", f"a text like {GOAL_EXAMPLE!r}, or none"
    )
    stepping: Literal["exact", "strides", "flow"] = described("exact", "", "way to advance")
    stride_tolerance: Real = described(
        1e-3, "", "tolerance of strides", "a number from 1e-8 to 0.1", ge=1e-8, le=0.1
    )

    @property
    def perturbation(self) -> float:
        """The radius τ of the perturbation; 0 for SGD."""
        return 0.0

    @property
    def perturbs_by_norm(self) -> bool:
        """Is the perturbation τ∇L/‖∇L‖, and not τ∇L?"""
        return True

    @property
    def perturbed_together(self) -> int:
        """Samples that share a perturbation; 0 for the full batch."""
        return 0

    def updates_per_epoch(self, n_samples: int) -> int:
        """Updates in one pass over the data; checks batch, groups and learning rate against it.

        Raises
        ------
        InputError
            If batch_size exceeds n_samples, or does not divide it and last_batch refuses; if
            group_size exceeds the batch; if the learning rate of an update is found to be negative
            or not finite.
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
        if self.perturbed_together > batch:
            source = "n_samples" if self.batch_size is None else "batch_size"
            raise InputError(
                f"{name}.group_size = {self.perturbed_together}: allowed is an integer from 1 to "
                f"{source} = {batch}"
            )
        if self.stepping != "exact":
            self._check_strides(batch < n_samples)
        updates = -(-n_samples // batch) if self.last_batch == "keep" else n_samples // batch
        rate = self.learning_rate
        if isinstance(rate, str) and (wrong := bad_rate(rate, self.epochs, updates)):
            raise InputError(f"{name}.learning_rate = {rate!r} {wrong}")
        return updates

    @field_validator("until")
    @classmethod
    def _check_until(cls, text: str | None) -> str | None:
        if text is not None:
            goal_of(text)
        return text

    @property
    def goal(self) -> Goal | None:
        """The condition that ends the phase."""
        return None if self.until is None else goal_of(self.until)

    def with_longer_strides(self) -> Self:
        """The same phase with strides twice as long."""
        return self.model_copy(update={"stride_tolerance": 2.0 * self.stride_tolerance})

    def _check_strides(self, small_batches: bool) -> None:
        """Strides know full-batch SGD and SAM of a constant learning rate; flow has no velocity."""
        unknown = {
            "batch_size": small_batches,
            "group_size": self.perturbed_together > 0,
            "momentum": self.momentum > 0 and self.stepping == "flow",
            "label_noise": self.label_noise > 0,
            "learning_rate": isinstance(self.learning_rate, str),
        }
        for field, given in unknown.items():
            if given:
                where = f"{type(self).__name__}.{field} = {shown(getattr(self, field))}"
                no = "momentum or label noise" if self.stepping == "flow" else "label noise"
                raise InputError(
                    f'{where} with stepping = "{self.stepping}": allowed are the full batch, one '
                    f'perturbation, a constant learning rate, no {no}; or stepping = "exact"'
                )

    def rate_program(self, n_samples: int) -> Program:
        """The learning rate as a program, see `simdyn.params.schedule`."""
        if isinstance(self.learning_rate, str):
            return program_of(self.learning_rate, self.epochs, self.updates_per_epoch(n_samples))
        return (("constant", self.learning_rate),)


class SGD(Phase):
    """W ← W − η v, v ← β v + ∇L_I(W) + λ W, a fresh random partition into batches each epoch.

    Parameters
    ----------
    learning_rate : float > 0 or str
        Step size η. A text is a formula of ``epoch`` and ``update``, the numbers of completed
        epochs and updates in this phase, and of their totals ``epochs`` and ``updates``. It may
        call ``cosine()``, (1 + cos(π update/updates))/2; ``step(every, factor)``,
        factor^⌊epoch/every⌋; and ``warmup(epochs)``, which rises evenly to 1 over that many epochs:
        "0.1*warmup(5)*cosine()". The rates must be finite and not negative. They are checked at
        both ends of the phase and at some hundred updates between; a run that meets another bad
        rate ends there with status 3.
    epochs : int ≥ 0
        Passes over the data.
    batch_size : int, optional
        Samples B of a batch; the full batch if absent.
    last_batch : {"refuse", "drop", "keep"}
        If B does not divide n: an error, or the remainder is left out, or it is a smaller batch.
    momentum : float, 0 ≤ β < 1
        Of the velocity v. A phase continues with the velocity of the phase before if both have the
        same β, whatever else differs; with another β it starts with v = 0. A phase of no epochs
        is ignored.
    restart : bool
        True: the phase starts with v = 0, whatever β is.
    weight_decay : float ≥ 0
        λ.
    until : str, optional
        A condition that ends the phase as soon as it holds after an update, such as
        "train_loss < 0.01"; `epochs` is then the most it may take, and a run that does not get
        there has status 6. It may read any recorded number (train_loss, train_error, grad_norm,
        test_error, clean_test_error, sam_gap, deactivated_fraction, sharpness), and margin (the
        smallest), signal_coef and noise_coef (the largest). It is read after every update, or at
        both ends of a stride; a test error costs many updates. The next phase starts there; after
        the last one the weights rest.
    stepping : {"exact", "strides", "flow"}
        "exact": update by update. "strides": many updates at once where training is slow, see
        `simdyn.kernels.strides`; for the full batch, a constant learning rate and no label noise.
        "flow": the gradient flow dW/dt = −∇L(W) − λ W (for SAM −∇L(W + ε̂)), the limit of small η,
        without momentum; an epoch is a time η.
    stride_tolerance : float, 1e-8 … 0.1
        Of strides: about the relative error of margins under SGD. Under SAM it is larger; the
        variable ``stride_error`` estimates it.
    label_noise : float, 0 … ½
        Probability that a label is flipped in an update, drawn anew each time (label-noise SGD).

    Examples
    --------
    >>> sgd = simdyn.SGD(learning_rate="0.1*warmup(5)*cosine()", epochs=100, batch_size=5)
    >>> sgd.updates_per_epoch(20)
    4
    """

    optimiser: ClassVar[str] = "SGD"


class SAM(Phase):
    """SGD with ∇L_I taken at W + ε̂, ε̂ = τ ∇L_I(W)/‖∇L_I(W)‖_F, the same batch in both passes.

    Parameters
    ----------
    radius : float ≥ 0
        Perturbation radius τ. The norm runs over all filters; τ = 0 is SGD, bit for bit.
    normalised : bool
        False: ε̂ = τ ∇L_I(W), without the norm.
    group_size : int ≥ 1, optional
        Samples that share a perturbation (m-sharpness): consecutive groups of the batch are each
        perturbed by their own gradient, and the gradients there averaged. 1 is per-sample SAM; the
        full batch if absent. At most the size of a batch; the rest of a batch, or a smaller last
        batch, is a group of its own.
    learning_rate, epochs, batch_size, last_batch, momentum, restart, weight_decay, label_noise,
    stepping, stride_tolerance
        As for `SGD`. The perturbation is that of the loss alone, without the decay.

    Examples
    --------
    >>> simdyn.SAM(radius=0.03, learning_rate=0.1, epochs=100).replace(radius=0.1).radius
    0.1
    """

    optimiser: ClassVar[str] = "SAM"
    radius: Real = nonnegative(..., "τ", "perturbation radius")
    normalised: StrictBool = described(True, "", "normalised perturbation", "true or false")
    group_size: Integer | None = integer(None, "", "samples perturbed together", 1, 2**31)

    @property
    def perturbation(self) -> float:
        """The radius τ of the perturbation."""
        return self.radius

    @property
    def perturbs_by_norm(self) -> bool:
        """Is the perturbation τ∇L/‖∇L‖, and not τ∇L?"""
        return self.normalised

    @property
    def perturbed_together(self) -> int:
        """Samples that share a perturbation; 0 for the full batch."""
        return self.group_size or 0


OPTIMISERS: dict[str, type[Phase]] = {"SGD": SGD, "SAM": SAM}
# Methods that rescale each coordinate leave the span of the data, in which all is computed here.
ADAPTIVE = {"adam", "adamw", "adamax", "adagrad", "nadam", "radam", "rmsprop"}
SIGN_BASED = {"lion", "signsgd", "signum"}


def check_optimiser(field: str, name: object) -> type[Phase]:
    """The class of an optimiser's name.

    Raises
    ------
    InputError
        For any other name; with the reason if the optimiser leaves the span of the data.
    """
    if isinstance(name, str) and name in OPTIMISERS:
        return OPTIMISERS[name]
    if str(name).lower().replace("_", "") in ADAPTIVE | SIGN_BASED:
        raise InputError(
            f"{field} = {shown(name)}: it rescales each coordinate, so the weights leave the span "
            f"of the data and there is no Gram space; allowed are {', '.join(OPTIMISERS)}"
        )
    raise InputError(f"{field} = {shown(name)}: {nearest(str(name), OPTIMISERS)}")


Plan = typing.Sequence[Phase] | Phase


def as_plan(plan: Plan) -> tuple[Phase, ...]:
    """A list of phases from one phase or several.

    Raises
    ------
    InputError
        If it is empty or has anything else in it.
    """
    several = isinstance(plan, Iterable) and not isinstance(plan, str | bytes)
    phases = tuple(plan) if several and not isinstance(plan, Phase) else (plan,)
    if not phases or not all(isinstance(phase, Phase) for phase in phases):
        raise InputError(f"plan = {shown(plan)}: allowed is a non-empty list of SGD(…) and SAM(…)")
    return typing.cast(tuple[Phase, ...], phases)
