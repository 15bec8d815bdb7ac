"""What is on the screen as files: PNG and PDF by `simdyn.plot`, and CSV."""

import csv
import io
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simdyn.explore.courses import COURSES

if TYPE_CHECKING:
    import xarray as xr

    from simdyn.params import Picture

FORMS = ("png", "pdf", "csv")


def picture(ds: "xr.Dataset", figure: "Picture", form: str) -> bytes:
    """A figure as the bytes of a PNG or PDF file."""
    from simdyn.plot import draw, save

    with tempfile.TemporaryDirectory() as folder:
        first, *_ = save(draw(ds, figure.replace(formats=(form,))), Path(folder) / "figure")
        return first.read_bytes()


def table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> bytes:
    """Rows under the names of their columns, as the bytes of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def courses_table(courses: Mapping[str, Mapping[str, list[float]]]) -> bytes:
    """The courses of all methods as CSV, a row for each method and state; NaN is empty."""
    rows = []
    for method, course in courses.items():
        for index, at in enumerate(course["updates"]):
            values = [course[name][index] for name in COURSES]
            update = int(at) if at >= 1.0 else 0
            rows.append([method, update, *("" if v != v else repr(v) for v in values)])
    return table(["method", "updates", *COURSES], rows)
