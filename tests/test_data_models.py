"""Other laws of data: sampled, trained and tested as drawn d-vectors are."""

from collections.abc import Callable
from typing import NamedTuple

import naive
import numba
import numpy as np
import pytest
from scipy import stats

import simdyn
from simdyn import plot
from simdyn.base.inputs import InputError
from simdyn.engine.arguments import kernel_setting
from simdyn.kernels.random import Stream
from simdyn.kernels.sampling import draw_problem
from simdyn.params import (
    ClusterData,
    DrawnData,
    IndependentNoiseData,
    MultiViewData,
    PhaseDiagram,
    SignalNoiseData,
    XORData,
)
from simdyn.theory import analysis

compiled = numba.njit(error_model="numpy", fastmath={"contract"})


@compiled
def _draw(setting, seed, replicate):
    problem = draw_problem(setting, Stream(np.uint64(seed), np.uint64(replicate)))
    table = problem.table
    return (
        problem.dictionary.gram,
        problem.dictionary.rows,
        problem.overlaps,
        problem.weights,
        problem.labels,
        problem.true_labels,
        table.start,
        table.patch,
        table.multiplicity,
        table.row,
        table.sign,
    )


class Drawn(NamedTuple):
    """A drawn problem in picture coordinates."""

    gram: np.ndarray
    rows: np.ndarray
    overlaps: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    start: np.ndarray
    patch: np.ndarray
    multiplicity: np.ndarray
    row: np.ndarray
    sign: np.ndarray

    def patches(self, n_patches: int) -> np.ndarray:
        """The samples' patches (n, P, D) in the table's order, empty ones last."""
        out = np.zeros((self.labels.size, n_patches, self.rows.shape[1]))
        for i in range(self.labels.size):
            at = 0
            for e in range(self.start[i], self.start[i + 1]):
                for _ in range(int(self.multiplicity[e])):
                    p = self.patch[e]
                    out[i, at] = self.sign[p] * self.rows[self.row[p]]
                    at += 1
        return out


def net_of(m: int, init_std: float, **fields: object) -> simdyn.TwoLayerCNN:
    return simdyn.TwoLayerCNN(n_filters=m, init_std=init_std, **fields)


def draw(data: DrawnData, net: simdyn.TwoLayerCNN, seed: int = 0, replicate: int = 0) -> Drawn:
    return Drawn(*_draw(kernel_setting(data, net), seed, replicate))


class Case(NamedTuple):
    """A law, its number of patches, and the same law by plain code."""

    data: DrawnData
    n_patches: int
    plain: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def independent(d: int, noise: str = "isotropic", n: int = 5, **more: float) -> Case:
    data = IndependentNoiseData(
        n_samples=n, dimension=d, signal_norm=1.7, noise_std=0.8, n_patches=4, noise=noise, **more
    )
    return Case(data, 4, lambda rng, k: naive.draw_independent_noise(rng, k, d, 1.7, 0.8, 4, noise))


def xor(d: int, noise: str = "isotropic", n: int = 5, **more: float) -> Case:
    data = XORData(
        n_samples=n,
        dimension=d,
        signal_norm=1.7,
        angle=70.0,
        noise_std=0.8,
        n_patches=3,
        noise=noise,
        **more,
    )
    return Case(data, 3, lambda rng, k: naive.draw_xor(rng, k, d, 1.7, 70.0, 0.8, 3, noise))


def multi_view(d: int, noise: str = "isotropic", n: int = 5, **more: float) -> Case:
    data = MultiViewData(
        n_samples=n,
        dimension=d,
        signal_norm=1.7,
        weak_norm=0.9,
        strong_only=0.3,
        weak_only=0.2,
        noise_std=0.8,
        n_patches=4,
        noise=noise,
        **more,
    )
    return Case(
        data, 4, lambda rng, k: naive.draw_multi_view(rng, k, d, 1.7, 0.9, 0.3, 0.2, 0.8, 4, noise)
    )


def cluster(d: int, noise: str = "isotropic", n: int = 5, **more: float) -> Case:
    data = ClusterData(
        n_samples=n,
        dimension=d,
        signal_norm=2.0,
        signal_share=0.4,
        noise_std=0.8,
        noise=noise,
        **more,
    )
    return Case(data, 1, lambda rng, k: naive.draw_cluster(rng, k, d, 2.0, 0.4, 0.8, noise))


CASES = [independent, xor, multi_view, cluster]


# -- sampling ------------------------------------------------------------------------------------


def features(patches: np.ndarray, truth: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Inner products of everything, turned by labels where one sample is in them, and squares."""
    n, p, d = patches.shape
    signed = (patches * truth[:, None, None]).reshape(n * p, d)
    everything = np.concatenate([signed, filters])
    inner = (everything @ everything.T)[np.triu_indices(len(everything))]
    return np.concatenate([inner, inner**2, truth])


@pytest.mark.parametrize("noise", ["isotropic", "orthogonal"])
@pytest.mark.parametrize("dimension", [2, 6, 40])
@pytest.mark.parametrize("law", CASES)
def test_draw__moments_are_those_of_drawn_vectors(
    law: Callable[..., Case], dimension: int, noise: str
) -> None:
    case = law(dimension, noise, n=3)
    net, draws = net_of(1, 0.3), 1500
    rng = np.random.default_rng(dimension)
    ours, plain = [], []
    for k in range(draws):
        drawn = draw(case.data, net, 1, k)
        # Empty patches stand last in a table: put them where the plain code has them.
        patches = drawn.patches(case.n_patches)
        if law is multi_view:
            patches = _by_view(patches)
        ours.append(features(patches, drawn.truth, drawn.weights))
        patches, truth = case.plain(rng, 3)
        if law is multi_view:
            patches = _by_view(patches)
        weights = naive.draw_weights(rng, 1, dimension, 0.3).reshape(2, dimension)
        plain.append(features(patches, truth, weights))
    one, other = np.array(ours), np.array(plain)
    variance = one.var(axis=0, ddof=1) / draws + other.var(axis=0, ddof=1) / draws
    gap = np.abs(one.mean(axis=0) - other.mean(axis=0))
    constant = variance < 1e-24 * (1.0 + one.mean(axis=0) ** 2)
    assert (gap[constant] < 1e-12).all()
    z = (gap[~constant] / np.sqrt(variance[~constant])).max()
    assert z < stats.norm.isf(stats.norm.sf(4.0) / gap.size)


def _by_view(patches: np.ndarray) -> np.ndarray:
    """Multi-view samples with strong, weak and noise in their places (a noise is never last)."""
    out = np.zeros_like(patches)
    for i, sample in enumerate(patches):
        shown = [patch for patch in sample if patch.any()]
        out[i, 2:] = shown[-2:]  # the noise, twice
        for patch in shown[:-2]:
            out[i, 0 if patch[0] != 0.0 else 1] = patch
    return out


def test_draw__how_often_each_view_is_shown() -> None:
    n = 20_000
    data = multi_view(2, n=n).data
    counts = np.diff(draw(data, net_of(1, 0.1)).start)
    assert set(counts) == {2, 3}
    alone = np.mean(counts == 2)
    assert abs(alone - 0.5) < 4.0 * np.sqrt(0.25 / n)


@pytest.mark.parametrize("law", CASES)
def test_draw__more_samples_leave_the_first_unchanged(law: Callable[..., Case]) -> None:
    few, many = (draw(law(10**9, n=n).data, net_of(2, 0.1), 3) for n in (4, 7))
    assert np.array_equal(few.truth, many.truth[:4])
    assert np.array_equal(few.gram, many.gram[: len(few.gram), : len(few.gram)])


def test_draw__one_independent_noise_is_the_papers_data() -> None:
    fields = {"n_samples": 6, "dimension": 30, "signal_norm": 2.0, "label_flip": 0.2}
    one, other = (
        draw(law(**fields), net_of(3, 0.1), 5) for law in (IndependentNoiseData, SignalNoiseData)
    )
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a, b)


# -- training ------------------------------------------------------------------------------------


def plan_of() -> list[simdyn.SGD]:
    return [
        simdyn.SAM(radius=0.05, learning_rate=0.05, epochs=50),
        simdyn.SGD(learning_rate=0.05, epochs=50),
    ]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("dimension", [4, 60, 3000])
@pytest.mark.parametrize("law", CASES)
def test_simulate__trains_as_weight_space_does(
    law: Callable[..., Case], dimension: int, activation: str
) -> None:
    case = law(dimension, n=8, label_flip=0.2)
    net = net_of(3, 0.05, activation=activation)
    record = simdyn.Record(every=1, variables=("margin", "train_loss", "coef"))
    ds = simdyn.simulate(case.data, net, plan_of(), seed=5, replicates=2, record=record)
    drawn = draw(case.data, net, 5, 1)
    x, w = drawn.patches(case.n_patches), drawn.weights.reshape(2, 3, -1)
    model = naive.Model(activation, net.shape)
    phases = [
        {
            "radius": p.perturbation,
            "learning_rate": p.learning_rate,
            "epochs": p.epochs,
            "batch_size": None,
        }
        for p in plan_of()
    ]
    path = [w, *naive.train(w, x, drawn.labels, phases, model=model)[0]]
    margins = np.array([drawn.labels * naive.outputs(each, x, model) for each in path])
    ours = ds.isel(replicate=1)
    assert np.abs(ours.margin.values - margins).max() < 1e-10 * max(1.0, np.abs(margins).max())
    rebuilt = w + ours.coef.values[-1] @ drawn.rows
    assert np.abs(rebuilt - path[-1]).max() < 1e-10 * np.abs(path[-1]).max()


# -- test errors ---------------------------------------------------------------------------------


def trained(case: Case, estimator: str, draws: int, **more: object) -> tuple[object, np.ndarray]:
    """The last state of a run, and its weights in d-space: d is small, the picture is all of it."""
    net = net_of(2, 0.1, **more)
    record = simdyn.Record(
        every=60,
        test_estimator=estimator,
        test_draws=draws,
        variables=("coef", "clean_test_error", "test_error_se", "test_error", "test_error_ess"),
    )
    plan = simdyn.SAM(radius=0.05, learning_rate=0.2, epochs=60)
    ds = simdyn.simulate(case.data, net, plan, seed=4, record=record).isel(replicate=0, step=-1)
    drawn = draw(case.data, net, 4)
    return ds, drawn.weights.reshape(2, 2, -1) + ds.coef.values @ drawn.rows


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("noise", ["isotropic", "orthogonal"])
@pytest.mark.parametrize("estimator", ["line", "counted", "radial"])
@pytest.mark.parametrize("law", CASES)
def test_simulate__test_error_of_the_final_weights(
    law: Callable[..., Case], estimator: str, noise: str, activation: str
) -> None:
    case, points = law(9, noise, n=6), 100_000
    if law is cluster and estimator == "radial":
        with pytest.raises(InputError, match="allowed if signal and noise are in patches"):
            trained(case, estimator, 1000)
        return
    ds, weights = trained(case, estimator, 20_000, activation=activation)
    assert weights.shape[2] == 9
    patches, truth = case.plain(np.random.default_rng(1), points)
    model = naive.Model(activation, 0.1 if activation == "leaky_relu" else 0.0)
    margins = truth * naive.outputs(weights, patches, model)
    count = np.mean(margins < 0.0) + 0.5 * np.mean(margins == 0.0)
    assert 0.005 < count < 0.6
    error = np.hypot(np.sqrt(count * (1.0 - count) / points), float(ds.test_error_se))
    assert abs(float(ds.clean_test_error) - count) < 4.0 * error


def test_simulate__views_of_test_samples_may_differ() -> None:
    case = multi_view(9, n=6, test_strong_only=0.0, test_weak_only=1.0)
    ds, weights = trained(case, "line", 20_000)
    points = 200_000
    patches, truth = naive.draw_multi_view(
        np.random.default_rng(2), points, 9, 1.7, 0.9, 0.0, 1.0, 0.8, 4, "isotropic"
    )
    count = np.mean(truth * naive.outputs(weights, patches) < 0.0)
    error = np.hypot(np.sqrt(count * (1.0 - count) / points), float(ds.test_error_se))
    assert abs(float(ds.clean_test_error) - count) < 4.0 * error


def test_cluster__small_errors_by_lines_are_exact() -> None:
    """Far below what counting sees, against importance sampling by plain code."""
    net = net_of(1, 0.0)
    data = ClusterData(n_samples=40, dimension=3, signal_norm=30.0, signal_share=0.5)
    record = simdyn.Record(every=5, variables=("coef", "clean_test_error", "test_error_se"))
    plan = simdyn.SGD(learning_rate=0.1, epochs=5)
    ds = simdyn.simulate(data, net.replace(init_std=1e-6), plan, record=record)
    last = ds.isel(replicate=0, step=-1)
    drawn = draw(data, net.replace(init_std=1e-6))
    w = drawn.weights + last.coef.values.reshape(2, -1) @ drawn.rows
    # f(x) = σ(w₊x) − σ(w₋x); count its failures under importance sampling at the mean shifted
    # to the nearest failure by plain code.
    rng = np.random.default_rng(3)
    points, total, variance = 400_000, 0.0, 0.0
    for label in (1.0, -1.0):
        mean = np.zeros(3)
        mean[0] = label * np.sqrt(0.5) * 30.0
        toward = -mean  # the failures lie about the origin: f = 0 there
        noise = rng.standard_normal((points, 3)) * np.sqrt(0.5)
        x = mean + toward + noise
        weight = np.exp(-(noise @ toward) / 0.5 - (toward @ toward) / (2 * 0.5))
        f = np.maximum(x @ w[0], 0.0) - np.maximum(x @ w[1], 0.0)
        values = weight * ((label * f < 0.0) + 0.5 * (f == 0.0))
        total += 0.5 * values.mean()
        variance += 0.25 * (values / values.max()).var() / points  # squares would underflow
    spread = values.max() * np.sqrt(variance)
    assert 0.0 < total < 1e-100
    assert spread < 0.01 * total
    assert abs(float(last.clean_test_error) - total) < 4.0 * spread + float(last.test_error_se)


# -- studies and bad input -----------------------------------------------------------------------


def test_study__of_another_model(tmp_path) -> None:
    study = simdyn.Study(
        {"model": "xor", "n_samples": 8, "dimension": 100, "noise": "orthogonal"},
        {"n_filters": 3, "init_std": 0.01},
        {"sgd": [simdyn.SGD(learning_rate=0.05, epochs=3)]},
        space={"signal_norm": [1.0, 2.0], "angle": [60.0, 90.0]},
        replicates=2,
        record=simdyn.Record(variables=("test_error", "coef")),
    )
    ds = study.run(tmp_path / "xor.zarr")
    assert ds.coef.dims[-1] == "vector"
    assert ds.sizes["vector"] == 10
    data = XORData(n_samples=8, dimension=100, signal_norm=2.0, angle=60.0, noise="orthogonal")
    plan = simdyn.SGD(learning_rate=0.05, epochs=3)
    alone = simdyn.simulate(data, net_of(3, 0.01), plan, replicates=2).isel(step=-1)
    here = ds.sel(signal_norm=2.0, angle=60.0).isel(method=0, step=-1)
    assert np.array_equal(here.test_error.values, alone.test_error.values)
    assert np.array_equal(here.coef.values, alone.coef.values)


@pytest.mark.parametrize(
    ("law", "fields", "said"),
    [
        (XORData, {"dimension": 1}, "XORData.dimension = 1: allowed is an integer from 2 to 2**53"),
        (XORData, {"angle": 180}, "XORData.angle = 180: allowed is a number between 0 and 180"),
        (MultiViewData, {"weak_norm": 1.0, "n_patches": 2}, "n_patches = 2: allowed is an integer"),
        (
            MultiViewData,
            {"weak_norm": 1.0, "strong_only": 0.6, "weak_only": 0.5},
            "weak_only = 0.5: allowed is up to 1 together with strong_only = 0.6",
        ),
        (
            MultiViewData,
            {"weak_norm": 1.0, "strong_only": 0.6, "test_weak_only": 0.5},
            "test_weak_only = 0.5: allowed is up to 1 together with test_strong_only = 0.6",
        ),
        (ClusterData, {"signal_share": 1.5}, "signal_share = 1.5: allowed is a number from 0 to 1"),
        (ClusterData, {"n_patches": 2}, "ClusterData.n_patches: no such field"),
    ],
)
def test_laws__bad_input(law: type[DrawnData], fields: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        law(**{"n_samples": 4, "dimension": 10, "signal_norm": 1.0, **fields})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"model": "xr"}, "data.model = 'xr': did you mean 'xor'"),
        ({"model": 3}, "data.model = 3: allowed: signal_noise, independent_noise, xor"),
        ({"model": "cluster", "n_patches": 2}, "data.n_patches = 2: no such field"),
        ({"angle": 20.0}, "data.angle = 20.0: no such field"),
    ],
)
def test_study__bad_models(data: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        simdyn.Study(
            {"n_samples": 4, "dimension": 10, "signal_norm": 1.0, **data},
            {"n_filters": 3, "init_std": 0.01},
            {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=1)]},
        )
    assert said in str(caught.value)


def test_figures__of_another_model_tell_of_it_and_find_rising_contours() -> None:
    """The error grows with the noise: its contour is where it rises to the level."""
    study = simdyn.Study(
        {
            "model": "multi_view",
            "n_samples": 10,
            "weak_norm": 1.0,
            "dimension": 100,
            "noise": "orthogonal",
            "test_weak_only": 1.0,
        },
        {"n_filters": 4, "init_std": 0.01},
        {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=50)]},
        space={"signal_norm": [1.0, 2.0, 4.0], "noise_std": [0.01, 0.1, 0.5, 1.0]},
        figure=PhaseDiagram(x="signal_norm", y="noise_std"),
        replicates=2,
    )
    ds = study.run()
    line = analysis.contour(ds, "test_error", 0.1, "noise_std", rising=True).sel({"method": "sgd"})
    mean = ds.test_error.isel(step=-1).sel({"method": "sgd"}).mean("replicate")
    for norm in (1.0, 2.0, 4.0):
        at = float(line.sel(signal_norm=norm))
        interpolated = np.interp(at, mean.noise_std.values, mean.sel(signal_norm=norm).values)
        assert interpolated == pytest.approx(0.1)
    figure = plot.draw(ds, study.figure)
    said = " ".join(text.get_text() for text in figure.texts)
    for words in ("Multi-view data", "weak view alone 1", "noise orthogonal"):
        assert words.replace(" ", "") in said.replace(" ", "").replace("\n", "")
    assert "no contour" not in said


def test_study__vectors_that_vary_in_number_are_not_recorded() -> None:
    with pytest.raises(InputError, match="has a value for each vector, and n_samples varies"):
        simdyn.Study(
            {"model": "cluster", "dimension": 10, "signal_norm": 1.0},
            {"n_filters": 3, "init_std": 0.01},
            {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=1)]},
            space={"n_samples": [3, 4]},
            record=simdyn.Record(variables=("coef",)),
        )


# What the variables say of themselves


@pytest.mark.parametrize(
    ("law", "shown", "signal"),
    [
        (SignalNoiseData(n_samples=3, dimension=40, signal_norm=1.0, n_patches=4), "P−1", "γ"),
        (XORData(n_samples=3, dimension=40, signal_norm=1.0, n_patches=4), "P−1", "coef"),
        (
            MultiViewData(n_samples=3, dimension=40, signal_norm=1.0, weak_norm=0.5, n_patches=4),
            "P−2",
            "coef",
        ),
    ],
)
def test_noise_coef__its_equation_is_that_of_the_law(
    law: DrawnData, shown: str, signal: str
) -> None:
    """ρ over the number of patches that show a noise vector is its weight in the filter."""
    plan = simdyn.SGD(learning_rate=0.1, epochs=5)
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.1)
    variables = ("noise_coef", "coef") if signal == "coef" else ("noise_coef",)
    ds = simdyn.simulate(law, net, plan, record=simdyn.Record(variables=variables))
    equation = ds.noise_coef.attrs["equation"]
    assert f"(1/({shown})) Σ_i ρ" in equation
    assert signal in equation.partition("Σ_i")[0]
    assert law.noise_copies == law.n_patches - int(shown[-1])
    study = simdyn.Study(law, net, {"one": [plan]}, record=simdyn.Record(variables=variables))
    assert study.run().noise_coef.attrs["equation"] == equation
    if signal == "coef":  # coef = ρ/(copies ‖ξ‖²), and ‖ξ_i‖² is one number for all filters
        weights = ds.coef.isel(vector=slice(len(law.signals), None)).values
        for i in range(law.n_samples):
            moved = weights[..., i] != 0.0
            squares = (
                ds.noise_coef.values[..., i][moved] / law.noise_copies / weights[..., i][moved]
            )
            assert squares.size > 0
            np.testing.assert_allclose(squares, squares[0], rtol=1e-12)
            assert 8 < squares[0] < 120, "‖ξ‖² has a χ² law of 40 degrees of freedom"
