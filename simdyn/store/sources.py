"""The images of a study, kept in its store: whoever has the store needs no other file.

Their group has a group for each source, with those of its images whose classes the study
uses, and the SHA-256 of the whole source, which is part of the study's fingerprint.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from simdyn.engine.image_files import Source, digest_of, load
from simdyn.store.files import attributes, own_names
from simdyn.study.design import StudyDesign
from simdyn.study.image_sources import classes_of, sources_of

CHUNK_BYTES = 2**25
NAMES = ("source", "images", "labels")  # the fields of ImageData that tell a source
DIMS = ("image", "height", "width", "channel")


def keep_sources(group: zarr.Group, name: str, study: StudyDesign) -> None:
    """Put the images of a study in a group of its store; nothing if it has none."""
    sources = sources_of(study.space)
    if not sources:
        return
    classes = classes_of(study.space)
    folder = group.create_group(name)
    for number, data in enumerate(sources):
        source = load(data)
        used = np.isin(source.labels, classes)
        images, labels = source.images[used], source.labels[used]
        told = {name: getattr(data, name) for name in NAMES}
        told |= {"digest": source.digest, "kept": digest_of(images, labels)}
        own = folder.create_group(str(number), attributes=told)
        each = max(1, CHUNK_BYTES // max(1, images[0].nbytes))
        for field, values in (("images", images), ("labels", labels)):
            array = own.create_array(
                field,
                shape=values.shape,
                chunks=(min(each, len(values)), *values.shape[1:]),
                dtype=values.dtype,
                dimension_names=DIMS[: values.ndim],
                compressors=[ZstdCodec(level=3), Crc32cCodec()],
            )
            array[...] = values


def kept_sources(path: Path) -> dict[tuple[str, ...], Callable[[], Source | None]]:
    """How to read each source that a store has kept, by the fields that tell it."""
    found: dict[tuple[str, ...], Callable[[], Source | None]] = {}
    folder = path / own_names(path).sources
    for own in sorted(folder.iterdir()) if folder.is_dir() else []:
        told = attributes(own)
        if all(isinstance(told.get(key), str) for key in (*NAMES, "digest", "kept")):
            key = tuple(str(told[name]) for name in NAMES)
            found[key] = functools.partial(_read, own, told["digest"], told["kept"])
    return found


def _read(folder: Path, digest: str, kept: str) -> Source | None:
    """A source as a store has it; None where it is damaged."""
    try:
        return _read_once(folder, digest, kept)
    except Exception:  # what damaged arrays raise depends on where they are damaged
        return None


@functools.lru_cache(maxsize=4)
def _read_once(folder: Path, digest: str, kept: str) -> Source:
    group = zarr.open_group(folder, mode="r")
    images, labels = (_values(group[name]) for name in ("images", "labels"))
    if digest_of(images, labels) != kept:
        raise ValueError("not what was kept")
    return Source(images, labels, digest)


def _values(array: Any) -> Any:
    return np.asarray(array[...])
