"""SAM gap, deactivated fraction, active counts and sharpness against plain weight space."""

import naive
import numpy as np
import pytest

import simdyn

PROBES = ("sam_gap", "deactivated_fraction", "sharpness", "active_count")
RECORD = simdyn.Record(every=1, unit="step", weights=True, variables=(*PROBES, "margin"))
SIGNS = np.array([1.0, -1.0])


def drawn(seed: int, n: int = 12, n_patches: int = 3, d: int = 60, m: int = 5) -> tuple:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    x, y, _truth, signal, noises = naive.draw_data(rng, n, d, 2.0, 0.7, n_patches, 0.2)
    return x, y, signal, noises, naive.draw_weights(rng, m, d, 0.05)


def batches(n: int, size: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + size, n)) for start in range(0, n, size)]


def plain_probe(
    w: np.ndarray, x: np.ndarray, y: np.ndarray, noises: np.ndarray, radius: float, size: int
) -> tuple[float, float]:
    """SAM gap and deactivated fraction by their definitions."""
    gaps, matching, off = [], 0, 0
    for batch in batches(len(y), size):
        at = naive.perturbed_weights(w, x[batch], y[batch], radius)
        after = naive.losses(at, x[batch], y[batch]).mean()
        gaps.append(after - naive.losses(w, x[batch], y[batch]).mean())
        for k in batch:
            bank = 0 if y[k] > 0 else 1
            active = w[bank] @ noises[k] > 0
            matching += int(active.sum())
            off += int((active & (at[bank] @ noises[k] <= 0)).sum())
    return float(np.mean(gaps)), off / max(matching, 1)


def curved_rows(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The rows √(ℓ''_i/n) ∇f_i in weight space: the matrix times its transpose is the Hessian."""
    z = naive.overlaps(w, x)
    slopes = naive.loss_derivative(y * naive.readout(z))
    curvature = -slopes * (1.0 + slopes)
    jacobian = np.einsum("j,jmnp,npd->njmd", SIGNS, (z > 0.0) / w.shape[1], x).reshape(len(y), -1)
    return np.sqrt(curvature / len(y))[:, None] * jacobian


def plain_sharpness(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """λ_max of (1/n) Σ ℓ''_i ∇f_i ∇f_iᵀ: the square of the rows' largest singular value."""
    return float(np.linalg.norm(curved_rows(w, x, y), 2) ** 2)


@pytest.mark.parametrize("size", [12, 4, 5])
@pytest.mark.parametrize("radius", [0.02, 0.5])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_probes__agree_with_weight_space(size: int, radius: float, seed: int) -> None:
    x, y, signal, noises, w = drawn(seed)
    plan = simdyn.SAM(
        radius=radius, learning_rate=0.2, epochs=8, batch_size=size, last_batch="keep"
    )
    problem = simdyn.Problem.from_patches(x, y, w, signal=signal)
    ds = simdyn.train(problem, plan, seed=seed, record=RECORD)
    for state in range(ds.sizes["step"]):
        now = ds.weights.values[state]
        gap, off = plain_probe(now, x, y, noises, radius, size)
        assert ds.sam_gap.values[state] == pytest.approx(gap, rel=1e-8, abs=1e-13)
        assert ds.deactivated_fraction.values[state] == pytest.approx(off, abs=1e-12)
        sharp = plain_sharpness(now, x, y)
        assert ds.sharpness.values[state] == pytest.approx(sharp, rel=1e-10)
        active = (np.einsum("jmd,nd->jmn", now, noises) > 0).sum(axis=1)
        np.testing.assert_array_equal(ds.active_count.values[state], active)
    assert ds.deactivated_fraction.max() > 0, "the case must show a deactivation"


def test_sharpness__is_the_curvature_of_the_loss() -> None:
    """Along the top direction, by finite differences of the loss away from kinks."""
    x, y, signal, _, w = drawn(5, n=4, d=30, m=2)
    rows = curved_rows(w, x, y)
    values, directions = np.linalg.eigh(rows.T @ rows)
    assert values[-1] == pytest.approx(plain_sharpness(w, x, y), rel=1e-12)
    top = directions[:, -1].reshape(w.shape)
    h = 1e-4
    kinks = np.sign(naive.overlaps(w + h * top, x)) != np.sign(naive.overlaps(w - h * top, x))
    assert not kinks.any(), "the case must stay away from kinks"
    loss = [naive.losses(w + t * top, x, y).mean() for t in (-h, 0.0, h)]
    bent = (loss[0] - 2 * loss[1] + loss[2]) / h**2
    ds = simdyn.train(
        simdyn.Problem.from_patches(x, y, w, signal=signal),
        simdyn.SGD(learning_rate=0.1, epochs=0),
        record=RECORD,
    )
    assert float(ds.sharpness[0]) == pytest.approx(bent, rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 90])
def test_sharpness__any_number_of_samples(n: int) -> None:
    """One sample; and more than there are Lanczos steps, dense and factored."""
    for d in (20, 400):
        x, y, signal, _, w = drawn(7, n=n, d=d)
        ds = simdyn.train(
            simdyn.Problem.from_patches(x, y, w, signal=signal),
            simdyn.SGD(learning_rate=0.3, epochs=3),
            record=RECORD,
        )
        for state in (0, 3):
            sharp = plain_sharpness(ds.weights.values[state], x, y)
            assert float(ds.sharpness[state]) == pytest.approx(sharp, rel=1e-8)


def test_sharpness__repeated_eigenvalues_and_none() -> None:
    """Orthogonal samples of equal length give one n-fold eigenvalue; inactive filters give 0."""
    x, y = np.eye(6)[:, None, :] * 3.0, np.array([1.0, 1, 1, -1, -1, -1])
    w = np.full((2, 3, 6), 0.1)
    phase, record = simdyn.SGD(learning_rate=0.1, epochs=0), simdyn.Record(variables=("sharpness",))
    for start, expected in ((w, plain_sharpness(w, x, y)), (-w, 0.0)):
        ds = simdyn.train(simdyn.Problem.from_patches(x, y, start), phase, record=record)
        assert float(ds.sharpness[0]) == pytest.approx(expected, rel=1e-12, abs=0.0)


def test_probe_radius__probes_sgd_and_leaves_the_path_alone() -> None:
    x, y, signal, noises, w = drawn(9)
    problem = simdyn.Problem.from_patches(x, y, w, signal=signal)
    plan = [
        simdyn.SGD(learning_rate=0.2, epochs=4),
        simdyn.SAM(radius=0.3, learning_rate=0.2, epochs=4, batch_size=6),
    ]
    own = simdyn.train(problem, plan, record=RECORD)
    probed = simdyn.train(problem, plan, record=RECORD.replace(probe_radius=0.1))
    np.testing.assert_array_equal(own.weights, probed.weights)
    assert (own.sam_gap[:5] == 0).all()
    assert (own.deactivated_fraction[:5] == 0).all()
    assert (own.sam_gap[5:] > 0).all()
    assert (probed.sam_gap > 0).all()
    for state in (0, 4, 5, 10):
        size = 12 if state < 5 else 6
        gap, off = plain_probe(probed.weights.values[state], x, y, noises, 0.1, size)
        assert float(probed.sam_gap[state]) == pytest.approx(gap, rel=1e-8)
        assert float(probed.deactivated_fraction[state]) == pytest.approx(off)


def test_probes__drawn_data_and_studies_record_them() -> None:
    data = simdyn.SignalNoiseData(n_samples=6, dimension=300, signal_norm=2.0)
    net = simdyn.TwoLayerCNN(n_filters=3, init_std=0.01)
    sam = simdyn.SAM(radius=0.05, learning_rate=0.1, epochs=2)
    every = simdyn.Record(variables=PROBES)
    one = simdyn.simulate(data, net, sam, seed=4, replicates=2, record=every)
    assert one.active_count.dims == ("replicate", "step", "sign", "sample")
    study = simdyn.Study(
        data, net, {"sam": [sam]}, {"signal_norm": [1.0, 2.0]}, seed=4, replicates=2, record=every
    )
    ds = study.run()
    assert ds.active_count.dims == ("signal_norm", "method", "replicate", "step", "sign", "sample")
    for name in PROBES:
        at = ds[name].sel({"signal_norm": 2.0, "method": "sam"}).isel(step=-1)
        np.testing.assert_array_equal(at, one[name].isel(step=-1))
    assert "sharpness" not in simdyn.simulate(data, net, sam), "it is recorded when asked for"
    quiet = simdyn.Problem.from_patches(np.ones((2, 1, 3)), [1, -1], np.ones((2, 1, 3)))
    assert "deactivated_fraction" not in simdyn.train(quiet, sam)
