"""A sheet for a two-column page: panels on top, below them a legend and a caption."""

from collections.abc import Sequence
from typing import Any

import matplotlib.figure
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from simdyn.plot import artists

WIDTH, MARGIN, ROW = 7.0, 0.1, 0.155  # inches


def letter(index: int) -> str:
    """Of a panel: a to z, then aa, ab, …"""
    rest, last = divmod(index, 26)
    return (letter(rest - 1) if rest else "") + chr(ord("a") + last)


class Page:
    """A figure as high as its panels, legend and caption need.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    """

    def __init__(
        self, panels: float, handles: Sequence[Artist], sentences: Sequence[str], columns: int = 2
    ) -> None:
        """`panels`: inches that panels take with their labels; `handles`: entries of the legend."""
        lines = artists.wrap(sentences, (WIDTH - 2 * MARGIN) * 72, 7)
        caption_at = panels + ROW * -(-len(handles) // columns) + 0.08
        self.height = caption_at + ROW * len(lines) + 0.06
        self.figure = matplotlib.figure.Figure(figsize=(WIDTH, self.height))
        if handles:
            self.figure.legend(
                handles=handles,
                loc="upper left",
                ncols=columns,
                frameon=False,
                borderaxespad=0,
                bbox_to_anchor=(MARGIN / WIDTH, 1 - panels / self.height),
                borderpad=0,
                handlelength=3.2,
                labelspacing=0.45,
                columnspacing=2.5,
            )
        for row, line in enumerate(lines):
            baseline = 1 - (caption_at + ROW * (row + 0.7)) / self.height
            self.figure.text(MARGIN / WIDTH, baseline, line, va="baseline", gid="caption")

    def add_axes(
        self, left: float, top: float, width: float, height: float, **options: Any
    ) -> Axes:
        """Axes in a box given in inches from the top left."""
        box = (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        axes: Axes = self.figure.add_axes(box, **options)
        return axes
