"""Formulas: the arithmetic of Python on a whitelist, and one line for everything else."""

import math
import re
import subprocess
import sys
import warnings
from typing import Any

import common
import numpy as np
import pytest
from common import items
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simdyn.base.formula import CONSTANTS, FUNCTIONS, evaluate, holds, names_in
from simdyn.base.inputs import InputError
from simdyn.space.columns import Column, column, evaluate_column

FIELDS = {"n_samples": 20.0, "dimension": 5000.0, "noise_std": 0.5, "n_filters": 10.0}


def refusal(text: str, fields: dict[str, float] | None = None) -> str:
    """The message with which a formula is refused: one line, without the words of Python."""
    message = common.refusal(evaluate, text, FIELDS if fields is None else fields)
    for word in ("float()", "lambda", "iterable", "positional argument", "NoneType", "<"):
        assert word not in message.replace(text, ""), message
    return message


@pytest.mark.parametrize(
    "text",
    [
        *items("""
            1  1.5  -2  +2  1e-3  1e3  0x10  1_000  2 + 3*4  (2+3)*4  2**3**2  (2**3)**2  -2**2
            (-2)**2  2**-1  7/2  10 - 4 - 3  100/10/5  --3  -(-3)  1 - -1
            2.0*3  1/3  0.1+0.2  n_samples*2  -n_samples  dimension/n_samples**0.5
            n_filters*sqrt(n_samples)/(noise_std*sqrt(dimension))  sqrt(2)  log(10)  log(8, 2)
            log2(8)  log10(1000)  exp(1)  floor(2.7)  floor(-2.1)  ceil(2.1)  round(2.5)
            round(3.5)  round(-0.4)  abs(-3)  min(3, 1, 2)  max(3, 1, 2)
            max(1, min(5, n_samples))  sqrt(sqrt(16))  pi  e  e**2 - exp(2)  pi*noise_std**2
            exp(-1000)  2**-1080  (1)  ((1))
        """),
        " 1 ",
    ],
)
def test_evaluate__as_python(text: str) -> None:
    floats: dict[str, Any] = {**vars(math), "abs": abs, "min": min, "max": max, "round": round}
    expected = eval(text, {"__builtins__": {}}, {**floats, **FIELDS})
    value = evaluate(text, FIELDS)
    assert type(value) is float
    assert value == pytest.approx(float(expected), rel=1e-15)


def test_evaluate__double_precision_and_not_big_integers() -> None:
    assert evaluate("2**53 + 1 - 2**53", {}) == 0.0
    assert evaluate("7/2", {}) == 3.5


def test_evaluate__field_before_constant() -> None:
    assert evaluate("e", {}) == math.e
    assert evaluate("e", {"e": 3.0}) == 3.0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions__each_is_callable_and_listed_in_messages(name: str) -> None:
    assert math.isfinite(evaluate(f"{name}(2, 3)" if name in ("min", "max") else f"{name}(2)", {}))
    assert name in refusal("'text'")


def test_functions__exactly_these() -> None:
    assert set(FUNCTIONS) == {
        *items("sqrt  log  log2  log10  exp  floor  ceil  round  abs  min  max")
    }
    assert dict(CONSTANTS) == {"pi": math.pi, "e": math.e}


@pytest.mark.parametrize(
    "text",
    [
        *items("""
            n_samples.real  (1).__class__  sqrt.__self__  ().__class__.__bases__  [1]  []  (1, 2)
            {1}  {1: 2}  [1][0]  dimension[0]  lambda: 1  (lambda: 1)()  [x for x in (1,)]
            sum(x for x in (1,))  '1'  "a" + "b"  b'1'  f'{1}'  True  None  ...  1j  (x := 1)
            x = 1  1; 2  import os  1 if 1 else 2  1 and 2  not 1  ~1  1 < 2  1 == 1  1 // 2
            7 % 2  1 << 3  1 | 2  1 @ 2  *1  min(*[1, 2])  max(1, 2, default=3)  round(number=2)
            sqrt(**{})  await 1  yield 1  print(1)  eval('1')  __import__('os').system('true')
            open('/dev/null')  getattr(1, 'real')  sqrt(1)(2)  (sqrt)(1)(1)  pow(2, 3)  int(2)
            math.sqrt(2)  __builtins__  __name__  __class__  self  sqrt  sqrt + 1  max(sqrt, 1)
            (  )  1 +  * 2  1 2  1..2  1e  0777  $x  #  ½  √2  2×3  '  @  ?  `1`
        """),
        *("", " ", "1\\", "\x00", "1\x00", "\ud800", "\ufeff1", '"""', "\\N{DIGIT ONE}"),
    ],
)
def test_evaluate__refuses_all_but_arithmetic(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = refusal(text)
    assert len(message) < 400


def test_evaluate__unknown_name_and_function_get_nearest() -> None:
    assert "no field 'n_sample'; did you mean 'n_samples'?" in refusal("2*n_sample")
    assert "no function 'sqr'; did you mean 'sqrt'?" in refusal("sqr(2)")
    assert "no field '__import__'" in refusal("__import__ + 1")


@pytest.mark.parametrize(
    "text",
    items("""
        1/0  1/(noise_std - 0.5)  0**-1  sqrt(-1)  log(0)  log(-1)  (-8)**(1/3)  log2(0)
        log10(-2)  log(2, 1)
    """),
)
def test_evaluate__outside_the_domain(text: str) -> None:
    assert refusal(text).startswith(f"{text!r} has no value: ")


@pytest.mark.parametrize(
    "text",
    [
        *items("""
            1e999  -1e999  1e308*10  exp(1000)  10**10**10  9**9**9**9  2**1024  1e999*0
            1e999 - 1e999  floor(1e999)  round(1e999*0)  1e308 + 1e308  max(1, 1e999*0)
            min(1e999*0, 1)
        """),
        "9" * 400,
    ],
)
def test_evaluate__overflow(text: str) -> None:
    assert "has no" in refusal(text)


@pytest.mark.parametrize(
    "text",
    items("""
        sqrt()  sqrt(1, 2)  floor()  floor(1, 2)  round(1, 2)  abs(1, 2)  min()  max()  min(1)
        exp(1, 2)  log()  log(1, 2, 3)  log2(1, 2)
    """),
)
def test_evaluate__number_of_arguments_in_plain_words(text: str) -> None:
    assert text.partition("(")[0] in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 150 + "1" + ")" * 150,
        "(" * 499 + "1" + ")" * 499,
        "-" * 999 + "1",
        "+".join("1" * 500),
        "sqrt(" * 160 + "1" + ")" * 160,
        "2" + "**1" * 300,
        "-(" * 300 + "1" + ")" * 300,
        "max(1," * 140 + "1" + ")" * 140,
        "[" * 1000,
        "1" + "-1" * 499,
        "not " * 240 + "1",
    ],
)
def test_evaluate__deep_nesting_is_a_number_or_one_line(text: str) -> None:
    def deep(levels: int) -> str:
        if levels:
            return deep(levels - 1)
        try:
            return str(evaluate(text, {}))
        except InputError as problem:
            return "refused" if "\n" not in str(problem) else "two lines"

    answers = {deep(levels) for levels in (0, 400, 700)}
    assert answers <= {"1.0", "-1.0", "500.0", "-498.0", "2.0", "refused"}


@pytest.mark.parametrize("character", ["1", "(", "-", "a", " ", "\n", "é", "'"])
def test_evaluate__a_million_characters(character: str) -> None:
    assert len(refusal(character * 10**6)) < 200
    with pytest.raises(InputError):
        names_in(character * 10**6)


@pytest.mark.parametrize("text", ["1 +\n", "a\nb", "n_samples\n*\n(", "'\n'", "1\r2", "1\u20282"])
def test_evaluate__message_is_one_line_whatever_the_text(text: str) -> None:
    common.refusal(evaluate, text, FIELDS)
    common.refusal(evaluate, f"n_sample + {text}", FIELDS)


@pytest.mark.parametrize("text", ["1if 2else 3", "1and 2", "0x1for x in y", "1 is 1", "'\\d'"])
def test_evaluate__no_warning_of_the_parser_reaches_the_user(text: str) -> None:
    code = (
        f"from simdyn.base.formula import *\ntry: evaluate({text!r}, {{}})\nexcept ValueError: pass"
    )
    spoken = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert spoken.stderr == ""


def test_names_in__fields_without_functions_and_constants() -> None:
    assert names_in("n_filters*sqrt(n_samples)/pi + max(e, x) - x") == {
        "n_filters",
        "n_samples",
        "x",
    }
    assert names_in("1 + 2") == set()
    assert names_in("sqrt(sqrt)") == {"sqrt"}


# -- truth values --------------------------------------------------------------------------------

TRUTHS = items("""
    1 < 2  2 < 1  1 <= 1  1 >= 2  2 > 1  1 == 1.0  1 != 1  1 < 2 < 3  1 < 3 < 2  3 > 2 >= 2 != 1
    not 1 < 2  not not 1 < 2  1 < 2 and 2 < 1  1 < 2 or 2 < 1  2 < 1 or 2 < 1 or 1 < 2
    1 < 2 and not (2 < 1 or 3 < 2)  dimension > 100*n_samples
    n_samples**2 < dimension*noise_std <= 5000  sqrt(dimension) > 70 and pi < e  2 < 1 and 1/0 > 1
    1 < 2 or 1/0 > 1  2 < 1 < 1/0  (1 < 2)  -1 < +1
""")


@pytest.mark.parametrize("text", TRUTHS)
def test_holds__as_python(text: str) -> None:
    expected = eval(text, {"__builtins__": {}}, {**vars(math), **FIELDS})
    assert holds(text, FIELDS) is expected
    told = evaluate_column(text, {name: column(value) for name, value in FIELDS.items()}, True)
    assert (bool(told.values), bool(told.ok)) == (expected, True)
    assert names_in(text, truth=True) == {name for name in FIELDS if name in text}


@pytest.mark.parametrize(
    "text",
    [
        *items("""
            1  n_samples  1 + 1  -1  not 1  1 and 2  1 < 2 and 1  (1 < 2) + 1  -(1 < 2)
            (1 < 2) < 3  1 < (2 < 3)  sqrt(1 < 2)  max(1 < 2, 1)  1 is 1  1 in (1, 2)
            1 not in (1, 2)  1 is not 2  1 < 2 if 1 < 2 else 1 < 3  ~(1 < 2)  (1 < 2) & (1 < 2)
            True  None  (x := 1) < 2  'a' < 'b'  1 < 'b'  1j < 2  [1] < [2]  1 < open('x')
            lambda: 1 < 2  1 <  < 1  1 < 2; 2 < 3  1 < 2 <  n_samples.real < 2  1 <> 2  1 = 1
            all(1 < 2)  1 < 2 xor 2 < 3  sqrt() < 1
        """),
        "",
    ],
)
def test_holds__refuses_all_but_comparisons(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(common.refusal(holds, text, FIELDS)) < 400


@pytest.mark.parametrize("text", TRUTHS)
def test_evaluate__truth_values_are_no_numbers(text: str) -> None:
    assert "allowed are numbers, field names" in refusal(text)
    assert holds(text, FIELDS) in (True, False)
    assert "allowed are numbers, field names" in refusal(text)  # nor after it was read as one


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n_sample > 1", "no field 'n_sample'; did you mean 'n_samples'?"),
        ("1/(noise_std - 0.5) > 1", "has no value"),
        ("1 < 2 < 1/0", "has no value"),
        ("1 < 2 and 1/0 > 1", "has no value"),
        ("1e999 > 1", "has no value"),
        ("not sqrt(-1) > 1", "has no value"),
        ("1 + 1", "allowed are comparisons of formulas, < <= > >= == !=, joined with and, or, not"),
    ],
)
def test_holds__messages(text: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        holds(text, FIELDS)


# -- many points at once -------------------------------------------------------------------------

SAMPLES = (0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1.0, 3.0, 0.1, -7.25, 1e-300, 1e300, 5e-324, 12.0)
LEAF = st.sampled_from(["a", "b", "pi", "e", "0", "2", "0.5", "3", "1e-9", "1e200", "1e999"])
NUMERIC = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(st.sampled_from(sorted(set(FUNCTIONS) - {"min", "max"})), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
        st.tuples(st.sampled_from(["min", "max", "log"]), inner, inner).map(
            lambda t: f"{t[0]}({t[1]}, {t[2]})"
        ),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner, inner).map(
            lambda t: f"{t[0]}({t[1]}, {t[2]}, {t[3]})"
        ),
        inner.map(lambda t: f"-{t}"),
    ),
    max_leaves=12,
)
COMPARED = st.tuples(
    NUMERIC,
    st.lists(
        st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMERIC),
        min_size=1,
        max_size=3,
    ),
).map(lambda t: " ".join([t[0], *(f"{op} {other}" for op, other in t[1])]))
TRUE_OR_FALSE = st.recursive(
    COMPARED,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda t: f"({t[0]}) {t[1]} ({t[2]})"
        ),
        inner.map(lambda t: f"not ({t})"),
    ),
    max_leaves=4,
)


def agrees(text: str, truth: bool) -> None:
    """The same bits at every point, and no value at the same points."""
    a, b = (each.ravel() for each in np.meshgrid(SAMPLES, SAMPLES, indexing="ij"))
    found = evaluate_column(text, {"a": column(a), "b": column(b)}, truth)
    values, ok = (np.broadcast_to(part, a.shape) for part in found)
    for k, fields in enumerate({"a": x, "b": y} for x, y in zip(a, b, strict=True)):
        try:
            expected = holds(text, fields) if truth else evaluate(text, fields)
        except InputError:
            assert not ok[k], (text, fields)
            continue
        assert ok[k], (text, fields)
        assert values[k].tobytes() == np.asarray(expected).tobytes(), (text, fields)


@pytest.mark.parametrize(
    "text",
    items("""
        floor(a)  ceil(a)  round(a)  round(a*b)  min(a, b)  max(a, b)  min(a, b, -a)  abs(a)  -a
        +a  a**b  log(abs(a) + 1, b)  sqrt(a)  1/a  a - b  exp(a)
    """),
)
def test_evaluate_column__same_bits_as_one_by_one(text: str) -> None:
    agrees(text, truth=False)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(NUMERIC)
def test_evaluate_column__any_formula(text: str) -> None:
    agrees(text, truth=False)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(TRUE_OR_FALSE)
def test_evaluate_column__any_truth_value(text: str) -> None:
    agrees(text, truth=True)


def test_evaluate_column__no_value_where_what_it_reads_has_none() -> None:
    a = Column(np.array([1.0, 2.0, 3.0]), np.array([True, False, True]))
    found = evaluate_column("a + 1", {"a": a})
    assert found.ok.tolist() == [True, False, True]
    assert evaluate_column("b + 1", {"a": a}).ok.tolist() is False
    decided = evaluate_column("a > 2 or a < 9", {"a": a}, truth=True)
    assert decided.ok.tolist() == [True, False, True]


# -- any text at all -----------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *FUNCTIONS,
        *FIELDS,
        *CONSTANTS,
        *items("""
            (  )  +  -  *  /  **  ,  .  0  1  2  9  1e  1e308  0x  j  _  __class__  [  ]  {  }  :
            :=  =  '  "  #  lambda  if  else  for  in  not  and  is  f'  %  //  ~  <  >  @  None
            True  ...  é  ∞  ;
        """),
        *(" ", "\\", "\n", "\r", "\t", "\x00", "\u2028"),
    ]
)
NUMBERS = st.one_of(st.integers(-(10**30), 10**30).map(str), st.floats().map(repr))
TREES = st.recursive(
    st.one_of(NUMBERS, st.sampled_from([*FIELDS, *CONSTANTS])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**", "//"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(st.sampled_from(list(FUNCTIONS)), st.lists(inner, max_size=3)).map(
            lambda t: f"{t[0]}({', '.join(t[1])})"
        ),
        inner.map(lambda t: f"-{t}"),
    ),
    max_leaves=30,
)
ANYTHING = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=25).map("".join), TREES)


def answers(text: str) -> None:
    """A finite float, or an InputError of one line; nothing else; and likewise a truth value."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            answer: float | str = evaluate(text, FIELDS)
        except InputError as problem:
            answer = str(problem)
        try:
            truth: bool | str = holds(text, FIELDS)
        except InputError as problem:
            truth = str(problem)
    for said in (answer, truth):
        assert not isinstance(said, str) or len(said.splitlines()) == 1, text
    assert isinstance(answer, str) or (type(answer) is float and math.isfinite(answer)), text
    assert isinstance(truth, str | bool), text
    assert isinstance(answer, str) or isinstance(truth, str), text


@settings(max_examples=400, deadline=None, derandomize=True)
@given(ANYTHING)
def test_evaluate__any_text(text: str) -> None:
    answers(text)


@pytest.mark.campaign
@settings(max_examples=200_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANYTHING)
def test_evaluate__any_text_campaign(text: str) -> None:
    answers(text)
