"""What a study declares to be drawn: one class for each kind of figure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from simdyn.base.inputs import InputError, nearest, shown
from simdyn.params.parameters import Parameters, Real, described, made, required
from simdyn.params.record import Record


def _known(option: str, value: str, known: Sequence[str], lack: str) -> None:
    """Refuse what is not among the known names."""
    if value not in known:
        raise InputError(f"figure.{option} = {value!r}: {lack}; {nearest(value, known)}")


class Picture(Parameters):
    """Base of all kinds of figure."""

    kind: str

    @property
    def shown(self) -> tuple[str, ...]:
        """Variables that a study records for this figure unless its record names some."""
        return ()

    def lacks(self, recorded: Sequence[str], possible: Sequence[str]) -> list[str]:
        """What the figure needs and what can be recorded, but is not."""
        return [name for name in self.shown if name in possible and name not in recorded]

    def recording(self, record: Record) -> Record:
        """The record of a study with this figure: what it says, and else what the figure needs."""
        return record

    def check(
        self, axes: Sequence[str], methods: Sequence[str], variables: Mapping[str, int], states: int
    ) -> None:
        """Refuse a study that this figure cannot show.

        Parameters
        ----------
        axes, methods : sequence of str
            Swept parameters and methods of the study.
        variables : dict of str to int
            Recorded variables, with their number of dims beyond grid, method, replicate and step.
        states : int
            Recorded states of a run.

        Raises
        ------
        InputError
            One line that names the option, the value and what is allowed.
        """
        for option in ("compare", "variables"):
            names = getattr(self, option, None) or ()
            if len(set(names)) < len(names):
                raise InputError(f"figure.{option} = {list(names)}: allowed are distinct names")
        for method in getattr(self, "compare", None) or ():
            if method not in methods:
                hint = nearest(method, methods)
                raise InputError(f"figure.compare: no method {method!r}; {hint}")


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
        Methods drawn, and each but the first taken from it; all of the study's if absent.
    level : float
        Contour level.
    hatch_loss : float
        Cells whose mean training loss is this or more are hatched.
    """

    kind: Literal["phase_diagram"] = described(
        "phase_diagram", "", "kind of figure", '"phase_diagram"'
    )
    x: str = described("dimension", "", "horizontal axis", "a swept parameter")
    y: str = described("signal_norm", "", "vertical axis", "a swept parameter")
    variable: str = described("test_error", "", "variable drawn", "a recorded scalar variable")
    compare: tuple[str, ...] | None = described(
        None, "", "methods compared", "a list of names of methods", min_length=1
    )
    level: Real = described(0.1, "", "contour level", "a finite number")
    hatch_loss: Real = described(0.05, "", "hatched from this training loss", "a finite number")

    @property
    def shown(self) -> tuple[str, ...]:
        """The variable of the maps."""
        return (self.variable,)

    def check(
        self, axes: Sequence[str], methods: Sequence[str], variables: Mapping[str, int], states: int
    ) -> None:
        """Refuse a study that does not sweep exactly the two axes."""
        for option, axis in (("x", self.x), ("y", self.y)):
            _known(option, axis, axes, "not swept")
        others = sorted(set(axes) - {self.x, self.y})
        if self.x == self.y or others:
            also = f", and {', '.join(others)} is swept besides" if others else ""
            raise InputError(
                f"figure.y = {self.y!r}: x = {self.x!r}{also}; allowed are exactly two swept "
                "fields, one on each axis"
            )
        scalars = [name for name, dims in variables.items() if not dims]
        _known("variable", self.variable, scalars, "not recorded")
        super().check(axes, methods, variables, states)


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
        Methods drawn; all of them where absent.
    scale : {"linear", "log"}
        Of the vertical axes.
    """

    kind: Literal["curves"] = described("curves", "", "kind of figure", '"curves"')
    x: str = required("", "horizontal axis", "a swept parameter")
    variables: tuple[str, ...] = described(
        ("test_error",),
        "",
        "variables drawn",
        "a list of up to three recorded scalar variables",
        min_length=1,
        max_length=3,
    )
    compare: tuple[str, ...] | None = described(
        None,
        "",
        "methods drawn",
        "a list of up to six names of methods",
        min_length=1,
        max_length=6,
    )
    scale: Literal["linear", "log"] = described(
        "linear", "", "scale of the vertical axes", '"linear" or "log"'
    )

    @property
    def shown(self) -> tuple[str, ...]:
        """The variables of the panels."""
        return self.variables

    def check(
        self, axes: Sequence[str], methods: Sequence[str], variables: Mapping[str, int], states: int
    ) -> None:
        """Refuse a study that does not sweep exactly one parameter."""
        _known("x", self.x, axes, "not swept")
        if others := sorted(set(axes) - {self.x}):
            raise InputError(
                f"figure.x = {self.x!r}: {', '.join(others)} is swept besides; allowed is exactly "
                "one swept field"
            )
        scalars = [name for name, dims in variables.items() if not dims]
        for name in self.variables:
            _known("variables", name, scalars, "not recorded")
        if len(self.compare or methods) > 6:
            raise InputError(
                f"figure.compare: the study has {len(methods)} methods; allowed is a list of up to "
                "six"
            )
        super().check(axes, methods, variables, states)


PANELS = {  # of trajectories, with the variables that each shows
    "growth": ("signal_coef", "noise_coef"),
    "losses": ("train_loss", "test_error"),
    "deactivated_fraction": ("deactivated_fraction",),
    "sharpness": ("sharpness",),
    "sam_gap": ("sam_gap",),
}
ALWAYS_SHOWN = ("growth", "losses")
TRAJECTORY_STATES = 100  # log-spaced, unless the record says when


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
        Methods drawn; the study's first two where absent.
    panels : tuple of str, optional
        Of "growth" (signal_coef, noise_coef), "losses" (train_loss, test_error),
        "deactivated_fraction", "sharpness" and "sam_gap". If absent, growth and losses, which must
        be recorded if the data has them, and those of the others that are.
    """

    kind: Literal["trajectories"] = described(
        "trajectories", "", "kind of figure", '"trajectories"'
    )
    compare: tuple[str, str] | None = described(
        None, "", "methods compared", "two names of methods"
    )
    panels: tuple[Literal[*PANELS], ...] | None = described(  # type: ignore[valid-type]
        None, "", "panels", f"a list of {', '.join(PANELS)}", min_length=1
    )

    @property
    def shown(self) -> tuple[str, ...]:
        """The variables of the panels."""
        return tuple(name for panel in self.panels or PANELS for name in PANELS[panel])

    def lacks(self, recorded: Sequence[str], possible: Sequence[str]) -> list[str]:
        """What must be there and is not: of panels that are not named, growth and losses."""
        needed = {name for panel in self.panels or ALWAYS_SHOWN for name in PANELS[panel]}
        return [name for name in super().lacks(recorded, possible) if name in needed]

    def recording(self, record: Record) -> Record:
        """States that are log-spaced, if the record does not say when."""
        told = record.every is not None or record.log_spaced is not None
        return record if told else record.replace(log_spaced=TRAJECTORY_STATES)

    def check(
        self, axes: Sequence[str], methods: Sequence[str], variables: Mapping[str, int], states: int
    ) -> None:
        """Refuse a study that sweeps anything, or records too little."""
        if axes:
            raise InputError(
                f"figure.kind = 'trajectories': {', '.join(axes)} is swept; allowed is a study "
                "without [space]"
            )
        if states < 3:
            raise InputError(
                f"figure.kind = 'trajectories': {states} recorded state(s); allowed are 3 or more: "
                "give record.log_spaced or record.every"
            )
        for panel in self.panels or ():
            if not set(PANELS[panel]) & set(variables):
                raise InputError(
                    f"figure.panels: '{panel}' shows {' and '.join(PANELS[panel])}, which cannot "
                    "be recorded of this data and network; leave it out"
                )
        super().check(axes, methods, variables, states)


PICTURES: dict[str, type[Picture]] = {
    "phase_diagram": PhaseDiagram,
    "curves": Curves,
    "trajectories": Trajectories,
}


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
