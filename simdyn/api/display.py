"""Progress with rate and time left: a bar on a terminal or in a notebook, plain lines otherwise."""

import html
import sys
import time
from collections.abc import Collection
from typing import Any

from simdyn.base.inputs import InputError, shown


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


MOST_FAILURES = 20  # shown
BETWEEN = 0.2  # seconds between two drawings of a bar in a notebook
COMPILING = "compiling the kernels, once for this version: a minute or so on two free cores"


def say(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


def must_compile() -> bool:
    """Are the kernels not compiled yet?"""
    from simdyn.kernels.cache import kernels_kept

    return not kernels_kept()


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

    def say(self, text: str) -> None:
        """Show a line of text."""
        say(text)

    def start(self, runs: int, done: int) -> None:
        """Show the number of runs, and how many of them are done; called first."""
        self.runs, self.done = runs, done
        already = f", {done:,} already done" if done else ""
        self.say(f"{self.name}: {runs:,} runs{already}")
        self.compiling = done < runs and must_compile()
        if self.compiling:
            self.say(f"  {COMPILING}")
        if done < runs:
            self.open_bar()

    def open_bar(self) -> None:
        """Show a bar, if standard error is a terminal."""
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task
        from rich.text import Text

        class Pace(ProgressColumn):
            """Rate and time left; before the first run, for how long kernels compile."""

            def render(column, task: Task) -> Text:
                return Text(task.fields["rate"] or self.preparing())

        self.bar = Progress(
            BarColumn(), MofNCompleteColumn(), Pace(), console=Console(stderr=True), transient=True
        )
        self.bar.start()
        self.task = self.bar.add_task("", total=self.runs, completed=self.done, rate="")

    def kernels_ready(self, seconds: float) -> None:
        """Note the seconds that the kernels took to compile or load; runs begin."""
        self.compile_seconds = seconds
        if self.compiling and seconds:
            self.say(f"  compiled in {clock(seconds)}")
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
        self.show_rate(time.monotonic())

    def show_rate(self, now: float) -> None:
        """Show how far it is: on the bar, or as a line every five seconds."""
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, rate=self.rate())
        elif now - self.last_line >= 5.0 or self.done == self.runs:
            self.last_line = now
            share = self.done / self.runs
            self.say(f"  {self.done:,}/{self.runs:,} ({share:.0%}), {self.rate()}")

    def recompute(self, runs: int) -> None:
        """Note that so many runs counted as done are computed again."""
        self.done -= runs

    def failed(self, point: str, cause: str) -> None:
        """Show that a point failed; the study goes on."""
        self.failures += 1
        self.failed_now.add(point)
        if self.failures <= MOST_FAILURES:
            self.say(f"  {point} failed: {cause}")
        if self.failures == MOST_FAILURES:
            self.say("  further failures are not shown; `simdyn status` counts them")

    def failed_before(self, points: Collection[str]) -> None:
        """Note points that failed in earlier runs and are not computed again."""
        self.failed_earlier.update(points)

    def note(self, text: str) -> None:
        """Show a line of text."""
        self.say(f"  {text}")

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self.bar is not None:
            self.bar.stop()


class NotebookDisplay(Display):
    """Progress below a cell of a notebook: a bar in HTML, which is replaced as it moves.

    It stays there with its last state, and needs no widgets, which rich's and tqdm's bars do.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.lines: list[str] = []
        self.state = ""

    def say(self, text: str) -> None:
        """Show a line of text above the bar."""
        self.lines.append(text.strip())
        self._draw()

    def open_bar(self) -> None:
        """Show how far it is."""
        self.state = "preparing kernels …"
        self._draw()

    def kernels_ready(self, seconds: float) -> None:
        """Note the seconds that the kernels took to compile or load; runs begin."""
        super().kernels_ready(seconds)
        self.state = "running …"
        self._draw()

    def show_rate(self, now: float) -> None:
        """Move the bar, some times a second."""
        if now - self.last_line >= BETWEEN:
            self.last_line, self.state = now, self.rate()
            self._draw()

    def close(self) -> None:
        """Show how it ended, if it began."""
        if not self.runs:
            return
        took = clock(time.monotonic() - self.began)
        whole = self.done == self.runs
        ended = f"{took}, {self.rate().partition(',')[0]}" if self.fresh else "nothing to do"
        self.state = ended if whole else "stopped"
        self._draw()

    def _draw(self) -> None:
        """Show what has changed in place of what was shown before."""
        if self.bar is None:
            self.bar = sys.modules["IPython"].display.display(self, display_id=True)
        else:
            self.bar.update(self)

    def __repr__(self) -> str:
        """What a notebook without HTML shows."""
        state = [f"{self.done:,}/{self.runs:,} runs: {self.state}"] if self.runs else []
        return "\n".join([*self.lines, *state])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self.lines)
        if not self.runs:  # notes on the store come first
            return f"<div>{lines}</div>"
        bar = f"<progress max='{self.runs}' value='{self.done}'></progress>"
        state = f"{self.done:,}/{self.runs:,} · {html.escape(self.state)}"
        return f"<div>{lines}<div>{bar} {state}</div></div>"


def in_notebook() -> bool:
    """Does a kernel run this code, so that a notebook shows what it displays?"""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


def display_for(name: str, progress: bool | None) -> Display | None:
    """The display of a run from Python; None if it runs silently.

    Parameters
    ----------
    name : str
        Of what is run.
    progress : bool, optional
        Is it shown? In a notebook only, if absent.

    Raises
    ------
    InputError
        If `progress` is none of these.
    """
    if progress is not None and not isinstance(progress, bool):
        raise InputError(f"progress = {shown(progress)}: allowed is True, False or None")
    notebook = in_notebook()
    if not (notebook if progress is None else progress):
        return None
    return NotebookDisplay(name) if notebook else Display(name)
