"""The one bridge: parameters → Gram-space arrays → kernel → labelled dataset."""

import functools
import gc
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn import version
from simdyn.inputs import InputError, check_replicates, check_seed
from simdyn.kernels import NUMERICS_VERSION, network
from simdyn.kernels import problem as codes
from simdyn.kernels.compiled import Pointed, compile_for, compiled_beside, kernels_kept
from simdyn.kernels.observe import Traces
from simdyn.kernels.point import run_point
from simdyn.kernels.probes import no_probe, probe
from simdyn.kernels.risk import counted_estimate, line_estimate, no_estimate, radial_estimate
from simdyn.kernels.sampling import Setting
from simdyn.kernels.testing import test
from simdyn.kernels.train import train
from simdyn.params import (
    SGD,
    Parameters,
    Phase,
    Plan,
    Record,
    SignalNoiseData,
    TwoLayerCNN,
    as_plan,
)
from simdyn.schema import (
    ALWAYS,
    DRAWN_DEFAULT,
    DRAWN_VARIABLES,
    UPDATE_ATTRS,
    VARIABLES,
    Coordinate,
    Layout,
    as_json,
    axis_coordinates,
    check_sharpness,
    choose_variables,
)
from simdyn.threads import available_threads, check_threads, side_by_side

if TYPE_CHECKING:
    import xarray as xr

ACTIVATIONS = {
    "relu": network.RELU, "leaky_relu": network.LEAKY_RELU, "relu_power": network.POWER_RELU,
    "huber_relu": network.HUBER_RELU,
}  # fmt: skip
LOSSES = {"logistic": network.LOGISTIC, "hinge": network.HINGE}
ESTIMATORS = {"line": codes.LINE, "counted": codes.COUNTED, "radial": codes.RADIAL}
ESTIMATES = {"line": line_estimate, "counted": counted_estimate, "radial": radial_estimate}

# -- parameters → kernel arguments ---------------------------------------------------------------


def kernel_model(net: TwoLayerCNN) -> network.Model:
    """Activation, loss and scales of a network."""
    return network.Model(
        ACTIVATIONS[net.activation], float(net.shape), LOSSES[net.loss],
        float(net.n_filters) if net.output == "mean" else 1.0, int(net.reduction == "sum"),
    )  # fmt: skip


def kernel_schedules(
    plans: Sequence[Sequence[Phase]], n_samples: int
) -> tuple[codes.Schedule, np.ndarray]:
    """The phases of all methods, one after the other, and where each method's begin."""
    phases = [phase for plan in plans for phase in plan]
    schedule = codes.Schedule(
        np.array([phase.perturbation for phase in phases], dtype=np.float64),
        np.array([phase.perturbs_by_norm for phase in phases], dtype=np.int64),
        np.array([phase.perturbed_together for phase in phases], dtype=np.int64),
        np.array([phase.learning_rate for phase in phases], dtype=np.float64),
        np.array([phase.epochs for phase in phases], dtype=np.int64),
        np.array([phase.batch_size or n_samples for phase in phases], dtype=np.int64),
        np.array([phase.last_batch == "keep" for phase in phases], dtype=np.int64),
        np.array([phase.momentum for phase in phases], dtype=np.float64),
        np.array([phase.weight_decay for phase in phases], dtype=np.float64),
        np.array([phase.label_noise for phase in phases], dtype=np.float64),
    )
    return schedule, np.cumsum([0, *map(len, plans)]).astype(np.int64)


def empty_traces(
    outer: tuple[int, ...], names: Sequence[str], steps: int, filters: int, samples: int,
    vectors: int,
) -> Traces:  # fmt: skip
    """Arrays of NaN for the kernel to fill; those not among `names` have no states."""
    inner = {
        "margin": (samples,),
        "signal_coef": (2 * filters,),
        "noise_coef": (2 * filters, samples),
        "coef": (2 * filters, vectors),
        "active_count": (2, samples),
    }
    # A test error comes with its error and both kinds of label, whichever of them is kept.
    tested = any("test_error" in name for name in names)

    def trace(name: str) -> np.ndarray:
        wanted = tested if "test_error" in name else name in names
        return np.full((*outer, steps if wanted else 0, *inner.get(name, ())), np.nan)

    return Traces(*map(trace, Traces._fields))


def labelled(traces: Traces, names: Sequence[str], filters: int) -> dict[str, np.ndarray]:
    """Traces by name, with the filters of both banks split into (sign, filter)."""
    arrays = {}
    for name in names:
        if name in ALWAYS or name == "weights":
            continue
        array = getattr(traces, name)
        if "filter" in VARIABLES[name].dims:
            at = array.ndim - (1 if name == "signal_coef" else 2)
            array = array.reshape(*array.shape[:at], 2, filters, *array.shape[at + 1 :])
        arrays[name] = array
    return arrays


NO_TEST_SET = codes.TestSet(
    np.zeros((0, 0)),
    np.zeros((0, 0)),
    codes.Table(
        np.zeros(1, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0),
        np.zeros(0, np.int64),
        np.zeros(0),
    ),
    np.zeros(0),
)


def pointers_for(record: Record, activation: str, names: Sequence[str]) -> tuple[Pointed, ...]:
    """The kernels behind pointers that a run with these variables needs."""
    tested = any("test_error" in name for name in names)
    probed = {"sam_gap", "deactivated_fraction", "sharpness"} & set(names)
    estimate = ESTIMATES[record.estimator(activation)] if tested else no_estimate
    return train, test, estimate, probe if probed else no_probe


def point_arguments(
    data: SignalNoiseData, net: TwoLayerCNN, plans: Sequence[Sequence[Phase]], seed: int,
    replicates: range, record: Record, default: str, names: Sequence[str], stop: np.ndarray,
    pointers: Sequence[Any],
) -> tuple[Any, ...]:  # fmt: skip
    """What `run_point` takes to run every method on every replicate of one point."""
    schedules, phase_start = kernel_schedules(plans, data.n_samples)
    record_at = np.array([record.updates(plan, data.n_samples, default) for plan in plans])
    outer = (len(plans), len(replicates))
    size = (record_at.shape[1], net.n_filters, data.n_samples, data.n_samples + 1)
    traces = empty_traces(outer, names, *size)
    status, status_step = np.zeros(outer, np.int64), np.zeros(outer, np.int64)
    setting = Setting(
        data.n_samples, data.dimension, data.signal_norm, data.noise_std, data.n_patches,
        data.label_flip, data.noise == "orthogonal", net.n_filters, net.init_std,
        kernel_model(net),
    )  # fmt: skip
    tested = traces.test_error.size > 0
    fresh_noise = codes.FreshNoise(
        ESTIMATORS[record.estimator(net.activation)] if tested else codes.NO_TEST,
        record.draws(net.activation),
        data.noise_std, data.n_patches - 1.0, int(data.noise == "orthogonal"), data.label_flip,
    )  # fmt: skip
    return (
        setting, schedules, phase_start, np.uint64(seed), replicates.start, NO_TEST_SET,
        fresh_noise, *pointers, record.probed, record_at, stop, traces, status, status_step,
    )  # fmt: skip


def run_drawn(
    data: SignalNoiseData, net: TwoLayerCNN, plans: Sequence[Sequence[Phase]], seed: int,
    replicates: range, record: Record, default: str, names: Sequence[str], stop: np.ndarray,
) -> dict[str, np.ndarray] | None:  # fmt: skip
    """Run every method on every replicate of one point.

    Returns
    -------
    dict of str to ndarray, or None
        Variables with dims (method, replicate, step, …); None where the stop flag was raised.
    """
    pointers = [pointer() for pointer in pointers_for(record, net.activation, names)]
    arguments = point_arguments(
        data, net, plans, seed, replicates, record, default, names, stop, pointers
    )
    if not run_point(*arguments):
        return None
    *_, traces, status, status_step = arguments
    arrays = labelled(traces, names, net.n_filters)
    return {**arrays, "status": status.astype(np.int8), "status_step": status_step}


@functools.cache
def prepare(pointers: tuple[Pointed, ...]) -> float:
    """Compile kernels, or load them from the cache, once; returns the seconds it took.

    Parameters
    ----------
    pointers : tuple of Pointed
        Those of `pointers_for`. What is not compiled here is when it is first called.
    """
    began = time.perf_counter()
    point: dict[str, Any] = {
        "data": SignalNoiseData(n_samples=1, dimension=1, signal_norm=0.0),
        "net": TwoLayerCNN(n_filters=1, init_std=0.0),
        "plans": [[SGD(learning_rate=1.0, epochs=0)]],
        "seed": 0, "replicates": range(1), "record": Record(), "default": "last", "names": ALWAYS,
        "stop": np.zeros(1, np.int64),
    }  # fmt: skip
    collecting = gc.isenabled()
    gc.disable()  # it would walk the compiler's many objects again and again
    try:
        if not kernels_kept() and available_threads() > 1:
            with compiled_beside(*pointers[2:]):  # the two processes have about equal shares
                train()
                test()
                compile_for(run_point, *point_arguments(**point, pointers=pointers))
        for pointer in pointers:
            pointer()
        run_drawn(**point)
    finally:
        if collecting:
            gc.enable()
    return time.perf_counter() - began


# -- one setting ---------------------------------------------------------------------------------


def provenance(call: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataset carries so that the call can be made again."""
    import numba

    return {
        "call": as_json(call),
        "simdyn_version": version.VERSION,
        "simdyn_commit": version.COMMIT,
        "numerics_version": NUMERICS_VERSION,
        "numpy_version": np.__version__,
        "numba_version": numba.__version__,
    }


def check_kind(name: str, value: Any, kind: type[Parameters]) -> None:
    """An argument must be of its parameter class."""
    if not isinstance(value, kind):
        raise InputError(f"{name} = {value!r}: allowed is a {kind.__name__}(…)")


def simulate(
    data: SignalNoiseData,
    net: TwoLayerCNN,
    plan: Plan,
    *,
    seed: int = 0,
    replicates: int = 1,
    record: Record | None = None,
    threads: int | None = None,
) -> "xr.Dataset":
    """Train on drawn signal + noise data, in Gram space.

    Parameters
    ----------
    data : SignalNoiseData
    net : TwoLayerCNN
    plan : Phase or list of Phase
        SGD and SAM phases, one after the other.
    seed : int, 0 … 2⁶³ − 1
    replicates : int ≥ 1
        Independent draws of data, weights and batches. Replicate k is one set of unit draws
        whatever the parameters, so comparisons at equal seed are paired.
    record : Record, optional
        What to record, and when; every epoch from 0 where not told otherwise.
    threads : int, optional
        Cores to use; the result has the same bits for any number.

    Returns
    -------
    xarray.Dataset
        Dims (replicate, step, sign, filter, sample); see `simdyn.schema.VARIABLES`.

    Raises
    ------
    InputError
        One line that names the field, the value and what is allowed.
    """
    check_kind("data", data, SignalNoiseData)
    check_kind("net", net, TwoLayerCNN)
    plan, record = as_plan(plan), record or Record()
    check_kind("record", record, Record)
    seed, replicates = check_seed(seed), check_replicates(replicates)
    if record.weights:
        raise InputError(
            "Record.weights = True: allowed for explicit data only (simdyn.train); drawn data has "
            "no d-vectors. signal_coef and noise_coef carry the weights"
        )
    names = choose_variables(record.variables, DRAWN_DEFAULT, DRAWN_VARIABLES)
    record.estimator(net.activation)
    if "sharpness" in names:
        check_sharpness(net.activation)
    updates = record.updates(plan, data.n_samples, "epoch")
    coords = axis_coordinates(None, replicates, updates.size, net.n_filters, data.n_samples)
    coords["update"] = Coordinate(("step",), updates, UPDATE_ATTRS)
    call = {"simulate": {"data": data, "net": net, "plan": list(plan), "seed": seed,
                         "replicates": replicates, "record": record}}  # fmt: skip
    layout = Layout(("replicate",), coords, names, provenance(call))
    arrays = layout.arrays()
    threads = check_threads(threads)
    prepare(pointers_for(record, net.activation, names))

    def work(part: range, stop: np.ndarray) -> dict[str, np.ndarray] | None:
        return run_drawn(data, net, [plan], seed, part, record, "epoch", names, stop)

    share = max(1, -(-replicates // (4 * threads)))
    parts = (range(at, min(at + share, replicates)) for at in range(0, replicates, share))
    try:
        for part, values in side_by_side(work, parts, threads):
            if values is not None:
                for name in names:
                    arrays[name][part.start : part.stop] = values[name][0]
    except MemoryError:
        raise InputError(
            f"n_samples = {data.n_samples}, n_filters = {net.n_filters}: more than this machine's "
            "memory holds"
        ) from None
    return layout.dataset(arrays)
