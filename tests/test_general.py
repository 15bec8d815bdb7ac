"""Other activations, losses, scales and optimisers, against plain weight space."""

from collections.abc import Callable, Sequence
from typing import Any

import naive
import numpy as np
import pytest
from weight_space import EVERY_STEP, compiled, partitions, relative

import simdyn
from simdyn import InputError
from simdyn.kernels import activations as network
from simdyn.kernels import random
from simdyn.kernels.random import Stream
from simdyn.params import Phase

ACTIVATIONS = (
    ("relu", 0.0),
    ("leaky_relu", 0.2),
    ("relu_power", 3.0),
    ("relu_power", 2.5),
    ("huber_relu", 0.3),
)
SAM = simdyn.SAM(radius=0.1, learning_rate=0.1, epochs=40, batch_size=4)


@compiled
def _label_signs(seed, update, n, probability):
    signs = np.ones(n)
    for i in range(n):
        stream = Stream(np.uint64(seed), np.uint64(0))
        if random.uniform(stream, random.LABEL_NOISE, update, i) < probability:
            signs[i] = -1.0
    return signs


def problem_of(model: naive.Model, seed: int = 1, init_std: float = 0.3) -> tuple[Any, ...]:
    """A small problem of any patches: simdyn's, and patches, labels and weights."""
    rng = np.random.default_rng(seed)
    x, y = 0.3 * rng.standard_normal((12, 3, 25)), rng.choice(naive.SIGNS, 12)
    x[:6, 0] = x[0, 0]  # a patch that samples share
    w = init_std * rng.standard_normal((2, 4, 25))
    problem = simdyn.Problem.from_patches(
        x,
        y,
        w,
        activation=model.activation,
        activation_shape=model.shape or None,
        output=model.output,
        loss=model.loss,
        reduction=model.reduction,
    )
    return problem, x, y, w


Rate = Callable[[int, int], float]


def naive_phase(phase: Phase, rate: Rate | None = None) -> naive.Phase:
    """The phase in naive's words; `rate` is what its formula says, of epoch and update."""
    assert rate is not None or isinstance(phase.learning_rate, float)
    return naive.Phase(
        radius=phase.perturbation,
        learning_rate=rate or phase.learning_rate,
        epochs=phase.epochs,
        batch_size=phase.batch_size,
        normalised=phase.perturbs_by_norm,
        group_size=phase.perturbed_together,
        momentum=phase.momentum,
        restart=phase.restart,
        weight_decay=phase.weight_decay,
        last_batch=phase.last_batch,
    )


def assert_follows(
    model: naive.Model,
    plan: list[Phase],
    seed: int = 3,
    flipped: Callable[[int], np.ndarray] | None = None,
    init_std: float = 0.3,
    rates: Sequence[Rate | None] = (),
) -> Any:
    """Every state of a run is naive's to 1e-10; returns the dataset."""
    problem, x, y, w = problem_of(model, init_std=init_std)
    ds = simdyn.train(problem, plan, seed=seed, record=EVERY_STEP)
    known = [*rates, *[None] * (len(plan) - len(rates))]
    phases = [naive_phase(phase, rate) for phase, rate in zip(plan, known, strict=True)]
    path, _ = naive.train(w, x, y, phases, partitions(seed, len(y)), model, flipped)
    everything = np.array([w, *path])
    assert ds.sizes["step"] == len(everything)
    assert relative(ds.weights.values, everything) < 1e-10
    margins = np.array([y * naive.outputs(each, x, model) for each in everything])
    assert relative(ds.margin.values, margins) < 1e-10
    losses = np.array([naive.losses(each, x, y, model) for each in everything])
    total = losses.mean(1) if model.reduction == "mean" else losses.sum(1)
    assert relative(ds.train_loss.values, total) < 1e-10
    norms = [naive.frobenius_norm(naive.gradient(each, x, y, model)) for each in everything]
    assert relative(ds.grad_norm.values, np.array(norms)) < 1e-10
    return ds


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda pair: f"{pair[0]} {pair[1]:g}")
@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize("output", ["mean", "sum"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_train__any_activation_loss_and_scale(
    activation: tuple[Any, float], loss: Any, output: Any, reduction: Any
) -> None:
    """More than 100 steps of SGD and SAM, full batch and not."""
    model = naive.Model(*activation, output, loss, reduction)
    rate = 0.1 / (1 if output == "mean" else 4) / (1 if reduction == "mean" else 4)
    plan = [
        simdyn.SGD(learning_rate=rate, epochs=20, batch_size=4),
        simdyn.SAM(radius=0.1, learning_rate=rate, epochs=15, batch_size=4),
        simdyn.SAM(radius=0.1, learning_rate=rate, epochs=10),
    ]
    assert_follows(model, plan)


OPTIMISERS: dict[str, Phase] = {
    "momentum": simdyn.SGD(learning_rate=0.05, epochs=40, batch_size=4, momentum=0.9),
    "weight decay": simdyn.SGD(learning_rate=0.1, epochs=40, batch_size=4, weight_decay=0.05),
    "both, SAM": SAM.replace(momentum=0.8, weight_decay=0.02, learning_rate=0.03),
    "unnormalised": SAM.replace(normalised=False, radius=0.4),
    "per sample": SAM.replace(group_size=1),
    "groups of three, the last smaller": SAM.replace(group_size=3),
    "groups of the whole batch": SAM.replace(group_size=4),
    "a kept last batch smaller than a group": SAM.replace(
        batch_size=5, group_size=4, last_batch="keep"
    ),
    "groups, unnormalised, momentum, decay": SAM.replace(
        group_size=2, normalised=False, momentum=0.5, weight_decay=0.01, batch_size=None, epochs=100
    ),
}


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize(
    "model",
    [naive.PAPER, naive.Model("huber_relu", 0.3, "sum", "logistic", "sum")],
    ids=["the paper's", "Huberised, sums"],
)
def test_train__optimisers_that_stay_in_the_span(name: str, model: naive.Model) -> None:
    phase = OPTIMISERS[name]
    if model.output == "sum":
        phase = phase.replace(learning_rate=phase.learning_rate / 16)
    after = simdyn.SGD(learning_rate=0.01, epochs=5, momentum=0.5)
    assert_follows(model, [phase, after, phase])


@pytest.mark.parametrize("more", [{}, {"momentum": 0.9}, {"group_size": 2}], ids=str)
def test_train__label_noise_is_fresh_in_every_update(more: dict[str, Any]) -> None:
    plan: list[Phase] = [SAM.replace(label_noise=0.3, **more)]
    ds = assert_follows(
        naive.PAPER, plan, seed=5, flipped=lambda update: _label_signs(5, update, 12, 0.3)
    )
    signs = np.array([_label_signs(5, update, 12, 0.3) for update in range(120)])
    deviation = np.sqrt(0.3 * 0.7 / signs.size)
    assert abs((signs < 0).mean() - 0.3) < 4 * deviation
    assert int(ds.status) == 1


def test_train__weight_decay_leaves_a_share_of_the_initial_weights() -> None:
    """Without a gradient W ← (1 − ηλ)W exactly."""
    problem, _, _, w = problem_of(naive.Model(loss="hinge"), init_std=0.0)
    w = np.full_like(w, 0.0)
    x = np.abs(np.random.default_rng(0).standard_normal((4, 1, 5)))
    w = -np.ones((2, 3, 5))  # every filter is off: no gradient
    problem = simdyn.Problem.from_patches(x, np.ones(4), w)
    phase = simdyn.SGD(learning_rate=0.1, epochs=10, weight_decay=0.5)
    record = simdyn.Record(weights=True, variables=("initial_share", "coef"))
    ds = simdyn.train(problem, phase, record=record)
    np.testing.assert_allclose(ds.initial_share, 0.95 ** np.arange(11), rtol=1e-14)
    np.testing.assert_allclose(ds.weights[-1], 0.95**10 * w, rtol=1e-14)
    assert not ds.coef.values.any()


def test_train__a_weight_decay_of_zero_and_a_group_of_all_are_the_plain_step() -> None:
    """Bit for bit: the paper's path is not touched by what it does not use."""
    problem, *_ = problem_of(naive.PAPER)
    plain = simdyn.train(problem, SAM, record=EVERY_STEP)
    for same in (SAM.replace(group_size=4), SAM.replace(momentum=0), SAM.replace(restart=True)):
        other = simdyn.train(problem, same, record=EVERY_STEP)
        np.testing.assert_array_equal(plain.weights, other.weights)


# Momentum from phase to phase


HEAVY = simdyn.SGD(learning_rate=0.05, epochs=15, batch_size=4, momentum=0.9)
HEAVY_SAM = SAM.replace(learning_rate=0.05, epochs=15, momentum=0.9)
CHAINS: dict[str, list[Phase]] = {
    "SAM, then SGD": [HEAVY_SAM, HEAVY],
    "SGD, then SAM of full batches": [HEAVY, HEAVY_SAM.replace(batch_size=None, epochs=60)],
    "another rate": [HEAVY, HEAVY.replace(learning_rate=0.01)],
    "decay": [HEAVY.replace(weight_decay=0.1), HEAVY.replace(weight_decay=0.1), HEAVY],
    "another momentum": [HEAVY, HEAVY.replace(momentum=0.5), HEAVY],
    "none between": [HEAVY, HEAVY.replace(momentum=0), HEAVY],
    "decay alone": [SAM.replace(weight_decay=0.1), HEAVY, SAM.replace(weight_decay=0.1)],
    "restart": [HEAVY, HEAVY_SAM.replace(restart=True), HEAVY],
}


@pytest.mark.parametrize("name", CHAINS)
def test_train__velocity_goes_on_from_phase_to_phase(name: str) -> None:
    """As an optimiser of PyTorch keeps its momentum buffer when its options are set anew."""
    assert_follows(naive.PAPER, CHAINS[name])


@pytest.mark.parametrize("name", CHAINS)
def test_train__a_phase_of_no_epochs_counts_as_absent(name: str) -> None:
    problem, *_ = problem_of(naive.PAPER)
    empty = [
        HEAVY.replace(epochs=0, momentum=0.3),
        HEAVY_SAM.replace(epochs=0, momentum=0.9, restart=True, batch_size=3),
    ]
    filled = [each for phase in CHAINS[name] for each in (*empty, phase)]
    one, other = (simdyn.train(problem, plan, record=EVERY_STEP) for plan in (CHAINS[name], filled))
    np.testing.assert_array_equal(one.weights, other.weights)


def states(plan: list[Phase], **more: Any) -> np.ndarray:
    """Every state of the weights over a plan."""
    problem, *_ = problem_of(naive.PAPER)
    return np.asarray(simdyn.train(problem, plan, record=EVERY_STEP, **more).weights.values)


@pytest.mark.parametrize(
    "phase",
    [
        HEAVY,
        HEAVY_SAM,
        HEAVY.replace(weight_decay=0.1, batch_size=3),
        HEAVY.replace(momentum=0),
        SAM.replace(weight_decay=0.1),
        HEAVY_SAM.replace(label_noise=0.2, group_size=2),
    ],
    ids=lambda phase: f"{phase.optimiser} {phase.momentum} {phase.weight_decay}",
)
def test_train__many_short_phases_are_one_long_one(phase: Phase) -> None:
    """Bit for bit: 100 phases of one epoch are one phase of 100."""
    short = states([phase.replace(epochs=1)] * 100)
    np.testing.assert_array_equal(short, states([phase.replace(epochs=100)]))


def test_train__restart_and_another_momentum_start_at_rest() -> None:
    """The velocity that is kept makes a difference, which `restart` takes away."""
    going, resting = states([HEAVY, HEAVY]), states([HEAVY, HEAVY.replace(restart=True)])
    last = states([HEAVY])[-1]
    np.testing.assert_array_equal(going[:46], resting[:46])
    assert not np.allclose(going[46], resting[46], rtol=1e-3)
    # The first step from rest is a plain one.
    plain = states([HEAVY, HEAVY.replace(momentum=0)])
    np.testing.assert_allclose(resting[46] - last, plain[46] - last, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("kept", [False, True])
def test_train__groups_larger_than_the_batch_are_refused(batch: int | None, kept: bool) -> None:
    problem, *_ = problem_of(naive.PAPER)
    size, source = (12, "n_samples = 12") if batch is None else (4, "batch_size = 4")
    sam = SAM.replace(batch_size=batch, last_batch="keep" if kept else "refuse")
    simdyn.train(problem, sam.replace(group_size=size))
    with pytest.raises(InputError) as refused:
        simdyn.train(problem, sam.replace(group_size=size + 1))
    assert str(refused.value) == (
        f"SAM.group_size = {size + 1}: allowed is an integer from 1 to {source}"
    )


# Learning rates that change


def _warmup(length: float, update: int, per_epoch: int) -> float:
    return min(1.0, (update + 1) / (length * per_epoch))


# Formula → its rate at (epoch, update) of a phase of 40 epochs with 3 updates each.
SCHEDULES: dict[str, Rate] = {
    "0.1*cosine()": lambda _, u: 0.1 * (1 + np.cos(np.pi * u / 120)) / 2,
    "0.2*step(10, 0.3)": lambda e, _: 0.2 * 0.3 ** (e // 10),
    "0.1*warmup(5)": lambda _, u: 0.1 * _warmup(5, u, 3),
    "0.1*warmup(5)*cosine()": lambda _, u: (
        0.1 * _warmup(5, u, 3) * (1 + np.cos(np.pi * u / 120)) / 2
    ),
    "0.5/(1+epoch)": lambda e, _: 0.5 / (1 + e),
    "0.3/sqrt(1 + update)": lambda _, u: 0.3 / np.sqrt(1 + u),
    "0.1*(1 - update/updates)**2": lambda _, u: 0.1 * (1 - u / 120) ** 2,
    "max(0.01, 0.2*exp(-epoch/(0.25*epochs)))": lambda e, _: max(0.01, 0.2 * np.exp(-e / 10)),
    "0.02*(2 + round(epoch/3) + min(epoch, 4) + abs(4 - epoch))/(1 + log(1 + epoch, 2))": (
        lambda e, _: 0.02 * (2 + round(e / 3) + min(e, 4) + abs(4 - e)) / (1 + np.log2(1 + e))
    ),
    "0.1*warmup(0)/(1 + floor(log10(1 + update)) + ceil(log2(1 + epoch)) + log(1 + epoch))": (
        lambda e, u: 0.1 / (1 + (len(str(u + 1)) - 1) + int(e).bit_length() + np.log(1 + e))
    ),
}
RULES: dict[str, Phase] = {
    "SGD": simdyn.SGD(learning_rate=1.0, epochs=40, batch_size=4),
    "SAM": SAM,
    "SAM, momentum, decay": SAM.replace(momentum=0.6, weight_decay=0.05),
    "SGD, momentum": simdyn.SGD(learning_rate=1.0, epochs=40, batch_size=4, momentum=0.8),
}


@pytest.mark.parametrize("formula", SCHEDULES)
@pytest.mark.parametrize("rule", RULES)
def test_train__learning_rate_schedules(formula: str, rule: str) -> None:
    """Two phases of 120 updates: epochs and updates of a schedule count from each phase's start."""
    phase = RULES[rule].replace(learning_rate=formula)
    assert_follows(naive.PAPER, [phase, phase], rates=[SCHEDULES[formula]] * 2)


def test_train__a_kept_last_batch_counts_as_an_update_of_the_schedule() -> None:
    phase = SAM.replace(batch_size=5, last_batch="keep", learning_rate="0.1*warmup(2)*cosine()")
    rate = SCHEDULES["0.1*warmup(5)*cosine()"](0, 6)
    assert rate == pytest.approx(0.1 * 7 / 15 * (1 + np.cos(np.pi * 6 / 120)) / 2)
    assert_follows(
        naive.PAPER,
        [phase],
        rates=[lambda _, u: 0.1 * _warmup(2, u, 3) * (1 + np.cos(np.pi * u / 120)) / 2],
    )


@pytest.mark.parametrize(
    ("formula", "number"),
    [
        ("0.1*warmup(0)", 0.1),
        ("0.1*step(1, 1)", 0.1),
        ("max(0.1, 0.01/(1 + epoch))", 0.1),
        ("4/epochs", 0.1),
        ("12/updates", 0.1),
        ("0.1 + 0*update", 0.1),
        ("0.2*0.5**(epochs/40)", 0.1),
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_train__a_schedule_that_does_not_change_is_a_constant(
    formula: str, number: float, rule: str
) -> None:
    """Bit for bit."""
    one, other = (states([RULES[rule].replace(learning_rate=rate)]) for rate in (formula, number))
    np.testing.assert_array_equal(one, other)


def test_train__a_step_schedule_is_phases_of_constant_rates() -> None:
    """Bit for bit, with momentum."""
    whole = states([HEAVY.replace(learning_rate="0.1*step(10, 0.5)", epochs=40)])
    parts = [HEAVY.replace(learning_rate=0.1 * 0.5**k, epochs=10) for k in range(4)]
    np.testing.assert_array_equal(whole, states(list(parts)))


def test_train__a_schedule_of_a_huge_phase_takes_no_memory() -> None:
    """10¹² epochs: nothing is as long as the training; it is stopped by its non-finite rate."""
    problem, *_ = problem_of(naive.PAPER)
    hidden = "0.1*warmup(3e11)/floor(1 + abs(epoch - 777)/1e12)**0 + 0/min(1, abs(epoch - 777))"
    phase = simdyn.SGD(learning_rate=hidden, epochs=10**12)
    ds = simdyn.train(problem, phase, record=simdyn.Record(every=10**12))
    assert (int(ds.status), int(ds.status_step)) == (3, 777)
    assert np.isnan(ds.train_loss.values[-1])


def test_train__a_negative_rate_that_only_the_run_meets_ends_it() -> None:
    problem, *_ = problem_of(naive.PAPER)
    hidden = "0.1 - max(0, 1 - abs(update - 777))"  # negative in one update of 10⁴
    phase = simdyn.SGD(learning_rate=hidden, epochs=10**4)
    ds = simdyn.train(problem, phase, record=simdyn.Record(every=777))
    assert (int(ds.status), int(ds.status_step)) == (3, 777)
    assert np.isfinite(ds.train_loss.values[:2]).all()


def test_from_patches__a_bias_is_a_constant_coordinate() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((9, 2, 6)), rng.choice(naive.SIGNS, 9)
    x[0, 1] = 0.0  # with a bias even an empty patch acts
    w, b = 0.3 * rng.standard_normal((2, 4, 6)), 0.2 * rng.standard_normal((2, 4))
    tests, answers = rng.standard_normal((50, 2, 6)), rng.choice(naive.SIGNS, 50)
    problem = simdyn.Problem.from_patches(x, y, w, bias=b, test_patches=tests, test_labels=answers)
    ds = simdyn.train(problem, SAM.replace(batch_size=3), record=EVERY_STEP)

    def wide(patches: np.ndarray) -> np.ndarray:
        return np.concatenate([patches, np.ones((*patches.shape[:2], 1))], axis=2)

    both = np.concatenate([w, b[..., None]], axis=2)
    phase = naive_phase(SAM.replace(batch_size=3))
    path, _ = naive.train(both, wide(x), y, [phase], partitions(0, 9))
    assert relative(ds.weights.values, np.array([both, *path])) < 1e-10
    wrong = answers * naive.outputs(path[-1], wide(tests)) < 0
    assert float(ds.test_error[-1]) == wrong.mean()


@pytest.mark.parametrize("activation", ACTIVATIONS[1:], ids=lambda pair: f"{pair[0]} {pair[1]:g}")
def test_train__test_error_of_other_activations(activation: tuple[Any, float]) -> None:
    """Every estimator that knows the activation, against a million fresh samples."""
    model = naive.Model(*activation)
    rng = np.random.default_rng(7)
    data = naive.draw_data(rng, 10, 40, 1.0, 0.4, 3, 0.0)
    x, y, _, signal, _ = data
    w = naive.draw_weights(rng, 3, 40, 0.2)
    problem = simdyn.Problem.from_patches(
        x,
        y,
        w,
        signal=signal,
        noise_std=0.4,
        activation=activation[0],
        activation_shape=activation[1],
    )
    phase = simdyn.SGD(learning_rate=0.1, epochs=20)
    last = simdyn.train(problem, phase, record=simdyn.Record(weights=True)).isel(step=-1)
    truth, noises = rng.choice(naive.SIGNS, 200_000), 0.4 * rng.standard_normal((200_000, 40))
    margins = truth * naive.outputs(
        last.weights.values, naive.make_patches(truth, signal, noises, 3), model
    )
    counted, count = float((margins < 0).mean()), len(truth)
    assert 0.01 < counted < 0.6
    allowed = {
        "leaky_relu": ("line", "counted", "radial"),
        "relu_power": ("counted", "radial"),
        "huber_relu": ("counted",),
    }[activation[0]]
    for estimator in allowed:
        record = simdyn.Record(every=20, test_estimator=estimator, test_draws=20_000)
        found = simdyn.train(problem, phase, record=record).isel(step=-1)
        error = np.hypot(float(found.test_error_se), np.sqrt(counted * (1 - counted) / count))
        assert abs(float(found.clean_test_error) - counted) < 4 * error, estimator
    for estimator in {"line", "counted", "radial"} - set(allowed):
        with pytest.raises(InputError, match=f"test_estimator = '{estimator}': allowed for"):
            simdyn.train(problem, phase, record=simdyn.Record(test_estimator=estimator))


def test_train__test_errors_on_given_patches_know_the_activation() -> None:
    model = naive.Model("relu_power", 3.0, "sum")
    _, x, y, w = problem_of(model)
    tests, answers = x[::-1] + 0.1, y[::-1]
    problem = simdyn.Problem.from_patches(
        x, y, w, test_patches=tests, test_labels=answers, activation="relu_power", output="sum"
    )
    phase = simdyn.SGD(learning_rate=0.02, epochs=20, weight_decay=0.1)
    ds = simdyn.train(problem, phase, record=simdyn.Record(weights=True))
    for state in (0, 20):
        wrong = answers * naive.outputs(ds.weights.values[state], tests, model) < 0
        assert float(ds.test_error[state]) == wrong.mean()


def test_train__errors_on_given_patches_have_their_interval() -> None:
    """At least 95 % of the intervals hold the error that a large sample shows."""
    rng = np.random.default_rng(4)
    mean = 0.4 * np.eye(1, 12)[0]

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.choice(naive.SIGNS, count)
        return (y[:, None] * mean + 0.5 * rng.standard_normal((count, 12)))[:, None], y

    x, y = drawn(40)
    w = 0.1 * rng.standard_normal((2, 5, 12))
    phase, record = simdyn.SGD(learning_rate=0.5, epochs=30), simdyn.Record(every=30)

    def error(count: int) -> Any:
        tests, answers = drawn(count)
        problem = simdyn.Problem.from_patches(x, y, w, test_patches=tests, test_labels=answers)
        return simdyn.train(problem, phase, record=record).isel(step=-1)

    truth, misses = float(error(200_000).test_error), 0
    for _ in range(200):
        ds = error(60)
        assert ds.test_error_low <= ds.test_error <= ds.test_error_high
        misses += not float(ds.test_error_low) <= truth <= float(ds.test_error_high)
    assert misses <= 0.05 * 200 + 4 * np.sqrt(0.05 * 0.95 * 200)


@pytest.mark.parametrize("activation", ["leaky_relu", "relu"])
def test_sharpness__of_a_leaky_network(activation: str) -> None:
    """λ_max of (1/n) Σ ℓ''∇f∇fᵀ from weight space."""
    model = naive.Model("leaky_relu", 0.2, "sum") if activation == "leaky_relu" else naive.PAPER
    problem, x, y, w = problem_of(model)
    record = simdyn.Record(variables=("sharpness",))
    found = float(simdyn.train(problem, SAM.replace(epochs=0), record=record).sharpness[0])
    z = naive.overlaps(w, x)
    jacobian = np.einsum("j,jmnp,npd->njmd", naive.SIGNS, naive.activation_derivative(z, model), x)
    jacobian = jacobian.reshape(len(y), -1) / (1 if model.output == "sum" else w.shape[1])
    margins = y * naive.outputs(w, x, model)
    bend = np.exp(-np.abs(margins)) / (1 + np.exp(-np.abs(margins))) ** 2
    hessian = jacobian.T @ (bend[:, None] * jacobian) / len(y)
    assert found == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-10)


def test_simulate__other_networks_on_drawn_data() -> None:
    """The drawn problem of a model is that of the paper's model: same data, another network."""
    data = simdyn.SignalNoiseData(n_samples=8, dimension=50, signal_norm=2.0)
    results = [
        simdyn.simulate(data, simdyn.TwoLayerCNN(n_filters=4, init_std=0.1, **more), SAM, seed=2)
        for more in (
            {},
            {"activation": "leaky_relu", "activation_shape": 1e-12},
            {"activation": "huber_relu", "activation_shape": 1e-12},
            {"output": "sum", "reduction": "sum", "activation": "huber_relu"},
        )
    ]
    for near in results[1:3]:
        np.testing.assert_allclose(near.margin, results[0].margin, rtol=1e-8)
    assert not np.allclose(results[3].margin, results[0].margin)
    assert "sharpness" not in results[3]


# Bad input


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"activation": "gelu"}, "TwoLayerCNN.activation = 'gelu': allowed is"),
        ({"activation_shape": 2.0}, "TwoLayerCNN.activation_shape = 2.0: allowed for activation"),
        ({"activation": "leaky_relu", "activation_shape": 1.5}, "a slope between 0 and 1"),
        ({"activation": "relu_power", "activation_shape": 1.0}, "a power q > 1"),
        ({"activation": "huber_relu", "activation_shape": 0.0}, "a width κ > 0"),
        ({"loss": "square"}, 'TwoLayerCNN.loss = \'square\': allowed is "logistic" or "hinge"'),
        ({"reduction": "max"}, "TwoLayerCNN.reduction"),
        ({"output": None}, "TwoLayerCNN.output"),
    ],
)
def test_network__bad_input(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as problem:
        simdyn.TwoLayerCNN(n_filters=2, init_std=0.1, **more)
    assert said in str(problem.value)


@pytest.mark.parametrize("name", ["Adam", "adamw", "SignSGD", "lion", "rmsprop"])
def test_study__optimisers_that_leave_the_span_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(InputError, match="leave the span of the data"):
        simdyn.Study(
            {"n_samples": 2, "dimension": 3, "signal_norm": 1.0},
            {"n_filters": 1, "init_std": 0.1},
            {"a": [{"optimiser": name, "learning_rate": 0.1, "epochs": 1}]},
        )


def test_sharpness__refused_for_a_smooth_activation() -> None:
    data = simdyn.SignalNoiseData(n_samples=3, dimension=9, signal_norm=1.0)
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.1, activation="huber_relu")
    record = simdyn.Record(variables=("sharpness",))
    with pytest.raises(InputError, match="'sharpness' is not available for activation"):
        simdyn.simulate(data, net, SAM.replace(batch_size=None), record=record)
    with pytest.raises(InputError, match="'sharpness' is not available for activation"):
        simdyn.Study(data, net, {"a": SAM.replace(batch_size=None)}, record=record)


# The slopes are the derivatives


@compiled
def _values(kind, shape, z, slope):
    out = np.empty(z.size)
    for i in range(z.size):
        if slope:
            out[i] = network.activation_slope(kind, shape, z[i])
        else:
            out[i] = network.activate(kind, shape, z[i])
    return out


@pytest.mark.parametrize(("kind", "shape"), [(0, 0.0), (1, 0.2), (2, 3.0), (2, 2.5), (3, 0.3)])
def test_activation__slope_is_the_derivative(kind: int, shape: float) -> None:
    z = np.array([-2.0, -0.1, 0.05, 0.2, 0.31, 1.0, 4.0])
    rise = (_values(kind, shape, z + 1e-6, False) - _values(kind, shape, z - 1e-6, False)) / 2e-6
    np.testing.assert_allclose(_values(kind, shape, z, True), rise, rtol=1e-5, atol=1e-9)
    assert np.isnan(_values(kind, shape, np.array([np.nan]), False)).all()
