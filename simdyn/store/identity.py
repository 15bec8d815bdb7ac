"""Which study a store holds: told from what stands in it."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import zarr

from simdyn.base.inputs import InputError
from simdyn.store.differences import adopting, growth, study_differences
from simdyn.store.files import KIND, META, identities, intact, long, plainly
from simdyn.store.sources import kept_sources
from simdyn.study.design import StudyDesign


def holds(path: Path, study: StudyDesign) -> bool:
    """Does a store say, at one of the places where it says so, that it is this study's?"""
    text = study.layout.attrs["study"]
    return any(
        given["fingerprint"] == study.fingerprint or given["study"] == text
        for given in identities(path)
    )


def text_of(path: Path, study: StudyDesign) -> str:
    """The study as its store tells it, which may leave out fields that simdyn gained later."""
    text = str(study.layout.attrs["study"])
    for given in identities(path):
        with contextlib.suppress(Exception):  # what a damaged text raises depends on the damage
            if text != given["study"] and _told(path, given).fingerprint == study.fingerprint:
                return str(given["study"])
    return text


def with_stored_axes(path: Path, study: StudyDesign) -> StudyDesign:
    """A study with the axis values of the store that stands there, if only rounding differs.

    Raises
    ------
    InputError
        If points are not allowed with those values.
    """
    if not identities(path) or holds(path, study):
        return study
    try:
        stored = open_study(path, strictly=False)
    except Exception:  # what is wrong with the store is told when it is opened
        return study
    return adopting(study, stored)


def as_stored(path: Path, study: StudyDesign) -> StudyDesign:
    """The study as its store tells it, if rounding of axes and the numbers' version alone differ.

    The results of another version can be looked at, and not gone on with.
    """
    study = with_stored_axes(path, study)
    for given in identities(path):
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            stored = study.with_numerics(int(json.loads(given["study"])["numerics_version"]))
            if stored.fingerprint == given["fingerprint"]:
                return stored
    return study


def refuse(path: Path, study: StudyDesign) -> NoReturn:
    """The store is another study's, or its numbers another version's: say what differs."""
    stored = [given["study"] for given in identities(path)]
    old = as_stored(path, study).numerics_version
    if old != study.numerics_version:
        raise InputError(
            f"{path}: its numbers are those of NUMERICS_VERSION {old}, and this simdyn computes "
            f"those of {study.numerics_version}; the two are not mixed. Move it away, or give "
            "another --out; status, verify, plot, replay and export still read it"
        )
    with contextlib.suppress(Exception):  # in this version's words, with fields it gained
        stored = [str(open_study(path, strictly=False).layout.attrs["study"])]
    with intact(path):
        differs = "; ".join(study_differences(stored[0], study.layout.attrs["study"]))
    differs = differs or "its fingerprint is another"
    if grows(path, study):
        raise InputError(
            f"{path}: of a smaller study: {differs}. `simdyn run` grows it and keeps what is done"
        )
    raise InputError(
        f"{path}: belongs to another study: {differs}. Move it away, or give another --out"
    )


def grows(path: Path, study: StudyDesign) -> bool:
    """Would a run of the study grow the store that stands there?"""
    try:
        return growth(open_study(path, strictly=False), study) is not None
    except Exception:  # whatever is wrong with the smaller study is told when it is opened
        return False


def open_group(path: str | Path, mode: Any = "r") -> zarr.Group:
    """The Zarr group of a store.

    Raises
    ------
    InputError
        Where there is no store of simdyn.
    """
    path = Path(path)
    with plainly(path, "read"):
        if not path.exists():
            raise InputError(f"{path}: no such results; `simdyn run STUDY` makes them")
        (path / META).exists()  # a path that cannot be looked at says so here
    if not identities(path):
        raise InputError(f"{path}: exists and is not a store of simdyn; give another --out")
    with intact(path):
        group = zarr.open_group(path, mode=mode)
        if group.attrs.get("kind") != KIND:
            raise ValueError("its root does not say what it is")
    return group


def open_study(path: str | Path, strictly: bool = True) -> StudyDesign:
    """The study of a store, from the store alone; it has no figure.

    Parameters
    ----------
    strictly : bool
        Refuse one whose fingerprint is not what this version makes of it.

    Raises
    ------
    InputError
        Where there is no store, or its numbers are another version's.
    """
    path = Path(path)
    said = identities(path)
    if not said:
        open_group(path)  # says why
    told, troubles = [], []
    for given in said:  # one of the places may be damaged
        try:
            told.append(_told(path, given))
        except Exception as problem:  # what a damaged text raises depends on where it is damaged
            troubles.append(problem)
            continue
        if told[-1].fingerprint == given["fingerprint"]:
            return told[-1]
    if told and not strictly:
        return told[0]
    if told:
        refuse(path, told[0])
    with intact(path):
        raise troubles[0]


def _told(path: Path, given: Mapping[str, Any]) -> StudyDesign:
    """The study that a store says it holds."""
    physics = json.loads(given["study"])
    axes = {
        # Of a long axis only size and checksum are told; its values are those of its coordinate.
        name: np.asarray(zarr.open_array(path, path=name, mode="r")) if long(values) else values
        for name, values in physics["space"].items()
        if name not in ("zip", "where")
    }
    title = str(given.get("title", "study"))
    return StudyDesign.from_physics(physics, axes, title, kept_sources(path))
