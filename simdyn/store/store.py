"""Results on disk.

A store is a Zarr v3 group: one array for each variable, chunked so that a block of the study is one
chunk of each; the coordinates; and a group of its own, apart from any name that these may have,
with its receipts, its log, and the images of its study. A block writes its chunks (each
checksummed, each to a temporary file that is then renamed) and last its receipt: a SHA-256 over
fingerprint, block number and decoded arrays. A block without a good receipt is not done. Any number
of processes may write to one store: a block's bytes are the same whoever computes it.
"""

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from simdyn.base.inputs import InputError
from simdyn.store.files import PARTIAL, intact, own_names, plainly
from simdyn.store.identity import holds, open_group, refuse
from simdyn.store.log import LogEntry
from simdyn.store.skeleton import allocate
from simdyn.study.blocks import Block, Blocks
from simdyn.study.design import StudyDesign
from simdyn.variables.registry import VARIABLES


class Store:
    """The results of one study in a folder.

    Parameters
    ----------
    path : path
        Made where it does not exist; must hold the same study otherwise.
    study : StudyDesign
    group : zarr.Group, optional
        The store's, where it is open already; it is then taken as it is.

    Raises
    ------
    InputError
        Where the folder cannot be written, is not a store, or belongs to another study.
    """

    def __init__(
        self, path: str | Path, study: StudyDesign, group: zarr.Group | None = None
    ) -> None:
        self.path, self.study = Path(path), study
        with plainly(self.path, "written"):
            if group is None and not self.path.exists():
                allocate(self.path, study)
        # The setting is read as arrays are opened, and not kept with them.
        with zarr.config.set({"array.write_empty_chunks": True}):
            group = group or open_group(self.path, "r+")
            if group.attrs.get("fingerprint") != study.fingerprint:
                refuse(self.path, study)
            with intact(self.path):
                self._arrays: dict[str, Any] = {n: group[n] for n in study.variables}
                self.own = own_names(self.path)
                self._receipts: Any = group[self.own.sha256]
        # The blocks are the store's: a later version may cut the same study otherwise.
        *grid, _, replicates = self._arrays["status"].chunks[: len(study.layout.outer)]
        self.blocks = Blocks(study.lengths, (*grid, replicates))

    # -- a block ---------------------------------------------------------------------------------

    def _place(self, block: Block, name: str) -> tuple[slice, ...]:
        """Where a block's values of a variable lie."""
        *grid, replicates = block.region
        inner = len(self.study.layout.dims(name)) - len(grid) - 2
        return (*grid, slice(None), replicates, *(slice(None),) * inner)

    def pieces(self, block: Block) -> dict[str, str]:
        """Names of a block's files: of its chunk of each variable, then of its receipt."""
        *grid, replicates = self.blocks.position(block.number)
        chunks = {}
        for name in self.study.variables:
            inner = len(self.study.layout.dims(name)) - len(grid) - 2
            chunks[name] = f"{name}/c/" + "/".join(map(str, (*grid, 0, replicates, *(0,) * inner)))
        return {**chunks, self.own.sha256: self._receipt_file(block)}

    def _receipt_file(self, block: Block) -> str:
        return f"{self.own.sha256}/c/{block.number}/0"

    def receipt(self, block: Block, arrays: Mapping[str, np.ndarray]) -> bytes:
        """SHA-256 over fingerprint, block number and values."""
        digest = hashlib.sha256(f"{self.study.fingerprint}/{block.number}".encode())
        for name in self.study.variables:
            values = np.ascontiguousarray(arrays[name], dtype=VARIABLES[name].dtype)
            little = values.astype(values.dtype.newbyteorder("<"), copy=False)
            digest.update(f"/{name}/{values.shape}/".encode() + little.tobytes())
        return digest.digest()

    def write(self, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a block: its values, then its receipt.

        Raises
        ------
        InputError
            Where it cannot be written, or the store has become that of a larger study meanwhile.
        """
        self.check_still_its_own()
        with plainly(self.path, "written"):
            try:
                self._write(block, arrays)
            except FileNotFoundError:  # another run swept a file away before it was in its place
                self._write(block, arrays)

    def _write(self, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
        for name in self.study.variables:
            self._arrays[name][self._place(block, name)] = arrays[name]
        self._receipts[block.number] = np.frombuffer(self.receipt(block, arrays), np.uint8)

    def check_still_its_own(self) -> None:
        """Another run may have grown the store since it was opened: its blocks lie elsewhere then.

        Raises
        ------
        InputError
            Where the store is no longer this study's.
        """
        if not holds(self.path, self.study):
            raise InputError(
                f"{self.path}: holds this study no longer; where a larger one has taken it over, "
                "with all that was done, run that one to go on"
            )

    def read(self, block: Block) -> dict[str, np.ndarray]:
        """The values of a block as they are on disk."""
        return {name: self.read_piece(block, name) for name in self.study.variables}

    def read_piece(self, block: Block, name: str) -> np.ndarray:
        """A block's values of one variable, or its receipt."""
        if name == self.own.sha256:
            return np.asarray(self._receipts[block.number])
        return np.asarray(self._arrays[name][self._place(block, name)])

    def good(self, block: Block) -> dict[str, np.ndarray] | None:
        """The values of a block whose receipt fits them; None where there are none."""
        try:
            # A chunk that is missing reads as fill values, which may well be the right ones.
            if not all((self.path / file).is_file() for file in self.pieces(block).values()):
                return None
            kept = np.asarray(self._receipts[block.number]).tobytes()
            if any(kept):
                values = self.read(block)
                return values if kept == self.receipt(block, values) else None
        except Exception:  # what a damaged chunk raises depends on where it is damaged
            pass
        return None

    def is_done(self, block: Block) -> bool:
        """Does the block's receipt fit its values? Damaged chunks count as not done."""
        return self.good(block) is not None

    # -- all of them -----------------------------------------------------------------------------

    def receipts(self) -> np.ndarray:
        """Which blocks have left a receipt, good or not, as booleans: from a listing, quickly."""
        there = np.zeros(len(self.blocks), dtype=bool)
        folder = self.path / self.own.sha256 / "c"
        none = contextlib.suppress(FileNotFoundError, NotADirectoryError)
        with plainly(self.path, "read"), none, os.scandir(folder) as found:
            for entry in found:
                if entry.name.isdecimal() and int(entry.name) < there.size:
                    there[int(entry.name)] = os.path.exists(f"{entry.path}/0")
        return there

    def has_receipt(self, block: Block) -> bool:
        """Has the block left a receipt, good or not?"""
        return (self.path / self._receipt_file(block)).exists()

    def open_log(self, **about: Any) -> LogEntry:
        """Note who computes from now on: versions, CPU, time. No value depends on it."""
        return LogEntry(self.path, **about)

    def sweep(self) -> None:
        """Remove what killed processes left half-written, once every block is there."""
        for folder, _, names in os.walk(self.path):
            for name in names:
                if name.endswith(PARTIAL):
                    with contextlib.suppress(OSError):
                        os.unlink(f"{folder}/{name}")


@contextlib.contextmanager
def undamaged(store: Store, numbers: Collection[int] | None = None) -> Iterator[None]:
    """Where values are read: name the block that is damaged, where there is one.

    Parameters
    ----------
    numbers : collection of int, optional
        Blocks that are read; all where absent.

    Raises
    ------
    InputError
        Before anything is read, where a block that is done lacks a file, for what is missing reads
        as NaN; where reading fails, for a block that does not fit its receipt.
    """
    done = np.flatnonzero(store.receipts()).tolist()
    blocks = [store.blocks[k] for k in done if numbers is None or k in numbers]
    for block in blocks:
        for file in store.pieces(block).values():
            if not os.path.exists(store.path / file):
                raise _damaged(store, block, f"{file} is missing")
    try:
        yield
    except InputError:
        raise
    except Exception:  # what a damaged chunk raises depends on where it is damaged
        for block in blocks:
            if not store.is_done(block):
                raise _damaged(store, block, "its values do not fit its receipt") from None
        raise


def _damaged(store: Store, block: Block, what: str) -> InputError:
    return InputError(
        f"{store.path}: block {block.number} is damaged: {what}; `simdyn run STUDY` repairs it"
    )
