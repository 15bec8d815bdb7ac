"""A study: what is held, swept, recorded and drawn, from a TOML file or from Python."""

import copy
import functools
import hashlib
import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn import blocks
from simdyn.blocks import Block
from simdyn.inputs import InputError, check_replicates, check_seed, nearest, shown
from simdyn.kernels import NUMERICS_VERSION
from simdyn.params import (
    Data,
    DrawnData,
    ImageData,
    Picture,
    Record,
    TwoLayerCNN,
    made,
    made_picture,
)
from simdyn.schema import (
    BY_SUMMARY,
    UPDATE_ATTRS,
    VARIABLES,
    Coordinate,
    Layout,
    as_json,
    axis_coordinates,
    check_estimator,
    check_init,
    check_sharpness,
    choose_variables,
    parameter_coordinate,
    recordable,
)
from simdyn.space import Point, Section, Space

if TYPE_CHECKING:
    import xarray as xr

TABLES = (
    "seed", "replicates", "data", "network", "methods", "space", "record", "figure", "smoke",
)  # fmt: skip
CHECKED_POINTS = 50_000  # every point up to this number is checked before anything runs


class Study:
    """Methods compared over a space of parameters.

    Parameters
    ----------
    data : SignalNoiseData, another law of `simdyn.params`, or mapping
        A mapping may hold formulas, as in a study file, and may leave out swept fields; its
        ``model`` names the law, "signal_noise" where it does not.
    net : TwoLayerCNN or mapping
    methods : dict of str to list of Phase (or mappings)
        A plan for each method.
    space : dict, optional
        Values of each swept field: a list, or {start, stop, num}, or {log: [low, high], num}.
        The name means that field wherever it occurs; "sam.0.epochs" names one.
    replicates : int ≥ 1
    seed : int, 0 … 2⁶³ − 1
    record : Record, optional
        Only the last state is recorded unless it says otherwise.
    figure : PhaseDiagram, Curves or Trajectories, optional
    name : str
        The stem of results and figures.

    Raises
    ------
    InputError
        One line that names the field, the value and what is allowed.
    """

    def __init__(
        self,
        data: Data | Mapping[str, Any],
        net: TwoLayerCNN | Mapping[str, Any],
        methods: Mapping[str, Any],
        space: Mapping[str, Any] | None = None,
        *,
        replicates: int = 1,
        seed: int = 0,
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
        self.seed, self.replicates = check_seed(seed), check_replicates(replicates)
        if record is not None and not isinstance(record, Record):
            raise InputError(f"record = {shown(record)}: allowed is a Record(…)")
        if figure is not None and not isinstance(figure, Picture):
            raise InputError(
                f"figure = {shown(figure)}: allowed is a PhaseDiagram(…), Curves(…) or "
                "Trajectories(…) of simdyn.params"
            )
        self.record = record or Record()
        if self.record.weights:
            raise InputError("record.weights = True: allowed for explicit data only")
        self.space = Space(data, net, methods, space or {})
        self.variables = self._choose_variables()
        self._source: dict[str, Any] | None = None
        self._place = ""
        self._check_points()
        self.figure = self._check_figure(figure)

    # -- from a file -----------------------------------------------------------------------------

    @classmethod
    def from_mapping(cls, tables: Mapping[str, Any], name: str = "study") -> "Study":
        """A study from the tables of a study file."""
        for key, value in tables.items():
            if key not in TABLES:
                raise InputError(f"{key}: no such field; {nearest(str(key), TABLES)}")
            if key not in ("seed", "replicates") and not isinstance(value, Mapping):
                raise InputError(f"{key} = {shown(value)}: allowed is a table [{key}]")
        for key in ("data", "network", "methods"):
            if key not in tables:
                raise InputError(f"[{key}] is missing")
        record, figure = tables.get("record", {}), tables.get("figure")
        study = cls(
            tables["data"],
            tables["network"],
            tables["methods"],
            tables.get("space", {}),
            replicates=tables.get("replicates", 1),
            seed=tables.get("seed", 0),
            record=made("record", Record, record),
            figure=None if figure is None else made_picture(figure),
            name=name,
        )
        study._source = copy.deepcopy(dict(tables))
        return study

    def smoke(self) -> "Study":
        """The small variant of a study from a file: what [smoke] overrides, and 'NAME-smoke'."""
        try:
            return self._smoke()
        except InputError as problem:
            raise InputError(f"{self._place}{problem}") from None

    def _smoke(self) -> "Study":
        tables = copy.deepcopy(self._source or {})
        changes = tables.pop("smoke", None)
        if not changes:
            raise InputError(f"{self.name}: no [smoke] table; it says how to shrink the study")
        for path, value in changes.items():
            *folders, last = str(path).split(".")
            place: Any = tables
            for depth, folder in enumerate(folders):
                at = int(folder) if isinstance(place, list) and folder.isdigit() else folder
                try:
                    place = place[at]
                except (KeyError, IndexError, TypeError):
                    where = ".".join(folders[: depth + 1])
                    raise InputError(f'smoke."{path}": there is no {where}') from None
            if not isinstance(place, dict):
                raise InputError(f'smoke."{path}": {".".join(folders)} is not a table')
            # [smoke] with plain dotted keys nests tables: they change what they name, no more.
            if not folders and isinstance(value, dict) and isinstance(place.get(last), dict):
                _merge(place[last], value)
            else:
                place[last] = value
        try:
            return Study.from_mapping(tables, f"{self.name}-smoke")
        except InputError as problem:
            raise InputError(f"with [smoke]: {problem}") from None

    # -- checks ----------------------------------------------------------------------------------

    def _choose_variables(self) -> tuple[str, ...]:
        """What is recorded: variables whose shape is the same at every point."""
        varying = self.space.swept_fields | self.space.formula_fields
        known = recordable(self.data_law)
        bad = {
            ("n_samples", "sample"), ("n_filters", "filter"), ("n_samples", "vector"),
            ("n_patches", "vector"),
        }  # fmt: skip
        gone = {dim for field, dim in bad if field in varying}
        for name in self.record.variables or ():
            for field, dim in sorted(bad):
                if name in known and field in varying and dim in VARIABLES[name].dims:
                    raise InputError(
                        f"record.variables: '{name}' has a value for each {dim}, and {field} "
                        "varies over the space; allowed are variables without that dim"
                    )
        self._check_network()
        possible = [name for name in known if not gone & set(VARIABLES[name].dims)]
        usual = [name for name in BY_SUMMARY if name in possible]
        return choose_variables(self.record.variables, usual, possible, "record")

    @property
    def data_law(self) -> type[Data]:
        """The class of the study's data."""
        assert issubclass(self.space.data.owner, Data)
        return self.space.data.owner

    @property
    def activations(self) -> list[str]:
        """Every activation of the study."""
        held = [self.space.net.fields["activation"]]
        return list(map(str, self.space.axes.get("activation", held)))

    @property
    def _testing(self) -> dict[str, Any]:
        """The estimator and its draws, where all activations have the same."""
        pairs = {(self.record.estimator(a), self.record.draws(a)) for a in self.activations}
        if len(pairs) > 1:
            return {}
        ((estimator, draws),) = pairs
        return {"test_estimator": estimator, "test_draws": draws}

    def _check_network(self) -> None:
        """Weights must be drawable, and what is recorded have a meaning for every activation."""
        for init in self.space.axes.get("init", [self.space.net.fields["init"]]):
            check_init(str(init), self.data_law)
        for activation in self.activations:
            check_estimator(self.record, activation, self.data_law)
            if "sharpness" in (self.record.variables or ()):
                check_sharpness(activation)

    def _check_figure(self, figure: Picture | None) -> Picture | None:
        if figure is not None:
            depth = {name: len(VARIABLES[name].dims) - 1 for name in self.variables}
            recorded = {name: more for name, more in depth.items() if more >= 0}
            for option in ("x", "y"):
                values = self.space.axes.get(getattr(figure, option, ""))
                if values is not None and not np.issubdtype(values.dtype, np.number):
                    raise InputError(
                        f"figure.{option} = {getattr(figure, option)!r}: allowed is a swept "
                        "parameter with numbers"
                    )
            figure.check(tuple(self.space.axes), self.space.methods, recorded, self.states)
        return figure

    def _checked_indices(self) -> Iterator[tuple[int, ...]]:
        """Every point, or in a very large space those along its edges."""
        if self.space.size <= CHECKED_POINTS:
            yield from self.space.indices()
            return
        ends = [sorted({0, size - 1}) for size in self.space.shape]
        for axis, size in enumerate(self.space.shape):
            for corner in np.ndindex(*map(len, ends)):
                index = [end[c] for end, c in zip(ends, corner, strict=True)]
                for index[axis] in range(size):
                    yield tuple(index)

    def _check_points(self) -> None:
        """Every point must be allowed, and all must record the same number of states."""
        counts: dict[int, str] = {}
        for index in self._checked_indices():
            point = self.space.point(index)
            if isinstance(point.data, ImageData):
                self._check_images(point.data)
            for method, plan in zip(self.space.methods, point.plans, strict=True):
                size = self.record.updates(plan, point.data.n_samples, "last").size
                counts.setdefault(size, f"{size} for {method} at point {index}")
        if len(counts) > 1:
            raise InputError(
                f"record: {' but '.join(counts.values())}; allowed is one number of states for all "
                "points and methods (record only the last state, or equal numbers of updates)"
            )
        self.states = next(iter(counts))

    @staticmethod
    def _check_images(data: ImageData) -> None:
        """What is wrong with a file is told before anything runs."""
        from simdyn.images import sizes

        sizes(data)

    # -- what it is ------------------------------------------------------------------------------

    @functools.cached_property
    def physics(self) -> dict[str, Any]:
        """Everything that decides the values and where they lie, as plain data.

        The order of methods and axes is part of it: it is their order in the arrays.
        """
        return self._physics("fields", self.record.model_dump())

    def _physics(self, kind: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """The physics with all `fields`, or the `essential` ones, of each section."""
        space = self.space
        contents = {"contents": self._contents()} if self.data_law is ImageData else {}
        record = {**record, "variables": list(self.variables), **self._testing}
        return {
            "data": {"model": self.data_law.model, **getattr(space.data, kind), **contents},
            "network": getattr(space.net, kind),
            "methods": {
                name: [{"optimiser": s.owner.__name__, **getattr(s, kind)} for s in plan]
                for name, plan in space.phases.items()
            },
            "space": {name: values.tolist() for name, values in space.axes.items()},
            "replicates": self.replicates,
            "seed": self.seed,
            "record": dict(sorted(record.items())),
            "numerics_version": NUMERICS_VERSION,
        }

    def _contents(self) -> list[str]:
        """SHA-256 of each source of images."""
        from simdyn.images import load

        data = self._first_point().data
        assert isinstance(data, ImageData)
        sources = map(str, self.space.axes.get("source", [data.source]))
        return [load(data.replace(source=source)).digest for source in sources]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over physics, seed, record and NUMERICS_VERSION.

        Fields at their defaults are left out, so that a field which simdyn gains later leaves the
        stores of before as they are.
        """
        record = self.record.model_dump(exclude_defaults=True)
        physics = self._physics("essential", record)
        return hashlib.sha256(as_json(physics).encode()).hexdigest()

    @property
    def runs(self) -> int:
        """Trajectories in all."""
        return self.space.size * len(self.space.methods) * self.replicates

    @functools.cached_property
    def layout(self) -> Layout:
        """Dims, coordinates and variables of the results."""
        space = self.space
        coords = {
            name: parameter_coordinate(name, (name,), values, *space.kind(name))
            for name, values in space.axes.items()
        }
        used = {dim for name in self.variables for dim in VARIABLES[name].dims}
        fixed = self._first_point()
        coords |= axis_coordinates(
            space.methods, self.replicates, self.states,
            fixed.net.n_filters if "filter" in used else 0,
            fixed.data.n_samples if "sample" in used else 0,
            self._vectors(fixed.data) if "vector" in used else 0, signed="sign" in used,
        )  # fmt: skip
        coords["update"] = self._updates()
        for section in (space.data, space.net):
            coords |= self._held(section)
        attrs = {
            "title": self.name,
            "study": as_json(self.physics),
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "numerics_version": NUMERICS_VERSION,
        }
        return Layout((*space.axes, "method", "replicate"), coords, self.variables, attrs)

    @staticmethod
    def _vectors(data: Data) -> int:
        assert isinstance(data, DrawnData)  # of others `coef` is not recordable
        return data.dictionary_size

    def _first_point(self) -> Point:
        return self.space.point((0,) * len(self.space.axes))

    def _held(self, section: Section) -> dict[str, Coordinate]:
        """Fields that are not swept: a scalar each, or over the grid where a formula varies."""
        dims, found = tuple(self.space.axes), {}
        for name, value in section.fields.items():
            if name in self.space.axes or (value is None and name not in self.space.swept_fields):
                continue
            swept = name in self.space.swept_fields
            if swept or (isinstance(value, str) and section.owner.is_number(name)):
                owner = "data" if section is self.space.data else "net"
                points = map(self.space.point, self.space.indices())
                values = np.array([getattr(getattr(point, owner), name) for point in points])
                values = values.reshape(self.space.shape)
                found[name] = parameter_coordinate(name, dims, values, section.owner, name)
            else:
                found[name] = parameter_coordinate(name, (), np.array(value), section.owner, name)
        return found

    def _updates(self) -> Coordinate:
        """The number of updates behind each recorded state, over the dims it varies along."""
        space = self.space
        deciding = {"epochs", "batch_size", "n_samples", "last_batch"}
        varies = bool(deciding & (space.swept_fields | space.formula_fields))
        indices = list(space.indices()) if varies else [(0,) * len(space.axes)]
        values = np.array(
            [
                [self.record.updates(plan, point.data.n_samples, "last") for plan in point.plans]
                for point in map(space.point, indices)
            ]
        )
        dims: tuple[str, ...] = ("method", "step")
        values = values.reshape(*(space.shape if varies else (1,)), *values.shape[1:])
        if varies:
            dims = (*space.axes, *dims)
        else:
            values = values[0]
        return Coordinate(dims, values, UPDATE_ATTRS)

    # -- blocks and their price ------------------------------------------------------------------

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of the grid dims, then replicates: what blocks are cut from."""
        return (*self.space.shape, self.replicates)

    @functools.cached_property
    def cost(self) -> float:
        """Nominal core-seconds of the whole study, from every point or an even thousand of them."""
        step = max(1, self.space.size // 1000)
        points = map(self.space.point, itertools.islice(self.space.indices(), 0, None, step))
        prices = [blocks.seconds(point, self.record, self.states) for point in points]
        return float(np.mean(prices)) * self.space.size * self.replicates

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
        return blocks.block_shape(self.lengths, self.cost, self.bytes)

    @functools.cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, numbered in C order."""
        return tuple(blocks.cut(self.lengths, self.block_shape))

    # -- the door to run -------------------------------------------------------------------------

    def run(self, out: str | Path | None = None, threads: int | None = None) -> "xr.Dataset":
        """Simulate every point.

        Parameters
        ----------
        out : path, optional
            A Zarr store; what it already holds of this study is kept. In memory where absent.
        threads : int, optional
            Cores to use; every available one where absent. The values have the same bits.

        Returns
        -------
        xarray.Dataset
            Dims: swept parameters, method, replicate, step, …
        """
        from simdyn.run import run_study

        return run_study(self, out, threads=threads)


def _merge(table: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Change a table in place, and tables in it likewise."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _merge(table[key], value)
        else:
            table[key] = value


def load_study(path: str | Path) -> Study:
    """A study from its TOML file.

    Raises
    ------
    InputError
        One line that names the file, the field, the value and what is allowed.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        found = {*path.parent.glob("*.toml"), *Path("studies").glob("*.toml")}
        there = sorted(str(file) for file in found if file.name != "pyproject.toml")
        raise InputError(f"{path}: no such file; {nearest(str(path), there)}") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; allowed is a study file, NAME.toml") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; allowed is a study in TOML") from None
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from None
    except (ValueError, RecursionError, MemoryError) as problem:  # TOMLDecodeError among them
        raise InputError(f"{path}: not valid TOML: {problem}") from None
    try:
        study = Study.from_mapping(tables, path.stem)
        study._place = f"{path}: "
        return study
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from None
