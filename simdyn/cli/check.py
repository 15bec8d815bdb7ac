"""The command `check`: measure the paper's predictions, with verdicts."""

import collections
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simdyn.cli.options import CHECK_FAILED, Json, Out, Threads, guard
from simdyn.cli.studies import check_folders

if TYPE_CHECKING:
    from simdyn.claims import Report

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CLAIM]...", help="Claims to check; all if none is named."),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Fewer replicates, shorter ladders: under two minutes.")
]
List = Annotated[bool, typer.Option("--list", help="List the claims. Runs nothing.")]


def check(
    names: Names = None,
    quick: Quick = False,
    list_only: List = False,
    out: Out = Path(),
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure the paper's predictions, one verdict each, with an interval for every number.

    A claim holds if the interval of what was measured lies inside the claim's band, fails if it
    lies outside, and is undecided in between. Writes results/check.zarr (check-quick.zarr with
    --quick) and a figure for every fitted law under figures/. Exit code 1 if a claim fails.
    """
    with guard():
        from simdyn import claims

        if list_only:
            _list(claims.choose(names), as_json)
            return

        from simdyn.base.threads import check_threads

        check_threads(threads)
        check_folders([out / "results", out / "figures"])

        def progress(name: str) -> None:
            typer.echo(f"  {name} …", err=True)

        reports = claims.check(names, quick=quick, threads=threads, progress=progress)
        written = _write(reports, out, "check-quick" if quick else "check", names)
        if as_json:
            typer.echo(json.dumps([report.plain for report in reports], ensure_ascii=False))
        else:
            for report in reports:
                _print(report)
            _summarise(reports, quick)
            for path in written:
                typer.echo(path)
        if claims.failed(reports):
            raise typer.Exit(CHECK_FAILED)


def _list(chosen: Sequence["object"], as_json: bool) -> None:
    from simdyn.claims import Claim

    table = [claim for claim in chosen if isinstance(claim, Claim)]
    if as_json:
        fields = ("name", "statement", "source", "mark", "regime", "not_quick")
        typer.echo(
            json.dumps([{f: getattr(c, f) for f in fields} for c in table], ensure_ascii=False)
        )
        return
    for claim in table:
        typer.echo(f"{claim.name:20} [{claim.mark}] {claim.statement}")


def _write(
    reports: Sequence["Report"], out: Path, stem: str, names: Sequence[str] | None
) -> list[Path]:
    """The table as a dataset if it has every claim, and a figure for every fitted law."""
    from simdyn import claims
    from simdyn.base.inputs import InputError
    from simdyn.plot import draw_laws, save
    from simdyn.store import write_dataset
    from simdyn.variables.provenance import provenance

    written: list[Path] = []
    try:
        if not names:
            path = out / "results" / f"{stem}.zarr"
            write_dataset(claims.dataset(reports, provenance({"check": {"stem": stem}})), path)
            written.append(path)
        for report in reports:
            if any(finding.quantity.law for finding in report.findings):
                written += save(draw_laws(report), out / "figures" / f"{stem}-{report.claim.name}")
    except OSError as problem:
        raise InputError(f"{out}: cannot be written: {problem.strerror}") from None
    return written


def _number(value: float) -> str:
    return f"{value:.4g}"


def _print(report: "Report") -> None:
    """A claim and its quantities."""
    claim = report.claim
    typer.echo(f"\n{claim.name}: {report.verdict.upper()}")
    typer.echo(f"  {claim.statement}")
    typer.echo(f"  {claim.mark}; {claim.source}; regime: {claim.regime}")
    for f in report.findings:
        q = f.quantity
        low, high = _number(q.low), _number(q.high)
        band = f"≤ {high}" if q.low == -float("inf") else f"{low} … {high}"
        band = f"≥ {low}" if q.high == float("inf") else band
        inside = _number(f.estimate)
        if not q.exact:
            inside += f" in [{_number(f.low)}, {_number(f.high)}], {f.replicates} replicates"
        typer.echo(f"  {f.verdict:10} {q.name}: {inside}; a true claim has {band} ({q.reason})")
        for note in filter(None, (q.outside, q.small)):
            typer.echo(f"             {note}")
        if f.needed == f.needed:
            typer.echo(f"             {_number(f.needed)} replicates would decide")


def _summarise(reports: Sequence["Report"], quick: bool) -> None:
    from simdyn.claims import FAMILY_ERROR

    counts = collections.Counter(report.verdict for report in reports)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    sampled = sum(not f.quantity.exact for report in reports for f in report.findings)
    typer.echo(
        f"\n{len(reports)} claims: {verdicts}. Intervals miss with probability "
        f"{FAMILY_ERROR:g} over the {sampled} sampled quantities together."
    )
    absent = [f"{r.claim.name}: {r.claim.not_quick}" for r in reports if r.claim.not_quick]
    if quick and absent:
        typer.echo(f"Left out by --quick: {'; '.join(absent)}.")
