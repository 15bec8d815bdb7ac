"""A report: one HTML file with all that a study found, which opens without a network."""

import base64
import html
import json
from pathlib import Path
from typing import Any

import xarray as xr

from simdyn.base.html_tables import table
from simdyn.base.inputs import InputError
from simdyn.explore.downloads import picture
from simdyn.params import Picture
from simdyn.store.log import work_done
from simdyn.study.design import StudyDesign
from simdyn.study.study_text import as_toml
from simdyn.theory import analysis
from simdyn.variables.registry import STATUS

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; color: #1d2330; background: #ffffff;
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; } h2 { margin: 2.2rem 0 .6rem; border-bottom: 1px solid #d1d5db; }
img { width: 100%; height: auto; } p.soft { color: #6b7280; margin-top: .2rem; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid #e5e7eb; }
pre { background: #f6f7f9; padding: .8rem 1rem; overflow-x: auto; font-size: 13px; }
tr.holds td:last-child { color: #047857; } tr.fails td:last-child { color: #b91c1c; }
"""
WHO = {
    "host": "host",
    "cpu": "type of CPU",
    "platform": "platform",
    "simdyn": "simdyn",
    "commit": "commit",
    "python": "Python",
    "numba": "Numba",
    "llvmlite": "llvmlite",
    "numpy": "NumPy",
    "zarr": "Zarr",
    "started": "from (UTC)",
    "ended": "to (UTC)",
    "blocks": "blocks",
    "core_seconds": "core-seconds",
}


def report_of(
    study: StudyDesign,
    path: Path,
    results: xr.Dataset,
    figure: Picture | None,
    *,
    interactive: tuple[str, str] = ("", ""),
    claims: xr.Dataset | None = None,
) -> str:
    """The text of an HTML file.

    Parameters
    ----------
    study : StudyDesign
    path : path
        Its store.
    results : xarray.Dataset
    figure : Picture, optional
        What is drawn; nothing if absent.
    interactive : (str, str)
        Scripts for the head of the page, and a drawing that a reader can move in; empty for none.
    claims : xarray.Dataset, optional
        What `simdyn check` has written.
    """
    attrs = json.loads(results.attrs["study"])
    scripts, drawing = interactive
    parts = [f"<h1>{html.escape(study.name)}</h1>", _at_a_glance(study)]
    if figure is not None:
        parts += ["<h2>Figure</h2>", _picture(results, figure, study.name)]
    if drawing:
        parts += ["<h2>The same to explore</h2>", drawing]
    ended = [[word, text, f"{count:,}"] for word, text, count in _statuses(results)]
    parts += ["<h2>How the runs ended</h2>", table(["status", "meaning", "runs"], ended)]
    if claims is not None:
        parts += ["<h2>Predictions of the paper</h2>", _claims(claims)]
    parts += [
        "<h2>The study file</h2>",
        f"<pre>{html.escape(as_toml(study, figure))}</pre>",
        "<h2>What was recorded</h2>",
        _variables(results),
        "<h2>Who computed it, with what</h2>",
        _provenance(path),
        f"<p class='soft'>NUMERICS_VERSION {attrs['numerics_version']}, fingerprint "
        f"{study.fingerprint}. Any point is trained again by <code>simdyn replay "
        f"{html.escape(path.name)} …</code>.</p>",
    ]
    title = html.escape(f"{study.name}: simdyn")
    head = f"<meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>{scripts}"
    body = "\n".join(parts)
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>\n{body}\n</body></html>\n"


def _at_a_glance(study: StudyDesign) -> str:
    axes = " × ".join(
        f"{size:,} {html.escape(name)}"
        for name, size in zip(study.space.dims, study.space.shape, strict=True)
    )
    counts = [f"{axes or 'one point'}", f"{len(study.space.methods)} method(s)"]
    counts.append(f"{study.replicates:,} replicate(s)")
    return f"<p class='soft'>{' · '.join(counts)} · seed {study.seed}</p>"


def _picture(results: xr.Dataset, figure: Picture, name: str) -> str:
    data = base64.b64encode(picture(results, figure, "png")).decode()
    return f"<img alt='Figure of {html.escape(name)}' src='data:image/png;base64,{data}'>"


def _statuses(results: xr.Dataset) -> list[tuple[str, str, int]]:
    count = analysis.count_by_status(results["status"])
    total = count.sum([dim for dim in count.dims if dim != "status"])
    found = []
    for code, word in analysis.STATUS_WORDS.items():
        if number := int(total.sel({"status": word})):
            found.append((f"{code} {word}", STATUS[code].partition(": ")[2] or word, number))
    return found


def _variables(results: xr.Dataset) -> str:
    rows = [
        [
            str(name),
            str(array.attrs.get("symbol", "")),
            str(array.attrs.get("equation", "")),
            str(array.attrs.get("description", array.attrs.get("long_name", ""))),
        ]
        for name, array in results.data_vars.items()
    ]
    return table(["variable", "symbol", "equation", "meaning"], rows)


def _provenance(path: Path) -> str:
    work = work_done(path)
    if not work:
        return "<p>The log of the store does not say.</p>"
    rows = [
        [label, *(_told(by.get(name, "")) for by in work)]
        for name, label in WHO.items()
        if any(by.get(name) for by in work)
    ]
    return table(["", *([""] * len(work))], rows)


def _told(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _claims(claims: xr.Dataset) -> str:
    rows, marks = [], []
    for k in range(claims.sizes["quantity"]):
        one = claims.isel(quantity=k)
        texts = [str(one[name].item()) for name in ("claim", "mark", "quantity")]
        names = ("estimate", "low", "high", "band_low", "band_high")
        estimate, low, high, least, most = (f"{one[name].item():.4g}" for name in names)
        verdict = str(one["verdict"].item())
        marks.append(f"class='{html.escape(verdict)}'")
        rows.append([*texts, f"{estimate} ({low} … {high})", f"{least} … {most}", verdict])
    head = ["claim", "mark", "quantity", "measured (interval)", "band", "verdict"]
    return table(head, rows, marks)


def checked_claims(folder: Path) -> xr.Dataset:
    """What `simdyn check` has written last, of the whole table or the quick one.

    Raises
    ------
    InputError
        If there is neither.
    """
    files = [folder / "results" / f"{name}.zarr" for name in ("check", "check-quick")]
    there = [file for file in files if file.exists()]
    if not there:
        raise InputError(
            f"--claims: there is no {files[0]}; `simdyn check`, or with --quick, makes it"
        )
    last = max(there, key=lambda file: file.stat().st_mtime)
    found: xr.Dataset = xr.open_zarr(last, consolidated=False).load()
    return found
