"""Formulas evaluated in the fields of one point."""

from collections.abc import Iterator, Mapping
from typing import Any

from simdyn.formula import evaluate
from simdyn.inputs import InputError
from simdyn.section import Fields, Section


class LocatedError(InputError):
    """An error that already names its field."""


class Scope(Mapping[str, float]):
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
            raise LocatedError(f"{where} = {value!r}: the formula needs its own value")
        self.busy.append(name)
        try:
            result = evaluate(value, self)
        except LocatedError:
            raise
        except InputError as problem:
            raise LocatedError(f"{where} = {problem}") from None
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
