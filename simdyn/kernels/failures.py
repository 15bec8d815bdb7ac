"""The nearest failures: local maxima of the fall over unit directions, see `failing_sets`.

A set is replaced by the wrong filters active at its direction, which never lowers the fall, then
by the best single exchange, until neither helps. If that finds more than one maximum, the search
also starts from all pairs, and from all neighbours of each maximum. A failure that it misses costs
variance, never bias (see `line_estimate`). Under a shift the search is the same with offset 1 and
1/distance for the fall.
"""

from typing import NamedTuple

import numpy as np

from simdyn.kernels.compiled import borrowing, inlined, part
from simdyn.kernels.failing_sets import FOUND, LEFT, MAX_DIRECTIONS, aim, is_new, solve
from simdyn.kernels.linear import clear, dot, normalise
from simdyn.kernels.structures import Floats

FAR = 1.0  # failures nearer than this many standard deviations are seen by every direction
NEGLIGIBLE = 18.4  # a failure with r² larger by this has 1e-4 of the first one's mass
SAME = 1.0 - 1e-6  # cosine of directions taken for one
# Kinds of starts. From 0 on: the neighbours of that maximum, one or two exchanges away.
ALL, ALONE, ACTIVE, PAIR = -4, -3, -2, -1


class Failures(NamedTuple):
    """The nearest failures, the nearest first; at least one."""

    directions: Floats  # unit vectors, (k, r)
    distances: Floats  # 0 if not known, (k,)
    betas: Floats  # (k, F)
    lengths: Floats  # λ, (k,)


@borrowing
def _keep(search, chosen, fall):
    """Keep a maximum unless its direction is known; if there is no room, in place of the worst."""
    size = search.arrows.shape[1]
    found = search.counts[FOUND]
    direction = search.directions[found]
    clear(direction)
    for f in range(chosen.size):
        weight = 1.0 if chosen[f] else (0.0 if search.wrong[f] else -search.beta[f])
        if weight != 0.0:
            for c in range(size):
                direction[c] += weight * search.arrows[f, c]
    if normalise(direction) == 0.0:
        return
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
    """Set `trial` to what a move makes of a set; False if it cannot raise the fall.

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


@borrowing
def climb(search, start):
    """From a set of wrong filters to a local maximum, which is kept."""
    filters, beta, along = start.size, search.held[0], search.held[1]
    chosen, trial, best = search.climbed[1], search.climbed[2], search.climbed[3]
    for f in range(filters):
        chosen[f] = start[f] and search.wrong[f]
        search.beta[f] = 0.0
    while is_new(search, chosen):
        fall = solve(search, chosen)
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
            other = solve(search, trial)
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
def best_fall(search):
    """The largest fall found, 0 if there is none."""
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
        elif kind == ACTIVE:  # in the filter's direction, or against it if it is right
            overlap = search.gram[first, f]
            start[f] = (overlap > 0.0) == search.wrong[first] and overlap != 0.0
        elif kind < 0:
            start[f] = named
        else:
            start[f] = search.sets[kind, f] != named


@borrowing
def explore(search, offset):
    """Find the maxima worth knowing at a distance offset/fall of the nearest failure."""
    filters, start = search.wrong.size, search.climbed[0]
    kind = ALL
    while kind < search.counts[FOUND]:
        if kind < 0 or search.falls[kind] > 0.8 * best_fall(search):
            for first in range(1 if kind == ALL else filters):
                for second in range(first, filters if kind >= PAIR else first + 1):
                    _start(search, kind, first, second, start)
                    climb(search, start)
        if kind == ALL and offset <= FAR * best_fall(search):
            return
        if kind == ACTIVE and search.counts[FOUND] <= 1:
            return
        kind += 1


@part
def nearest_failures(search, offset, pull, shift):
    """The nearest failures; several only if failure is rare and they compete with the first.

    `search` is one of the same network, of any label. Under a shift (F,) the offset is to be 1, and
    φ(0) > 0.
    """
    aim(search, pull, shift)
    explore(search, offset)
    filters, size = search.arrows.shape
    most = max(search.counts[FOUND], 1)
    found = Failures(
        np.zeros((most, size)), np.zeros(most), np.zeros((most, filters)), np.zeros(most)
    )
    nearest, count = best_fall(search), 0
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
    """Directions without distances."""
    count = directions.shape[0]
    return Failures(directions, np.zeros(count), np.zeros((count, filters)), np.zeros(count))
