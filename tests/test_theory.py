"""Closed forms of the paper."""

import numpy as np
import pytest
import xarray as xr

from simdyn.theory import (
    best_radius,
    conditions,
    critical_signal_norm,
    critical_signal_norm_power,
    critical_signal_norm_xor,
    deactivation_probability,
    gradient_norm_bound,
    initial_gradient_norm,
    noise_time,
    signal_strength,
    signal_time,
)


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
    setting = {
        "dimension": 1e4, "n_samples": 20.0, "signal_norm": 4.0, "n_patches": 2.0,
        "noise_std": 1.0, "label_flip": 0.1, "n_filters": 10.0, "init_std": 1e-3,
        "batch_size": 20.0,
    }  # fmt: skip
    found = conditions(**setting)
    assert found["d ≥ n²"] == pytest.approx(np.log10(1e4 / 400))
    assert found["‖μ‖ ≥ Pσ_p"] == pytest.approx(np.log10(2.0))
    assert found["σ_0 ≤ √n/(Pσ_p d)"] < 0, "violated, and said so by its sign"
    noiseless = conditions(**setting | {"label_flip": 0.0})
    assert noiseless["p ≤ 1/C"] == np.inf


def test_signal_strength__is_one_on_the_line():
    line = critical_signal_norm(3000, 20, 5, 0.5)
    assert signal_strength(3000, 20, line, 5, 0.5) == pytest.approx(1.0)
    assert signal_strength(3000, 20, 3 * line, 5, 0.5) == pytest.approx(81.0)


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
        (initial_gradient_norm, {"dimension": 900, "batch_size": 8, "signal_norm": 3.0,
                                 "n_filters": 4, "label_flip": 0.1}),
        (noise_time, {"dimension": 900, "batch_size": 8, "learning_rate": 0.1, "n_filters": 4}),
        (best_radius, {"dimension": 900, "batch_size": 8, "n_filters": 4}),
    ):  # fmt: skip
        assert law(**many, **rest) == pytest.approx(law(**one, **rest), rel=1e-14)
    assert gradient_norm_bound(900, 8, 5, 0.5, 4) != gradient_norm_bound(900, 8, 2, 2.0, 4)


def test_signal_time__counts_the_samples_that_are_not_flipped():
    at = {"n_samples": 20, "batch_size": 20, "learning_rate": 0.1, "signal_norm": 4.0}
    clean = signal_time(**at, n_filters=10)
    assert clean == pytest.approx(4.9 * 10 / (0.1 * 16))
    assert signal_time(**at, n_filters=10, label_flip=0.25) == pytest.approx(2 * clean)


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
