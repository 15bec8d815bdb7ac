"""The same bits whatever runs them, a cache that notices edits, and a stop that is heard.

Golden bits lie in golden.json; `python tests/golden.py --record` writes them anew, when results
change on purpose and NUMERICS_VERSION has gone up.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import golden
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import simdyn
from simdyn.base.threads import side_by_side
from simdyn.engine.arguments import Wanted
from simdyn.engine.replicates import run_drawn
from simdyn.kernels import NUMERICS_VERSION

PACKAGE = Path(simdyn.__file__).parent

DATA = simdyn.SignalNoiseData(
    n_samples=10, dimension=500, signal_norm=2.0, n_patches=3, label_flip=0.1
)
NET = simdyn.TwoLayerCNN(n_filters=3, init_std=1e-2)
PLAN = [
    simdyn.SAM(radius=0.1, learning_rate=0.02, epochs=20, batch_size=5),
    simdyn.SGD(learning_rate=0.02, epochs=20),
]
ENDLESS = simdyn.SGD(learning_rate=1e-9, epochs=10**12)
AGAIN = "on purpose? then NUMERICS_VERSION goes up, and `python tests/golden.py --record`"


# Bits


def test_simulate__any_number_of_threads_gives_the_same_bits() -> None:
    one = simdyn.simulate(DATA, NET, PLAN, replicates=9, threads=1)
    for threads in (2, 3, 9):
        other = simdyn.simulate(DATA, NET, PLAN, replicates=9, threads=threads)
        assert one.drop_attrs().identical(other.drop_attrs())


def test_simulate__a_replicate_does_not_depend_on_how_many_there_are() -> None:
    many = simdyn.simulate(DATA, NET, PLAN, replicates=7)
    few = simdyn.simulate(DATA, NET, PLAN, replicates=3)
    assert many.isel(replicate=slice(3)).drop_attrs().identical(few.drop_attrs())
    assert len(np.unique(many.train_loss[:, -1])) == 7


def test_simulate__recording_does_not_change_the_path() -> None:
    all_of_it = simdyn.simulate(DATA, NET, PLAN)
    end = simdyn.simulate(
        DATA, NET, PLAN, record=simdyn.Record(every=40, variables=("margin", "test_error"))
    )
    for name in ("margin", "test_error"):
        np.testing.assert_array_equal(end[name][:, -1], all_of_it[name][:, -1])


def assert_values(found: golden.Values, right: golden.Values, exactly: bool) -> None:
    """To the last bit, or to 1e-12 (no activation of these paths is near zero)."""
    assert golden.recorded()["numerics_version"] == NUMERICS_VERSION, AGAIN
    assert found.keys() == right.keys(), AGAIN
    if exactly:
        assert found == right, AGAIN
    for name, value in found.items():
        assert float.fromhex(value) == pytest.approx(float.fromhex(right[name]), rel=1e-12), name


def test_golden__of_this_cpu() -> None:
    """Numbers that change without NUMERICS_VERSION going up are found here.

    On a type of CPU that is not in the record, and with other versions, the same to 1e-12; kernels
    compiled for the type "generic" stand in for such a type.
    """
    record = golden.recorded()
    known = record["cpus"].get(golden.cpu())
    same = known is not None and record["versions"] == golden.versions()
    assert_values(golden.values(), known if same else record["cpus"]["generic"], same)
    if known is None and record["versions"] == golden.versions():
        assert_generic_values()


def assert_generic_values() -> None:
    """Compiled for the type "generic", the same bits on every machine with the same versions."""
    record = golden.recorded()
    same = record["versions"] == golden.versions()
    assert_values(golden.generic_values(), record["cpus"]["generic"], same)


@pytest.mark.campaign  # all kernels are compiled once more
def test_golden__of_any_cpu_campaign() -> None:
    assert_generic_values()


def test_kernels__give_back_every_array() -> None:
    """Parts that borrow their arrays do not count references; the count comes out all the same."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(6, 2, 9)), 1e-2 * rng.normal(size=(2, 3, 9))
    problem = simdyn.Problem.from_patches(x, np.sign(rng.normal(size=6)), w)
    record = simdyn.Record(variables=("sam_gap", "sharpness", "deactivated_fraction"))

    def everything() -> None:
        simdyn.simulate(DATA, NET, PLAN, replicates=2, record=record)
        simdyn.simulate(DATA, NET, PLAN, replicates=2)
        simdyn.train(problem, PLAN[1:])

    everything()
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        everything()
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert after.alloc > before.alloc
    assert after.alloc - before.alloc == after.free - before.free
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free


# Stopping


def run_one(plan: simdyn.SGD, record: simdyn.Record, stop: np.ndarray) -> object:
    """One replicate under a stop flag; None where it was stopped."""
    names = ("train_loss", "test_error")
    return run_drawn(DATA, NET, [[plan]], 0, range(1), Wanted(record, names, "last"), stop)


def seconds_to_stop(plan: simdyn.SGD, record: simdyn.Record) -> float:
    """CPU time that a run goes on for after the flag is raised, however busy the machine is."""
    stop, result = np.zeros(1, np.int64), []
    run_one(simdyn.SGD(learning_rate=0.1, epochs=1), simdyn.Record(), stop)  # compiles
    thread = threading.Thread(target=lambda: result.append(run_one(plan, record, stop)))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive(), "the run must be long enough to be stopped"
    stop[0], begun = 1, time.process_time()
    thread.join(60.0)
    assert result == [None], "a stopped run has no result"
    return time.process_time() - begun


def test_run_drawn__training_stops_within_a_second() -> None:
    assert seconds_to_stop(ENDLESS, simdyn.Record()) < 1.0


def test_run_drawn__counting_stops_within_a_second() -> None:
    """A test error from very many points is the longest part of such a run."""
    plan = simdyn.SGD(learning_rate=0.1, epochs=1)
    record = simdyn.Record(test_estimator="counted", test_draws=20_000_000)
    assert seconds_to_stop(plan, record) < 1.0


def test_side_by_side__an_exception_stops_the_others() -> None:
    """One item fails; the endless other one is stopped, and the exception goes on its way."""
    begun = []

    def work(item: int, stop: np.ndarray) -> None:
        if item == 0:
            while not begun:
                time.sleep(0.01)
            raise KeyError("broken")
        begun.append(item)
        run_one(ENDLESS, simdyn.Record(), stop)

    start = time.perf_counter()
    with pytest.raises(KeyError, match="broken"):
        list(side_by_side(work, [0, 1], 2))
    assert time.perf_counter() - start < 10.0


def test_side_by_side__a_generator_left_early_stops_the_rest() -> None:
    def work(item: int, stop: np.ndarray) -> int:
        if item > 0:
            run_one(ENDLESS, simdyn.Record(), stop)
        return item

    results = side_by_side(work, range(100), 2)
    assert next(results) == (0, 0)
    start = time.process_time()
    results.close()
    assert time.process_time() - start < 1.0


INTERRUPTED = """
import numpy as np, signal, simdyn, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.1)
data = simdyn.SignalNoiseData(n_samples=4, dimension=50, signal_norm=1.0)
rng = np.random.default_rng(0)
problem = simdyn.Problem.from_patches(
    rng.standard_normal((4, 2, 9)), [1, 1, -1, -1], rng.standard_normal((2, 2, 9)))
def call(epochs):
    plan, record = simdyn.SGD(learning_rate=1e-9, epochs=epochs), simdyn.Record(every=10**12)
    if sys.argv[1] == "simulate":
        simdyn.simulate(data, net, plan, record=record)
    else:
        simdyn.train(problem, plan, record=record)
call(1)
print("running", flush=True)
call(3 * 10**7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent in another way there")
@pytest.mark.parametrize("function", ["simulate", "train"])
def test_interrupt__ends_the_call_within_a_second(function: str) -> None:
    """Of CPU time, however busy the machine is."""

    def ended_children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = ended_children()
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, function],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        time.sleep(0.5)
        assert process.poll() is None, "the call must be long enough to be interrupted"
        user, system = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")")[1].split()[11:13]
        start = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60.0)
        assert ended_children() - before - start < 1.5
        assert "KeyboardInterrupt" in complaint
    finally:
        process.kill()
        process.communicate()
