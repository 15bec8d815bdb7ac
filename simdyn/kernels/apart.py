"""Calls of the compiler, in a thread that no interrupt reaches."""

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
    """No one waits for the compiled code any more."""


class _StopWhenGivenUp(event.Listener):  # type: ignore[misc]
    """Stops the compiler of a thread at its next pass, once no one waits for it."""

    def __init__(self, given_up: threading.Event) -> None:
        self.given_up, self.thread = given_up, threading.get_ident()

    def on_start(self, event: Any) -> None:
        """A pass begins."""
        if self.given_up.is_set() and self.thread == threading.get_ident():
            raise GivenUp

    def on_end(self, event: Any) -> None:
        """A pass ends."""


def apart(work: Callable[..., Result], *arguments: Any) -> Result:
    """Call the compiler in a thread of its own, if this is the main thread.

    Python raises KeyboardInterrupt in the main thread, between any two instructions. If
    llvmlite has just freed a string of LLVM's and not noted it yet, it frees the string again, and
    the process aborts.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or global_compiler_lock.is_locked()
    ):
        return work(*arguments)  # this thread holds the compiler's lock: another would wait for it
    given_up, pool = threading.Event(), ThreadPoolExecutor(1)

    def work_until_given_up() -> Result:
        with event.install_listener("numba:run_pass", _StopWhenGivenUp(given_up)):
            return work(*arguments)

    try:
        return pool.submit(work_until_given_up).result()
    except BaseException:  # whatever a signal raises here
        given_up.set()
        raise
    finally:
        pool.shutdown(wait=False)


@functools.cache
def cpu_name() -> str:
    """The type of this machine's CPU, as the compiler names it."""
    return str(apart(llvmlite.binding.get_host_cpu_name))
