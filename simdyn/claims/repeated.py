"""Claims that hold in law, repeated under random settings: their p-values must be uniform.

A single test finds a wrong law only if it is far off. Here a test is repeated, each time with
another setting and other draws, and the p-values of a true claim are uniform on (0, 1). The
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

LEVEL = 1e-3  # a claim fails if uniformity has a smaller p-value

PEERS = 99  # draws among which one is ranked


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
                n_patches=setting["n_patches"],
                m=m,
                norm=setting["signal_norm"],
                init_std=init_std,
                noise_std=setting["noise_std"],
                flip=setting["label_flip"],
                orthogonal=noise == "orthogonal",
            )
            problem = Problem.from_patches(x, y, w, signal=signal, true_labels=truth)
            one = train(problem, plan, record=RECORD)
            observe = list(OBSERVED.values())[seed % len(OBSERVED)]
            found.append(rank(float(observe(one)), observe(peers), rng))
        low, high = dimensions
        yield uniform(f"{noise} noise, d = {low} … {high}", found)


def _exchanged(kind: str, number: int) -> list[float]:
    """P-values of two coefficients that may change places."""
    rng = np.random.default_rng([2, len(kind)])
    found = []
    for seed in range(number):
        data = SignalNoiseData(**_setting(rng, (1, 10**6)))
        net = TwoLayerCNN(n_filters=3, init_std=float(rng.uniform(0.01, 0.5)))
        radius = float(rng.uniform(0.0, 0.3))
        plan = [SAM(radius=radius, learning_rate=0.05, epochs=4, batch_size=1)]
        ds = simulate(data, net, plan, seed=seed, replicates=PEERS + 1, record=RECORD, threads=1)
        gamma, rho = ds.signal_coef.values[:, -1], ds.noise_coef.values[:, -1]
        summed = rho[:, 0].sum(1)  # over filters: of one filter half are 0, which hides a scale
        one, other = {
            "samples": (summed[:, 0], summed[:, -1]),
            "filters": (gamma[:, 0, 0], gamma[:, 0, -1]),
            "signs": (gamma[:, 0, 0], gamma[:, 1, 0]),
        }[kind]
        found.append(rank(float(one[0]), other[1:], rng))
    return found


def _scaled(number: int) -> list[float]:
    """P-values of a coefficient under a change of scale that leaves its law as it is."""
    rng = np.random.default_rng([2, 0])
    found = []
    for seed in range(number):
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
    return found


@claim(
    "exchange",
    "samples, filters and the two signs may be exchanged, and the scale of everything changed",
    mark=EXACT,
    regime="always; in law",
)
def exchange(bench: Bench) -> Iterator[Quantity]:
    """A coefficient of one replicate, ranked among its mirror images in others."""
    for kind in ("samples", "filters", "signs"):
        yield uniform(f"{kind} exchanged", _exchanged(kind, bench.replicates(150, 1000)))
    p_values = _scaled(bench.replicates(150, 1000))
    yield uniform("patches scaled by a, weights and τ by 1/a, η by 1/a²", p_values)


@claim(
    "batches",
    "each epoch of mini-batches goes once over the samples, in a fresh uniform order",
    mark=EXACT,
    regime="always; in law",
)
def batches(bench: Bench) -> Iterator[Quantity]:
    """Batches of one sample, identified by the coefficients ρ that move."""
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
