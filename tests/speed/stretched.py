"""Strides against stretched steps at equal cost, over random settings, as tables and a figure.

    python tests/speed/stretched.py --settings 40 --updates 1e5 --figure figures/stride_errors.png

A stretched step is an update with rate η s, s = max(1, ⌊αt⌋), after which t has grown by s. It
needs no kernel of its own: here it is a plan of phases of constant rate. The cost is counted in
gradient evaluations of the full batch.

For each optimiser it prints

- how far apart, in margins, two exact runs end whose initial weights differ by 10⁻⁸;
- for strides of each tolerance and stretched steps of each α, percentiles over the settings of the
  errors of margins and γ, each over its largest value, and the mean and median cost. The figure
  shows these;
- the same of stretched steps whose α is chosen in each setting so that they cost as much as the
  strides there, or just more; and in how many settings strides are closer to the exact run.

A run that overflows counts as infinitely wrong.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter
from settings import setting

from simdyn import SAM, SGD, Record, SignalNoiseData, TwoLayerCNN, simulate
from simdyn.params import Phase
from simdyn.plot import artists, page

parser = argparse.ArgumentParser()
parser.add_argument("--settings", type=int, default=40)
parser.add_argument("--updates", type=float, default=1e5)
parser.add_argument("--optimisers", nargs="+", choices=["SGD", "SAM"], default=["SGD", "SAM"])
parser.add_argument("--figure", type=Path, help="PNG to write; none if absent")

TOLERANCES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
SHARES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)  # α
PERTURBED = 1e-8  # relative change of the initial weights
PERCENTILES = (50, 90, 99)
GREY = "#8c8c8c"
COUNTED = ("exact_updates", "strides", "rejected_strides")

# Gradient evaluations of an update; of a stride; and of a stride that is taken back: its own and
# the one that finds it to be wrong.
UPDATE = {"SGD": 1, "SAM": 2}
STRIDE = {"SGD": 2, "SAM": 2}
REJECTED = {"SGD": 3, "SAM": 3}

# Of strides and of stretched steps: tolerance or α, setting, (cost, errors of margins and of γ).
Results = dict[str, np.ndarray]


class Setting:
    """One setting, trained exactly."""

    def __init__(
        self, data: SignalNoiseData, net: TwoLayerCNN, phase: SGD | SAM, seed: int
    ) -> None:
        self.data, self.net, self.phase, self.seed = data, net, phase, seed
        self.exact, _ = self.train(net, [phase])

    def train(
        self, net: TwoLayerCNN, plan: Sequence[Phase], *counted: str
    ) -> tuple[list[np.ndarray], list[float]]:
        """Margins and γ at the end, and what is counted."""
        every = sum(phase.epochs for phase in plan)
        record = Record(every=every, variables=("margin", "signal_coef", *counted))
        ds = simulate(self.data, net, plan, seed=self.seed, record=record, threads=1)
        last = ds.isel(step=-1, replicate=0)
        return [last[name].values for name in ("margin", "signal_coef")], [
            float(last[name]) for name in counted
        ]

    def errors(self, found: list[np.ndarray]) -> list[float]:
        """Of margins and of γ, each over its largest value."""
        pairs = zip(found, self.exact, strict=True)
        errors = [float(np.abs(ours - true).max() / np.abs(true).max()) for ours, true in pairs]
        return [math.inf if math.isnan(error) else error for error in errors]

    def difference_of_twins(self) -> float:
        """Difference of the margins of two exact runs that begin almost alike."""
        net = self.net.replace(init_std=self.net.init_std * (1.0 + PERTURBED))
        return self.errors(self.train(net, [self.phase])[0])[0]

    def strides(self, tolerance: float) -> list[float]:
        """Cost, error of margins, error of γ."""
        name = self.phase.optimiser
        strided = self.phase.replace(stepping="strides", stride_tolerance=tolerance)
        found, counts = self.train(self.net, [strided], *COUNTED)
        cost = np.dot(counts, [UPDATE[name], STRIDE[name], REJECTED[name]])
        return [float(cost), *self.errors(found)]

    def stretched(self, share: float) -> list[float]:
        """Cost, error of margins, error of γ."""
        steps = stretched_steps(share, self.phase.epochs)
        plan = [
            self.phase.replace(learning_rate=self.phase.learning_rate * stretch, epochs=count)
            for stretch, count in steps
        ]
        cost = UPDATE[self.phase.optimiser] * sum(count for _, count in steps)
        return [float(cost), *self.errors(self.train(self.net, plan)[0])]

    def as_dear(self, cost: float) -> list[float]:
        """The same for stretched steps that cost at least so much, and hardly more."""
        updates = self.phase.epochs
        low, high = 1.0 / updates, 1.0  # exact; the cheapest
        for _ in range(40):
            middle = math.sqrt(low * high)
            steps = sum(count for _, count in stretched_steps(middle, updates))
            if UPDATE[self.phase.optimiser] * steps >= cost:
                low = middle
            else:
                high = middle
        return self.stretched(low)


def stretched_steps(share: float, updates: int) -> list[tuple[int, int]]:
    """Stretches s, each with the number of steps in a row that have it; the last ends in time."""
    t, steps = 0, []
    while t < updates:
        stretch = min(max(1, math.floor(share * t)), updates - t)
        longer_at = (stretch + 1) / share
        count = max(1, min(math.ceil((longer_at - t) / stretch), (updates - t) // stretch))
        steps.append((stretch, count))
        t += stretch * count
    return steps


def print_row(name: str, rows: np.ndarray) -> None:
    """Percentiles are values that occur, for some may be infinite."""
    found = np.percentile(rows[:, 1:], PERCENTILES, axis=0, method="higher")
    numbers = "  ".join(f"{error:7.1e}" for error in found.T.ravel())
    costs = rows[:, 0]
    print(f"{name:17s} {numbers}  {costs.mean():9.0f}  {np.median(costs):11.0f}", flush=True)


def compare(optimiser: str, count: int, updates: int) -> Results:
    """Print the tables of one optimiser."""
    rng = np.random.default_rng(7)
    tried = [Setting(*setting(rng, optimiser, updates), seed) for seed in range(count)]
    apart = np.array([each.difference_of_twins() for each in tried])
    exact = UPDATE[optimiser] * updates
    print(f"{optimiser}, {count} settings, {updates:g} updates: {exact:g} gradient evaluations")
    print(
        f"exact runs {PERTURBED:g} apart at the start end {np.median(apart):.1e} (median) and "
        f"{apart.max():.1e} (largest) apart in margins, {(apart > 1e-6).sum()} of them beyond 1e-6"
    )
    heads = ["median", *(f"{q} %" for q in PERCENTILES[1:])] * 2 + ["mean cost", "median cost"]
    print(f"{'':18s}{'error of margins':27s}error of γ")
    print(" " * 18 + "".join(f"{head:9s}" for head in heads[:6]) + "  ".join(heads[6:]))
    ours = np.array([[each.strides(tolerance) for each in tried] for tolerance in TOLERANCES])
    for tolerance, rows in zip(TOLERANCES, ours, strict=True):
        print_row(f"strides {tolerance:g}", rows)
    fixed = np.array([[each.stretched(share) for each in tried] for share in SHARES])
    for share, rows in zip(SHARES, fixed, strict=True):
        print_row(f"stretched {share:g}", rows)
    print("stretched steps of the cost of strides in each setting")
    for tolerance, mine in zip(TOLERANCES, ours, strict=True):
        theirs = np.array([each.as_dear(row[0]) for each, row in zip(tried, mine, strict=True)])
        print_row(f"as for {tolerance:g}", theirs)
        for column, name in ((1, "margins"), (2, "γ")):
            better, same, worse = (
                int((np.sign(theirs[:, column] - mine[:, column]) == sign).sum())
                for sign in (1, 0, -1)
            )
            print(f"  {name}: strides closer in {better}, equal in {same}, further off in {worse}")
    print()
    return {"strides": ours, "stretched steps": fixed}


def draw(results: dict[str, Results], count: int, updates: int, path: Path) -> None:
    """Errors of margins over mean costs, a panel for each optimiser."""
    look: dict[str, dict[str, Any]] = {
        "strides": {"color": "black", "marker": "o", "markerfacecolor": "white"},
        "stretched steps": {"color": GREY, "marker": "s"},
    }
    shown = {50: ("median", "-"), 90: ("90th percentile", (0, (4, 1.6)))}
    handles = [
        artists.entry(f"{way}, {label}", linestyle=dashes, **style)
        for way, style in look.items()
        for label, dashes in shown.values()
    ]
    handles.append(artists.entry("cost of exact updates", color="black", linewidth=0.6))
    power = len(str(updates)) - 1
    made = f"$10^{{{power}}}$" if updates == 10**power else f"{updates:,}"
    sentences = [
        f"Largest error of a margin over the largest margin after {made} updates: percentiles over "
        f"{count} random settings in and out of the theory's regime. Cost: mean over the settings.",
        f"Strides of tolerance {listed(TOLERANCES)}; stretched steps, of rate "
        rf"$\eta\,\max(1, \lfloor\alpha t\rfloor)$, at $\alpha$ of {listed(SHARES)}.",
    ]
    left, gap, right, top, panel, below = 0.55, 0.66, 0.12, 0.24, 2.3, 0.48  # inches
    with artists.style():
        sheet = page.Page(page.Sheet(), top + panel + below, handles, sentences, columns=3)
        wide = (page.WIDTH - left - right - gap) / 2
        for index, (optimiser, found) in enumerate(results.items()):
            ax = sheet.add_axes(left + index * (wide + gap), top, wide, panel)
            ax.set(xscale="log", yscale="log")
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.axvline(UPDATE[optimiser] * updates, color="black", linewidth=0.6, zorder=0)
            for way, rows in found.items():
                for q, (_, dashes) in shown.items():
                    errors = np.percentile(rows[:, :, 1], q, axis=1, method="higher")
                    errors[(errors == 0.0) | np.isinf(errors)] = np.nan  # not on a log axis
                    ax.plot(
                        rows[:, :, 0].mean(axis=1),
                        errors,
                        linestyle=dashes,
                        linewidth=1.1,
                        markersize=3.2,
                        markeredgewidth=0.7,
                        **look[way],
                    )
            ax.set(xlabel="gradient evaluations", ylabel="relative error of margins")
            ax.set_title(f"({page.letter(index)}) {optimiser}", pad=4)
        across = np.array([ax.get_xlim() for ax in sheet.figure.axes])
        along = np.array([ax.get_ylim() for ax in sheet.figure.axes])
        for ax in sheet.figure.axes:  # one scale for both
            ax.set(
                xlim=(across[:, 0].min(), across[:, 1].max()),
                ylim=(along[:, 0].min(), along[:, 1].max()),
            )
        sheet.figure.savefig(path, dpi=150, metadata={"Software": None})


def listed(numbers: tuple[float, ...]) -> str:
    """Numbers of one digit, as mathtext."""
    texts = []
    for number in numbers:
        digit, power = f"{number:.0e}".split("e")
        texts.append(rf"${digit}\!\cdot\!10^{{{int(power)}}}$".replace(r"1\!\cdot\!", ""))
    return ", ".join(texts)


given = parser.parse_args()
results = {name: compare(name, given.settings, int(given.updates)) for name in given.optimisers}
if given.figure:
    draw(results, given.settings, int(given.updates), given.figure)
