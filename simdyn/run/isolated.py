"""Points of a block computed in a process of its own, to find those that end their process.

The process prints the number of each point that it begins. If it ends early, the way it ended shows
the cause. A fault of the program (SIGSEGV and the like) or an exit comes from the point itself.
SIGKILL, SIGTERM and the like come from outside: from the system when memory runs out, from a batch
system at a time limit, from a person.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import threading

import numpy as np

from simdyn.run.block import prepare_kernels, run_block
from simdyn.store import Store, open_study
from simdyn.store.smaller import smaller_store

TRIES = 3  # times that a point must end a fresh process before it is taken as the cause
MANY = 8  # points that end their process before one is computed: then they are not the cause
FAULTS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}


@dataclasses.dataclass(frozen=True)
class Death:
    """A point whose process has ended each time it was computed.

    Attributes
    ----------
    point : int
        Its number in the block.
    ended : tuple of int
        Each time, the exit code, or minus the number of the signal.
    """

    point: int
    ended: tuple[int, ...]

    @property
    def by_itself(self) -> bool:
        """Did the point itself end the process, each time?"""
        return all(code >= 0 or -code in FAULTS for code in self.ended)

    @property
    def how(self) -> str:
        """'SIGSEGV', or 'exit code 3'."""
        names = {
            f"exit code {code}" if code >= 0 else signal.Signals(-code).name for code in self.ended
        }
        return ", ".join(sorted(names))


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Which points of a block end their process.

    Attributes
    ----------
    deaths : tuple of Death
        Points that ended their process each time; tried only once if no point is computed.
    others_live : bool
        Was any other point computed to its end under the same conditions?
    """

    deaths: tuple[Death, ...]
    others_live: bool


def find_deaths(path: str, number: int, control: int | None = None) -> Diagnosis:
    """Compute a block in processes of its own, without keeping its values.

    Parameters
    ----------
    path : str
        The store.
    number : int
        The block.
    control : int, optional
        A block that is done: computed in the same way if no point of the first one lives.

    Raises
    ------
    RuntimeError
        If such a process ends before its first point.
    """
    dead: dict[int, list[int]] = {}
    lived, first = False, 0
    while True:  # all points once
        begun, code = _computed(path, number, first)
        lived |= len(begun) > (code is not None)
        if code is None:
            break
        dead[begun[-1]] = [code]
        first = begun[-1] + 1
        if len(dead) == MANY and not lived:
            break
    if dead and not lived and control is not None:
        lived = _computed(path, control, 0)[1] is None
    for point, codes in dead.items():
        while lived and len(codes) < TRIES:
            _, code = _computed(path, number, point, point + 1)
            if code is None:
                break
            codes.append(code)
    return Diagnosis(
        tuple(
            Death(point, tuple(codes))
            for point, codes in dead.items()
            if not lived or len(codes) == TRIES
        ),
        lived,
    )


def _computed(
    path: str, number: int, first: int, stop: int = sys.maxsize
) -> tuple[list[int], int | None]:
    """The points of a range that a process began, and how it ended if it ended early."""
    command = [sys.executable, "-m", "simdyn.run.isolated", path, *map(str, (number, first, stop))]
    for _ in range(TRIES):
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            words = process.stdout.read().split()
        if words and words[-1] == "done":
            return [int(point) for point in words[:-1]], None
        if words:
            return [int(point) for point in words], process.returncode
    raise RuntimeError(f"a new process ends with {process.returncode} before its first point")


def _end_with_parent() -> None:
    """End this process when the one that started it is gone."""
    os.read(0, 1)  # not through sys.stdin, whose lock would be held while Python ends
    os._exit(1)


def main() -> None:
    """Compute the points of a block in a range, and print the number of each before it begins."""
    path, (number, first, stop) = sys.argv[1], map(int, sys.argv[2:])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    study = open_study(path)
    store = Store(path, study)
    prepare_kernels(study)
    run_block(
        study,
        store.blocks[number],
        np.zeros(1, np.int64),
        lambda *_: None,
        smaller=smaller_store(store.path, study),
        begun=lambda point: print(point, flush=True),
        only=range(first, stop),
    )
    print("done", flush=True)


if __name__ == "__main__":
    main()
