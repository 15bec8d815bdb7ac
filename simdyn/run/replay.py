"""One point of a store again, with its whole trajectory, from the store alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn.inputs import InputError, check_replicates, nearest, shown
from simdyn.run.block import MASKED
from simdyn.simulation import simulate
from simdyn.store import Store, open_results, open_study, undamaged
from simdyn.study import Study

if TYPE_CHECKING:
    import xarray as xr


def find_point(study: Study, at: Mapping[str, Any]) -> tuple[int, ...]:
    """Index of the point with these coordinates.

    Parameters
    ----------
    at : dict of str to number or str
        A value of every axis that has more than one; of axes that go together, one is enough
        where only one point has it.

    Raises
    ------
    InputError
        Where an axis is missing or unknown, has no such value, or several points have it.
    """
    space = study.space
    for name in at:
        if name not in space.axes:
            raise InputError(f"{name}: no such axis; {nearest(name, space.axes)}")
    index = []
    for dim, names in space.dims.items():
        given = [name for name in names if name in at]
        length = space.axes[dim].size
        if not given and length > 1:
            raise InputError(f"{dim} is missing; allowed is one of {_some(space.axes[dim])}")
        fits = np.ones(length, dtype=bool)
        for name in given:
            own = _equals(space.axes[name], at[name])
            if not own.any():
                raise InputError(
                    f"{name} = {shown(at[name])}: allowed is one of {_some(space.axes[name])}"
                )
            fits &= own
        if not fits.any():
            raise InputError(f"{', '.join(given)}: no point has these values together")
        if fits.sum() > 1:
            rest = ", ".join(name for name in names if name not in given)
            raise InputError(
                f"{', '.join(given)}: {fits.sum()} points have this value; give {rest}, too"
            )
        index.append(int(np.argmax(fits)))
    return tuple(index)


def _equals(values: np.ndarray, wanted: Any) -> np.ndarray:
    """Where an axis has a value: as text the way it is printed, as a number to 12 digits."""
    same = np.array([str(value) == str(wanted) for value in values.tolist()], dtype=bool)
    if same.any() or values.dtype.kind in "UO":
        return same
    try:
        number = float(wanted)
    except (TypeError, ValueError):
        return same
    return np.asarray(np.isclose(values, number, rtol=1e-12, atol=0.0))


def _some(values: np.ndarray, most: int = 8) -> str:
    plain = [str(value) for value in values.tolist()]
    if len(plain) > most:
        plain = [*plain[: most - 2], "…", plain[-1]]
    return ", ".join(plain)


def replay(
    path: str | Path, at: Mapping[str, Any], method: str | None = None, *,
    every: int | None = None, replicates: int | None = None, threads: int | None = None,
) -> "xr.Dataset":  # fmt: skip
    """Train one point of a store again and record its course, bit for bit what the study computed.

    Parameters
    ----------
    path : path
        A store of a study.
    at : dict of str to number or str
        The point: a value of every axis that has more than one.
    method : str, optional
        Needed where the study has more than one.
    every : int ≥ 1, optional
        Epochs between recorded states; the last is always recorded. As `simulate` records if
        absent: every epoch, and of more than a thousand log-spaced states.
    replicates : int, optional
        The first so many; all where absent.
    threads : int, optional

    Returns
    -------
    xarray.Dataset
        As `simulate` returns it. The attribute ``replayed`` says how many values of the store it
        was held against.

    Raises
    ------
    InputError
        Where there is no such store or point, or values differ from the store's: another type of
        CPU or other versions computed them.
    """
    study = open_study(path)
    index = find_point(study, at)
    methods = study.space.methods
    if method is None and len(methods) == 1:
        method = methods[0]
    if method is None:
        raise InputError(f"method is missing; allowed is one of {', '.join(methods)}")
    if method not in methods:
        raise InputError(f"method = {shown(method)}: {nearest(str(method), methods)}")
    if not study.space.wanted(index):
        raise InputError(f"status {MASKED}: the study masks this point{study.space.place(index)}")
    count = study.replicates if replicates is None else check_replicates(replicates)
    if count > study.replicates:
        raise InputError(f"replicates = {count}: allowed is up to the study's {study.replicates}")
    point = study.space.point(index)
    plan = point.plans[methods.index(method)]
    variables = study.record.variables
    record = study.record.replace(every=every, unit="epoch", log_spaced=None, variables=None)
    if variables is not None:  # what few look for is recorded where the study did
        record = record.replace(variables=_with_defaults(study, variables))
    course = simulate(
        point.data, point.net, plan, seed=study.seed, replicates=count, record=record,
        threads=threads,
    )  # fmt: skip
    store = Store(path, study)
    own = {store.blocks.holding((*index, replicate)) for replicate in range(count)}
    with undamaged(store, own):
        stored = open_results(path).isel(dict(zip(study.space.dims, index, strict=True)))
        stored = stored.sel({"method": method}).isel(replicate=slice(count)).load()
    course.attrs["replayed"] = _held_against(course, stored)
    return course


def _with_defaults(study: Study, variables: Sequence[str]) -> tuple[str, ...]:
    from simdyn.schema import VARIABLES, by_default, recordable

    wanted = {*by_default(recordable(study.data_law)), *variables}
    return tuple(name for name in VARIABLES if name in wanted and name not in ("status",))


def _held_against(course: "xr.Dataset", stored: "xr.Dataset") -> int:
    """Compare states that both have, bit by bit; returns the number of values compared."""
    done = stored["status"].values
    if not np.isin(done, (1, 2, 3)).all():
        return 0  # nothing there to be held against
    if "update" in stored.coords:
        updates = stored["update"].values.reshape(-1)
    else:  # a huge study tells it of none: what it records is the last state
        updates = course["update"].values[-1:]
    own = course["update"].values
    pairs = [(k, int(np.flatnonzero(own == u)[0])) for k, u in enumerate(updates) if u in own]
    compared = 0
    for name in stored.data_vars:
        if name not in course:
            continue
        theirs, ours = stored[name].values, course[name].values
        if "step" in stored[name].dims:
            theirs = theirs[:, [k for k, _ in pairs]]
            ours = ours[:, [k for _, k in pairs]]
        if not np.array_equal(theirs, ours, equal_nan=theirs.dtype.kind == "f"):
            raise InputError(
                f"{name} differs from the store's: it was computed on another type of CPU, or with "
                "other versions (its log tells which)"
            )
        compared += theirs.size
    return compared
