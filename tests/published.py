"""Published numbers of others: python tests/published.py [--only N RATIO] [--plain].

Karhadkar, George, Murray, Montúfar and Needell, "Benign overfitting in leaky ReLU networks with
moderate input dimension" (NeurIPS 2024, arXiv 2403.06903), published their code and its results:
github.com/kedar2/benign_overfitting, file d_over_n_heatmap.csv, 110 cells of n and d/n, each the
mean generalisation error of 5 trials. Here are the means over blocks of these cells.

Conventions, theirs → simdyn's:

    x = √γ y v + √(1−γ) ξ, ξ ~ N(0, I/d) ⟂ v, |v| = 1    one patch a sample; γ = 5/n
    64 filters without bias, signs alternating, sum        32 of each sign, output = "sum"
    leaky ReLU with slope 0.1                              activation = "leaky_relu", shape 0.1
    initial entries N(0, 1/(64² d))                        init_std = 1/(64 √d)
    hinge loss, summed over samples                        loss = "hinge", reduction = "sum"
    SGD, whole batch, rate 1/(64 n)                        learning_rate = 1/(64 n)
    stops after the first step without a training error    the first update whose train_error is 0
    labels flipped with probability 0.1 in training        labels; error on 1000 fresh true labels

Each cell is run with explicit vectors through Problem.from_patches. Theirs are means of few trials
with a heavy tail, and their spread is not published: a block's z is the normal quantile of where
the difference of the two means lies among differences of bootstrapped means, five trials a cell
for theirs. Prints one line a block, and exits with 1 where they are not credible together.

With --plain each trial is a plain loop in weight space and single precision instead, as their code
has it and without simdyn: where a published mean is met by neither, it is not simdyn that errs.
"""

import argparse
import itertools
import os
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy import stats

import simdyn

FILTERS, FLIPS, TRIALS, POINTS, BOOTSTRAPS = 64, 0.1, 5, 1000, 20_000
SAMPLES = {"50-80": (50, 60, 70, 80), "90-120": (90, 100, 110, 120), "130-150": (130, 140, 150)}
RATIOS = {"1": (1,), "2": (2,), "3": (3,), "4-5": (4, 5), "6-10": (6, 7, 8, 9, 10)}
PUBLISHED = {  # mean of their cells in each block, by n and d/n
    "50-80": (0.07065, 0.02075, 0.00250, 0.00240, 0.00234),
    "90-120": (0.06760, 0.02310, 0.00770, 0.00732, 0.00045),
    "130-150": (0.07433, 0.02780, 0.01753, 0.00470, 0.00009),
}


def sample(
    rng: np.random.Generator, n: int, signal: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Samples (n, d) and their true labels."""
    d = signal.size
    truth = rng.choice([-1.0, 1.0], n)
    noise = rng.standard_normal((n, d)) / np.sqrt(d)
    noise -= np.outer(noise @ signal, signal)
    return np.sqrt(share) * truth[:, None] * signal + np.sqrt(1.0 - share) * noise, truth


def trial(rng: np.random.Generator, n: int, d: int) -> float:
    """Generalisation error once no training sample is wrong."""
    signal = rng.standard_normal(d)
    signal /= np.linalg.norm(signal)
    x, truth = sample(rng, n, signal, 5.0 / n)
    labels = np.where(rng.random(n) < FLIPS, -truth, truth)
    weights = rng.standard_normal((2, FILTERS // 2, d)) / (FILTERS * np.sqrt(d))
    problem = simdyn.Problem.from_patches(
        x[:, None],
        labels,
        weights,
        activation="leaky_relu",
        activation_shape=0.1,
        output="sum",
        loss="hinge",
        reduction="sum",
    )
    rate, epochs = 1.0 / (FILTERS * n), 256
    while True:
        plan = simdyn.SGD(learning_rate=rate, epochs=epochs)
        errors = simdyn.train(problem, plan, record=simdyn.Record(variables=("train_error",)))
        done = np.flatnonzero(errors.train_error.values[1:] == 0.0) + 1
        if done.size:
            break
        epochs *= 4
    plan = simdyn.SGD(learning_rate=rate, epochs=int(done[0]))
    record = simdyn.Record(every=int(done[0]), variables=("train_error",), weights=True)
    final = simdyn.train(problem, plan, record=record).isel(step=-1)
    assert float(final.train_error) == 0.0
    fresh, true_labels = sample(rng, POINTS, signal, 5.0 / n)
    z = np.tensordot(fresh, final.weights.values, axes=(1, 2))
    out = np.where(z > 0.0, z, 0.1 * z).sum(axis=2) @ np.array([1.0, -1.0])
    return float(np.mean((out > 0.0) != (true_labels > 0.0)))


def plain_trial(rng: np.random.Generator, n: int, d: int) -> float:
    """The same in weight space and single precision, step by step, without simdyn."""
    signal = rng.standard_normal(d)
    signal /= np.linalg.norm(signal)
    x, truth = sample(rng, n, signal, 5.0 / n)
    labels = np.where(rng.random(n) < FLIPS, -truth, truth)
    x, y = x.astype(np.float32), labels.astype(np.float32)
    signs = np.where(np.arange(FILTERS) % 2 == 0, 1, -1).astype(np.float32)
    weights = (rng.standard_normal((FILTERS, d)) / (FILTERS * np.sqrt(d))).astype(np.float32)
    rate, slope = np.float32(1.0 / (FILTERS * n)), np.float32(0.1)

    def output(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = points @ weights.T
        return z, np.where(z > 0, z, slope * z) @ signs

    z, out = output(x)
    while True:
        active = np.where(y * out < 1, y, np.float32(0))
        weights += rate * (np.where(z > 0, np.float32(1), slope) * signs * active[:, None]).T @ x
        z, out = output(x)
        if np.array_equal(out > 0, y > 0):
            break
    fresh, true_labels = sample(rng, POINTS, signal, 5.0 / n)
    return float(np.mean((output(fresh.astype(np.float32))[1] > 0) != (true_labels > 0)))


def numbered(task: tuple[int, int, int, int, bool]) -> float:
    """One trial: seed, n, d/n and its number; whether it is plain."""
    *seed, plain = task
    _, n, ratio, _ = seed
    return (plain_trial if plain else trial)(np.random.default_rng(seed), n, n * ratio)


def z_score(published: float, ours: np.ndarray, rng: np.random.Generator) -> float:
    """Where a published mean lies beside ours (cells, trials), as a normal quantile."""
    cells, trials = ours.shape
    each = np.arange(cells)[None, :, None]
    gaps = np.concatenate(
        [
            ours[each, rng.integers(trials, size=(100, cells, TRIALS))].mean(axis=(1, 2))
            - ours[each, rng.integers(trials, size=(100, cells, trials))].mean(axis=(1, 2))
            for _ in range(BOOTSTRAPS // 100)
        ]
    )
    gap = published - ours.mean()
    # Halves of ties: many cells have no error at all.
    below = (np.sum(gaps < gap) + 0.5 * np.sum(gaps == gap) + 0.5) / (gaps.size + 1.0)
    return float(stats.norm.ppf(below))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=20, help="trials a cell (20)")
    parser.add_argument("--only", nargs=2, metavar=("N", "RATIO"), help='one block: "50-80" "6-10"')
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without simdyn, in weight space")
    chosen = parser.parse_args()
    name = "plain" if chosen.plain else "simdyn"
    print(f"{'n':>8} {'d/n':>5} {'published':>10} {name:>10} {'error':>8} {'z':>6}")
    scores, rng = [], np.random.default_rng(chosen.seed)
    with ProcessPoolExecutor(os.cpu_count()) as workers:
        every = itertools.product(SAMPLES, RATIOS)
        for block in [tuple(chosen.only)] if chosen.only else every:
            cells = list(itertools.product(SAMPLES[block[0]], RATIOS[block[1]]))
            tasks = [
                (chosen.seed, *cell, k, chosen.plain)
                for cell in cells
                for k in range(chosen.replicates)
            ]
            found = list(workers.map(numbered, tasks, chunksize=5))
            ours = np.reshape(found, (len(cells), chosen.replicates))
            published = PUBLISHED[block[0]][list(RATIOS).index(block[1])]
            scores.append(z_score(published, ours, rng))
            error = np.sqrt(np.mean(ours.var(axis=1, ddof=1)) / ours.size)
            print(
                f"{block[0]:>8} {block[1]:>5} {published:10.5f} {ours.mean():10.5f} "
                f"{error:8.5f} {scores[-1]:6.2f}",
                flush=True,
            )
    squares = float(np.sum(np.square(scores)))
    p = float(stats.chi2.sf(squares, len(scores)))
    print(
        f"largest |z| {np.abs(scores).max():.2f} of {len(scores)}; sum of squares {squares:.1f}, "
        f"p = {p:.3f}"
    )
    return int(p < 1e-3)


if __name__ == "__main__":
    sys.exit(main())
