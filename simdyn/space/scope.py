"""Names that formulas read: the fields of some sections, at one point or at many."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from simdyn.base.formula import evaluate
from simdyn.base.inputs import InputError
from simdyn.params.schedule import read_by, substituted
from simdyn.space.columns import NOWHERE, Column, column, evaluate_column
from simdyn.space.sections import Fields, Section

T = TypeVar("T")
ROUNDING = 1e-9  # how far a formula for an integer may lie beside it, relatively


class LocatedError(InputError):
    """An error that already names its field."""


class Parts(NamedTuple):
    """What makes the parameters of one section."""

    fixed: Fields  # constants
    swept: dict[str, str]  # field: axis
    formulas: list[str]  # fields that a formula gives
    depends_on: list[str]  # all axes that any field depends on


class Frame:
    """Fields of some sections before a point is chosen: constants, formulas, and what is swept.

    Parameters
    ----------
    sections : sequence of Section
    set_by : dict of (where, field) to str
        The axis that sets a field.
    named : sequence of str
        Axes that formulas read under their own names.
    parent : Frame, optional
        Where names are looked up that are not here. Its own formulas read nothing of this one.
    """

    def __init__(
        self,
        sections: Sequence[Section],
        set_by: Mapping[tuple[str, str], str],
        named: Sequence[str] = (),
        parent: "Frame | None" = None,
    ) -> None:
        self.named, self.parent = tuple(named), parent
        self.fixed: Fields = {}
        self.swept: dict[str, str] = {}  # field: axis
        self.formulas: dict[str, str] = {}
        self.home: dict[str, Section] = {}
        self.schedules = frozenset().union(*(section.schedules for section in sections))
        for section in sections:
            formulas = section.formulas
            for name in section.owner.model_fields:
                value, axis = section.fields.get(name), set_by.get((section.where, name))
                if value is None and axis is None and name != "batch_size":
                    continue
                self.home[name] = section
                if axis is not None:
                    self.swept[name] = axis
                elif name in formulas:
                    self.formulas[name] = formulas[name]
                else:
                    self.fixed[name] = value
        self.numbers = {name: None for name, at in self.home.items() if name in at.numbers}

    def of(self, section: Section) -> Parts:
        """What makes the parameters of one section."""
        here = [name for name, home in self.home.items() if home is section]
        depends_on = set().union(*map(self.depends_on, here))
        return Parts(
            {name: self.fixed[name] for name in here if name in self.fixed},
            {name: self.swept[name] for name in here if name in self.swept},
            [name for name in here if name in self.formulas],
            sorted(depends_on),
        )

    def depends_on(self, name: str, seen: frozenset[str] = frozenset()) -> set[str]:
        """The axes that a name's value depends on, through formulas too."""
        if name in self.named:
            return {name}
        if name in seen:  # a formula that needs its own value has none
            return set()
        if name not in self.home:
            return self.parent.depends_on(name) if self.parent is not None else set()
        if name in self.swept:
            return {self.swept[name]}
        seen |= {name}
        if name in self.formulas:
            read = read_by(self.formulas[name])
            return set().union(*(self.depends_on(other, seen) for other in read))
        return self.depends_on("n_samples", seen) if self.fixed[name] is None else set()


class Lookup(Mapping[str, T]):
    """Names as numbers, formulas evaluated when they are read, and once."""

    def __init__(
        self, frame: Frame, swept: Mapping[str, Any], parent: "Lookup[T] | None" = None
    ) -> None:
        self.frame, self.swept, self.parent = frame, swept, parent
        self.known: dict[str, Any] = {}
        self.busy: list[str] = []

    def __iter__(self) -> Iterator[str]:
        if self.parent is not None:
            yield from self.parent
        yield from self.frame.named
        yield from self.frame.numbers

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        here = name in self.frame.named or name in self.frame.numbers
        return here or (self.parent is not None and name in self.parent)

    def __getitem__(self, name: str) -> T:
        if name in self.frame.named:
            return self.number(self.swept[name])
        if name not in self.frame.home and self.parent is not None:
            return self.parent[name]
        value = self.resolve(name)
        if value is None:  # no batch_size: the full batch
            return self["n_samples"]
        return self.number(value)

    def resolve(self, name: str) -> Any:
        """The value of a field, its formula evaluated."""
        frame = self.frame
        if name in frame.fixed:
            return frame.fixed[name]
        if name in frame.swept:
            return self.swept[frame.swept[name]]
        if name not in self.known:
            if name in self.busy:
                return self.circular(name)
            self.busy.append(name)
            try:
                self.known[name] = self.evaluated(name)
            finally:
                self.busy.pop()
        return self.known[name]

    @abstractmethod
    def number(self, value: Any) -> T:
        """A value as formulas read it."""

    @abstractmethod
    def evaluated(self, name: str) -> Any:
        """The value of a field with a formula."""

    @abstractmethod
    def circular(self, name: str) -> Any:
        """What a formula gets that needs its own value."""


class Scope(Lookup[float]):
    """Names at one point."""

    def number(self, value: Any) -> float:
        """A value in double precision."""
        return float(value)

    def _where(self, name: str) -> str:
        return f"{self.frame.home[name].where}.{name}"

    def circular(self, name: str) -> Any:
        """Refuse it."""
        raise LocatedError(
            f"{self._where(name)} = {self.frame.formulas[name]!r}: the formula needs its own value"
        )

    def evaluated(self, name: str) -> float | int | str:
        """The value of a field with a formula; an integer if it holds integers.

        A schedule stays a formula, of the epoch and the update alone.
        """
        text = self.frame.formulas[name]
        try:
            if name in self.frame.schedules:
                return substituted(text, self)
            result = evaluate(text, self)
        except LocatedError:
            raise
        except InputError as problem:
            raise LocatedError(f"{self._where(name)} = {problem}") from None
        if name not in self.frame.home[name].integers:
            return result
        if abs(result - round(result)) > ROUNDING * max(1.0, abs(result)):
            raise InputError(
                f"{self._where(name)} = {text!r} gives {result!r}: allowed is an integer; use "
                "round(), floor() or ceil()"
            )
        return round(result)


class Columns(Lookup[Column]):
    """Names at many points at once; an axis is an array, and they broadcast together."""

    def number(self, value: Any) -> Column:
        """A value in double precision."""
        values, ok = value if isinstance(value, Column) else column(value)
        return Column(np.asarray(values, dtype=np.float64), ok)

    def circular(self, name: str) -> Column:
        """No value anywhere."""
        return NOWHERE

    def evaluated(self, name: str) -> Column:
        """The values of a field with a formula, rounded if it holds integers."""
        if name in self.frame.schedules:
            return NOWHERE
        values, ok = evaluate_column(self.frame.formulas[name], self)
        if name not in self.frame.home[name].integers:
            return Column(values, ok)
        with np.errstate(invalid="ignore"):
            near = np.rint(values) + 0.0
            off = abs(values - near) > ROUNDING * np.maximum(1.0, abs(values))
        return Column(near, ok & ~off)
