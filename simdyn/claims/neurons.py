"""Claims about neurons: which stay active, and which SAM switches off."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from simdyn import theory
from simdyn.api.training import train
from simdyn.claims.claim import LEADING, RECALLED, Bench, claim
from simdyn.claims.exact import drawn, largest
from simdyn.claims.verdict import Law, Quantity, with_ladder
from simdyn.engine.problems import Problem
from simdyn.params import SAM, SGD, Record


@claim(
    "stay-active",
    "neurons of the label's sign that are active on a noise at the start stay so under SGD",
    mark=RECALLED,
    regime="d ≫ n², small σ_0 and η",
)
def stay_active(bench: Bench) -> Iterator[Quantity]:
    """Pairs (filter, noise) that ever leave, from recorded weights."""
    left, pairs = [], 0
    for seed in range(bench.replicates(4, 20)):
        signal, noises, _, y, w, x = drawn(
            seed, 10, 4000, n_patches=2, m=6, norm=3.0, init_std=1e-3, noise_std=1.0, flip=0.1
        )
        problem = Problem.from_patches(x, y, w, signal=signal)
        plan = SGD(learning_rate=0.05, epochs=100)
        ds = train(problem, plan, record=Record(every=2, weights=True, variables=("train_loss",)))
        banks = ds.weights.values[:, np.where(y > 0, 0, 1)]  # (step, n, m, d)
        active = np.einsum("tnmd,nd->tnm", banks, noises) > 0.0
        pairs += int(active[0].sum())
        left.append(int((active[0] & ~active.all(axis=0)).sum()))
    yield Quantity(
        f"pairs of {pairs} that leave in a run",
        np.array(left, dtype=float),
        0.0,
        0.0,
        "every pair stays",
        0.0,
        largest,
        exact=True,
    )


def _fractions(
    bench: Bench,
    count: int,
    shift: float,
    *,
    d: int = 10**8,
    std: float = 1.0,
    batch: int = 20,
    outputs: float = 0.01,
) -> np.ndarray:
    """Deactivated fractions at initialisation (R,), τ being `shift` times σ_0√(2Bm)."""
    init = outputs * np.sqrt(10) / (std * np.sqrt(d))
    radius = shift * init * np.sqrt(2 * batch * 10)
    ds = bench.run(
        {
            "n_samples": 20,
            "dimension": d,
            "signal_norm": 0.02 * std * np.sqrt(d / batch),
            "noise_std": std,
        },
        {"n_filters": 10, "init_std": init},
        {"sam": SAM(radius=radius, learning_rate=0.1, epochs=0, batch_size=batch)},
        count,
        variables=("deactivated_fraction",),
    )
    return np.asarray(ds.deactivated_fraction.values.reshape(-1))


def _excess(law: str, values: np.ndarray) -> Quantity:
    name = f"measured − {law}"
    return Quantity(name, values, -0.006, 0.006, "0.006, as the law is stated", 0.0)


@claim(
    "deactivation-start",
    "SAM's first perturbation switches off the fraction erf(τ/(σ_0√(2Bm))) of active matching "
    "neurons, whatever d and σ_p",
    mark=LEADING,
    regime="d ≫ B, B‖μ‖² ≪ 2(P−1)²σ_p²d, initial outputs (P−1)σ_0σ_p√(d/m) at most 0.01",
)
def deactivation_start(bench: Bench) -> Iterator[Quantity]:
    """Measured minus predicted over τ, d, σ_p and B."""
    count = bench.replicates(1500, 6000)
    shifts = np.array([0.1, 0.3, 1.0, 2.0])
    fractions = [_fractions(bench, count, shift) for shift in shifts]
    predicted = [theory.deactivation_probability(shift, 1.0, 0.5, 1.0) for shift in shifts]
    fine = np.geomspace(0.08, 2.5, 100)
    law = Law(
        "τ/(σ_0 √(2Bm))",
        "deactivated fraction",
        shifts,
        np.array([f.mean() for f in fractions]),
        np.array([f.std() / np.sqrt(count) for f in fractions]),
        np.array(predicted),
        "nothing fitted",
        (fine, theory.deactivation_probability(fine, 1.0, 0.5, 1.0)),
    )
    for shift, found, law_value in zip(shifts, fractions, predicted, strict=True):
        quantity = _excess(f"erf, τ/(σ_0√(2Bm)) = {shift:g}", found - law_value)
        yield dataclasses.replace(quantity, law=law if shift == 1.0 else None)
    steps = [
        _excess(
            f"erf(0.3), initial outputs {outputs:g}",
            _fractions(bench, count, 0.3, outputs=outputs) - predicted[1],
        )
        for outputs in (1.0, 0.3, 0.1, 0.003)
    ]
    yield with_ladder(steps, "initial outputs (P−1)σ_0σ_p√(d/m) = 1, 0.3, 0.1, 0.003")
    changes: dict[str, dict[str, Any]] = {
        "d = 10⁵": {"d": 10**5},
        "d = 10¹²": {"d": 10**12},
        "σ_p = 5": {"std": 5.0},
        "B = 4": {"batch": 4},
    }
    for label, change in changes.items():
        yield _excess(f"erf(0.3), {label}", _fractions(bench, count, 0.3, **change) - predicted[1])


@claim(
    "deactivation-stage",
    "through the SAM stage the perturbation keeps active matching neurons switched off",
    mark=RECALLED,
    regime="τ = m√B/((P−1)σ_p√d), σ_0 = 0.1/((P−1)σ_p√d), SAM stage",
)
def deactivation_stage(bench: Bench) -> Iterator[Quantity]:
    """The smallest deactivated fraction of the stage, and what is memorised in it."""
    d, n, m, norm = 20_000, 20, 10, 4.0
    rate = 200 / d
    epochs = round(theory.signal_time(n, n, rate, norm, m))
    plans = {
        "SAM": SAM(radius=theory.best_radius(d, n, 2, 1.0, m), learning_rate=rate, epochs=epochs),
        "SGD": SGD(learning_rate=rate, epochs=epochs),
    }
    ds = bench.run(
        {"n_samples": n, "dimension": d, "signal_norm": norm},
        {"n_filters": m, "init_std": 0.1 / np.sqrt(d)},
        plans,
        bench.replicates(300, 400),
        every=max(1, epochs // 40),
        variables=("deactivated_fraction", "noise_coef", "signal_coef"),
    )
    off = ds.deactivated_fraction.sel({"method": "SAM"})
    yield Quantity(
        "deactivated fraction, least of the stage",
        off.min("step").values,
        0.95,
        np.inf,
        "the lemma says all; 5 % for a finite d",
        1.0,
        bounds=(0.0, 1.0),
    )
    memory = ds.noise_coef.isel(step=-1).max(("sign", "filter")).mean("sample")
    ratio = memory.sel({"method": "SAM"}) / memory.sel({"method": "SGD"})
    yield Quantity(
        "largest ρ̄ after the stage, SAM/SGD",
        ratio.values,
        0.0,
        0.1,
        "noise learned by a tenth of what SGD learns, or less",
        0.0,
    )
    signal = ds.signal_coef.isel(step=-1).mean(("sign", "filter")).sel({"method": "SAM"})
    yield Quantity("mean γ after the stage", signal.values, 0.5, 2.0, "order one", 1.0)
