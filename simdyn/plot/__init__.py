"""Figures of a study, drawn from its results only.

Functions that draw take axes and return artists. No global state of matplotlib is read or changed:
the same results give the same bytes, whatever the reader's settings. Every figure is for a
two-column page and readable in greyscale: the colour map falls in lightness, lines differ in style,
and differences well below zero (red among blue) have circles. Means that miss runs are marked
(`missing`).

Each kind of figure of `simdyn.params.figures` is drawn by the function of its name in the module of
its name, which is imported when it is needed.

Examples
--------
>>> study = simdyn.Study(
...     {"n_samples": 10, "dimension": 100},
...     simdyn.TwoLayerCNN(n_filters=2, init_std=0.01),
...     {"sgd": simdyn.SGD(learning_rate=0.1, epochs=20)},
...     {"signal_norm": [1.0, 2.0, 3.0]},
... )
>>> ds = study.run()
>>> figure = simdyn.plot.draw(ds, simdyn.plot.usual_figure(ds))
>>> [path.name for path in simdyn.plot.save(figure, "figures/small")]
['small.png', 'small.pdf']
"""

import importlib
import os
import pathlib
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

from simdyn.base import interrupts
from simdyn.base.inputs import InputError
from simdyn.base.replacement import replacing
from simdyn.params import PhaseDiagram, Picture
from simdyn.plot import (
    environment,  # noqa: F401  (before all others that import matplotlib)
    text_files,
)
from simdyn.plot.artists import style as style_of
from simdyn.plot.captions import with_labels
from simdyn.plot.claim_figure import draw_laws
from simdyn.plot.on_axes import OnAxes, check_axes, check_style, draw_panels
from simdyn.plot.page import Sheet, picture
from simdyn.plot.shown_numbers import numbers
from simdyn.plot.source import at_values, usual_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simdyn.study.design import StudyDesign

__all__ = ["check_lines", "draw", "draw_laws", "draw_on", "numbers", "save", "usual_figure"]


def draw(ds: "xr.Dataset", figure: Picture, lines: "xr.Dataset | None" = None) -> "Figure":
    """Draw a figure: each kind by the function of its name, in the module of its name.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study; trajectories may be those of `simulate` or `train` too.
    figure : simdyn.params.Picture
        What is drawn, such as the `figure` of a study.
    lines : xarray.Dataset, optional
        Of a phase diagram: results of a study that solves for one of its axes, drawn on top. Those
        at the path `figure.lines` if absent.

    Returns
    -------
    matplotlib.figure.Figure
        As the last expression of a notebook's cell it is shown as the PNG that `save` writes.

    Raises
    ------
    InputError
        If the results do not have what the figure names or needs.
    """
    ds, figure = at_values(ds, figure), figure.replace(at=None)
    draw_kind = getattr(_module(figure), figure.kind)
    drawn: Figure = draw_kind(with_labels(ds, figure.labels), figure, **_on_top(figure, lines))
    return drawn


def draw_on(
    axes: "Axes | Iterable[Axes]",
    ds: "xr.Dataset",
    figure: Picture,
    lines: "xr.Dataset | None" = None,
    *,
    style: Literal["figure", "reader"] = "figure",
) -> OnAxes:
    """Draw the panels of a figure on axes of your own, without legend, caption and letters.

    Parameters
    ----------
    axes : Axes or iterable of Axes
        One for each panel: of a phase diagram one for each method and then one for each difference,
        of curves one for each variable, of critical lines one for each parameter, of a collapse two
        for each method, of trajectories one for each of growth (per method) and the other panels.
    ds, figure, lines
        As of `draw`. Options of the sheet have no effect: width, panel_height, title, caption,
        legend, formats.
    style : {"figure", "reader"}
        With the font and sizes of letters that the figure says, or as matplotlib is set.

    Returns
    -------
    OnAxes
        `handles` for a legend, the `caption`, and what is `coloured`, for colour bars.

    Raises
    ------
    InputError
        If the number of axes is not that of the panels, or the results do not have what the figure
        names or needs.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> study = simdyn.Study(
    ...     {"n_samples": 10, "dimension": 100},
    ...     simdyn.TwoLayerCNN(n_filters=2, init_std=0.01),
    ...     {"sgd": simdyn.SGD(learning_rate=0.1, epochs=20)},
    ...     {"signal_norm": [1.0, 2.0, 3.0]},
    ... )
    >>> ds = study.run()
    >>> figure, ax = plt.subplots()
    >>> curves = simdyn.plot.usual_figure(ds)
    >>> drawn = simdyn.plot.draw_on(ax, ds, curves, style="reader")
    >>> legend = figure.legend(handles=drawn.handles)
    >>> ax.get_ylabel()
    'test error'
    """
    check_style(style)
    ds, figure = at_values(ds, figure), figure.replace(at=None)
    letters = Sheet.of(figure).letters if style == "figure" else None
    with style_of(letters) if letters else nullcontext():
        made = _module(figure).panels
        panels = made(with_labels(ds, figure.labels), figure, **_on_top(figure, lines))
        return draw_panels(check_axes(axes, panels), panels, letters)


def _module(figure: Picture) -> Any:
    """The module that draws figures of this kind."""
    return importlib.import_module(f"{__name__}.{figure.kind}")


def _on_top(figure: Picture, lines: "xr.Dataset | None") -> dict[str, "xr.Dataset"]:
    """Lines as an argument of what draws a figure, if there are any."""
    if lines is None:
        return {}
    if not hasattr(figure, "lines"):
        raise InputError(f"lines: allowed with a phase diagram, and this figure is {figure.kind!r}")
    return {"lines": lines}


def check_lines(study: "StudyDesign") -> None:
    """Before a study runs: refuse a figure on which solved lines cannot be drawn.

    Parameters
    ----------
    study : StudyDesign
        Its figure may name a store in `lines`.

    Raises
    ------
    InputError
        If there is no such store, it is damaged, or its lines do not belong on the diagram.
    """
    figure = study.figure
    if isinstance(figure, PhaseDiagram) and figure.lines:
        from simdyn.plot.overlaid_lines import check_fit, opened_lines

        check_fit(figure, study.physics, opened_lines(figure.lines))


def save(figure: "Figure", path: str | os.PathLike[str]) -> tuple[pathlib.Path, ...]:
    """Write a figure as PNG (300 dpi) and PDF, or as it says itself; the same bytes each time.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
        `figures/name`, `figures/name.png` and `figures/name.pdf` mean the same pair of
        files. Missing folders are made.

    Returns
    -------
    tuple of pathlib.Path
        The files, each complete or untouched. If the figure's caption is for a file, that is
        written as plain text (.txt) and for LaTeX (.tex).
    """
    path = pathlib.Path(path)
    stem = path.with_suffix("") if path.suffix in (".png", ".pdf", ".svg") else path
    stem.parent.mkdir(parents=True, exist_ok=True)
    sheet: Sheet = getattr(figure, "sheet", Sheet())
    written = [_write(stem, form, picture(figure, form)) for form in sheet.formats]
    caption = str(getattr(figure, "caption", ""))
    if caption and sheet.filed:
        written.append(_write(stem, "txt", text_files.plain(caption).encode()))
        written.append(_write(stem, "tex", text_files.latex(caption).encode()))
    return tuple(written)


def _write(stem: pathlib.Path, form: str, content: bytes) -> pathlib.Path:
    target = stem.with_name(f"{stem.name}.{form}")
    with interrupts.held(), replacing(target) as draft:
        draft.write_bytes(content)
    return target
