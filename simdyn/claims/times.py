"""Claims about coefficients: when they reach order one, and how they grow afterwards."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from simdyn import theory
from simdyn.claims.claim import LEADING, RECALLED, Bench, claim
from simdyn.claims.exact import largest
from simdyn.claims.verdict import Law, Quantity, slope, with_ladder
from simdyn.params import SAM, SGD
from simdyn.theory.crossing import crossing

ORDER_ONE = "order one names no threshold: one of ½ or 2 moves the time by two"
TO_ONE = "the law is integrated up to one; its errors vanish with noise and step"
EXPONENT = "an exponent off by 0.05 is off by 12 % over a decade"


def hitting(values: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Epoch at which rising curves (R, T) reach one, linear between states; NaN if never.

    A curve that starts at one or above has no such time either.
    """
    found = crossing(values, 1.0, rising=True).at(epochs)
    return np.where(values[:, 0] < 1.0, found, np.nan)


def time_exponents(
    ladders: Mapping[str, tuple[float, tuple[float, ...]]],
    times: Callable[[str, float], tuple[np.ndarray, float]],
    y_name: str,
) -> Iterator[Quantity]:
    """The exponent of a time in each field, from measured (R,) and predicted times on a ladder."""
    for name, (exponent, ladder) in ladders.items():
        pairs = [times(name, value) for value in ladder]
        values, x = np.stack([found for found, _ in pairs], axis=1), np.array(ladder, float)
        law = Law(
            name,
            y_name,
            x,
            values.mean(0),
            values.std(0) / np.sqrt(len(values)),
            np.array([predicted for _, predicted in pairs]),
            "nothing fitted",
        )
        yield Quantity(
            f"exponent in {name}",
            values,
            exponent - 0.05,
            exponent + 0.05,
            EXPONENT,
            exponent,
            slope(x),
            law=law,
        )


def _noise_time(bench: Bench, count: int, **change: float) -> tuple[np.ndarray, float]:
    setting = {"n": 20, "d": 20_000, "m": 10, "B": 20, "steps": 60.0, **change}
    n, d, m, batch = (int(setting[k]) for k in ("n", "d", "m", "B"))
    rate = setting.get("η", 2.1 * m * batch / (setting["steps"] * d))
    predicted = theory.noise_time(d, batch, rate, 2, 1.0, m)
    plan = SGD(learning_rate=rate, epochs=int(8 * predicted) + 2, batch_size=batch)
    ds = bench.run(
        {"n_samples": n, "dimension": d, "signal_norm": 0.5},
        {"n_filters": m, "init_std": 0.01 / np.sqrt(d)},
        {"sgd": plan},
        count,
        every=1,
        variables=("noise_coef",),
    )
    curve = ds.noise_coef.max(("sign", "filter", "sample")).values.reshape(count, -1)
    return hitting(curve, np.arange(curve.shape[1], dtype=float)), float(predicted)


@claim(
    "noise-time",
    "ρ̄ reaches one in 2.1 mB/(η(P−1)²σ_p²d) epochs",
    mark=LEADING,
    regime="SGD, d ≫ n², many steps; the largest ρ̄",
)
def noise_time(bench: Bench) -> Iterator[Quantity]:
    """The constant, and the exponents in η, d, n, m and B."""
    count = bench.replicates(25, 100)
    ladder = []
    for steps in (4.0, 15.0, 60.0, 240.0):
        found, predicted = _noise_time(bench, count, steps=steps)
        ladder.append(
            Quantity(
                f"measured/predicted, {steps:g} steps", found / predicted, 0.5, 2.0, ORDER_ONE, 1.0
            )
        )
    yield with_ladder(ladder, "steps until then 4, 15, 60, 240")
    ladders = {
        "η": (-1.0, (1e-4, 3e-4, 1e-3)),
        "d": (-1.0, (10_000, 20_000, 80_000)),
        "n": (0.0, (10, 20, 40)),
        "m": (1.0, (5, 10, 20)),
        "B": (1.0, (4, 10, 20)),
    }
    # η is fixed unless it varies; B too if n varies, as B ≤ n.
    held: dict[str, dict[str, float]] = {"η": {}, "n": {"η": 3.5e-4, "B": 10}}

    def times(name: str, x: float) -> tuple[np.ndarray, float]:
        return _noise_time(bench, count, **held.get(name, {"η": 3.5e-4}), **{name: x})

    yield from time_exponents(ladders, times, "epochs until ρ̄ = 1")


def _signal_course(bench: Bench, count: int, **change: float) -> tuple[np.ndarray, float]:
    """Mean γ of every run after every epoch (R, T), and the time at which it should be one."""
    setting = {"n": 20, "m": 10, "B": 20, "‖μ‖": 4.0, "η": 0.02, "σ_p": 0.01, "p": 0.0, **change}
    n, m, batch = (int(setting[k]) for k in ("n", "m", "B"))
    norm, rate, flip = setting["‖μ‖"], setting["η"], setting["p"]
    predicted = float(theory.signal_time(n, batch, rate, norm, m, flip))
    epochs = setting.get("epochs", 8 * predicted + 2)
    # n‖μ‖² is 80 and more, (P−1)²σ_p²d with σ_p = 0.01 is 0.2: the signal is learned first.
    ds = bench.run(
        {
            "n_samples": n,
            "dimension": 2000,
            "signal_norm": norm,
            "noise_std": setting["σ_p"],
            "label_flip": flip,
        },
        {"n_filters": m, "init_std": 1e-4},
        {"sgd": SGD(learning_rate=rate, epochs=int(epochs), batch_size=batch)},
        count,
        every=1,
        variables=("signal_coef",),
    )
    return ds.signal_coef.mean(("sign", "filter")).values.reshape(count, -1), predicted


def _signal_time(bench: Bench, count: int, **change: float) -> tuple[np.ndarray, float]:
    curve, predicted = _signal_course(bench, count, **change)
    return hitting(curve, np.arange(curve.shape[1], dtype=float)), predicted


def _median_or_never(values: np.ndarray) -> float:
    """The median of times; NaN, a run that never got there, is later than any other."""
    return float(np.median(np.where(np.isnan(values), np.inf, values)))


@claim(
    "signal-time",
    "γ reaches one in 2mB/(ηn‖μ‖²)·(1 + log((1−2p)/(1−p(1+e)))/p)/(1−p) epochs,"
    " 5.44 mB/(ηn‖μ‖²) at p = 0, and comes to rest at log((1−p)/p)",
    mark=LEADING,
    regime="n‖μ‖² ≫ (P−1)²σ_p²d, many samples and updates; mean over filters",
)
def signal_time(bench: Bench) -> Iterator[Quantity]:
    """The time and the limit over p, and the exponents in η, n, ‖μ‖, m and B."""
    count = bench.replicates(32, 100)
    ladder = []
    for std in (0.3, 0.1, 0.03, 0.01):
        found, predicted = _signal_time(bench, count, **{"σ_p": std})
        ladder.append(
            Quantity(f"measured/predicted, σ_p = {std:g}", found / predicted, 0.9, 1.1, TO_ONE, 1.0)
        )
    yield with_ladder(ladder, "(P−1)²σ_p²d / (n‖μ‖²) = 0.6, 0.06, 0.006, 0.0006")
    # Many samples, so that the share of flipped ones is near p under either sign; and many runs, as
    # it is not p. The median, for it is the same for the share and for the time.
    many = {"n": 160, "B": 160, "m": 4, "η": 0.1}
    for flip in (0.1, 0.2):
        found, predicted = _signal_time(bench, bench.replicates(200, 800), **many, p=flip)
        yield Quantity(
            f"measured/predicted, p = {flip:g}",
            found / predicted,
            0.9,
            1.1,
            TO_ONE,
            1.0,
            _median_or_never,
        )
    for flip in (0.2, 0.3):
        curve, _ = _signal_course(bench, bench.replicates(100, 400), **many, p=flip, epochs=400)
        yield Quantity(
            f"γ after long training / log((1−p)/p), p = {flip:g}",
            curve[:, -1] / theory.signal_limit(flip),
            0.9,
            1.1,
            TO_ONE,
            1.0,
        )
    ladders = {
        "η": (-1.0, (0.01, 0.02, 0.05)),
        "n": (-1.0, (20, 40, 80)),
        "‖μ‖": (-2.0, (2.0, 4.0, 6.0)),
        "m": (1.0, (5, 10, 20)),
        "B": (1.0, (4, 10, 20)),
    }
    yield from time_exponents(
        ladders, lambda name, x: _signal_time(bench, count, **{name: x}), "epochs until γ = 1"
    )


@claim(
    "log-growth",
    "after fitting, coefficients grow no faster than log t, and stay below 4 log T*,"
    " T* = η⁻¹poly(ε⁻¹, d, n, m)",
    mark=RECALLED,
    regime="after the training loss is small",
)
def log_growth(bench: Bench) -> Iterator[Quantity]:
    """The largest |coefficient| after 10², 10³ and 10⁴ epochs."""
    plans = {
        "SGD": SGD(learning_rate=0.1, epochs=10_000),
        "SAM": SAM(radius=0.03, learning_rate=0.1, epochs=10_000),
    }
    ds = bench.run(
        {"n_samples": 20, "dimension": 2000, "signal_norm": 3.0},
        {"n_filters": 10, "init_std": 1e-3},
        plans,
        bench.replicates(80, 400),
        every=100,
        variables=("noise_coef", "signal_coef", "train_loss"),
    )
    for name in plans:
        own = ds.sel({"method": name})
        top = np.maximum(
            abs(own.noise_coef).max(("sign", "filter", "sample")),
            abs(own.signal_coef).max(("sign", "filter")),
        )
        at = top.transpose("replicate", "step").values[:, [1, 10, 100]]
        yield Quantity(
            f"{name}: growth over 10³…10⁴ epochs / growth over 10²…10³",
            (at[:, 2] - at[:, 1]) / (at[:, 1] - at[:, 0]),
            0.0,
            1.2,
            "1 for a logarithm; 20 % as the loss is not zero at the start",
            1.0,
        )
        loss = own.train_loss.isel(step=-1).mean()
        log = np.log(10 * 20 * 2000 / (0.1 * float(loss)))
        yield Quantity(
            f"{name}: largest |coefficient| / (4 log T*), T* = mnd/(ηε), ε the final loss",
            at[:, 2] / (4 * log),
            0.0,
            1.0,
            "a bound; degree one is taken for the polynomial",
            1.0,
            largest,
            exact=True,
        )
