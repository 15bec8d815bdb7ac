"""How a figure looks, of whatever kind it is."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from simdyn.base.inputs import is_plain_number
from simdyn.params.parameters import Parameters, Real, described

NARROWEST, WIDEST = 1.5, 40.0  # inches


def _labels(labels: dict[str, str] | None) -> dict[str, str] | None:
    """Texts of one line, in which mathematics ends where it begins: `$…$`."""
    if any(
        not text.isprintable() or not text or text.count("$") % 2
        for text in (labels or {}).values()
    ):
        raise ValueError("not a text of one line")
    return labels


def _width(value: Any) -> Any:
    """A word, or inches."""
    if value in ("single", "double"):
        return value
    if not is_plain_number(value) or not NARROWEST <= value <= WIDEST:
        raise ValueError("not a width")
    return float(value)


class Look(Parameters):
    """Options that every kind of figure has.

    Parameters
    ----------
    labels : dict of str to str, optional
        Names of methods in titles, legends and captions.
    title : str, optional
        Above the panels.
    width : {"single", "double"} or float, inches
        Of one column of a paper (3.35 inches), of both (7 inches), or any.
    panel_height : float, inches, optional
        Of each panel, without its labels; what suits the kind of figure if absent.
    font_size : float, points
        Of most text. Larger letters enlarge the whole layout, so that fewer panels are beside each
        other.
    font : str
        A font that is installed, or "serif", "sans-serif" or "monospace".
    caption : {"below", "file", "none"}
        Below the panels; as text in files of its own, NAME.txt and NAME.tex; or nowhere.
    legend : {"below", "above", "inside", "none"}
        Below or above the panels, or inside the first, where it hides least.
    formats : tuple of {"png", "pdf", "svg"}
        Of the files.
    """

    labels: Annotated[dict[str, str] | None, AfterValidator(_labels)] = described(
        None, "", "names of methods in the figure", "a table of a text of one line for each method"
    )
    title: str | None = described(None, "", "title", "a text")
    width: Annotated[float | str, BeforeValidator(_width)] = described(
        "double", "", "width", '"single", "double" or inches from 1.5 to 40'
    )
    panel_height: Real | None = described(
        None, "", "height of a panel", "inches from 0.3 to 30", ge=0.3, le=30
    )
    font_size: Real = described(7.0, "", "size of letters", "points from 3 to 40", ge=3, le=40)
    font: str = described("DejaVu Sans", "", "font", "the name of an installed font")
    caption: Literal["below", "file", "none"] = described("below", "", "caption")
    legend: Literal["below", "above", "inside", "none"] = described(
        "below", "", "place of the legend"
    )
    formats: tuple[Literal["png", "pdf", "svg"], ...] = described(
        ("png", "pdf"), "", "formats of files", 'a list of "png", "pdf" and "svg"', min_length=1
    )
