"""The counter-based generator: every draw is a pure function of what it is for.

Threefry-4x64 with 20 rounds (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
as 1, 2, 3", SC 2011). The key is (seed, replicate, purpose, 0), the counter the index of the
element drawn: neither shapes nor parameters enter, so replicate k is one set of unit draws for
every method, strength, rate and size.
"""

import math
from typing import NamedTuple

import numpy as np

from simdyn.kernels.compiled import borrowing
from simdyn.kernels.normals import PARITY, ROTATIONS, normals_of_row

# Purposes: one independent stream each. Numbers are part of NUMERICS_VERSION.
TRUE_LABEL = np.uint64(1)
LABEL_FLIP = np.uint64(2)
NOISE_ALONG_SIGNAL = np.uint64(3)
NOISE_ROW = np.uint64(4)
NOISE_RADIUS = np.uint64(5)
WEIGHT_ALONG_SIGNAL = np.uint64(6)
WEIGHT_ON_NOISE = np.uint64(7)
WEIGHT_ROW = np.uint64(8)
WEIGHT_RADIUS = np.uint64(9)
PARTITION = np.uint64(10)
TEST_POINT = np.uint64(11)
TEST_LABEL = np.uint64(12)
LABEL_NOISE = np.uint64(13)
VIEW = np.uint64(14)

_ZERO = np.uint64(0)
_WORD = np.uint64(64)
# Typed: a plain number would compile anew for each value.
_PARITY = np.uint64(PARITY)
(_R14, _R16), (_R52, _R57), (_R23, _R40), (_R5, _R37) = np.array(ROTATIONS[0], np.uint64)
(_R25, _R33), (_R46, _R12), (_R58, _R22), (_R32, _R32) = np.array(ROTATIONS[1], np.uint64)
_TWO_PI = 2.0 * math.pi


class Stream(NamedTuple):
    """Which set of draws: the study's seed and the replicate's number, both uint64."""

    seed: np.uint64
    replicate: np.uint64


@borrowing
def _rotate(word, bits):
    return (word << bits) | (word >> (_WORD - bits))


@borrowing
def _mix(a, b, bits):
    a = a + b
    return a, _rotate(b, bits) ^ a


@borrowing
def threefry(c0, c1, c2, c3, k0, k1, k2, k3):
    """Four 64-bit words from a 256-bit counter and a 256-bit key, all uint64."""
    keys = (k0, k1, k2, k3, _PARITY ^ k0 ^ k1 ^ k2 ^ k3)
    x0, x1, x2, x3 = c0 + k0, c1 + k1, c2 + k2, c3 + k3
    for group in range(5):
        if group % 2 == 0:
            x0, x1 = _mix(x0, x1, _R14)
            x2, x3 = _mix(x2, x3, _R16)
            x0, x3 = _mix(x0, x3, _R52)
            x2, x1 = _mix(x2, x1, _R57)
            x0, x1 = _mix(x0, x1, _R23)
            x2, x3 = _mix(x2, x3, _R40)
            x0, x3 = _mix(x0, x3, _R5)
            x2, x1 = _mix(x2, x1, _R37)
        else:
            x0, x1 = _mix(x0, x1, _R25)
            x2, x3 = _mix(x2, x3, _R33)
            x0, x3 = _mix(x0, x3, _R46)
            x2, x1 = _mix(x2, x1, _R12)
            x0, x1 = _mix(x0, x1, _R58)
            x2, x3 = _mix(x2, x3, _R22)
            x0, x3 = _mix(x0, x3, _R32)
            x2, x1 = _mix(x2, x1, _R32)
        turn = group + 1
        x0 += keys[turn % 5]
        x1 += keys[(turn + 1) % 5]
        x2 += keys[(turn + 2) % 5]
        x3 += keys[(turn + 3) % 5] + np.uint64(turn)
    return x0, x1, x2, x3


@borrowing
def block(stream, purpose, i, j):
    """The four words of element (i, j)."""
    return threefry(
        np.uint64(i), np.uint64(j), _ZERO, _ZERO, stream.seed, stream.replicate, purpose, _ZERO
    )


@borrowing
def to_uniform(word):
    """A word to the open unit interval: the midpoint of one of 2⁵² cells."""
    return (np.float64(word >> np.uint64(12)) + 0.5) * 2.0**-52


@borrowing
def to_normals(word_a, word_b):
    """Two independent standard normals from two words (Box and Muller)."""
    radius = math.sqrt(-2.0 * math.log(to_uniform(word_a)))
    angle = _TWO_PI * to_uniform(word_b)
    return radius * math.cos(angle), radius * math.sin(angle)


@borrowing
def uniform(stream, purpose, i, j):
    """One uniform in (0, 1) for element (i, j)."""
    return to_uniform(block(stream, purpose, i, j)[0])


@borrowing
def normal(stream, purpose, i, j):
    """One standard normal for element (i, j)."""
    w0, w1, _, _ = block(stream, purpose, i, j)
    return to_normals(w0, w1)[0]


@borrowing
def fill_normals(stream, purpose, i, out):
    """Standard normals for row i into `out`; entry c depends on (i, c) only, not on the length.

    Four of each block, by `to_normals` of its words two and two, see `normals`.
    """
    normals_of_row(stream.seed, stream.replicate, purpose, np.uint64(i), out)


@borrowing
def _log_acceptance_excess(y):
    """3 log(1 + y) − 3y + 3y²/2 − y³, by its series if the terms cancel."""
    if abs(y) > 0.02:
        return 3.0 * math.log1p(y) - 3.0 * y + 1.5 * y * y - y * y * y
    # 3 Σ_{k≥4} (−1)^{k+1} y^k / k; the first term left out is below 1e-19 of the leading one.
    total = 0.0
    for k in range(15, 3, -1):
        total = y * total + (3.0 / k if k % 2 == 1 else -3.0 / k)
    return y**4 * total


@borrowing
def gamma(stream, purpose, i, shape):
    """One Gamma(shape, 1) variate for element i, any shape > 0 (Marsaglia and Tsang, 2000).

    Attempts use their own counters, so the variate is a smooth function of `shape` but where an
    attempt is turned down, which for a large shape a happens with probability about 0.03/a.
    """
    boosted = shape + 1.0 if shape < 1.0 else shape
    third = boosted - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * third)
    for attempt in range(1000):
        w0, w1, w2, w3 = block(stream, purpose, i, attempt)
        x = to_normals(w0, w1)[0]
        y = c * x
        if y <= -1.0:
            continue
        # log u < x²/2 + third·(1 − v + log v) with v = (1 + y)³ and x² = 9·third·y².
        if math.log(to_uniform(w2)) < third * _log_acceptance_excess(y):
            cube = (1.0 + y) * (1.0 + y) * (1.0 + y)
            if shape < 1.0:
                return third * cube * to_uniform(w3) ** (1.0 / shape)
            return third * cube
    return boosted  # 1000 refusals in a row: probability below 1e-1000


@borrowing
def chi(stream, purpose, i, degrees):
    """One χ variate (the root of a χ²) with `degrees` > 0 degrees of freedom for element i."""
    return math.sqrt(2.0 * gamma(stream, purpose, i, 0.5 * degrees))


@borrowing
def fill_permutation(stream, purpose, i, out):
    """A uniformly random permutation of 0 … out.size − 1 for element i (Fisher and Yates)."""
    for k in range(out.size):
        out[k] = k
    for k in range(out.size - 1, 0, -1):
        other = min(int(uniform(stream, purpose, i, k) * (k + 1)), k)
        out[k], out[other] = out[other], out[k]
