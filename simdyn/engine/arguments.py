"""The one bridge: parameters → what kernels take → arrays by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simdyn.kernels import codes, rates
from simdyn.kernels.activations import Model
from simdyn.kernels.compiled import Pointed
from simdyn.kernels.estimates import counted_estimate, line_estimate, no_estimate, radial_estimate
from simdyn.kernels.observe import Traces
from simdyn.kernels.probes import no_probe, probe
from simdyn.kernels.sampling import Setting
from simdyn.kernels.structures import FreshSamples, Schedule, Table, TestSet, Views
from simdyn.kernels.test_error import test
from simdyn.kernels.train import train
from simdyn.params import DrawnData, Phase, Record, TwoLayerCNN, View
from simdyn.params.schedule import is_constant
from simdyn.variables.registry import VARIABLES

ESTIMATES = {"line": line_estimate, "counted": counted_estimate, "radial": radial_estimate}

# -- parameters → kernel arguments ---------------------------------------------------------------


def kernel_model(net: TwoLayerCNN) -> Model:
    """Activation, loss and scales of a network."""
    activation, shape = codes.ACTIVATIONS[net.activation], float(net.shape)
    return Model(
        activation.code,
        shape,
        activation.degree(shape),
        activation.least_slope(shape),
        int(activation.active_below),
        codes.LOSSES[net.loss].code,
        float(net.n_filters) if net.output == "mean" else 1.0,
        int(net.reduction == "sum"),
    )


def kernel_rates(
    phases: Sequence[Phase], n_samples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Learning rates as `Schedule` holds them; those that change are NaN beside their programs."""
    programs = [phase.rate_program(n_samples) for phase in phases]
    changing = [() if is_constant(program) else program for program in programs]
    ends = np.cumsum([0, *map(len, changing)]).astype(np.int64)
    steps = [step for program in changing for step in program]
    return (
        np.array([p[0][1] if is_constant(p) else np.nan for p in programs], np.float64),
        ends[:-1].copy(),
        ends[1:].copy(),
        np.array([rates.OPERATIONS.index(operation) for operation, _ in steps], np.int64),
        np.array([value for _, value in steps], np.float64),
    )


def kernel_schedules(
    plans: Sequence[Sequence[Phase]], n_samples: int
) -> tuple[Schedule, np.ndarray]:
    """The phases of all methods, one after the other, and where each method's begin."""
    phases = [phase for plan in plans for phase in plan]
    schedule = Schedule(
        np.array([phase.perturbation for phase in phases], dtype=np.float64),
        np.array([phase.perturbs_by_norm for phase in phases], dtype=np.int64),
        np.array([phase.perturbed_together for phase in phases], dtype=np.int64),
        *kernel_rates(phases, n_samples),
        np.array([phase.epochs for phase in phases], dtype=np.int64),
        np.array([phase.batch_size or n_samples for phase in phases], dtype=np.int64),
        np.array([phase.last_batch == "keep" for phase in phases], dtype=np.int64),
        np.array([phase.momentum for phase in phases], dtype=np.float64),
        np.array([phase.weight_decay for phase in phases], dtype=np.float64),
        np.array([phase.restart for phase in phases], dtype=np.int64),
        np.array([phase.label_noise for phase in phases], dtype=np.float64),
    )
    return schedule, np.cumsum([0, *map(len, plans)]).astype(np.int64)


def empty_traces(
    outer: tuple[int, ...],
    names: Sequence[str],
    steps: int,
    filters: int,
    samples: int,
    vectors: int,
) -> Traces:
    """Arrays of NaN for the kernel to fill; those not among `names` have no states."""
    sizes = {"sign": 2, "filter": filters, "sample": samples, "vector": vectors}
    # A test error comes with its error and both kinds of label, whichever of them is kept.
    tested = any(VARIABLES[name].test for name in names)

    def trace(name: str) -> np.ndarray:
        variable = VARIABLES[name]
        states = steps if (tested if variable.test else name in names) else 0
        inner = [sizes[dim] for dim in variable.dims[1:]]
        if "filter" in variable.dims:  # kernels have the filters of both signs along one axis
            inner[:2] = [2 * filters]
        return np.full((*outer, states, *inner), np.nan)

    return Traces(*map(trace, Traces._fields))


def labelled(traces: Traces, names: Sequence[str], filters: int) -> dict[str, np.ndarray]:
    """Traces by name, with the filters of both banks split into (sign, filter)."""
    arrays = {}
    for name in names:
        if name not in Traces._fields:  # status, and what is worked out after the kernel
            continue
        array, dims = getattr(traces, name), VARIABLES[name].dims
        if "filter" in dims:
            at = array.ndim - len(dims[2:])
            array = array.reshape(*array.shape[:at], 2, filters, *array.shape[at + 1 :])
        arrays[name] = array
    return arrays


NO_TEST_SET = TestSet(
    np.zeros((0, 0)),
    np.zeros((0, 0)),
    Table(
        np.zeros(1, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0),
        np.zeros(0, np.int64),
        np.zeros(0),
    ),
    np.zeros(0),
)


NO_FRESH_SAMPLES = FreshSamples(  # one signal, shared noise, and no test
    codes.NO_TEST, 0, 0.0, 1, 1.0, 0, 0, 0.0, Views(np.ones(1), np.array([[[1.0], [-1.0]]]))
)


def pointers_for(record: Record, activation: str, names: Sequence[str]) -> tuple[Pointed, ...]:
    """The kernels behind pointers that a run with these variables needs."""
    tested = any(VARIABLES[name].test for name in names)
    probed = any(VARIABLES[name].probe for name in names)
    estimate = ESTIMATES[record.estimator(activation)] if tested else no_estimate
    return train, test, estimate, probe if probed else no_probe


def kernel_views(views: Sequence[View]) -> Views:
    """Views as arrays."""
    return Views(
        np.array([view.share for view in views], dtype=np.float64),
        np.array([[view.positive, view.negative] for view in views], dtype=np.float64),
    )


def kernel_setting(data: DrawnData, net: TwoLayerCNN) -> Setting:
    """The law of data and initial weights."""
    return Setting(
        data.n_samples,
        data.dimension,
        np.array(data.signals, dtype=np.float64),
        kernel_views(data.views),
        float(data.noise_scale),
        data.noise_vectors,
        float(data.noise_copies),
        int(data.added),
        float(data.label_flip),
        int(data.noise == "orthogonal"),
        net.n_filters,
        float(net.init_std),
        int(net.init == "antisymmetric"),
        kernel_model(net),
    )


def kernel_fresh(data: DrawnData, method: int, draws: int) -> FreshSamples:
    """The law of fresh samples, and how their error is estimated."""
    return FreshSamples(
        method,
        draws,
        float(data.noise_scale),
        data.noise_vectors,
        float(data.noise_copies),
        int(data.added),
        len(data.signals) if data.noise == "orthogonal" else 0,
        float(data.label_flip),
        kernel_views(data.fresh_views),
    )


def point_arguments(
    data: DrawnData,
    net: TwoLayerCNN,
    plans: Sequence[Sequence[Phase]],
    seed: int,
    replicates: range,
    record: Record,
    default: str,
    names: Sequence[str],
    stop: np.ndarray,
    pointers: Sequence[Any],
) -> tuple[Any, ...]:
    """What `run_point` takes to run every method on every replicate of one point."""
    schedules, phase_start = kernel_schedules(plans, data.n_samples)
    record_at = np.array([record.updates(plan, data.n_samples, default) for plan in plans])
    outer = (len(plans), len(replicates))
    size = (record_at.shape[1], net.n_filters, data.n_samples, data.dictionary_size)
    traces = empty_traces(outer, names, *size)
    status, status_step = np.zeros(outer, np.int64), np.zeros(outer, np.int64)
    tested = traces.test_error.size > 0
    method = codes.ESTIMATORS[record.estimator(net.activation)].code if tested else codes.NO_TEST
    return (
        kernel_setting(data, net),
        schedules,
        phase_start,
        np.uint64(seed),
        replicates.start,
        NO_TEST_SET,
        kernel_fresh(data, method, record.draws(net.activation)),
        *pointers,
        record.probed,
        record_at,
        stop,
        traces,
        status,
        status_step,
    )
