"""What is recorded of a run, and when."""

import typing
from typing import Annotated, Literal

import numpy as np

from simdyn.base.inputs import InputError, nearest
from simdyn.kernels import NUMERICS_VERSION
from simdyn.kernels.codes import ACTIVATIONS, ESTIMATORS
from simdyn.params.parameters import (
    MAX_DIMENSION,
    Integer,
    Parameters,
    Real,
    described,
    in_words,
    integer,
    nonnegative,
    one_of,
)
from simdyn.params.phases import Phase

MAX_UPDATES, MAX_STATES = 2**62, 2**24
LINES_BEFORE_6 = 128  # of a test error by default, before NUMERICS_VERSION 6
DEFAULT_STATES = 1000  # recorded by `simulate` and `train` at most, if the record does not say when


class Record(Parameters):
    """What is recorded, and when. The initial state is step 0; the last state is always recorded.

    Parameters
    ----------
    every : int ≥ 1, optional
        Record each multiple of this many units. If neither `every` nor `log_spaced` is given,
        `simulate` and `train` record every epoch up to a thousand of them and, of longer training,
        what log_spaced = 1000 records; a study records only the last state.
    unit : {"epoch", "step"}
        What `every` counts: passes over the data or parameter updates.
    log_spaced : int ≥ 2, optional
        Record about this many states instead, spaced evenly in the logarithm of the update.
    variables : tuple of str, optional
        Names of what to record; `None` records what the call records by default.
    weights : bool
        For explicit data: record the weights themselves.
    test_estimator : {"line", "counted", "radial"}, optional
        How the test error on fresh samples is estimated (see `simdyn.kernels.estimates`). If
        absent, "line" for a piecewise linear network, else "counted"; "radial" needs an
        activation with σ(cz) = c^q σ(z).
    test_draws : int, 4 … 2²⁷, optional
        Random draws for each estimate: lines (default 32; `ClusterData` has a second line for
        each, towards each of up to 64 nearest failures), or points or rays (1000).
    probe_radius : float ≥ 0, optional
        τ of the perturbation that `sam_gap` and `deactivated_fraction` measure. If absent, that of
        the phase which made the last update: in a phase of SGD it is 0, and so are they.

    Examples
    --------
    >>> sgd = simdyn.SGD(learning_rate=0.1, epochs=1000)
    >>> simdyn.Record(log_spaced=5).updates([sgd], n_samples=20, default="epoch")
    array([   0,    1,   10,  100, 1000])
    """

    every: Integer | None = integer(None, "", "recording interval", 1, MAX_DIMENSION)
    unit: Literal["epoch", "step"] = described("epoch", "", "unit")
    log_spaced: Integer | None = integer(None, "", "states, log-spaced", 2, 2**20)
    variables: tuple[str, ...] | None = described(
        None, "", "variables", "a list of names of variables"
    )
    weights: bool = described(False, "", "record weights", "true or false")
    test_estimator: Annotated[str, one_of(ESTIMATORS)] | None = described(
        None, "", "estimator of the test error", in_words(ESTIMATORS)
    )
    test_draws: Integer | None = integer(None, "", "draws for each test error", 4, 2**27)

    probe_radius: Real | None = nonnegative(None, "τ", "probed radius")

    @property
    def probed(self) -> float:
        """The probed radius as kernels take it: −1 for that of the phase."""
        return -1.0 if self.probe_radius is None else self.probe_radius

    def estimator(self, activation: str) -> str:
        """The estimator of the test error for a network with this activation.

        Raises
        ------
        InputError
            If the one that is asked for does not support that activation.
        """
        if activation not in ACTIVATIONS:
            raise InputError(f"activation = {activation!r}: {nearest(activation, ACTIVATIONS)}")
        known = ACTIVATIONS[activation].estimators
        if self.test_estimator is not None and self.test_estimator not in known:
            raise InputError(
                f"Record.test_estimator = {self.test_estimator!r}: allowed for activation = "
                f"{activation!r} is {' or '.join(known)}"
            )
        return self.test_estimator or known[0]

    def draws(self, activation: str, numerics_version: int = NUMERICS_VERSION) -> int:
        """Random draws for each test error, in this version of the numbers or another."""
        estimator = self.estimator(activation)
        if estimator == "line" and numerics_version < 6:
            return self.test_draws or LINES_BEFORE_6
        return self.test_draws or ESTIMATORS[estimator].draws

    @property
    def says_when(self) -> bool:
        """Is it given which states to record?"""
        return self.every is not None or self.log_spaced is not None

    def _thinned(self, plan: typing.Sequence[Phase], n_samples: int) -> bool:
        """Are there so many states that `simulate` leaves some out?"""
        return not self.says_when and self._length(plan, n_samples) > DEFAULT_STATES

    def thinning(
        self, plan: typing.Sequence[Phase], n_samples: int, updates: np.ndarray
    ) -> dict[str, str]:
        """The attribute `recorded` of results from which `simulate` or `train` left out states."""
        if not self._thinned(plan, n_samples):
            return {}
        units = f"{self._length(plan, n_samples):,} {'epochs' if self.unit == 'epoch' else 'steps'}"
        return {
            "recorded": f"{updates.size} states of {units}, log-spaced as by "
            f"Record(log_spaced={DEFAULT_STATES}); Record(every=1) records each"
        }

    def _length(self, plan: typing.Sequence[Phase], n_samples: int) -> int:
        """Units of training that `every` counts."""
        if self.unit == "epoch":
            return sum(phase.epochs for phase in plan)
        return sum(phase.epochs * phase.updates_per_epoch(n_samples) for phase in plan)

    def updates(self, plan: typing.Sequence[Phase], n_samples: int, default: str) -> np.ndarray:
        """Numbers of updates after which a plan is recorded.

        Parameters
        ----------
        plan : sequence of Phase
        n_samples : int
        default : {"epoch", "last"}
            What to record if neither `every` nor `log_spaced` is given: every epoch up to a
            thousand of them and else as log_spaced = 1000, or the last state.

        Returns
        -------
        (T,) int64, increasing
        """
        per_epoch = [phase.updates_per_epoch(n_samples) for phase in plan]
        last = sum(phase.epochs * k for phase, k in zip(plan, per_epoch, strict=True))
        if last > MAX_UPDATES:
            raise InputError(f"epochs: the plan makes {last:.3g} updates; allowed are up to 2**62")
        if self.log_spaced is not None and self.every is not None:
            raise InputError("Record: every and log_spaced are given; allowed is one of them")
        states = self.log_spaced
        if self._thinned(plan, n_samples) and default == "epoch":
            states = DEFAULT_STATES
        if states is not None:
            spaced = np.geomspace(1, max(last, 1), states - 1).round().astype(np.int64)
            return np.unique(np.concatenate([[0], spaced[spaced <= last], [last]]))
        if self.every is None and default == "last":
            return np.array([last], dtype=np.int64)
        every, length = self.every or 1, self._length(plan, n_samples)
        if length // every > MAX_STATES:
            raise InputError(
                f"Record would have {length // every:.3g} states; allowed are up to 2**24: use "
                "every or log_spaced"
            )
        if self.unit == "step":
            return np.unique(np.append(np.arange(0, last + 1, every), last))
        epochs = np.arange(0, sum(phase.epochs for phase in plan) + 1, every)
        updates, begun = np.zeros_like(epochs), 0
        for phase, k in zip(plan, per_epoch, strict=True):
            updates += k * np.clip(epochs - begun, 0, phase.epochs)
            begun += phase.epochs
        return np.unique(np.append(updates, last))
