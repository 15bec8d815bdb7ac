"""Laws of the data: the signals a sample shows, and its noise.

A law of drawn data states the fixed signal vectors, the views a sample may have of them, and how
its noise is laid out. The sampler and the test error read these and know no model by its name, so
one more model is one more class here.
"""

import math
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import model_validator

from simdyn.base.inputs import InputError, nearest, shown
from simdyn.params.images import ImageData
from simdyn.params.parameters import (
    MAX_DIMENSION,
    Data,
    Integer,
    Real,
    described,
    fraction,
    integer,
    nonnegative,
)


class View(NamedTuple):
    """What a sample shows of the signals: the sign of each, 0 if it is not shown."""

    share: float  # of the samples
    positive: tuple[float, ...]  # if the true label is +1
    negative: tuple[float, ...]  # if it is −1


BOTH_SIGNS = (View(1.0, (1.0,), (-1.0,)),)


class DrawnData(Data):
    """Fixed signals and Gaussian noise, drawn without forming a d-vector."""

    one_signal: ClassVar[bool] = False  # one signal, in a patch of its own: there is a γ
    one_noise: ClassVar[bool] = False  # one noise vector a sample, in patches of its own: a ρ
    added: ClassVar[bool] = False  # signal and noise are added up in one patch
    copies: ClassVar[str] = "P−1"  # patches that show a noise vector, in equations

    dimension: Integer = integer(..., "d", "dimension of a patch", 1, MAX_DIMENSION)
    signal_norm: Real = nonnegative(..., "‖μ‖", "signal norm")
    noise: Literal["isotropic", "orthogonal"] = described("isotropic", "", "law of the noise")

    @property
    def signals(self) -> tuple[tuple[float, ...], ...]:
        """The signals in s orthonormal coordinates, (s, s)."""
        return ((self.signal_norm,),)

    @property
    def views(self) -> tuple[View, ...]:
        """What training samples show."""
        return BOTH_SIGNS

    @property
    def fresh_views(self) -> tuple[View, ...]:
        """What test samples show."""
        return self.views

    @property
    def noise_vectors(self) -> int:
        """Independent noise vectors of a sample."""
        return 1

    @property
    def noise_copies(self) -> int:
        """How many patches show each of them."""
        return 1

    @property
    def noise_scale(self) -> float:
        """Standard deviation of each coordinate of a noise vector."""
        return self.noise_std

    @property
    def dictionary_size(self) -> int:
        """Signals and noise vectors in all, q."""
        return len(self.signals) + self.n_samples * self.noise_vectors

    @model_validator(mode="after")
    def _check_room(self) -> Self:
        if self.dimension < len(self.signals):
            raise ValueError(
                f"dimension = {self.dimension}: allowed is an integer from {len(self.signals)} to "
                "2**53, one for each signal"
            )
        return self


class SignalNoiseData(DrawnData):
    """Patches of signal and noise: one patch ŷμ and P − 1 copies of a noise vector ξ.

    Parameters
    ----------
    n_samples : int ≥ 1
        Training samples n.
    dimension : int, 1 … 2⁵³
        Dimension d of a patch. No array of that size is formed.
    signal_norm : float ≥ 0
        Length ‖μ‖ of the signal.
    noise_std : float ≥ 0
        Standard deviation σ_p of each noise coordinate.
    label_flip : float, 0 ≤ p < 1/2
        Probability that the observed label is not the true one.
    noise : {"isotropic", "orthogonal"}
        ξ ~ N(0, σ_p² I), or N(0, σ_p² (I − μμᵀ/‖μ‖²)), which has no component along the signal.
    n_patches : int ≥ 2
        Patches P of a sample.

    Notes
    -----
    The data model of Chen et al., NeurIPS 2023 (arXiv 2310.07269), as recalled.

    Examples
    --------
    >>> data = simdyn.SignalNoiseData(n_samples=20, dimension=5000, signal_norm=3.0)
    >>> data.replace(dimension=10**12).dimension
    1000000000000
    """

    model: ClassVar[str] = "signal_noise"
    one_signal: ClassVar[bool] = True
    one_noise: ClassVar[bool] = True

    n_patches: Integer = integer(2, "P", "patches of a sample", 2, 2**31)

    @property
    def noise_copies(self) -> int:
        """All patches but one show the noise."""
        return self.n_patches - 1


class IndependentNoiseData(DrawnData):
    """One patch ŷμ and P − 1 patches of independent noise, ξ_1 … ξ_{P−1}.

    Parameters
    ----------
    n_samples, dimension, signal_norm, noise_std, label_flip, noise
        As for `SignalNoiseData`.
    n_patches : int, 2 … 33
        Patches P of a sample; the cost of a test error grows like P³.

    Examples
    --------
    >>> data = simdyn.IndependentNoiseData(n_samples=4, dimension=100, signal_norm=2.0, n_patches=4)
    >>> data.noise_vectors, data.noise_copies
    (3, 1)
    """

    model: ClassVar[str] = "independent_noise"
    one_signal: ClassVar[bool] = True

    n_patches: Integer = integer(2, "P", "patches of a sample", 2, 33)

    @property
    def noise_vectors(self) -> int:
        """All patches but one show noise, each its own."""
        return self.n_patches - 1


class XORData(DrawnData):
    """Two signals at an angle: label +1 shows ±u, label −1 shows ±v, both signs equally often.

    No linear network tells the labels apart. The other P − 1 patches are copies of a noise vector.

    Parameters
    ----------
    n_samples, dimension (≥ 2), noise_std, label_flip, n_patches
        As for `SignalNoiseData`.
    signal_norm : float ≥ 0
        Length ‖u‖ = ‖v‖.
    angle : float, 0 < θ < 180
        Between u and v, in degrees.
    noise : {"isotropic", "orthogonal"}
        "orthogonal" has no component along u and v.

    Notes
    -----
    The data of Meng, Zou and Cao, "Benign overfitting in two-layer ReLU convolutional neural
    networks for XOR data", ICML 2024, as recalled; there u = a + b, v = a − b with a ⟂ b.

    Examples
    --------
    >>> data = simdyn.XORData(n_samples=4, dimension=100, signal_norm=2.0)
    >>> [view.positive for view in data.views]
    [(1.0, 0.0), (-1.0, 0.0)]
    """

    model: ClassVar[str] = "xor"
    one_noise: ClassVar[bool] = True

    angle: Real = described(
        90.0,
        "θ",
        "angle between the signals in degrees",
        "a number between 0 and 180",
        gt=0,
        lt=180,
    )
    n_patches: Integer = integer(2, "P", "patches of a sample", 2, 2**31)

    @property
    def signals(self) -> tuple[tuple[float, ...], ...]:
        """The signals u and v on either side of the first coordinate."""
        half = math.radians(self.angle) / 2.0
        along, beside = self.signal_norm * math.cos(half), self.signal_norm * math.sin(half)
        return ((along, beside), (along, -beside))

    @property
    def views(self) -> tuple[View, ...]:
        """A label decides which signal is shown; its sign is random."""
        return (View(0.5, (1.0, 0.0), (0.0, 1.0)), View(0.5, (-1.0, 0.0), (0.0, -1.0)))

    @property
    def noise_copies(self) -> int:
        """All patches but one show the noise."""
        return self.n_patches - 1


class MultiViewData(DrawnData):
    """Two views of a label: a strong signal ŷμ and a weak one ŷν, orthogonal, and noise.

    A sample shows both, each in a patch of its own, or one of them, the other's patch being empty;
    the other P − 2 patches are copies of a noise vector.

    Parameters
    ----------
    n_samples, dimension (≥ 2), noise_std, label_flip, noise
        As for `SignalNoiseData`; "orthogonal" noise has no component along both signals.
    signal_norm : float ≥ 0
        Length ‖μ‖ of the strong signal.
    weak_norm : float ≥ 0
        Length ‖ν‖ of the weak one.
    strong_only, weak_only : float, 0 … 1
        How often a training sample shows that view alone; together at most 1.
    test_strong_only, test_weak_only : float, optional
        The same for test samples; as in training if absent. With test_weak_only = 1 the test
        error shows whether the weak signal was learned.
    n_patches : int ≥ 3
        Patches P of a sample.

    Notes
    -----
    A linear, two-view form of the multi-view data of Allen-Zhu and Li (ICLR 2023).

    Examples
    --------
    >>> data = simdyn.MultiViewData(n_samples=4, dimension=100, signal_norm=2.0, weak_norm=1.0)
    >>> data.signals
    ((2.0, 0.0), (0.0, 1.0))
    """

    model: ClassVar[str] = "multi_view"
    one_noise: ClassVar[bool] = True
    copies: ClassVar[str] = "P−2"

    weak_norm: Real = nonnegative(..., "‖ν‖", "norm of the weak signal")
    strong_only: Real = fraction(0.0, "", "share of samples with the strong view alone")
    weak_only: Real = fraction(0.0, "", "share of samples with the weak view alone")
    test_strong_only: Real | None = fraction(
        None, "", "share of test samples with the strong view alone"
    )
    test_weak_only: Real | None = fraction(
        None, "", "share of test samples with the weak view alone"
    )
    n_patches: Integer = integer(3, "P", "patches of a sample", 3, 2**31)

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        for before, (strong, weak) in {"": self._train_shares, "test_": self._test_shares}.items():
            if strong + weak > 1.0:
                raise ValueError(
                    f"{before}weak_only = {weak:g}: allowed is up to 1 together with "
                    f"{before}strong_only = {strong:g}"
                )
        return self

    @property
    def _train_shares(self) -> tuple[float, float]:
        return self.strong_only, self.weak_only

    @property
    def _test_shares(self) -> tuple[float, float]:
        strong, weak = self.test_strong_only, self.test_weak_only
        return (
            self.strong_only if strong is None else strong,
            self.weak_only if weak is None else weak,
        )

    @property
    def signals(self) -> tuple[tuple[float, ...], ...]:
        """Strong, then weak."""
        return ((self.signal_norm, 0.0), (0.0, self.weak_norm))

    @property
    def views(self) -> tuple[View, ...]:
        """Both, strong alone, weak alone."""
        return _two_views(*self._train_shares)

    @property
    def fresh_views(self) -> tuple[View, ...]:
        """As `views`, of test samples."""
        return _two_views(*self._test_shares)

    @property
    def noise_copies(self) -> int:
        """All patches but two show the noise."""
        return self.n_patches - 2


def _two_views(strong_only: float, weak_only: float) -> tuple[View, ...]:
    both = max(0.0, 1.0 - strong_only - weak_only)
    return (
        View(both, (1.0, 1.0), (-1.0, -1.0)),
        View(strong_only, (1.0, 0.0), (-1.0, 0.0)),
        View(weak_only, (0.0, 1.0), (0.0, -1.0)),
    )


class ClusterData(DrawnData):
    """Two Gaussian clusters of single patches: x = √γ ŷ v + √(1 − γ) ξ, ξ ~ N(0, σ_p² I).

    Parameters
    ----------
    n_samples, dimension, noise_std, label_flip, noise
        As for `SignalNoiseData`.
    signal_norm : float ≥ 0
        Length ‖v‖.
    signal_share : float, 0 … 1
        γ, the signal's share.

    Examples
    --------
    >>> data = simdyn.ClusterData(n_samples=4, dimension=100, signal_norm=2.0, signal_share=0.25)
    >>> data.signals
    ((1.0,),)
    """

    model: ClassVar[str] = "cluster"
    added: ClassVar[bool] = True

    signal_share: Real = fraction(0.5, "γ", "share of the signal")

    @property
    def signals(self) -> tuple[tuple[float, ...], ...]:
        """The part of a sample along v."""
        return ((math.sqrt(self.signal_share) * self.signal_norm,),)

    @property
    def noise_scale(self) -> float:
        """The part of a sample that is noise."""
        return math.sqrt(1.0 - self.signal_share) * self.noise_std


MODELS: dict[str, type[Data]] = {
    owner.model: owner
    for owner in (
        SignalNoiseData,
        IndependentNoiseData,
        XORData,
        MultiViewData,
        ClusterData,
        ImageData,
    )
}


def check_model(field: str, name: Any) -> type[Data]:
    """The class of a data model by its name in study files.

    Raises
    ------
    InputError
        For any other name.
    """
    if not isinstance(name, str) or name not in MODELS:
        hint = nearest(name, MODELS) if isinstance(name, str) else f"allowed: {', '.join(MODELS)}"
        raise InputError(f"{field} = {shown(name)}: {hint}")
    return MODELS[name]
