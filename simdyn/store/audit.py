"""A store held against what it should be: every file of it, and every value.

Damage is told by the piece and its block. `mend` repairs all but values; values are computed
again by the next run, block by block.
"""

import contextlib
import dataclasses
import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from simdyn.store.files import META, PARTIAL, identities, own_names, plainly, stored_files
from simdyn.store.identity import text_of
from simdyn.store.log import entry
from simdyn.store.skeleton import Skeleton, in_place, texts_of
from simdyn.store.store import Store
from simdyn.study.blocks import Block
from simdyn.study.design import StudyDesign

FOREIGN, FOLDER = "does not belong here", "is a folder"
DAMAGED, MISSING = "is damaged", "is missing"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    piece: str  # a file's name in the store, or what is wrong with a whole block
    trouble: str
    block: int | None = None

    def __str__(self) -> str:
        where = [] if self.block is None else [f"block {self.block}:"]
        piece = self.piece if self.piece.isprintable() else repr(self.piece)
        return " ".join([*where, *filter(None, [piece]), self.trouble])


def block_shape_of(path: Path, study: StudyDesign) -> tuple[int, ...]:
    """Points and replicates of a block, from the places that tell it, as most of them say."""
    dims, said = len(study.lengths), []
    for given in identities(path):
        with contextlib.suppress(TypeError):
            said.append(tuple(given.get("block_shape", ())))
    for name in study.variables:
        with contextlib.suppress(Exception):  # what a damaged text raises depends on the damage
            grid = json.loads((path / name / META).read_bytes())["chunk_grid"]
            *shape, _, replicates = grid["configuration"]["chunk_shape"][: dims + 1]
            said.append((*shape, replicates))
    fit = [
        shape
        for shape in said
        if len(shape) == dims
        and all(
            isinstance(k, int) and 1 <= k <= n for k, n in zip(shape, study.lengths, strict=True)
        )
    ]
    return Counter(fit).most_common(1)[0][0] if fit else study.block_shape


class Pieces:
    """Which file of a store is what."""

    def __init__(self, path: Path, study: StudyDesign, shape: tuple[int, ...]) -> None:
        self.own = own_names(path)
        same_texts = texts_of(study.layout) in (said.get("texts") for said in identities(path))
        self.skeleton = Skeleton(study, shape, self.own, text_of(path, study), same_texts)
        self.counts = tuple(-(-n // k) for n, k in zip(study.lengths, shape, strict=True))
        self.blocks = math.prod(self.counts)
        outer = len(study.layout.outer)
        self.inner = {name: len(study.layout.dims(name)) - outer for name in study.variables}

    def belongs(self, name: str) -> bool:
        """Does a file of this name have a place in the store?"""
        if name in self.skeleton.files or self.is_entry(name):
            return True
        array, _, place = name.partition("/c/")
        if not place or not all(part.isdecimal() for part in place.split("/")):
            return False
        if any(part != str(int(part)) for part in place.split("/")):
            return False
        at = tuple(map(int, place.split("/")))
        if array == self.own.sha256:
            return len(at) == 2 and at[0] < self.blocks and at[1] == 0
        if array not in self.inner or len(at) != len(self.counts) + 1 + self.inner[array]:
            return False
        *grid, method, replicates = at[: len(self.counts) + 1]
        rest = at[len(self.counts) + 1 :]
        there = all(i < n for i, n in zip((*grid, replicates), self.counts, strict=True))
        return there and method == 0 and not any(rest)

    def is_entry(self, name: str) -> bool:
        """Does an entry of the log have this name?"""
        log, _, rest = name.partition(f"{self.own.log}/")
        return not log and rest.count("/") == 1 and rest.endswith(f"/{META}")


def _structure(path: Path, pieces: Pieces, listed: bool = True) -> Iterator[Finding]:
    """Metadata, coordinates and log entries that are missing or damaged, and foreign files.

    Parameters
    ----------
    listed : bool
        List every file, to find those that are foreign.
    """
    there = set() if listed else {n for n in pieces.skeleton.files if (path / n).is_file()}
    for name in stored_files(path, pieces.own, pieces.belongs) if listed else ():
        if name.endswith(PARTIAL):
            continue  # half-written: by a killed process, or by one at work now
        if not pieces.belongs(name):
            yield Finding(name, FOREIGN)
        elif (path / name).is_dir():
            yield Finding(name, FOLDER)
        elif pieces.is_entry(name) and not entry((path / name).parent):
            yield Finding(name, DAMAGED)
        else:
            there.add(name)
    for name in pieces.skeleton.files:
        if name not in there:
            yield Finding(name, MISSING)
            continue
        try:
            content = (path / name).read_bytes()
        except OSError as problem:
            yield Finding(name, f"cannot be read: {problem.strerror}")
            continue
        if not pieces.skeleton.fits(name, content):
            yield Finding(name, DAMAGED)


def _values(store: Store) -> Iterator[Finding]:
    """Blocks that are not whole, those never computed left out."""
    for block in store.blocks:
        files = store.pieces(block)
        there = {name: (store.path / file).is_file() for name, file in files.items()}
        if not any(there.values()):
            continue
        if not there.pop(store.own.sha256):
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
        store.read_piece(block, name)
    except Exception:  # what a damaged chunk raises depends on where it is damaged
        return False
    return True


@dataclasses.dataclass(frozen=True)
class Audit:
    """What `verify` finds.

    Attributes
    ----------
    blocks : int
    missing, damaged : tuple of int
        Blocks not computed yet, and blocks that are not whole.
    findings : tuple of Finding
    leftovers : int
        Files that killed processes left half-written; harmless.
    """

    blocks: int
    missing: tuple[int, ...]
    damaged: tuple[int, ...]
    findings: tuple[Finding, ...]
    leftovers: int

    @property
    def good(self) -> int:
        """Blocks whose receipts fit their values."""
        return self.blocks - len(self.missing) - len(self.damaged)


def audit(path: Path, study: StudyDesign) -> Audit:
    """Hold every file and value of a store against what it should be. Changes nothing."""
    shape = block_shape_of(path, study)
    with plainly(path, "read"):
        pieces = Pieces(path, study, shape)
        findings = list(_structure(path, pieces))
        leftovers = sum(name.endswith(PARTIAL) for name in stored_files(path, pieces.own))
        # Values are read by the metadata that should be there, so that damage to it hides none.
        store = Store(path, study, pieces.skeleton.over(path))
        values = list(_values(store))
    damaged = sorted({finding.block for finding in values if finding.block is not None})
    missing = tuple(
        block.number
        for block in store.blocks
        if not any((path / file).is_file() for file in store.pieces(block).values())
    )
    return Audit(len(store.blocks), missing, tuple(damaged), (*findings, *values), leftovers)


def mend(path: Path, study: StudyDesign, listed: bool = True) -> list[str]:
    """Repair all of a store but its values; returns what was done, a line each.

    Files that do not belong there are moved beside the store, never deleted; they are looked for
    where every file is `listed`.
    """
    shape = block_shape_of(path, study)
    notes = []
    with plainly(path, "written"):
        pieces = Pieces(path, study, shape)
        for finding in list(_structure(path, pieces, listed)):
            piece = finding.piece
            if piece in pieces.skeleton.files and finding.trouble != FOLDER:
                in_place(path / piece, pieces.skeleton.files[piece])
                notes.append(f"{finding}: written anew")
                continue
            aside = _free(path.with_name(f"{path.name}.foreign"), piece)
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path / piece, aside)
            _remove_empty((path / piece).parent, path)
            notes.append(f"{finding}: moved to {str(aside)!r}")
    return notes


def _free(folder: Path, piece: str) -> Path:
    """A place in a folder where nothing stands, and no file in the way to it."""
    first, *rest = piece.split("/")
    while True:
        place = folder.joinpath(first, *rest)
        between = [at for at in place.parents if folder in at.parents]
        if not os.path.lexists(place) and all(
            at.is_dir() or not os.path.lexists(at) for at in between
        ):
            return place
        first += "~"


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder, and those around it within a root, where they are empty."""
    with contextlib.suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent
