"""Drawn problems as explicit arrays, for other code to be held against."""

from typing import Any, NamedTuple

import numpy as np

from simdyn.base.inputs import InputError, check_seed, shown
from simdyn.engine.arguments import kernel_setting
from simdyn.engine.patches import Floats
from simdyn.engine.weights import generator
from simdyn.kernels.compiled import kernel
from simdyn.kernels.random import Stream
from simdyn.kernels.sampling import draw_problem
from simdyn.params import Data, DrawnData, TwoLayerCNN
from simdyn.params.parameters import check_kind
from simdyn.variables.selection import check_init

MOST_NUMBERS = 2**26  # in all arrays, half a gigabyte


class Drawn(NamedTuple):
    """One draw of data and initial weights, as `draw` returns it.

    Attributes
    ----------
    patches : (n, P, d) array
        Signals first, then noise. Zero where a sample shows one signal fewer than others.
    labels, true_labels : (n,) arrays of ±1
        Observed labels y and true labels ŷ.
    weights : (2, m, d) array
        Initial filters; the first bank has sign +1, the second −1.
    signals : (s, d) array
        The fixed signals, μ first; along the first s axes.
    """

    patches: Floats
    labels: Floats
    true_labels: Floats
    weights: Floats
    signals: Floats


@kernel
def _drawn(setting: Any, seed: Any, replicate: Any) -> Any:
    """The arrays of a drawn problem, in coordinates of its picture."""
    problem = draw_problem(setting, Stream(seed, replicate))
    dictionary, table = problem.dictionary, problem.table
    return (
        dictionary.rows,
        dictionary.units,
        problem.weights,
        problem.labels,
        problem.true_labels,
        (table.start, table.patch, table.multiplicity, table.row, table.sign),
    )


def draw(data: Data, net: TwoLayerCNN, *, seed: int = 0, replicate: int = 0) -> Drawn:
    """The data and initial weights that `simulate` trains, as arrays of d-vectors.

    Parameters
    ----------
    data : SignalNoiseData, IndependentNoiseData, XORData, MultiViewData or ClusterData
        Of a dimension at which the arrays fit: up to 2²⁶ numbers in all.
    net : TwoLayerCNN
    seed : int, 0 … 2⁶³ − 1
    replicate : int ≥ 0

    Returns
    -------
    Drawn
        A named tuple: patches (n, P, d), labels (n,), true_labels (n,), weights (2, m, d),
        signals (s, d).

    Raises
    ------
    InputError
        One line that names the argument and what is allowed.

    Notes
    -----
    `simulate` draws all inner products of these vectors and never the vectors: their picture in at
    most s + n(P−1) + 2m coordinates. This is the same picture, turned at random about the signals
    (by a generator of its own), so that each vector has its law in R^d. Training depends on inner
    products only: the full-batch course is that of this replicate, up to rounding. Mini-batches
    are those of `train` with the same seed, if the replicate is 0.

    Examples
    --------
    >>> data = simdyn.SignalNoiseData(n_samples=20, dimension=500, signal_norm=3.0)
    >>> net = simdyn.TwoLayerCNN(n_filters=10, init_std=1e-3)
    >>> sgd = simdyn.SGD(learning_rate=0.1, epochs=100)
    >>> drawn = simdyn.draw(data, net, seed=1)
    >>> drawn.patches.shape, drawn.weights.shape
    ((20, 2, 500), (2, 10, 500))
    >>> problem = simdyn.Problem.from_patches(drawn.patches, drawn.labels, drawn.weights)
    >>> explicit = simdyn.train(problem, sgd).train_loss
    >>> bool(abs(explicit - simdyn.simulate(data, net, sgd, seed=1).train_loss).max() < 1e-10)
    True
    """
    check_kind("data", data, Data)
    check_kind("net", net, TwoLayerCNN)
    seed = check_seed(seed)
    if not isinstance(replicate, int | np.integer) or isinstance(replicate, bool) or replicate < 0:
        raise InputError(f"replicate = {shown(replicate)}: allowed is an integer ≥ 0")
    if not isinstance(data, DrawnData):
        raise InputError(
            f"data = {shown(data)}: allowed is a law that draws its data; images are given as they "
            "are"
        )
    check_init(net.init, type(data))
    d, s = data.dimension, len(data.signals)
    width = s + min(data.dictionary_size - s + 2 * net.n_filters, d - s)
    vectors = data.n_samples * (s + data.noise_vectors * int(data.noise_copies))
    numbers = (vectors + 2 * net.n_filters + width) * d
    if numbers > MOST_NUMBERS:
        raise InputError(
            f"dimension = {d}: the arrays would hold {numbers:.3g} numbers; allowed are up to "
            f"2**26, a dimension of {max(MOST_NUMBERS * d // numbers, 1):,} or less; simulate "
            "needs none of them"
        )
    setting = kernel_setting(data, net)
    rows, units, weights, labels, truth, table = _drawn(
        setting, np.uint64(seed), np.uint64(replicate)
    )
    turned = _turned(width, d, s, seed, int(replicate))
    rows, weights = (rows * units[:, None]) @ turned, weights @ turned
    patches = _patches(rows, units, table, data)
    return Drawn(patches, labels, truth, weights.reshape(2, net.n_filters, d), rows[:s])


def _turned(width: int, d: int, s: int, seed: int, replicate: int) -> Floats:
    """Orthonormal rows (width, d): the first s axes, then random directions across these."""
    turned = np.zeros((width, d))
    turned[:s, :s] = np.eye(s)
    if width > s:
        normals = generator(seed, replicate, "directions").standard_normal((d - s, width - s))
        q, r = np.linalg.qr(normals)
        turned[s:, s:] = (q * np.where(np.diag(r) < 0.0, -1.0, 1.0)).T  # uniformly distributed
    return turned


def _patches(rows: Floats, units: Floats, table: Any, data: DrawnData) -> Floats:
    """Patches (n, P, d) of the samples of a table, each as often as it is shown."""
    start, patch, multiplicity, row, sign = table
    signs = sign / units[row]  # the rows are whole again
    samples = []
    for i in range(data.n_samples):
        entries = range(start[i], start[i + 1])
        chosen = [patch[e] for e in entries for _ in range(round(multiplicity[e]))]
        samples.append([signs[p] * rows[row[p]] for p in chosen])
    most = max(map(len, samples))
    patches = np.zeros((data.n_samples, most, rows.shape[1]))
    for i, vectors in enumerate(samples):  # zero patches, where a signal is not shown, come first
        patches[i, most - len(vectors) :] = vectors
    return patches
