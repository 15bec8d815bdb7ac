"""A small study, the larger ones that it may become, and when a store has taken one over."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from simdyn import open_results
from simdyn.api.study import Study
from simdyn.params import SAM, SGD, Record
from simdyn.store.audit import audit

METHODS = {
    "sgd": [SGD(learning_rate=0.1, epochs=2)],
    "sam": [SAM(radius=0.1, learning_rate=0.1, epochs=2)],
    "late": [SGD(learning_rate=0.1, epochs=1), SAM(radius=0.1, learning_rate=0.1, epochs=1)],
}
AXES = {"noise": ["isotropic", "orthogonal"], "dimension": [20, 40]}


def study(
    methods: tuple[str, ...] = ("sgd", "sam"),
    replicates: int = 2,
    seed: int = 3,
    data: dict[str, Any] | None = None,
    **axes: list[Any],
) -> Study:
    return Study(
        {"n_samples": 4, "signal_norm": 1.0, **(data or {})},
        {"n_filters": 2, "init_std": 0.01},
        {name: METHODS[name] for name in methods},
        {**AXES, **axes},
        replicates=replicates,
        seed=seed,
        record=Record(variables=("train_loss", "margin")),
    )


GROWTHS: dict[str, dict[str, Any]] = {
    "at the end": {"dimension": [20, 40, 60]},
    "at the start": {"dimension": [10, 20, 40]},
    "in the middle": {"dimension": [20, 25, 30, 40]},
    "two axes": {"dimension": [10, 20, 30, 40], "noise": ["orthogonal", "isotropic"]},
    "replicates": {"replicates": 5},
    "a method after": {"methods": ("sgd", "sam", "late")},
    "a method before": {"methods": ("late", "sgd", "sam")},
    "a method between": {"methods": ("sgd", "late", "sam")},
    "everything": {
        "dimension": [10, 20, 30, 40],
        "replicates": 3,
        "methods": ("late", "sgd", "sam"),
    },
}


def equal(one: xr.Dataset, other: xr.Dataset) -> None:
    """Labels, attributes and values, bit for bit."""
    assert one.attrs == other.attrs
    assert list(one.variables) == list(other.variables)
    for name in other.variables:
        assert one[name].dims == other[name].dims, name
        assert one[name].dtype == other[name].dtype, name
        assert one[name].attrs == other[name].attrs, name
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=str(name))


def settled(path: Path, larger: Study) -> None:
    """All values are those of a fresh run, and nothing is left of the growing."""
    equal(open_results(path), larger.run(threads=1))
    assert not (path / "simdyn.store" / "before").exists()
    found = audit(path, larger)
    assert (found.findings, found.missing, found.leftovers) == ((), (), 0)
    assert [item.name for item in path.parent.iterdir()] == [path.name]
