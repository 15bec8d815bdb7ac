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
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simdyn.kernels.compiled import borrowing, inlined
from simdyn.kernels.linear import dot, inner_products, normalise
from simdyn.kernels.problem import Floats

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
    falls: Floats  # (MAX_DIRECTIONS,)
    directions: Floats  # (MAX_DIRECTIONS, r)


@inlined
def new_search(factor, slopes):
    """A search that has found nothing yet."""
    filters, size = factor.shape
    arrows = np.empty((filters, size))
    wrong, keys = np.empty(filters, np.bool_), np.empty(filters, np.uint64)
    word = np.uint64(0)
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
        np.zeros((MAX_DIRECTIONS, size)),
    )


@borrowing
def _is_new(search, chosen):
    """Note a set; False where it was looked at before, is empty, or the budget is spent."""
    word = np.uint64(0)
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
def _solve(search, chosen):
    """The best fall of a set, with β and the overlaps of its residual in the search."""
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
    search.falls[place] = fall
    for c in range(size):
        search.directions[place, c] = direction[c]
    for f in range(chosen.size):
        search.sets[place, f] = chosen[f]


@borrowing
def _propose(search, chosen, fall, move, trial):
    """Set `trial` to what a move makes of a set; False where it cannot raise the fall.

    Move −1 takes the wrong filters active at the set's direction, move f exchanges filter f.
    `search.along` must be that of the set.
    """
    worth = False
    if move < 0:
        for f in range(chosen.size):
            trial[f] = search.wrong[f] and search.along[f] > 0.0
            worth |= trial[f] != chosen[f]
        return worth
    if not search.wrong[move]:
        return False
    for f in range(chosen.size):
        trial[f] = chosen[f] != (f == move)
    # With β held the square of the fall would change by this; the best β only lowers it.
    turn = -2.0 * search.along[move] if chosen[move] else 2.0 * search.along[move]
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
        for f in range(filters):
            beta[f], along[f] = search.beta[f], search.along[f]
        best_fall, moved = fall * (1.0 + 1e-9), False
        for move in range(-1, filters):
            for f in range(filters):
                search.along[f] = along[f]
            if not _propose(search, chosen, fall, move, trial) or search.counts[LEFT] <= 0:
                continue
            other = _solve(search, trial)
            if other > best_fall or (move < 0 and other >= fall * (1.0 - 1e-12)):
                best_fall, moved = max(other, best_fall), True
                for f in range(filters):
                    best[f] = trial[f]
                if move < 0:
                    break
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
def failure_directions(offset, slopes, factor):
    """Unit directions (k, r) of the nearest failures, the nearest first.

    Always at least one; several only where failure is rare and they compete with the first.
    """
    search = new_search(factor, slopes)
    explore(search, offset)
    size = factor.shape[1]
    out = np.zeros((max(search.counts[FOUND], 1), size))
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
        for c in range(size):
            out[count, c] = search.directions[best, c]
        search.falls[best] = -1.0
        count += 1
    if count == 0:
        out[0, 0] = 1.0
        count = 1
    return out[:count]
