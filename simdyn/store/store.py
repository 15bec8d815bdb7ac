"""A store: the results of a study on disk, written and read block by block.

A store is a Zarr v3 group. It holds one array for each variable, chunked so that a block of the
study is one chunk of each array; the coordinates; and a group of its own, whose name no variable
or coordinate can have, with its receipts, its log, and the images of its study. To keep a block,
its chunks are written (each checksummed, each to a temporary file that is then renamed), and last
its receipt: a SHA-256 over fingerprint, block number and decoded arrays. A block without a receipt
that fits is not done. Any number of processes may write to one store: the bytes of a block are
the same, whichever process computes it.
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
from simdyn.base.replacement import PARTIAL
from simdyn.store.creation import allocate
from simdyn.store.files import explain_damage, explain_file_errors, store_names
from simdyn.store.identity import holds, open_group, refuse
from simdyn.store.log import LogEntry
from simdyn.study.blocks import Block, Blocks
from simdyn.study.design import StudyDesign
from simdyn.variables.registry import VARIABLES


class Store:
    """The results of one study in a folder.

    Parameters
    ----------
    path : path
        Made if it does not exist; else it must hold the same study.
    study : StudyDesign
    group : zarr.Group, optional
        The store's group, if it is open already.

    Raises
    ------
    InputError
        If the folder cannot be written, is not a store, or belongs to another study.
    """

    def __init__(
        self, path: str | Path, study: StudyDesign, group: zarr.Group | None = None
    ) -> None:
        self.path, self.study = Path(path), study
        with explain_file_errors(self.path, "written"):
            if group is None and not self.path.exists():
                allocate(self.path, study)
        # Zarr reads this setting when it opens an array, and does not store it.
        with zarr.config.set({"array.write_empty_chunks": True}):
            group = group or open_group(self.path, "r+")
            if group.attrs.get("fingerprint") != study.fingerprint:
                refuse(self.path, study)
            with explain_damage(self.path):
                self._arrays: dict[str, Any] = {n: group[n] for n in study.variables}
                self.names = store_names(self.path)
                self._receipts: Any = group[self.names.sha256]
        # As the store was cut into blocks: other versions may cut the same study in another way.
        *grid, _, replicates = self._arrays["status"].chunks[: len(study.layout.outer)]
        self.blocks = Blocks(study.lengths, (*grid, replicates))

    # -- a block ---------------------------------------------------------------------------------

    def _region(self, block: Block, name: str) -> tuple[slice, ...]:
        """The part of a variable's array that a block fills."""
        *grid, replicates = block.region
        return self.study.layout.by_block(name, grid, slice(None), replicates)

    def files_of(self, block: Block) -> dict[str, str]:
        """Names of a block's files: its chunk of each variable, by name, then its receipt."""
        *grid, replicates = self.blocks.position(block.number)
        chunks = {}
        for name in self.study.variables:
            outer = self.study.layout.by_block(name, grid, 0, replicates)
            inner = (0,) * len(VARIABLES[name].dims)
            chunks[name] = f"{name}/c/" + "/".join(map(str, (*outer, *inner)))
        return {**chunks, self.names.sha256: f"{self.names.sha256}/c/{block.number}/0"}

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
            If it cannot be written, or the store now belongs to a larger study.
        """
        self.check_still_its_own()
        with explain_file_errors(self.path, "written"):
            try:
                self._write(block, arrays)
            except FileNotFoundError:  # another run removed a half-written file
                self._write(block, arrays)

    def _write(self, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
        for name in self.study.variables:
            self._arrays[name][self._region(block, name)] = arrays[name]
        self._receipts[block.number] = np.frombuffer(self.receipt(block, arrays), np.uint8)

    def check_still_its_own(self) -> None:
        """Check that no other run has extended the store since it was opened.

        Raises
        ------
        InputError
            If the store is no longer this study's.
        """
        if not holds(self.path, self.study):
            raise InputError(
                f"{self.path}: no longer holds this study; if a larger study has taken it over, "
                "with all that was done, run that one to go on"
            )

    def read(self, block: Block) -> dict[str, np.ndarray]:
        """The values of a block as they are on disk."""
        return {name: self.read_array(block, name) for name in self.study.variables}

    def read_array(self, block: Block, name: str) -> np.ndarray:
        """A block's values of one variable, or its receipt."""
        if name == self.names.sha256:
            return np.asarray(self._receipts[block.number])
        return np.asarray(self._arrays[name][self._region(block, name)])

    def checked_values(self, block: Block) -> dict[str, np.ndarray] | None:
        """The values of a block; None if its receipt does not fit them, or a file is missing."""
        try:
            # A missing chunk reads as fill values, and these may happen to be right.
            if not all((self.path / file).is_file() for file in self.files_of(block).values()):
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
        return self.checked_values(block) is not None

    # -- all of them -----------------------------------------------------------------------------

    def receipts(self) -> np.ndarray:
        """Which blocks have a receipt, whether it fits or not, as booleans; a quick listing."""
        there = np.zeros(len(self.blocks), dtype=bool)
        folder = self.path / self.names.sha256 / "c"
        none = contextlib.suppress(FileNotFoundError, NotADirectoryError)
        with explain_file_errors(self.path, "read"), none, os.scandir(folder) as found:
            for entry in found:
                if entry.name.isdecimal() and int(entry.name) < there.size:
                    there[int(entry.name)] = os.path.exists(f"{entry.path}/0")
        return there

    def open_log(self, **about: Any) -> LogEntry:
        """Begin an entry of the log: versions, CPU, time. No value depends on it."""
        return LogEntry(self.path, **about)

    def sweep(self) -> None:
        """Remove half-written files of killed processes; only when every block is done."""
        for folder, _, names in os.walk(self.path):
            for name in names:
                if name.endswith(PARTIAL):
                    with contextlib.suppress(OSError):
                        os.unlink(f"{folder}/{name}")


@contextlib.contextmanager
def explain_damaged_blocks(store: Store, numbers: Collection[int] | None = None) -> Iterator[None]:
    """While values are read: if a block is damaged, raise an error that names it.

    Parameters
    ----------
    numbers : collection of int, optional
        Blocks that are read; all of them if absent.

    Raises
    ------
    InputError
        Before anything is read, if a block with a receipt lacks a file, which would read as NaN.
        If reading fails, for the first block that does not fit its receipt.
    """
    done = np.flatnonzero(store.receipts()).tolist()
    blocks = [store.blocks[k] for k in done if numbers is None or k in numbers]
    for block in blocks:
        for file in store.files_of(block).values():
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
