"""The space of a study: axes, what a swept name means, and formulas at each point."""

import math
import time
from ast import literal_eval
from collections.abc import Mapping
from typing import Any

import common
import numpy as np
import pytest
from common import items

from simdyn.base.inputs import InputError
from simdyn.params import SAM, SGD, SignalNoiseData, TwoLayerCNN
from simdyn.space.axes import as_integer, axis_values
from simdyn.space.points import Point, Space

DATA: dict[str, Any] = {"n_samples": 12, "dimension": 500, "signal_norm": 2.0}
NET: dict[str, Any] = {"n_filters": 3, "init_std": 0.01}
METHODS: dict[str, Any] = {
    "sgd": [{"optimiser": "SGD", "learning_rate": 0.1, "epochs": 10}],
    "sam": [
        {"optimiser": "SAM", "radius": 0.03, "learning_rate": 0.1, "epochs": 6},
        {"optimiser": "SGD", "learning_rate": 0.2, "epochs": 4},
    ],
}


def space(
    axes: Mapping[str, Any] | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    net: Mapping[str, Any] | None = None,
    methods: Mapping[str, Any] | None = None,
) -> Space:
    return Space({**DATA, **(data or {})}, {**NET, **(net or {})}, methods or METHODS, axes or {})


def sam(**fields: Any) -> dict[str, Any]:
    return {
        "sam": [{"optimiser": "SAM", "radius": 0.1, "learning_rate": 0.1, "epochs": 6, **fields}]
    }


def refusal(*arguments: Any, **options: Any) -> str:
    """The message with which a space is refused, when it is made or at its first point."""

    def first_point() -> Point:
        made = space(*arguments, **options)
        return made.point((0,) * len(made.axes))

    return common.refusal(first_point)


def phase(point: Point, method: int = 0, k: int = 0) -> Any:
    return point.plans[method][k]


# -- values of an axis ---------------------------------------------------------------------------


def dimension(given: Any) -> list[int]:
    values = axis_values("dimension", given, SignalNoiseData, "dimension")
    assert values.dtype == np.int64
    return list(values.tolist())


def signal_norm(given: Any) -> list[float]:
    values = axis_values("signal_norm", given, SignalNoiseData, "signal_norm")
    assert values.dtype == np.float64
    return list(values.tolist())


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([3, 1, 2], [3, 1, 2]),
        ([5], [5]),
        ((1, 2), [1, 2]),
        (range(1, 4), [1, 2, 3]),
        (np.array([4, 5]), [4, 5]),
        (np.array([4.0, 5.0]), [4, 5]),
        ([1000.0, 2000], [1000, 2000]),
        ({"start": 1000, "stop": 21000, "num": 21}, list(range(1000, 21001, 1000))),
        ({"start": 10, "stop": 1, "num": 4}, [10, 7, 4, 1]),
        ({"start": 7, "stop": 7, "num": 1}, [7]),
        ({"start": 1, "stop": 10, "num": 3}, [1, 6, 10]),  # 5.5 rounds to the even 6
        ({"log": [1, 1000], "num": 4}, [1, 10, 100, 1000]),
        ({"log": [10, 1000], "num": 4}, [10, 46, 215, 1000]),
        ({"log": [2**53, 1], "num": 2}, [2**53, 1]),
    ],
)
def test_axis_values__integers(given: Any, values: list[int]) -> None:
    assert dimension(given) == values


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([0, 0.5, 2], [0.0, 0.5, 2.0]),
        ({"start": 0, "stop": 1, "num": 3}, [0.0, 0.5, 1.0]),
        ({"log": [0.1, 10], "num": 3}, [0.1, 1.0, 10.0]),
        (np.linspace(0, 1, 3, dtype=np.float32), [0.0, 0.5, 1.0]),
    ],
)
def test_axis_values__reals(given: Any, values: list[float]) -> None:
    assert signal_norm(given) == pytest.approx(values, rel=1e-15)


def test_axis_values__ends_are_exact() -> None:
    for low, high in ((0.1, 10.0), (3.0, 7e5), (1e-9, 0.3)):
        values = signal_norm({"log": [low, high], "num": 13})
        assert (values[0], values[-1]) == (low, high)
        ratios = np.diff(np.log(values))
        np.testing.assert_allclose(ratios, math.log(high / low) / 12, rtol=1e-12)


def test_axis_values__categories() -> None:
    values = axis_values("noise", ["orthogonal", "isotropic"], SignalNoiseData, "noise")
    assert values.tolist() == ["orthogonal", "isotropic"]


BAD_FORMS: list[Any] = [
    *map(
        literal_eval,
        items("""
    3  2.5  True  None  'abc'  '5'  [[1, 2], [3, 4]]  [[1, 2], [3]]  [1, None]  {}  {'num': 3}
    {'start': 1, 'num': 3}  {'start': 1, 'stop': 5}  {'start': 1, 'stop': 5, 'num': 0}
    {'start': 1, 'stop': 5, 'num': 2.0}  {'start': 1, 'stop': 5, 'num': True}
    {'start': 1, 'stop': 5, 'num': '3'}  {'start': 1, 'stop': 5, 'num': 3, 'step': 1}
    {'start': None, 'stop': 5, 'num': 3}  {'start': [1], 'stop': 5, 'num': 3}
    {'start': '1', 'stop': '5', 'num': 3}  {'start': False, 'stop': 5, 'num': 6}
    {'log': [1], 'num': 2}  {'log': [1, 10, 100], 'num': 2}  {'log': [0, 10], 'num': 2}
    {'log': [-1, 10], 'num': 2}  {'log': 5, 'num': 2}  {'log': '19', 'num': 2}
    {'log': [1, 10], 'start': 1, 'stop': 2, 'num': 3}  {'list': [1, 2]}  []  ()  [True, False]
    [2, True]  ['1', '2']  [1, '2']  [1j]  [{'a': 1}]
    """),
    ),
    {"log": [1, float("inf")], "num": 2},
    {"log": [1, float("nan")], "num": 2},
    {"start": 1, "stop": float("inf"), "num": 2},
    {"start": float("nan"), "stop": 5, "num": 2},
    {"start": 1, "stop": 5, "num": 10**12},
    {"start": 1, "stop": 5, "num": 10**30},
    {"start": 10**400, "stop": 5, "num": 2},
    {"log": [1, 10**400], "num": 2},
]


@pytest.mark.parametrize("given", BAD_FORMS, ids=lambda given: repr(given)[:40])
def test_axis_values__other_forms_are_bad_input(given: Any) -> None:
    for name in ("dimension", "signal_norm"):
        message = common.refusal(axis_values, name, given, SignalNoiseData, name)
        assert message.startswith(f"space.{name}")
        assert "allowed" in message


@pytest.mark.parametrize(
    "given", [[1.5, 2], [float("nan")], [float("inf")], [1e300], [-float("inf")], [2**63], [10**19]]
)
def test_axis_values__integers_that_are_none_or_too_large(given: list[float]) -> None:
    message = refusal({"dimension": given})
    assert "dimension" in message
    assert "-9223372036854775808" not in message
    assert "-8446744073709551616" not in message


def test_axis_values__length_of_the_message_is_bounded() -> None:
    assert len(refusal({"dimension": [1.5, *range(10_000)]})) < 1000


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("dimension", [3, 4, 3], "3"),
        ("signal_norm", [0.5, 0.5], "0.5"),
        ("dimension", {"log": [1, 4], "num": 9}, "1"),
        ("dimension", {"start": 2, "stop": 2, "num": 2}, "2"),
        ("noise", ["isotropic", "isotropic"], "isotropic"),
        ("signal_norm", [0.0, -0.0], "0.0"),
    ],
)
def test_axis_values__duplicates(name: str, given: Any, value: str) -> None:
    message = refusal({name: given})
    assert message == f"space.{name}: the value {value} occurs twice; allowed are distinct ones"


def test_axis_values__long_axes_are_quick() -> None:
    began = time.perf_counter()
    assert len(signal_norm({"start": 0, "stop": 1, "num": 100_000})) == 100_000
    assert time.perf_counter() - began < 2.0  # comparing each with each takes longer


@pytest.mark.parametrize(
    "given",
    [
        np.array([3, 1, 2], dtype="u1"),
        np.array([3.0, 1.0, 2.0], dtype="f2"),
        range(3, 0, -1),
        np.array([3, 0, 1, 0, 2])[::2],
        np.array([3, 1, 2], dtype=">i4"),
        [3, True, 2],
        np.array([3, 1, 2], dtype=object),
        np.array([3.0, 1.0, 2.0], dtype="g"),
        [np.int8(3), 1, 2],
        np.array([True, False]),
        np.array(["3", "1"]),
        np.array([3, 1, 2], dtype="m8[s]"),
        np.array([3.0, np.nan]),
        np.array([3.5, 1.0]),
        [2**70, 1],
        range(2**60, 2**60 + 2),
        np.array([2**64 - 1], dtype="u8"),
    ],
    ids=repr,
)
def test_axis_values__arrays_mean_what_their_items_do(given: Any) -> None:
    def told(values: Any) -> Any:
        try:
            return dimension(values)
        except InputError as problem:
            return str(problem)

    assert told(given) == told([*given])


def test_axis_values__are_the_axis_s_own() -> None:
    given = np.array([1.0, 2.0])
    values = axis_values("signal_norm", given, SignalNoiseData, "signal_norm")
    given[0] = 9.0
    assert values.tolist() == [1.0, 2.0]


def test_axis_values__ends_too_far_apart() -> None:
    for name in ("dimension", "signal_norm"):
        message = refusal({name: {"start": -1e308, "stop": 1e308, "num": 3}})
        assert message.startswith(f"space.{name} = {{'start': -1e+308, ")
        assert message.endswith("allowed are ends whose difference is a finite number")


@pytest.mark.parametrize("repeat", [[1, 2, 2, 3], [3, 2, 2, 1], [5, 1, 4, 1], [2, 2, 2]])
def test_axis_values__duplicates_in_any_order(repeat: list[int]) -> None:
    assert "occurs twice" in refusal({"dimension": repeat})
    values = axis_values("dimension", repeat, SignalNoiseData, "dimension", distinct=False)
    assert values.tolist() == repeat


# -- what a swept name means ---------------------------------------------------------------------


def test_point__swept_name_is_every_occurrence() -> None:
    made = space({"epochs": [1, 2], "learning_rate": [0.5]})
    point = made.point((1, 0))
    assert [p.epochs for plan in point.plans for p in plan] == [2, 2, 2]
    assert [p.learning_rate for plan in point.plans for p in plan] == [0.5, 0.5, 0.5]


def test_point__swept_name_only_where_the_field_exists() -> None:
    point = space({"radius": [0.7]}).point((0,))
    assert phase(point, 0) == SGD(learning_rate=0.1, epochs=10)
    assert phase(point, 1) == SAM(radius=0.7, learning_rate=0.1, epochs=6)


def test_point__dotted_name_is_one_occurrence() -> None:
    made = space({"sam.1.epochs": [7, 8], "data.dimension": [50]})
    point = made.point((1, 0))
    assert [p.epochs for plan in point.plans for p in plan] == [10, 6, 8]
    assert point.data.dimension == 50
    assert list(made.axes) == ["sam.1.epochs", "data.dimension"]


@pytest.mark.parametrize("names", [("epochs", "sam.0.epochs"), ("sam.0.epochs", "epochs")])
def test_point__dotted_name_wins_over_plain_name(names: tuple[str, str]) -> None:
    values = {"epochs": [1, 2], "sam.0.epochs": [30, 40]}
    made = space({name: values[name] for name in names})
    for index in made.indices():
        at = dict(zip(names, index, strict=True))
        point = made.point(index)
        assert phase(point, 0).epochs == phase(point, 1, 1).epochs == (1, 2)[at["epochs"]]
        assert phase(point, 1).epochs == (30, 40)[at["sam.0.epochs"]]


def test_space__axis_without_any_effect_is_bad_input() -> None:
    assert "dimension" in refusal({"dimension": [10, 20], "data.dimension": [30, 40]})
    one = {"sgd": METHODS["sgd"]}
    assert "epochs" in refusal({"epochs": [1, 2], "sgd.0.epochs": [3, 4]}, methods=one)


def test_point__swept_field_may_be_left_out_or_is_overridden() -> None:
    data = {"n_samples": 12, "dimension": 500}
    assert Space(data, NET, METHODS, {"signal_norm": [4]}).point((0,)).data.signal_norm == 4.0
    assert space({"signal_norm": [4]}).point((0,)).data.signal_norm == 4.0


def test_space__order_shape_and_size_of_the_grid() -> None:
    made = space({"signal_norm": [0, 1, 2], "dimension": [10, 20]})
    assert list(made.axes) == ["signal_norm", "dimension"]
    assert (made.shape, made.size) == ((3, 2), 6)
    assert list(made.indices()) == [(i, j) for i in range(3) for j in range(2)]
    assert [(p.data.signal_norm, p.data.dimension) for p in map(made.point, made.indices())] == [
        (norm, d) for norm in (0.0, 1.0, 2.0) for d in (10, 20)
    ]
    assert space().size == 1
    assert list(space().indices()) == [()]
    assert space().point(()).net == TwoLayerCNN(**NET)


def test_point__categorical_axes() -> None:
    made = space({"noise": ["isotropic", "orthogonal"], "last_batch": ["drop", "keep"]})
    point = made.point((1, 0))
    assert point.data.noise == "orthogonal"
    assert {p.last_batch for plan in point.plans for p in plan} == {"drop"}
    message = refusal({"noise": ["isotropc"]})
    assert 'noise = \'isotropc\': allowed is "isotropic" or "orthogonal"' in message
    assert "noise" in refusal({"noise": [1, 2]})
    assert "noise" in refusal({"noise": {"start": 1, "stop": 2, "num": 2}})


@pytest.mark.parametrize(
    "name", ["method", "replicate", "step", "sign", "filter", "sample", "vector", "update"]
)
def test_space__reserved_names(name: str) -> None:
    assert refusal({name: [1, 2]}).startswith(f"space.{name}: ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("dimensions", "did you mean 'dimension'?"),
        ("raduis", "did you mean 'radius'?"),
        ("sam.0.epoch", ""),
        ("sam.2.epochs", ""),
        ("adam.0.epochs", ""),
        ("", ""),
        ("optimiser", ""),
        ("sgd.0.radius", ""),
        ("every", ""),
        ("seed", ""),
        ("replicates", ""),
    ],
)
def test_space__unknown_swept_name(name: str, hint: str) -> None:
    message = refusal({name: [1, 2]})
    assert message.startswith(f"space.{name}: no such field; {hint}")
    assert "dimension" in message


@pytest.mark.parametrize("name", ["a/b", "", "a\nb", 5])
def test_space__method_names_that_cannot_be_named_or_stored(name: Any) -> None:
    assert refusal(methods={name: METHODS["sgd"]}).startswith("methods")


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ([], "a non-empty list"),
        ([{"optimiser": "SGD"}] * 1001, "methods.a: 1,001 phases; allowed are 1,000"),
        ("SGD", "a non-empty list"),
        (None, "a non-empty list"),
        (3, "a non-empty list"),
        ([3], "a table with `optimiser`"),
        (["SGD"], "a table with"),
        ([{"learning_rate": 0.1}], "methods.a.0.optimiser = None"),
        ([{"optimiser": "sgd", "learning_rate": 0.1, "epochs": 1}], "did you mean 'SGD'?"),
        ([{"optimiser": "Adam"}], "allowed are SGD, SAM"),
        ([{"optimiser": 1}], "Allowed: SGD, SAM"),
        ([{"optimiser": ["SGD"]}], "Allowed: SGD, SAM"),
        ([{"optimiser": {}}], "Allowed: SGD, SAM"),
        (
            [{"optimiser": "SGD", "radius": 0.1, "learning_rate": 0.1, "epochs": 1}],
            "methods.a.0.radius = 0.1: no such field",
        ),
        ([{"optimiser": "SAM", "learning_rate": 0.1, "epochs": 1}], "a.0.radius is missing"),
        ([{"optimiser": "SGD", "learning_rat": 0.1, "epochs": 1}], "did you mean 'learning_rate'?"),
    ],
)
def test_space__plans_that_are_none(plan: Any, words: str) -> None:
    assert words in refusal(methods={"a": plan})


def test_space__one_phase_stands_for_a_list_of_one() -> None:
    as_list = space(methods={"a": METHODS["sgd"]}).point(())
    assert space(methods={"a": METHODS["sgd"][0]}).point(()) == as_list
    assert space(methods={"a": SGD(learning_rate=0.1, epochs=10)}).point(()) == as_list


# -- formulas ------------------------------------------------------------------------------------


def test_point__formula_reads_held_and_swept_fields() -> None:
    made = space({"dimension": [100, 400]}, data={"signal_norm": "2*sqrt(dimension/n_samples)"})
    assert made.formula_fields == {"signal_norm"}
    assert [made.point((k,)).data.signal_norm for k in (0, 1)] == [
        2 * math.sqrt(100 / 12),
        2 * math.sqrt(400 / 12),
    ]


def test_point__formula_across_sections_and_through_other_formulas() -> None:
    made = space(
        {"n_samples": [6, 12]},
        data={"dimension": "n_samples**2", "noise_std": "1/n_samples"},
        net={"init_std": "noise_std/sqrt(dimension)"},
        methods=sam(radius="10*init_std", learning_rate="radius/2", epochs="2*n_filters"),
    )
    for k, n in enumerate((6, 12)):
        point = made.point((k,))
        init = (1 / n) / math.sqrt(n**2)
        assert (point.data.dimension, point.data.noise_std) == (n**2, 1 / n)
        assert point.net.init_std == init
        assert phase(point) == SAM(radius=10 * init, learning_rate=10 * init / 2, epochs=6)


def test_point__formula_reads_the_phase_it_stands_in() -> None:
    phases = [
        {"optimiser": "SAM", "radius": "learning_rate/epochs", "learning_rate": rate, "epochs": k}
        for rate, k in ((0.1, 2), (0.6, 3))
    ]
    point = space(methods={"sam": phases}).point(())
    assert [phase(point, 0, k).radius for k in (0, 1)] == [0.1 / 2, 0.6 / 3]


def test_point__batch_size_in_formulas_is_n_samples_where_absent() -> None:
    radius = "n_filters*sqrt(batch_size)/(n_patches*noise_std*sqrt(dimension))"
    full = space(methods=sam(radius=radius)).point(())
    assert phase(full).batch_size is None
    assert phase(full).radius == pytest.approx(3 * math.sqrt(12) / (2 * math.sqrt(500)))
    small = space(methods=sam(radius=radius, batch_size=4)).point(())
    assert phase(small).radius == pytest.approx(3 * math.sqrt(4) / (2 * math.sqrt(500)))
    swept = space({"batch_size": [3, 6]}, methods=sam(radius=radius))
    assert [phase(swept.point((k,))).radius for k in (0, 1)] == pytest.approx(
        [3 * math.sqrt(b) / (2 * math.sqrt(500)) for b in (3, 6)]
    )


def test_point__batch_size_by_formula_and_by_axis() -> None:
    assert phase(space(methods=sam(batch_size="n_samples/4")).point(())).batch_size == 3
    made = space({"batch_size": {"start": 2, "stop": 6, "num": 2}})
    assert made.axes["batch_size"].dtype == np.int64
    assert [p.batch_size for plan in made.point((1,)).plans for p in plan] == [6, 6, 6]
    whole_floats = space({"batch_size": [2.0, 6.0]})
    assert whole_floats.axes["batch_size"].dtype == np.int64


def test_point__formula_at_swept_field_is_overridden() -> None:
    made = space({"signal_norm": [7]}, data={"signal_norm": "sqrt(dimension)"})
    assert made.point((0,)).data.signal_norm == 7.0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"signal_norm": "signal_norm"}, "needs its own value"),
        ({"signal_norm": "noise_std", "noise_std": "2*signal_norm"}, "needs its own value"),
        (
            {"signal_norm": "noise_std", "noise_std": "label_flip", "label_flip": "signal_norm/9"},
            "needs its own value",
        ),
        ({"signal_norm": "dimensoin"}, "no field 'dimensoin'; did you mean 'dimension'?"),
        ({"signal_norm": "radius"}, "no field 'radius'"),
        ({"signal_norm": "noise"}, "no field"),
        ({"signal_norm": "open('x')"}, "no function 'open'"),
        ({"signal_norm": ""}, "not a formula"),
        ({"signal_norm": "1/(dimension - 500)"}, "has no value"),
        ({"dimension": "n_samples/5"}, "gives 2.4: allowed is an integer; use round()"),
        ({"dimension": "n_samples - 12"}, "allowed is an integer from 1 to 2**53"),
        ({"dimension": "2**60"}, "allowed is an integer from 1 to 2**53"),
        ({"label_flip": "1/2"}, "a number from 0 to below 0.5"),
    ],
)
def test_point__formulas_that_fail(data: dict[str, str], words: str) -> None:
    message = refusal(data=data)
    assert words in message
    assert any(field in message for field in data)


def test_point__integer_formula_within_rounding() -> None:
    point = space(data={"dimension": "n_samples*0.1*50"}).point(())
    assert point.data.dimension == 60
    assert type(point.data.dimension) is int
    assert space(data={"dimension": "round(n_samples/5)"}).point(()).data.dimension == 2


def test_point__formula_over_a_cycle_that_a_sweep_breaks() -> None:
    made = space({"noise_std": [3]}, data={"signal_norm": "noise_std", "noise_std": "signal_norm"})
    assert made.point((0,)).data.signal_norm == 3.0


def test_point__message_says_where_in_the_space() -> None:
    made = space(
        {"signal_norm": [1, 2], "dimension": [10, 20]}, data={"noise_std": "15 - dimension"}
    )
    assert made.point((0, 0)).data.noise_std == 5.0
    with pytest.raises(InputError, match=r"\(at signal_norm = 2\.0, dimension = 20\)$"):
        made.point((1, 1))


def test_point__checks_batch_against_samples() -> None:
    made = space({"n_samples": [12, 13, 4]}, methods=sam(batch_size=6))
    assert phase(made.point((0,))).batch_size == 6
    with pytest.raises(
        InputError, match=r"6 does not divide n_samples = 13.*\(at n_samples = 13\)"
    ):
        made.point((1,))
    with pytest.raises(InputError, match="from 1 to n_samples = 4"):
        made.point((2,))


@pytest.mark.parametrize("value", [True, [1], {"a": 1}, None, float("nan"), float("inf"), 10**400])
def test_point__values_of_the_wrong_kind(value: Any) -> None:
    for options in (
        {"data": {"signal_norm": value}},
        {"net": {"n_filters": value}},
        {"methods": sam(epochs=value)},
        {"data": {"noise_std": value}},
    ):
        assert "allowed" in refusal(**options)
    assert "argument" not in refusal(data={"noise_std": value, "signal_norm": "noise_std"})


def test_section__constants_come_to_one_form() -> None:
    made = space(data={"dimension": 500.0, "signal_norm": 2})
    assert made.data.fields == space().data.fields
    assert type(made.data.fields["dimension"]) is int
    assert type(made.data.fields["signal_norm"]) is float


@pytest.mark.parametrize(("value", "kept"), [(3.0, 3), (3.5, 3.5), (7, 7), (math.inf, math.inf)])
def test_whole__integers_where_a_float_stands_for_one(value: float, kept: float) -> None:
    assert as_integer(value) == kept
    assert type(as_integer(value)) is type(kept)


def test_point__does_not_depend_on_the_points_before_it() -> None:
    axes = {"n_samples": [6, 12], "signal_norm": [1, 2, 3], "sam.0.epochs": [6, 7]}
    options: dict[str, Any] = {
        "data": {"dimension": "n_samples**2", "noise_std": "1/signal_norm"},
        "net": {"init_std": "noise_std/sqrt(dimension)"},
        "methods": {**METHODS, **sam(radius="init_std*epochs", learning_rate="radius/2")},
    }
    made = space(axes, **options)
    order = [*made.indices(), *reversed([*made.indices()]), (0, 0, 0), (1, 2, 1), (0, 2, 1)]
    assert len({str(made.point(index)) for index in order}) == made.size
    for index in order:
        assert made.point(index) == space(axes, **options).point(index)


def test_point__makes_parameters_again_only_where_they_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = space(
        {"dimension": [10, 20], "signal_norm": [1, 2, 3]}, methods=sam(radius="1/dimension")
    )
    count = dict.fromkeys((SignalNoiseData, TwoLayerCNN, SAM), 0)
    for owner in count:

        def counted(self: Any, inner: Any = owner.__init__, **fields: Any) -> None:
            count[type(self)] += 1
            inner(self, **fields)

        monkeypatch.setattr(owner, "__init__", counted)
    points = [made.point(index) for index in made.indices()]
    assert len(points) == 6
    assert count == {SignalNoiseData: 6, TwoLayerCNN: 1, SAM: 2}


# -- axes that are no fields -----------------------------------------------------------------------


def test_point__formulas_read_a_name_that_is_no_field() -> None:
    made = space({"share": [0.0, 0.3, 1.0]}, methods=sam(epochs="10*share", radius="share + 0.5"))
    for index, share in enumerate((0.0, 0.3, 1.0)):
        only = phase(made.point((index,)))
        assert (only.epochs, only.radius) == (round(10 * share), share + 0.5)
    assert made.shape == (3,)


def test_point__a_named_axis_beside_a_field() -> None:
    axes = {"scale": {"log": [1, 100], "num": 3}, "n_filters": [1, 4]}
    made = space(axes, data={"signal_norm": "scale*sqrt(n_filters)"})
    assert made.point((1, 1)).data.signal_norm == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("name", "formula", "said"),
    [
        ("share", "6", "space.share: no such field"),  # nothing reads it
        ("share", "6*shar", "space.share: no such field"),
        ("method", "6*method", "space.method: the name is reserved"),
        ("train_loss", "6*train_loss", "space.train_loss: the name is reserved"),
        ("pi", "6*pi", "space.pi: no such field"),
        ("sqrt", "6*sqrt", "space.sqrt: the name has a meaning in formulas"),
    ],
)
def test_space__named_axes_that_mean_nothing(name: str, formula: str, said: str) -> None:
    assert refusal({name: [1.0, 2.0]}, methods=sam(epochs=formula)).startswith(said)


def test_space__a_named_axis_holds_finite_numbers() -> None:
    for bad in (["a"], [True], [math.nan], [1.0, 1.0], []):
        assert refusal({"share": bad}, methods=sam(epochs="6*share")).startswith("space.share")
