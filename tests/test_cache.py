"""Compiled code on disk: it notices edits, and whatever becomes of it, a run goes on."""

import errno
import hashlib
import importlib.util
import itertools
import json
import logging
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from common import items

import simdyn
from simdyn.kernels import cache
from simdyn.kernels.compiled import compiled_beside

PACKAGE = Path(simdyn.__file__).parent

# -- edits ---------------------------------------------------------------------------------------

PROBE = """
from simdyn.kernels.compiled import kernel
from simdyn.kernels.activations import loss


@kernel
def probe(margin):
    return loss(0, margin)
"""


def run(code: str, root: Path, folder: Path) -> str:
    """What a fresh interpreter prints, with the package of `root`."""
    changes = {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | changes,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def edit_loss(root: Path) -> None:
    source = root / "simdyn" / "kernels" / "activations.py"
    text = source.read_text(encoding="utf-8")
    old = "return max(0.0, -margin) + math.log1p(math.exp(-abs(margin)))"
    assert text.count(old) == 1
    source.write_text(text.replace(old, "return 0.125"), encoding="utf-8")


def copied(tmp_path: Path) -> tuple[Path, Path]:
    root = tmp_path / "copy"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, root / "simdyn", ignore=skip)
    return root, tmp_path / "cache"


def test_kernel__cache_notices_an_edited_callee(tmp_path: Path) -> None:
    """The caller's file stays as it is; the function it calls, in another file, changes."""
    root, folder = copied(tmp_path)
    (root / "simdyn" / "kernels" / "probe.py").write_text(PROBE, encoding="utf-8")
    ask = (
        "from simdyn.kernels.probe import probe;"
        "print(round(probe(0.0), 3), len(probe.stats.cache_hits))"
    )
    assert run(ask, root, folder) == "0.693 0"
    assert run(ask, root, folder) == "0.693 1"
    edit_loss(root)
    assert run(ask, root, folder) == "0.125 0"
    assert run(ask, root, folder) == "0.125 1"


@pytest.mark.campaign
def test_simulate__cache_notices_an_edited_callee(tmp_path: Path) -> None:
    """The same through a whole simulation, compiled twice."""
    root, folder = copied(tmp_path)
    ask = (
        "import simdyn as s; d = s.SignalNoiseData(n_samples=4, dimension=50, signal_norm=1.0);"
        "n = s.TwoLayerCNN(n_filters=2, init_std=0.1); p = s.SGD(learning_rate=0.1, epochs=5);"
        "print(s.simulate(d, n, p).train_loss.values[0, -1].hex())"
    )
    first = run(ask, root, folder)
    assert run(ask, root, folder) == first
    edit_loss(root)
    assert run(ask, root, folder) != first


# -- damage to a file ----------------------------------------------------------------------------


def signed(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def flipped(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(share * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def in_its_place(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "emptied": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"\x80"),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "one byte short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "one byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "garbage": lambda path: path.write_bytes(random.Random(0).randbytes(path.stat().st_size)),
    "text": lambda path: path.write_text("<html>404</html>\n" * 9),
    **{
        f"bit at {share}": lambda path, share=share: flipped(path, share)
        for share in (0.0, 0.01, 0.3, 0.6, 0.9, 1.0)
    },
    "a pickle without checksum": lambda path: path.write_bytes(pickle.dumps(("0.61.0", {}))),
    "another version's content": lambda path: path.write_bytes(signed(pickle.dumps((1, 2, 3)))),
    "a class that is gone": lambda path: path.write_bytes(signed(b"cnumba.gone\nGone\n.")),
    "an empty folder": in_its_place(lambda path: path.mkdir()),
    "a pipe": in_its_place(os.mkfifo),
    "a link to itself": in_its_place(lambda path: path.symlink_to(path)),
    "a device": in_its_place(lambda path: path.symlink_to("/dev/zero")),
}
TINY = """
from simdyn.kernels.compiled import kernel

@kernel
def probe(x):
    return 2.0 * x + 1.0
"""
Said = Callable[[], list[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for compiled code."""
    path = tmp_path / "cache" / "kernels"
    monkeypatch.setattr(cache, "FOLDER", path)
    monkeypatch.setattr(cache, "_said", set())
    return path


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Said]:
    """What was said of the cache since it was last asked."""

    def ask() -> list[str]:
        lines = [record.getMessage() for record in caplog.records if record.name == "simdyn"]
        caplog.clear()
        cache._said.clear()
        return lines

    with caplog.at_level(logging.WARNING, "simdyn"):
        yield ask


def fresh(tmp_path: Path) -> Any:
    """A kernel as a new process has it: nothing of it is in memory."""
    source = tmp_path / "tiny_kernel.py"
    source.write_text(TINY)
    spec = importlib.util.spec_from_file_location("tiny_kernel", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_kernel"] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["tiny_kernel"]
    return module.probe


def loaded(tmp_path: Path) -> bool:
    """Call a fresh kernel, which must give the right value; was it loaded from disk?"""
    probe = fresh(tmp_path)
    assert probe(1.0) == 3.0
    return bool(probe.stats.cache_hits)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("damage", DAMAGES)
def test_cache__a_damaged_file_is_told_of_once_and_mended(
    tmp_path: Path, folder: Path, said: Said, damage: str
) -> None:
    assert not loaded(tmp_path)
    assert loaded(tmp_path)
    (entry,) = entries(folder)
    assert said() == []
    DAMAGES[damage](entry)
    assert not loaded(tmp_path)
    (line,) = said()
    assert line.startswith(f"simdyn: {entry}: cannot be used, and is compiled anew: ")
    assert "\n" not in line
    assert loaded(tmp_path)
    assert said() == []
    assert entries(folder) == [entry]


def test_cache__another_kernels_code_under_a_kernels_name_is_not_run(
    tmp_path: Path, folder: Path
) -> None:
    probe = fresh(tmp_path)
    assert (probe(1.0), probe(1)) == (3.0, 3.0)
    one, two = entries(folder)
    shutil.copy(one, two)
    probe = fresh(tmp_path)
    assert (probe(1.0), probe(1)) == (3.0, 3.0)
    assert len(probe.stats.cache_hits) == 1


def test_cache__what_cannot_be_mended_is_told_of_and_done_without(
    tmp_path: Path, folder: Path, said: Said
) -> None:
    loaded(tmp_path)
    (entry,) = entries(folder)
    entry.unlink()
    (entry / "inside").mkdir(parents=True)
    assert not loaded(tmp_path)
    cannot_load, cannot_keep = said()
    assert str(entry) in cannot_load
    assert f"{folder}: compiled code cannot be kept" in cannot_keep
    assert entries(folder) == [entry]


def test_cache__is_told_of_once_in_a_process(tmp_path: Path, folder: Path, said: Said) -> None:
    folder.parent.mkdir()
    folder.write_text("")  # no folder
    for _ in range(3):
        assert not loaded(tmp_path)
    (line,) = said()
    assert line == (
        f"simdyn: {folder}: compiled code cannot be kept, and is compiled anew by each process: "
        "File exists"
    )


# -- the folder and the disk ---------------------------------------------------------------------


def test_cache__a_folder_that_is_removed_meanwhile_is_made_again(
    tmp_path: Path, folder: Path, said: Said
) -> None:
    assert not loaded(tmp_path)
    shutil.rmtree(folder.parent)
    assert not loaded(tmp_path)
    assert loaded(tmp_path)
    assert said() == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_cache__a_disk_that_takes_nothing(
    tmp_path: Path, folder: Path, said: Said, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def replace(source: str, target: Path) -> None:
        raise OSError(code, os.strerror(code), source)

    monkeypatch.setattr("simdyn.kernels.cache.os.replace", replace)
    assert not loaded(tmp_path)
    (line,) = said()
    assert str(folder) in line
    assert line.endswith(f": {os.strerror(code)}")
    assert entries(folder) == []  # no half-written file is left


def test_cache__a_file_that_may_not_grow(tmp_path: Path) -> None:
    """A quota, or a full disk, as the system has it."""
    (tmp_path / "tiny_kernel.py").write_text(TINY)
    done = subprocess.run(
        [sys.executable, "-c", "from tiny_kernel import probe; print(probe(1.0), probe(2))"],
        env=os.environ
        | {
            "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PACKAGE.parent)]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "3.0 5.0\n")
    (line,) = done.stderr.splitlines()
    assert "compiled code cannot be kept" in line
    assert line.endswith("File too large")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_cache__without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.cache_folder() is None
    monkeypatch.setattr(cache, "FOLDER", cache.cache_folder())
    monkeypatch.setattr(cache, "_said", set())
    assert not cache.kernels_kept()
    assert not cache.can_keep()
    with compiled_beside():
        pass
    assert not loaded(tmp_path)
    assert not loaded(tmp_path)
    (line,) = said()
    assert "no home folder is known; NUMBA_CACHE_DIR may name a folder" in line


def test_cli__without_a_home(tmp_path: Path) -> None:
    """Neither HOME nor an entry in the list of users: as in a container under a random number."""
    code = "import os, pwd\ndef none(_): raise KeyError\npwd.getpwuid = none\n"
    left_out = ("HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    done = subprocess.run(
        [sys.executable, "-c", f"{code}from simdyn.cli import main; main()", "status", "no.zarr"],
        env={key: value for key, value in os.environ.items() if key not in left_out},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("simdyn: no.zarr: no such results")
    assert done.stderr.count("\n") == 1


def test_cache__two_processes_at_once(tmp_path: Path) -> None:
    (tmp_path / "tiny_kernel.py").write_text(TINY)
    path = os.pathsep.join([str(tmp_path), str(PACKAGE.parent)])
    changes = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": path}
    code = "from tiny_kernel import probe; print(probe(1.0), probe(2))"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | changes,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    assert [process.communicate() for process in both] == [("3.0 5.0\n", "")] * 2
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 2


# -- every file of the real kernels --------------------------------------------------------------


def key_of(file: Path) -> Any:
    """What a file was compiled from and for; None for another version of Numba.

    Environments with other versions of it keep their code in the same folder.
    """
    try:
        return pickle.loads(file.read_bytes()[32:])[0]
    except (ImportError, AttributeError):
        return None


def test_cache__no_damage_to_any_file_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of damage to each file of the kernels, and the file as it was."""
    data = simdyn.SignalNoiseData(n_samples=4, dimension=50, signal_norm=1.0)
    net, plan = (
        simdyn.TwoLayerCNN(n_filters=2, init_std=0.1),
        simdyn.SGD(learning_rate=0.1, epochs=1),
    )
    simdyn.simulate(data, net, plan)
    assert cache.FOLDER is not None
    keys = {file: key_of(file) for file in sorted(cache.FOLDER.glob(f"*{cache.ENTRY}"))}
    files = [file for file, key in keys.items() if key and key[2] == cache._VERSIONS]
    assert len(files) > 10

    def rebuild(*_: Any) -> str:
        return "code"

    monkeypatch.setattr("simdyn.kernels.cache.CompileResult._rebuild", rebuild)
    hurt, load = tmp_path / "hurt", cache.KernelCache(edit_loss)._load
    for file in files:
        whole, key = file.read_bytes(), keys[file]
        for damage in DAMAGES.values():
            hurt.write_bytes(whole)
            assert load(hurt, key, None) == "code"
            damage(hurt)
            with pytest.raises((ValueError, OSError, ImportError)):
                load(hurt, key, None)
            hurt.rmdir() if hurt.is_dir() else hurt.unlink()


def setting(folder: Path) -> tuple[Any, list[str]]:
    """A setting simulated by a fresh process: its values, and what was said of the cache."""
    words = items(
        "simulate  --dimension  50  --signal-norm  1  --radius  0.1  --epochs  20  --json"
    )
    done = subprocess.run(
        [sys.executable, "-c", "from simdyn.cli import main; main()", *words],
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr.splitlines()


@pytest.mark.campaign
def test_simulate__survives_damage_to_every_file(tmp_path: Path) -> None:
    """All files are damaged at once, each in another way; then in the next way, and so on."""
    folder = tmp_path / "cache"
    expected, lines = setting(folder)
    assert lines == []
    files = sorted(folder.rglob(f"*{cache.ENTRY}"))
    assert len(files) > 20
    for first in range(0, len(DAMAGES), 4):
        ways = itertools.islice(itertools.cycle(DAMAGES.values()), first, None)
        for file, damage in zip(files, ways, strict=False):
            damage(file)
        found, (line,) = setting(folder)
        assert found == expected
        assert "cannot be used, and is compiled anew" in line
        assert setting(folder) == (expected, [])  # it is mended
