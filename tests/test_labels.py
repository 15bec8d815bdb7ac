"""Labels and units beside results: those that training has, in memory and from a store."""

import re
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from common import same
from matplotlib.figure import Figure

import simdyn
from simdyn.engine.arguments import kernel_setting
from simdyn.engine.image_problems import make_problem
from simdyn.engine.labels import label_draws
from simdyn.kernels.random import Stream
from simdyn.kernels.sampling import draw_labels
from simdyn.params import Data, DrawnData

compiled = numba.njit(error_model="numpy")
NET = simdyn.TwoLayerCNN(n_filters=3, init_std=0.01)
SGD = simdyn.SGD(learning_rate=0.1, epochs=20)
LAWS: list[DrawnData] = [
    simdyn.SignalNoiseData(n_samples=40, dimension=90, signal_norm=2.0, label_flip=0.3),
    simdyn.XORData(n_samples=7, dimension=90, signal_norm=2.0, label_flip=0.1),
    simdyn.ClusterData(n_samples=5, dimension=90, signal_norm=2.0),
]


@compiled
def kernel_labels(setting, seed, replicate):
    return draw_labels(setting, Stream(np.uint64(seed), np.uint64(replicate)))


@pytest.mark.parametrize("data", LAWS, ids=lambda data: data.model)
@pytest.mark.parametrize("seed", [0, 12345, 2**63 - 1])
def test_label_draws__are_those_of_the_kernel(data: DrawnData, seed: int) -> None:
    replicates = range(2, 9)
    draws = label_draws(type(data), data.n_samples, seed, replicates)
    labels = draws.labels(data.label_flip)
    setting = kernel_setting(data, NET)
    for row, replicate in enumerate(replicates):
        truth, observed = kernel_labels(setting, seed, replicate)
        np.testing.assert_array_equal(draws.true_labels[row], truth)
        np.testing.assert_array_equal(labels[row], observed)


@pytest.mark.parametrize("n_samples", [6, 7])
def test_label_draws__of_images_are_those_of_the_problem(n_samples: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = tmp_path / "images.npz"
    np.savez(file, images=rng.random((30, 4, 4)), labels=np.repeat([3, 5], 15))
    data = simdyn.ImageData(
        n_samples=n_samples, source=str(file), label_flip=0.4, patch_size=2, positive=3, negative=5
    )
    ds = simdyn.simulate(data, NET, SGD, seed=3, replicates=4)
    for replicate in range(4):
        arrays = make_problem(data, NET, 3, replicate).arrays
        np.testing.assert_array_equal(ds.label.sel(replicate=replicate), arrays.labels)
        draws = label_draws(type(data), n_samples, 3, range(replicate, replicate + 1))
        flipped = draws.flips[0] < data.label_flip
        truth = np.where(flipped, -arrays.labels, arrays.labels)
        np.testing.assert_array_equal(ds.true_label.sel(replicate=replicate), truth)
    assert (ds.label != ds.true_label).any()


def test_simulate__noise_grows_in_the_bank_of_the_label_only() -> None:
    ds = simdyn.simulate(LAWS[0], NET, SGD, seed=1, replicates=3)
    own = ds.label == ds.sign
    assert ds.label.dims == ds.true_label.dims == ("replicate", "sample")
    assert (ds.noise_coef.where(own, 0.0) >= 0.0).all()
    assert (ds.noise_coef.where(~own, 0.0) <= 0.0).all()
    assert (ds.noise_coef.where(own) > 0.0).any()
    assert (ds.noise_coef.where(~own) < 0.0).any()
    flipped = (ds.label != ds.true_label).mean().item()
    assert 0.15 < flipped < 0.45


def test_train__labels_are_the_given_ones() -> None:
    patches = np.array([[[2.0, 0.0], [0.0, 1.0]], [[-2.0, 0.0], [0.0, 3.0]]])
    weights = simdyn.initial_weights(NET, 2)
    plain = simdyn.Problem.from_patches(patches, [1, 1], weights)
    ds = simdyn.train(plain, SGD)
    assert ds.label.values.tolist() == [1, 1]
    assert "true_label" not in ds.coords
    named = simdyn.Problem.from_patches(patches, [1, 1], weights, signal=[2.0, 0.0])
    assert simdyn.train(named, SGD).true_label.values.tolist() == [1, -1]


def study(**space: Any) -> simdyn.Study:
    data = {"n_samples": 6, "dimension": 40, "signal_norm": 1.0, "label_flip": 0.2}
    data = {name: value for name, value in data.items() if name not in space}
    record = simdyn.Record(variables=["noise_coef", "margin", "train_loss"])
    return simdyn.Study(data, NET, {"sgd": SGD}, space, replicates=3, seed=4, record=record)


def test_study__labels_in_memory_and_from_a_store(tmp_path: Path) -> None:
    made = study(dimension=[40, 50], label_flip=[0.0, 0.2, 0.45])
    ds = made.run(threads=1)
    assert ds.label.dims == ("label_flip", "replicate", "sample")
    assert ds.true_label.dims == ("replicate", "sample")
    same(ds, made.run(tmp_path / "x.zarr", threads=1))
    same(ds, simdyn.open_results(tmp_path / "x.zarr"))
    assert not (tmp_path / "x.zarr" / "label").exists()
    data = simdyn.SignalNoiseData(n_samples=6, dimension=40, signal_norm=1.0, label_flip=0.45)
    one = simdyn.simulate(data, NET, SGD, seed=4, replicates=3)
    np.testing.assert_array_equal(ds.label.sel(label_flip=0.45).values, one.label.values)
    np.testing.assert_array_equal(ds.label.sel(label_flip=0.0).values, one.true_label.values)


def test_study__labels_follow_a_formula_and_need_samples() -> None:
    made = study(signal_norm=[0.0, 0.4])
    tables = {"n_samples": 6, "dimension": 40, "label_flip": "signal_norm"}
    swept = {"signal_norm": [0.0, 0.4]}
    record = simdyn.Record(variables=["margin"])
    formula = simdyn.Study(tables, NET, {"sgd": SGD}, swept, replicates=3, seed=4, record=record)
    ds = formula.run(threads=1)
    assert ds.label.dims == ("signal_norm", "replicate", "sample")
    assert (ds.label.sel(signal_norm=0.0) == ds.true_label).all()
    assert (ds.label.sel(signal_norm=0.4) != ds.true_label).any()
    assert made.run(threads=1).label.dims == ("replicate", "sample")
    last = simdyn.Study(LAWS[1], NET, {"sgd": SGD}).run(threads=1)
    assert "label" not in last.coords


def test_label_draws__of_any_kind_are_small_integers() -> None:
    kinds: list[type[Data]] = [simdyn.SignalNoiseData, simdyn.ImageData]
    for law in kinds:
        draws = label_draws(law, 3, 0, range(2))
        assert draws.true_labels.dtype == draws.labels(0.3).dtype == np.int8
        assert draws.flips.shape == (2, 3)


# -- units ---------------------------------------------------------------------------------------


def test_units__dimensionless_quantities_show_none_in_plots_of_xarray(tmp_path: Path) -> None:
    made = study(dimension=[40, 50])
    made.run(tmp_path / "x.zarr", threads=1)
    for ds in (made.run(threads=1), simdyn.open_results(tmp_path / "x.zarr")):
        last = simdyn.summary(ds).isel(step=-1).train_loss.sel({"method": "sgd"})
        axes = Figure().subplots()
        last.plot(ax=axes)
        assert axes.get_ylabel() == "mean training loss"
        assert axes.get_xlabel() == "dimension of a patch"


def test_units__of_stores_of_before(tmp_path: Path) -> None:
    study(dimension=[40, 50]).run(tmp_path / "x.zarr", threads=1)
    for meta in tmp_path.rglob("zarr.json"):
        text = meta.read_text(encoding="utf-8")
        before = re.sub('"symbol":', '"units": "1", "symbol":', text)
        assert before != text or "train_loss" not in str(meta)
        meta.write_text(before, encoding="utf-8")
    ds = simdyn.open_results(tmp_path / "x.zarr")
    assert not any("units" in ds[name].attrs for name in ds.variables)
