"""The panels of a figure: what each draws, and where they stand on a sheet."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from simdyn.params import Picture
from simdyn.plot.page import Drawn, Page, Sheet, letter

Loc = Literal["left", "center"]
Draw = Callable[[Axes], ScalarMappable | None]  # draws a panel; returns what has a colour scale


@dataclasses.dataclass(frozen=True)
class Panels:
    """What a figure shows, apart from any sheet.

    Attributes
    ----------
    draw : dict of str to callable
        Each panel under its name, in order. Draws on axes, with labels and a title.
    handles : list of Artist
        Entries of the legend.
    sentences : list of str
        Of the caption, as mathtext.
    always_lettered : bool
        Has a panel alone a letter, too?
    """

    draw: dict[str, Draw]
    handles: Sequence[Artist]
    sentences: Sequence[str]
    always_lettered: bool = True


@dataclasses.dataclass(frozen=True)
class Grid:
    """Rows and columns of equal panels on a sheet, in inches.

    Attributes
    ----------
    left, right, top : float
        Beside and above all panels.
    gap, between : float
        Between columns, and between rows.
    below : float
        Labels below the lowest row.
    panel : float
        The height of a panel.
    """

    left: float
    gap: float
    right: float
    top: float
    panel: float
    between: float
    below: float

    def of(self, figure: Picture, sheet: Sheet) -> "Grid":
        """The grid with panels as high as the figure says."""
        if figure.panel_height is None:
            return self
        return dataclasses.replace(self, panel=figure.panel_height / sheet.letters.enlarged)

    def height(self, rows: int) -> float:
        """Of all panels with their labels."""
        return self.top + (rows - 1) * (self.panel + self.between) + (self.panel + self.below)

    def wide(self, sheet: Sheet, columns: int) -> float:
        """The width of a panel."""
        return (sheet.width - self.left - self.right - (columns - 1) * self.gap) / columns

    def add(self, page: Page, index: int, columns: int, **options: Any) -> Axes:
        """Axes of one panel, with options of `Figure.add_axes`."""
        row, column = divmod(index, columns)
        wide = self.wide(page.sheet, columns)
        left = self.left + column * (wide + self.gap)
        top = self.top + row * (self.panel + self.between)
        return page.add_axes(left, top, wide, self.panel, **options)


def add_letter(ax: Axes, index: int, loc: Loc = "center") -> None:
    """Put '(a)' before the title of a panel."""
    ax.set_title(f"({letter(index)}) {ax.get_title(loc)}".rstrip(), pad=4, loc=loc)


def compose(
    sheet: Sheet,
    grid: Grid,
    shown: Panels,
    *,
    most: int,
    legend: int = 3,
    loc: Loc = "center",
    pairs: bool = False,
) -> tuple[Drawn, list[Axes], int]:
    """Draw panels on a sheet.

    Parameters
    ----------
    sheet : Sheet
    grid : Grid
    shown : Panels
    most : int
        Columns of panels on a sheet for both columns of a paper.
    legend : int
        Columns of the legend there.
    loc : {"left", "center"}
        Of the titles.
    pairs : bool
        Every second panel has the vertical axis of the one before.

    Returns
    -------
    Drawn
        The figure.
    list of Axes
        Of the panels.
    int
        The columns of panels.
    """
    columns = sheet.columns(most)
    rows = math.ceil(len(shown.draw) / columns)
    entries = min(legend, len(shown.handles))
    page = Page(sheet, grid.height(rows), shown.handles, shown.sentences, entries)
    axes: list[Axes] = []
    for index, draw in enumerate(shown.draw.values()):
        share = {"sharey": axes[-1]} if pairs and index % 2 else {}
        axes.append(grid.add(page, index, columns, **share))
        draw(axes[-1])
        if len(shown.draw) > 1 or shown.always_lettered:
            add_letter(axes[-1], index, loc)
    return page.figure, axes, columns
