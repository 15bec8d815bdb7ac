"""A study: what is held, swept, recorded and drawn, from a TOML file or from Python."""

import copy
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from simdyn.base.inputs import InputError, SeveralMistakes, check_seed, nearest, shown, with_prefix
from simdyn.kernels import NUMERICS_VERSION
from simdyn.params import (
    MODELS,
    PICTURES,
    Crossing,
    Data,
    DrawnData,
    ImageData,
    Picture,
    Record,
    TwoLayerCNN,
    made,
    made_picture,
)
from simdyn.space.points import Space
from simdyn.study import blocks
from simdyn.study.blocks import Blocks
from simdyn.study.checks import check_figure, check_points, recorded_variables
from simdyn.study.coordinates import Results, layout_of
from simdyn.study.cost import nominal_seconds
from simdyn.study.fingerprint import (
    Fields,
    fingerprint_of,
    fixed_in_growth,
    physics_of,
    plans_of,
    record_of,
)
from simdyn.study.image_sources import contents_of
from simdyn.study.mistakes import check_tables, mistakes
from simdyn.study.refined import check_refinement, expected_share, tile_shape
from simdyn.study.solved import NOMINAL_EVALUATIONS, replicates_of, solved_variables
from simdyn.study.study_card import size_of, study_card
from simdyn.study.tables import shrunk
from simdyn.variables.layout import Layout
from simdyn.variables.provenance import as_json
from simdyn.variables.registry import VARIABLES

TABLES = (
    "seed",
    "replicates",
    "data",
    "network",
    "methods",
    "space",
    "solve",
    "record",
    "figure",
    "smoke",
)


class StudyDesign:
    """What a study is. `simdyn.Study` has its parameters, and runs it."""

    def __init__(
        self,
        data: Data | Mapping[str, Any],
        net: TwoLayerCNN | Mapping[str, Any],
        methods: Mapping[str, Any],
        space: Mapping[str, Any] | None = None,
        *,
        replicates: int = 1,
        seed: int = 0,
        solve: Crossing | None = None,
        record: Record | None = None,
        figure: Picture | None = None,
        name: str = "study",
    ) -> None:
        if not isinstance(methods, Mapping) or not methods:
            raise InputError(
                f"methods = {shown(methods)}: allowed is a table of named lists of phases"
            )
        if space is not None and not isinstance(space, Mapping):
            raise InputError(f"space = {shown(space)}: allowed is a table of swept fields")
        for axis in space or {}:
            if not isinstance(axis, str):
                raise InputError(f"space: the name {shown(axis)}: allowed are names of fields")
        self.name = name
        if solve is not None and not isinstance(solve, Crossing):
            raise InputError(f"solve = {shown(solve)}: allowed is a Crossing(…)")
        self.solve = solve
        self.seed, self.replicates = check_seed(seed), replicates_of(replicates, solve)
        if record is not None and not isinstance(record, Record):
            raise InputError(f"record = {shown(record)}: allowed is a Record(…)")
        if figure is not None and not isinstance(figure, Picture):
            kinds = ", ".join(f"{kind.__name__}(…)" for kind in PICTURES.values())
            raise InputError(f"figure = {shown(figure)}: allowed are {kinds} of simdyn.params")
        self.record = record or Record()
        self.numerics_version = NUMERICS_VERSION
        if figure is not None:
            self.record = figure.recording(self.record)
        if self.record.weights:
            raise InputError("record.weights = True: allowed for explicit data only")
        self.space = Space(data, net, methods, space or {}, solved=solve)
        if solve is None:
            self.variables = recorded_variables(self.space, self.record, figure)
        else:
            self.variables = solved_variables(self.space, self.record, solve)
        check_refinement(self.space, self.variables, solve)
        self._tables: dict[str, Any] = {}  # of a study file
        self._file = ""  # with which messages begin
        self.states = check_points(self.space, self.record)
        if figure is not None:
            check_figure(figure, self.space, self.variables, self.states, self.replicates)
        self.figure = figure

    def __repr__(self) -> str:
        """Its size."""
        return f"{type(self).__name__}({self.name!r}: {size_of(self)})"

    def _repr_html_(self) -> str:
        """What notebooks show: what is swept, compared, held and recorded, and what it costs."""
        return study_card(self)

    # -- from a file -----------------------------------------------------------------------------

    @classmethod
    def from_mapping(
        cls, tables: Mapping[str, Any], name: str = "study", path: object = None
    ) -> Self:
        """A study from the tables of a study file; messages of `smoke` name its path.

        Raises
        ------
        InputError
            One line for each field that is wrong.
        """
        try:
            study = cls._from_tables(tables, name)
        except InputError as problem:
            found = mistakes(tables, TABLES)
            if len(found) > 1:
                raise SeveralMistakes(found) from None
            raise problem from None
        study._tables = copy.deepcopy(dict(tables))
        study._file = f"{path}: " if path else ""
        return study

    @classmethod
    def _from_tables(cls, tables: Mapping[str, Any], name: str) -> Self:
        """A study from tables; an error names the first thing that is wrong."""
        for key, value in tables.items():
            if key not in TABLES:
                raise InputError(f"{key}: no such field; {nearest(str(key), TABLES)}")
            if key not in ("seed", "replicates") and not isinstance(value, Mapping):
                raise InputError(f"{key} = {shown(value)}: allowed is a table [{key}]")
        check_tables(tables)
        record, figure, solve = tables.get("record", {}), tables.get("figure"), tables.get("solve")
        return cls(
            tables["data"],
            tables["network"],
            tables["methods"],
            tables.get("space", {}),
            replicates=tables.get("replicates", 1),
            seed=tables.get("seed", 0),
            solve=None if solve is None else made("solve", Crossing, solve),
            record=made("record", Record, record),
            figure=None if figure is None else made_picture(figure),
            name=name,
        )

    @classmethod
    def from_physics(
        cls,
        physics: Mapping[str, Any],
        axes: Mapping[str, Any],
        name: str,
        sources: Mapping[tuple[str, ...], Callable[[], Any]] | None = None,
    ) -> Self:
        """The study that has these physics, from the values of its axes; it has no figure.

        Images come from `sources` if given, as `ImageData.with_readers` takes them.
        """
        data = dict(physics["data"])
        rules = {key: value for key, value in physics["space"].items() if key not in axes}
        record = {key: value for key, value in physics["record"].items() if value is not None}
        if not issubclass(MODELS[data["model"]], DrawnData):
            data["model"] = ImageData.with_readers(sources or {})
            for key in ("test_estimator", "test_draws"):  # stored, but not allowed as input
                record.pop(key, None)
        solve = physics.get("solve")
        if solve is not None:
            record.pop("variables")  # what it records is no choice
        study = cls(
            data,
            physics["network"],
            physics["methods"],
            {**axes, **rules},
            replicates=physics["replicates"],
            seed=physics["seed"],
            solve=None if solve is None else Crossing(**solve),
            record=made("record", Record, record),
            name=name,
        )
        return study.with_numerics(physics["numerics_version"])

    def with_numerics(self, version: int) -> Self:
        """The same study, with the identity that it has under another NUMERICS_VERSION."""
        if version == self.numerics_version:
            return self
        study = self._copied()
        study.numerics_version = version
        return study

    def smoke(self) -> Self:
        """The small variant of a study from a file: what [smoke] overrides, and 'NAME-smoke'."""
        try:
            tables = shrunk(self._tables, self.name)
            try:
                return type(self).from_mapping(tables, f"{self.name}-smoke")
            except InputError as problem:
                raise with_prefix("with [smoke]: ", problem) from None
        except InputError as problem:
            raise with_prefix(self._file, problem) from None

    def _copied(self) -> Self:
        """A copy without what is worked out once, to be changed."""
        other = copy.copy(self)
        for name in list(other.__dict__):
            if isinstance(getattr(StudyDesign, name, None), functools.cached_property):
                del other.__dict__[name]
        return other

    def with_values(self, axes: Mapping[str, np.ndarray]) -> Self:
        """The same study with other values of some axes, as many and within rounding of its own."""
        other = self._copied()
        other.space = self.space.with_values(axes)
        other.states = check_points(other.space, other.record)
        return other

    # -- what it is ------------------------------------------------------------------------------

    @functools.cached_property
    def physics(self) -> dict[str, Any]:
        """Everything that decides the values and where they lie, as plain data."""
        return self._physics("fields")

    @functools.cached_property
    def _essential(self) -> dict[str, Any]:
        """The physics without fields at their defaults."""
        return self._physics("essential")

    def _physics(self, fields: Fields) -> dict[str, Any]:
        record = record_of(self.record, self.space, fields, self.numerics_version)
        return physics_of(
            self.space,
            record | {"variables": list(self.variables)},
            self.contents.values(),
            fields,
            self.solve,
            replicates=self.replicates,
            seed=self.seed,
            numerics_version=self.numerics_version,
        )

    @property
    def plans(self) -> dict[str, list[dict[str, Any]]]:
        """The phases of each method, without fields at their defaults."""
        return plans_of(self.space, "essential")

    @property
    def fixed_in_growth(self) -> dict[str, Any]:
        """The part of the physics that a study keeps while it grows."""
        return fixed_in_growth(self._essential)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over physics, seed, record and NUMERICS_VERSION."""
        return fingerprint_of(self._essential)

    @property
    def contents(self) -> dict[tuple[str, str, str], str]:
        """SHA-256 of each source of images, by the fields that name it."""
        return contents_of(self.space)

    @property
    def runs(self) -> int:
        """Trajectories in all."""
        return self.space.size * len(self.space.methods) * self.replicates

    @functools.cached_property
    def layout(self) -> Layout:
        """Dims, coordinates and variables of the results."""
        attrs = {
            "title": self.name,
            "study": as_json(self.physics),
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "numerics_version": self.numerics_version,
        }
        states = 0 if self.solve else self.states  # what is solved for has no states
        results = Results(self.record, self.variables, self.replicates, states)
        return layout_of(self.space, results, attrs)

    # -- blocks and their price ------------------------------------------------------------------

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of the grid dims, then replicates: what blocks are cut from."""
        return (*self.space.shape, self.replicates)

    @functools.cached_property
    def cost(self) -> float:
        """Nominal core-seconds of the study, from all points or a thousand spread evenly."""
        one = nominal_seconds(self.space, self.record, self.states)
        return one * self.replicates * self.evaluations

    @property
    def variables_of_runs(self) -> tuple[str, ...]:
        """What each run records: the variables of the results, or what a search reads."""
        return (self.solve.variable, "status", "status_step") if self.solve else self.variables

    @property
    def evaluations(self) -> float:
        """About how many runs of a replicate each of the results takes; below 1 if refined."""
        if self.space.refine is not None:
            return expected_share(self.space)
        return NOMINAL_EVALUATIONS if self.solve else 1

    @property
    def bytes(self) -> int:
        """Uncompressed size of the results."""
        return sum(
            math.prod(self.layout.shape(name)) * np.dtype(VARIABLES[name].dtype).itemsize
            for name in self.variables
        )

    @functools.cached_property
    def block_shape(self) -> tuple[int, ...]:
        """Points and replicates of a block along each grid dim and replicate."""
        if self.space.refine is not None:  # a tile is refined by itself
            return (*tile_shape(self.space), self.replicates)
        if self.solve:  # a search has all replicates of a point
            points = blocks.block_shape(self.space.shape, self.cost, self.bytes)
            return (*points, self.replicates)
        return blocks.block_shape(self.lengths, self.cost, self.bytes)

    @functools.cached_property
    def blocks(self) -> Blocks:
        """All blocks, numbered in C order, made when asked for."""
        return Blocks(self.lengths, self.block_shape)
