"""Jobs on a real Slurm: time limits, scancel, a node that goes down, a client that is killed."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chaos import write_study
from commands import command
from common import unlogged

from simdyn.api.study import load_study
from simdyn.store import Store
from simdyn.store.audit import audit

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.filterwarnings("default"),  # of Dask's own
    pytest.mark.skipif(shutil.which("sbatch") is None, reason="there is no sbatch"),
]

EPOCHS = 1_200_000  # 48 blocks, of four to six seconds each: more than a job of two minutes does
WALLTIME = "00:02:00"
# A task that starts in the second in which its last round ended is refused ("job credential
# revoked"): for that Slurm itself waits two minutes.
SETTLING = 5.0
PENDING_SINCE: dict[str, float] = {}


def slurm(*words: object) -> str:
    """What a command of Slurm's answers."""
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def states(job: str = "") -> dict[str, str]:
    """States of the tasks of a job, or of all of simdyn, but for those that are over."""
    lines = slurm("squeue", "-h", "-r", "-o", "%i %T %j").splitlines()
    found = {name: state for name, state, title in map(str.split, lines) if "simdyn" in title}
    return {name: state for name, state in found.items() if name.split("_")[0] == job or not job}


def wait_until(ready: Callable[[], bool], seconds: float = 600.0) -> None:
    limit = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < limit, f"not in {seconds:g} s"
        time.sleep(0.5)


def hasten(job: str) -> None:
    """Have tasks that are queued again start after a few seconds: Slurm waits for two minutes."""
    for name, state in states(job).items():
        since = PENDING_SINCE.setdefault(name, time.monotonic())
        if state != "PENDING":
            del PENDING_SINCE[name]
        elif time.monotonic() - since > SETTLING:
            subprocess.run(["scontrol", "update", f"jobid={name}", "starttime=now"], check=False)


def ended(job: str) -> bool:
    """Is the job over? Until it is, tasks that are queued again are hastened."""
    hasten(job)
    return not states(job)


def node_down_and_up() -> None:
    name = slurm("sinfo", "-h", "-N", "-o", "%N").split()[0]
    slurm("scontrol", "update", f"nodename={name}", "state=down", "reason=campaign")
    time.sleep(3)
    # It may have come back by itself, as slurm.conf may ask for; then it cannot be resumed.
    subprocess.run(["scontrol", "update", f"nodename={name}", "state=resume"], check=False)
    wait_until(lambda: "down" not in slurm("sinfo", "-h", "-n", name, "-o", "%t"), 60)


def kept(file: Path) -> int:
    """Blocks that have left a receipt."""
    path = file.parent / "results" / "killed.zarr"
    return int(Store(path, load_study(file)).receipts().sum()) if path.exists() else 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run on threads. Before it kernels are compiled where jobs look for them.

    On busy cores that takes as long as a job has.
    """
    folder = tmp_path_factory.mktemp("threads")
    cache = Path(os.environ.get("TMPDIR", "/tmp")) / f"simdyn-{os.environ.get('USER', 'cache')}"
    cache.mkdir(mode=0o700, exist_ok=True)
    first = command("run", write_study(folder, 20), cwd=folder, NUMBA_CACHE_DIR=str(cache))
    errors = first.communicate(timeout=600)[1]
    assert first.returncode == 0, errors
    path = folder / "one.zarr"
    load_study(write_study(folder, EPOCHS)).run(path)
    return unlogged(path)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No job outlives its test."""
    yield
    for name in states():
        subprocess.run(["scancel", name], check=False)
    wait_until(lambda: not states())


def submit(file: Path, shards: int, *words: object) -> str:
    """Submit an array of shards; returns its number."""
    line = f"plan --sbatch --shards {shards} --cores 1 --memory 1GB --walltime {WALLTIME}"
    script, errors = (process := command(line, file, cwd=file.parent)).communicate(timeout=300)
    assert process.returncode == 0, errors
    (file.parent / "job.sh").write_text(script)
    said = slurm("sbatch", "--parsable", *words, "--chdir", file.parent, file.parent / "job.sh")
    return said.strip()


def log(file: Path, task: str) -> str:
    return (file.parent / f"simdyn-killed-{task}.log").read_text()


def whole(file: Path, undisturbed: dict[str, bytes]) -> None:
    """Every file of the store is that of a run on threads, but for the log of who computed."""
    store = file.parent / "results" / "killed.zarr"
    assert unlogged(store) == undisturbed
    assert audit(store, load_study(file)).good == 48


def test_array__goes_on_over_its_time_limits(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    file = write_study(tmp_path, EPOCHS)
    job = submit(file, 1)
    wait_until(lambda: ended(job), 1800)
    said = log(file, f"{job}_1")
    limits = said.count("blocks left at the time limit; queued again")
    assert limits >= 1
    assert said.count("interrupted") == limits
    # Slurm's own lines about earlier rounds may come late.
    own = [line for line in said.splitlines() if not line.startswith("slurmstepd")]
    assert own[-1].endswith("results/killed.zarr")
    whole(file, undisturbed)
    print(f"\none task, queued again {limits} times at its limit of {WALLTIME}")


def test_array__scancel_ends_a_task_and_a_lost_node_does_not(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    file = write_study(tmp_path, EPOCHS)
    job = submit(file, 2)
    wait_until(lambda: kept(file) >= 2)
    slurm("scancel", f"{job}_2")
    wait_until(lambda: set(states(job)) == {f"{job}_1"})
    assert "queued again" not in log(file, f"{job}_2")
    before = kept(file)
    wait_until(lambda: kept(file) > before)
    node_down_and_up()
    wait_until(lambda: states(job).get(f"{job}_1") == "PENDING")  # Slurm itself queues it again
    second = submit(file, 2, "--array=2")
    wait_until(lambda: ended(job) and ended(second), 1800)
    whole(file, undisturbed)


def test_run__jobs_lost_in_every_way_and_the_client_killed(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    file = write_study(tmp_path, EPOCHS)
    line = f"run --slurm --jobs 2 --cores 1 --memory 1GB --walltime {WALLTIME}"
    client = command(line, file, cwd=tmp_path)
    try:
        wait_until(lambda: kept(file) >= 3)
        slurm("scancel", min(states()))
        before = kept(file)
        wait_until(lambda: kept(file) >= before + 4)
        node_down_and_up()
        before = kept(file)
        wait_until(lambda: kept(file) >= before + 4)
    finally:
        client.kill()
        client.communicate()
    wait_until(lambda: not states(), 180)  # its jobs go by themselves
    before = kept(file)
    assert before < 48
    client = command(line, file, cwd=tmp_path)
    _, errors = client.communicate(timeout=1800)
    assert client.returncode == 0, errors
    assert "blame" not in errors
    wait_until(lambda: not states(), 60)
    whole(file, undisturbed)
    print(f"\n{before} of 48 blocks kept as the client was killed, the rest by the next one")


def test_run__a_walltime_too_short_is_refused(tmp_path: Path) -> None:
    file = write_study(tmp_path, EPOCHS)
    process = command("run", file, "--slurm", "--walltime", "00:01:00", cwd=tmp_path)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "walltime = '00:01:00': a block takes up to" in errors.splitlines()[-1]
    assert states() == {}
    assert not (tmp_path / "results").exists()
