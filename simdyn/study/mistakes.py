"""All mistakes in the tables of a study file, a line each, and not only the first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from simdyn.base.inputs import InputError, check_replicates, check_seed, nearest
from simdyn.params import (
    MODELS,
    PICTURES,
    Crossing,
    Parameters,
    Record,
    Refinement,
    SignalNoiseData,
    TwoLayerCNN,
    check_model,
    check_optimiser,
)
from simdyn.params.schedule import read_by
from simdyn.space.axes import RULES
from simdyn.space.sections import Section
from simdyn.space.zips import is_label

MOST = 20  # that are named


def mistakes(tables: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    """What is wrong with single fields: their names, and values that they may not hold.

    Each field is looked at by itself. What several have to agree on, such as a formula and the
    names in it, is not looked at.

    Parameters
    ----------
    tables : mapping
        Of a study file.
    known : sequence of str
        Tables that there may be.
    """
    of_tables = [key for key in known if key not in ("seed", "replicates")]
    if not all(isinstance(tables.get(key, {}), Mapping) for key in of_tables):
        return []  # what else there is would not be the cause
    found = list(dict.fromkeys(_Tables(tables).mistakes(known)))
    return found if len(found) <= MOST else [*found[:MOST], f"and {len(found) - MOST} more"]


def check_tables(tables: Mapping[str, Any]) -> None:
    """Three tables there must be."""
    missing = [f"[{key}]" for key in ("data", "network", "methods") if key not in tables]
    if missing:
        raise InputError(f"{', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing")


def _said(check: Callable[..., Any], *arguments: Any) -> list[str]:
    """What a check says; nothing if it passes."""
    try:
        check(*arguments)
    except InputError as problem:
        return [str(problem)]
    return []


class _Tables:
    """Tables of a study, as far as they are tables."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self.tables = tables
        self.data, self.network, self.methods, self.space = (
            given if isinstance(given := tables.get(name), Mapping) else {}
            for name in ("data", "network", "methods", "space")
        )
        self.axes = [str(name) for name in self.space if name not in RULES]
        self.swept = {name.rpartition(".")[2] for name in (*self.axes, *self._solved_names())}
        self.labels: set[str] = set()  # of all fields
        self.formulas: set[str] = set()  # names they read

    def mistakes(self, known: Sequence[str]) -> Iterator[str]:
        """All of them, in the order of the tables in a study file."""
        for key in self.tables:
            if key not in known:
                yield f"{key}: no such field; {nearest(str(key), known)}"
        yield from _said(check_tables, self.tables)
        for name, check in (("seed", check_seed), ("replicates", check_replicates)):
            if name in self.tables:
                yield from _said(check, self.tables[name])
        model = self.data.get("model", SignalNoiseData.model)
        unknown = _said(check_model, "data.model", model)
        yield from unknown
        if self.data and not unknown:
            rest = {name: value for name, value in self.data.items() if name != "model"}
            yield from self._in_table("data", MODELS[model], rest)
        if self.network:
            yield from self._in_table("network", TwoLayerCNN, self.network)
        for method, plan in self.methods.items():
            phases = [plan] if isinstance(plan, Mapping) else plan
            for k, phase in enumerate(phases if isinstance(phases, list) else ()):
                if isinstance(phase, Mapping):
                    yield from self._in_phase(f"methods.{method}.{k}", phase)
        if self.data and self.network and self.methods and not unknown:
            yield from self._in_space()
        yield from self._in_object("solve", Crossing)
        yield from self._in_object("record", Record)
        figure = self.tables.get("figure")
        kind = figure.get("kind", "phase_diagram") if isinstance(figure, Mapping) else None
        if isinstance(kind, str) and kind in PICTURES:
            yield from self._in_object("figure", PICTURES[kind])

    def _solved_names(self) -> list[str]:
        """The field that is solved for, if it is a name."""
        solve = self.tables.get("solve")
        field = solve.get("field") if isinstance(solve, Mapping) else None
        return [field] if isinstance(field, str) else []

    def _in_object(self, name: str, owner: type[Parameters]) -> list[str]:
        given = self.tables.get(name)
        return owner.mistakes(name, given) if isinstance(given, Mapping) else []

    def _in_phase(self, where: str, phase: Mapping[str, Any]) -> Iterator[str]:
        optimiser = phase.get("optimiser")
        if unknown := _said(check_optimiser, f"{where}.optimiser", optimiser):
            yield from unknown
            return
        rest = {name: value for name, value in phase.items() if name != "optimiser"}
        yield from self._in_table(where, check_optimiser("", optimiser), rest)

    def _in_table(
        self, where: str, owner: type[Parameters], fields: Mapping[str, Any]
    ) -> Iterator[str]:
        """Names of fields, and values of those that no formula and no axis gives."""
        constants: dict[str, Any] = {}
        misspelt = False
        for name, value in fields.items():
            said = _said(Section.make, where, owner, {name: value})
            misspelt |= name not in owner.model_fields
            yield from said
            if said or name in self.swept:
                continue
            if isinstance(value, str) and owner.is_number(name):
                self.formulas |= read_by(value)
            else:
                constants[name] = value
        valued = {f"{where}.{name} = " for name in constants}
        for line in owner.mistakes(where, constants):
            if any(line.startswith(begin) for begin in valued):
                yield line
        for name, info in owner.model_fields.items():
            self.labels |= {name, f"{where}.{name}".removeprefix("methods.")}
            if info.is_required() and not misspelt and name not in {*fields, *self.swept}:
                yield f"{where}.{name} is missing; allowed is {owner.allowed(name)}"

    def _in_space(self) -> Iterator[str]:
        if isinstance(refine := self.space.get("refine"), Mapping):
            yield from Refinement.mistakes("space.refine", refine)
        for name in self.axes:
            numbers_points = is_label(self.space[name]) and "zip" in self.space
            if name not in self.labels | self.formulas and not numbers_points:
                fields = sorted(label for label in self.labels if "." not in label)
                yield f"space.{name}: no such field; {nearest(name, fields)}"
