"""The state a kernel works on: dictionary, overlaps, table, and the laws to test under.

Everything is expressed through a dictionary of q vectors v_k (the rows of V). With m filters for
each sign, bank column f < m is filter f of sign +1 and column f ≥ m filter f − m of sign −1.
"""

from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

from simdyn.kernels.activations import Model

Floats = npt.NDArray[np.float64]
# C-contiguous arrays: what their entries are and how many axes they have, for `compiled.kind_of`.
Vector = Annotated[Floats, np.float64, 1]
Matrix = Annotated[Floats, np.float64, 2]
Cube = Annotated[Floats, np.float64, 3]
FourAxes = Annotated[Floats, np.float64, 4]
Indices = Annotated[npt.NDArray[np.int64], np.int64, 1]
# Unsigned: an index that cannot be negative needs no check, and none of those in a loop vanish.
Places = Annotated[npt.NDArray[np.uint64], np.uint64, 1]
PlaceTable = Annotated[npt.NDArray[np.uint64], np.uint64, 2]
Counts = Annotated[npt.NDArray[np.int64], np.int64, 2]


class Table(NamedTuple):
    """Which patches a sample has.

    Patch number p is sign[p] times dictionary row row[p]: ±1, or ± the unit of a row that the
    dictionary holds in one, see `Dictionary`. Sample i has the entries
    start[i] … start[i + 1] − 1, each `multiplicity` times the patch of that number; what several
    samples share is one patch, so its activations are computed once.
    """

    start: Indices  # (n + 1,)
    patch: Indices  # one for each entry
    multiplicity: Vector  # one for each entry
    row: Indices  # one for each patch
    sign: Vector  # one for each patch, ± the unit of its row


class Dictionary(NamedTuple):
    """The operator C ↦ G C on (q, 2m) arrays, by G = V Vᵀ or, if that is larger, by V itself.

    Very long and very short vectors are held in units of their own, powers of two, so that their
    products neither over- nor underflow: row k is the vector divided by unit k. Overlaps and
    coefficients are those of the rows.
    """

    gram: Matrix  # (q, q), or (0, 0) if the factored form V (Vᵀ C) is used
    rows: Matrix  # V in any orthonormal coordinates, (q, D); (q, 0) if nothing needs them
    units: Vector  # (q,), one but for such vectors


class Problem(NamedTuple):
    """A training problem as seen from the span of its patches."""

    dictionary: Dictionary
    overlaps: Matrix  # A(0) = V W(0)ᵀ, (q, 2m)
    weights: Matrix  # W(0) in the coordinates of V, (2m, D)
    table: Table
    labels: Vector  # observed labels y, (n,), ±1
    true_labels: Vector  # ŷ, (n,), ±1
    n_signals: int  # rows of the dictionary that are signals, the first ones; then noise
    model: Model


class TestSet(NamedTuple):
    """Explicit test samples: a table over p test vectors t_k, with T Vᵀ and T W(0)ᵀ."""

    cross: Matrix  # T Vᵀ, (p, q)
    overlaps: Matrix  # T W(0)ᵀ, (p, 2m)
    table: Table
    labels: Vector


class Views(NamedTuple):
    """What samples may show of the s signals, the first s rows of the dictionary."""

    share: Vector  # how often each view occurs, (views,)
    shown: Cube  # signs of the signals for label +1 and −1, 0: not shown, (views, 2, s)


class FreshSamples(NamedTuple):
    """The law of fresh samples: a view of the signals, and Gaussian noise."""

    method: int  # NO_TEST, LINE, COUNTED, RADIAL or TEST_SET
    draws: int
    noise_std: float
    noise_vectors: int  # independent noise vectors of a sample
    noise_copies: float  # patches that show each of them
    added: int  # 1 if signals and noise are added up in one patch, else 0
    bare: int  # coordinates, the first ones, along which the noise has no component
    label_flip: float
    views: Views


# Fields of a phase. Each is the attribute of that name of a `params.Phase`, but for those of which
# `engine.arguments` says otherwise.
PHASE_FIELDS = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("perturbation", np.float64),  # τ; 0 is SGD
                ("perturbs_by_norm", np.bool_),  # ε̂ = τ∇L/‖∇L‖, else ε̂ = τ∇L
                ("perturbed_together", np.int64),  # samples of a group; 0: the whole batch
                ("learning_rate", np.float64),  # η if it is constant
                ("rate_start", np.int64),  # where the program of a changing rate begins
                ("rate_stop", np.int64),  # and where it ends; there too if the rate is constant
                ("epochs", np.int64),
                ("batch_size", np.int64),  # B
                ("keep_last", np.bool_),  # a smaller last batch is used, else it is dropped
                ("momentum", np.float64),  # β
                ("weight_decay", np.float64),  # λ
                ("restart", np.bool_),  # the velocity starts at zero
                ("label_noise", np.float64),  # probability that an update flips a label
                ("stride_tolerance", np.float64),  # 0: update by update
                ("flows", np.bool_),  # gradient flow, else the map of single updates
                ("goal", np.int64),  # what may end the phase, of `codes.GOALS`; 0: nothing
                ("goal_below", np.bool_),  # it ends below the bound, else above
                ("goal_bound", np.float64),
            ],
            align=True,
        ),
    )
)


class Schedule(NamedTuple):
    """What each method does, and after which updates its states are recorded."""

    phases: Annotated[npt.NDArray[np.void], PHASE_FIELDS, 1]  # of all methods, one after another
    first_phase: Indices  # of each method, (methods,)
    rate_code: Indices  # operations of the programs of all changing rates, see `rates`
    rate_value: Vector  # and their constants
    record_at: Counts  # updates, increasing, (methods, T)
