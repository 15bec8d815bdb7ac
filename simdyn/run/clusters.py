"""Dask clusters that a study can run on: an existing one, one on this machine, or batch jobs."""

import asyncio
import contextlib
import dataclasses
import logging
import math
import re
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simdyn.base.inputs import InputError, shown

if TYPE_CHECKING:
    from distributed import Client

MOST = 10_000  # cores of a job, or jobs: more is taken for a typing error
# Compiled code is kept on a disk of the node: many small files are slow on shared file systems.
# It is pickled, so the folder must belong to the user.
LOCAL_CACHE = """\
export NUMBA_CACHE_DIR="${TMPDIR:-/tmp}/simdyn-${USER:-cache}"
mkdir -p -m 700 "$NUMBA_CACHE_DIR"
[ -O "$NUMBA_CACHE_DIR" ] || NUMBA_CACHE_DIR=$(mktemp -d)"""
# Not shorter: "10:30" could be read as hours, and Slurm and PBS read it as minutes.
WALLTIME = re.compile(r"(\d+-)?\d{1,3}:[0-5]\d:[0-5]\d")
# Seconds at the start of a job in which no block is finished: it may have to compile.
STARTING = 30.0
# Slurm checks time limits every 30 s, so its signal may come that much earlier than asked.
EARLY = 30.0
MARGIN = 2.0  # factor on the price of a block: other machines may be slower
LEAD = 60.0  # seconds before its end at which a job is told to stop; less in a short job
MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT])i?B", re.IGNORECASE)


# Without these, Dask's processes use a tenth of two cores for a dashboard that no one opens.
NO_DASHBOARD = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}


@dataclasses.dataclass(frozen=True)
class Jobs:
    """The resources of batch jobs.

    Attributes
    ----------
    cores : int
        Cores of a job; each runs a worker process, or a thread of a shard.
    memory : str
        Memory of a job, "8GB".
    walltime : str
        "hh:mm:ss", or "d-hh:mm:ss".
    queue, account : str, optional
        Slurm's partition or PBS's queue, and the account that is charged.
    """

    cores: int = 8
    memory: str = "8GB"
    walltime: str = "01:00:00"
    queue: str | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.cores <= MOST:
            raise InputError(f"cores = {shown(self.cores)}: allowed is an integer from 1 to {MOST}")
        if not WALLTIME.fullmatch(self.walltime):
            raise InputError(f"walltime = {self.walltime!r}: allowed is hh:mm:ss or d-hh:mm:ss")
        if self.hours == 0:
            raise InputError(f"walltime = {self.walltime!r}: allowed is a time > 0")
        if not MEMORY.fullmatch(self.memory) or not self.memory.strip("0. KMGTkmgtiIbB"):
            raise InputError(f"memory = {self.memory!r}: allowed is a number and a unit, '8GB'")
        for name in ("queue", "account"):
            value = getattr(self, name)
            if value is not None and not re.fullmatch(r"[\w.@:+,-]+", value):
                raise InputError(
                    f"{name} = {value!r}: allowed are letters, digits and . , _ - @ : +"
                )

    @property
    def hours(self) -> float:
        """The walltime in hours."""
        hours, minutes, seconds = map(int, self.walltime_in_hours.split(":"))
        return hours + minutes / 60 + seconds / 3600

    @property
    def seconds(self) -> float:
        """The walltime in seconds."""
        return 3600.0 * self.hours

    @property
    def lead(self) -> int:
        """Seconds before its end at which a job is told to stop."""
        return int(min(LEAD, self.seconds / 4))

    def check_fits(self, block: float, how: str) -> None:
        """Check that a job lasts long enough for a block.

        Parameters
        ----------
        block : float
            Seconds that the longest block takes on one core.
        how : str
            How this was found, "timed on 200 runs here".

        Raises
        ------
        InputError
            If a block would not be finished before the job is told to stop.
        """
        needed = STARTING + EARLY + MARGIN * block
        if self.seconds - self.lead >= needed:
            return
        enough = math.ceil(min(needed + LEAD, needed / 0.75) / 60)
        days, minutes = divmod(enough, 24 * 60)
        clock = f"{minutes // 60:02}:{minutes % 60:02}:00"
        raise InputError(
            f"walltime = {self.walltime!r}: a block takes up to {block:.2g} s on a core ({how}), "
            f"counted {MARGIN:g} times; a job starts and compiles for {STARTING:g} s, and is told "
            f"to stop up to {self.lead + EARLY:g} s before its end; allowed is "
            f"{f'{days}-' if days else ''}{clock} or more"
        )

    @property
    def walltime_in_hours(self) -> str:
        """The walltime as hh:mm:ss without days, for PBS."""
        days, _, clock = self.walltime.rpartition("-")
        hours, _, rest = clock.partition(":")
        return f"{24 * int(days or 0) + int(hours):02}:{rest}"

    @property
    def memory_of_slurm(self) -> str:
        """The memory in Slurm's format: an integer and a letter."""
        found = MEMORY.fullmatch(self.memory)
        assert found is not None
        number, letter = found[1], found[2].upper()
        if "." in number and letter != "K":
            return f"{math.ceil(1024 * float(number))}{'KMGT'['KMGT'.index(letter) - 1]}"
        return f"{math.ceil(float(number))}{letter}"


def _needed() -> Any:
    """The module `distributed`, or an error that says how to install it."""
    try:
        import distributed
    except ImportError:
        raise InputError(
            "clusters need Dask: install simdyn with its extra [cluster], pip install '.[cluster]'"
        ) from None
    return distributed


@contextlib.contextmanager
def _children_ignore_interrupts() -> Iterator[None]:
    """Processes started here ignore Ctrl-C: the client handles it, and ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _without_log(name: str) -> Iterator[None]:
    """No log lines of a part of Dask in here."""
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


async def _reach(address: str) -> None:
    """Connect to a scheduler once.

    A client that cannot connect is left half made: it keeps Dask's settings changed, and closing
    it, which is done when it is collected, may never end.
    """
    from distributed.comm import connect
    from distributed.security import Security

    comm = await connect(address, timeout=5, **Security().get_connection_args("client"))
    await comm.close()


@contextlib.contextmanager
def open_client(address: str) -> Iterator["Client"]:
    """A client of a Dask cluster, which is not the default one of what else is computed here.

    Parameters
    ----------
    address : str
        A scheduler's address, "tcp://host:8786", or "local:N" for N worker processes here.

    Raises
    ------
    InputError
        If there is no scheduler, or Dask is not installed.
    """
    distributed = _needed()
    kind, _, number = address.partition(":")
    if kind == "local":
        if not re.fullmatch(r"[1-9]\d{0,3}", number):
            raise InputError(f"dask = {address!r}: allowed is local:N with N from 1 to 9999")
        import dask

        with _children_ignore_interrupts(), dask.config.set(NO_DASHBOARD):
            cluster = distributed.LocalCluster(
                n_workers=int(number),
                threads_per_worker=1,
                processes=True,
                memory_limit=0,
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
            )
        with cluster, distributed.Client(cluster, set_as_default=False) as client:
            yield client
        return
    if not re.fullmatch(r"(\w+://)?[\w.:\[\]-]+:\d+", address):
        raise InputError(
            f"dask = {address!r}: allowed is a scheduler's address, tcp://host:8786, or local:N"
        )
    try:
        asyncio.run(_reach(address))
        client = distributed.Client(address, timeout=5, set_as_default=False)
    except Exception as problem:  # other protocols may raise anything
        raise InputError(f"dask = {address!r}: no scheduler answers: {problem}") from None
    # A scheduler that goes away is no fault: the run waits for it, or has ended. But what was to
    # be sent to it is logged with a traceback, and so is a close while the client looks for it.
    with _without_log("distributed.batched"):
        try:
            yield client
        finally:
            with _without_log("distributed.client"):
                client.close()


def _configured(system: str, name: str) -> list[str]:
    """What the configuration of dask-jobqueue adds to each job, at this site or for this user."""
    import dask

    return dask.config.get(f"jobqueue.{system}.{name}", None) or []


def job_cluster(system: str, jobs: Jobs) -> Any:
    """A cluster of batch jobs, with none of them submitted yet.

    Parameters
    ----------
    system : {"slurm", "pbs"}
    jobs : Jobs
    """
    _needed()
    try:
        import dask_jobqueue
    except ImportError:
        raise InputError(f"--{system} needs dask-jobqueue: pip install '.[cluster]'") from None
    classes = {"slurm": dask_jobqueue.SLURMCluster, "pbs": dask_jobqueue.PBSCluster}
    # A worker that ends before its job is killed returns its blocks; this counts as no death.
    lifetime = ["--lifetime", f"{jobs.seconds - jobs.lead:.0f}s"]
    extra = {"worker_extra_args": [*_configured(system, "worker-extra-args"), *lifetime]}
    if system == "slurm":  # the client itself submits lost jobs again
        directives = _configured(system, "job-extra-directives")
        extra["job_extra_directives"] = [*directives, "--no-requeue"]
    walltime = jobs.walltime if system == "slurm" else jobs.walltime_in_hours
    # Any port for the dashboard: Dask warns if its usual one is in use.
    return classes[system](
        cores=jobs.cores,
        processes=jobs.cores,
        memory=jobs.memory,
        walltime=walltime,
        queue=jobs.queue,
        account=jobs.account,
        job_name=f"simdyn-{system}",
        job_script_prologue=[LOCAL_CACHE],
        scheduler_options={"dashboard_address": ":0"},
        **extra,
    )


@contextlib.contextmanager
def open_jobs(system: str, jobs: Jobs, number: int) -> Iterator["Client"]:
    """A client of a cluster of so many batch jobs, which end with it."""
    if not 1 <= number <= MOST:
        raise InputError(f"jobs = {shown(number)}: allowed is an integer from 1 to {MOST}")
    distributed = _needed()
    with job_cluster(system, jobs) as cluster:
        # Not by `scale`, which submits later: its exceptions, in another thread, would be lost.
        for _ in range(number):
            cluster.worker_spec.update(cluster.new_worker_spec())
        try:
            cluster.sync(cluster._correct_state)
        except (OSError, RuntimeError, ValueError) as problem:
            for job in cluster.workers.values():  # else the cluster does not close
                job.status = distributed.core.Status.failed
            raise InputError(
                f"--{system}: jobs cannot be submitted here: {' '.join(str(problem).split())}"
            ) from None
        with distributed.Client(cluster, set_as_default=False) as client:
            yield client
