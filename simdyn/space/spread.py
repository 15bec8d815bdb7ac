"""Points spread evenly over a grid."""

import itertools
import math
from collections.abc import Iterator, Sequence


def _primes() -> Iterator[int]:
    found: list[int] = []
    for n in itertools.count(2):
        if all(n % p for p in found):
            found.append(n)
            yield n


def spread(shape: Sequence[int], count: int) -> Iterator[tuple[int, ...]]:
    """Indices that cover a grid evenly: every one of a grid below twice `count`, else `count`.

    Multiples of √2, √3, √5, … modulo 1 (Richtmyer's sequence), in integers, so that they are the
    same on every machine. Every start of the sequence is spread evenly, too.
    """
    if math.prod(shape) < 2 * count:
        yield from itertools.product(*map(range, shape))
        return
    steps = [math.isqrt(p << 128) for p, _ in zip(_primes(), shape, strict=False)]
    for i in range(count):
        parts = [((2 * i + 1) * step >> 1) % 2**64 for step in steps]
        yield tuple(part * n >> 64 for part, n in zip(parts, shape, strict=True))
