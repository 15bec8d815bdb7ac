"""The figure that a study declares: one class for each kind."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from simdyn.base.inputs import InputError, shown
from simdyn.params.parameters import Real, described, made
from simdyn.params.picture import (
    PICTURES,
    Contents,
    Picture,
    Scale,
    axis_scale,
    check_few,
    check_known,
    methods_drawn,
)
from simdyn.params.record import Record


def _path(value: Any) -> Any:
    """A path as text."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


class PhaseDiagram(Picture):
    """One map for each method, and one of each difference from the first.

    Parameters
    ----------
    kind : {"phase_diagram"}
    x, y : str
        Swept parameters on the axes.
    variable : str
        What is drawn: its mean over replicates in the last state.
    compare : tuple of str, optional
        Methods drawn, and each but the first subtracted from it; all of the study's if absent.
    level : float
        Contour level.
    thin_levels : tuple of float, optional
        Further levels, whose contours are drawn thin, with the level beside them.
    hatch_loss : float
        Cells whose mean training loss is this or more are hatched.
    colours : str
        Colour map of the means, one that matplotlib knows by name.
    interpolated : {"plain", "faint"}
        How cells are drawn that are interpolated, not simulated.
    lines : str, optional
        The path, from the current folder, of a store of a study that solves for one of the axes and
        sweeps the other (`[solve]`): its critical lines are drawn on the maps, with their
        intervals. It must solve for the same variable of the same law of data; what else differs is
        said in the caption.
    x_scale, y_scale : {"linear", "log", "symlog"}, optional
        Of the axes; logarithmic if the values are geometric, else linear, if absent. "symlog" is
        linear up to the smallest value but zero, and logarithmic beyond.
    at, labels, title, width, panel_height, font_size, font, caption, legend, formats
        As of every figure, see `Look`; `at` has a value of each swept name that is on no axis.
    """

    kind: Literal["phase_diagram"] = described("phase_diagram", "", "kind of figure")
    x: str = described("dimension", "", "horizontal axis", "a swept parameter")
    y: str = described("signal_norm", "", "vertical axis", "a swept parameter")
    variable: str = described("test_error", "", "variable drawn", "a recorded scalar variable")
    compare: tuple[str, ...] | None = described(
        None, "", "methods compared", "a list of names of methods", min_length=1
    )
    level: Real = described(0.1, "", "contour level", "a finite number")
    thin_levels: tuple[Real, ...] | None = described(
        None, "", "further contour levels", "a list of finite numbers", min_length=1
    )
    hatch_loss: Real = described(0.05, "", "hatched from this training loss", "a finite number")
    colours: str = described("magma_r", "", "colour map", "the name of a colour map of matplotlib")
    interpolated: Literal["plain", "faint"] = described("plain", "", "cells not simulated")
    lines: Annotated[str | None, BeforeValidator(_path)] = described(
        None, "", "solved lines", "the path of a store of a study with [solve]", min_length=1
    )
    x_scale: Scale | None = axis_scale(None, "horizontal axis")
    y_scale: Scale | None = axis_scale(None, "vertical axis")

    def check(self, contents: Contents) -> None:
        """Refuse levels that are named twice, and what no figure can show."""
        super().check(contents)
        levels = [self.level, *(self.thin_levels or ())]
        if len(set(levels)) < len(levels):
            raise InputError(
                f"figure.thin_levels = {list(self.thin_levels or ())}: allowed are distinct "
                f"numbers other than figure.level = {self.level:g}"
            )


class Curves(Picture):
    """Variables over one swept parameter, a line for each method.

    Parameters
    ----------
    kind : {"curves"}
    x : str
        The swept parameter.
    variables : tuple of str
        What is drawn, a panel for each: means over replicates in the last state.
    compare : tuple of str, optional
        Methods drawn; all of them if absent.
    scale : {"linear", "log", "symlog"}
        Of the vertical axes. "symlog" is linear up to the smallest mean but zero, and logarithmic
        beyond.
    x_scale : {"linear", "log", "symlog"}, optional
        Of the horizontal axis; logarithmic if the values are geometric, else linear, if absent.
    at, labels, title, width, panel_height, font_size, font, caption, legend, formats
        As of every figure, see `Look`; `at` has a value of each swept name that is on no axis.
    """

    kind: Literal["curves"] = described("curves", "", "kind of figure")
    x: str = described(..., "", "horizontal axis", "a swept parameter")
    variables: tuple[str, ...] = described(
        ("test_error",),
        "",
        "variables drawn",
        "a list of up to three recorded scalar variables",
        min_length=1,
        max_length=3,
    )
    compare: tuple[str, ...] | None = methods_drawn()
    scale: Scale = axis_scale("linear", "vertical axes")
    x_scale: Scale | None = axis_scale(None, "horizontal axis")

    def check(self, contents: Contents) -> None:
        """Refuse more methods than line styles can tell apart, and what no figure can show."""
        super().check(contents)
        check_few(self.compare or contents.methods)


class CriticalLines(Picture):
    """Critical values over swept parameters, a panel for each and a line for each method.

    Of a study that solves for a field. Lines are drawn with their intervals, in logarithms, with
    the power fitted to each. If several parameters go along one dim, as `zip` makes them, each has
    a panel with the points at which all others are as at the first point: one study varies several
    parameters in turn.

    Parameters
    ----------
    kind : {"critical_lines"}
    x : tuple of str
        The swept parameters, along one dim.
    compare : tuple of str, optional
        Methods drawn; all of them if absent.
    x_scale, y_scale : {"log", "linear", "symlog"}
        Of the axes.
    at, labels, title, width, panel_height, font_size, font, caption, legend, formats
        As of every figure, see `Look`; `at` has a value of each swept name that is on no axis.
    """

    kind: Literal["critical_lines"] = described("critical_lines", "", "kind of figure")
    x: tuple[str, ...] = described(
        ("dimension",),
        "",
        "horizontal axes",
        "a list of up to six swept parameters",
        min_length=1,
        max_length=6,
    )
    compare: tuple[str, ...] | None = methods_drawn()
    x_scale: Scale = axis_scale("log", "horizontal axes")
    y_scale: Scale = axis_scale("log", "vertical axes")

    @property
    def axes(self) -> tuple[str, ...]:
        """None that other kinds of figure have."""
        return ()

    def check(self, contents: Contents) -> None:
        """Refuse a study that solves for nothing, or sweeps what is on no axis."""
        if not contents.solved:
            raise InputError(
                f"figure.kind = {self.kind!r}: allowed for a study with [solve], which has "
                "critical values"
            )
        for name in self.x:
            check_known("x", name, contents.dim_of, "not a swept number")
            self.check_scales(contents, {"x": name})
        if len(set(self.x)) < len(self.x):
            raise InputError(f"figure.x = {list(self.x)}: allowed are distinct names")
        dims = {contents.dim_of[name] for name in self.x}
        self.check_at(contents, dims)
        others = sorted({*contents.axes} - {*dims, *(self.at or ())})
        if len(dims) > 1:
            raise InputError(
                f"figure.x = {list(self.x)}: these are swept apart; allowed are names that go "
                "together in space.zip"
            )
        if others:
            raise InputError(
                f"figure.kind = {self.kind!r}: {', '.join(others)} is swept, but on no axis; "
                "choose one value of it, in figure.at"
            )
        for method in self.compare or ():
            check_known("compare", method, contents.methods, "no such method")
        self.check_labels(contents)
        check_few(self.compare or contents.methods)


PANELS = {  # of trajectories: the variables that each shows
    "growth": ("signal_coef", "noise_coef"),
    "losses": ("train_loss", "test_error"),
    "deactivated_fraction": ("deactivated_fraction",),
    "sharpness": ("sharpness",),
    "sam_gap": ("sam_gap",),
    "switching_fraction": ("switching_fraction",),
}
USUAL = tuple(panel for panel in PANELS if panel != "switching_fraction")  # unless others are named
ALWAYS_SHOWN = ("growth", "losses")
TRAJECTORY_STATES = 100  # log-spaced, unless the record says when
LEAST_STATES = 3  # of trajectories


class Trajectories(Picture):
    """Two methods over the course of training, at one setting.

    Growth of the signal and noise coefficients with the predicted times marked, loss and test
    error, the deactivated fraction with its prediction, sharpness and SAM gap. A study with this
    figure records all of these that its data and activation have, at 100 log-spaced states, unless
    its record names variables or says when.

    Parameters
    ----------
    kind : {"trajectories"}
    compare : tuple of two str, optional
        Methods drawn; the study's first two if absent.
    overlay : tuple of one or two str, optional
        Methods whose means are drawn as wide grey lines below those of the first and the second
        method: of the same training by other means, which should coincide.
    panels : tuple of str, optional
        Of "growth" (signal_coef, noise_coef), "losses" (train_loss, test_error),
        "deactivated_fraction", "sharpness", "sam_gap" and "switching_fraction". If absent, growth
        and losses, which must be recorded if the data has them, and those of the others that are
        recorded.
    x_scale : {"log", "linear", "symlog"}
        Of the updates. On a logarithmic axis the initial state stands at half an update.
    scale : {"linear", "log", "symlog"}
        Of the vertical axes, but for growth, which is logarithmic.
    at, labels, title, width, panel_height, font_size, font, caption, legend, formats
        As of every figure, see `Look`; `at` has a value of each swept name that is on no axis.
    """

    kind: Literal["trajectories"] = described("trajectories", "", "kind of figure")
    compare: tuple[str, str] | None = described(
        None, "", "methods compared", "two names of methods"
    )
    overlay: tuple[str, ...] | None = described(
        None,
        "",
        "methods drawn below these",
        "a list of one or two names of methods",
        min_length=1,
        max_length=2,
    )
    panels: tuple[Literal[*PANELS], ...] | None = described(  # type: ignore[valid-type]
        None, "", "panels", f"a list of {', '.join(PANELS)}", min_length=1
    )
    x_scale: Scale = axis_scale("log", "horizontal axes")
    scale: Scale = axis_scale("linear", "vertical axes")

    @property
    def shown(self) -> tuple[str, ...]:
        """The variables of the panels."""
        return tuple(name for panel in self.panels or USUAL for name in PANELS[panel])

    def lacks(self, contents: Contents) -> list[str]:
        """Variables that must be recorded and are not.

        Each panel that is named needs all its variables that can be recorded; without names, growth
        and losses do. If it is not known what can be recorded, a named panel needs one of its
        variables, and without names one panel does.
        """
        panels, recorded = self.panels or USUAL, set(contents.variables)
        if contents.possible:
            wanted = [name for panel in self.panels or ALWAYS_SHOWN for name in PANELS[panel]]
            return [name for name in wanted if name in contents.possible and name not in recorded]
        empty = [panel for panel in panels if recorded.isdisjoint(PANELS[panel])]
        if not self.panels and len(empty) < len(panels):
            return []
        return [name for panel in empty for name in PANELS[panel]]

    def recording(self, record: Record) -> Record:
        """Log-spaced states, unless the record says when."""
        return record if record.says_when else record.replace(log_spaced=TRAJECTORY_STATES)

    def check(self, contents: Contents) -> None:
        """Refuse a study, or results, that sweep anything or record too little."""
        super().check(contents)
        if missing := self.lacks(contents):
            raise InputError(
                f"record.variables: figure.kind = 'trajectories' needs {', '.join(missing)} too; "
                "record them, or name in figure.panels the panels that are wanted: "
                f"{', '.join(PANELS)}"
            )
        if contents.states < LEAST_STATES:
            raise InputError(
                f"figure.kind = 'trajectories': {contents.states} recorded state(s); allowed are "
                f"{LEAST_STATES} or more: give record.log_spaced or record.every"
            )
        for panel in self.panels or ():
            if set(contents.variables).isdisjoint(PANELS[panel]):
                raise InputError(
                    f"figure.panels: '{panel}' shows {' and '.join(PANELS[panel])}, which cannot "
                    "be recorded of this data and network; leave it out"
                )


def made_picture(fields: Mapping[str, Any]) -> Picture:
    """The figure of a [figure] table, of the class that its `kind` names.

    Raises
    ------
    InputError
        One line that names the field, the value and what is allowed.
    """
    kind = fields.get("kind", "phase_diagram")
    if not isinstance(kind, str) or kind not in PICTURES:
        kinds = ", ".join(f'"{name}"' for name in PICTURES)
        raise InputError(f"figure.kind = {shown(kind)}: allowed are {kinds}")
    picture: Picture = made("figure", PICTURES[kind], fields)
    return picture
