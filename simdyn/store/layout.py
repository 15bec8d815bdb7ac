"""A store before it has values: its groups, arrays and coordinates."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from simdyn.blocks import Blocks
from simdyn.schema import VARIABLES
from simdyn.store.files import KIND, LOG, META, RECEIPTS
from simdyn.study import Study


def with_plain_texts(ds: xr.Dataset) -> xr.Dataset:
    """Texts as objects: Zarr has a specification for those, and none for texts of one length."""
    texts = {name: at.astype(object) for name, at in ds.variables.items() if at.dtype.kind == "U"}
    return ds.assign(texts)


def lay_out(place: Path | MemoryStore, study: Study, block_shape: Sequence[int]) -> None:
    """Everything of a store but values, receipts and entries of its log."""
    layout = study.layout
    coords = with_plain_texts(layout.dataset({}))
    coords.attrs |= {"kind": KIND, "block_shape": list(block_shape)}
    coords.to_zarr(place, zarr_format=3, consolidated=False)
    group = zarr.open_group(place, mode="r+")
    *grid, replicates = block_shape
    for name in study.variables:
        inner = layout.shape(name)[len(layout.outer) :]
        chunks = (*grid, len(study.space.methods), replicates, *inner)
        variable = VARIABLES[name]
        _create(group, name, layout.shape(name), chunks, variable.dtype, layout.dims(name),
                variable.attrs)  # fmt: skip
    receipts = group.create_group(RECEIPTS, attributes=dict(coords.attrs))
    count = len(Blocks(study.lengths, block_shape))
    _create(receipts, "sha256", (count, 32), (1, 32), "uint8", ("block", "byte"), {})
    group.create_group(LOG)


def _create(
    group: zarr.Group, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str,
    dims: tuple[str, ...], attrs: Mapping[str, Any],
) -> None:  # fmt: skip
    fill = np.nan if dtype == "float64" else 0
    group.create_array(
        name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, dimension_names=dims,
        compressors=[ZstdCodec(level=3), Crc32cCodec()], attributes=dict(attrs),
        config={"write_empty_chunks": True},
    )  # fmt: skip


class Skeleton:
    """What `lay_out` writes, in memory, to hold a store against.

    Attributes
    ----------
    files : dict of str to bytes
        By their names in the store.
    """

    def __init__(self, study: Study, block_shape: Sequence[int]) -> None:
        kept: dict[str, Any] = {}
        lay_out(MemoryStore(kept), study, block_shape)
        self.files = {name: bytes(content.to_bytes()) for name, content in kept.items()}

    def fits(self, name: str, content: bytes) -> bool:
        """Does a file say the same, if perhaps in another Zarr's words?"""
        meant = self.files[name]
        return content == meant or self._reads_alike(name, content)

    def _reads_alike(self, name: str, content: bytes) -> bool:
        folder, _, last = name.rpartition("/")
        array = folder if last == META else folder.partition("/c")[0]
        try:
            mine, theirs = (self._read({name: text}, array) for text in (self.files[name], content))
        except Exception:  # what a damaged file raises depends on where it is damaged
            return False
        return bool(mine == theirs)

    def _read(self, changed: Mapping[str, bytes], array: str) -> Any:
        """What Zarr reads of an array, or of a group's metadata, with a file exchanged."""
        from zarr.core.buffer import default_buffer_prototype

        whole = {**self.files, **changed}
        kept = {
            name: default_buffer_prototype().buffer.from_bytes(text)
            for name, text in whole.items()
            if name.startswith(f"{array}/" if array else "") or name == META
        }
        node = zarr.open(MemoryStore(kept), path=array, mode="r")
        if isinstance(node, zarr.Group):
            return dict(node.attrs)
        has_values = any(name.startswith(f"{array}/c") for name in self.files)
        values = np.asarray(node[...]) if has_values else np.zeros(0)
        plain = values.tolist() if values.dtype.kind in "OT" else values.tobytes()
        return repr(node.metadata.to_dict()), values.dtype.str, plain


def in_place(path: Path, content: bytes) -> None:
    """Write a file beside its place, then move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
