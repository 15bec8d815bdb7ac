"""Panels of a figure on axes that a reader has made."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from simdyn.base.inputs import InputError, shown
from simdyn.plot import artists
from simdyn.plot.panels import Panels

STYLES = ("figure", "reader")


class OnAxes(NamedTuple):
    """What belongs to panels on a reader's axes and is not drawn there.

    Attributes
    ----------
    handles : list of matplotlib.artist.Artist
        Entries for `Figure.legend(handles=…)`.
    caption : str
        With mathematics between `$` signs.
    coloured : list of matplotlib.cm.ScalarMappable
        For `Figure.colorbar`, of each panel of a phase diagram; else empty.
    """

    handles: Sequence[Artist]
    caption: str
    coloured: Sequence[ScalarMappable]


def check_style(style: str) -> None:
    """Refuse an unknown style.

    Raises
    ------
    InputError
    """
    if style not in STYLES:
        raise InputError(f"style = {shown(style)}: allowed are {' and '.join(map(repr, STYLES))}")


def check_axes(axes: Any, panels: Panels) -> list[Axes]:
    """A list of axes, as many as there are panels.

    Raises
    ------
    InputError
        If there are fewer or more, or other things.
    """
    if isinstance(axes, Axes):
        axes = [axes]
    if isinstance(axes, np.ndarray):
        axes = axes.ravel()
    given = list(axes) if isinstance(axes, Iterable) else [axes]
    if not all(isinstance(ax, Axes) and ax.name == "rectilinear" for ax in given):
        raise InputError(
            f"axes = {shown(axes)}: allowed are plain axes of matplotlib, one for a panel"
        )
    if len(given) != len(panels.draw):
        raise InputError(
            f"axes: {len(given)} given; this figure has {len(panels.draw)} panel(s): "
            f"{', '.join(panels.draw)}"
        )
    if len({id(ax) for ax in given}) < len(given):
        raise InputError("axes: the same axes are given twice; allowed are some for each panel")
    return given


def draw_panels(axes: Sequence[Axes], panels: Panels, letters: artists.Letters | None) -> OnAxes:
    """Draw each panel on its axes; with letters of its own, unless None."""
    coloured = []
    for ax, draw in zip(axes, panels.draw.values(), strict=True):
        mesh = draw(ax)
        if mesh is not None:
            coloured.append(mesh)
        if letters is not None:
            _set_letters(ax, letters)
    return OnAxes(panels.handles, " ".join(filter(None, panels.sentences)), coloured)


def _set_letters(ax: Axes, letters: artists.Letters) -> None:
    """Font and sizes of what stands beside a panel."""
    style = letters.style
    ax.tick_params(which="both", labelsize=letters.size, labelfontfamily=letters.family)
    for text in (ax.xaxis.label, ax.yaxis.label):
        text.set(fontsize=style["axes.labelsize"], fontfamily=letters.family)
    for place in ("left", "center"):
        title = {"fontsize": style["axes.titlesize"], "fontfamily": letters.family}
        ax.set_title(ax.get_title(place), loc=place, pad=4, **title)
