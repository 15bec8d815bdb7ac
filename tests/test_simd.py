"""Vector arithmetic of the kernels against extended precision."""

import numba
import numpy as np
import pytest

from simdyn.kernels.gradient import list_rows
from simdyn.kernels.simd import product, product_over, to_logistic_slopes


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
    """Up to the next multiple of four, which is the width of a vector."""
    slopes = _slopes(np.zeros(12), 5)
    np.testing.assert_array_equal(slopes, [-0.5] * 8 + [0.0] * 4)


@numba.njit(error_model="numpy", fastmath={"contract"})
def _products(matrix, columns):
    """The rows that are not zero, the product over them, and that over all."""
    rows = np.zeros(columns.shape[0], np.int64)
    some = np.empty((matrix.shape[0], columns.shape[1]))
    every = np.empty((matrix.shape[0], columns.shape[1]))
    count = list_rows(columns, rows)
    product_over(matrix, columns, some, rows, count)
    product(matrix, columns, every)
    return rows[:count], some, every


@pytest.mark.parametrize("shape", [(4, 1, 4), (8, 7, 8), (12, 40, 20), (24, 40, 4)])
@pytest.mark.parametrize("kept", [0, 1, 5])
def test_product_over__is_the_product_to_the_bit(shape: tuple[int, int, int], kept: int) -> None:
    height, terms, width = shape
    rng = np.random.default_rng(kept)
    matrix, columns = rng.normal(size=(height, terms)), rng.normal(size=(terms, width))
    columns[rng.permutation(terms)[min(kept, terms) :]] = 0.0
    rows, some, every = _products(matrix, columns)
    np.testing.assert_array_equal(rows, np.flatnonzero(columns.any(axis=1)))
    np.testing.assert_array_equal(some, every)
    np.testing.assert_allclose(every, matrix @ columns, rtol=1e-12, atol=1e-13)
