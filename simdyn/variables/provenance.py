"""What a dataset carries so that the call can be made again."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from simdyn.base import version
from simdyn.kernels import NUMERICS_VERSION
from simdyn.params import Parameters


def as_json(value: Any) -> str:
    """Canonical JSON: no spaces, keys as they stand, parameter classes as their fields."""

    def plain(item: Any) -> Any:
        if isinstance(item, Parameters):
            return {"class": type(item).__name__, **item.model_dump()}
        if isinstance(item, np.generic | np.ndarray):
            return item.tolist()
        raise TypeError(f"cannot write {type(item).__name__} as JSON")

    return json.dumps(value, default=plain, separators=(",", ":"))


def provenance(call: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataset carries so that the call can be made again."""
    import numba

    return {
        "call": as_json(call),
        "simdyn_version": version.VERSION,
        "simdyn_commit": version.COMMIT,
        "numerics_version": NUMERICS_VERSION,
        "numpy_version": np.__version__,
        "numba_version": numba.__version__,
    }
