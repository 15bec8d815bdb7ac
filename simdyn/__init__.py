"""simdyn: how a two-layer convolutional ReLU network learns the signal or memorises the noise.

Training dynamics of SGD and SAM on patches of signal and noise, evolved exactly in the span of
the data: the cost does not depend on the dimension. See README for a first example.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simdyn.analysis import summary
    from simdyn.explicit import Problem, initial_weights
    from simdyn.inputs import InputError
    from simdyn.params import (
        SAM,
        SGD,
        ClusterData,
        ImageData,
        IndependentNoiseData,
        MultiViewData,
        Record,
        SignalNoiseData,
        TwoLayerCNN,
        XORData,
    )
    from simdyn.simulation import simulate
    from simdyn.store import open_results
    from simdyn.study import Study, load_study
    from simdyn.training import train

_HOME = {
    "SignalNoiseData": "params",
    "IndependentNoiseData": "params",
    "XORData": "params",
    "MultiViewData": "params",
    "ClusterData": "params",
    "ImageData": "params",
    "TwoLayerCNN": "params",
    "SGD": "params",
    "SAM": "params",
    "Record": "params",
    "InputError": "inputs",
    "simulate": "simulation",
    "Problem": "explicit",
    "initial_weights": "explicit",
    "train": "training",
    "Study": "study",
    "load_study": "study",
    "open_results": "store",
    "summary": "analysis",
}

__all__ = [
    "SAM", "SGD", "ClusterData", "ImageData", "IndependentNoiseData", "InputError",
    "MultiViewData", "Problem", "Record", "SignalNoiseData", "Study", "TwoLayerCNN", "XORData",
    "initial_weights", "load_study", "open_results", "simulate", "summary",
    "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import simdyn` stays quick."""
    if name == "__version__":
        return importlib.import_module("simdyn.version").VERSION
    if name not in _HOME:
        raise AttributeError(f"module 'simdyn' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"simdyn.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
