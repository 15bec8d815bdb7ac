"""Closed forms of the paper."""

import numpy as np
import pytest
import xarray as xr

from simdyn.theory import critical_signal_norm


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
