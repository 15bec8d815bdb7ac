"""Claims about losses and test errors: benign and harmful, critical lines, label noise."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from simdyn import theory
from simdyn.claims.claim import LEADING, RECALLED, Bench, claim
from simdyn.claims.verdict import Quantity, line_exponent, with_ladder
from simdyn.params import SAM, SGD, Phase
from simdyn.theory.crossing import crossing

LEVEL = 0.1  # the test error that is taken as the border between benign and harmful
FITTED = 0.05  # training loss below which a network counts as trained
EXPONENT = "0.02: off by 10 % over two decades"
Curves = tuple[np.ndarray, float]  # test errors (R, K), and the largest mean training loss
GRID = np.geomspace(0.75, 1.6, 9)  # signal norms in units of (P−1)σ_p(d/n)^{1/4}


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


def critical(grid: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Where mean test errors (R, …, K) over a grid (K,) fall to LEVEL: (…), NaN if they do not."""
    return crossing(errors.mean(axis=0), LEVEL).at(grid)


def _curves(
    bench: Bench,
    count: int,
    plan: Sequence[Phase],
    norms: np.ndarray,
    *,
    n: int,
    d: int,
    m: int,
    patches: int,
    init_std: float,
) -> Curves:
    """Test errors (R, K) over signal norms (K,), and the largest mean training loss there."""
    ds = bench.run(
        {"n_samples": n, "dimension": d, "n_patches": patches},
        {"n_filters": m, "init_std": init_std},
        {"one": plan},
        count,
        {"signal_norm": norms.tolist()},
        variables=("test_error", "train_loss"),
    )
    loss = float(ds.train_loss.mean("replicate").max())
    return np.asarray(ds.test_error.values.reshape(norms.size, count).T), loss


def _exponent(
    name: str,
    x: Sequence[float],
    pairs: Sequence[tuple[Curves, float]],
    grid: np.ndarray,
    *,
    exponent: float,
    labels: tuple[str, str],
    tolerance: float = 0.02,
) -> Quantity:
    """The exponent of a critical line, from curves over the grid in a unit for each x."""
    units = np.array([unit for _, unit in pairs])
    return line_exponent(
        name,
        x,
        np.stack([errors for (errors, _), _ in pairs], axis=1),  # (R, ladder, K)
        lambda sample: np.asarray(critical(grid, sample) * units),
        exponent=exponent,
        band=(exponent - tolerance, exponent + tolerance),
        reason=EXPONENT if tolerance == 0.02 else f"{tolerance:g}",
        labels=(labels[0], f"{labels[1]}'s critical ‖μ‖"),
        outside=untrained(max(loss for (_, loss), _ in pairs)),
    )


@claim(
    "sgd-line",
    "SGD's critical line is ‖μ‖ ∝ (P−1)σ_p (d/n)^{1/4}, whatever B and m",
    mark=LEADING,
    regime="Theorem 3.2; trained, σ_0 = 0.1√n/((P−1)σ_p d), d ≫ n²",
    not_quick="exponents in m and n",
)
def sgd_line(bench: Bench) -> Iterator[Quantity]:
    """Exponents in d, n, P − 1, m and B of the contour at test error 0.1."""
    count = bench.replicates(16, 150)

    def curve(**change: float) -> tuple[Curves, float]:
        setting: dict[str, Any] = {
            "n": 20,
            "d": 10**6,
            "m": 10,
            "B": 0,
            "P − 1": 1,
            "progress": 1.0,
            "replicates": count,
            **change,
        }
        n, d, m, copies = (int(setting[k]) for k in ("n", "d", "m", "P − 1"))
        batch = int(setting["B"]) or n
        # The same progress an epoch in every setting: η(P−1)²σ_p²d/(Bm).
        progress = setting["progress"]
        phase = SGD(
            learning_rate=progress * m * batch / (copies**2 * d),
            epochs=round(150 / progress),
            batch_size=batch,
        )
        unit = theory.critical_signal_norm(d, n, copies + 1, 1.0)
        return _curves(
            bench,
            int(setting["replicates"]),
            [phase],
            GRID * unit,
            n=n,
            d=d,
            m=m,
            patches=copies + 1,
            init_std=0.1 * np.sqrt(n) / (copies * d),
        ), unit

    ladders: dict[str, tuple[float, tuple[int, ...]]] = {
        "d": (0.25, (10**5, 10**7, 10**9)),
        "P − 1": (1.0, (1, 2, 4)),
    }
    if not bench.quick:
        ladders |= {"d": (0.25, (10**6, 10**8, 10**11, 10**14)), "m": (0.0, (5, 10, 20, 40))}
    for name, (exponent, ladder) in ladders.items():
        enough = 500 if name == "m" else count
        pairs = [curve(**{name: value, "replicates": enough}) for value in ladder]
        yield _exponent(
            f"exponent in {name}", ladder, pairs, GRID, exponent=exponent, labels=(name, "SGD")
        )
    # Two laws with a small parameter of their own: 1/n, and the progress of an epoch (that is, η).
    if not bench.quick:
        rungs = (20, 40, 80, 160)
        pairs = [curve(n=n, replicates=600) for n in rungs]
        steps = [
            _exponent(
                f"exponent in n, {low} to {high}",
                (low, high),
                two,
                GRID,
                exponent=-0.25,
                labels=("n", "SGD"),
            )
            for (low, high), two in zip(pairwise(rungs), pairwise(pairs), strict=True)
        ]
        yield with_ladder(steps, "n → ∞")
    steps = []
    more = bench.replicates(60, count)
    for progress in (0.0625,) if bench.quick else (1.0, 0.25, 0.0625):
        pairs = [curve(B=batch, progress=progress, replicates=more) for batch in (2, 5, 20)]
        steps.append(
            _exponent(
                f"exponent in B, η(P−1)²σ_p²d/(Bm) = {progress:g}",
                (2, 5, 20),
                pairs,
                GRID,
                exponent=0.0,
                labels=("B", "SGD"),
            )
        )
    yield with_ladder(steps, "η → 0")


@claim(
    "sam-line",
    "SAM and then SGD needs ‖μ‖ ≥ const·(P−1)σ_p, whatever d, if the SAM stage is long enough",
    mark=RECALLED,
    regime="Theorem 4.1; τ = m√B/((P−1)σ_p√d), a SAM stage of 4.9mBd/(200n) epochs",
)
def sam_line(bench: Bench) -> Iterator[Quantity]:
    """The exponent in d of SAM's line, and its height against SGD's at equal budgets."""
    count, n, m = bench.replicates(10, 60), 20, 10
    ladder = (10_000, 40_000) if bench.quick else (10_000, 100_000, 1_000_000)
    grids = {"SAM": np.geomspace(0.8, 8.0, 12), "SGD": np.geomspace(3.0, 40.0, 12)}
    found: dict[str, list[Curves]] = {"SAM": [], "SGD": []}
    for d in ladder:
        rate, init_std = 200 / d, 0.1 / np.sqrt(d)
        stage = round(4.9 * m * d / 200)
        radius = theory.best_radius(d, n, 2, 1.0, m, 0.5)
        sam = [
            SAM(radius=radius, learning_rate=rate, epochs=stage),
            SGD(learning_rate=rate, epochs=300),
        ]
        sgd = [SGD(learning_rate=rate, epochs=stage + 300)]
        for name, plan in (("SAM", sam), ("SGD", sgd)):
            found[name].append(
                _curves(
                    bench, count, plan, grids[name], n=n, d=d, m=m, patches=2, init_std=init_std
                )
            )
    yield _exponent(
        "exponent in d",
        ladder,
        [(curves, 1.0) for curves in found["SAM"]],
        grids["SAM"],
        exponent=0.0,
        labels=("d", "SAM"),
        tolerance=0.05,
    )
    last = np.stack([found["SAM"][-1][0], found["SGD"][-1][0]], axis=1)
    yield Quantity(
        f"SAM's critical ‖μ‖ / SGD's, d = {ladder[-1]:.0e}",
        last,
        0.0,
        1.0,
        "SAM's line below SGD's",
        1.0,
        lambda sample: float(
            critical(grids["SAM"], sample[:, 0]) / critical(grids["SGD"], sample[:, 1])
        ),
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
