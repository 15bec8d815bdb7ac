"""Claims: how a verdict comes about, and the table that a user sees."""

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from simdyn import InputError, claims
from simdyn.claims import CLAIMS, Bench, Claim
from simdyn.claims.claim import EXACT, LEADING, RECALLED
from simdyn.claims.neurons import hitting
from simdyn.claims.repeated import rank, uniform
from simdyn.claims.verdict import (
    FAILS,
    HOLDS,
    OUTSIDE,
    UNDECIDED,
    Law,
    Quantity,
    crossing,
    interval,
    judge,
    overall,
    slope,
    with_ladder,
)
from simdyn.cli import app
from simdyn.store import write_dataset

RNG = np.random.default_rng(5)
SAMPLE = RNG.normal(1.0, 0.1, 50)  # a mean known to about 0.014


def quantity(values: np.ndarray = SAMPLE, low: float = 0.9, high: float = 1.1, **more: object):
    return Quantity("q", values, low, high, "a reason", 1.0, **more)  # type: ignore[arg-type]


# Verdicts


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.9, 1.1, HOLDS), (-np.inf, 1.1, HOLDS), (0.0, 0.9, FAILS), (1.1, np.inf, FAILS),
     (0.9, float(SAMPLE.mean()) + 1e-3, UNDECIDED)],
)  # fmt: skip
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


def test_interval__misses_as_often_as_it_says() -> None:
    rng, repeats, error = np.random.default_rng(1), 300, 0.1
    missed = 0
    for _ in range(repeats):
        _, low, high = interval(quantity(rng.normal(1.0, 1.0, 15)), error)
        missed += not low <= 1.0 <= high
    deviation = math.sqrt(error * (1 - error) / repeats)
    assert abs(missed / repeats - error) < 4 * deviation


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
    curves = np.array([[[0.5, 0.3, 0.1], [0.5, 0.4, 0.3]]])
    at = crossing(grid, 0.2)(curves)
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


def command(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", *words])
    return result.exit_code, result.output


def test_check_command__exit_code_tells_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for low, high, code, word in ((0.9, 1.1, 0, "HOLDS"), (2.0, 3.0, 1, "FAILS")):
        monkeypatch.setitem(CLAIMS, "planted", planted(low, high))
        ended, out = command("planted", "--out", str(tmp_path))
        assert ended == code
        assert f"planted: {word}" in out
        assert "a reason" in out
    assert (tmp_path / "figures" / "check-planted.png").exists()


def test_check_command__json_and_the_table_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in reversed(list(CLAIMS)):  # undone in reverse: the table keeps its order
        monkeypatch.delitem(CLAIMS, name)
    monkeypatch.setitem(CLAIMS, "planted", planted(-np.inf, 1.1))
    ended, out = command("--quick", "--json", "--out", str(tmp_path))
    assert ended == 0
    (report,) = json.loads(out[out.index("[") :])
    assert report["verdict"] == HOLDS
    assert report["quantities"][0]["band"] == [None, 1.1]
    ds = xr.open_zarr(tmp_path / "results" / "check-quick.zarr", consolidated=False)
    assert ds.verdict.values.tolist() == [HOLDS]
    assert float(ds.estimate[0]) == pytest.approx(SAMPLE.mean())


def test_check_command__list_and_a_misspelt_name(tmp_path: Path) -> None:
    ended, out = command("--list")
    assert ended == 0
    assert all(name in out for name in CLAIMS)
    ended, out = command("sgdline", "--out", str(tmp_path))
    assert ended == 2
    assert "did you mean 'sgd-line'?" in out
    assert list(tmp_path.iterdir()) == []


def test_quantity__is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        quantity().low = 3.0  # type: ignore[misc]
