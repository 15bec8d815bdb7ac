"""Does a setting lie in the regime for which the laws of `simdyn.theory` are derived?

These conditions can be measured; the paper's own constants are recalled, not known:

- noise is fitted in one update or more (`noise_time`), as the laws assume many small steps;
- training is long enough for the signal (`signal_time`), or for the noise;
- initial outputs are small: (P−1)σ_0σ_p√(d/m) and σ_0‖μ‖/√m at most 0.3;
- of Conditions 3.1 (recalled), with constants of one, those on the dimension that keep the model's
  symmetry of scale: d ≥ n² and d ≥ n‖μ‖²/(Pσ_p)². Those on σ_0 contradict each other as recalled,
  and ‖μ‖ ≥ Pσ_p is what a phase diagram sweeps through.

With σ(z) = max(z, 0)^q only the noise's time and the outputs are checked; on XOR data the noise's
time, the outputs and d ≥ n². No law is derived for other data, networks and optimisers.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from simdyn.params import Data, Phase, SignalNoiseData, TwoLayerCNN, XORData
from simdyn.theory.laws import deactivation_probability, noise_time, noise_time_power, signal_time

FEWEST_UPDATES = 1.0  # in which noise may be fitted
LARGEST_OUTPUT = 0.3  # of the network at the start

REASONS = {  # why a setting is outside, by kind; {} becomes a number or a range
    "noise": "noise is fitted in {} updates (one or more assumed)",
    "short": "noise takes {} times the training",
    "signal": "the signal (γ = 1) takes {} times the training",
    "output": f"initial outputs are {{}} (at most {LARGEST_OUTPUT} assumed)",
    "loss": "the training loss is {}",
    "d ≥ n²": "d ≥ n² is missed by a factor {}",
    "d ≥ n‖μ‖²/(Pσ_p)²": "d ≥ n‖μ‖²/(Pσ_p)² is missed by a factor {}",
}


@dataclasses.dataclass(frozen=True)
class Regime:
    """One method at one point: is it in the regime, and by how much.

    Attributes
    ----------
    uncovered : str
        Why no law is derived for it; empty if one is. If not, all else is empty or NaN.
    conditions : dict of str to float
        Of `conditions`: signed log-ratios of Conditions 3.1, negative if violated.
    updates : int
        Updates of the training in all.
    noise_updates : float
        Updates until the noise is fitted; NaN without noise.
    signal_share : float
        Time until γ = 1 over the length of training; NaN without a signal or a law.
    output : float
        Size of the network's outputs at the start.
    numbers : dict of str to float
        Kinds of reasons, keys of `REASONS`, why the setting is outside, each with its number.
    """

    uncovered: str = ""
    conditions: dict[str, float] = dataclasses.field(default_factory=dict)
    updates: int = 0
    noise_updates: float = math.nan
    signal_share: float = math.nan
    output: float = math.nan
    numbers: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def reasons(self) -> list[str]:
        """Why the setting is outside, in words with numbers; nothing if it is inside."""
        return [describe(kind, [value]) for kind, value in self.numbers.items()]


def describe(kind: str, values: Sequence[float]) -> str:
    """A kind of reason with its number, or the range of several."""
    low, high = (_number(end) for end in (min(values), max(values)))
    return REASONS[kind].format(low if low == high else f"{low}…{high}")


def _number(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2g}" if value < 100 else f"{value:.0f}"


Lawful = SignalNoiseData | XORData


def uncovered(data: Data, net: TwoLayerCNN, phase: Phase) -> str:
    """Why no law of times is derived for a phase; empty if one is."""
    usual = {"output": "mean", "loss": "logistic", "reduction": "mean", "init": "gaussian"}
    if not isinstance(data, Lawful):
        return f"data of the model {data.model!r}"
    powers = net.activation == "relu_power" and isinstance(data, SignalNoiseData) and net.shape > 2
    if net.activation != "relu" and not powers:
        return f"activation = {net.activation!r}"
    for name, value in usual.items():
        if getattr(net, name) != value:
            return f"{name} = {getattr(net, name)!r}"
    if net.init_std == 0.0:
        return "init_std = 0"
    for name in ("momentum", "weight_decay", "label_noise"):
        if getattr(phase, name) != 0.0:
            return f"{name} = {getattr(phase, name):g}"
    if not isinstance(phase.learning_rate, int | float):
        return "a learning rate that changes"
    if not phase.perturbs_by_norm or phase.perturbed_together:
        return "a perturbation that is not SAM's own"
    return ""


def noise_updates(data: Data, net: TwoLayerCNN, phase: Phase) -> float:
    """Updates until the noise is fitted; NaN without noise, or if no law is derived."""
    if uncovered(data, net, phase):
        return math.nan
    assert isinstance(data, Lawful)
    if data.noise_std == 0.0:
        return math.nan
    batch, rate = phase.batch_size or data.n_samples, phase.learning_rate
    law: dict[str, Any] = {
        "dimension": data.dimension,
        "batch_size": batch,
        "learning_rate": rate,
        "n_patches": data.n_patches,
        "noise_std": np.float64(data.noise_std),
        "n_filters": net.n_filters,
    }
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if net.activation == "relu":
            epochs = noise_time(**law)
        else:
            law |= {"n_samples": data.n_samples, "init_std": net.init_std, "power": net.shape}
            epochs = noise_time_power(**law)
    return float(epochs) * phase.updates_per_epoch(data.n_samples)


def signal_updates(data: Data, net: TwoLayerCNN, phase: Phase) -> float:
    """Updates until γ = 1; NaN without a signal, or if no law is derived; infinite if never."""
    if not isinstance(data, SignalNoiseData) or net.activation != "relu":
        return math.nan
    if uncovered(data, net, phase) or data.signal_norm == 0.0:
        return math.nan
    with np.errstate(over="ignore"):
        epochs = signal_time(
            data.n_samples,
            phase.batch_size or data.n_samples,
            phase.learning_rate,
            data.signal_norm,
            net.n_filters,
            data.label_flip,
        )
    return float(epochs) * phase.updates_per_epoch(data.n_samples)


def deactivated_at_start(data: Data, net: TwoLayerCNN, phase: Phase, radius: float) -> float:
    """Fraction of matching neurons that a perturbation of that radius first switches off.

    NaN if no law is derived: see `deactivation_probability`.
    """
    if not isinstance(data, SignalNoiseData) or net.activation != "relu":
        return math.nan
    if uncovered(data, net, phase):
        return math.nan
    batch = phase.batch_size or data.n_samples
    return float(deactivation_probability(radius, net.init_std, batch, net.n_filters))


def conditions(data: Lawful, net: TwoLayerCNN, batch_size: int) -> dict[str, float]:
    """Conditions 3.1 of the paper as signed log-ratios, log₁₀(larger side / smaller side).

    Returns
    -------
    dict of str to float
        For each inequality the power of ten by which it is met; negative if it is violated, and ±∞
        if a side is zero.

    Notes
    -----
    Recalled [R], and up to constants and logarithms: polylog is taken as 1, the constant of p as
    1/2. As recalled, the SAM theorem's σ_0 = Θ̃(1/(Pσ_p√d)) violates the σ_0 line by √(d/n): one of
    the two is inexact, so no study is refused for them.
    """
    sizes = (data.dimension, data.n_samples, data.n_patches, net.n_filters, batch_size)
    norms = (data.signal_norm, data.noise_std, data.label_flip, net.init_std)
    with np.errstate(divide="ignore", invalid="ignore"):
        d, n, patches, m, batch = np.log10(np.array(sizes, dtype=np.float64))
        signal, noise_std, flip, std = np.log10(np.array(norms, dtype=np.float64))
        noise = patches + noise_std
        ratios = {
            "d ≥ n‖μ‖²/(Pσ_p)²": d + 2.0 * noise - n - 2.0 * signal,
            "d ≥ n²": d - 2.0 * n,
            "d ≥ Bm/(Pσ_p)²": d + 2.0 * noise - batch - m,
            "m ≥ polylog": m,
            "n ≥ polylog": n,
            "‖μ‖ ≥ Pσ_p": signal - noise,
            "p ≤ 1/C": np.log10(0.5) - flip,
            "σ_0 ≤ √n/(Pσ_p d)": 0.5 * n - std - noise - d,
            "σ_0 ≤ 1/‖μ‖": -std - signal,
        }
    return {name: float(ratio) for name, ratio in ratios.items()}


def regime(data: Data, net: TwoLayerCNN, plan: Sequence[Phase]) -> Regime:
    """Is a method at one point in the regime, and if not, why?

    Parameters
    ----------
    data, net : parameters of the point
    plan : sequence of Phase
        The time of the noise is that of the first phase that trains at all; the signal's share
        adds up over the phases.

    Returns
    -------
    Regime
    """
    phases = [phase for phase in plan if phase.epochs]
    lacks = filter(None, (uncovered(data, net, phase) for phase in phases))
    if lack := "no training" if not phases else next(lacks, ""):
        return Regime(lack)
    assert isinstance(data, Lawful)
    n, d, std, m = data.n_samples, data.dimension, data.noise_std, net.n_filters
    lengths = [phase.epochs * phase.updates_per_epoch(n) for phase in phases]
    noise = noise_updates(data, net, phases[0])
    signal = [signal_updates(data, net, phase) for phase in phases]
    with np.errstate(divide="ignore", over="ignore"):  # a huge signal is learned at once
        parts = np.divide(lengths, signal).tolist()
    share = math.inf if sum(parts) == 0.0 else 1.0 / sum(parts)
    degree = net.shape if net.activation == "relu_power" else 1.0
    copies = (data.n_patches - 1.0) ** (1.0 / degree)
    with np.errstate(over="ignore"):
        overlap = net.init_std * np.hypot(copies * std * np.sqrt(d), data.signal_norm)
        output = float(overlap**degree / np.sqrt(m))
    ratios = conditions(data, net, phases[0].batch_size or n)
    numbers: dict[str, float] = {}
    if noise < FEWEST_UPDATES:
        numbers["noise"] = noise
    if noise > sum(lengths) and not share <= 1.0:
        numbers["short"] = noise / sum(lengths)
    if share > 1.0:
        numbers["signal"] = share
    if output > LARGEST_OUTPUT:
        numbers["output"] = output
    if net.activation == "relu":
        asked = ["d ≥ n²"]
        if isinstance(data, SignalNoiseData) and std > 0.0:
            asked.append("d ≥ n‖μ‖²/(Pσ_p)²")
        with np.errstate(over="ignore"):
            numbers |= {
                name: float(np.power(10.0, -ratios[name])) for name in asked if ratios[name] < 0.0
            }
    return Regime("", ratios, sum(lengths), noise, share, output, numbers)
