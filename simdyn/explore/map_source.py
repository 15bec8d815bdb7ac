"""The study or store behind the map, which all open pages share, and its computation."""

import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simdyn.base.inputs import InputError
from simdyn.explore.latest import Latest

if TYPE_CHECKING:
    import xarray as xr

    from simdyn.study.design import StudyDesign

AT_ONCE = 60.0  # core-seconds up to which a study is computed without being asked


class Counter:
    """Counts what a run reports (`simdyn.run.Progress`)."""

    def __init__(self) -> None:
        self.runs = self.done = 0
        self.failed_points: set[str] = set()

    def start(self, runs: int, done: int) -> None:
        """Note the number of runs, and of those that are done."""
        self.runs, self.done = runs, done

    def advance(self, runs: int) -> None:
        """Note that so many more are done."""
        self.done += runs

    def recompute(self, runs: int) -> None:
        """Note that so many are computed again."""
        self.done -= runs

    def failed(self, point: str, cause: str) -> None:
        """Note that a point failed."""
        self.failed_points.add(point)

    def failed_before(self, points: Collection[str]) -> None:
        """Note points that failed earlier."""
        self.failed_points.update(points)

    def kernels_ready(self, seconds: float) -> None:
        """Nothing to count."""

    def note(self, text: str) -> None:
        """Nothing to count."""


class MapSource:
    """A study with its store, computed in the background if asked.

    Parameters
    ----------
    study : StudyDesign
    path : path
        Its store, which may not exist yet.
    threads : int, optional
        Cores to use.
    """

    def __init__(self, study: "StudyDesign", path: Path, threads: int | None = None) -> None:
        self.study, self.path, self.threads = study, path, threads
        self.counter, self.problem = Counter(), ""
        self._work = Latest(self._ended)
        self._lock = threading.Lock()

    @classmethod
    def of(cls, target: Path, out: Path = Path(), threads: int | None = None) -> "MapSource":
        """The source of a study file, or of a store.

        A study file whose store lacks something is computed at once if that is quick.

        Raises
        ------
        InputError
            If there is no such study or store, or it has no two axes of numbers.
        """
        from simdyn.api.study import load_study
        from simdyn.store import as_stored, open_study

        if target.suffix == ".zarr" or (target.suffix != ".toml" and target.is_dir()):
            source = cls(open_study(target), target, threads)
        else:
            study = load_study(target)
            path = out / "results" / f"{study.name}.zarr"
            source = cls(as_stored(path, study) if path.exists() else study, path, threads)
        if len(source.axes) < 2:
            raise InputError(
                f"{target}: {len(source.axes)} swept field(s) with several numbers; a map needs "
                "two (simdyn explore without it opens the playground)"
            )
        if target.suffix == ".toml" and source.study.cost <= AT_ONCE:
            source.compute()
        return source

    @property
    def axes(self) -> list[str]:
        """Dims of the grid that hold several numbers."""
        axes = self.study.space.axes
        return [
            dim
            for dim in self.study.space.dims
            if axes[dim].dtype.kind != "U" and axes[dim].size > 1
        ]

    @property
    def others(self) -> list[str]:
        """All dims of the grid that hold several values."""
        return [dim for dim in self.study.space.dims if self.study.space.axes[dim].size > 1]

    def compute(self) -> None:
        """Compute what the store lacks, unless that is under way."""
        with self._lock:
            if self._work.busy:
                return
            self.problem, self.counter = "", Counter()
            self._work.ask(self._run)

    def _run(self) -> None:
        from simdyn.run import run_study

        run_study(self.study, self.path, threads=self.threads, progress=self.counter)

    def _ended(self, outcome: Callable[[], Any]) -> None:
        try:
            outcome()
        except Exception as problem:  # said on the page; the server goes on
            self.problem = str(problem) or type(problem).__name__

    def stop(self) -> None:
        """Stop computing; what is finished stays in the store."""
        self._work.stop()

    def end(self) -> None:
        """Stop, for good."""
        self._work.end()

    @property
    def computing(self) -> bool:
        """Is it being computed?"""
        return self._work.busy

    @property
    def state(self) -> str:
        """How far it is, in words."""
        if self.problem:
            return self.problem
        if self.computing:
            counter = self.counter
            return f"computing: {counter.done:,} of {counter.runs or self.study.runs:,} runs"
        if not self.path.exists():
            return f"nothing computed yet: {self.study.runs:,} runs"
        failed = len(self.counter.failed_points)
        return f"results in {self.path}" + (f"; {failed:,} point(s) failed" if failed else "")

    def results(self) -> "xr.Dataset | None":
        """What the store has; None if there is no store yet."""
        from simdyn.store import open_results

        return open_results(self.path) if self.path.exists() else None
