"""Which fields each swept name of a space sets, and whether all names are known."""

from collections.abc import Collection, Iterable, Sequence

from simdyn.base.formula import CONSTANTS, FUNCTIONS
from simdyn.base.inputs import InputError, nearest
from simdyn.params import Parameters, Real, described
from simdyn.params.schedule import NAMES, read_by
from simdyn.space.sections import Section
from simdyn.variables.registry import VARIABLES

RESERVED = (
    "method",
    "replicate",
    "step",
    "sign",
    "filter",
    "sample",
    "vector",
    "updates",
    "update",
)


class Named(Parameters):
    """A swept number that is no field: formulas read it under the axis's own name."""

    value: Real = described(0.0, "", "", "a finite number")


class Owners:
    """Fields of the sections of a study that swept names set.

    Parameters
    ----------
    data, net : Section
    phases : sequence of Section
        Of all methods.
    names : iterable of str
        What is swept.
    solved : str, optional
        A field that is solved for: it is set at each point like a swept one.
    labels : collection of str
        Names that need not be fields.

    Attributes
    ----------
    of : dict of str to list of (Section, str)
        The fields that each swept name sets; none if only formulas read it.
    set_by : dict of (str, str) to str
        The swept name that sets a field of a section, of several the most special.

    Raises
    ------
    InputError
        If a name is reserved, unknown or without effect.
    """

    def __init__(
        self,
        data: Section,
        net: Section,
        phases: Sequence[Section],
        names: Iterable[str],
        solved: str | None = None,
        labels: Collection[str] = (),
    ) -> None:
        self._shared, self.sections, self._labels = (data, net), (data, net, *phases), labels
        self.of: dict[str, list[tuple[Section, str]]] = {
            name: self._owners(name, f"space.{name}") for name in names
        }
        self.solved = solved
        if solved is not None:
            self._check_solved(solved)
            self.of[solved] = self._owners(solved, self._place(solved))
        self.set_by = self._set_by()

    def _place(self, name: str) -> str:
        """Where a study names it, as messages begin."""
        return f"solve.field = {name!r}" if name == self.solved else f"space.{name}"

    def _check_solved(self, name: str) -> None:
        """A solved field is on no axis and holds real numbers."""
        where = self._place(name)
        if name in self.of:
            raise InputError(f"{where}: it is swept, too; allowed is a field that is on no axis")
        for section in self.sections:
            for field in section.owner.model_fields:
                if name not in (field, section.label(field)):
                    continue
                if not section.owner.is_number(field) or section.owner.is_integer(field):
                    raise InputError(
                        f"{where}: it holds {section.owner.allowed(field)}; allowed is a "
                        "real-valued field"
                    )

    @property
    def named(self) -> list[str]:
        """Swept names that only formulas read."""
        return [name for name, owners in self.of.items() if not owners]

    def _owners(self, name: str, where: str) -> list[tuple[Section, str]]:
        """Which fields a swept name sets."""
        if name in RESERVED or name in VARIABLES:
            raise InputError(f"{where}: the name is reserved for the results")
        found = [
            (section, field)
            for section in self.sections
            for field in section.owner.model_fields
            if name in (field, section.label(field))
        ]
        if any(section.owner.is_flag(field) for section, field in found):
            raise InputError(
                f"{where}: a field that is true or false cannot be swept; give each its method"
            )
        if not found and name in self._read_by_formulas():
            meant = name in NAMES and name in self._read_by_schedules()
            if name in FUNCTIONS or name in CONSTANTS or meant:
                raise InputError(f"{where}: the name has a meaning in formulas; choose another")
            return []
        if not found and name not in self._labels:
            known = {f for s in self.sections for f in s.owner.model_fields}
            raise InputError(f"{where}: no such field; {nearest(name, sorted(known))}")
        return found

    def _read_by_formulas(self) -> set[str]:
        """Every name in the study's formulas."""
        texts = [text for section in self.sections for text in section.formulas.values()]
        return set().union(*map(read_by, texts))

    def _read_by_schedules(self) -> set[str]:
        """Every name in the study's schedules."""
        texts = [s.formulas[name] for s in self.sections for name in s.schedules]
        return set().union(*map(read_by, texts))

    def _set_by(self) -> dict[tuple[str, str], str]:
        """The axis that sets a field: of several the most special, and each must set something."""
        set_by = {
            (section.where, field): name
            for name in sorted(self.of, key=lambda name: "." in name)
            for section, field in self.of[name]
        }
        for name, owners in self.of.items():
            if owners and name not in set_by.values():
                section, field = owners[0]
                other = set_by[section.where, field]
                raise InputError(f"{self._place(name)}: has no effect, '{other}' sets all it names")
        return set_by

    def field_of(self, name: str) -> tuple[type[Parameters], str]:
        """The class and field that say what a swept name may hold and what it means."""
        if not self.of[name]:
            return Named, "value"
        section, field = self.of[name][0]
        return section.owner, field

    def numeric_names(self, section: Section) -> set[str]:
        """Names of numbers that formulas of a section may read."""
        sections = {s.where: s for s in (*self._shared, section)}.values()
        return set().union(*(s.numbers for s in sections)) | set(self.named)

    def check_names(self) -> None:
        """Every formula must read fields that exist, and every required field must be set."""
        swept = {(s.where, field) for owners in self.of.values() for s, field in owners}
        for section in self.sections:
            for name, info in section.owner.model_fields.items():
                missing = name not in section.fields and (section.where, name) not in swept
                if info.is_required() and missing:
                    raise InputError(
                        f"{section.where}.{name} is missing; allowed is "
                        f"{section.owner.allowed(name)}"
                    )
            known = self.numeric_names(section)
            schedules = {at for at in section.schedules if (section.where, at) not in swept}
            for name, value in section.formulas.items():
                scope = known | {*NAMES} if section.owner.is_schedule(name) else known
                for used in sorted(read_by(value)):
                    if used not in scope:
                        raise InputError(
                            f"{section.where}.{name} = {value!r}: no field '{used}'; "
                            f"{nearest(used, sorted(scope))}"
                        )
                    if used in schedules:
                        raise InputError(
                            f"{section.where}.{name} = {value!r}: {used} changes during the phase; "
                            f"allowed are {', '.join(sorted(known - schedules))}"
                        )
