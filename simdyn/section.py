"""Fields of one parameter class as a study gives them: constants and formulas."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from simdyn.axes import as_float, whole
from simdyn.formula import names_in
from simdyn.inputs import InputError, is_plain_number, nearest, shown
from simdyn.params import Parameters

Fields = dict[str, Any]


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
