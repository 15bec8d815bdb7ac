"""The command `report`: one HTML file with all that a study found."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from simdyn.cli.options import Out, Smoke, StoreFile, guard
from simdyn.cli.studies import check_folders, is_store, study_and_store

Claims = Annotated[
    bool, typer.Option("--claims", help="With the table that `simdyn check` wrote last.")
]


def report(
    study_or_store: StoreFile, out: Out = Path(), smoke: Smoke = False, claims: Claims = False
) -> None:
    """Write reports/NAME.html: figure, maps to explore, study file, statuses, provenance.

    One file that opens without a network. Simulates nothing. Maps that a reader can move in, with
    values and errors under the pointer, need Bokeh (the extra `explore`).
    """
    with guard():
        from simdyn.base.inputs import InputError
        from simdyn.base.replacement import replacing
        from simdyn.explore.report_page import checked_claims, report_of
        from simdyn.params import PhaseDiagram
        from simdyn.plot import usual_figure
        from simdyn.plot.source import at_values
        from simdyn.store import Store, as_stored, explain_damaged_blocks, open_group, open_results

        study, path = study_and_store(study_or_store, out, smoke)
        alone = is_store(study_or_store)
        target = out / "reports" / f"{path.name.removesuffix('.zarr')}.html"
        check_folders([target.parent])
        open_group(path)
        checked = checked_claims(out) if claims else None
        stored = as_stored(path, study)
        with explain_damaged_blocks(Store(path, stored)):
            results = open_results(path)
            figure = usual_figure(results) if alone and study.solve is None else study.figure
            interactive = ("", "")
            if isinstance(figure, PhaseDiagram):
                if importlib.util.find_spec("bokeh") is None:
                    typer.echo(
                        "no maps to explore: they need Bokeh, and pip install 'simdyn[explore]' "
                        "brings it",
                        err=True,
                    )
                else:
                    from simdyn.explore.report_map import interactive_maps

                    interactive = interactive_maps(at_values(results, figure), figure)
            text = report_of(stored, path, results, figure, interactive=interactive, claims=checked)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as draft:
                draft.write_text(text, encoding="utf-8")
        except OSError as problem:
            raise InputError(f"{target}: cannot be written: {problem.strerror}") from None
        typer.echo(target)
