"""Standard normals 32 at a time, in vector lanes: Threefry on eight counters, Box and Muller.

`random` has the generator and the formula in plain code. Words are the same here, and normals to a
few units in the last place.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simdyn.kernels.elementary import cosine_and_sine, log
from simdyn.kernels.lanes import (
    DOUBLE,
    LANES,
    WORD,
    WORDS,
    Lanes,
    Words,
    check_doubles,
    counting,
    number,
    root,
    splat,
)

# Of Threefry-4x64: by how much each round rotates two words, in groups of four rounds in turn.
PARITY = 0x1BD11BDAA9FC1A22
ROTATIONS = (((14, 16), (52, 57), (23, 40), (5, 37)), ((25, 33), (46, 12), (58, 22), (32, 32)))
GROUPS = 5

DRAWN = 4 * LANES  # normals of eight counters
_ONE_BITS = 0x3FF << 52


def _threefry(counter: list[Words], key: list[Words]) -> list[Words]:
    """`random.threefry` of eight counters."""
    keys = [*key, key[0] ^ key[1] ^ key[2] ^ key[3] ^ PARITY]
    x = [c + k for c, k in zip(counter, key, strict=True)]
    for group in range(GROUPS):
        for k, rotations in enumerate(ROTATIONS[group % 2]):
            pairs = ((0, 1), (2, 3)) if k % 2 == 0 else ((0, 3), (2, 1))
            for (a, b), bits in zip(pairs, rotations, strict=True):
                x[a] = x[a] + x[b]
                x[b] = (x[b] << bits | x[b] >> (64 - bits)) ^ x[a]
        x = [word + keys[(group + 1 + k) % 5] for k, word in enumerate(x)]
        x[3] = x[3] + (group + 1)
    return x


def _uniform(words: Words) -> Lanes:
    """`random.to_uniform` of eight words, to the bit."""
    above_one = (words >> 12 | _ONE_BITS).as_doubles()
    return above_one - number(words.builder, 1.0 - 2.0**-53)


def _normals(a: Words, b: Words) -> tuple[Lanes, Lanes]:
    """`random.to_normals` of eight pairs of words."""
    radius = root(log(_uniform(a)) * number(a.builder, -2.0))
    cosine, sine = cosine_and_sine(_uniform(b))
    return radius * cosine, radius * sine


def _in_turn(builder: Any, a: Any, b: Any, width: int) -> Any:
    """One vector of the entries of two in turn."""
    order = [k // 2 + (k % 2) * width for k in range(2 * width)]
    kind = ir.VectorType(ir.IntType(32), 2 * width)
    return builder.shuffle_vector(a, b, ir.Constant(kind, order))


def _put_in_turn(builder: Any, room: Any, found: list[Lanes]) -> None:
    """Write the first lanes of four vectors, then the second, and so on."""
    even = _in_turn(builder, found[0].value, found[2].value, LANES)
    odd = _in_turn(builder, found[1].value, found[3].value, LANES)
    whole = _in_turn(builder, even, odd, 2 * LANES)
    target = builder.bitcast(room, whole.type.as_pointer())
    builder.store(whole, target, align=8)


@intrinsic
def normals_of_row(typing_context, seed, replicate, purpose, row, out):
    """Fill `out`, C-contiguous, with the normals of the counters (row, 0), (row, 1), …, four each.

    The other arguments are uint64.
    """
    check_doubles(1, out)

    def build(context, builder, signature, arguments):
        key = [Words(builder, splat(builder, word)) for word in arguments[:3]]
        key.append(Words(builder, ir.Constant(WORDS, [0] * LANES)))
        first = Words(builder, splat(builder, arguments[3]))
        array = context.make_array(signature.args[4])(context, builder, arguments[4])
        size = cgutils.unpack_tuple(builder, array.shape)[0]
        room = cgutils.alloca_once(builder, ir.ArrayType(DOUBLE, DRAWN))
        places = ir.Constant(WORDS, list(range(LANES)))
        with counting(builder, size, DRAWN) as start:
            second = Words(builder, splat(builder, builder.lshr(start, WORD(2))))
            second = Words(builder, builder.add(second.value, places))
            words = _threefry([first, second, key[3], key[3]], key)
            found = [*_normals(*words[:2]), *_normals(*words[2:])]
            _put_in_turn(builder, room, found)
            left = builder.sub(size, start)
            some = builder.select(builder.icmp_signed("<", left, WORD(DRAWN)), left, WORD(DRAWN))
            with counting(builder, some) as k:
                value = builder.load(builder.gep(room, [WORD(0), k]))
                builder.store(value, builder.gep(array.data, [builder.add(start, k)]))
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64, types.uint64, out), build
