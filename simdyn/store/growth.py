"""A store made ready for a run: made, repaired, or grown from that of a smaller study.

A store that grows moves, whole, into the folder `before` of the larger one. Blocks of the larger
store take from there the points that are done, and when all are done it is removed. At every
moment in between each value is on disk, so that a killed run loses none.
"""

import collections
import contextlib
import os
import shutil
import threading
from pathlib import Path

import numpy as np

from simdyn.inputs import InputError
from simdyn.store.audit import mend
from simdyn.store.core import Store, allocate, open_study, refuse
from simdyn.store.differences import Growth, growth
from simdyn.store.files import BEFORE, PARTIAL, alone, identities, plainly
from simdyn.study import Study

TAKEN = (1, 2, 3)  # done, zero gradient, non-finite: states that computing again would give again


class Grown:
    """What a store has grown from: values of points that are done there.

    Parameters
    ----------
    store : Store
        The smaller one.
    growth : Growth
        How its points lie in the larger study.
    before : Grown, optional
        What the smaller one has grown from in its turn.
    """

    KEPT_BLOCKS = 16  # in memory: neighbours in the larger study share blocks of the smaller one

    def __init__(self, store: Store, growth: Growth, before: "Grown | None" = None) -> None:
        self.store, self.growth, self.before = store, growth, before
        self._blocks: collections.OrderedDict[int, dict[str, np.ndarray] | None] = (
            collections.OrderedDict()
        )
        self._lock = threading.Lock()

    def _block(self, number: int) -> dict[str, np.ndarray] | None:
        """The values of a block that is done."""
        with self._lock:
            if number not in self._blocks:
                self._blocks[number] = self.store.good(self.store.blocks[number])
                if len(self._blocks) > self.KEPT_BLOCKS:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(number)
            return self._blocks[number]

    def take(
        self, index: tuple[int, ...], replicates: range
    ) -> tuple[dict[str, np.ndarray], tuple[int, ...], int] | None:
        """Values of a point of the larger study, where its first replicates are done.

        Returns
        -------
        (values, methods, count) or None
            Variables with dims (method, replicate, …) for those methods of the larger study and
            the first `count` of the replicates.
        """
        old = self.growth.old_index(index)
        wanted = range(replicates.start, min(replicates.stop, self.growth.replicates))
        if old is None or not wanted:
            return None
        found = [self._cell(old, replicate) for replicate in wanted]
        whole = [cell for cell in found if cell is not None]
        if len(whole) < len(found):
            earlier = self.before and self.before.take(old, replicates)
            if not earlier:
                return None
            values, methods, count = earlier
            return values, tuple(self.growth.methods[k] for k in methods), count
        values = {name: np.stack([cell[name] for cell in whole], axis=1) for name in whole[0]}
        return values, self.growth.methods, len(whole)

    def _cell(self, old: tuple[int, ...], replicate: int) -> dict[str, np.ndarray] | None:
        """Values of one replicate of a point, with dims (method, …), where they are done."""
        block = self.store.blocks[self.store.blocks.holding((*old, replicate))]
        values = self._block(block.number)
        if values is None:
            return None
        *grid, own = (
            i - part.start for i, part in zip((*old, replicate), block.region, strict=True)
        )
        cell = {name: array[(*grid, slice(None), own)] for name, array in values.items()}
        return cell if np.isin(cell["status"], TAKEN).all() else None


def grown_from(path: Path, study: Study) -> Grown | None:
    """What a store still takes values from; None where that is nothing, or damaged."""
    before = path / BEFORE
    if not before.is_dir():
        return None
    try:
        old = open_study(before)
        how = growth(old, study)
        if how is None:
            return None
        return Grown(Store(before, old), how, grown_from(before, old))
    except InputError:
        return None  # its values are computed again


def ready(path: Path, study: Study) -> tuple[Store, list[str]]:
    """Make, repair or grow the store of a study.

    Returns
    -------
    store : Store
    notes : list of str
        What was done, a line each.
    """
    notes: list[str] = []
    with plainly(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path.parent):
            _finish_growing(path)
            if path.exists():
                notes = _renewed(path, study)
            store = Store(path, study)
    return store, notes


def _renewed(path: Path, study: Study) -> list[str]:
    """Repair the study's own store, or grow that of a smaller one."""
    said = identities(path)
    if any(given["fingerprint"] == study.fingerprint for given in said):
        return mend(path, study)
    try:
        old = open_study(path)
    except InputError:
        if not said:
            raise
        refuse(path, study)
        raise
    if growth(old, study) is None:
        refuse(path, study)
    allocate(path, study, before=path)
    return ["the study has grown; what was done is kept"]


def _finish_growing(path: Path) -> None:
    """Put a larger store in its place whose maker was killed a moment too early."""
    if path.exists():
        return
    for draft in path.parent.glob(f".{path.name}.*{PARTIAL}"):
        if (draft / BEFORE).is_dir():
            os.rename(draft, path)
            return


def settle(store: Store) -> None:
    """When every block is done: remove what the store has grown from, and half-written files."""
    with contextlib.suppress(OSError):
        shutil.rmtree(store.path / BEFORE, ignore_errors=True)
    store.sweep()
