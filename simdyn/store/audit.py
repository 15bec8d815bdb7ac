"""Every file and every value of a store checked, and its files repaired.

A finding names the file and its block. `repair` repairs everything except values; the next run
computes damaged blocks again.
"""

import contextlib
import dataclasses
import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from simdyn.base.replacement import PARTIAL
from simdyn.store.creation import documentation_digest
from simdyn.store.files import META, explain_file_errors, identities, store_names, stored_files
from simdyn.store.identity import study_text
from simdyn.store.log import entry
from simdyn.store.skeleton import Skeleton, in_place
from simdyn.store.store import Store
from simdyn.study.blocks import Block
from simdyn.study.design import StudyDesign
from simdyn.variables.registry import VARIABLES

FOREIGN, FOLDER = "does not belong here", "is a folder"
DAMAGED, MISSING = "is damaged", "is missing"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    file: str  # its name in the store; "" for a whole block
    trouble: str
    block: int | None = None

    def __str__(self) -> str:
        where = "" if self.block is None else f"block {self.block}:"
        file = self.file if self.file.isprintable() else repr(self.file)
        return " ".join(filter(None, (where, file, self.trouble)))


def block_shape_of(path: Path, study: StudyDesign) -> tuple[int, ...]:
    """Points and replicates of a block, as most of the files of a store say that record it."""
    dims, shapes = len(study.lengths), []
    for given in identities(path):
        with contextlib.suppress(TypeError):
            shapes.append(tuple(given.get("block_shape", ())))
    for name in study.variables:
        with contextlib.suppress(Exception):  # what a damaged text raises depends on the damage
            grid = json.loads((path / name / META).read_bytes())["chunk_grid"]
            *shape, _, replicates = grid["configuration"]["chunk_shape"][: dims + 1]
            shapes.append((*shape, replicates))
    possible = [
        shape
        for shape in shapes
        if len(shape) == dims
        and all(
            isinstance(k, int) and 1 <= k <= n for k, n in zip(shape, study.lengths, strict=True)
        )
    ]
    return Counter(possible).most_common(1)[0][0] if possible else study.block_shape


class ExpectedFiles:
    """The files that a store may have."""

    def __init__(self, path: Path, study: StudyDesign, shape: tuple[int, ...]) -> None:
        self.names = store_names(path)
        digests = [given.get("texts") for given in identities(path)]
        same_texts = documentation_digest(study.layout) in digests
        self.skeleton = Skeleton(study, shape, self.names, study_text(path, study), same_texts)
        self.counts = tuple(-(-n // k) for n, k in zip(study.lengths, shape, strict=True))
        self.blocks = math.prod(self.counts)
        self.variables, self.layout = study.variables, study.layout

    def belongs(self, name: str) -> bool:
        """Does a file of this name belong in the store?"""
        if name in self.skeleton.files or self.is_entry(name):
            return True
        array, _, chunk = name.partition("/c/")
        if not all(part.isdecimal() and part == str(int(part)) for part in chunk.split("/")):
            return False
        at = tuple(map(int, chunk.split("/")))
        if array == self.names.sha256:
            return len(at) == 2 and at[0] < self.blocks and at[1] == 0
        if array not in self.variables:
            return False
        *grid, replicates = self.counts
        chunks = self.layout.by_block(array, grid, 1, replicates)
        chunks += (1,) * len(VARIABLES[array].dims)
        return len(at) == len(chunks) and all(i < n for i, n in zip(at, chunks, strict=True))

    def is_entry(self, name: str) -> bool:
        """Is this the name of a log entry's file?"""
        log, _, rest = name.partition(f"{self.names.log}/")
        return not log and rest.count("/") == 1 and rest.endswith(f"/{META}")


def _check_files(path: Path, expected: ExpectedFiles, listed: bool = True) -> Iterator[Finding]:
    """Metadata, coordinates and log entries that are missing or damaged; files that do not belong.

    Parameters
    ----------
    listed : bool
        List every file, to find those that do not belong.
    """
    there = set() if listed else {n for n in expected.skeleton.files if (path / n).is_file()}
    for name in stored_files(path, expected.names, expected.belongs) if listed else ():
        if name.endswith(PARTIAL):
            continue  # half-written, by a killed process or by one that is running
        if not expected.belongs(name):
            yield Finding(name, FOREIGN)
        elif (path / name).is_dir():
            yield Finding(name, FOLDER)
        elif expected.is_entry(name) and not entry((path / name).parent):
            yield Finding(name, DAMAGED)
        else:
            there.add(name)
    for name in expected.skeleton.files:
        if name not in there:
            yield Finding(name, MISSING)
            continue
        try:
            content = (path / name).read_bytes()
        except OSError as problem:
            yield Finding(name, f"cannot be read: {problem.strerror}")
            continue
        if not expected.skeleton.fits(name, content):
            yield Finding(name, DAMAGED)


def _check_blocks(store: Store) -> Iterator[Finding]:
    """What is wrong with each block that is damaged; blocks never computed are passed over."""
    for block in store.blocks:
        files = store.files_of(block)
        there = {name: (store.path / file).is_file() for name, file in files.items()}
        if not any(there.values()):
            continue
        if not there.pop(store.names.sha256):
            yield Finding("", "has values without a receipt", block.number)
            continue
        lost = [files[name] for name, exists in there.items() if not exists]
        if not lost and store.is_done(block):
            continue
        broken = [
            file
            for name, file in files.items()
            if file not in lost and not _readable(store, block, name)
        ]
        yield from (Finding(file, MISSING, block.number) for file in lost)
        yield from (Finding(file, DAMAGED, block.number) for file in broken)
        if not lost and not broken:
            yield Finding("", "has values that do not fit its receipt", block.number)


def _readable(store: Store, block: Block, name: str) -> bool:
    try:
        store.read_array(block, name)
    except Exception:  # what a damaged chunk raises depends on where it is damaged
        return False
    return True


@dataclasses.dataclass(frozen=True)
class Audit:
    """What `simdyn verify` finds.

    Attributes
    ----------
    blocks : int
    missing, damaged : tuple of int
        Numbers of the blocks that are not computed yet, and of those that are damaged.
    findings : tuple of Finding
    leftovers : int
        Half-written files of killed processes; harmless.
    """

    blocks: int
    missing: tuple[int, ...]
    damaged: tuple[int, ...]
    findings: tuple[Finding, ...]
    leftovers: int

    @property
    def good(self) -> int:
        """The number of blocks whose receipts fit their values."""
        return self.blocks - len(self.missing) - len(self.damaged)


def audit(path: Path, study: StudyDesign) -> Audit:
    """Check every file and value of a store. Changes nothing."""
    shape = block_shape_of(path, study)
    with explain_file_errors(path, "read"):
        expected = ExpectedFiles(path, study, shape)
        findings = list(_check_files(path, expected))
        leftovers = sum(name.endswith(PARTIAL) for name in stored_files(path, expected.names))
        # Values are read with the metadata that should be there: damaged metadata hide no values.
        store = Store(path, study, expected.skeleton.group_of(path))
        values = list(_check_blocks(store))
    damaged = sorted({finding.block for finding in values if finding.block is not None})
    missing = tuple(
        block.number
        for block in store.blocks
        if not any((path / file).is_file() for file in store.files_of(block).values())
    )
    return Audit(len(store.blocks), missing, tuple(damaged), (*findings, *values), leftovers)


def repair(path: Path, study: StudyDesign, listed: bool = True) -> list[str]:
    """Repair everything in a store except values; returns what was done, a line each.

    If every file is `listed`, those that do not belong are moved beside the store, never deleted.
    """
    shape = block_shape_of(path, study)
    notes = []
    with explain_file_errors(path, "written"):
        expected = ExpectedFiles(path, study, shape)
        for finding in list(_check_files(path, expected, listed)):
            file = finding.file
            if file in expected.skeleton.files and finding.trouble != FOLDER:
                in_place(path / file, expected.skeleton.files[file])
                notes.append(f"{finding}: written anew")
                continue
            aside = _free_path(path.with_name(f"{path.name}.foreign"), file)
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path / file, aside)
            _remove_empty((path / file).parent, path)
            notes.append(f"{finding}: moved to {str(aside)!r}")
    return notes


def _free_path(folder: Path, name: str) -> Path:
    """A path in a folder that nothing has, and that no file is in the way of."""
    first, *rest = name.split("/")
    while True:
        path = folder.joinpath(first, *rest)
        between = [parent for parent in path.parents if folder in parent.parents]
        if not os.path.lexists(path) and all(
            parent.is_dir() or not os.path.lexists(parent) for parent in between
        ):
            return path
        first += "~"


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder if it is empty, then its parents inside a root if they are."""
    with contextlib.suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent
