"""Disks that are full, read-only or forbidden: one line, and never a false "done"."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chaos import command, write_study

from simdyn import open_results
from simdyn.api.study import load_study
from simdyn.store import Store
from simdyn.store.audit import audit

LIMITED = """
import resource, signal, sys
limit = int(sys.argv.pop(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import simdyn.run.runner
prepare_store = simdyn.run.runner.prepare_store
def limited(*arguments, **named):
    found = prepare_store(*arguments, **named)  # the store is laid out before the disk is full
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return found
simdyn.run.runner.prepare_store = limited
from simdyn.cli import main
main()
"""


def limited(file: Path, limit: int, cwd: Path) -> tuple[int, str]:
    """A run in which no file may grow beyond so many bytes: what a full disk or a quota does."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), "run", str(file), "--threads", "2"],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    return done.returncode, done.stderr


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
    code, errors = limited(file, limit, tmp_path)
    assert "Traceback" not in errors
    assert code == 2, errors
    assert "cannot be written: File too large" in errors.splitlines()[-1]
    honest(store, file, expected)
    process = command("run", file, cwd=tmp_path)  # there is room again
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
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
        code, errors = limited(file, limit, folder)
        assert code in (0, 2), errors
        assert "Traceback" not in errors
        honest(folder / "results" / "killed.zarr", file, expected)
        count += code == 2
    print(f"\n140 limits of a file's size: {count} runs refused, no block falsely done")


HELD = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
root = hasattr(os, "getuid") and os.getuid() == 0
needs_modes = pytest.mark.skipif(
    os.name == "nt" or (root and shutil.which("setpriv") is None),
    reason="modes of files mean nothing to root, unless setpriv takes its privilege away",
)


def held_to_modes(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command to which the modes of files mean something, also where root runs the tests."""
    code = "from simdyn.cli import main; main()"
    return subprocess.run(
        [*(HELD if root else []), sys.executable, "-c", code, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


@needs_modes
def test_run__read_only_folder_is_one_line(tmp_path: Path) -> None:
    file = write_study(tmp_path, 20)
    tmp_path.chmod(0o555)
    try:
        done = held_to_modes("run", file, cwd=tmp_path)
    finally:
        tmp_path.chmod(0o755)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be written" in done.stderr
    assert sorted(item.name for item in tmp_path.iterdir()) == ["killed.toml"]


@needs_modes
def test_store__what_cannot_be_read_is_not_called_missing(tmp_path: Path) -> None:
    file = write_study(tmp_path, 20)
    command("run", file, cwd=tmp_path).communicate(timeout=120)
    store = tmp_path / "results" / "killed.zarr"
    for place in (store / "simdyn.store" / "receipts" / "sha256" / "c", store / "margin"):
        place.chmod(0)
        try:
            for words in (("status", store), ("status", file), ("export", store)):
                done = held_to_modes(*words, cwd=tmp_path)
                assert "Traceback" not in done.stderr
                if words[0] == "export" or place.name == "c":
                    assert (done.returncode, done.stdout) == (2, ""), words
                    assert len(done.stderr.splitlines()) == 1, done.stderr
                    assert "cannot be read: Permission denied" in done.stderr
        finally:
            place.chmod(0o755)


@needs_modes
def test_store__read_only_can_be_looked_at_and_not_run(tmp_path: Path, expected: Path) -> None:
    file = write_study(tmp_path, 20)
    command("run", file, cwd=tmp_path).communicate(timeout=120)
    store = tmp_path / "results" / "killed.zarr"
    (store / "simdyn.store" / "receipts" / "sha256" / "c" / "3" / "0").unlink()
    everything = [store, *store.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        for words, code in ((("status", store), 0), (("verify", store), 1), (("run", file), 2)):
            done = held_to_modes(*words, cwd=tmp_path)
            assert "Traceback" not in done.stderr
            assert done.returncode == code, (words, done.stdout, done.stderr)
        assert "cannot be written: Permission denied" in done.stderr.splitlines()[-1]
        assert sorted([store, *store.rglob("*")]) == sorted(everything)
    finally:
        for path in everything:
            path.chmod(path.stat().st_mode | 0o200)
    honest(store, file, expected)
