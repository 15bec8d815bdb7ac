"""How the command line hears Ctrl-C and SIGTERM: at points where nothing is broken off.

Python raises KeyboardInterrupt between any two instructions of the main thread, also within a
library that has freed memory and is about to note it: the memory is then freed again, and the
process aborts. So the command line raises none. A signal ends the process at once, as a kill
does, with a line and an exit code; every write of simdyn is made for that. While there is
something to wind down, code holds signals, and asks for them where it can stop.

Calls from Python are not concerned: there `hear` is not called, and KeyboardInterrupt is Python's.
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
    """From now on SIGINT and SIGTERM end the process at once, or when it next asks for them.

    One that is ignored stays so: shells have it of what they start in the background.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _heard)


def ignore() -> None:
    """From now on the process ends by itself, with the exit code it has. Undoes `hear` only."""
    for number in SIGNALS:
        if signal.getsignal(number) is _heard:
            signal.signal(number, signal.SIG_IGN)


def _heard(*_: Any) -> None:
    """A signal has come: the second one does not wait."""
    if _holding and not _asked.is_set():
        _asked.set()
    else:
        leave()


def leave() -> None:
    """End the process at once."""
    with contextlib.suppress(OSError):
        # The line may hold a bar of progress, which hides the cursor.
        clean = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""
        os.write(2, f"{clean}{MESSAGE}\n".encode())
    os._exit(INTERRUPTED)


def check() -> None:
    """A place to stop at.

    Raises
    ------
    KeyboardInterrupt
        If a signal has come that was held.
    """
    if _asked.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def held() -> Iterator[None]:
    """What is begun here is ended; signals wait until `check`, at the latest until the end."""
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
    """Here nothing is begun that must be ended, though around it there may be."""
    global _holding
    before, _holding = _holding, 0
    try:
        check()
        yield
    finally:
        _holding = before
