"""The images that a study reads: their sources, contents and classes."""

from typing import Any

import numpy as np

from simdyn.engine.image_files import load
from simdyn.params import ImageData
from simdyn.space.points import Space

FIELDS = ("source", "images", "labels")  # of ImageData: what names a source


def sources_of(space: Space) -> list[ImageData]:
    """Data that name each source of images once; none if the data are no images."""
    if not issubclass(space.law, ImageData):
        return []
    data = space.first_point.data
    assert isinstance(data, ImageData)
    rows = zip(*_values(space, *FIELDS), strict=True)
    return [data.replace(**dict(zip(FIELDS, row, strict=True))) for row in dict.fromkeys(rows)]


def contents_of(space: Space) -> dict[tuple[str, str, str], str]:
    """SHA-256 of each source of images, by the fields that name it."""
    return {(at.source, at.images, at.labels): load(at).digest for at in sources_of(space)}


def classes_of(space: Space) -> list[int]:
    """Labels of the images that are used."""
    return sorted(set().union(*map(set, _values(space, "positive", "negative"))))


def _values(space: Space, *names: str) -> list[list[Any]]:
    """Values of fields of the data, over the dims along which any of them varies."""
    fields = [(space.data, name) for name in names]
    dims = space.varying_dims(fields)
    shape = tuple(space.axes[dim].size for dim in dims)
    columns = space.fields(fields, dims)
    return [
        np.broadcast_to(column.values, shape).ravel().tolist()
        for column in columns
        if column is not None
    ]
