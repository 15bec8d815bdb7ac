"""Claims about the dynamics that hold to rounding."""

import itertools
from collections.abc import Iterator

import numpy as np

from simdyn.api.training import train
from simdyn.claims.claim import EXACT, LEADING, Bench, claim
from simdyn.claims.verdict import Quantity
from simdyn.engine.problems import Problem
from simdyn.params import SAM, SGD, Record

SIGNS = np.array([1.0, -1.0])


def largest(values: np.ndarray) -> float:
    """The worst replicate."""
    return float(values.max())


def rounding(name: str, errors: list[float], tolerance: float) -> Quantity:
    """Relative errors that must be rounding."""
    return Quantity(
        name,
        np.array(errors),
        0.0,
        tolerance,
        "rounding, some hundred operations deep",
        0.0,
        largest,
        exact=True,
    )


def drawn(
    seed: int,
    n: int = 8,
    d: int = 120,
    *,
    n_patches: int = 3,
    m: int = 4,
    norm: float = 2.0,
    init_std: float = 0.05,
    noise_std: float = 0.7,
    flip: float = 0.2,
    orthogonal: bool = False,
) -> tuple[np.ndarray, ...]:
    """Signal, noises, true and observed labels and weights as plain vectors of length d."""
    rng = np.random.default_rng([20260, seed])
    signal = norm * np.eye(1, d)[0]
    noises = noise_std * rng.standard_normal((n, d))
    if orthogonal:
        noises[:, 0] = 0.0
    truth = rng.choice(SIGNS, n)
    labels = np.where(rng.random(n) < flip, -truth, truth)
    weights = init_std * rng.standard_normal((2, m, d))
    patches = np.stack([np.outer(truth, signal)] + [noises] * (n_patches - 1), axis=1)
    return signal, noises, truth, labels, weights, patches


def gradient(w: np.ndarray, at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """∇L in weight space by its definition, ℓ' taken at `w` and σ' at `at`."""
    m = w.shape[1]
    z = np.einsum("jmd,npd->jmnp", w, x)
    outputs = np.einsum("j,jmnp->n", SIGNS, np.maximum(z, 0.0)) / m
    pulls = -y / (1.0 + np.exp(y * outputs)) / (len(y) * m)
    active = np.einsum("jmd,npd->jmnp", at, x) > 0.0
    return np.asarray(np.einsum("j,n,jmnp,npd->jmd", SIGNS, pulls, active, x))


@claim("rebuild", "the coefficients γ and ρ rebuild the weights", mark=EXACT, regime="always")
def rebuild(bench: Bench) -> Iterator[Quantity]:
    """W(t) from recorded coefficients against recorded weights."""
    errors = []
    for seed in range(bench.replicates(5, 50)):
        signal, noises, _, y, w, x = drawn(seed)
        plan = [
            SGD(learning_rate=0.2, epochs=5, batch_size=4),
            SAM(radius=0.1, learning_rate=0.2, epochs=10),
        ]
        problem = Problem.from_patches(x, y, w, signal=signal)
        ds = train(problem, plan, seed=seed, record=Record(weights=True))
        along = SIGNS[:, None, None] * ds.signal_coef.values[..., None] * signal / (signal @ signal)
        beside = ds.noise_coef.values / (noises**2).sum(1) @ noises / (x.shape[1] - 1)
        gap = np.abs(w + along + beside - ds.weights.values).max()
        errors.append(gap / np.abs(ds.weights.values).max())
    yield rounding("largest relative error of a weight", errors, 1e-12)


@claim(
    "update",
    "a step of SAM takes σ' and ℓ' at W + ε̂, ε̂ = τ∇L/‖∇L‖_F with one norm over all filters",
    mark=EXACT,
    regime="always",
)
def update(bench: Bench) -> Iterator[Quantity]:
    """Each recorded step against the definition in weight space."""
    errors: dict[str, list[float]] = {"SGD": [], "SAM": []}
    for seed in range(bench.replicates(5, 50)):
        signal, _, _, y, w, x = drawn(seed)
        problem = Problem.from_patches(x, y, w, signal=signal)
        for name, radius in (("SGD", 0.0), ("SAM", 0.5)):
            plan = SAM(radius=radius, learning_rate=0.3, epochs=6)
            weights = train(problem, plan, record=Record(weights=True)).weights.values
            worst = 0.0
            for now, after in itertools.pairwise(weights):
                ascent = gradient(now, now, x, y)
                at = now + radius * ascent / np.linalg.norm(ascent)
                step = -0.3 * gradient(at, at, x, y)
                worst = max(worst, np.abs(after - now - step).max() / np.abs(step).max())
            errors[name].append(worst)
    for name, found in errors.items():
        yield rounding(f"{name}: relative error of a step against W − η∇L(W + ε̂)", found, 1e-9)


@claim(
    "ascent",
    "SAM's perturbation raises the loss by τ‖∇L‖_F to first order",
    mark=LEADING,
    regime="τ → 0, away from kinks",
)
def ascent(bench: Bench) -> Iterator[Quantity]:
    """Recorded SAM gap over τ‖∇L‖ on a ladder of radii."""
    data = {"n_samples": 20, "dimension": 2000, "signal_norm": 3.0}
    net = {"n_filters": 10, "init_std": 0.01}
    ratios = []
    for radius in (1e-3, 1e-4, 1e-5):
        ds = bench.run(
            data,
            net,
            {"sam": SAM(radius=radius, learning_rate=0.1, epochs=0)},
            bench.replicates(20, 100),
            variables=("sam_gap", "grad_norm"),
        )
        ratios.append((ds.sam_gap / (radius * ds.grad_norm)).values.reshape(-1))
    ladder = ", ".join(f"{values.mean() - 1:+.1e}" for values in ratios)
    yield Quantity(
        "SAM gap / (τ‖∇L‖_F) at τ = 10⁻⁵",
        ratios[-1],
        0.999,
        1.001,
        "second order and kinks: of the order of τ/σ_0 = 10⁻³",
        1.0,
        small=f"τ = 10⁻³, 10⁻⁴, 10⁻⁵: off by {ladder}",
    )


@claim(
    "signs",
    "ρ̄ ≥ 0 never falls and ρ̲ ≤ 0 never rises, under SGD and SAM",
    mark=EXACT,
    regime="always",
)
def signs(bench: Bench) -> Iterator[Quantity]:
    """The largest step of a coefficient in the wrong direction."""
    data = {
        "n_samples": 12,
        "dimension": 400,
        "signal_norm": 3.0,
        "n_patches": 3,
        "label_flip": 0.2,
    }
    plans = {
        "SGD": SGD(learning_rate=0.1, epochs=40, batch_size=4),
        "SAM": SAM(radius=0.05, learning_rate=0.1, epochs=40, batch_size=4),
    }
    ds = bench.run(
        data,
        {"n_filters": 6, "init_std": 0.01},
        plans,
        bench.replicates(10, 100),
        every=1,
        unit="step",
        variables=("noise_coef", "margin"),
    )
    # ρ of a filter with the sign of the observed label grows; only its sign tells which that is.
    rho = ds.noise_coef.transpose("method", "replicate", "step", "sign", "filter", "sample")
    steps = np.diff(rho.values, axis=2)
    mixed = np.minimum(steps.max(axis=(2, 4)), -steps.min(axis=(2, 4)))  # (method, R, sign, n)
    both = np.minimum(steps[:, :, :, 0].max(axis=(2, 3)), steps[:, :, :, 1].max(axis=(2, 3)))
    for k, name in enumerate(plans):
        yield Quantity(
            f"{name}: largest step against a coefficient's own direction",
            np.maximum(mixed[k].max(axis=(1, 2)), 0.0),
            0.0,
            0.0,
            "each step adds a number of one sign",
            0.0,
            largest,
            exact=True,
        )
        yield Quantity(
            f"{name}: largest rise that the two filter signs share",
            np.maximum(both[k].max(1), 0.0),
            0.0,
            0.0,
            "one sign of filters learns a sample, the other unlearns it",
            0.0,
            largest,
            exact=True,
        )


@claim(
    "shared-noise",
    "P − 1 copies of one noise patch act as one copy with standard deviation (P−1)σ_p",
    mark=EXACT,
    regime="noise shared by the patches; ReLU",
)
def shared_noise(bench: Bench) -> Iterator[Quantity]:
    """P = 5, σ_p against P = 2, 4σ_p: coefficients and test error."""
    net = {"n_filters": 6, "init_std": 0.01}
    plans = {
        "SGD": SGD(learning_rate=0.02, epochs=30),
        "SAM": SAM(radius=0.02, learning_rate=0.02, epochs=30),
    }
    variables = ("signal_coef", "noise_coef", "clean_test_error")
    held = {"n_samples": 10, "dimension": 500, "signal_norm": 4.0}
    results = [
        bench.run(
            {**held, "n_patches": patches, "noise_std": std},
            net,
            plans,
            bench.replicates(5, 50),
            variables=variables,
        )
        for patches, std in ((5, 1.0), (2, 4.0))
    ]
    for name, symbol in (("noise_coef", "ρ"), ("signal_coef", "γ"), ("clean_test_error", "error")):
        one, other = (ds[name].transpose("replicate", ...).values for ds in results)
        shape = (len(one), -1)
        gap = np.abs(one - other).reshape(shape).max(1) / np.abs(other).reshape(shape).max(1)
        yield rounding(
            f"{symbol}: relative difference of P = 5, σ_p and P = 2, 4σ_p", list(gap), 1e-9
        )
