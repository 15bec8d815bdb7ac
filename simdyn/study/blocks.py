"""Blocks of a study, the unit of work and of storage, and the price that shapes them."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np

# Nominal seconds on one core, as `tests/speed` measured them. They shape blocks, and blocks shape
# stores, so they are fixed numbers: a store does not depend on the machine that made it.
BLOCK_SECONDS, BLOCK_BYTES = 2.0, 2**25  # Zarr takes some 20 ms of a core to write a block
# Enough blocks for many cores; and few enough, in long studies, for a file system to bear.
MIN_BLOCKS, MAX_BLOCKS = 32, 50_000


@dataclasses.dataclass(frozen=True)
class Block:
    """A rectangle of the grid and a range of replicates."""

    number: int
    region: tuple[slice, ...]  # along each grid dim, then replicate

    @property
    def replicates(self) -> range:
        """Replicates of the block."""
        return range(self.region[-1].start, self.region[-1].stop)

    @property
    def cells(self) -> int:
        """Points times replicates."""
        return math.prod(part.stop - part.start for part in self.region)

    def indices(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """(index in the grid, index in the block) of every point."""
        starts = [part.start for part in self.region[:-1]]
        for local in np.ndindex(*(part.stop - part.start for part in self.region[:-1])):
            yield tuple(s + i for s, i in zip(starts, local, strict=True)), local


def block_shape(lengths: Sequence[int], cost: float, size: int) -> tuple[int, ...]:
    """Points and replicates of a block along each of `lengths`.

    Parameters
    ----------
    lengths : sequence of int
        Lengths of the grid dims, then replicates.
    cost : float
        Nominal seconds of everything.
    size : int
        Bytes of everything.
    """
    cells = math.prod(lengths)
    target = max(min(BLOCK_SECONDS, cost / MIN_BLOCKS), cost / MAX_BLOCKS)
    room = min(target * cells / cost, BLOCK_BYTES * cells / max(size, 1))
    shape = []
    for length in reversed(lengths):
        take = int(min(length, max(1, room)))
        shape.append(take)
        room /= take
    return tuple(reversed(shape))


class Blocks(Sequence[Block]):
    """All blocks of a shape, numbered in C order, made when asked for.

    Those at the far edges may be smaller.

    Parameters
    ----------
    lengths : sequence of int
        Lengths of the grid dims, then replicates.
    shape : sequence of int
        Of a block, along each of them.
    """

    def __init__(self, lengths: Sequence[int], shape: Sequence[int]) -> None:
        self.lengths, self.shape = tuple(lengths), tuple(shape)
        self.counts = tuple(-(-n // k) for n, k in zip(lengths, shape, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    @overload
    def __getitem__(self, number: int) -> Block: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[Block, ...]: ...

    def __getitem__(self, number: int | slice) -> Block | tuple[Block, ...]:
        if isinstance(number, slice):
            return tuple(self[k] for k in range(*number.indices(len(self))))
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number %= len(self)
        region = tuple(
            slice(i * k, min((i + 1) * k, n))
            for i, k, n in zip(self.position(number), self.shape, self.lengths, strict=True)
        )
        return Block(number, region)

    def position(self, number: int) -> tuple[int, ...]:
        """Index of a block among the blocks, as chunks of its values are named."""
        return tuple(int(i) for i in np.unravel_index(number, self.counts))

    def cells(self, numbers: Iterable[int]) -> int:
        """Points times replicates of some of the blocks."""
        if isinstance(numbers, range) and numbers == range(len(self)):
            return math.prod(self.lengths)
        return sum(self[number].cells for number in numbers)

    def holding(self, cell: Sequence[int]) -> int:
        """Number of the block that holds a cell (index in the grid, replicate)."""
        position = tuple(i // k for i, k in zip(cell, self.shape, strict=True))
        return int(np.ravel_multi_index(position, self.counts))
