"""A real kernel of Jupyter: progress below a cell, interrupted cells, and what is displayed."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import xarray as xr
from common import refusal, same
from notebooks import Kernel, Message, bars, errors, executed, in_folder, running

from simdyn import open_results, plot
from simdyn.api import display
from simdyn.api.study import Study, load_study
from simdyn.base import interrupts
from simdyn.base.replacement import PARTIAL
from simdyn.guide import site

RUN = "done = simdyn.load_study('killed.toml').run({})"


@pytest.fixture(scope="module")
def kernel(file: Path) -> Iterator[Kernel]:
    with running(file.parent) as found:
        assert not errors(found.run("import threading, simdyn"))
        yield found


def small(file: Path) -> Study:
    """A study of two runs."""
    study = load_study(file)
    point = study.space.first_point
    plans = zip(study.space.methods, point.plans, strict=True)
    methods = {name: [phase.replace(epochs=2) for phase in plan] for name, plan in plans}
    return Study(point.data, point.net, methods)


def html(published: list[Message]) -> str:
    """What a cell displays now; empty if nothing."""
    shown = bars(published)
    return str(shown[-1]["data"]["text/html"]) if shown else ""


def test_progress__is_a_bar_in_a_notebook(kernel: Kernel) -> None:
    began = time.monotonic()
    published = kernel.run(RUN.format(""))
    seconds = time.monotonic() - began
    assert not errors(published)
    first, *others = bars(published)
    assert first["type"] == "display_data"
    (place,) = {each["transient"]["display_id"] for each in (first, *others)}
    assert place
    assert len(others) < seconds / display.BETWEEN + 5  # however many blocks there are
    text = others[-1]["data"]["text/html"]
    assert "<progress max='96' value='96'>" in text
    assert "killed: 96 runs" in text
    assert "runs/s" in text
    assert any("left" in each["data"]["text/html"] for each in others)
    assert others[-1]["data"]["text/plain"].startswith("killed: 96 runs\n96/96 runs: 0:")
    assert not [each for each in published if each["type"] == "stream"]


@pytest.mark.parametrize("progress", [False, None])
def test_progress__is_silent_if_asked_and_in_scripts(
    kernel: Kernel, file: Path, progress: bool | None, capfd: pytest.CaptureFixture[str]
) -> None:
    if progress is False:
        published = kernel.run(RUN.format("progress=False"))
        assert {each["type"] for each in published} == {"status", "execute_input"}
    small(file).run(progress=progress)
    assert capfd.readouterr() == ("", "")


def test_progress__is_lines_in_a_script_if_asked(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small(file).run(progress=True)
    out, lines = capfd.readouterr()
    assert not out
    assert lines.startswith("study: 2 runs\n")
    assert "  2/2 (100%), " in lines


def test_progress__refuses_other_values(file: Path, tmp_path: Path) -> None:
    wanted = "progress = 'bar': allowed is True, False or None"
    assert refusal(small(file).run, tmp_path / "x.zarr", progress="bar") == wanted
    assert "progress = 1: " in refusal(small(file).run, progress=1)
    assert not (tmp_path / "x.zarr").exists()


def test_progress__says_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run in a notebook: notes, failures, how it ended."""
    shown: list[str] = []

    class Place:
        @staticmethod
        def display(thing: Any, display_id: bool) -> type["Place"]:
            shown.append(repr(thing))
            return Place

        @staticmethod
        def update(thing: Any) -> None:
            shown.append(thing._repr_html_())

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=Place))
    monkeypatch.setattr("simdyn.kernels.cache.kernels_kept", lambda: False)
    bar = display.NotebookDisplay("a < b")
    bar.start(10, 4)
    bar.kernels_ready(61.0)
    bar.note("block 3 was damaged: computed again")
    bar.failed("x = 1", "<no memory>")
    bar.close()
    assert shown[0] == "a < b: 10 runs, 4 already done\n4/10 runs: "
    assert "compiling the kernels, once" in shown[1]
    for part in (
        "a &lt; b",
        "compiled in 1:01",
        "was damaged",
        "&lt;no memory&gt;",
        "4/10 · stopped",
    ):
        assert part in shown[-1]
    bar.advance(6)
    bar.close()
    assert "value='10'" in shown[-1]
    assert "10/10 · 0:00, " in shown[-1]
    before = display.NotebookDisplay("b")
    before.start(10, 10)
    before.close()
    assert "10/10 · nothing to do" in shown[-1]
    shown.clear()
    refused = display.NotebookDisplay("c")
    refused.close()
    assert not shown
    refused.note("repaired")
    refused.close()
    assert shown == ["repaired"]


# -- interrupted cells ---------------------------------------------------------------------------

POOL = "[each.name for each in threading.enumerate() if each.name.startswith('ThreadPool')]"


def done_in(store: Path) -> int:
    """Blocks of a store that are done."""
    return len(list((store / "simdyn.store" / "receipts" / "sha256" / "c").glob("*/0")))


def test_interrupt__leaves_a_store_that_goes_on(
    kernel: Kernel, file: Path, undisturbed: xr.Dataset
) -> None:
    store, call = file.parent / "x.zarr", RUN.format("'x.zarr'")
    published = kernel.run(call, until=lambda _: done_in(store) > 2)
    assert errors(published) == ["KeyboardInterrupt"]
    assert "stopped" in html(published)
    assert 2 < done_in(store) < len(load_study(file).blocks)
    assert not list(store.rglob(f"*{PARTIAL}"))
    assert kernel.value(POOL) == "[]"
    published = kernel.run(call)
    assert not errors(published)
    assert "already done" in html(published)
    same(open_results(store), undisturbed)


def test_interrupt__in_memory_gives_up_and_can_be_run_again(
    kernel: Kernel, undisturbed: xr.Dataset
) -> None:
    assert not errors(kernel.run("done = None"))
    published = kernel.run(RUN.format(""), until=lambda shown: "left" in html(shown))
    assert errors(published) == ["KeyboardInterrupt"]
    assert "stopped" in html(published)
    assert kernel.value(f"done, {POOL}") == "(None, [])"
    assert not errors(kernel.run(RUN.format("")))
    assert kernel.value("done.train_loss.values.sum()") == repr(undisturbed.train_loss.values.sum())


INTERRUPTED = """
import os, signal, threading, time
from simdyn.base import interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
told = []
try:
    with interrupts.waiting():
        interrupt()
        told.append("waits")
        {then}
        told.append("went on")
except KeyboardInterrupt:
    told.append("interrupted")
told.append(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
with interrupts.waiting():
    interrupts.check()
print(*told)
"""


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("interrupts.check()", "waits interrupted True"),
        ("interrupt()", "waits interrupted True"),  # the second does not wait
        ("pass", "waits went on interrupted True"),
        (
            "interrupts._asked.clear()\n        with interrupts.at_once(): interrupt()",
            "waits interrupted True",
        ),
    ],
)
def test_interrupt__waits_for_the_next_check(then: str, told: str) -> None:
    code = INTERRUPTED.format(then=then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (told, "")


def test_interrupt__is_left_to_who_handles_it_otherwise() -> None:
    before = signal.getsignal(signal.SIGINT)
    mine = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        other = signal.getsignal(signal.SIGINT)
        with interrupts.waiting():
            assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, mine)
    assert signal.getsignal(signal.SIGINT) is before


# -- the tutorial --------------------------------------------------------------------------------


def test_tutorial__runs_and_shows_what_it_says(tmp_path: Path) -> None:
    (path,) = site.notebooks()
    with in_folder(tmp_path):
        shown = executed(path, tmp_path)
    plain = "\n".join(shown["text/plain"])
    tables = "\n".join(shown["text/html"])
    assert len(shown["image/png"]) == 3
    assert "<strong>SignalNoiseData</strong>" in tables
    assert "Study: tutorial" in tables
    assert tables.count("<progress") == 3
    assert "660/660 runs" in plain
    assert "stopped" not in plain
    row = next(line for line in plain.splitlines() if line.startswith("sgd "))
    exponent, low, high = map(float, row.split()[1:])
    assert low <= exponent <= high
    assert abs(exponent - 0.25) < 0.005  # as the text says
    assert (tmp_path / "tutorial.zarr").is_dir()


def test_figure__is_shown_as_the_bytes_that_are_saved(tmp_path: Path, file: Path) -> None:
    study = small(file)
    study = Study(
        study.space.data.fields, study.space.net.fields, study.plans, {"signal_norm": [1.0, 2.0]}
    )
    ds = study.run()
    figure = plot.draw(ds, plot.usual_figure(ds))
    content, about = figure._repr_png_()
    (png, _) = plot.save(figure, tmp_path / "one")
    assert content == png.read_bytes()
    assert about == {"width": 672}
