"""A study: what is held, swept, recorded and drawn, from a TOML file or from Python."""

import copy
import functools
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn import blocks
from simdyn.blocks import Blocks
from simdyn.grid import spread
from simdyn.inputs import InputError, check_replicates, check_seed, nearest, shown
from simdyn.kernels import NUMERICS_VERSION
from simdyn.params import (
    MODELS,
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
    VARIABLES,
    Layout,
    as_json,
)
from simdyn.space import Point, Space
from simdyn.study.checks import check_figure, check_points, recorded_variables
from simdyn.study.file import read_tables, shrunk
from simdyn.study.layout import layout_of

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client

TABLES = (
    "seed", "replicates", "data", "network", "methods", "space", "record", "figure", "smoke",
)  # fmt: skip
PRICED_POINTS = 1000  # at least, where there are as many


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
        "zip": ["dimension", "n_samples"], or a list of such lists, has these vary together: they
        are one dim of the grid, named after the first. "where": "signal_norm < dimension**0.5" is
        true at the points which are wanted, and may read numbers of data and network, formulas
        among them, and swept ones; the other points are masked, and need not be allowed.
        Of a space of more than 50,000 points only some thousands are checked before it runs.
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
        if figure is not None:
            self.record = figure.recording(self.record)
        if self.record.weights:
            raise InputError("record.weights = True: allowed for explicit data only")
        self.space = Space(data, net, methods, space or {})
        self.variables = recorded_variables(self, figure)
        self._source: dict[str, Any] | None = None
        self._place = ""
        self.states = check_points(self)
        self.figure = check_figure(self, figure)

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

    @classmethod
    def from_physics(
        cls, physics: Mapping[str, Any], axes: Mapping[str, Any], name: str,
        sources: Mapping[tuple[str, ...], Callable[[], Any]] | None = None,
    ) -> "Study":  # fmt: skip
        """The study that has these physics, from the values of its axes; it has no figure.

        Images come from `sources` where they are there, as `ImageData.bringing` takes them.
        """
        data = dict(physics["data"])
        rules = {key: value for key, value in physics["space"].items() if key not in axes}
        record = {key: value for key, value in physics["record"].items() if value is not None}
        if not issubclass(MODELS[data["model"]], DrawnData):
            data["model"] = ImageData.bringing(sources or {})
            for key in ("test_estimator", "test_draws"):  # told there, and not to be asked for
                record.pop(key, None)
        return cls(
            data, physics["network"], physics["methods"], {**axes, **rules},
            replicates=physics["replicates"], seed=physics["seed"],
            record=made("record", Record, record), name=name,
        )  # fmt: skip

    def smoke(self) -> "Study":
        """The small variant of a study from a file: what [smoke] overrides, and 'NAME-smoke'."""
        try:
            tables = shrunk(self._source or {}, self.name)
            try:
                return Study.from_mapping(tables, f"{self.name}-smoke")
            except InputError as problem:
                raise InputError(f"with [smoke]: {problem}") from None
        except InputError as problem:
            raise InputError(f"{self._place}{problem}") from None

    # -- what it is ------------------------------------------------------------------------------

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

    @functools.cached_property
    def physics(self) -> dict[str, Any]:
        """Everything that decides the values and where they lie, as plain data.

        The order of methods and axes is part of it: it is their order in the arrays.
        """
        return self._physics("fields", self.record.model_dump())

    def _physics(self, kind: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """The physics with all `fields`, or the `essential` ones, of each section."""
        space = self.space
        sums = list(self.contents.values())
        contents = {"contents": sums} if sums else {}
        record = {**record, "variables": list(self.variables), **self._testing}
        return {
            "data": {"model": self.data_law.model, **getattr(space.data, kind)},
            **contents,
            "network": getattr(space.net, kind),
            "methods": self._plans(kind),
            "space": space.physics,
            "replicates": self.replicates,
            "seed": self.seed,
            "record": dict(sorted(record.items())),
            "numerics_version": NUMERICS_VERSION,
        }

    @property
    def plans(self) -> dict[str, list[dict[str, Any]]]:
        """The phases of each method, without fields at their defaults."""
        return self._plans("essential")

    def _plans(self, kind: str) -> dict[str, list[dict[str, Any]]]:
        return {
            name: [{"optimiser": s.owner.__name__, **getattr(s, kind)} for s in plan]
            for name, plan in self.space.phases.items()
        }

    @property
    def essence(self) -> dict[str, Any]:
        """The physics without axes, methods, replicates and images: what a growing study keeps."""
        physics = self._essential
        space = {key: physics["space"].get(key) for key in ("zip", "where")}
        growing = ("space", "methods", "replicates", "contents")
        kept = {k: v for k, v in physics.items() if k not in growing}
        return {**kept, **space}

    @property
    def contents(self) -> dict[tuple[str, str, str], str]:
        """SHA-256 of each source of images, by what tells it."""
        from simdyn.images import load

        return {(at.source, at.images, at.labels): load(at).digest for at in self.sources}

    @property
    def sources(self) -> list[ImageData]:
        """Data that name each source of images once; none where there are no images."""
        if not issubclass(self.data_law, ImageData):
            return []
        data = self.first_point.data
        assert isinstance(data, ImageData)
        names = ("source", "images", "labels")
        columns = self._data_values(*names)
        return [data.replace(**dict(zip(names, told, strict=True)))
                for told in dict.fromkeys(zip(*columns, strict=True))]  # fmt: skip

    @property
    def classes(self) -> list[int]:
        """Labels of the images that are used."""
        return sorted(set().union(*map(set, self._data_values("positive", "negative"))))

    def _data_values(self, *names: str) -> list[list[Any]]:
        """Values of fields of the data, over the dims along which any of them varies."""
        fields = [(self.space.data, name) for name in names]
        dims = self.space.dims_behind(fields)
        shape = tuple(self.space.axes[dim].size for dim in dims)
        columns = self.space.fields(fields, dims)
        return [np.broadcast_to(column.values, shape).ravel().tolist()
                for column in columns if column is not None]  # fmt: skip

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over physics, seed, record and NUMERICS_VERSION.

        Fields at their defaults are left out, so that a field which simdyn gains later leaves the
        stores of before as they are.
        """
        return hashlib.sha256(as_json(self._essential).encode()).hexdigest()

    @functools.cached_property
    def _essential(self) -> dict[str, Any]:
        """The physics without fields at their defaults."""
        return self._physics("essential", self.record.model_dump(exclude_defaults=True))

    @property
    def runs(self) -> int:
        """Trajectories in all."""
        return self.space.size * len(self.space.methods) * self.replicates

    @functools.cached_property
    def layout(self) -> Layout:
        """Dims, coordinates and variables of the results."""
        return layout_of(self)

    @property
    def first_point(self) -> Point:
        """The parameters at the first point that is wanted."""
        return self.space.point(self.space.first)

    # -- blocks and their price ------------------------------------------------------------------

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of the grid dims, then replicates: what blocks are cut from."""
        return (*self.space.shape, self.replicates)

    @functools.cached_property
    def cost(self) -> float:
        """Nominal core-seconds of the whole study, from all points or a thousand spread evenly."""
        points = list(spread(self.space.shape, PRICED_POINTS))
        # Masked points cost nothing; where all of these are masked, about one in as many is not.
        wanted = list(filter(self.space.wanted, points)) or [self.space.first]
        prices = [
            blocks.seconds(self.space.point(index), self.record, self.states) for index in wanted
        ]
        share = len(wanted) / len(points)
        return float(np.mean(prices)) * share * self.space.size * self.replicates

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
    def blocks(self) -> Blocks:
        """All blocks, numbered in C order, made when asked for."""
        return Blocks(self.lengths, self.block_shape)

    # -- the door to run -------------------------------------------------------------------------

    def run(
        self,
        out: str | Path | None = None,
        threads: int | None = None,
        client: "Client | None" = None,
    ) -> "xr.Dataset":
        """Simulate every point.

        Parameters
        ----------
        out : path, optional
            A Zarr store; what it already holds of this study is kept. In memory where absent.
        threads : int, optional
            Cores to use; every available one where absent. The values have the same bits.
        client : distributed.Client, optional
            Run on the workers of its Dask cluster instead, to the same bits; they must see `out`.

        Returns
        -------
        xarray.Dataset
            Dims: swept parameters, method, replicate, step, …
        """
        from simdyn.run import run_study

        return run_study(self, out, threads=threads, client=client)


def load_study(path: str | Path) -> Study:
    """A study from its TOML file.

    Raises
    ------
    InputError
        One line that names the file, the field, the value and what is allowed.
    """
    path = Path(path)
    tables = read_tables(path)
    try:
        study = Study.from_mapping(tables, path.stem)
        study._place = f"{path}: "
        return study
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from None
