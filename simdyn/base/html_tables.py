"""Tables of HTML, and the cards that notebooks show for objects: no script, colours inherited."""

import html
from collections.abc import Sequence

FADED = "style='opacity:.55'"  # of a row
STYLE = (
    ".simdyn-card table{border-collapse:collapse;margin:.3em 0}"
    ".simdyn-card th,.simdyn-card td{text-align:left;vertical-align:top;background:none;"
    "padding:.15em 1em .15em 0;border:0;border-bottom:1px solid rgba(127,127,127,.35)}"
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], marks: Sequence[str] = ()) -> str:
    """A table of texts, which are escaped.

    Parameters
    ----------
    head : sequence of str
        Titles of the columns; none if empty.
    rows : sequence of sequence of str
    marks : sequence of str
        Of each row, its attributes as HTML; none if absent.
    """
    titles = "".join(f"<th>{html.escape(text)}</th>" for text in head)
    lines = [f"<tr>{titles}</tr>"] if head else []
    for k, row in enumerate(rows):
        mark = f" {marks[k]}" if marks and marks[k] else ""
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in row)
        lines.append(f"<tr{mark}>{cells}</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def card(title: str, lines: Sequence[str], *tables: str) -> str:
    """What a notebook shows of an object: its title, lines of text, and tables.

    Title and lines are escaped. The style is for this card alone.
    """
    texts = "".join(f"<div>{html.escape(line)}</div>" for line in lines if line)
    parts = [f"<style>{STYLE}</style>", f"<strong>{html.escape(title)}</strong>{texts}", *tables]
    return "<div class='simdyn-card'>" + "\n".join(parts) + "</div>"
