"""Closed forms of the paper: statement, source, regime, and how far each is established.

Source of all: Chen, Zhang, Kou, Chen, Hsieh, Gu, "Why Does Sharpness-Aware Minimization Generalize
Better Than SGD?", NeurIPS 2023 (arXiv 2310.07269), recalled: theorem numbers and constants are to
be checked against its text before they are quoted. Marks: [E] exact, [N] measured to leading order
in a regime, [R] recalled.
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
        ‖μ‖, of the arguments' broadcast shape; labelled where an argument is.

    Notes
    -----
    Theorem 3.2 [R] has two sides, benign where n‖μ‖⁴ ≥ C₁ d P⁴σ_p⁴ and harmful where
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
    NeurIPS 2022 (arXiv 2202.06526), recalled [R]: gradient descent is benign where n·SNR^q is at
    least of order one (up to logarithms), harmful where SNR^{−q} is at least of order n, with
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
    data", ICML 2024, recalled [R]: gradient descent is benign where n‖μ‖⁴(1 − cos θ)² is at least
    of order σ_p⁴d, harmful where n‖μ‖⁴ is at most of that order; (P − 1)σ_p by the symmetry of
    shared noise [E]. Regime: cos θ < 1/2, orthogonal noise.
    """
    spread = (1.0 - np.cos(np.radians(angle))) ** 0.5
    return critical_signal_norm(dimension, n_samples, n_patches, noise_std, constant) / spread


def signal_strength(
    dimension: Any, n_samples: Any, signal_norm: Any, n_patches: Any, noise_std: Any
) -> Any:
    """n‖μ‖⁴ / (d (P−1)⁴σ_p⁴): what decides between benign and harmful overfitting of SGD.

    Parameters
    ----------
    dimension, n_samples, signal_norm, n_patches, noise_std : number or array
        d, n, ‖μ‖, P, σ_p.

    Returns
    -------
    number or array
        The fourth power of ‖μ‖ over `critical_signal_norm` with constant 1.

    Notes
    -----
    Theorem 3.2 [R]: once the training loss is small, the test error is at most p + ε where this is
    at least C₁, and at least p + 0.1 where it is at most C₃. Constants unknown. With (P − 1) in
    place of the theorem's P by the exact symmetry of shared noise [E].
    """
    line = critical_signal_norm(dimension, n_samples, n_patches, noise_std)
    return (signal_norm / line) ** 4


def deactivation_probability(radius: Any, init_std: Any, batch_size: Any, n_filters: Any) -> Any:
    """Fraction of active matching neurons that SAM's first perturbation switches off.

    erf(τ/(σ_0 √(2Bm))): the overlap of an active filter with its noise is half-normal with scale
    σ_0‖ξ‖, and the perturbation shifts it by ⟨ε̂, ξ⟩ ≈ −τ‖ξ‖/√(Bm).

    Parameters
    ----------
    radius, init_std, batch_size, n_filters : number or array
        τ, σ_0, B, m.

    Returns
    -------
    number or array, 0 … 1

    Notes
    -----
    The initial state of the deactivation lemma [R]; leading order [N]. Regime: d ≫ B,
    B‖μ‖² ≪ 2(P−1)²σ_p²d, initial outputs (P−1)σ_0σ_p√(d/m) below 0.01. There it holds to 0.006,
    whatever d and σ_p.
    """
    from scipy.special import erf

    return erf(radius / (init_std * np.sqrt(2.0 * batch_size * n_filters)))


def initial_gradient_norm(
    dimension: Any,
    batch_size: Any,
    signal_norm: Any,
    n_patches: Any,
    noise_std: Any,
    n_filters: Any,
    label_flip: Any = 0.0,
) -> Any:
    """Root mean square of ‖∇L_I(W(0))‖_F over data and weights.

    With s = (P−1)σ_p its square is
    [s²d + ‖μ‖²(1 + (B−1)(1−2p)²/2) + √2 s‖μ‖ Γ(d/2)/(π Γ((d+1)/2))] / (4Bm).

    Parameters
    ----------
    dimension, batch_size, signal_norm, n_patches, noise_std, n_filters, label_flip
        d ≥ 1, B, ‖μ‖, P, σ_p, m, p: numbers or arrays.

    Returns
    -------
    number or array

    Notes
    -----
    Exact [E] for every d, with isotropic noise, in the limit of small initial outputs
    (P−1)σ_0σ_p√(d/m) and σ_0‖μ‖/√m, where every ℓ' is −1/2. Within 3 % for outputs below 0.3 [N].

    The gradient of a filter is Σ_i y_i (1(a·ŷ_iμ > 0) ŷ_iμ + (P−1) 1(a·ξ_i > 0) ξ_i)/(2Bm) up to
    its sign, for a filter a ~ N(0, σ_0² I) independent of the data. Of its mean square, noises of
    different samples, and the signal of one with the noise of another, have products of mean zero,
    as each label is ±1 at random. The signal and the noise of one sample have
    E[1(a·μ > 0) 1(a·ξ > 0) μ·ξ] = E[μ·ξ (π − θ)]/(2π), θ the angle between them; with
    E[θ cos θ] = −Γ(d/2)²/(2Γ((d+1)/2)²) and E‖ξ‖ = √2 σ_p Γ((d+1)/2)/Γ(d/2) that is the third
    term. At d = 1, 2, 3, B = 1 and ‖μ‖ = s it makes the norm 1.183, 1.081, 1.049 times as large.
    """
    from scipy.special import poch  # poch(x, ½) = Γ(x + ½)/Γ(x)

    noise = (n_patches - 1.0) * noise_std
    flips = (batch_size - 1.0) * (1.0 - 2.0 * label_flip) ** 2 / 2.0
    shared = np.sqrt(2.0) * noise * signal_norm / (np.pi * poch(np.divide(dimension, 2.0), 0.5))
    square = noise**2 * dimension + signal_norm**2 * (1.0 + flips) + shared
    return 0.5 * np.sqrt(square / (batch_size * n_filters))


def gradient_norm_bound(
    dimension: Any, batch_size: Any, n_patches: Any, noise_std: Any, n_filters: Any
) -> Any:
    """‖∇L_I(W)‖_F ≤ 2√2 P σ_p √(d/(Bm)) throughout training.

    Parameters
    ----------
    dimension, batch_size, n_patches, noise_std, n_filters : number or array
        d, B, P, σ_p, m.

    Returns
    -------
    number or array

    Notes
    -----
    A lemma of the paper [R]. Regime: conditions 3.1 (d ≥ n‖μ‖²/(Pσ_p)²).
    """
    return 2.0 * np.sqrt(2.0 * dimension / (batch_size * n_filters)) * n_patches * noise_std


def noise_time(
    dimension: Any,
    batch_size: Any,
    learning_rate: Any,
    n_patches: Any,
    noise_std: Any,
    n_filters: Any,
) -> Any:
    """Epochs until ρ̄ is of order one: 2.1 mB/(η(P−1)²σ_p²d).

    Parameters
    ----------
    dimension, batch_size, learning_rate, n_patches, noise_std, n_filters : number or array
        d, B, η, P, σ_p, m.

    Returns
    -------
    number or array

    Notes
    -----
    Leading order [N] in steps: with ℓ' = −1/2 a coefficient grows by η(P−1)²‖ξ‖²/(2Bm) an epoch,
    so 2 of these units bring it to one; the loss falls meanwhile, hence 2.1. SGD, many steps.
    """
    noise = (n_patches - 1.0) * noise_std
    return 2.1 * n_filters * batch_size / (learning_rate * noise**2 * dimension)


def noise_time_power(
    dimension: Any,
    n_samples: Any,
    batch_size: Any,
    learning_rate: Any,
    n_patches: Any,
    noise_std: Any,
    n_filters: Any,
    *,
    init_std: Any,
    power: Any,
) -> Any:
    """Epochs until the largest overlap of a filter with a noise is one, with σ(z) = max(z, 0)^q.

    2mB/(η(P−1)σ_p²dq) · (z₀^{2−q} − 1)/(q − 2) from the largest initial overlap z₀; 0 if z₀ ≥ 1.

    Parameters
    ----------
    dimension, n_samples, batch_size, learning_rate, n_patches, noise_std, n_filters, init_std
        d, n, B, η, P, σ_p, m, σ_0: numbers or arrays.
    power : number or array > 2
        q.

    Returns
    -------
    number or array

    Notes
    -----
    Leading order [N]: with ℓ' = −1/2 an overlap grows by η(P−1)σ_p²d qz^{q−1}/(2mB) an epoch, and
    z₀ is σ_0σ_p√d times the median of the largest of nm normals, the filters of the samples' own
    signs. Regime: d well above n, many updates, z₀ well below one.
    """
    from scipy.special import ndtri

    largest = ndtri(np.power(0.5, 1.0 / np.multiply(n_samples, n_filters)))
    start = np.minimum(init_std * noise_std * np.sqrt(dimension) * largest, 1.0)
    pull = learning_rate * (n_patches - 1.0) * noise_std**2 * dimension * power
    return 2.0 * n_filters * batch_size / pull * (start ** (2.0 - power) - 1.0) / (power - 2.0)


def signal_time(
    n_samples: Any,
    batch_size: Any,
    learning_rate: Any,
    signal_norm: Any,
    n_filters: Any,
    label_flip: Any = 0.0,
) -> Any:
    """Epochs until γ = 1: 2mB/(ηn‖μ‖²) · (1 + log((1−2p)/(1−p(1+e)))/p)/(1−p).

    At p = 0 it is 2e mB/(ηn‖μ‖²) = 5.44 mB/(ηn‖μ‖²).

    Parameters
    ----------
    n_samples, batch_size, learning_rate, signal_norm, n_filters, label_flip : number or array
        n, B, η, ‖μ‖, m, p.

    Returns
    -------
    number or array
        Infinite for p ≥ 1/(1+e) = 0.269, where γ stays below 1, and for ‖μ‖ = 0.

    Notes
    -----
    Leading order [N]. All filters of sign j soon have the sign of ⟨w, jμ⟩ positive, so that a
    sample has the output ŷγ, and half of the samples act on each filter. Where label and signal
    agree their −ℓ' is 1/(1+e^γ), where not 1/(1+e^{−γ}), so that in an epoch
    γ̇ = ηn‖μ‖²/(2Bm) · [(1−p)/(1+e^γ) − p/(1+e^{−γ})], which is integrated from 0 to 1. γ tends to
    the fixed point of `signal_limit`. The times for p = 0.1, 0.2, 0.25 are 1.40, 2.42, 4.34 times
    that for p = 0.

    Regime: n‖μ‖² ≫ (P−1)²σ_p²d, or the SAM stage; otherwise the noise fits first and γ may never
    get there. Many samples and many updates: p is the share of labels that are flipped, and a draw
    of a few samples has a share of its own.
    """
    rate = learning_rate * n_samples * np.square(signal_norm) / (2.0 * n_filters * batch_size)
    p = np.clip(label_flip, 1e-300, 0.4)  # the limit p → 0, and infinite before 0.4
    with np.errstate(divide="ignore"):
        slowed = np.log1p(-2.0 * p) - np.log1p(-np.minimum((1.0 + np.e) * p, 1.0))
        return np.divide((1.0 + slowed / p) / (1.0 - p), rate)


def signal_limit(label_flip: Any) -> Any:
    """Where γ comes to rest when a share p of the labels is flipped: log((1−p)/p).

    Parameters
    ----------
    label_flip : number or array, 0 … ½
        p.

    Returns
    -------
    number or array
        Infinite for p = 0; below 1 for p > 1/(1+e).

    Notes
    -----
    Leading order [N]: the fixed point of γ̇ in `signal_time`, at which the two kinds of samples pull
    equally. Regime as there; the noise must not be fitted.
    """
    with np.errstate(divide="ignore"):
        return np.log1p(np.negative(label_flip)) - np.log(label_flip)


def best_radius(
    dimension: Any,
    batch_size: Any,
    n_patches: Any,
    noise_std: Any,
    n_filters: Any,
    constant: Any = 1.0,
) -> Any:
    """The radius of the SAM theorem: τ = c m√B/((P−1)σ_p√d).

    Parameters
    ----------
    dimension, batch_size, n_patches, noise_std, n_filters : number or array
        d, B, P, σ_p, m.
    constant : number or array > 0
        c, which the theorem leaves open.

    Returns
    -------
    number or array

    Notes
    -----
    Theorem 4.1 [R], with (P − 1) in place of P by the exact symmetry of shared noise [E].
    """
    noise = (n_patches - 1.0) * noise_std
    return constant * n_filters * np.sqrt(batch_size / dimension) / noise


def conditions(
    *,
    dimension: float,
    n_samples: float,
    signal_norm: float,
    n_patches: float,
    noise_std: float,
    label_flip: float,
    n_filters: float,
    init_std: float,
    batch_size: float,
) -> dict[str, float]:
    """Conditions 3.1 of the paper as signed log-ratios, log₁₀(larger side / smaller side).

    Parameters
    ----------
    dimension, n_samples, signal_norm, n_patches, noise_std, label_flip, n_filters, init_std : float
        d, n, ‖μ‖, P, σ_p, p, m, σ_0.
    batch_size : float
        B.

    Returns
    -------
    dict of str to float
        For each inequality the power of ten by which it is met; negative: violated. ±∞ where a
        side is zero.

    Notes
    -----
    Recalled [R], and up to constants and logarithms: polylog is taken as 1, the constant of p as
    1/2. As recalled, the SAM theorem's σ_0 = Θ̃(1/(Pσ_p√d)) violates the σ_0 line by √(d/n): one of
    the two is inexact, so none of these is a refusal.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        d, n, signal, patches, m, std, batch = np.log10(
            np.array(
                [dimension, n_samples, signal_norm, n_patches, n_filters, init_std, batch_size],
                dtype=np.float64,
            )
        )
        noise = patches + np.log10(np.float64(noise_std))
        ratios = {
            "d ≥ n‖μ‖²/(Pσ_p)²": d + 2.0 * noise - n - 2.0 * signal,
            "d ≥ n²": d - 2.0 * n,
            "d ≥ Bm/(Pσ_p)²": d + 2.0 * noise - batch - m,
            "m ≥ polylog": m,
            "n ≥ polylog": n,
            "‖μ‖ ≥ Pσ_p": signal - noise,
            "p ≤ 1/C": np.log10(0.5) - np.log10(np.float64(label_flip)),
            "σ_0 ≤ √n/(Pσ_p d)": 0.5 * n - std - noise - d,
            "σ_0 ≤ 1/‖μ‖": -std - signal,
        }
    return {name: float(ratio) for name, ratio in ratios.items()}
