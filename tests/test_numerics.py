"""The same bits whatever runs them, a cache that notices edits, and a stop that is heard."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import llvmlite
import llvmlite.binding
import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import simdyn
from simdyn.bridge import run_drawn
from simdyn.kernels import NUMERICS_VERSION
from simdyn.threads import side_by_side

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


RECORDED_ON = ("znver3", "0.68.1", "0.50.0", 2)
GOLDEN = {
    "train_loss": "0x1.09ab35e69d568p-3",
    "test_error": "0x1.568f946ef4fd0p-2",
    "test_error_se": "0x1.c237aa5eadbd2p-9",
    "grad_norm": "0x1.86274ac5d1de6p-2",
    "margin": "0x1.0af6c2b2e46f9p+1",
    "signal_coef": "0x1.1703c5979dc05p-2",
    "noise_coef": "-0x1.1412501e3e49bp+1",
}


def golden_values() -> dict[str, str]:
    """A few numbers of one fixed setting, to the last bit."""
    last = simdyn.simulate(DATA, NET, PLAN, seed=12345).isel(replicate=0, step=-1)
    numbers = {
        name: last[name].item()
        for name in ("train_loss", "test_error", "test_error_se", "grad_norm")
    }
    numbers["margin"] = last.margin[7].item()
    numbers["signal_coef"] = last.signal_coef[1, 2].item()
    numbers["noise_coef"] = last.noise_coef[0, 1, 4].item()
    return {name: number.hex() for name, number in numbers.items()}


def this_machine() -> tuple[str, str, str, int]:
    """What the bits may depend on."""
    cpu = llvmlite.binding.get_host_cpu_name()
    return cpu, numba.__version__, llvmlite.__version__, NUMERICS_VERSION


def test_simulate__golden_bits() -> None:
    """Numbers that change without NUMERICS_VERSION going up are found here."""
    if this_machine() != RECORDED_ON:
        pytest.skip(f"bits were recorded on {RECORDED_ON}, this is {this_machine()}")
    assert golden_values() == GOLDEN


def test_simulate__golden_values_elsewhere() -> None:
    """On any machine the same numbers to 1e-9 (no activation of this path is near zero)."""
    if RECORDED_ON[3] != NUMERICS_VERSION:
        pytest.skip("numbers were recorded at another NUMERICS_VERSION")
    for name, value in golden_values().items():
        assert float.fromhex(value) == pytest.approx(float.fromhex(GOLDEN[name]), rel=1e-9), name


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
    return run_drawn(DATA, NET, [[plan]], 0, range(1), record, "last", names, stop)


def seconds_to_stop(plan: simdyn.SGD, record: simdyn.Record) -> float:
    """How long a run goes on after the flag is raised."""
    stop, result = np.zeros(1, np.int64), []
    run_one(simdyn.SGD(learning_rate=0.1, epochs=1), simdyn.Record(), stop)  # compiles
    thread = threading.Thread(target=lambda: result.append(run_one(plan, record, stop)))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive(), "the run must be long enough to be stopped"
    stop[0], begun = 1, time.perf_counter()
    thread.join(60.0)
    assert result == [None], "a stopped run has no result"
    return time.perf_counter() - begun


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
    start = time.perf_counter()
    results.close()
    assert time.perf_counter() - start < 1.0


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
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, function], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        time.sleep(0.5)
        assert process.poll() is None, "the call must be long enough to be interrupted"
        start = time.perf_counter()
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60.0)
        assert time.perf_counter() - start < 1.5
        assert "KeyboardInterrupt" in complaint
    finally:
        process.kill()
        process.communicate()
