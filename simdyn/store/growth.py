"""A store made ready for a run: made, repaired, or grown from that of a smaller study.

A store that grows moves, whole, into a folder of the larger one. Blocks of the larger
store take from there the points that are done, and when all are done it is removed. At every
moment in between each value is on disk, so that a killed run loses none.
"""

import collections
import contextlib
import glob
import os
import shutil
import threading
from pathlib import Path

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.store.audit import mend
from simdyn.store.differences import Growth, growth
from simdyn.store.files import META, PARTIAL, alone, own_names, plainly
from simdyn.store.identity import holds, open_study, refuse, with_stored_axes
from simdyn.store.skeleton import allocate
from simdyn.store.store import Store
from simdyn.study.design import StudyDesign

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
        wanted = range(replicates.start, min(replicates.stop, self.growth.replicates))
        if not wanted or self.growth.old_index(index) is None:
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
            name: np.stack([np.stack([cell[k][name] for cell in cells[:count]]) for k in best])
            for name in cells[0][best[0]]
        }
        return values, best, count

    def cell(self, index: tuple[int, ...], replicate: int) -> dict[int, dict[str, np.ndarray]]:
        """Values of one replicate of a point, for each method of the larger study that has them."""
        old = self.growth.old_index(index)
        if old is None or replicate >= self.growth.replicates:
            return {}
        found: dict[int, dict[str, np.ndarray]] = {}
        block = self.store.blocks[self.store.blocks.holding((*old, replicate))]
        values = self._block(block.number)
        if values is not None:
            *grid, own = (
                i - part.start for i, part in zip((*old, replicate), block.region, strict=True)
            )
            for k in range(len(self.growth.methods)):
                if values["status"][(*grid, k, own)] in TAKEN:
                    found[k] = {name: array[(*grid, k, own)] for name, array in values.items()}
        if self.before and len(found) < len(self.growth.methods):
            found = self.before.cell(old, replicate) | found
        return {self.growth.methods[k]: found[k] for k in found}


def grown_from(path: Path, study: StudyDesign) -> Grown | None:
    """What a store still takes values from; None where that is nothing, or damaged."""
    before = path / own_names(path).before
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


def ready(path: Path, study: StudyDesign, listed: bool = True) -> tuple[Store, list[str]]:
    """Make, repair or grow the store of a study.

    The study of the store that is given has the axis values that are stored already, where these
    differ from its own by rounding only.

    Parameters
    ----------
    listed : bool
        List every file of the store. Not for the shards of a batch array: hundreds of them that
        list a shared folder at once are a burden to it.

    Returns
    -------
    store : Store
    notes : list of str
        What was done, a line each.
    """
    notes: list[str] = []
    with plainly(path, "written"):
        if path.is_symlink():
            path = path.resolve()  # a store grows where it is, and not where a link to it is
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path.parent) as locked:
            _finish_growing(path, locked)
            study = with_stored_axes(path, study)
            if path.exists():
                notes = _renewed(path, study, listed)
            store = Store(path, study)
    return store, notes


def _renewed(path: Path, study: StudyDesign, listed: bool) -> list[str]:
    """Repair the study's own store, or grow that of a smaller one."""
    if holds(path, study):
        return [*mend(path, study, listed), *_mended_before(path)]
    old = open_study(path)
    if growth(old, study) is None:
        refuse(path, study)
    notes = [*mend(path, old), *_mended_before(path)]  # whole, it gives all its values
    allocate(path, study, before=path)
    return [*notes, "the study has grown; what was done is kept"]


def _mended_before(path: Path) -> list[str]:
    """Repair what a store has grown from, where it says what it is."""
    before = path / own_names(path).before
    if not before.is_dir():
        return []
    try:
        notes = mend(before, open_study(before))
    except InputError:
        return []
    return [*(f"before: {note}" for note in notes), *_mended_before(before)]


def _finish_growing(path: Path, locked: bool) -> None:
    """Put a larger store in its place whose maker was killed a moment too early.

    Drafts of others that were killed are removed, where no one can be at work on them.
    """
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        if (draft / own_names(draft).before).is_dir():
            if not path.exists():
                os.rename(draft, path)
        elif locked:
            shutil.rmtree(draft, ignore_errors=True)


def settle(store: Store) -> None:
    """When every block is done: remove what the store has grown from, and half-written files."""
    before = store.path / store.own.before
    with plainly(store.path, "written"), alone(store.path.parent):
        store.check_still_its_own()
        for place in (before / META, before / own_names(before).receipts / META):
            with contextlib.suppress(OSError):
                place.unlink()  # killed from here on, what is left is no store and never mended
        shutil.rmtree(before, ignore_errors=True)
        store.sweep()
