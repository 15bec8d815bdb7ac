"""Data and weights drawn in Gram space against drawn d-vectors."""

import itertools
from typing import NamedTuple

import naive
import numba
import numpy as np
import pytest
from scipy import stats

import simdyn
from simdyn.engine.arguments import kernel_setting
from simdyn.kernels.random import Stream
from simdyn.kernels.sampling import draw_problem

compiled = numba.njit(error_model="numpy", fastmath={"contract"})

FOUR_SIGMA = 2.0 * stats.norm.sf(4.0)
DRAWS = 4_000


@compiled
def _draw(setting, seed, replicate):
    problem = draw_problem(setting, Stream(np.uint64(seed), np.uint64(replicate)))
    table = problem.dictionary
    return (
        table.gram,
        table.rows,
        problem.overlaps,
        problem.weights,
        problem.labels,
        problem.true_labels,
    )


class Drawn(NamedTuple):
    gram: np.ndarray
    rows: np.ndarray
    overlaps: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray

    @property
    def inner(self) -> np.ndarray:
        """Inner products of everything random: signal, noises, filters."""
        everything = np.concatenate([self.rows, self.weights])
        return everything @ everything.T


class Law(NamedTuple):
    """The paper's law of data and weights."""

    n_samples: int = 3
    dimension: int = 40
    signal_norm: float = 1.7
    noise_std: float = 0.8
    n_patches: int = 2
    label_flip: float = 0.0
    orthogonal: bool = False
    n_filters: int = 1
    init_std: float = 0.3


def setting(**changes: object) -> Law:
    return Law()._replace(**changes)


def draw(law: Law, seed: int = 0, replicate: int = 0) -> Drawn:
    fields = law._asdict()
    net = simdyn.TwoLayerCNN(n_filters=fields.pop("n_filters"), init_std=fields.pop("init_std"))
    noise = "orthogonal" if fields.pop("orthogonal") else "isotropic"
    data = simdyn.SignalNoiseData(**fields, noise=noise)
    return Drawn(*_draw(kernel_setting(data, net), seed, replicate))


def drawn_inner(law: Law, draws: int) -> np.ndarray:
    return np.array([draw(law, 1, k).inner for k in range(draws)])


def plain_inner(law: Law, draws: int) -> np.ndarray:
    """The same inner products from d-vectors."""
    rng = np.random.default_rng(law.dimension)
    noise = "orthogonal" if law.orthogonal else "isotropic"
    out = []
    for _ in range(draws):
        data = naive.draw_data(
            rng,
            law.n_samples,
            law.dimension,
            law.signal_norm,
            law.noise_std,
            law.n_patches,
            law.label_flip,
            noise,
        )
        weights = naive.draw_weights(rng, law.n_filters, law.dimension, law.init_std)
        everything = np.concatenate([data[3][None], data[4], weights.reshape(-1, law.dimension)])
        out.append(everything @ everything.T)
    return np.array(out)


def largest_z(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference of column means in standard errors; constant columns must agree."""
    variance = one.var(axis=0, ddof=1) / len(one) + other.var(axis=0, ddof=1) / len(other)
    gap = np.abs(one.mean(axis=0) - other.mean(axis=0))
    constant = variance < 1e-24 * (1.0 + one.mean(axis=0) ** 2)
    assert (gap[constant] < 1e-12).all()
    return float((gap[~constant] / np.sqrt(variance[~constant])).max())


def bound(comparisons: int) -> float:
    """What the largest of so many standard normals exceeds as rarely as one exceeds 4."""
    return float(stats.norm.isf(stats.norm.sf(4.0) / comparisons))


# n + 2m = 5: far below, one below, at, one above and far above.
@pytest.mark.parametrize("orthogonal", [False, True], ids=["isotropic", "orthogonal"])
@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 5, 6, 7, 300])
def test_draw_problem__moments_are_those_of_drawn_vectors(dimension: int, orthogonal: bool) -> None:
    """Means, covariances and triple products of all inner products."""
    law = setting(dimension=dimension, orthogonal=orthogonal)
    ours, plain = drawn_inner(law, DRAWS), plain_inner(law, DRAWS)
    upper = np.triu_indices(ours.shape[1])
    flat, flat_plain = ours[:, *upper], plain[:, *upper]
    assert largest_z(flat, flat_plain) < bound(flat.shape[1])
    pairs = np.triu_indices(flat.shape[1])
    products = [x[:, pairs[0]] * x[:, pairs[1]] for x in (flat, flat_plain)]
    assert largest_z(*products) < bound(pairs[0].size)
    triples = [np.trace(x @ x @ x, axis1=1, axis2=2)[:, None] for x in (ours, plain)]
    assert largest_z(*triples) < 4.0


@pytest.mark.parametrize("orthogonal", [False, True], ids=["isotropic", "orthogonal"])
@pytest.mark.parametrize("dimension", [1, 2, 5, 300])
def test_draw_problem__mean_and_variance_of_each_entry(dimension: int, orthogonal: bool) -> None:
    """⟨ξ_i, ξ_k⟩, ⟨ξ_i, w⟩ and ⟨w, w'⟩ have mean δ d and variance (1 + δ) d, in units of σσ'."""
    law = setting(dimension=dimension, orthogonal=orthogonal)
    inner = drawn_inner(law, DRAWS)
    scale = np.array([law.noise_std] * 3 + [law.init_std] * 2)
    unit = inner[:, 1:, 1:] / np.outer(scale, scale)
    degrees = np.full((5, 5), dimension - float(orthogonal))
    degrees[3:, 3:] = dimension
    same = np.eye(5)
    variance = (1.0 + same) * degrees
    # Of the squared deviation: E x⁴ − (E x²)², x a centred product sum or χ².
    fourth = np.where(same > 0, 12.0 * degrees * (degrees + 4.0), 3.0 * degrees**2 + 6.0 * degrees)
    centred = unit - same * degrees
    gap = np.abs(centred.mean(axis=0))
    spread = np.abs((centred**2).mean(axis=0) - variance)
    assert (gap <= bound(15) * np.sqrt(variance / DRAWS)).all()
    assert (spread <= bound(15) * np.sqrt((fourth - variance**2) / DRAWS)).all()


@pytest.mark.parametrize("dimension", [1, 3, 5, 6, 7, 20])
def test_draw_problem__arrays_are_those_of_its_rows(dimension: int) -> None:
    drawn = draw(setting(dimension=dimension))
    close = {"rtol": 1e-13, "atol": 1e-13}
    np.testing.assert_allclose(drawn.overlaps, drawn.rows @ drawn.weights.T, **close)
    if drawn.gram.size:
        np.testing.assert_allclose(drawn.gram, drawn.rows @ drawn.rows.T, **close)
    assert drawn.rows.shape[1] == 1 + min(5, dimension - 1)
    assert (drawn.gram.size == 0) == (2 * drawn.rows.shape[1] < len(drawn.rows))


def test_draw_problem__orthogonal_noise_has_no_signal() -> None:
    drawn = draw(setting(orthogonal=True))
    assert (drawn.rows[1:] @ drawn.rows[0] == 0.0).all()


def test_draw_labels__flips_and_signs_are_as_often_as_told() -> None:
    law = setting(n_samples=2_000, dimension=1, label_flip=0.3)
    drawn = [draw(law, 5, k) for k in range(20)]
    up = np.concatenate([each.true_labels > 0 for each in drawn])
    flips = np.concatenate([each.labels != each.true_labels for each in drawn])
    assert abs(up.mean() - 0.5) < 4.0 * np.sqrt(0.25 / up.size)
    assert abs(flips.mean() - 0.3) < 4.0 * np.sqrt(0.21 / flips.size)
    together = np.mean((up - 0.5) * (flips - 0.3))
    assert abs(together) < 4.0 * np.sqrt(0.25 * 0.21 / up.size)


def test_draw_labels__more_flips_keep_the_earlier_ones() -> None:
    flips = []
    for rate in (0.0, 0.1, 0.3, 0.49):
        drawn = draw(setting(n_samples=200, dimension=1, label_flip=rate))
        flips.append(drawn.labels != drawn.true_labels)
    assert not flips[0].any()
    for fewer, more in itertools.pairwise(flips):
        assert (more | ~fewer).all()
        assert more.sum() > fewer.sum()


@pytest.mark.parametrize("dimension", [4, 9, 1000])
def test_draw_problem__more_samples_leave_the_first_unchanged(dimension: int) -> None:
    few = draw(setting(n_samples=4, n_filters=2, dimension=dimension))
    many = draw(setting(n_samples=7, n_filters=2, dimension=dimension))
    shared = min(5, few.rows.shape[1])
    np.testing.assert_array_equal(many.rows[:5, :shared], few.rows[:, :shared])
    assert not many.rows[:5, shared:].any()
    np.testing.assert_array_equal(many.weights[:, :shared], few.weights[:, :shared])
    np.testing.assert_allclose(many.overlaps[:5], few.overlaps, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(many.labels[:4], few.labels)


@pytest.mark.parametrize("dimension", [4, 9, 1000])
def test_draw_problem__more_filters_leave_the_first_unchanged(dimension: int) -> None:
    narrow = draw(setting(n_filters=2, dimension=dimension))
    wide = draw(setting(n_filters=5, dimension=dimension))
    first = [0, 1, 5, 6]
    width = narrow.rows.shape[1]
    np.testing.assert_array_equal(wide.rows[:, :width], narrow.rows)
    np.testing.assert_array_equal(wide.weights[first, :width], narrow.weights)
    assert not wide.weights[first, width:].any()
    np.testing.assert_allclose(wide.overlaps[:, first], narrow.overlaps, rtol=1e-13, atol=1e-14)


def test_draw_problem__unit_draws_do_not_depend_on_strengths() -> None:
    unit = draw(setting(noise_std=1.0, init_std=1.0))
    for changes in ({"signal_norm": 9.0}, {"n_patches": 5}, {"label_flip": 0.4}):
        other = draw(setting(noise_std=1.0, init_std=1.0, **changes))
        np.testing.assert_array_equal(other.rows[1:], unit.rows[1:])
        np.testing.assert_array_equal(other.weights, unit.weights)
        np.testing.assert_array_equal(other.true_labels, unit.true_labels)
    scaled = draw(setting(noise_std=0.37, init_std=1e-5))
    np.testing.assert_array_equal(scaled.rows[1:], 0.37 * unit.rows[1:])
    np.testing.assert_array_equal(scaled.weights, 1e-5 * unit.weights)


def test_draw_problem__replicates_and_seeds_differ() -> None:
    seen = {
        draw(setting(), seed, replicate).overlaps.tobytes()
        for seed in (0, 1, 2**63 - 1)
        for replicate in (0, 1, 2)
    }
    assert len(seen) == 9


@pytest.mark.parametrize("dimension", [10**6, 10**12, 2**53])
def test_draw_problem__huge_dimension(dimension: int) -> None:
    """(‖ξ‖²/d − 1)/√(2/d) is standard normal up to a skewness √(8/d), as is ⟨ξ, w⟩/√d."""
    law = setting(n_samples=10, noise_std=1.0, init_std=1.0, dimension=dimension)
    drawn = [draw(law, 7, k) for k in range(300)]
    squares = np.concatenate([np.diag(each.gram)[1:] for each in drawn])
    assert stats.kstest((squares / dimension - 1.0) / np.sqrt(2.0 / dimension), "norm").pvalue > (
        FOUR_SIGMA
    )
    crossed = np.concatenate([each.overlaps[1:].ravel() for each in drawn]) / np.sqrt(dimension)
    # Each ξ meets both filters, which leaves the products uncorrelated.
    assert stats.kstest(crossed[::2], "norm").pvalue > FOUR_SIGMA


@pytest.mark.parametrize("dimension", [1, 2, 12, 60])
@pytest.mark.parametrize("noise", ["isotropic", "orthogonal"])
def test_simulate__test_errors_are_those_of_drawn_vectors(dimension: int, noise: str) -> None:
    """Mean trained test error over replicates, drawn data against d-vectors (n + 2m = 12)."""
    replicates, epochs = 400, 15
    data = simdyn.SignalNoiseData(
        n_samples=8,
        dimension=dimension,
        signal_norm=1.0,
        noise_std=0.7,
        n_patches=3,
        label_flip=0.2,
        noise=noise,
    )
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.3)
    plan = simdyn.SAM(radius=0.1, learning_rate=0.3, epochs=epochs)
    names = ("clean_test_error", "train_loss")
    ds = simdyn.simulate(
        data,
        net,
        plan,
        seed=3,
        replicates=replicates,
        record=simdyn.Record(every=epochs, variables=names),
    )
    ours = np.stack([ds[name].isel(step=-1).values for name in names], axis=1)
    rng, plain = np.random.default_rng(8), []
    phase = naive.Phase(radius=0.1, learning_rate=0.3, epochs=epochs, batch_size=None)
    for _ in range(replicates):
        x, y, _, signal, _ = naive.draw_data(rng, 8, dimension, 1.0, 0.7, 3, 0.2, noise)
        weights = naive.train(naive.draw_weights(rng, 2, dimension, 0.3), x, y, [phase])[0][-1]
        error = naive.counted_test_error(rng, weights, signal, 0.7, 3, 500, noise)
        plain.append((error, naive.losses(weights, x, y).mean()))
    assert largest_z(ours, np.array(plain)) < bound(2)
