"""Which study a store holds."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import zarr

from simdyn.base.inputs import InputError
from simdyn.space.axes import RULES
from simdyn.store.differences import extension, study_differences, with_axes_of
from simdyn.store.files import (
    KIND,
    META,
    explain_damage,
    explain_file_errors,
    identities,
    is_abridged,
)
from simdyn.store.sources import kept_sources
from simdyn.study.design import StudyDesign


def holds(path: Path, study: StudyDesign) -> bool:
    """Does a store belong to this study, by one of the two copies of its attributes?"""
    text = study.layout.attrs["study"]
    return any(
        given["fingerprint"] == study.fingerprint or given["study"] == text
        for given in identities(path)
    )


def study_text(path: Path, study: StudyDesign) -> str:
    """A study as JSON, as its store has it: without fields that simdyn gained later."""
    text, copies = str(study.layout.attrs["study"]), identities(path)
    if any(given["study"] == text for given in copies):
        return text  # another copy that reads alike is damaged
    for given in copies:
        with contextlib.suppress(Exception):  # what a damaged text raises depends on the damage
            if _stored_study(path, given).fingerprint == study.fingerprint:
                return str(given["study"])
    return text


def with_stored_axes(path: Path, study: StudyDesign) -> StudyDesign:
    """A study with the axis values of an existing store, if the two differ by rounding only.

    Raises
    ------
    InputError
        If points are not allowed with those values.
    """
    if not identities(path) or holds(path, study):
        return study
    try:
        stored = open_study(path, strictly=False)
    except Exception:  # the error appears when the store is opened
        return study
    return with_axes_of(study, stored)


def as_stored(path: Path, study: StudyDesign) -> StudyDesign:
    """The study of a store, if it differs by rounding of axes and NUMERICS_VERSION only.

    The results of another NUMERICS_VERSION can be read, but not continued.
    """
    study = with_stored_axes(path, study)
    for given in identities(path):
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            stored = study.with_numerics(int(json.loads(given["study"])["numerics_version"]))
            if stored.fingerprint == given["fingerprint"]:
                return stored
    return study


def refuse(path: Path, study: StudyDesign) -> NoReturn:
    """Raise an error: the store holds another study or other numbers. It says what differs."""
    stored = [given["study"] for given in identities(path)]
    old = as_stored(path, study).numerics_version
    if old != study.numerics_version:
        raise InputError(
            f"{path}: its numbers are those of NUMERICS_VERSION {old}, and this simdyn computes "
            f"those of {study.numerics_version}; the two are not mixed. Move the store away, or "
            "give another --out; status, verify, plot, replay and export still read it"
        )
    with contextlib.suppress(Exception):  # in this version's words, with the fields it has gained
        stored = [str(open_study(path, strictly=False).layout.attrs["study"])]
    with explain_damage(path):
        differs = "; ".join(study_differences(stored[0], study.layout.attrs["study"]))
    differs = differs or "its fingerprint differs"
    if is_smaller(path, study):
        raise InputError(
            f"{path}: belongs to a smaller study: {differs}. `simdyn run` extends it and keeps "
            "what is done"
        )
    raise InputError(
        f"{path}: belongs to another study: {differs}. Move it away, or give another --out"
    )


def is_smaller(path: Path, study: StudyDesign) -> bool:
    """Does a store belong to a smaller study, so that a run of this one extends it?"""
    try:
        return extension(open_study(path, strictly=False), study) is not None
    except Exception:  # the error appears when the smaller study is opened
        return False


def open_group(path: str | Path, mode: Any = "r") -> zarr.Group:
    """The Zarr group of a store.

    Raises
    ------
    InputError
        If there is no store of simdyn.
    """
    path = Path(path)
    with explain_file_errors(path, "read"):
        if not path.exists():
            raise InputError(f"{path}: no such results; `simdyn run STUDY` makes them")
        (path / META).exists()  # raises an error if the path cannot be read
    if not identities(path):
        raise InputError(f"{path}: exists and is not a store of simdyn; give another --out")
    with explain_damage(path):
        group = zarr.open_group(path, mode=mode)
        if group.attrs.get("kind") != KIND:
            raise ValueError("its root does not have the attribute kind")
    return group


def open_study(path: str | Path, strictly: bool = True) -> StudyDesign:
    """The study of a store, from the store alone; it has no figure.

    Parameters
    ----------
    strictly : bool
        Refuse a store whose fingerprint is not the one that this version computes.

    Raises
    ------
    InputError
        If there is no store, or its numbers are those of another NUMERICS_VERSION.
    """
    path = Path(path)
    copies = identities(path)
    if not copies:
        open_group(path)  # raises an error that says why
    studies, problems = [], []
    for given in copies:  # one of them may be damaged
        try:
            studies.append(_stored_study(path, given))
        except Exception as problem:  # what a damaged text raises depends on where it is damaged
            problems.append(problem)
            continue
        if studies[-1].fingerprint == given["fingerprint"]:
            return studies[-1]
    if studies and not strictly:
        return studies[0]
    if studies:
        refuse(path, studies[0])
    with explain_damage(path):
        raise problems[0]


def _stored_study(path: Path, given: Mapping[str, Any]) -> StudyDesign:
    """The study that one copy of a store's attributes describes."""
    physics = json.loads(given["study"])
    axes = {name: v for name, v in physics["space"].items() if name not in RULES}
    for name, values in axes.items():
        if is_abridged(values):  # the coordinate has the values
            axes[name] = np.asarray(zarr.open_array(path, path=name, mode="r"))
    title = str(given.get("title", "study"))
    return StudyDesign.from_physics(physics, axes, title, kept_sources(path))
