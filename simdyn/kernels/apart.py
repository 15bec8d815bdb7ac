"""The compiler is called where no interrupt reaches it."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import llvmlite.binding
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

Result = TypeVar("Result")


class GivenUp(BaseException):
    """No one waits any more for what is compiled."""


class _Heed(event.Listener):  # type: ignore[misc]
    """Ends a thread's compiling, at the next pass of the compiler, when it is given up."""

    def __init__(self, given_up: threading.Event) -> None:
        self.given_up, self.thread = given_up, threading.get_ident()

    def on_start(self, event: Any) -> None:
        """A pass begins."""
        if self.given_up.is_set() and self.thread == threading.get_ident():
            raise GivenUp

    def on_end(self, event: Any) -> None:
        """A pass ends."""


def apart(work: Callable[..., Result], *arguments: Any) -> Result:
    """Call into the compiler from a thread of its own, if this is the main thread.

    Python raises KeyboardInterrupt in the main thread, between any two instructions. Where
    llvmlite has just freed a string of LLVM's and not noted it yet, it frees it once more, and
    the process aborts.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or global_compiler_lock.is_locked()
    ):
        return work(*arguments)  # who holds the lock already waits for no other thread with it
    given_up, pool = threading.Event(), ThreadPoolExecutor(1)

    def heeding() -> Result:
        with event.install_listener("numba:run_pass", _Heed(given_up)):
            return work(*arguments)

    try:
        return pool.submit(heeding).result()
    except BaseException:  # whatever a signal raises here
        given_up.set()
        raise
    finally:
        pool.shutdown(wait=False)


@functools.cache
def cpu_name() -> str:
    """The type of this machine's CPU, as the compiler names it."""
    return str(apart(llvmlite.binding.get_host_cpu_name))
