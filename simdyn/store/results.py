"""Results opened, exported, or written whole: datasets in and out of files."""

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import xarray as xr

from simdyn.base import interrupts
from simdyn.base.inputs import InputError
from simdyn.base.replacement import replacing
from simdyn.params import MODELS, TwoLayerCNN
from simdyn.store.files import META, OWN_ATTRS, attributes, identities, intact, long, plainly
from simdyn.store.identity import open_group, open_study
from simdyn.store.skeleton import with_plain_texts
from simdyn.store.store import Store, undamaged
from simdyn.variables.registry import INNER, OUTER, VARIABLES


def write_dataset(ds: xr.Dataset, path: str | Path) -> None:
    """Write a small dataset whole: beside its place first, then moved into it.

    Parameters
    ----------
    ds : xarray.Dataset
    path : path
        A dataset that stands there is replaced. `open_results` opens it.

    Raises
    ------
    InputError
        Where something else stands there.
    """
    path = Path(path)
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    with interrupts.held():
        try:
            with_plain_texts(ds).to_zarr(fresh, mode="w", consolidated=False, zarr_format=3)
            if path.exists():
                path.replace(old)
            fresh.replace(path)
        finally:
            for left in (fresh, old):
                shutil.rmtree(left, ignore_errors=True)


def check_replaceable(path: Path, field: str = "") -> None:
    """What a dataset replaces must be a dataset, and no results of a study.

    Parameters
    ----------
    path : path
    field : str
        What a message begins with.

    Raises
    ------
    InputError
        Where something else stands there.
    """
    if os.path.lexists(path) and (identities(path) or not (path / META).is_file()):
        raise InputError(
            f"{field}{path}: is there already; allowed is a new folder, or a trajectory that "
            "simdyn wrote"
        )


def open_results(path: str | Path) -> xr.Dataset:
    """Results of a study as a plain, lazy dataset; values are read when they are used.

    Labels are the values that were simulated: `sel` finds them to the last bit, and with
    ``method="nearest"`` those near a number.

    Parameters
    ----------
    path : path
        A store that `simdyn run` or `Study.run` wrote, whole or unfinished; what is missing has
        status 0. Or the course that ``simdyn replay --to`` kept.

    Raises
    ------
    InputError
        Where there is no store.
    """
    if "call" in attributes(Path(path)):
        return _open_course(Path(path))
    group, path = open_group(path), Path(path)
    with intact(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage to what is no array; `verify` names it
        results = xr.open_zarr(path, chunks=None, consolidated=False)
        # xarray opens what is there and does not miss what is not.
        physics = json.loads(str(group.attrs["study"]))
        recorded = physics["record"]["variables"]
        beside = str(group.attrs.get("coordinates", "")).split()
        lost = {*recorded, *results.dims, *beside} - set(results.variables)
        if lost:
            raise LookupError(f"no {min(map(str, lost))}")
        results = _ordered(results)
        labels = {**physics["space"], "method": list(physics["methods"])}
        for name in labels.keys() & results.coords.keys():
            if long(labels[name]):
                continue
            if results[name].values.tolist() != labels[name]:  # a missing chunk reads as zeros
                raise ValueError(f"{name} has other values")
        return results


def _open_course(path: Path) -> xr.Dataset:
    """What `write_dataset` wrote: results of one call, which they tell."""
    try:
        return _ordered(xr.open_zarr(path, chunks=None, consolidated=False))
    except Exception as problem:  # what damaged files raise depends on where they are damaged
        what = f"{type(problem).__name__}: {problem}"
        raise InputError(f"{path}: damaged ({what}); make it again") from None


def _ordered(results: xr.Dataset) -> xr.Dataset:
    """A dataset as Zarr gives it, put right: a folder is listed in no order, texts are objects."""
    for name in OWN_ATTRS:
        results.attrs.pop(name, None)
    laws = [name for owner in MODELS.values() for name in owner.model_fields]
    known = [*OUTER, *INNER, "updates", "update", *laws, *TwoLayerCNN.model_fields]
    names = [*map(str, results["status"].dims), *known, *sorted(map(str, results.coords))]
    coords: dict[Hashable, xr.Variable] = {}
    if "update" in results.coords:  # its name in stores of before, which stays another name of it
        results = results.assign_coords(updates=results.coords["update"].variable)
    for name in dict.fromkeys(names):
        if name in results.coords:
            at = results.coords[name].variable
            if at.dtype.kind in "OT":
                at = xr.Variable(at.dims, np.array(at.values.tolist()), at.attrs)
            coords[name] = at
    variables = {name: results[name].variable for name in VARIABLES if name in results}
    return xr.Dataset(variables, coords, results.attrs)


def export(path: str | Path, target: str | Path) -> None:
    """Write the results of a study to one NetCDF file, which ``xarray.open_dataset`` opens.

    Parameters
    ----------
    path : path
        A store.
    target : path
        Replaced where it exists, once the new file is whole.

    Raises
    ------
    InputError
        Where there is no store, no h5netcdf, or no place to write.
    """
    path, target = Path(path), Path(target)
    try:
        import h5netcdf  # noqa: F401
        import h5py  # noqa: F401
    except ImportError:  # h5netcdf comes without h5py since its version 1.8
        raise InputError(
            "export needs h5netcdf and h5py: pip install 'simdyn[netcdf]' brings both"
        ) from None
    results = open_results(path)
    study = open_study(path, strictly=False)  # numbers of another version are exported, too
    ours = open_group(path).attrs.get("fingerprint") == study.fingerprint
    whole = undamaged(Store(path, study)) if ours else contextlib.nullcontext()
    squeeze = {
        name: {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True}
        for name, array in results.data_vars.items()
        if array.ndim
    }
    with plainly(target, "written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as draft, intact(path, but=OSError), whole:
            results.to_netcdf(draft, engine="h5netcdf", encoding=squeeze)
