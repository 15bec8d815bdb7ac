"""A store made: everything but values, receipts and entries of its log."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import MemoryStore

from simdyn.base.replacement import PARTIAL
from simdyn.store.files import AT_ROOT, IN_FOLDER, KIND, StoreNames
from simdyn.store.sources import CODECS, keep_sources
from simdyn.study.blocks import Blocks
from simdyn.study.design import StudyDesign
from simdyn.variables.layout import Layout
from simdyn.variables.provenance import as_json
from simdyn.variables.registry import VARIABLES


def with_plain_texts(ds: xr.Dataset) -> xr.Dataset:
    """Texts as objects: the Zarr specification covers these, but not texts of a fixed length."""
    texts = {name: at.astype(object) for name, at in ds.variables.items() if at.dtype.kind == "U"}
    return ds.assign(texts)


DOCUMENTATION = ("long_name", "symbol", "units", "equation", "description", "texts")


def documentation_digest(layout: Layout) -> str:
    """SHA-256 (first 16 digits) over the documentation of coordinates and variables.

    A store keeps it, to show whether this version of simdyn uses the same words.
    """
    texts = {name: dict(at.attrs) for name, at in layout.coords.items()}
    texts |= {name: layout.documentation(name) for name in layout.variables}
    return hashlib.sha256(as_json(texts).encode()).hexdigest()[:16]


def lay_out(
    target: Path | MemoryStore,
    study: StudyDesign,
    block_shape: Sequence[int],
    names: StoreNames = IN_FOLDER,
    text: str | None = None,
) -> None:
    """Write a store without values, receipts and entries of its log.

    Parameters
    ----------
    names : StoreNames
        Names of the store's own groups; `AT_ROOT` in stores of early versions.
    text : str, optional
        The study as JSON, from an existing store; as this version of simdyn writes it if absent.
    """
    layout = study.layout
    coords = with_plain_texts(layout.dataset({}))
    coords.attrs |= {"study": text or layout.attrs["study"], "kind": KIND}
    coords.attrs["block_shape"] = list(block_shape)
    if names is AT_ROOT:
        coords = coords.rename({"updates": "update"} if "updates" in coords else {})
    else:
        coords.attrs["texts"] = documentation_digest(layout)
    coords.to_zarr(target, zarr_format=3, consolidated=False)
    group = zarr.open_group(target, mode="r+")
    *grid, replicates = block_shape
    for name in study.variables:
        outer = layout.by_block(name, grid, len(study.space.methods), replicates)
        chunks = (*outer, *layout.inner(name))
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
    receipts = group.create_group(names.receipts, attributes=dict(coords.attrs))
    count = len(Blocks(study.lengths, block_shape))
    _create(receipts, "sha256", (count, 32), (1, 32), "uint8", ("block", "byte"), {})
    group.create_group(names.log)
    keep_sources(group, names.sources, study)


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
        compressors=CODECS,
        attributes=dict(attrs),
        config={"write_empty_chunks": True},
    )


def allocate(path: Path, study: StudyDesign, before: Path | None = None) -> None:
    """Lay out a whole store under another name, then move it to its path.

    Parameters
    ----------
    before : path, optional
        The store of a smaller study, which is moved into the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        lay_out(draft, study, study.block_shape)
        if before is not None:
            os.rename(before, draft / IN_FOLDER.before)
        try:
            os.rename(draft, path)
        except OSError:
            if not path.is_dir() or before is not None:  # else another process has made it
                raise
    finally:
        if not (draft / IN_FOLDER.before).exists():
            shutil.rmtree(draft, ignore_errors=True)
