"""What a study costs beside its kernels: python tests/speed/overhead.py [--plan | --million].

Prints, in one process and alternating, the time of a study of about a minute on two threads, with
its store, over that of the kernels in it, and over that of the bare kernels on two threads; and
that of two Dask workers over that of two threads, the start of the cluster told apart. With --plan:
10⁷ points described, laid out, priced and cut into blocks. With --million: 10⁶ points of a
millisecond or two planned, run and stored through Dask, with the memory of the client.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from simdyn.api.study import Study
from simdyn.base.threads import side_by_side
from simdyn.engine import replicates as bridge
from simdyn.engine.arguments import Wanted, point_arguments, pointers_for
from simdyn.kernels.point import run_point
from simdyn.params import SAM, SGD
from simdyn.run import run_study
from simdyn.run.block import prepare_kernels
from simdyn.run.clusters import open_client

DATA = {"n_samples": 20, "noise_std": 1.0}
NET = {"n_filters": 10, "init_std": "0.1/(noise_std*sqrt(dimension))"}


def of_a_minute(epochs: int) -> Study:
    """441 points, SGD and SAM, as the phase diagram has them, on longer training."""
    methods = {
        "sgd": [SGD(learning_rate=0.1, epochs=epochs)],
        "sam": [SAM(radius=0.03, learning_rate=0.1, epochs=epochs)],
    }
    space = {
        "dimension": {"start": 1000, "stop": 21000, "num": 21},
        "signal_norm": {"start": 0, "stop": 10, "num": 21},
    }
    return Study(DATA, NET, methods, space, replicates=10)


def a_million(epochs: int) -> Study:
    space = {
        "dimension": {"log": [1e3, 1e6], "num": 1000},
        "signal_norm": {"start": 0, "stop": 10, "num": 1000},
    }
    return Study(DATA, NET, {"sgd": [SGD(learning_rate=0.1, epochs=epochs)]}, space)


def bare(study: Study) -> Callable[[], None]:
    """All points through the kernel, on two threads, their arguments made beforehand."""
    kernels = pointers_for(study.record, "relu", study.variables, ["exact"], set())
    pointers = [kernel() for kernel in kernels]
    stop = np.zeros(1, np.int64)
    points = [study.space.point(index) for index in study.space.indices()]

    def made(point: Any) -> tuple[Any, ...]:
        return point_arguments(
            point.data,
            point.net,
            point.plans,
            study.seed,
            range(study.replicates),
            Wanted(study.record, study.variables, "last"),
            stop,
            pointers,
        )

    arguments = list(map(made, points))

    def run() -> None:
        for _ in side_by_side(lambda what, _: run_point(*what), arguments, 2):
            pass

    return run


def seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4000, help="4000 make about a minute")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--million", action="store_true", help="10⁶ points instead (ten minutes)")
    parser.add_argument("--plan", action="store_true", help="planning of 10⁷ points instead")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="simdyn-overhead-"))
    try:
        if chosen.plan:
            planning()
        elif chosen.million:
            million(folder)
        else:
            minute(folder, chosen.epochs, chosen.repeats)
    finally:
        shutil.rmtree(folder)
    return 0


class KernelSeconds:
    """Seconds of a core that a run spends in its kernels, told apart by the run itself.

    The speed of a shared machine varies from minute to minute; within a run it is one.
    """

    def __init__(self) -> None:
        self.spent = 0.0
        self.lock = threading.Lock()

    def run_point(self, *arguments: Any) -> Any:
        began = time.thread_time()
        result = run_point(*arguments)
        with self.lock:
            self.spent += time.thread_time() - began
        return result

    def over(self, call: Callable[[], Any]) -> float:
        """Two cores' time of a call, over that of its kernels."""
        self.spent = 0.0
        with mock.patch.object(bridge, "run_point", self.run_point):
            return 2.0 * seconds(call) / self.spent


def minute(folder: Path, epochs: int, repeats: int) -> None:
    study = of_a_minute(epochs)
    prepare_kernels(study)
    kernels = bare(study)
    began = time.perf_counter()
    with open_client("local:2") as client:
        started = time.perf_counter() - began
        # Workers load kernels with their first block.
        warm = seconds(lambda: run_study(of_a_minute(1), folder / "warm.zarr", client=client))
        rows = []
        inside = KernelSeconds()
        own = [
            inside.over(partial(run_study, study, folder / f"own{k}.zarr", threads=2))
            for k in range(repeats)
        ]
        for k in range(repeats):
            rows.append(
                (
                    seconds(kernels),
                    seconds(partial(run_study, study, folder / f"{k}.zarr", threads=2)),
                    seconds(partial(run_study, study, folder / f"d{k}.zarr", client=client)),
                )
            )
            print("  kernels {:.2f} s, threads {:.2f} s, Dask {:.2f} s".format(*rows[-1]))
    alone, threads, dask = np.array(rows).T
    for name, ratios in (
        ("two threads with the store over the kernels in it", np.array(own)),
        ("two threads with the store over the bare kernels", threads / alone),
        ("two Dask workers over two threads", dask / threads),
    ):
        print(f"{name}: {np.median(ratios):.3f}, each time {np.round(np.sort(ratios), 3)}")
    print(f"start of the cluster {started:.1f} s, its first study (kernels loaded) {warm:.1f} s")


def planning() -> None:
    whole = {"start": 1, "stop": 10**7, "num": 10**7}
    even = {"start": 1, "stop": 2, "num": 10**7}
    spaces: dict[str, dict[str, Any]] = {
        "3162 × 3162": {
            "dimension": {"log": [1e3, 1e6], "num": 3162},
            "signal_norm": {"start": 0, "stop": 10, "num": 3162},
        },
        "one axis": {"dimension": whole},
        "two axes zipped": {
            "dimension": whole,
            "signal_norm": even,
            "zip": ["dimension", "signal_norm"],
        },
    }
    methods = {"sgd": [SGD(learning_rate=0.1, epochs=100)]}
    for name, space in spaces.items():
        data = DATA if "signal_norm" in space else {**DATA, "signal_norm": 1.0}
        took = []
        for traced in (False, True):  # tracing takes its time
            if traced:
                tracemalloc.start()
            began = time.perf_counter()
            study = Study(data, NET, methods, space)
            told = (study.layout, study.cost, len(study.blocks), study.fingerprint)
            took.append(time.perf_counter() - began)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        axes = sum(values.nbytes for values in study.space.axes.values())
        print(
            f"{name}: {study.space.size:,} points in {took[0]:.2f} s, {told[2]:,} blocks; peak "
            f"{peak / 1e6:.0f} MB, {axes / 1e6:.0f} MB of them its axes"
        )


def million(folder: Path) -> None:
    began = time.perf_counter()
    study = a_million(550)
    planned = (len(study.blocks), study.bytes, study.cost)
    print(
        f"planned in {time.perf_counter() - began:.2f} s: {study.space.size:,} points, "
        f"{planned[0]:,} blocks, {planned[1] / 1e6:.0f} MB, nominal {planned[2]:.0f} core-s"
    )
    with open_client("local:2") as client:
        took = seconds(lambda: run_study(study, folder / "million.zarr", client=client))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"run and stored in {took:.0f} s on two workers, {2000 * took / study.space.size:.2f} ms "
        f"of a core a point; peak memory of the client {peak:.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
