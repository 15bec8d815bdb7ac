"""What many test files share: tables of texts, refusals, equal results, a listener."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from simdyn.base.inputs import InputError
from simdyn.run import Silent


def items(table: str) -> tuple[str, ...]:
    """The texts of a table, in which two or more spaces or a new line part one from the next."""
    return tuple(re.split(r"\s{2,}|\n", table.strip()))


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The message of the InputError that a call raises: one line."""
    with pytest.raises(InputError) as problem:
        call(*arguments, **options)
    message = str(problem.value)
    assert len(message.splitlines()) == 1, message
    return message


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Equal labels and, bit for bit, equal values."""
    assert list(one.data_vars) == list(other.data_vars)
    for name in other.variables:
        assert one[name].dims == other[name].dims
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=str(name))


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their paths in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def unlogged(store: Path) -> dict[str, bytes]:
    """All files of a store except the entries of its log."""
    return {n: content for n, content in files(store).items() if "/log/2" not in n}


def everything(folder: Path) -> dict[str, bytes | None]:
    """All folders and files below a folder, by their paths in it; files with their contents."""
    folders = (path for path in folder.rglob("*") if not path.is_file())
    return {**dict.fromkeys(str(path.relative_to(folder)) for path in folders), **files(folder)}


class Heard(Silent):
    """What a run reports; with `interrupt_after`, Ctrl-C comes after so many blocks."""

    def __init__(self, interrupt_after: int = 0) -> None:
        self.begun: list[tuple[int, int]] = []
        self.steps: list[int] = []
        self.failures: list[tuple[str, str]] = []
        self.failed_earlier: list[str] = []
        self.notes: list[str] = []
        self.interrupt_after = interrupt_after

    @property
    def blocks(self) -> int:
        """Blocks that were computed."""
        return len(self.steps)

    def start(self, runs: int, done: int) -> None:
        self.begun.append((runs, done))

    def advance(self, runs: int) -> None:
        self.steps.append(runs)
        if self.blocks == self.interrupt_after:
            raise KeyboardInterrupt

    def failed(self, place: str, cause: str) -> None:
        self.failures.append((place, cause))

    def failed_before(self, places: Collection[str]) -> None:
        self.failed_earlier += places

    def note(self, text: str) -> None:
        self.notes.append(text)
