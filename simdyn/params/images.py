"""Real images in two classes, cut to patches, with Gaussian noise patches beside them."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from simdyn.params.parameters import Data, Integer, Real, described, integer, nonnegative


class ImageData(Data):
    """Images of two classes, split anew into training and test samples by each replicate.

    A sample is an image cut to square patches, and `noise_patches` more patches that show a
    Gaussian noise vector of its own. Labels are flipped in training only.

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
        and scaled to this. It takes the role of ‖μ‖.
    noise_std : float ≥ 0
        σ_p of each coordinate of the noise.
    noise_patches : int, 0 … 64
        Patches that show it.
    label_flip : float, 0 ≤ p < 1/2
        Probability that a training label is flipped. Test labels are the true ones.
    test_samples : int ≥ 1, optional
        Test samples, half of each class; all other images of the two classes if absent.

    Examples
    --------
    >>> data = simdyn.ImageData(n_samples=20, source="digits", positive=3, negative=8, patch_size=4)
    >>> data.patch_size
    4
    """

    model: ClassVar[str] = "images"
    # Functions that read sources without their files, by (source, images, labels); they return None
    # if a source is damaged.
    readers: ClassVar[Mapping[tuple[str, ...], Callable[[], Any]]] = {}

    n_samples: Integer = integer(..., "n", "training samples", 2, 2**31)
    source: str = described("digits", "", "source", '"digits" or the path of an .npz file')
    images: str = described("images", "", "name of the images", "the name of an array")
    labels: str = described("labels", "", "name of the labels", "the name of an array")
    positive: Integer = described(3, "", "class of label +1", "an integer", ge=-(2**53), le=2**53)
    negative: Integer = described(8, "", "class of label −1", "an integer", ge=-(2**53), le=2**53)
    patch_size: Integer = integer(8, "", "patch size in pixels", 1, 2**15)
    signal_norm: Real = described(1.0, "‖x‖", "length of an image", "a finite number > 0", gt=0)
    noise_std: Real = nonnegative(0.0, "σ_p", "noise standard deviation")
    noise_patches: Integer = integer(1, "P_ξ", "noise patches of a sample", 0, 64)
    test_samples: Integer | None = integer(None, "", "test samples", 1, 2**31)

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if self.positive == self.negative:
            raise ValueError(f"negative = {self.negative}: allowed is another class than positive")
        return self

    @classmethod
    def with_readers(cls, given: Mapping[tuple[str, ...], Callable[[], Any]]) -> type["ImageData"]:
        """The same law of data, which reads some sources by these functions."""

        class WithReaders(cls):  # type: ignore[misc, valid-type]
            readers: ClassVar[Mapping[tuple[str, ...], Callable[[], Any]]] = given

        WithReaders.__name__ = WithReaders.__qualname__ = cls.__name__
        return WithReaders
