"""The dictionary's two operators, G C and V (Vᵀ C): chosen by cost, and equal to rounding."""

import numpy as np
import pytest
from numba.core.errors import TypingError

import simdyn
from simdyn.kernels.linear import inner_products, lower_factor
from simdyn.kernels.structures import Dictionary


def problem_of(q: int, d: int, seed: int = 0) -> simdyn.Problem:
    """A problem of q distinct vectors, two patches a sample."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((q, d)) / np.sqrt(d)
    patches = vectors.reshape(q // 2, 2, d)
    labels = rng.choice([-1.0, 1.0], q // 2)
    return simdyn.Problem.from_patches(patches, labels, 0.1 * rng.standard_normal((2, 2, d)))


def is_factored(problem: simdyn.Problem) -> bool:
    return problem.arrays.dictionary.gram.size == 0


def multiply_adds(q: int, d: int) -> dict[bool, int]:
    """Of one product with a column, for the factored operator and the dense one."""
    return {True: 2 * q * d, False: q * q}


def with_operator(problem: simdyn.Problem, factored: bool) -> simdyn.Problem:
    """The same problem with the operator told."""
    vectors, ones = problem.vectors, np.ones(len(problem.vectors))
    dictionary = (
        Dictionary(np.zeros((0, 0)), vectors.copy(), ones)
        if factored
        else Dictionary(inner_products(vectors, vectors), np.zeros((len(vectors), 0)), ones)
    )
    arrays = problem.arrays._replace(dictionary=dictionary)
    object.__setattr__(problem, "arrays", arrays)  # frozen for users
    return problem


@pytest.mark.parametrize(
    ("q", "d", "factored"), [(20, 10**6, False), (4000, 64, True), (40, 20, False), (44, 20, True)]
)
def test_from_patches__takes_the_cheaper_operator(q: int, d: int, factored: bool) -> None:
    problem = problem_of(q, d)
    assert problem.vectors.shape == (q, d)
    assert is_factored(problem) is factored
    cost = multiply_adds(q, d)
    assert cost[factored] <= cost[not factored]
    held = sum(array.nbytes for array in problem.arrays.dictionary)
    assert held <= 8 * (max(q * q, 2 * q * d) + q)  # and the units of the vectors


@pytest.mark.parametrize(("q", "d"), [(20, 5000), (60, 30), (400, 16)])
@pytest.mark.parametrize("batch_size", [None, 5])
def test_train__operators_agree_to_rounding(q: int, d: int, batch_size: int | None) -> None:
    plan = [
        simdyn.SAM(radius=0.05, learning_rate=0.3, epochs=20, batch_size=batch_size, momentum=0.5),
        simdyn.SGD(learning_rate=0.3, epochs=20, batch_size=batch_size, weight_decay=0.01),
    ]
    record = simdyn.Record(every=1, variables=("margin", "sam_gap", "sharpness", "grad_norm"))
    dense, factored = (
        simdyn.train(with_operator(problem_of(q, d), kind), plan, seed=3, record=record)
        for kind in (False, True)
    )
    for name in record.variables or ():
        scale = np.abs(dense[name].values).max()
        assert scale > 0.0
        gap = np.abs(dense[name].values - factored[name].values).max()
        assert gap < 1e-10 * scale, name


def test_with_operator__makes_two_kinds() -> None:
    assert not is_factored(with_operator(problem_of(44, 20), False))
    assert is_factored(with_operator(problem_of(40, 20), True))


@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 41, 1000])
def test_inner_products__do_not_depend_on_where_rows_stand(width: int) -> None:
    rng = np.random.default_rng(width)
    rows = rng.standard_normal((9, width))
    rows[6], rows[8] = rows[1], rows[0]
    gram = inner_products(rows, rows)
    np.testing.assert_array_equal(gram, gram.T)
    np.testing.assert_array_equal(gram[6], gram[1])
    np.testing.assert_array_equal(gram[:, 8], gram[:, 0])
    np.testing.assert_array_equal(inner_products(rows[3:4], rows), gram[3:4])
    wide = rows.astype(np.longdouble)
    allowed = (2.0 + width / 8) * 2.0**-53 * (abs(wide) @ abs(wide).T)
    assert (abs(gram - wide @ wide.T) <= allowed).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (8, 8), (20, 41), (33, 17)])
@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150])
def test_lower_factor__has_the_same_inner_products(shape: tuple[int, int], scale: float) -> None:
    rows = np.random.default_rng(shape[0]).standard_normal(shape) * scale
    rows[-1] = rows[0]
    factor = lower_factor(rows)
    assert factor.shape == (shape[0], min(shape))
    np.testing.assert_array_equal(factor, np.tril(factor))
    np.testing.assert_array_equal(factor[-1], factor[0])
    wide, found = (x.astype(np.longdouble) / scale for x in (rows, factor))
    lengths = np.sqrt((wide**2).sum(axis=1))
    error = abs(found @ found.T - wide @ wide.T)
    assert (error <= 4.0 * shape[1] * 2.0**-53 * np.outer(lengths, lengths)).all()


def test_lower_factor__rows_of_zeros_and_of_few_directions() -> None:
    rows = np.zeros((6, 4))
    np.testing.assert_array_equal(lower_factor(rows), 0.0)
    rows[1, 2], rows[2, 2], rows[4] = 3.0, -1.5, 1.0
    factor = lower_factor(rows)
    np.testing.assert_allclose(factor @ factor.T, rows @ rows.T, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(factor[0], 0.0)


@pytest.mark.parametrize("rows", [np.ones((3, 4)).T, np.ones((3, 4), np.float32), np.ones(3)])
def test_inner_products__of_what_cannot_be_read_right_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(TypingError, match="C-contiguous float64 arrays of 2 axes"):
        inner_products(rows, np.ones((2, 4)))
