"""Dims, coordinates and metadata of results, and the way from arrays to a labelled dataset."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.params import Data, Parameters
from simdyn.variables.registry import VARIABLES, equations

if TYPE_CHECKING:
    import xarray as xr

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Coordinate:
    """Values along some dims, with their metadata."""

    dims: tuple[str, ...]
    values: np.ndarray
    attrs: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names, dims and coordinates of a result before it has values.

    Attributes
    ----------
    outer : tuple of str
        Dims of every variable: the grid, then method and replicate where they exist; one number
        for all replicates does not have the last.
    coords : dict of str to Coordinate
        One-dimensional coordinates of all dims, and others.
    variables : tuple of str
    attrs : dict
        Metadata of the dataset.
    law : type of data, optional
        On which some equations of variables depend.
    """

    outer: tuple[str, ...]
    coords: Mapping[str, Coordinate]
    variables: tuple[str, ...]
    attrs: Mapping[str, Any]
    law: type[Data] | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every dim."""
        return {name: self.coords[name].values.size for name in self.all_dims}

    @property
    def all_dims(self) -> tuple[str, ...]:
        """The dims in their order."""
        return tuple(name for name, at in self.coords.items() if at.dims == (name,))

    def dims(self, name: str) -> tuple[str, ...]:
        """Dims of a variable."""
        pooled = VARIABLES[name].pooled
        outer = tuple(dim for dim in self.outer if not (pooled and dim == "replicate"))
        return outer + VARIABLES[name].dims

    def inner(self, name: str) -> tuple[int, ...]:
        """Shape of a variable at one point, method and replicate."""
        sizes = self.sizes
        return tuple(sizes[dim] for dim in VARIABLES[name].dims)

    def by_block(self, name: str, grid: Sequence[T], methods: T, replicates: T) -> tuple[T, ...]:
        """Something for each outer dim of a study's variable, as slices or lengths."""
        return (*grid, methods) if VARIABLES[name].pooled else (*grid, methods, replicates)

    def documentation(self, name: str) -> dict[str, str]:
        """Metadata of a variable."""
        known = VARIABLES[name].attrs
        return {**known, "equation": equations(self.law).get(name, known["equation"])}

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a variable."""
        sizes = self.sizes
        return tuple(sizes[dim] for dim in self.dims(name))

    def empty(self, name: str) -> np.ndarray:
        """An array for a variable, every value missing: NaN, or 0 for integers."""
        dtype = VARIABLES[name].dtype
        return np.full(self.shape(name), np.nan if dtype == "float64" else 0, dtype=dtype)

    def arrays(self) -> dict[str, np.ndarray]:
        """An array of missing values for every variable.

        Raises
        ------
        InputError
            If they do not fit into memory.
        """
        try:
            return {name: self.empty(name) for name in self.variables}
        except (MemoryError, ValueError):  # NumPy's word for a size no machine has
            size = sum(8 * math.prod(self.shape(name)) for name in self.variables)
            raise InputError(
                f"the results take {size / 1e9:.3g} GB, more than memory holds: record fewer "
                "states or variables, or give a study a store"
            ) from None

    def dataset(self, arrays: Mapping[str, np.ndarray]) -> "xr.Dataset":
        """The labelled dataset of these arrays."""
        import xarray as xr

        data = {name: (self.dims(name), arrays[name], self.documentation(name)) for name in arrays}
        coords = {name: (at.dims, at.values, dict(at.attrs)) for name, at in self.coords.items()}
        return xr.Dataset(data, coords, dict(self.attrs))


def parameter_coordinate(
    name: str, dims: tuple[str, ...], values: np.ndarray, owner: type[Parameters], field: str
) -> Coordinate:
    """The coordinate of a swept parameter; one that is no field goes by its own name."""
    long_name = owner.model_fields[field].description or name.replace("_", " ")
    attrs = {"symbol": owner.symbol(field), "long_name": long_name}
    return Coordinate(dims, values, attrs)


DIM_NAMES = {
    "method": "method",
    "replicate": "replicate: one set of unit draws",
    "step": "recorded state",
    "sign": "sign j of the filter bank",
    "filter": "filter r of its bank",
    "sample": "training sample i",
    "vector": "distinct patch vector k",
}


def axis_coordinates(
    lengths: Mapping[str, int], methods: Sequence[str] = ()
) -> dict[str, Coordinate]:
    """Coordinates of the methods, and of each other dim of `DIM_NAMES` that has a length > 0."""
    values = {dim: np.arange(length) for dim, length in lengths.items() if length}
    if methods:
        values["method"] = np.array(methods)
    if "sign" in values:
        values["sign"] = np.array([1, -1])
    return {
        dim: Coordinate((dim,), values[dim], {"long_name": long_name})
        for dim, long_name in DIM_NAMES.items()
        if dim in values
    }


UPDATE_ATTRS = {"long_name": "parameter updates made", "symbol": "t"}
