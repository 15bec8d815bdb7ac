"""The counter-based generator: known answers, laws, and independence of its streams."""

import itertools

import numba
import numpy as np
import pytest
from scipy import stats

from simdyn.kernels import random
from simdyn.kernels.random import Stream

compiled = numba.njit(error_model="numpy", fastmath={"contract"})

FOUR_SIGMA = 2.0 * stats.norm.sf(4.0)  # p-values below are refused
PURPOSE = random.NOISE_ROW


@compiled
def threefry_words(counter, key):
    words = np.empty(4, np.uint64)
    words[0], words[1], words[2], words[3] = random.threefry(
        counter[0], counter[1], counter[2], counter[3], key[0], key[1], key[2], key[3]
    )
    return words


@compiled
def to_uniform(word):
    return random.to_uniform(word)


@compiled
def uniforms(seed, replicate, purpose, row, count):
    stream = Stream(np.uint64(seed), np.uint64(replicate))
    out = np.empty(count)
    for j in range(count):
        out[j] = random.uniform(stream, np.uint64(purpose), row, j)
    return out


@compiled
def normals(seed, row, count):
    stream = Stream(np.uint64(seed), np.uint64(0))
    out = np.empty(count)
    random.fill_normals(stream, PURPOSE, row, out)
    return out


@compiled
def single_normals(seed, count):
    stream = Stream(np.uint64(seed), np.uint64(0))
    out = np.empty(count)
    for i in range(count):
        out[i] = random.normal(stream, PURPOSE, i, 0)
    return out


@compiled
def gammas(seed, shape, count):
    stream = Stream(np.uint64(seed), np.uint64(0))
    out = np.empty(count)
    for i in range(count):
        out[i] = random.gamma(stream, PURPOSE, i, shape)
    return out


@compiled
def permutations(seed, size, count):
    stream = Stream(np.uint64(seed), np.uint64(0))
    out = np.empty((count, size), np.int64)
    for i in range(count):
        random.fill_permutation(stream, random.PARTITION, i, out[i])
    return out


def words(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], dtype=np.uint64)


ZEROS = " ".join(["0" * 16] * 4)
ONES = " ".join(["f" * 16] * 4)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        (ZEROS, ZEROS, "09218ebde6c85537 55941f5266d86105 4bd25e16282434dc ee29ec846bd2e40b"),
        (ONES, ONES, "29c24097942bba1b 0371bbfb0f6f4e11 3c231ffa33f83a1c cd29113fde32d168"),
        (
            "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
            "452821e638d01377 be5466cf34e90c6c be5466cf34e90c6c c0ac29b7c97c50dd",
            "a7e8fde591651bd9 baafd0c30138319b 84a5c1a729e685b9 901d406ccebc1ba4",
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_threefry__known_answers_of_random123(counter: str, key: str, answer: str) -> None:
    np.testing.assert_array_equal(threefry_words(words(counter), words(key)), words(answer))


@pytest.mark.parametrize("word", [0, 1, 2**63, 2**64 - 2**11 - 1, 2**64 - 2**11, 2**64 - 1])
def test_to_uniform__stays_in_the_open_interval(word: int) -> None:
    assert 0.0 < to_uniform(np.uint64(word)) < 1.0


def test_to_uniform__is_symmetric_about_one_half() -> None:
    for word in (0, 2**20, 2**52 + 2**13, 2**62, 2**63 - 1):
        mirrored = to_uniform(np.uint64(2**64 - 1 - word))
        assert 1.0 - to_uniform(np.uint64(word)) == pytest.approx(mirrored, rel=0, abs=2**-53)


def test_uniform__is_uniform() -> None:
    assert stats.kstest(uniforms(1, 0, 1, 0, 200_000), "uniform").pvalue > FOUR_SIGMA


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 0, 1, 0), (2, 0, 1, 0)),
        ((1, 0, 1, 0), (1, 1, 1, 0)),
        ((1, 0, 1, 0), (1, 0, 2, 0)),
        ((1, 0, 1, 0), (1, 0, 1, 1)),
        ((2**63 - 1, 0, 1, 0), (2**62 - 1, 0, 1, 0)),
        ((3, 5, 1, 0), (5, 3, 1, 0)),
    ],
    ids=["seed", "replicate", "purpose", "row", "high seed bit", "seed and replicate exchanged"],
)
def test_uniform__streams_are_independent(one: tuple, other: tuple) -> None:
    """A table of 16 × 16 cells is as a product of uniforms would fill it."""
    a, b = uniforms(*one, 100_000), uniforms(*other, 100_000)
    table = np.histogram2d(a, b, bins=16, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(table.ravel()).pvalue > FOUR_SIGMA


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 7])
def test_fill_normals__neighbours_are_independent(lag: int) -> None:
    """No draw is in two pairs, so the cells follow a chi-square."""
    draws = stats.norm.cdf(normals(5, 0, 20_000 * 2 * lag).reshape(-1, 2, lag))
    cells = [[0, 1], [0, 1]]
    table = np.histogram2d(draws[:, 0].ravel(), draws[:, 1].ravel(), bins=16, range=cells)[0]
    assert stats.chisquare(table.ravel()).pvalue > FOUR_SIGMA


def test_fill_normals__is_normal() -> None:
    draws = normals(3, 0, 200_000)
    assert stats.kstest(draws, "norm").pvalue > FOUR_SIGMA
    for order in (1, 2, 3, 4, 6):
        moment, variance = stats.norm.moment(order), stats.norm.moment(2 * order)
        sigma = np.sqrt((variance - moment**2) / draws.size)
        assert abs(np.mean(draws**order) - moment) < 4.0 * sigma


def exact_normals(seed: int, row: int, count: int) -> np.ndarray:
    """By the formula of Box and Muller in extended precision, angles taken from whole quarters."""
    found = []
    for block in range(count // 4):
        key = np.array([seed, 0, PURPOSE, 0], np.uint64)
        drawn = threefry_words(np.array([row, block, 0, 0], np.uint64), key)
        for word, turned in drawn.reshape(2, 2):
            radius = np.sqrt(-2.0 * np.log(np.longdouble(to_uniform(word))))
            turns = np.longdouble(4.0 * to_uniform(turned))
            quarter = int(np.rint(turns))
            angle = (turns - quarter) * (np.arctan(np.longdouble(1.0)) * 2.0)
            turn = np.roll([np.cos(angle), -np.sin(angle), -np.cos(angle), np.sin(angle)], -quarter)
            found += [radius * turn[0], -radius * turn[1]]
    return np.array(found)


def test_fill_normals__four_units_in_the_last_place() -> None:
    """And far fewer on the whole: series, products and roots round once each."""
    drawn, wanted = normals(6, 11, 40_000), exact_normals(6, 11, 40_000)
    units = abs(drawn - wanted) / np.spacing(abs(wanted).astype(np.float64))
    assert units.max() <= 4.0
    assert units.mean() < 1.0


def test_fill_normals__all_four_words_are_normal() -> None:
    draws = normals(4, 0, 200_000)
    for lane in range(4):
        assert stats.kstest(draws[lane::4], "norm").pvalue > FOUR_SIGMA


def test_fill_normals__an_entry_does_not_depend_on_the_length() -> None:
    longest = normals(9, 3, 41)
    for count in range(41):
        np.testing.assert_array_equal(normals(9, 3, count), longest[:count])


def test_normal__is_normal() -> None:
    assert stats.kstest(single_normals(3, 100_000), "norm").pvalue > FOUR_SIGMA


@pytest.mark.parametrize("shape", [0.5, 1.0, 1.5, 3.7, 1e3, 1e9])
def test_gamma__follows_its_law(shape: float) -> None:
    draws = gammas(1, shape, 100_000)
    assert stats.kstest(draws, stats.gamma(shape).cdf).pvalue > FOUR_SIGMA


def test_gamma__largest_shape_is_normal() -> None:
    """At a = 4.5e15 the skewness 2/√a is far below what 10⁵ draws resolve."""
    shape = 4.5e15
    scaled = (gammas(2, shape, 100_000) - shape) / shape**0.5
    assert stats.kstest(scaled, "norm").pvalue > FOUR_SIGMA


def test_gamma__is_continuous_in_the_shape() -> None:
    """Draws at shapes a and a(1 + δ) are the same quantile but where an attempt is turned down."""
    one, other = gammas(3, 500.0, 10_000), gammas(3, 500.0 * (1.0 + 1e-9), 10_000)
    assert np.mean(np.abs(other / one - 1.0) < 1e-8) > 0.9999


def test_fill_permutation__all_orders_of_four_are_as_likely() -> None:
    drawn = permutations(1, 4, 48_000)
    counts = [int((drawn == order).all(axis=1).sum()) for order in itertools.permutations(range(4))]
    assert sum(counts) == 48_000
    assert stats.chisquare(counts).pvalue > FOUR_SIGMA


def test_fill_permutation__every_element_goes_everywhere() -> None:
    drawn = permutations(2, 23, 46_000)
    assert (np.sort(drawn, axis=1) == np.arange(23)).all()
    for place in range(23):
        assert stats.chisquare(np.bincount(drawn[:, place], minlength=23)).pvalue > FOUR_SIGMA


@pytest.mark.campaign
@pytest.mark.parametrize("shape", [0.5, 1.0, 3.7, 1e3])
def test_gamma__p_values_are_uniform(shape: float) -> None:
    law = stats.gamma(shape).cdf
    p_values = [stats.kstest(gammas(seed, shape, 5_000), law).pvalue for seed in range(1_000)]
    assert stats.kstest(p_values, "uniform").pvalue > FOUR_SIGMA


@pytest.mark.campaign
def test_fill_normals__p_values_are_uniform() -> None:
    p_values = [stats.kstest(normals(seed, 0, 5_000), "norm").pvalue for seed in range(2_000)]
    assert stats.kstest(p_values, "uniform").pvalue > FOUR_SIGMA
