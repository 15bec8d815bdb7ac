"""The signal norm at which overfitting turns from harmful to benign.

Sources and the marks [E], [N], [R]: see `simdyn.theory`.
"""

from typing import Any

import numpy as np


def critical_signal_norm(
    dimension: Any, n_samples: Any, n_patches: Any, noise_std: Any, constant: Any = 1.0
) -> Any:
    """Signal norm on the line between benign and harmful overfitting of SGD.

    ‖μ‖ = c (P − 1) σ_p (d/n)^{1/4}. Above it SGD's test error is close to the label noise p, below
    it SGD memorises the noise and the test error stays at least a constant above p.

    Parameters
    ----------
    dimension : number or array ≥ 1
        Dimension d of a patch.
    n_samples : number or array ≥ 1
        Training samples n.
    n_patches : number or array ≥ 2
        Patches P of a sample.
    noise_std : number or array ≥ 0
        Standard deviation σ_p of each noise coordinate.
    constant : number or array > 0
        c. The theory leaves it open; it depends on the test error that is taken as the border.

    Returns
    -------
    number or array
        ‖μ‖, of the arguments' broadcast shape; labelled if an argument is.

    Notes
    -----
    Theorem 3.2 [R] has two sides, benign if n‖μ‖⁴ ≥ C₁ d P⁴σ_p⁴ and harmful if
    n‖μ‖⁴ ≤ C₃ d P⁴σ_p⁴, with C₁ > C₃ unknown: one line only up to the constant.

    The scale (P − 1)σ_p, in place of the theorem's Pσ_p, is exact [E]: P − 1 copies of one noise
    vector give the same network outputs as one copy with standard deviation (P − 1)σ_p.

    The exponents are leading order [N]. In d: 0.250 over d = 10⁶ … 10¹⁴. In n: −0.26 up to n = 160,
    approaching −1/4. The line does not depend on m. Regime: full training (small training loss),
    small initial weights, d well above n.

    Examples
    --------
    >>> critical_signal_norm(dimension=5120, n_samples=20, n_patches=2, noise_std=1.0)
    4.0
    """
    return constant * (n_patches - 1) * noise_std * (dimension / n_samples) ** 0.25


def critical_signal_norm_power(
    dimension: Any, n_samples: Any, n_patches: Any, noise_std: Any, power: Any, constant: Any = 1.0
) -> Any:
    """Signal norm on the line between benign and harmful overfitting with σ(z) = max(z, 0)^q.

    ‖μ‖ = c (P − 1)^{1/q} σ_p √d n^{−1/q}.

    Parameters
    ----------
    dimension, n_samples, n_patches, noise_std : number or array
        d, n, P, σ_p.
    power : number or array > 2
        q.
    constant : number or array > 0
        c, which the theory leaves open.

    Returns
    -------
    number or array

    Notes
    -----
    Cao, Chen, Belkin and Gu, "Benign Overfitting in Two-layer Convolutional Neural Networks",
    NeurIPS 2022 (arXiv 2202.06526), recalled [R]: gradient descent is benign if n·SNR^q is at
    least of order one (up to logarithms), harmful if SNR^{−q} is at least of order n, with
    SNR = ‖μ‖/(σ_p√d). With (P − 1)^{1/q} σ_p in place of σ_p by the symmetry of shared noise for an
    activation of degree q [E]. Regime: small initial weights, d well above n².
    """
    share = ((n_patches - 1) / n_samples) ** (1.0 / power)
    return constant * share * noise_std * dimension**0.5


def critical_signal_norm_xor(
    dimension: Any, n_samples: Any, n_patches: Any, noise_std: Any, angle: Any, constant: Any = 1.0
) -> Any:
    """Signal norm on the line between benign and harmful overfitting of XOR data, with ReLU.

    ‖μ‖ = c (P − 1) σ_p (d/n)^{1/4} / √(1 − cos θ).

    Parameters
    ----------
    dimension, n_samples, n_patches, noise_std : number or array
        d, n, P, σ_p.
    angle : number or array, 0 < θ < 180
        Between the signals, in degrees.
    constant : number or array > 0
        c, which the theory leaves open.

    Returns
    -------
    number or array

    Notes
    -----
    Meng, Zou and Cao, "Benign overfitting in two-layer ReLU convolutional neural networks for XOR
    data", ICML 2024, recalled [R]: gradient descent is benign if n‖μ‖⁴(1 − cos θ)² is at least
    of order σ_p⁴d, harmful if n‖μ‖⁴ is at most of that order; (P − 1)σ_p by the symmetry of
    shared noise [E]. Regime: cos θ < 1/2, orthogonal noise.
    """
    spread = (1.0 - np.cos(np.radians(angle))) ** 0.5
    return critical_signal_norm(dimension, n_samples, n_patches, noise_std, constant) / spread
