"""The folder of a store: its names, its identity, its errors in one line, its lock."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from simdyn.base.inputs import InputError

KIND = "simdyn results"
META = "zarr.json"
# What a store says about itself, beside what a dataset carries. It is kept twice, at the root and
# with the receipts, so that damage to one copy leaves the other.
STORE_ATTRS = ("kind", "block_shape", "texts")


class StoreNames(NamedTuple):
    """Names of the groups that a store keeps beside its variables and coordinates."""

    receipts: str
    log: str
    sources: str  # the images of its study
    before: str  # a smaller study's store, whose values it still takes

    @property
    def sha256(self) -> str:
        """The array of receipts."""
        return f"{self.receipts}/sha256"


# The name of an axis is an identifier or METHOD.PHASE.field, so no axis has these names.
FOLDER = "simdyn.store"
IN_FOLDER = StoreNames(*(f"{FOLDER}/{name}" for name in StoreNames._fields))
AT_ROOT = StoreNames(*StoreNames._fields)  # in stores written before `FOLDER` existed


def store_names(path: Path) -> StoreNames:
    """The names of a store's own groups."""
    in_folder = (path / FOLDER).is_dir() or "texts" in attributes(path)
    return IN_FOLDER if in_folder else AT_ROOT


@contextlib.contextmanager
def explain_file_errors(path: Path, action: str) -> Iterator[None]:
    """Turn an error of the file system into a one-line `InputError`."""
    try:
        yield
    except OSError as problem:
        raise InputError(f"{path}: cannot be {action}: {problem.strerror or problem}") from None


@contextlib.contextmanager
def explain_damage(path: Path, but: type[Exception] = InputError) -> Iterator[None]:
    """Turn what a store with missing or broken parts raises into a one-line `InputError`.

    Errors of the class `but` are raised as they are.
    """
    try:
        yield
    except (InputError, but):
        raise
    except PermissionError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from None
    except Exception as problem:
        name = type(problem).__name__
        raise InputError(
            f"{path}: damaged ({name}: {problem}); `simdyn run STUDY` repairs it"
        ) from None


def is_abridged(values: Any) -> bool:
    """Does a store's text give only the size and checksum of an axis?"""
    return isinstance(values, dict)


def attributes(folder: Path) -> dict[str, Any]:
    """Attributes of a Zarr group, read without Zarr; empty if they cannot be read."""
    try:
        found = json.loads((folder / META).read_bytes())["attributes"]
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def identities(path: Path) -> list[dict[str, Any]]:
    """What a store says about itself, in each of its two copies that can be read."""
    found = [attributes(path), attributes(path / store_names(path).receipts)]
    return [
        given
        for given in found
        if given.get("kind") == KIND
        and isinstance(given.get("fingerprint"), str)
        and isinstance(given.get("study"), str)
    ]


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[bool]:
    """Let only one process at a time make, extend, repair or clean up stores in a folder.

    Yields whether the folder is locked. The lock belongs to the operating system and ends with the
    process. On a file system without locks, two processes may make a store at the same time:
    `os.rename` then lets one of them win.
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


# What systems and file servers put into folders that they show or share: no part of a store, and no
# damage to it. `.nfs…` and `.fuse_hidden…` are files that were deleted while they were open.
OF_SYSTEMS = re.compile(
    r"\.DS_Store|\._.*|\.AppleDouble|\.Spotlight-V100|\.fseventsd|__MACOSX|[Tt]humbs\.db|"
    r"[Dd]esktop\.ini|\.directory|@eaDir|\.snapshot|\.nfs\w+|\.fuse_hidden\w+|\.Trash.*"
)


def stored_files(
    path: Path, names: StoreNames, is_file: Callable[[str], bool] = lambda _: False, below: str = ""
) -> Iterator[str]:
    """Every file of a store, as 'train_loss/c/0/0/0/0', without those of a smaller store in it.

    Files that systems leave in any folder, `OF_SYSTEMS`, are not among them.

    A folder whose name `is_file` takes for a file's is listed as a file.
    """
    with os.scandir(path / below) as entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            if OF_SYSTEMS.fullmatch(entry.name):
                continue
            if not entry.is_dir(follow_symlinks=False) or is_file(name):
                yield name
            elif name != names.before:
                yield from stored_files(path, names, is_file, f"{name}/")
