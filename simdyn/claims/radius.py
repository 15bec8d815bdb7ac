"""The claim about SAM's radius: which τ is best, and how it scales."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from simdyn import theory
from simdyn.claims.claim import RECALLED, Bench, claim
from simdyn.claims.verdict import Quantity, line_exponent
from simdyn.theory.crossing import crossing

GRID = np.geomspace(0.005, 2.0, 14)  # radii in units of m√B/((P−1)σ_p√d)
CONSTANT_OPEN = (
    "for information: Θ leaves open how the constant depends on ‖μ‖, which follows SGD's line here"
)
THEOREM = 10  # index in GRID of the radius taken for the theorem's, about a half


def _errors(bench: Bench, count: int, **change: float) -> tuple[np.ndarray, float]:
    """Test errors (R, 1 + K) of τ = 0 and of the grid, and the unit of τ.

    SAM for twice the time of the signal, then SGD, at a signal just above SGD's line with constant
    one: there SGD errs in some per cent and a good radius does not.
    """
    setting: dict[str, Any] = {"d": 10_000, "m": 10, "B": 20, "P − 1": 1, **change}
    d, m, batch, copies = (int(setting[k]) for k in ("d", "m", "B", "P − 1"))
    n = 20
    norm = theory.critical_signal_norm(d, n, copies + 1, 1.0)
    rate = m * batch / (copies**2 * d)
    stage = round(2 * theory.signal_time(n, batch, rate, norm, m))
    sam = {
        "optimiser": "SAM",
        "learning_rate": rate,
        "epochs": stage,
        "batch_size": batch,
        "radius": "share*n_filters*sqrt(batch_size)/((n_patches-1)*noise_std*sqrt(dimension))",
    }
    sgd = {"optimiser": "SGD", "learning_rate": rate, "epochs": 300, "batch_size": batch}
    ds = bench.run(
        {"n_samples": n, "dimension": d, "signal_norm": norm, "n_patches": copies + 1},
        {"n_filters": m, "init_std": 0.1 / (copies * np.sqrt(d))},
        {"SAM": [sam, sgd]},
        count,
        {"share": [0.0, *GRID.tolist()]},
        variables=("test_error",),
    )
    unit = float(theory.best_radius(d, batch, copies + 1, 1.0, m))
    return np.asarray(ds.test_error.values.reshape(1 + GRID.size, count).T), unit


def _onset(errors: np.ndarray) -> float:
    """Radius, in units of the grid, at which half of SGD's error is gone; errors (R, 1 + K)."""
    half = 0.5 * float(errors[:, 0].mean())
    return float(crossing(errors[:, 1:].mean(axis=0), half).at(GRID))


def _regret(setting: str, errors: np.ndarray) -> Quantity:
    """How much worse the theorem's radius is than the best of the grid."""
    return Quantity(
        f"error at τ = {GRID[THEOREM]:.2f} m√B/((P−1)σ_p√d) minus the best τ's, {setting}",
        errors,
        -np.inf,
        0.01,
        "ε, as chosen",
        0.0,
        lambda sample: float(sample[:, 1 + THEOREM].mean() - sample[:, 1:].mean(0).min()),
    )


def _decades(errors: np.ndarray) -> float:
    """Decades of the grid at which at least half of SGD's error is gone."""
    good = errors[:, 1:].mean(0) <= 0.5 * errors[:, 0].mean()
    return float(np.log10(GRID[1] / GRID[0]) * good.sum())


@claim(
    "best-radius",
    "SAM's best radius is τ = Θ(m√B/((P−1)σ_p√d))",
    mark=RECALLED,
    regime="Theorem 4.1; SAM for twice the time of the signal, then SGD",
    not_quick="exponents in B, m and d",
)
def best_radius(bench: Bench) -> Iterator[Quantity]:
    """The theorem's radius against the best of a grid, and how the least useful radius scales."""
    count = bench.replicates(40, 600)
    ladders: dict[str, tuple[float, float, tuple[int, ...], str]] = {
        "B": (0.5, 0.5, (5, 10, 20), ""),
        "P − 1": (-1.0, -1.0, (1, 2), ""),
        "m": (0.5, 1.0, (5, 10, 20), ", between the lemma's ½ and the theorem's 1"),
        "d": (-0.5, -0.5, (10_000, 40_000, 160_000), ""),
    }
    if bench.quick:
        ladders = {"B": (0.5, 0.5, (20,), ""), "P − 1": ladders["P − 1"]}
    for name, (low, high, ladder, between) in ladders.items():
        pairs = [_errors(bench, count, **{name: value}) for value in ladder]
        if name == "B":
            yield Quantity(
                "decades of τ that take half of SGD's error or more",
                pairs[-1][0],
                1.0,
                np.inf,
                "Θ leaves a constant open, a decade will do",
                1.0,
                _decades,
            )
        if name != "P − 1":  # there every setting is the same, by the symmetry of shared noise
            yield _regret(f"{name} = {ladder[-1]}", pairs[-1][0])
        if len(ladder) == 1:
            continue
        units = [unit for _, unit in pairs]
        yield line_exponent(
            f"exponent in {name} of the least τ that takes half of SGD's error",
            ladder,
            np.stack([found for found, _ in pairs], axis=1),  # (R, ladder, 1 + K)
            lambda sample, units=units: np.array(  # type: ignore[misc]
                [unit * _onset(sample[:, k]) for k, unit in enumerate(units)]
            ),
            exponent=0.5 * (low + high),
            band=(low - 0.05, high + 0.05),
            reason=f"0.05: off by 12 % over a decade{between}",
            labels=(name, "least useful τ"),
            predicted=high,
            outside=CONSTANT_OPEN if name == "d" else "",
        )
