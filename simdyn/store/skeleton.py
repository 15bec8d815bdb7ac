"""The files that a store should have, in memory, to compare those on disk with."""

import contextlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from simdyn.base.replacement import replacing
from simdyn.store.creation import DOCUMENTATION, lay_out
from simdyn.store.files import IN_FOLDER, META, StoreNames
from simdyn.study.design import StudyDesign


class Skeleton:
    """The files that `lay_out` writes, in memory.

    Parameters
    ----------
    study, block_shape, names, text
        See `lay_out`.
    same_texts : bool
        Must variables and coordinates be documented in the same words?

    Attributes
    ----------
    files : dict of str to bytes
        The content of each file, by its name in the store.
    """

    def __init__(
        self,
        study: StudyDesign,
        block_shape: Sequence[int],
        names: StoreNames = IN_FOLDER,
        text: str | None = None,
        same_texts: bool = True,
    ) -> None:
        kept: dict[str, Any] = {}
        lay_out(MemoryStore(kept), study, block_shape, names, text)
        self._documentation = () if same_texts else DOCUMENTATION
        self.files = {name: bytes(content.to_bytes()) for name, content in kept.items()}
        metas = [_parsed(text) for name, text in self.files.items() if name.endswith(META)]
        # Zarr ignores words that it does not know. Some of its versions may write these, too.
        self._known_words = {"endian", "little", "must_understand"}.union(*map(_words, metas))

    def fits(self, name: str, content: bytes) -> bool:
        """Does a file mean the same as the one that should be there?

        Another version of Zarr may write it in other words. Flips of some bits change no meaning
        and pass: the case of a digit in \\u03bc or of an exponent in JSON; in a chunk of a
        coordinate, bits that Zstandard does not use and bytes after the texts.
        """
        wanted = self.files[name]
        return content == wanted or self._reads_alike(name, content)

    def group_of(self, path: Path) -> zarr.Group:
        """The group of a store, to read, with the metadata it should have instead of its own."""
        return zarr.open_group(MemoryStore(_Files(self.files, path)), mode="r")

    def _reads_alike(self, name: str, content: bytes) -> bool:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if name.rpartition("/")[2] == META:
                    found, wanted = (
                        self._compared(_parsed(text)) for text in (content, self.files[name])
                    )
                    return found == wanted or (
                        wanted["node_type"] == found["node_type"] == "array"
                        and _words(found) <= self._known_words
                        and _as_zarr_reads(found) == _as_zarr_reads(wanted)
                    )
                return bool(self._values(name, content) == self._values(name, self.files[name]))
        except Exception:  # what a damaged file raises depends on where it is damaged
            return False

    def _compared(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Metadata without the attributes that may differ."""
        for name in self._documentation:
            metadata["attributes"].pop(name, None)
        return metadata

    def _values(self, name: str, content: bytes) -> Any:
        """What Zarr reads of a coordinate if one of its files has this content."""
        array = name.rpartition("/")[0].partition("/c")[0]
        files = {file: kept for file, kept in self.files.items() if file.startswith(f"{array}/")}
        node = zarr.open_array(MemoryStore(_Files({**files, name: content})), path=array, mode="r")
        values = np.asarray(node[...])
        return values.tolist() if values.dtype.kind in "OT" else values.tobytes()


def _parsed(content: bytes) -> dict[str, Any]:
    """The metadata in a file."""
    metadata = dict(json.loads(content))
    metadata.pop("consolidated_metadata", None)  # a copy of the arrays' metadata, never read here
    return metadata


def _words(value: Any) -> set[str]:
    """Every key and text in a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*map(_words, value.values()))
    if isinstance(value, list):
        return set[str]().union(*map(_words, value))
    return {value} if isinstance(value, str) else set()


def _as_zarr_reads(metadata: dict[str, Any]) -> Any:
    """An array's metadata as Zarr understands them."""
    content = json.dumps(metadata).encode()
    return zarr.open_array(MemoryStore(_Files({META: content})), mode="r").metadata.to_dict()


class _Files(dict[str, Buffer]):
    """Files in memory, as Zarr wants them; what is not among them is read from a folder."""

    def __init__(self, files: Mapping[str, bytes], path: Path | None = None) -> None:
        super().__init__({name: _buffer(content) for name, content in files.items()})
        self.path = path

    def __missing__(self, name: str) -> Buffer:
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return _buffer((self.path / name).read_bytes())
        raise KeyError(name)


def _buffer(content: bytes) -> Buffer:
    return default_buffer_prototype().buffer.from_bytes(content)


def in_place(path: Path, content: bytes) -> None:
    """Write a file of a store whose folder may be missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(content)
