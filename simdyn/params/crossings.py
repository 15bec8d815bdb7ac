"""What a study solves for: the value of a field at which a variable crosses a level."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from simdyn.base.formula import names_in
from simdyn.base.inputs import InputError, as_float, is_plain_number
from simdyn.params.parameters import Integer, Parameters, Real, described, integer

BRACKET = "two numbers or formulas, the smaller first"


def _number_or_formula(value: Any) -> Any:
    """A finite number, or a formula over names of fields."""
    if isinstance(value, str):
        try:
            names_in(value)
        except InputError as problem:
            raise ValueError(str(problem)) from None
        return value
    number = as_float(value) if is_plain_number(value) else math.nan
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


Formula = Annotated[float | str, BeforeValidator(_number_or_formula)]


class Crossing(Parameters):
    """A field that a study solves for instead of sweeping it.

    At every point of the other axes and for each method, the value of the field is found at which
    the mean over replicates of a variable crosses a level. All values share the draws of their
    replicates, so that the mean is a smooth function of the field. The bracket is searched in the
    logarithm of the field if its lower end is above 0, and in the field itself otherwise. First
    some values spread over the bracket are tried with a few replicates; of several falls to the
    level the last is taken, without a fall the first rise.

    Parameters
    ----------
    field : str
        A real-valued field of data, network or phases, or another name that formulas read.
    between : (number or formula, number or formula)
        The bracket, which must hold allowed values. Formulas read numbers of data and network.
    variable : str
        A recorded number of the last state.
    level : number or formula
        What the mean crosses.
    statistic : {"mean", "median"}
        Over replicates.
    replicates : int ≥ 2, optional
        Of the study; as the study says if absent.
    tolerance : float > 0
        How near the critical value is found: relatively, or in shares of the bracket if that is
        searched on a linear scale.

    Examples
    --------
    >>> study = simdyn.Study(
    ...     {"n_samples": 10, "dimension": 100},
    ...     simdyn.TwoLayerCNN(n_filters=2, init_std=0.01),
    ...     {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=20)]},
    ...     replicates=20,
    ...     solve=simdyn.Crossing(field="signal_norm", between=(0.1, 100.0)),
    ... )
    >>> critical = study.run()
    >>> bool(critical.critical_low < critical.critical_value < critical.critical_high)
    True
    """

    field: str = described(..., "", "solved field", "the name of a real-valued field")
    between: tuple[Formula, Formula] = described(..., "", "bracket", BRACKET)
    variable: str = described("test_error", "", "variable", "the name of a recorded number")
    level: Formula = described(0.1, "", "level", "a finite number or a formula")
    statistic: Literal["mean", "median"] = described("mean", "", "statistic")
    replicates: Integer | None = integer(None, "", "replicates", 2, 2**24)
    tolerance: Real = described(
        0.002, "", "tolerance", "a number above 0, at most 0.1", gt=0, le=0.1
    )
