"""What results hold for a figure, and the parameters that they were made with."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from simdyn.base.inputs import InputError, nearest, shown
from simdyn.params import (
    MODELS,
    OPTIMISERS,
    Contents,
    Crossing,
    Curves,
    Data,
    Phase,
    PhaseDiagram,
    Picture,
    Trajectories,
    TwoLayerCNN,
)
from simdyn.params.parameters import check_kind
from simdyn.space.points import Point, Space
from simdyn.study.checks import place_of, possible_variables
from simdyn.variables.layout import parameter_coordinate
from simdyn.variables.selection import offers_of, offers_of_plan, recordable


def _swept(ds: xr.Dataset) -> list[str]:
    return [str(dim) for dim in ds["status"].dims if dim not in ("method", "replicate")]


def checked(ds: xr.Dataset, figure: Picture, possible: Sequence[str] = ()) -> xr.Dataset:
    """Results over the figure's axes only, in increasing order.

    Parameters
    ----------
    ds : xarray.Dataset
        Of a study; an axis with one value that the figure does not show is dropped.
    figure : simdyn.params.Picture
    possible : sequence of str
        Variables that can be recorded of the data and network; empty if that is not known.

    Raises
    ------
    InputError
        If the results do not have what the figure names or needs.
    """
    over = [dim for dim in _swept(ds) if dim in figure.axes or ds.sizes[dim] > 1]
    apart = {*ds["status"].dims, "step"}
    numbers = {
        str(name): str(at.dims[0])
        for name, at in ds.coords.items()
        if at.ndim == 1 and np.issubdtype(at.dtype, np.number) and at.dims[0] in over
    }
    figure.check(
        Contents(
            {dim: np.issubdtype(ds[dim].dtype, np.number) for dim in over},
            list(map(str, ds["method"].values)),
            {str(k): len({*v.dims} - apart) for k, v in ds.data_vars.items() if "step" in v.dims},
            ds.sizes.get("step", 0),
            ds.sizes.get("replicate", 1),
            possible,
            numbers,
            solved_field(ds),
            {name: float(ds[name].min()) for name in numbers},
        )
    )
    ds = ds.isel({dim: 0 for dim in _swept(ds) if dim not in over})
    return ds.sortby(list(figure.axes))


def at_values(ds: xr.Dataset, figure: Picture) -> xr.Dataset:
    """Results at the values that a figure gives of axes which it does not show.

    Raises
    ------
    InputError
        If an axis has no such value.
    """
    check_kind("figure", figure, Picture)
    if not isinstance(ds, xr.Dataset):
        raise InputError(f"ds = {shown(ds)}: allowed are results, an xarray.Dataset")
    for name, value in (figure.at or {}).items():
        if name not in _swept(ds):
            raise InputError(f"figure.at: {name!r} is not swept; {nearest(name, _swept(ds))}")
        ds = ds.isel({name: place_of(name, value, ds[name].values)})
    return ds


def solved_field(ds: xr.Dataset) -> str:
    """The field for which the study of these results solves; empty if it solves for none."""
    solve = json.loads(ds.attrs.get("study", "{}")).get("solve")
    return str(solve["field"]) if solve else ""


def usual_figure(ds: xr.Dataset) -> Picture:
    """The figure that results of this shape usually have, if no study declares one.

    Parameters
    ----------
    ds : xarray.Dataset

    Returns
    -------
    simdyn.params.Picture
        A phase diagram over two swept fields, curves over one, trajectories if nothing is swept; of
        the test error, or else of the training loss or the first variable there is.

    Raises
    ------
    InputError
        If more is swept, or a swept field holds no numbers.
    """
    axes = [dim for dim in _swept(ds) if ds.sizes[dim] > 1]
    numbers = all(np.issubdtype(ds[dim].dtype, np.number) for dim in axes)
    if len(axes) > 2 or not numbers:
        raise InputError(
            f"{', '.join(axes)} {'is' if len(axes) == 1 else 'are'} swept: no figure shows this by "
            "itself; select from open_results in Python and draw that, or give a study file a "
            "[figure]"
        )
    apart = {*ds["status"].dims, "step"}
    scalars = [str(k) for k, v in ds.data_vars.items() if "step" in v.dims and {*v.dims} <= apart]
    usual = [name for name in ("test_error", "train_loss") if name in scalars]
    shown = next(iter([*usual, *scalars]), "test_error")
    if len(axes) == 2:
        return PhaseDiagram(x=axes[0], y=axes[1], variable=shown)
    return Curves(x=axes[0], variables=(shown,)) if axes else Trajectories()


@dataclasses.dataclass(frozen=True)
class Source:
    """The parameters behind results at one setting, as far as the results hold them.

    Attributes
    ----------
    data, net : parameter classes, optional
    phases : dict of str to tuple of Phase
        The plan of each method, if it is known.
    possible : tuple of str
        Variables that can be recorded of such data; empty if it is not known.
    probe_radius : float, optional
        Of the record.
    """

    data: Data | None = None
    net: TwoLayerCNN | None = None
    phases: Mapping[str, tuple[Phase, ...]] = dataclasses.field(default_factory=dict)
    possible: tuple[str, ...] = ()
    probe_radius: float | None = None


def space_of(ds: xr.Dataset) -> Space:
    """The space of the study whose results these are."""
    study = json.loads(ds.attrs["study"])
    solve = study.get("solve")
    return Space(
        study["data"],
        study["network"],
        study["methods"],
        study["space"],
        solved=None if solve is None else Crossing(**solve),
    )


def point_at(space: Space, ds: xr.Dataset, **values: float) -> Point:
    """The point with these values of swept fields, or else the values selected from the results.

    A value between two of its axis stands for the nearest.
    """
    index = []
    for dim, first in zip(space.dims, space.first, strict=True):
        axis, value = space.axes[dim], values.get(dim)
        if value is None and dim in ds.coords and ds[dim].size == 1:
            value = ds[dim].item()
        if value is None:
            index.append(first)
        elif isinstance(value, str):
            index.append(int(np.flatnonzero(axis == value)[0]))
        else:
            index.append(int(abs(axis - value).argmin()))
    return space.point(index)


def labelled(ds: xr.Dataset) -> tuple[xr.Dataset, Source]:
    """Results with dims method and replicate, and the parameters behind them."""
    ds = ds.isel({dim: 0 for dim in _swept(ds) if ds.sizes[dim] == 1})
    if "replicate" not in ds["status"].dims:
        ds = ds.drop_vars("replicate", errors="ignore").expand_dims(replicate=[0])
    made = next(iter(json.loads(ds.attrs.get("call", "{}")).values()), None)
    if "study" in ds.attrs:
        source = _of_study(ds)
    elif made and "method" not in ds["status"].dims:
        source, ds = _of_call(ds, made)
    else:
        source = Source()
    if "method" not in ds["status"].dims:
        name = ds["method"].item() if "method" in ds.coords else next(iter(source.phases), "run")
        ds = ds.drop_vars("method", errors="ignore").expand_dims(method=[str(name)])
    return ds, source


def _of_study(ds: xr.Dataset) -> Source:
    space = space_of(ds)
    point = point_at(space, ds)
    radius = json.loads(ds.attrs["study"]).get("record", {}).get("probe_radius")
    return Source(
        point.data,
        point.net,
        dict(zip(space.methods, point.plans, strict=True)),
        possible_variables(space),
        radius,
    )


def _of_call(ds: xr.Dataset, made: Mapping[str, Any]) -> tuple[Source, xr.Dataset]:
    """The source of results of `simulate` or `train`, and the results labelled as a study's.

    The one plan is named after its optimisers. Fields of data and network, if the data is drawn,
    become coordinates.
    """
    plan = [dict(phase) for phase in made["plan"]]
    names = [phase.pop("class") for phase in plan]
    phases = tuple(OPTIMISERS[name](**phase) for name, phase in zip(names, plan, strict=True))
    name = str(ds["method"].item()) if "method" in ds.coords else ", then ".join(names)
    radius = made["record"].get("probe_radius")
    study: dict[str, Any] = {
        "methods": {
            name: [{"optimiser": name, **phase} for name, phase in zip(names, plan, strict=True)]
        }
    }
    data, net = None, None
    if "data" in made:
        owners = {owner.__name__: owner for owner in MODELS.values()}
        drawn = dict(made["data"])
        owner = owners[drawn.pop("class")]
        network = {key: value for key, value in made["net"].items() if key != "class"}
        data, net = owner(**drawn), TwoLayerCNN(**network)
        study |= {"data": {"model": owner.model, **drawn}}
        for part in (data, net):
            for field, value in part.model_dump().items():
                if isinstance(value, int | float | str) and field not in ds.dims:
                    at = parameter_coordinate(field, (), np.array(value), type(part), field)
                    ds = ds.assign_coords({field: (at.dims, at.values, dict(at.attrs))})
    ds = ds.assign_attrs(study=json.dumps(study), seed=made.get("seed"))
    offers = offers_of(type(data), offers_of_plan(phases)) if data is not None else set()
    possible = recordable(offers) if offers else ()
    return Source(data, net, {name: phases}, possible, radius), ds
