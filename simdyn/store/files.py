"""The folder of a store: its names, its identity, its errors in one line, its lock."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from simdyn.base.inputs import InputError
from simdyn.base.replacement import PARTIAL as PARTIAL

KIND = "simdyn results"
META = "zarr.json"
# What a store says of itself, beside what a dataset carries; kept twice, at its root and with the
# receipts, so that damage to one of them leaves the other.
OWN_ATTRS = ("kind", "block_shape", "texts")


class Own(NamedTuple):
    """Names of what a store keeps beside its variables and coordinates."""

    receipts: str
    log: str
    sources: str  # the images of its study
    before: str  # a smaller store that it grows from

    @property
    def sha256(self) -> str:
        """The array of receipts."""
        return f"{self.receipts}/sha256"


# An axis may have any identifier as its name, or METHOD.PHASE.field: no group of these names.
FOLDER = "simdyn.store"
APART = Own(*(f"{FOLDER}/{name}" for name in Own._fields))
AT_ROOT = Own(*Own._fields)  # in stores written before `FOLDER` existed


def own_names(path: Path) -> Own:
    """Where a store keeps its own groups."""
    apart = (path / FOLDER).is_dir() or "texts" in attributes(path)
    return APART if apart else AT_ROOT


@contextlib.contextmanager
def plainly(path: Path, action: str) -> Iterator[None]:
    """Turn a file system error into one line."""
    try:
        yield
    except OSError as problem:
        raise InputError(f"{path}: cannot be {action}: {problem.strerror or problem}") from None


@contextlib.contextmanager
def intact(path: Path, but: type[Exception] = InputError) -> Iterator[None]:
    """Turn whatever a store with missing or broken parts raises, `but` some, into one line."""
    try:
        yield
    except (InputError, but):
        raise
    except PermissionError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from None
    except Exception as problem:
        name = type(problem).__name__
        raise InputError(
            f"{path}: damaged beyond its chunks ({name}: {problem}); `simdyn run STUDY` repairs it"
        ) from None


def long(values: Any) -> bool:
    """Is an axis told by its size and checksum only?"""
    return isinstance(values, dict)


def attributes(folder: Path) -> dict[str, Any]:
    """Attributes of a Zarr group, read without Zarr; nothing where they cannot be read."""
    try:
        found = json.loads((folder / META).read_bytes())["attributes"]
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def identities(path: Path) -> list[dict[str, Any]]:
    """What a store says it holds, at each of the places where it says so."""
    found = [attributes(path), attributes(path / own_names(path).receipts)]
    return [
        given
        for given in found
        if given.get("kind") == KIND
        and isinstance(given.get("fingerprint"), str)
        and isinstance(given.get("study"), str)
    ]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """One process at a time makes, grows, repairs or settles stores in a folder.

    The lock is the operating system's and goes with its process. Where a file system has none,
    nothing is locked, and False is given: makers then meet in `os.rename`, and one of them wins.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        locked = False
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
            locked = True
        yield locked
    finally:
        os.close(handle)


def stored_files(
    path: Path, own: Own, is_file: Callable[[str], bool] = lambda _: False, below: str = ""
) -> Iterator[str]:
    """Every file of a store, as 'train_loss/c/0/0/0/0'; not those of what it has grown from.

    A folder that stands where `is_file` says a file belongs is given as one.
    """
    with os.scandir(path / below) as entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            if not entry.is_dir(follow_symlinks=False) or is_file(name):
                yield name
            elif name != own.before:
                yield from stored_files(path, own, is_file, f"{name}/")
