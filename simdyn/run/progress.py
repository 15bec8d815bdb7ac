"""What hears of a run as it goes."""

from collections.abc import Collection
from typing import Protocol


class Progress(Protocol):
    """What hears of a run as it goes."""

    def start(self, runs: int, done: int) -> None:
        """So many runs in all, so many of them already there."""

    def ready(self, seconds: float) -> None:
        """The kernels are compiled, or loaded, after so many seconds; runs begin."""

    def advance(self, runs: int) -> None:
        """So many runs more."""

    def again(self, runs: int) -> None:
        """So many runs that were there count as not done: they are computed once more."""

    def failed(self, place: str, cause: str) -> None:
        """A point failed; the study goes on."""

    def failed_before(self, places: Collection[str]) -> None:
        """Points failed in earlier runs, and are left as they are."""

    def note(self, text: str) -> None:
        """Something else that a user should know: what was repaired, who is at work."""


class Silent:
    """No progress shown."""

    def start(self, runs: int, done: int) -> None:
        """Say nothing."""

    def ready(self, seconds: float) -> None:
        """Say nothing."""

    def advance(self, runs: int) -> None:
        """Say nothing."""

    def again(self, runs: int) -> None:
        """Say nothing."""

    def failed(self, place: str, cause: str) -> None:
        """Say nothing."""

    def failed_before(self, places: Collection[str]) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""
