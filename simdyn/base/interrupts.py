"""Ctrl-C and SIGTERM on the command line.

Python raises KeyboardInterrupt between any two instructions of the main thread, also in a library
that has just freed memory and not yet noted it: the memory is then freed twice, and the process
aborts. So the command line raises none. A signal ends the process at once, as a kill does, with a
line and an exit code; every write of simdyn survives that. Code that must clean up holds signals
(`held`), and calls `check` at points where it can stop.

Calls from Python never call `hear`, and KeyboardInterrupt is Python's. `Study.run` lets it wait
for the next `check` (`waiting`); so an interrupted cell of a notebook leaves its kernel whole.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

INTERRUPTED = 130
MESSAGE = "simdyn: interrupted; run the same command to go on"
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_asked = threading.Event()
_holding = 0


def hear() -> None:
    """From now on SIGINT and SIGTERM end the process, at once or at the next `check`.

    A signal that is ignored stays ignored: shells set this for background processes.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _heard)


def ignore() -> None:
    """Undo `hear`: from now on signals are ignored, as the process is about to end."""
    for number in SIGNALS:
        if signal.getsignal(number) is _heard:
            signal.signal(number, signal.SIG_IGN)


def _heard(*_: Any) -> None:
    """Handle a signal: the first waits while signals are held, the second does not."""
    if _holding and not _asked.is_set():
        _asked.set()
    else:
        leave()


def _noted(*_: Any) -> None:
    """Handle a signal in `waiting`: as `_heard` does, and what does not wait is raised."""
    if _holding and not _asked.is_set():
        _asked.set()
    else:
        raise KeyboardInterrupt


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """In this block, KeyboardInterrupt waits until the next `check`; a second one does not.

    Nothing changes where SIGINT does something else than in plain Python, or on other threads than
    the main one.
    """
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _noted)
    try:
        with held():
            yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _asked.clear()


def leave() -> None:
    """End the process at once."""
    with contextlib.suppress(OSError):
        # A progress bar may stand on the line and hide the cursor.
        clean = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""
        os.write(2, f"{clean}{MESSAGE}\n".encode())
    os._exit(INTERRUPTED)


def check() -> None:
    """Stop here if a signal waits.

    Raises
    ------
    KeyboardInterrupt
        If a signal came while signals were held.
    """
    if _asked.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals wait until the next `check`, at the latest until this block ends."""
    global _holding
    _holding += 1
    try:
        yield
    finally:
        _holding -= 1
    if not _holding:
        check()


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Signals end the process at once in this block, though a block around it holds them."""
    global _holding
    before, _holding = _holding, 0
    try:
        check()
        yield
    finally:
        _holding = before
