"""Small dense linear algebra with a fixed order of summation.

BLAS is not used: its order of summation depends on how it was built and threaded.
"""

import math

import numpy as np

from simdyn.kernels.compiled import borrowing, kernel
from simdyn.kernels.products import reflect, write_inner_products
from simdyn.kernels.workspace import pad


@borrowing
def dot(a, b):
    """Σ_c a_c b_c in four fixed partial sums, so that it can run in vector lanes."""
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    whole = a.size - a.size % 4
    for c in range(0, whole, 4):
        s0 += a[c] * b[c]
        s1 += a[c + 1] * b[c + 1]
        s2 += a[c + 2] * b[c + 2]
        s3 += a[c + 3] * b[c + 3]
    for c in range(whole, a.size):
        s0 += a[c] * b[c]
    return (s0 + s1) + (s2 + s3)


@borrowing
def squared_norm(dictionary, k):
    """‖v_k‖² of row k of a `Dictionary`."""
    if dictionary.gram.size > 0:
        return dictionary.gram[k, k]
    return dot(dictionary.rows[k], dictionary.rows[k])


@borrowing
def fill(out, value):
    """Out ← value for an array of two axes."""
    for k in range(out.shape[0]):
        for f in range(out.shape[1]):
            out[k, f] = value


@borrowing
def clear(vector):
    """Vector ← 0."""
    for c in range(vector.size):
        vector[c] = 0.0


@borrowing
def copy(source, out):
    """Out ← source for two arrays of equal shape (p, w)."""
    for k in range(out.shape[0]):
        for f in range(out.shape[1]):
            out[k, f] = source[k, f]


@borrowing
def multiply(array, factor):
    """Array ← factor · array, for two axes."""
    for k in range(array.shape[0]):
        for f in range(array.shape[1]):
            array[k, f] *= factor


@borrowing
def same(a, b):
    """Are two vectors equal in every entry?"""
    c = 0
    while c < a.size and a[c] == b[c]:
        c += 1
    return c == a.size


@borrowing
def all_finite(array):
    """Is every entry of an array of two axes finite?"""
    for k in range(array.shape[0]):
        for f in range(array.shape[1]):
            if not math.isfinite(array[k, f]):
                return False
    return True


@borrowing
def normalise(vector):
    """Scale a vector to length one; returns its length before, 0 if it has none."""
    length = math.sqrt(dot(vector, vector))
    if length > 0.0:
        for c in range(vector.size):
            vector[c] /= length
    return length


@kernel
def inner_products(a, b):
    """A bᵀ for (p, D) and (q, D)."""
    out = np.empty((a.shape[0], b.shape[0]))
    write_inner_products(a, b, out)
    return out


@kernel
def gram_of(rows):
    """G = V Vᵀ, (q, q), or (0, 0) if products by V and Vᵀ cost less: see `Dictionary`."""
    q, width = rows.shape
    return np.zeros((0, 0)) if q > 2 * width else inner_products(rows, rows)


@kernel
def scale_rows(rows):
    """Rows divided by powers of two that bring them near one, and these, (q,).

    Rows whose largest entry is within 2^±64 are left as they are: products of a few of them are
    far from the ends of a double.
    """
    out, units = rows.copy(), np.ones(rows.shape[0])
    for k in range(rows.shape[0]):
        largest, finite = 0.0, True
        for c in range(rows.shape[1]):
            largest = max(largest, abs(rows[k, c]))
            finite &= math.isfinite(rows[k, c])
        exponent = math.frexp(largest)[1] if finite else 0
        if abs(exponent) > 64:
            units[k] = math.ldexp(1.0, min(exponent, 1023))
            for c in range(rows.shape[1]):
                out[k, c] /= units[k]
    return out, units


@kernel
def lower_factor(rows):
    """L (p, r), r = min(p, D), lower triangular with L Lᵀ = rows rowsᵀ, by Householder.

    No pivot and no rank is needed: a zero remainder is left as it is. Equal rows stay equal.
    """
    p, width = rows.shape
    rank, lanes = min(p, width), pad(p)
    columns, normal, along = np.zeros((width, lanes)), np.empty(width), np.empty(lanes)
    for k in range(p):
        for c in range(width):
            columns[c, k] = rows[k, c]
    for i in range(rank):
        largest = 0.0
        for c in range(i, width):
            normal[c] = columns[c, i]
            largest = max(largest, abs(normal[c]))
        if largest == 0.0:
            continue
        square = 0.0
        for c in range(i, width):
            square += (normal[c] / largest) * (normal[c] / largest)
        length = math.copysign(largest * math.sqrt(square), normal[i])
        # Reflect along x + sign(x₀)‖x‖e₀, scaled so that its first entry is one. What that makes of
        # the rows before, below their diagonal, is not used.
        first = normal[i] + length
        for c in range(i + 1, width):
            normal[c] /= first
        normal[i] = 1.0
        reflect(columns, i, normal, first / length, along)
        columns[i, i] = -length
    factor = np.zeros((p, rank))
    for k in range(p):
        for c in range(min(k + 1, rank)):
            factor[k, c] = columns[c, k]
        for i in range(k):
            if same(rows[i], rows[k]):
                factor[k] = factor[i]
                break
    return factor


@borrowing
def apply_lower(factor, vector, out):
    """Out = L · vector for a lower-triangular (p, r) factor."""
    for k in range(factor.shape[0]):
        known = min(k + 1, factor.shape[1])
        out[k] = dot(factor[k, :known], vector[:known])


@borrowing
def apply_lower_to_columns(factor, columns, out, sums):
    """Out = L · columns, (p, w): `apply_lower` for each column, to the same bits.

    `sums` is room for (4, w).
    """
    width = columns.shape[1]
    for k in range(factor.shape[0]):
        known = min(k + 1, factor.shape[1])
        whole = known - known % 4
        fill(sums, 0.0)
        for c in range(known):
            total, entry = sums[c % 4 if c < whole else 0], factor[k, c]
            for j in range(width):
                total[j] += entry * columns[c, j]
        for j in range(width):
            out[k, j] = (sums[0, j] + sums[1, j]) + (sums[2, j] + sums[3, j])
