"""A store looked at and played again from the store alone: open_study, replay, status, plan."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import pytest
import xarray as xr
from commands import call
from common import refusal
from played import METHODS, study

from simdyn import open_results
from simdyn.api.agreement import agreement
from simdyn.api.point_search import find_point
from simdyn.api.replay import replay
from simdyn.api.study import Study
from simdyn.base.inputs import InputError
from simdyn.params import SGD, ImageData, PhaseDiagram, Record
from simdyn.run import MASKED, run_study
from simdyn.run.price import price
from simdyn.store import Store, open_study
from simdyn.store.log import computed_by, machine
from simdyn.study.blocks import Blocks

STUDIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "recorded": {
        "record": Record(every=2, variables=("train_loss", "test_error", "sharpness", "noise_coef"))
    },
    "counted": {"record": Record(test_estimator="counted", test_draws=50)},
    "zipped": {
        "space": {
            "dimension": [20, 30, 40],
            "signal_norm": [0.5, 0.5, 1.0],
            "zip": ["dimension", "signal_norm"],
        }
    },
    "masked": {
        "space": {
            "dimension": [20, 30, 40],
            "signal_norm": [0.0, 1.0],
            "where": "dimension > 20 or signal_norm > 0",
        }
    },
    "activations": {
        "space": {"activation": ["relu", "huber_relu"], "dimension": [20, 30]},
        "data": {"n_samples": 4, "noise_std": 1.0, "signal_norm": 1.0},
    },
    "log": {"space": {"dimension": {"log": [10, 1e6], "num": 3}, "signal_norm": [0.1, 0.3]}},
    "xor": {"data": {"model": "xor", "n_samples": 4, "noise_std": 1.0, "angle": 60.0}},
}


@pytest.mark.parametrize("kind", STUDIES)
def test_replay__bit_for_bit_from_the_store_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "played.zarr"
    made = study(**STUDIES[kind])
    run_study(made, path)
    assert open_study(path).fingerprint == made.fingerprint
    results = open_results(path)
    for index in list(made.space.indices())[::2]:
        if not made.space.wanted(index):
            continue
        at = {dim: results[dim].values[i] for dim, i in zip(made.space.dims, index, strict=True)}
        for method in made.space.methods:
            course = replay(path, at, method)
            assert course.attrs["agreement"] == "bits"
            there = results.isel(dict(zip(made.space.dims, index, strict=True)))
            there = there.sel({"method": method})
            assert course.attrs["replayed"] == sum(a.size for a in there.data_vars.values())
            assert course.sizes["step"] == 7
            for name in there.data_vars:
                ours, theirs = course[name], there[name]
                if "step" in theirs.dims:
                    ours = ours.isel(step=np.isin(course["updates"], there["updates"]))
                np.testing.assert_array_equal(ours.values, theirs.values, err_msg=str(name))


def test_replay__of_images(tmp_path: Path) -> None:
    data = ImageData(n_samples=6, signal_norm=2.0, noise_std=1.0, positive=3, negative=8)
    made = Study(
        data,
        {"n_filters": 2, "init_std": 0.01},
        {"sgd": SGD(learning_rate=0.1, epochs=3)},
        {"noise_std": [0.5, 1.0]},
        replicates=2,
    )
    run_study(made, tmp_path / "images.zarr")
    course = replay(tmp_path / "images.zarr", {"noise_std": "0.5"})
    assert course.attrs["replayed"] > 0
    assert course.sizes["step"] == 4


@pytest.fixture
def moved(tmp_path: Path) -> Callable[[float], Path]:
    """Makes a store, whole and with good receipts, of other values than this machine computes."""

    def make(by: float) -> Path:
        path, made = tmp_path / "played.zarr", study()
        run_study(made, path)
        store = Store(path, made)
        for block in store.blocks:
            values = store.read(block)
            values["train_loss"] = values["train_loss"] * (1 + by)
            store.write(block, values)
        return path

    return make


POINT = {"dimension": 20, "signal_norm": 0}
EPS = 2.0**-52


def on(**other: str) -> Callable[[], dict[str, str]]:
    """What this machine would be with another CPU or other versions."""
    return lambda: {**machine(), **other}


@pytest.mark.parametrize(
    ("by", "here", "kind", "said"),
    [
        (0.0, {"cpu": "z80"}, "bits", "27 values of the store came out with the same bits"),
        (
            1e-12,
            {"cpu": "z80"},
            "rounding",
            "train_loss differs from the store by up to 1e-12 relatively: rounding; the store "
            f"comes from another type of CPU ({machine()['cpu']}; here z80)",
        ),
        (
            1e-10,
            {"cpu": "z80", "numba": "9.9"},
            "rounding",
            f"here z80) and another numba ({machine()['numba']}; here 9.9)",
        ),
        (1e-8, {"cpu": "z80"}, "differs", "relatively: more than rounding; the store comes from"),
        (
            4 * EPS,
            {},
            "differs",
            "the store comes from this type of CPU and these versions, so nothing explains it",
        ),
        (4 * EPS, {"simdyn": "9.9"}, "differs", "so nothing explains it"),
    ],
)
def test_replay__values_of_another_machine(
    moved: Callable[[float], Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    by: float,
    here: dict[str, str],
    kind: str,
    said: str,
) -> None:
    """The course is there whatever the store says; the exit code tells what needs a look."""
    path, kept = moved(by), tmp_path / "course.zarr"
    monkeypatch.setattr("simdyn.api.agreement.machine", on(**here))
    course = replay(path, POINT, "sgd")
    assert course.sizes["step"] == 7
    assert course.attrs["agreement"] == kind
    assert said in course.attrs["verdict"]
    gap = course["train_loss"].attrs["difference"]
    assert gap == pytest.approx(by, rel=1e-4, abs=2 * EPS) if by else gap == 0.0
    assert course["test_error"].attrs["difference"] == 0.0
    words = ("replay", path, "dimension=20", "signal_norm=0", "method=sgd", "--to", kept)
    code, out, errors = call(*words)
    assert code == (1 if kind == "differs" else 0)
    assert len(out.splitlines()) == 8
    assert errors == f"{course.attrs['point']}: {course.attrs['verdict']}\n"
    assert open_results(kept).attrs == course.attrs
    told = json.loads(call(*words, "--json")[1])
    assert told["agreement"] == kind
    assert told["differences"]["train_loss"] == gap


def test_replay__a_store_whose_log_is_lost_is_rounding_apart(
    moved: Callable[[float], Path],
) -> None:
    path = moved(4 * EPS)
    for entry in (path / "simdyn.store" / "log").iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
    course = replay(path, POINT, "sgd")
    assert course.attrs["agreement"] == "rounding"
    assert "its log does not say what computed the store" in course.attrs["verdict"]


def test_agreement__is_relative_to_the_run_and_state(tmp_path: Path) -> None:
    outer = ("replicate", "step")
    theirs = xr.Dataset(
        {
            "noise_coef": ((*outer, "filter"), np.array([[[1.0, 1e-9]], [[1e-3, 1e-3]]])),
            "test_error": (outer, np.array([[1e-30], [0.5]])),
            "margin": (outer, np.array([[np.nan], [1.0]])),
            "active_count": (outer, np.array([[3], [0]])),
            "status": ("replicate", np.array([1, 1], dtype=np.int8)),
        },
        {"updates": ("step", [5])},
    )
    ours = theirs.copy(deep=True)
    assert agreement(ours, theirs, tmp_path).kind == "bits"
    ours["noise_coef"][0, 0, 1] += 1e-13  # beside a coefficient of 1
    ours["test_error"][0, 0] *= 1 + 1e-12
    found = agreement(ours, theirs, tmp_path)
    assert found.differences["noise_coef"] == pytest.approx(1e-13, rel=1e-3)
    assert found.differences["test_error"] == pytest.approx(1e-12, rel=1e-3)
    assert found.differences["margin"] == found.differences["active_count"] == 0.0
    assert (found.compared, found.known, found.kind) == (12, False, "rounding")
    ours["active_count"][1, 0] = 1
    assert agreement(ours, theirs, tmp_path).largest == 1.0
    ours["margin"][0, 0] = 1.0
    assert agreement(ours, theirs, tmp_path).largest == 2.0
    assert agreement(ours, theirs, tmp_path).kind == "differs"
    theirs["status"][0] = 0
    assert agreement(ours, theirs, tmp_path).kind == "none"


GENERIC = """
import sys
from played import study
from simdyn.params import Record
from simdyn.run import run_study
run_study(study(record=Record(log_spaced=3), space={"dimension": [20, 3000]},
                data={"n_samples": 4, "signal_norm": 1.0}), sys.argv[1])
"""


@pytest.mark.campaign
def test_campaign__replay_of_a_store_of_another_type_of_cpu(tmp_path: Path) -> None:
    path = tmp_path / "played.zarr"
    env = {
        **os.environ,
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]),
    }
    subprocess.run([sys.executable, "-c", GENERIC, str(path)], env=env, check=True, timeout=900)
    assert [each["cpu"] for each in computed_by(path)] == ["generic"]
    for method in METHODS:
        course = replay(path, {"dimension": 3000}, method)
        assert course.attrs["agreement"] in ("bits", "rounding"), course.attrs["verdict"]
        assert course.attrs["replayed"] > 20
        if course.attrs["agreement"] == "rounding":
            assert "another type of CPU (generic; here " in course.attrs["verdict"]


@pytest.mark.parametrize("of", [None, "generic"])
def test_machine__tells_the_cpu_that_is_compiled_for(
    monkeypatch: pytest.MonkeyPatch, of: str | None
) -> None:
    monkeypatch.setattr(numba.config, "CPU_NAME", of)
    monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
    assert machine()["cpu"] == (of or llvmlite.binding.get_host_cpu_name())
    monkeypatch.setattr(numba.config, "CPU_FEATURES", "+avx")
    assert machine()["cpu"].endswith(" with +avx")


def test_status_and_verify__tell_who_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, here = tmp_path / "played.zarr", machine()
    Store(path, study())
    assert "computed on" not in call("status", path)[1]
    run_study(study(), path, shard=(1, 2))
    told = (
        f"  computed on {here['cpu']} with simdyn {here['simdyn']}, numba {here['numba']}, "
        f"llvmlite {here['llvmlite']}, numpy {here['numpy']}"
    )
    for command in ("status", "verify"):
        assert told in call(command, path)[1].splitlines()
        assert json.loads(call(command, path, "--json")[1])["computed_by"] == [here]
    monkeypatch.setattr("simdyn.store.log.machine", on(cpu="z80"))
    run_study(study(), path)
    for command in ("status", "verify"):
        code, out, _ = call(command, path)
        assert code == 0
        assert told in out.splitlines()
        assert "  computed on z80 with simdyn" in out
        assert "  by 2 types of CPU: values of one differ from those of another by rounding" in out
    assert call("verify", path)[0] == 0


@pytest.mark.parametrize(
    ("at", "method", "message"),
    [
        ({"dimension": 20}, "sgd", "signal_norm is missing; allowed is one of 0.0, 1.0"),
        (
            {"dimension": 21, "signal_norm": 0},
            "sgd",
            "dimension = 21: allowed is one of 20, 30, 40",
        ),
        ({"dimension": "x", "signal_norm": 0}, "sgd", "dimension = 'x': allowed is one of"),
        ({"dimensions": 20}, "sgd", "dimensions: no such axis; did you mean 'dimension'?"),
        ({"dimension": 20, "signal_norm": 0}, "adam", "method = 'adam'"),
        ({"dimension": 20, "signal_norm": 0}, None, "method is missing; allowed is one of sgd, "),
    ],
)
def test_replay__points_that_are_none(
    tmp_path: Path, at: dict[str, Any], method: str | None, message: str
) -> None:
    Store(tmp_path / "played.zarr", study())
    assert message in refusal(replay, tmp_path / "played.zarr", at, method)


def test_replay__before_the_point_is_computed(tmp_path: Path) -> None:
    Store(tmp_path / "played.zarr", study())
    course = replay(tmp_path / "played.zarr", {"dimension": 20, "signal_norm": 0}, "sgd")
    assert course.attrs["replayed"] == 0


def test_find_point__axes_that_go_together() -> None:
    space = {
        "dimension": [20, 30, 40],
        "signal_norm": [0.5, 0.5, 1.0],
        "zip": ["dimension", "signal_norm"],
    }
    made = study(space=space)
    assert find_point(made, {"dimension": 30}) == (1,)
    assert find_point(made, {"signal_norm": 1}) == (2,)
    assert find_point(made, {"dimension": 30, "signal_norm": 0.5}) == (1,)
    assert find_point(made, {"signal_norm": "~7"}) == (2,)
    assert find_point(made, {"signal_norm": 0.5, "dimension": "~100"}) == (1,)
    assert find_point(made, {"signal_norm": "~100", "dimension": 20}) == (0,)
    for near in (0.5, "~0.6"):
        with pytest.raises(InputError, match="2 points have this value; give dimension, too"):
            find_point(made, {"signal_norm": near})
    with pytest.raises(InputError, match="no point has these values together"):
        find_point(made, {"dimension": 30, "signal_norm": 1.0})


LONG: dict[str, Any] = {"dimension": [100], "signal_norm": {"start": 0, "stop": 10, "num": 21}}


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("5", 10),
        (5, 10),
        ("5e0", 10),
        (5 * (1 + 1e-13), 10),
        ("~5", 10),
        ("~5.2", 10),
        ("~5.25", 10),
        ("~5.3", 11),
        ("~-8", 0),
        ("~1e9", 20),
        ("~ 2.1", 4),
        (np.float64(0.5), 1),
    ],
)
def test_find_point__equal_or_nearest(given: Any, place: int) -> None:
    assert find_point(study(space=LONG), {"signal_norm": given}) == (0, place)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "5.1",
            "signal_norm = '5.1': not one of the 21 values from 0.0 to 10.0; nearby are 4.5, "
            "5.0, 5.5, 6.0; signal_norm~5.1 takes the nearest",
        ),
        (-3, "nearby are 0.0, 0.5, 1.0, 1.5; signal_norm~-3 takes the nearest"),
        (11, "nearby are 8.5, 9.0, 9.5, 10.0; signal_norm~11 takes the nearest"),
        (5 * (1 + 1e-11), "nearby are 4.5, 5.0, 5.5, 6.0"),
        ("x", "signal_norm = 'x': allowed is one of 0.0, 0.5"),
        ("nan", "signal_norm = 'nan': allowed is one of 0.0, 0.5"),
        ("inf", "signal_norm = 'inf': allowed is one of 0.0, 0.5"),
        ("~", "signal_norm~: allowed after ~ is a finite number"),
        ("~x", "signal_norm~x: allowed after ~ is a finite number"),
        ("~inf", "signal_norm~inf: allowed after ~ is a finite number"),
    ],
)
def test_find_point__values_that_are_none(given: Any, said: str) -> None:
    with pytest.raises(InputError) as problem:
        find_point(study(space=LONG), {"signal_norm": given})
    assert said in str(problem.value)
    assert len(str(problem.value)) < 200


def test_find_point__texts_have_no_nearest() -> None:
    made = study(
        space={"noise": ["isotropic", "orthogonal"]},
        data={"n_samples": 4, "dimension": 20, "signal_norm": 1.0},
    )
    assert find_point(made, {"noise": "orthogonal"}) == (1,)
    with pytest.raises(InputError, match="noise~orthogonal: allowed after ~ is a finite number, "):
        find_point(made, {"noise": "~orthogonal"})


# -- masked points -------------------------------------------------------------------------------


def test_run_study__masked_points_are_not_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import simdyn.run.block as block

    seen: list[tuple[int, float]] = []
    real = block.run_replicates

    def run_replicates(data: Any, *rest: Any) -> Any:
        seen.append((data.dimension, data.signal_norm))
        return real(data, *rest)

    monkeypatch.setattr(block, "run_replicates", run_replicates)
    results = run_study(study(**STUDIES["masked"]), tmp_path / "played.zarr")
    assert (20, 0.0) not in seen
    assert len(set(seen)) == 5
    masked = results["status"].sel(dimension=20, signal_norm=0.0)
    assert (masked == MASKED).all()
    assert np.isnan(results["train_loss"].sel(dimension=20, signal_norm=0.0)).all()
    assert ((results["status"] == MASKED).sum()) == masked.size
    whole = study().run()
    xr.testing.assert_equal(
        results["train_loss"].isel(dimension=slice(1, None)),
        whole["train_loss"].isel(dimension=slice(1, None)),
    )


# -- status, plan, verify: from the store alone --------------------------------------------------


def test_status__counts_from_the_store_alone(tmp_path: Path) -> None:
    path, made = tmp_path / "played.zarr", study(**STUDIES["masked"])
    run_study(made, path, shard=(1, 2))
    code, out, _ = call("status", path, "--json")
    report = json.loads(out)
    status = open_results(path)["status"].values
    assert code == 0
    assert report["blocks_done"] == int(Store(path, made).receipts().sum()) > 0
    assert report["runs"]["done"] == (status == 1).sum()
    assert report["runs"]["masked"] == (status == MASKED).sum()
    assert report["runs"]["missing"] == (status == 0).sum() > 0
    run_study(made, path)
    code, out, _ = call("status", path, "--watch", "--every", "0.1")
    assert code == 0
    assert out == "played: 36 runs done, 0 of them failed, 0 waiting\n"


def test_status__watch_in_json_and_while_the_study_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simdyn.cli import stores

    path = tmp_path / "played.zarr"
    run_study(study(), path, shard=(1, 2))
    looks = []

    def sleep(_: float) -> None:
        looks.append(1)
        if len(looks) == 2:
            run_study(study(replicates=4), path, shard=(1, 2))

    monkeypatch.setattr(stores.time, "sleep", sleep)
    code, out, errors = call("status", path, "--watch", "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == 2
    assert told[0]["runs"] == 36
    assert 0 < told[0]["waiting"] < 36
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "no longer holds this study" in errors


@pytest.mark.parametrize("gone", [False, True])
def test_replay_plot_export__name_the_block_that_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    figure = PhaseDiagram(x="dimension", y="signal_norm", compare=("sgd", "sam"))
    made, path = study(figure=figure), tmp_path / "results" / "played.zarr"
    run_study(made, path)
    monkeypatch.setattr("simdyn.cli.studies.load", lambda *_: made)
    assert call("plot played.toml")[0] == 0
    block = Store(path, made).blocks.holding((2, 1, 0))
    file = path / Store(path, made).files_of(made.blocks[block])["test_error"]
    if gone:
        file.unlink()
    else:
        file.write_bytes(b"x" + file.read_bytes()[1:])
    at = ("dimension=40", "signal_norm=1", "method=sgd")
    for words in (("plot", "played.toml"), ("replay", path, *at), ("export", path)):
        code, _, errors = call(*words)
        assert (code, len(errors.splitlines())) == (2, 1), (words, errors)
        assert f"block {block} is damaged: " in errors
        assert ("is missing" in errors) == gone
    assert call("replay", path, "dimension=20", *at[1:])[0] == 0  # another block
    assert not (tmp_path / "results" / "played.nc").exists()


def test_export__keeps_the_whole_name(tmp_path: Path) -> None:
    run_study(study(), tmp_path / "run.v1")
    assert call("export", tmp_path / "run.v1")[1] == f"{tmp_path / 'run.v1.nc'}\n"


def test_display__runs_done_again_count_once(capsys: pytest.CaptureFixture[str]) -> None:
    from simdyn.api.display import Display

    display = Display("played")
    display.start(10, 8)
    for _ in range(4):
        display.recompute(2)
        display.advance(2)
    display.advance(2)
    assert "10/10 (100%)" in capsys.readouterr().err
    assert (display.done, display.fresh) == (10, 10)


def test_status__tells_the_causes_of_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import simdyn.run.block as block

    real = block.run_replicates

    def run_replicates(data: Any, *rest: Any) -> Any:
        if data.dimension == 30:
            raise MemoryError("no room")
        return real(data, *rest)

    monkeypatch.setattr(block, "run_replicates", run_replicates)
    run_study(study(), tmp_path / "played.zarr")
    code, out, _ = call("status", tmp_path / "played.zarr")
    assert code == 0
    assert "12 runs failed" in out
    assert "dimension = 30, signal_norm = 0.0: no room" in out
    assert call("verify", tmp_path / "played.zarr")[0] == 0  # a failed point is no damage


def test_cli_replay__prints_the_course_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "played.zarr"
    run_study(study(), path)
    kept = tmp_path / "course.zarr"
    words = ("replay", path, "dimension~33", "signal_norm=1", "method=sam", "--to", kept)
    code, out, errors = call(*words)
    assert code == 0, errors
    assert len(out.splitlines()) == 8
    assert errors == (
        "dimension = 30, signal_norm = 1.0, method = sam: 27 values of the store "
        "came out with the same bits\n"
    )
    opened, course = open_results(kept), replay(path, {"dimension": 30, "signal_norm": 1}, "sam")
    xr.testing.assert_identical(opened.load(), course)
    assert list(opened.data_vars) == list(course.data_vars)
    assert call(*words)[0] == 0  # kept once more, in its place
    for word in ("dimension", "dimension=", "=3", "~3"):
        code, _, errors = call("replay", path, word)
        assert (code, errors) == (
            2,
            f"simdyn: {word!r}: allowed is AXIS=VALUE, dimension=1000, or "
            "AXIS~VALUE, the nearest\n",
        )
    shutil.rmtree(kept / "status")
    with pytest.raises(InputError, match=r"course.zarr: damaged \(.*; make it again"):
        open_results(kept)


def test_cli_replay__of_long_training_is_thinned_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "long.zarr"
    data = {"n_samples": 4, "dimension": 20, "signal_norm": 1.0}
    plan = {"sgd": [SGD(learning_rate=0.1, epochs=1500)]}
    run_study(study(data=data, methods=plan, space={}), path)
    code, out, errors = call("replay", path)
    assert code == 0, errors
    assert 100 < len(out.splitlines()) < 1001
    assert "states of 1,500 epochs, log-spaced as by Record(log_spaced=1000); --every 1" in errors
    code, out, errors = call("replay", path, "--every", 1)
    assert len(out.splitlines()) == 1502
    assert "log-spaced" not in errors


def test_price__calibrated_is_near_what_it_takes_and_left_is_what_is_left() -> None:
    made = study(replicates=20)
    none = np.zeros(len(made.blocks), dtype=bool)
    nominal = price(made, made.blocks, none, calibrated=False)
    assert nominal.seconds == nominal.left == pytest.approx(made.cost, rel=0.2)
    some = none.copy()
    some[: len(some) // 2] = True
    half = price(made, made.blocks, some, calibrated=False)
    assert half.seconds == pytest.approx(nominal.seconds, rel=0.2)
    assert half.left == pytest.approx(nominal.seconds / 2, rel=0.2)
    timed = price(made, made.blocks, none)
    assert timed.measured > 0
    assert timed.seconds > 0


def test_price__long_trainings_are_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    import simdyn.run.price as pricing

    epochs: list[int] = []
    real = pricing.run_replicates

    def run_replicates(data: Any, net: Any, plans: Any, *rest: Any) -> Any:
        epochs.append(max(phase.epochs for plan in plans for phase in plan))
        return real(data, net, plans, *rest)

    monkeypatch.setattr(pricing, "run_replicates", run_replicates)
    monkeypatch.setattr(pricing, "CALIBRATION_SECONDS", 0.2)
    long = Study(
        {"n_samples": 4, "dimension": 20, "signal_norm": 1.0},
        {"n_filters": 2, "init_std": 0.01},
        {"sgd": SGD(learning_rate=1e-6, epochs=10**9)},
        replicates=5,
    )
    found = price(long, long.blocks, np.zeros(len(long.blocks), dtype=bool))
    assert 0 < max(epochs) < 10**8
    assert found.seconds > 5  # a billion epochs, whatever the machine


def test_blocks__are_made_when_asked_for() -> None:
    blocks = Blocks((10**4, 10**3, 7), (3, 10, 7))
    assert len(blocks) == 3334 * 100
    assert blocks[-1].region == (slice(9999, 10000), slice(990, 1000), slice(0, 7))
    for number in (0, 1, 99, 100, 333_399, 123_456):
        block = blocks[number]
        assert block.number == number
        assert blocks.holding([part.start for part in block.region]) == number
        assert blocks.holding([part.stop - 1 for part in block.region]) == number
    with pytest.raises(IndexError):
        blocks[len(blocks)]
