"""Running a study: the same values however it is run, cut up, killed or interrupted."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from chaos import write_study
from commands import call, command, ended
from common import Heard, same

from simdyn import open_results, simulate
from simdyn.api.study import Study
from simdyn.base.inputs import InputError
from simdyn.engine import replicates
from simdyn.params import SAM, SGD, Record, SignalNoiseData
from simdyn.run import FAILED, run_block, run_study
from simdyn.run.progress import Silent
from simdyn.variables.selection import by_studies, offers_of, recordable

SCALARS = by_studies(recordable(offers_of(SignalNoiseData)))


def study(**changes: Any) -> Study:
    options: dict[str, Any] = {
        "replicates": 3,
        "seed": 7,
        "record": Record(every=2, variables=(*SCALARS, "margin", "signal_coef", "noise_coef")),
        **changes,
    }
    methods = {
        "sgd": [SGD(learning_rate=0.1, epochs=4)],
        "sam": [SAM(radius=0.1, learning_rate=0.1, epochs=2), SGD(learning_rate=0.5, epochs=2)],
    }
    space = {"dimension": [20, 30, 50], "signal_norm": [0.0, 1.0]}
    return Study({"n_samples": 6}, {"n_filters": 3, "init_std": 0.01}, methods, space, **options)


@pytest.fixture(scope="module")
def expected() -> xr.Dataset:
    return study().run(threads=1)


# -- the same values however it is run -----------------------------------------------------------


@pytest.mark.parametrize("threads", [2, 5])
def test_run_study__any_number_of_threads(expected: xr.Dataset, threads: int) -> None:
    same(study().run(threads=threads), expected)


@pytest.mark.parametrize(("seconds", "least"), [(0.5, 1), (0.5, 2), (0.5, 5), (1e-9, 32)])
def test_run_study__any_size_of_blocks(
    expected: xr.Dataset,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    seconds: float,
    least: int,
) -> None:
    monkeypatch.setattr("simdyn.study.blocks.BLOCK_SECONDS", seconds)
    monkeypatch.setattr("simdyn.study.blocks.MIN_BLOCKS", least)
    made = study()
    assert len(made.blocks) == {1: 1, 2: 3, 5: 6, 32: 18}[least]
    same(made.run(threads=2), expected)
    same(study().run(tmp_path / "one.zarr", threads=2), expected)


def test_run_study__on_disk_equals_in_memory(expected: xr.Dataset, tmp_path: Path) -> None:
    same(study().run(tmp_path / "one.zarr"), expected)
    same(study().run(str(tmp_path / "two.zarr"), threads=1), expected)


def test_run_study__one_point_equals_simulate(expected: xr.Dataset) -> None:
    made = study()
    point = made.space.point((2, 1))
    for method, plan in zip(made.space.methods, point.plans, strict=True):
        alone = simulate(point.data, point.net, plan, seed=7, replicates=3, record=Record(every=2))
        there = expected.isel(dimension=2, signal_norm=1).sel({"method": method})
        for name in there.data_vars:
            np.testing.assert_array_equal(alone[name].values, there[name].values, err_msg=str(name))


def test_run_study__without_axes(tmp_path: Path) -> None:
    made = Study(
        {"n_samples": 4, "dimension": 20, "signal_norm": 1},
        {"n_filters": 2, "init_std": 0.01},
        {"sgd": SGD(learning_rate=0.1, epochs=2)},
    )
    results = made.run(tmp_path / "one.zarr")
    assert results["train_loss"].dims == ("method", "replicate", "step")
    same(results, made.run())


def test_run_study__progress_counts_runs(tmp_path: Path) -> None:
    heard = Heard()
    run_study(study(), tmp_path / "one.zarr", progress=heard)
    runs = 3 * 2 * 2 * 3
    assert heard.begun == [(runs, 0)]
    assert sum(heard.steps) == runs
    assert all(step > 0 for step in heard.steps)
    again = Heard()
    run_study(study(), tmp_path / "one.zarr", progress=again)
    assert (again.begun, again.steps, again.failures) == ([(runs, runs)], [], [])


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_run_study__threads_that_are_none(tmp_path: Path, threads: Any) -> None:
    with pytest.raises(InputError, match=r"threads = .*: allowed is an integer ≥ 1"):
        study().run(tmp_path / "one.zarr", threads=threads)
    assert list(tmp_path.iterdir()) == []


# -- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError(),
        MemoryError("2 PB"),
        ValueError("array too big"),
        InputError("bad"),
        OverflowError("too large"),
        ZeroDivisionError("division by zero"),
        RuntimeError("odd"),
    ],
    ids=repr,
)
def test_run_study__a_point_that_fails_is_marked_and_the_rest_goes_on(
    expected: xr.Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, problem: Exception
) -> None:
    def run_replicates(data: Any, *arguments: Any) -> Any:
        if (data.dimension, data.signal_norm) == (30, 1.0):
            raise problem
        return replicates.run_replicates(data, *arguments)

    monkeypatch.setattr("simdyn.run.block.run_replicates", run_replicates)
    heard = Heard()
    results = run_study(study(), tmp_path / "one.zarr", progress=heard)
    bad = {"dimension": 30, "signal_norm": 1.0}
    assert (results["status"].sel(bad) == FAILED).all()
    assert np.isnan(results["train_loss"].sel(bad)).all()
    assert np.isnan(results["noise_coef"].sel(bad)).all()
    good = xr.ones_like(expected["status"], dtype=bool)
    good.loc[bad] = False
    for name in expected.data_vars:
        same_place = results[name].where(good).values, expected[name].where(good).values
        np.testing.assert_array_equal(*same_place, err_msg=str(name))
    assert heard.failures
    for place, cause in heard.failures:
        assert "(1, 1)" in place or ("30" in place and "1.0" in place)
        assert cause == (str(problem) or type(problem).__name__)


@pytest.mark.parametrize("on_disk", [False, True])
def test_run_study__an_exception_leaves_no_thread(on_disk: bool, tmp_path: Path) -> None:
    """Not even while the exception is kept, and with it what was left half done.

    Threads that only the collector of cycles ends are ended within anything, also within what holds
    the lock that they wait for.
    """

    class Failing(Silent):
        def advance(self, runs: int) -> None:
            raise OSError("no space is left")

    path = tmp_path / "one.zarr" if on_disk else None
    before = {*threading.enumerate()}
    with pytest.raises(OSError, match="no space") as kept:
        run_study(study(), path, threads=2, progress=Failing())
    assert kept.tb is not None
    more = {*threading.enumerate()} - before
    assert not [one for one in more if one.name.startswith("ThreadPool")]


def test_run_block__stop_flag_leaves_nothing_written(tmp_path: Path) -> None:
    made = study()
    assert run_block(made, made.blocks[0], np.ones(1, np.int64), lambda *_: None) is None


def test_run_study__an_unexpected_exception_stops_the_kernels_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Study(
        {"n_samples": 6, "signal_norm": 1.0},
        {"n_filters": 3, "init_std": 0.01},
        {"sgd": SGD(learning_rate=1e-9, epochs=10**9)},
        {"dimension": [20, 30, 50]},
    )

    def run_replicates(data: Any, *arguments: Any) -> Any:
        if data.dimension == 30:
            time.sleep(0.5)
            raise KeyboardInterrupt
        return replicates.run_replicates(data, *arguments)

    monkeypatch.setattr("simdyn.run.block.run_replicates", run_replicates)
    with pytest.raises(KeyboardInterrupt):  # and not in the hours that a billion epochs take
        made.run(threads=3)


# -- Ctrl-C --------------------------------------------------------------------------------------


def wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 120.0) -> None:
    limit = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_cli_run__interrupted_in_long_trajectories_ends_at_once(
    undisturbed: xr.Dataset, tmp_path: Path, sent: signal.Signals
) -> None:
    study_file = write_study(tmp_path, 10**8, "long")
    process = command("run", study_file, "--threads", 2, cwd=tmp_path)
    store = tmp_path / "results" / "long.zarr"
    wait_for(store / "simdyn.store" / "log", process)
    time.sleep(1.5)  # kernels are loaded and at work
    process.send_signal(sent)
    answer = ended(process)
    assert answer.code == 130
    assert answer.err.splitlines()[-1] == "simdyn: interrupted; run the same command to go on"
    assert "Traceback" not in answer.err
    assert (open_results(store)["status"].values == 0).all()
    assert not (tmp_path / "figures").exists()


def blocks_on_disk(store: Path) -> int:
    return sum(1 for _ in (store / "simdyn.store" / "receipts" / "sha256" / "c").glob("*/0"))


def test_cli_run__interrupted_and_resumed_equals_undisturbed(
    file: Path, undisturbed: xr.Dataset, tmp_path: Path
) -> None:
    store = tmp_path / "results" / "killed.zarr"
    for _ in range(2):
        before = blocks_on_disk(store)
        process = command("run", file, cwd=tmp_path)
        while blocks_on_disk(store) == before:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert (answer := ended(process)).code == 130, answer
        assert (open_results(store)["status"].values == 0).any()
    answer = call("run", file, "--out", tmp_path)
    assert answer.code == 0, answer
    assert "already done" in answer.err
    same(open_results(store), undisturbed)


def test_cli_simulate__interrupted_ends_at_once(undisturbed: xr.Dataset, tmp_path: Path) -> None:
    line = f"simulate --dimension 100 --signal-norm 1 --epochs {10**9}"
    process = command(line, cwd=tmp_path)
    time.sleep(5.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    answer = ended(process)
    assert answer.code == 130
    assert "Traceback" not in answer.err


def test_train__interrupted_ends_at_once(tmp_path: Path) -> None:
    code = """
import numpy as np, simdyn
draw = np.random.default_rng(0).normal
problem = simdyn.Problem.from_patches(
    draw(size=(8, 2, 20)), np.array([1, -1] * 4), draw(size=(2, 3, 20)) * 0.01)
record = simdyn.Record(every=10**8)
simdyn.train(problem, simdyn.SGD(learning_rate=1e-9, epochs=1), record=record)
print("compiled", flush=True)
simdyn.train(problem, simdyn.SGD(learning_rate=1e-9, epochs=10**8), record=record)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "compiled\n"
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert "KeyboardInterrupt" in errors
    finally:
        process.kill()
        process.communicate()
