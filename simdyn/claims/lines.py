"""Claims about critical lines: where the test error crosses a level, solved for along ladders."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn.claims.claim import LEADING, RECALLED, Bench, claim
from simdyn.claims.errors import untrained
from simdyn.claims.verdict import Law, Quantity, with_ladder
from simdyn.params import Crossing
from simdyn.theory.exponents import replicate_positions

if TYPE_CHECKING:
    import xarray as xr

LEVEL = 0.1  # the test error that is taken as the border between benign and harmful
EXPONENT = "0.02: off by 10 % over two decades"
UNIT = "(n_patches - 1)*(dimension/n_samples)**0.25"  # of SGD's critical norms
RATE = "n_filters*batch_size/((n_patches - 1)**2*dimension)"  # one unit of progress an epoch
LOOKED_AT = 10  # replicates whose training loss at the line is looked at


def _solved(
    bench: Bench,
    count: int,
    fixed: Mapping[str, Any],
    along: str,
    ladder: Sequence[float],
    methods: Mapping[str, Any],
    between: tuple[float | str, str],
) -> "xr.Dataset":
    """Critical signal norms along a ladder; variable `train_loss` is the mean at each."""
    setting = {"n_samples": 20, "dimension": 10**6, "copies": 1, "n_filters": 10, **fixed}
    setting = {name: value for name, value in setting.items() if name != along}
    copies = "copies" if along == "copies" else setting.pop("copies")
    data = {
        name: value for name, value in setting.items() if name in ("n_samples", "dimension")
    } | {"n_patches": f"{copies} + 1"}
    net = {name: value for name, value in setting.items() if name == "n_filters"}
    net["init_std"] = "0.1*sqrt(n_samples)/((n_patches - 1)*dimension)"
    found = bench.solve(
        data,
        net,
        methods,
        count,
        {along: list(ladder)},
        Crossing(field="signal_norm", between=between, level=LEVEL),
    )
    losses = []
    for method, plan in methods.items():
        norms = found["critical_value"].sel({"method": method}).values.tolist()
        ds = bench.run(
            data,
            net,
            {method: plan},
            min(count, LOOKED_AT),
            {along: list(ladder), "signal_norm": norms, "zip": [along, "signal_norm"]},
            variables=("train_loss",),
        )
        losses.append(ds["train_loss"].isel(step=-1).mean("replicate"))
    loss = np.concatenate([each.values for each in losses], axis=1)
    return found.assign(train_loss=((along, "method"), loss))


def _exponent(
    ds: "xr.Dataset",
    along: str,
    method: str,
    *,
    exponent: float,
    label: str,
    tolerance: float = 0.02,
    reason: str = EXPONENT,
    name: str = "",
) -> Quantity:
    """The exponent of a critical line; each replicate has its own, to first order."""
    line = ds.sel({"method": method}).transpose(along, ...)
    x = line[along].values.astype(np.float64)
    logs = replicate_positions(line).transpose("replicate", along).values
    steps = np.log(x) - np.log(x).mean()
    measured, shape = np.exp(logs.mean(axis=0)), x**exponent
    constant = np.exp(np.mean(np.log(measured / shape)))
    error = measured * logs.std(axis=0, ddof=1) / np.sqrt(len(logs))
    return Quantity(
        name or f"exponent in {label}",
        logs @ steps / (steps @ steps),
        exponent - tolerance,
        exponent + tolerance,
        reason,
        exponent,
        outside=untrained(float(line["train_loss"].max())),
        law=Law(
            label,
            f"{method.upper()}'s critical ‖μ‖",
            x,
            measured,
            error,
            constant * shape,
            "height fitted",
        ),
    )


@claim(
    "sgd-line",
    "SGD's critical line is ‖μ‖ ∝ (P−1)σ_p (d/n)^{1/4}, whatever B and m",
    mark=LEADING,
    regime="Theorem 3.2; trained, σ_0 = 0.1√n/((P−1)σ_p d), d ≫ n²",
    not_quick="exponents in m and n",
)
def sgd_line(bench: Bench) -> Iterator[Quantity]:
    """Exponents in d, n, P − 1, m and B of the line at test error 0.1."""
    count = bench.replicates(16, 150)

    def line(along: str, ladder: Sequence[float], replicates: int, progress: float = 1.0) -> Any:
        phase = {
            "optimiser": "SGD",
            "learning_rate": f"{progress}*{RATE}",
            "epochs": round(150 / progress),
        }
        between = (f"0.6*{UNIT}", f"2*{UNIT}")
        return _solved(bench, replicates, {}, along, ladder, {"sgd": [phase]}, between)

    ladders: dict[str, tuple[str, float, tuple[float, ...]]] = {
        "d": ("dimension", 0.25, (10**5, 10**7, 10**9)),
        "P − 1": ("copies", 1.0, (1, 2, 4)),
    }
    if not bench.quick:
        ladders |= {
            "d": ("dimension", 0.25, (10**6, 10**8, 10**11, 10**14)),
            "m": ("n_filters", 0.0, (5, 10, 20, 40)),
        }
    for label, (along, exponent, ladder) in ladders.items():
        ds = line(along, ladder, 500 if label == "m" else count)
        yield _exponent(ds, along, "sgd", exponent=exponent, label=label)
    # Two laws with a small parameter of their own: 1/n, and the progress of an epoch (that is, η).
    if not bench.quick:
        rungs = (20, 40, 80, 160)
        ds = line("n_samples", rungs, 600)
        steps = [
            _exponent(
                ds.sel(n_samples=[low, high]),
                "n_samples",
                "sgd",
                exponent=-0.25,
                label="n",
                name=f"exponent in n, {low} to {high}",
            )
            for low, high in pairwise(rungs)
        ]
        yield with_ladder(steps, "n → ∞")
    steps = [
        _exponent(
            line("batch_size", (2, 5, 20), bench.replicates(60, count), progress),
            "batch_size",
            "sgd",
            exponent=0.0,
            label="B",
            name=f"exponent in B, η(P−1)²σ_p²d/(Bm) = {progress:g}",
        )
        for progress in ((0.0625,) if bench.quick else (1.0, 0.25, 0.0625))
    ]
    yield with_ladder(steps, "η → 0")


@claim(
    "sam-line",
    "SAM and then SGD needs ‖μ‖ ≥ const·(P−1)σ_p, whatever d, if the SAM stage is long enough",
    mark=RECALLED,
    regime="Theorem 4.1; τ = m√B/(2(P−1)σ_p√d), a SAM stage of 4.9d/n epochs, in strides",
)
def sam_line(bench: Bench) -> Iterator[Quantity]:
    """The exponent in d of SAM's line, and its height against SGD's at equal budgets."""
    count = bench.replicates(10, 60)
    ladder = (10**4, 10**5, 10**6) if bench.quick else (10**4, 10**6, 10**8, 10**10)
    first = {
        "optimiser": "SAM",
        "radius": "0.5*n_filters*sqrt(batch_size/dimension)",
        "learning_rate": RATE,
        "epochs": "round(4.9*dimension/n_samples)",
        "stepping": "strides",
    }
    then = {
        "optimiser": "SGD",
        "learning_rate": RATE,
        "epochs": "10000 + 100*dimension",
        "stepping": "strides",
        "until": "train_loss < 0.05",
    }
    equal = {
        "optimiser": "SGD",
        "learning_rate": RATE,
        "epochs": "round(4.9*dimension/n_samples) + 300",
        "stepping": "strides",
    }
    methods = {"sam": [first, then], "sgd": [equal]}
    ds = _solved(bench, count, {}, "dimension", ladder, methods, (0.5, f"5*{UNIT}"))
    yield _exponent(
        ds,
        "dimension",
        "sam",
        exponent=0.0,
        label="d",
        tolerance=0.01,
        reason="0.01: off by 10 % over four decades",
    )
    last = replicate_positions(ds.isel(dimension=-1)).transpose("replicate", ...)
    gap = (last.sel({"method": "sam"}) - last.sel({"method": "sgd"})).values
    yield Quantity(
        f"log of SAM's critical ‖μ‖ / SGD's, d = {ladder[-1]:.0e}",
        gap,
        -np.inf,
        0.0,
        "SAM's line below SGD's",
        0.0,
    )
