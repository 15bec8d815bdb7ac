"""Commands that read a store: status, verify, export, replay."""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from simdyn.api.display import clock
from simdyn.cli.options import (
    CHECK_FAILED,
    Json,
    Out,
    Smoke,
    StoreFile,
    Threads,
    check_needs,
    guard,
)
from simdyn.cli.simulate import print_course
from simdyn.cli.studies import is_store, study_and_store
from simdyn.kernels.codes import FAILED

if TYPE_CHECKING:
    from simdyn.store import Store
    from simdyn.study.design import StudyDesign

Watch = Annotated[
    bool, typer.Option("--watch", help="Repeat it until all is done, with rate and time left.")
]
Every = Annotated[float, typer.Option("--every", metavar="SECONDS", help="Time between reports.")]


def found(
    path: Path, out: Path, smoke: bool, perhaps_damaged: bool = False
) -> tuple["StudyDesign", Path]:
    """A study and its store, from the study's file or from the store alone.

    If it is `perhaps_damaged`, one of its two identities is enough.
    """
    from simdyn.store import as_stored, open_group
    from simdyn.store.files import identities
    from simdyn.store.identity import holds, refuse

    declared, store = study_and_store(path, out, smoke)
    if is_store(path):
        return declared, store
    study = as_stored(store, declared)
    if perhaps_damaged and identities(store):
        ours = holds(store, study)
    else:
        ours = open_group(store).attrs.get("fingerprint") == study.fingerprint
    if not ours:
        refuse(store, study)
    return study, store


class Tally:
    """How the runs of a store ended, counted as blocks are added."""

    def __init__(self, store: "Store") -> None:
        from simdyn.variables.registry import STATUS

        self.store = store
        self.seen = np.zeros(len(store.blocks), dtype=bool)
        self.counts = dict.fromkeys(STATUS, 0)

    def look(self) -> int:
        """Count what is new; returns the number of blocks done."""
        there = self.store.receipts()
        for number in np.flatnonzero(there & ~self.seen).tolist():
            try:
                status = self.store.read_array(self.store.blocks[number], "status")
            except Exception:  # damaged: `verify` names it
                continue
            for code, count in zip(*np.unique(status, return_counts=True), strict=True):
                if int(code) in self.counts:
                    self.counts[int(code)] += int(count)
        self.seen |= there
        known = sum(count for code, count in self.counts.items() if code)
        self.counts[0] = self.store.study.runs - known
        return int(there.sum())


def status(
    ctx: typer.Context,
    study_or_store: StoreFile,
    out: Out = Path(),
    smoke: Smoke = False,
    watch: Watch = False,
    every: Every = 2.0,
    as_json: Json = False,
) -> None:
    """Show how far a study is and how its runs ended, from any machine that sees the store."""
    with guard():
        from simdyn.base.inputs import InputError
        from simdyn.store import Store

        check_needs(ctx, ["every"], "--watch", watch)
        if not 0.1 <= every <= 86400:
            raise InputError(f"every = {every}: allowed is a number from 0.1 to 86400 seconds")
        study, path = found(study_or_store, out, smoke)
        tally = Tally(Store(path, study))
        if watch:
            _watch(study, tally, every, as_json)
            return
        done, blocks = tally.look(), len(tally.seen)
        _report(study, path, tally, done, blocks, as_json)


def _report(
    study: "StudyDesign", path: Path, tally: Tally, done: int, blocks: int, as_json: bool
) -> None:
    from simdyn.store.log import computed_by, failures
    from simdyn.variables.registry import STATUS

    causes = failures(path)
    if as_json:
        runs = {STATUS[code].split(":")[0]: count for code, count in tally.counts.items()}
        report = {
            "study": study.name,
            "store": str(path),
            "blocks": blocks,
            "blocks_done": done,
            "runs": runs,
            "failures": causes,
            "computed_by": computed_by(path),
        }
        typer.echo(json.dumps(report))
        return
    typer.echo(f"{study.name}: {done:,} of {blocks:,} blocks done, in {path}")
    for code, count in tally.counts.items():
        if count:
            typer.echo(f"  {count:,} runs {STATUS[code]}")
    _show_machines(path)
    if tally.counts[FAILED]:
        for point, cause in list(causes.items())[:5]:
            typer.echo(f"    {point}: {cause}")
        if len(causes) > 5:
            typer.echo(f"    and {len(causes) - 5:,} more points (--json names them)")


def _show_machines(path: Path) -> None:
    """Types of CPU and versions that computed a store, a line each."""
    from simdyn.store.log import computed_by

    by = computed_by(path)
    for each in by:
        names = ("simdyn", "numba", "llvmlite", "numpy")
        versions = ", ".join(f"{name} {each[name]}" for name in names if each[name])
        typer.echo(f"  computed on {each['cpu']} with {versions}")
    cpus = sorted({each["cpu"] for each in by})
    if len(cpus) > 1:
        typer.echo(
            f"  by {len(cpus)} types of CPU: values of one differ from those of another by rounding"
        )


def _watch(study: "StudyDesign", tally: Tally, every: float, as_json: bool) -> None:
    """Report again and again until all is done."""
    began, first = time.monotonic(), None
    while True:
        tally.store.check_still_its_own()
        done = tally.look()
        waiting = tally.counts[0]
        first = waiting if first is None else first
        rate = (first - waiting) / max(time.monotonic() - began, 1e-9)
        left = waiting / rate if waiting and rate > 0 else None
        if as_json:
            report = {
                "study": study.name,
                "store": str(tally.store.path),
                "runs": study.runs,
                "waiting": waiting,
                "failed": tally.counts[FAILED],
                "rate": rate,
                "seconds_left": left,
            }
            typer.echo(json.dumps(report))
        else:
            line = (
                f"{study.name}: {study.runs - waiting:,} runs done, {tally.counts[FAILED]:,} of "
                f"them failed, {waiting:,} waiting"
            )
            if left is not None:
                line += f"; {rate:,.0f} runs/s, {clock(left)} left"
            ends = "\x1b[K\r" if sys.stdout.isatty() and done < len(tally.seen) else "\x1b[K\n"
            typer.echo(line + (ends if sys.stdout.isatty() else "\n"), nl=False)
        if done == len(tally.seen):
            return
        time.sleep(every)


def verify(
    study_or_store: StoreFile, out: Out = Path(), smoke: Smoke = False, as_json: Json = False
) -> None:
    """Check every file and value of a store. Changes nothing.

    Names each piece that is damaged, missing, swapped or foreign, and its block. Exit code 1 if
    there is one; `simdyn run` repairs exactly these.
    """
    with guard():
        from simdyn.store.audit import audit
        from simdyn.store.log import computed_by

        study, path = found(study_or_store, out, smoke, perhaps_damaged=True)
        audited = audit(path, study)
        if as_json:
            findings = [
                {"piece": f.file, "trouble": f.trouble, "block": f.block} for f in audited.findings
            ]
            report = {
                "store": str(path),
                "blocks": audited.blocks,
                "missing": audited.missing,
                "damaged": audited.damaged,
                "findings": findings,
                "leftovers": audited.leftovers,
                "computed_by": computed_by(path),
            }
            typer.echo(json.dumps(report))
        else:
            typer.echo(
                f"{path}: {audited.good:,} blocks good, {len(audited.missing):,} missing, "
                f"{len(audited.damaged):,} damaged"
            )
            for finding in audited.findings:
                typer.echo(f"  {finding}")
            if audited.leftovers:
                typer.echo(
                    f"  {audited.leftovers:,} half-written files of killed processes; harmless"
                )
            _show_machines(path)
        if audited.findings:
            typer.echo("simdyn: `simdyn run STUDY` repairs these", err=True)
            raise typer.Exit(CHECK_FAILED)


def export(
    study_or_store: StoreFile,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="NAME.nc beside the store.")
    ] = None,
    out: Out = Path(),
    smoke: Smoke = False,
) -> None:
    """Write the results as one NetCDF file, which xarray and most tools of the field open."""
    with guard():
        from simdyn.base.inputs import InputError
        from simdyn.store import export as write_netcdf

        _, path = found(study_or_store, out, smoke)
        target = to or path.with_name(f"{path.name.removesuffix('.zarr')}.nc")
        if os.path.lexists(target) and not (target.suffix == ".nc" and target.is_file()):
            raise InputError(f"--to {target}: exists already; allowed is a new file, or NAME.nc")
        write_netcdf(path, target)
        typer.echo(target)


def replay(
    study_or_store: StoreFile,
    *,
    point: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[AXIS=VALUE]...",
            help="The point: dimension=1000 method=sam; signal_norm~5 takes the nearest value.",
        ),
    ] = None,
    every: Annotated[
        int | None, typer.Option("--every", help="Epochs between recorded states.")
    ] = None,
    replicates: Annotated[
        int | None, typer.Option("--replicates", help="Only the first ones; all if not given.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE.zarr", help="Write the trajectory there.")
    ] = None,
    out: Out = Path(),
    smoke: Smoke = False,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train one point of a store again and print its trajectory, from the store alone.

    The last line compares it with the store: the same bits if the type of CPU and the versions are
    the same, else equal up to rounding. Exit code 1 if it differs by more than rounding, or if
    nothing explains the difference.
    """
    with guard():
        from simdyn.api.replay import replay as train_again
        from simdyn.base.inputs import InputError
        from simdyn.store import check_replaceable, write_dataset

        _, path = found(study_or_store, out, smoke)
        at: dict[str, str] = {}
        for word in point or []:
            parts = re.fullmatch("([^=~]+)(?:=|(?=~))(.+)", word)
            if not parts:
                raise InputError(
                    f"{word!r}: allowed is AXIS=VALUE, dimension=1000, or AXIS~VALUE, the nearest"
                )
            at[parts[1]] = parts[2]
        if every is not None and every < 1:
            raise InputError(f"every = {every}: allowed is an integer ≥ 1")
        if to is not None:
            check_replaceable(to, "--to ")
        method = at.pop("method", None)
        course = train_again(path, at, method, every=every, replicates=replicates, threads=threads)
        names = ("point", "replayed", "agreement", "verdict")
        about: dict[str, Any] = {name: course.attrs[name] for name in names}
        about["differences"] = {
            name: array.attrs["difference"]
            for name, array in course.data_vars.items()
            if "difference" in array.attrs
        }
        print_course(course, as_json, about)
        if to is not None:
            try:
                write_dataset(course, to)
            except OSError as problem:
                raise InputError(f"{to}: cannot be written: {problem.strerror}") from None
        if not as_json:
            typer.echo(f"{about['point']}: {about['verdict']}", err=True)
        if about["agreement"] == "differs":
            raise typer.Exit(CHECK_FAILED)
