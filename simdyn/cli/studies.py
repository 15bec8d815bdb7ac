"""Commands about a study file: run, plan, status, verify, plot."""

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from simdyn.cli.options import FAILED, Json, Out, Smoke, StudyFile, Threads, guard
from simdyn.cli.progress import Display, clock

if TYPE_CHECKING:
    import xarray as xr

    from simdyn.store import Store
    from simdyn.study import Study


def _load(path: Path, smoke: bool) -> "Study":
    from simdyn.study import load_study

    study = load_study(path)
    return study.smoke() if smoke else study


def _store_path(study: "Study", out: Path) -> Path:
    return out / "results" / f"{study.name}.zarr"


def _draw(study: "Study", results: "xr.Dataset", out: Path) -> list[Path]:
    """The study's figure as PNG and PDF; nothing where it declares none."""
    if study.figure is None:
        return []
    from simdyn.inputs import InputError
    from simdyn.plot import draw, save

    folder = out / "figures"
    try:
        return list(save(draw(results, study.figure), folder / study.name))
    except OSError as problem:
        raise InputError(f"{folder}: cannot be written: {problem.strerror}") from None


def _check_folders(study: "Study", out: Path) -> None:
    """Where results and figures go must be folders, or free, before anything runs."""
    from simdyn.inputs import InputError

    for folder in (out / "results", out / "figures")[: 2 if study.figure else 1]:
        there = next((p for p in (folder, *folder.parents) if os.path.lexists(p)), Path())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise InputError(f"{folder}: cannot be written: {there} is no folder one may write to")


def _raise_interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def run(
    study_file: StudyFile,
    out: Out = Path(),
    smoke: Smoke = False,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Simulate every point of a study, keep the results, and draw its figure.

    Writes results/NAME.zarr and figures/NAME.png and .pdf. What the store already holds is kept:
    after Ctrl-C or a crash the same command goes on where it stood, to the same values.
    """
    with guard():
        study = _load(study_file, smoke)
        _check_folders(study, out)
        from simdyn.run import run_study

        signal.signal(signal.SIGTERM, _raise_interrupt)
        path, display = _store_path(study, out), Display(study.name)
        began = time.monotonic()
        try:
            results = run_study(study, path, threads=threads, progress=display)
        finally:
            display.close()
        figures = _draw(study, results, out)
        seconds = time.monotonic() - began
        if as_json:
            report = {"store": str(path), "figures": list(map(str, figures)), "runs": study.runs,
                      "computed": display.fresh, "seconds": round(seconds, 3),
                      "compile_seconds": round(display.compile_seconds, 3)}  # fmt: skip
            typer.echo(json.dumps(report))
            return
        for made in (path, *figures):
            typer.echo(made)
        if not figures:
            typer.echo(f"no figure: {study_file} has no [figure] table", err=True)


def plan(
    study_file: StudyFile, out: Out = Path(), smoke: Smoke = False, as_json: Json = False
) -> None:
    """Say what a study would do: points, runs, blocks, core-hours, bytes. Runs nothing."""
    with guard():
        study = _load(study_file, smoke)
        path = _store_path(study, out)
        done, blocks = 0, len(study.blocks)
        if path.exists():
            done, blocks = _done_blocks(study, path)
        report: dict[str, Any] = {
            "study": study.name, "fingerprint": study.fingerprint, "points": study.space.size,
            "axes": dict(zip(study.space.axes, study.space.shape, strict=True)),
            "methods": list(study.space.methods), "replicates": study.replicates,
            "runs": study.runs, "blocks": blocks, "blocks_done": done,
            "core_hours": study.cost / 3600, "bytes": study.bytes, "store": str(path),
        }  # fmt: skip
        if as_json:
            typer.echo(json.dumps(report))
            return
        axes = " × ".join(f"{n} {name}" for name, n in report["axes"].items()) or "one point"
        typer.echo(f"{study.name} ({study.fingerprint[:12]})")
        typer.echo(f"  {study.space.size:,} points: {axes}")
        typer.echo(f"  {study.runs:,} runs: × {len(study.space.methods)} methods × "
                   f"{study.replicates} replicates")  # fmt: skip
        typer.echo(f"  {blocks:,} blocks, {done:,} done")
        typer.echo(f"  about {study.cost / 3600:.2g} core-hours ({clock(study.cost)} on one core)")
        typer.echo(f"  {study.bytes / 1e6:.3g} MB of values, in {path}")


def _open_store(study: "Study", path: Path) -> "Store":
    from simdyn.store import Store, open_group

    open_group(path)
    return Store(path, study)


def _done_blocks(study: "Study", path: Path) -> tuple[int, int]:
    """Blocks with a receipt, and blocks in all."""
    store = _open_store(study, path)
    return sum(store.has_receipt(block) for block in store.blocks), len(store.blocks)


def status(
    study_file: StudyFile, out: Out = Path(), smoke: Smoke = False, as_json: Json = False
) -> None:
    """Say how far a study is, and how its runs ended."""
    with guard():
        from simdyn.schema import STATUS
        from simdyn.store import open_results

        study = _load(study_file, smoke)
        path = _store_path(study, out)
        done, blocks = _done_blocks(study, path)
        values = open_results(path)["status"].values
        counts = {code: int((values == code).sum()) for code in STATUS}
        report = {"study": study.name, "store": str(path), "blocks": blocks, "blocks_done": done,
                  "runs": {STATUS[c].split(":")[0]: k for c, k in counts.items()}}  # fmt: skip
        if as_json:
            typer.echo(json.dumps(report))
            return
        typer.echo(f"{study.name}: {done:,} of {blocks:,} blocks done, in {path}")
        for code, count in counts.items():
            if count:
                typer.echo(f"  {count:,} runs {STATUS[code]}")


def verify(
    study_file: StudyFile, out: Out = Path(), smoke: Smoke = False, as_json: Json = False
) -> None:
    """Read every block again and hold it against its receipt; exit code 1 where one is damaged."""
    with guard():
        study = _load(study_file, smoke)
        path = _store_path(study, out)
        store = _open_store(study, path)
        missing: list[int] = []
        damaged: list[int] = []
        for block in store.blocks:
            if not store.is_done(block):
                (damaged if store.has_receipt(block) else missing).append(block.number)
        blocks = len(store.blocks)
        report = {"store": str(path), "blocks": blocks, "missing": missing, "damaged": damaged}
        good = blocks - len(missing) - len(damaged)
        if as_json:
            typer.echo(json.dumps(report))
        else:
            typer.echo(f"{path}: {good:,} blocks good, {len(missing):,} missing, "
                       f"{len(damaged):,} damaged {damaged or ''}".rstrip())  # fmt: skip
        if damaged:
            typer.echo("simdyn: `simdyn run` computes damaged blocks again", err=True)
            raise typer.Exit(FAILED)


def plot(study_file: StudyFile, out: Out = Path(), smoke: Smoke = False) -> None:
    """Draw a study's figure again from its results. Simulates nothing."""
    with guard():
        from simdyn.inputs import InputError
        from simdyn.store import open_results

        study = _load(study_file, smoke)
        if study.figure is None:
            raise InputError(
                f'{study_file}: declares no [figure]; [figure] with x = "…" and y = "…", two swept '
                "fields, makes one"
            )
        _check_folders(study, out)
        path = _store_path(study, out)
        _open_store(study, path)
        for made in _draw(study, open_results(path), out):
            typer.echo(made)
