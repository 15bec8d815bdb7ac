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

from simdyn.blocks import Block
from simdyn.store.core import SHA256, Store
from simdyn.store.files import (
    LOG,
    META,
    PARTIAL,
    attributes,
    identities,
    plainly,
    stored_files,
)
from simdyn.store.layout import Skeleton, in_place
from simdyn.store.log import sound
from simdyn.study import Study

FOREIGN = "does not belong here"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    piece: str  # a file's name in the store, or what is wrong with a whole block
    trouble: str
    block: int | None = None

    def __str__(self) -> str:
        where = [] if self.block is None else [f"block {self.block}:"]
        return " ".join([*where, *filter(None, [self.piece]), self.trouble])


def block_shape_of(path: Path, study: Study) -> tuple[int, ...]:
    """Points and replicates of a block, from the places that tell it, as most of them say."""
    said = [tuple(given.get("block_shape", ())) for given in identities(path)]
    with contextlib.suppress(Exception):
        grid = json.loads((path / "status" / META).read_bytes())["chunk_grid"]
        *shape, _, replicates = grid["configuration"]["chunk_shape"]
        said.append((*shape, replicates))
    dims = len(study.lengths)
    fit = [
        shape for shape in said
        if len(shape) == dims
        and all(isinstance(k, int) and 1 <= k <= n
                for k, n in zip(shape, study.lengths, strict=True))
    ]  # fmt: skip
    return Counter(fit).most_common(1)[0][0] if fit else study.block_shape


class Pieces:
    """Which file of a store is what."""

    def __init__(self, study: Study, shape: tuple[int, ...]) -> None:
        self.skeleton = Skeleton(study, shape)
        self.counts = tuple(-(-n // k) for n, k in zip(study.lengths, shape, strict=True))
        self.blocks = math.prod(self.counts)
        outer = len(study.layout.outer)
        self.inner = {name: len(study.layout.dims(name)) - outer for name in study.variables}

    def belongs(self, name: str) -> bool:
        """Does a file of this name have a place in the store?"""
        if name in self.skeleton.files or self._of_the_log(name):
            return True
        array, _, place = name.partition("/c/")
        if not place or not all(part.isdecimal() for part in place.split("/")):
            return False
        if any(part != str(int(part)) for part in place.split("/")):
            return False
        at = tuple(map(int, place.split("/")))
        if array == SHA256:
            return len(at) == 2 and at[0] < self.blocks and at[1] == 0
        if array not in self.inner:
            return False
        *grid, method, replicates = at[: len(self.counts) + 1]
        rest = at[len(self.counts) + 1 :]
        there = all(i < n for i, n in zip((*grid, replicates), self.counts, strict=False))
        right = len(at) == len(self.counts) + 1 + self.inner[array]
        return right and there and method == 0 and not any(rest)

    @staticmethod
    def _of_the_log(name: str) -> bool:
        parts = name.split("/")
        return len(parts) == 3 and parts[0] == LOG and parts[2] == META


def _structure(path: Path, pieces: Pieces) -> Iterator[Finding]:
    """Metadata, coordinates and log entries that are missing or damaged, and foreign files."""
    there = set()
    for name in stored_files(path):
        there.add(name)
        if name.endswith(PARTIAL):
            continue  # half-written: by a killed process, or by one at work now
        if not pieces.belongs(name):
            yield Finding(name, FOREIGN)
        elif pieces._of_the_log(name) and not sound(attributes(path / name.removesuffix(META))):
            yield Finding(name, "is damaged")
    for name in pieces.skeleton.files:
        if name not in there:
            yield Finding(name, "is missing")
        elif not pieces.skeleton.fits(name, (path / name).read_bytes()):
            yield Finding(name, "is damaged")


def _values(store: Store) -> Iterator[Finding]:
    """Blocks that are not whole, those never computed left out."""
    for block in store.blocks:
        files = store.pieces(block)
        there = {name: (store.path / file).exists() for name, file in files.items()}
        if not any(there.values()):
            continue
        if not there.pop(SHA256):
            yield Finding("", "has values without a receipt", block.number)
            continue
        lost = [files[name] for name, exists in there.items() if not exists]
        if not lost and store.is_done(block):
            continue
        broken = [file for name, file in files.items()
                  if file not in lost and not _readable(store, block, name)]  # fmt: skip
        yield from (Finding(file, "is missing", block.number) for file in lost)
        yield from (Finding(file, "is damaged", block.number) for file in broken)
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


def audit(path: Path, study: Study) -> Audit:
    """Hold every file and value of a store against what it should be. Changes nothing."""
    shape = block_shape_of(path, study)
    with plainly(path, "read"):
        pieces = Pieces(study, shape)
        findings = list(_structure(path, pieces))
        leftovers = sum(name.endswith(PARTIAL) for name in stored_files(path))
        try:
            store = Store(path, study)
        except Exception:  # with its structure damaged no value can be read
            unread = tuple(range(pieces.blocks))
            return Audit(pieces.blocks, (), unread, tuple(findings), leftovers)
        values = list(_values(store))
    damaged = sorted({finding.block for finding in values if finding.block is not None})
    missing = tuple(
        block.number
        for block in store.blocks
        if not any((path / file).exists() for file in store.pieces(block).values())
    )
    return Audit(len(store.blocks), missing, tuple(damaged), (*findings, *values), leftovers)


def mend(path: Path, study: Study) -> list[str]:
    """Repair all of a store but its values; returns what was done, a line each.

    Files that do not belong there are moved beside the store, never deleted.
    """
    shape = block_shape_of(path, study)
    notes = []
    with plainly(path, "written"):
        pieces = Pieces(study, shape)
        for finding in list(_structure(path, pieces)):
            piece = finding.piece
            if piece in pieces.skeleton.files:
                in_place(path / piece, pieces.skeleton.files[piece])
                notes.append(f"{finding}: written anew")
                continue
            aside = path.with_name(f"{path.name}.foreign") / piece
            while aside.exists():
                aside = aside.with_name(f"{aside.name}~")
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path / piece, aside)
            with contextlib.suppress(OSError):
                (path / piece).parent.rmdir()  # the folder of a log entry, where it is empty
            notes.append(f"{finding}: moved to {aside}")
    return notes
