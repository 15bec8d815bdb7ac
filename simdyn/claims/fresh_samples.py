"""The claim about estimates of the test error: unbiased, with the right standard errors."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from simdyn.api.training import train
from simdyn.claims.claim import EXACT, Bench, claim
from simdyn.claims.exact import drawn
from simdyn.claims.repeated import uniform
from simdyn.claims.verdict import Quantity
from simdyn.engine.problems import Problem
from simdyn.params import SGD, Record

Estimator = Literal["line", "counted", "radial"]


def planar_error(
    signal: np.ndarray,
    weights: np.ndarray,
    copies: int,
    noise_std: float,
    flip: float,
    nodes: int = 40_000,
) -> float:
    """Exact error on observed labels in two dimensions, by quadrature over the noise's direction.

    Accurate to 2/nodes of one if signals activate no filter, as the integrand then jumps; else to
    1/nodes².

    Along a direction the network's output is s + R g, R the length of a standard normal vector.
    """
    angle = 2.0 * np.pi * (np.arange(nodes) + 0.5) / nodes
    ray = noise_std * np.array([np.cos(angle), np.sin(angle)])
    banks = np.array([1.0, -1.0])[:, None] / weights.shape[1]
    swing = copies * (banks * np.maximum(weights @ ray, 0.0).transpose(2, 0, 1)).sum((1, 2))
    wrong = []
    for label in (1.0, -1.0):
        level = label * float((banks * np.maximum(weights @ (label * signal), 0.0)).sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            beyond = np.exp(-0.5 * (level / swing) ** 2)
        turned = label * swing < 0.0
        at_rest = 0.5 if level == 0.0 else float(level < 0.0)
        fails = np.where(
            turned, beyond if level > 0.0 else 1.0, 1.0 - beyond if level < 0.0 else 0.0
        )
        wrong.append(np.where(swing == 0.0, at_rest, fails).mean())
    return float((1.0 - flip) * np.mean(wrong) + flip * (1.0 - np.mean(wrong)))


def counted_error(
    signal: np.ndarray,
    weights: np.ndarray,
    copies: int,
    flip: float,
    rng: np.random.Generator,
    count: int = 10_000,
) -> tuple[float, float]:
    """Error and its standard error on fresh samples with observed labels, in weight space."""
    truth = rng.choice([1.0, -1.0], count)
    observed = np.where(rng.random(count) < flip, -truth, truth)
    banks = np.array([1.0, -1.0])[:, None, None]
    noises = rng.standard_normal((count, signal.size))
    shown = np.maximum((weights @ signal)[..., None] * truth, 0.0)
    outputs = (banks * (shown + copies * np.maximum(weights @ noises.T, 0.0))).sum((0, 1))
    error = float(np.mean(np.where(outputs == 0.0, 0.5, observed * outputs < 0.0)))
    return error, float(np.sqrt(error * (1.0 - error) / count))


DRAWS: dict[Estimator, int] = {"line": 1000, "counted": 4000, "radial": 4000}


def _score(
    name: Estimator, problem: Problem, seed: int, truth: float, error: float
) -> tuple[float, float]:
    """(estimate − truth)/SE of a network as it is, and the estimate's own SE.

    `error` is the standard error of the truth.
    """
    record = Record(
        variables=("test_error", "test_error_se"), test_estimator=name, test_draws=DRAWS[name]
    )
    last = train(problem, SGD(learning_rate=0.1, epochs=0), seed=seed, record=record)
    own = float(last.test_error_se[-1])
    return float(last.test_error[-1] - truth) / max(np.hypot(own, error), 1e-99), own


def _p_values(
    enough: int, dimensions: tuple[int, int], norms: tuple[float, float]
) -> dict[Estimator, list[float]]:
    """P-values of estimates on random networks: against counting if d > 2, else exact errors."""
    from scipy.stats import norm

    rng = np.random.default_rng([3, dimensions[0]])
    found: dict[Estimator, list[float]] = {name: [] for name in DRAWS}
    seed = 10_000
    while len(found["line"]) < enough:
        seed += 1
        d, m = int(rng.integers(dimensions[0], dimensions[1] + 1)), int(rng.integers(2, 8))
        patches, flip = int(rng.integers(2, 4)), float(rng.uniform(0.0, 0.4))
        length = float(rng.uniform(*norms))
        signal, _, true, y, w, x = drawn(
            seed, 10, d, n_patches=patches, m=m, norm=length, noise_std=1.0, flip=flip
        )
        flip = float((y != true).mean())  # the law of fresh samples has the share at hand
        if d > 2:
            plan = SGD(learning_rate=0.1, epochs=int(rng.integers(0, 60)))
            problem = Problem.from_patches(x, y, w, signal=signal, true_labels=true)
            kept = Record(every=10**6, weights=True, variables=("train_loss",))
            w = np.ascontiguousarray(train(problem, plan, record=kept).weights.values[-1])
            truth, error = counted_error(signal, w, patches - 1, flip, rng)
        else:
            truth, error = planar_error(signal, w, patches - 1, 1.0, flip), 0.0
        if flip > 0.4 or not 0.02 < (truth - flip) / (1.0 - 2.0 * flip) < 0.98:
            continue
        problem = Problem.from_patches(x, y, w, signal=signal, true_labels=true, noise_std=1.0)
        for k, name in enumerate(found):
            score, own = _score(name, problem, 3 * seed + k, truth, error)
            if own > 1e-4:  # else it may be of the order of the quadrature's own error
                found[name].append(2.0 * float(norm.sf(abs(score))))
    return found


def _far_from_rare(enough: int) -> np.ndarray:
    """Is a line estimate of a small exact error more than 4 standard errors off? (R,) bool."""
    rng, seed = np.random.default_rng([3, 0]), 50_000
    far: list[bool] = []
    while len(far) < enough:
        seed += 1
        m, length = int(rng.integers(2, 8)), float(rng.uniform(0.0, 10.0))
        signal, _, true, y, w, x = drawn(
            seed, 4, 2, n_patches=2, m=m, norm=length, noise_std=1.0, flip=0.0
        )
        if 1e-4 < planar_error(signal, w, 1, 1.0, 0.0, 500) < 0.02:
            truth = planar_error(signal, w, 1, 1.0, 0.0)
            problem = Problem.from_patches(x, y, w, signal=signal, true_labels=true, noise_std=1.0)
            far.append(abs(_score("line", problem, seed, truth, 2e-4 * truth)[0]) > 4.0)
    return np.array(far)


@claim(
    "estimators",
    "estimates of the test error on observed labels, by lines, rays and counting, are right within"
    " their standard errors, and these are as large as they should be",
    mark=EXACT,
    regime="errors that counting can see",
)
def estimators(bench: Bench) -> Iterator[Quantity]:
    """Scores (estimate − truth)/SE against counting in weight space, and against exact errors."""
    enough = bench.replicates(100, 600)
    for against, dimensions, norms in (
        ("counting in weight space", (20, 200), (0.0, 3.0)),
        ("the exact error", (2, 2), (0.0, 6.0)),
    ):
        for name, p_values in _p_values(enough, dimensions, norms).items():
            yield uniform(f"{name} − {against}", p_values)
    # Rare failures show whether cells of directions overlap: they must not.
    yield Quantity(
        "share of line estimates more than 4 standard errors from exact errors of 10⁻⁴ … 0.02",
        _far_from_rare(bench.replicates(200, 600)).astype(float),
        0.0,
        0.02,
        "a few whose lines met no rare failure",
        0.0,
        exact=True,
    )
    for name in ("line", "radial"):
        for length in (0.0, 2.0):
            ours, counted_ds = (
                bench.run(
                    {"n_samples": 20, "dimension": 1000, "signal_norm": length},
                    {"n_filters": 10, "init_std": 1e-3},
                    {"sgd": SGD(learning_rate=0.1, epochs=60)},
                    bench.replicates(40, 200),
                    test_estimator=estimator,
                    test_draws=count,
                )
                for estimator, count in (
                    (name, 32 if name == "line" else 4000),
                    ("counted", 20_000),
                )
            )
            difference = (ours.clean_test_error - counted_ds.clean_test_error).values.reshape(-1)
            yield Quantity(
                f"{name} − counted at ‖μ‖ = {length:g}",
                difference,
                -0.005,
                0.005,
                "what would show in a figure",
                0.0,
            )
