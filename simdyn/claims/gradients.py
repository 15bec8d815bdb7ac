"""Claims about the norm of the gradient."""

from collections.abc import Iterator

import numpy as np

from simdyn.claims.claim import LEADING, RECALLED, Bench, claim
from simdyn.claims.exact import largest
from simdyn.claims.verdict import Law, Quantity, with_ladder
from simdyn.params import SAM, SGD
from simdyn.theory import laws as theory

REASON = "3 %, as the law is stated"


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def _worst_ratio(values: np.ndarray) -> float:
    """The root mean square over replicates that is furthest from one; values (R, K)."""
    ratios = np.sqrt((values**2).mean(axis=0))
    return float(ratios[np.abs(np.log(ratios)).argmax()])


def _norms(
    bench: Bench,
    count: int,
    n: int,
    d: int,
    norm: float,
    *,
    patches: int = 2,
    flip: float = 0.0,
    outputs: float = 0.01,
) -> np.ndarray:
    """Gradient norms at initialisation (R,), with initial outputs of this size."""
    data = {
        "n_samples": n,
        "dimension": d,
        "signal_norm": norm,
        "n_patches": patches,
        "label_flip": flip,
    }
    std = outputs * np.sqrt(10 / d) / (patches - 1)
    ds = bench.run(
        data,
        {"n_filters": 10, "init_std": std},
        {"sgd": SGD(learning_rate=0.1, epochs=0)},
        count,
        variables=("grad_norm",),
    )
    return np.asarray(ds.grad_norm.values.reshape(-1))


def _ratio(setting: str, values: np.ndarray) -> Quantity:
    name = f"measured/predicted, {setting}"
    return Quantity(name, values, 0.97, 1.03, REASON, 1.0, _root_mean_square)


@claim(
    "gradient-norm",
    "at initialisation ‖∇L‖_F² = [s²d + ‖μ‖²(1 + (B−1)(1−2p)²/2) + √2 s‖μ‖Γ(d/2)/(πΓ((d+1)/2))]"
    "/(4Bm) in the mean, s = (P−1)σ_p",
    mark=LEADING,
    regime="initial outputs (P−1)σ_0σ_p√(d/m) below 0.3, any d ≥ 1",
)
def gradient_norm(bench: Bench) -> Iterator[Quantity]:
    """Measured over predicted in four corners and at d = 1, 2, 3, and as outputs go to zero."""
    count = bench.replicates(1200, 3000)
    for n, d, patches, norm, flip in (
        (10, 1000, 2, 3.0, 0.0),
        (40, 1000, 2, 20.0, 0.1),
        (20, 10**6, 4, 10.0, 0.0),
        (5, 10**10, 2, 100.0, 0.2),
        (1, 1, 2, 1.0, 0.0),
        (1, 2, 2, 1.0, 0.0),
        (4, 3, 3, 2.0, 0.2),
    ):
        runs = bench.replicates(10_000, 30_000) if d <= 3 else count  # there the norm varies much
        law = theory.initial_gradient_norm(d, n, norm, patches, 1.0, 10, flip)
        yield _ratio(
            f"B = {n}, d = {d:g}, P = {patches}, ‖μ‖ = {norm:g}, p = {flip:g}",
            _norms(bench, runs, n, d, norm, patches=patches, flip=flip) / law,
        )
    law = theory.initial_gradient_norm(10**4, 20, 3.0, 2, 1.0, 10)
    steps = [
        _ratio(
            f"initial outputs {outputs:g}",
            _norms(bench, count, 20, 10**4, 3.0, outputs=outputs) / law,
        )
        for outputs in (1.0, 0.3, 0.1, 0.03)
    ]
    yield with_ladder(steps, "initial outputs (P−1)σ_0σ_p√(d/m) = 1, 0.3, 0.1, 0.03")
    yield _over_signal(bench, count)


def _over_signal(bench: Bench, count: int) -> Quantity:
    """The worst ratio over signal norms, with the law as a curve."""
    # In units of the noise's own gradient the law depends on ‖μ‖/((P−1)σ_p√d) and B alone.
    shares, fine = np.array([0.03, 0.1, 0.3, 1.0, 3.0]), np.geomspace(0.02, 4.0, 100)
    noise = theory.initial_gradient_norm(10**4, 20, 0.0, 2, 1.0, 10)
    found = np.stack([_norms(bench, count, 20, 10**4, 100 * x) / noise for x in shares], axis=1)
    mean = np.sqrt((found**2).mean(0))
    error = (found**2).std(0) / np.sqrt(count) / (2 * mean)
    curve = theory.initial_gradient_norm(10**4, 20, 100 * fine, 2, 1.0, 10) / noise
    predicted = theory.initial_gradient_norm(10**4, 20, 100 * shares, 2, 1.0, 10) / noise
    return Quantity(
        "measured/predicted, the worst of ‖μ‖/((P−1)σ_p√d) = 0.03 … 3",
        found / predicted,
        0.97,
        1.03,
        REASON,
        1.0,
        _worst_ratio,
        law=Law(
            "‖μ‖/((P−1)σ_p√d)",
            "‖∇L‖_F / that of noise alone",
            shares,
            mean,
            error,
            predicted,
            "nothing fitted",
            (fine, curve),
        ),
    )


@claim(
    "gradient-bound",
    "‖∇L‖_F ≤ 2√2 Pσ_p√(d/(Bm)) throughout training",
    mark=RECALLED,
    regime="d ≥ n‖μ‖²/(Pσ_p)²",
)
def gradient_bound(bench: Bench) -> Iterator[Quantity]:
    """The largest gradient of a run over the bound, which shows how loose it is."""
    data = {"n_samples": 20, "dimension": 5000, "signal_norm": 3.0}
    plans = {
        "SGD": SGD(learning_rate=0.1, epochs=100),
        "SAM": SAM(radius=0.03, learning_rate=0.1, epochs=100),
    }
    ds = bench.run(
        data,
        {"n_filters": 10, "init_std": 1e-3},
        plans,
        bench.replicates(20, 200),
        every=1,
        variables=("grad_norm",),
    )
    bound = theory.gradient_norm_bound(5000, 20, 2, 1.0, 10)
    for name in plans:
        worst = ds.grad_norm.sel({"method": name}).max("step").values / bound
        yield Quantity(
            f"{name}: largest ‖∇L‖ of a run over the bound",
            worst,
            0.0,
            1.0,
            "a bound",
            1.0,
            largest,
            exact=True,
        )
