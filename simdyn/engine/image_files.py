"""Images as training problems: loaded, cut to patches, split, and noise put beside them.

The vectors are explicit here: an image has no law to draw it from. Replicate k is one split, one
set of unit noises, flips and unit weights, whatever the parameters, so comparisons are paired.
"""

import functools
import hashlib
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from simdyn.base.inputs import InputError, nearest
from simdyn.params import ImageData

Floats = npt.NDArray[np.float64]
DIGITS = "digits"
MOST_CHANNELS = 4  # an image of at most so many rows, but more channels, is a mistake


class Source(NamedTuple):
    """The contents of a source of images."""

    images: Floats  # (N, height, width, channels)
    labels: npt.NDArray[np.int64]  # (N,)
    digest: str  # SHA-256 of both


# -- loading -------------------------------------------------------------------------------------


def load(data: ImageData) -> Source:
    """The images that parameters name; a file is read again only if it has changed.

    A store brings the images of its study along; then no file is read.

    Raises
    ------
    InputError
        One line that names the file or the array, and what is allowed.
    """
    reader = data.readers.get((data.source, data.images, data.labels))
    found: Source | None = reader() if reader is not None else None
    if found is not None:
        return found
    if data.source == DIGITS:
        return _digits()
    try:
        stamp = Path(data.source).stat()
    except (OSError, ValueError) as problem:
        what = getattr(problem, "strerror", None) or problem
        beside = "" if reader is None else ", and the copy in the store is damaged"
        raise InputError(
            f'source = {data.source!r}: {what}; allowed is "digits" or the path of an .npz file'
            f"{beside}"
        ) from None
    return _file(data.source, data.images, data.labels, (stamp.st_mtime_ns, stamp.st_size))


@functools.cache
def _digits() -> Source:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError(
            'source = "digits": needs scikit-learn; pip install "simdyn[data]"'
        ) from None
    found = load_digits()
    return _source(found.images, found.target, '"digits"', "images", "labels")


@functools.lru_cache(maxsize=8)
def _file(path: str, images: str, labels: str, stamp: tuple[int, int]) -> Source:
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file):
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            names = list(archive.files)
            found = {name: archive[name] for name in (images, labels) if name in names}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile):
        raise InputError(
            f"source = {path!r}: cannot be read; allowed is an .npz file of plain arrays"
        ) from None
    for name in (images, labels):
        if name not in found:
            raise InputError(f"source = {path!r}: no array '{name}'; {nearest(name, names)}")
    return _source(found[images], found[labels], repr(path), images, labels)


def _source(images: Any, labels: Any, where: str, name: str, label_name: str) -> Source:
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype.kind not in "iufb" or images.ndim not in (3, 4) or 0 in images.shape:
        raise InputError(
            f"source = {where}: '{name}' has shape {images.shape} of {images.dtype}; allowed are "
            "numbers (N, height, width) or (N, height, width, channels)"
        )
    if images.ndim == 4 and images.shape[1] <= MOST_CHANNELS < min(images.shape[2:]):
        raise InputError(
            f"source = {where}: '{name}' has shape {images.shape}, which looks like channels "
            "first; allowed is (N, height, width, channels), as np.moveaxis(images, 1, -1) makes it"
        )
    images = images.astype(np.float64)
    if not np.isfinite(images).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(images))[0])
        raise InputError(
            f"source = {where}: '{name}'{list(at)} = {images[at]}; allowed are finite numbers"
        )
    if labels.shape != images.shape[:1]:
        raise InputError(
            f"source = {where}: '{label_name}' has shape {labels.shape}; allowed is "
            f"({len(images)},), one for each image"
        )
    if labels.dtype.kind not in "iub":
        raise InputError(
            f"source = {where}: '{label_name}' are {labels.dtype}; allowed are integers"
        )
    if labels.dtype.kind == "u" and labels.max() > 2**53:
        raise InputError(f"source = {where}: '{label_name}' go beyond 2**53")
    labels = labels.astype(np.int64)
    if images.ndim == 3:
        images = images[..., None]
    return Source(images, labels, digest_of(images, labels))


def digest_of(images: Floats, labels: npt.NDArray[np.int64]) -> str:
    """SHA-256 of images and labels."""
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    digest.update(labels.tobytes())
    return digest.hexdigest()


# -- cutting and splitting -----------------------------------------------------------------------


def cut(images: Floats, size: int) -> Floats:
    """Patches (N, P, d) of images (N, height, width, channels), row by row."""
    n, height, width, channels = images.shape
    tiles = images.reshape(n, height // size, size, width // size, size, channels)
    return tiles.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, size * size * channels)


def members(data: ImageData) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Which images of the source are of label +1, and which of label −1.

    Raises
    ------
    InputError
        If the images do not have the classes, are too few, or cannot be cut.
    """
    source = load(data)
    height, width = source.images.shape[1:3]
    if height % data.patch_size or width % data.patch_size:
        raise InputError(
            f"patch_size = {data.patch_size}: allowed is a divisor of {height} and {width}, the "
            "images' height and width"
        )
    found = []
    for name, wanted in (("positive", data.positive), ("negative", data.negative)):
        chosen = np.flatnonzero(source.labels == wanted)
        if not chosen.size:
            known = ", ".join(map(str, np.unique(source.labels)[:20]))
            raise InputError(f"{name} = {wanted}: no image has this label; the labels are {known}")
        found.append(chosen)
    return found[0], found[1]


def test_sizes(data: ImageData, positives: int, negatives: int) -> tuple[int, int]:
    """Test samples of each class.

    Raises
    ------
    InputError
        If training leaves too few.
    """
    train = shares(data.n_samples)
    left = [there - taken for there, taken in zip((positives, negatives), train, strict=True)]
    if min(left) < 1:
        most = min(2 * positives - 2, 2 * negatives - 1)
        raise InputError(
            f"n_samples = {data.n_samples}: allowed is up to {most}; there are {positives} images "
            f"of class {data.positive} and {negatives} of class {data.negative}"
        )
    if data.test_samples is None:
        return left[0], left[1]
    wanted = shares(data.test_samples)
    if any(want > there for want, there in zip(wanted, left, strict=True)):
        most = min(2 * left[0], 2 * left[1] + 1)
        raise InputError(
            f"test_samples = {data.test_samples}: allowed is up to {most} beside n_samples = "
            f"{data.n_samples}"
        )
    return wanted


def shares(count: int) -> tuple[int, int]:
    """How many of `count` samples are of label +1 and −1."""
    return (count + 1) // 2, count // 2


def sizes(data: ImageData) -> tuple[int, int]:
    """At most how many distinct vectors a training problem has, and their dimension."""
    positive, negative = members(data)
    test_sizes(data, len(positive), len(negative))
    _, height, width, channels = load(data).images.shape
    d = data.patch_size**2 * channels
    patches = height * width * channels // d
    return data.n_samples * (patches + min(1, data.noise_patches)), d


# -- problems ------------------------------------------------------------------------------------


def _alternate(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """Samples of both classes in turn, with their labels, so that a longer list extends one."""
    n = len(positive) + len(negative)
    samples, labels = np.empty((n, *positive.shape[1:])), np.empty(n)
    both = min(len(positive), len(negative))
    samples[0 : 2 * both : 2], samples[1 : 2 * both : 2] = positive[:both], negative[:both]
    labels[0 : 2 * both : 2], labels[1 : 2 * both : 2] = 1.0, -1.0
    longer = positive if len(positive) > both else negative
    samples[2 * both :], labels[2 * both :] = longer[both:], 1.0 if longer is positive else -1.0
    return samples, labels


def _with_noise(samples: Floats, unit: Floats, data: ImageData) -> Floats:
    """The patches of images, and of noise after them."""
    noise = np.repeat(data.noise_std * unit[:, None], data.noise_patches, axis=1)
    return np.concatenate([samples, noise], axis=1)
