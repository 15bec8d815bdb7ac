"""Ten billion updates in strides, beside a million exact ones: seconds of one core, and ratios.

python tests/speed/horizon.py
"""

import time

from simdyn import SAM, SGD, Record, SignalNoiseData, TwoLayerCNN, simulate
from simdyn.params import Phase

RECORD = Record(every=10**10, variables=("train_loss",))


def seconds(data: SignalNoiseData, net: TwoLayerCNN, phase: Phase, repeats: int = 3) -> float:
    """The fastest of some runs."""
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        simulate(data, net, phase, record=RECORD.replace(every=phase.epochs), threads=1)
        found.append(time.perf_counter() - begun)
    return min(found)


simulate(
    SignalNoiseData(n_samples=2, dimension=9, signal_norm=1.0),
    TwoLayerCNN(n_filters=2, init_std=0.1),
    SGD(learning_rate=0.1, epochs=1),
    record=RECORD,
)
for n, m in ((20, 10), (200, 50)):
    data = SignalNoiseData(n_samples=n, dimension=5000, signal_norm=3.0)
    net = TwoLayerCNN(n_filters=m, init_std=0.001)
    for phase in (SGD(learning_rate=0.1, epochs=1), SAM(radius=0.03, learning_rate=0.1, epochs=1)):
        exact = seconds(data, net, phase.replace(epochs=10**6 if n == 20 else 10**4), repeats=1)
        long = phase.replace(epochs=10**10, stepping="strides")
        strided = seconds(data, net, long, repeats=3 if n == 20 else 1)
        exact *= 1.0 if n == 20 else 100.0  # of a hundredth
        print(
            f"n = {n}, m = {m}, {phase.optimiser}: 10¹⁰ updates in strides {strided:.3f} s, "
            f"10⁶ exact updates {exact:.2f} s: {exact / strided:.0f} times as long"
        )
