"""What all kinds of figure have in common, and the table of the kinds."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from simdyn.base.inputs import InputError, nearest
from simdyn.params.figure_look import Look
from simdyn.params.parameters import described
from simdyn.params.record import Record

MOST_CURVES = 6  # methods of one figure
SOLVED = "critical_lines"  # the kind for studies that solve for a field


class Contents(NamedTuple):
    """What a study or its results can show.

    Attributes
    ----------
    axes : dict of str to bool
        Swept parameters; true for one that holds numbers.
    methods : sequence of str
    variables : dict of str to int
        Recorded variables, with their number of dims beyond grid, method, replicate and step.
    states : int
        Recorded states of a run.
    replicates : int
    possible : sequence of str
        Variables that can be recorded of the data and network; empty if that is not known.
    dim_of : dict of str to str
        Swept numbers, each with the dim along which it goes.
    solved : str
        The field that is solved for; empty if there is none.
    lowest : dict of str to float
        Swept numbers, each with its smallest value.
    """

    axes: Mapping[str, bool]
    methods: Sequence[str]
    variables: Mapping[str, int]
    states: int
    replicates: int
    possible: Sequence[str] = ()
    dim_of: Mapping[str, str] = MappingProxyType({})
    solved: str = ""
    lowest: Mapping[str, float] = MappingProxyType({})


PICTURES: dict[str, type["Picture"]] = {}  # kinds of figure by their name in study files


def check_known(option: str, name: str, known: Iterable[str], problem: str) -> None:
    """Refuse a name that is not among the known ones."""
    if name not in (known := list(known)):
        raise InputError(f"figure.{option} = {name!r}: {problem}; {nearest(name, known)}")


def check_few(methods: Sequence[str]) -> None:
    """Refuse more methods than line styles can tell apart."""
    if len(methods) > MOST_CURVES:
        raise InputError(
            f"figure.compare: there are {len(methods)} methods; allowed is a list of up to "
            f"{MOST_CURVES}"
        )


def methods_drawn() -> Any:
    """The field of the methods that a figure with a line for each draws."""
    return described(
        None,
        "",
        "methods drawn",
        "a list of up to six names of methods",
        min_length=1,
        max_length=MOST_CURVES,
    )


Scale = Literal["linear", "log", "symlog"]


def axis_scale(default: str | None, axis: str) -> Any:
    """The field of the scale of an axis."""
    return described(default, "", f"scale of the {axis}", '"linear", "log" or "symlog"')


class Picture(Look):
    """Base of all kinds of figure.

    A subclass is one kind. Its field `kind` has the kind's name as its default, under which the
    class enters the table of kinds; the module of that name in `simdyn.plot` draws it. Fields named
    `x`, `y`, `variable`, `variables` and `compare` are checked by `check`.
    """

    kind: str = described(..., "", "kind of figure", "the name of a kind")
    at: dict[str, float | str] | None = described(
        None, "", "values of further axes", "a table with a value of each swept name on no axis"
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Enter the kind into the table."""
        super().__pydantic_init_subclass__(**options)
        PICTURES[cls.model_fields["kind"].default] = cls

    @property
    def axes(self) -> tuple[str, ...]:
        """Swept parameters on the axes x and y, as far as the kind has them."""
        return tuple(getattr(self, option) for option in "xy" if hasattr(self, option))

    @property
    def shown(self) -> tuple[str, ...]:
        """Variables that a study records for this figure unless its record names some."""
        one = getattr(self, "variable", None)
        return getattr(self, "variables", ()) if one is None else (one,)

    def recording(self, record: Record) -> Record:
        """The record of a study with this figure: the given one, with what the figure needs."""
        return record

    def check(self, contents: Contents) -> None:
        """Refuse a study, or results, that this figure cannot show.

        Every swept parameter must be on an axis and hold numbers, variables must be recorded and
        have one value for each run and state, and methods must exist.

        Parameters
        ----------
        contents : Contents

        Raises
        ------
        InputError
            One line that names the option, the value and what is allowed.
        """
        if contents.solved:
            raise InputError(
                f"figure.kind = {self.kind!r}: the study solves for {contents.solved}; allowed is "
                f"{SOLVED!r}"
            )
        for option, axis in zip("xy", self.axes, strict=False):
            check_known(option, axis, contents.axes, "not swept")
            if not contents.axes[axis]:
                raise InputError(
                    f"figure.{option} = {axis!r}: allowed is a swept parameter with numbers"
                )
        if len(set(self.axes)) < len(self.axes):
            raise InputError(f"figure.y = {self.axes[1]!r}: allowed is another field than figure.x")
        self.check_at(contents, self.axes)
        self.check_scales(contents, dict(zip("xy", self.axes, strict=False)))
        if others := sorted(set(contents.axes) - {*self.axes, *(self.at or ())}):
            raise InputError(
                f"figure.kind = {self.kind!r}: {', '.join(others)} is swept, but on no axis; "
                "choose one value of it, in figure.at"
            )
        self.check_names(contents)

    def check_names(self, contents: Contents) -> None:
        """Refuse variables that are not recorded, and methods that do not exist."""
        for option in ("compare", "variables", "overlay"):
            names = getattr(self, option, None) or ()
            if len(set(names)) < len(names):
                raise InputError(f"figure.{option} = {list(names)}: allowed are distinct names")
        scalars = [name for name, dims in contents.variables.items() if not dims]
        for option in ("variable", "variables"):
            for name in self.shown if hasattr(self, option) else ():
                check_known(option, name, scalars, "not recorded")
        for option in ("compare", "overlay"):
            for method in getattr(self, option, None) or ():
                if method not in contents.methods:
                    hint = nearest(method, contents.methods)
                    raise InputError(f"figure.{option}: no method {method!r}; {hint}")
        self.check_labels(contents)

    def check_at(self, contents: Contents, drawn: Collection[str]) -> None:
        """Refuse values of axes that are not swept, or are drawn."""
        for name in self.at or ():
            check_known("at", name, contents.axes, "not swept")
            if name in drawn:
                raise InputError(
                    f"figure.at: {name!r} is on an axis; allowed are other swept names"
                )

    def check_scales(self, contents: Contents, axes: Mapping[str, str]) -> None:
        """Refuse a logarithmic axis x or y of a swept parameter that has values ≤ 0."""
        for option, name in axes.items():
            lowest = contents.lowest.get(name, 1.0)
            if getattr(self, f"{option}_scale", None) == "log" and lowest <= 0.0:
                raise InputError(
                    f"figure.{option}_scale = 'log': {name} has the value {lowest:g}; allowed for "
                    "values that are not all positive are 'linear' and 'symlog'"
                )

    def check_labels(self, contents: Contents) -> None:
        """Refuse labels of methods that do not exist."""
        for method in self.labels or ():
            check_known("labels", method, contents.methods, "no such method")
