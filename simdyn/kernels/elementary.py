"""Exponential, logarithm, sine and cosine in vector lanes, to a few units in the last place.

Series of our own: they cost less than a call for each lane, and do not depend on the mathematics
library of a machine.
"""

import math
from collections.abc import Sequence

from simdyn.kernels.lanes import Lanes, Words, bits_of, doubles_of, fused, nearest, number

_LOG2_E, _LOG_2 = 1.4426950408889634, (0.6931471803691238, 1.9082149292705877e-10)
_EXP = [1.0 / math.factorial(k) for k in range(13, 1, -1)]
_LOG = [2.0 / (2 * j + 1) for j in range(10, 0, -1)]
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
_HALF_PI = math.pi / 2.0
_SINE = [(-1) ** k * _HALF_PI ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(8, -1, -1)]
_COSINE = [(-1) ** k * _HALF_PI ** (2 * k) / math.factorial(2 * k) for k in range(8, -1, -1)]


def _polynomial(coefficients: Sequence[float], x: Lanes) -> Lanes:
    """The highest power first."""
    total = number(x.builder, coefficients[0])
    for coefficient in coefficients[1:]:
        total = fused(total, x, number(x.builder, coefficient))
    return total


def _power_of_two(exponents: Words) -> Lanes:
    """2^k from −1022 to 1023."""
    return ((exponents + 1023) << 52).as_doubles()


def _turned(value: Lanes, two: Words) -> Lanes:
    """Minus the value if the word is 2, the value if it is 0."""
    return (bits_of(value) ^ (two << 62)).as_doubles()


def exp_below_zero(x: Lanes) -> Lanes:
    """exp(x) for x ≤ 0; subnormal if it must be.

    exp(x) = 2^k exp(r), r = x − k log 2 in two parts (Cody and Waite), |r| ≤ log(2)/2, where the
    Taylor polynomial of degree 13 is exact to 4e-18. Below e^−750 nothing is left of a double.
    """
    least = number(x.builder, -750.0)
    x = (x > least).choose(x, least)
    multiple, k = nearest(x, _LOG2_E)
    r = fused(multiple, number(x.builder, -_LOG_2[0]), x)
    r = fused(multiple, number(x.builder, -_LOG_2[1]), r)
    value = fused(r * r, _polynomial(_EXP, r), r) + number(x.builder, 1.0)
    half = k.halved()
    return value * _power_of_two(half) * _power_of_two(k - half)


def log(x: Lanes) -> Lanes:
    """Natural logarithm of normal x > 0.

    Of x = 2^k (1 + f) with 1 + f from √½ to √2, by log(1 + f) = 2 Σ_j s^(2j+1)/(2j + 1) with
    s = f/(2 + f); the first term left out is 6e-19 of it.
    """
    bits, one = bits_of(x), number(x.builder, 1.0)
    k = (bits - _ROOT_HALF_BITS).exponent()
    f = (bits - (k << 52)).as_doubles() - one
    s = f / (f + number(x.builder, 2.0))
    square, power = s * s, doubles_of(k)
    rest = fused(-square, _polynomial(_LOG, square), f)  # 2s = f − s f
    low = fused(power, number(x.builder, -_LOG_2[1]), s * rest)
    return fused(power, number(x.builder, _LOG_2[0]), f - low)


def cosine_and_sine(turns: Lanes) -> tuple[Lanes, Lanes]:
    """Cosine and sine of 2π·turns.

    By the Taylor series in r = 4·turns − k, |r| ≤ ½, k the nearest quarter of a turn: r is exact,
    and the first terms left out are below 2e-18.
    """
    whole, quarter = nearest(turns, 4.0)
    r = turns * number(turns.builder, 4.0) - whole
    square = r * r
    sine, cosine, odd = r * _polynomial(_SINE, square), _polynomial(_COSINE, square), quarter.odd()
    cosine, sine = odd.choose(sine, cosine), odd.choose(cosine, sine)
    return _turned(cosine, (quarter + 1) & 2), _turned(sine, quarter & 2)
