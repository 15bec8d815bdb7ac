"""Images as training problems: cut to patches, split, and noise put beside them.

Replicate k is one split, one set of unit noises, flips and unit weights, whatever the parameters:
comparisons are paired.
"""

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.engine.image_files import (
    _alternate,
    _with_noise,
    cut,
    load,
    members,
    shares,
    test_sizes,
)
from simdyn.engine.problems import Problem
from simdyn.engine.weights import generator, initial_weights
from simdyn.params import ImageData, TwoLayerCNN


def make_problem(data: ImageData, net: TwoLayerCNN, seed: int = 0, replicate: int = 0) -> Problem:
    """The training problem of one replicate, with its test samples.

    Parameters
    ----------
    data : ImageData
    net : TwoLayerCNN
    seed : int, 0 … 2⁶³ − 1
    replicate : int ≥ 0

    Raises
    ------
    InputError
        One line that names the field, the value and what is allowed.
    """
    images = load(data).images
    positive, negative = members(data)
    tests = test_sizes(data, len(positive), len(negative))
    taken = []
    for k, (own, training, tested) in enumerate(
        zip((positive, negative), shares(data.n_samples), tests, strict=True)
    ):
        order = generator(seed, replicate, f"split {k}").permutation(len(own))
        # Tests are taken from the end, so that more training samples leave those of before.
        chosen = own[order[:training]], own[order[::-1][:tested]]
        taken.append(tuple(cut(images[each], data.patch_size) for each in chosen))
    (up, test_up), (down, test_down) = taken
    samples, truth = _alternate(up, down)
    unseen, test_labels = _alternate(test_up, test_down)
    mean = samples.mean(axis=0)
    samples, unseen = samples - mean, unseen - mean
    largest = np.abs(samples).max()
    if largest > 0.0:  # before squares could overflow or vanish
        samples, unseen = samples / largest, unseen / largest
    length = np.sqrt((samples**2).sum(axis=(1, 2)).mean())
    if not length > 0.0:
        raise InputError("source: the training images are all alike; allowed are others")
    samples *= data.signal_norm / length
    unseen *= data.signal_norm / length
    n, _, d = samples.shape
    noise = generator(seed, replicate, "noise").standard_normal((n, d))
    fresh = generator(seed, replicate, "test noise").standard_normal((len(unseen), d))
    flips = generator(seed, replicate, "flips").random(n) < data.label_flip
    return Problem.from_patches(
        _with_noise(samples, noise, data),
        np.where(flips, -truth, truth),
        initial_weights(net, d, seed=seed, replicate=replicate),
        test_patches=_with_noise(unseen, fresh, data),
        test_labels=test_labels,
        **net.model_dump(exclude={"n_filters", "init_std", "init"}),
    )
