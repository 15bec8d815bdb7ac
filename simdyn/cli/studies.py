"""Commands that compute or draw a study: run, worker, plot."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simdyn.api.display import Display
from simdyn.base import interrupts
from simdyn.cli.batch import blocks_done, check_fits
from simdyn.cli.options import (
    JOB_OPTIONS,
    LEFT,
    Account,
    Cores,
    Dask,
    JobCount,
    Json,
    Memory,
    Out,
    Pbs,
    Queue,
    RetryFailed,
    Slurm,
    Smoke,
    StoreFile,
    Threads,
    Walltime,
    check_needs,
    guard,
)

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client

    from simdyn.api.study import Study
    from simdyn.params import Picture
    from simdyn.study.design import StudyDesign


def load(path: Path, smoke: bool) -> "Study":
    """The study of a file, or its small variant."""
    from simdyn.api.study import load_study

    study = load_study(path)
    return study.smoke() if smoke else study


def store_path(study: "Study", out: Path) -> Path:
    """The path of a study's store."""
    return out / "results" / f"{study.name}.zarr"


def is_store(path: Path) -> bool:
    """Is this the path of a store, and not that of a study file?"""
    return path.suffix == ".zarr" or (path.suffix != ".toml" and path.is_dir())


def study_and_store(path: Path, out: Path, smoke: bool) -> tuple["StudyDesign", Path]:
    """A study and the path of its store, from the study's file or from the store alone."""
    if not is_store(path):
        study = load(path, smoke)
        return study, store_path(study, out)
    from simdyn.base.inputs import InputError
    from simdyn.store import open_study

    if smoke:
        raise InputError(f"--smoke: allowed with a study file, and {path} is a store")
    return open_study(path), path


def _draw(figure: "Picture | None", name: str, results: "xr.Dataset", out: Path) -> list[Path]:
    """A figure as PNG and PDF; nothing if there is none."""
    if figure is None:
        return []
    from simdyn.base.inputs import InputError
    from simdyn.plot import draw, save

    folder = out / "figures"
    try:
        return list(save(draw(results, figure), folder / name))
    except OSError as problem:
        raise InputError(f"{folder}: cannot be written: {problem.strerror}") from None


def _write_numbers(figure: "Picture", name: str, results: "xr.Dataset", out: Path) -> Path:
    """The numbers that a figure shows, as comma-separated values."""
    from simdyn.base.inputs import InputError
    from simdyn.base.replacement import replacing
    from simdyn.plot import numbers

    target = out / "figures" / f"{name}.csv"
    text = numbers(results, figure).to_csv(index=False, lineterminator="\n")
    try:
        with replacing(target) as draft:
            draft.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise InputError(f"{target}: cannot be written: {problem.strerror}") from None
    return target


def _check_folders(study: "StudyDesign", path: Path, out: Path) -> None:
    """Before anything runs, check that results and figures can be written."""
    check_folders([path.parent, *([out / "figures"] if study.figure else [])])


def _check_lines(study: "StudyDesign") -> None:
    """Before anything runs, check that another study's lines can be drawn on the figure."""
    if getattr(study.figure, "lines", None):
        from simdyn.plot import check_lines

        check_lines(study)


def check_folders(folders: list[Path]) -> None:
    """Each folder must be writable, or one that can be made."""
    from simdyn.base.inputs import InputError

    for folder in folders:
        there = next((p for p in (folder, *folder.parents) if os.path.lexists(p)), Path())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise InputError(f"{folder}: cannot be written: {there} is not a writable folder")


@contextlib.contextmanager
def _cluster(
    study: "StudyDesign", path: Path, asked: dict[str, Any], number: int, jobs: dict[str, Any]
) -> Iterator["Client | None"]:
    """The cluster that an option asks for; none if no option does."""
    from simdyn.base.inputs import InputError

    names = [name for name, given in asked.items() if given is not None and given is not False]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)}: allowed is one of them")
    if not names or names == ["--threads"]:
        yield None
        return
    from simdyn.run.clusters import Jobs, open_client, open_jobs

    if names == ["--dask"]:
        opened = open_client(asked["--dask"])
    else:
        check_fits(study, path, Jobs(**jobs))
        opened = open_jobs(names[0].removeprefix("--"), Jobs(**jobs), number)
    with interrupts.held(), opened as client:  # so that jobs end with the run
        interrupts.check()
        yield client


def run(
    ctx: typer.Context,
    study_or_store: StoreFile,
    *,
    out: Out = Path(),
    smoke: Smoke = False,
    threads: Threads = None,
    dask: Dask = None,
    slurm: Slurm = False,
    pbs: Pbs = False,
    jobs: JobCount = 1,
    cores: Cores = 8,
    memory: Memory = "8GB",
    walltime: Walltime = "01:00:00",
    queue: Queue = None,
    account: Account = None,
    retry_failed: RetryFailed = False,
    as_json: Json = False,
) -> None:
    """Simulate every point of a study, store the results, and draw its figure.

    Writes results/NAME.zarr and figures/NAME.png and .pdf. A store is gone on with where it is.
    Only what the store lacks is computed:
    after Ctrl-C or a crash the same command continues, to the same values, on threads or on any
    cluster; damaged blocks are repaired; if axes, methods or replicates were added, only these are
    computed.

    Exit code 3 if points failed or blocks were left undone; the rest is done.
    """
    with guard():
        check_needs(ctx, ("jobs", *JOB_OPTIONS), "--slurm or --pbs", slurm or pbs)
        study, path = study_and_store(study_or_store, out, smoke)
        _check_folders(study, path, out)
        _check_lines(study)
        from simdyn.study.regime_check import outside

        display = Display(study.name)
        asked = {"--dask": dask, "--slurm": slurm, "--pbs": pbs, "--threads": threads}
        sizes = {
            "cores": cores,
            "memory": memory,
            "walltime": walltime,
            "queue": queue,
            "account": account,
        }
        began = time.monotonic()
        with _cluster(study, path, asked, jobs, sizes) as client:
            opened = time.monotonic()
            results = _compute(
                study, path, display, threads=threads, client=client, retry_failed=retry_failed
            )
            ran = time.monotonic()
        figures = _draw(study.figure, study.name, results, out)
        seconds = {
            "seconds": time.monotonic() - began,
            "run_seconds": ran - opened,
            "compile_seconds": display.compile_seconds,
            "cluster_seconds": opened - began,
        }
        if line := outside(study):
            typer.echo(line, err=True)
        if as_json:
            _print_json(study, path, figures, display, seconds)
        else:
            for made in (path, *figures):
                typer.echo(made)
            if not figures:
                hint = "; `simdyn plot` draws the usual one" if is_store(study_or_store) else ""
                lack = "a store keeps none" if hint else f"{study_or_store} has no [figure] table"
                typer.echo(f"no figure: {lack}{hint}", err=True)
        _exit_if_failed(display)


def _compute(study: "StudyDesign", path: Path, display: Display, **options: Any) -> "xr.Dataset":
    """Run a study under a display."""
    from simdyn.run import run_study

    try:
        return run_study(study, path, progress=display, **options)
    finally:
        display.close()


def _print_json(
    study: "StudyDesign",
    path: Path,
    figures: list[Path],
    display: Display,
    seconds: dict[str, float],
) -> None:
    report = {
        "store": str(path),
        "figures": list(map(str, figures)),
        "runs": study.runs,
        "computed": display.fresh,
        "failed": len(display.failed_now),
        "failed_before": len(display.failed_earlier),
    }
    times = {name: round(value, 3) for name, value in seconds.items()}
    typer.echo(json.dumps({**report, **times}))


def _exit_if_failed(display: Display) -> None:
    """If points failed, now or earlier, say so and exit with the code for that."""
    if failed := len(display.failed_now | display.failed_earlier):
        typer.echo(
            f"simdyn: done, except for {failed:,} point(s) that failed: `simdyn status` shows "
            "why, --retry-failed computes them again",
            err=True,
        )
        raise typer.Exit(LEFT)


def _shard(text: str) -> tuple[int, int]:
    """'3/8' as (3, 8)."""
    from simdyn.base.inputs import InputError

    part, _, parts = text.partition("/")
    if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts) <= 10**6:
        return int(part), int(parts)
    raise InputError(f"--shard {text!r}: allowed is I/N with I from 1 to N, '3/8'")


def worker(
    study_or_store: StoreFile,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Which part: the I-th of N, I from 1.")
    ],
    out: Out = Path(),
    smoke: Smoke = False,
    threads: Threads = None,
    retry_failed: RetryFailed = False,
    left: Annotated[
        bool, typer.Option("--left", help="Only print how many of its blocks are not done.")
    ] = False,
) -> None:
    """Compute one shard of a study, every N-th of its blocks, as one task of a batch array.

    Shards may run at once, in any order, on any machines that see the folder; each may be run
    again. `simdyn plan STUDY --sbatch` prints a batch script. When all are done, `simdyn run STUDY`
    checks every block against its receipt and draws the figure.

    Exit code 3 if points of the shard failed.
    """
    with guard():
        part = _shard(shard)
        study, path = study_and_store(study_or_store, out, smoke)
        if left:
            _, there, _ = blocks_done(study, path)
            typer.echo(int((~there[part[0] - 1 :: part[1]]).sum()))
            return
        _check_folders(study, path, out)
        display = Display(f"{study.name}, shard {shard}")
        _compute(study, path, display, threads=threads, shard=part, retry_failed=retry_failed)
        typer.echo(path)
        _exit_if_failed(display)


def plot(
    study_or_store: StoreFile,
    out: Out = Path(),
    smoke: Smoke = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Write the numbers shown, too: figures/NAME.csv.")
    ] = False,
) -> None:
    """Draw a study's figure again from its results. Simulates nothing.

    A store does not keep the table "figure" of its study file. From a store alone the usual figure
    is drawn: a phase diagram over two swept fields, curves over one, trajectories if nothing is
    swept.
    """
    with guard():
        from simdyn.base.inputs import InputError
        from simdyn.plot import usual_figure
        from simdyn.store import Store, as_stored, explain_damaged_blocks, open_group, open_results

        study, path = study_and_store(study_or_store, out, smoke)
        alone = is_store(study_or_store)
        if study.figure is None and not alone:
            raise InputError(
                f'{study_or_store}: declares no [figure]; [figure] with x = "…" and y = "…", two '
                "swept fields, makes one"
            )
        check_folders([out / "figures"])
        open_group(path)
        name = path.name.removesuffix(".zarr") if alone else study.name
        with explain_damaged_blocks(Store(path, as_stored(path, study))):
            results = open_results(path)
            figure = usual_figure(results) if alone else study.figure
            figures = _draw(figure, name, results, out)
            if csv and figure is not None:
                figures.append(_write_numbers(figure, name, results, out))
        for made in figures:
            typer.echo(made)
