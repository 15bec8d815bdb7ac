"""A sheet for a page of a paper: panels on top, below them a legend and a caption.

Layouts are in inches for letters of 7 points. A figure with other letters is that layout enlarged,
so that a sheet of given width then has room for less of it.
"""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import matplotlib.figure
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from simdyn.base.inputs import InputError
from simdyn.params import Picture
from simdyn.plot import artists

WIDTH, MARGIN, ROW = 7.0, 0.1, 0.155  # inches
WIDTHS = {"single": 3.35, "double": WIDTH}  # inches, of one column and of both
SHOWN_DPI = 96  # pixels of an inch in a notebook
TITLE = 0.22  # inches that a title takes
ABOVE = 0.06  # inches above a legend that is above the panels
ROUNDED_UP = 0.35  # of a panel that does not fit quite


def letter(index: int) -> str:
    """Of a panel: a to z, then aa, ab, …"""
    rest, last = divmod(index, 26)
    return (letter(rest - 1) if rest else "") + chr(ord("a") + last)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What a figure's options say about its sheet.

    Attributes
    ----------
    letters : artists.Letters
    width : float
        Inches of the layout, before it is enlarged.
    title : str
    captioned, filed : bool
        Is there a caption below the panels, or in files of its own?
    legend : {"below", "above", "inside", "none"}
    formats : tuple of str
        Of the files.
    """

    letters: artists.Letters = artists.USUAL
    width: float = WIDTH
    title: str = ""
    captioned: bool = True
    filed: bool = False
    legend: str = "below"
    formats: tuple[str, ...] = ("png", "pdf")

    @classmethod
    def of(cls, figure: Picture) -> "Sheet":
        """The sheet of a figure.

        Raises
        ------
        InputError
            If its font is not installed.
        """
        letters = artists.Letters(figure.font_size, figure.font)
        letters.check()
        inches = WIDTHS.get(str(figure.width), figure.width)
        return cls(
            letters,
            float(inches) / letters.enlarged,
            figure.title or "",
            figure.caption == "below",
            figure.caption == "file",
            figure.legend,
            figure.formats,
        )

    def columns(self, most: int) -> int:
        """Panels beside each other, of which a sheet for both columns has so many."""
        return max(1, min(most, int(self.width * most / WIDTH + ROUNDED_UP)))


class Drawn(matplotlib.figure.Figure):
    """A figure that knows its sheet and its caption.

    Attributes
    ----------
    sheet : Sheet
    caption : str
        As mathtext, also if it is not drawn.
    """

    sheet: Sheet = Sheet()
    caption: str = ""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The bytes that `simdyn.plot.save` writes, shown in the size of the sheet."""
        return picture(self, "png"), {"width": round(self.get_figwidth() * SHOWN_DPI)}


# The files hold no time and no versions.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


def picture(figure: matplotlib.figure.Figure, form: str) -> bytes:
    """The content of a file of a figure, in the letters of its sheet."""
    sheet: Sheet = getattr(figure, "sheet", Sheet())
    content = io.BytesIO()
    dpi = 300 if form == "png" else 600
    with artists.style(sheet.letters):
        figure.savefig(content, format=form, dpi=dpi, metadata=METADATA[form])
    return content.getvalue()


class Page:
    """A figure as high as its panels, legend and caption need.

    Attributes
    ----------
    figure : Drawn
    """

    def __init__(
        self,
        sheet: Sheet,
        panels: float,
        handles: Sequence[Artist],
        sentences: Sequence[str],
        columns: int = 2,
    ) -> None:
        """`panels`: inches that panels take with their labels; `handles`: entries of the legend."""
        sentences = list(filter(None, sentences))
        self.sheet, size = sheet, sheet.letters.enlarged
        self.inside = handles if sheet.legend == "inside" else []
        handles = handles if sheet.legend in ("below", "above") else []
        columns = min(sheet.columns(columns), max(len(handles), 1))
        rows = ROW * -(-len(handles) // columns)
        self.top = TITLE if sheet.title else 0.0
        legend_at = self.top + ABOVE
        if sheet.legend == "above":
            self.top = legend_at + rows
        end = self.top + panels
        if sheet.legend == "below":
            legend_at, end = end, end + rows
        lines = []
        if sheet.captioned:
            lines = artists.wrap(sentences, (sheet.width - 2 * MARGIN) * 72, artists.USUAL.size)
        caption_at = end + 0.08
        self.height = caption_at + ROW * len(lines) + 0.06
        self.figure = Drawn(figsize=(sheet.width * size, self.height * size))
        self.figure.sheet = sheet
        self.figure.caption = " ".join(sentences)
        if sheet.title:
            self.figure.suptitle(
                sheet.title, x=0.5, y=1 - 0.06 / self.height, va="top", size=8 * size
            )
        if handles:
            self.figure.legend(
                handles=handles,
                loc="upper left",
                ncols=columns,
                frameon=False,
                borderaxespad=0,
                bbox_to_anchor=(MARGIN / sheet.width, 1 - legend_at / self.height),
                borderpad=0,
                handlelength=3.2,
                labelspacing=0.45,
                columnspacing=2.5,
            )
        for row, line in enumerate(lines):
            baseline = 1 - (caption_at + ROW * (row + 0.7)) / self.height
            self.figure.text(MARGIN / sheet.width, baseline, line, va="baseline", gid="caption")

    def add_axes(
        self, left: float, top: float, width: float, height: float, **options: Any
    ) -> Axes:
        """Axes in a box given in inches from the top left, below title and legend.

        Raises
        ------
        InputError
            If the legend is to be inside the first, and is larger.
        """
        top += self.top
        across, down = self.sheet.width, self.height
        box = (left / across, 1 - (top + height) / down, width / across, height / down)
        axes: Axes = self.figure.add_axes(box, **options)
        if self.inside:
            self._add_inside(axes)
        return axes

    def _add_inside(self, axes: Axes) -> None:
        """The legend in the first panel."""
        legend = axes.legend(
            handles=self.inside,
            loc="best",
            edgecolor="none",
            borderaxespad=0.8,
            borderpad=0.2,
            handlelength=3.2,
            labelspacing=0.45,
        )
        self.inside = []
        needed, there = legend.get_window_extent(), axes.bbox
        if needed.width > there.width or needed.height > there.height:
            raise InputError(
                "figure.legend = 'inside': the legend is larger than a panel; allowed are 'below', "
                "'above' and 'none', or larger panels"
            )
