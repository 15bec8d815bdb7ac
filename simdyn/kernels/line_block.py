"""Many lines in one direction, side by side in vector lanes: `line_mass` for each, to its bits.

A filter rises on all of these lines or falls on all of them, so that all take the same steps:

    find_kinks    where each filter turns on or off, and what is active at the start of a line
    rank          the order of these kinks on each line
    find_edges    where φ < 0 begins and ends, interval by interval

Arrays are (filters, lines) or (…, lines), the number of lines a multiple of eight. What
`failing_mass` treats apart (a stretch on which φ is exactly zero, a number beyond a double) is
left to it.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from simdyn.kernels.compiled import borrowing, part
from simdyn.kernels.lanes import LANES, WORD, Variable, arrays_of, counting, fused, number
from simdyn.kernels.line_mass import failing_mass, interval_mass
from simdyn.kernels.structures import Cube, Indices, Matrix, Vector

LEVEL, RISE, ACTIVE, APART = range(4)  # rows of Block.first
KINK, STEP, RISING, TURN = range(4)  # parts of Block.ordered
CROSSINGS, LEFT_OUT = range(2)  # rows of Block.found


class Block(NamedTuple):
    """Room for L lines of F filters; `base` and `start` are what `failing_masses` is given."""

    base: Matrix  # (F, L)
    start: Vector  # (L,)
    kinks: Matrix  # t_f, or ∞ if the line has no kink of that filter beyond its start, (F, L)
    steps: Matrix  # what is added to φ's value at t = 0 at the kink, (F, L)
    first: Matrix  # just after the start: φ − offset at t = 0, its slope, active filters; (4, L)
    place: Matrix  # of each kink in the order of its line, (F, L)
    # In that order, and then ∞ and zeros: kinks, steps of the value and of the slope, and 1 or −1
    # for a filter that turns on or off; (4, F + 1, L).
    ordered: Cube
    edges: Matrix  # where φ < 0 begins and ends in turn, NaN: not here, (2F + 2, L)
    found: Matrix  # how many edges, and whether the line is left to `failing_mass`, (2, L)
    line: Matrix  # room for one line, (2, F)
    order: Indices  # (F,)


@part
def new_block(filters, lines):
    """Room for a block of lines, a multiple of eight."""
    ordered = np.zeros((4, filters + 1, lines))
    ordered[KINK, filters] = np.inf
    # One array for many: each takes a while.
    of_filters, of_lines = np.zeros((4 * filters, lines)), np.zeros((7, lines))
    of_lines[6] = -np.inf
    return Block(
        of_filters[:filters],
        of_lines[6],
        of_filters[filters : 2 * filters],
        of_filters[2 * filters : 3 * filters],
        of_lines[:4],
        of_filters[3 * filters :],
        ordered,
        np.zeros((2 * filters + 2, lines)),
        of_lines[4:6],
        np.zeros((2, filters)),
        np.zeros(filters, np.int64),
    )


@intrinsic
def find_kinks(typing_context, slopes, direction, base, start, kinks, steps, first):
    """Write `kinks`, `steps` and `first` of a `Block`."""

    def build(context, builder, signature, arguments):
        slopes, direction, base, start, kinks, steps, first = arrays_of(
            context, builder, signature, arguments
        )
        filters, lines = base.shape
        with counting(builder, lines, LANES) as line:
            begin, zero = start.some(line), number(builder, 0.0)
            level, rise, active = Variable(zero), Variable(zero), Variable(zero)
            apart = Variable(zero < zero)
            with counting(builder, filters) as f:
                at = builder.add(builder.mul(f, lines), line)
                value, slope, towards = base.some(at), slopes.one(f), direction.one(f)
                kink, rising, still = -value / towards, towards > zero, towards.equals(zero)
                passed = kink <= begin
                on = still.choose(value > zero, ~(passed ^ rising))
                pull = on.choose(slope, zero)
                level.become(fused(pull, value, level.now()))
                rise.become(fused(pull, towards, rise.now()))
                active.become(active.now() + on.choose(number(builder, 1.0), zero))
                apart.become(apart.now() | ~value.is_finite())
                ahead = ~still & (kink > begin)
                kinks.put(at, ahead.choose(kink, number(builder, math.inf)))
                steps.put(at, rising.choose(slope, -slope) * value)
            marks = apart.now().choose(number(builder, 1.0), zero)
            first.put(first.place(LEVEL, line), level.now())
            first.put(first.place(RISE, line), rise.now())
            first.put(first.place(ACTIVE, line), active.now())
            first.put(first.place(APART, line), marks)
        return context.get_dummy_value()

    return types.void(slopes, direction, base, start, kinks, steps, first), build


@intrinsic
def rank(typing_context, kinks, place):
    """Place[f, l]: how many kinks of line l come before kink f; equal ones in order of filters."""

    def build(context, builder, signature, arguments):
        kinks, place = arrays_of(context, builder, signature, arguments)
        filters, lines = kinks.shape
        zero, one = number(builder, 0.0), number(builder, 1.0)
        with counting(builder, lines, LANES) as line, counting(builder, filters) as f:
            at = builder.add(builder.mul(f, lines), line)
            kink, before = kinks.some(at), Variable(zero)
            with counting(builder, f) as other:
                there = builder.add(builder.mul(other, lines), line)
                later = kinks.some(there) > kink
                place.put(there, place.some(there) + later.choose(one, zero))
                before.become(before.now() + later.choose(zero, one))
            place.put(at, before.now())
        return context.get_dummy_value()

    return types.void(kinks, place), build


@borrowing
def bring_into_order(slopes, direction, block):
    """Write `ordered` of a `Block`."""
    # Arrays are taken out of their tuple once: inside a loop that costs a reference count.
    kinks, steps, place = block.kinks, block.steps, block.place
    all_kinks, all_steps = block.ordered[KINK], block.ordered[STEP]
    rises, turns = block.ordered[RISING], block.ordered[TURN]
    for f in range(slopes.size):
        turn = 1.0 if direction[f] > 0.0 else -1.0
        rise = turn * slopes[f] * direction[f]
        for line in range(kinks.shape[1]):
            k = np.uint64(place[f, line])
            all_kinks[k, line], all_steps[k, line] = kinks[f, line], steps[f, line]
            rises[k, line], turns[k, line] = rise, turn


@intrinsic
def find_edges(typing_context, offset, start, first, ordered, edges, found):
    """Write `edges` and `found` of a `Block`."""

    def build(context, builder, signature, arguments):
        offset, start, first, ordered, edges, found = arrays_of(
            context, builder, signature, arguments
        )
        _, intervals, lines = ordered.shape
        size = builder.mul(intervals, lines)
        zero, one, nowhere = (number(builder, x) for x in (0.0, 1.0, math.nan))
        with counting(builder, lines, LANES) as line:
            low = Variable(start.some(line))
            level, rise, active, marks = (
                Variable(first.some(first.place(row, line))) for row in (LEVEL, RISE, ACTIVE, APART)
            )
            failing, apart = Variable(zero < zero), Variable(marks.now() > zero)
            crossings = Variable(zero)
            with counting(builder, intervals) as k:
                at = builder.add(builder.mul(k, lines), line)
                end, step, rising, switched = (
                    ordered.some(builder.add(at, builder.mul(WORD(part), size)))
                    for part in (KINK, STEP, RISING, TURN)
                )
                begin, some = low.now(), ~active.now().equals(zero)
                value = some.choose(level.now(), zero)
                climb = some.choose(rise.now(), zero)
                height, flat = offset + value, climb.equals(zero)
                root = -height / climb
                root = (root > begin).choose(root, begin)
                root = (~flat & (root < end)).choose(root, end)
                # The part of [begin, end) with φ < 0 ends at the root, or begins there.
                left = flat.choose(height < zero, climb > zero)
                some_left, some_right, was = root > begin, root < end, failing.now()
                turn = left.choose(was ^ some_left, was & some_left)
                inside = was ^ turn
                back = some_right & left.choose(some_left, ~flat & ~inside)
                pair = builder.add(at, builder.mul(k, lines))
                edges.put(pair, turn.choose(begin, nowhere))
                edges.put(builder.add(pair, lines), back.choose(root, nowhere))
                failing.become(inside ^ back)
                for edge in (turn, back):
                    crossings.become(crossings.now() + edge.choose(one, zero))
                balanced = flat & height.equals(zero) & (end > begin)
                apart.become(apart.now() | balanced | ~height.is_finite())
                level.become(value + step)
                rise.become(climb + rising)
                active.become(active.now() + switched)
                low.become(end)
            found.put(found.place(CROSSINGS, line), crossings.now())
            found.put(found.place(LEFT_OUT, line), apart.now().choose(one, zero))
        return context.get_dummy_value()

    return types.void(types.float64, start, first, ordered, edges, found), build


@borrowing
def _mass_of_edges(edges, crossings, line):
    """Σ of the masses between the edges of a line."""
    total, left, open_at, k = 0.0, crossings, math.nan, 0
    while left > 0.0:
        edge = edges[k, line]
        k += 1
        if not math.isnan(edge):
            left -= 1.0
            if math.isnan(open_at):
                open_at = edge
            else:
                total += interval_mass(open_at, edge)
                open_at = math.nan
    return total if math.isnan(open_at) else total + interval_mass(open_at, math.inf)


@borrowing
def failing_masses(offset, slopes, direction, block, masses):
    """`failing_mass` of each line of a block, into `masses` (L,)."""
    find_kinks(slopes, direction, block.base, block.start, block.kinks, block.steps, block.first)
    rank(block.kinks, block.place)
    bring_into_order(slopes, direction, block)
    find_edges(offset, block.start, block.first, block.ordered, block.edges, block.found)
    edges, found = block.edges, block.found
    for line in range(masses.size):
        if found[LEFT_OUT, line] == 0.0:
            masses[line] = _mass_of_edges(edges, found[CROSSINGS, line], line)
        else:
            base, kinks = block.line[0], block.line[1]
            for f in range(base.size):
                base[f] = block.base[f, line]
            masses[line] = failing_mass(
                offset, slopes, base, direction, block.start[line], kinks, block.order
            )
