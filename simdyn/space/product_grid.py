"""Where the points of a study come from: today the product of its axes."""

import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np

from simdyn.space.zips import dims_of

TOLD_WHOLE = 10_000  # values of an axis that the fingerprint holds one by one


class PointSource(Protocol):
    """What a study needs of whatever decides at which values of the swept names it runs.

    A source lays its points out on a grid of dims. The product of the axes knows all its values
    beforehand; a search would find those of some dims as it goes.
    """

    axes: Mapping[str, np.ndarray]
    dims: Mapping[str, tuple[str, ...]]
    dim_of: Mapping[str, str]

    shape: tuple[int, ...]  # places along each dim

    @property
    def size(self) -> int:
        """Number of places, masked ones among them."""

    @property
    def physics(self) -> dict[str, Any]:
        """What decides the points, as plain data: part of the study's fingerprint."""

    def indices(self) -> Iterator[tuple[int, ...]]:
        """Index of every place, the last dim fastest."""

    def swept(self, index: Sequence[int]) -> dict[str, Any]:
        """The value of every swept name at a place."""

    def swept_along(self, indices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The values of every swept name at many places, given by their indices along each dim."""


class ProductGrid:
    """Every combination of the values of some axes.

    Parameters
    ----------
    axes : dict of str to ndarray
        Swept values by name.
    groups : tuple of tuple of str
        Axes that go together, each group named after its first.

    Attributes
    ----------
    dims : dict of str to tuple of str
        The dims, in the order of the axes they are named after, each with the axes along it: first
        its own, whose values are distinct.
    dim_of : dict of str to str
        The dim along which each axis goes.
    shape : tuple of int
        Number of values along each dim.

    Raises
    ------
    InputError
        If axes that go together differ in length.
    """

    def __init__(
        self, axes: Mapping[str, np.ndarray], groups: tuple[tuple[str, ...], ...] = ()
    ) -> None:
        self.axes, self.groups = axes, groups
        self.dims = dims_of(groups, {name: values.size for name, values in axes.items()})
        self.dim_of = {name: dim for dim, names in self.dims.items() for name in names}
        self.shape = tuple(axes[dim].size for dim in self.dims)

    @property
    def size(self) -> int:
        """Number of points, masked ones among them."""
        return math.prod(self.shape)

    @functools.cached_property
    def physics(self) -> dict[str, Any]:
        """Axes, and `zip` if some go together, as plain data.

        A long axis is there by its size and the SHA-256 of its values' little-endian bytes.
        """
        plain: dict[str, Any] = {name: _plain(values) for name, values in self.axes.items()}
        return plain | ({"zip": [list(group) for group in self.groups]} if self.groups else {})

    def indices(self) -> Iterator[tuple[int, ...]]:
        """Index of every point, the last dim fastest."""
        return np.ndindex(*self.shape)

    def swept(self, index: Sequence[int]) -> dict[str, Any]:
        """The swept values at a point, of every axis."""
        at = dict(zip(self.dims, index, strict=True))
        return {name: values[at[self.dim_of[name]]].item() for name, values in self.axes.items()}

    def swept_along(self, indices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The swept values at many points, given by their indices along each dim."""
        return {name: self.axes[name][indices[dim]] for name, dim in self.dim_of.items()}

    def with_values(self, axes: Mapping[str, np.ndarray]) -> Self:
        """The same grid with other values of some axes, as many."""
        return type(self)({**self.axes, **axes}, self.groups)


def _plain(values: np.ndarray) -> Any:
    if values.size <= TOLD_WHOLE:
        return values.tolist()
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return {"size": values.size, "sha256": hashlib.sha256(little.view(np.uint8).data).hexdigest()}
