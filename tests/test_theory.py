"""Closed forms of the paper."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from common import refusal
from scipy.integrate import quad

from simdyn import SAM, SGD, ClusterData, SignalNoiseData, TwoLayerCNN, XORData, theory
from simdyn.theory import (
    best_radius,
    critical_signal_norm,
    critical_signal_norm_power,
    critical_signal_norm_xor,
    deactivation_probability,
    gradient_norm_bound,
    initial_gradient_norm,
    noise_time,
    signal_limit,
    signal_time,
)
from simdyn.theory.regime import conditions


def test_critical_signal_norm__value():
    assert critical_signal_norm(5120, 20, 2, 1.0) == 4.0
    assert critical_signal_norm(5120, 20, 4, 0.5, constant=2.0) == 12.0


@pytest.mark.parametrize(
    ("field", "power"), [("dimension", 0.25), ("n_samples", -0.25), ("noise_std", 1.0)]
)
def test_critical_signal_norm__exponents(field, power):
    base = {"dimension": 1000.0, "n_samples": 20.0, "n_patches": 3, "noise_std": 0.7}
    grown = {**base, field: 10 * base[field]}
    ratio = critical_signal_norm(**grown) / critical_signal_norm(**base)
    assert np.log10(ratio) == pytest.approx(power, abs=1e-12)


def test_critical_signal_norm__copies_of_the_noise_scale_it():
    # P − 1 copies of the noise are one copy with (P − 1)σ_p: an exact symmetry of the model.
    many = critical_signal_norm(3000, 20, 5, 0.5)
    assert many == critical_signal_norm(3000, 20, 2, 4 * 0.5)


def test_critical_signal_norm__broadcasts():
    d = np.array([[1000], [2000]])
    n = np.array([10, 20, 30])
    line = critical_signal_norm(d, n, 2, 1.0)
    assert line.shape == (2, 3)
    assert line[1, 2] == critical_signal_norm(2000, 30, 2, 1.0)


def test_critical_signal_norm__keeps_labels():
    d = xr.DataArray([1000, 2000], dims="dimension", coords={"dimension": [1000, 2000]})
    n = xr.DataArray([10, 20, 30], dims="n_samples")
    line = critical_signal_norm(d, n, 2, 1.0)
    assert line.dims == ("dimension", "n_samples")
    assert list(line["dimension"].values) == [1000, 2000]


def test_conditions__signed_log_ratios():
    data = SignalNoiseData(n_samples=20, dimension=10**4, signal_norm=4.0, label_flip=0.1)
    net = TwoLayerCNN(n_filters=10, init_std=1e-3)
    found = conditions(data, net, 20)
    assert found["d ≥ n²"] == pytest.approx(np.log10(1e4 / 400))
    assert found["‖μ‖ ≥ Pσ_p"] == pytest.approx(np.log10(2.0))
    assert found["σ_0 ≤ √n/(Pσ_p d)"] < 0, "violated, and said so by its sign"
    noiseless = conditions(data.replace(label_flip=0.0), net, 20)
    assert noiseless["p ≤ 1/C"] == np.inf


def test_deactivation_probability__limits():
    assert deactivation_probability(0.0, 1e-3, 20, 10) == 0.0
    assert deactivation_probability(1.0, 1e-3, 20, 10) == 1.0
    assert deactivation_probability(1e-4, 1e-3, 20, 10) == pytest.approx(
        2e-4 / (1e-3 * np.sqrt(2 * np.pi * 20 * 10)), rel=1e-3
    )


def test_laws__follow_the_symmetry_of_shared_noise():
    """P − 1 copies act as one copy with (P − 1)σ_p; the bound, recalled with P, does not."""
    many, one = {"n_patches": 5, "noise_std": 0.5}, {"n_patches": 2, "noise_std": 2.0}
    for law, rest in (
        (
            initial_gradient_norm,
            {
                "dimension": 900,
                "batch_size": 8,
                "signal_norm": 3.0,
                "n_filters": 4,
                "label_flip": 0.1,
            },
        ),
        (noise_time, {"dimension": 900, "batch_size": 8, "learning_rate": 0.1, "n_filters": 4}),
        (best_radius, {"dimension": 900, "batch_size": 8, "n_filters": 4}),
    ):
        assert law(**many, **rest) == pytest.approx(law(**one, **rest), rel=1e-14)
    assert gradient_norm_bound(900, 8, 5, 0.5, 4) != gradient_norm_bound(900, 8, 2, 2.0, 4)


AT = {"n_samples": 20, "batch_size": 10, "learning_rate": 0.1, "signal_norm": 4.0, "n_filters": 8}


@pytest.mark.parametrize("flip", [0.0, 1e-9, 0.1, 0.2, 0.25, 0.268])
def test_signal_time__is_the_integral_of_the_rate(flip: float) -> None:
    def epochs_for(gamma: float) -> float:
        pull = (1.0 - flip) / (1.0 + np.exp(gamma)) - flip / (1.0 + np.exp(-gamma))
        return 2 * 8 * 10 / (0.1 * 20 * 16.0 * pull)  # 2mB/(ηn‖μ‖²) over the rate in these units

    expected, error = quad(epochs_for, 0.0, 1.0, epsabs=0.0, epsrel=1e-10)
    assert signal_time(**AT, label_flip=flip) == pytest.approx(expected, rel=1e-9)
    assert error < 1e-9 * expected


def test_signal_time__values_that_theory_states() -> None:
    clean = signal_time(**AT)
    assert clean == pytest.approx(2 * np.e * 8 * 10 / (0.1 * 20 * 16))
    ratios = signal_time(**AT, label_flip=np.array([0.1, 0.2, 0.25])) / clean
    np.testing.assert_allclose(ratios, [1.40, 2.42, 4.34], atol=0.005)


def test_signal_time__never_where_the_flips_hold_it_below_one() -> None:
    edge = 1.0 / (1.0 + np.e)
    assert np.isfinite(signal_time(**AT, label_flip=edge * (1 - 1e-12)))
    assert np.isinf(signal_time(**AT, label_flip=np.array([edge * (1 + 1e-12), 0.3, 0.5]))).all()
    assert np.isinf(signal_time(**AT | {"signal_norm": 0.0}))
    assert signal_limit(edge) == pytest.approx(1.0)
    assert signal_limit(0.0) == np.inf
    assert signal_limit(0.2) == pytest.approx(np.log(4.0))


def test_signal_time__keeps_labels() -> None:
    flip = xr.DataArray([0.0, 0.1], dims="label_flip", coords={"label_flip": [0.0, 0.1]})
    norm = xr.DataArray([1.0, 2.0, 3.0], dims="signal_norm")
    times = signal_time(**AT | {"signal_norm": norm}, label_flip=flip)
    assert set(times.dims) == {"label_flip", "signal_norm"}
    assert float(times[0, 1]) == signal_time(**AT | {"signal_norm": 2.0})


@pytest.mark.parametrize(
    ("d", "batch", "norm", "patches", "std", "m", "flip"),
    [
        (1, 1, 1.0, 2, 1.0, 2, 0.0),
        (2, 1, 1.0, 2, 1.0, 2, 0.0),
        (3, 1, 1.0, 2, 1.0, 2, 0.0),
        (1, 4, 2.0, 3, 0.7, 3, 0.2),
        (5, 6, 3.0, 2, 1.0, 2, 0.3),
        (12, 2, 2.0, 4, 0.5, 1, 0.1),
    ],
)
def test_initial_gradient_norm__is_the_mean_square_in_weight_space(
    d: int, batch: int, norm: float, patches: int, std: float, m: int, flip: float
) -> None:
    """Gradients of drawn weights and data, with every ℓ' = −1/2: exact at any d."""
    rng, count = np.random.default_rng(d), 60_000
    weights = rng.standard_normal((count, 2 * m, d))
    noise = std * rng.standard_normal((count, batch, d))
    true = rng.choice([-1.0, 1.0], (count, 1, batch))
    label = true * np.where(rng.random(true.shape) < flip, -1.0, 1.0)
    seen = (
        (weights[..., :1] * true > 0) * label * true
    )  # (count, filter, sample), times ŷμ = ŷ‖μ‖e₁
    active = (np.einsum("cfd,csd->cfs", weights, noise) > 0) * label
    gradient = (patches - 1) * np.einsum("cfs,csd->cfd", active, noise)
    gradient[..., 0] += norm * seen.sum(-1)
    squares = (gradient**2).sum((1, 2)) / (2 * batch * m) ** 2
    law = initial_gradient_norm(d, batch, norm, patches, std, m, flip) ** 2
    sigma = squares.std() / np.sqrt(count)
    assert abs(squares.mean() - law) < 4.5 * sigma
    assert sigma < 0.01 * law


def test_initial_gradient_norm__in_many_dimensions() -> None:
    """The third term is ‖μ‖(P−1)σ_p√(2/d)·√2/π … of order d^(−1/2), and has no overflow."""
    for d in (10**6, 2**53):
        square = 4 * 8 * 10 * initial_gradient_norm(d, 8, 1e3, 2, 1.0, 10) ** 2
        shared = np.sqrt(2.0) * 1e3 / (np.pi * np.sqrt(d / 2))
        assert square == pytest.approx(d + 1e6 * (1 + 3.5) + shared, rel=1e-12)


def test_critical_signal_norm_power__is_the_signal_to_noise_ratio_of_the_theorem() -> None:
    """On the line n·SNR^q is the same for any n, d and noise."""
    for n, d, patches, std in ((20, 1000, 2, 1.0), (80, 10**6, 4, 0.3)):
        norm = critical_signal_norm_power(d, n, patches, std, 3.0)
        ratio = norm / ((patches - 1) ** (1 / 3) * std * np.sqrt(d))  # P − 1 copies: σ(cz) = c³σ(z)
        assert n * ratio**3 == pytest.approx(1.0)


def test_critical_signal_norm_xor__grows_as_the_signals_close_in() -> None:
    right = critical_signal_norm_xor(5000, 40, 3, 0.5, 90.0)
    assert right == pytest.approx(critical_signal_norm(5000, 40, 3, 0.5))
    assert critical_signal_norm_xor(5000, 40, 3, 0.5, 60.0) == pytest.approx(2**0.5 * right)


# -- one setting ---------------------------------------------------------------------------------

DATA = SignalNoiseData(n_samples=20, dimension=5000, signal_norm=3.0, label_flip=0.1)
NET = TwoLayerCNN(n_filters=10, init_std=1e-3)
SMALL_STEPS = SGD(learning_rate=0.01, epochs=2000)


def test_conditions__of_objects_are_labelled_and_marked() -> None:
    found = theory.conditions(DATA, NET, SMALL_STEPS)
    recalled = conditions(DATA, NET, 20)
    assert found.condition.values[:9].tolist() == list(recalled)
    np.testing.assert_array_equal(found.log_ratio.values[:9], list(recalled.values()))
    assert found.mark.values.tolist() == 9 * ["R"] + 3 * ["N"]
    assert found.mark.attrs["R"] == "recalled"
    np.testing.assert_array_equal(found.met, found.log_ratio >= 0.0)
    assert "uncovered" not in found.attrs


def test_conditions__rate_is_that_updates_until_the_noise_fits() -> None:
    eta = {"condition": "η: noise is fitted in one update or more"}
    slow, fast = (
        theory.conditions(DATA, NET, SMALL_STEPS.replace(learning_rate=rate)).sel(eta)
        for rate in (0.01, 1.0)
    )
    updates = noise_time(5000, 20, 0.01, 2, 1.0, 10)
    assert slow.log_ratio.item() == pytest.approx(np.log10(updates))
    assert bool(slow.met)
    assert fast.log_ratio.item() == pytest.approx(slow.log_ratio.item() - 2.0)
    assert not bool(fast.met)
    batches = SMALL_STEPS.replace(batch_size=5)
    several = theory.conditions(DATA, NET, [SMALL_STEPS.replace(epochs=0), batches])
    expected = np.log10(4 * noise_time(5000, 5, 0.01, 2, 1.0, 10))
    assert several.sel(eta).log_ratio.item() == pytest.approx(expected)


def test_conditions__length_and_outputs() -> None:
    short = theory.conditions(DATA, NET, SMALL_STEPS.replace(epochs=1))
    long = {"condition": "training lasts until noise or signal is learned"}
    assert not bool(short.sel(long).met)
    assert bool(theory.conditions(DATA, NET, SMALL_STEPS).sel(long).met)
    outputs = {"condition": "initial outputs ≤ 0.3"}
    large = theory.conditions(DATA, NET.replace(init_std=0.1), SMALL_STEPS)
    assert not bool(large.sel(outputs).met)


def test_predictions__are_those_of_the_laws() -> None:
    sam = SAM(radius=0.02, learning_rate=0.1, epochs=10, batch_size=5)
    found = theory.predictions(DATA, NET, [SMALL_STEPS, sam])
    assert found.optimiser.values.tolist() == ["SGD", "SAM"]
    epochs = [noise_time(5000, 20, 0.01, 2, 1.0, 10), noise_time(5000, 5, 0.1, 2, 1.0, 10)]
    np.testing.assert_allclose(found.noise_epochs, epochs, rtol=1e-12)
    np.testing.assert_allclose(found.noise_updates, [epochs[0], 4 * epochs[1]], rtol=1e-12)
    epochs = [signal_time(20, 20, 0.01, 3.0, 10, 0.1), signal_time(20, 5, 0.1, 3.0, 10, 0.1)]
    np.testing.assert_allclose(found.signal_epochs, epochs, rtol=1e-12)
    assert np.isnan(found.deactivated_fraction[0])
    assert found.deactivated_fraction[1] == deactivation_probability(0.02, 1e-3, 5, 10)
    assert found.best_radius[1] == best_radius(5000, 5, 2, 1.0, 10)
    assert found.critical_signal_norm == critical_signal_norm(5000, 20, 2, 1.0)
    assert found.signal_limit == signal_limit(0.1)
    assert found.initial_gradient_norm == initial_gradient_norm(5000, 20, 3.0, 2, 1.0, 10, 0.1)
    for array in found.data_vars.values():
        assert callable(getattr(theory, array.attrs["law"]))
        assert array.attrs["mark"] in "ENR"


def test_predictions__of_other_laws_and_of_none() -> None:
    xor = XORData(n_samples=20, dimension=5000, signal_norm=3.0, angle=80.0)
    found = theory.predictions(xor, NET, SMALL_STEPS)
    assert found.critical_signal_norm == critical_signal_norm_xor(5000, 20, 2, 1.0, 80.0)
    assert np.isnan(found.signal_updates).all()
    cubic = TwoLayerCNN(n_filters=10, init_std=1e-3, activation="relu_power", activation_shape=3)
    found = theory.predictions(DATA, cubic, SMALL_STEPS)
    assert found.critical_signal_norm == critical_signal_norm_power(5000, 20, 2, 1.0, 3.0)
    momentum = SMALL_STEPS.replace(momentum=0.9)
    found = theory.predictions(DATA, NET, momentum)
    assert all(np.isnan(array).all() for array in found.data_vars.values())
    assert found.attrs["uncovered"] == "momentum = 0.9"
    conditions_of_it = theory.conditions(DATA, NET, momentum)
    assert conditions_of_it.attrs["uncovered"] == "momentum = 0.9"
    assert np.isnan(conditions_of_it.log_ratio[9:]).all()


@pytest.mark.parametrize("function", [theory.conditions, theory.predictions])
def test_conditions_and_predictions__bad_arguments(function: Any) -> None:
    cluster = ClusterData(n_samples=20, dimension=50, signal_norm=3.0)
    assert "allowed are SignalNoiseData and XORData" in refusal(function, cluster, NET, SMALL_STEPS)
    assert "net = " in refusal(function, DATA, None, SMALL_STEPS)
    assert "plan = " in refusal(function, DATA, NET, [])
    assert "batch_size" in refusal(function, DATA, NET, SMALL_STEPS.replace(batch_size=21))
