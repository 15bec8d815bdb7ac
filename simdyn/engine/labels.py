"""Labels of the training samples, without a kernel: the draws of `kernels.random` in NumPy."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from simdyn.engine.weights import generator
from simdyn.kernels import random
from simdyn.params import Data, DrawnData
from simdyn.variables.layout import Coordinate

ROTATIONS = ((14, 16), (52, 57), (23, 40), (5, 37), (25, 33), (46, 12), (58, 22), (32, 32))
PARITY = 0x1BD11BDAA9FC1A22
TRUE_ATTRS = {"long_name": "true label", "symbol": "ŷ_i"}
OBSERVED_ATTRS = {"long_name": "observed label", "symbol": "y_i"}


class LabelDraws(NamedTuple):
    """What decides the labels of some replicates."""

    true_labels: np.ndarray  # (replicate, n) of ±1
    flips: np.ndarray  # (replicate, n), uniform: a label flips where it is below p

    def labels(self, label_flip: Any) -> np.ndarray:
        """The observed labels at p, a number or an array of shape (…, 1, 1)."""
        return np.where(self.flips < label_flip, -self.true_labels, self.true_labels)


def label_draws(law: type[Data], n_samples: int, seed: int, replicates: range) -> LabelDraws:
    """True labels, and the uniform draws that flip them, as training has them."""
    if issubclass(law, DrawnData):
        numbers = np.array(replicates, dtype=np.uint64)[:, None]
        samples = np.arange(n_samples, dtype=np.uint64)[None, :]
        up, flips = (
            _uniform(seed, numbers, purpose, samples)
            for purpose in (random.TRUE_LABEL, random.LABEL_FLIP)
        )
        return LabelDraws(np.where(up < 0.5, 1, -1).astype(np.int8), flips)
    each = [generator(seed, number, "flips").random(n_samples) for number in replicates]
    in_turn = np.resize(np.array([1, -1], dtype=np.int8), n_samples)  # the two classes of images
    return LabelDraws(np.tile(in_turn, (len(replicates), 1)), np.array(each))


def label_coordinates(data: Data, seed: int, replicates: int) -> Mapping[str, Coordinate]:
    """The labels of one setting over (replicate, sample)."""
    draws = label_draws(type(data), data.n_samples, seed, range(replicates))
    dims = ("replicate", "sample")
    return {
        "label": Coordinate(dims, draws.labels(data.label_flip), OBSERVED_ATTRS),
        "true_label": Coordinate(dims, draws.true_labels, TRUE_ATTRS),
    }


def _uniform(seed: int, replicate: np.ndarray, purpose: Any, element: np.ndarray) -> np.ndarray:
    """`kernels.random.uniform` of elements (i, 0), of many replicates and elements at once."""
    zero = np.zeros(np.broadcast_shapes(replicate.shape, element.shape), dtype=np.uint64)
    key = [zero + np.uint64(seed), zero + replicate, zero + np.uint64(purpose), zero]
    key.append(np.uint64(PARITY) ^ key[0] ^ key[1] ^ key[2] ^ key[3])
    x = [zero + element + key[0], key[1], key[2], key[3]]
    for step in range(20):
        a, b = ROTATIONS[step % 8]
        one, other = (1, 3) if step % 2 == 0 else (3, 1)
        x[0], x[2] = x[0] + x[one], x[2] + x[other]
        x[one], x[other] = _rotated(x[one], a) ^ x[0], _rotated(x[other], b) ^ x[2]
        if step % 4 == 3:
            turn = step // 4 + 1
            x = [x[k] + key[(turn + k) % 5] for k in range(4)]
            x[3] = x[3] + np.uint64(turn)
    cells: np.ndarray = (x[0] >> np.uint64(12)).astype(np.float64)
    return (cells + 0.5) * 2.0**-52


def _rotated(words: np.ndarray, bits: int) -> np.ndarray:
    rotated: np.ndarray = (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
    return rotated
