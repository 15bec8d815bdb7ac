"""Drawn problems as explicit arrays, against `simulate` and against plain weight space."""

from typing import Any

import naive
import numpy as np
import pytest
from common import refusal
from scipy import stats

import simdyn
from simdyn.engine.drawing import Drawn
from simdyn.params import DrawnData

NET = simdyn.TwoLayerCNN(n_filters=3, init_std=0.05)
SAM = simdyn.SAM(radius=0.05, learning_rate=0.2, epochs=30)
PATCHES = {"n_samples": 6, "dimension": 30, "signal_norm": 2.0, "n_patches": 3, "label_flip": 0.2}
LAWS: list[DrawnData] = [
    simdyn.SignalNoiseData(**PATCHES),
    simdyn.SignalNoiseData(**PATCHES | {"dimension": 400, "noise": "orthogonal"}),
    simdyn.SignalNoiseData(**PATCHES | {"dimension": 5}),
    simdyn.IndependentNoiseData(**PATCHES),
    simdyn.XORData(**PATCHES, angle=70.0),
    simdyn.MultiViewData(**PATCHES, weak_norm=1.0, strong_only=0.3, weak_only=0.3),
    simdyn.ClusterData(n_samples=6, dimension=30, signal_norm=2.0),
]


def explicit(drawn: Drawn, **options: Any) -> simdyn.Problem:
    return simdyn.Problem.from_patches(drawn.patches, drawn.labels, drawn.weights, **options)


@pytest.mark.parametrize("data", LAWS, ids=lambda data: f"{data.model}-{data.dimension}")
@pytest.mark.parametrize("replicate", [0, 3])
def test_draw__trains_like_simulate(data: DrawnData, replicate: int) -> None:
    drawn = simdyn.draw(data, NET, seed=7, replicate=replicate)
    ds = simdyn.simulate(data, NET, SAM, seed=7, replicates=4).sel(replicate=replicate)
    other = simdyn.train(explicit(drawn), SAM)
    for name in ("train_loss", "train_error", "grad_norm", "margin"):
        np.testing.assert_allclose(other[name], ds[name], rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_array_equal(drawn.labels, ds.label)
    np.testing.assert_array_equal(drawn.true_labels, ds.true_label)


def test_draw__trains_like_weight_space() -> None:
    data = simdyn.SignalNoiseData(**PATCHES)
    drawn = simdyn.draw(data, NET, seed=1)
    ds = simdyn.simulate(data, NET, SAM, seed=1).isel(replicate=0)
    weights = drawn.weights
    for state in range(31):
        loss = naive.losses(weights, drawn.patches, drawn.labels).mean()
        assert loss == pytest.approx(ds.train_loss[state].item(), rel=1e-10)
        weights = naive.sam_step(weights, drawn.patches, drawn.labels, 0.05, 0.2)


def test_draw__batches_and_tests_are_those_of_the_first_replicate() -> None:
    data = simdyn.SignalNoiseData(**PATCHES)
    drawn = simdyn.draw(data, NET, seed=5)
    plan = simdyn.SGD(learning_rate=0.2, epochs=30, batch_size=2)
    named = explicit(drawn, signal=drawn.signals[0], noise_std=1.0, true_labels=drawn.true_labels)
    other, ds = simdyn.train(named, plan, seed=5), simdyn.simulate(data, NET, plan, seed=5)
    for name in ("train_loss", "signal_coef", "noise_coef"):
        np.testing.assert_allclose(other[name], ds[name][0], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("init", ["gaussian", "antisymmetric"])
def test_draw__shapes_and_laws(init: str) -> None:
    data = simdyn.SignalNoiseData(
        n_samples=30, dimension=200, signal_norm=3.0, noise_std=0.5, n_patches=4
    )
    net = simdyn.TwoLayerCNN(n_filters=20, init_std=0.1, init=init)
    drawn = simdyn.draw(data, net, seed=2)
    assert drawn.patches.shape == (30, 4, 200)
    assert drawn.weights.shape == (2, 20, 200)
    assert drawn.labels.shape == drawn.true_labels.shape == (30,)
    np.testing.assert_array_equal(drawn.signals, 3.0 * np.eye(1, 200))
    np.testing.assert_array_equal(drawn.patches[:, 0], drawn.true_labels[:, None] * drawn.signals)
    for copy in (2, 3):
        np.testing.assert_array_equal(drawn.patches[:, copy], drawn.patches[:, 1])
    assert stats.kstest(drawn.patches[:, 1].ravel() / 0.5, "norm").pvalue > 1e-3
    assert stats.kstest(drawn.weights[0].ravel() / 0.1, "norm").pvalue > 1e-3
    assert (drawn.weights[0] == drawn.weights[1]).all() == (init == "antisymmetric")


def test_draw__orthogonal_noise_and_independent_patches() -> None:
    orthogonal = simdyn.SignalNoiseData(**PATCHES | {"noise": "orthogonal"})
    assert (simdyn.draw(orthogonal, NET).patches[:, 1:, 0] == 0.0).all()
    apart = simdyn.draw(simdyn.IndependentNoiseData(**PATCHES), NET).patches
    assert (apart[:, 1] != apart[:, 2]).any()
    views = simdyn.draw(LAWS[5], NET, seed=3).patches
    shown = [np.count_nonzero(sample.any(axis=1)) for sample in views]
    assert set(shown) == {2, 3}


def test_draw__one_draw_for_each_seed_and_replicate() -> None:
    one = simdyn.draw(LAWS[0], NET, seed=1)
    again = simdyn.draw(LAWS[0], NET, seed=1)
    for mine, other in zip(one, again, strict=True):
        np.testing.assert_array_equal(mine, other)
    for changed in ({"seed": 2}, {"seed": 1, "replicate": 1}):
        other = simdyn.draw(LAWS[0], NET, **changed)
        assert (other.weights != one.weights).any()


def test_draw__norms_far_from_one() -> None:
    data = simdyn.SignalNoiseData(n_samples=3, dimension=20, signal_norm=1e140, noise_std=1e-140)
    drawn = simdyn.draw(data, NET)
    assert np.abs(drawn.signals).max() == pytest.approx(1e140, rel=1e-12)
    length = np.linalg.norm(drawn.patches[0, 1] / 1e-140)
    assert 1.0 < length < 10.0


def test_draw__refuses_what_is_large_and_what_is_drawn_elsewhere() -> None:
    message = refusal(simdyn.draw, LAWS[0].replace(dimension=10**9), NET)
    assert message.startswith("dimension = 1000000000: the arrays would hold ")
    allowed = int(message.split("a dimension of ")[1].split(" ")[0].replace(",", ""))
    assert 10**6 < allowed < 10**7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simdyn.engine.drawing.MOST_NUMBERS", 2**16)
        message = refusal(simdyn.draw, LAWS[0].replace(dimension=10**9), NET)
        allowed = int(message.split("a dimension of ")[1].split(" ")[0].replace(",", ""))
        assert simdyn.draw(LAWS[0].replace(dimension=allowed), NET).patches.shape[2] == allowed
        refusal(simdyn.draw, LAWS[0].replace(dimension=allowed + 1), NET)
    assert "a law that draws" in refusal(simdyn.draw, simdyn.ImageData(n_samples=4), NET)
    assert "net = 3" in refusal(simdyn.draw, LAWS[0], 3)
    assert "replicate = -1" in refusal(simdyn.draw, LAWS[0], NET, replicate=-1)
    assert "seed = -1" in refusal(simdyn.draw, LAWS[0], NET, seed=-1)
