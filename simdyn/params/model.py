"""The law of the data, and the network."""

from typing import Literal

from simdyn.params.base import MAX_DIMENSION, Parameters, Real, Whole, described, required


class SignalNoiseData(Parameters):
    """Patches of signal and noise: one patch ŷμ and P − 1 copies of a noise vector ξ.

    Parameters
    ----------
    n_samples : int ≥ 1
        Training samples n.
    dimension : int, 1 … 2⁵³
        Dimension d of a patch. No array of that size is ever formed.
    signal_norm : float ≥ 0
        Length ‖μ‖ of the signal.
    noise_std : float ≥ 0
        Standard deviation σ_p of each noise coordinate.
    n_patches : int ≥ 2
        Patches P of a sample.
    label_flip : float, 0 ≤ p < 1/2
        Probability that the observed label is not the true one.
    noise : {"isotropic", "orthogonal"}
        ξ ~ N(0, σ_p² I), or N(0, σ_p² (I − μμᵀ/‖μ‖²)), which has no component along the signal.

    Notes
    -----
    The data model of Chen et al., NeurIPS 2023 (arXiv 2310.07269), as recalled.
    """

    n_samples: Whole = required(
        "n", "training samples", "an integer from 1 to 2**31", ge=1, le=2**31
    )
    dimension: Whole = required(
        "d", "dimension of a patch", "an integer from 1 to 2**53", ge=1, le=MAX_DIMENSION
    )
    signal_norm: Real = required("‖μ‖", "signal norm", "a finite number ≥ 0", ge=0)
    noise_std: Real = described(1.0, "σ_p", "noise standard deviation", "a finite number ≥ 0", ge=0)
    n_patches: Whole = described(
        2, "P", "patches of a sample", "an integer from 2 to 2**31", ge=2, le=2**31
    )
    label_flip: Real = described(
        0.0, "p", "label flip probability", "a number from 0 to below 0.5", ge=0, lt=0.5
    )
    noise: Literal["isotropic", "orthogonal"] = described(
        "isotropic", "", "law of the noise", '"isotropic" or "orthogonal"'
    )


class TwoLayerCNN(Parameters):
    """f = F₊₁ − F₋₁ with F_j(x) = (1/m) Σ_r Σ_p σ(⟨w_{j,r}, x^(p)⟩): m filters for each sign j.

    Parameters
    ----------
    n_filters : int ≥ 1
        Filters m of each sign.
    init_std : float ≥ 0
        Standard deviation σ_0 of the initial weights.
    activation : {"relu"}
        σ(z) = max(z, 0), with σ'(0) = 0.
    """

    n_filters: Whole = required(
        "m", "filters of each sign", "an integer from 1 to 2**20", ge=1, le=2**20
    )
    init_std: Real = required("σ_0", "initial standard deviation", "a finite number ≥ 0", ge=0)
    activation: Literal["relu"] = described("relu", "σ", "activation", '"relu"')
