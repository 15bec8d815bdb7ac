"""Measure the live page in a headless Chromium: first drawing, moves of a slider, memory.

    python tests/speed/live_page.py [--moves 1000]

Needs Debian's chromium and chromium-driver, and the extras explore and test. Compile the kernels
before (`simdyn simulate --dimension 1000 --signal-norm 3`). Prints seconds, milliseconds and MB;
asserts nothing.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from browsing import Browser, lacking, served

from simdyn.explore.scene import scene_of
from simdyn.explore.setting import parsed, starting_texts

DRAWN = "model('course_sam').data.train_loss.length > 10"
# From the move to the frame after its curves have arrived.
MOVE = """
const done = arguments[arguments.length - 1];
const at = name => Bokeh.documents[0].get_model_by_name(name);
const source = at("course_sam"), slider = at("signal_norm_slider");
const began = performance.now();
const listen = () => {
  source.properties.data.change.disconnect(listen);
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began), 0));
};
source.properties.data.change.connect(listen);
slider.value = slider.value >= 190 ? 10 : slider.value + 1;
"""


def memory(pid: int) -> float:
    """MB of a process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000.0
    return float("nan")


def core_seconds(pid: int) -> float:
    """Seconds of CPU that a process has taken, which other work on the machine changes little."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spread(values: list[float]) -> str:
    """Median, and the range that holds nine of ten."""
    ordered = sorted(values)
    low, high = (ordered[int(share * (len(ordered) - 1))] for share in (0.05, 0.95))
    return f"median {statistics.median(values):.0f} ({low:.0f} to {high:.0f})"


def first_drawing(browser: Browser, folder: Path) -> tuple[float, float]:
    """Seconds from the command to the first curves in an open browser; the server's CPU seconds."""
    began = time.monotonic()
    with served(folder=folder) as (address, process):
        browser.driver.get(address)
        browser.until(f"window.Bokeh && {DRAWN}")
        seconds, busy = time.monotonic() - began, core_seconds(process.pid)
        browser.driver.get("about:blank")
    return seconds, busy


def state_alone(moves: int) -> list[float]:
    """Milliseconds from a setting to its drawing data, without server and browser."""
    taken = []
    for number in range(moves):
        began = time.perf_counter()
        setting = parsed(starting_texts({"signal_norm": str(1.0 + 0.01 * number)}))
        scene_of(setting, setting.study.run())
        taken.append(1000 * (time.perf_counter() - began))
    return taken[1:]


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--moves", type=int, default=1000)
    moves = options.parse_args().moves
    if lack := lacking():
        sys.exit(lack)
    print(f"setting to drawing data   {spread(state_alone(50))} ms")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        browser = Browser(folder)
        starts = [first_drawing(browser, folder) for _ in range(5)]
        seconds, busy = zip(*starts, strict=True)
        print(
            f"command to first curves   {min(seconds):.2f} to {max(seconds):.2f} s in five starts"
        )
        print(f"  the server's CPU        {min(busy):.2f} to {max(busy):.2f} s")
        with served(folder=folder) as (address, process):
            browser.open(address)
            browser.until(DRAWN)
            taken: list[float] = []
            before = core_seconds(process.pid)
            while len(taken) < moves:
                if len(taken) in (0, moves // 10, moves // 2):
                    print(f"  after {len(taken):,} moves {memory(process.pid):.0f} MB")
                taken.append(browser.driver.execute_async_script(MOVE))
            print(f"  after {len(taken):,} moves {memory(process.pid):.0f} MB")
            heap = browser.run("performance.memory.usedJSHeapSize / 1e6")
            busy_for = 1000 * (core_seconds(process.pid) - before) / moves
            print(f"a move, to the new frame  {spread(taken[5:])} ms")
            print(f"  the server's CPU        {busy_for:.0f} ms")
            print(f"the browser's heap        {heap:.0f} MB")
        browser.close()


if __name__ == "__main__":
    main()
