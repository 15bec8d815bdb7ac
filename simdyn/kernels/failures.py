"""Where failure is nearest: local maxima of −dφ/dt over unit directions α.

With a_f = |slope_f| times row f of the factor, and filters called wrong where slope_f < 0,

    fall(α) = Σ_{f wrong} σ(a_f·α) − Σ_{f right} σ(a_f·α).

For a set S of wrong filters, a minimax argument gives the best direction in closed form but for a
small bounded least-squares problem, solved by coordinate descent in the Gram matrix of the a_f:

    max_{|α|≤1} Σ_S a_f·α − Σ_right σ(a_f·α) = min_{β∈[0,1]^right} ‖Σ_S a_f − Σ_right β_f a_f‖,

attained at α = residual/‖residual‖. A set gives way to the wrong filters active at its direction,
which never lowers the fall, then to the best single exchange, until neither helps. If that ends in
more than one place, the search widens: starts from all pairs, and from all neighbours of each
maximum. Whatever it overlooks costs variance, never bias (see `risk`).

Under a shift the distance of failure is no longer offset/fall. With b_f = |slope_f| times filter
f's value at u = 0, a set fails where b_S + Σ_S a_f·u ≥ Σ_right σ(b_f + a_f·u), which is convex; its
nearest point is λv, at the distance

    max_{β∈[0,1]^right} (Σ_right β_f b_f − Σ_S b_f)/‖v‖,   v = Σ_S a_f − Σ_right β_f a_f,

by coordinate ascent in the dual, λ and β in turn. The search is then the same with offset 1 and
1/distance for the fall. The empty set is that where all right filters are inactive: the output is
zero or less there.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simdyn.kernels.compiled import borrowing, inlined
from simdyn.kernels.linear import dot, inner_products, normalise
from simdyn.kernels.structures import Floats

MAX_DIRECTIONS = 64
MAX_SOLVES = 3000
WORK = 400_000_000  # multiply-adds a search may spend, whatever the width of the network
SWEEPS = 60
FAR = 1.0  # failures nearer than this many standard deviations are seen by every direction
NEGLIGIBLE = 18.4  # a failure with r² larger by this has 1e-4 of the first one's mass
SAME = 1.0 - 1e-6  # cosine of directions taken for one

LEFT, VISITED, FOUND = 0, 1, 2
# Kinds of starts. From 0 on: the neighbours of that maximum, one or two exchanges away.
ALL, ALONE, ACTIVE, PAIR = -4, -3, -2, -1


class Search(NamedTuple):
    """A search and what it found so far. F is the number of filters, r that of coordinates."""

    arrows: Floats  # a_f, (F, r)
    gram: Floats  # a_f·a_g, (F, F)
    wrong: npt.NDArray[np.bool_]  # (F,)
    keys: npt.NDArray[np.uint64]  # a random word for each filter; a set's word is their XOR
    visited: npt.NDArray[np.uint64]  # words of the sets looked at
    counts: npt.NDArray[np.int64]  # solves left, sets visited, maxima found
    beta: Floats  # (F,)
    along: Floats  # a_f·residual, (F,)
    sets: npt.NDArray[np.bool_]  # S of each maximum, (MAX_DIRECTIONS, F)
    falls: Floats  # (MAX_DIRECTIONS,); 1/distance under a shift
    shifts: Floats  # b_f, (F,), or (0,) where there is no shift
    reach: Floats  # under a shift, of the set solved last: λ and Σ β_f b_f − Σ_S b_f
    directions: Floats  # (MAX_DIRECTIONS, r)
    betas: Floats  # β of each maximum, (MAX_DIRECTIONS, F)
    lengths: Floats  # λ of each maximum, (MAX_DIRECTIONS,)


class Failures(NamedTuple):
    """The nearest failures, the nearest first; at least one."""

    directions: Floats  # unit vectors, (k, r)
    distances: Floats  # 0 where not known, (k,)
    betas: Floats  # (k, F)
    lengths: Floats  # λ, (k,)


@inlined
def new_search(factor, slopes, shift):
    """A search that has found nothing yet."""
    filters, size = factor.shape
    arrows = np.empty((filters, size))
    wrong, keys = np.empty(filters, np.bool_), np.empty(filters, np.uint64)
    word, shifts = np.uint64(0), np.empty(shift.size)
    for f in range(shift.size):
        shifts[f] = abs(slopes[f]) * shift[f]
    for f in range(filters):
        wrong[f] = slopes[f] < 0.0
        for c in range(size):
            arrows[f, c] = abs(slopes[f]) * factor[f, c]
        # SplitMix64 (Steele, Lea and Flood, 2014): distinct sets get distinct words.
        word += np.uint64(0x9E3779B97F4A7C15)
        mixed = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        keys[f] = mixed ^ (mixed >> np.uint64(31))
    counts = np.zeros(3, np.int64)
    counts[LEFT] = min(MAX_SOLVES, max(WORK // (SWEEPS * filters * filters), 20))
    return Search(
        arrows,
        inner_products(arrows, arrows),
        wrong,
        keys,
        np.zeros(MAX_SOLVES, np.uint64),
        counts,
        np.zeros(filters),
        np.zeros(filters),
        np.zeros((MAX_DIRECTIONS, filters), np.bool_),
        np.zeros(MAX_DIRECTIONS),
        shifts,
        np.zeros(2),
        np.zeros((MAX_DIRECTIONS, size)),
        np.zeros((MAX_DIRECTIONS, filters)),
        np.zeros(MAX_DIRECTIONS),
    )


@borrowing
def _is_new(search, chosen):
    """Note a set; False where it was looked at before, is empty, or the budget is spent."""
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
    """As `_solve` under a shift: 1/distance of a set's failures, 0 where it has none."""
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
    for f in range(filters):
        along[f] = 0.0
        for g in range(filters):
            if chosen[g]:
                along[f] += gram[f, g]
            elif not wrong[g]:
                along[f] -= beta[g] * gram[f, g]
    length = 1.0  # λ; with no bound on λβ where the set is empty
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
                    along[f] -= step * gram[f, g]
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
def _solve(search, chosen):
    """The best fall of a set, with β and the overlaps of its residual in the search."""
    if search.shifts.size > 0:
        return _solve_shifted(search, chosen)
    gram, beta, along, wrong = search.gram, search.beta, search.along, search.wrong
    filters = chosen.size
    search.counts[LEFT] -= 1
    for f in range(filters):
        along[f] = 0.0
        for g in range(filters):
            if chosen[g]:
                along[f] += gram[f, g]
            elif not wrong[g]:
                along[f] -= beta[g] * gram[f, g]
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
                    along[f] -= step * gram[f, g]
                change = max(change, abs(step))
        if change < 1e-9:
            break
    square = 0.0
    for f in range(filters):
        if chosen[f]:
            square += along[f]
        elif not wrong[f]:
            square -= beta[f] * along[f]
    return math.sqrt(max(square, 0.0))


@inlined
def _keep(search, chosen, fall):
    """Keep a maximum unless its direction is known; the worst gives way where there is no room."""
    size = search.arrows.shape[1]
    direction = np.zeros(size)
    for f in range(chosen.size):
        weight = 1.0 if chosen[f] else (0.0 if search.wrong[f] else -search.beta[f])
        if weight != 0.0:
            for c in range(size):
                direction[c] += weight * search.arrows[f, c]
    if normalise(direction) == 0.0:
        return
    found = search.counts[FOUND]
    for k in range(found):
        if dot(search.directions[k], direction) > SAME:
            return
    place = found
    if found == MAX_DIRECTIONS:
        place = 0
        for k in range(found):
            if search.falls[k] < search.falls[place]:
                place = k
        if search.falls[place] >= fall:
            return
    else:
        search.counts[FOUND] += 1
    search.falls[place], search.lengths[place] = fall, search.reach[0]
    for c in range(size):
        search.directions[place, c] = direction[c]
    for f in range(chosen.size):
        search.sets[place, f], search.betas[place, f] = chosen[f], search.beta[f]


@borrowing
def _propose(search, chosen, fall, move, trial):
    """Set `trial` to what a move makes of a set; False where it cannot raise the fall.

    Move −1 takes the wrong filters active at the set's direction, move f exchanges filter f.
    `search.along` and `search.reach` must be those of the set.
    """
    worth, shifted = False, search.shifts.size > 0
    if move < 0:
        for f in range(chosen.size):
            value = search.along[f]
            if shifted:
                value = search.shifts[f] + search.reach[0] * value
            trial[f] = search.wrong[f] and value > 0.0
            worth |= trial[f] != chosen[f]
        return worth
    if not search.wrong[move]:
        return False
    for f in range(chosen.size):
        trial[f] = chosen[f] != (f == move)
    # With β held the square of the fall would change by this; the best β only lowers it.
    turn = -2.0 * search.along[move] if chosen[move] else 2.0 * search.along[move]
    if shifted:
        gap = search.reach[1] + (search.shifts[move] if chosen[move] else -search.shifts[move])
        square = (fall * search.reach[1]) ** 2 + turn + search.gram[move, move]
        return gap <= 0.0 or square > (1.0 + 1e-9) * (fall * gap) ** 2
    return turn + search.gram[move, move] > 1e-9 * fall * fall


@inlined
def climb(search, start):
    """From a set of wrong filters to a local maximum, which is kept."""
    filters = start.size
    chosen, trial = np.empty(filters, np.bool_), np.empty(filters, np.bool_)
    best = np.empty(filters, np.bool_)
    beta, along = np.empty(filters), np.empty(filters)
    for f in range(filters):
        chosen[f] = start[f] and search.wrong[f]
        search.beta[f] = 0.0
    while _is_new(search, chosen):
        fall = _solve(search, chosen)
        length, gap = search.reach[0], search.reach[1]
        for f in range(filters):
            beta[f], along[f] = search.beta[f], search.along[f]
        if search.shifts.size > 0 and not _propose(search, chosen, fall, -1, trial):
            _keep(search, chosen, fall)  # a nearest failure, though an exchange may find a nearer
        best_fall, moved = fall * (1.0 + 1e-9), False
        for move in range(-1, filters):
            for f in range(filters):
                search.along[f] = along[f]
            search.reach[0], search.reach[1] = length, gap
            if not _propose(search, chosen, fall, move, trial) or search.counts[LEFT] <= 0:
                continue
            other = _solve(search, trial)
            if other > best_fall or (move < 0 and other >= fall * (1.0 - 1e-12)):
                best_fall, moved = max(other, best_fall), True
                for f in range(filters):
                    best[f] = trial[f]
                if move < 0:
                    break
        search.reach[0], search.reach[1] = length, gap
        for f in range(filters):
            search.beta[f] = beta[f]
        if not moved:
            _keep(search, chosen, fall)
            return
        for f in range(filters):
            chosen[f] = best[f]


@borrowing
def _best(search):
    """The largest fall found, 0 where there is none."""
    best = 0.0
    for k in range(search.counts[FOUND]):
        best = max(best, search.falls[k])
    return best


@borrowing
def _start(search, kind, first, second, start):
    """Set `start` to the set that a climb begins at."""
    for f in range(start.size):
        named = f in (first, second)
        if kind == ALL:
            start[f] = True
        elif kind == ACTIVE:  # in the filter's direction, or against it where it is right
            overlap = search.gram[first, f]
            start[f] = (overlap > 0.0) == search.wrong[first] and overlap != 0.0
        elif kind < 0:
            start[f] = named
        else:
            start[f] = search.sets[kind, f] != named


@inlined
def explore(search, offset):
    """Find the maxima worth knowing at a distance offset/fall of the nearest failure."""
    filters = search.wrong.size
    start = np.empty(filters, np.bool_)
    kind = ALL
    while kind < search.counts[FOUND]:
        if kind < 0 or search.falls[kind] > 0.8 * _best(search):
            for first in range(1 if kind == ALL else filters):
                for second in range(first, filters if kind >= PAIR else first + 1):
                    _start(search, kind, first, second, start)
                    climb(search, start)
        if kind == ALL and offset <= FAR * _best(search):
            return
        if kind == ACTIVE and search.counts[FOUND] <= 1:
            return
        kind += 1


@inlined
def nearest_failures(offset, slopes, factor, shift):
    """The nearest failures; several only where failure is rare and they compete with the first.

    Under a shift (F,) the offset is to be 1, and φ(0) > 0.
    """
    search = new_search(factor, slopes, shift)
    explore(search, offset)
    filters, size = factor.shape
    most = max(search.counts[FOUND], 1)
    found = Failures(
        np.zeros((most, size)), np.zeros(most), np.zeros((most, filters)), np.zeros(most)
    )
    nearest, count = _best(search), 0
    for _ in range(search.counts[FOUND]):
        best = 0
        for k in range(search.counts[FOUND]):
            if search.falls[k] > search.falls[best]:
                best = k
        fall = search.falls[best]
        if fall <= 0.0 or (count > 0 and offset <= FAR * nearest):
            break
        if (offset / fall) ** 2 - (offset / nearest) ** 2 > NEGLIGIBLE:
            break
        found.distances[count], found.lengths[count] = offset / fall, search.lengths[best]
        for c in range(size):
            found.directions[count, c] = search.directions[best, c]
        for f in range(filters):
            found.betas[count, f] = search.betas[best, f]
        search.falls[best] = -1.0
        count += 1
    if count == 0:
        found.directions[0, 0] = 1.0
        count = 1
    return Failures(
        found.directions[:count],
        found.distances[:count],
        found.betas[:count],
        found.lengths[:count],
    )


@inlined
def no_failures(filters, directions):
    """Directions of which nothing more is known."""
    count = directions.shape[0]
    return Failures(directions, np.zeros(count), np.zeros((count, filters)), np.zeros(count))
