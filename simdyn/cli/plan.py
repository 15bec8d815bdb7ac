"""The command `plan`: the size and cost of a study, and batch scripts for it."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from simdyn.api.display import COMPILING, clock, must_compile
from simdyn.cli.batch import array_script, blocks_done, check_fits, how_priced, shards_for
from simdyn.cli.options import (
    JOB_OPTIONS,
    Account,
    Cores,
    Json,
    Memory,
    Out,
    Pbs,
    Queue,
    Slurm,
    Smoke,
    StoreFile,
    Walltime,
    check_needs,
    guard,
)
from simdyn.cli.studies import study_and_store

if TYPE_CHECKING:
    from simdyn.run.price import Price
    from simdyn.study.design import StudyDesign

Nominal = Annotated[bool, typer.Option("--nominal", help="Use nominal prices; time no runs here.")]
Sbatch = Annotated[
    bool, typer.Option("--sbatch", help="Print a Slurm batch script of shards instead.")
]
Shards = Annotated[
    int | None, typer.Option("--shards", metavar="N", help="Shards of the batch script.")
]


def plan(
    ctx: typer.Context,
    study_or_store: StoreFile,
    *,
    out: Out = Path(),
    smoke: Smoke = False,
    nominal: Nominal = False,
    sbatch: Sbatch = False,
    shards: Shards = None,
    slurm: Slurm = False,
    pbs: Pbs = False,
    cores: Cores = 8,
    memory: Memory = "8GB",
    walltime: Walltime = "01:00:00",
    queue: Queue = None,
    account: Account = None,
    as_json: Json = False,
) -> None:
    """Show what a study would do: points, runs, blocks, core-hours, bytes, what is done and left.

    Times some of its runs for about two seconds to price it on this machine, and writes nothing.
    With --sbatch, prints a batch script in which each task of an array computes a shard, and queues
    itself again at its time limit; with --slurm or --pbs, the script of the jobs that `simdyn run`
    would submit through Dask. A walltime that is too short for a block is refused.
    """
    with guard():
        from simdyn.base.inputs import InputError
        from simdyn.run.clusters import Jobs, job_cluster

        study, path = study_and_store(study_or_store, out, smoke)
        asked = Jobs(cores, memory, walltime, queue, account)
        if sum((sbatch, slurm, pbs)) > 1:
            raise InputError("--sbatch, --slurm, --pbs: allowed is one of them")
        if as_json and (sbatch or slurm or pbs):
            raise InputError(
                "--json: allowed without --sbatch, --slurm and --pbs, which print a script"
            )
        check_needs(ctx, ["shards"], "--sbatch", sbatch)
        check_needs(ctx, JOB_OPTIONS, "--sbatch, --slurm or --pbs", sbatch or slurm or pbs)
        if slurm or pbs:
            check_fits(study, path, asked)
            with job_cluster("slurm" if slurm else "pbs", asked) as cluster:
                typer.echo(cluster.job_script().rstrip())
            return
        blocks, there, reused = blocks_done(study, path)
        from simdyn.run.price import price

        if not nominal and must_compile():
            typer.echo(f"  {COMPILING}", err=True)
        cost = price(study, blocks, there, calibrated=not nominal)
        cost = dataclasses.replace(cost, left=cost.left * (1.0 - reused))
        if sbatch:
            asked.check_fits(cost.longest, how_priced(cost))
            count = shards_for(shards, cost.left, asked, len(there))
            script = array_script(study, study_or_store, out, smoke, asked, count, cost.left)
            typer.echo(script, nl=False)
            return
        _report(study, path, there, cost, reused, as_json)


def number_of_files(study: "StudyDesign", blocks: int) -> int:
    """About how many files the store of a study has when it is done.

    Each block has one for each variable, and its receipt; arrays and groups have their metadata,
    coordinates their values, unless these are zero.
    """
    arrays, coordinates = len(study.variables) + 1, len(study.layout.coords)
    groups = 5  # root, the store's own, receipts, log, and an entry of that
    return blocks * arrays + arrays + 2 * coordinates + groups


def _report(
    study: "StudyDesign", path: Path, there: np.ndarray, cost: "Price", reused: float, as_json: bool
) -> None:
    from simdyn.study.regime_check import outside

    done, files = int(there.sum()), number_of_files(study, there.size)
    shape = dict(zip(study.space.dims, study.space.shape, strict=True))
    report: dict[str, Any] = {
        "study": study.name,
        "fingerprint": study.fingerprint,
        "points": study.space.size,
        "axes": shape,
        "methods": list(study.space.methods),
        "replicates": study.replicates,
        "runs": study.runs,
        "solves_for": study.solve.field if study.solve else None,
        "evaluations": study.evaluations if study.solve else 1,
        "simulated_share": min(study.evaluations, 1.0),
        "blocks": there.size,
        "blocks_done": done,
        "core_hours": cost.seconds / 3600,
        "core_hours_left": cost.left / 3600,
        "kept_share": reused,
        "calibration_runs": cost.measured,
        "longest_block_seconds": cost.longest,
        "bytes": study.bytes,
        "files": files,
        "store": str(path),
        "outside_regime": outside(study) or None,
    }
    if as_json:
        typer.echo(json.dumps(report))
        return
    axes = " × ".join(f"{n} {name}" for name, n in shape.items()) or "one point"
    typer.echo(f"{study.name} ({study.fingerprint[:12]})")
    typer.echo(f"  {study.space.size:,} points: {axes}")
    methods, many = len(study.space.methods), ("", "s")
    typer.echo(
        f"  {study.runs:,} runs: × {methods} method{many[methods > 1]} × "
        f"{study.replicates} replicate{many[study.replicates > 1]}"
        + (f", each about {study.evaluations} times" if study.solve else "")
    )
    if study.solve:
        typer.echo(
            f"  solves for {study.solve.field}: where {study.solve.variable} crosses "
            f"{study.solve.level}"
        )
    if (refine := study.space.refine) is not None:
        levels = ", ".join(f"{level:g}" for level in refine.levels)
        typer.echo(
            f"  about {100 * study.evaluations:.2g} % of them simulated, if a line of "
            f"{refine.variable} = {levels} crosses each map once; the others are interpolated"
        )
    typer.echo(f"  {there.size:,} blocks, {done:,} done, {there.size - done:,} left")
    typer.echo(
        f"  about {cost.seconds / 3600:.2g} core-hours ({clock(cost.seconds)} on one core), "
        f"{how_priced(cost)}"
    )
    if reused:
        typer.echo(f"  {reused:.0%} of it kept from the smaller study whose store is there")
    if done or reused:
        typer.echo(f"  about {cost.left / 3600:.2g} of them left ({clock(cost.left)})")
    typer.echo(f"  {study.bytes / 1e6:.3g} MB of values and about {files:,} files, in {path}")
    if line := report["outside_regime"]:
        typer.echo(f"  {line}")
