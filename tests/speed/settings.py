"""Random settings, in and out of the theory's regime, on which strides are tried."""

import numpy as np

from simdyn import SAM, SGD, SignalNoiseData, TwoLayerCNN


def setting(
    rng: np.random.Generator, optimiser: str, updates: int
) -> tuple[SignalNoiseData, TwoLayerCNN, SGD | SAM]:
    """Data, network and a phase that neither diverges nor stands still."""
    n, m, patches = (int(rng.integers(*ends)) for ends in ((5, 41), (2, 21), (2, 5)))
    d = int(10 ** rng.uniform(1.5, 5.0))
    norm = (patches - 1) * (d / n) ** 0.25 * 10 ** rng.uniform(-0.7, 0.7)
    fitting = 20 * m * n / ((patches - 1) ** 2 * d + n * norm**2)  # η that fits in an update or so
    init_std = 30 / np.sqrt(d) * 10 ** rng.uniform(-3.0, -1.0)
    data = SignalNoiseData(
        n_samples=n,
        dimension=d,
        signal_norm=norm,
        n_patches=patches,
        label_flip=float(rng.choice([0.0, 0.1])),
    )
    net = TwoLayerCNN(n_filters=m, init_std=init_std)
    rate = 10 ** rng.uniform(-2.5, 0.0) * min(1.0, fitting)
    radius = 3 * np.sqrt(n * m) * init_std * 10 ** rng.uniform(-2.0, 0.0)
    shared = {"learning_rate": rate, "epochs": updates}
    return data, net, SGD(**shared) if optimiser == "SGD" else SAM(radius=radius, **shared)
