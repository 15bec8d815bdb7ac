"""The space of a study: axes of swept fields, and the parameters at each of its points."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from simdyn.axes import axis_values
from simdyn.formula import CONSTANTS, FUNCTIONS, names_in
from simdyn.inputs import InputError, nearest, shown
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
from simdyn.scope import Scope
from simdyn.section import Section

RESERVED = ("method", "replicate", "step", "sign", "filter", "sample", "vector", "update")


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
            shared = Scope([self.data, self.net], here, named)
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
        scope = Scope([self.data, self.net, section], here, named)
        phase = section.owner(**scope.values_of(section))
        assert isinstance(phase, Phase)
        return phase
