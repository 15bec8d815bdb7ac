"""The test error of a fixed network: three estimators against each other and against quadrature.

A network is its filters W (2m, D) seen by unit noise, the copies P − 1 of the noise, and the
offsets s_ŷ = ŷ f(ŷμ). Where D is 2 or 3 the truth is an integral over directions u: along each the
radius of failure is known, P(error | u) = Q(D/2, (s/h)²/2) for h = −ŷ g(u) > 0 and s > 0.
"""

from typing import Any, NamedTuple

import naive
import numba
import numpy as np
import pytest
from scipy import special, stats

import simdyn
from simdyn.engine.arguments import kernel_model, kernel_setting
from simdyn.kernels import estimates as risk
from simdyn.kernels import line_block, line_mass, linear, tilt
from simdyn.kernels.failing_sets import new_search
from simdyn.kernels.failures import nearest_failures
from simdyn.kernels.line_estimate import line_estimate
from simdyn.kernels.linear import lower_factor
from simdyn.kernels.random import Stream
from simdyn.kernels.sampling import draw_problem

compiled = numba.njit(error_model="numpy", fastmath={"contract"})

LINE, COUNTED, RADIAL = 0, 1, 2
DRAWS = 10_000


ESTIMATES = (line_estimate, risk.counted_estimate, risk.radial_estimate)
RELU = kernel_model(simdyn.TwoLayerCNN(n_filters=1, init_std=0.0))


@compiled
def _through(pointer, phi, draws, seed, replicate):
    stream = Stream(np.uint64(seed), np.uint64(replicate))
    values = np.zeros(draws)
    pointer(phi, stream, np.zeros(1, np.int64), values)
    return values


def _values(factor, slopes, up, down, draws, seed, replicate, method):
    draws = (draws + 1) // 2 if method == LINE else draws
    phi = risk.Margin(RELU, factor, slopes, np.array([up, down]), np.zeros((2, 0)))
    return _through(ESTIMATES[method](), phi, draws, seed, replicate)


@compiled
def _summarise(values):
    return risk.summarise(values)


@compiled
def _unseen_error(values):
    mean, error, _ = risk.summarise(values)
    return error, risk.unseen_error(values, mean, error)


@compiled
def _tilted_moments(mean, variance, kappa, value, weight):
    return tilt.tilted_moments(mean, variance, kappa, value, weight)


@compiled
def _tail_functions(x):
    return tilt.mills(x), tilt.log_cdf(x)


@compiled
def _nearest_failures(pull, factor, shift):
    return nearest_failures(new_search(factor, pull, True), 1.0, pull, shift)


@compiled
def _failing_mass(offset, slopes, base, direction, start):
    kinks, order = np.empty(slopes.size), np.empty(slopes.size, np.int64)
    return line_mass.failing_mass(offset, slopes, base, direction, start, kinks, order)


@compiled
def interval_mass(low, high):
    return line_mass.interval_mass(low, high)


@compiled
def upper_gamma(twice_shape, x):
    return risk.upper_gamma(twice_shape, x)


class Network(NamedTuple):
    """Filters as unit noise sees them, and the two offsets."""

    weights: np.ndarray
    up: float
    down: float
    copies: float = 1.0

    @property
    def slopes(self) -> np.ndarray:
        m = len(self.weights) // 2
        return np.repeat([self.copies, -self.copies], m) / m

    def swing(self, u: np.ndarray) -> np.ndarray:
        """G at the columns of u."""
        return self.slopes @ np.maximum(self.weights @ u, 0.0)


class Estimate(NamedTuple):
    mean: float
    error: float
    effective: float

    @property
    def relative(self) -> float:
        return self.error / self.mean


def values(net: Network, method: int, draws: int, seed: int = 0, replicate: int = 0) -> np.ndarray:
    factor = lower_factor(np.ascontiguousarray(net.weights))
    args = factor, net.slopes, net.up, net.down, draws, seed, replicate, method
    return _values(*args)


def estimate(net: Network, method: int = LINE, draws: int = DRAWS, seed: int = 0) -> Estimate:
    return Estimate(*_summarise(values(net, method, draws, seed)))


def tail(offset: float, fall: np.ndarray, dimension: int) -> np.ndarray:
    """P(offset − R·fall < 0), R ~ χ_dimension, plus half of P(= 0)."""
    if offset == 0.0:
        return np.where(fall > 0.0, 1.0, np.where(fall < 0.0, 0.0, 0.5))
    with np.errstate(divide="ignore"):
        beyond = special.gammaincc(dimension / 2, 0.5 * (offset / fall) ** 2)
    if offset > 0.0:
        return np.where(fall > 0.0, beyond, 0.0)
    return np.where(fall < 0.0, 1.0 - beyond, 1.0)


def over_directions(net: Network, u: np.ndarray) -> np.ndarray:
    dimension, g = len(u), net.swing(u)
    return 0.5 * (tail(net.up, -g, dimension) + tail(net.down, g, dimension))


def truth(net: Network) -> float:
    """Quadrature over the circle or the sphere; kinks leave a relative error below 1e-4."""
    dimension = net.weights.shape[1]
    if dimension == 2:
        angle = (np.arange(400_000) + 0.5) * (2.0 * np.pi / 400_000)
        return float(over_directions(net, np.array([np.cos(angle), np.sin(angle)])).mean())
    assert dimension == 3
    heights, shares = np.polynomial.legendre.leggauss(800)
    angle = (np.arange(1_600) + 0.5) * (2.0 * np.pi / 1_600)
    total = 0.0
    for height, share in zip(heights, shares, strict=True):
        r = np.sqrt(1.0 - height**2)
        u = np.array([r * np.cos(angle), r * np.sin(angle), np.full(angle.size, height)])
        total += 0.5 * share * over_directions(net, u).mean()
    return float(total)


def assert_agrees(found: Estimate, expected: float, sigmas: float = 4.5) -> None:
    assert abs(found.mean - expected) < sigmas * found.error + 1e-4 * expected


def random_network(seed: int, m: int, dimension: int, offset: float) -> Network:
    rng = np.random.default_rng(seed)
    return Network(rng.standard_normal((2 * m, dimension)), offset, 1.1 * offset)


def trained_network(
    seed: int,
    signal_norm: float,
    n: int = 10,
    m: int = 3,
    dimension: int = 100,
    init_std: float = 1e-2,
) -> Network:
    """A network trained by plain gradient descent, seen from the span of its filters."""
    rng = np.random.default_rng(seed)
    data = naive.draw_data(rng, n, dimension, signal_norm, 1.0, 2, 0.0)
    start = naive.draw_weights(rng, m, dimension, init_std)
    phase = naive.Phase(radius=0.0, learning_rate=0.1, epochs=100, batch_size=None)
    weights = naive.train(start, data[0], data[1], [phase])[0][-1].reshape(2 * m, dimension)
    along = weights @ data[3]
    slopes = np.repeat([1.0, -1.0], m) / m
    up, down = slopes @ np.maximum(along, 0.0), -slopes @ np.maximum(-along, 0.0)
    return Network(np.linalg.qr(weights.T)[1].T, float(up), float(down))


def of_planes(vectors: np.ndarray, offset: float) -> Network:
    """Filters of sign −1 at given vectors, of sign +1 at zero; ŷ = −1 never fails."""
    weights = np.concatenate([np.zeros_like(vectors), vectors]) * len(vectors)
    return Network(weights, offset, 1e3 * offset)


def around(count: int) -> np.ndarray:
    angle = 2.0 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


# The building blocks


def test_interval_mass__tail_sides() -> None:
    rng = np.random.default_rng(0)
    for low in (-40.0, -11.0, -3.0, -0.2, 0.0, 0.4, 5.0, 11.0, 36.0):
        for width in 10.0 ** rng.uniform(-1, 1.5, 5):
            high = low + width
            smaller = stats.norm.sf(low) - stats.norm.sf(high)
            if high < 0.0:
                smaller = stats.norm.cdf(high) - stats.norm.cdf(low)
            assert interval_mass(low, high) == pytest.approx(smaller, rel=1e-12)
    assert interval_mass(-np.inf, np.inf) == 1.0
    assert interval_mass(37.0, np.inf) == pytest.approx(stats.norm.sf(37.0), rel=1e-12)


@pytest.mark.parametrize("twice_shape", [1, 2, 3, 4, 7, 20, 41])
def test_upper_gamma__against_scipy(twice_shape: int) -> None:
    x = np.array([0.0, 1e-3, 0.5, 3.0, 20.0, 70.0, 300.0])
    ours = [upper_gamma(twice_shape, each) for each in x]
    np.testing.assert_allclose(ours, special.gammaincc(twice_shape / 2, x), rtol=1e-11)
    assert upper_gamma(twice_shape, np.inf) == 0.0


@pytest.mark.parametrize("seed", range(40))
def test_failing_mass__against_a_fine_grid(seed: int) -> None:
    """A grid of cells h is wrong in the cells where φ changes sign: by at most h φ_max each."""
    rng = np.random.default_rng(seed)
    filters = int(rng.integers(1, 9))
    slopes, base = rng.standard_normal((2, filters))
    direction = rng.standard_normal(filters) * (rng.random(filters) < 0.8)
    offset = rng.normal() * rng.choice([0.1, 1.0])
    start = -np.inf if seed % 2 else rng.normal()
    t, h = np.linspace(-9.0, 9.0, 1_800_001, retstep=True)
    phi = offset + slopes @ np.maximum(base[:, None] + direction[:, None] * t, 0.0)
    share = (phi < 0.0) + 0.5 * (phi == 0.0)
    changes = np.count_nonzero(np.diff(np.sign(phi))) + 2  # the two ends
    expected = np.sum(share * (t >= start) * stats.norm.pdf(t)) * h
    ours = _failing_mass(offset, slopes, base, direction, start)
    assert abs(ours - expected) <= changes * h * stats.norm.pdf(0.0) + 1e-15


def test_failing_mass__flat_zero_counts_half() -> None:
    """φ = σ(t) − 2σ(t − 1) is 0 below 0, positive up to t = 2, negative beyond."""
    slopes, base, direction = np.array([1.0, -2.0]), np.array([0.0, -1.0]), np.ones(2)
    expected = 0.5 * stats.norm.cdf(0.0) + stats.norm.sf(2.0)
    ours = _failing_mass(0.0, slopes, base, direction, -np.inf)
    assert ours == pytest.approx(expected, rel=1e-14)


def test_failing_mass__parts_make_the_whole() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        slopes, base, direction = rng.standard_normal((3, 6))
        whole = _failing_mass(0.3, slopes, base, direction, -np.inf)
        cut = rng.normal()
        beyond = _failing_mass(0.3, slopes, base, direction, cut)
        before = _failing_mass(0.3, slopes, base, -direction, -cut)
        assert beyond + before == pytest.approx(whole, rel=1e-12, abs=1e-15)


@compiled
def _failing_masses(offset, slopes, direction, base, start):
    lines = start.size
    block = line_block.new_block(slopes.size, (lines + 7) // 8 * 8)
    for line in range(lines):
        block.start[line] = start[line]
        for f in range(slopes.size):
            block.base[f, line] = base[f, line]
    masses = np.zeros(lines)
    line_block.failing_masses(offset, slopes, direction, block, masses)
    return masses, block.found[1, :lines]


def _lines(rng: np.random.Generator, filters: int, lines: int) -> list[Any]:
    """Offset, slopes, direction, base and starts of lines, some of them degenerate."""
    slopes = np.where(np.arange(filters) < filters // 2, 1.0, -1.0) * rng.exponential()
    direction, base = rng.normal(size=filters), rng.normal(size=(filters, lines))
    offset, start = rng.normal(), rng.normal(size=lines)
    if rng.random() < 0.3:
        start[:] = -np.inf
    if rng.random() < 0.3:  # equal kinks, a flat zero, filters without a kink
        base[filters // 2 :], direction[filters // 2 :] = (
            base[: filters // 2],
            direction[: filters // 2],
        )
    if rng.random() < 0.3:
        direction[rng.random(filters) < 0.5] = 0.0
    if rng.random() < 0.2:
        base[rng.random((filters, lines)) < 0.1] = rng.choice([0.0, 1e308, np.inf, np.nan])
    if rng.random() < 0.3:
        offset = 0.0
    return [offset, slopes, direction, base, start]


@pytest.mark.parametrize("filters", [2, 6, 20, 64])
def test_failing_masses__are_those_of_each_line_to_the_bit(filters: int) -> None:
    rng, apart = np.random.default_rng(filters), 0
    for case in range(150):
        offset, slopes, direction, base, start = _lines(rng, filters, 1 + case % 9)
        ours, left_out = _failing_masses(offset, slopes, direction, base, start)
        each = [
            _failing_mass(offset, slopes, base[:, line].copy(), direction, start[line])
            for line in range(start.size)
        ]
        np.testing.assert_array_equal(ours, each)
        apart += int(left_out.sum())
    assert 0 < apart < 400, "few lines are left to `failing_mass`"


@compiled
def _images(factor, points):
    columns, out = np.ascontiguousarray(points.T), np.zeros((factor.shape[0], points.shape[0]))
    linear.apply_lower_to_columns(factor, columns, out, np.zeros((4, points.shape[0])))
    each = np.zeros((points.shape[0], factor.shape[0]))
    for i in range(points.shape[0]):
        linear.apply_lower(factor, points[i], each[i])
    return out.T, each


@pytest.mark.parametrize(("filters", "size"), [(1, 1), (5, 5), (6, 3), (20, 20)])
def test_apply_lower_to_columns__is_that_of_each_column_to_the_bit(filters: int, size: int) -> None:
    rng = np.random.default_rng(0)
    together, each = _images(np.tril(rng.normal(size=(filters, size))), rng.normal(size=(7, size)))
    np.testing.assert_array_equal(together, each)


def test_failing_mass__far_tail_is_relative() -> None:
    one = np.ones(1)
    for distance in (5.0, 11.5, 20.0, 37.0):
        ours = _failing_mass(distance, -one, 0.0 * one, one, -np.inf)
        assert ours == pytest.approx(stats.norm.sf(distance), rel=1e-12)


def test_summarise__survives_tiny_values() -> None:
    plain = np.random.default_rng(0).random(100)
    mean, error, effective = _summarise(plain)
    assert mean == pytest.approx(plain.mean(), rel=1e-14)
    assert error == pytest.approx(plain.std(ddof=1) / 10.0, rel=1e-13)
    assert effective == pytest.approx(plain.sum() ** 2 / (plain**2).sum(), rel=1e-13)
    tiny = _summarise(plain * 2.0**-1000)
    assert tiny == (mean * 2.0**-1000, error * 2.0**-1000, effective)
    assert _summarise(np.zeros(5)) == (0.0, 0.0, 0.0)


# Special states


@pytest.mark.parametrize("method", [LINE, COUNTED, RADIAL])
def test_estimators__zero_weights_give_one_half(method: int) -> None:
    found = estimate(Network(np.zeros((6, 4)), 0.0, 0.0), method, 100)
    assert found.mean == 0.5
    assert found.error == 0.0


@pytest.mark.parametrize("method", [LINE, COUNTED, RADIAL])
def test_estimators__no_noise_leaves_the_offset(method: int) -> None:
    for up, down, expected in ((1.0, 1.0, 0.0), (-1.0, -1.0, 1.0), (1.0, 0.0, 0.25)):
        found = estimate(Network(np.zeros((4, 3)), up, down), method, 20_000)
        assert abs(found.mean - expected) <= 4.0 * found.error


@pytest.mark.parametrize("method", [LINE, COUNTED, RADIAL])
@pytest.mark.parametrize(
    "offsets", [(0.0, 0.0), (0.0, 1.0), (-0.5, 1.0), (-1.0, -2.0), (-9.0, 0.1)]
)
@pytest.mark.parametrize("seed", range(3))
def test_estimators__zero_and_negative_offsets(
    method: int, offsets: tuple[float, float], seed: int
) -> None:
    net = Network(np.random.default_rng(seed).standard_normal((4, 2)), *offsets)
    assert_agrees(estimate(net, method, seed=seed), truth(net))


@pytest.mark.parametrize("method", [LINE, COUNTED, RADIAL])
def test_estimators__a_single_dimension(method: int) -> None:
    """D = 1: w₊ = 1, w₋ = 2, s = 0: ŷ = 1 errs for ξ > 0 and half-errs below."""
    net = Network(np.array([[1.0], [2.0]]), 0.0, 1.0)
    # ŷ = −1: φ = 1 + σ(2ξ) − σ(ξ) > 0.
    assert_agrees(estimate(net, method), 0.5 * (0.5 + 0.25))


@pytest.mark.parametrize("method", [LINE, RADIAL])
def test_estimators__copies_scale_the_noise(method: int) -> None:
    net = random_network(3, 2, 2, 1.5)
    many = net._replace(copies=4.0)
    nearer = net._replace(up=net.up / 4, down=net.down / 4)
    one, other = values(many, method, 100), values(nearer, method, 100)
    np.testing.assert_allclose(one, other, rtol=1e-11)
    assert_agrees(estimate(many, method), truth(many))


# Agreement


@pytest.mark.parametrize("offset", [0.3, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("m", [1, 3, 10])
def test_estimators__agree_with_one_another(m: int, offset: float) -> None:
    """Full rank, errors from 0.4 to 1e-3."""
    net = random_network(m, m, 2 * m, offset)
    found = [estimate(net, method, 20_000, seed=method) for method in (LINE, COUNTED, RADIAL)]
    for one in found:
        for other in found:
            assert abs(one.mean - other.mean) <= 4.5 * np.hypot(one.error, other.error)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_estimators__agree_where_the_covariance_is_singular(dimension: int) -> None:
    """D < 2m, and two of the filters equal."""
    net = random_network(8, 6, dimension, 1.0)
    net.weights[1] = net.weights[0]
    found = [estimate(net, method, 20_000, seed=method) for method in (LINE, COUNTED, RADIAL)]
    for one in found:
        for other in found:
            assert abs(one.mean - other.mean) <= 4.5 * np.hypot(one.error, other.error)


@pytest.mark.parametrize("signal_norm", [3.8, 4.9, 6.1])
def test_line_values__against_a_million_points(signal_norm: float) -> None:
    """Trained networks, from 1e-2 to 1e-4."""
    net = trained_network(1, signal_norm, init_std=0.1)
    line = estimate(net)
    count = estimate(net, COUNTED, 1_000_000)
    assert 3e-5 < count.mean < 3e-2
    assert abs(line.mean - count.mean) <= 4.0 * np.hypot(line.error, count.error)
    assert line.relative < 0.05


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("signal_norm", [3.0, 4.0, 5.0, 6.0])
def test_line_values__against_a_million_points_campaign(signal_norm: float, seed: int) -> None:
    net = trained_network(seed, signal_norm, init_std=[1e-3, 3e-2][seed % 2])
    draws = 1_000_000
    line, count = estimate(net), estimate(net, COUNTED, draws, seed=seed)
    # Exact binomial: at 1e-7 a million points may well see nothing. The line's own error is far
    # below the count's.
    assert line.relative < 0.02
    assert stats.binomtest(round(count.mean * draws), draws, line.mean).pvalue > 1e-5


def test_line_values__against_the_plain_network() -> None:
    """An independent count by weight-space code on d-vectors."""
    rng = np.random.default_rng(0)
    weights = naive.draw_weights(rng, 3, 12, 1.0)
    signal = 2.5 * np.eye(1, 12)[0]
    weights[0, :, 0] += 1.0
    weights[1, :, 0] -= 1.0
    points = 400_000
    for noise in ("isotropic", "orthogonal"):
        count = naive.counted_test_error(rng, weights, signal, 0.6, 3, points, noise)
        seen = weights.reshape(6, 12)[:, noise == "orthogonal" :] * 0.6
        along, slopes = weights.reshape(6, 12) @ signal, np.repeat([1.0, -1.0], 3) / 3
        up, down = slopes @ np.maximum(along, 0.0), -slopes @ np.maximum(-along, 0.0)
        line = estimate(Network(seen, float(up), float(down), 2.0))
        binomial = np.sqrt(count * (1.0 - count) / points)
        assert abs(line.mean - count) < 4.0 * np.hypot(line.error, binomial)


# Rare failures


@pytest.mark.parametrize("power", [-2, -6, -10, -20, -30])
@pytest.mark.parametrize("seed", range(4))
def test_line_values__one_filter_each_by_quadrature(seed: int, power: int) -> None:
    """M = 1, down to 1e-30, with a relative standard error of at most 5 %."""
    scale = stats.norm.isf(10.0**power)
    net = random_network(seed, 1, 2, 1.0)
    norm = np.linalg.norm(net.weights, axis=1).max()
    net = net._replace(up=scale * norm, down=1.05 * scale * norm)
    found = estimate(net)
    assert_agrees(found, truth(net))
    assert found.relative <= 0.05


@pytest.mark.parametrize("signal_norm", [7.0, 9.0, 11.0, 13.0])
def test_line_values__trained_networks_are_easy(signal_norm: float) -> None:
    """Two sets of draws agree, deep in the tail, with a relative standard error below 2 %."""
    net = trained_network(2, signal_norm, init_std=0.1)
    one, other = estimate(net, seed=1), estimate(net, seed=2)
    assert 1e-60 < one.mean < 1e-4
    assert one.relative < 0.02
    rounding = 1e-11 * one.mean
    assert abs(one.mean - other.mean) <= 4.0 * np.hypot(one.error, other.error) + rounding


@pytest.mark.parametrize("offset", [1.5, 4.0, 8.0, 11.0])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_line_values__orthogonal_wrong_filters(count: int, offset: float) -> None:
    """Equal filters of the wrong sign at right angles: the nearest failure uses them all."""
    vectors = np.zeros((count, max(count, 2)))
    vectors[:, :count] = np.eye(count)
    net = of_planes(vectors, offset)
    found = estimate(net)
    assert_agrees(found, truth(net))
    assert found.relative <= 0.05


@pytest.mark.parametrize("distance", [1.5, 3.0, 5.5, 11.3])
def test_line_values__opposite_wrong_filters(distance: float) -> None:
    """W and −w: two failures exactly as near; P = P(|z| > s) = 2 Q(s)."""
    net = of_planes(np.array([[1.0, 0.0], [-1.0, 0.0]]), distance)
    found = estimate(net)
    assert_agrees(found, stats.norm.sf(distance))
    assert found.relative <= 0.05


@pytest.mark.parametrize("distance", [1.5, 3.0, 5.5, 11.3])
def test_line_values__both_labels_fail_alike(distance: float) -> None:
    """One filter of each sign at right angles, equal offsets: ŷ = 1 and ŷ = −1 compete."""
    net = Network(np.eye(2), distance, distance)
    found = estimate(net)
    assert_agrees(found, truth(net))
    assert found.relative <= 0.05


def assert_finds_all(net: Network) -> None:
    expected, found = truth(net), estimate(net)
    assert_agrees(found, expected)
    assert found.relative <= 0.05


@pytest.mark.parametrize("distance", [1.5, 3.0, 5.5, 11.3])
def test_line_values__two_opposite_pairs(distance: float) -> None:
    """±e₁, ±e₂: g = |z₁| + |z₂| fails at the four corners (±1, ±1)/√2."""
    pairs = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert_finds_all(of_planes(pairs, distance * np.sqrt(2.0)))


@pytest.mark.parametrize("distance", [1.5, 3.0, 5.5, 11.3])
def test_line_values__three_opposite_pairs(distance: float) -> None:
    """Eight corners (±1, ±1, ±1)/√3."""
    pairs = np.concatenate([np.eye(3), -np.eye(3)])
    assert_finds_all(of_planes(pairs, distance * np.sqrt(3.0)))


@pytest.mark.parametrize("distance", [1.5, 3.0, 5.5, 11.3])
def test_line_values__triangle(distance: float) -> None:
    """Three filters at 120°: six failures as near, three of one filter and three of two."""
    assert_finds_all(of_planes(around(3), distance))


@pytest.mark.parametrize("distance", [1.5, 3.0, 5.5, 11.3])
def test_line_values__tetrahedron(distance: float) -> None:
    """Four filters to the corners of a tetrahedron: the six failures of two filters are nearest."""
    corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
    assert_finds_all(of_planes(corners, distance * np.sqrt(4.0 / 3.0)))


@pytest.mark.parametrize("distance", [1.5, 5.5, 11.3])
@pytest.mark.parametrize("count", [5, 8, 16, 40])
def test_line_values__filters_all_around(count: int, distance: float) -> None:
    """Evenly turned filters: more failures as near than MAX_DIRECTIONS."""
    u = around(10_000).T
    farthest = np.maximum(around(count) @ u, 0.0).sum(axis=0).max()
    assert_finds_all(of_planes(around(count), distance * farthest))


@pytest.mark.parametrize(
    ("seed", "m", "offset"), [(0, 5, 11.0), (1, 4, 6.0), (2, 3, 6.0), (3, 6, 8.0), (4, 4, 12.0)]
)
def test_line_values__random_filters_in_space(seed: int, m: int, offset: float) -> None:
    assert_finds_all(random_network(seed, m, 3, offset))


@pytest.mark.parametrize("seed", range(12))
def test_line_values__random_weights_of_full_rank(seed: int) -> None:
    """Untrained networks behind a strong signal, about 1e-30: at most 5 % at 10⁴ draws."""
    m = 3 + seed % 4
    net = random_network(100 + seed, m, 2 * m, 1.0)
    low, high = 0.0, 40.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        rare = estimate(net._replace(up=middle, down=1.1 * middle), draws=200).mean < 1e-30
        low, high = (low, middle) if rare else (middle, high)
    assert estimate(net._replace(up=high, down=1.1 * high)).relative <= 0.05


# Honest errors


def replicated(net: Network, method: int, draws: int, replicates: int) -> np.ndarray:
    """Means and standard errors of independent estimates, (replicates, 2)."""
    drawn = (values(net, method, draws, 11, k) for k in range(replicates))
    return np.array([_summarise(each)[:2] for each in drawn])


@pytest.mark.parametrize("offset", [0.3, 0.7])
@pytest.mark.parametrize("method", [LINE, COUNTED, RADIAL])
def test_estimators__z_scores_are_standard(method: int, offset: float) -> None:
    """z-scores of 400 replicates against quadrature have mean 0 and mean square 1.

    The bounds are 4 σ of a sum of squares of Student's t, which z is by its estimated error.
    """
    net, replicates = random_network(5, 2, 2, offset), 400
    found = replicated(net, method, 1_000, replicates)
    scores = (found[:, 0] - truth(net)) / found[:, 1]
    degrees = len(values(net, method, 1_000)) - 1
    square = degrees / (degrees - 2)
    spread = np.sqrt(stats.t(degrees).moment(4) - square**2)
    assert abs(np.mean(scores)) < 4.0 * np.sqrt(square / replicates)
    assert abs(np.mean(scores**2) - square) < 4.0 * spread / np.sqrt(replicates)


@pytest.mark.parametrize("offset", [0.5, 1.5, 3.0, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_line_values__mean_and_squared_error_are_unbiased(seed: int, offset: float) -> None:
    """E mean = truth and E SE² = Var mean, whatever the skewness; errors down to 1e-15."""
    net, replicates = random_network(seed, 3, 2, offset), 400
    mean, error = replicated(net, LINE, 400, replicates).T
    deviation = mean - mean.mean()
    assert abs(mean.mean() - truth(net)) < 4.0 * mean.std(ddof=1) / np.sqrt(replicates)
    excess = deviation**2 - error**2
    assert abs(excess.mean()) < 4.0 * excess.std(ddof=1) / np.sqrt(replicates)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("method", [LINE, COUNTED, RADIAL])
def test_estimators__z_scores_are_normal_campaign(method: int, seed: int) -> None:
    net = random_network(seed, 2 + seed % 5, 2 + seed % 2, 0.3)
    expected, scores = truth(net), []
    for mean, error in replicated(net, method, 2_000, 1_000):
        scores.append((mean - expected) / error)
    assert stats.kstest(scores, "norm").pvalue > 1e-4


@pytest.mark.parametrize("draws", [2, 3, 4])
def test_line_values__few_draws_claim_no_certainty(draws: int) -> None:
    """The lines of a random network differ, so an error of zero would be a lie."""
    assert estimate(random_network(5, 2, 4, 1.5), LINE, draws).error > 0.0


def test_summarise__effective_sample_size() -> None:
    """As many as were drawn where all are alike; one where one is everything."""
    assert _summarise(np.full(50, 0.3))[2] == pytest.approx(50.0, rel=1e-14)
    assert _summarise(np.eye(1, 50)[0])[2] == 1.0


def test_line_values__effective_sample_size_and_error_tell_the_same() -> None:
    """(SE/mean)² = (1/ESS − 1/n)·n/(n − 1)."""
    found = estimate(random_network(5, 3, 6, 3.0))
    n = DRAWS // 2
    assert found.relative**2 == pytest.approx((1 / found.effective - 1 / n) * n / (n - 1), rel=1e-9)


@pytest.mark.parametrize("n", [2, 5, 64])
def test_unseen_error__one_more_line_as_far_as_the_farthest(n: int) -> None:
    """A tenth of the mean at least, so that equal lines do not claim certainty."""
    error, wider = _unseen_error(np.full(n, 0.3))
    assert error < 1e-15
    assert wider == pytest.approx(risk.LEAST * 0.3 / np.sqrt(n * (n - 1)), rel=1e-12)
    plain = np.eye(1, n)[0] + 1.0
    deviations = np.append(plain - plain.mean(), np.abs(plain - plain.mean()).max())
    error, wider = _unseen_error(plain)
    assert wider**2 == pytest.approx((deviations**2).sum() / (n * (n - 1)), rel=1e-12)
    assert _unseen_error(np.zeros(n)) == (0.0, 0.0)
    tiny = _unseen_error(plain * 2.0**-1000)
    assert tiny == pytest.approx((error * 2.0**-1000, wider * 2.0**-1000), rel=1e-12)


# Under a shift


def test_tail_functions__against_scipy() -> None:
    for x in (-40.0, -5.1, -4.9, -1.0, 0.0, 3.0, 9.0):
        mills, log_cdf = _tail_functions(x)
        assert log_cdf == pytest.approx(stats.norm.logcdf(x), rel=1e-10, abs=2e-16)
        assert mills == pytest.approx(np.exp(stats.norm.logpdf(x) - stats.norm.logcdf(x)), rel=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_tilted_moments__against_a_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, value = rng.normal(size=2) * 2.0
    variance, kappa, weight = rng.uniform(0.1, 3.0), rng.uniform(0.1, 8.0), rng.random()
    x = np.linspace(mean - 60.0, mean + 60.0, 2_400_001)
    log_density = -0.5 * (x - mean) ** 2 / variance
    log_density -= kappa * (np.maximum(value + x, 0.0) - weight * x)
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    expected = (density * x).sum()
    spread = (density * (x - expected) ** 2).sum()
    found = _tilted_moments(mean, variance, kappa, value, weight)
    assert found == pytest.approx((expected, spread), rel=1e-5, abs=1e-6)


def shifted_network(seed: int, filters: int, size: int, strength: float) -> tuple:
    """Pull, factor and shift with φ(0) > 0."""
    rng = np.random.default_rng(seed)
    while True:
        factor = lower_factor(rng.standard_normal((filters, size)))
        pull = np.repeat([1.0, -1.0], filters // 2) * rng.uniform(0.5, 1.5, filters)
        shift = strength * (rng.standard_normal(filters) + np.sign(pull))
        if pull @ np.maximum(shift, 0.0) > 0.0:
            return pull, factor, shift


@pytest.mark.parametrize("strength", [1.0, 4.0])
@pytest.mark.parametrize("seed", range(15))
def test_nearest_failures__under_a_shift_by_a_fine_grid(seed: int, strength: float) -> None:
    """On the plane: the first is the nearest point of φ ≤ 0; every one is such a point."""
    pull, factor, shift = shifted_network(seed, 2 * (1 + seed % 4), 2, strength)
    found = _nearest_failures(pull, factor, shift)
    angle = np.linspace(0.0, 2.0 * np.pi, 2_000, endpoint=False)
    u, nearest = np.array([np.cos(angle), np.sin(angle)]), np.inf
    reach = np.arange(0.0, 20.0, 0.01)
    for r in reach:
        phi = pull @ np.maximum(shift[:, None] + r * factor @ u, 0.0)
        if (phi <= 0.0).any():
            nearest = r
            break
    if nearest == np.inf:
        assert found.distances[0] == 0.0 or found.distances[0] > 15.0
        return
    assert abs(found.distances[0] - nearest) < 0.02 + 0.002 * nearest
    for distance, direction in zip(found.distances, found.directions, strict=True):
        at = pull @ np.maximum(shift + 1.001 * distance * factor @ direction, 0.0)
        assert at < 0.01 * (pull @ np.maximum(shift, 0.0))
        assert np.linalg.norm(direction) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("seed", "strength"),
    [(40, 1.0), (41, 3.0), (44, 2.0), (45, 1.5), (46, 3.0), (48, 3.0), (49, 2.0), (52, 1.5)],
)
def test_line_values__under_a_shift_by_quadrature(seed: int, strength: float) -> None:
    """On the plane, by lines of a fine grid across; errors from 0.04 to 1e-24."""
    pull, factor, shift = shifted_network(seed, 6, 2, strength)
    never = np.where(pull > 0.0, 0.0, 1.0)  # for the other label: −g > 0, of shifts far away
    phi = risk.Margin(RELU, factor, pull, np.zeros(2), np.array([shift, 1e6 * never]))
    values = _through(line_estimate(), phi, 4_000, seed, 0)
    step = 0.002
    across = np.arange(-14.0, 14.0, step)
    truth = sum(
        step
        * stats.norm.pdf(x)
        * _failing_mass(0.0, pull, shift + x * factor[:, 1], factor[:, 0].copy(), -np.inf)
        for x in across
    )
    mean, error, _ = _summarise(values)
    assert truth > 0.0
    assert abs(2.0 * mean - truth) < 4.5 * 2.0 * error + 1e-4 * truth
    assert error < 0.1 * mean


# Through the front door


@compiled
def _picture(setting, seed, replicate):
    problem = draw_problem(setting, Stream(np.uint64(seed), np.uint64(replicate)))
    return problem.dictionary.rows, problem.weights


@pytest.mark.parametrize("estimator", ["line", "counted", "radial"])
@pytest.mark.parametrize("noise", ["isotropic", "orthogonal"])
@pytest.mark.parametrize("dimension", [2, 4, 500])
def test_simulate__test_error_of_the_final_weights(
    noise: str, estimator: str, dimension: int
) -> None:
    """Rebuild W from the coefficients and the drawn picture; count errors by plain code."""
    n, m, p, points = 6, 2, 0.1, 200_000
    data = simdyn.SignalNoiseData(
        n_samples=n,
        dimension=dimension,
        signal_norm=1.5,
        noise_std=0.8,
        n_patches=3,
        label_flip=p,
        noise=noise,
    )
    net = simdyn.TwoLayerCNN(n_filters=m, init_std=0.1)
    record = simdyn.Record(every=30, test_estimator=estimator, test_draws=20_000)
    plan = simdyn.SAM(radius=0.05, learning_rate=0.2, epochs=30)
    ds = simdyn.simulate(data, net, plan, seed=4, record=record).isel(replicate=0, step=-1)
    law = kernel_setting(data, net)
    rows, start = _picture(law, 4, 0)
    weights = naive.rebuild_weights(
        start.reshape(2, m, -1), ds.signal_coef.values, ds.noise_coef.values, rows[0], rows[1:], 3
    )
    rng = np.random.default_rng(1)
    count = naive.counted_test_error(rng, weights, rows[0], 0.8, 3, points, noise)
    error = np.sqrt(count * (1.0 - count) / points)
    clean, observed = float(ds.clean_test_error), float(ds.test_error)
    assert observed == pytest.approx(p + (1.0 - 2.0 * p) * clean, rel=1e-15)
    spread = float(ds.test_error_se) / (1.0 - 2.0 * p)
    assert abs(clean - count) < 4.0 * np.hypot(error, spread)


def test_train__standard_error_where_most_labels_are_flipped() -> None:
    """A flip rate above one half in the data at hand must not turn the error's sign."""
    rng = np.random.default_rng(0)
    x, _, true_labels, signal, _ = naive.draw_data(rng, 6, 20, 2.0, 1.0, 2, 0.0)
    labels = true_labels * np.array([-1, -1, -1, -1, 1, 1])
    weights = naive.draw_weights(rng, 2, 20, 0.1)
    problem = simdyn.Problem.from_patches(
        x, labels, weights, signal=signal, true_labels=true_labels, noise_std=1.0
    )
    ds = simdyn.train(problem, simdyn.SGD(learning_rate=0.1, epochs=3))
    assert (ds.test_error_se.values >= 0.0).all()


def scaled_problem(scale: float, of_patches: float) -> simdyn.Problem:
    """One network and its data, with weights and patches times these."""
    rng = np.random.default_rng(0)
    x, labels, _, signal, _ = naive.draw_data(rng, 6, 20, 2.0, 1.0, 2, 0.0)
    weights = 0.5 * rng.standard_normal((2, 3, 20))
    weights[0] += 0.2 * signal
    weights[1] -= 0.2 * signal
    return simdyn.Problem.from_patches(
        x * of_patches, labels, weights * scale, signal=signal * of_patches, noise_std=of_patches
    )


@pytest.mark.parametrize(
    ("scale", "of_patches"),
    [
        (2.0**540, 1.0),
        (2.0**1000, 1.0),
        (2.0**-540, 1.0),
        (2.0**-990, 1.0),
        (2.0**490, 2.0**490),
        (2.0**-490, 2.0**-490),
        (2.0**700, 2.0**-400),
        (2.0**-700, 2.0**400),
    ],
)
def test_test_error__does_not_depend_on_the_scale(scale: float, of_patches: float) -> None:
    """Down to weights × noise of 1e-300 and up to 1e300: only the sign of an output matters."""
    record = simdyn.Record(variables=("test_error", "test_error_se"))
    plan = simdyn.SGD(learning_rate=1e-3, epochs=0)
    plain = simdyn.train(scaled_problem(1.0, 1.0), plan, record=record)
    scaled = simdyn.train(scaled_problem(scale, of_patches), plan, record=record)
    assert scaled.status == 1
    assert 0.01 < float(plain.test_error[-1]) < 0.4
    for name in ("test_error", "test_error_se"):
        assert float(scaled[name][-1]) == pytest.approx(float(plain[name][-1]), rel=1e-12)


@pytest.mark.parametrize("scale", [1e160, 1e-200])
def test_test_error__of_clusters_does_not_depend_on_the_scale(scale: float) -> None:
    data = {"n_samples": 5, "dimension": 20, "noise": "orthogonal", "signal_share": 0.7}
    record = simdyn.Record(variables=("test_error", "test_error_se"))
    plan = simdyn.SGD(learning_rate=1e-3, epochs=0)
    found = [
        simdyn.simulate(
            simdyn.ClusterData(signal_norm=2.0, **data),
            simdyn.TwoLayerCNN(n_filters=3, init_std=init),
            plan,
            seed=3,
            record=record,
        )
        for init in (1.0, scale)
    ]
    for name in ("test_error", "test_error_se"):
        plain, scaled = (float(each[name].isel(replicate=0, step=-1)) for each in found)
        assert plain > 0.0
        assert scaled == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("estimator", ["line", "counted"])
def test_test_error__of_equal_banks_is_exactly_one_half(estimator: str) -> None:
    """Outputs are zero, not noise of rounding; for weights in d-space and in a picture."""
    rng = np.random.default_rng(0)
    record = simdyn.Record(variables=("test_error", "test_error_se"), test_estimator=estimator)
    for dimension in (7, 40):
        x, labels, _, signal, _ = naive.draw_data(rng, 6, dimension, 2.0, 1.0, 2, 0.0)
        bank = rng.standard_normal((1, 5, dimension))
        weights = np.concatenate([bank, bank])
        problem = simdyn.Problem.from_patches(x, labels, weights, signal=signal, noise_std=1.0)
        ds = simdyn.train(problem, simdyn.SGD(learning_rate=0.1, epochs=0), record=record)
        assert float(ds.test_error[-1]) == 0.5
        if estimator == "line":
            assert float(ds.test_error_se[-1]) == 0.0


ZERO_ON = {
    "signal": simdyn.SignalNoiseData(n_samples=4, dimension=9, signal_norm=1.0),
    "independent": simdyn.IndependentNoiseData(
        n_samples=4, dimension=9, signal_norm=1.0, n_patches=4
    ),
    "xor": simdyn.XORData(n_samples=4, dimension=9, signal_norm=1.0),
    "views": simdyn.MultiViewData(
        n_samples=4, dimension=9, signal_norm=1.0, weak_norm=0.5, strong_only=0.1, weak_only=0.2
    ),
    "cluster": simdyn.ClusterData(n_samples=4, dimension=9, signal_norm=1.0),
}


@pytest.mark.parametrize("law", ZERO_ON)
def test_test_error__of_a_zero_network_is_exactly_one_half(law: str) -> None:
    net = simdyn.TwoLayerCNN(n_filters=3, init_std=0.0)
    record = simdyn.Record(variables=("test_error", "test_error_se"))
    plan = simdyn.SGD(learning_rate=0.1, epochs=0)
    ds = simdyn.simulate(ZERO_ON[law], net, plan, record=record)
    assert (ds.test_error == 0.5).all()
    assert (ds.test_error_se == 0.0).all()
