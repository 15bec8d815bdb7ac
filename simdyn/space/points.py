"""The space of a study: axes of swept fields, and the parameters at each of its points."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from simdyn.base.inputs import InputError, shown
from simdyn.params import Crossing, Data, Parameters, Phase, Refinement, TwoLayerCNN, made
from simdyn.space.axes import axis_values
from simdyn.space.columns import Column, column
from simdyn.space.mask import Mask, location
from simdyn.space.owners import Owners
from simdyn.space.product_grid import PointSource, ProductGrid
from simdyn.space.scope import Columns, Frame, Scope
from simdyn.space.search import Search
from simdyn.space.sections import Section, data_section, phase_sections
from simdyn.space.zips import groups_of, is_label


@dataclasses.dataclass(frozen=True)
class Point:
    """The parameters at one point of the space."""

    data: Data
    net: TwoLayerCNN
    plans: tuple[tuple[Phase, ...], ...]  # one for each method


def _refinement(given: Any) -> Refinement | None:
    """What `refine` of a space says."""
    if given is None or isinstance(given, Refinement):
        return given
    if not isinstance(given, Mapping):
        raise InputError(
            f"space.refine = {shown(given)}: allowed is a table such as "
            "{variable = 'test_error', levels = [0.1], depth = 3}"
        )
    refinement: Refinement = made("space.refine", Refinement, given)
    return refinement


class Space:
    """All points of a study, made one by one when asked for.

    An axis bears the name of a field, which it sets wherever that occurs; or another name that
    formulas read, or that numbers the points of axes which go together. Three words are no axes:
    `zip`, a list of axes that go together, or several such lists; `where`, a formula that is true
    at the points which are wanted; and `refine`, which says what is interpolated. `where` reads
    numbers of data and network, and swept ones. What is not wanted is masked; it need not be
    allowed.

    Parameters
    ----------
    data, net, methods
        As for `Study`.
    axes : mapping
        Values of each axis, `zip`, `where` and `refine`.
    source : callable
        Makes the source of points from the values of the axes, and from those that go together.
    solved : Crossing, optional
        A field that is solved for: it is no axis, and each point may be made with any value of it.

    Attributes
    ----------
    source : PointSource
        Which values the swept names have at each point of the grid.
    where : str or None
    refine : Refinement or None
    methods : tuple of str
    """

    def __init__(
        self,
        data: Any,
        net: Any,
        methods: Mapping[str, Sequence[Any]],
        axes: Mapping[str, Any],
        source: Callable[..., PointSource] = ProductGrid,
        solved: Crossing | None = None,
    ) -> None:
        axes = dict(axes)
        together, self.where = axes.pop("zip", None), axes.pop("where", None)
        self.refine = _refinement(axes.pop("refine", None))
        if self.where is not None and not isinstance(self.where, str):
            raise InputError(
                f"space.where = {shown(self.where)}: allowed is a formula that is true or false"
            )
        self.data = data_section(data)
        self.net = Section.make("network", TwoLayerCNN, net)
        self.phases = {name: phase_sections(name, plan) for name, plan in methods.items()}
        self.methods = tuple(self.phases)
        self.solved = solved
        field = None if solved is None else solved.field
        groups = groups_of(together, tuple(axes))
        labels = {group[0] for group in groups if is_label(axes[group[0]])}
        self._owners = Owners(self.data, self.net, self.sections[2:], axes, field, labels)
        repeating = {name for group in groups for name in group[1:]}
        values = {
            name: axis_values(name, given, *self.field_of(name), distinct=name not in repeating)
            for name, given in axes.items()
        }
        self.source = source(values, groups)
        self._owners.check_names()
        self._frames()

    def _frames(self) -> None:
        """What formulas read, prepared for all points."""
        both, set_by = [self.data, self.net], self._owners.set_by
        self._shared = Frame(both, set_by, self._owners.named)
        self._frame = {section.where: self._shared for section in both} | {
            section.where: Frame([section], set_by, parent=self._shared)
            for plan in self.phases.values()
            for section in plan
        }
        self._parts = {s.where: self._frame[s.where].of(s) for s in self.sections}
        self._last: dict[str, tuple[list[Any], Parameters]] = {}
        kinds = {name: self.field_of(name) for name in self._owners.of if name.isidentifier()}
        readable = [name for name, (owner, field) in kinds.items() if owner.is_number(field)]
        known = {*self._owners.numeric_names(self.data), *readable}
        self.search: Search | None = None
        if self.solved is not None:
            field = self.solved.field
            moving = {n for n in known if n == field or field in self._shared.depends_on(n)}
            known -= moving
            self.search = Search(self.solved, self._shared, readable, known, moving)
        self._mask = Mask(self.where, self._shared, readable, known)

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

    def phase_values(self, field: str) -> set[Any]:
        """Every value that a field of the phases has in the space; of text fields."""
        phases = [section for plan in self.phases.values() for section in plan]
        held = {section.fields[field] for section in phases}
        swept = [n for n, owners in self._owners.of.items() if any(f == field for _, f in owners)]
        return held.union(*(self.axes[name].tolist() for name in swept))

    @property
    def sections(self) -> list[Section]:
        """Data, network, and every phase of every method."""
        return [self.data, self.net, *(s for plan in self.phases.values() for s in plan)]

    @property
    def swept_fields(self) -> set[str]:
        """Fields that an axis sets somewhere."""
        return {field for owners in self._owners.of.values() for _, field in owners}

    @property
    def formula_fields(self) -> set[str]:
        """Fields that a formula gives somewhere."""
        return {name for section in self.sections for name in section.formulas}

    def field_of(self, name: str) -> tuple[type[Parameters], str]:
        """The class and field that say what an axis may hold and what it means."""
        return self._owners.field_of(name)

    def axis_of(self, section: Section, field: str) -> str | None:
        """The swept or solved name that sets a field of a section; None if it is held."""
        return self._owners.set_by.get((section.where, field))

    def location(self, index: Sequence[int]) -> str:
        """The swept values of a point, as the end of a message; empty if nothing is swept."""
        return location(self.source.swept(index))

    def ends(self, index: Sequence[int]) -> tuple[float, float]:
        """The bracket in which a point is searched.

        Raises
        ------
        InputError
            If it is none; the message says at which point.
        """
        assert self.search is not None
        try:
            return self.search.ends(self.source.swept(index))
        except InputError as problem:
            raise InputError(f"{problem}{self.location(index)}") from None

    def level(self, index: Sequence[int], value: float) -> float:
        """The level of a point that is solved, where the solved field has this value."""
        assert self.search is not None
        swept = self._swept(index, value)
        try:
            return self.search.level(swept)
        except InputError as problem:
            raise InputError(f"{problem}{location(swept)}") from None

    def _swept(self, index: Sequence[int], value: float | None) -> dict[str, Any]:
        """The values of swept fields and of the solved one, by default inside its bracket."""
        swept = self.source.swept(index)
        if self.search is None:
            return swept
        if value is None:
            value = self.search.middle(swept)
        return {**swept, self.search.crossing.field: value}

    def point(self, index: Sequence[int], value: float | None = None) -> Point:
        """The parameters of one point, masked or not.

        Parameters
        ----------
        index : sequence of int
        value : float, optional
            Of the field that is solved for; inside its bracket if absent.

        Raises
        ------
        InputError
            If they are not allowed; the message says at which point.
        """
        try:
            swept = self._swept(index, value)
        except InputError as problem:
            raise InputError(f"{problem}{self.location(index)}") from None
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
            raise InputError(f"{problem}{location(swept)}") from None
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
        return self._mask.wanted(self.source, index)

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
        return self._mask.first(self.source)

    # -- many points at once ---------------------------------------------------------------------

    def has(self, section: Section, name: str) -> bool:
        """Has the field a value, held or swept?"""
        return name in self._frame[section.where].home

    def varying_dims(self, fields: Iterable[tuple[Section, str]]) -> tuple[str, ...]:
        """The dims along which any of these fields may vary."""
        dims = {self.dim_of[axis] for axis in self._depend_on(fields) if axis in self.dim_of}
        return tuple(dim for dim in self.dims if dim in dims)

    def are_solved(self, fields: Iterable[tuple[Section, str]]) -> bool:
        """Does any of these fields depend on what is solved for? Then it has no value of a dim."""
        return self.solved is not None and self.solved.field in self._depend_on(fields)

    def _depend_on(self, fields: Iterable[tuple[Section, str]]) -> set[str]:
        """All axes, and the solved field, on which any of these fields depends."""
        return set().union(*(self._frame[s.where].depends_on(name) for s, name in fields))

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
        """The source of the points, `where` and `refine` if they are given, as plain data."""
        rules: dict[str, Any] = {} if self.where is None else {"where": self.where}
        if self.refine is not None:
            rules["refine"] = self.refine.model_dump(mode="json", exclude_none=True)
        return self.source.physics | rules
