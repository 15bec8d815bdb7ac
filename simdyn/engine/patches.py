"""Explicit patches in the span of their distinct vectors."""

from typing import Any

import numpy as np
import numpy.typing as npt

from simdyn.base.inputs import InputError
from simdyn.kernels.structures import Table

Floats = npt.NDArray[np.float64]


class _Vectors:
    """Distinct vectors up to sign, in order of appearance, and the signed patches made of them."""

    def __init__(self) -> None:
        self.vectors: list[Floats] = []
        self.rows: list[int] = []
        self.signs: list[float] = []
        self._known_vectors: dict[bytes, int] = {}
        self._known_patches: dict[tuple[int, float], int] = {}

    def patch(self, vector: Floats) -> int:
        """The number of a patch that is not zero."""
        sign = 1.0 if vector[np.flatnonzero(vector)[0]] > 0.0 else -1.0
        canonical = sign * vector + 0.0  # + 0.0 turns −0.0 into 0.0
        row = self._known_vectors.setdefault(canonical.tobytes(), len(self.vectors))
        if row == len(self.vectors):
            self.vectors.append(canonical)
        return self.signed(row, sign)

    def signed(self, row: int, sign: float) -> int:
        """The number of the patch sign · row."""
        number = self._known_patches.setdefault((row, sign), len(self.rows))
        if number == len(self.rows):
            self.rows.append(row)
            self.signs.append(sign)
        return number

    def table(self, samples: list[dict[int, float]]) -> Table:
        """The table of samples given as {patch: multiplicity}."""
        return Table(
            np.cumsum([0, *map(len, samples)]).astype(np.int64),
            np.array([patch for sample in samples for patch in sample], dtype=np.int64),
            np.array([times for sample in samples for times in sample.values()], dtype=np.float64),
            np.array(self.rows, dtype=np.int64),
            np.array(self.signs, dtype=np.float64),
        )


def _in_units(table: Table, units: Floats) -> Table:
    """The same patches, made of rows that are divided by `units`."""
    return table._replace(sign=table.sign * units[table.row])


def _with_ones(patches: Floats) -> Floats:
    """Patches with one more coordinate, which is one: what a bias is the weight of."""
    return np.concatenate([patches, np.ones((*patches.shape[:2], 1))], axis=2)


def _count_patches(patches: Floats, known: _Vectors) -> list[dict[int, float]]:
    """Each sample as {patch: multiplicity}; zero patches never act and are left out."""
    samples = []
    for sample in patches:
        counts: dict[int, float] = {}
        for vector in sample:
            if vector.any():
                number = known.patch(vector)
                counts[number] = counts.get(number, 0.0) + 1.0
        samples.append(counts)
    return samples


def _spanned(patches: Floats) -> tuple[Floats, Table]:
    """The distinct vectors (q, d) among patches (n, P, d), and the samples made of them."""
    known = _Vectors()
    table = known.table(_count_patches(patches, known))
    return np.array(known.vectors).reshape(-1, patches.shape[2]), table


def _coarser(*given: Any) -> np.dtype[Any]:
    """The coarsest floating-point type among arrays, up to float64."""
    kinds = [np.asarray(value).dtype for value in given]
    floats = [kind for kind in kinds if kind.kind == "f"]
    return min([np.dtype(np.float64), *floats], key=lambda kind: np.finfo(kind).precision)


def _rounded(array: Floats, kind: np.dtype[Any]) -> Floats:
    """The array at the precision of a floating-point type."""
    with np.errstate(over="ignore"):
        return array.astype(kind).astype(np.float64)


def _signal_and_noise(
    patches: Floats, signal: Floats, true_labels: Floats | None, kind: np.dtype[Any]
) -> tuple[Floats, Floats, Floats]:
    """Samples made of ±signal and a shared noise, taken apart.

    Patches are compared with the signal at the precision of `kind`; the signal that is trained on
    is the one that the patches hold.

    Returns
    -------
    signal : (d,)
    true_labels : (n,)
    noises : (n, d)
    """
    n, n_patches, d = patches.shape
    seen, wanted = _rounded(patches, kind), _rounded(signal, kind)
    if n_patches < 2:
        raise InputError(f"patches has {n_patches} patch a sample: with a signal, allowed are ≥ 2")
    if true_labels is None and not signal.any():
        raise InputError("true_labels is missing: a zero signal does not tell them")
    held, found, noises = signal, np.empty(n), np.empty((n, d))
    for i, sample in enumerate(patches):
        signs = (1.0, -1.0) if true_labels is None else (true_labels[i],)
        match = [
            (p, s) for s in signs for p in range(n_patches) if (seen[i, p] == s * wanted).all()
        ]
        if not match:
            raise InputError(
                f"patches[{i}]: no patch equals the signal times "
                f"{'±1' if true_labels is None else 'its true label'}, compared as {kind}; "
                "leave `signal` out for other kinds of data"
            )
        place, found[i] = match[0]
        held = found[i] * sample[place] if i == 0 else held
        rest = np.delete(sample, place, axis=0)
        if (rest != rest[0]).any():
            raise InputError(
                f"patches[{i}]: beside the signal, all patches must be one noise vector; leave "
                "`signal` out for other kinds of data"
            )
        noises[i] = rest[0]
    return held, found, noises


def _spanned_by_signal(
    patches: Floats, signal: Floats, true_labels: Floats | None, kind: np.dtype[Any]
) -> tuple[Floats, Table, Floats]:
    """As `_spanned`, of samples that hold ±signal: it and the noises, and the true labels (n,)."""
    signal, truth, noises = _signal_and_noise(patches, signal, true_labels, kind)
    known, others = _Vectors(), patches.shape[1] - 1.0
    samples = [
        {known.signed(0, sign): 1.0, known.signed(1 + i, 1.0): others}
        for i, sign in enumerate(truth)
    ]
    return np.concatenate([signal[None], noises]), known.table(samples), truth
