"""One block of work, three ways to run it: threads, Dask, shards. Equal bits, equal files."""

import contextlib
import dataclasses
import getpass
import hashlib
import itertools
import json
import logging
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import distributed  # before dask.config.set, or its defaults come later and go with it
import numpy as np
import pytest
import typer
import xarray as xr
from chaos import free_port, write_study
from commands import call, command, ended, refused
from common import Heard, items, unlogged

from simdyn import open_results
from simdyn.api.study import Study, load_study
from simdyn.base.inputs import InputError, LeftUndone
from simdyn.cli.options import guard
from simdyn.engine import replicates
from simdyn.kernels.cache import cache_folder
from simdyn.params import SAM, SGD, Record, SignalNoiseData
from simdyn.run import FAILED, Silent, clusters, run_study
from simdyn.run.clusters import Jobs, job_cluster, open_client
from simdyn.run.dask import WINDOW, DaskBlocks
from simdyn.run.isolated import MANY, Death, Diagnosis, find_deaths
from simdyn.run.price import price
from simdyn.store import Store
from simdyn.study.cost import seconds
from simdyn.variables.selection import by_studies, offers_of, recordable

SCALARS = by_studies(recordable(offers_of(SignalNoiseData)))
pytestmark = pytest.mark.filterwarnings("default")  # of Dask's own


def study(**changes: Any) -> Study:
    options: dict[str, Any] = {
        "replicates": 4,
        "seed": 7,
        "record": Record(every=2, variables=(*SCALARS, "margin", "signal_coef", "noise_coef")),
        **changes,
    }
    methods = {
        "sgd": [SGD(learning_rate=0.1, epochs=4)],
        "sam": [SAM(radius=0.1, learning_rate=0.1, epochs=2), SGD(learning_rate=0.5, epochs=2)],
    }
    space = {"dimension": [20, 30, 50, 80], "signal_norm": [0.0, 1.0, 2.0]}
    return Study({"n_samples": 6}, {"n_filters": 3, "init_std": 0.01}, methods, space, **options)


def sha(path: Path) -> str:
    """SHA-256 of all decoded results."""
    digest = hashlib.sha256()
    with open_results(path) as results:
        for name in sorted(map(str, results.variables)):
            values = results[name].values
            plain = str(values.tolist()).encode() if values.dtype.kind == "U" else values.tobytes()
            digest.update(f"{name}{values.shape}".encode() + plain)
    return digest.hexdigest()


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with open_client("local:2") as made:
        yield made


# -- equal bits ----------------------------------------------------------------------------------


def run_somehow(
    made: Study, path: Path, how: str, rng: random.Random, client: Any, interrupts: int
) -> None:
    """Run a study to its end, in the given way, interrupted so many times at random."""
    for left in range(interrupts, -1, -1):
        heard = Heard(rng.randint(1, 4) if left else 0)
        try:
            if how == "dask":
                run_study(made, path, client=client, progress=heard)
            elif how == "shards":
                parts = rng.randint(1, 5)
                for part in rng.sample(range(1, parts + 1), parts):
                    run_study(made, path, shard=(part, parts), progress=heard)
            else:
                run_study(made, path, threads=int(how), progress=heard)
        except KeyboardInterrupt:
            continue


@pytest.mark.parametrize("how", ["4", "dask", "shards"])
def test_run_study__equal_files_however_it_is_run(tmp_path: Path, client: Any, how: str) -> None:
    made = study()
    run_study(made, tmp_path / "one.zarr", threads=1)
    run_somehow(made, tmp_path / "two.zarr", how, random.Random(how), client, interrupts=1)
    assert unlogged(tmp_path / "two.zarr") == unlogged(tmp_path / "one.zarr")
    assert sha(tmp_path / "two.zarr") == sha(tmp_path / "one.zarr")


def test_run_study__executors_change_in_the_middle(tmp_path: Path, client: Any) -> None:
    made, path = study(), tmp_path / "mixed.zarr"
    run_study(made, tmp_path / "one.zarr", threads=1)
    blocks = len(made.blocks)
    heard = Heard()
    run_study(made, path, shard=(2, 3), progress=heard)
    assert heard.blocks == len(range(1, blocks, 3))
    with pytest.raises(KeyboardInterrupt):
        run_study(made, path, client=client, progress=(heard := Heard(3)))
    before = int(Store(path, study()).receipts().sum())
    run_study(made, path, threads=2, progress=(heard := Heard()))
    assert heard.blocks <= blocks - before
    assert unlogged(path) == unlogged(tmp_path / "one.zarr")
    run_study(made, path, client=client, progress=(heard := Heard()))
    assert heard.blocks == 0


@pytest.mark.campaign
def test_run_study__equality_campaign(
    tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, sums, count = random.Random(0), set(), 0
    of_size: dict[int, dict[str, bytes]] = {}
    for how, least, interrupts, order in itertools.product(
        ("1", "2", "4", "dask", "shards"), (1, 2, 7, 32), (0, 1, 3), range(3)
    ):
        monkeypatch.setattr("simdyn.study.blocks.MIN_BLOCKS", least)
        made, path = study(), tmp_path / f"{how}-{least}-{interrupts}-{order}.zarr"
        if order:  # some blocks first, at random
            store = Store(path, made)
            parts = rng.sample(range(1, len(store.blocks) + 1), min(order, len(store.blocks)))
            for part in parts:
                run_study(made, path, shard=(part, len(store.blocks)))
        run_somehow(made, path, how, rng, client, interrupts)
        sums.add(sha(path))
        kept = of_size.setdefault(len(made.blocks), unlogged(path))
        assert unlogged(path) == kept
        count += 1
    print(
        f"\n{count} runs over executor × block size × interruption × order: "
        f"{len(sums)} different SHA-256, files equal at each of {len(of_size)} block sizes"
    )
    assert len(sums) == 1


# -- Dask ----------------------------------------------------------------------------------------


def test_dask__window_and_receipts(tmp_path: Path, client: Any) -> None:
    store = Store(tmp_path / "one.zarr", study())
    blocks = DaskBlocks(client, store, Silent())
    widest, receipts = 0, []
    for receipt in blocks.run(iter(range(len(store.blocks)))):
        widest = max(widest, len(blocks.running) + 1)
        receipts.append(receipt)
    assert widest <= WINDOW * 2
    assert sorted(receipt.number for receipt in receipts) == list(range(len(store.blocks)))
    assert all(store.is_done(block) for block in store.blocks)


# Loaded by every process started below: in those that compute, some points end it.
CRASH = """
import os, signal, sys, time
if "simdyn.run.isolated" in sys.orig_argv or "spawn_main" in " ".join(sys.orig_argv):
    import simdyn.run.block as block
    alone = "simdyn.run.isolated" in sys.orig_argv
    real = block.run_replicates
    def run_replicates(data, *rest):
        DEATH
        return real(data, *rest)
    block.run_replicates = run_replicates
"""
BAD = "if (data.dimension, data.signal_norm) == (30, 1.0): "


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes clients whose workers have points that end them, after the first death of a task."""

    @contextlib.contextmanager
    def made(death: str) -> Iterator[Any]:
        (tmp_path / "sitecustomize.py").write_text(CRASH.replace("DEATH", death))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        settings = {"distributed.scheduler.allowed-failures": 0}
        with dask.config.set(settings), open_client("local:2") as client:
            yield client

    monkeypatch.setattr("simdyn.study.blocks.MIN_BLOCKS", 3)
    return made


def test_dask__points_that_end_their_process_are_found_and_marked(
    tmp_path: Path, crashing: Callable[..., Any]
) -> None:
    heard, made, path = Heard(), study(), tmp_path / "one.zarr"
    with crashing(BAD + "os.kill(os.getpid(), signal.SIGSEGV)") as client:
        results = run_study(made, path, client=client, progress=heard)
    expected = run_study(study(), threads=1)
    status = results["status"].values
    bad = np.zeros(status.shape, dtype=bool)
    bad[1, 1] = True
    assert (status[bad] == FAILED).all()
    for name in expected.data_vars:
        np.testing.assert_array_equal(results[name].values[~bad], expected[name].values[~bad])
        if expected[name].dtype == np.float64:
            assert np.isnan(results[name].values[bad]).all()
    cause = "it ended its process (SIGSEGV, 3 times)"
    assert heard.failures == [("dimension = 30, signal_norm = 1.0", cause)]
    assert any("looking for the cause" in note for note in heard.notes)
    run_study(study(), path, threads=1, progress=(again := Heard()))
    assert sum(again.steps) == 0  # a failed point is done
    assert ["1 point(s) failed before" in note for note in again.notes] == [True]
    assert len(again.failed_earlier) == 1
    retried = run_study(study(), path, threads=1, retry_failed=True, progress=(again := Heard()))
    assert sum(again.steps) > 0
    for name in expected.data_vars:
        np.testing.assert_array_equal(retried[name].values, expected[name].values)


@pytest.mark.parametrize(
    ("death", "said"),
    [
        # As the system kills the process that has taken the last memory, or a batch system.
        pytest.param(
            BAD + "os.kill(os.getpid(), 9)",
            "its process was killed from outside (SIGKILL, 3 times)",
            marks=pytest.mark.campaign,
        ),
        # As at a time limit: whoever computes the point is gone, and who looks into it, too.
        (
            BAD + "os.kill(os.getppid() if alone else os.getpid(), 9); time.sleep(9)",
            "its workers were killed repeatedly",
        ),
    ],
)
def test_dask__points_killed_from_outside_are_left_for_the_next_run(
    tmp_path: Path, crashing: Callable[..., Any], death: str, said: str
) -> None:
    heard, path = Heard(), tmp_path / "one.zarr"
    with crashing(death) as client, pytest.raises(LeftUndone, match="is left undone") as problem:
        run_study(study(), path, client=client, progress=heard)
    assert said in str(problem.value)
    assert "run the same command to go on" in str(problem.value)
    assert heard.failures == []
    status = open_results(path)["status"].values
    assert set(status.ravel().tolist()) == {0, 1}
    assert (status[1, 1] == 0).all()
    assert (status[0] == 1).all()  # blocks without such a point are done
    again = run_study(study(), path, threads=1)
    xr.testing.assert_identical(again.load(), run_study(study(), tmp_path / "two.zarr").load())


class Processes:
    """Processes of their own in which some points die: how, each time they are tried."""

    def __init__(self, size: int, deaths: dict[int, list[int]]) -> None:
        self.size, self.deaths, self.started = size, deaths, 0

    def computed(
        self, path: str, number: int, first: int, stop: int = 10**6
    ) -> tuple[list[int], int | None]:
        self.started += 1
        points = list(range(first, min(stop, self.size)))
        for k, point in enumerate(points):
            if codes := self.deaths.get(1000 * number + point):
                return points[: k + 1], codes.pop(0)
        return points, None


@pytest.mark.parametrize(
    ("size", "deaths", "control", "found", "lived"),
    [
        (6, {2: [-11, -6, 3]}, None, {2: "SIGABRT, SIGSEGV, exit code 3"}, True),
        (6, {2: [-11, -11]}, None, {}, True),  # the third time it lives
        (6, {0: [-9] * 3, 5: [-15] * 3}, None, {0: "SIGKILL", 5: "SIGTERM"}, True),
        (2, {0: [-4] * 9, 1: [-4] * 9}, None, {0: "SIGILL", 1: "SIGILL"}, False),
        (2, {0: [-4] * 9, 1: [-4] * 9}, 7, {0: "SIGILL", 1: "SIGILL"}, True),
        (2, {0: [-4] * 9, 1: [-4] * 9, 7000: [-4]}, 7, {0: "SIGILL", 1: "SIGILL"}, False),
        (99, {k: [-4] * 9 for k in range(99)}, None, dict.fromkeys(range(MANY), "SIGILL"), False),
        (1, {0: [0] * 3}, 7, {0: "exit code 0"}, True),
    ],
)
def test_find_deaths__points_that_die_while_others_live(
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    deaths: dict[int, list[int]],
    control: int | None,
    found: dict[int, str],
    lived: bool,
) -> None:
    processes = Processes(size, deaths)
    monkeypatch.setattr("simdyn.run.isolated._computed", processes.computed)
    answer = find_deaths("", 0, control)
    assert {death.point: death.how for death in answer.deaths} == found
    assert answer.others_live is lived
    for death in answer.deaths:
        assert death.by_itself is ("KILL" not in death.how and "TERM" not in death.how)
    assert processes.started <= 3 + 3 * min(len(deaths), MANY)


def test_dask__a_machine_on_which_no_point_lives_is_not_the_points_fault(
    tmp_path: Path, client: Any
) -> None:
    store = Store(tmp_path / "one.zarr", study())
    blocks = DaskBlocks(client, store, Silent())
    blocks._killed(3, diagnosed=False)
    blocks._judge(3, Diagnosis((Death(0, (-4,)),), others_live=False))
    assert "each of its points ended its process (SIGILL)" in blocks.undone[3]
    assert not blocks.running


def test_dask__jobs_that_end_before_a_block_is_finished(
    tmp_path: Path, crashing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Workers that hand their blocks back in time are never counted as killed.
    monkeypatch.setattr("simdyn.run.dask._lifetime", lambda client: 0.5)
    path = tmp_path / "one.zarr"
    death, said = "if data.dimension == 80: time.sleep(60)", r"jobs worked for .* without finishing"
    with crashing(death) as client, pytest.raises(LeftUndone, match=said):
        run_study(study(), path, client=client)
    status = open_results(path)["status"].values
    assert (status[0] == 1).all()
    assert (status[3] == 0).all()


def test_dask__a_scheduler_that_is_not_there(tmp_path: Path) -> None:
    file = write_study(tmp_path, 10)
    message = refused(tmp_path, "run", file, "--dask", f"tcp://127.0.0.1:{free_port()}")
    assert "no scheduler answers" in message
    assert len(message.splitlines()) == 1


def test_dask__workers_that_do_not_see_the_store(
    tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "one.zarr", study())
    blocks = DaskBlocks(client, store, Silent())
    blocks.call = (str(tmp_path / "elsewhere.zarr"), study().fingerprint)
    with pytest.raises(InputError, match=r"elsewhere\.zarr: no such results"):
        list(blocks.run(iter(range(3))))


# -- shards --------------------------------------------------------------------------------------


def test_worker__two_shards_at_once_leave_nothing_to_run(tmp_path: Path) -> None:
    file = write_study(tmp_path, 100)
    shards = [
        command("worker", file, "--shard", f"{k}/2", "--threads", 1, cwd=tmp_path) for k in (1, 2)
    ]
    for answer in map(ended, shards):
        assert (answer.code, answer.out) == (0, "results/killed.zarr\n"), answer
    answer = call("run", file, "--out", tmp_path)
    assert answer.code == 0
    assert "96 runs, 96 already done" in answer.err
    run_study(load_study(file), tmp_path / "one.zarr")
    assert unlogged(tmp_path / "results" / "killed.zarr") == unlogged(tmp_path / "one.zarr")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_worker__shards_that_are_none(tmp_path: Path, shard: str) -> None:
    message = refused(tmp_path, "worker", write_study(tmp_path, 10), f"--shard={shard}")
    assert "allowed is I/N with I from 1 to N" in message
    assert len(message.splitlines()) == 1


def test_run__two_at_once_both_finish(tmp_path: Path) -> None:
    file = write_study(tmp_path, 1500)
    both = [command("run", file, "--threads", 1, cwd=tmp_path) for _ in range(2)]
    for answer in map(ended, both):
        assert answer.code == 0, answer
    run_study(load_study(file), tmp_path / "one.zarr")
    assert unlogged(tmp_path / "results" / "killed.zarr") == unlogged(tmp_path / "one.zarr")


# -- batch scripts -------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(file: Path, line: str) -> str:
    """What `simdyn plan` prints for a study, as its options say."""
    answer = call(f"plan --nominal {line}", file)
    assert answer.code == 0, answer
    return answer.out


def share_compiled_code(folder: Path) -> None:
    """Put a link to compiled code there, so that a script need not compile once more."""
    cache = cache_folder()
    assert cache is not None
    folder.symlink_to(cache.parents[1])


def test_plan__sbatch_runs_as_a_script(here: Path) -> None:
    jobs = "--cores 2 --queue short --account theory --walltime 00:10:00 --memory 4GB"
    text = plan(write_study(here, 10), f"--sbatch --shards 2 {jobs}")
    for line in items("""
        --array=1-2  --cpus-per-task=2  --partition=short  --account=theory  --time=00:10:00
        --mem=4G  --signal=B:USR1@60  --requeue
    """):
        assert f"#SBATCH {line}\n" in text
    (here / "job.sh").write_text(text)
    share_compiled_code(here / "simdyn-cache")
    for task in ("2", "1"):
        done = subprocess.run(
            ["bash", "job.sh"],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
            env={
                "SLURM_ARRAY_TASK_ID": task,
                "PATH": "/usr/bin:/bin",
                "TMPDIR": str(here),
                "NUMBA_CACHE_DIR": "",
            },
        )
        assert done.returncode == 0, done.stderr
    store = Store(here / "results" / "killed.zarr", load_study(here / "killed.toml"))
    assert all(store.is_done(block) for block in store.blocks)


EPOCHS = 80_000  # of a task that is at work for some seconds on any machine


@dataclasses.dataclass
class Task:
    """A task of an array, run by the shell; `scontrol` notes what it is told."""

    process: subprocess.Popen[str]
    store: Store
    told: Path

    def end(self) -> tuple[int, str, list[str]]:
        """Exit code, what it said, and the tasks that are queued again."""
        _, errors = self.process.communicate(timeout=120)
        told = self.told.read_text().splitlines() if self.told.exists() else []
        return self.process.returncode, errors, told


def task(here: Path, epochs: int, until: int, restarts: int = 0) -> Task:
    """A task that has been given time to begin, and to finish so many blocks."""
    file, commands, told = write_study(here, epochs), here / "commands", here / "told"
    text = plan(file, "--sbatch --shards 2 --cores 2 --walltime 20:00:00")
    (here / "job.sh").write_text(text)
    commands.mkdir(exist_ok=True)
    (commands / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    (commands / "scontrol").chmod(0o755)
    if not (here / f"simdyn-{getpass.getuser()}").is_symlink():
        share_compiled_code(here / f"simdyn-{getpass.getuser()}")
    made = load_study(file)
    running = subprocess.Popen(
        ["bash", "job.sh"],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            "SLURM_ARRAY_TASK_ID": "2",
            "SLURM_ARRAY_JOB_ID": "17",
            "TMPDIR": str(here),
            "SLURM_RESTART_COUNT": str(restarts),
            "PATH": f"{commands}:/usr/bin:/bin",
            "USER": getpass.getuser(),
        },
    )
    path, limit = here / "results" / "killed.zarr", time.monotonic() + 60
    while not path.exists() or Store(path, made).receipts().sum() < until:
        assert running.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    time.sleep(0.5)  # the script waits now
    return Task(running, Store(path, made), told)


def test_array__a_task_at_its_time_limit_queues_itself_again(here: Path) -> None:
    first = task(here, EPOCHS, until=3)
    first.process.send_signal(signal.SIGUSR1)
    code, errors, told = first.end()
    done = int(first.store.receipts().sum())
    assert 3 <= done < 24
    assert (code, told) == (0, ["requeue 17_2"]), errors
    assert errors.endswith(f"simdyn: {24 - done} blocks left at the time limit; queued again\n")
    code, errors, told = task(here, EPOCHS, until=done + 1).end()
    assert (code, told) == (0, ["requeue 17_2"]), errors  # of before
    assert first.store.receipts()[1::2].all()


@pytest.mark.parametrize(
    ("sent", "epochs", "until", "restarts", "code", "said"),
    [
        (signal.SIGTERM, EPOCHS, 2, 0, 130, "interrupted; run the same command"),  # by scancel
        (signal.SIGUSR1, 10**9, 0, 0, 1, "no block was finished within the time limit, 20:00:00"),
        (signal.SIGUSR1, EPOCHS, 2, 20, 1, "blocks left after 20 restarts: not queued again"),
    ],
)
def test_array__a_task_that_is_not_queued_again(
    here: Path, sent: signal.Signals, epochs: int, until: int, restarts: int, code: int, said: str
) -> None:
    one = task(here, epochs, until, restarts)
    one.process.send_signal(sent)
    ended, errors, told = one.end()
    assert (ended, told) == (code, []), errors
    assert said in errors.splitlines()[-1]
    assert int(one.store.receipts().sum()) >= until


def test_guard__blocks_left_undone_have_the_exit_code_of_what_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as ended, guard():
        raise LeftUndone("block 3 is left undone")
    assert ended.value.exit_code == 3
    assert capsys.readouterr().err == "simdyn: block 3 is left undone\n"


def test_run__points_that_failed_have_an_exit_code_of_their_own(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(data: Any, *rest: Any) -> Any:
        if data.dimension == 30:
            raise MemoryError("no room")
        return replicates.run_replicates(data, *rest)

    file, said = write_study(here, 10), "simdyn: done, except for 4 point(s) that failed: "
    for line, run, code in (
        ("worker --shard 1/1", failing, 3),
        ("run --json", replicates.run_replicates, 3),  # as they are
        ("run --retry-failed", replicates.run_replicates, 0),
    ):
        monkeypatch.setattr("simdyn.run.block.run_replicates", run)
        answer = call(line, file)
        assert answer.code == code, answer
        assert answer.err.splitlines()[-1].startswith(said) == (code == 3)
        if "--json" in line:
            report = json.loads(answer.out)
            assert (report["failed"], report["failed_before"]) == (0, 4)


def test_plan__sbatch_of_a_link_with_an_odd_name(here: Path) -> None:
    (here / "my study #1 %j.toml").symlink_to(write_study(here, 10))
    out = plan(Path("my study #1 %j.toml"), "--sbatch")
    assert "#SBATCH --job-name=simdyn-my_study__1__j\n" in out
    assert "#SBATCH --output=simdyn-my_study__1__j-%A_%a.log\n" in out
    assert f"worker '{here}/my study #1 %j.toml' --shard" in out
    assert f"\ncd {here}\n" in out  # a study may name images from there


def test_plan__job_scripts_of_dask_jobqueue(here: Path) -> None:
    options, file = (
        "--cores 4 --queue short --account theory --walltime 02:00:00",
        write_study(here, 10),
    )
    slurm, pbs = plan(file, f"--slurm {options}"), plan(file, f"--pbs {options}")
    for line in items("-p short  -A theory  --cpus-per-task=4  -t 02:00:00  --no-requeue"):
        assert f"#SBATCH {line}" in slurm
    for line in items("#PBS -q short  #PBS -A theory  walltime=02:00:00  ncpus=4"):
        assert line in pbs
    for text in (slurm, pbs):
        assert "--nthreads 1 " in text
        assert "--nworkers 4 " in text
        assert text.endswith("--lifetime 7140s\n")  # a minute before they would be killed
        assert "export NUMBA_CACHE_DIR=" in text
        assert sys.executable in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--walltime", "soon"), "walltime = 'soon': allowed is hh:mm:ss or d-hh:mm:ss"),
        (("--walltime", "10:30"), "walltime = '10:30': allowed is hh:mm:ss"),
        (("--walltime", "01:60:00"), "walltime = '01:60:00': allowed is hh:mm:ss"),
        (("--memory", "much"), "memory = 'much': allowed is a number and a unit, '8GB'"),
        (("--cores", 0), "cores = 0: allowed is an integer from 1 to 10000"),
        (("--queue", "a b; rm"), "queue = 'a b; rm': allowed are letters"),
        (("--slurm", "--pbs"), "allowed is one of them"),
        (("--sbatch", "--shards", 0), "shards = 0: allowed is an integer from 1 to 48"),
        (("--sbatch", "--shards", 49), "shards = 49: allowed is an integer from 1 to 48"),
        (("--shards", 3), "--shards 3: allowed with --sbatch"),
        (("--sbatch", "--json"), "--json: allowed without --sbatch"),
    ],
)
def test_plan__jobs_that_are_none(tmp_path: Path, words: tuple[object, ...], message: str) -> None:
    found = refused(tmp_path, "plan", write_study(tmp_path, 10), "--nominal", *words)
    assert message in found
    assert len(found.splitlines()) == 1


def test_jobs__hours() -> None:
    assert Jobs(walltime="01:30:00").hours == 1.5
    assert Jobs(walltime="2-12:00:36").hours == 60.01
    assert Jobs(walltime="2-12:00:36").walltime_in_hours == "60:00:36"
    assert Jobs(walltime="1:30:00").walltime_in_hours == "01:30:00"


@pytest.mark.parametrize(
    ("walltime", "lead"),
    [("00:00:10", 2), ("00:01:00", 15), ("00:04:00", 60), ("08:00:00", 60), ("1-00:00:00", 60)],
)
def test_jobs__lead_never_fills_the_walltime(walltime: str, lead: int) -> None:
    assert Jobs(walltime=walltime).lead == lead


@pytest.mark.parametrize(
    ("walltime", "block", "enough"),
    [
        ("00:01:00", 0.0, "00:02:00"),
        ("00:02:00", 15.0, None),  # 60 + 2 × 15 s, of the 90 before the signal
        ("00:02:00", 15.1, "00:03:00"),
        ("00:10:00", 240.0, None),
        ("00:10:00", 241.0, "00:11:00"),
        ("12:00:00", 43200.0, "1-00:02:00"),
    ],
)
def test_jobs__must_last_longer_than_a_block(
    walltime: str, block: float, enough: str | None
) -> None:
    jobs = Jobs(walltime=walltime)
    if enough is None:
        jobs.check_fits(block, "nominal")
        return
    with pytest.raises(InputError, match=f"allowed is {enough} or more") as problem:
        jobs.check_fits(block, "nominal")
    assert f"walltime = {walltime!r}: a block takes up to {block:.2g} s" in str(problem.value)
    Jobs(walltime=enough).check_fits(block, "nominal")


@pytest.mark.parametrize("line", ["plan --sbatch", "plan --pbs", "run --slurm"])
def test_walltime__shorter_than_a_block_is_refused_before_anything_is_submitted(
    here: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    file, submitted = write_study(here, 10**10), here / "submitted"
    (here / "sbatch").write_text(f"#!/bin/sh\ntouch {submitted}\n")
    (here / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(here))
    answer = call(f"{line} --walltime 02:00:00", file)
    assert (answer.code, answer.out) == (2, ""), answer
    message = answer.err.splitlines()[-1]
    assert "simdyn: walltime = '02:00:00': a block takes up to" in message
    assert "runs here), counted 2 times" in message
    assert not submitted.exists()
    assert not (here / "results").exists()


LONG_AT_A_CORNER = """
seed = 0
replicates = 2
data = {dimension = 50, signal_norm = 1.0, noise_std = 1.0}
network = {n_filters = 3, init_std = 0.01}
methods.sgd = [{optimiser = "SGD", learning_rate = 0.1, epochs = "share*scale"}]
space = {n_samples = [40, 20, 10], scale = [1000, 10, 1], share = [1, 2]}
"""


def test_price__longest_block_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simdyn.run.price.SAMPLED", 2)
    (tmp_path / "long.toml").write_text(LONG_AT_A_CORNER)
    made = load_study(tmp_path / "long.toml")
    blocks = made.blocks
    costs = [
        sum(
            seconds(made.space.point(index), made.record, made.states) * len(block.replicates)
            for index, _ in block.indices()
        )
        for block in blocks
    ]
    none = np.zeros(len(blocks), dtype=bool)
    longest = price(made, blocks, none, calibrated=False).longest
    assert max(costs) <= longest * (1 + 1e-12)
    assert longest < 3 * max(costs)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("8GB", "8G"), ("8 GiB", "8G"), ("1.5TB", "1536G"), ("0.5mb", "512K"), ("2.5KB", "3K")],
)
def test_jobs__memory_of_slurm_is_an_integer(given: str, wanted: str) -> None:
    assert Jobs(memory=given).memory_of_slurm == wanted


@pytest.mark.parametrize("answer", [None, "invalid partition"])
def test_run__jobs_that_cannot_be_submitted(tmp_path: Path, answer: str | None) -> None:
    file, commands = write_study(tmp_path, 10), tmp_path / "commands"
    commands.mkdir()
    if answer:
        (commands / "sbatch").write_text(f"#!/bin/sh\necho {answer} >&2\nexit 1\n")
        (commands / "sbatch").chmod(0o755)
    ran = ended(command("run", file, "--slurm", cwd=tmp_path, PATH=str(commands)))
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1), ran
    assert ran.err.startswith("simdyn: --slurm: jobs cannot be submitted here: ")
    assert (answer or "sbatch") in ran.err
    assert not (tmp_path / "results").exists()


def test_run_study__clients_that_are_none(tmp_path: Path) -> None:
    with open_client("local:1") as closed:
        pass
    for client in ("tcp://here:8786", closed, object()):
        with pytest.raises(InputError, match=r"client = .*: allowed is a distributed\.Client"):
            run_study(study(), tmp_path / "one.zarr", client=client)  # type: ignore[arg-type]
    assert not (tmp_path / "one.zarr").exists()


def test_open_client__closes_quietly_if_its_scheduler_has_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be sent to it is logged with a traceback, and so is a close that looks for it."""
    log = logging.getLogger("distributed.client")
    level = log.level

    class Lost:
        def close(self) -> None:
            log.error("Traceback")

    async def answers(address: str) -> None: ...

    monkeypatch.setattr(clusters, "_reach", answers)
    monkeypatch.setattr(distributed, "Client", lambda *_, **__: Lost())
    sender = logging.getLogger("distributed.batched")
    sender.setLevel(logging.INFO)  # as Dask does
    with open_client("tcp://127.0.0.1:1"):
        log.error("something else")
        sender.info("Traceback: Batched Comm Closed")
    assert "something else" in caplog.text
    assert "Traceback" not in caplog.text
    assert log.level == level


@pytest.mark.parametrize("address", ["tls://127.0.0.1:8786", "ucx://127.0.0.1:8786", "x://y:1"])
def test_open_client__protocols_that_cannot_be_spoken(address: str) -> None:
    before = dask.config.get("scheduler", None)
    with pytest.raises(InputError, match="no scheduler answers"), open_client(address):
        pass
    assert dask.config.get("scheduler", None) == before  # else every lazy result fails from here on


def test_job_cluster__local_jobs_of_dask_jobqueue(tmp_path: Path) -> None:
    # The same script that Slurm would get, run by the shell: dask-jobqueue's own local cluster.
    from dask_jobqueue.local import LocalCluster, LocalJob

    class Job(LocalJob):  # type: ignore[misc]
        """Waits for the process that it kills and closes its pipes, which the original does not."""

        async def close(self) -> None:
            await super().close()
            self.process.proc.wait()
            self.process.stdout.close()
            self.process.stderr.close()

    with contextlib.closing(job_cluster("slurm", Jobs(cores=1, memory="2GB"))) as script_of:
        wanted = script_of.job_script()
    options = {"cores": 1, "processes": 1, "memory": "2GB", "job_cls": Job}
    with LocalCluster(scheduler_options={"dashboard_address": ":0"}, **options) as cluster:
        one, other = (
            text.splitlines()[-1].split(" tcp://")[0] for text in (cluster.job_script(), wanted)
        )
        assert one == other
        cluster.scale(jobs=2)
        with distributed.Client(cluster) as made:
            run_study(study(), tmp_path / "jobs.zarr", client=made)
    run_study(study(), tmp_path / "one.zarr", threads=1)
    assert unlogged(tmp_path / "jobs.zarr") == unlogged(tmp_path / "one.zarr")
