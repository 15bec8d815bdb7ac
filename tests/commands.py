"""The command line, called in this process or in one of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from common import everything
from typer.testing import CliRunner

from simdyn.cli import app

WIDE = {"COLUMNS": "200"}


class Answer(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


def call(line: str, *words: object) -> Answer:
    """A command in this process, as a line and further words; anything but a clean exit fails."""
    result = CliRunner().invoke(app, [*line.split(), *map(str, words)], env=WIDE)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def refused(folder: Path, line: str, *words: object) -> str:
    """The one line with which a command in this process refuses; nothing in the folder changes."""
    before = everything(folder)
    answer = call(line, *words)
    assert everything(folder) == before
    assert (answer.code, answer.out) == (2, ""), answer
    assert 1 <= len(answer.err.splitlines()) <= 2, answer.err
    assert answer.err.startswith("simdyn: ")
    assert "Traceback" not in answer.err
    return answer.err


def command(
    line: str, *words: object, cwd: Path, before: str = "", **env: str
) -> subprocess.Popen[str]:
    """A command in a process of its own, which hears Ctrl-C whatever its parent does."""
    code = f"{before}\nfrom simdyn.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *line.split(), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=cwd,
        env={**os.environ, **WIDE, "PYTHONIOENCODING": "utf-8", **env},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )


def ended(process: subprocess.Popen[str], timeout: float = 120.0) -> Answer:
    """How a process ends and what it prints."""
    out, errors = process.communicate(timeout=timeout)
    return Answer(process.returncode, out, errors)
