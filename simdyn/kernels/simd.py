"""The few operations every training step is made of, spelled out in vector lanes.

Numba vectorises a sum only if it may reorder it, and then the order is the compiler's choice.
Here it is fixed. Matrices are (F, Q), a filter in each row and the rows of the dictionary along
the lanes; Q and the lengths of vectors are multiples of LANES. Rows come in blocks of LANES, and a
batch reaches those blocks whose rows its samples show.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simdyn.kernels.elementary import exp_below_zero
from simdyn.kernels.lanes import (
    DOUBLE,
    LANES,
    WORD,
    WORDS,
    Array,
    Lanes,
    Mask,
    Variable,
    arrays_of,
    counting,
    fused,
    lane_total,
    number,
    splat,
)

BITS = 64  # of a word
TILE = 7  # vectors of a row that are summed at once: with a factor they fill sixteen registers


@contextmanager
def _each(blocks: Array) -> Iterator[Any]:
    """A loop over listed blocks; yields the first row of each."""
    with counting(blocks.builder, blocks.shape[0]) as index:
        block = blocks.builder.load(blocks.builder.gep(blocks.data, [index]))
        yield blocks.builder.mul(block, WORD(LANES))


@intrinsic
def rectified_sums(typing_context, overlaps, down, blocks, sums):
    """Sums[k] = F₊ − F₋ with F_j = Σ_f max(A[f, k], 0) over a bank, and sums[Q + k] that of −A.

    The first half of the filters is the bank +1. Each bank is summed by itself in the order of its
    filters, so that equal banks differ by exactly zero; NaN stays NaN. Only the rows of listed
    blocks are summed, and of −A only those before `down`, a multiple of LANES.
    """

    def build(context, builder, signature, arguments):
        values, blocks, out = (
            Array(context, builder, signature.args[k], arguments[k]) for k in (0, 2, 3)
        )
        filters, rows = values.shape
        bank, down, zero = builder.lshr(filters, WORD(1)), arguments[1], number(builder, 0.0)

        def add_up(row: Any, places: list[Any]) -> None:
            sums = [[Variable(zero), Variable(zero)] for _ in places]
            with counting(builder, bank) as f:
                for j, filter_ in enumerate((f, builder.add(f, bank))):
                    value = values.some(values.place(filter_, row))
                    for side, part in zip(sums, (value, -value), strict=False):
                        side[j].become(side[j].now() + part.rectified())
            for place, (plus, minus) in zip(places, sums, strict=True):
                out.put(place, plus.now() - minus.now())

        with _each(blocks) as row, builder.if_else(builder.icmp_signed("<", row, down)) as cases:
            with cases[0]:
                add_up(row, [row, builder.add(row, rows)])
            with cases[1]:
                add_up(row, [row])
        return context.get_dummy_value()

    return types.void(overlaps, types.int64, blocks, sums), build


@contextmanager
def _each_bit(builder: Any, word: Any) -> Iterator[Any]:
    """A loop over the bits that are set in a word; yields the number of each.

    Without a count of them: the compiler would unroll the loop, with one branch more to mispredict.
    """
    left = cgutils.alloca_once_value(builder, word)
    again, body, after = (builder.append_basic_block() for _ in range(3))
    builder.branch(again)
    builder.position_at_end(again)
    now = builder.load(left)
    builder.cbranch(builder.icmp_signed("!=", now, WORD(0)), body, after)
    builder.position_at_end(body)
    yield builder.cttz(now, ir.IntType(1)(1))
    builder.store(builder.and_(now, builder.sub(now, WORD(1))), left)
    builder.branch(again)
    builder.position_at_end(after)


def _put_marks(bits: Array, f: Any, row: Any, values: Lanes) -> None:
    """Mark which entries of a block are not zero; LANES are the bits of a byte."""
    builder = bits.builder
    some = ~values.equals(number(builder, 0.0))
    first = builder.shl(builder.mul(f, bits.shape[1]), WORD(3))
    place = builder.add(first, builder.lshr(row, WORD(3)))
    data = builder.bitcast(bits.data, ir.IntType(8).as_pointer())
    builder.store(builder.bitcast(some.value, ir.IntType(LANES)), builder.gep(data, [place]))


@intrinsic
def pull_active(typing_context, overlaps, down, pulls, lift, blocks, out, bits):
    """Out[f, k] = lift · j_f · (pulls[k] if A[f, k] > 0, −pulls[Q + k] if A[f, k] < 0, else 0).

    J_f is +1 in the first half of the filters and −1 in the second. Rows from `down` on, a
    multiple of LANES, are pulled only if A > 0. Rows outside the listed blocks are left as they
    are, but not marked; the others are marked as by `mark`.
    """

    def build(context, builder, signature, arguments):
        values, pulls, blocks, out, bits = (
            Array(context, builder, signature.args[k], arguments[k]) for k in (0, 2, 4, 5, 6)
        )
        filters, rows = values.shape
        bank, down, zero = builder.lshr(filters, WORD(1)), arguments[1], number(builder, 0.0)
        lift = Lanes(builder, splat(builder, arguments[3]))
        with counting(builder, bits.size()) as word:
            builder.store(WORD(0), builder.gep(bits.data, [word]))

        def pull(row: Any, falling: Lanes | None) -> None:
            rising = lift * pulls.some(row)
            with counting(builder, bank) as f:
                for filter_, positive in (f, True), (builder.add(f, bank), False):
                    at = values.place(filter_, row)
                    value = values.some(at)
                    result = (value > zero).choose(rising if positive else -rising, zero)
                    if falling is not None:
                        down = falling if positive else -falling
                        result = (value < zero).choose(down, result)
                    out.put(at, result)
                    _put_marks(bits, filter_, row, result)

        with _each(blocks) as row, builder.if_else(builder.icmp_signed("<", row, down)) as cases:
            with cases[0]:
                pull(row, -(lift * pulls.some(builder.add(rows, row))))
            with cases[1]:
                pull(row, None)
        return context.get_dummy_value()

    arrays = types.void(overlaps, types.int64, pulls, types.float64, blocks, out, bits)
    return arrays, build


@intrinsic
def mark(typing_context, array, bits):
    """Set the bits of the entries that are not zero and clear the others.

    Entry k of a row is bit k % 64 of word k // 64.
    """

    def build(context, builder, signature, arguments):
        values, bits = arrays_of(context, builder, signature, arguments)
        filters, rows = values.shape
        with counting(builder, filters) as f, counting(builder, rows, LANES) as row:
            _put_marks(bits, f, row, values.some(values.place(f, row)))
        return context.get_dummy_value()

    return types.void(array, bits), build


@intrinsic
def sparse_product(typing_context, array, bits, matrix, out):
    """Out = array · matrix for (F, p) and (p, Q), summed over the marked entries in order.

    The sums are those over all entries, to the bit. Of the matrix 64 rows and TILE vectors of each
    are taken at a time, which stay in the nearest cache while filters go by.
    """

    def build(context, builder, signature, arguments):
        array, bits, matrix, out = arrays_of(context, builder, signature, arguments)
        (filters, words), (_, width), zero = bits.shape, matrix.shape, number(builder, 0.0)

        def add_marked(f: Any, word: Any, left: Any, vectors: int) -> None:
            places = [builder.add(left, WORD(LANES * v)) for v in range(vectors)]
            outs = [out.place(f, place) for place in places]
            fresh = Mask(builder, builder.icmp_signed("==", word, WORD(0)))
            sums = [Variable(fresh.choose(zero, out.some(at))) for at in outs]
            first = builder.mul(word, WORD(BITS))
            marks = builder.load(builder.gep(bits.data, [bits.place(f, word)]))
            with _each_bit(builder, marks) as bit:
                term = builder.add(first, bit)
                factor = array.one(array.place(f, term))
                for total, place in zip(sums, places, strict=True):
                    row = matrix.some(matrix.place(term, place))
                    total.become(fused(factor, row, total.now()))
            for at, total in zip(outs, sums, strict=True):
                out.put(at, total.now())

        def tile(left: Any, vectors: int) -> None:
            with counting(builder, words) as word, counting(builder, filters) as f:
                some = builder.load(builder.gep(bits.data, [bits.place(f, word)]))
                needed = builder.or_(
                    builder.icmp_signed("!=", some, WORD(0)),
                    builder.icmp_signed("==", word, WORD(0)),
                )
                with builder.if_then(needed):
                    add_marked(f, word, left, vectors)

        rest = builder.urem(width, WORD(LANES * TILE))
        whole = builder.sub(width, rest)
        with counting(builder, whole, LANES * TILE) as left:
            tile(left, TILE)
        for vectors in range(1, TILE):
            fits = builder.icmp_signed("==", rest, WORD(LANES * vectors))
            with builder.if_then(fits):
                tile(whole, vectors)
        return context.get_dummy_value()

    return types.void(array, bits, matrix, out), build


@intrinsic
def flat_dot(typing_context, a, b, blocks):
    """Σ a∘b over the listed blocks of rows of two arrays (F, Q), F even."""

    def build(context, builder, signature, arguments):
        a, b, blocks = (
            Array(context, builder, kind, value)
            for kind, value in zip(signature.args, arguments, strict=True)
        )
        filters, _ = a.shape
        bank, zero = builder.lshr(filters, WORD(1)), number(builder, 0.0)
        sums = Variable(zero), Variable(zero)
        with counting(builder, bank) as f, _each(blocks) as row:
            for total, filter_ in zip(sums, (f, builder.add(f, bank)), strict=True):
                at = a.place(filter_, row)
                total.become(fused(a.some(at), b.some(at), total.now()))
        return lane_total(builder, (sums[0].now() + sums[1].now()).value)

    return types.float64(a, b, blocks), build


@intrinsic
def largest_entry(typing_context, array):
    """Max |a| over an array, its last axis a multiple of LANES; not finite if an entry is not.

    By the bits, which are ordered like the numbers.
    """

    def build(context, builder, signature, arguments):
        (array,) = arrays_of(context, builder, signature, arguments)
        positive = ir.Constant(WORDS, [2**63 - 1] * LANES)
        largest = cgutils.alloca_once_value(builder, ir.Constant(WORDS, [0] * LANES))
        with counting(builder, array.size(), LANES) as at:
            value = builder.and_(builder.bitcast(array.some(at).value, WORDS), positive)
            known = builder.load(largest)
            more = builder.icmp_signed(">", value, known)
            builder.store(builder.select(more, value, known), largest)
        entries = [builder.extract_element(builder.load(largest), WORD(c)) for c in range(LANES)]
        while len(entries) > 1:
            one, other = entries.pop(), entries.pop()
            more = builder.icmp_signed(">", one, other)
            entries.append(builder.select(more, one, other))
        return builder.bitcast(entries[0], DOUBLE)

    return types.float64(array), build


@intrinsic
def add_scaled(typing_context, target, source, factor):
    """Target += factor · source for two arrays of equal shape (p, w), w a multiple of LANES."""

    def build(context, builder, signature, arguments):
        target, source, factor = arrays_of(context, builder, signature, arguments)
        with counting(builder, target.size(), LANES) as at:
            target.put(at, fused(factor, source.some(at), target.some(at)))
        return context.get_dummy_value()

    return types.void(target, source, types.float64), build


@intrinsic
def add_scaled_blocks(typing_context, target, source, factor, blocks):
    """Target += factor · source in the listed blocks of rows of two arrays (F, Q)."""

    def build(context, builder, signature, arguments):
        target, source, factor, blocks = arrays_of(context, builder, signature, arguments)
        with counting(builder, target.shape[0]) as f, _each(blocks) as row:
            at = target.place(f, row)
            target.put(at, fused(factor, source.some(at), target.some(at)))
        return context.get_dummy_value()

    return types.void(target, source, types.float64, blocks), build


@intrinsic
def shifted(typing_context, start, source, factor, out):
    """Out = start + factor · source for arrays of equal shape (p, w), w a multiple of LANES."""

    def build(context, builder, signature, arguments):
        start, source, factor, out = arrays_of(context, builder, signature, arguments)
        with counting(builder, out.size(), LANES) as at:
            out.put(at, fused(factor, source.some(at), start.some(at)))
        return context.get_dummy_value()

    return types.void(start, source, types.float64, out), build


@intrinsic
def to_logistic_slopes(typing_context, margins, count):
    """Margins[:count] ← −1/(1 + exp(margin)) in place, `count` rounded up to a multiple of LANES.

    By exp(−|margin|), so without overflow, and without underflow before its time; to three units
    in the last place.
    """

    def build(context, builder, signature, arguments):
        margins = Array(context, builder, signature.args[0], arguments[0])
        zero, one = number(builder, 0.0), number(builder, 1.0)
        with counting(builder, arguments[1], LANES) as at:
            margin = margins.some(at)
            negative = margin < zero
            decay = exp_below_zero(negative.choose(margin, zero - margin))
            top = negative.choose(number(builder, -1.0), zero - decay)
            margins.put(at, top / (one + decay))
        return context.get_dummy_value()

    return types.void(margins, types.int64), build
