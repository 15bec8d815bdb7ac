"""Blocks of a study, the unit of work and of storage, and the price that shapes them."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np

from simdyn.kernels import LANCZOS_STEPS
from simdyn.params import Data, DrawnData, ImageData, Record
from simdyn.space import Point

# Nominal seconds on one core, as `tests/speed` measured them. They shape blocks, and blocks shape
# stores, so they are fixed numbers: a store does not depend on the machine that made it.
BLOCK_SECONDS, BLOCK_BYTES = 2.0, 2**25  # Zarr takes some 20 ms of a core to write a block
# Enough blocks for many cores; and few enough, in long studies, for a file system to bear.
MIN_BLOCKS, MAX_BLOCKS = 32, 50_000
PRODUCT_SECONDS = 2.5e-10  # for each of the 2m·q² products of a gradient
DRAW_SECONDS = 4.0e-8  # for each coordinate of a drawn vector
LINE_SECONDS = 1.0e-7  # for each filter of a line


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


def _sizes(data: Data) -> tuple[int, int, int]:
    """Dictionary vectors, their dimension, and noise vectors of a sample."""
    if isinstance(data, DrawnData):
        return data.dictionary_size, data.dimension, data.noise_vectors
    from simdyn.images import sizes

    assert isinstance(data, ImageData)
    return *sizes(data), 1


def seconds(point: Point, record: Record, states: int) -> float:
    """Nominal seconds of one replicate of a point, all methods, on one core."""
    n, m = point.data.n_samples, point.net.n_filters
    q, dimension, vectors = _sizes(point.data)
    width = min(q + 2 * m, dimension)
    product = 2 * m * min(q * q, 2 * q * width) * PRODUCT_SECONDS
    names = record.variables or ()
    probing = 2 if {"sam_gap", "deactivated_fraction"} & set(names) else 0
    probing += min(n, LANCZOS_STEPS) if "sharpness" in names else 0
    total = 1e-5 + (q + 2 * m) * width * DRAW_SECONDS
    for plan in point.plans:
        for phase in plan:
            groups = -(-n // phase.perturbed_together) if phase.perturbed_together else 1
            passes = 2 * groups if phase.perturbation > 0 else 1
            total += phase.epochs * phase.updates_per_epoch(n) * passes * product
        lines = states * record.draws(point.net.activation)
        total += lines * 2 * m * vectors**2 * LINE_SECONDS
        total += states * probing * product
    return total


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
            for i, k, n in zip(self.place(number), self.shape, self.lengths, strict=True)
        )
        return Block(number, region)

    def place(self, number: int) -> tuple[int, ...]:
        """Index of a block among the blocks, as chunks of its values are named."""
        return tuple(int(i) for i in np.unravel_index(number, self.counts))

    def cells(self, numbers: Iterable[int]) -> int:
        """Points times replicates of some of the blocks."""
        if isinstance(numbers, range) and numbers == range(len(self)):
            return math.prod(self.lengths)
        return sum(self[number].cells for number in numbers)

    def holding(self, cell: Sequence[int]) -> int:
        """Number of the block that holds a cell (index in the grid, replicate)."""
        place = tuple(i // k for i, k in zip(cell, self.shape, strict=True))
        return int(np.ravel_multi_index(place, self.counts))
