"""Ctrl-C and SIGTERM at any time: exit code 130 or 0, one line, no hang, nothing lost."""

import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import xarray as xr
from chaos import STUDY
from commands import command
from common import same

from simdyn import open_results
from simdyn.api.study import load_study
from simdyn.base import interrupts
from simdyn.base.replacement import PARTIAL
from simdyn.base.threads import available_threads
from simdyn.store import Store

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="asks Linux which signals a process hears"
)

# -- within the compiler -------------------------------------------------------------------------

# A signal arrives just when LLVM has freed a string, before llvmlite has noted it.
AS_LLVM_FREES = """
import os, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
import simdyn.kernels.compiled, simdyn.kernels.estimates, simdyn.store.log
from llvmlite.binding import ffi
free, sent = ffi.lib.LLVMPY_DisposeString, threading.Event()
def free_and_interrupt(pointer):
    free(pointer)
    if not sent.is_set():
        sent.set()
        os.kill(os.getpid(), signal.SIGINT)
ffi.lib._fntab["LLVMPY_DisposeString"] = free_and_interrupt
try:
    {call}
    while True: pass
except KeyboardInterrupt:
    print("interrupted", sent.is_set())
"""
CALLS = {
    "the log's entry": "simdyn.store.log.versions()",
    "a kernel": "simdyn.kernels.compiled.kernel(lambda x: x + 1.0)(1.0)",
    "a kernel behind a pointer": "simdyn.kernels.estimates.no_estimate()",
}


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_compiler__an_interrupt_frees_nothing_twice(call: str, tmp_path: Path) -> None:
    done = python(AS_LLVM_FREES.format(call=call), NUMBA_CACHE_DIR=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted True\n", "")


GIVEN_UP = """
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from numba.core import event
from simdyn.kernels.compiled import kernel
passes = []
class Slow(event.Listener):
    def on_start(self, event):
        passes.append(event.data["name"])
        if len(passes) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
    def on_end(self, event): pass
event.register("numba:run_pass", Slow())
probe = kernel(lambda x: x + 1.0)
try:
    probe(1.0)
except KeyboardInterrupt:
    print("interrupted")
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join()
print(len(passes), probe.signatures, probe(1.0))
"""


def test_compiler__is_given_up_at_its_next_pass(tmp_path: Path) -> None:
    done = python(GIVEN_UP, NUMBA_CACHE_DIR=str(tmp_path))
    assert (done.stdout, done.stderr) == ("interrupted\n2 [] 2.0\n", "")


# -- signals held --------------------------------------------------------------------------------

HELD = """
import os, signal
from simdyn.base import interrupts
interrupts.hear()
try:
    with interrupts.held():
        with interrupts.held():
            os.kill(os.getpid(), signal.{first})
        print("ended", flush=True)
        {second}
    print("not reached", flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("second", "said", "code"),
    [
        ("pass", "ended\nstopped\n", 0),
        ("interrupts.check()", "ended\nstopped\n", 0),
        ("with interrupts.at_once(): print('not reached')", "ended\nstopped\n", 0),
        ("os.kill(os.getpid(), signal.SIGTERM)", "ended\n", 130),
    ],
)
def test_held__waits_for_a_place_to_stop(first: str, second: str, said: str, code: int) -> None:
    done = python(HELD.format(first=first, second=second))
    assert (done.stdout, done.returncode) == (said, code)
    assert done.stderr == (f"{interrupts.MESSAGE}\n" if code else "")


def test_hear__what_is_ignored_stays_so() -> None:
    """As in a script's background: `simdyn run study.toml &`."""
    done = python(
        "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from simdyn.base import interrupts; interrupts.hear()\n"
        "os.kill(os.getpid(), signal.SIGINT); print('goes on')"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("goes on\n", "", 0)


# -- the command line ----------------------------------------------------------------------------

FIGURE = """
[figure]
x = "dimension"
y = "signal_norm"
"""


class Command(NamedTuple):
    """A command to interrupt, at a random share of the time that it takes."""

    line: str
    weight: float = 1.0
    fresh: bool = False  # begins without its store
    compiles: bool = False  # begins without compiled code


# Imports and arguments; kernels and many writes; long kernels; repair and figure; the rest.
COMMANDS = {
    "short": Command("run short.toml", 4, fresh=True),
    "long": Command("run long.toml", 4),
    "figure": Command("run done.toml", 2),
    **{name: Command(f"{name} done.toml") for name in ("plot", "verify", "status", "export")},
    "simulate": Command("simulate --dimension 50 --signal-norm 1"),
    "help": Command("--help"),
    "compile": Command("run short.toml", 0.2, fresh=True, compiles=True),
    "dask": Command("run short.toml --dask local:1", 0.2, fresh=True),
}


class Bench:
    """A folder of studies whose commands are interrupted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, epochs in (("short", 20), ("long", 3000), ("done", 20)):
            text = STUDY.replace("EPOCHS", str(epochs)) + FIGURE
            (folder / f"{name}.toml").write_text(text)
        self.ends: Counter[int] = Counter()
        self.seconds: dict[str, float] = {}
        self.run("done.toml")

    def run(self, *words: str) -> None:
        process = command("run", *words, cwd=self.folder)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors

    @functools.cache  # noqa: B019
    def whole(self, name: str) -> xr.Dataset:
        """The results of an undisturbed run."""
        return load_study(self.folder / f"{name}.toml").run()

    def takes(self, name: str) -> float:
        """Seconds a command takes when it is left alone."""
        if name not in self.seconds:
            began = time.monotonic()
            self.interrupt(name, None)
            self.seconds[name] = time.monotonic() - began
        return self.seconds[name]

    def store(self, name: str) -> Path:
        return self.folder / "results" / f"{name}.zarr"

    def interrupt(
        self, name: str, share: float | None, sent: signal.Signals = signal.SIGINT, times: int = 1
    ) -> bool:
        """Interrupt a command at a share of its time, or never; was it still there to be?"""
        given, seconds = COMMANDS[name], 0.0 if share is None else share * self.takes(name)
        if given.fresh:
            shutil.rmtree(self.store("short"), ignore_errors=True)
        env = {}
        if given.compiles:
            cache = self.folder / "cache"
            shutil.rmtree(cache, ignore_errors=True)
            env["NUMBA_CACHE_DIR"] = str(cache)
        process, met = command(given.line, cwd=self.folder, **env), False
        try:
            while not hears(process.pid):
                assert process.poll() is None
                time.sleep(0.001)
            if share is not None:
                try:
                    process.wait(seconds)
                    self.seconds[name] *= 0.9  # the machine is less busy than it was
                except subprocess.TimeoutExpired:
                    met = True
                    for _ in range(times):
                        process.send_signal(sent)
                        time.sleep(0.01)
            told, errors = process.communicate(timeout=None if share is None else 120)
        finally:
            process.kill()
            process.communicate()
        where = f"{name} at {share}: {process.returncode}\n{told}{errors}"
        assert process.returncode in (0, 130), where
        assert "Traceback" not in errors, where
        assert "ignored" not in errors, where
        if process.returncode == 130:
            assert errors.splitlines()[-1] == interrupts.MESSAGE, where
            assert errors.count(interrupts.MESSAGE) == 1, where
        elif share is None:
            assert interrupts.MESSAGE not in errors, where
        if "long" in given.line and process.returncode == 0:
            self.check_whole("long")
        self.ends[process.returncode] += 1
        return met

    def check_whole(self, name: str) -> None:
        """Whatever was interrupted: run to its end, it holds the values of an undisturbed run."""
        if self.store(name).exists():
            self.run(f"{name}.toml")
            same(open_results(self.store(name)), self.whole(name))
            shutil.rmtree(self.store(name))


def hears(pid: int) -> bool:
    """Does a process hear SIGTERM? Before, it is Python that starts."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize(
    ("name", "share", "sent", "times"),
    [
        ("short", 0.0, signal.SIGINT, 1),
        ("short", 0.6, signal.SIGINT, 3),
        ("short", 0.8, signal.SIGTERM, 1),
        ("long", 0.5, signal.SIGINT, 1),
        ("plot", 0.8, signal.SIGTERM, 1),
        ("simulate", 0.4, signal.SIGINT, 1),
        ("help", 0.0, signal.SIGINT, 2),
    ],
)
def test_cli__interrupted_ends_with_130_and_one_line(
    bench: Bench, name: str, share: float, sent: signal.Signals, times: int
) -> None:
    bench.interrupt(name, share, sent, times)


def test_cli_run__interrupted_leaves_nothing_half_written(bench: Bench) -> None:
    """One signal: blocks that are being written are written, and the log says who computed them."""
    shutil.rmtree(bench.store("long"), ignore_errors=True)
    process = command("run", "long.toml", cwd=bench.folder)
    receipts = bench.store("long") / "simdyn.store" / "receipts" / "sha256" / "c"
    while not any(receipts.glob("*/0")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert not list(bench.store("long").rglob(f"*{PARTIAL}"))
    store = Store(bench.store("long"), load_study(bench.folder / "long.toml"))
    there = store.receipts()
    assert there.any()
    assert all(store.is_done(store.blocks[k]) for k in there.nonzero()[0].tolist())
    bench.check_whole("long")


@pytest.mark.skipif(available_threads() < 2, reason="compiles in one process on one core")
@pytest.mark.parametrize("sent", interrupts.SIGNALS)
def test_cli_run__interrupted_while_it_compiles_leaves_no_process(
    tmp_path: Path, sent: signal.Signals
) -> None:
    (tmp_path / "short.toml").write_text(STUDY.replace("EPOCHS", "20"))
    cache = str(tmp_path / "cache")
    process = command("run", "short.toml", cwd=tmp_path, NUMBA_CACHE_DIR=cache)
    try:
        family = psutil.Process(process.pid)
        while not (helpers := family.children(recursive=True)):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == interrupts.MESSAGE
    assert "Traceback" not in errors
    _, alive = psutil.wait_procs(helpers, timeout=30)
    for helper in alive:
        helper.kill()
    assert not alive


@pytest.mark.campaign
def test_cli__any_number_of_interrupts(bench: Bench) -> None:
    """SIMDYN_INTERRUPTS of them, at random times of random commands; SIMDYN_SEED says which."""
    count = int(os.environ.get("SIMDYN_INTERRUPTS", "500"))
    rng = random.Random(int(os.environ.get("SIMDYN_SEED", "14")))
    names, weights = zip(*((name, c.weight) for name, c in COMMANDS.items()), strict=True)
    met: Counter[str] = Counter()
    while met.total() < count:
        (name,) = rng.choices(names, weights)
        sent, times = rng.choice(interrupts.SIGNALS), rng.choice((1, 1, 1, 1, 2, 5))
        if name == "dask":  # after a second signal Python's own tracker of semaphores has its say
            times = 1
        if bench.interrupt(name, rng.uniform(0.0, 1.05), sent, times):
            met[name] += 1
            if met.total() % 100 == 0:
                bench.check_whole("short")
                print(f"\n{met.total()}: {dict(bench.ends)}, {dict(met)}", flush=True)
    bench.check_whole("long")
