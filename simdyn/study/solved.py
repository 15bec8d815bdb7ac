"""What must hold of a study that solves for a field."""

from simdyn.base.inputs import InputError, check_replicates, nearest
from simdyn.params import Crossing, Record
from simdyn.space.points import Space
from simdyn.study.checks import check_networks, possible_variables
from simdyn.variables.registry import VARIABLES
from simdyn.variables.selection import check_conditions

NOMINAL_EVALUATIONS = 5  # runs of each replicate that a search takes, as measured


def replicates_of(replicates: int, solve: Crossing | None) -> int:
    """The number of replicates, which a study that solves may give with its crossing."""
    count = check_replicates(replicates)
    if solve is None:
        return count
    if solve.replicates is not None:
        if count not in (1, solve.replicates):
            raise InputError(
                f"solve.replicates = {solve.replicates} but replicates = {count}: allowed is one "
                "of them"
            )
        return solve.replicates
    if count == 1:
        raise InputError("replicates = 1: allowed with [solve] are 2 or more, for its intervals")
    return count


def solved_variables(space: Space, record: Record, solve: Crossing) -> tuple[str, ...]:
    """What a study that solves records.

    Raises
    ------
    InputError
        If the variable is not a number of the last state that its runs have, or the record says
        what only trajectories have.
    """
    check_networks(space, record)
    possible = possible_variables(space)
    check_conditions(space.phase_values("until"), possible)
    numbers = [name for name in possible if VARIABLES[name].dims == ("step",)]
    if solve.variable not in numbers:
        raise InputError(f"solve.variable = {solve.variable!r}: {nearest(solve.variable, numbers)}")
    for name in ("variables", "every", "log_spaced"):
        if getattr(record, name) is not None:
            raise InputError(
                f"record.{name} = {getattr(record, name)!r}: allowed with [solve] is none; its "
                "variable is that of the last state"
            )
    by_solving = [name for name, at in VARIABLES.items() if at.recorded in ("by solving", "always")]
    return tuple(by_solving)
