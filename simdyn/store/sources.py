"""The images of a study, kept in its store, so that the store is enough to run or replay it.

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
from simdyn.store.files import attributes, store_names
from simdyn.study.design import StudyDesign
from simdyn.study.image_sources import classes_of, sources_of

CHUNK_BYTES = 2**25
NAMES = ("source", "images", "labels")  # the fields of ImageData that identify a source
CODECS = (ZstdCodec(level=3), Crc32cCodec())  # of every array of a store
DIMS = ("image", "height", "width", "channel")


def keep_sources(group: zarr.Group, name: str, study: StudyDesign) -> None:
    """Write the images of a study to a group of its store; do nothing if it has none."""
    sources = sources_of(study.space)
    if not sources:
        return
    classes = classes_of(study.space)
    folder = group.create_group(name)
    for number, data in enumerate(sources):
        source = load(data)
        used = np.isin(source.labels, classes)
        images, labels = source.images[used], source.labels[used]
        attrs = {name: getattr(data, name) for name in NAMES}
        attrs |= {"digest": source.digest, "kept": digest_of(images, labels)}
        target = folder.create_group(str(number), attributes=attrs)
        each = max(1, CHUNK_BYTES // max(1, images[0].nbytes))
        for field, values in (("images", images), ("labels", labels)):
            array = target.create_array(
                field,
                shape=values.shape,
                chunks=(min(each, len(values)), *values.shape[1:]),
                dtype=values.dtype,
                dimension_names=DIMS[: values.ndim],
                compressors=CODECS,
            )
            array[...] = values


def kept_sources(path: Path) -> dict[tuple[str, ...], Callable[[], Source | None]]:
    """For each source that a store keeps, by the fields that identify it, a function to read it."""
    found: dict[tuple[str, ...], Callable[[], Source | None]] = {}
    folder = path / store_names(path).sources
    for each in sorted(folder.iterdir()) if folder.is_dir() else []:
        attrs = attributes(each)
        if all(isinstance(attrs.get(key), str) for key in (*NAMES, "digest", "kept")):
            key = tuple(str(attrs[name]) for name in NAMES)
            found[key] = functools.partial(_read, each, attrs["digest"], attrs["kept"])
    return found


def _read(folder: Path, digest: str, kept: str) -> Source | None:
    """A source from a store; None if it is damaged."""
    try:
        return _read_once(folder, digest, kept)
    except Exception:  # what damaged arrays raise depends on where they are damaged
        return None


@functools.lru_cache(maxsize=4)
def _read_once(folder: Path, digest: str, kept: str) -> Source:
    group = zarr.open_group(folder, mode="r")
    images, labels = (_values(group[name]) for name in ("images", "labels"))
    if digest_of(images, labels) != kept:
        raise ValueError("the images differ from those that were kept")
    return Source(images, labels, digest)


def _values(array: Any) -> Any:
    return np.asarray(array[...])
