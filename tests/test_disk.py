"""Disks that are full, read-only or forbidden: one line, and never a false "done"."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chaos import write_study
from commands import Answer, call

from simdyn import open_results
from simdyn.api.study import load_study
from simdyn.run import runner
from simdyn.store import Store
from simdyn.store.audit import audit

TESTS = Path(__file__).parent


def limited(file: Path, limit: int, folder: Path) -> Answer:
    """A run in which no file may grow beyond so many bytes: what a full disk or a quota does."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    hears = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    prepare_store = runner.prepare_store

    def limited(*arguments: Any, **named: Any) -> Any:
        found = prepare_store(*arguments, **named)  # the store is laid out before the disk is full
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, usual[1]))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simdyn.run.runner.prepare_store", limited)
        try:
            return call("run", file, "--threads", 2, "--out", folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
            signal.signal(signal.SIGXFSZ, hears)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "whole.zarr"
    load_study(write_study(folder, 20)).run(path)
    return path


def honest(store: Path, file: Path, expected: Path) -> None:
    """No block is called done that is not whole and right."""
    if not store.exists():
        return
    made = load_study(file)
    kept = Store(store, made)
    right = Store(expected, made)
    for block in kept.blocks:
        values = kept.checked_values(block)
        if values is not None:
            for name, value in right.read(block).items():
                np.testing.assert_array_equal(values[name], value)
    assert all(finding.block is not None for finding in audit(store, made).findings)


@pytest.mark.parametrize("limit", [0, 40, 90])
def test_run__full_disk_is_one_line_and_never_done(
    tmp_path: Path, expected: Path, limit: int
) -> None:
    file, store = write_study(tmp_path, 20), tmp_path / "results" / "killed.zarr"
    answer = limited(file, limit, tmp_path)
    assert answer.code == 2, answer
    assert "cannot be written: File too large" in answer.err.splitlines()[-1]
    honest(store, file, expected)
    assert call("run", file, "--out", tmp_path).code == 0  # there is room again
    found = audit(store, load_study(file))
    assert (found.good, found.findings, found.leftovers) == (found.blocks, (), 0)
    with open_results(store) as one, open_results(expected) as other:
        for name in other.data_vars:
            np.testing.assert_array_equal(one[name].values, other[name].values)


@pytest.mark.campaign
def test_run__full_disk_campaign(tmp_path: Path, expected: Path) -> None:
    count = 0
    for limit in range(0, 420, 3):
        folder = tmp_path / str(limit)
        folder.mkdir()
        file = write_study(folder, 20)
        answer = limited(file, limit, folder)
        assert answer.code in (0, 2), answer
        honest(folder / "results" / "killed.zarr", file, expected)
        count += answer.code == 2
    print(f"\n140 limits of a file's size: {count} runs refused, no block falsely done")


HELD = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
root = hasattr(os, "getuid") and os.getuid() == 0
needs_modes = pytest.mark.skipif(
    os.name == "nt" or (root and shutil.which("setpriv") is None),
    reason="modes of files mean nothing to root, unless setpriv takes its privilege away",
)


CALLS = """
import json, sys
from commands import call
print(json.dumps([call(*words) for words in json.loads(sys.argv[1])]))
"""


def held_to_modes(*calls: tuple[object, ...], cwd: Path) -> list[Answer]:
    """Commands to which the modes of files mean something, also if root runs the tests."""
    words = json.dumps([list(map(str, each)) for each in calls])
    done = subprocess.run(
        [*(HELD if root else []), sys.executable, "-c", CALLS, words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    return [Answer(*answer) for answer in json.loads(done.stdout)]


@needs_modes
def test_run__read_only_folder_is_one_line(tmp_path: Path) -> None:
    file = write_study(tmp_path, 20)
    tmp_path.chmod(0o555)
    try:
        [answer] = held_to_modes(("run", file), cwd=tmp_path)
    finally:
        tmp_path.chmod(0o755)
    assert answer.code == 2, answer
    assert len(answer.err.splitlines()) == 1
    assert "cannot be written" in answer.err
    assert sorted(item.name for item in tmp_path.iterdir()) == ["killed.toml"]


def furnished(folder: Path, expected: Path) -> tuple[Path, Path]:
    """A study in a folder, and its finished store."""
    store = folder / "results" / "killed.zarr"
    shutil.copytree(expected, store)
    return write_study(folder, 20), store


@needs_modes
def test_store__what_cannot_be_read_is_not_called_missing(tmp_path: Path, expected: Path) -> None:
    file, store = furnished(tmp_path, expected)
    for place in (store / "simdyn.store" / "receipts" / "sha256" / "c", store / "margin"):
        place.chmod(0)
        try:
            answers = held_to_modes(
                ("status", store), ("status", file), ("export", store), cwd=tmp_path
            )
        finally:
            place.chmod(0o755)
        for answer in answers if place.name == "c" else answers[2:]:
            assert (answer.code, answer.out) == (2, ""), answer
            assert len(answer.err.splitlines()) == 1, answer
            assert "cannot be read: Permission denied" in answer.err


@needs_modes
def test_store__read_only_can_be_looked_at_and_not_run(tmp_path: Path, expected: Path) -> None:
    file, store = furnished(tmp_path, expected)
    (store / "simdyn.store" / "receipts" / "sha256" / "c" / "3" / "0").unlink()
    everything = [store, *store.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        answers = held_to_modes(("status", store), ("verify", store), ("run", file), cwd=tmp_path)
        assert [answer.code for answer in answers] == [0, 1, 2], answers
        assert "cannot be written: Permission denied" in answers[2].err.splitlines()[-1]
        assert sorted([store, *store.rglob("*")]) == sorted(everything)
    finally:
        for path in everything:
            path.chmod(path.stat().st_mode | 0o200)
    honest(store, file, expected)
