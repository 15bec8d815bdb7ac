"""Claims about losses and test errors: benign and harmful overfitting, label noise."""

from collections.abc import Iterator

import numpy as np

from simdyn import theory
from simdyn.claims.claim import RECALLED, Bench, claim
from simdyn.claims.verdict import Quantity, with_ladder
from simdyn.params import SAM, SGD

FITTED = 0.05  # training loss below which a network counts as trained


def untrained(loss: float) -> str:
    """Why a setting is outside a regime that needs finished training; empty if it is inside."""
    return f"training loss {loss:.2g} ≥ {FITTED}" if loss >= FITTED else ""


@claim(
    "fits", "the training loss reaches ε under SGD", mark=RECALLED, regime="Theorem 3.2; ε = 0.01"
)
def fits(bench: Bench) -> Iterator[Quantity]:
    """The share of runs whose last training loss is at most ε, from no to strong signal."""
    for norm in (0.0, 3.0, 10.0):
        ds = bench.run(
            {"n_samples": 20, "dimension": 5000, "signal_norm": norm},
            {"n_filters": 10, "init_std": 1e-3},
            {"sgd": SGD(learning_rate=0.1, epochs=300)},
            bench.replicates(1500, 3000),
            variables=("train_loss",),
        )
        trained = (ds.train_loss.values.reshape(-1) <= 0.01).astype(float)
        yield Quantity(
            f"share of runs trained to ε, ‖μ‖ = {norm:g}",
            trained,
            0.98,
            np.inf,
            "all but 2 % of the draws",
            1.0,
            bounds=(0.0, 1.0),
        )


@claim(
    "benign-harmful",
    "SGD's test error is at most p + ε well above its critical line, at least p + 0.1 well below",
    mark=RECALLED,
    regime="Theorem 3.2; trained; n‖μ‖⁴/(d(P−1)⁴σ_p⁴) = 81 and 1/16, ε = 0.01",
)
def benign_harmful(bench: Bench) -> Iterator[Quantity]:
    """Test error minus p at three times and half the line with constant 1."""
    for d in (2000, 10**6):
        for flip in (0.0, 0.1):
            for side, factor in (("above", 3.0), ("below", 0.5)):
                norm = factor * theory.critical_signal_norm(d, 20, 2, 1.0)
                ds = bench.run(
                    {"n_samples": 20, "dimension": d, "signal_norm": norm, "label_flip": flip},
                    {"n_filters": 10, "init_std": 0.03 / np.sqrt(d)},
                    {"sgd": SGD(learning_rate=200 / d, epochs=200)},
                    bench.replicates(1600, 4000),
                )
                excess = (ds.test_error - flip).values.reshape(-1)
                high = side == "below"
                yield Quantity(
                    f"error − p {side} the line, d = {d:.0e}, p = {flip:g}",
                    excess,
                    0.1 if high else -np.inf,
                    np.inf if high else 0.01,
                    "the theorem's 0.1" if high else "ε, as chosen",
                    0.1 if high else 0.01,
                    bounds=(0.0, 1.0 - 2.0 * flip),
                    outside=untrained(float(ds.train_loss.mean())),
                )


@claim(
    "label-noise",
    "with labels flipped at rate p, SAM's test error comes down to p where SGD's stays above it",
    mark=RECALLED,
    regime="Theorems 3.2, 4.1, n ≫ 1; ‖μ‖ = 0.95(P−1)σ_p(d/n)^{1/4}; SAM, then SGD",
    not_quick="p = 0.2, n = 20 and n = 80",
)
def label_noise(bench: Bench) -> Iterator[Quantity]:
    """Test error of SAM and then SGD minus p, and SGD minus SAM, for p = 0, 0.1, 0.2 as n grows."""
    d, m, count = 20_000, 10, bench.replicates(500, 1500)
    rungs = (40,) if bench.quick else (20, 40, 80)
    for flip in (0.0, 0.1) if bench.quick else (0.0, 0.1, 0.2):
        ours, gaps, reach = [], [], 1.0 - 2.0 * flip
        for n in rungs:
            rate, norm = m * n / d, 0.95 * theory.critical_signal_norm(d, n, 2, 1.0)
            stage = round(2 * theory.signal_time(n, n, rate, norm, m, flip))
            radius = theory.best_radius(d, n, 2, 1.0, m, 0.5)
            sam = [
                SAM(radius=radius, learning_rate=rate, epochs=stage),
                SGD(learning_rate=rate, epochs=300),
            ]
            ds = bench.run(
                {"n_samples": n, "dimension": d, "signal_norm": norm, "label_flip": flip},
                {"n_filters": m, "init_std": 0.1 / np.sqrt(d)},
                {"SAM": sam, "SGD": SGD(learning_rate=rate, epochs=stage + 300)},
                count,
                variables=("test_error", "train_loss"),
            )
            last = ds.isel(step=-1)
            error = {name: last.test_error.sel({"method": name}).values for name in ("SAM", "SGD")}
            loss = float(last.train_loss.sel({"method": "SAM"}).mean("replicate"))
            ours.append(
                Quantity(
                    f"SAM: error − p, p = {flip:g}, n = {n}",
                    error["SAM"] - flip,
                    -np.inf,
                    0.02,
                    "ε, as chosen",
                    0.02,
                    bounds=(0.0, reach),
                    outside=untrained(loss),
                )
            )
            gaps.append(
                Quantity(
                    f"SGD − SAM, p = {flip:g}, n = {n}",
                    error["SGD"] - error["SAM"],
                    0.02,
                    np.inf,
                    "a gap beyond ε",
                    0.02,
                    bounds=(-reach, reach),
                )
            )
        limit = f"n = {', '.join(map(str, rungs))}"
        yield with_ladder(ours, limit)
        yield with_ladder(gaps, limit)
