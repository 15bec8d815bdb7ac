"""Before a run a store is made, repaired or extended; after it, cleaned up."""

import contextlib
import glob
import os
import shutil
from pathlib import Path

from simdyn.base.inputs import InputError
from simdyn.base.replacement import PARTIAL
from simdyn.store.audit import repair
from simdyn.store.creation import allocate
from simdyn.store.differences import extension
from simdyn.store.files import META, explain_file_errors, lock_folder, store_names
from simdyn.store.identity import holds, open_study, refuse, with_stored_axes
from simdyn.store.store import Store
from simdyn.study.design import StudyDesign


def prepare_store(path: Path, study: StudyDesign, listed: bool = True) -> tuple[Store, list[str]]:
    """Make, repair or extend the store of a study.

    If the axis values in the store differ from the study's by rounding only, the study of the
    returned store has those of the store.

    Parameters
    ----------
    listed : bool
        List every file of the store. Not for the shards of a batch array: hundreds of shards that
        list a shared folder at the same time would slow down its file system.

    Returns
    -------
    store : Store
    notes : list of str
        What was done, a line each.
    """
    notes: list[str] = []
    with explain_file_errors(path, "written"):
        if path.is_symlink():
            path = path.resolve()  # extend the store itself, and leave the link to it in its place
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock_folder(path.parent) as locked:
            _finish_extension(path, locked)
            study = with_stored_axes(path, study)
            if path.exists():
                notes = _repair_or_extend(path, study, listed)
            store = Store(path, study)
    return store, notes


def _repair_or_extend(path: Path, study: StudyDesign, listed: bool) -> list[str]:
    """Repair the study's own store, or extend that of a smaller study."""
    if holds(path, study):
        return [*repair(path, study, listed), *_repair_smaller(path)]
    old = open_study(path)
    if extension(old, study) is None:
        refuse(path, study)
    notes = [*repair(path, old), *_repair_smaller(path)]  # so that all its values can be taken
    allocate(path, study, before=path)
    return [*notes, "the study has grown; what was done is kept"]


def _repair_smaller(path: Path) -> list[str]:
    """Repair the smaller store that this one takes values from, if it says what it is."""
    before = path / store_names(path).before
    if not before.is_dir():
        return []
    try:
        notes = repair(before, open_study(before))
    except InputError:
        return []
    return [*(f"before: {note}" for note in notes), *_repair_smaller(before)]


def _finish_extension(path: Path, locked: bool) -> None:
    """Move a larger store to its path if the process that made it was killed just before that.

    Drafts that other killed processes left are removed, if no process can be working on them.
    """
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        if (draft / store_names(draft).before).is_dir():
            if not path.exists():
                os.rename(draft, path)
        elif locked:
            shutil.rmtree(draft, ignore_errors=True)


def clean_up(store: Store) -> None:
    """When every block is done: remove the smaller store, and half-written files."""
    before = store.path / store.names.before
    with explain_file_errors(store.path, "written"), lock_folder(store.path.parent):
        store.check_still_its_own()
        for file in (before / META, before / store_names(before).receipts / META):
            with contextlib.suppress(OSError):
                file.unlink()  # if killed from here on, the rest is no store: it is not repaired
        shutil.rmtree(before, ignore_errors=True)
        store.sweep()
