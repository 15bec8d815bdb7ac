"""Time simdyn and its rivals on one setting, on one core, check that they agree, print ratios.

    python tests/speed/run.py --dimension 20000

To time something else beside them, add it to the mapping that `entries` returns.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping

if hasattr(os, "sched_setaffinity"):  # one core for everybody, before any library counts them
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

import numpy as np
from rivals import (
    Runs,
    Timed,
    draw_runs,
    gram_arrays,
    jax_gram_space,
    jax_weight_space,
    naive_weight_space,
)

import simdyn
from simdyn.engine import arguments as bridge
from simdyn.kernels.point import run_problem
from simdyn.params import Phase

Entry = Callable[[Runs, float, float, int], Timed]

TOLERANCE = 1e-9


def _naive(runs: Runs, radius: float, learning_rate: float, n_steps: int) -> Timed:
    start = (runs.patches, runs.labels, runs.weights)
    return naive_weight_space(*start, radius, learning_rate, n_steps)


def _jax_weights(runs: Runs, radius: float, learning_rate: float, n_steps: int) -> Timed:
    start = (runs.patches, runs.labels, runs.weights)
    return jax_weight_space(*start, radius, learning_rate, n_steps)


def _jax_gram(runs: Runs, radius: float, learning_rate: float, n_steps: int) -> Timed:
    gram, overlaps = gram_arrays(runs.signal, runs.noises, runs.weights)
    start = (gram, overlaps, runs.labels, runs.true_labels, runs.patches.shape[2])
    return jax_gram_space(*start, radius, learning_rate, n_steps)


def _simdyn(runs: Runs, radius: float, learning_rate: float, n_steps: int) -> Timed:
    phase = simdyn.SAM(radius=radius, learning_rate=learning_rate, epochs=n_steps)
    arrays = (runs.patches, runs.labels, runs.weights, runs.signal, runs.true_labels)
    problems = [
        simdyn.Problem.from_patches(x, y, w, signal=mu, true_labels=truth).arrays
        for x, y, w, mu, truth in zip(*arrays, strict=True)
    ]
    n = runs.labels.shape[1]
    schedule = bridge.kernel_schedule([(phase,)], n, [np.array([n_steps])])
    wanted = bridge.Wanted(simdyn.Record(), ("margin",), "last")
    margins = np.empty((len(problems), n))
    pointers = bridge.pointers_for(wanted.record, "relu", wanted.names, ("exact",), set())
    stop, tests = np.zeros(1, np.int64), (bridge.NO_FRESH_SAMPLES, bridge.NO_TEST_SET)

    def go() -> None:
        for problem, margin in zip(problems, margins, strict=True):
            q, banks = problem.overlaps.shape
            sizes = {"filter": banks // 2, "sample": n, "vector": q}
            recording = bridge.kernel_recording(schedule, 1, wanted, sizes, *tests)
            train, *tools = (pointer() for pointer in pointers)
            seeds = np.uint64(0), np.uint64(0)
            run_problem(problem, schedule, *seeds, train, bridge.tools_of(tools), stop, recording)
            margin[:] = recording.traces.margin[0, 0]

    began = time.perf_counter()
    go()
    first = time.perf_counter() - began
    began = time.perf_counter()
    go()
    took = time.perf_counter() - began
    return Timed(margins, max(first - took, 0.0), took)


def entries() -> dict[str, Entry]:
    """Everything to be timed, by name; the first is the one the others must agree with."""
    return {
        "naive numpy": _naive,
        "jax weights": _jax_weights,
        "jax gram": _jax_gram,
        "simdyn": _simdyn,
    }


def whole_job(args: argparse.Namespace, plan: Phase) -> float:
    """Seconds for as many runs drawn, trained and tested at the last state: the fastest try."""
    data = simdyn.SignalNoiseData(n_samples=args.samples, dimension=args.dimension, signal_norm=3.0)
    net = simdyn.TwoLayerCNN(n_filters=args.filters, init_std=1e-3)
    record = simdyn.Record(variables=("test_error",), every=args.steps)
    took = []
    for _ in range(args.repeats + 1):  # the first one compiles
        began = time.perf_counter()
        simdyn.simulate(data, net, plan, replicates=args.runs, threads=1, record=record)
        took.append(time.perf_counter() - began)
    return min(took[1:])


def compare(
    contestants: Mapping[str, Entry],
    runs: Runs,
    radius: float,
    learning_rate: float,
    n_steps: int,
    repeats: int = 3,
) -> dict[str, Timed]:
    """Run each contestant `repeats` times, keep its fastest run, and check the final margins."""
    results: dict[str, Timed] = {}
    for name, entry in contestants.items():
        tries = [entry(runs, radius, learning_rate, n_steps) for _ in range(repeats)]
        results[name] = min(tries, key=lambda timed: timed.run_seconds)
    reference = next(iter(results.values())).margins
    for name, timed in results.items():
        error = np.abs(timed.margins - reference).max() / np.abs(reference).max()
        assert error <= TOLERANCE, f"{name}: margins differ by {error:.1e}"
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dimension", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--filters", type=int, default=10)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--radius", type=float, default=0.03)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    args = parser.parse_args()
    runs = draw_runs(0, args.runs, args.samples, args.filters, args.dimension)
    for method, radius in (("sgd", 0.0), ("sam", args.radius)):
        results = compare(entries(), runs, radius, args.learning_rate, args.steps, args.repeats)
        for name, timed in results.items():
            per_step = 1e6 * timed.run_seconds / (args.runs * args.steps)
            ratio = timed.run_seconds / results["simdyn"].run_seconds
            print(
                f"d={args.dimension:<7d} {method} {name:12s} compile {timed.compile_seconds:5.1f} s"
                f"  {per_step:9.2f} us per step and run  {ratio:8.1f} x simdyn"
            )
        rule = {"learning_rate": args.learning_rate, "epochs": args.steps}
        plan = simdyn.SAM(radius=radius, **rule) if radius else simdyn.SGD(**rule)
        seconds = whole_job(args, plan)
        print(
            f"d={args.dimension:<7d} {method} simdyn draws, trains and tests a run in "
            f"{1e6 * seconds / args.runs:.0f} us; jax gram takes "
            f"{results['jax gram'].run_seconds / seconds:.2f} times that for training alone"
        )


if __name__ == "__main__":
    main()
