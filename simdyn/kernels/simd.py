"""Four-lane arithmetic spelled out, for the few operations every training step is made of.

Numba vectorises a sum only if it may reorder it, and then the order is the compiler's choice.
Here it is fixed: lane c of four sums the terms 4k + c.
Arrays are C-contiguous float64 whose last axis (and, if stated, first axis) is a multiple of four.
"""

import itertools
import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simdyn.kernels.lanes import DOUBLE, LANES, VECTOR, WORD, WORDS, splat


def _constant(value: float) -> Any:
    return ir.Constant(VECTOR, [value] * LANES)


def _data(context: Any, builder: Any, kind: Any, value: Any) -> tuple[Any, Any]:
    """Pointer to the data and the list of extents of an array argument."""
    array = context.make_array(kind)(context, builder, value)
    return array.data, cgutils.unpack_tuple(builder, array.shape)


def _vector_at(builder: Any, data: Any, offset: Any) -> Any:
    pointer = builder.bitcast(builder.gep(data, [offset]), VECTOR.as_pointer())
    return builder.load(pointer, align=8)


def _shuffle(builder: Any, vector: Any, other: Any, lanes: list[int]) -> Any:
    """These lanes of a vector, or of two of them one after the other."""
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(vector, vector if other is None else other, chosen)


def _lanes_below(builder: Any, count: Any) -> Any:
    """A mask of the first `count` lanes."""
    one = builder.insert_element(ir.Constant(WORDS, ir.Undefined), count, WORD(0))
    counts = _shuffle(builder, one, None, [0] * LANES)
    return builder.icmp_signed("<", ir.Constant(WORDS, list(range(LANES))), counts)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c, fused if the CPU can."""
    kind = a.type
    name = "llvm.fmuladd.v4f64" if kind == VECTOR else "llvm.fmuladd.f64"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), name
    )
    return builder.call(function, [a, b, c])


def _lane_total(builder: Any, vector: Any) -> Any:
    """(lane 0 + lane 1) + (lane 2 + lane 3)."""
    lanes = [builder.extract_element(vector, WORD(c)) for c in range(LANES)]
    return builder.fadd(builder.fadd(lanes[0], lanes[1]), builder.fadd(lanes[2], lanes[3]))


def _accumulate(builder: Any, length: Any, sums: int, term: Callable[[Any, Any], Any]) -> Any:
    """Σ of term(offset, sum) over offsets 0, 4, 8, … below `length`, dealt to `sums` vectors."""
    zero = _constant(0.0)
    totals = [cgutils.alloca_once(builder, VECTOR) for _ in range(sums)]
    for total in totals:
        builder.store(zero, total)
    stride = WORD(sums * LANES)
    with cgutils.for_range_slice(builder, WORD(0), length, stride, WORD) as (offset, _):
        for k, total in enumerate(totals):
            place = builder.add(offset, WORD(k * LANES))
            builder.store(term(place, builder.load(total)), total)
    whole = builder.load(totals[0])
    for total in totals[1:]:
        whole = builder.fadd(whole, builder.load(total))
    return _lane_total(builder, whole)


@intrinsic
def rectified_difference(typing_context, array, row, sign, filters):
    """F₊ − F₋, F_j the sum of max(sign · array[row, f], 0) over a bank; NaN stays NaN.

    The first `filters` entries of a row are the bank +1, as many after them the bank −1; then come
    zeros. Both are summed in the same order, so that equal banks differ by exactly zero: lane c of
    F₊ sums the filters that lane c + m of F₋ does, m being their number. A shift by two lanes
    leaves the order in which lanes are added up as it is, so only an odd m calls for a shift.
    """

    def build(context, builder, signature, arguments):
        data, (_, width) = _data(context, builder, signature.args[0], arguments[0])
        first, count = builder.mul(arguments[1], width), arguments[3]
        signs, zeros = splat(builder, arguments[2]), _constant(0.0)
        up, down = (cgutils.alloca_once_value(builder, zeros) for _ in range(2))

        def active(at: Any) -> Any:
            values = builder.fmul(signs, _vector_at(builder, data, builder.add(first, at)))
            return builder.select(builder.fcmp_unordered(">", values, zeros), values, zeros)

        def add(total: Any, values: Any) -> None:
            builder.store(builder.fadd(builder.load(total), values), total)

        whole, rest = builder.and_(count, WORD(-LANES)), builder.and_(count, WORD(LANES - 1))
        with cgutils.for_range_slice(builder, WORD(0), whole, WORD(LANES), WORD) as (at, _):
            add(up, active(at))
        mixed = builder.icmp_signed("!=", rest, WORD(0))
        with builder.if_then(mixed):  # both banks in one vector
            values, positive = active(whole), _lanes_below(builder, rest)
            add(up, builder.select(positive, values, zeros))
            add(down, builder.select(positive, zeros, values))
        after = builder.select(mixed, builder.add(whole, WORD(LANES)), whole)
        with cgutils.for_range_slice(builder, after, width, WORD(LANES), WORD) as (at, _):
            add(down, active(at))
        with builder.if_then(builder.trunc(count, ir.IntType(1))):
            builder.store(_shuffle(builder, builder.load(down), None, [1, 2, 3, 0]), down)
        # (lane 0 + lane 1) + (lane 2 + lane 3) of each, side by side
        both = builder.load(up), builder.load(down)
        pairs = builder.fadd(
            _shuffle(builder, *both, [0, 4, 2, 6]), _shuffle(builder, *both, [1, 5, 3, 7])
        )
        sums = builder.fadd(
            _shuffle(builder, pairs, None, [0, 1]), _shuffle(builder, pairs, None, [2, 3])
        )
        positive, negative = (builder.extract_element(sums, WORD(c)) for c in range(2))
        return builder.fsub(positive, negative)

    return types.float64(array, types.int64, types.float64, types.int64), build


@intrinsic
def flat_dot(typing_context, a, b):
    """Σ a∘b over two arrays of equal shape (p, w), both extents multiples of four."""

    def build(context, builder, signature, arguments):
        left, (height, width) = _data(context, builder, signature.args[0], arguments[0])
        right, _ = _data(context, builder, signature.args[1], arguments[1])

        def term(offset: Any, total: Any) -> Any:
            x, y = _vector_at(builder, left, offset), _vector_at(builder, right, offset)
            return _multiply_add(builder, x, y, total)

        return _accumulate(builder, builder.mul(height, width), LANES, term)

    return types.float64(a, b), build


@intrinsic
def largest_entry(typing_context, array):
    """Max |a| over an array (p, w), both extents multiples of four; not finite if an entry is not.

    By the bits, which are ordered like the numbers.
    """

    def build(context, builder, signature, arguments):
        data, (height, width) = _data(context, builder, signature.args[0], arguments[0])
        positive = ir.Constant(WORDS, [2**63 - 1] * LANES)
        totals = [
            cgutils.alloca_once_value(builder, ir.Constant(WORDS, [0] * LANES))
            for _ in range(LANES)
        ]

        def raise_to(total: Any, value: Any) -> None:
            known = builder.load(total)
            more = builder.icmp_signed(">", value, known)
            builder.store(builder.select(more, value, known), total)

        size, stride = builder.mul(height, width), WORD(LANES * LANES)
        with cgutils.for_range_slice(builder, WORD(0), size, stride, WORD) as (offset, _):
            for k, total in enumerate(totals):
                vector = _vector_at(builder, data, builder.add(offset, WORD(k * LANES)))
                raise_to(total, builder.and_(builder.bitcast(vector, WORDS), positive))
        for total in totals[1:]:
            raise_to(totals[0], builder.load(total))
        largest = cgutils.alloca_once_value(builder, WORD(0))
        for c in range(LANES):
            raise_to(largest, builder.extract_element(builder.load(totals[0]), WORD(c)))
        return builder.bitcast(builder.load(largest), DOUBLE)

    return types.float64(array), build


def _store(builder: Any, vector: Any, data: Any, offset: Any) -> None:
    pointer = builder.bitcast(builder.gep(data, [offset]), VECTOR.as_pointer())
    builder.store(vector, pointer, align=8)


@intrinsic
def add_scaled(typing_context, target, source, factor):
    """Target += factor · source for two arrays of equal shape (p, w)."""

    def build(context, builder, signature, arguments):
        to, (height, width) = _data(context, builder, signature.args[0], arguments[0])
        come, _ = _data(context, builder, signature.args[1], arguments[1])
        factors, size = splat(builder, arguments[2]), builder.mul(height, width)
        with cgutils.for_range_slice(builder, WORD(0), size, WORD(LANES), WORD) as (at, _):
            old, step = _vector_at(builder, to, at), _vector_at(builder, come, at)
            _store(builder, _multiply_add(builder, factors, step, old), to, at)
        return context.get_dummy_value()

    return types.void(target, source, types.float64), build


@intrinsic
def add_where_active(typing_context, target, array, row, sign, pull, bank):
    """target[row, f] += pull · bank_f wherever sign · array[row, f] > 0."""

    def build(context, builder, signature, arguments):
        to, (_, width) = _data(context, builder, signature.args[0], arguments[0])
        come, _ = _data(context, builder, signature.args[1], arguments[1])
        weights, _ = _data(context, builder, signature.args[5], arguments[5])
        signs, pulls = splat(builder, arguments[3]), splat(builder, arguments[4])
        zeros, first = _constant(0.0), builder.mul(arguments[2], width)
        with cgutils.for_range_slice(builder, WORD(0), width, WORD(LANES), WORD) as (f, _):
            at = builder.add(first, f)
            on = builder.fcmp_ordered(
                ">", builder.fmul(signs, _vector_at(builder, come, at)), zeros
            )
            step = builder.fmul(pulls, _vector_at(builder, weights, f))
            new = builder.fadd(_vector_at(builder, to, at), builder.select(on, step, zeros))
            _store(builder, new, to, at)
        return context.get_dummy_value()

    floats = types.float64
    return types.void(target, array, types.int64, floats, floats, bank), build


# exp(x) = 2^k exp(r), r = x − k log 2 in two parts (Cody and Waite), |r| ≤ log(2)/2, where the
# Taylor polynomial of degree 13 is exact to 4e-18. Below e^−750 nothing is left of a double.
_LOG2_E, _LOG_2 = 1.4426950408889634, (0.6931471803691238, 1.9082149292705877e-10)
_TAYLOR = [1.0 / math.factorial(k) for k in range(13, 1, -1)]
_ROUND = 1.5 * 2.0**52  # added and taken away, it rounds to the nearest integer


def _power_of_two(builder: Any, exponents: Any) -> Any:
    """2^k for four int64 from −1022 to 1023."""
    biased = builder.add(exponents, ir.Constant(WORDS, [1023] * LANES))
    return builder.bitcast(builder.shl(biased, ir.Constant(WORDS, [52] * LANES)), VECTOR)


def _exp_below_zero(builder: Any, x: Any) -> Any:
    """exp(x) of four x ≤ 0; subnormal if it must be."""
    x = builder.select(builder.fcmp_ordered(">", x, _constant(-750.0)), x, _constant(-750.0))
    # The rounded multiple k sits in the low bits of the sum with _ROUND.
    shifted = _multiply_add(builder, x, _constant(_LOG2_E), _constant(_ROUND))
    multiple = builder.fsub(shifted, _constant(_ROUND))
    r = _multiply_add(builder, multiple, _constant(-_LOG_2[0]), x)
    r = _multiply_add(builder, multiple, _constant(-_LOG_2[1]), r)
    rest = _constant(_TAYLOR[0])
    for coefficient in _TAYLOR[1:]:
        rest = _multiply_add(builder, rest, r, _constant(coefficient))
    rest = _multiply_add(builder, builder.fmul(r, r), rest, r)
    value = builder.fadd(rest, _constant(1.0))
    bias = int.from_bytes(struct.pack("<d", _ROUND), "little")
    k = builder.sub(builder.bitcast(shifted, WORDS), ir.Constant(WORDS, [bias] * LANES))
    half = builder.ashr(k, ir.Constant(WORDS, [1] * LANES))
    value = builder.fmul(value, _power_of_two(builder, half))
    return builder.fmul(value, _power_of_two(builder, builder.sub(k, half)))


@intrinsic
def to_logistic_slopes(typing_context, margins, count):
    """Margins[:count] ← −1/(1 + exp(margin)) in place, `count` rounded up to a multiple of four.

    By exp(−|margin|), so without overflow, and without underflow before its time; to three units
    in the last place.
    """

    def build(context, builder, signature, arguments):
        data, _ = _data(context, builder, signature.args[0], arguments[0])
        zeros, ones = _constant(0.0), _constant(1.0)
        loop = (WORD(0), arguments[1], WORD(LANES), WORD)
        with cgutils.for_range_slice(builder, *loop) as (at, _):
            margin = _vector_at(builder, data, at)
            positive = builder.fcmp_ordered(">=", margin, zeros)
            negated = builder.fsub(zeros, margin)
            decay = _exp_below_zero(builder, builder.select(positive, negated, margin))
            top = builder.select(positive, builder.fsub(zeros, decay), _constant(-1.0))
            _store(builder, builder.fdiv(top, builder.fadd(ones, decay)), data, at)
        return context.get_dummy_value()

    return types.void(margins, types.int64), build


class Tile(NamedTuple):
    """A tile of a product, in the compiler's values: data, extents, and its corner."""

    matrix: Any
    terms: Any
    columns: Any
    width: Any
    out: Any
    listed: Any  # numbers of the terms that are summed, or None: all
    count: Any
    top: Any
    left: Any


def _product_tile(builder: Any, tile: Tile, height: int, vectors: int) -> None:
    """`height` rows by 4·`vectors` columns of matrix · columns, summed over the terms in order."""
    zero = _constant(0.0)
    rows = [builder.add(tile.top, WORD(k)) for k in range(height)]
    lefts = [builder.add(tile.left, WORD(v * LANES)) for v in range(vectors)]
    starts = [builder.mul(row, tile.terms) for row in rows]
    totals = [[cgutils.alloca_once(builder, VECTOR) for _ in lefts] for _ in rows]
    for total in itertools.chain(*totals):
        builder.store(zero, total)
    with cgutils.for_range(builder, tile.count, intp=WORD) as loop:
        term = loop.index
        if tile.listed is not None:
            term = builder.load(builder.gep(tile.listed, [term]))
        line = builder.mul(term, tile.width)
        values = [_vector_at(builder, tile.columns, builder.add(line, place)) for place in lefts]
        for start, sums in zip(starts, totals, strict=True):
            factor = builder.load(builder.gep(tile.matrix, [builder.add(start, term)]))
            factors = splat(builder, factor)
            for vector, total in zip(values, sums, strict=True):
                builder.store(_multiply_add(builder, factors, vector, builder.load(total)), total)
    for row, sums in zip(rows, totals, strict=True):
        line = builder.mul(row, tile.width)
        for place, total in zip(lefts, sums, strict=True):
            _store(builder, builder.load(total), tile.out, builder.add(line, place))


def _product(context: Any, builder: Any, kinds: Any, arrays: Any, listed: Any, count: Any) -> None:
    """Out = matrix · columns over the listed terms.

    Tiles of eight running sums keep the multipliers busy: 4 rows by 8 columns, and 8 by 4 for the
    last columns. The order of each sum is that of the terms, whatever the tile.
    """
    matrix, columns, out = (
        _data(context, builder, kind, value) for kind, value in zip(kinds, arrays, strict=True)
    )
    (a, (height, terms)), (b, (_, width)), (c, _) = matrix, columns, out
    zero, twice = WORD(0), WORD(-2 * LANES)
    tall, wide = builder.and_(height, twice), builder.and_(width, twice)

    def tiles(rows: tuple[Any, Any, int], columns: tuple[Any, Any, int]) -> None:
        loops = [(first, last, WORD(LANES * step)) for first, last, step in (rows, columns)]
        with (
            cgutils.for_range_slice(builder, *loops[0], WORD) as (top, _),
            cgutils.for_range_slice(builder, *loops[1], WORD) as (left, _),
        ):
            summed = terms if count is None else count
            tile = Tile(a, terms, b, width, c, listed, summed, top, left)
            _product_tile(builder, tile, LANES * rows[2], columns[2])

    tiles((zero, height, 1), (zero, wide, 2))
    tiles((zero, tall, 2), (wide, width, 1))
    tiles((tall, height, 1), (wide, width, 1))


@intrinsic
def product(typing_context, matrix, columns, out):
    """Out = matrix · columns for (p, l) and (l, w) with p and w multiples of four."""

    def build(context, builder, signature, arguments):
        _product(context, builder, signature.args, arguments, None, None)
        return context.get_dummy_value()

    return types.void(matrix, columns, out), build


@intrinsic
def product_over(typing_context, matrix, columns, out, terms, count):
    """As `product`, over the first `count` of the listed terms only.

    If the rows of `columns` that are left out are zero, it gives the bits of `product`.
    """

    def build(context, builder, signature, arguments):
        listed, _ = _data(context, builder, signature.args[3], arguments[3])
        _product(context, builder, signature.args[:3], arguments[:3], listed, arguments[4])
        return context.get_dummy_value()

    return types.void(matrix, columns, out, terms, types.int64), build
