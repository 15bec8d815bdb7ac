"""Scales of axes, and where cells end on them."""

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.scale import SymmetricalLogTransform
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from simdyn.theory.crossing import halfway_edges, is_geometric


def usual_scale(values: np.ndarray) -> str:
    """The scale of an axis with these values: logarithmic if they are geometric."""
    return "log" if is_geometric(values) else "linear"


def linear_below(values: np.ndarray) -> float:
    """The size below which a symlog axis is linear: the smallest value but zero.

    It is at least a millionth of the largest; 1 if there is none.
    """
    sizes = np.abs(values[np.isfinite(values) & (values != 0.0)])
    return max(float(sizes.min()), 1e-6 * float(sizes.max())) if sizes.size else 1.0


def cell_edges(values: np.ndarray, scale: str | None = None) -> np.ndarray:
    """Edges of cells around increasing grid values: midpoints on an axis of this scale.

    Parameters
    ----------
    values : (K,) numpy.ndarray
    scale : {"linear", "log", "symlog"}, optional
        The usual one of these values if absent.

    Returns
    -------
    (K + 1,) numpy.ndarray
    """
    values = np.asarray(values, dtype=np.float64)
    scale = scale or usual_scale(values)
    if scale != "symlog" or values.size == 1:
        return halfway_edges(values, logarithmic=scale == "log")
    symlog = SymmetricalLogTransform(10, linear_below(values), 1)
    edges = halfway_edges(symlog.transform(values))
    return np.asarray(symlog.inverted().transform(edges))


def set_symlog(ax: Axes, which: Literal["x", "y"], values: np.ndarray) -> None:
    """An axis that is linear about zero and logarithmic beyond the smallest of these values."""
    options: dict[str, Any] = {"linthresh": linear_below(values), "linscale": 1}
    if which == "x":
        ax.set_xscale("symlog", **options)
    else:
        ax.set_yscale("symlog", **options)


def set_scale(
    ax: Axes, which: Literal["x", "y"], values: np.ndarray, chosen: str | None = None
) -> None:
    """The chosen scale, or else the usual one of the values; ticks on the values if they are few.

    To be set before anything is drawn: cells and dashes end halfway on the axis as it is.
    """
    axis = ax.xaxis if which == "x" else ax.yaxis
    values, chosen = np.asarray(values, dtype=np.float64), chosen or usual_scale(values)
    if chosen in ("log", "symlog"):
        least = values.min()
        if chosen == "symlog":
            set_symlog(ax, which, values)
            least = linear_below(values)
        else:
            ax.set(**{f"{which}scale": "log"})
        if abs(values).max() < 100.0 * least:  # too short for powers of ten
            axis.set_major_locator(FixedLocator(values[:: -(-values.size // 5)].tolist()))
            axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:.3g}"))
            axis.set_minor_locator(NullLocator())
    elif values.size <= 3:
        axis.set_major_locator(FixedLocator(values.tolist()))
    else:
        axis.set_major_locator(MaxNLocator(5 if which == "x" else 6, steps=[1, 2, 5, 10]))


def some_ticks(tick: float, _: int) -> str:
    """The text of a minor tick that begins with 2, 3 or 5; others have no room."""
    return f"{float(f'{tick:.3g}'):g}" if f"{tick:.0e}"[0] in "235" else ""


def short_log_ticks(ax: Axes) -> None:
    """Plain numbers on a vertical logarithmic axis that is too short for powers of ten."""
    low, high = ax.get_ylim()
    ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{float(f'{tick:.3g}'):g}"))
    if high < 3.0 * low:  # nearly linear
        ticks = np.array(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
        ax.yaxis.set_major_locator(FixedLocator(ticks[(ticks >= low) & (ticks <= high)].tolist()))
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.yaxis.set_minor_formatter(FuncFormatter(some_ticks))


def scale_with_zero(ax: Axes, values: np.ndarray) -> None:
    """A vertical symlog axis of measured values with zero on it; plain ticks if it spans little."""
    low, high = ax.get_ylim()
    set_symlog(ax, "y", values)
    if not (values < 0).any():
        low = 0.0
    ax.set_ylim(min(low, 0.0), max(high, 0.0))
    if max(-low, high) < 100.0 * linear_below(values):  # too short for powers of ten
        ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(min(low, 0.0), high)
        ax.yaxis.set_major_locator(FixedLocator(list(ticks)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:.3g}"))
        ax.yaxis.set_minor_locator(NullLocator())


def scale_measured(ax: Axes, scale: str, values: np.ndarray) -> bool:
    """A vertical axis of measured values that is not linear, once these are drawn.

    Returns
    -------
    bool
        False if the axis is left linear, for it is asked for, or no value is positive.
    """
    if scale == "symlog":
        scale_with_zero(ax, values)
        return True
    if scale == "linear" or not (values > 0).any():
        return False
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_minor_formatter(NullFormatter())
    if high < 10.0 * low:  # too short for powers of ten
        short_log_ticks(ax)
    return True
