"""Conditions that end a phase before its epochs are over, such as "train_loss < 0.01"."""

import math

from simdyn.kernels.codes import GRAD_NORM, LARGEST_NOISE, LARGEST_SIGNAL, MARGIN, TRAIN_ERROR
from simdyn.kernels.compiled import borrowing
from simdyn.kernels.gradient import apply_gram, gradient
from simdyn.kernels.linear import squared_norm
from simdyn.kernels.observe import training_scores


@borrowing
def reading(quantity, problem, copies, state, work):
    """A quantity at the weights of a state; NaN if an output overflows.

    Parameters
    ----------
    copies : float
        Patches that show a noise vector, as for `FreshSamples.noise_copies`.
    """
    dictionary, moved, banks = problem.dictionary, state.moved, problem.overlaps.shape[1]
    largest = -math.inf
    if quantity == LARGEST_SIGNAL:
        square = squared_norm(dictionary, 0) * dictionary.units[0]
        for f in range(banks):
            largest = max(largest, square * (moved[0, f] if f < banks // 2 else -moved[0, f]))
        return largest
    if quantity == LARGEST_NOISE:
        for i in range(problem.labels.size):
            k = problem.n_signals + i
            square = copies * squared_norm(dictionary, k) * dictionary.units[k]
            for f in range(banks):
                largest = max(largest, square * moved[k, f])
        return largest
    scale, finite = gradient(state.overlaps, problem, work.every_sample, work.every_patch, work)
    if not finite:
        return math.nan
    if quantity == GRAD_NORM:
        return scale * apply_gram(work)
    if quantity == MARGIN:
        least = math.inf
        for margin in work.margins:
            least = min(least, margin)
        return least
    train_loss, train_error = training_scores(problem.model, work.margins)
    return train_error if quantity == TRAIN_ERROR else train_loss


@borrowing
def goal_met(problem, phase, copies, state, work):
    """Does the condition of a phase hold?"""
    value = reading(phase.goal, problem, copies, state, work)
    bound = phase.goal_bound
    return value < bound if phase.goal_below else value > bound
