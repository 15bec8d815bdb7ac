"""Which variables may be recorded, by data, network and record."""

from collections.abc import Iterable, Sequence
from typing import Any

from simdyn.base.inputs import InputError, nearest, shown
from simdyn.params import PIECEWISE_LINEAR, Data, DrawnData, Phase, Record
from simdyn.params.conditions import goal_of
from simdyn.variables.registry import VARIABLES
from simdyn.variables.variable import Offer


def choose_variables(
    wanted: Sequence[str] | None,
    default: Sequence[str],
    possible: Sequence[str],
    where: str = "Record",
) -> tuple[str, ...]:
    """Names to record, in the registry's order; status is always among them.

    Raises
    ------
    InputError
        For a name that is unknown, or that has no meaning for this problem.
    """
    names = list(default if wanted is None else wanted)
    for name in names:
        if name not in possible and not _always(name):
            raise InputError(
                f"{where}.variables: '{name}' is not available here; {nearest(name, possible)}"
            )
    return tuple(name for name in VARIABLES if name in names or _always(name))


def _always(name: str) -> bool:
    return name in VARIABLES and VARIABLES[name].recorded == "always"


def offers_of(law: type[Data], phases: Iterable[Offer] = ()) -> set[Offer]:
    """What data with a law offer to variables, with a piecewise linear network.

    Images offer what has one shape whatever the split. If drawn data have more than one signal or
    more than one noise vector a sample, they have a dictionary of all of these. `phases` is
    what `offers_of_phases` says.
    """
    offers: set[Offer] = set(phases)
    if not issubclass(law, DrawnData):
        return offers | {"test samples", "piecewise linear"}
    offers |= {"fresh samples", "piecewise linear"}
    if law.one_noise:
        offers.add("one noise")
    if law.one_signal:
        offers.add("one signal")
    if not (law.one_noise and law.one_signal):
        offers.add("dictionary")
    return offers


def offers_of_phases(stepping: Iterable[Any], until: Iterable[Any]) -> set[Offer]:
    """What phases offer, from all values that their fields of these names have."""
    offers: set[Offer] = set()
    if set(stepping) - {"exact"}:
        offers.add("strides")
    if set(until) - {None}:
        offers.add("conditions")
    return offers


def offers_of_plan(plan: Sequence[Phase]) -> set[Offer]:
    """What the phases of a plan offer."""
    return offers_of_phases((p.stepping for p in plan), (p.until for p in plan))


def check_conditions(conditions: Iterable[Any], possible: Sequence[str]) -> None:
    """A condition that ends a phase must read what the problem has.

    Raises
    ------
    InputError
        If it reads a variable that is not among the possible ones.
    """
    for condition in filter(None, conditions):
        try:
            name = goal_of(condition).quantity
        except InputError:
            continue  # the phase itself is refused when it is made
        if name not in possible:
            raise InputError(f"until = {shown(condition)}: '{name}' is not available here")


def recordable(offers: Iterable[Offer]) -> tuple[str, ...]:
    """Variables that can be chosen for a problem that offers this, in the registry's order."""
    offers = set(offers)
    return tuple(
        name for name, at in VARIABLES.items() if at.possible(offers) and not _always(name)
    )


def by_default(possible: Sequence[str]) -> tuple[str, ...]:
    """What `simulate` and `train` record if no variables are named."""
    return tuple(name for name in possible if VARIABLES[name].recorded != "on request")


def by_studies(possible: Sequence[str]) -> tuple[str, ...]:
    """What studies record if no variables are named, beside what their figures show."""
    return tuple(name for name in possible if VARIABLES[name].recorded == "by studies")


def check_activation(names: Iterable[str], activation: str) -> None:
    """Some variables have a meaning only if the network is piecewise linear in its weights."""
    for name in names:
        needs_it = name in VARIABLES and "piecewise linear" in VARIABLES[name].needs
        if needs_it and activation not in PIECEWISE_LINEAR:
            raise InputError(
                f"record.variables: {name!r} is not available for activation = {activation!r}; "
                f"allowed with it are {', '.join(PIECEWISE_LINEAR)}"
            )


def check_init(init: str, law: type[Data]) -> None:
    """Drawn data has no axes, so its weights cannot have a law that singles them out."""
    if init == "uniform" and issubclass(law, DrawnData):
        raise InputError(
            f"init = {init!r}: allowed for explicit vectors only (ImageData, "
            'Problem.from_patches); for drawn data, allowed is "gaussian" or "antisymmetric"'
        )


def check_estimator(record: Record, activation: str, law: type[Data]) -> None:
    """The estimator of the test error must know the activation and the data."""
    if not issubclass(law, DrawnData):
        for name in ("test_estimator", "test_draws"):
            if getattr(record, name) is not None:
                raise InputError(
                    f"Record.{name} = {getattr(record, name)!r}: allowed is none, the error on "
                    "given test images is counted"
                )
    estimator = record.estimator(activation)
    if estimator == "radial" and issubclass(law, DrawnData) and law.added:
        raise InputError(
            "Record.test_estimator = 'radial': allowed if signal and noise are in patches of "
            "their own; for this data it is line or counted"
        )
