"""Claims: how a verdict comes about, and the table that a user sees."""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from commands import call, refused
from scipy.stats import binom
from scipy.stats import t as student

from simdyn import SGD, InputError, Record, SignalNoiseData, TwoLayerCNN, claims, simulate, theory
from simdyn.claims import CLAIMS, Bench, Claim
from simdyn.claims.claim import EXACT, LEADING, RECALLED
from simdyn.claims.fresh_samples import counted_error, planar_error
from simdyn.claims.lines import LEVEL
from simdyn.claims.repeated import rank, uniform
from simdyn.claims.times import hitting
from simdyn.claims.verdict import (
    FAILS,
    HOLDS,
    OUTSIDE,
    RESAMPLES,
    UNDECIDED,
    Law,
    Quantity,
    interval,
    judge,
    overall,
    slope,
    spread,
    with_ladder,
)
from simdyn.store import write_dataset
from simdyn.theory.crossing import crossing

RNG = np.random.default_rng(5)
SAMPLE = RNG.normal(1.0, 0.1, 50)  # a mean known to about 0.014


def quantity(values: np.ndarray = SAMPLE, low: float = 0.9, high: float = 1.1, **more: object):
    return Quantity("q", values, low, high, "a reason", 1.0, **more)  # type: ignore[arg-type]


# Verdicts


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.9, 1.1, HOLDS),
        (-np.inf, 1.1, HOLDS),
        (0.0, 0.9, FAILS),
        (1.1, np.inf, FAILS),
        (0.9, float(SAMPLE.mean()) + 1e-3, UNDECIDED),
    ],
)
def test_judge__band_against_interval(low: float, high: float, verdict: str) -> None:
    finding = judge(quantity(low=low, high=high), 0.05)
    assert finding.verdict == verdict
    assert math.isnan(finding.needed) == (verdict != UNDECIDED)


def test_judge__outside_its_regime_is_no_verdict_about_the_claim() -> None:
    assert judge(quantity(outside="not trained"), 0.05).verdict == OUTSIDE


def test_judge__says_how_many_replicates_would_decide() -> None:
    """An interval four times the room to the edge needs sixteen times the sample."""
    first = judge(quantity(), 0.05)
    room = (first.high - first.estimate) / 4
    found = judge(quantity(low=first.estimate - room, high=10.0), 0.05)
    assert found.verdict == UNDECIDED
    assert found.needed == pytest.approx(16 * SAMPLE.size, rel=0.01)


def test_judge__one_replicate_decides_nothing() -> None:
    found = judge(quantity(SAMPLE[:1]), 0.05)
    assert (found.low, found.high, found.verdict) == (-math.inf, math.inf, UNDECIDED)
    assert found.needed == math.inf


def test_judge__a_missing_number_is_never_a_success() -> None:
    for exact in (False, True):
        found = judge(quantity(np.full(20, np.nan), exact=exact), 0.05)
        assert found.verdict == UNDECIDED


# Laws of replicates: (name, draws of a shape, mean)
LAWS: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "normal": (lambda rng, *shape: rng.normal(1.0, 1.0, shape), 1.0),
    "lognormal": (lambda rng, *shape: np.exp(rng.normal(size=shape)), math.exp(0.5)),
    "exponential": (lambda rng, *shape: rng.exponential(size=shape), 1.0),
    "one of four large": (  # as runs that fail among runs that do not
        lambda rng, *shape: np.where(
            rng.random(shape) < 0.25, rng.uniform(0.2, 0.5, shape), rng.normal(0.01, 0.005, shape)
        ),
        0.25 * 0.35 + 0.75 * 0.01,
    ),
}


def missed(sample: np.ndarray, truth: float, error: float, **more: object) -> np.ndarray:
    """How often intervals of samples (N, R) lie above and below the true value."""
    ends = np.array([interval(quantity(one, **more), error)[1:] for one in sample])
    return np.array([(truth < ends[:, 0]).mean(), (truth > ends[:, 1]).mean()])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("count", [20, 100])
def test_interval__covers_means_of_skewed_replicates(law: str, count: int) -> None:
    """At most 0.01 more than nominal, the most that the campaign found."""
    draw, truth = LAWS[law]
    found = missed(draw(np.random.default_rng(count), 1000, count), truth, 0.05).sum()
    assert 0.01 < found < 0.06 + 4 * math.sqrt(0.06 * 0.94 / 1000)


def test_interval__covers_statistics_of_skewed_replicates() -> None:
    """A slope of mean curves in logarithms, of replicates that share a draw."""
    x, rng, tries = np.array([1.0, 4.0, 16.0]), np.random.default_rng(3), 150
    misses = 0
    for _ in range(tries):
        shared = np.exp(rng.normal(size=(30, 1)))
        own = np.exp(rng.normal(size=(30, 3)))
        values = x**0.5 * (shared + 0.5 * own)
        _, low, high = interval(quantity(values, statistic=slope(x)), 0.05)
        misses += not low <= 0.5 <= high
    assert misses <= tries * 0.06 + 4 * math.sqrt(tries * 0.06 * 0.94)


def test_interval__of_a_statistic_agrees_with_that_of_the_mean() -> None:
    """Resampled: standard error within 4/√(2B), skewness within 4√(6/B) of the closed form."""
    sample = np.exp(RNG.normal(size=60))
    error, skew, _ = spread(quantity(sample))
    again, near, doubt = spread(quantity(sample, statistic=lambda values: float(values.mean())))
    assert abs(again / error - 1.0) < 4 / math.sqrt(2 * RESAMPLES)
    assert abs(near - skew) < 4 * math.sqrt(6 / RESAMPLES) < 4 * doubt


@pytest.mark.campaign
def test_interval__coverage_campaign(capsys: pytest.CaptureFixture[str]) -> None:
    """The table of how often intervals miss; `-s` or the failing test shows it."""
    tries, rng = 20_000, np.random.default_rng(0)
    norm = 3.0 * theory.critical_signal_norm(2000, 20, 2, 1.0)
    errors = (
        simulate(
            SignalNoiseData(n_samples=20, dimension=2000, signal_norm=norm, label_flip=0.1),
            TwoLayerCNN(n_filters=10, init_std=0.03 / math.sqrt(2000)),
            SGD(learning_rate=0.1, epochs=200),
            replicates=6000,
            record=Record(every=200, variables=("test_error",)),
        ).test_error.values[:, -1]
        - 0.1
    )
    laws = LAWS | {"test errors": (lambda rng, *shape: rng.choice(errors, shape), errors.mean())}
    for (law, (draw, truth)), count in itertools.product(laws.items(), (20, 100)):
        sample = draw(rng, tries, count)
        for error in (0.05, 0.001):
            half = student.ppf(1 - error / 2, count - 1) * sample.std(1, ddof=1) / count**0.5
            plain = (abs(sample.mean(1) - truth) > half).mean()
            found = missed(sample, truth, error)
            bounded = missed(sample, truth, error, bounds=(0.0, 0.8)).sum()
            with capsys.disabled():
                print(
                    f"{law}, R = {count}, {error:g}: below and above {found[0]:.4f} + "
                    f"{found[1]:.4f}, with bounds {bounded:.4f}, t {plain:.4f}"
                )
            most = 1.2 * error + 5 * math.sqrt(error / tries)
            rare = law in ("one of four large", "test errors")  # of few, all may be small
            assert (bounded if rare else found.sum()) < most


def test_interval__reaches_as_far_as_an_unseen_event_could_move_a_mean() -> None:
    """Half of all samples miss an event of probability 1/R; the interval must not."""
    rng = np.random.default_rng(1)
    misses, tries, chance = 0, 400, 0.01
    for _ in range(tries):
        rare = (rng.random(100) < chance).astype(float)
        low, high = interval(quantity(rare, bounds=(0.0, 1.0)), 0.05)[1:]
        misses += not low <= chance <= high
    assert misses <= 0.05 * tries + 4 * math.sqrt(0.05 * 0.95 * tries)
    plain = interval(quantity(np.zeros(100)), 0.05)
    assert plain[1:] == (0.0, 0.0)
    bounded = interval(quantity(np.zeros(100), bounds=(-1.0, 1.0)), 0.05)
    assert (1.0 - bounded[2]) ** 100 == pytest.approx(0.025)
    assert bounded[1] == -bounded[2]


def test_interval__of_a_share_is_exact() -> None:
    """Clopper and Pearson: at either end the binomial has error/2 left, and bounds are kept."""
    values = np.zeros(40)
    values[:3] = 1.0
    low, high = interval(quantity(values, bounds=(0.0, 1.0)), 0.01)[1:]
    assert binom.sf(2, 40, low) == pytest.approx(0.005)
    assert binom.cdf(3, 40, high) == pytest.approx(0.005)
    scaled = interval(quantity(4.0 * values - 1.0, bounds=(-1.0, 3.0)), 0.01)[1:]
    assert scaled == pytest.approx((4.0 * low - 1.0, 4.0 * high - 1.0))
    none = interval(quantity(np.zeros(40), bounds=(0.0, 1.0)), 0.01)
    assert none == (0.0, 0.0, pytest.approx(1.0 - 0.005 ** (1 / 40)))


def test_with_ladder__is_the_last_step_and_tells_of_all() -> None:
    steps = [quantity(np.full(3, value)) for value in (0.5, 0.25, 0.125)]
    found = with_ladder(steps, "x → 0")
    assert found.values is steps[-1].values
    assert found.small == "x → 0: +0.5, +0.25, +0.125"


def test_rank__is_uniform_for_one_law_and_not_for_another() -> None:
    rng = np.random.default_rng(2)
    for shift, coarse, true in ((0.0, False, True), (0.0, True, True), (0.4, False, False)):
        p_values = []
        for _ in range(500):
            one, *peers = rng.normal(size=100) + shift * np.eye(1, 100)[0]
            draws = np.array([one, *peers])
            draws = np.round(draws) if coarse else draws  # ties
            p_values.append(rank(float(draws[0]), draws[1:], rng))
        finding = judge(uniform("a test", p_values), 0.05)
        assert finding.verdict == (HOLDS if true else FAILS)


@pytest.mark.parametrize("seed", range(8))
def test_planar_error__is_what_counting_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    signal, weights = rng.normal(size=2), rng.normal(size=(2, 1 + seed, 2))
    flip = 0.1 * (seed % 4)
    exact = planar_error(signal, weights, 2, 1.0, flip)
    counted, error = counted_error(signal, weights, 2, flip, rng, 20_000)
    assert abs(counted - exact) < 4 * error


def test_planar_error__networks_that_rest() -> None:
    """The zero network is half wrong; so is one filter on what does not reach it."""
    weights = np.zeros((2, 1, 2))
    assert planar_error(np.array([1.0, 0.0]), weights, 1, 1.0, 0.2) == 0.5
    weights[0, 0, 0] = 1.0
    # Label +1 is never wrong. Label −1 is if the noise is active, and half else.
    assert planar_error(np.array([1.0, 0.0]), weights, 3, 1.0, 0.0) == pytest.approx(0.375)


def test_overall__the_worst_verdict_counts() -> None:
    good, bad = judge(quantity(), 0.05), judge(quantity(low=2.0, high=3.0), 0.05)
    open_, out = judge(quantity(SAMPLE[:1]), 0.05), judge(quantity(outside="no"), 0.05)
    assert overall([good, open_, bad]) == FAILS
    assert overall([good, open_]) == UNDECIDED
    assert overall([good, out]) == HOLDS
    assert overall([out]) == OUTSIDE


def test_statistics__slope_crossing_hitting() -> None:
    x = np.array([1.0, 10.0, 100.0])
    assert slope(x)(np.tile(3.0 * x**-0.7, (4, 1))) == pytest.approx(-0.7)
    grid = np.array([1.0, 2.0, 4.0])
    curves = np.array([[[0.5, 0.3, 0.1], [0.5, 0.4, 0.3]]]) - 0.2 + LEVEL
    at = crossing(curves.mean(axis=0), LEVEL).at(grid)
    assert at[0] == pytest.approx(2.0 * math.sqrt(2.0))
    assert math.isnan(at[1]), "this curve never falls to the level"
    curve = np.array([[0.0, 0.5, 2.0], [0.0, 0.1, 0.2]])
    times = hitting(curve, np.array([0.0, 1.0, 2.0]))
    assert times[0] == pytest.approx(4 / 3)
    assert math.isnan(times[1])


# The table


def test_claims__each_is_stated() -> None:
    assert len({claim.statement for claim in CLAIMS.values()}) == len(CLAIMS)
    for name, claim in CLAIMS.items():
        assert claim.name == name
        assert claim.mark in (EXACT, LEADING, RECALLED)
        assert claim.statement
        assert claim.regime
        assert "arXiv 2310.07269" in claim.source


def test_check__exact_claims_hold_and_carry_their_reasons() -> None:
    reports = claims.check(["rebuild", "update", "signs"], quick=True)
    assert [report.claim.name for report in reports] == ["rebuild", "update", "signs"]
    for report in reports:
        assert report.verdict == HOLDS
        assert all(finding.quantity.reason for finding in report.findings)
    assert not claims.failed(reports)


def test_check__the_family_error_is_divided_among_sampled_quantities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def many(_: Bench) -> Iterator[Quantity]:
        for _ in range(10):
            yield quantity()
        yield quantity(exact=True)

    monkeypatch.setitem(CLAIMS, "many", Claim("many", "s", "source", EXACT, "always", many))
    (report,) = claims.check(["many"])
    alone = judge(quantity(), claims.FAMILY_ERROR / 10)
    assert report.findings[0].low == alone.low


def test_choose__unknown_claim() -> None:
    with pytest.raises(InputError, match=r"claim 'sgdline': did you mean 'sgd-line'\?"):
        claims.choose(["sgdline"])


def test_write_dataset__replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.zarr"
    for text in ("old", "new"):
        ds = xr.Dataset({"a": ("x", [1.0, 2.0])}, {"x": [text, "other"]}, {"k": text})
        write_dataset(ds, path)
        assert xr.open_zarr(path, consolidated=False).attrs["k"] == text
    assert [p.name for p in path.parent.iterdir()] == ["table.zarr"]
    assert list(xr.open_zarr(path, consolidated=False).x.values) == ["new", "other"]


# The command


def planted(low: float, high: float) -> Claim:
    def measure(_: Bench) -> Iterator[Quantity]:
        x = np.array([1.0, 2.0])
        law = Law("d", "height", x, x, 0.1 * x, x, "nothing fitted")
        yield quantity(low=low, high=high, law=law)

    return Claim("planted", "a planted claim", "nobody", RECALLED, "always", measure)


def test_check_command__exit_code_tells_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for low, high, code, word in ((0.9, 1.1, 0, "HOLDS"), (2.0, 3.0, 1, "FAILS")):
        monkeypatch.setitem(CLAIMS, "planted", planted(low, high))
        answer = call("check planted --out", tmp_path)
        assert answer.code == code
        assert f"planted: {word}" in answer.out
        assert "a reason" in answer.out
    assert (tmp_path / "figures" / "check-planted.png").exists()


def test_check_command__json_and_the_table_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in reversed(list(CLAIMS)):  # undone in reverse: the table keeps its order
        monkeypatch.delitem(CLAIMS, name)
    monkeypatch.setitem(CLAIMS, "planted", planted(-np.inf, 1.1))
    answer = call("check --quick --json --out", tmp_path)
    assert answer.code == 0
    (report,) = json.loads(answer.out)
    assert report["verdict"] == HOLDS
    assert report["quantities"][0]["band"] == [None, 1.1]
    ds = xr.open_zarr(tmp_path / "results" / "check-quick.zarr", consolidated=False)
    assert ds.verdict.values.tolist() == [HOLDS]
    assert float(ds.estimate[0]) == pytest.approx(SAMPLE.mean())


def test_check_command__quick_says_what_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = dataclasses.replace(planted(0.9, 1.1), not_quick="the rest of it")
    monkeypatch.setitem(CLAIMS, "planted", claim)
    for line, told in (("check planted --quick --out", True), ("check planted --out", False)):
        assert ("Left out by --quick: planted: the rest of it." in call(line, tmp_path).out) == told


def test_check_command__a_law_that_was_not_found_is_drawn_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contour that curves never reach is missing: so are its points, and not the figure."""

    def measure(_: Bench) -> Iterator[Quantity]:
        x, none = np.array([1.0, 2.0]), np.full(2, np.nan)
        for y in (none, np.array([1.0, np.nan])):
            law = Law("d", "height", x, y, none, none, "height fitted")
            yield quantity(np.full(20, np.nan), law=law)

    claim = Claim("planted", "a planted claim", "nobody", RECALLED, "always", measure)
    monkeypatch.setitem(CLAIMS, "planted", claim)
    answer = call("check planted --out", tmp_path)
    assert answer.code == 0
    assert "planted: UNDECIDED" in answer.out
    assert (tmp_path / "figures" / "check-planted.png").exists()


def test_check_command__list_and_a_misspelt_name(tmp_path: Path) -> None:
    answer = call("check --list")
    assert answer.code == 0
    assert all(name in answer.out for name in CLAIMS)
    assert "did you mean 'sgd-line'?" in refused(tmp_path, "check sgdline --out", tmp_path)


def test_quantity__is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        quantity().low = 3.0  # type: ignore[misc]
