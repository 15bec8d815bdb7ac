"""Frozen, validated parameter classes: data, network, phases of training, and what to record."""

import math
import typing
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from simdyn.inputs import InputError, is_plain_number, nearest, shown

MAX_DIMENSION = 2**53  # beyond, d is not exact in float64
MAX_UPDATES, MAX_STATES = 2**62, 2**24


def _plain_number(value: Any) -> Any:
    """Refuse everything but int and float where a number is due; unwrap NumPy scalars."""
    if isinstance(value, np.generic):
        value = value.item()
    if not is_plain_number(value):
        raise ValueError("not a number")
    return value


Real = Annotated[float, BeforeValidator(_plain_number)]
Whole = Annotated[int, BeforeValidator(_plain_number)]


def _field(default: Any, symbol: str, meaning: str, allowed: str, **limits: Any) -> Any:
    return Field(
        default,
        description=meaning,
        json_schema_extra={"symbol": symbol, "allowed": allowed},
        **limits,
    )


def _required(symbol: str, meaning: str, allowed: str, **limits: Any) -> Any:
    return _field(PydanticUndefined, symbol, meaning, allowed, **limits)


def _types_in(annotation: Any) -> set[Any]:
    """The plain types an annotation is made of."""
    inner = typing.get_args(annotation)
    return set().union(*map(_types_in, inner)) if inner else {annotation}


class Parameters(BaseModel):
    """Base of all parameter classes: immutable, compared by value, no unknown fields.

    Raises
    ------
    InputError
        One line for the first field that is wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, *positional: Any, **fields: Any) -> None:
        if positional:
            names = ", ".join(f"{name}=…" for name in type(self).model_fields)
            raise InputError(f"{type(self).__name__}: fields go by name: {names}")
        try:
            super().__init__(**fields)
        except ValidationError as problem:
            raise InputError(self._explain(problem, fields)) from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse: parameters are immutable."""
        raise InputError(
            f"{type(self).__name__}.{name} cannot be changed; "
            f"x.replace({name}=…) makes a changed copy"
        )

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked like any other."""
        return type(self)(**{**self.model_dump(), **changes})

    @classmethod
    def _explain(cls, problem: ValidationError, fields: dict[str, Any]) -> str:
        # A misspelt name leaves its field missing too: speak of the spelling.
        error = min(problem.errors(), key=lambda e: e["type"] != "extra_forbidden")
        name = str(error["loc"][0]) if error["loc"] else ""
        where = f"{cls.__name__}.{name}"
        if error["type"] == "extra_forbidden":
            return f"{where}: no such field; {nearest(name, cls.model_fields)}"
        if name in cls.model_fields and name not in fields:
            return f"{where} is missing; allowed is {cls.allowed(name)}"
        if not name:
            return f"{cls.__name__}: {error['msg'].removeprefix('Value error, ')}"
        return f"{where} = {shown(fields[name])}: allowed is {cls.allowed(name)}"

    @classmethod
    def allowed(cls, name: str) -> str:
        """What a field may hold, in words."""
        extra = cls.model_fields[name].json_schema_extra
        return str(extra["allowed"]) if isinstance(extra, dict) else "another value"

    @classmethod
    def symbol(cls, name: str) -> str:
        """The paper's symbol of a field."""
        extra = cls.model_fields[name].json_schema_extra
        return str(extra["symbol"]) if isinstance(extra, dict) else name

    @classmethod
    def is_whole(cls, name: str) -> bool:
        """Does the field hold integers?"""
        return int in _types_in(cls.model_fields[name].annotation)

    @classmethod
    def is_optional(cls, name: str) -> bool:
        """May the field be None?"""
        return type(None) in _types_in(cls.model_fields[name].annotation)

    @classmethod
    def is_number(cls, name: str) -> bool:
        """Does the field hold numbers?"""
        return bool({int, float} & _types_in(cls.model_fields[name].annotation))


class SignalNoiseData(Parameters):
    """Patches of signal and noise: one patch ŷμ and P − 1 copies of a noise vector ξ.

    Parameters
    ----------
    n_samples : int ≥ 1
        Training samples n.
    dimension : int, 1 … 2⁵³
        Dimension d of a patch. No array of that size is ever formed.
    signal_norm : float ≥ 0
        Length ‖μ‖ of the signal.
    noise_std : float ≥ 0
        Standard deviation σ_p of each noise coordinate.
    n_patches : int ≥ 2
        Patches P of a sample.
    label_flip : float, 0 ≤ p < 1/2
        Probability that the observed label is not the true one.
    noise : {"isotropic", "orthogonal"}
        ξ ~ N(0, σ_p² I), or N(0, σ_p² (I − μμᵀ/‖μ‖²)), which has no component along the signal.

    Notes
    -----
    The data model of Chen et al., NeurIPS 2023 (arXiv 2310.07269), as recalled.
    """

    n_samples: Whole = _required(
        "n", "training samples", "an integer from 1 to 2**31", ge=1, le=2**31
    )
    dimension: Whole = _required(
        "d", "dimension of a patch", "an integer from 1 to 2**53", ge=1, le=MAX_DIMENSION
    )
    signal_norm: Real = _required("‖μ‖", "signal norm", "a finite number ≥ 0", ge=0)
    noise_std: Real = _field(1.0, "σ_p", "noise standard deviation", "a finite number ≥ 0", ge=0)
    n_patches: Whole = _field(
        2, "P", "patches of a sample", "an integer from 2 to 2**31", ge=2, le=2**31
    )
    label_flip: Real = _field(
        0.0, "p", "label flip probability", "a number from 0 to below 0.5", ge=0, lt=0.5
    )
    noise: Literal["isotropic", "orthogonal"] = _field(
        "isotropic", "", "law of the noise", '"isotropic" or "orthogonal"'
    )


class TwoLayerCNN(Parameters):
    """f = F₊₁ − F₋₁ with F_j(x) = (1/m) Σ_r Σ_p σ(⟨w_{j,r}, x^(p)⟩): m filters for each sign j.

    Parameters
    ----------
    n_filters : int ≥ 1
        Filters m of each sign.
    init_std : float ≥ 0
        Standard deviation σ_0 of the initial weights.
    activation : {"relu"}
        σ(z) = max(z, 0), with σ'(0) = 0.
    """

    n_filters: Whole = _required(
        "m", "filters of each sign", "an integer from 1 to 2**20", ge=1, le=2**20
    )
    init_std: Real = _required("σ_0", "initial standard deviation", "a finite number ≥ 0", ge=0)
    activation: Literal["relu"] = _field("relu", "σ", "activation", '"relu"')


class Phase(Parameters):
    """A stretch of training with one optimiser."""

    learning_rate: Real = _required("η", "learning rate", "a finite number > 0", gt=0)
    epochs: Whole = _required("", "epochs", "an integer from 0 to 2**53", ge=0, le=MAX_DIMENSION)
    batch_size: Whole | None = _field(
        None, "B", "batch size", "an integer from 1 to n_samples, or none for the full batch", ge=1
    )
    last_batch: Literal["refuse", "drop", "keep"] = _field(
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
    radius: Real = _required("τ", "perturbation radius", "a finite number ≥ 0", ge=0)

    @property
    def perturbation(self) -> float:
        """The radius τ of the perturbation."""
        return self.radius


OPTIMISERS: dict[str, type[Phase]] = {"SGD": SGD, "SAM": SAM}

DEFAULT_DRAWS = {"line": 128, "counted": 1000, "radial": 1000}


class Record(Parameters):
    """What is recorded, and when. The initial state is step 0; the last state is always recorded.

    Parameters
    ----------
    every : int ≥ 1, optional
        Record each multiple of this many units. Where neither `every` nor `log_spaced` is given,
        `simulate` and `train` record every epoch, a study only the last state.
    unit : {"epoch", "step"}
        What `every` counts: passes over the data or parameter updates.
    log_spaced : int ≥ 2, optional
        Record about this many states instead, spaced evenly in the logarithm of the update.
    variables : tuple of str, optional
        Names of what to record; `None` records what the call records by default.
    weights : bool
        For explicit data: record the weights themselves.
    test_estimator : {"line", "counted", "radial"}
        How the test error on fresh samples is estimated (see `simdyn.kernels.risk`).
    test_draws : int, 4 … 2²⁷, optional
        Random draws for each estimate: lines (default 128), or points or rays (1000).
    probe_radius : float ≥ 0, optional
        τ of the perturbation behind `sam_gap` and `deactivated_fraction`. Where absent that of the
        phase which made the last update; it is 0 in a phase of SGD, and so are they.
    """

    every: Whole | None = _field(
        None, "", "recording interval", "an integer from 1 to 2**53", ge=1, le=MAX_DIMENSION
    )
    unit: Literal["epoch", "step"] = _field("epoch", "", "unit", '"epoch" or "step"')
    log_spaced: Whole | None = _field(
        None, "", "states, log-spaced", "an integer from 2 to 2**20", ge=2, le=2**20
    )
    variables: tuple[str, ...] | None = _field(
        None, "", "variables", "a list of names of variables"
    )
    weights: bool = _field(False, "", "record weights", "true or false")
    test_estimator: Literal["line", "counted", "radial"] = _field(
        "line", "", "estimator of the test error", '"line", "counted" or "radial"'
    )
    test_draws: Whole | None = _field(
        None, "", "draws for each test error", "an integer from 4 to 2**27", ge=4, le=2**27
    )

    probe_radius: Real | None = _field(None, "τ", "probed radius", "a finite number ≥ 0", ge=0)

    @property
    def probed(self) -> float:
        """The probed radius as kernels take it: −1 for that of the phase."""
        return -1.0 if self.probe_radius is None else self.probe_radius

    @property
    def draws(self) -> int:
        """Random draws for each test error."""
        return self.test_draws or DEFAULT_DRAWS[self.test_estimator]

    def updates(self, plan: typing.Sequence[Phase], n_samples: int, default: str) -> np.ndarray:
        """Numbers of updates after which a plan is recorded.

        Parameters
        ----------
        plan : sequence of Phase
        n_samples : int
        default : {"epoch", "last"}
            What to record where neither `every` nor `log_spaced` is given.

        Returns
        -------
        (T,) int64, increasing
        """
        per_epoch = [phase.updates_per_epoch(n_samples) for phase in plan]
        last = sum(phase.epochs * k for phase, k in zip(plan, per_epoch, strict=True))
        if last > MAX_UPDATES:
            raise InputError(f"epochs: the plan makes {last:.3g} updates; allowed are up to 2**62")
        if self.log_spaced is not None:
            if self.every is not None:
                raise InputError("Record: every and log_spaced are given; allowed is one of them")
            spaced = np.geomspace(1, max(last, 1), self.log_spaced - 1).round().astype(np.int64)
            return np.unique(np.concatenate([[0], spaced[spaced <= last], [last]]))
        if self.every is None and default == "last":
            return np.array([last], dtype=np.int64)
        every = self.every or 1
        length = last if self.unit == "step" else sum(phase.epochs for phase in plan)
        if length // every > MAX_STATES:
            raise InputError(
                f"Record would keep {length // every:.3g} states; allowed are up to 2**24: use "
                "every or log_spaced"
            )
        if self.unit == "step":
            return np.unique(np.append(np.arange(0, last + 1, every), last))
        epochs = np.arange(0, sum(phase.epochs for phase in plan) + 1, every)
        updates, begun = np.zeros_like(epochs), 0
        for phase, k in zip(plan, per_epoch, strict=True):
            updates += k * np.clip(epochs - begun, 0, phase.epochs)
            begun += phase.epochs
        return np.unique(np.append(updates, last))


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


class Figure(Parameters):
    """The picture of a study.

    Parameters
    ----------
    kind : {"phase_diagram"}
        One map for each method, and one of their difference.
    x, y : str
        Swept parameters on the axes.
    variable : str
        What is drawn: its mean over replicates in the last state.
    compare : tuple of two str, optional
        Methods of which the first minus the second is drawn; the study's first two where absent.
    level : float
        Contour level.
    hatch_loss : float
        Cells whose mean training loss is this or more are hatched.
    """

    kind: Literal["phase_diagram"] = _field(
        "phase_diagram", "", "kind of figure", '"phase_diagram"'
    )
    x: str = _field("dimension", "", "horizontal axis", "a swept parameter")
    y: str = _field("signal_norm", "", "vertical axis", "a swept parameter")
    variable: str = _field("test_error", "", "variable drawn", "a recorded scalar variable")
    compare: tuple[str, str] | None = _field(None, "", "methods compared", "two names of methods")
    level: Real = _field(0.1, "", "contour level", "a finite number")
    hatch_loss: Real = _field(0.05, "", "hatched from this training loss", "a finite number")
