"""Time the rivals on one setting, check that they agree, and print a table.

    python tests/speed/run.py --dimension 1000 --runs 10 --steps 100

To time something else beside them, add it to the mapping that `entries` returns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

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


def entries() -> dict[str, Entry]:
    """Everything to be timed, by name; the first is the one the others must agree with."""
    return {"naive numpy": _naive, "jax weights": _jax_weights, "jax gram": _jax_gram}


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
    parser = argparse.ArgumentParser(description="time the rivals")
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
            print(
                f"d={args.dimension:<7d} {method} {name:14s} compile {timed.compile_seconds:6.2f} s"
                f"   {per_step:10.2f} us per step and run"
            )


if __name__ == "__main__":
    main()
