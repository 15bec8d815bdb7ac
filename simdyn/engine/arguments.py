"""From parameters to the arguments of kernels, and from what they fill to arrays by name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simdyn.kernels import codes, rates
from simdyn.kernels.activations import Model
from simdyn.kernels.compiled import Pointed
from simdyn.kernels.estimates import counted_estimate, no_estimate, radial_estimate
from simdyn.kernels.goals import no_goal, seek_goal
from simdyn.kernels.line_estimate import line_estimate
from simdyn.kernels.observe import Readers, Recording, Traces
from simdyn.kernels.probes import no_probe, probe
from simdyn.kernels.sampling import Setting
from simdyn.kernels.strides import no_stride, stride
from simdyn.kernels.structures import PHASE_FIELDS, FreshSamples, Schedule, Table, TestSet, Views
from simdyn.kernels.test_error import test
from simdyn.kernels.train import Tools, train
from simdyn.params import DrawnData, Phase, Record, TwoLayerCNN, View
from simdyn.params.schedule import is_constant
from simdyn.variables.registry import VARIABLES

ESTIMATES = {"line": line_estimate, "counted": counted_estimate, "radial": radial_estimate}


class Wanted(NamedTuple):
    """What is recorded of every run."""

    record: Record
    names: Sequence[str]  # variables
    default: str  # the `default` of `Record.updates`


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


def kernel_schedule(
    plans: Sequence[Sequence[Phase]], n_samples: int, updates: Sequence[np.ndarray]
) -> Schedule:
    """The phases of all methods, and the updates after which each method is recorded.

    A learning rate that changes is NaN, and has a program beside the phases.
    """
    phases = [phase for plan in plans for phase in plan]
    rows: list[tuple[Any, ...]] = []
    steps: list[tuple[str, float]] = []
    for phase in phases:
        program, start, goal = phase.rate_program(n_samples), len(steps), phase.goal
        steps += [] if is_constant(program) else program
        own = {
            "learning_rate": program[0][1] if is_constant(program) else np.nan,
            "rate_start": start,
            "rate_stop": len(steps),
            "batch_size": phase.batch_size or n_samples,
            "keep_last": phase.last_batch == "keep",
            "stride_tolerance": 0.0 if phase.stepping == "exact" else phase.stride_tolerance,
            "flows": phase.stepping == "flow",
            "goal": codes.GOALS[goal.quantity] if goal else 0,
            "goal_below": goal.below if goal else False,
            "goal_bound": goal.bound if goal else 0.0,
        }
        names = PHASE_FIELDS.names or ()
        rows.append(tuple(own[name] if name in own else getattr(phase, name) for name in names))
    return Schedule(
        np.array(rows, PHASE_FIELDS),
        np.cumsum([0, *map(len, plans[:-1])]).astype(np.int64),
        np.array([rates.OPERATIONS.index(operation) for operation, _ in steps], np.int64),
        np.array([value for _, value in steps], np.float64),
        np.array(updates, np.int64),
    )


def empty_traces(runs: int, states: int, names: Sequence[str], sizes: Mapping[str, int]) -> Traces:
    """Arrays of NaN for the kernel to fill; those not among `names` have no states.

    `sizes` are those of the axes "filter", "sample" and "vector".
    """
    # A test error comes with its error and both kinds of label, whichever of them is kept.
    tested = any(VARIABLES[name].test for name in names)

    def trace(name: str) -> np.ndarray:
        variable = VARIABLES[name]
        kept = tested if variable.test else name in names
        inner = [{"sign": 2, **sizes}[dim] for dim in variable.dims[1:]]
        if "filter" in variable.dims:  # kernels have the filters of both signs along one axis
            inner[:2] = [2 * sizes["filter"]]
        return np.full((runs, states if kept else 0, *inner), np.nan)

    return Traces(*map(trace, Traces._fields))


def kernel_recording(
    schedule: Schedule,
    replicates: int,
    wanted: Wanted,
    sizes: Mapping[str, int],
    fresh: FreshSamples,
    test_set: TestSet,
) -> Recording:
    """What is recorded of every method on every replicate, for the kernel to fill."""
    methods, states = schedule.record_at.shape
    runs = methods * replicates
    return Recording(
        fresh,
        test_set,
        float(wanted.record.probed),
        empty_traces(runs, states, wanted.names, sizes),
        np.zeros(runs, np.int64),
        np.zeros(runs, np.int64),
    )


def recorded(
    recording: Recording, outer: tuple[int, ...], names: Sequence[str]
) -> dict[str, np.ndarray]:
    """What was recorded by name, with the axes `outer` of runs and the axes of `VARIABLES`."""
    arrays: dict[str, np.ndarray] = {
        "status": recording.status.astype(np.int8).reshape(outer),
        "status_step": recording.status_step.reshape(outer),
    }
    for name in names:
        if name in Traces._fields:  # others are worked out after the kernel
            array = getattr(recording.traces, name)
            states, *inner = array.shape[1:]
            if "filter" in VARIABLES[name].dims:
                inner[:1] = [2, inner[0] // 2]
            arrays[name] = array.reshape(*outer, states, *inner)
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


def read_by_conditions(plans: Iterable[Sequence[Phase]]) -> set[str]:
    """Variables that conditions of phases read."""
    return {phase.goal.quantity for plan in plans for phase in plan if phase.goal}


def pointers_for(
    record: Record, activation: str, names: Iterable[str], stepping: Iterable[Any], goals: set[str]
) -> tuple[Pointed, ...]:
    """The kernels, called through pointers, that a run needs: `train`, and those of `tools_of`.

    Parameters
    ----------
    record, activation, names
        What is recorded of a network.
    stepping, goals
        All values that this field of phases has, and what their conditions read.
    """
    read = {*names, *goals}
    tested = any(VARIABLES[name].test for name in read)
    probed = any(VARIABLES[name].probe for name in read)
    return (
        train,
        test,
        ESTIMATES[record.estimator(activation)] if tested else no_estimate,
        probe if probed else no_probe,
        stride if set(stepping) - {"exact"} else no_stride,
        seek_goal if goals else no_goal,
    )


def tools_of(pointers: Sequence[Any]) -> Tools:
    """Compiled kernels as `train` takes them, in the order of `pointers_for`, without `train`."""
    return Tools(Readers(*pointers[:3]), *pointers[3:])


def kernel_views(views: Sequence[View]) -> Views:
    """Views as arrays."""
    return Views(
        np.array([view.share for view in views], dtype=np.float64),
        np.array([[view.positive, view.negative] for view in views], dtype=np.float64),
    )


def kernel_setting(data: DrawnData, net: TwoLayerCNN) -> Setting:
    """The law of data and initial weights."""
    return Setting(
        int(data.n_samples),
        int(data.dimension),
        np.array(data.signals, dtype=np.float64),
        kernel_views(data.views),
        float(data.noise_scale),
        int(data.noise_vectors),
        float(data.noise_copies),
        int(data.added),
        float(data.label_flip),
        int(data.noise == "orthogonal"),
        int(net.n_filters),
        float(net.init_std),
        int(net.init == "antisymmetric"),
        kernel_model(net),
    )


def kernel_fresh(data: DrawnData, method: int, draws: int) -> FreshSamples:
    """The law of fresh samples, and how their error is estimated."""
    return FreshSamples(
        method,
        int(draws),
        float(data.noise_scale),
        int(data.noise_vectors),
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
    wanted: Wanted,
    stop: np.ndarray,
    pointers: Sequence[Any],
) -> tuple[Any, ...]:
    """What `run_point` takes to run every method on every replicate of one point."""
    record, n = wanted.record, data.n_samples
    read = {*wanted.names, *read_by_conditions(plans)}
    updates = [record.updates(plan, n, wanted.default) for plan in plans]
    schedule = kernel_schedule(plans, n, updates)
    tested = any(VARIABLES[name].test for name in read)
    method = codes.ESTIMATORS[record.estimator(net.activation)].code if tested else codes.NO_TEST
    sizes = {"filter": net.n_filters, "sample": n, "vector": data.dictionary_size}
    fresh = kernel_fresh(data, method, record.draws(net.activation))
    train, *tools = pointers
    return (
        kernel_setting(data, net),
        schedule,
        np.uint64(seed),
        int(replicates.start),
        train,
        tools_of(tools),
        stop,
        kernel_recording(schedule, len(replicates), wanted, sizes, fresh, NO_TEST_SET),
    )
