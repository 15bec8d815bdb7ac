"""One point of a store again, with its whole trajectory, from the store alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simdyn.api.agreement import agreement
from simdyn.api.places import find_point
from simdyn.api.simulation import simulate
from simdyn.base.inputs import InputError, check_replicates, nearest, shown
from simdyn.kernels.codes import MASKED
from simdyn.run.block import point_label
from simdyn.store import Store, explain_damaged_blocks, open_results, open_study
from simdyn.study.design import StudyDesign

if TYPE_CHECKING:
    import xarray as xr


def replay(
    path: str | Path,
    at: Mapping[str, Any],
    method: str | None = None,
    *,
    every: int | None = None,
    replicates: int | None = None,
    threads: int | None = None,
) -> "xr.Dataset":
    """Train one point of a store again, record its course, and hold it against the store.

    It has the store's own bits on the type of CPU and with the versions that computed the store,
    and differs by rounding on others.

    Parameters
    ----------
    path : path
        A store of a study.
    at : dict of str to number or str
        The point: a value of every axis that has more than one. "~5" takes the one nearest to 5.
    method : str, optional
        Needed if the study has more than one.
    every : int ≥ 1, optional
        Epochs between recorded states; the last is always recorded. As `simulate` records if
        absent: every epoch, and of more than a thousand log-spaced states.
    replicates : int, optional
        The first so many; all where absent.
    threads : int, optional

    Returns
    -------
    xarray.Dataset
        As `simulate` returns it. Attributes say how it compares with the store: ``point``, which
        point it is; ``replayed``, the number of values compared; ``agreement``, "bits" if all are
        the same to the last bit, "rounding" if they differ by at most 1e-9 relatively and another
        type of CPU or other versions explain it, "differs" if not, "none" if the store has no
        values there yet; ``verdict``, the same in a sentence. ``difference`` of a variable is its
        largest relative difference.

    Raises
    ------
    InputError
        If there is no such store or point, or its block is damaged.
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
        raise InputError(
            f"status {MASKED}: the study masks this point{study.space.location(index)}"
        )
    count = study.replicates if replicates is None else check_replicates(replicates)
    if count > study.replicates:
        raise InputError(f"replicates = {count}: allowed is up to the study's {study.replicates}")
    point = study.space.point(index)
    plan = point.plans[methods.index(method)]
    variables = study.record.variables
    record = study.record.replace(every=every, unit="epoch", log_spaced=None, variables=None)
    if variables is not None:  # what few look for is recorded where the study did
        record = record.replace(variables=_with_defaults(study, variables))
    store = Store(path, study)
    own = {store.blocks.holding((*index, replicate)) for replicate in range(count)}
    with explain_damaged_blocks(store, own):
        stored = open_results(path).isel(dict(zip(study.space.dims, index, strict=True)))
        stored = stored.sel({"method": method}).isel(replicate=slice(count)).load()
    course = simulate(
        point.data,
        point.net,
        plan,
        seed=study.seed,
        replicates=count,
        record=record,
        threads=threads,
    )
    held = agreement(course, stored, Path(path))
    for name, gap in held.differences.items():
        course[name].attrs["difference"] = gap
    place = f"{point_label(study, index)}, method = {method}"
    return course.assign_attrs(
        point=place, replayed=held.compared, agreement=held.kind, verdict=str(held)
    )


def _with_defaults(study: StudyDesign, variables: Sequence[str]) -> tuple[str, ...]:
    from simdyn.variables.registry import VARIABLES
    from simdyn.variables.selection import by_default, offers_of, recordable

    wanted = {*by_default(recordable(offers_of(study.space.law))), *variables}
    return tuple(name for name in VARIABLES if name in wanted and name not in ("status",))
