"""The space of a study: axes of swept fields, and the parameters at each of its points."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from simdyn.base.formula import CONSTANTS, FUNCTIONS, holds, names_in
from simdyn.base.inputs import InputError, nearest, shown
from simdyn.params import Data, Parameters, Phase, Real, TwoLayerCNN, described
from simdyn.params.schedule import NAMES, read_by
from simdyn.space.axes import axis_values
from simdyn.space.columns import Column, column, evaluate_column
from simdyn.space.product_grid import PointSource, ProductGrid
from simdyn.space.scope import Columns, Frame, LocatedError, Scope
from simdyn.space.sections import Section, data_section, phase_sections
from simdyn.space.zips import groups_of
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
AT_ONCE = 2**16  # points whose mask is evaluated together


class Named(Parameters):
    """A swept number that is no field: formulas read it under the axis's own name."""

    value: Real = described(0.0, "", "", "a finite number")


@dataclasses.dataclass(frozen=True)
class Point:
    """The parameters at one point of the space."""

    data: Data
    net: TwoLayerCNN
    plans: tuple[tuple[Phase, ...], ...]  # one for each method


class Space:
    """All points of a study, made one by one when asked for.

    An axis bears the name of a field, which it sets wherever that occurs; or another name that
    formulas read. Two words are no axes: `zip`, a list of axes that go together, or several such
    lists; and `where`, a formula that is true at the points which are wanted. It reads numbers of
    data and network, and swept ones. What is not wanted is masked; it need not be allowed.

    Parameters
    ----------
    data, net, methods
        As for `Study`.
    axes : mapping
        Values of each axis, `zip` and `where`.
    source : callable
        Makes the source of points from the values of the axes, and from those that go together.

    Attributes
    ----------
    source : PointSource
        Which values the swept names have at each point of the grid.
    where : str or None
    methods : tuple of str
    """

    def __init__(
        self,
        data: Any,
        net: Any,
        methods: Mapping[str, Sequence[Any]],
        axes: Mapping[str, Any],
        source: Callable[..., PointSource] = ProductGrid,
    ) -> None:
        axes = dict(axes)
        together, self.where = axes.pop("zip", None), axes.pop("where", None)
        if self.where is not None and not isinstance(self.where, str):
            raise InputError(
                f"space.where = {shown(self.where)}: allowed is a formula that is true or false"
            )
        self.data = data_section(data)
        self.net = Section.make("network", TwoLayerCNN, net)
        self.phases = {name: phase_sections(name, plan) for name, plan in methods.items()}
        self.methods = tuple(self.phases)
        self.owners = {name: self._owners(name) for name in axes}
        self.set_by = self._set_by()
        groups = groups_of(together, tuple(axes))
        repeating = {name for group in groups for name in group[1:]}
        values = {
            name: axis_values(name, given, *self.field_of(name), distinct=name not in repeating)
            for name, given in axes.items()
        }
        self.source = source(values, groups)
        self._check_names()
        self._frames()

    def _frames(self) -> None:
        """What formulas read, prepared for all points."""
        named = [name for name, owners in self.owners.items() if not owners]
        both = [self.data, self.net]
        self._shared = Frame(both, self.set_by, named)
        self._frame = {section.where: self._shared for section in both} | {
            section.where: Frame([section], self.set_by, parent=self._shared)
            for plan in self.phases.values()
            for section in plan
        }
        self._parts = {s.where: self._frame[s.where].of(s) for s in self.sections}
        self._last: dict[str, tuple[list[Any], Parameters]] = {}
        if self.where is None:
            return
        kinds = {name: self.field_of(name) for name in self.owners if name.isidentifier()}
        readable = [name for name, (owner, field) in kinds.items() if owner.is_number(field)]
        self._mask = Frame([], {}, readable, self._shared)
        known = sorted({*self._numeric_names(self.data), *readable})
        try:
            used = sorted(names_in(self.where, truth=True))
        except InputError as problem:
            raise InputError(f"space.where = {problem}") from None
        for name in used:
            if name not in known:
                raise InputError(
                    f"space.where = {self.where!r}: no field '{name}'; {nearest(name, known)}"
                )

    def with_values(self, axes: Mapping[str, np.ndarray]) -> "Space":
        """The same space with other values of some axes, of the same kind and number."""
        other = copy.copy(self)
        for name in ("first", "physics"):  # of the former values
            other.__dict__.pop(name, None)
        other.source, other._last = self.source.with_values(axes), {}
        return other

    # -- the grid --------------------------------------------------------------------------------

    @property
    def axes(self) -> Mapping[str, np.ndarray]:
        """Swept values by name."""
        return self.source.axes

    @property
    def dims(self) -> Mapping[str, tuple[str, ...]]:
        """Dims of the grid, each with the axes along it, its own first."""
        return self.source.dims

    @property
    def dim_of(self) -> Mapping[str, str]:
        """The dim along which each axis goes."""
        return self.source.dim_of

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values along each dim."""
        return self.source.shape

    @property
    def size(self) -> int:
        """Number of points, masked ones among them."""
        return self.source.size

    def indices(self) -> Iterator[tuple[int, ...]]:
        """Index of every point, the last dim fastest."""
        return self.source.indices()

    # -- fields ----------------------------------------------------------------------------------

    @property
    def law(self) -> type[Data]:
        """The class of the data."""
        assert issubclass(self.data.owner, Data)
        return self.data.owner

    @property
    def activations(self) -> list[str]:
        """Every activation of the space."""
        return list(map(str, self.axes.get("activation", [self.net.fields["activation"]])))

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
        return {name for section in self.sections for name in section.formulas}

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
            meant = name in NAMES and name in self._read_by_schedules()
            if name in FUNCTIONS or name in CONSTANTS or meant:
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
            for name in sorted(self.owners, key=lambda name: "." in name)
            for section, field in self.owners[name]
        }
        for name in self.owners:
            if self.owners[name] and name not in set_by.values():
                section, field = self.owners[name][0]
                other = set_by[section.where, field]
                raise InputError(f"space.{name}: has no effect, '{other}' sets all it names")
        return set_by

    def field_of(self, name: str) -> tuple[type[Parameters], str]:
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
            known = self._numeric_names(section)
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

    def _numeric_names(self, section: Section) -> set[str]:
        sections = {s.where: s for s in (self.data, self.net, section)}.values()
        fields = set().union(*(s.numbers for s in sections))
        return fields | {name for name, owners in self.owners.items() if not owners}

    def location(self, index: Sequence[int]) -> str:
        """The swept values of a point, as the end of a message; empty if nothing is swept."""
        swept = self.source.swept(index).items()
        values = ", ".join(f"{name} = {value}" for name, value in swept)
        return f" (at {values})" if values else ""

    def point(self, index: Sequence[int]) -> Point:
        """The parameters of one point, masked or not.

        Raises
        ------
        InputError
            If they are not allowed; the message says at which point.
        """
        swept = self.source.swept(index)
        try:
            shared = Scope(self._shared, swept)
            data = self._made(self.data, shared)
            net = self._made(self.net, shared)
            plans = tuple(
                tuple(self._made(section, shared) for section in plan)
                for plan in self.phases.values()
            )
            for plan in plans:
                for phase in plan:
                    phase.updates_per_epoch(data.n_samples)
        except InputError as problem:
            raise InputError(f"{problem}{self.location(index)}") from None
        return Point(data, net, plans)

    def _made(self, section: Section, shared: Scope) -> Any:
        """The parameters of one section; those made last if nothing in it has changed."""
        fixed, axes, formulas, depends_on = self._parts[section.where]
        swept = shared.swept
        key = [swept[axis] for axis in depends_on]
        last, made = self._last.get(section.where, (None, None))
        if last == key:
            return made
        frame = self._frame[section.where]
        scope = shared if frame is self._shared else Scope(frame, swept, shared)
        fields = {name: swept[axis] for name, axis in axes.items()}
        made = section.owner(**fixed, **fields, **{name: scope.resolve(name) for name in formulas})
        self._last[section.where] = (key, made)
        return made

    # -- which points are wanted -----------------------------------------------------------------

    def wanted(self, index: Sequence[int]) -> bool:
        """Is the point not masked? Every point is wanted if there is no `where`.

        Raises
        ------
        InputError
            If the formula has no value; the message says at which point.
        """
        if self.where is None:
            return True
        swept = self.source.swept(index)
        try:
            return holds(self.where, Scope(self._mask, swept, Scope(self._shared, swept)))
        except LocatedError as problem:
            raise InputError(f"space.where: {problem}{self.location(index)}") from None
        except InputError as problem:
            raise InputError(f"space.where = {problem}{self.location(index)}") from None

    @property
    def first_point(self) -> Point:
        """The parameters at the first point that is wanted."""
        return self.point(self.first)

    @functools.cached_property
    def first(self) -> tuple[int, ...]:
        """Index of the first point that is wanted.

        Raises
        ------
        InputError
            If there is none.
        """
        if self.where is None or not self.dims:
            if not self.wanted((0,) * len(self.dims)):
                raise self._nowhere()
            return (0,) * len(self.dims)
        for start in range(0, self.size, AT_ONCE):
            flat = np.arange(start, min(start + AT_ONCE, self.size))
            at = dict(zip(self.dims, np.unravel_index(flat, self.shape), strict=True))
            swept = self.source.swept_along(at)
            names = Columns(self._mask, swept, Columns(self._shared, swept))
            true, ok = evaluate_column(self.where, names, truth=True)
            for k in np.flatnonzero(np.broadcast_to(true | ~ok, flat.shape)):
                index = tuple(int(along[k]) for along in at.values())
                if self.wanted(index):  # raises if the formula has no value
                    return index
        raise self._nowhere()

    def _nowhere(self) -> InputError:
        return InputError(
            f"space.where = {self.where!r}: true at no point; allowed is a formula that is true at "
            "one or more"
        )

    # -- many points at once ---------------------------------------------------------------------

    def has(self, section: Section, name: str) -> bool:
        """Has the field a value, held or swept?"""
        return name in self._frame[section.where].home

    def varying_dims(self, fields: Iterable[tuple[Section, str]]) -> tuple[str, ...]:
        """The dims along which any of these fields may vary."""
        axes = set().union(*(self._frame[s.where].depends_on(name) for s, name in fields))
        dims = {self.dim_of[axis] for axis in axes}
        return tuple(dim for dim in self.dims if dim in dims)

    def fields(
        self, fields: Sequence[tuple[Section, str]], dims: Sequence[str]
    ) -> list[Column | None]:
        """Values of fields over some dims, which must be all along which they vary.

        They have the bits that the points have, and broadcast to the lengths of the dims. There is
        no value if a formula has none; values are not checked. None for a field
        that is absent.
        """
        lengths = dict(zip(self.dims, self.shape, strict=True))
        indices = np.ogrid[tuple(slice(lengths[dim]) for dim in dims)]
        swept = self.source.swept_along(dict(zip(dims, indices, strict=True)))
        shared = Columns(self._shared, swept)
        found: list[Column | None] = []
        for section, name in fields:
            frame = self._frame[section.where]
            names = shared if frame is self._shared else Columns(frame, swept, shared)
            value = names.resolve(name)
            found.append(value if value is None or isinstance(value, Column) else column(value))
        return found

    # -- what identifies it ----------------------------------------------------------------------

    @functools.cached_property
    def physics(self) -> dict[str, Any]:
        """The source of the points, and `where` if there is one, as plain data."""
        return self.source.physics | ({} if self.where is None else {"where": self.where})
