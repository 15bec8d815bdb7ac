"""Generated values are what a person writes, and one tolerance says which numbers are the same."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simdyn.base.decimals import (
    DIGITS,
    ERROR,
    TOLERANCE,
    as_written,
    differ,
    equal,
    less,
    less_or_equal,
    same_places,
)
from simdyn.base.formula import holds
from simdyn.base.inputs import InputError
from simdyn.params import SignalNoiseData
from simdyn.space.axes import axis_values
from simdyn.space.columns import column, evaluate_column

FAST = settings(max_examples=200, deadline=None, derandomize=True)
FINITE = st.floats(-1e300, 1e300, allow_nan=False)
SHORT = st.tuples(st.integers(-9999, 9999), st.integers(-9, 9)).map(
    lambda t: Decimal(t[0]).scaleb(t[1])
)


def axis(given: Any, field: str = "signal_norm") -> list[Any]:
    return list(axis_values(field, given, SignalNoiseData, field, distinct=False).tolist())


def digits(value: float) -> int:
    """Significant digits of the shortest text that means a number."""
    return len(Decimal(repr(value)).normalize().as_tuple().digits)


# -- axes ----------------------------------------------------------------------------------------


def test_axis__tenths() -> None:
    assert axis({"start": 0.1, "stop": 1.0, "num": 10}) == [k / 10 for k in range(1, 11)]
    assert axis({"start": -0.3, "stop": 0.3, "num": 7}) == [k / 10 for k in range(-3, 4)]
    assert str(axis({"start": -0.3, "stop": 0.3, "num": 7})[3]) == "0.0"
    assert axis({"start": 1.0, "stop": 0.1, "num": 10}) == [k / 10 for k in range(10, 0, -1)]


@pytest.mark.parametrize(("low", "high"), [(3, 12), (-12, 12), (-300, 300), (0, 1), (-3, -1)])
@pytest.mark.parametrize("factor", ["1", "2", "2.5", "7.1"])
def test_axis__powers_of_ten(low: int, high: int, factor: str) -> None:
    ends = [float(f"{factor}e{low}"), float(f"{factor}e{high}")]
    wanted = [float(f"{factor}e{k}") for k in range(low, high + 1)]
    assert axis({"log": ends, "num": high - low + 1}) == wanted
    assert axis({"log": ends[::-1], "num": high - low + 1}) == wanted[::-1]


@pytest.mark.parametrize("factor", [1, 2, 7])
def test_axis__powers_of_ten_that_are_integers(factor: int) -> None:
    wanted = [factor * 10**k for k in range(15)]
    assert axis({"log": [wanted[0], wanted[-1]], "num": 15}, "dimension") == wanted


def test_axis__integers_are_those_nearest_to_the_points() -> None:
    assert axis({"start": 1, "stop": 10, "num": 3}, "dimension") == [1, 6, 10]
    for n in range(2, 40):
        found = axis({"start": 3, "stop": 3 + 7 * n, "num": n}, "dimension")
        assert found == np.round(np.linspace(3, 3 + 7 * n, n)).astype(int).tolist()


@FAST
@given(SHORT, SHORT, st.integers(2, 60))
def test_axis__even_steps_of_short_decimals_are_what_python_prints(
    start: Decimal, step: Decimal, num: int
) -> None:
    wanted = [start + k * step for k in range(num)]
    scale = max(abs(wanted[0]), abs(wanted[-1]))
    places = min(Decimal(start).as_tuple().exponent, Decimal(step).as_tuple().exponent)
    if scale == 0 or scale.adjusted() - int(places) >= DIGITS:
        return  # more than twelve digits
    found = axis({"start": float(wanted[0]), "stop": float(wanted[-1]), "num": num})
    assert found == [float(value) for value in wanted]


@FAST
@given(FINITE, FINITE, st.integers(2, 40), st.booleans())
def test_axis__ends_as_given_the_rest_within_rounding(
    first: float, last: float, num: int, log: bool
) -> None:
    if not math.isfinite(last - first):
        return
    if log:
        first, last = (min(max(abs(end), 1e-290), 1e290) for end in (first, last))
        raw = np.geomspace(first, last, num)
        found = np.array(axis({"log": [first, last], "num": num}))
        allowed = ERROR * max(1, abs(math.log10(first)), abs(math.log10(last))) * raw
        assert ERROR * 308 < TOLERANCE / 2  # stores of before hold the same values
    else:
        raw = np.linspace(first, last, num)
        found = np.array(axis({"start": first, "stop": last, "num": num}))
        allowed = np.full(num, ERROR * max(abs(first), abs(last)))
    assert (found[0], found[-1]) == (first, last)
    assert (abs(found - raw) <= allowed).all()
    moved = found[found != raw].tolist()
    assert all(digits(value) <= DIGITS for value in moved if value not in (first, last))


@FAST
@given(
    st.lists(st.floats(1e-3, 1e3) | SHORT.map(float).filter(lambda x: x > 0), min_size=1),
    st.booleans(),
    st.lists(st.integers(-6, 6), min_size=1),
)
def test_as_written__idempotent_and_in_order(
    numbers: list[float], own: bool, ulps: list[int]
) -> None:
    """Also of values that lie some units in the last place beside a decimal."""
    moved = [n + u * math.ulp(n) for n in numbers for u in ulps]
    values = np.sort(np.array(moved))
    scale: Any = values if own else float(values.max())
    once = as_written(values, scale, ERROR)
    assert (np.diff(once) >= 0).all()
    assert as_written(once, once if own else scale, ERROR).tolist() == once.tolist()
    assert (abs(once - values) <= ERROR * scale).all()


def test_as_written__leaves_what_is_no_decimal() -> None:
    values = np.array([1 / 3, math.pi, 2**-30, 0.3 + 1e-13])
    assert as_written(values, values, ERROR).tolist() == values.tolist()


def test_axis__given_lists_are_kept() -> None:
    given = [0.1, 0.1 + 0.2, 5.551115123125783e-17]
    assert axis(given) == given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([0.1, 0.3, 0.1 + 0.2], "the values 0.3 and 0.30000000000000004 are the same to 12 digits"),
        ([0.1 + 0.2, 0.1, 0.3], "the values 0.3 and 0.30000000000000004 are the same to 12 digits"),
        ({"start": 1, "stop": 1, "num": 3}, "the value 1.0 occurs twice"),
        ({"start": 1, "stop": 1 + 1e-13, "num": 3}, "are the same to 12 digits"),
        ({"start": 1, "stop": 1 + 4e-12, "num": 9}, "are the same to 12 digits"),
    ],
)
def test_axis__values_within_rounding_are_one(given: Any, said: str) -> None:
    with pytest.raises(InputError) as problem:
        axis_values("signal_norm", given, SignalNoiseData, "signal_norm")
    assert str(problem.value).startswith("space.signal_norm: ")
    assert said in str(problem.value)
    assert str(problem.value).endswith("; allowed are distinct ones")


def test_axis__the_largest_doubles() -> None:
    given = [-1.7e308, 1.7e308, 1e308]
    assert axis_values("signal_norm", given, SignalNoiseData, "signal_norm").tolist() == given
    assert same_places(np.array(given), np.array(given[::-1])).tolist() == [2, 1, 0]


def test_axis__large_integers_are_distinct() -> None:
    given = [2**53 - 1, 2**53 - 2]
    assert axis_values("dimension", given, SignalNoiseData, "dimension").tolist() == given


# -- comparisons ---------------------------------------------------------------------------------

COMPARED = {"<": less, "<=": less_or_equal, "==": equal, "!=": differ}
STEPS = st.integers(-3, 3).map(lambda k: k * TOLERANCE / 3) | st.integers(-4, 4).map(
    lambda k: k * 2.0**-52
)


@FAST
@given(st.floats(1e-300, 1e300), STEPS, st.booleans())
def test_comparisons__one_by_one_and_in_columns_agree_near_equality(
    number: float, step: float, negative: bool
) -> None:
    a = -number if negative else number
    b = a * (1 + step)
    names = {"a": a, "b": b}
    columns = {name: column(np.array([value, 7.0])) for name, value in names.items()}
    for op in ("<", "<=", "==", "!=", ">", ">="):
        scalar = holds(f"a {op} b", names)
        assert evaluate_column(f"a {op} b", columns, truth=True).values[0] == scalar
        if op in COMPARED:
            assert bool(COMPARED[op](a, b)) is scalar
    same = holds("a == b", names)
    if not math.isclose(abs(step), TOLERANCE, rel_tol=0.01):
        assert same == (abs(step) < TOLERANCE)
    assert same != holds("a != b", names)
    assert holds("a < b", names) == (a < b and not same)
    assert holds("a <= b", names) == (a < b or same)
    assert holds("a > b", names) == holds("b < a", names)
    assert holds("a >= b", names) == holds("b <= a", names)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (0.0, 0.0, True),
        (0.0, -0.0, True),
        (0.0, 5e-324, False),
        (1e308, -1e308, False),
        (1.7e308, 1e308, False),
        (1e308, 1e308, True),
        (0.1 + 0.2, 0.3, True),
        (1e-300, 0.0, False),
        (2.0, 2.0 + 1e-11, False),
        (1e15, 1e15 + 1, True),
        (12, 13, False),
    ],
)
def test_equal__edges(a: float, b: float, same: bool) -> None:
    with np.errstate(over="ignore"):
        for one, other in ((a, b), (b, a), (np.array([a]), b), (np.array(a), np.array([b]))):
            assert np.all(equal(one, other)) == same
            assert np.all(differ(one, other)) != same
            assert bool(np.all(less(one, other)) or np.all(less(other, one))) != same


# -- which value is which ------------------------------------------------------------------------


def test_same_places__each_is_the_nearest_of_the_other() -> None:
    known = np.array([0.6, 0.1 + 0.2, 0.1])
    assert same_places(np.array([0.1, 0.2, 0.3, 0.6]), known).tolist() == [2, -1, 1, 0]
    assert same_places(known, known).tolist() == [0, 1, 2]
    assert same_places(np.array([]), known).tolist() == []
    assert same_places(known, np.array([])).tolist() == [-1, -1, -1]
    assert same_places(np.array([10**13, 10**13 + 1]), np.array([10**13 + 1])).tolist() == [-1, 0]
    texts = np.array(["sum", "mean"])
    assert same_places(texts, np.array(["mean", "max"])).tolist() == [-1, 0]
    assert same_places(known, texts).tolist() == [-1, -1, -1]
