"""Inner products and reflections in vector lanes, for arrays of any size; see `linear`.

The order of a sum depends on its length alone, so that equal rows give equal numbers wherever they
stand.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simdyn.kernels.lanes import (
    DOUBLE,
    LANES,
    WORD,
    Array,
    Lanes,
    Variable,
    arrays_of,
    check_doubles,
    counting,
    fused,
    lane_total,
    number,
    splat,
)


@intrinsic
def write_inner_products(typing_context, a, b, out):
    """Out = A Bᵀ for (p, D) and (q, D)."""
    check_doubles(2, a, b, out)

    def build(context, builder, signature, arguments):
        a, b, out = arrays_of(context, builder, signature, arguments)
        length = a.shape[1]
        rest = builder.urem(length, WORD(LANES))
        whole = builder.sub(length, rest)
        with counting(builder, a.shape[0]) as i, counting(builder, b.shape[0]) as k:
            sums = Variable(number(builder, 0.0))
            with counting(builder, whole, LANES) as c:
                sums.become(fused(a.some(a.place(i, c)), b.some(b.place(k, c)), sums.now()))
            total = cgutils.alloca_once_value(builder, lane_total(builder, sums.now().value))
            with counting(builder, rest) as left:
                c = builder.add(whole, left)
                product = _entry(a, i, c), _entry(b, k, c), builder.load(total)
                builder.store(_fused(builder, *product), total)
            builder.store(builder.load(total), builder.gep(out.data, [out.place(i, k)]))
        return context.get_dummy_value()

    return types.void(a, b, out), build


def _entry(array: Array, row: Any, column: Any) -> Any:
    """One entry of a matrix."""
    return array.builder.load(array.builder.gep(array.data, [array.place(row, column)]))


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c of single doubles, rounded once if the CPU can."""
    kind = ir.FunctionType(DOUBLE, [DOUBLE] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.f64")
    return builder.call(function, [a, b, c])


@intrinsic
def reflect(typing_context, columns, first, normal, beta, along):
    """Columns x ← x − β v (v·x), of the rows from `first` on; v is `normal` from there on.

    For (D, w), w a multiple of LANES; `along` is room for the products (w,).
    """
    check_doubles(2, columns)
    check_doubles(1, normal, along)

    def build(context, builder, signature, arguments):
        columns, normal, along = (
            Array(context, builder, signature.args[k], arguments[k]) for k in (0, 2, 4)
        )
        first, (rows, width) = arguments[1], columns.shape
        left = builder.sub(rows, first)
        beta = Lanes(builder, splat(builder, arguments[3]))
        with counting(builder, width, LANES) as at:
            sums = Variable(number(builder, 0.0))
            with counting(builder, left) as c:
                row = builder.add(first, c)
                value = columns.some(columns.place(row, at))
                sums.become(fused(normal.one(row), value, sums.now()))
            along.put(at, -(beta * sums.now()))
        with counting(builder, left) as c:
            row = builder.add(first, c)
            share = normal.one(row)
            with counting(builder, width, LANES) as at:
                place = columns.place(row, at)
                columns.put(place, fused(share, along.some(at), columns.some(place)))
        return context.get_dummy_value()

    return types.void(columns, types.int64, normal, types.float64, along), build
