"""The nearest failure that a set of filters causes, in closed form.

With a_f = |slope_f| times row f of the factor, and filters called wrong if slope_f < 0, −φ falls
along a unit direction α at the rate

    fall(α) = Σ_{f wrong} σ(a_f·α) − Σ_{f right} σ(a_f·α).

For a set S of wrong filters, a minimax argument gives the best direction from a small bounded
least-squares problem, which coordinate descent in the Gram matrix of the a_f solves:

    max_{|α|≤1} Σ_S a_f·α − Σ_right σ(a_f·α) = min_{β∈[0,1]^right} ‖Σ_S a_f − Σ_right β_f a_f‖,

attained at α = residual/‖residual‖.

Under a shift the distance of failure is no longer offset/fall. With b_f = |slope_f| times filter
f's value at u = 0, a set fails if b_S + Σ_S a_f·u ≥ Σ_right σ(b_f + a_f·u), which is convex; its
nearest point is λv, at the distance

    max_{β∈[0,1]^right} (Σ_right β_f b_f − Σ_S b_f)/‖v‖,   v = Σ_S a_f − Σ_right β_f a_f,

by coordinate ascent in the dual, λ and β in turn. For the empty set all right filters are inactive,
so that the output is zero or less.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simdyn.kernels.compiled import borrowing, part
from simdyn.kernels.linear import inner_products
from simdyn.kernels.structures import Floats

MAX_DIRECTIONS = 64
MAX_SOLVES = 3000
WORK = 400_000_000  # multiply-adds a search may spend, whatever the width of the network
SWEEPS = 60

LEFT, VISITED, FOUND = range(3)  # entries of Search.counts


class Search(NamedTuple):
    """A search and what it found so far. F is the number of filters, r that of coordinates."""

    arrows: Floats  # a_f, (F, r)
    gram: Floats  # a_f·a_g, (F, F)
    wrong: npt.NDArray[np.bool_]  # (F,)
    keys: npt.NDArray[np.uint64]  # a random word for each filter; a set's word is their XOR
    visited: npt.NDArray[np.uint64]  # words of the visited sets
    counts: npt.NDArray[np.int64]  # solves left, sets visited, maxima found
    beta: Floats  # (F,)
    along: Floats  # a_f·residual, (F,)
    sets: npt.NDArray[np.bool_]  # S of each maximum, (MAX_DIRECTIONS, F)
    falls: Floats  # (MAX_DIRECTIONS,); 1/distance under a shift
    shifts: Floats  # b_f, (F,), or (0,) if there is no shift
    reach: Floats  # under a shift, of the set solved last: λ and Σ β_f b_f − Σ_S b_f
    directions: Floats  # and room for one more, (MAX_DIRECTIONS + 1, r)
    betas: Floats  # β of each maximum, (MAX_DIRECTIONS, F)
    lengths: Floats  # λ of each maximum, (MAX_DIRECTIONS,)
    # Room for a climb: its start, where it stands, what it tries and the best of that, (4, F), and
    # β and the overlaps where it stands, (2, F)
    climbed: npt.NDArray[np.bool_]
    held: Floats


@part
def new_search(factor, slopes, shifted):
    """Room for a search, to be aimed at a label; `shifted`: signals are added to the noise."""
    filters, size = factor.shape
    arrows, keys = np.empty((filters, size)), np.empty(filters, np.uint64)
    word = np.uint64(0)
    for f in range(filters):
        for c in range(size):
            arrows[f, c] = abs(slopes[f]) * factor[f, c]
        # SplitMix64 (Steele, Lea and Flood, 2014): distinct sets get distinct words.
        word += np.uint64(0x9E3779B97F4A7C15)
        mixed = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        keys[f] = mixed ^ (mixed >> np.uint64(31))
    sets, of_filters = np.zeros((MAX_DIRECTIONS + 5, filters), np.bool_), np.zeros((4, filters))
    return Search(
        arrows,
        inner_products(arrows, arrows),
        sets[MAX_DIRECTIONS],
        keys,
        np.empty(MAX_SOLVES, np.uint64),
        np.zeros(3, np.int64),
        of_filters[0],
        of_filters[1],
        sets[:MAX_DIRECTIONS],
        np.empty(MAX_DIRECTIONS),
        np.zeros(filters if shifted else 0),
        np.zeros(2),
        np.empty((MAX_DIRECTIONS + 1, size)),
        np.empty((MAX_DIRECTIONS, filters)),
        np.empty(MAX_DIRECTIONS),
        sets[MAX_DIRECTIONS + 1 :],
        of_filters[2:],
    )


@borrowing
def aim(search, pull, shift):
    """Begin a search for the failures of Σ_f pull_f σ(shift_f + (M u)_f); no shift: (0,)."""
    filters = pull.size
    for f in range(filters):
        search.wrong[f], search.beta[f], search.along[f] = pull[f] < 0.0, 0.0, 0.0
    for f in range(shift.size):
        search.shifts[f] = abs(pull[f]) * shift[f]
    search.counts[LEFT] = min(MAX_SOLVES, max(WORK // (SWEEPS * filters * filters), 20))
    search.counts[VISITED], search.counts[FOUND] = 0, 0
    search.reach[0], search.reach[1] = 0.0, 0.0


@borrowing
def is_new(search, chosen):
    """Note a set; False if it was visited before, is empty, or the budget is spent."""
    word = np.uint64(search.shifts.size > 0)  # under a shift the empty set is a set, too
    for f in range(chosen.size):
        if chosen[f]:
            word ^= search.keys[f]
    if word == np.uint64(0) or search.counts[LEFT] <= 0:
        return False
    for index in range(search.counts[VISITED]):
        if search.visited[index] == word:
            return False
    search.visited[search.counts[VISITED]] = word
    search.counts[VISITED] += 1
    return True


@borrowing
def _gap(search, chosen):
    """Σ_right β_f b_f − Σ_S b_f: by how much a set falls short of failing at u = 0."""
    gap = 0.0
    for f in range(chosen.size):
        if chosen[f]:
            gap -= search.shifts[f]
        elif not search.wrong[f]:
            gap += search.beta[f] * search.shifts[f]
    return gap


@borrowing
def _set_residual(search, chosen):
    """Overlaps a_f·v of the residual v = Σ_S a_f − Σ_right β_f a_f."""
    gram, beta, along, wrong = search.gram, search.beta, search.along, search.wrong
    for f in range(chosen.size):
        along[f] = 0.0
    for g in range(chosen.size):  # by rows of G, which is symmetric
        if chosen[g]:
            for f in range(chosen.size):
                along[f] += gram[g, f]
        elif not wrong[g]:
            share = beta[g]
            for f in range(chosen.size):
                along[f] -= share * gram[g, f]


@borrowing
def _residual_square(search, chosen):
    """‖v‖², from β and the overlaps of v."""
    square = 0.0
    for f in range(chosen.size):
        if chosen[f]:
            square += search.along[f]
        elif not search.wrong[f]:
            square -= search.beta[f] * search.along[f]
    return square


@borrowing
def _solve_shifted(search, chosen):
    """As `solve` under a shift: 1/distance of a set's failures, 0 if it has none."""
    gram, beta, along, wrong = search.gram, search.beta, search.along, search.wrong
    shifts, filters, empty = search.shifts, chosen.size, True
    search.counts[LEFT] -= 1
    for f in range(filters):
        empty &= not chosen[f]
    gap = _gap(search, chosen)
    if empty or gap <= 0.0:  # from what is active at u = 0, where the gap is −φ_S(0) > 0
        for f in range(filters):
            beta[f] = 1.0 if shifts[f] > 0.0 and not empty else 0.0
        gap = _gap(search, chosen)
    _set_residual(search, chosen)
    length = 1.0  # λ; λβ has no bound if the set is empty
    for _ in range(SWEEPS):
        if not empty:
            square = _residual_square(search, chosen)
            if square <= 0.0 or gap <= 0.0:
                return 0.0
            length = gap / square
        change = 0.0
        for g in range(filters):
            if wrong[g] or gram[g, g] == 0.0:
                continue
            new = max(beta[g] + (along[g] + shifts[g] / length) / gram[g, g], 0.0)
            new = new if empty else min(new, 1.0)
            step = new - beta[g]
            if step != 0.0:
                beta[g] = new
                gap += step * shifts[g]
                for f in range(filters):
                    along[f] -= step * gram[g, f]
                change = max(change, abs(step))
        if change < 1e-9:
            break
    if empty:
        for f in range(filters):
            length = max(length, beta[f])
        for f in range(filters):
            beta[f] /= length
            along[f] /= length
    square = _residual_square(search, chosen)
    gap = length * square if empty else _gap(search, chosen)
    if square <= 0.0 or gap <= 0.0:
        return 0.0
    search.reach[0], search.reach[1] = gap / square, gap
    return math.sqrt(square) / gap if _fails(search) else 0.0


@borrowing
def _fails(search):
    """Does the network all but fail at the point λv found?"""
    before, after = 0.0, 0.0
    for f in range(search.wrong.size):
        sign = -1.0 if search.wrong[f] else 1.0
        before += sign * max(search.shifts[f], 0.0)
        after += sign * max(search.shifts[f] + search.reach[0] * search.along[f], 0.0)
    return after <= 0.1 * before


@borrowing
def solve(search, chosen):
    """The best fall of a set, with β and the overlaps of its residual in the search."""
    if search.shifts.size > 0:
        return _solve_shifted(search, chosen)
    gram, beta, along, wrong = search.gram, search.beta, search.along, search.wrong
    filters = chosen.size
    search.counts[LEFT] -= 1
    _set_residual(search, chosen)
    for _ in range(SWEEPS):
        change = 0.0
        for g in range(filters):
            if wrong[g] or gram[g, g] == 0.0:
                continue
            new = min(max(beta[g] + along[g] / gram[g, g], 0.0), 1.0)
            step = new - beta[g]
            if step != 0.0:
                beta[g] = new
                for f in range(filters):
                    along[f] -= step * gram[g, f]
                change = max(change, abs(step))
        if change < 1e-9:
            break
    return math.sqrt(max(_residual_square(search, chosen), 0.0))
