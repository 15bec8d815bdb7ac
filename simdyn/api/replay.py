"""One point of a store trained again, with its full trajectory, from the store alone."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simdyn.api.agreement import agreement
from simdyn.api.point_search import find_point
from simdyn.api.simulation import simulate
from simdyn.base.inputs import InputError, check_replicates, nearest, shown
from simdyn.kernels.codes import MASKED
from simdyn.params import Phase, Record
from simdyn.run.block import point_label
from simdyn.store import Store, explain_damaged_blocks, open_results, open_study
from simdyn.study.checks import possible_variables
from simdyn.study.design import StudyDesign
from simdyn.variables.outcomes import OUTCOMES, Outcome
from simdyn.variables.registry import VARIABLES
from simdyn.variables.selection import by_default, offers_of_plan

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
    """Train one point of a store again, record its trajectory, and compare it with the store.

    If the study solves for a field, the point is trained at its critical value.

    It has the same bits as the store if the type of CPU and the versions are the same, and differs
    by rounding on others.

    Parameters
    ----------
    path : path
        A store of a study.
    at : dict of str to number or str
        The point: a value of every axis that has more than one. "~5" takes the one nearest to 5.
    method : str, optional
        Needed if the study has more than one.
    every : int ≥ 1, optional
        Epochs between recorded states; the last is always recorded. If absent, as
        `simulate` records: every epoch, or log-spaced states of more than a thousand epochs.
    replicates : int, optional
        Only the first ones; all if absent.
    threads : int, optional

    Returns
    -------
    xarray.Dataset
        As `simulate` returns it. Attributes say how it compares with the store: ``point``, which
        point it is; ``replayed``, the number of values compared; ``agreement``, "bits" if all are
        the same to the last bit, "rounding" if they differ by at most 1e-9 relatively and another
        type of CPU or other versions explain it, "differs" if not, "none" if the store has no
        simulated values there; ``verdict``, the same in a sentence. ``difference`` of a variable is
        its largest relative difference.

    Raises
    ------
    InputError
        If there is no such store or point, or its block is damaged.

    Examples
    --------
    >>> study = simdyn.Study(
    ...     {"n_samples": 10, "dimension": 100},
    ...     simdyn.TwoLayerCNN(n_filters=2, init_std=0.01),
    ...     {"sgd": simdyn.SGD(learning_rate=0.1, epochs=20)},
    ...     {"signal_norm": [1.0, 3.0]},
    ... )
    >>> ds = study.run("replayed.zarr")
    >>> course = simdyn.replay("replayed.zarr", {"signal_norm": "~2.9"})
    >>> course.sizes["step"], course.attrs["agreement"]
    (21, 'bits')
    """
    study = open_study(path)
    index = find_point(study, at)
    method = _method(study, method)
    if not study.space.wanted(index):
        raise InputError(
            f"status {MASKED}: the study masks this point{study.space.location(index)}"
        )
    count = study.replicates if replicates is None else check_replicates(replicates)
    if count > study.replicates:
        raise InputError(f"replicates = {count}: allowed is up to the study's {study.replicates}")
    stored = _stored(path, study, index, method, count)
    value = None
    if study.solve is not None:
        value, stored = _at_solution(study, stored)
    point = study.space.point(index, value)
    plan = point.plans[study.space.methods.index(method)]
    course = simulate(
        point.data,
        point.net,
        plan,
        seed=study.seed,
        replicates=count,
        record=_record(study, plan, every),
        threads=threads,
    )
    found = agreement(course, stored, Path(path))
    for name, gap in found.differences.items():
        course[name].attrs["difference"] = gap
    label = f"{point_label(study, index)}, method = {method}"
    if study.solve is not None:
        label += f", {study.solve.field} = {value}"
    return course.assign_attrs(
        point=label, replayed=found.compared, agreement=found.kind, verdict=str(found)
    )


def _method(study: StudyDesign, method: str | None) -> str:
    """The method that is meant; it needs no name if it is the only one."""
    methods = study.space.methods
    if method is None:
        if len(methods) > 1:
            raise InputError(f"method is missing; allowed is one of {', '.join(methods)}")
        return methods[0]
    if method not in methods:
        raise InputError(f"method = {shown(method)}: {nearest(str(method), methods)}")
    return method


def _record(study: StudyDesign, plan: Sequence[Phase], every: int | None) -> Record:
    """The study's record over all epochs, with what `simulate` records by default."""
    variables = study.record.variables
    if variables is not None:
        usual = by_default(possible_variables(study.space))
        # What only phases of other methods have is left out.
        other = {"strides", "conditions"} - offers_of_plan(plan)
        wanted = {name for name in (*usual, *variables) if not other & set(VARIABLES[name].needs)}
        variables = tuple(name for name in VARIABLES if name in wanted - {"status"})
    return study.record.replace(variables=variables, every=every, unit="epoch", log_spaced=None)


def _stored(
    path: str | Path, study: StudyDesign, index: tuple[int, ...], method: str, replicates: int
) -> "xr.Dataset":
    """What a store has of a point, for one method and the first replicates."""
    store = Store(path, study)
    blocks = {store.blocks.holding((*index, replicate)) for replicate in range(replicates)}
    with explain_damaged_blocks(store, blocks):
        stored = open_results(path).isel(dict(zip(study.space.dims, index, strict=True)))
        return stored.sel({"method": method}).isel(replicate=slice(replicates)).load()


def _at_solution(study: StudyDesign, stored: "xr.Dataset") -> tuple[float, "xr.Dataset"]:
    """The critical value of a point, and what the store has of the runs there.

    Raises
    ------
    InputError
        If none was found, or it is not computed yet.
    """
    assert study.solve is not None
    value = float(stored["critical_value"])
    if not math.isfinite(value):
        outcome = OUTCOMES[Outcome(int(stored["crossing_status"]))]
        raise InputError(
            f"crossing_status {int(stored['crossing_status'])}: this point has no critical value "
            f"({outcome}), and nothing to train again"
        )
    last = stored["value_at_critical"].expand_dims("step", axis=-1)
    return value, stored[["status", "status_step"]].assign({study.solve.variable: last})
