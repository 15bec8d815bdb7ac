"""Bad input of every kind: answered in a line or two, soon, and nothing written.

Each case follows from its seed alone. A failure names it; to run one again:
FUZZ_SEED=123 FUZZ_CASES=1 pytest -m campaign tests/test_fuzz.py
"""

import contextlib
import importlib
import os
import resource
import shutil
import signal
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mutations
import numpy as np
import pytest
from mutations import MUTANT, SMALL, Case
from typer.main import get_command
from typer.testing import CliRunner

from simdyn import load_study
from simdyn.cli import app

LONGEST = 10.0  # seconds of a case
ROOM = 4 * 2**30  # bytes of memory beyond what is there at the start


class AcceptedError(BaseException):
    """The input passed every check: what would be computed, or drawn, is not.

    No Exception, so that nothing on its way takes it for a failure.
    """


class TooLongError(BaseException):
    """A case that does not come to an end."""


def accept(*_: Any, **__: Any) -> Any:
    raise AcceptedError


# -- where it happens ----------------------------------------------------------------------------


def furnish(folder: Path) -> None:
    """A folder with a study and its results, those of another, and what is none."""
    (folder / "small.toml").write_text(SMALL)
    other = SMALL.replace("seed = 1", "seed = 2").replace("[20, 30]", "[40]")
    (folder / "other.toml").write_text(other)
    (folder / MUTANT).write_text(SMALL)
    for name in ("small", "other", "mutant"):
        load_study(folder / f"{name}.toml").run(folder / "results" / f"{name}.zarr")
    shutil.copytree(folder / "results" / "other.zarr", folder / "place/results" / "small.zarr")
    (folder / "results" / "bare.zarr").mkdir()
    (folder / "results" / "text.zarr").write_text("text")
    (folder / "binary.toml").write_bytes(bytes(range(256)) * 10)
    (folder / "file").write_text("text")
    for name in ("folder.toml", "bare"):
        (folder / name).mkdir()
    np.savez(folder / "binary.npz", images=np.zeros((4, 2, 2)), labels=np.arange(4))


def stub(patch: pytest.MonkeyPatch) -> None:
    """Put AcceptedError where computing, drawing, waiting or a cluster would begin."""

    def module(name: str) -> Any:
        return importlib.import_module(f"simdyn.{name}")

    runner, upkeep = module("run.runner"), module("store.upkeep")
    identities = module("store.files").identities

    def prepare_store(path: Path, study: Any, listed: bool = True) -> Any:
        study.layout, study.blocks, study.bytes  # noqa: B018  (what laying out a store asks for)
        for given in identities(path):
            with contextlib.suppress(ValueError):
                old = upkeep.open_study(path)
                if study.fingerprint == given["fingerprint"] or upkeep.extension(old, study):
                    raise AcceptedError
        if not path.exists():
            raise AcceptedError
        return upkeep.prepare_store(path, study)  # which refuses it

    command = get_command(app)  # made anew in every call else
    patch.setattr("typer.testing._get_command", lambda _: command)
    patch.setattr(runner, "prepare_store", prepare_store)
    patch.setattr(module("run.price"), "prepare_kernels", accept)
    patch.setattr(module("api.replay"), "simulate", accept)
    patch.setattr(module("api.simulation"), "prepare", accept)
    patch.setattr(module("plot"), "draw", accept)
    patch.setattr(module("claims.table"), "time", SimpleNamespace(perf_counter=accept))
    waits = SimpleNamespace(monotonic=time.monotonic, sleep=accept)
    patch.setattr(module("cli.stores"), "time", waits)
    clusters = module("run.clusters")
    patch.setattr(clusters, "job_cluster", accept)
    patch.setattr(clusters, "_reach", accept)
    patch.setattr(clusters, "_needed", lambda: SimpleNamespace(LocalCluster=accept, Client=accept))


def looks(paths: list[str]) -> list[tuple[int, ...]]:
    """What changes when a file is written to, or something is made in a folder or removed."""
    found = []
    for path in paths:
        try:
            about = os.lstat(path)
            found.append((about.st_ino, about.st_size, about.st_mtime_ns))
        except OSError:
            found.append(())
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != MUTANT}


class Ground:
    """The folder of a campaign, and what came of its cases."""

    def __init__(self, folder: Path, pristine: Path) -> None:
        self.folder, self.pristine = folder, pristine
        self.count = self.bad = self.accepted = self.longest_message = 0
        self.slowest = (0.0, 0)
        self.restore()

    def restore(self) -> None:
        """As it was at the start."""
        for item in self.folder.iterdir():
            shutil.rmtree(item) if item.is_dir() else item.unlink()
        shutil.copytree(self.pristine, self.folder, dirs_exist_ok=True)
        (self.folder / MUTANT).touch()
        self.bytes = contents(self.folder)
        found = [str(path) for path in self.folder.rglob("*") if path.name != MUTANT]
        self.paths = [str(self.folder), *found]
        self.seen = looks(self.paths)

    def trouble(self, case: Case, seed: int = -1) -> str:
        """What is wrong with how a case is answered; nothing where all is well."""
        if case.content is not None:
            (self.folder / MUTANT).write_bytes(case.content)
        began = time.perf_counter()
        accepted, result = False, None
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        try:
            result = CliRunner().invoke(app, list(case.words), env={"COLUMNS": "200"})
        except AcceptedError:
            accepted = True
        except TooLongError:
            return "".join(["more than 10 s\n", *traceback.format_exc().splitlines(True)[-16:]])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        seconds = time.perf_counter() - began
        self.count += 1
        self.slowest = max(self.slowest, (seconds, seed))
        written = looks(self.paths) != self.seen
        if result is None:
            self.accepted += accepted
            if written:
                self.restore()
            return "written before it computes" if written else ""
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            return "".join(traceback.format_exception(result.exception)[-8:])
        return self.wrong(case, result, written)

    def wrong(self, case: Case, result: Any, written: bool) -> str:
        """What is wrong with an answer."""
        code, out, err = result.exit_code, result.stdout, result.stderr
        if "Traceback" in err + out:
            return f"a traceback: {err}"
        if code == 0:
            self.accepted += 1
            if written:
                self.restore()
            command = next((word for word in case.words if word != "--"), "")
            writes = command in ("export", "replay")
            return "written" if written and not writes else ""
        if code != 2:
            return f"exit code {code}: {err}"
        self.bad += 1
        self.longest_message = max(self.longest_message, len(err))
        if written:
            self.restore()
            return f"written in spite of: {err}"
        if not case.words:  # as good as --help
            return ""
        lines = err.splitlines()
        # All mistakes of a study file are named at once, a line each.
        of_file = all(line.startswith("simdyn: mutant.toml: ") for line in lines)
        few = 1 <= len(lines) <= (21 if of_file else 2)
        if out or not few or not err.startswith("simdyn: "):
            return f"said otherwise: {out[:2000]}\n{err[:2000]}"
        return ""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine")
    furnish(folder)
    return folder


@pytest.fixture
def ground(tmp_path: Path, pristine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """A folder to work in, stubs in place, memory and time limited."""
    stub(monkeypatch)
    monkeypatch.chdir(tmp_path)
    made = Ground(tmp_path, pristine)

    def ring(*_: Any) -> None:
        raise TooLongError

    rung, ended = signal.signal(signal.SIGALRM, ring), signal.getsignal(signal.SIGTERM)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.name == "posix" else 0
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, limits[1]))
    yield made
    resource.setrlimit(resource.RLIMIT_AS, limits)
    signal.signal(signal.SIGALRM, rung)
    signal.signal(signal.SIGTERM, ended)  # `run` and `worker` set theirs


def campaign(ground: Ground, first: int, count: int, most: int) -> list[str]:
    """Troubles of cases, with what is needed to see each again."""
    troubles: list[str] = []
    for seed in range(first, first + count):
        case = mutations.make(seed)
        if trouble := ground.trouble(case, seed):
            troubles.append(f"seed {seed}: {trouble}\n{case}\n")
            if len(troubles) >= most:
                break
    if contents(ground.folder) != ground.bytes:
        troubles.append("the bytes of a file have changed, unseen at the time")
    return troubles


@pytest.mark.parametrize("part", range(6))
def test_fuzz__any_bad_input_is_answered_in_a_line(ground: Ground, part: int) -> None:
    troubles = campaign(ground, 1000 * part, 50, 3)
    assert not troubles, "\n".join(troubles)
    assert ground.bad >= 10


@pytest.mark.campaign
def test_fuzz__any_bad_input_is_answered_in_a_line_campaign(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    first = int(os.environ.get("FUZZ_SEED", 10**6))
    count = int(os.environ.get("FUZZ_CASES", 10**5))
    began = time.perf_counter()
    troubles = campaign(ground, first, count, 40)
    seconds = time.perf_counter() - began
    with capsys.disabled():
        print(
            f"\n{ground.count:,} cases in {seconds:.0f} s: {ground.bad:,} bad input "
            f"({ground.bad / max(ground.count, 1):.0%}), {ground.accepted:,} accepted, "
            f"{len(troubles)} troubles; slowest {ground.slowest[0]:.2f} s (seed "
            f"{ground.slowest[1]}); longest message {ground.longest_message:,}"
        )
    assert not troubles, "\n".join(troubles)
