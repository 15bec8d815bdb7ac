"""Claims that hold in law, repeated under random settings: their p-values must be uniform.

A wrong law shows in a single test only if it is far off. Here a test is repeated, each time under
another setting and with other draws, and the p-values of a true claim are uniform on (0, 1). The
p-value of a draw is its rank among draws that should have the same law, which is uniform exactly.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from simdyn.api.simulation import simulate
from simdyn.api.training import train
from simdyn.claims.claim import EXACT, Bench, claim
from simdyn.claims.exact import drawn
from simdyn.claims.verdict import Quantity
from simdyn.engine.problems import Problem
from simdyn.params import SAM, SGD, Record, SignalNoiseData, TwoLayerCNN

LEVEL = 1e-3  # a p-value of uniformity below this turns a claim down
Estimator = Literal["line", "counted", "radial"]

PEERS = 99  # draws that one is ranked among


def uniform(name: str, p_values: Sequence[float]) -> Quantity:
    """The p-value of the hypothesis that p-values are uniform."""
    from scipy.stats import kstest

    return Quantity(
        f"uniformity of {len(p_values)} p-values: {name}",
        np.array(p_values),
        LEVEL,
        1.0,
        "Kolmogorov-Smirnov test at level 10⁻³",
        1.0,
        lambda values: float(kstest(values, "uniform").pvalue),
        exact=True,
    )


def rank(one: float, peers: np.ndarray, rng: np.random.Generator) -> float:
    """The p-value of one draw among peers of the same law; ties are broken at random."""
    below, equal = int((peers < one).sum()), int((peers == one).sum())
    return float((below + rng.random() * (1 + equal)) / (1 + len(peers)))


def _setting(rng: np.random.Generator, dimensions: tuple[int, int]) -> dict[str, Any]:
    """A random setting with d log-uniform between two ends."""
    return {
        "n_samples": int(rng.integers(2, 6)),
        "dimension": round(np.exp(rng.uniform(*np.log(dimensions)))),
        "signal_norm": float(rng.uniform(0.0, 3.0)),
        "noise_std": float(rng.uniform(0.3, 1.0)),
        "n_patches": int(rng.integers(2, 5)),
        "label_flip": float(rng.uniform(0.0, 0.4)),
    }


OBSERVED: dict[str, Callable[[Any], np.ndarray]] = {
    "‖∇L‖": lambda ds: ds.grad_norm.values[..., -1],
    "‖∇L‖ at the start": lambda ds: ds.grad_norm.values[..., 0],
    "γ": lambda ds: ds.signal_coef.values[..., -1, 0, 0],
    "ρ": lambda ds: ds.noise_coef.values[..., -1, 1, 0, -1],
}
RECORD = Record(every=3, variables=("grad_norm", "signal_coef", "noise_coef"))


@claim(
    "sampler",
    "data and weights drawn without d-vectors have the law of drawn vectors",
    mark=EXACT,
    regime="any d ≥ 1, isotropic and orthogonal noise, label flips, any P",
)
def sampler(bench: Bench) -> Iterator[Quantity]:
    """A network trained on drawn vectors, ranked among networks trained on simdyn's draws."""
    # In one or two dimensions much of the noise lies along the signal, which tells the laws apart.
    cases: tuple[tuple[Literal["isotropic", "orthogonal"], tuple[int, int], int], ...] = (
        ("isotropic", (1, 2), 300),
        ("isotropic", (3, 400), 150),
        ("orthogonal", (2, 400), 150),
    )
    for noise, dimensions, quick in cases:
        rng = np.random.default_rng([1, *dimensions])
        found = []
        for seed in range(bench.replicates(quick, 1000)):
            setting = _setting(rng, dimensions)
            m, init_std = int(rng.integers(1, 4)), float(rng.uniform(0.05, 0.5))
            plan = [SAM(radius=float(rng.uniform(0.0, 0.3)), learning_rate=0.1, epochs=3)]
            data = SignalNoiseData(**setting, noise=noise)
            peers = simulate(
                data,
                TwoLayerCNN(n_filters=m, init_std=init_std),
                plan,
                seed=seed,
                replicates=PEERS,
                record=RECORD,
                threads=1,
            )
            signal, _, truth, y, w, x = drawn(
                seed,
                setting["n_samples"],
                setting["dimension"],
                setting["n_patches"],
                m,
                setting["signal_norm"],
                init_std,
                setting["noise_std"],
                setting["label_flip"],
                noise == "orthogonal",
            )
            problem = Problem.from_patches(x, y, w, signal=signal, true_labels=truth)
            one = train(problem, plan, record=RECORD)
            observe = list(OBSERVED.values())[seed % len(OBSERVED)]
            found.append(rank(float(observe(one)), observe(peers), rng))
        low, high = dimensions
        yield uniform(f"{noise} noise, d = {low} … {high}", found)


@claim(
    "exchange",
    "samples, filters and the two signs may be exchanged, and the scale of everything changed",
    mark=EXACT,
    regime="always; in law",
)
def exchange(bench: Bench) -> Iterator[Quantity]:
    """Coefficients of one replicate, ranked among their mirror images in others."""

    def pair(kind: str, ds: Any) -> tuple[np.ndarray, np.ndarray]:
        gamma, rho = ds.signal_coef.values[:, -1], ds.noise_coef.values[:, -1]
        if kind == "samples":
            ends = rho[:, 0].sum(1)  # over filters: of one filter half are 0, which hides a scale
            return ends[:, 0], ends[:, -1]
        if kind == "filters":
            return gamma[:, 0, 0], gamma[:, 0, -1]
        return gamma[:, 0, 0], gamma[:, 1, 0]

    for kind in ("samples", "filters", "signs"):
        rng = np.random.default_rng([2, len(kind)])
        found = []
        for seed in range(bench.replicates(150, 1000)):
            data = SignalNoiseData(**_setting(rng, (1, 10**6)))
            net = TwoLayerCNN(n_filters=3, init_std=float(rng.uniform(0.01, 0.5)))
            plan = [
                SAM(radius=float(rng.uniform(0.0, 0.3)), learning_rate=0.05, epochs=4, batch_size=1)
            ]
            ds = simulate(
                data, net, plan, seed=seed, replicates=PEERS + 1, record=RECORD, threads=1
            )
            ours, theirs = pair(kind, ds)
            found.append(rank(float(ours[0]), theirs[1:], rng))
        yield uniform(f"{kind} exchanged", found)
    rng = np.random.default_rng([2, 0])
    found = []
    for seed in range(bench.replicates(150, 1000)):
        # W by c, data by a: overlaps go by a·c, so does τ over ‖ε̂‖, and η by c/a.
        setting, scale = _setting(rng, (1, 10**6)), float(np.exp(rng.uniform(-1.0, 1.0)))
        rate, init_std, radius = 0.05, float(rng.uniform(0.01, 0.5)), float(rng.uniform(0.0, 0.3))
        scaled = {
            **setting,
            "signal_norm": scale * setting["signal_norm"],
            "noise_std": scale * setting["noise_std"],
        }
        results = [
            simulate(
                SignalNoiseData(**fields),
                TwoLayerCNN(n_filters=2, init_std=init_std / c),
                [SAM(radius=radius / c, learning_rate=rate / c**2, epochs=4)],
                seed=s,
                replicates=count,
                record=RECORD,
                threads=1,
            )
            for fields, c, s, count in (
                (setting, 1.0, 2 * seed, 1),
                (scaled, scale, 2 * seed + 1, PEERS),
            )
        ]
        ours, theirs = (ds.noise_coef.values[:, -1, 0, 0, 0] for ds in results)
        found.append(rank(float(ours[0]), theirs, rng))
    yield uniform("patches scaled by a, weights and τ by 1/a, η by 1/a²", found)


@claim(
    "batches",
    "each epoch of mini-batches goes once over the samples, in a fresh uniform order",
    mark=EXACT,
    regime="always; in law",
)
def batches(bench: Bench) -> Iterator[Quantity]:
    """Batches of one sample, told by whose coefficients ρ move."""
    n, epochs, count = 8, 10, bench.replicates(300, 2000)
    ds = bench.run(
        {"n_samples": n, "dimension": 200, "signal_norm": 1.0},
        {"n_filters": 16, "init_std": 0.01},  # steps too short to silence a sample
        {"sgd": SGD(learning_rate=1e-4, epochs=epochs, batch_size=1)},
        count,
        every=1,
        unit="step",
        variables=("noise_coef",),
    )
    rho = ds.noise_coef.transpose("replicate", "step", "sign", "filter", "sample", ...).values
    moved = np.diff(rho.reshape(count, n * epochs + 1, -1, n), axis=1) != 0.0
    visits = moved.any(axis=2).reshape(count, epochs, n, n)  # (…, place in the epoch, sample)
    yield Quantity(
        "samples visited more than once an epoch or not at all, or beside another",
        (visits.sum(2) != 1).sum((1, 2)) + (visits.sum(3) != 1).sum((1, 2)),
        0.0,
        0.0,
        "a partition",
        0.0,
        lambda values: float(values.max()),
        exact=True,
    )
    place = visits.argmax(axis=2)  # (R, epoch, sample)
    first, second = np.triu_indices(epochs, 1)
    again = (place[:, first] == place[:, second]).mean(axis=(1, 2))
    yield Quantity(
        f"share of samples at the same place in two epochs of {n}",
        again,
        1 / n - 0.01,
        1 / n + 0.01,
        "independent orders; 1 if there is one order",
        1 / n,
    )
    rng = np.random.default_rng(4)
    which = np.arange(count)
    places = place[which, which % epochs, which % n] + rng.random(count)
    yield uniform("place of a sample in its epoch", list(places / n))


def planar_error(
    signal: np.ndarray,
    weights: np.ndarray,
    copies: int,
    noise_std: float,
    flip: float,
    nodes: int = 40_000,
) -> float:
    """Exact error on observed labels in two dimensions, by quadrature over the noise's direction.

    To 2/nodes of one where signals activate no filter, as the integrand then jumps; else to
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


@claim(
    "estimators",
    "estimates of the test error on observed labels, by lines, rays and counting, are right within"
    " their standard errors, and these are as large as they should be",
    mark=EXACT,
    regime="errors that counting can see",
)
def estimators(bench: Bench) -> Iterator[Quantity]:
    """Scores (estimate − truth)/SE against counting in weight space, and against exact errors."""
    from scipy.stats import norm

    def score(
        name: Estimator, problem: Problem, own: int, truth: float, error: float
    ) -> tuple[float, float]:
        """Of a network as it is, with the standard error; `error` is that of the truth."""
        record = Record(
            variables=("test_error", "test_error_se"), test_estimator=name, test_draws=DRAWS[name]
        )
        last = train(problem, SGD(learning_rate=0.1, epochs=0), seed=own, record=record)
        own_error = float(last.test_error_se[-1])
        return float(last.test_error[-1] - truth) / max(
            np.hypot(own_error, error), 1e-99
        ), own_error

    cases: tuple[tuple[str, tuple[int, int], tuple[float, float]], ...] = (
        ("counting in weight space", (20, 200), (0.0, 3.0)),
        ("the exact error", (2, 2), (0.0, 6.0)),
    )
    for against, dimensions, norms in cases:
        rng = np.random.default_rng([3, dimensions[0]])
        found: dict[Estimator, list[float]] = {name: [] for name in DRAWS}
        seed = 10_000
        while len(found["line"]) < bench.replicates(100, 600):
            seed += 1
            d, m = int(rng.integers(dimensions[0], dimensions[1] + 1)), int(rng.integers(2, 8))
            patches, flip = int(rng.integers(2, 4)), float(rng.uniform(0.0, 0.4))
            signal, _, true, y, w, x = drawn(
                seed, 10, d, patches, m, float(rng.uniform(*norms)), 0.05, 1.0, flip
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
                one, known = score(name, problem, 3 * seed + k, truth, error)
                if known > 1e-4:  # else it may be of the order of the quadrature's own error
                    found[name].append(2.0 * float(norm.sf(abs(one))))
        for name, p_values in found.items():
            yield uniform(f"{name} − {against}", p_values)
    # Failures compete where they are rare: there cells of directions meet, which must not overlap.
    rng, seed = np.random.default_rng([3, 0]), 50_000
    far: list[bool] = []
    while len(far) < bench.replicates(200, 600):
        seed += 1
        signal, _, true, y, w, x = drawn(
            seed, 4, 2, 2, int(rng.integers(2, 8)), float(rng.uniform(0.0, 10.0)), 0.05, 1.0, 0.0
        )
        if 1e-4 < planar_error(signal, w, 1, 1.0, 0.0, 500) < 0.02:
            truth = planar_error(signal, w, 1, 1.0, 0.0)
            problem = Problem.from_patches(x, y, w, signal=signal, true_labels=true, noise_std=1.0)
            far.append(abs(score("line", problem, seed, truth, 2e-4 * truth)[0]) > 4.0)
    yield Quantity(
        "share of line estimates more than 4 standard errors from exact errors of 10⁻⁴ … 0.02",
        np.array(far, dtype=float),
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
                    (name, 128 if name == "line" else 4000),
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
