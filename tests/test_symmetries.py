"""The exact symmetries of the model, as properties of whole trajectories."""

from typing import Any

import naive
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import simdyn

RECORD = simdyn.Record(every=1, unit="step", weights=True)
STRENGTH = st.floats(0.05, 3.0)
SEED = st.integers(0, 2**63 - 1)
BATCH = st.none() | st.just(1)

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)

laws = st.fixed_dictionaries(
    {
        "n_samples": st.integers(1, 12),
        "dimension": st.sampled_from([1, 2, 3, 7, 20, 500, 10**9]),
        "signal_norm": st.just(0.0) | STRENGTH,
        "noise_std": STRENGTH,
        "n_patches": st.integers(2, 5),
        "label_flip": st.sampled_from([0.0, 0.1, 0.4]),
        "noise": st.sampled_from(["isotropic", "orthogonal"]),
    }
)


def simulated(law: dict[str, Any], m: int, init_std: float, plan: Any, seed: int) -> Any:
    return simdyn.simulate(
        simdyn.SignalNoiseData(**law),
        simdyn.TwoLayerCNN(n_filters=m, init_std=init_std),
        plan,
        seed=seed,
        replicates=2,
        threads=1,
    )


def sam(radius: float, rate: float, batch_size: int | None = None, epochs: int = 15) -> simdyn.SAM:
    return simdyn.SAM(
        radius=radius, learning_rate=rate, epochs=epochs, batch_size=batch_size, last_batch="keep"
    )


def gentle(law: dict[str, Any]) -> float:
    """A learning rate of order one over the squared length of a sample."""
    square = law["signal_norm"] ** 2
    square += law["dimension"] * (law["noise_std"] * (law["n_patches"] - 1)) ** 2
    return 1.0 / square


@few
@given(law=laws, m=st.integers(1, 5), k=st.integers(-20, 20), batch=BATCH, seed=SEED)
def test_simulate__scaling_by_a_power_of_two_changes_no_bit(
    law: dict[str, Any], m: int, k: int, batch: int | None, seed: int
) -> None:
    """(μ, σ_p, σ_0, η, τ) → (cμ, cσ_p, σ_0/c, η/c², τ/c), c = 2^k."""
    c, rate, init_std, radius = 2.0**k, gentle(law), 0.01, 0.02
    scaled = law | {"signal_norm": c * law["signal_norm"], "noise_std": c * law["noise_std"]}
    one = simulated(law, m, init_std, sam(radius, rate, batch), seed)
    other = simulated(scaled, m, init_std / c, sam(radius / c, rate / c**2, batch), seed)
    for name in one.data_vars:
        scale = c if name == "grad_norm" else 1.0
        np.testing.assert_array_equal(other[name], scale * one[name], err_msg=name)


@few
@given(law=laws, m=st.integers(1, 5), batch=BATCH, seed=SEED)
def test_simulate__no_radius_is_sgd_bit_for_bit(
    law: dict[str, Any], m: int, batch: int | None, seed: int
) -> None:
    rate = gentle(law)
    plain = simdyn.SGD(learning_rate=rate, epochs=15, batch_size=batch)
    one = simulated(law, m, 0.01, sam(0.0, rate, batch), seed)
    other = simulated(law, m, 0.01, plain, seed)
    assert one.drop_attrs().identical(other.drop_attrs())


def assert_close(one: Any, other: Any, bound: float = 1e-9) -> None:
    one, other = np.asarray(one), np.asarray(other)
    assert np.abs(one - other).max() <= bound * max(np.abs(one).max(), 1e-300)


@few
@given(law=laws, m=st.integers(1, 5), seed=SEED)
def test_simulate__copies_of_the_noise_are_stronger_noise(
    law: dict[str, Any], m: int, seed: int
) -> None:
    """P patches of shared noise are two patches with σ_p(P − 1)."""
    copies = law["n_patches"] - 1
    stronger = law | {"n_patches": 2, "noise_std": law["noise_std"] * copies}
    plan = sam(0.02, gentle(law))
    one, other = (simulated(each, m, 0.01, plan, seed) for each in (law, stronger))
    for name in ("margin", "train_loss", "grad_norm", "signal_coef", "noise_coef"):
        assert_close(one[name], other[name])
    # The draws of the test error are the same, and so are its values.
    assert_close(one.clean_test_error, other.clean_test_error, 1e-7)


explicit = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "n": st.integers(1, 8),
        "d": st.integers(1, 15),
        "n_patches": st.integers(1, 4),
        "m": st.integers(1, 4),
        "radius": st.sampled_from([0.0, 0.05]),
    }
)


def drawn(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Independent patches, labels and weights."""
    rng = np.random.default_rng(case["seed"])
    x = rng.standard_normal((case["n"], case["n_patches"], case["d"]))
    y = rng.choice(naive.SIGNS, case["n"])
    return x, y, naive.draw_weights(rng, case["m"], case["d"], 0.3), rng


def path(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, radius: float, batch: int | None = None
) -> Any:
    """A trajectory of full-batch or single-sample SAM."""
    plan = sam(radius, 0.1 / x.shape[1] / x.shape[2], batch)
    return simdyn.train(simdyn.Problem.from_patches(x, y, w), plan, seed=1, record=RECORD)


@few
@given(case=explicit, batch=BATCH)
def test_train__label_swap_with_banks_swapped(case: dict[str, Any], batch: int | None) -> None:
    """Under y → −y and w₊ ↔ w₋ margins stay, coefficients are swapped."""
    x, y, w, _ = drawn(case)
    one = path(x, y, w, case["radius"], batch)
    other = path(x, -y, w[::-1], case["radius"], batch)
    assert_close(one.margin, other.margin)
    assert_close(one.weights, other.weights.values[:, ::-1])
    assert_close(one.coef, other.coef.values[:, ::-1], 1e-8)


@few
@given(case=explicit, batch=BATCH)
def test_train__rotation_of_data_and_weights(case: dict[str, Any], batch: int | None) -> None:
    x, y, w, rng = drawn(case)
    turn = np.linalg.qr(rng.standard_normal((case["d"], case["d"])))[0]
    one = path(x, y, w, case["radius"], batch)
    other = path(x @ turn, y, w @ turn, case["radius"], batch)
    assert_close(one.margin, other.margin)
    assert_close(one.weights.values @ turn, other.weights)


@few
@given(case=explicit)
def test_train__filters_permute_freely(case: dict[str, Any]) -> None:
    x, y, w, rng = drawn(case)
    order = [rng.permutation(case["m"]) for _ in range(2)]
    mixed = np.stack([w[k, order[k]] for k in range(2)])
    one, other = path(x, y, w, case["radius"], 1), path(x, y, mixed, case["radius"], 1)
    assert_close(one.margin, other.margin)
    for k in range(2):
        assert_close(one.weights.values[:, k, order[k]], other.weights.values[:, k])


@few
@given(case=explicit)
def test_train__samples_permute_freely(case: dict[str, Any]) -> None:
    """Full batch; patches within a sample too."""
    x, y, w, rng = drawn(case)
    order, within = rng.permutation(case["n"]), rng.permutation(case["n_patches"])
    one = path(x, y, w, case["radius"])
    other = path(x[order][:, within], y[order], w, case["radius"])
    assert_close(one.margin.values[:, order], other.margin)
    assert_close(one.weights, other.weights)
    assert_close(one.grad_norm, other.grad_norm)


@few
@given(case=explicit, power=st.integers(-10, 10))
def test_train__explicit_scaling_changes_no_bit(case: dict[str, Any], power: int) -> None:
    x, y, w, _ = drawn(case)
    c, rate = 2.0**power, 0.1 / x.shape[1] / x.shape[2]
    one = path(x, y, w, case["radius"])
    plan = sam(case["radius"] / c, rate / c**2)
    problem = simdyn.Problem.from_patches(c * x, y, w / c)
    other = simdyn.train(problem, plan, seed=1, record=RECORD)
    np.testing.assert_array_equal(other.margin, one.margin)
    np.testing.assert_array_equal(other.weights, one.weights / c)
