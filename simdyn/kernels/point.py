"""Runs of one point of a study, or of one explicit problem."""

import numpy as np

from simdyn.kernels import codes
from simdyn.kernels.compiled import kernel
from simdyn.kernels.random import Stream
from simdyn.kernels.sampling import draw_problem
from simdyn.kernels.state import new_state
from simdyn.kernels.workspace import new_workspace


@kernel
def run_point(setting, schedule, seed, first_replicate, train, tools, stop, recording):
    """Draw each replicate once and train it by every method of the schedule.

    Parameters
    ----------
    train, tools : compiled function, Tools
        Called through their pointers.
    recording : Recording
        Filled; method k on replicate r is run k·replicates + r.

    Returns
    -------
    bool
        False if the stop flag was raised; what is filled so far is then incomplete.
    """
    methods, watched = schedule.record_at.shape[0], recording.traces.switching_fraction.size > 0
    replicates = recording.status.size // methods
    for replicate in range(replicates):
        stream = Stream(np.uint64(seed), np.uint64(first_replicate + replicate))
        problem = draw_problem(setting, stream)
        work = new_workspace(problem)
        for method in range(methods):
            run = method * replicates + replicate
            state = new_state(problem, schedule, method, run, watched)
            train(problem, schedule, stream, tools, stop, state, work, recording)
            if recording.status[run] == codes.STOPPED:
                return False
    return True


@kernel
def run_problem(problem, schedule, seed, replicate, train, tools, stop, recording):
    """As `run_point`, for one given problem and one method."""
    stream = Stream(np.uint64(seed), np.uint64(replicate))
    watched = recording.traces.switching_fraction.size > 0
    state, work = new_state(problem, schedule, 0, 0, watched), new_workspace(problem)
    train(problem, schedule, stream, tools, stop, state, work, recording)
    return recording.status[0] != codes.STOPPED
