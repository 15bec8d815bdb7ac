"""The figure of a collapse: curves over a swept parameter, and over that parameter rescaled."""

from typing import Literal

from simdyn.base.inputs import InputError
from simdyn.params.parameters import Real, described
from simdyn.params.picture import (
    Contents,
    Picture,
    Scale,
    axis_scale,
    check_few,
    check_known,
    methods_drawn,
)

MOST_ALONG = 3  # parameters that a collapse fits


class Collapse(Picture):
    """Curves of a variable over a swept parameter, and the same over that parameter rescaled.

    A row for each method: on the left its curves over x, on the right over x d^−a n^−b … with the
    exponents for which they fall on one curve (`simdyn.collapse`).

    Parameters
    ----------
    kind : {"collapse"}
    x : str
        The swept parameter that is rescaled.
    along : tuple of str
        The other swept parameters, by which the curves are told apart.
    variable : str
        What is drawn: its mean over replicates in the last state.
    compare : tuple of str, optional
        Methods drawn; all of them if absent.
    between : tuple of two float, optional
        Only points with means between these are compared; all of them if absent.
    scale : {"linear", "log", "symlog"}
        Of the vertical axes; the horizontal ones are logarithmic.
    at, labels, title, width, panel_height, font_size, font, caption, legend, formats
        As of every figure, see `Look`; `at` has a value of each swept name that is on no axis.
    """

    kind: Literal["collapse"] = described("collapse", "", "kind of figure")
    x: str = described("signal_norm", "", "horizontal axis", "a swept parameter")
    along: tuple[str, ...] = described(
        ("dimension",),
        "",
        "a curve for each value of these",
        "a list of up to three swept parameters",
        min_length=1,
        max_length=MOST_ALONG,
    )
    variable: str = described("test_error", "", "variable drawn", "a recorded scalar variable")
    compare: tuple[str, ...] | None = methods_drawn()
    between: tuple[Real, Real] | None = described(
        None, "", "means that are compared", "two numbers, the smaller one first"
    )
    scale: Scale = axis_scale("linear", "vertical axes")

    @property
    def axes(self) -> tuple[str, ...]:
        """None that other kinds of figure have."""
        return ()

    def check(self, contents: Contents) -> None:
        """Refuse a study, or results, without these axes or with others."""
        if contents.solved:
            super().check(contents)
        if contents.replicates < 2:
            raise InputError(
                f"figure.kind = {self.kind!r}: there is 1 replicate; allowed are 2 or more, for "
                "the errors"
            )
        if self.between is not None and not self.between[0] < self.between[1]:
            raise InputError(
                f"figure.between = {list(self.between)}: allowed are two numbers, the smaller one "
                "first"
            )
        for option, name in [("x", self.x), *(("along", name) for name in self.along)]:
            check_known(option, name, contents.dim_of, "not a swept number")
        if len({*self.along}) < len(self.along):
            raise InputError(f"figure.along = {list(self.along)}: allowed are distinct names")
        dims = {contents.dim_of[name] for name in self.along}
        if contents.dim_of[self.x] in dims:
            raise InputError(
                f"figure.along = {list(self.along)}: allowed are parameters that are swept apart "
                f"from figure.x = {self.x!r}"
            )
        drawn = {*dims, contents.dim_of[self.x]}
        self.check_at(contents, drawn)
        if others := sorted({*contents.axes} - {*drawn, *(self.at or ())}):
            raise InputError(
                f"figure.kind = {self.kind!r}: {', '.join(others)} is swept, but neither x nor "
                "along; choose one value of it, in figure.at"
            )
        self.check_names(contents)
        check_few(self.compare or contents.methods)
