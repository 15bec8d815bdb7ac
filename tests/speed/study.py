"""Time what a user waits for: start-up, first compile, the phase diagram, huge dimensions.

    python tests/speed/study.py

Needs simdyn alone. Prints seconds and ratios; asserts nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

STUDY = Path(__file__).resolve().parents[2] / "studies" / "phase_diagram.toml"


def fastest(call: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some calls."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def process(*command: str, **environment: str) -> Callable[[], object]:
    """A command run in its own process."""
    return lambda: subprocess.run(
        command, check=True, capture_output=True, env=os.environ | environment
    )


def parts() -> tuple[float, float, float]:
    """Seconds of the study on one core: to draw its problems, to train them, for test errors."""
    import simdyn

    tables = tomllib.loads(STUDY.read_text(encoding="utf-8"))

    def study(epochs: int, variable: str) -> simdyn.Study:
        methods = {
            name: [{**phase, "epochs": epochs} for phase in plan]
            for name, plan in tables["methods"].items()
        }
        return simdyn.Study(
            tables["data"],
            tables["network"],
            methods,
            tables["space"],
            replicates=tables["replicates"],
            record=simdyn.Record(variables=(variable,)),
        )

    studies = study(0, "train_loss"), study(100, "train_loss"), study(100, "test_error")
    times = []
    for _ in range(
        6
    ):  # in turn, so that a change of the machine's pace meets all; the first compile
        times.append([fastest(partial(each.run, threads=1), 1) for each in studies])
    drawn, trained, whole = map(min, zip(*times[1:], strict=True))
    return drawn, trained - drawn, whole - trained


def main() -> None:
    """Print the table."""
    python, cli = sys.executable, str(Path(sys.executable).with_name("simdyn"))
    print(f"import simdyn        {fastest(process(python, '-c', 'import simdyn')):6.2f} s")
    print(f"simdyn --help        {fastest(process(cli, '--help')):6.2f} s")
    one = (cli, "simulate", "--dimension", "1000", "--signal-norm", "3")
    with tempfile.TemporaryDirectory() as cache:
        cold = fastest(process(*one, NUMBA_CACHE_DIR=cache), 1)
        warm = fastest(process(*one, NUMBA_CACHE_DIR=cache), 3)
    print(f"one setting          {warm:6.2f} s, with the first compile {cold:.1f} s")

    import simdyn

    study = simdyn.load_study(STUDY)
    both, single = fastest(study.run, 2), fastest(lambda: study.run(threads=1), 2)
    print(
        f"{STUDY.stem}        {both:6.2f} s for {study.runs:,} runs on all cores, "
        f"{single:.2f} s on one: {single / both:.2f} x"
    )

    drawn, trained, tested = parts()
    print(
        f"one core, of that    {drawn:6.2f} s to draw, {trained:.2f} s to train, "
        f"{tested:.2f} s for test errors: {tested / trained:.2f} x training"
    )
    with tempfile.TemporaryDirectory() as out:
        for threads in ((), ("--threads", "1")):
            command = process(cli, "run", str(STUDY), "--out", out, *threads)

            def anew(command: Callable[[], object] = command) -> None:
                shutil.rmtree(Path(out, "results"), ignore_errors=True)
                command()

            print(f"simdyn run {' '.join(threads):11}{fastest(anew, 3):4.1f} s, figure included")
        again = fastest(process(cli, "plot", str(STUDY), "--out", out), 3)
        print(f"simdyn plot          {again:6.1f} s")

    net = simdyn.TwoLayerCNN(n_filters=10, init_std=1e-3)
    plan = simdyn.SAM(radius=0.03, learning_rate=0.1, epochs=1000)
    record = simdyn.Record(every=1000)

    def setting(dimension: int) -> Callable[[], object]:
        data = simdyn.SignalNoiseData(n_samples=20, dimension=dimension, signal_norm=3.0)
        return lambda: simdyn.simulate(data, net, plan, replicates=100, record=record, threads=1)

    small, huge = setting(10**3), setting(10**12)
    small(), huge()
    # Turn about, so that a change of the machine's pace meets both.
    pairs = [(fastest(small, 1), fastest(huge, 1)) for _ in range(7)]
    ratio = min(h for _, h in pairs) / min(s for s, _ in pairs)
    print(f"d = 10^12            {ratio:6.3f} x the time of d = 10^3 at equal steps")


if __name__ == "__main__":
    main()
