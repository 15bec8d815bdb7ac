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
from simdyn.store.creation import with_plain_texts
from simdyn.store.files import (
    META,
    STORE_ATTRS,
    attributes,
    explain_damage,
    explain_file_errors,
    identities,
    is_abridged,
)
from simdyn.store.identity import open_group, open_study
from simdyn.store.store import Store, explain_damaged_blocks
from simdyn.study.sample_labels import with_labels
from simdyn.variables.registry import VARIABLES
from simdyn.variables.variable import INNER, OUTER


def write_dataset(ds: xr.Dataset, path: str | Path) -> None:
    """Write a small dataset to a new folder, then rename this to `path`.

    Parameters
    ----------
    ds : xarray.Dataset
    path : path
        A dataset that is there already is replaced. `open_results` opens it.

    Raises
    ------
    InputError
        If something else is there.
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
    """Check that a path is free, or has a dataset that is not the results of a study.

    Parameters
    ----------
    path : path
    field : str
        What the message begins with.

    Raises
    ------
    InputError
        If something else is there.
    """
    if os.path.lexists(path) and (identities(path) or not (path / META).is_file()):
        raise InputError(
            f"{field}{path}: exists already; allowed is a new folder, or a trajectory that "
            "simdyn wrote"
        )


def open_results(path: str | Path) -> xr.Dataset:
    """Open the results of a study as a lazy dataset: values are read when they are used.

    Labels are the exact values that were simulated. `sel` finds a label by its exact value, or
    with ``method="nearest"`` the one nearest to a number.

    Parameters
    ----------
    path : path
        A store that ``simdyn run`` or `Study.run` wrote, or a trajectory that
        ``simdyn replay --to`` wrote. If a study is not finished, the missing runs have status 0.

    Returns
    -------
    xarray.Dataset
        Dims: swept parameters, method, replicate, step, …; or those of `simulate`.

    Raises
    ------
    InputError
        If there is no store, or it is damaged.

    Examples
    --------
    >>> study = simdyn.Study(
    ...     {"n_samples": 10, "dimension": 100},
    ...     simdyn.TwoLayerCNN(n_filters=2, init_std=0.01),
    ...     {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=20)]},
    ...     {"signal_norm": [1.0, 3.0]},
    ... )
    >>> done = study.run("results/small.zarr")
    >>> simdyn.open_results("results/small.zarr").test_error.sel(signal_norm=3.0).dims
    ('method', 'replicate', 'step')

    A decimal that is not quite a label is selected as the nearest, within a tolerance; methods are
    then selected apart, for xarray takes ``method=`` for itself:

    >>> last = simdyn.summary(simdyn.open_results("results/small.zarr")).isel(step=-1)
    >>> near = last.sel({"signal_norm": 2.9999}, method="nearest", tolerance=0.01)
    >>> near.signal_norm.item(), near.test_error.sel({"method": "sgd"}).dims
    (3.0, ())
    >>> list(last.test_error.to_dataframe().index.names)
    ['signal_norm', 'method']
    """
    if "call" in attributes(Path(path)):
        return _open_trajectory(Path(path))
    group, path = open_group(path), Path(path)
    with explain_damage(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damage to files of no array; `verify` names it
        results = xr.open_zarr(path, chunks=None, consolidated=False)
        # xarray opens what is there, and says nothing of what is missing.
        physics = json.loads(str(group.attrs["study"]))
        recorded = physics["record"]["variables"]
        others = str(group.attrs.get("coordinates", "")).split()
        lost = {*recorded, *results.dims, *others} - set(results.variables)
        if lost:
            raise LookupError(f"no {min(map(str, lost))}")
        results = _ordered(results)
        labels = {**physics["space"], "method": list(physics["methods"])}
        for name in labels.keys() & results.coords.keys():
            if is_abridged(labels[name]):
                continue
            if results[name].values.tolist() != labels[name]:  # a missing chunk reads as zeros
                raise ValueError(f"{name} has other values")
        if "sample" in results.dims:
            results = with_labels(results, open_study(path, strictly=False))
        return results


def _open_trajectory(path: Path) -> xr.Dataset:
    """What `write_dataset` wrote: results of one call, which their attributes name."""
    try:
        return _ordered(xr.open_zarr(path, chunks=None, consolidated=False))
    except Exception as problem:  # what damaged files raise depends on where they are damaged
        what = f"{type(problem).__name__}: {problem}"
        raise InputError(f"{path}: damaged ({what}); make it again") from None


def _ordered(results: xr.Dataset) -> xr.Dataset:
    """A dataset from Zarr with its variables in order, and texts as texts instead of objects."""
    for name in STORE_ATTRS:
        results.attrs.pop(name, None)
    laws = [name for owner in MODELS.values() for name in owner.model_fields]
    known = [*OUTER, *INNER, "updates", "update", *laws, *TwoLayerCNN.model_fields]
    names = [*map(str, results["status"].dims), *known, *sorted(map(str, results.coords))]
    coords: dict[Hashable, xr.Variable] = {}
    if "update" in results.coords:  # the name in early stores; it stays, as a second name
        results = results.assign_coords(updates=results.coords["update"].variable)
    for name in dict.fromkeys(names):
        if name in results.coords:
            at = results.coords[name].variable
            if at.dtype.kind in "OT":
                at = xr.Variable(at.dims, np.array(at.values.tolist()), at.attrs)
            coords[name] = at
    variables = {name: results[name].variable for name in VARIABLES if name in results}
    ordered = xr.Dataset(variables, coords, results.attrs)
    for array in ordered.variables.values():
        if array.attrs.get("units") == "1":  # in stores of before
            del array.attrs["units"]
    return ordered


def export(path: str | Path, target: str | Path) -> None:
    """Write the results of a study to one NetCDF file, which ``xarray.open_dataset`` opens.

    Parameters
    ----------
    path : path
        A store.
    target : path
        Replaced if it exists, when the new file is complete.

    Raises
    ------
    InputError
        If there is no store, no h5netcdf, or the target cannot be written.
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
    study = open_study(path, strictly=False)  # any NUMERICS_VERSION can be exported
    ours = open_group(path).attrs.get("fingerprint") == study.fingerprint
    whole = explain_damaged_blocks(Store(path, study)) if ours else contextlib.nullcontext()
    squeeze = {
        name: {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True}
        for name, array in results.data_vars.items()
        if array.ndim
    }
    with explain_file_errors(target, "written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as draft, explain_damage(path, but=OSError), whole:
            results.to_netcdf(draft, engine="h5netcdf", encoding=squeeze)
