"""The command `show`: what a store, or a study file, holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simdyn.api.display import clock
from simdyn.cli.batch import blocks_done
from simdyn.cli.options import Json, Out, Smoke, StoreFile, guard
from simdyn.cli.studies import study_and_store

if TYPE_CHECKING:
    from simdyn.study.design import StudyDesign

Toml = Annotated[bool, typer.Option("--toml", help="Write the study as a study file.")]


def show(
    study_or_store: StoreFile,
    out: Out = Path(),
    smoke: Smoke = False,
    as_toml: Toml = False,
    as_json: Json = False,
) -> None:
    """Show what a store holds: axes, settings, methods, and who computed it, when and with what.

    With --toml, print its study as a study file, which has the same fingerprint. A store does not
    keep the tables "figure" and "smoke".
    """
    with guard():
        from simdyn.base.inputs import InputError
        from simdyn.kernels import NUMERICS_VERSION

        if as_toml and as_json:
            raise InputError("--toml, --json: allowed is one of them")
        study, path = study_and_store(study_or_store, out, smoke)
        if as_toml:
            from simdyn.study.study_text import as_toml as written

            typer.echo(written(study), nl=False)
            if (old := study.numerics_version) != NUMERICS_VERSION:
                typer.echo(
                    f"simdyn: the store has the numbers of NUMERICS_VERSION {old}, and a run of "
                    f"this study gives those of {NUMERICS_VERSION}",
                    err=True,
                )
            return
        about = _about(study, path)
        if as_json:
            typer.echo(json.dumps(about, ensure_ascii=False))
        else:
            _print(about)


def _about(study: "StudyDesign", path: Path) -> dict[str, Any]:
    """What is shown, as plain data."""
    from simdyn.store.log import work_done

    space = study.space
    _, there, _ = blocks_done(study, path)
    return {
        "study": study.name,
        "fingerprint": study.fingerprint,
        "numerics_version": study.numerics_version,
        "store": str(path),
        "exists": path.exists(),
        "axes": {name: values.tolist() for name, values in space.axes.items()},
        "zip": space.physics.get("zip", []),
        "where": space.where,
        "refine": space.physics.get("refine"),
        "data": {"model": space.law.model, **space.data.fields},
        "network": space.net.fields,
        "methods": study.plans,
        "seed": study.seed,
        "replicates": study.replicates,
        "states": study.states,
        "variables": list(study.variables),
        "record": study.record.model_dump(exclude_defaults=True, exclude={"variables"}),
        "points": space.size,
        "runs": study.runs,
        "bytes": study.bytes,
        "blocks": int(there.size),
        "blocks_done": int(there.sum()),
        "computed_by": work_done(path) if path.exists() else [],
    }


def _print(about: dict[str, Any]) -> None:
    typer.echo(f"{about['study']} ({about['fingerprint'][:12]}), {about['store']}")
    typer.echo("axes")
    for name, values in about["axes"].items():
        few = len(values) <= 8
        ends = ", ".join(map(_value, values if few else [*values[:2], "…", values[-1]]))
        typer.echo(f"  {name}: {len(values):,} value{'s' * (len(values) > 1)}: {ends}")
    if not about["axes"]:
        typer.echo("  none: one point")
    for names in about["zip"]:
        typer.echo(f"  {' and '.join(names)} go together")
    if about["where"]:
        typer.echo(f"  where {about['where']}; all else is masked")
    if about["refine"] is not None:
        typer.echo(f"  refined ({_fields(about['refine'])}); all else is interpolated")
    for table in ("data", "network"):
        typer.echo(table)
        typer.echo(f"  {_fields(about[table])}")
    typer.echo("methods")
    for method, plan in about["methods"].items():
        phases = [f"{phase['optimiser']} ({_fields(phase, 'optimiser')})" for phase in plan]
        typer.echo(f"  {method}: {', then '.join(phases)}")
    states, replicates = about["states"], about["replicates"]
    typer.echo("recorded")
    typer.echo(
        f"  {states:,} state{'s' * (states > 1)} of {replicates:,} "
        f"replicate{'s' * (replicates > 1)}, seed {about['seed']}, "
        f"{about['bytes'] / 1e6:.3g} MB: {', '.join(about['variables'])}"
    )
    if about["record"]:
        typer.echo(f"  {_fields(about['record'])}")
    typer.echo("computed")
    done, blocks = about["blocks_done"], about["blocks"]
    typer.echo(f"  {done:,} of {blocks:,} blocks, {about['runs']:,} runs in all")
    if not about["computed_by"]:
        typer.echo("  by nobody yet")
    for by in about["computed_by"]:
        _print_work(by)


def _print_work(by: dict[str, Any]) -> None:
    """One machine's share of the work."""
    start, end = (str(by[key])[:19].replace("T", " ") for key in ("started", "ended"))
    names = ("simdyn", "python", "numba", "llvmlite", "numpy", "zarr")
    versions = ", ".join(f"{name} {by[name]}" for name in names if by[name])
    typer.echo(
        f"  {start} to {end} UTC: {by['blocks']:,} block{'s' * (by['blocks'] != 1)} in "
        f"{clock(by['core_seconds'])} of one core, on {by['host'] or 'an unnamed host'}"
    )
    typer.echo(f"    {by['cpu']}, {by['platform']}; {versions}")


def _fields(fields: dict[str, Any], *but: str) -> str:
    """'name = value, …' of the fields that have a value."""
    return ", ".join(
        f"{k} = {_value(v)}" for k, v in fields.items() if v is not None and k not in but
    )


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
