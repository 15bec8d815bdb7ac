"""What differs between two studies, and whether one only extends the other."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simdyn.base.decimals import same, same_places
from simdyn.study.design import StudyDesign
from simdyn.variables.provenance import as_json

ORDERED = ("methods.", "space.")


def study_differences(stored: str, wanted: str, most: int = 3) -> Sequence[str]:
    """What differs between two studies, one text a field; each is the JSON of its physics."""

    def leaves(value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, dict):
            inner = {k: v for key in value for k, v in leaves(value[key], f"{path}{key}.").items()}
            return inner | ({f"order of {path[:-1]}": list(value)} if path in ORDERED else {})
        return {path[:-1]: value}

    old, new = leaves(json.loads(stored), ""), leaves(json.loads(wanted), "")
    found = ["the images differ"] if old.pop("contents", 0) != new.pop("contents", 0) else []
    found += [
        f"{name} is {_short(old.get(name))} there, {_short(new.get(name))} here"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return found[:most] + ([f"and {len(found) - most} more"] if len(found) > most else [])


def _short(value: Any, most: int = 60) -> str:
    text = as_json(value)
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclasses.dataclass(frozen=True)
class Extension:
    """Where the points, methods and replicates of a smaller study lie in a larger one.

    Attributes
    ----------
    old_indices : tuple of ndarray
        For each grid dim of the larger study, the index of each of its values in the smaller one;
        −1 for a new value.
    methods : tuple of int
        For each method of the smaller study, its index in the larger one.
    replicates : int
        Replicates of the smaller study.
    """

    old_indices: tuple[np.ndarray, ...]
    methods: tuple[int, ...]
    replicates: int

    def old_index(self, index: Sequence[int]) -> tuple[int, ...] | None:
        """The index of a point in the smaller study; None if the point is new."""
        old = tuple(int(known[i]) for known, i in zip(self.old_indices, index, strict=True))
        return None if min(old, default=0) < 0 else old


def with_axes_of(study: StudyDesign, stored: StudyDesign) -> StudyDesign:
    """A study with the axis values of a stored one, wherever the two differ by rounding only.

    What was simulated at 0.30000000000000004 stays so if the study now says 0.3: its label is
    the number it was computed with, fingerprint and receipts fit, and replay is bit for bit.
    Values are taken over label by label: for axes that vary together, all of them or none.
    """
    ours, theirs = study.space, stored.space
    if tuple(ours.dims.items()) != tuple(theirs.dims.items()):
        return study
    taken: dict[str, np.ndarray] = {}
    for dim, names in ours.dims.items():
        match = same_places(ours.axes[dim], theirs.axes[dim])
        known = match >= 0
        for name in names[1:]:
            known &= _same(ours.axes[name], theirs.axes[name][match])
        for name in names:
            values = np.where(known, theirs.axes[name][match], ours.axes[name])
            if not np.array_equal(values, ours.axes[name]):
                taken[name] = values
    return study.with_values(taken) if taken else study


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where labels are the same: numbers within the tolerance, texts as they are."""
    texts = "U" in (one.dtype.kind, other.dtype.kind)
    return np.asarray(one == other) if texts else same(one, other)


def extension(old: StudyDesign, new: StudyDesign) -> Extension | None:
    """How `new` extends `old`: longer axes, more methods or replicates, and nothing else.

    Replicate k is one set of unit draws whatever the grid, so what is done stays as it is.
    """
    if (
        old.fixed_in_growth != new.fixed_in_growth
        or old.variables != new.variables
        or old.states != new.states
    ):
        return None
    if old.replicates > new.replicates or tuple(old.space.axes) != tuple(new.space.axes):
        return None
    if not _methods(old).items() <= _methods(new).items():
        return None
    if not old.contents.items() <= new.contents.items():
        return None
    indices = []
    for name in old.space.dims:
        known = _old_indices(_labels(old, name), _labels(new, name))
        if known is None:
            return None
        indices.append(known)
    order = list(new.space.methods)
    return Extension(tuple(indices), tuple(map(order.index, old.space.methods)), old.replicates)


def _methods(study: StudyDesign) -> Mapping[str, str]:
    """Every method's phases as text."""
    return {name: as_json(plan) for name, plan in study.plans.items()}


def _labels(study: StudyDesign, dim: str) -> list[Any]:
    """For each index of a dim: the values of all axes that vary along it."""
    columns = [study.space.axes[name].tolist() for name in study.space.dims[dim]]
    return list(zip(*columns, strict=True))


def _old_indices(old: Sequence[Any], new: Sequence[Any]) -> np.ndarray | None:
    """For each new label its index among the old ones, or −1; None if an old one is gone."""
    known = {label: k for k, label in enumerate(old)}
    found = np.array([known.get(label, -1) for label in new], dtype=np.int64)
    return found if (found >= 0).sum() == len(old) else None
