"""Fitted laws of a claim: what was measured, with errors, beside what was predicted."""

import textwrap
from typing import TYPE_CHECKING

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    FuncFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullFormatter,
)

from simdyn.plot.artists import style

if TYPE_CHECKING:
    from matplotlib.axis import Axis

    from simdyn.claims import Report
    from simdyn.claims.verdict import Finding

PANEL, TALL, COLUMNS = 2.33, 2.1, 3  # inches
NARROWEST = 3.4  # so that the legend fits below a single panel
WIDE = 100.0  # a range beyond this factor has powers of ten as its ticks


def _label_values(axis: "Axis", values: np.ndarray, *, each: bool) -> None:
    """Ticks of a log axis: powers of ten, or plain numbers, one for each value with `each`."""
    axis.set_minor_formatter(NullFormatter())
    if values.max() / values.min() > WIDE:
        axis.set_major_locator(LogLocator(10, numticks=5))
        axis.set_major_formatter(LogFormatterMathtext())
        return
    ticks = values if each else LogLocator(10, subs=(1, 2, 3, 5)).tick_values(*_ends(values))
    axis.set_ticks([tick for tick in ticks if each or _inside(tick, values)])
    axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))


def _ends(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]  # a contour that curves never reach is NaN
    if known.size == 0:
        return 1 / 1.3, 1.3
    return float(known.min()) / 1.3, float(known.max()) * 1.3


def _inside(tick: float, values: np.ndarray) -> bool:
    low, high = _ends(values)
    return low <= tick <= high


def draw_law_points(ax: Axes, finding: "Finding") -> None:
    """Measured points with two standard errors over the predicted line."""
    quantity, law = finding.quantity, finding.quantity.law
    assert law is not None
    line = (law.x, law.predicted) if law.curve is None else law.curve
    ax.plot(*line, color="black", linewidth=1.0, label=f"predicted, {law.note}")
    ax.errorbar(
        law.x,
        law.y,
        2 * law.error,
        color="black",
        linestyle="none",
        marker="o",
        markersize=3.5,
        markerfacecolor="white",
        capsize=2,
        linewidth=0.8,
        label="measured ± 2 standard errors",
    )
    ax.set(xscale="log", xlabel=law.x_name, ylabel=law.y_name)
    _label_values(ax.xaxis, law.x, each=True)
    flat = law.curve is not None or np.ptp(np.log(law.predicted)) == 0
    if flat:
        ax.set_ylim(0, 1.15 * float(law.y.max()) if law.curve else 1.6 * float(law.y.max()))
        ax.yaxis.set_major_locator(MaxNLocator(5))
    else:
        ax.set_yscale("log")
        ax.set_ylim(*_ends(np.concatenate([law.y - 2 * law.error, law.y + 2 * law.error])))
        _label_values(ax.yaxis, law.y, each=False)
    title = f"{quantity.name}: {finding.estimate:.3g} ({finding.verdict})"
    ax.set_title(textwrap.fill(title, 38), fontsize=7)


def draw_laws(report: "Report") -> matplotlib.figure.Figure:
    """One panel for each fitted law of a claim.

    Parameters
    ----------
    report : simdyn.claims.Report

    Returns
    -------
    matplotlib.figure.Figure
    """
    findings = [finding for finding in report.findings if finding.quantity.law is not None]
    columns = min(COLUMNS, len(findings))
    rows = -(-len(findings) // columns)
    width = max(PANEL * columns + 0.3, NARROWEST)
    with style():
        figure = matplotlib.figure.Figure(figsize=(width, TALL * rows + 0.8), layout="constrained")
        for k, finding in enumerate(findings):
            draw_law_points(figure.add_subplot(rows, columns, k + 1), finding)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=6.5
        )
        figure.suptitle(textwrap.fill(report.claim.statement, int(16 * width)), fontsize=7.5)
    return figure
