"""Points of a block computed in a process of its own, to learn which of them end their process.

The process says which point it begins; when it ends early, the way it ended tells who did it. A
fault of the program (SIGSEGV and the like) or an exit is the point's own doing. SIGKILL, SIGTERM
and the like come from outside: from the system when memory runs out, from a batch system at a time
limit, from a person.
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
from simdyn.store.growth import grown_from

TRIES = 3  # deaths of a point, each in a fresh process, before it is blamed
MANY = 8  # points that end their process before one lives: then it is not the points
OWN = {
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
        How, each time: the exit code, or minus the number of the signal.
    """

    point: int
    ended: tuple[int, ...]

    @property
    def own(self) -> bool:
        """Did the point end it, each time?"""
        return all(code >= 0 or -code in OWN for code in self.ended)

    @property
    def how(self) -> str:
        """'SIGSEGV', or 'exit code 3'."""
        names = {
            f"exit code {code}" if code >= 0 else signal.Signals(-code).name for code in self.ended
        }
        return ", ".join(sorted(names))


@dataclasses.dataclass(frozen=True)
class Found:
    """What was learnt of a block.

    Attributes
    ----------
    deaths : tuple of Death
        Points that did not live once; when nothing lives they are tried only once.
    lived : bool
        Was some other point computed under the same conditions, without harm?
    """

    deaths: tuple[Death, ...]
    lived: bool


def find_deaths(path: str, number: int, control: int | None = None) -> Found:
    """Compute a block in processes of its own, and keep nothing.

    Parameters
    ----------
    path : str
        The store.
    number : int
        The block.
    control : int, optional
        A block that is done: computed in the same way when no point of the first one lives.

    Raises
    ------
    RuntimeError
        When such a process does not come to its first point.
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
    return Found(
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
    """Points that a process began, of those in a range, and how it ended before its time."""
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
            said = process.stdout.read().split()
        if said and said[-1] == "done":
            return [int(point) for point in said[:-1]], None
        if said:
            return [int(point) for point in said], process.returncode
    raise RuntimeError(f"a process of its own does not start: it ends with {process.returncode}")


def _end_with_parent() -> None:
    """End this process when the one that started it is gone."""
    os.read(0, 1)  # not by sys.stdin, whose lock would be held as Python ends
    os._exit(1)


def main() -> None:
    """Compute points of a block, those in a range, and say which is begun."""
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
        grown_from(store.path, study),
        begun=lambda point: print(point, flush=True),
        only=range(first, stop),
    )
    print("done", flush=True)


if __name__ == "__main__":
    main()
