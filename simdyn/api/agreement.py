"""Values computed again, compared with those of a store: same bits, rounding, or different."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simdyn.kernels import NUMERICS_VERSION
from simdyn.kernels.codes import DONE, INTERPOLATED, NON_FINITE, UNREACHED, ZERO_GRADIENT
from simdyn.store.files import attributes
from simdyn.store.log import computed_by, machine

if TYPE_CHECKING:
    import xarray as xr

# Relative differences up to this are rounding. Other types of CPU differ by some 1e-13 at the end
# of a training, and by 1e-6 and more if the sign of an activation differs.
ROUNDING = 1e-9
COMPUTED = (DONE, ZERO_GRADIENT, NON_FINITE, UNREACHED)  # statuses of runs that have values
# What may change rounding. Versions of simdyn with one NUMERICS_VERSION have the same bits.
NAMES = {"cpu": "type of CPU", "numba": "numba", "llvmlite": "llvmlite", "numpy": "numpy"}


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How well values computed again agree with those of a store.

    Attributes
    ----------
    compared : int
        Values that both have.
    differences : dict of str to float
        The largest relative difference of each variable, 0 if all its bits are the same. It is
        relative to the largest value of the same run and state; 2, the most there can be, if one
        of two values is not finite.
    causes : tuple of str
        Known reasons for other rounding: another type of CPU, other versions.
    known : bool
        Does the log of the store say what computed it?
    interpolated : bool
        Has the store interpolated the point instead of simulating it?
    """

    compared: int
    differences: dict[str, float]
    causes: tuple[str, ...] = ()
    known: bool = True
    interpolated: bool = False

    @property
    def largest(self) -> float:
        """The largest relative difference of any variable."""
        return max(self.differences.values(), default=0.0)

    @property
    def kind(self) -> str:
        """'none' if nothing was compared, 'bits', 'rounding', or 'differs'.

        Small differences are not 'rounding' if the log says that the store was computed with this
        type of CPU and these versions, as there should be none.
        """
        if not self.compared:
            return "none"
        if not self.largest:
            return "bits"
        explained = self.causes or not self.known
        return "rounding" if explained and self.largest <= ROUNDING else "differs"

    def __str__(self) -> str:
        if self.interpolated:
            return "the store interpolates this point between others, so nothing was compared"
        if not self.compared:
            return "the store has no values of this point yet"
        if not self.largest:
            return f"{self.compared:,} values of the store came out with the same bits"
        apart = sorted(((gap, name) for name, gap in self.differences.items() if gap), reverse=True)
        (gap, name), *others = apart
        text = f"{name} differs from the store by up to {gap:.2g} relatively"
        if others:
            text += f", {len(others)} other variable(s) by {others[0][0]:.2g} or less"
        if self.causes:
            why = f"the store comes from {' and '.join(self.causes)}"
        elif self.known:
            why = "the store comes from this type of CPU and these versions, so nothing explains it"
        else:
            why = "its log does not say what computed the store"
        return f"{text}: {'' if self.largest <= ROUNDING else 'more than '}rounding; {why}"


def agreement(course: "xr.Dataset", stored: "xr.Dataset", path: Path) -> Agreement:
    """Compare a trajectory with what a store has of it, at the states that both have.

    Parameters
    ----------
    course, stored : xarray.Dataset
        With dims (replicate, step, …).
    path : path
        The store, whose log says what computed it.
    """
    status = stored["status"].values
    if not np.isin(status, COMPUTED).all():
        return Agreement(0, {}, interpolated=bool((status == INTERPOLATED).any()))
    own = course["updates"].values
    # A store of a huge study has no `updates`; it has the last state.
    updates = stored["updates"].values.ravel() if "updates" in stored.coords else own[-1:]
    pairs = [(k, int(np.flatnonzero(own == u)[0])) for k, u in enumerate(updates) if u in own]
    compared, differences = 0, {}
    for name in map(str, stored.data_vars):
        if name not in course:
            continue
        theirs, ours = stored[name].values, course[name].values
        outer = 1
        if "step" in stored[name].dims:
            theirs = theirs[:, [k for k, _ in pairs]]
            ours = ours[:, [k for _, k in pairs]]
            outer = 2
        differences[name] = _difference(ours, theirs, outer)
        compared += theirs.size
    known, causes = _causes(path) if any(differences.values()) else (True, ())
    return Agreement(compared, differences, causes, known)


def _difference(ours: np.ndarray, theirs: np.ndarray, outer: int) -> float:
    """The largest difference relative to the largest value along all but the outer dims."""
    ours, theirs = (np.asarray(values, dtype=np.float64) for values in (ours, theirs))
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    if same.all():
        return 0.0
    inner = tuple(range(outer, ours.ndim))
    with np.errstate(invalid="ignore"):
        sizes = np.fmax(abs(ours), abs(theirs))
        sizes = np.max(np.where(np.isfinite(sizes), sizes, 0.0), axis=inner, keepdims=True)
        gaps = abs(ours - theirs) / np.where(sizes > 0.0, sizes, 1.0)
    return float(np.max(np.where(np.isfinite(gaps), gaps, 2.0)[~same]))


def _causes(path: Path) -> tuple[bool, tuple[str, ...]]:
    """Is it known what computed a store, and how does that differ from this machine?"""
    here, by = machine(), computed_by(path)
    causes = []
    numerics = attributes(path).get("numerics_version", NUMERICS_VERSION)
    if numerics != NUMERICS_VERSION:
        causes.append(f"another NUMERICS_VERSION ({numerics}; here {NUMERICS_VERSION})")
    for key, name in NAMES.items():
        others = sorted({each[key] for each in by if each[key] and each[key] != here[key]})
        if others:
            causes.append(f"another {name} ({', '.join(others)}; here {here[key]})")
    return bool(by), tuple(causes)
