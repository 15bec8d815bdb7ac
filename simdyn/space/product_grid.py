"""Sources of the points of a study; today there is one, the product of its axes."""

import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np

from simdyn.space.zips import dims_of

LONGEST_LISTED = 10_000  # values of an axis, of which a fingerprint holds each


class PointSource(Protocol):
    """What decides at which values of the swept names a study runs.

    A source arranges its points on a grid of dims, and each swept name varies along one of them.
    The product of the axes knows all values beforehand; a search finds some when it is asked.

    Attributes
    ----------
    dims : dict of str to tuple of str
        Dims of the grid, each with the axes along it, its own first.
    dim_of : dict of str to str
        The dim along which each axis goes.
    shape : tuple of int
        Number of points along each dim.
    """

    dims: Mapping[str, tuple[str, ...]]
    dim_of: Mapping[str, str]
    shape: tuple[int, ...]

    @property
    def axes(self) -> Mapping[str, np.ndarray]:
        """Values of each swept name along its dim. A search has to find them all for this."""

    @property
    def size(self) -> int:
        """Number of points, masked ones among them."""

    @property
    def physics(self) -> dict[str, Any]:
        """What decides the points, as plain data: part of the study's fingerprint."""

    def indices(self) -> Iterator[tuple[int, ...]]:
        """Index of every point, the last dim fastest."""

    def swept(self, index: Sequence[int]) -> dict[str, Any]:
        """The value of every swept name at a point."""

    def swept_along(self, indices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The values at many points, from their indices along some dims, of the names along these.

        The indices broadcast together.
        """

    def with_values(self, axes: Mapping[str, np.ndarray]) -> Self:
        """The same source with other values of some axes, as many."""


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
        sizes = {name: values.size for name, values in axes.items()}
        self.dims: Mapping[str, tuple[str, ...]] = dims_of(groups, sizes)
        dim_of = {name: dim for dim, names in self.dims.items() for name in names}
        self.dim_of: Mapping[str, str] = dim_of
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
        """The swept values at many points, from their indices along some dims."""
        return {
            name: self.axes[name][indices[dim]]
            for name, dim in self.dim_of.items()
            if dim in indices
        }

    def with_values(self, axes: Mapping[str, np.ndarray]) -> Self:
        """The same grid with other values of some axes, as many."""
        return type(self)({**self.axes, **axes}, self.groups)


def _plain(values: np.ndarray) -> Any:
    if values.size <= LONGEST_LISTED:
        return values.tolist()
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return {"size": values.size, "sha256": hashlib.sha256(little.view(np.uint8).data).hexdigest()}
