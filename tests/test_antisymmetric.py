"""Exactly zero networks: equal banks, so that f = 0 everywhere and every error is one half."""

from typing import Any

import naive
import numpy as np
import pytest
from commands import call

import simdyn

SIGNAL_NOISE = simdyn.SignalNoiseData(
    n_samples=7, dimension=30, signal_norm=2.0, n_patches=3, label_flip=0.15
)
LAWS = [
    SIGNAL_NOISE,
    SIGNAL_NOISE.replace(noise="orthogonal", dimension=2),  # factored
    simdyn.IndependentNoiseData(n_samples=5, dimension=30, signal_norm=2.0, n_patches=3),
    simdyn.XORData(n_samples=5, dimension=30, signal_norm=2.0),
    simdyn.MultiViewData(
        n_samples=5, dimension=30, signal_norm=2.0, weak_norm=1.0, strong_only=0.3, weak_only=0.1
    ),
    simdyn.ClusterData(n_samples=5, dimension=30, signal_norm=2.0, signal_share=0.7),
]
ACTIVATIONS = ("relu", "leaky_relu", "relu_power", "huber_relu")
START = simdyn.SGD(learning_rate=0.1, epochs=0)


def start(law: Any, net: simdyn.TwoLayerCNN, estimator: str | None = None, **more: Any) -> Any:
    """The state before the first update, of three replicates."""
    record = simdyn.Record(test_estimator=estimator, **more)
    return simdyn.simulate(law, net, START, replicates=3, seed=1, record=record).isel(step=0)


def assert_zero_network(ds: Any) -> None:
    assert (ds.margin == 0.0).all()
    assert (ds.train_error == 0.5).all()
    assert (ds.test_error == 0.5).all()
    assert (ds.clean_test_error == 0.5).all()
    assert (ds.test_error_se == 0.0).all()


@pytest.mark.parametrize("m", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_simulate__antisymmetric_errs_by_one_half(activation: str, m: int) -> None:
    """For every activation, and any number of filters in the lanes of a vector."""
    net = simdyn.TwoLayerCNN(n_filters=m, init_std=0.3, activation=activation, init="antisymmetric")
    for law in LAWS:
        assert_zero_network(start(law, net))


@pytest.mark.parametrize("estimator", ["line", "counted", "radial"])
def test_simulate__every_estimator_gives_one_half(estimator: str) -> None:
    net = simdyn.TwoLayerCNN(n_filters=3, init_std=0.3, init="antisymmetric")
    for law in LAWS[:3]:
        assert_zero_network(start(law, net, estimator))


def test_simulate__antisymmetric_keeps_the_gaussian_bank() -> None:
    """The bank +1 has the same overlaps as without, so the methods stay paired."""
    net = simdyn.TwoLayerCNN(n_filters=4, init_std=0.3, init="antisymmetric")
    record = {"variables": ("active_count",)}
    one = start(SIGNAL_NOISE, net, **record)
    other = start(SIGNAL_NOISE, net.replace(init="gaussian"), **record)
    np.testing.assert_array_equal(one.active_count[:, 0], one.active_count[:, 1])
    np.testing.assert_array_equal(one.active_count[:, 0], other.active_count[:, 0])
    assert (other.active_count[:, 0] != other.active_count[:, 1]).any()


@pytest.mark.parametrize("estimator", ["line", "counted", "radial"])
@pytest.mark.parametrize("d", [5, 12])
def test_train__filters_that_cancel_do_not_decide_ties(d: int, estimator: str) -> None:
    """Two of three pairs cancel: the error is that of the network without them, in every picture.

    Where only they are active f = 0, which counts one half and which rounding must not decide.
    """
    rng = np.random.default_rng(4)
    signal, y = np.eye(1, d)[0], np.array([1.0, -1.0])
    x = naive.make_patches(y, signal, rng.standard_normal((2, d)), 2)
    w = rng.standard_normal((2, 3, d))
    w[1, 1:] = w[0, 1:]
    record = simdyn.Record(test_draws=4000, test_estimator=estimator)
    found = []
    for kept in (w, w[:, :1]):
        problem = simdyn.Problem.from_patches(x, y, kept, signal=signal, noise_std=1.0)
        ds = simdyn.train(problem, START, record=record)
        found.append((float(ds.test_error[0]), float(ds.test_error_se[0])))
    (with_them, spread), (without, other) = found
    plain = naive.counted_test_error(rng, w[:, :1], signal, 1.0, 2, 100_000)
    assert abs(with_them - without) < 4 * np.hypot(spread, other)
    assert abs(with_them - plain) < 4 * np.hypot(spread, 0.5 / np.sqrt(100_000))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("d", [2, 30])
def test_train__equal_banks_of_explicit_weights(activation: str, d: int) -> None:
    """In training and on explicit test samples; dense and factored."""
    rng = np.random.default_rng(0)
    for m in (1, 2, 3, 4, 6, 7, 11):
        net = simdyn.TwoLayerCNN(n_filters=m, init_std=1.0, init="antisymmetric")
        w = simdyn.initial_weights(net, d, seed=m)
        np.testing.assert_array_equal(w[0], w[1])
        gaussian = simdyn.initial_weights(net.replace(init="gaussian"), d, seed=m)
        np.testing.assert_array_equal(w[0], gaussian[0])
        x, y = rng.standard_normal((9, 3, d)), rng.choice(naive.SIGNS, 9)
        problem = simdyn.Problem.from_patches(
            x, y, w, activation=activation, test_patches=2.0 * x, test_labels=y
        )
        ds = simdyn.train(problem, START)
        assert (ds.margin == 0.0).all()
        assert float(ds.train_error[0]) == float(ds.test_error[0]) == 0.5


def test_train__antisymmetric_follows_the_weights() -> None:
    """Training from there is training like any other."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((8, 2, 20)), rng.choice(naive.SIGNS, 8)
    net = simdyn.TwoLayerCNN(n_filters=3, init_std=0.2, init="antisymmetric")
    w = simdyn.initial_weights(net, 20)
    sam = simdyn.SAM(radius=0.1, learning_rate=0.2, epochs=30)
    record = simdyn.Record(weights=True)
    ds = simdyn.train(simdyn.Problem.from_patches(x, y, w), sam, record=record)
    phase = naive.Phase(radius=0.1, learning_rate=0.2, epochs=30, batch_size=None)
    path = naive.train(w, x, y, [phase])[0]
    np.testing.assert_allclose(ds.weights.values[1:], path, rtol=0, atol=1e-12)


def test_cli__init() -> None:
    line = "simulate --dimension 30 --signal-norm 1 --epochs 0 --json --init"
    answer = call(line, "antisymmetric")
    assert answer.code == 0, answer
    assert '"test_error": [0.5]' in answer.out
    answer = call(line, "uniform")
    assert answer.code == 2
    assert 'allowed is "gaussian" or "antisymmetric"' in answer.err


def test_study__antisymmetric_is_part_of_the_fingerprint() -> None:
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.1)
    space, methods = {"signal_norm": [1.0, 2.0]}, {"sgd": [START]}
    one, other = (
        simdyn.Study(
            SIGNAL_NOISE, each, methods, space, record=simdyn.Record(variables=("margin",))
        )
        for each in (net, net.replace(init="antisymmetric"))
    )
    assert one.fingerprint != other.fingerprint
    assert (other.run().margin == 0.0).all()
    assert (one.run().margin != 0.0).any()
