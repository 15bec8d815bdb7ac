"""A small study to be played again from its store."""

from typing import Any

from simdyn.api.study import Study
from simdyn.params import SAM, SGD

NET = {"n_filters": 2, "init_std": "0.01/sqrt(dimension)"}
METHODS = {
    "sgd": [SGD(learning_rate=0.1, epochs=6)],
    "sam": [SAM(radius=0.1, learning_rate=0.1, epochs=4), SGD(learning_rate=0.1, epochs=2)],
}


def study(**changes: Any) -> Study:
    options: dict[str, Any] = {"replicates": 3, "seed": 5, **changes}
    space = options.pop("space", {"dimension": [20, 30, 40], "signal_norm": [0.0, 1.0]})
    data = options.pop("data", {"n_samples": 4, "noise_std": 1.0})
    methods = options.pop("methods", METHODS)
    return Study(data, options.pop("net", NET), methods, space, name="played", **options)
