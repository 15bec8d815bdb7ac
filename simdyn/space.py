"""The space of a study: axes of swept fields, and the parameters at each of its points."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from simdyn.axes import as_float, axis_values, whole
from simdyn.formula import CONSTANTS, FUNCTIONS, evaluate, names_in
from simdyn.inputs import InputError, is_plain_number, nearest, shown
from simdyn.params import (
    Data,
    Parameters,
    Phase,
    Real,
    SignalNoiseData,
    TwoLayerCNN,
    check_model,
    check_optimiser,
    described,
)
from simdyn.schema import VARIABLES

Fields = dict[str, Any]
RESERVED = ("method", "replicate", "step", "sign", "filter", "sample", "vector", "update")


@dataclasses.dataclass(frozen=True)
class Section:
    """Fields of one parameter class as they stand in a study: constants and formulas."""

    where: str  # "data", "network" or "methods.NAME.K"
    owner: type[Parameters]
    fields: Fields

    @classmethod
    def make(cls, where: str, owner: type[Parameters], fields: Any) -> "Section":
        """Check names, and bring constants to one form: int where integers are due, else float."""
        if isinstance(fields, Parameters):
            if not isinstance(fields, owner):
                raise InputError(f"{where} = {shown(fields)}: allowed is {owner.__name__}(…)")
            fields = fields.model_dump()
        if not isinstance(fields, Mapping):
            raise InputError(
                f"{where} = {shown(fields)}: allowed is a table of {owner.__name__} fields"
            )
        for name, value in fields.items():
            if name not in owner.model_fields:
                hint = nearest(str(name), owner.model_fields)
                raise InputError(f"{where}.{name} = {shown(value)}: no such field; {hint}")
        given = {
            name: fields.get(name, info.default)
            for name, info in owner.model_fields.items()
            if name in fields or not info.is_required()
        }
        return cls(where, owner, {n: cls._plain(where, owner, n, v) for n, v in given.items()})

    @staticmethod
    def _plain(where: str, owner: type[Parameters], name: str, value: Any) -> Any:
        """A constant in its one form, or a formula."""
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str) and owner.is_number(name):
            try:
                names_in(value)
            except InputError as problem:
                raise InputError(f"{where}.{name} = {problem}") from None
            return value
        if is_plain_number(value) and owner.is_number(name):
            number = as_float(value)
            if not math.isfinite(number):
                raise InputError(
                    f"{where}.{name} = {shown(value)}: allowed is {owner.allowed(name)}"
                )
            return whole(value) if owner.is_whole(name) else number + 0.0
        if not isinstance(value, str | bool | int | float) and not (
            value is None and owner.is_optional(name)
        ):
            raise InputError(f"{where}.{name} = {shown(value)}: allowed is {owner.allowed(name)}")
        return value

    @property
    def essential(self) -> Fields:
        """The fields that do not have their defaults, sorted by name."""
        known = self.owner.model_fields
        return {
            name: value
            for name, value in sorted(self.fields.items())
            if known[name].is_required() or value != known[name].default
        }

    def label(self, name: str) -> str:
        """The field's full name, as messages and axes give it."""
        return f"{self.where.removeprefix('methods.')}.{name}"


class Named(Parameters):
    """A swept number that is no field: formulas read it under the axis's own name."""

    value: Real = described(0.0, "", "", "a finite number")


@dataclasses.dataclass(frozen=True)
class Point:
    """The parameters at one place of the space."""

    data: Data
    net: TwoLayerCNN
    plans: tuple[tuple[Phase, ...], ...]  # one for each method


class Space:
    """All points of a study, made one by one when asked for.

    An axis bears the name of a field, which it sets wherever that occurs; or another name that
    formulas read.

    Attributes
    ----------
    axes : dict of str to ndarray
        Swept values by name; the names are the dims of the grid, in this order.
    methods : tuple of str
    """

    def __init__(
        self, data: Any, net: Any, methods: Mapping[str, Sequence[Any]], axes: Mapping[str, Any]
    ) -> None:
        self.data = self._data(data)
        self.net = Section.make("network", TwoLayerCNN, net)
        self.phases = {name: self._phases(name, plan) for name, plan in methods.items()}
        self.methods = tuple(self.phases)
        self.owners = {name: self._owners(name) for name in axes}
        self._check_overlap()
        self.axes = {
            name: axis_values(name, given, *self.kind(name)) for name, given in axes.items()
        }
        self._check_names()

    @staticmethod
    def _data(data: Any) -> Section:
        """The law of the data; a table names its model, the paper's where it does not."""
        if isinstance(data, Data):
            return Section.make("data", type(data), data)
        fields = dict(data) if isinstance(data, Mapping) else data
        owner: type[Data] = SignalNoiseData
        if isinstance(fields, dict) and "model" in fields:
            owner = check_model("data.model", fields.pop("model"))
        return Section.make("data", owner, fields)

    @staticmethod
    def _phases(method: str, plan: Any) -> list[Section]:
        if not isinstance(method, str) or not re.fullmatch(r"\w[\w +.-]*", method):
            raise InputError(
                f"methods: the name {shown(method)}: allowed are letters, digits, '_', '+', '-', "
                "'.' and blanks, a letter or digit first"
            )
        where = f"methods.{method}"
        if isinstance(plan, Phase | Mapping):
            plan = [plan]
        if isinstance(plan, str) or not isinstance(plan, Sequence) or not plan:
            raise InputError(f"{where} = {shown(plan)}: allowed is a non-empty list of phases")
        sections = []
        for k, phase in enumerate(plan):
            if isinstance(phase, Phase):
                sections.append(Section.make(f"{where}.{k}", type(phase), phase))
                continue
            if not isinstance(phase, Mapping):
                raise InputError(
                    f"{where}.{k} = {shown(phase)}: allowed is a table with `optimiser`"
                )
            fields = dict(phase)
            optimiser = fields.pop("optimiser", None)
            owner = check_optimiser(f"{where}.{k}.optimiser", optimiser)
            sections.append(Section.make(f"{where}.{k}", owner, fields))
        return sections

    @property
    def sections(self) -> list[Section]:
        """Data, network, and every phase of every method."""
        return [self.data, self.net, *(s for plan in self.phases.values() for s in plan)]

    @property
    def swept_fields(self) -> set[str]:
        """Fields that an axis sets somewhere."""
        return {field for owners in self.owners.values() for _, field in owners}

    @property
    def formula_fields(self) -> set[str]:
        """Fields that a formula gives somewhere."""
        return {
            name
            for section in self.sections
            for name, value in section.fields.items()
            if isinstance(value, str) and section.owner.is_number(name)
        }

    def _owners(self, name: str) -> list[tuple[Section, str]]:
        """Which fields a swept name sets."""
        if name in RESERVED or name in VARIABLES:
            raise InputError(f"space.{name}: the name is reserved for the results")
        found = [
            (section, field)
            for section in self.sections
            for field in section.owner.model_fields
            if name in (field, section.label(field))
        ]
        if any(section.owner.is_flag(field) for section, field in found):
            raise InputError(
                f"space.{name}: a field that is true or false cannot be swept; give each its method"
            )
        if not found and name in self._read_by_formulas():
            if name in FUNCTIONS or name in CONSTANTS:
                raise InputError(
                    f"space.{name}: the name has a meaning in formulas; choose another"
                )
            return []
        if not found:
            known = {f for s in self.sections for f in s.owner.model_fields}
            raise InputError(f"space.{name}: no such field; {nearest(name, sorted(known))}")
        return found

    def _read_by_formulas(self) -> set[str]:
        """Every name in the study's formulas."""
        return set().union(
            *(
                names_in(value)
                for section in self.sections
                for name, value in section.fields.items()
                if isinstance(value, str) and section.owner.is_number(name)
            )
        )

    def _check_overlap(self) -> None:
        """An axis must set something that no more special name sets."""
        set_by = {
            (section.where, field): name
            for name in sorted(self.owners, key=lambda name: "." in name)
            for section, field in self.owners[name]
        }
        for name in self.owners:
            if self.owners[name] and name not in set_by.values():
                section, field = self.owners[name][0]
                other = set_by[section.where, field]
                raise InputError(f"space.{name}: has no effect, '{other}' sets all it names")

    def kind(self, name: str) -> tuple[type[Parameters], str]:
        """The class and field that say what an axis may hold and what it means."""
        if not self.owners[name]:
            return Named, "value"
        section, field = self.owners[name][0]
        return section.owner, field

    def _check_names(self) -> None:
        """Every formula must read fields that exist, and every required field must be set."""
        swept = {(s.where, field) for owners in self.owners.values() for s, field in owners}
        for section in self.sections:
            for name, info in section.owner.model_fields.items():
                missing = name not in section.fields and (section.where, name) not in swept
                if info.is_required() and missing:
                    raise InputError(
                        f"{section.where}.{name} is missing; allowed is "
                        f"{section.owner.allowed(name)}"
                    )
            scope = self._numeric_names(section)
            for name, value in section.fields.items():
                if not isinstance(value, str) or not section.owner.is_number(name):
                    continue
                for used in sorted(names_in(value)):
                    if used not in scope:
                        raise InputError(
                            f"{section.where}.{name} = {value!r}: no field '{used}'; "
                            f"{nearest(used, sorted(scope))}"
                        )

    def _numeric_names(self, section: Section) -> set[str]:
        sections = {s.where: s for s in (self.data, self.net, section)}.values()
        fields = {f for s in sections for f in s.owner.model_fields if s.owner.is_number(f)}
        return fields | {name for name, owners in self.owners.items() if not owners}

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values on each axis."""
        return tuple(values.size for values in self.axes.values())

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    def indices(self) -> Iterator[tuple[int, ...]]:
        """Index of every point, the last axis fastest."""
        return np.ndindex(*self.shape)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Grid dims and the axes along each."""
        return {name: (name,) for name in self.axes}

    def wanted(self, index: Sequence[int]) -> bool:
        """Is the point to be computed?"""
        return True

    def place(self, index: Sequence[int]) -> str:
        """Where a point lies, as the end of a message; nothing where nothing is swept."""
        told = ", ".join(
            f"{name} = {values[i].item()}"
            for (name, values), i in zip(self.axes.items(), index, strict=True)
        )
        return f" (at {told})" if told else ""

    def point(self, index: Sequence[int]) -> Point:
        """The parameters of one point.

        Raises
        ------
        InputError
            Where they are not allowed; the message says at which point.
        """
        swept = {
            name: values[i].item()
            for (name, values), i in zip(self.axes.items(), index, strict=True)
        }
        here = {
            (section.where, field): swept[name]
            for name in sorted(swept, key=lambda name: "." in name)
            for section, field in self.owners[name]
        }
        try:
            named = {name: swept[name] for name, owners in self.owners.items() if not owners}
            shared = _Scope([self.data, self.net], here, named)
            data = self.data.owner(**shared.values_of(self.data))
            assert isinstance(data, Data)
            net = TwoLayerCNN(**shared.values_of(self.net))
            plans = tuple(
                tuple(self._phase(section, here, named) for section in plan)
                for plan in self.phases.values()
            )
            for plan in plans:
                for phase in plan:
                    phase.updates_per_epoch(data.n_samples)
        except InputError as problem:
            raise InputError(f"{problem}{self.place(index)}") from None
        return Point(data, net, plans)

    def _phase(
        self, section: Section, here: Mapping[tuple[str, str], Any], named: Mapping[str, float]
    ) -> Phase:
        scope = _Scope([self.data, self.net, section], here, named)
        phase = section.owner(**scope.values_of(section))
        assert isinstance(phase, Phase)
        return phase


class _LocatedError(InputError):
    """An error that already names its field."""


class _Scope(Mapping[str, float]):
    """Field names of some sections as numbers, formulas evaluated when they are read."""

    def __init__(
        self, sections: list[Section], here: Mapping[tuple[str, str], Any],
        named: Mapping[str, float],
    ) -> None:  # fmt: skip
        self.named = named
        self.fields: Fields = {}
        self.home: dict[str, Section] = {}
        for section in sections:
            for name in section.owner.model_fields:
                value = here.get((section.where, name), section.fields.get(name))
                if value is not None or name == "batch_size":
                    self.fields[name], self.home[name] = value, section
        self.busy: list[str] = []

    def __iter__(self) -> Iterator[str]:
        yield from self.named
        yield from (name for name in self.fields if self.home[name].owner.is_number(name))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        if name in self.named:
            return True
        return name in self.fields and self.home[str(name)].owner.is_number(str(name))

    def __getitem__(self, name: str) -> float:
        if name in self.named:
            return self.named[name]
        value = self.resolve(name)
        if value is None and name == "batch_size":
            return self["n_samples"]
        return float(value)

    def resolve(self, name: str) -> Any:
        """The value of a field, its formula evaluated."""
        value, section = self.fields[name], self.home[name]
        if not isinstance(value, str) or not section.owner.is_number(name):
            return value
        where = f"{section.where}.{name}"
        if name in self.busy:
            raise _LocatedError(f"{where} = {value!r}: the formula needs its own value")
        self.busy.append(name)
        try:
            result = evaluate(value, self)
        except _LocatedError:
            raise
        except InputError as problem:
            raise _LocatedError(f"{where} = {problem}") from None
        finally:
            self.busy.pop()
        if not section.owner.is_whole(name):
            return result
        if abs(result - round(result)) > 1e-9 * max(1.0, abs(result)):
            raise InputError(
                f"{where} = {value!r} gives {result!r}: allowed is an integer; use round(), "
                "floor() or ceil()"
            )
        return round(result)

    def values_of(self, section: Section) -> Fields:
        """All fields of one section, as its parameter class takes them."""
        return {name: self.resolve(name) for name, home in self.home.items() if home is section}
