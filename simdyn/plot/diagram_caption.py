"""The caption of a phase diagram: what is shown, and what could not be drawn."""

from collections.abc import Sequence

import xarray as xr

from simdyn.plot import captions, missing, page
from simdyn.plot.diagram_numbers import Diagram


def _letters(first: int, number: int) -> str:
    """'(c)' for one panel, or '(d)–(f)' for several."""
    ends = [f"({page.letter(k)})" for k in (first, first + number - 1)]
    return ends[0] if number == 1 else "–".join(ends)


def _about_levels(diagram: Diagram) -> list[str]:
    """Which levels have contours, and which thin ones have none."""
    drawn = [f"{level:g}" for level, line in diagram.thin.items() if line.notnull().any()]
    lost = [f"{level:g}" for level, line in diagram.thin.items() if not line.notnull().any()]
    thin, sentences = ", ".join(drawn), []
    if diagram.contours.notnull().any():
        more = f"; thin ones at {thin}" if thin else ""
        sentences.append(f"Black lines: contours at {diagram.figure.level:g}{more}.")
    elif thin:
        sentences.append(f"Thin black lines: contours at {thin}.")
    if lost:
        sentences.append(f"There is no contour at {', '.join(lost)}.")
    return sentences


def _about_lines(diagram: Diagram) -> list[str]:
    level, sentences = f"{diagram.figure.level:g}", []
    verb = "rise" if diagram.rising else "fall"
    for name, line in zip(diagram.names, diagram.contours, strict=True):
        lost, several = int(line.isnull().sum()), int((line["crossings"] > 1).sum())
        if lost == line.size:
            sentences.append(
                f"{name} has no contour: in no column does its mean {verb} to {level}."
            )
        elif lost:
            sentences.append(
                f"In {lost} of {line.size} columns {name}'s mean does not {verb} to {level}."
            )
        if several:
            drawn = "first" if diagram.rising else "last"
            sentences.append(
                f"In {captions.plural(several, 'column')} {name}'s mean {verb}s to {level} "
                f"more than once, and the {drawn} is drawn."
            )
    return [*sentences, diagram.band.sentence] if diagram.band.sentence else sentences


def _about_hatching(diagram: Diagram, among: str) -> str:
    limit, hatched = f"{diagram.figure.hatch_loss:g}", diagram.hatched
    if hatched is None:
        return "The training loss was not recorded, so no cell is hatched."
    if not hatched.any():
        return f"No cell's mean training loss is {limit} or more."
    cells = ", ".join(
        f"{int(one.sum())} for {name}" for name, one in zip(diagram.names, hatched, strict=True)
    )
    either = f", in {among} under either method" if among else ""
    return f"Hatched: mean training loss ≥ {limit}{either} (cells: {cells}, of {hatched[0].size})."


def _about_differences(diagram: Diagram, among: str) -> list[str]:
    if diagram.differences is None or diagram.reverse is None:
        return []
    reverse = int(diagram.reverse.sum())
    if diagram.differences["standard_error"].isnull().all():
        return ["Fewer than two pairs of runs give no standard error of a difference."]
    if reverse:
        cells = captions.plural(reverse, "cell")
        return [f"Circles in {among}: below −2 standard errors ({cells})."]
    return ["No difference is below −2 standard errors."]


def _about_interpolation(diagram: Diagram) -> list[str]:
    cells = diagram.interpolated
    if not cells.any():
        return []
    simulated = 1.0 - float(cells.sum()) / (cells.size - int(diagram.runs.masked.sum()))
    drawn = ", drawn faint" if diagram.figure.interpolated == "faint" else ""
    share = f"{100 * simulated:.2g}{captions.NBSP}%"
    return [f"{share} of the cells are simulated; the others are interpolated{drawn}."]


def _about_runs(ds: xr.Dataset, diagram: Diagram) -> list[str]:
    sentences = missing.left_out(ds, diagram.methods)
    fewer, none = int(diagram.runs.fewer.sum()), int(diagram.runs.none.sum())
    if fewer:
        sentences.append(
            f"Diamonds: fewer than all runs finished ({captions.plural(fewer, 'cell')})."
        )
    if none:
        sentences.append(f"Crosses: no run finished ({captions.plural(none, 'cell')}).")
    return sentences


def caption(ds: xr.Dataset, diagram: Diagram, on_top: Sequence[str] = ()) -> list[str]:
    """Sentences: what is shown, how it was made, and what could not be drawn.

    `on_top` are those about lines of another study.
    """
    figure, names, number = diagram.figure, diagram.names, len(diagram.methods)
    panels = ", ".join(f"({page.letter(k)}) {name}" for k, name in enumerate(names))
    what = diagram.mean.attrs.get("long_name", figure.variable)
    first, among = f"{panels}: {what} over {missing.runs_in_means(ds, diagram.methods)}", ""
    if diagram.pairs is not None:
        among = _letters(number, number - 1)
        other = names[1] if number == 2 else "each other"
        lost = bool((diagram.pairs.fewer | diagram.pairs.none).any())
        first += f"; {among} {names[0]} minus {other}" + (", over pairs that finished" * lost)
    return [
        f"{first}.",
        *captions.not_drawn(ds, diagram.methods),
        *captions.setting(ds, diagram.methods),
        *_about_levels(diagram),
        *_about_lines(diagram),
        _about_hatching(diagram, among),
        *_about_differences(diagram, among),
        *_about_interpolation(diagram),
        *_about_runs(ds, diagram),
        *on_top,
        captions.origin(ds),
    ]
