"""Strides, gradient flow, and conditions that end a phase, against exact updates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from simdyn import InputError, Problem, SignalNoiseData, TwoLayerCNN, simulate, train
from simdyn.api.replay import replay
from simdyn.api.study import Study
from simdyn.cli import app
from simdyn.kernels.codes import DONE, NON_FINITE, UNREACHED
from simdyn.params import SAM, SGD, Phase, Record

DATA = SignalNoiseData(n_samples=20, dimension=5000, signal_norm=3.0)
NET = TwoLayerCNN(n_filters=10, init_std=1e-3)
RECORDED = ("train_loss", "margin", "signal_coef", "noise_coef", "test_error")
PHASES = [SGD(learning_rate=0.1, epochs=1), SAM(radius=0.03, learning_rate=0.1, epochs=1)]


def run(plan: Any, *more: str, data: Any = DATA, net: TwoLayerCNN = NET, **record: Any) -> Any:
    record.setdefault("log_spaced", 6)
    wanted = Record(variables=(*RECORDED, *more), **record)
    return simulate(data, net, plan, record=wanted).isel(replicate=0)


def strided(phase: Phase, **changes: Any) -> Phase:
    return phase.replace(**{"stepping": "strides", **changes})


def error(ours: xr.Dataset, exact: xr.Dataset, name: str) -> float:
    """Largest difference of the last state, over the largest value."""
    one, other = ours[name].values[-1], exact[name].values[-1]
    return float(np.abs(one - other).max() / np.abs(other).max())


# -- strides -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", PHASES)
def test_strides__begin_as_exact_updates(phase: Phase) -> None:
    phase = phase.replace(epochs=300)
    exact, ours = run(phase), run(strided(phase), "exact_updates", "strides", "stride_error")
    for name in RECORDED:
        np.testing.assert_array_equal(ours[name], exact[name])
    np.testing.assert_array_equal(ours.exact_updates, ours.updates)
    assert not ours.strides.any()
    assert not ours.stride_error.any()


@pytest.mark.parametrize("phase", PHASES)
def test_strides__agree_with_exact_updates(phase: Phase) -> None:
    phase = phase.replace(epochs=100_000)
    exact = run(phase)
    ours = run(strided(phase), "exact_updates", "strides", "rejected_strides", "stride_error")
    last = ours.isel(step=-1)
    assert last.exact_updates + last.strides < 9000
    assert 0.0 < error(ours, exact, "margin") < 1e-3
    # Of one run the estimate need not cover the error, but must be of its order.
    assert 0.1 * error(ours, exact, "margin") < float(last.stride_error) < 0.01
    assert error(ours, exact, "signal_coef") < 1e-3
    assert error(ours, exact, "noise_coef") < 1e-2
    assert abs(float(last.test_error - exact.test_error[-1])) < 1e-4


def test_strides__errors_fall_with_the_square_of_the_tolerance() -> None:
    """Of margins under SGD, while neurons do not chatter much."""
    net = TwoLayerCNN(n_filters=4, init_std=5.0)
    data = SignalNoiseData(n_samples=4, dimension=50, signal_norm=1.0)
    phase = SGD(learning_rate=0.002, epochs=20_000)
    exact = run(phase, data=data, net=net)
    coarse, fine = (
        error(run(strided(phase, stride_tolerance=t), data=data, net=net), exact, "margin")
        for t in (0.08, 0.02)
    )
    assert 1e-9 < fine < 1e-2
    assert 10.0 < coarse / fine < 40.0


def sam_stage(dimension: int) -> tuple[SAM, dict[str, Any]]:
    """A stage as long as a signal of norm one needs, in the regime of the theorem on SAM."""
    phase = SAM(
        radius=5.0 * (20 / dimension) ** 0.5,
        learning_rate=200 / dimension,
        epochs=round(4.9 * dimension / 20),
    )
    data = SignalNoiseData(n_samples=20, dimension=dimension, signal_norm=2.0)
    return phase, {"data": data, "net": NET.replace(init_std=0.1 / dimension**0.5)}


def test_strides__of_sam_grow_shorter_until_one_is_accepted() -> None:
    """A stride is taken back because signs changed, and again because its pulls change too much."""
    n, d, m, copies = 20, 10**6, 10, 4
    data = SignalNoiseData(
        n_samples=n, dimension=d, n_patches=copies + 1, signal_norm=13.078514962366226
    )
    net = TwoLayerCNN(n_filters=m, init_std=0.1 * n**0.5 / (copies * d))
    phase = SAM(
        radius=0.5 * m * (n / d) ** 0.5 / copies,
        learning_rate=m * n / (copies**2 * d),
        epochs=245_000,
        stepping="strides",
        stride_tolerance=0.002,
    )
    record = Record(variables=("train_loss", "strides", "rejected_strides"), log_spaced=2)
    ours = simulate(data, net, phase, replicates=4, record=record).isel(step=-1)
    assert (ours.rejected_strides > 0).all()
    phase, record = phase.replace(stepping="exact"), Record(variables=("train_loss",))
    exact = simulate(data, net, phase, replicates=4, record=record).isel(step=-1)
    np.testing.assert_allclose(ours.train_loss, exact.train_loss, rtol=2e-2)


def test_strides__of_sam_are_long_where_no_sign_changes() -> None:
    phase, setting = sam_stage(100_000)
    exact, ours = run(phase, **setting), run(strided(phase), "exact_updates", "strides", **setting)
    assert error(ours, exact, "signal_coef") < 1e-3
    assert error(ours, exact, "margin") < 1e-3
    assert error(ours, exact, "test_error") < 1e-3
    phase, setting = sam_stage(10**9)
    longer = run(strided(phase), "exact_updates", "strides", **setting).isel(step=-1)
    # A time that grows like d, and a course that does not depend on it but for its start.
    assert longer.updates == 245_000_000
    assert longer.exact_updates + longer.strides < 50_000
    largest = (longer.signal_coef.max(), exact.signal_coef[-1].max())
    np.testing.assert_allclose(*largest, rtol=0.02)


@pytest.mark.parametrize(
    ("data", "net"),
    [
        ({"label_flip": 0.2, "n_patches": 4, "dimension": 300}, {"activation": "leaky_relu"}),
        ({"n_samples": 5, "noise": "orthogonal"}, {"loss": "hinge"}),
        ({"dimension": 3}, {"activation": "huber_relu"}),
    ],
)
def test_strides__other_networks_and_data(data: dict[str, Any], net: dict[str, Any]) -> None:
    phase = SGD(learning_rate=0.05, epochs=20_000)
    options = {"data": DATA.replace(**data), "net": NET.replace(**net)}
    exact, ours = run(phase, **options), run(strided(phase), "stride_error", **options)
    assert error(ours, exact, "margin") < max(0.01, float(ours.stride_error[-1]))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("rule", "bound"),
    [({"momentum": 0.9}, 2e-3), ({"weight_decay": 1e-4}, 1e-3)],
    ids=["momentum", "decay"],
)
def test_strides__of_momentum_and_weight_decay(
    phase: Phase, rule: dict[str, float], bound: float
) -> None:
    phase = phase.replace(learning_rate=0.01, epochs=100_000, **rule)
    exact, ours = run(phase), run(strided(phase), "exact_updates", "strides", "initial_share")
    assert ours.exact_updates[-1] + ours.strides[-1] < 60_000
    assert error(ours, exact, "margin") < bound
    if "weight_decay" in rule:
        shrunk = (1.0 - 0.01 * 1e-4) ** 100_000
        np.testing.assert_allclose(ours.initial_share[-1], shrunk, rtol=1e-9)


def test_strides__go_on_with_the_velocity_they_leave() -> None:
    """An exact phase of momentum after one in strides, against exact updates throughout."""
    rule = {"learning_rate": 0.01, "momentum": 0.95}
    first, last = SGD(epochs=20_000, **rule), SGD(epochs=20, **rule)
    exact, ours = run([first, last]), run([strided(first), last])
    at_rest = run([strided(first), last.replace(restart=True)])
    exact_step, our_step, slow_step = (
        float(ds.train_loss[-1] - one.train_loss[-1])
        for ds, one in (
            (exact, run(first)),
            (ours, run(strided(first))),
            (at_rest, run(strided(first))),
        )
    )
    assert abs(our_step / exact_step - 1.0) < 0.05
    assert slow_step / exact_step < 0.8


def test_strides__do_not_hold_up_what_hovers_at_zero() -> None:
    """A sample on which only filters of the other sign are on, at the edge, after SAM."""
    data = SignalNoiseData(n_samples=20, dimension=6000, signal_norm=1.5)
    sam, sgd = (
        SAM(radius=0.03, learning_rate=0.01, epochs=10_000),
        SGD(learning_rate=0.01, epochs=1),
    )
    record = Record(log_spaced=3, variables=("margin",))
    exact, ours = (
        simulate(data, NET, [sam, phase], replicates=7, record=record).isel(replicate=6)
        for phase in (sgd.replace(epochs=100_000), strided(sgd, epochs=100_000))
    )
    assert error(ours, exact, "margin") < 5e-3


def test_strides__do_not_depend_on_what_is_recorded() -> None:
    for phase in PHASES:
        phase = strided(phase, epochs=30_000)
        last = run(phase, log_spaced=None, every=30_000)
        often = run(phase, log_spaced=None, every=70)
        seldom = run(phase, log_spaced=None, every=700)
        for name in RECORDED:
            np.testing.assert_array_equal(often[name][-1], last[name][-1])
            np.testing.assert_array_equal(often[name][::10], seldom[name][: often.step[::10].size])


def test_strides__states_on_their_way_agree_with_exact_updates() -> None:
    phase = PHASES[0].replace(epochs=20_000)
    exact, ours = (run(p, log_spaced=None, every=1111) for p in (phase, strided(phase)))
    np.testing.assert_allclose(ours.margin, exact.margin, rtol=2e-3, atol=1e-3)


def test_switching_fraction__of_exact_updates_and_strides() -> None:
    """Counted from every recorded activation of a dictionary with as many rows as samples + 1."""
    net = TwoLayerCNN(n_filters=3, init_std=1e-2)
    data = SignalNoiseData(n_samples=6, dimension=40, signal_norm=1.0)
    phase = SGD(learning_rate=0.05, epochs=2000)
    exact = run(phase, "switching_fraction", data=data, net=net, log_spaced=None, every=1)
    ours = run(strided(phase), "switching_fraction", data=data, net=net)
    # Long after fitting, some neurons chatter for ever, and strides see about as many.
    assert 0.0 < exact.switching_fraction[-1] < 0.5
    assert abs(float(ours.switching_fraction[-1] - exact.switching_fraction[-1])) < 0.15
    assert exact.switching_fraction[0] == 0.0


def test_strides__of_an_explicit_problem_that_is_factored() -> None:
    rng = np.random.default_rng(0)
    patches, labels = rng.standard_normal((40, 2, 3)), rng.choice([-1.0, 1.0], 40)
    problem = Problem.from_patches(patches, labels, 0.1 * rng.standard_normal((2, 5, 3)))
    assert problem.arrays.dictionary.gram.size == 0
    record = Record(log_spaced=5, variables=("margin", "coef"))
    phase = SGD(learning_rate=0.1, epochs=20_000)
    exact = train(problem, phase, record=record)
    more = record.replace(variables=("margin", "coef", "stride_error"))
    ours = train(problem, strided(phase), record=more)
    assert error(ours, exact, "margin") < max(0.005, float(ours.stride_error[-1]))


def test_strides__ten_billion_updates() -> None:
    phase = strided(PHASES[0], epochs=10**10)
    ours = run(phase, "exact_updates", "strides", log_spaced=11)
    # After fitting the loss falls like 1/t.
    products = ours.train_loss.values[-6:] * ours.updates.values[-6:]
    assert products.max() / products.min() < 1.2
    assert ours.exact_updates[-1] + ours.strides[-1] < 10_000


def test_strides__a_network_without_a_gradient_rests() -> None:
    net = TwoLayerCNN(n_filters=2, init_std=0.001, loss="hinge")
    plan = [SGD(learning_rate=0.5, epochs=300), strided(PHASES[0], epochs=10**9)]
    data = SignalNoiseData(n_samples=2, dimension=500, signal_norm=3.0)
    ours = run(plan, data=data, net=net)
    assert ours.status == 2
    assert 0 < ours.status_step <= 300


@pytest.mark.parametrize("phase", PHASES)
def test_strides__end_where_exact_updates_overflow(phase: Phase) -> None:
    net = TwoLayerCNN(n_filters=4, init_std=1.0, activation="relu_power", activation_shape=3.0)
    phase = phase.replace(learning_rate=1e6, epochs=50, momentum=0.5)
    exact, ours = (run(p, net=net, log_spaced=None, every=1) for p in (phase, strided(phase)))
    assert exact.status == NON_FINITE
    assert exact.status_step > 1
    for name in ("status", "status_step", "margin", "noise_coef"):
        np.testing.assert_array_equal(ours[name], exact[name])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 5}, "SGD.batch_size = 5 with stepping"),
        ({"momentum": 0.9, "stepping": "flow"}, "SGD.momentum = 0.9 with stepping"),
        ({"label_noise": 0.1}, "SGD.label_noise = 0.1 with stepping"),
        ({"learning_rate": "0.1*cosine()"}, "SGD.learning_rate = '0.1*cosine"),
        ({"stepping": "leaps"}, "SGD.stepping = 'leaps': allowed is"),
        ({"stride_tolerance": 0.0}, "SGD.stride_tolerance = 0.0: allowed is"),
    ],
)
def test_strides__what_they_cannot_do_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        run(strided(PHASES[0], **changes))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_strides__their_variables_need_them() -> None:
    with pytest.raises(InputError, match="'strides' is not available here"):
        run(PHASES[0], "strides")


def test_study__in_strides_has_the_same_bits_on_any_number_of_threads(tmp_path: Path) -> None:
    methods = {
        name: [strided(phase, epochs=10**6)] for name, phase in zip("ab", PHASES, strict=True)
    }
    study = Study(
        {"n_samples": 10, "signal_norm": 2.0},
        NET,
        methods,
        {"dimension": [100, 1000]},
        replicates=2,
    )
    one, two = study.run(threads=1), study.run(tmp_path / "store.zarr", threads=2)
    assert {"strides", "stride_error"} <= set(one)
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name], two[name], err_msg=str(name))


# -- gradient flow -----------------------------------------------------------------------------


def test_flow__is_the_limit_of_small_learning_rates() -> None:
    data = SignalNoiseData(n_samples=5, dimension=50, signal_norm=2.0)
    net = TwoLayerCNN(n_filters=5, init_std=0.05)

    def last(rate: float, **changes: Any) -> np.ndarray:
        phase = SGD(learning_rate=rate, epochs=round(100.0 / rate), **changes)
        margins: np.ndarray = run(phase, data=data, net=net).margin.values[-1]
        return margins

    flow = last(0.02, stepping="flow", stride_tolerance=1e-5)
    half, quarter = last(0.01), last(0.005)
    first = np.abs(half - flow).max()
    assert first > 1e-4
    assert 1.6 < first / np.abs(quarter - flow).max() < 2.5
    assert np.abs(2.0 * quarter - half - flow).max() < 0.3 * first
    # The flow knows time only, not how it is cut into epochs.
    other = last(0.08, stepping="flow", stride_tolerance=1e-5)
    assert np.abs(other - flow).max() < 0.1 * first


# -- conditions --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def course() -> xr.Dataset:
    """A thousand updates of SGD, all recorded."""
    more = ("grad_norm", "train_error", "sam_gap", "sharpness", "deactivated_fraction")
    plan = PHASES[0].replace(epochs=1000)
    return run(plan, *more, log_spaced=None, every=1, probe_radius=0.01)


@pytest.mark.parametrize("stepping", ["exact", "strides"])
@pytest.mark.parametrize(
    ("quantity", "sign", "bound"),
    [
        ("train_loss", "<", 0.002),
        ("grad_norm", "<", 0.005),
        ("margin", ">", 5.0),
        ("signal_coef", ">", 0.25),
        ("noise_coef", ">", 25.0),
        ("train_error", "<", 0.01),
        ("test_error", "<", 0.2415),
        ("sam_gap", "<", 0.0005),
        ("sharpness", "<", 0.1),
        ("deactivated_fraction", "<", 0.05),
    ],
)
def test_until__ends_the_phase_at_the_first_update_at_which_it_holds(
    course: xr.Dataset, quantity: str, sign: str, bound: float, stepping: str
) -> None:
    values = course[quantity]
    inner = [dim for dim in values.dims if dim != "step"]
    values = values.min(inner) if quantity == "margin" else values.max(inner)
    holds = (values < bound if sign == "<" else values > bound).values
    holds[0] = False  # asked after updates only
    first = int(holds.argmax())
    assert first > 0
    phase = PHASES[0].replace(
        epochs=1000, until=f"{quantity} {sign} {bound}", stepping=stepping, stride_tolerance=0.01
    )
    ours = run(phase, "goal_update", "updates_made", probe_radius=0.01)
    tolerance = 0 if stepping == "exact" or first < 30 else 0.01 * first
    assert abs(int(ours.goal_update[-1]) - first) <= tolerance
    assert ours.updates_made[-1] == ours.goal_update[-1]
    assert ours.status == DONE
    if tolerance == 0:
        np.testing.assert_array_equal(ours.margin[-1], course.margin[first])


def test_until__the_next_phase_starts_there(course: xr.Dataset) -> None:
    first = int((course.train_loss < 0.02).values.argmax())
    plan = [PHASES[0].replace(epochs=1000, until="train_loss < 0.02"), PHASES[0].replace(epochs=50)]
    ours = run(plan, "goal_update", "updates_made")
    assert ours.goal_update[-1] == first
    assert ours.updates_made[-1] == first + 50
    np.testing.assert_array_equal(ours.margin[-1], course.margin[first + 50])


def test_until__a_run_that_does_not_get_there_has_a_status_of_its_own() -> None:
    ours = run(PHASES[1].replace(epochs=50, until="train_loss < 1e-6"), "goal_update")
    assert (ours.status, ours.status_step) == (UNREACHED, 50)
    assert np.isnan(ours.goal_update).all()
    assert np.isfinite(ours.test_error).all()


def test_until__with_batches_and_momentum() -> None:
    rule: dict[str, Any] = {"learning_rate": 0.05, "batch_size": 5, "momentum": 0.5}
    full = run(SGD(epochs=50, **rule), log_spaced=None, every=1, unit="step")
    first = int((full.train_loss < 0.1).values.argmax())
    assert first % 4
    ours = run(SGD(epochs=50, until="train_loss < 0.1", **rule), "goal_update")
    assert ours.goal_update[-1] == first
    np.testing.assert_array_equal(ours.margin[-1], full.margin[first])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train_los < 1", "did you mean 'train_loss'"),
        ("train_loss = 1", "allowed is a name, < or >, and a number"),
        ("train_loss < nan", "allowed is a name, < or >, and a number"),
        ("test_error_se < 0.1", "did you mean 'test_error'"),
    ],
)
def test_until__bad_conditions_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=r"SGD\.until = ") as caught:
        PHASES[0].replace(until=text)
    assert said.lower() in str(caught.value).lower()


def test_until__reads_what_the_data_have() -> None:
    from simdyn import XORData

    with pytest.raises(InputError, match="'signal_coef' is not available here"):
        simulate(
            XORData(n_samples=4, dimension=20, signal_norm=1.0),
            NET,
            PHASES[0].replace(until="signal_coef > 1"),
        )


def test_cli_simulate__until_and_strides() -> None:
    words = "simulate --dimension 100 --signal-norm 3 --epochs 1000000 --stepping strides --until"
    answer = CliRunner().invoke(app, [*words.split(), "train_loss < 0.001"])
    assert answer.exit_code == 0, answer.output
    assert "train_loss < 0.001: met by 1 of 1 runs, at update" in answer.output


def test_study__with_a_strided_and_an_exact_method_replays(tmp_path: Path) -> None:
    goal = PHASES[0].replace(epochs=500, until="train_loss < 0.1")
    methods = {"strided": [strided(PHASES[1], epochs=2000)], "exact": [goal]}
    data, axes = {"n_samples": 4, "signal_norm": 2.0}, {"dimension": [20, 50]}
    study = Study(data, NET, methods, axes, replicates=2)
    results = study.run(tmp_path / "store.zarr", threads=1)
    assert (results.goal_update.sel({"method": "exact"}) > 0).all()
    for method in methods:
        course = replay(tmp_path / "store.zarr", {"dimension": 50}, method=method)
        assert course.attrs["agreement"] == "bits"
        assert ("strides" in course) == (method == "strided")


def test_study__conditions_read_what_the_data_have() -> None:
    data = {"model": "xor", "n_samples": 4, "signal_norm": 1.0}
    plan = [PHASES[0].replace(until="signal_coef > 1")]
    with pytest.raises(InputError, match="'signal_coef' is not available here"):
        Study(data, NET, {"sgd": plan}, {"dimension": [20, 50]})
