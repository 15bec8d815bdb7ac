"""Time an update of SGD and SAM beside the machine's matrix products, and compare with a record.

    python tests/speed/steps.py             prints the table and the fitted cost laws
    python tests/speed/steps.py --record    writes steps.json, the figures of this version

On one core. An update's time is that of long runs less that of short ones, so that drawing and
recording are left out. The dense rate counts 2·(2m)·q² operations a gradient, zeros included, as a
program without sparsity makes them, and is shown as a share of what `numpy.matmul` reaches on
(2m, q)·(q, q), timed in turn with the runs. Times in steps.json are held as multiples of a fixed
matrix product, so that machines can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

if hasattr(os, "sched_setaffinity"):  # before any library counts the cores
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

import numpy as np

import simdyn
from simdyn.kernels import NUMERICS_VERSION

RECORD = Path(__file__).with_name("steps.json")
SIZES = [(20, 10), (20, 100), (100, 10), (100, 100), (300, 10), (500, 50), (1000, 100)]
BATCHES = (1, 5, 0)  # 0: all samples
FIXED = 256  # side of the square matrices of the fixed product
SECONDS = 0.05  # of training in a long run, at least; twice the time of drawing, too


class Cost(NamedTuple):
    """What an update of one setting takes, in seconds, and matrix products beside it."""

    n: int
    m: int
    batch: int
    method: str
    update: float
    matmul: float  # of (2m, q)·(q, q)

    @property
    def name(self) -> str:
        """The key in steps.json."""
        return f"{self.method} n={self.n} m={self.m} B={self.batch or 'n'}"

    @property
    def share(self) -> float:
        """Dense rate over that of the product: an update of SAM makes two gradients."""
        return (2 if self.method == "SAM" else 1) * self.matmul / self.update


def seconds(call: Callable[[], object]) -> float:
    """Core time of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def product(height: int, side: int) -> Callable[[], object]:
    """A matrix product (height, side)·(side, side)."""
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((height, side)), rng.standard_normal((side, side))
    out = np.empty((height, side))
    return lambda: np.matmul(left, right, out=out)


def each(call: Callable[[], object]) -> float:
    """Seconds of one of many calls in a row."""
    count = max(1, int(0.02 / max(seconds(call), 1e-7)))

    def many() -> None:
        for _ in range(count):
            call()

    return seconds(many) / count


def run(n: int, m: int, batch: int, method: str, epochs: int) -> Callable[[], object]:
    """A run of some epochs of which nothing but the last loss is recorded."""
    data = simdyn.SignalNoiseData(
        n_samples=n, dimension=2000, signal_norm=2.0, n_patches=2, label_flip=0.1
    )
    net = simdyn.TwoLayerCNN(n_filters=m, init_std=0.01)
    shared = {"learning_rate": 0.02, "epochs": epochs, "batch_size": batch or n}
    phase = simdyn.SGD(**shared) if method == "SGD" else simdyn.SAM(radius=0.05, **shared)
    record = simdyn.Record(variables=["train_loss"], every=epochs)
    return lambda: simdyn.simulate(data, net, phase, seed=1, record=record, threads=1)


def cost(n: int, m: int, batch: int, method: str, repeats: int) -> Cost:
    """Measure one setting."""
    updates = -(-n // (batch or n))  # of an epoch
    short = run(n, m, batch, method, 1)
    short()  # compiled, and drawn once
    epochs, spent, drawing = 2, 0.0, seconds(short)
    while spent < max(SECONDS, 2 * drawing):
        epochs *= 2
        spent = seconds(run(n, m, batch, method, 1 + epochs)) - drawing
    long, matmul = run(n, m, batch, method, 1 + epochs), product(2 * m, n + 1)
    longs, shorts, products = [], [], []
    for _ in range(repeats):  # in turn, so that the machine's pace is the same
        longs.append(seconds(long))
        shorts.append(seconds(short))
        products.append(each(matmul))
    update = (min(longs) - min(shorts)) / (epochs * updates)
    return Cost(n, m, batch, method, update, min(products))


def law(costs: list[Cost]) -> str:
    """Powers of n and m that an update's time goes by, by least squares of its logarithm."""
    columns = [[1.0, np.log(c.n), np.log(c.m)] for c in costs]
    times = np.log([c.update for c in costs])
    fitted = np.linalg.lstsq(np.array(columns), times, rcond=None)[0]
    error = np.exp(np.abs(columns @ fitted - times).max())
    return f"n^{fitted[1]:.2f} m^{fitted[2]:.2f}, each within a factor of {error:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write steps.json")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the fastest counts")
    parser.add_argument("--largest", type=int, default=1000, help="the largest n")
    chosen = parser.parse_args()
    before = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    fixed = product(FIXED, FIXED)
    print(f"{'setting':24}{'µs an update':>14}{'of matmul':>11}{'times record':>14}")
    costs, relative = [], {}
    for n, m in SIZES:
        if n > chosen.largest:
            continue
        for batch in BATCHES:
            for method in ("SGD", "SAM"):
                found = cost(n, m, batch, method, chosen.repeats)
                costs.append(found)
                unit = min(each(fixed) for _ in range(chosen.repeats))
                relative[found.name] = float(f"{found.update / unit:.3g}")
                share = f"{found.share:.0%}" if batch == 0 else ""
                known = before.get("updates", {}).get(found.name)
                change = f"{relative[found.name] / known:.2f}" if known else ""
                print(
                    f"{found.name:24}{found.update * 1e6:14.2f}{share:>11}{change:>14}", flush=True
                )
    for batch in BATCHES:
        for method in ("SGD", "SAM"):
            some = [c for c in costs if (c.batch, c.method) == (batch, method) and c.n >= 100]
            if len(some) > 3:
                print(f"{method}, B = {batch or 'n'}, n ≥ 100: time of an update ~ {law(some)}")
    if chosen.record:
        text = {"numerics_version": NUMERICS_VERSION, "unit": f"matmul of {FIXED}×{FIXED}"}
        RECORD.write_text(json.dumps(text | {"updates": relative}, indent=2) + "\n")


if __name__ == "__main__":
    main()
