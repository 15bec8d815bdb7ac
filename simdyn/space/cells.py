"""Cells of a refined grid: their corners, their halves, and interpolation between corners."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

Index = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Cell:
    """All points from one corner to the opposite one, both included.

    Along a dim that is not refined, or at the end of a grid, both may be the same.

    Attributes
    ----------
    low, high : tuple of int
        Indices of the two corners in the grid.
    """

    low: Index
    high: Index

    @property
    def corners(self) -> list[Index]:
        """Indices of all corners, each once."""
        ends = (dict.fromkeys(pair) for pair in zip(self.low, self.high, strict=True))
        return list(itertools.product(*ends))

    @property
    def divisible(self) -> bool:
        """Are there points that are no corners?"""
        return any(high - low > 1 for low, high in zip(self.low, self.high, strict=True))

    @property
    def size(self) -> int:
        """Steps between neighbouring points that the cell spans, over all dims that it spans."""
        return math.prod(max(high - low, 1) for low, high in zip(self.low, self.high, strict=True))

    def holds(self, point: Index) -> bool:
        """Does the point lie in the cell, or on its edge?"""
        spans = zip(self.low, point, self.high, strict=True)
        return all(low <= k <= high for low, k, high in spans)

    def halves(self) -> list["Cell"]:
        """The cells that halving along each dim gives; of an odd number the second is larger."""
        pieces = []
        for low, high in zip(self.low, self.high, strict=True):
            middle = (low + high) // 2
            pieces.append([(low, middle), (middle, high)] if high - low > 1 else [(low, high)])
        return [
            Cell(tuple(low for low, _ in ends), tuple(high for _, high in ends))
            for ends in itertools.product(*pieces)
        ]

    def points(self) -> Iterator[Index]:
        """Indices of all points, the last dim fastest."""
        spans = zip(self.low, self.high, strict=True)
        return itertools.product(*(range(low, high + 1) for low, high in spans))

    def weights(self, points: Sequence[Index], positions: Sequence[np.ndarray]) -> np.ndarray:
        """The share of each corner in points that are interpolated linearly along each dim.

        Parameters
        ----------
        points : sequence of P indices
        positions : sequence of ndarray
            Along each dim, where the points of the grid lie.

        Returns
        -------
        (P, C) ndarray
            Corners in the order of `corners`; each row sums to 1.
        """
        shares = np.ones((len(points), 1))
        along = np.array(points).T
        for index, low, high, at in zip(along, self.low, self.high, positions, strict=True):
            if low < high:
                upper = (at[index] - at[low]) / (at[high] - at[low])
                both = np.stack([1.0 - upper, upper], axis=1)
                shares = (shares[:, :, None] * both[:, None, :]).reshape(len(points), -1)
        return shares
