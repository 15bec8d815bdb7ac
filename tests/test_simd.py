"""Vector arithmetic of the kernels against extended precision."""

import numba
import numpy as np
import pytest

from simdyn.kernels.simd import (
    add_scaled_blocks,
    flat_dot,
    mark,
    pull_active,
    rectified_sums,
    sparse_product,
    to_logistic_slopes,
)
from simdyn.kernels.workspace import padded, room_for_marks, zeros


@numba.njit(error_model="numpy", fastmath={"contract"})
def _slopes(margins, count):
    to_logistic_slopes(margins, count)
    return margins


def plain(margins: np.ndarray) -> np.ndarray:
    """−1/(1 + exp(margin)) in extended precision."""
    wide = margins.astype(np.longdouble)
    decay = np.exp(-abs(wide))
    return np.where(wide >= 0, -decay, -1.0) / (1.0 + decay)


@pytest.mark.parametrize("reach", [1.0, 40.0, 700.0])
def test_to_logistic_slopes__three_units_in_the_last_place(reach: float) -> None:
    margins = np.random.default_rng(0).uniform(-reach, reach, 40_000)
    wanted = plain(margins)
    error = abs(_slopes(margins.copy(), margins.size) - wanted)
    assert (error <= 3 * np.spacing(abs(wanted).astype(np.float64))).all()


def test_to_logistic_slopes__subnormal_zero_and_saturated() -> None:
    margins = np.array([0.0, -0.0, 744.0, 745.1, 746.0, 800.0, -800.0, 1e308])
    slopes = _slopes(margins.copy(), margins.size)
    np.testing.assert_array_equal(slopes[:2], -0.5)
    np.testing.assert_allclose(slopes[2:4], plain(margins[2:4]).astype(float), atol=5e-324, rtol=0)
    assert (slopes[2:4] < 0).all(), "not zero before a double ends"
    np.testing.assert_array_equal(slopes[4:], [0.0, 0.0, -1.0, 0.0])


def test_to_logistic_slopes__leaves_what_lies_beyond_the_count() -> None:
    """Up to the next multiple of eight, which is the width of a vector."""
    slopes = _slopes(np.zeros(24), 9)
    np.testing.assert_array_equal(slopes, [-0.5] * 16 + [0.0] * 8)


@numba.njit(error_model="numpy", fastmath={"contract"})
def _products(array, matrix):
    """The marks of an array, its product over them, and that over all entries."""
    rows, width = matrix.shape[0], (matrix.shape[1] + 7) // 8 * 8
    terms = (rows + 7) // 8 * 8
    left = padded(array, array.shape[0], terms)
    right = padded(matrix, terms, width)
    marks = room_for_marks(*left.shape)
    some, every = zeros(array.shape[0], width), zeros(array.shape[0], width)
    some[:], every[:] = np.nan, np.nan
    mark(left, marks)
    sparse_product(left, marks, right, some)
    full = room_for_marks(*left.shape)
    for k in range(rows):
        for f in range(array.shape[0]):
            full[f, k // 64] |= 1 << (k % 64)
    sparse_product(left, full, right, every)
    return marks, some[:, : matrix.shape[1]], every[:, : matrix.shape[1]]


SHAPES = [(2, 1, 1), (2, 7, 8), (4, 21, 21), (20, 63, 41), (6, 64, 56), (6, 65, 57), (4, 140, 190)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.0, 0.05, 0.4, 1.0])
def test_sparse_product__is_the_product_to_the_bit(
    shape: tuple[int, int, int], density: float
) -> None:
    filters, rows, width = shape
    rng = np.random.default_rng(rows)
    array, matrix = rng.normal(size=(filters, rows)), rng.normal(size=(rows, width))
    array[rng.random(array.shape) > density] = 0.0
    marks, some, every = _products(array, matrix)
    for k in range(64 * marks.shape[1]):
        marked = (marks[:, k // 64] >> (k % 64)) & 1
        np.testing.assert_array_equal(marked, array[:, k] != 0.0 if k < rows else 0)
    np.testing.assert_array_equal(some, every)
    np.testing.assert_allclose(every, array @ matrix, rtol=1e-12, atol=1e-12)


@numba.njit(error_model="numpy", fastmath={"contract"})
def _sums(overlaps, down, blocks):
    sums = np.full(2 * overlaps.shape[1], 7.0)
    rectified_sums(overlaps, down, blocks, sums)
    return sums


def listed(*blocks: int) -> np.ndarray:
    return np.array(blocks, np.uint64)


@pytest.mark.parametrize("down", [0, 8, 24])
@pytest.mark.parametrize("blocks", [(0, 1, 2), (2, 0), ()])
def test_rectified_sums__are_those_of_each_bank_in_order(
    down: int, blocks: tuple[int, ...]
) -> None:
    overlaps = np.random.default_rng(1).normal(size=(10, 24)) * 10.0 ** np.arange(24)
    sums = _sums(overlaps, down, listed(*blocks))
    for k in range(24):
        for side, values in ((0, overlaps), (24, -overlaps)):
            plus = minus = 0.0
            for f in range(5):
                plus += max(values[f, k], 0.0)
                minus += max(values[5 + f, k], 0.0)
            summed = k // 8 in blocks and (side == 0 or k < down)
            assert sums[side + k] == (plus - minus if summed else 7.0)


def test_rectified_sums__equal_banks_and_numbers_that_are_none() -> None:
    overlaps = np.tile(np.random.default_rng(2).normal(size=(3, 8)), (2, 1))
    np.testing.assert_array_equal(_sums(overlaps, 8, listed(0)), 0.0)
    overlaps[:, :4] = [np.nan, np.inf, -np.inf, -0.0]
    overlaps[3:, 1:3] = 0.0
    np.testing.assert_array_equal(
        _sums(overlaps, 8, listed(0))[[0, 1, 2, 3, 8, 9, 10, 11]],
        [np.nan, np.inf, 0.0, 0.0, np.nan, 0.0, np.inf, 0.0],
    )


@numba.njit(error_model="numpy", fastmath={"contract"})
def _pulled(overlaps, down, pulls, lift, blocks):
    out = np.full_like(overlaps, 7.0)
    bits = np.full((overlaps.shape[0], 1), -1)
    pull_active(overlaps, down, pulls, lift, blocks, out, bits)
    return out, bits


@pytest.mark.parametrize("down", [0, 8, 16])
@pytest.mark.parametrize("blocks", [(0, 1), (1,), ()])
def test_pull_active__is_the_slope_times_sign_and_pull(down: int, blocks: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    overlaps, pulls = rng.integers(-1, 2, size=(6, 16)) * rng.random((6, 16)), rng.normal(size=32)
    pulls[[3, 12]] = 0.0
    bank = np.array([1.0] * 3 + [-1.0] * 3)[:, None]
    above, below = (overlaps > 0) * pulls[:16], (overlaps < 0) * -pulls[16:]
    below[:, down:] = 0.0
    wanted = 0.25 * bank * (above + below)
    out, bits = _pulled(overlaps, down, pulls, 0.25, listed(*blocks))
    for k in range(16):
        some = k // 8 in blocks
        np.testing.assert_array_equal(out[:, k], wanted[:, k] if some else 7.0)
        np.testing.assert_array_equal(bits[:, 0] >> k & 1, (wanted[:, k] != 0.0) & some)
    assert (bits >> 16 == 0).all()


@numba.njit(error_model="numpy", fastmath={"contract"})
def _in_blocks(a, b, blocks):
    total = flat_dot(a, b, blocks)
    add_scaled_blocks(a, b, 0.5, blocks)
    return total


def test_blocks__dot_and_sum() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.integers(-9, 9, size=(2, 6, 24)).astype(float)
    wanted = a.copy()
    wanted[:, :8] += 0.5 * b[:, :8]
    wanted[:, 16:] += 0.5 * b[:, 16:]
    total = (a * b).sum() - (a * b)[:, 8:16].sum()
    assert _in_blocks(a, b, listed(2, 0)) == total, "small integers: exact in any order"
    np.testing.assert_array_equal(a, wanted)
