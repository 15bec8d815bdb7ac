"""Kernels compiled, or loaded from the cache, before a run."""

import functools
import gc
import time
from typing import Any

import numpy as np

from simdyn.base.threads import available_threads
from simdyn.engine.arguments import Wanted, point_arguments
from simdyn.engine.replicates import run_drawn
from simdyn.kernels.cache import kernels_kept
from simdyn.kernels.compiled import Pointed, compile_for, compiled_beside
from simdyn.kernels.point import run_point
from simdyn.kernels.train import train
from simdyn.params import SGD, Record, SignalNoiseData, TwoLayerCNN


@functools.cache
def prepare(pointers: tuple[Pointed, ...], drawn: bool = True) -> float:
    """Compile kernels, or load them from the cache, once; returns the seconds it took.

    Parameters
    ----------
    pointers : tuple of Pointed
        Those of `pointers_for`.
    drawn : bool
        For drawn data. For explicit problems the driver is compiled when it is first called.
    """
    began = time.perf_counter()
    point: dict[str, Any] = {
        "data": SignalNoiseData(n_samples=1, dimension=1, signal_norm=0.0),
        "net": TwoLayerCNN(n_filters=1, init_std=0.0),
        "plans": [[SGD(learning_rate=1.0, epochs=0)]],
        "seed": 0,
        "replicates": range(1),
        "wanted": Wanted(Record(), (), "last"),
        "stop": np.zeros(1, np.int64),
    }
    collecting = gc.isenabled()
    gc.disable()  # it would walk the compiler's many objects again and again
    try:
        if not kernels_kept() and available_threads() > 1:
            with compiled_beside(*pointers[1:]):  # the two processes have about equal shares
                train()
                if drawn:
                    compile_for(run_point, *point_arguments(**point, pointers=pointers))
        for pointer in pointers:
            pointer()
        if drawn:
            run_drawn(**point)
    finally:
        if collecting:
            gc.enable()
    return time.perf_counter() - began
