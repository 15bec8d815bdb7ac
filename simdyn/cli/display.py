"""Progress with rate and time left: a bar on a terminal, plain lines otherwise."""

import sys
import time
from collections.abc import Collection
from typing import Any

import typer


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


MOST_FAILURES = 20  # shown


def tell_compiling() -> bool:
    """If the kernels are not compiled yet, say so and what to expect; was it said?"""
    from simdyn.kernels.cache import kernels_kept

    if kernels_kept():
        return False
    typer.echo(
        "  compiling the kernels, once for this version: a minute or so on two free cores", err=True
    )
    return True


class Display:
    """Progress with rate and time left: a bar on a terminal, plain lines otherwise."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None
        self.runs = self.done = self.fresh = self.failures = 0
        self.failed_now: set[str] = set()
        self.failed_earlier: set[str] = set()
        self.compiling = False
        self.compile_seconds = 0.0
        self.began = self.last_line = time.monotonic()

    def start(self, runs: int, done: int) -> None:
        """Show the number of runs, and how many of them are done; called first."""
        self.runs, self.done = runs, done
        already = f", {done:,} already done" if done else ""
        typer.echo(f"{self.name}: {runs:,} runs{already}", err=True)
        self.compiling = done < runs and tell_compiling()
        if sys.stderr.isatty() and done < runs:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task
            from rich.text import Text

            class Pace(ProgressColumn):
                """Rate and time left; before the first run, for how long kernels compile."""

                def render(column, task: Task) -> Text:
                    return Text(task.fields["rate"] or self.preparing())

            self.bar = Progress(
                BarColumn(),
                MofNCompleteColumn(),
                Pace(),
                console=Console(stderr=True),
                transient=True,
            )
            self.bar.start()
            self.task = self.bar.add_task("", total=runs, completed=done, rate="")

    def kernels_ready(self, seconds: float) -> None:
        """Note the seconds that the kernels took to compile or load; runs begin."""
        self.compile_seconds = seconds
        if self.compiling and seconds:
            typer.echo(f"  compiled in {clock(seconds)}", err=True)
        self.compiling = False
        self.began = self.last_line = time.monotonic()

    def preparing(self) -> str:
        """What is shown before the first run is done."""
        past = clock(time.monotonic() - self.began)
        return f"compiling the kernels: {past}" if self.compiling else "preparing kernels …"

    def rate(self) -> str:
        """Runs per second and time left."""
        pace = self.fresh / max(time.monotonic() - self.began, 1e-9)
        left = (self.runs - self.done) / pace if pace > 0 else 0.0
        return f"{pace:,.0f} runs/s, {clock(left)} left"

    def advance(self, runs: int) -> None:
        """Note that so many more runs are done."""
        self.done += runs
        self.fresh += runs
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, rate=self.rate())
        elif now - self.last_line >= 5.0 or self.done == self.runs:
            self.last_line = now
            share = self.done / self.runs
            typer.echo(f"  {self.done:,}/{self.runs:,} ({share:.0%}), {self.rate()}", err=True)

    def recompute(self, runs: int) -> None:
        """Note that so many runs counted as done are computed again."""
        self.done -= runs

    def failed(self, point: str, cause: str) -> None:
        """Show that a point failed; the study goes on."""
        self.failures += 1
        self.failed_now.add(point)
        if self.failures <= MOST_FAILURES:
            typer.echo(f"  {point} failed: {cause}", err=True)
        if self.failures == MOST_FAILURES:
            typer.echo("  further failures are not shown; `simdyn status` counts them", err=True)

    def failed_before(self, points: Collection[str]) -> None:
        """Note points that failed in earlier runs and are not computed again."""
        self.failed_earlier.update(points)

    def note(self, text: str) -> None:
        """Show a line of text."""
        typer.echo(f"  {text}", err=True)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self.bar is not None:
            self.bar.stop()
