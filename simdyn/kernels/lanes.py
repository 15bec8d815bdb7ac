"""Formulas on eight doubles or words at a time, for intrinsics: each operation is one of a vector.

A CPU with shorter vectors takes them in parts, to the same bits. Nothing is reordered, and nothing
is fused unless `fused` says so. Comparisons give masks.
"""

import functools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError

LANES = 8
DOUBLE, WORD = ir.DoubleType(), ir.IntType(64)
VECTOR, WORDS = ir.VectorType(DOUBLE, LANES), ir.VectorType(WORD, LANES)


def splat(builder: Any, scalar: Any) -> Any:
    """A scalar in all lanes."""
    kind = ir.VectorType(scalar.type, LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, WORD(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))


class Mask:
    """Eight truth values."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __and__(self, other: "Mask") -> "Mask":
        return Mask(self.builder, self.builder.and_(self.value, other.value))

    def __or__(self, other: "Mask") -> "Mask":
        return Mask(self.builder, self.builder.or_(self.value, other.value))

    def __xor__(self, other: "Mask") -> "Mask":
        return Mask(self.builder, self.builder.xor(self.value, other.value))

    def __invert__(self) -> "Mask":
        return Mask(self.builder, self.builder.not_(self.value))

    def choose(self, yes: Any, no: Any) -> Any:
        """Lanes of `yes` if true, else of `no`: two vectors, or two masks."""
        return type(yes)(self.builder, self.builder.select(self.value, yes.value, no.value))


class Lanes:
    """Eight doubles."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fmul(self.value, other.value))

    def __truediv__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fdiv(self.value, other.value))

    def __neg__(self) -> "Lanes":
        return Lanes(self.builder, self.builder.fneg(self.value))

    def _compared(self, sign: str, other: "Lanes") -> Mask:
        return Mask(self.builder, self.builder.fcmp_ordered(sign, self.value, other.value))

    def __lt__(self, other: "Lanes") -> Mask:
        return self._compared("<", other)

    def __le__(self, other: "Lanes") -> Mask:
        return self._compared("<=", other)

    def __gt__(self, other: "Lanes") -> Mask:
        return self._compared(">", other)

    def rectified(self) -> "Lanes":
        """Max(x, 0); NaN stays NaN."""
        zero = number(self.builder, 0.0)
        above = self.builder.fcmp_unordered(">", self.value, zero.value)
        return Lanes(self.builder, self.builder.select(above, self.value, zero.value))

    def equals(self, other: "Lanes") -> Mask:
        """Lanes that are equal; NaN is not."""
        return self._compared("==", other)

    def is_finite(self) -> Mask:
        """Neither infinite nor NaN: x − x is zero."""
        return (self - self).equals(number(self.builder, 0.0))


class Words:
    """Eight words of 64 bits."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _with(self, other: "Words | int") -> Any:
        if isinstance(other, Words):
            return other.value
        return ir.Constant(WORDS, [other] * LANES)

    def __add__(self, other: "Words | int") -> "Words":
        return Words(self.builder, self.builder.add(self.value, self._with(other)))

    def __sub__(self, other: "Words | int") -> "Words":
        return Words(self.builder, self.builder.sub(self.value, self._with(other)))

    def __xor__(self, other: "Words | int") -> "Words":
        return Words(self.builder, self.builder.xor(self.value, self._with(other)))

    def __and__(self, other: "Words | int") -> "Words":
        return Words(self.builder, self.builder.and_(self.value, self._with(other)))

    def __or__(self, other: "Words | int") -> "Words":
        return Words(self.builder, self.builder.or_(self.value, self._with(other)))

    def __lshift__(self, bits: int) -> "Words":
        return Words(self.builder, self.builder.shl(self.value, self._with(bits)))

    def __rshift__(self, bits: int) -> "Words":
        return Words(self.builder, self.builder.lshr(self.value, self._with(bits)))

    def halved(self) -> "Words":
        """Half of signed integers, rounded down."""
        return Words(self.builder, self.builder.ashr(self.value, self._with(1)))

    def exponent(self) -> "Words":
        """The twelve high bits as signed integers."""
        return Words(self.builder, self.builder.ashr(self.value, self._with(52)))

    def as_doubles(self) -> Lanes:
        """The doubles of these bits."""
        return Lanes(self.builder, self.builder.bitcast(self.value, VECTOR))

    def odd(self) -> Mask:
        """Is the last bit set?"""
        last = (self & 1).value
        return Mask(self.builder, self.builder.icmp_signed("!=", last, self._with(0)))


def bits_of(lanes: Lanes) -> Words:
    """The bits of doubles."""
    return Words(lanes.builder, lanes.builder.bitcast(lanes.value, WORDS))


def number(builder: Any, value: float) -> Lanes:
    """A number in all lanes."""
    return Lanes(builder, ir.Constant(VECTOR, [value] * LANES))


def fused(a: Lanes, b: Lanes, c: Lanes) -> Lanes:
    """a·b + c, rounded once if the CPU can."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    function = cgutils.get_or_insert_function(a.builder.module, kind, f"llvm.fmuladd.v{LANES}f64")
    return Lanes(a.builder, a.builder.call(function, [a.value, b.value, c.value]))


_ROUND = 1.5 * 2.0**52  # added to a double and taken away again, it rounds to an integer
_ROUND_BITS = int.from_bytes(struct.pack("<d", _ROUND), "little")  # integers are added to them


def nearest(a: Lanes, scale: float) -> tuple[Lanes, Words]:
    """The integer nearest to scale·a, |scale·a| < 2⁵¹, as a double and as a word."""
    moved = fused(a, number(a.builder, scale), number(a.builder, _ROUND))
    return moved - number(a.builder, _ROUND), bits_of(moved) - _ROUND_BITS


def doubles_of(integers: Words) -> Lanes:
    """Integers from −2⁵¹ to 2⁵¹ as doubles."""
    return (integers + _ROUND_BITS).as_doubles() - number(integers.builder, _ROUND)


def root(a: Lanes) -> Lanes:
    """√a, rounded."""
    kind = ir.FunctionType(VECTOR, [VECTOR])
    function = cgutils.get_or_insert_function(a.builder.module, kind, f"llvm.sqrt.v{LANES}f64")
    return Lanes(a.builder, a.builder.call(function, [a.value]))


def lane_total(builder: Any, vector: Any) -> Any:
    """Σ of the lanes: neighbours are added up, then neighbouring sums, until one is left."""
    sums = [builder.extract_element(vector, WORD(c)) for c in range(LANES)]
    while len(sums) > 1:
        sums = [builder.fadd(*sums[c : c + 2]) for c in range(0, len(sums), 2)]
    return sums[0]


class Array:
    """The doubles of an array argument, C-contiguous, by their number in it."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self.builder, self.data = builder, array.data
        self.shape = cgutils.unpack_tuple(builder, array.shape)

    def place(self, row: Any, column: Any) -> Any:
        """Number of an entry of a matrix."""
        first = WORD(row) if isinstance(row, int) else row
        return self.builder.add(self.builder.mul(first, self.shape[1]), column)

    def size(self) -> Any:
        """How many entries it has."""
        return functools.reduce(self.builder.mul, self.shape)

    def _vector(self, place: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(self.data, [place]), VECTOR.as_pointer())

    def some(self, place: Any) -> Lanes:
        """The entries from `place` on, one for each lane."""
        return Lanes(self.builder, self.builder.load(self._vector(place), align=8))

    def one(self, place: Any) -> Lanes:
        """The entry at `place`, in all lanes."""
        entry = self.builder.load(self.builder.gep(self.data, [place]))
        return Lanes(self.builder, splat(self.builder, entry))

    def put(self, place: Any, lanes: Lanes) -> None:
        """Write an entry for each lane."""
        self.builder.store(lanes.value, self._vector(place), align=8)


class Variable:
    """Lanes or a mask that a loop changes."""

    def __init__(self, start: Any) -> None:
        self.kind, self.builder = type(start), start.builder
        self.slot = cgutils.alloca_once_value(self.builder, start.value)

    def now(self) -> Any:
        """Its value."""
        return self.kind(self.builder, self.builder.load(self.slot))

    def become(self, value: Any) -> None:
        """Change it."""
        self.builder.store(value.value, self.slot)


def check_doubles(axes: int, *arrays: Any) -> None:
    """Refuse arguments of an intrinsic that `Array` would not read right."""
    for array in arrays:
        kind = (array.dtype, array.ndim, array.layout) if isinstance(array, types.Array) else ()
        if kind != (types.float64, axes, "C"):
            raise TypingError(f"{array}: allowed are C-contiguous float64 arrays of {axes} axes")


def arrays_of(context: Any, builder: Any, signature: Any, arguments: Any) -> Iterator[Any]:
    """The arguments of an intrinsic: an `Array` for an array, lanes for a double."""
    for kind, value in zip(signature.args, arguments, strict=True):
        if hasattr(kind, "ndim"):
            yield Array(context, builder, kind, value)
        else:
            yield Lanes(builder, splat(builder, value))


@contextmanager
def counting(builder: Any, stop: Any, step: int = 1) -> Iterator[Any]:
    """A loop over 0, step, 2·step, … below `stop`."""
    with cgutils.for_range_slice(builder, WORD(0), stop, WORD(step), WORD) as (index, _):
        yield index
