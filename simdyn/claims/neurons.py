"""Claims about neurons: what the gradient is, when they learn, what SAM switches off."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from simdyn.api.training import train
from simdyn.claims.claim import LEADING, RECALLED, Bench, claim
from simdyn.claims.exact import drawn, largest
from simdyn.claims.verdict import Law, Quantity, slope, with_ladder
from simdyn.engine.problems import Problem
from simdyn.params import SAM, SGD, Record
from simdyn.theory import laws as theory
from simdyn.theory.crossing import crossing

ORDER_ONE = "order one names no threshold: one of ½ or 2 moves the time by two"
TO_ONE = "the law is integrated up to one; its errors vanish with noise and step"
EXPONENT = "an exponent off by 0.05 is off by 12 % over a decade"


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def _worst_ratio(values: np.ndarray) -> float:
    """The root mean square over replicates that is furthest from one; values (R, K)."""
    ratios = np.sqrt((values**2).mean(axis=0))
    return float(ratios[np.abs(np.log(ratios)).argmax()])


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

    def norms(
        n: int, d: int, patches: int, norm: float, flip: float, outputs: float, count: int = count
    ) -> np.ndarray:
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

    reason = "3 %, as the law is stated"
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
        yield Quantity(
            f"measured/predicted, B = {n}, d = {d:g}, P = {patches}, ‖μ‖ = {norm:g}, p = {flip:g}",
            norms(n, d, patches, norm, flip, 0.01, runs) / law,
            0.97,
            1.03,
            reason,
            1.0,
            _root_mean_square,
        )
    steps = []
    for outputs in (1.0, 0.3, 0.1, 0.03):
        ratio = norms(20, 10**4, 2, 3.0, 0.0, outputs) / theory.initial_gradient_norm(
            10**4, 20, 3.0, 2, 1.0, 10
        )
        steps.append(
            Quantity(
                f"measured/predicted, initial outputs {outputs:g}",
                ratio,
                0.97,
                1.03,
                reason,
                1.0,
                _root_mean_square,
            )
        )
    yield with_ladder(steps, "initial outputs (P−1)σ_0σ_p√(d/m) = 1, 0.3, 0.1, 0.03")
    # In units of the noise's own gradient the law depends on ‖μ‖/((P−1)σ_p√d) and B alone.
    shares, fine = np.array([0.03, 0.1, 0.3, 1.0, 3.0]), np.geomspace(0.02, 4.0, 100)
    noise = theory.initial_gradient_norm(10**4, 20, 0.0, 2, 1.0, 10)
    found = np.stack([norms(20, 10**4, 2, 100 * x, 0.0, 0.01) / noise for x in shares], axis=1)
    mean = np.sqrt((found**2).mean(0))
    error = (found**2).std(0) / np.sqrt(count) / (2 * mean)
    curve = theory.initial_gradient_norm(10**4, 20, 100 * fine, 2, 1.0, 10) / noise
    predicted = theory.initial_gradient_norm(10**4, 20, 100 * shares, 2, 1.0, 10) / noise
    yield Quantity(
        "measured/predicted, the worst of ‖μ‖/((P−1)σ_p√d) = 0.03 … 3",
        found / predicted,
        0.97,
        1.03,
        reason,
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
    """The largest gradient of a run over the bound: how loose it is."""
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
        signal, noises, _, y, w, x = drawn(seed, 10, 4000, 2, 6, 3.0, 1e-3, 1.0, 0.1)
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


@claim(
    "deactivation-start",
    "SAM's first perturbation switches off the fraction erf(τ/(σ_0√(2Bm))) of active matching "
    "neurons, whatever d and σ_p",
    mark=LEADING,
    regime="d ≫ B, B‖μ‖² ≪ 2(P−1)²σ_p²d, initial outputs (P−1)σ_0σ_p√(d/m) at most 0.01",
)
def deactivation_start(bench: Bench) -> Iterator[Quantity]:
    """Measured minus predicted over τ, d, σ_p and B."""
    reason = "0.006, as the law is stated"
    count = bench.replicates(1500, 6000)
    fractions, predicted, shifts = [], [], np.array([0.1, 0.3, 1.0, 2.0])

    def fraction(shift: float, d: int, std: float, batch: int, outputs: float = 0.01) -> np.ndarray:
        init = outputs * np.sqrt(10) / (std * np.sqrt(d))
        phase = SAM(
            radius=shift * init * np.sqrt(2 * batch * 10),
            learning_rate=0.1,
            epochs=0,
            batch_size=batch,
        )
        data = {
            "n_samples": 20,
            "dimension": d,
            "signal_norm": 0.02 * std * np.sqrt(d / batch),
            "noise_std": std,
        }
        ds = bench.run(
            data,
            {"n_filters": 10, "init_std": init},
            {"sam": phase},
            count,
            variables=("deactivated_fraction",),
        )
        return np.asarray(ds.deactivated_fraction.values.reshape(-1))

    for shift in shifts:
        fractions.append(fraction(shift, 10**8, 1.0, 20))
        predicted.append(theory.deactivation_probability(shift, 1.0, 0.5, 1.0))
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
        yield Quantity(
            f"measured − erf, τ/(σ_0√(2Bm)) = {shift:g}",
            found - law_value,
            -0.006,
            0.006,
            reason,
            0.0,
            law=law if shift == 1.0 else None,
        )
    steps = [
        Quantity(
            f"measured − erf(0.3), initial outputs {outputs:g}",
            fraction(0.3, 10**8, 1.0, 20, outputs) - predicted[1],
            -0.006,
            0.006,
            reason,
            0.0,
        )
        for outputs in (1.0, 0.3, 0.1, 0.003)
    ]
    yield with_ladder(steps, "initial outputs (P−1)σ_0σ_p√(d/m) = 1, 0.3, 0.1, 0.003")
    for label, d, std, batch in (
        ("d = 10⁵", 10**5, 1.0, 20),
        ("d = 10¹²", 10**12, 1.0, 20),
        ("σ_p = 5", 10**8, 5.0, 20),
        ("B = 4", 10**8, 1.0, 4),
    ):
        yield Quantity(
            f"measured − erf(0.3), {label}",
            fraction(0.3, d, std, batch) - predicted[1],
            -0.006,
            0.006,
            reason,
            0.0,
        )


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


def hitting(values: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Epoch at which rising curves (R, T) reach one, linear between states; NaN if never.

    A curve that starts at one or above has no such time either.
    """
    found = crossing(values, 1.0, rising=True).linear(epochs)
    return np.where(values[:, 0] < 1.0, found, np.nan)


def time_exponents(
    ladders: Mapping[str, tuple[float, tuple[float, ...]]],
    times: Callable[[str, float], tuple[np.ndarray, float]],
    y_name: str,
) -> Iterator[Quantity]:
    """The exponent of a time in each field: times (R,) and the predicted one along its ladder."""
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
    # η is held unless it is the one that varies, and B where it could not follow n.
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
