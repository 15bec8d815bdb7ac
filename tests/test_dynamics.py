"""Trajectories in Gram space against plain weight-space training."""

from collections.abc import Sequence
from typing import Any

import naive
import numpy as np
import pytest
from weight_space import EVERY_STEP, compiled, partitions, permutation, phases_of, relative

import simdyn
from simdyn.engine.arguments import kernel_setting
from simdyn.kernels.random import Stream
from simdyn.kernels.sampling import draw_problem
from simdyn.params import Phase


@compiled
def _picture(setting, seed, replicate):
    problem = draw_problem(setting, Stream(np.uint64(seed), np.uint64(replicate)))
    gram, rows = problem.dictionary.gram, problem.dictionary.rows
    return gram.size, rows, problem.weights, problem.labels, problem.true_labels


def signal_noise(
    seed: int = 0,
    n: int = 12,
    d: int = 80,
    norm: float = 2.0,
    n_patches: int = 2,
    flip: float = 0.0,
    m: int = 4,
    init_std: float = 0.05,
) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    data = naive.draw_data(rng, n, d, norm, 0.7, n_patches, flip)
    return (*data, naive.draw_weights(rng, m, d, init_std))


def trained(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, plan: Sequence[Phase], seed: int = 3, **named: Any
) -> tuple[Any, list[np.ndarray], np.ndarray]:
    """Simdyn's dataset, and naive's weights and gradient norms after every update."""
    ds = simdyn.train(
        simdyn.Problem.from_patches(x, y, w, **named), plan, seed=seed, record=EVERY_STEP
    )
    return ds, *naive.train(w, x, y, phases_of(plan), partitions(seed, len(y)))


def assert_same_path(
    ds: Any, x: np.ndarray, y: np.ndarray, w: np.ndarray, path: list[np.ndarray]
) -> None:
    """Every recorded state is naive's to 1e-10."""
    bound = 1e-10
    assert ds.sizes["step"] == len(path) + 1
    assert int(ds.status) == 1
    everything = np.array([w, *path])
    assert relative(ds.weights.values, everything) < bound
    margins = np.array([y * naive.outputs(each, x) for each in everything])
    assert relative(ds.margin.values, margins) < bound
    losses = np.array([naive.losses(each, x, y).mean() for each in everything])
    assert relative(ds.train_loss.values, losses) < bound
    norms = [naive.frobenius_norm(naive.gradient(each, x, y)) for each in everything]
    assert relative(ds.grad_norm.values, np.array(norms)) < bound
    np.testing.assert_array_equal(ds.train_error, np.mean(margins < 0, axis=1))


SGD = simdyn.SGD(learning_rate=0.2, epochs=100)
SAM = simdyn.SAM(radius=0.1, learning_rate=0.2, epochs=100)


@pytest.mark.parametrize("flip", [0.0, 0.3], ids=["true labels", "flipped labels"])
@pytest.mark.parametrize("n_patches", [2, 4])
@pytest.mark.parametrize("batch_size", [None, 3, 1])
@pytest.mark.parametrize("phase", [SGD, SAM], ids=["sgd", "sam"])
def test_train__follows_the_weights(
    phase: Phase, batch_size: int | None, n_patches: int, flip: float
) -> None:
    """At least 100 steps to 1e-10, coefficients rebuilding the weights to 1e-12."""
    x, y, truth, signal, noises, w = signal_noise(1, n_patches=n_patches, flip=flip)
    steps = 1 if batch_size is None else len(y) // batch_size
    plan = [phase.model_copy(update={"batch_size": batch_size, "epochs": -(-100 // steps)})]
    ds, path, _ = trained(x, y, w, plan, signal=signal, true_labels=truth)
    assert_same_path(ds, x, y, w, path)
    gamma, rho = ds.signal_coef.values, ds.noise_coef.values
    rebuilt = [
        naive.rebuild_weights(w, g, r, signal, noises, n_patches)
        for g, r in zip(gamma, rho, strict=True)
    ]
    assert relative(np.array(rebuilt), ds.weights.values) < 1e-12
    gammas, rhos = naive.evolve_coefficients(
        w, x, y, truth, signal, noises, phases_of(plan), partitions(3, len(y))
    )
    assert not gamma[0].any()
    assert not rho[0].any()
    assert relative(gamma[1:], gammas) < 1e-10
    assert relative(rho[1:], rhos) < 1e-10


@pytest.mark.parametrize("batch_size", [1, 4, 20])
def test_train__small_batches_of_many_samples(batch_size: int) -> None:
    """They reach few of the blocks of rows, in every word of marks; then all samples do."""
    x, y, truth, signal, _, w = signal_noise(4, n=140, flip=0.1, m=2)
    small = {"batch_size": batch_size, "epochs": 2}
    plan = [
        SAM.replace(**small),
        SGD.replace(epochs=2),
        SGD.replace(**small),
        SAM.replace(epochs=2),
    ]
    ds, path, _ = trained(x, y, w, plan, signal=signal, true_labels=truth)
    assert_same_path(ds, x, y, w, path)


def test_train__schedule_of_phases() -> None:
    """SAM and then SGD, of different batch sizes; epochs count on across phases."""
    x, y, truth, signal, _, w = signal_noise(2, flip=0.2)
    plan = [
        simdyn.SAM(radius=0.2, learning_rate=0.1, epochs=7, batch_size=4),
        simdyn.SGD(learning_rate=0.3, epochs=5),
        simdyn.SGD(learning_rate=0.05, epochs=0, batch_size=2),
        simdyn.SGD(learning_rate=0.05, epochs=6, batch_size=2),
        simdyn.SAM(radius=0.01, learning_rate=0.1, epochs=3, batch_size=6),
    ]
    ds, path, _ = trained(x, y, w, plan, signal=signal, true_labels=truth)
    assert len(path) == 21 + 5 + 36 + 6
    assert_same_path(ds, x, y, w, path)


@pytest.mark.parametrize("last_batch", ["drop", "keep"])
@pytest.mark.parametrize("radius", [0.0, 0.1])
def test_train__last_batch(last_batch: str, radius: float) -> None:
    x, y, _, _, _, w = signal_noise(3, n=11)
    plan = simdyn.SAM(
        radius=radius, learning_rate=0.2, epochs=20, batch_size=4, last_batch=last_batch
    )
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, seed=8, record=EVERY_STEP)
    now, path = w, []
    for epoch in range(20):
        order = permutation(8, epoch, 11)
        batches = [order[:4], order[4:8]] + [order[8:]] * (last_batch == "keep")
        for batch in batches:
            now = naive.sam_step(now, x[batch], y[batch], radius, 0.2)
            path.append(now)
    assert_same_path(ds, x, y, w, path)


def test_train__a_batch_of_everything_but_a_remainder() -> None:
    """B = 5 of n = 7, dropped: one random batch an epoch."""
    x, y, _, _, _, w = signal_noise(4, n=7)
    plan = simdyn.SGD(learning_rate=0.2, epochs=10, batch_size=5, last_batch="drop")
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, seed=1, record=EVERY_STEP)
    now, path = w, []
    for epoch in range(10):
        batch = permutation(1, epoch, 7)[:5]
        now = naive.sgd_step(now, x[batch], y[batch], 0.2)
        path.append(now)
    assert_same_path(ds, x, y, w, path)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_train__factored_dictionary(d: int, batch_size: int | None) -> None:
    """Q = 81 vectors in R^d: V (VᵀC) instead of G C."""
    rng = np.random.default_rng(d)
    x, y = rng.standard_normal((40, 2, d)), rng.choice(naive.SIGNS, 40)
    w = naive.draw_weights(rng, 3, d, 0.3)
    plan = [simdyn.SAM(radius=0.05, learning_rate=0.1, epochs=100, batch_size=batch_size)]
    assert simdyn.Problem.from_patches(x, y, w).arrays.dictionary.gram.size == 0
    ds, path, _ = trained(x, y, w, plan)
    assert_same_path(ds, x, y, w, path)


@pytest.mark.parametrize("dimension", [1, 2, 4, 6, 30, 10**6])
@pytest.mark.parametrize("noise", ["isotropic", "orthogonal"])
def test_simulate__follows_the_weights_of_its_picture(dimension: int, noise: str) -> None:
    """Drawn data in picture coordinates are ordinary vectors: naive trains on them alike."""
    n, m, copies = 9, 3, 2
    scale = 1.0 / np.sqrt(max(dimension, 10))
    data = simdyn.SignalNoiseData(
        n_samples=n,
        dimension=dimension,
        signal_norm=1.0,
        noise_std=2 * scale,
        n_patches=1 + copies,
        label_flip=0.2,
        noise=noise,
    )
    net = simdyn.TwoLayerCNN(n_filters=m, init_std=scale)
    plan = [
        simdyn.SAM(radius=0.1, learning_rate=0.3, epochs=50),
        simdyn.SGD(learning_rate=0.3, epochs=50),
    ]
    ds = simdyn.simulate(data, net, plan, seed=5, replicates=3).isel(replicate=2)
    law = kernel_setting(data, net)
    size, rows, start, labels, truth = _picture(law, 5, 2)
    assert (size == 0) == (2 * rows.shape[1] < n + 1)
    x = naive.make_patches(truth, rows[0], rows[1:], 3)
    w = start.reshape(2, m, -1)
    path = [w, *naive.train(w, x, labels, phases_of(plan))[0]]
    margins = np.array([labels * naive.outputs(each, x) for each in path])
    assert relative(ds.margin.values, margins) < 1e-10


# General tables


def plane_cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(11)
    n, d = 10, 30
    noisy = rng.standard_normal((n, 3, d))
    one, other = 2.0 * np.eye(2, d)
    signs = rng.choice(naive.SIGNS, (n, 2))
    xor = np.stack([signs[:, :1] * one, signs[:, 1:] * other, 0.3 * noisy[:, 0]], axis=1)
    repeated = np.stack([noisy[:, 0], noisy[:, 1], noisy[:, 0], noisy[0, 0] + 0 * noisy[:, 0]], 1)
    zeros = noisy.copy()
    zeros[::2, 1] = 0.0
    zeros[3] = 0.0
    negated = np.stack([noisy[:, 0], -noisy[:, 0], -noisy[::-1, 0]], axis=1)
    labels = rng.choice(naive.SIGNS, n)
    return {
        "independent noise patches": (noisy, labels),
        "xor": (xor, signs.prod(axis=1)),
        "repeated patches": (repeated, labels),
        "zero patches": (zeros, labels),
        "negated patches": (negated, labels),
        "one patch": (noisy[:, :1], labels),
        "one sample": (noisy[:1], labels[:1]),
    }


@pytest.mark.parametrize("batch_size", [None, 1])
@pytest.mark.parametrize("case", plane_cases())
def test_train__general_tables(case: str, batch_size: int | None) -> None:
    x, y = plane_cases()[case]
    w = naive.draw_weights(np.random.default_rng(12), 3, x.shape[2], 0.05)
    epochs = 100 if batch_size is None else -(-100 // len(y))
    plan = [simdyn.SAM(radius=0.1, learning_rate=0.1, epochs=epochs, batch_size=batch_size)]
    ds, path, _ = trained(x, y, w, plan)
    margins = np.array([y * naive.outputs(each, x) for each in [w, *path]])
    assert relative(ds.weights.values, np.array([w, *path])) < 1e-10
    assert relative(ds.margin.values, margins) < 1e-10
    errors = np.mean(margins < 0, axis=1) + 0.5 * np.mean(margins == 0, axis=1)
    np.testing.assert_allclose(ds.train_error, errors, rtol=1e-15)


def test_from_patches__shares_equal_and_opposite_patches() -> None:
    cases = plane_cases()
    sizes = dict.fromkeys(("xor", "repeated patches", "negated patches"), 0)
    for name in sizes:
        x, y = cases[name]
        problem = simdyn.Problem.from_patches(x, y, np.ones((2, 1, x.shape[2])))
        sizes[name] = len(problem.vectors)
    assert sizes == {"xor": 2 + 10, "repeated patches": 20, "negated patches": 10}


def test_train__explicit_test_data() -> None:
    x, y, _, _, _, w = signal_noise(6)
    rng = np.random.default_rng(7)
    fresh, _, labels, _, _ = naive.draw_data(rng, 200, 80, 2.0, 0.7, 3, 0.0)
    fresh[0] = 0.0  # an output of exactly zero
    fresh[1] = -fresh[2]
    problem = simdyn.Problem.from_patches(x, y, w, test_patches=fresh, test_labels=labels)
    ds = simdyn.train(problem, SAM, record=simdyn.Record(weights=True))
    for t in range(ds.sizes["step"]):
        margins = labels * naive.outputs(ds.weights.values[t], fresh)
        error = np.mean(margins < 0) + 0.5 * np.mean(margins == 0)
        assert float(ds.test_error[t]) == pytest.approx(error, abs=1e-15)
        spread = np.sqrt(error * (1 - error) / 200)
        assert float(ds.test_error_se[t]) == pytest.approx(spread, abs=1e-15)


# Statuses and extremes


def test_train__zero_weights_have_a_zero_gradient() -> None:
    x, y, _, _, _, w = signal_noise(8)
    for phase in (SGD, SAM):
        ds = simdyn.train(simdyn.Problem.from_patches(x, y, 0 * w), phase, record=EVERY_STEP)
        assert (int(ds.status), int(ds.status_step)) == (2, 0)
        assert not ds.weights.values.any()
        assert not ds.margin.values.any()
        np.testing.assert_array_equal(ds.train_error, 0.5)
        np.testing.assert_allclose(ds.train_loss, np.log(2.0), rtol=1e-15)


def big_margins(margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two orthogonal samples of unit length whose margins are both `margin`."""
    x, y = np.eye(2, 6)[:, None], np.array([1.0, -1.0])
    w = np.zeros((2, 1, 6))
    w[0 if margin > 0 else 1, 0, 0] = abs(margin)
    w[1 if margin > 0 else 0, 0, 1] = abs(margin)
    return x, y, w


@pytest.mark.parametrize("margin", [800.0, 740.0, 400.0, 371.0, 36.0, -36.0, -371.0, -800.0])
@pytest.mark.parametrize("radius", [0.0, 0.1])
def test_train__huge_margins_stay_finite(margin: float, radius: float) -> None:
    """The gradient is far below what its square could hold, and the direction still exact."""
    x, y, w = big_margins(margin)
    plan = simdyn.SAM(radius=radius, learning_rate=0.3, epochs=4)
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, record=EVERY_STEP)
    path = [w, *naive.train(w, x, y, phases_of([plan]))[0]]
    assert relative(ds.weights.values, np.array(path)) < 1e-13
    np.testing.assert_allclose(ds.margin[0], margin, rtol=1e-15)
    expected = naive.losses(w, x, y).mean()
    np.testing.assert_allclose(ds.train_loss[0], expected, rtol=1e-14)
    slope = naive.loss_derivative(np.array([margin]))[0]
    assert float(ds.grad_norm[0]) == pytest.approx(-slope / np.sqrt(2.0), rel=1e-12)
    assert int(ds.status) == (2 if margin == 800.0 else 1)


def test_train__a_gradient_of_exp_minus_740_moves_by_it() -> None:
    """A subnormal gradient times a huge rate is a real step."""
    x, y, w = big_margins(700.0)
    plan = simdyn.SGD(learning_rate=1e300, epochs=1)
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, record=EVERY_STEP)
    moved = 1e300 * np.exp(-700.0) / 2.0
    assert float(ds.weights[1, 0, 0, 0]) == pytest.approx(700.0 + moved, rel=1e-13)


def test_train__gradient_that_vanishes_on_the_way() -> None:
    """One huge step takes every margin beyond 745, where ℓ' is exactly zero."""
    x, y = np.eye(2, 6)[:, None], np.array([1.0, -1.0])
    w = np.zeros((2, 1, 6))
    w[0, 0, 0] = w[1, 0, 1] = 1.0
    plan = simdyn.SGD(learning_rate=1e5, epochs=5)
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, record=EVERY_STEP)
    assert (int(ds.status), int(ds.status_step)) == (2, 1)
    assert np.isfinite(ds.weights.values).all()
    np.testing.assert_array_equal(ds.weights[2:], ds.weights[1:-1])


def test_train__a_zero_gradient_of_one_batch_is_not_a_frozen_state() -> None:
    """Only the sample of the last batch is without gradient; the others still move the weights."""
    x, y, w = big_margins(1.0)
    w[1, 0, 1] = 0.0  # sample 1 activates nothing
    last = next(seed for seed in range(50) if permutation(seed, 9, 2)[1] == 1)
    plan = simdyn.SGD(learning_rate=0.1, epochs=10, batch_size=1)
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, seed=last, record=EVERY_STEP)
    assert (ds.weights[-1] != ds.weights[-3]).any()
    assert int(ds.status) == 1


def test_train__overflow_is_non_finite() -> None:
    x, y, _, _, _, w = signal_noise(9, flip=0.3)
    plan = simdyn.SGD(learning_rate=1e308, epochs=10)
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, record=EVERY_STEP)
    assert int(ds.status) == 3
    at = int(ds.status_step)
    assert at >= 1
    assert np.isfinite(ds.margin[:at]).all()
    assert np.isnan(ds.margin[at:]).all()
    assert np.isnan(ds.train_loss[at:]).all()


def test_train__overflow_downwards_is_non_finite() -> None:
    """Filters pushed to −∞ are inactive, so every margin stays finite; the state is not."""
    x, y = 10.0 * np.eye(1, 4)[None], np.array([1.0])
    w = np.zeros((2, 1, 4))
    w[0, 0, 0], w[1, 0, 0] = -1.0, 1.0
    plan = simdyn.SGD(learning_rate=1e308, epochs=3)
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan)
    with np.errstate(over="ignore"):
        moved = ds.coef.values[-1] @ x[0]
    assert int(ds.status) == 3 or np.isfinite(moved).all()


def test_train__overflowing_weights_warn_nobody() -> None:
    """Recorded weights that overflow are a status, not a warning of NumPy's."""
    x, y = 10.0 * np.eye(1, 4)[None], np.array([1.0])
    w = np.zeros((2, 1, 4))
    w[0, 0, 0], w[1, 0, 0] = -1.0, 1.0
    plan = simdyn.SGD(learning_rate=1e308, epochs=3)
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, record=EVERY_STEP)
    assert int(ds.status) == 3


# What is recorded


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, [0, 3, 6, 9, 12, 13, 14, 15, 16, 17]),
        ({"every": 2}, [0, 6, 12, 14, 16, 17]),
        ({"every": 100}, [0, 17]),
        ({"every": 5, "unit": "step"}, [0, 5, 10, 15, 17]),
        ({"log_spaced": 6}, [0, 1, 2, 4, 8, 17]),
    ],
    ids=["default", "epochs", "sparse", "steps", "log-spaced"],
)
def test_train__recorded_updates(record: dict[str, Any], expected: list[int]) -> None:
    """Whatever is recorded, it is the same trajectory."""
    x, y, _, _, _, w = signal_noise(10)
    plan = [
        simdyn.SAM(radius=0.1, learning_rate=0.1, epochs=4, batch_size=4),
        simdyn.SGD(learning_rate=0.1, epochs=5),
    ]
    problem = simdyn.Problem.from_patches(x, y, w)
    ds = simdyn.train(problem, plan, seed=2, record=simdyn.Record(**record))
    whole = simdyn.train(problem, plan, seed=2, record=EVERY_STEP)
    np.testing.assert_array_equal(ds["updates"], expected)
    np.testing.assert_array_equal(ds.step, np.arange(len(expected)))
    for name in ("margin", "train_loss", "coef"):
        np.testing.assert_array_equal(ds[name], whole[name][expected])


def test_train__no_epochs_is_the_initial_state() -> None:
    x, y, _, _, _, w = signal_noise(10)
    plan = simdyn.SGD(learning_rate=0.1, epochs=0)
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, record=EVERY_STEP)
    assert ds["updates"].values.tolist() == [0]
    np.testing.assert_array_equal(ds.weights[0], w)


def test_default_record__of_long_training_is_log_spaced_and_said() -> None:
    data = simdyn.SignalNoiseData(n_samples=4, dimension=30, signal_norm=1.0)
    net = simdyn.TwoLayerCNN(n_filters=1, init_std=1e-2)
    x, y, *_, w = signal_noise(n=4, d=30, m=1)
    problem = simdyn.Problem.from_patches(x, y, w)
    names = ("train_loss", "margin")

    def both(epochs: int, **when: Any) -> list[Any]:
        plan, record = simdyn.SGD(learning_rate=0.1, epochs=epochs), simdyn.Record(**when)
        record = record.replace(variables=names)
        return [
            simdyn.simulate(data, net, plan, record=record),
            simdyn.train(problem, plan, record=record),
        ]

    for short in both(1000):
        assert short.sizes["step"] == 1001
        assert "recorded" not in short.attrs
    for long, spaced, whole in zip(
        both(3000), both(3000, log_spaced=1000), both(3000, every=1), strict=True
    ):
        assert long.sizes["step"] < 1000
        assert long.identical(spaced.assign_attrs(long.attrs))
        chosen = whole.isel(step=long["updates"].values)
        for name in names:
            np.testing.assert_array_equal(long[name], chosen[name])
        assert f"{long.sizes['step']} states of 3,000 epochs" in long.attrs["recorded"]
        assert "recorded" not in spaced.attrs
        assert whole.sizes["step"] == 3001
        assert "recorded" not in whole.attrs
