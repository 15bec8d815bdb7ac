"""Values of a smaller study's store, taken over by the store of a larger study.

A store that is extended is moved into a folder of the larger study's new store. Blocks of
the larger study take the points that are done from there. When all blocks are done it is removed.
Every value is on disk at every moment, so a run that is killed loses none.
"""

import collections
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.kernels.codes import DONE, INTERPOLATED, NON_FINITE, UNREACHED, ZERO_GRADIENT
from simdyn.store.differences import Extension, extension
from simdyn.store.files import store_names
from simdyn.store.identity import open_study
from simdyn.store.store import Store
from simdyn.study.design import StudyDesign
from simdyn.variables.registry import VARIABLES

# States that computing again would give again.
TAKEN = (DONE, ZERO_GRADIENT, NON_FINITE, UNREACHED, INTERPOLATED)


class SmallerStore:
    """The store of a smaller study, as a larger study sees it.

    Parameters
    ----------
    store : Store
    extension : Extension
        How the smaller study's points lie in the larger one.
    before : SmallerStore, optional
        The store that the smaller one itself still takes values from.
    """

    KEPT_BLOCKS = 16  # in memory: neighbours in the larger study share blocks of the smaller one

    def __init__(
        self, store: Store, extension: Extension, before: "SmallerStore | None" = None
    ) -> None:
        self.store, self.extension, self.before = store, extension, before
        self._blocks: collections.OrderedDict[int, dict[str, np.ndarray] | None] = (
            collections.OrderedDict()
        )
        self._lock = threading.Lock()

    def _block(self, number: int) -> dict[str, np.ndarray] | None:
        """The values of a block that is done."""
        with self._lock:
            if number not in self._blocks:
                self._blocks[number] = self.store.checked_values(self.store.blocks[number])
                if len(self._blocks) > self.KEPT_BLOCKS:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(number)
            return self._blocks[number]

    def take(
        self, index: tuple[int, ...], replicates: range
    ) -> tuple[dict[str, np.ndarray], tuple[int, ...], int] | None:
        """Values of a point of the larger study, if its first replicates are done.

        Returns
        -------
        (values, methods, count) or None
            Variables with dims (method, replicate, …) for those methods of the larger study and
            the first `count` of the replicates; (method, …) if they have no replicates.
        """
        wanted = range(replicates.start, min(replicates.stop, self.extension.replicates))
        if not wanted or self.extension.old_index(index) is None:
            return None
        cells: list[dict[int, dict[str, np.ndarray]]] = []
        best: tuple[int, ...] = ()
        count, shared = 0, set[int]()
        for replicate in wanted:
            cell = self.cell(index, replicate)
            shared = shared & cell.keys() if cells else set(cell)
            if not shared:
                break
            cells.append(cell)
            if len(shared) * len(cells) > len(best) * count:
                best, count = tuple(sorted(shared)), len(cells)
        if not best:
            return None
        values = {
            name: np.stack([self._joined([cell[k] for cell in cells[:count]], name) for k in best])
            for name in cells[0][best[0]]
        }
        return values, best, count

    @staticmethod
    def _joined(runs: Sequence[Mapping[str, np.ndarray]], name: str) -> np.ndarray:
        """Values of a method's replicates."""
        if VARIABLES[name].pooled:
            return runs[0][name]
        return np.stack([run[name] for run in runs])

    def cell(self, index: tuple[int, ...], replicate: int) -> dict[int, dict[str, np.ndarray]]:
        """Values of one replicate of a point, for each method of the larger study that has them."""
        old = self.extension.old_index(index)
        if old is None or replicate >= self.extension.replicates:
            return {}
        found: dict[int, dict[str, np.ndarray]] = {}
        block = self.store.blocks[self.store.blocks.holding((*old, replicate))]
        values = self._block(block.number)
        if values is not None:
            *grid, inner = (
                i - part.start for i, part in zip((*old, replicate), block.region, strict=True)
            )
            for k in range(len(self.extension.methods)):
                if values["status"][(*grid, k, inner)] in TAKEN:
                    layout = self.store.study.layout
                    found[k] = {
                        name: array[layout.by_block(name, grid, k, inner)]
                        for name, array in values.items()
                    }
        if self.before and len(found) < len(self.extension.methods):
            found = self.before.cell(old, replicate) | found
        return {self.extension.methods[k]: found[k] for k in found}


def smaller_store(path: Path, study: StudyDesign) -> SmallerStore | None:
    """The store that this one still takes values from; None if there is none, or it is damaged."""
    before = path / store_names(path).before
    if not before.is_dir():
        return None
    try:
        old = open_study(before)
        found = extension(old, study)
        if found is None:
            return None
        return SmallerStore(Store(before, old), found, smaller_store(before, old))
    except InputError:
        return None  # its values are computed again
