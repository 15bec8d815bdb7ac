"""What is called as a study runs."""

from collections.abc import Collection
from typing import Any, Protocol


class Progress(Protocol):
    """What is called as a study runs."""

    def start(self, runs: int, done: int) -> None:
        """Called first, with the number of runs, and how many of them are done already."""

    def kernels_ready(self, seconds: float) -> None:
        """The kernels are compiled or loaded, which took so many seconds; runs begin."""

    def advance(self, runs: int) -> None:
        """So many more runs are done."""

    def recompute(self, runs: int) -> None:
        """So many runs that counted as done are computed again."""

    def failed(self, point: str, cause: str) -> None:
        """A point failed; the study goes on."""

    def failed_before(self, points: Collection[str]) -> None:
        """Points failed in earlier runs, and are not computed again."""

    def note(self, text: str) -> None:
        """Something else that a user should know, such as what was repaired."""


class Silent:
    """No progress shown."""

    def start(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    kernels_ready = advance = recompute = failed = failed_before = note = start
