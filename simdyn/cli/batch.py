"""Do the blocks of a study fit in the jobs asked for? And the script of an array of shards."""

import math
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from simdyn.base.interrupts import INTERRUPTED

if TYPE_CHECKING:
    from simdyn.run.clusters import Jobs
    from simdyn.run.price import Price
    from simdyn.study.design import StudyDesign

SLOWEST = 20.0  # times the nominal duration: if a job has time for that, no run is timed
FEW_SHARDS = 16  # for which the work need not be longer than the start
USUAL_ARRAY = 1000  # tasks of an array by Slurm's defaults
LEAST_RESTARTS = 20  # of a task of an array; more if its shard is long


def blocks_done(study: "StudyDesign", path: Path) -> tuple[Any, np.ndarray, float]:
    """The blocks of a study, which of them are done, and the share that a smaller store has."""
    from simdyn.store import Store, open_group, open_study
    from simdyn.store.identity import holds, is_smaller, with_stored_axes

    none = np.zeros(len(study.blocks), dtype=bool)
    if not path.exists():
        return study.blocks, none, 0.0
    open_group(path)
    study = with_stored_axes(path, study)
    if not holds(path, study) and is_smaller(path, study):
        smaller = open_study(path)
        done = Store(path, smaller).receipts().mean()
        return study.blocks, none, float(done) * smaller.runs / study.runs
    store = Store(path, study)
    return store.blocks, store.receipts(), 0.0


def how_priced(cost: "Price") -> str:
    """'timed on 200 runs here', or 'nominal'."""
    return f"timed on {cost.measured:,} runs here" if cost.measured else "nominal"


def check_fits(study: "StudyDesign", path: Path, jobs: "Jobs") -> None:
    """Refuse jobs that end before a block is finished; time some runs if that is in doubt."""
    from simdyn.base.inputs import InputError
    from simdyn.run.price import price

    try:
        blocks, there, _ = blocks_done(study, path)
    except InputError:  # the run itself repairs a damaged store, or refuses that of another study
        blocks, there = study.blocks, np.zeros(len(study.blocks), dtype=bool)
    cost = price(study, blocks, there, calibrated=False)
    try:
        jobs.check_fits(SLOWEST * cost.longest, "")
    except InputError:
        typer.echo(
            f"{study.name}: timing some runs here, to compare a block with the walltime", err=True
        )
        cost = price(study, blocks, there)
        jobs.check_fits(cost.longest, how_priced(cost))


def shards_for(wanted: int | None, left: float, jobs: "Jobs", blocks: int) -> int:
    """The number of tasks: as wanted, or so that each needs about half of its walltime."""
    from simdyn.base.inputs import InputError
    from simdyn.run.clusters import STARTING

    if wanted is not None:
        if not 1 <= wanted <= blocks:
            raise InputError(
                f"shards = {wanted}: allowed is an integer from 1 to {blocks}, the study's blocks"
            )
        many = max(FEW_SHARDS, int(left / (jobs.cores * STARTING)))
        if wanted > many:
            work = left / (wanted * jobs.cores)
            raise InputError(
                f"shards = {wanted}: each would have about {work:.2g} s of work for its "
                f"{jobs.cores} core(s), and some {STARTING:.0f} s to start; allowed here is an "
                f"integer from 1 to {min(many, blocks)}"
            )
        return wanted
    needed = math.ceil(left / (jobs.cores * jobs.seconds / 2))
    return max(1, min(needed, blocks, USUAL_ARRAY))


HEAD = """\
# {name}: {count} shards of a study of {blocks:,} blocks, about {hours:.2g} core-hours left
# (fingerprint {fingerprint}, simdyn {version}).
# Submit it with sbatch; `simdyn status` shows how far the study is, `simdyn run` draws its figure.
# A site may allow fewer tasks in an array (MaxArraySize - 1 of `scontrol show config`; {usual:,}
# by default), fewer jobs, cores or hours: write it with other --shards, --cores or --walltime then.
"""
# Slurm signals the script alone, by SIGUSR1, so that `scancel` (SIGTERM) does not queue it again.
TASK = """\
# Each task computes a shard. Before its time limit Slurm signals it: it stops, keeps what is done,
# and queues itself again until its shard is done. `simdyn run` then draws the figure.
{cache}
cd {folder}
worker() {{ exec {worker} "$@"; }}
before=$(worker --left) || exit
worker --threads {cores} &
pid=$!
trap 'limit=yes; kill -TERM $pid' USR1
trap 'kill -TERM $pid' TERM
while wait $pid; code=$?; kill -0 $pid 2>/dev/null; do :; done
[ "$limit" ] && [ $code -eq {interrupted} ] || exit $code
after=$(worker --left) || exit
if [ "$after" -eq 0 ]; then exit 0; fi
if [ "$after" -ge "$before" ]; then
  echo "simdyn: no block was finished within the time limit, {walltime}: not queued again;" \\
    "plan with a longer --walltime" >&2
  exit 1
fi
if [ "${{SLURM_RESTART_COUNT:-0}}" -ge {restarts} ]; then
  echo "simdyn: $after blocks left after {restarts} restarts: not queued again;" \\
    "submit this script once more to go on" >&2
  exit 1
fi
echo "simdyn: $after blocks left at the time limit; queued again" >&2
scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
"""


def array_script(
    study: "StudyDesign",
    study_file: Path,
    out: Path,
    smoke: bool,
    jobs: "Jobs",
    count: int,
    left: float,
) -> str:
    """A Slurm array of `count` tasks, a shard each, with `left` core-seconds of work in all."""
    from simdyn.base.version import VERSION
    from simdyn.run.clusters import LOCAL_CACHE

    def quoted(path: Path) -> str:
        return shlex.quote(str(path.absolute()))  # not resolved: a link names the results

    name = re.sub(r"[^\w.+-]", "_", f"simdyn-{study.name}")  # Slurm allows no quotes here
    options = {
        "job-name": name,
        "array": f"1-{count}",
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": jobs.cores,
        "mem": jobs.memory_of_slurm,
        "time": jobs.walltime,
        "output": f"{name}-%A_%a.log",
        "open-mode": "append",  # a restarted task continues its log
        "partition": jobs.queue,
        "account": jobs.account,
        "signal": f"B:USR1@{jobs.lead}",
        "requeue": "",
    }
    simdyn = Path(sys.executable).parent / "simdyn"
    worker = [
        shlex.quote(str(simdyn)),
        "worker",
        quoted(study_file),
        *(["--smoke"] if smoke else []),
        "--shard",
        f'"$SLURM_ARRAY_TASK_ID/{count}"',
        "--out",
        quoted(out),
    ]
    task = TASK.format(
        cache=LOCAL_CACHE,
        folder=quoted(Path()),
        worker=" ".join(worker),
        cores=jobs.cores,
        interrupted=INTERRUPTED,
        walltime=jobs.walltime,
        restarts=LEAST_RESTARTS + 3 * int(left / count / (jobs.cores * jobs.seconds)),
    )
    lines = [
        f"#SBATCH --{name}={value}".rstrip("=")
        for name, value in options.items()
        if value is not None
    ]
    head = HEAD.format(
        name=name,
        count=count,
        blocks=len(study.blocks),
        hours=left / 3600,
        fingerprint=study.fingerprint[:12],
        version=VERSION,
        usual=USUAL_ARRAY,
    )
    return "\n".join(["#!/usr/bin/env bash", head.rstrip(), *lines, task])
