"""Time what a user waits for: first compile, the whole phase diagram, start-up, huge dimensions.

    python tests/speed/study.py

Needs simdyn alone. Prints seconds and ratios; asserts nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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
