"""A Dask cluster of processes that can be killed one by one, and studies to run on it."""

import math
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
from commands import command

# A study of WORK epochs; 3000 make about two seconds on two cores.
STUDY = """
seed = 7
replicates = 3
[data]
n_samples = 6
noise_std = 1.0
[network]
n_filters = 3
init_std = 0.01
[methods]
sgd = [{optimiser = "SGD", learning_rate = 0.1, epochs = EPOCHS, batch_size = 3}]
sam = [{optimiser = "SAM", radius = 0.1, learning_rate = 0.1, epochs = EPOCHS}]
[space]
dimension = [20, 30, 50, 80]
signal_norm = [0.0, 0.5, 1.0, 2.0]
[record]
variables = ["train_loss", "test_error", "margin", "signal_coef", "noise_coef"]
"""
# The same methods in a study that solves for the signal norm.
SEARCH = (
    STUDY[: STUDY.index("[space]")].replace("replicates = 3", "replicates = 20")
    + """
[space]
dimension = [20, 30, 50, 80, 120, 200]
[solve]
field = "signal_norm"
between = [0.1, 100]
level = 0.2
"""
)
# The same methods over a grid of which the points near a line are simulated.
REFINED = (
    STUDY[: STUDY.index("[space]")]
    + """
[space]
dimension = {log = [20, 2000], num = 17}
signal_norm = {start = 0, stop = 4, num = 17}
refine = {levels = [0.2], depth = 2}
"""
)
# Each block that is begun is noted, so that work done twice can be counted.
COUNTING = """
import os
import simdyn.run.worker as worker
real = worker.real = getattr(worker, "real", worker.run_block)  # a preload may be loaded again
def run_block(study, piece, *rest, **named):
    with open(os.environ["SIMDYN_BEGUN"], "a") as begun:
        begun.write(f"{piece.number}\\n")
    return real(study, piece, *rest, **named)
worker.run_block = run_block
"""


def write_study(folder: Path, epochs: int, name: str = "killed", text: str = STUDY) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text.replace("EPOCHS", str(epochs)))
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def blocks_begun(begun: Path) -> int:
    """Blocks that were begun under COUNTING, some of them more than once."""
    return len(begun.read_text().split()) if begun.exists() else 0


class Cluster:
    """A scheduler and worker processes, each with a nanny that starts it again."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder, self.workers, self.port = folder, workers, free_port()
        self.begun = folder / "begun.txt"
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "counting.py").write_text(COUNTING)
        self.start()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def _dask(self, *words: object) -> None:
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *map(str, words)],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "SIMDYN_BEGUN": str(self.begun)},
            )
        )

    def start(self) -> None:
        self._dask("scheduler", "--host", "127.0.0.1", "--port", self.port, "--no-dashboard")
        self.start_workers()

    def start_workers(self) -> None:
        """Also where they are gone: a nanny gives up whose worker dies as it starts."""
        if len(self.processes) == 2:
            if self.processes[1].poll() is None:
                return
            self.processes.pop()
        options = f"--nworkers {self.workers} --nthreads 1 --no-dashboard".split()
        paths = ("--local-directory", self.folder, "--preload", self.folder / "counting.py")
        self._dask("worker", self.address, *options, *paths)

    def blocks_begun(self) -> int:
        """Blocks that workers have begun, some of them more than once."""
        return blocks_begun(self.begun)

    def stop(self) -> None:
        for process in self.processes:
            for child in self._family(process):
                child.kill()
            process.wait()
        self.processes.clear()

    @staticmethod
    def _family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
        try:
            parent = psutil.Process(process.pid)
            return [*parent.children(recursive=True), parent]
        except psutil.NoSuchProcess:
            return []

    def worker_processes(self) -> list[psutil.Process]:
        """The processes that compute."""
        found = []
        for child in self._family(self.processes[1]):
            try:
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.Error:
                continue
        return found

    def kill_worker(self, rng: random.Random) -> bool:
        workers = self.worker_processes()
        if workers:
            rng.choice(workers).kill()
        return bool(workers)

    def kill_scheduler(self) -> None:
        """Kill the scheduler; its workers go with it. Then start them anew."""
        self.processes[0].kill()
        time.sleep(0.2)
        self.stop()
        self.start()


def run_through_chaos(
    file: Path,
    cluster: Cluster,
    rng: random.Random,
    victims: tuple[str, ...],
    pause: float,
    each: float = math.inf,
) -> Counter[str]:
    """Run a study on a cluster until it is done, killing something every now and then.

    No kind of victim is killed more often than ``each`` says.
    """
    kills: Counter[str] = Counter()
    worked = 0  # blocks begun when something was killed last
    client: subprocess.Popen[str] | None = None
    limit = time.monotonic() + 300
    patience = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
    while True:
        assert time.monotonic() < limit, "not done in five minutes"
        if client is None:
            client = command("run", file, "--dask", cluster.address, cwd=file.parent, **patience)
        try:
            client.wait(timeout=rng.uniform(0.2, 2 * pause))
        except subprocess.TimeoutExpired:
            cluster.start_workers()
            if cluster.blocks_begun() <= worked:  # they are only just starting
                continue
            worked = cluster.blocks_begun()
            left = [kind for kind in victims if kills[kind] < each]
            if not left:
                continue
            victim = rng.choice(left)
            if victim == "worker":
                kills[victim] += cluster.kill_worker(rng)
            elif victim == "scheduler":
                cluster.kill_scheduler()
                kills[victim] += 1
            else:
                client.kill()
                client.communicate()
                client = None
                kills[victim] += 1
            continue
        _, errors = client.communicate()
        assert "Traceback" not in errors, errors
        if client.returncode == 0:
            return kills
        assert client.returncode in (2, 3), errors  # it lost its scheduler, or too many workers
        assert "simdyn: " in errors.splitlines()[-1], errors
        client = None
