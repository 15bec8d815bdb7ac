"""Refined grids: what is simulated is what the whole grid has, and the rest lies between it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from commands import call
from common import Heard, refusal, same, unlogged

import simdyn
from simdyn import SAM, SGD, Record, Study, analysis, load_study, open_results, plot
from simdyn.api.replay import replay
from simdyn.kernels.codes import DONE, FAILED, INTERPOLATED, MASKED, NON_FINITE
from simdyn.params import PhaseDiagram
from simdyn.run import run_block, run_study
from simdyn.run.refining import Tile
from simdyn.space.cells import Cell
from simdyn.store import open_study
from simdyn.study.study_text import as_toml

DATA = {"n_samples": 8, "noise_std": 1.0}
NET = {"n_filters": 4, "init_std": 1e-3}
METHODS = {
    "sgd": [SGD(learning_rate=0.1, epochs=40)],
    "sam": [SAM(radius=0.03, learning_rate=0.1, epochs=40)],
}
SPACE = {
    "dimension": {"log": [300, 3000], "num": 19},
    "signal_norm": {"start": 0.5, "stop": 6.0, "num": 23},
}
REFINE = {"levels": [0.1], "depth": 3}
RECORD = Record(variables=("test_error", "train_loss", "train_error"))
FIGURE = PhaseDiagram(interpolated="faint")


def study(
    refine: Any = REFINE,
    space: dict[str, Any] = SPACE,
    methods: dict[str, Any] = METHODS,
    **options: Any,
) -> Study:
    space = space if refine is None else {**space, "refine": refine}
    options = {"replicates": 3, "seed": 2, "record": RECORD, **options}
    return Study({**DATA, **options.pop("data", {})}, NET, methods, space, **options)


@pytest.fixture(scope="module")
def whole() -> xr.Dataset:
    return study(None).run()


@pytest.fixture(scope="module")
def refined() -> xr.Dataset:
    return study().run()


def interpolated(ds: xr.Dataset) -> np.ndarray:
    return (ds["status"] == INTERPOLATED).values


# -- cells ---------------------------------------------------------------------------------------


def test_cell__halves_share_edges_and_cover_it() -> None:
    cell = Cell((2, 5, 1), (7, 5, 2))
    assert cell.corners == [(2, 5, 1), (2, 5, 2), (7, 5, 1), (7, 5, 2)]
    halves = cell.halves()
    assert [(half.low[0], half.high[0]) for half in halves] == [(2, 4), (4, 7)]
    assert {point for half in halves for point in half.points()} == set(cell.points())
    assert not Cell((3, 4), (4, 4)).divisible


def test_cell__weights_are_exact_for_products_of_linear_functions() -> None:
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(size=9)), np.sort(rng.uniform(size=7))
    a, b, c, d = rng.normal(size=4)
    grid = a + b * x[:, None] + c * y + d * x[:, None] * y
    cell = Cell((1, 2), (8, 5))
    points = list(cell.points())
    weights = cell.weights(points, [x, y])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert weights.min() >= 0.0
    found = weights @ [grid[corner] for corner in cell.corners]
    np.testing.assert_allclose(found, [grid[point] for point in points], rtol=1e-12)


# -- what is simulated, and what is not ----------------------------------------------------------


def test_refine__what_is_simulated_has_the_bits_of_the_whole_grid(
    refined: xr.Dataset, whole: xr.Dataset
) -> None:
    between = interpolated(refined)
    assert 0.5 < between.mean() < 0.9
    assert (refined["status"].values[~between] == DONE).all()
    for name in RECORD.variables or ():
        ours, theirs = refined[name].values, whole[name].values
        np.testing.assert_array_equal(ours[~between], theirs[~between])
        assert np.isfinite(ours).all()
        assert (ours[between] != theirs[between]).any() == (name != "train_error")
    assert (refined["status_step"].values[between] == 0).all()


def test_refine__lines_are_right_to_a_cell(refined: xr.Dataset, whole: xr.Dataset) -> None:
    lines, exact = (
        analysis.contour(ds, "test_error", 0.1, "signal_norm") for ds in (refined, whole)
    )
    assert (exact["crossings"] == 1).all()
    assert float(abs(lines - exact).max()) < 5.5 / 22
    shown = analysis.summary(refined)
    assert int((shown["runs"] != 3).sum()) == 0
    count = shown["status_count"].sel({"status": "interpolated"})
    assert int(count.sum()) == interpolated(refined).sum()


def test_refine__points_lie_between_the_corners_of_their_tile(refined: xr.Dataset) -> None:
    tile = refined.isel(dimension=slice(0, 9), signal_norm=slice(16, 23)).sel({"method": "sam"})
    inner = interpolated(tile)[1:8, 1:6]
    assert inner.all()  # far above the line
    values = tile["test_error"].values[..., 0]
    log = np.log(tile["dimension"].values)
    for j, k in ((3, 2), (7, 5)):
        s, t = (log[j] - log[0]) / (log[8] - log[0]), k / 6
        wanted = (1 - s) * ((1 - t) * values[0, 0] + t * values[0, 6]) + s * (
            (1 - t) * values[8, 0] + t * values[8, 6]
        )
        np.testing.assert_allclose(values[j, k], wanted, rtol=1e-12)


def test_refine__a_step_is_the_most_that_corners_of_a_cell_differ(whole: xr.Dataset) -> None:
    made = study({"levels": [0.1], "depth": 3, "step": 0.05}).run()
    gap = abs((made["test_error"] - whole["test_error"]).mean("replicate"))
    assert float(gap.max()) < 0.05
    assert 0.1 < interpolated(made).mean() < interpolated(study().run()).mean()


def test_refine__each_method_has_its_own_points(refined: xr.Dataset) -> None:
    alone = study(methods={"sam": METHODS["sam"]}).run()
    np.testing.assert_array_equal(
        alone["test_error"].values[:, :, 0], refined["test_error"].values[:, :, 1]
    )
    between = interpolated(refined)
    assert (between[:, :, 0] != between[:, :, 1]).any()


def test_tile__a_line_that_enters_and_leaves_by_one_edge() -> None:
    """What smaller cells have computed on the edge of a larger one shows it."""
    space = {"dimension": list(range(100, 109)), "signal_norm": list(range(1, 10))}
    made = study(REFINE, space)
    simulated = []

    def run(index: tuple[int, ...]) -> dict[str, np.ndarray]:
        """1 at the first corner, and about the middle of an edge between two quarters; else 0."""
        simulated.append(index)
        high = index == (0, 0) or abs(index[0] - 2) + abs(index[1] - 4) <= 1
        whole = np.full(3, DONE, np.int8)
        return {
            "test_error": np.full((3, 1), float(high)),
            "status": whole,
            "status_step": 0 * whole,
        }

    points = {index for index, _ in made.blocks[0].indices()}
    found = dict[tuple[int, ...], float]()
    for at, values in Tile(made, made.blocks[0], points, run).values():
        found |= dict(zip(at, values["test_error"][:, 0, 0].tolist(), strict=True))
    assert found.keys() == points
    assert len(simulated) == len(set(simulated)) < 81
    for index in ((2, 4), (2, 5), (1, 4), (3, 4), (2, 3)):
        assert index in simulated
        assert found[index] == 1.0
    assert (6, 6) not in simulated  # not everything was


@pytest.mark.parametrize(
    ("space", "over"),
    [
        ({"signal_norm": {"start": 0.5, "stop": 6.0, "num": 33}}, None),
        ({**SPACE, "n_patches": [2, 3]}, None),
        ({**SPACE, "noise": ["isotropic", "orthogonal"]}, ["signal_norm"]),
        (
            {
                "dimension": {"log": [300, 3000], "num": 9},
                "noise_std": {"start": 1, "stop": 2, "num": 9},
                "zip": ["dimension", "noise_std"],
                "signal_norm": {"start": 0.5, "stop": 12.0, "num": 17},
            },
            None,
        ),
    ],
)
def test_refine__grids_of_any_kind(space: dict[str, Any], over: list[str] | None) -> None:
    data = {} if "dimension" in space else {"dimension": 800}
    own = {name: value for name, value in DATA.items() if name not in space}
    refine = REFINE if over is None else {**REFINE, "over": over}

    def made(refine: Any) -> xr.Dataset:
        rules = {} if refine is None else {"refine": refine}
        return Study(
            {**own, **data}, NET, METHODS, {**space, **rules}, replicates=2, record=RECORD
        ).run()

    ds, full = made(refine), made(None)
    between = interpolated(ds)
    assert 0.3 < between.mean() < 0.95
    np.testing.assert_array_equal(
        ds["test_error"].values[~between], full["test_error"].values[~between]
    )
    assert np.isfinite(ds["test_error"].values).all()
    if over:
        along = [
            dim for dim in ds["status"].dims if dim not in ("signal_norm", "method", "replicate")
        ]
        assert not interpolated(ds.isel(signal_norm=[0, -1])).any(), along


def test_refine__masked_points_have_no_values() -> None:
    rule = {"where": "signal_norm > 3 - dimension/1500"}
    ds, full = study(REFINE, {**SPACE, **rule}).run(), study(None, {**SPACE, **rule}).run()
    masked = (full["status"] == MASKED).values
    assert 0.1 < masked.mean() < 0.9
    np.testing.assert_array_equal((ds["status"] == MASKED).values, masked)
    assert np.isnan(ds["test_error"].values[masked]).all()
    assert np.isfinite(ds["test_error"].values[~masked]).all()
    done = (ds["status"] == DONE).values
    np.testing.assert_array_equal(ds["test_error"].values[done], full["test_error"].values[done])
    assert done[masked.any(axis=(1, 2, 3))].sum() > 20  # along the edge of what is masked


def test_refine__runs_that_diverge_are_found_and_not_interpolated_over() -> None:
    space = {
        "learning_rate": {"log": [0.01, 1e4], "num": 33},
        "signal_norm": {"log": [1.0, 100.0], "num": 9},
    }
    net = {**NET, "init_std": 0.05, "activation": "relu_power"}
    plan = {"one": [{"optimiser": "SGD", "epochs": 30}]}

    def made(rules: dict[str, Any]) -> xr.Dataset:
        data = {**DATA, "dimension": 300}
        options = {"replicates": 3, "record": Record(variables=("train_loss", "test_error"))}
        return Study(data, net, plan, {**space, **rules}, **options).run()

    ds, full = made({"refine": {**REFINE, "levels": [0.05]}}), made({})
    between = interpolated(ds)
    assert between.any()
    ended = (full["status"] == NON_FINITE).values
    assert ended.any()
    assert not ended.all()
    lost = np.isnan(ds["test_error"].values[..., 0])
    np.testing.assert_array_equal(
        lost.mean(axis=-1)[~between[..., 0]], ended.mean(axis=-1)[~between[..., 0]]
    )
    assert (lost != ended).mean() < 0.02  # only between corners that agree


def test_refine__points_that_fail_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    from simdyn.engine.replicates import run_replicates

    at = float(study().space.axes["signal_norm"][8])  # a corner of tiles

    def failing(data: Any, *rest: Any) -> Any:
        if data.signal_norm == at and data.dimension == 300:
            raise RuntimeError("nothing there")
        return run_replicates(data, *rest)

    monkeypatch.setattr("simdyn.run.block.run_replicates", failing)
    ds = run_study(study(), None, threads=1, progress=(heard := Heard()))
    failed = (ds["status"] == FAILED).values
    assert failed[0, 8].all()
    assert failed.sum() == failed[0, 8].size
    assert set(heard.failures) == {(f"dimension = 300, signal_norm = {at}", "nothing there")}
    assert np.isfinite(ds["test_error"].values[~failed]).all()


# -- a study in every other respect --------------------------------------------------------------


def test_refine__the_same_bits_however_it_is_run(refined: xr.Dataset, tmp_path: Path) -> None:
    one, cut = tmp_path / "one.zarr", tmp_path / "cut.zarr"
    same(study().run(one, threads=1).load(), refined)
    with pytest.raises(KeyboardInterrupt):
        run_study(study(), cut, threads=1, progress=Heard(interrupt_after=2))
    for part in (2, 1, 3):
        run_study(study(), cut, threads=2, shard=(part, 3))
    study().run(cut)
    assert unlogged(cut) == unlogged(one)
    again = open_study(one)
    assert again.fingerprint == study().fingerprint
    assert again.space.refine == study().space.refine
    path = tmp_path / "again.toml"
    path.write_text(as_toml(study()))
    assert load_study(path).fingerprint == study().fingerprint != study(None).fingerprint


def test_refine__a_tile_point_by_point_interpolates_nothing() -> None:
    """As blocks are computed to find the point that ends a process."""
    made = study()
    found = run_block(made, made.blocks[0], np.zeros(1, np.int64), print, only=range(5))
    assert found is not None
    assert found["status"].ravel()[: 5 * 6].tolist() == [DONE] * 30
    crashing = {0: "it ended its process", 3: "so did this, which is not simulated"}
    said: list[tuple[str, str]] = []
    stop = np.zeros(1, np.int64)
    found = run_block(
        made, made.blocks[0], stop, lambda *what: said.append(what), crashing=crashing
    )
    assert found is not None
    assert (found["status"][0, 0] == FAILED).all()
    assert (found["status"] == FAILED).sum() == found["status"][0, 0].size
    assert [cause for _, cause in said] == ["it ended its process"]
    stop[0] = 1
    assert run_block(made, made.blocks[0], stop, print) is None


def test_refine__a_store_grows_in_methods_only(
    refined: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing.zarr"
    study(methods={"sgd": METHODS["sgd"]}).run(path)
    from simdyn.engine.replicates import run_replicates

    rates = set()

    def counting(data: Any, net: Any, plans: Any, *rest: Any) -> Any:
        rates.update(plan[0].perturbation > 0 for plan in plans)
        return run_replicates(data, net, plans, *rest)

    monkeypatch.setattr("simdyn.run.block.run_replicates", counting)
    same(study().run(path).load(), refined)
    assert rates == {True}  # nothing of SGD was computed again
    assert "replicates is 3 there, 4 here" in refusal(study(replicates=4).run, path)
    longer = {**SPACE, "signal_norm": {"start": 0.5, "stop": 6.25, "num": 24}}
    assert "space.signal_norm" in refusal(study(space=longer).run, path)
    deeper = study({**REFINE, "depth": 2})
    assert "space.refine.depth is 3 there, 2 here" in refusal(deeper.run, path)


def test_refine__replay_says_what_is_interpolated(tmp_path: Path) -> None:
    path = tmp_path / "refined.zarr"
    ds = study().run(path)
    between = interpolated(ds)[:, :, 1, 0]
    for index, wanted in ((np.argwhere(between)[0], "none"), (np.argwhere(~between)[0], "bits")):
        at = {dim: ds[dim].values[k].item() for dim, k in zip(SPACE, index, strict=True)}
        course = replay(path, at, "sam")
        assert course.attrs["agreement"] == wanted
        assert ("interpolates this point" in course.attrs["verdict"]) == (wanted == "none")


def test_refine__commands_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("map.toml").write_text(as_toml(study(), FIGURE))
    planned = call("plan map.toml --nominal")
    assert "of them simulated, if a line of test_error = 0.1 crosses each map once" in planned.out
    share = json.loads(call("plan map.toml --nominal --json").out)["simulated_share"]
    assert 0.0 < share < 1.0
    assert call("run map.toml").code == 0
    answer = call("status map.toml")
    assert "runs interpolated: not simulated" in answer.out
    assert (
        "refined (variable = test_error, levels = [0.1], depth = 3)"
        in call("show results/map.zarr").out
    )
    assert call("verify map.toml").code == 0
    ds = open_results("results/map.zarr")
    simulated = (~interpolated(ds).all(axis=-1)).mean()
    said = " ".join(text.get_text() for text in plot.draw(ds, FIGURE).texts).split()
    assert f"{100 * simulated:.2g} % of the cells are simulated" in " ".join(said)
    veils = [
        [item for item in ax.collections if item.get_gid() == "veil"]
        for ax in plot.draw(ds, FIGURE).axes[:3]
    ]
    assert list(map(len, veils)) == [1, 1, 1]
    first = np.ma.getmaskarray(veils[0][0].get_array()).reshape(23, 19)
    np.testing.assert_array_equal(~first, interpolated(ds)[:, :, 0, 0].T)
    plain = plot.draw(ds, PhaseDiagram())
    assert not any(item.get_gid() == "veil" for ax in plain.axes for item in ax.collections)


def test_refine__bad_input() -> None:
    for refine, words in {
        "deep": "space.refine = 'deep': allowed is a table",
        ("a",): "space.refine = ('a',): allowed is a table",
    }.items():
        assert words in refusal(study, refine)
    for fields, words in [
        ({"depth": 0}, "space.refine.depth = 0: allowed is an integer from 1 to 10"),
        ({"depth": 11}, "space.refine.depth = 11"),
        ({"levels": []}, "space.refine.levels"),
        ({"levels": [math.nan]}, "space.refine.levels"),
        ({"step": 0.0}, "space.refine.step = 0.0: allowed is a number above 0"),
        ({"level": 0.1}, "space.refine.level: no such field"),
        ({"variable": "sharpness"}, "space.refine.variable = 'sharpness'"),
        ({"variable": "margin"}, "space.refine.variable = 'margin'"),
        ({"over": ["method"]}, "space.refine.over: 'method': allowed are axes"),
        ({"over": ["n_patches"]}, "dimension, signal_norm"),
    ]:
        assert words in refusal(study, {**REFINE, **fields}, {**SPACE, "n_patches": [2, 3]})
    few = {"dimension": [300, 400], "signal_norm": [1.0, 2.0]}
    assert "there is no axis with 3 or more numbers" in refusal(study, REFINE, few)
    falling = {"dimension": [300, 200, 400], "signal_norm": [1.0, 2.0]}
    assert "there is no axis with 3 or more numbers" in refusal(study, REFINE, falling)
    solve = simdyn.Crossing(field="signal_norm", between=(0.1, 10.0))
    alone = {"dimension": SPACE["dimension"]}
    message = refusal(study, REFINE, alone, record=Record(), solve=solve)
    assert message.startswith("space.refine: allowed without [solve]")


@pytest.mark.campaign
def test_refine__the_study_of_the_repository_beside_the_whole_grid_campaign() -> None:
    """How far lines are off, and what it takes, for 257 by 257 points."""
    file = Path(__file__).parents[1] / "studies" / "phase_diagram_fine.toml"
    ds, tables = load_study(file).run(), load_study(file)
    rules = dict(tables._tables["space"])
    del rules["refine"]
    full = type(tables).from_mapping({**tables._tables, "space": rules}).run()
    simulated = ~interpolated(ds)
    np.testing.assert_array_equal(
        ds["test_error"].values[simulated], full["test_error"].values[simulated]
    )
    lines, exact = (analysis.contour(one, "test_error", 0.1, "signal_norm") for one in (ds, full))
    once = (exact["crossings"] == 1).values
    cell = 10.0 / 256
    off = abs(lines - exact).values / cell
    print(
        f"\n{simulated.mean():.2%} of the runs simulated; {once.sum()} of {once.size} columns "
        f"cross once, with lines off by at most {np.nanmax(off[once]):.2f} cells; in all by at "
        f"most {np.nanmax(off):.2f}, by more than one in {int((off > 1).sum())}"
    )
    assert (off[once] > 1.0).mean() < 0.01
    assert np.nanmax(off[once]) < 2.0
    assert simulated.mean() < 0.1
