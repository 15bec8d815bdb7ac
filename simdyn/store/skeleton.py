"""A store before it has values: its groups, arrays and coordinates."""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from simdyn.base.replacement import replacing
from simdyn.store.files import APART, AT_ROOT, KIND, META, PARTIAL, Own
from simdyn.store.sources import keep_sources
from simdyn.study.blocks import Blocks
from simdyn.study.design import StudyDesign
from simdyn.variables.layout import Layout
from simdyn.variables.provenance import as_json
from simdyn.variables.registry import VARIABLES


def with_plain_texts(ds: xr.Dataset) -> xr.Dataset:
    """Texts as objects: Zarr has a specification for those, and none for texts of one length."""
    texts = {name: at.astype(object) for name, at in ds.variables.items() if at.dtype.kind == "U"}
    return ds.assign(texts)


DOCUMENTATION = ("long_name", "symbol", "units", "equation", "description", "texts")


def texts_of(layout: Layout) -> str:
    """SHA-256 (first 16 digits) over the documentation of coordinates and variables.

    A store tells by it whether this version of simdyn would document it in the same words.
    """
    texts = {name: dict(at.attrs) for name, at in layout.coords.items()}
    texts |= {name: layout.documentation(name) for name in layout.variables}
    return hashlib.sha256(as_json(texts).encode()).hexdigest()[:16]


def lay_out(
    place: Path | MemoryStore,
    study: StudyDesign,
    block_shape: Sequence[int],
    own: Own = APART,
    text: str | None = None,
) -> None:
    """Everything of a store but values, receipts and entries of its log.

    Parameters
    ----------
    own : Own
        Names of the store's own groups: `AT_ROOT` for the layout of stores before `APART`.
    text : str, optional
        The study as a store tells it; as this version of simdyn does if absent.
    """
    layout = study.layout
    coords = with_plain_texts(layout.dataset({}))
    coords.attrs |= {"study": text or layout.attrs["study"], "kind": KIND}
    coords.attrs["block_shape"] = list(block_shape)
    if own is AT_ROOT:
        coords = coords.rename({"updates": "update"} if "updates" in coords else {})
    else:
        coords.attrs["texts"] = texts_of(layout)
    coords.to_zarr(place, zarr_format=3, consolidated=False)
    group = zarr.open_group(place, mode="r+")
    *grid, replicates = block_shape
    for name in study.variables:
        inner = layout.shape(name)[len(layout.outer) :]
        chunks = (*grid, len(study.space.methods), replicates, *inner)
        variable = VARIABLES[name]
        _create(
            group,
            name,
            layout.shape(name),
            chunks,
            variable.dtype,
            layout.dims(name),
            layout.documentation(name),
        )
    receipts = group.create_group(own.receipts, attributes=dict(coords.attrs))
    count = len(Blocks(study.lengths, block_shape))
    _create(receipts, "sha256", (count, 32), (1, 32), "uint8", ("block", "byte"), {})
    group.create_group(own.log)
    keep_sources(group, own.sources, study)


def _create(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: str,
    dims: tuple[str, ...],
    attrs: Mapping[str, Any],
) -> None:
    fill = np.nan if dtype == "float64" else 0
    group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        dimension_names=dims,
        compressors=[ZstdCodec(level=3), Crc32cCodec()],
        attributes=dict(attrs),
        config={"write_empty_chunks": True},
    )


class Skeleton:
    """What `lay_out` writes, in memory, to hold a store against.

    Parameters
    ----------
    study, block_shape, own, text
        As `lay_out` takes them.
    same_texts : bool
        Must variables and coordinates be documented in the same words?

    Attributes
    ----------
    files : dict of str to bytes
        By their names in the store.
    """

    def __init__(
        self,
        study: StudyDesign,
        block_shape: Sequence[int],
        own: Own = APART,
        text: str | None = None,
        same_texts: bool = True,
    ) -> None:
        kept: dict[str, Any] = {}
        lay_out(MemoryStore(kept), study, block_shape, own, text)
        self._documentation = () if same_texts else DOCUMENTATION
        self.files = {name: bytes(content.to_bytes()) for name, content in kept.items()}
        metas = [_words(text) for name, text in self.files.items() if name.endswith(META)]
        # Zarr reads over words that it does not know; these are what some Zarr may write besides.
        self._texts = {"endian", "little", "must_understand"}.union(*map(_texts, metas))

    def fits(self, name: str, content: bytes) -> bool:
        """Does a file say the same, if perhaps in another Zarr's words?

        Bits whose flip changes nothing, and passes: the case of a digit in \\u03bc or of an
        exponent, in JSON; a few that Zstandard does not use, in a chunk of a coordinate. Nor does
        anyone read what follows the texts of a chunk.
        """
        meant = self.files[name]
        return content == meant or self._reads_alike(name, content)

    def over(self, path: Path) -> zarr.Group:
        """The group of a store by the metadata that it should have, whatever there is; to read."""
        return zarr.open_group(MemoryStore(_Files(self.files, path)), mode="r")

    def _reads_alike(self, name: str, content: bytes) -> bool:
        meant = self.files[name]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if name.rpartition("/")[2] == META:
                    said, wanted = (self._compared(_words(text)) for text in (content, meant))
                    return said == wanted or (
                        wanted["node_type"] == said["node_type"] == "array"
                        and _texts(said) <= self._texts
                        and _metadata(said) == _metadata(wanted)
                    )
                return bool(self._values(name, content) == self._values(name, meant))
        except Exception:  # what a damaged file raises depends on where it is damaged
            return False

    def _compared(self, said: dict[str, Any]) -> dict[str, Any]:
        """Metadata without what need not be the same."""
        for name in self._documentation:
            said["attributes"].pop(name, None)
        return said

    def _values(self, name: str, content: bytes) -> Any:
        """What Zarr reads of a coordinate where a chunk has this content."""
        array = name.rpartition("/")[0].partition("/c")[0]
        own = {file: kept for file, kept in self.files.items() if file.startswith(f"{array}/")}
        node = zarr.open_array(MemoryStore(_Files({**own, name: content})), path=array, mode="r")
        values = np.asarray(node[...])
        return values.tolist() if values.dtype.kind in "OT" else values.tobytes()


def _words(content: bytes) -> dict[str, Any]:
    """What a file of metadata says."""
    said = dict(json.loads(content))
    said.pop("consolidated_metadata", None)  # a copy of the arrays' own, which no one here reads
    return said


def _texts(said: Any) -> set[str]:
    """Every key and text in what JSON says."""
    if isinstance(said, dict):
        return set(said).union(*map(_texts, said.values()))
    if isinstance(said, list):
        return set[str]().union(*map(_texts, said))
    return {said} if isinstance(said, str) else set()


def _metadata(said: dict[str, Any]) -> Any:
    """What Zarr takes an array's metadata to say."""
    content = json.dumps(said).encode()
    return zarr.open_array(MemoryStore(_Files({META: content})), mode="r").metadata.to_dict()


class _Files(dict[str, Buffer]):
    """Files in memory, as Zarr wants them; and those of a folder behind them."""

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


def allocate(path: Path, study: StudyDesign, before: Path | None = None) -> None:
    """Lay a whole store out beside its place, then move it there.

    Parameters
    ----------
    before : path, optional
        A store that moves into the new one, which grows it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        lay_out(draft, study, study.block_shape)
        if before is not None:
            os.rename(before, draft / APART.before)
        try:
            os.rename(draft, path)
        except OSError:
            if not path.is_dir() or before is not None:  # else another process was quicker
                raise
    finally:
        if not (draft / APART.before).exists():
            shutil.rmtree(draft, ignore_errors=True)
