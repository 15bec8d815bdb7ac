"""Fields of one parameter class as a study gives them: constants and formulas."""

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simdyn.base.formula import names_in
from simdyn.base.inputs import InputError, as_float, is_plain_number, nearest, shown
from simdyn.params import Data, Parameters, Phase, SignalNoiseData, check_model, check_optimiser
from simdyn.params.schedule import changes, read_by
from simdyn.space.axes import as_integer

Fields = dict[str, Any]
MAX_PHASES = 1000  # of a method: each is made anew for each point


@functools.cache
def numbers_of(owner: type[Parameters]) -> frozenset[str]:
    """Fields that hold numbers. To ask a class is slow, and each point asks."""
    return frozenset(filter(owner.is_number, owner.model_fields))


@functools.cache
def integers_of(owner: type[Parameters]) -> frozenset[str]:
    """Fields that hold integers."""
    return frozenset(filter(owner.is_integer, owner.model_fields))


@dataclasses.dataclass(frozen=True)
class Section:
    """Fields of one parameter class as they stand in a study: constants and formulas."""

    where: str  # "data", "network" or "methods.NAME.K"
    owner: type[Parameters]
    fields: Fields

    @classmethod
    def make(cls, where: str, owner: type[Parameters], fields: Any) -> "Section":
        """Check names, and bring constants to one form: int for integer fields, else float."""
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
                (read_by if owner.is_schedule(name) else names_in)(value)
            except InputError as problem:
                raise InputError(f"{where}.{name} = {problem}") from None
            return value
        if is_plain_number(value) and owner.is_number(name):
            number = as_float(value)
            if not math.isfinite(number):
                raise InputError(
                    f"{where}.{name} = {shown(value)}: allowed is {owner.allowed(name)}"
                )
            return as_integer(value) if owner.is_integer(name) else number + 0.0
        if not isinstance(value, str | bool | int | float) and not (
            value is None and owner.is_optional(name)
        ):
            raise InputError(f"{where}.{name} = {shown(value)}: allowed is {owner.allowed(name)}")
        return value

    @property
    def numbers(self) -> frozenset[str]:
        """Fields that hold numbers."""
        return numbers_of(self.owner)

    @property
    def integers(self) -> frozenset[str]:
        """Fields that hold integers."""
        return integers_of(self.owner)

    @property
    def formulas(self) -> dict[str, str]:
        """Fields that a formula gives."""
        return {
            name: value
            for name, value in self.fields.items()
            if isinstance(value, str) and name in self.numbers
        }

    @property
    def schedules(self) -> frozenset[str]:
        """Fields that change during training, by a formula of the epoch and the update."""
        texts = self.formulas.items()
        return frozenset(n for n, text in texts if self.owner.is_schedule(n) and changes(text))

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


def data_section(data: Any) -> Section:
    """The law of the data; a table names its model, or has its class; by default the paper's."""
    if isinstance(data, Data):
        return Section.make("data", type(data), data)
    fields = dict(data) if isinstance(data, Mapping) else data
    owner: type[Data] = SignalNoiseData
    if isinstance(fields, dict) and "model" in fields:
        model = fields.pop("model")
        is_law = isinstance(model, type) and issubclass(model, Data)
        owner = model if is_law else check_model("data.model", model)
    return Section.make("data", owner, fields)


def phase_sections(method: str, plan: Any) -> list[Section]:
    """The phases of one method; one phase stands for a list of one."""
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
    if len(plan) > MAX_PHASES:
        raise InputError(
            f"{where}: {len(plan):,} phases; allowed are {MAX_PHASES:,}. A learning rate that "
            "changes can be a formula of epoch and update"
        )
    sections = []
    for k, phase in enumerate(plan):
        if isinstance(phase, Phase):
            sections.append(Section.make(f"{where}.{k}", type(phase), phase))
            continue
        if not isinstance(phase, Mapping):
            raise InputError(f"{where}.{k} = {shown(phase)}: allowed is a table with `optimiser`")
        fields = dict(phase)
        optimiser = fields.pop("optimiser", None)
        owner = check_optimiser(f"{where}.{k}.optimiser", optimiser)
        sections.append(Section.make(f"{where}.{k}", owner, fields))
    return sections
