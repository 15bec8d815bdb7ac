"""Initial weights of explicit problems."""

import numpy as np

from simdyn.base.inputs import InputError, check_seed, shown
from simdyn.engine.patches import Floats
from simdyn.params import TwoLayerCNN


def generator(seed: int, replicate: int, purpose: str) -> np.random.Generator:
    """Random numbers of one purpose in one replicate."""
    words = [seed, replicate, *purpose.encode()]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def initial_weights(
    net: TwoLayerCNN, dimension: int, *, seed: int = 0, replicate: int = 0
) -> Floats:
    """Initial filters of a network, by its own law.

    Parameters
    ----------
    net : TwoLayerCNN
        Its `init` says which law, its `init_std` the standard deviation of each entry.
    dimension : int ≥ 1
        Entries d of a filter.
    seed : int, 0 … 2⁶³ − 1
    replicate : int ≥ 0

    Returns
    -------
    (2, m, d) array
        First the bank of sign +1. A wider network has the filters of a narrower one.

    Examples
    --------
    >>> simdyn.initial_weights(simdyn.TwoLayerCNN(n_filters=4, init_std=0.1), 3, seed=1).shape
    (2, 4, 3)
    """
    if not isinstance(net, TwoLayerCNN):
        raise InputError(f"net = {shown(net)}: allowed is a TwoLayerCNN(…)")
    for name, value, least in (("dimension", dimension, 1), ("replicate", replicate, 0)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} = {shown(value)}: allowed is an integer ≥ {least}")
    rng = generator(check_seed(seed), replicate, "weights")
    shape = (net.n_filters, 2, int(dimension))
    if net.init == "uniform":
        unit = rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), shape)
    else:
        unit = rng.standard_normal(shape)
    if net.init == "antisymmetric":
        unit[:, 1] = unit[:, 0]
    return np.ascontiguousarray(net.init_std * unit.swapaxes(0, 1))
