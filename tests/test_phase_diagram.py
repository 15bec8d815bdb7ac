"""The published experiment's contours come out, at the setting the study file declares."""

from pathlib import Path

import numpy as np
import pytest

import simdyn
from simdyn.theory.analysis import contour

STUDY = Path(__file__).resolve().parents[1] / "studies" / "phase_diagram.toml"

# Where the mean test error crosses 10 %, recalled figures of the design (isotropic noise).
EXPECTED = {("sgd", 1000): 2.9, ("sgd", 21000): 5.9, ("sam", 1000): 2.1, ("sam", 21000): 1.7}
TOLERANCE = 0.1


def study_with(dimension: list[int], signal_norm: np.ndarray, replicates: int) -> simdyn.Study:
    """The phase diagram on other axes."""
    declared = simdyn.load_study(STUDY)
    plans = dict(zip(declared.space.methods, declared.space.point((0, 0)).plans, strict=True))
    return simdyn.Study(
        declared.space.data.fields,
        declared.space.net.fields,
        plans,
        {"dimension": dimension, "signal_norm": signal_norm},
        replicates=replicates,
    )


def test_study__declares_the_published_setting() -> None:
    study = simdyn.load_study(STUDY)
    point = study.space.point((0, 20))
    assert point.data == simdyn.SignalNoiseData(
        n_samples=20, dimension=1000, signal_norm=10.0, noise_std=1.0, n_patches=2
    )
    assert point.net == simdyn.TwoLayerCNN(n_filters=10, init_std=1e-3)
    assert point.plans == (
        (simdyn.SGD(learning_rate=0.1, epochs=100),),
        (simdyn.SAM(radius=0.03, learning_rate=0.1, epochs=100),),
    )
    assert study.runs == 8820
    assert study.space.axes["dimension"].tolist() == list(range(1000, 22000, 1000))
    assert study.space.axes["signal_norm"].tolist() == [0.5 * k for k in range(21)]


@pytest.mark.parametrize(("method", "dimension"), EXPECTED)
def test_contour__published_values(method: str, dimension: int) -> None:
    height = EXPECTED[method, dimension]
    near = np.arange(height - 0.5, height + 0.51, 0.25).round(2)
    results = study_with([dimension], near, replicates=100).run()
    measured = float(contour(results, "test_error", 0.1, "signal_norm").sel({"method": method})[0])
    spread = results.test_error.sel({"method": method}).std("replicate").max()
    # The height's own sampling error: the error's over the slope of the mean.
    mean = results.test_error.mean("replicate").isel(step=0, dimension=0).sel({"method": method})
    slope = abs(np.polyfit(near, mean, 1)[0])
    assert float(spread) / 10 / slope < TOLERANCE, "100 replicates do not decide this"
    assert measured == pytest.approx(height, abs=TOLERANCE)


def test_train_loss__small_for_sgd_everywhere() -> None:
    results = study_with([1000, 21000], np.array([0.0, 2.0, 5.0, 10.0]), replicates=10).run()
    assert float(results.train_loss.mean("replicate").sel({"method": "sgd"}).max()) < 0.05
