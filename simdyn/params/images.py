"""Real images in two classes, cut to patches, with Gaussian noise patches beside them."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from simdyn.params.parameters import Data, Real, Whole, described, required


class ImageData(Data):
    """Images of two classes, split anew into training and test samples by each replicate.

    A sample is an image cut to square patches, and a Gaussian noise vector of its own in
    `noise_patches` patches more: real signal in place of ±μ. Labels are flipped in training only.

    Parameters
    ----------
    n_samples : int ≥ 2
        Training samples n, half of them of each class; the first of a class stay as n grows.
    source : str
        "digits", scikit-learn's 8×8 handwritten digits (extra ``[data]``), or the path of an
        ``.npz`` file, from the current folder.
    images, labels : str
        Names of the file's arrays: (N, height, width) or (N, height, width, channels) numbers, and
        (N,) integers. Not read for "digits".
    positive, negative : int
        The classes of label +1 and −1.
    patch_size : int ≥ 1
        Height and width of a patch in pixels; must divide those of the images. The dimension d of
        a patch is its square times the channels.
    signal_norm : float > 0
        Root mean square length of a training image: all are centred by the training images' mean
        and scaled to this. It stands where ‖μ‖ does.
    noise_std : float ≥ 0
        σ_p of each coordinate of the noise.
    noise_patches : int, 0 … 64
        Patches that show it.
    label_flip : float, 0 ≤ p < 1/2
        Probability that a training label is flipped. Test labels are the true ones.
    test_samples : int ≥ 1, optional
        Test samples, half of each class; all other images of the two classes where absent.

    Examples
    --------
    >>> data = simdyn.ImageData(n_samples=20, source="digits", positive=3, negative=8, patch_size=4)
    >>> data.patch_size
    4
    """

    model: ClassVar[str] = "images"
    # Sources that need no file, by (source, images, labels): how to read them; None where it fails.
    brought: ClassVar[Mapping[tuple[str, ...], Callable[[], Any]]] = {}

    n_samples: Whole = required(
        "n", "training samples", "an integer from 2 to 2**31", ge=2, le=2**31
    )
    source: str = described("digits", "", "source", '"digits" or the path of an .npz file')
    images: str = described("images", "", "name of the images", "the name of an array")
    labels: str = described("labels", "", "name of the labels", "the name of an array")
    positive: Whole = described(3, "", "class of label +1", "an integer", ge=-(2**53), le=2**53)
    negative: Whole = described(8, "", "class of label −1", "an integer", ge=-(2**53), le=2**53)
    patch_size: Whole = described(
        8, "", "patch size in pixels", "an integer from 1 to 2**15", ge=1, le=2**15
    )
    signal_norm: Real = described(1.0, "‖x‖", "length of an image", "a finite number > 0", gt=0)
    noise_std: Real = described(0.0, "σ_p", "noise standard deviation", "a finite number ≥ 0", ge=0)
    noise_patches: Whole = described(
        1, "P_ξ", "noise patches of a sample", "an integer from 0 to 64", ge=0, le=64
    )
    test_samples: Whole | None = described(
        None, "", "test samples", "an integer from 1 to 2**31", ge=1, le=2**31
    )

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if self.positive == self.negative:
            raise ValueError(f"negative = {self.negative}: allowed is another class than positive")
        return self

    @classmethod
    def bringing(cls, sources: Mapping[tuple[str, ...], Callable[[], Any]]) -> type["ImageData"]:
        """The same law of data, with sources that it need not look for in files."""

        class Bringing(cls):  # type: ignore[misc, valid-type]
            brought: ClassVar[Mapping[tuple[str, ...], Callable[[], Any]]] = sources

        Bringing.__name__ = Bringing.__qualname__ = cls.__name__
        return Bringing
