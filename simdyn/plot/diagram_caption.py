"""The caption of a phase diagram: what is shown, and what could not be drawn."""

import xarray as xr

from simdyn.plot import missing, page, words
from simdyn.plot.diagram_numbers import Content


def _letters(first: int, number: int) -> str:
    """'(c)', or '(d)–(f)', of so many panels."""
    ends = [f"({page.letter(k)})" for k in (first, first + number - 1)]
    return ends[0] if number == 1 else "–".join(ends)


def _about_lines(content: Content) -> list[str]:
    level, said = f"{content.figure.level:g}", []
    verb = "rise" if content.rising else "fall"
    for name, line in zip(content.names, content.contours, strict=True):
        lost, several = int(line.isnull().sum()), int((line["crossings"] > 1).sum())
        if lost == line.size:
            said.append(f"{name} has no contour: in no column does its mean {verb} to {level}.")
        elif lost:
            said.append(
                f"In {lost} of {line.size} columns {name}'s mean does not {verb} to {level}."
            )
        if several:
            drawn = "first" if content.rising else "last"
            said.append(
                f"In {words.count(several, 'column')} {name}'s mean {verb}s to {level} "
                f"more than once, and the {drawn} is drawn."
            )
    return [*said, content.band.said] if content.band.said else said


def _about_hatching(content: Content, among: str) -> str:
    limit, hatched = f"{content.figure.hatch_loss:g}", content.hatched
    if hatched is None:
        return "The training loss was not recorded, so no cell is hatched."
    if not hatched.any():
        return f"No cell's mean training loss is {limit} or more."
    cells = ", ".join(
        f"{int(one.sum())} for {name}" for name, one in zip(content.names, hatched, strict=True)
    )
    either = f", in {among} under either method" if among else ""
    return f"Hatched: mean training loss ≥ {limit}{either} (cells: {cells}, of {hatched[0].size})."


def _about_differences(content: Content, among: str) -> list[str]:
    if content.differences is None or content.reverse is None:
        return []
    reverse = int(content.reverse.sum())
    if content.differences["standard_error"].isnull().all():
        return ["Fewer than two pairs of runs give no standard error of a difference."]
    if reverse:
        cells = words.count(reverse, "cell")
        return [f"Circles in {among}: below −2 standard errors ({cells})."]
    return ["No difference is below −2 standard errors."]


def _about_runs(ds: xr.Dataset, content: Content) -> list[str]:
    said = missing.told(ds, content.methods)
    fewer, none = int(content.runs.fewer.sum()), int(content.runs.none.sum())
    if fewer:
        said.append(f"Diamonds: fewer than all runs finished ({words.count(fewer, 'cell')}).")
    if none:
        said.append(f"Crosses: no run finished ({words.count(none, 'cell')}).")
    return said


def caption(ds: xr.Dataset, content: Content) -> list[str]:
    """Sentences: what is shown, how it was made, and what could not be drawn."""
    figure, names, number = content.figure, content.names, len(content.methods)
    panels = ", ".join(f"({page.letter(k)}) {name}" for k, name in enumerate(names))
    what = content.mean.attrs.get("long_name", figure.variable)
    first, among = f"{panels}: {what} over {missing.behind(ds, content.methods)}", ""
    if content.pairs is not None:
        among = _letters(number, number - 1)
        other = names[1] if number == 2 else "each other"
        lost = bool((content.pairs.fewer | content.pairs.none).any())
        first += f"; {among} {names[0]} minus {other}" + (", over pairs that finished" * lost)
    return [
        f"{first}.",
        *words.not_drawn(ds, content.methods),
        *words.setting(ds, content.methods),
        *(
            [f"Black lines: contours at {figure.level:g}."]
            if content.contours.notnull().any()
            else []
        ),
        *_about_lines(content),
        _about_hatching(content, among),
        *_about_differences(content, among),
        *_about_runs(ds, content),
        words.origin(ds),
    ]
