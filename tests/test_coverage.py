"""Standard errors of line estimates: ± 2 of them hold the truth, over random settings of every law.

A setting is trained once; what its estimate takes is rebuilt from the coefficients. The values of
many lines then stand for many estimates of 32 lines each, and all of them together with others
for the truth.
"""

import math
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest

import simdyn
from simdyn.engine.arguments import kernel_fresh, kernel_model, kernel_setting
from simdyn.kernels import estimates as risk
from simdyn.kernels.line_estimate import line_estimate
from simdyn.kernels.linear import lower_factor
from simdyn.kernels.random import Stream
from simdyn.kernels.sampling import draw_problem

compiled = numba.njit(error_model="numpy", fastmath={"contract"})
PAIRS = 16  # of the default 32 lines
LAWS = ("signal_noise", "independent", "xor", "multi_view", "cluster")
Part = tuple[float, risk.Margin]


@compiled
def _picture(setting, seed):
    problem = draw_problem(setting, Stream(np.uint64(seed), np.uint64(0)))
    return problem.dictionary.rows, problem.weights


@compiled
def _line_values(pointer, phi, pairs, seed):
    values, stop = np.zeros(pairs), np.zeros(1, np.int64)
    pointer(phi, Stream(np.uint64(seed), np.uint64(0)), stop, values)
    return values


@compiled
def _summary(values):
    mean, error, effective = risk.summarise(values)
    return mean, risk.unseen_error(values, mean, error), effective


def line_values(parts: list[Part], pairs: int, seed: int) -> np.ndarray:
    estimate = line_estimate()
    return sum(part[0] * _line_values(estimate, part[1], pairs, seed) for part in parts)


def random_data(rng: np.random.Generator, law: str) -> Any:
    n, d = int(rng.choice([2, 3, 5, 8, 12, 20, 40])), int(np.exp(rng.uniform(1.4, 8.0)))
    common = {
        "n_samples": n,
        "dimension": d,
        "noise": str(rng.choice(["isotropic", "orthogonal"])),
        "label_flip": float(rng.choice([0.0, 0.0, 0.1, 0.2])),
    }
    norm = float((d / n) ** 0.25 * np.exp(rng.uniform(-1.2, 1.8)))
    copies = int(rng.integers(1, 4))
    if law == "signal_noise":
        return simdyn.SignalNoiseData(signal_norm=norm * copies, n_patches=copies + 1, **common)
    if law == "independent":
        norm *= math.sqrt(copies)
        return simdyn.IndependentNoiseData(signal_norm=norm, n_patches=copies + 1, **common)
    if law == "xor":
        angle = float(rng.uniform(30.0, 150.0))
        norm *= 2.0 * copies
        return simdyn.XORData(signal_norm=norm, n_patches=copies + 1, angle=angle, **common)
    if law == "multi_view":
        weak, only = norm * copies * rng.uniform(0.1, 1.0), rng.uniform(0.0, 0.4, 2)
        return simdyn.MultiViewData(
            signal_norm=norm * copies,
            weak_norm=float(weak),
            strong_only=float(only[0]),
            weak_only=float(only[1]),
            n_patches=copies + 2,
            **common,
        )
    return simdyn.ClusterData(
        signal_norm=norm, signal_share=float(rng.uniform(0.1, 0.95)), **common
    )


def random_setting(rng: np.random.Generator, law: str) -> tuple:
    """Data, network and phase: few and many filters, ReLU and leaky, SGD and SAM."""
    data, m = random_data(rng, law), int(rng.choice([1, 2, 3, 4, 6, 10, 16]))
    leaky, noise = rng.random() < 0.3, kernel_fresh(data, 0, 0).noise_copies ** 2 * data.dimension
    net = simdyn.TwoLayerCNN(
        n_filters=m,
        init_std=float(np.exp(rng.uniform(-6.9, 0.0))) / math.sqrt(data.dimension),
        activation="leaky_relu" if leaky else "relu",
        activation_shape=float(rng.uniform(0.05, 0.5)) if leaky else None,
    )
    rate = float(np.exp(rng.uniform(-3.0, 0.0))) * m * math.sqrt(data.n_samples)
    rate, epochs = rate / (noise + data.signal_norm**2), int(rng.choice([20, 50, 100, 300]))
    radius = float(np.exp(rng.uniform(-2.3, 1.6))) * math.sqrt(m / noise)
    if rng.random() < 0.5:
        return data, net, simdyn.SGD(learning_rate=rate, epochs=epochs)
    return data, net, simdyn.SAM(radius=radius, learning_rate=rate, epochs=epochs)


def parts_of(
    data: simdyn.ClusterData, net: simdyn.TwoLayerCNN, ds: object, seed: int
) -> list[Part]:
    """What `line_estimate` takes, with its share, for each view; of weights by plain code."""
    m, fresh = net.n_filters, kernel_fresh(data, 0, 0)
    rows, weights = _picture(kernel_setting(data, net), seed)
    sign = np.repeat([1.0, -1.0], m)
    if "coef" in ds:
        moved = ds.coef.values.reshape(2 * m, -1)
    else:
        squares = (rows**2).sum(axis=1)
        along = sign * ds.signal_coef.values.reshape(-1) / squares[0]
        beside = ds.noise_coef.values.reshape(2 * m, -1) / (fresh.noise_copies * squares[1:])
        moved = np.concatenate([along[:, None], beside], axis=1)
    weights = weights + moved @ rows
    signals, seen = rows[: len(data.signals)] @ weights.T, weights * fresh.noise_std
    seen[:, : fresh.bare] = 0.0
    factor, slopes = lower_factor(seen), sign * fresh.noise_copies / m
    blocks = np.eye(fresh.noise_vectors)
    factor, slopes = np.kron(blocks, factor), np.tile(slopes, fresh.noise_vectors)
    leak = net.shape if net.activation == "leaky_relu" else 0.0
    if leak:
        factor = np.concatenate([factor, -factor])
        slopes = np.concatenate([slopes, -leak * slopes])
    parts: list[Part] = []
    for share, shown in zip(fresh.views.share, fresh.views.shown, strict=True):
        levels, shifts = np.zeros(2), np.zeros((2, slopes.size if fresh.added else 0))
        for label in range(2):
            each = shown[label][:, None] * signals
            if fresh.added:
                shift = each.sum(axis=0)
                shifts[label] = np.concatenate([shift, -shift]) if leak else shift
            else:
                values = np.where(each > 0.0, each, leak * each).sum(axis=0)
                levels[label] = (1 - 2 * label) * (sign @ values) / m
        if share > 0.0:
            model = kernel_model(net)
            parts.append((share, risk.Margin(model, factor, slopes, levels, shifts)))
    return parts


def trained_settings(law: str, count: int, seed: int) -> Iterator[list[Part]]:
    """Settings with errors from 0.42 to 1e-30, no more than a third of them above 0.05."""
    rng, kept, large = np.random.default_rng([seed, LAWS.index(law)]), 0, 0
    while kept < count:
        data, net, plan = random_setting(rng, law)
        own = "coef" if law != "signal_noise" else "noise_coef"
        names = ("clean_test_error", own, *(("signal_coef",) if own != "coef" else ()))
        number = int(rng.integers(10**6))
        record = simdyn.Record(every=10**9, variables=names)
        ds = simdyn.simulate(data, net, plan, seed=number, record=record)
        error = float(ds.isel(replicate=0, step=-1).clean_test_error)
        if not 1e-30 < error < 0.42 or (error > 0.05 and 3 * large >= count):
            continue
        kept, large = kept + 1, large + (error > 0.05)
        yield parts_of(data, net, ds.isel(replicate=0, step=-1), number)


def coverage(parts: list[Part], estimates: int, more: int, seed: int = 1) -> float:
    """Share of estimates whose ± 2 standard errors hold the mean of all lines and `more` pairs."""
    values = line_values(parts, PAIRS * estimates + more, seed)
    truth, spread = values.mean(), (values / values.max()).std() * values.max()
    spread /= math.sqrt(values.size)
    held = 0
    for each in values[: PAIRS * estimates].reshape(estimates, PAIRS):
        mean, error, _ = _summary(np.ascontiguousarray(each))
        room = 2.0 * math.hypot(error / truth, spread / truth)
        held += abs(mean / truth - 1.0) <= room + 1e-12
    return held / estimates


def assert_covers(law: str, settings: int, estimates: int, more: int, seed: int) -> None:
    """At least 93 % but for 3 σ of the binomial."""
    found = np.array(
        [coverage(each, estimates, more) for each in trained_settings(law, settings, seed)]
    )
    print(f"{law}: {found.mean():.4f} of {settings} × {estimates}; worst {np.sort(found)[:5]}")
    assert found.mean() >= 0.93 - 3.0 * math.sqrt(0.93 * 0.07 / (settings * estimates))


# With seeds whose settings the plain error of the mean does not pass, but for clusters; there one
# direction alone fails below.
@pytest.mark.parametrize(("law", "seed"), list(zip(LAWS, (2, 5, 5, 3, 1), strict=True)))
def test_line_errors__cover_the_truth(law: str, seed: int) -> None:
    assert_covers(law, 8, 60, 2_000, seed)


@pytest.mark.campaign
@pytest.mark.parametrize("law", LAWS)
def test_line_errors__cover_the_truth_campaign(law: str) -> None:
    """Some minutes; `pytest -n 0 -s` prints what was found."""
    assert_covers(law, 80, 150, 6_000, seed=2)


def test_line_errors__where_failures_compete_under_a_shift() -> None:
    """0.003245 ± 0.00002 by eight million points, where one direction gave 0.0023 ± 0.0001."""
    data = simdyn.ClusterData(
        n_samples=5,
        dimension=20,
        signal_norm=2**0.5,
        noise="orthogonal",
        signal_share=0.790764454951879,
    )
    net = simdyn.TwoLayerCNN(n_filters=16, init_std=0.03 / 20**0.5)
    plan = simdyn.SAM(radius=4.8 / 20**0.5, learning_rate=16 / 22, epochs=300)
    names = ("test_error", "test_error_se", "test_error_ess", "coef")
    record = simdyn.Record(every=300, variables=names, test_draws=128)
    last = simdyn.simulate(data, net, plan, seed=356, record=record).isel(replicate=0, step=-1)
    error = float(last.test_error_se)
    assert abs(float(last.test_error) - 0.003245) < 3.0 * math.hypot(error, 0.00002)
    assert error < 0.05 * 0.003245
    assert float(last.test_error_ess) > 32.0
    parts = parts_of(data, net, last, 356)
    assert line_values(parts, 64, 356).mean() == pytest.approx(float(last.test_error), rel=1e-9)
    values = line_values(parts, 60 * PAIRS, 5)
    deviation = values.std() / math.sqrt(values.size)
    assert abs(values.mean() - 0.003245) < 4.0 * math.hypot(deviation, 0.00002)
    assert coverage(parts, 200, 0) > 0.93 - 3.0 * math.sqrt(0.93 * 0.07 / 200)
