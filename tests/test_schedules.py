"""Learning rates that change: formula, program, bad input, studies, the command line."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from commands import call
from common import refusal
from matplotlib.text import Text

import simdyn
from simdyn import InputError, plot
from simdyn.api.replay import replay
from simdyn.base.formula import evaluate
from simdyn.kernels import rates as kernel
from simdyn.params import SAM, SGD, Record, Trajectories
from simdyn.params import schedule as formulas
from simdyn.params.schedule import is_constant, program_of, rates, substituted
from simdyn.run import run_study
from simdyn.run.price import price
from simdyn.store import open_study
from simdyn.study.blocks import Blocks

DATA = simdyn.SignalNoiseData(n_samples=6, dimension=40, signal_norm=2.0)
NET = simdyn.TwoLayerCNN(n_filters=3, init_std=0.05)


# -- formula → program → rate --------------------------------------------------------------------


@numba.njit(error_model="numpy")
def _run(codes, values, epoch, update):
    stack, out = np.zeros(kernel.MOST_NUMBERS), np.empty(update.size)
    for k in range(update.size):
        out[k] = kernel.value_at(codes, values, 0, codes.size, epoch[k], update[k], stack)
    return out


def in_kernel(program: formulas.Program, epoch: np.ndarray, update: np.ndarray) -> np.ndarray:
    codes = np.array([kernel.OPERATIONS.index(name) for name, _ in program], np.int64)
    values = np.array([value for _, value in program])
    return np.asarray(_run(codes, values, epoch.astype(float), update.astype(float)))


def random_formula(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(["epoch", "update", "epochs", "updates", "2", "0.5", "1e-3", "7", "pi"])
    one, other = (random_formula(rng, depth - rng.randint(1, depth)) for _ in range(2))
    return rng.choice(
        [
            f"({one} + {other})",
            f"({one} - {other})",
            f"{one}*({other})",
            f"({one})/({other})",
            f"({one})**({other})",
            f"-({one})",
            f"+({one})",
            f"min({one}, {other}, 3)",
            f"max({one}, {other})",
            f"log({one}, {other})",
            *(
                f"{name}({one})"
                for name in ("sqrt", "log", "log2", "log10", "exp", "floor", "ceil", "round", "abs")
            ),
        ]
    )


def test_program__kernel_numpy_and_formulas_agree() -> None:
    """Random formulas, three ways; a formula has no value if any part of it is not finite."""
    rng, compared = random.Random(0), 0
    update = np.array([0, 1, 2, 9, 10, 11, 57, 119])
    epoch = update // 3
    for _ in range(3000):
        text = random_formula(rng, rng.randint(1, 5))
        program = program_of(text, 40, 3)
        found = rates(program, epoch, update)
        np.testing.assert_allclose(
            in_kernel(program, epoch, update), found, rtol=1e-11, atol=1e-300
        )
        for k, (e, u) in enumerate(zip(epoch.tolist(), update.tolist(), strict=True)):
            names = {"epoch": e, "update": u, "epochs": 40.0, "updates": 120.0}
            try:
                expected = evaluate(text, names)
            except InputError:
                continue
            assert found[k] == pytest.approx(expected, rel=1e-9, abs=1e-300), (text, e, u)
            compared += 1
    assert compared > 5000


def test_program__kernel_knows_every_operation() -> None:
    assert {*formulas.OPERATIONS, *formulas.CHANGING, "constant"} == set(kernel.OPERATIONS)
    assert formulas.MOST_NUMBERS == kernel.MOST_NUMBERS
    for name in formulas.OPERATIONS:
        takes_two = kernel.OPERATIONS.index(name) < kernel.NEGATE
        assert takes_two == (name in formulas._TAKES_TWO)
    assert kernel.OPERATIONS[kernel.COS] == "cos"
    assert kernel.OPERATIONS[kernel.GREATER] == "max"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2*cosine()", [2.0, 1 + math.cos(math.pi / 12), 1.0, 1 + math.cos(11 * math.pi / 12)]),
        ("step(2, 0.1)", [1.0, 1.0, 0.1, 0.1]),
        ("step(0.5*epochs, 1/2)", [1.0, 1.0, 0.5, 0.5]),
        ("warmup(3)", [1 / 9, 2 / 9, 7 / 9, 1.0]),
        ("warmup(0)", [1.0, 1.0, 1.0, 1.0]),
        ("warmup(epochs/2)", [1 / 6, 2 / 6, 1.0, 1.0]),
        ("1 - update/updates", [1.0, 11 / 12, 0.5, 1 / 12]),
        ("epoch", [0, 0, 2, 3]),
    ],
)
def test_rates__of_named_schedules(text: str, expected: list[float]) -> None:
    """Updates 0, 1, 6 and 11 of a phase of four epochs with three updates each."""
    update = np.array([0, 1, 6, 11])
    found = rates(program_of(text, 4, 3), update // 3, update)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_program__what_does_not_change_is_one_constant() -> None:
    assert program_of("0.1*sqrt(epochs)/(updates + 1)", 4, 3) == (("constant", 0.1 * 2 / 13),)
    assert len(program_of("0.1/sqrt(2)*epoch", 4, 3)) == 3
    assert not is_constant(program_of("0.1*warmup(2)", 4, 3))


@pytest.mark.parametrize("rate", [0.1, -0.1, 3.0, 1e-300, 1e22])
def test_substituted__keeps_the_value(rate: float) -> None:
    text = "rate**2*cosine() - rate + 2**-rate"
    put = substituted(text, {"rate": rate})
    direct = text.replace("rate", f"({rate!r})")
    update = np.arange(12)
    for each in (put, direct):
        assert formulas.read_by(each) == set()
    np.testing.assert_array_equal(
        *(rates(program_of(t, 4, 3), update // 3, update) for t in (put, direct))
    )
    assert substituted("0.1*cosine()", {}) == "0.1*cosine()"


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.1*cosin()", "'0.1*cosin()': no function 'cosin'; did you mean 'cosine'?"),
        ("rate*cosine()", "'rate*cosine()': no name 'rate'"),
        ("0.1*cosine(3)", "cosine takes 0 argument(s), not 1"),
        ("step(2)", "step takes 2 argument(s), not 1"),
        ("warmup(epochs=3)", "warmup takes its arguments without names"),
        ("0.1*cosine(", "'0.1*cosine(' is not a formula"),
        ("epoch.real", "allowed are numbers, field names"),
        ("epoch < 3", "allowed are numbers"),
        ("cos(update)", "no function 'cos'"),
        ("lambda: epoch", "allowed are numbers"),
        ("1+(" * 80 + "epoch" + ")" * 80, "nested too deeply"),
        ("-" * 999 + "e", "SGD.learning_rate"),
        ("epoch" * 300, "formula of 1500 characters"),
    ],
)
def test_phase__bad_formulas(text: str, said: str) -> None:
    with pytest.raises(InputError) as problem:
        SGD(learning_rate=text, epochs=3)
    assert str(problem.value).startswith("SGD.learning_rate = ")
    assert said in str(problem.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.1 - 0.02*epoch", "is -0.02 at update = 6: allowed are finite rates ≥ 0"),
        ("-0.1*cosine()", "is -0.1 at update = 0"),
        ("1/epoch", "is inf at update = 0"),
        ("0.1*step(0, 0.5)", "is nan at update = 0"),
        ("exp(update**3)", "is inf at update = 9"),
        ("0.1 - 0.1*floor(update/999)", "is -0.1 at update = 1998"),
        ("0/epochs", "is 0: allowed is a finite number > 0"),
        ("1/updates - 1", "is -0.9995: allowed is a finite number > 0"),
        ("0.1*(-1)**update", "is -0.1 at update = 1"),
        ("0.1*(-1)**epoch", "is -0.1 at update = 1"),
    ],
)
def test_simulate__rates_that_are_not_allowed(text: str, said: str) -> None:
    phase = SGD(learning_rate=text, epochs=2000)
    if "0.02" in text:
        phase = phase.replace(epochs=10)
    with pytest.raises(InputError) as problem:
        simdyn.simulate(DATA, NET, [SGD(learning_rate=0.1, epochs=1), phase])
    assert str(problem.value).startswith(f"SGD.learning_rate = {text!r} is ")
    assert said in str(problem.value)
    simdyn.simulate(DATA, NET, phase.replace(epochs=0))  # a phase of no epochs needs no rate


def test_simulate__keeps_the_text_of_a_schedule() -> None:
    phase = SGD(learning_rate="0.1*warmup(2)*cosine()", epochs=8)
    ds = simdyn.simulate(DATA, NET, phase)
    assert json.loads(ds.attrs["call"])["simulate"]["plan"][0]["learning_rate"] == (
        "0.1*warmup(2)*cosine()"
    )


# -- studies -------------------------------------------------------------------------------------


def tables(rate: Any = "rate*warmup(share*epochs)*cosine()", **more: Any) -> dict[str, Any]:
    return {
        "data": {"n_samples": 6, "dimension": 40, "signal_norm": 2.0},
        "network": {"n_filters": 3, "init_std": 0.05},
        "methods": {
            "sam": [
                {
                    "optimiser": "SAM",
                    "radius": 0.1,
                    "learning_rate": rate,
                    "epochs": 8,
                    "batch_size": 3,
                    "momentum": 0.5,
                }
            ],
            "plain": [{"optimiser": "SGD", "learning_rate": "rate/sqrt(epochs)", "epochs": 4}],
        },
        "space": {"rate": [0.1, 0.2], **({"share": [0.0, 0.5]} if "share" in str(rate) else {})},
        **more,
    }


def study(*given: Any, **more: Any) -> simdyn.Study:
    return simdyn.Study.from_mapping(tables(*given, **more), "rates")


def test_study__sweeps_what_a_schedule_reads() -> None:
    """Every point is `simulate` with the numbers put in by hand."""
    results = study().run()
    for rate in (0.1, 0.2):
        for share in (0.0, 0.5):
            text = f"{rate}*warmup({share}*8)*cosine()"
            sam = SAM(radius=0.1, learning_rate=text, epochs=8, batch_size=3, momentum=0.5)
            plain = SGD(learning_rate=rate / math.sqrt(4), epochs=4)
            for method, phase in {"sam": sam, "plain": plain}.items():
                one = simdyn.simulate(DATA, NET, phase).isel(step=-1)
                at = results.sel({"rate": rate, "share": share, "method": method}).isel(step=0)
                for name in ("train_loss", "test_error", "grad_norm"):
                    np.testing.assert_array_equal(at[name].values, one[name].values)
    assert len(np.unique(results.train_loss.sel({"method": "sam"}))) == 4


def test_study__constants_of_a_schedule_stay_numbers() -> None:
    """A formula that does not read the course of the phase is a number, as it ever was."""
    point = study().space.point((1, 0))
    assert point.plans[1][0].learning_rate == 0.2 / math.sqrt(4)
    assert point.plans[0][0].learning_rate == "0.2 * warmup(0.0 * epochs) * cosine()"
    fields = study("radius/sqrt(dimension)*step(2, 0.5)")
    assert fields.space.first_point.plans[0][0].learning_rate == "0.1 / sqrt(40.0) * step(2, 0.5)"


def test_study__fingerprint_knows_the_text_and_leaves_out_restart_at_its_default() -> None:
    base = study().fingerprint
    assert study("rate*cosine()").fingerprint != base
    changed = tables()
    changed["methods"]["sam"][0]["restart"] = False
    assert simdyn.Study.from_mapping(changed, "rates").fingerprint == base
    changed["methods"]["sam"][0]["restart"] = True
    assert simdyn.Study.from_mapping(changed, "rates").fingerprint != base


def test_study__store_is_opened_grown_and_replayed(tmp_path: Path) -> None:
    path = tmp_path / "rates.zarr"
    run_study(study(), path)
    assert open_study(path).fingerprint == study().fingerprint
    course = replay(path, {"rate": 0.2, "share": 0.5}, "sam")
    assert course.attrs["replayed"] > 0
    larger = study(space={"rate": [0.05, 0.1, 0.2], "share": [0.0, 0.5]})
    run_study(larger, path)
    np.testing.assert_array_equal(simdyn.open_results(path).train_loss, larger.run().train_loss)


@pytest.mark.parametrize(
    ("rate", "more", "said"),
    [
        (
            "rat*cosine()",
            {},
            "methods.sam.0.learning_rate = 'rat*cosine()': no field 'rat'; did you mean 'rate'?",
        ),
        ("rate/(1 + epohc)", {}, "did you mean 'epoch'?"),
        ("rate*cosin()", {}, "no function 'cosin'; did you mean 'cosine'?"),
        ("learning_rate*cosine()", {}, "learning_rate changes during the phase; allowed are"),
        ("share*rate - 0.06*cosine()", {}, "(at rate = 0.1, share = 0.0)"),
        (
            "0.1*cosine()",
            {"space": {"learning_rate": [0.1, "0.2*cosine()"], "rate": [0.1]}},
            "space.learning_rate: the value '0.2*cosine()': allowed is a number; its formula may",
        ),
        (
            "rate/(1 + epoch)",
            {"space": {"epoch": [1, 2], "rate": [0.1]}},
            "space.epoch: the name has a meaning in formulas",
        ),
        (
            "rate/updates",
            {"space": {"updates": [1, 2], "rate": [0.1]}},
            "space.updates: the name is reserved for the results",
        ),
    ],
)
def test_study__bad_schedules(rate: str, more: dict[str, Any], said: str) -> None:
    assert said in refusal(study, rate, **more)


@pytest.mark.parametrize("field", ["radius", "epochs", "momentum"])
def test_study__other_fields_have_no_schedule(field: str) -> None:
    for text, said in (
        ("0.1*cosine()", "no function 'cosine'"),
        ("0*epoch", "no field 'epoch'"),
        ("0*learning_rate", "learning_rate changes during the phase"),
    ):
        changed = tables("rate*cosine()", space={"rate": [0.1]})
        changed["methods"]["sam"][0][field] = text
        with pytest.raises(InputError, match="methods.sam.0." + field) as problem:
            simdyn.Study.from_mapping(changed)
        assert said in str(problem.value)


def test_study__a_numeric_axis_takes_the_place_of_a_schedule() -> None:
    made = study("0.1*cosine()", space={"learning_rate": [0.1, 0.3], "rate": [0.1]})
    assert [made.space.point((k, 0)).plans[0][0].learning_rate for k in (0, 1)] == [0.1, 0.3]
    assert made.layout.coords["learning_rate"].values.dtype == np.float64


def test_study__a_name_like_one_of_a_schedule_is_free_where_none_reads_it() -> None:
    changed = tables(0.1, space={"epoch": [0.1, 0.2], "rate": [1.0]})
    changed["methods"]["sam"][0]["radius"] = "epoch"
    point = simdyn.Study.from_mapping(changed).space.point((1, 0))
    assert point.plans[0][0].perturbation == 0.2


def test_study__groups_larger_than_the_batch_are_refused_with_the_point() -> None:
    changed = tables(space={"rate": [0.1], "share": [0.5], "group_size": [1, 3, 4]})
    assert refusal(simdyn.Study.from_mapping, changed) == (
        "SAM.group_size = 4: allowed is an integer from 1 to batch_size = 3 "
        "(at rate = 0.1, share = 0.5, group_size = 4)"
    )
    changed["space"]["where"] = "group_size < 4"
    assert simdyn.Study.from_mapping(changed).states == 1


def test_price__a_schedule_that_does_not_suit_a_shorter_phase() -> None:
    """The calibration cuts phases short; where a schedule then has no rate the point is passed."""
    made = simdyn.Study(
        {"n_samples": 20, "dimension": 500, "signal_norm": 1.0},
        {"n_filters": 40, "init_std": 0.1},
        {"a": SGD(learning_rate="0.1*sqrt(epochs - 999999)/(1 + epoch)", epochs=10**6)},
    )
    blocks = Blocks(made.lengths, made.block_shape)
    found = price(made, blocks, np.zeros(len(blocks), bool))
    assert found.measured == 0
    assert found.seconds > 0


# -- the command line, figures -------------------------------------------------------------------


def test_cli_simulate__takes_a_formula() -> None:
    line = (
        "simulate --dimension 40 --signal-norm 2 --n-samples 6 --n-filters 3 --init-std 0.05 "
        "--epochs 20 --json --learning-rate"
    )
    found = json.loads(call(line, "0.1*warmup(5)*cosine()").out)
    phase = SGD(learning_rate="0.1*warmup(5)*cosine()", epochs=20)
    expected = simdyn.simulate(DATA, NET, phase, record=Record(every=2))
    assert found["train_loss"] == expected.train_loss.mean("replicate").values.tolist()
    assert json.loads(call(line, "1e-1").out) == json.loads(call(line, 0.1).out)
    for text, said in (
        ("0.1*cosin()", "did you mean 'cosine'?"),
        ("nan", "learning_rate = nan"),
        ("x", "allowed is a finite number > 0, or a formula of epoch and update"),
        ("-1", "learning_rate = -1"),
        ("1-epoch", "is -1 at update"),
    ):
        answer = call(line, text)
        assert answer.code == 2
        assert said in answer.err


def test_trajectories__a_schedule_has_no_predicted_time_and_is_told() -> None:
    sgd, sam = (
        SGD(learning_rate="0.05*cosine()", epochs=40),
        SAM(radius=0.03, learning_rate="0.05*step(10, 0.5)", epochs=40, momentum=0.0, restart=True),
    )
    made = simdyn.Study(
        DATA,
        NET,
        {"sgd": [sgd], "sam": [sam]},
        replicates=2,
        record=Record(log_spaced=8),
        figure=Trajectories(),
    )
    figure = plot.draw(made.run(), Trajectories())
    text = " ".join(each.get_text() for each in figure.findobj(Text))  # type: ignore[attr-defined]
    assert "0.05*cosine()" in text
    assert "0.05*step(10, 0.5)" in text
    assert "velocity from zero" in text
    assert not any(line.get_gid() == "time of largest_noise" for line in figure.axes[0].lines)
