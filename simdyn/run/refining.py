"""A tile of a refined study for one method: which points are computed, and what lies between."""

from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np

from simdyn.kernels.codes import INTERPOLATED
from simdyn.space.cells import Cell, Index
from simdyn.study.blocks import Block
from simdyn.study.design import StudyDesign
from simdyn.study.refined import positions
from simdyn.theory.analysis import VALID

Run = dict[str, np.ndarray]
"""Variables of the replicates of one point and method, (replicate, …)."""


class Tile:
    """The points of a block, between corners of which some lie in blocks next to it.

    A tile is refined by itself, whatever its neighbours are, so that blocks can be computed in any
    order and by anyone. Neighbours compute the points on their common edge twice.

    Parameters
    ----------
    study : StudyDesign
    block : Block
    wanted : collection of tuple of int
        Points of the block that are not masked.
    run : callable
        The values of a point; None if it is masked or fails.
    """

    def __init__(
        self,
        study: StudyDesign,
        block: Block,
        wanted: Collection[Index],
        run: Callable[[Index], Run | None],
    ) -> None:
        refine = study.space.refine
        assert refine is not None
        self.refine, self.wanted, self._run = refine, wanted, run
        self.positions = positions(study.space)
        shape, regions = study.space.shape, block.region[:-1]
        wide = [n > 1 for n in study.block_shape[:-1]]
        self.whole = Cell(
            tuple(part.start for part in regions),
            tuple(
                min(part.stop, length - 1) if more else part.start
                for part, length, more in zip(regions, shape, wide, strict=True)
            ),
        )
        self._known: dict[Index, Run | None] = {}

    def _at(self, index: Index) -> Run | None:
        """The values of a point, computed when they are first asked for."""
        if index not in self._known:
            self._known[index] = self._run(index)
        return self._known[index]

    def values(self) -> Iterator[tuple[list[Index], Run]]:
        """The values of all points of the block that have any, some points at a time.

        Yields
        ------
        (list of index, dict of str to (point, replicate, …) array)
        """
        leaves = self._leaves()
        for index, run in self._known.items():
            if run is not None and index in self.wanted:
                yield [index], {name: value[None] for name, value in run.items()}
        seen = set(self._known)
        for leaf in sorted(leaves, key=lambda cell: (cell.size, cell.low)):
            points = [at for at in leaf.points() if at not in seen and at in self.wanted]
            if points:
                seen.update(points)
                yield points, self._between(leaf, points)

    def _leaves(self) -> list[Cell]:
        """The cells whose points are interpolated.

        A line may enter a cell and leave it through one edge, which its corners do not show. So a
        cell is halved, too, if points on its edges that smaller cells have computed show it.
        """
        cells, leaves = [self.whole], list[Cell]()
        while cells:
            while cells:
                cell = cells.pop()
                if self._is_simple(cell.corners):
                    leaves.append(cell)
                elif cell.divisible:
                    cells += cell.halves()
            known = list(self._known)
            for leaf in list(leaves):
                if not self._is_simple(filter(leaf.holds, known)):
                    leaves.remove(leaf)
                    cells += leaf.halves()
        return leaves

    def _is_simple(self, points: Iterable[Index]) -> bool:
        """May what lies between these points be interpolated? Computes them."""
        runs = [self._at(point) for point in points]
        there = [run for run in runs if run is not None]
        if len(there) < len(runs):
            return False
        valid = np.array([np.isin(run["status"], VALID) for run in there])
        if (valid != valid[0]).any():
            return False
        if not valid[0].any():
            return True
        values = np.array([run[self.refine.variable][:, -1] for run in there])[:, valid[0]]
        means = values.mean(axis=1)
        passed = any(means.min() <= level < means.max() for level in self.refine.levels)
        apart = self.refine.step is not None and np.ptp(means) > self.refine.step
        return not (passed or apart)

    def _between(self, cell: Cell, points: list[Index]) -> Run:
        """The values of points that lie between the corners of a cell, (point, replicate, …)."""
        weights = cell.weights(points, self.positions)
        runs = [run for corner in cell.corners if (run := self._at(corner)) is not None]
        found = {name: _mixed(weights, np.array([run[name] for run in runs])) for name in runs[0]}
        found["status"][...] = INTERPOLATED
        found["status_step"][...] = 0
        return found


def _mixed(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means (P, …) of values (C, …) with weights (P, C); NaN if one that counts is not finite."""
    if values.dtype.kind != "f":
        rounded: np.ndarray = np.rint(_sum(weights, values))
        return rounded.astype(values.dtype)
    finite = np.isfinite(values)
    means = _sum(weights, np.where(finite, values, 0.0))
    if not finite.all():
        means[_sum(weights > 0.0, ~finite) > 0] = np.nan
    return means


def _sum(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Σ_c weights[:, c] · values[c], in this order: the bits of a matrix product may vary."""
    total = np.zeros((len(weights), *values.shape[1:]))
    for weight, value in zip(weights.T, values, strict=True):
        total += np.multiply.outer(weight, value)
    return total
