"""Closed forms for training: gradients, times, and the radius of SAM.

Sources and the marks [E], [N], [R]: see `simdyn.theory`.
"""

from typing import Any

import numpy as np


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
    (P−1)σ_0σ_p√(d/m) and σ_0‖μ‖/√m, so that every ℓ' is −1/2. Within 3 % for outputs below 0.3 [N].

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
        Infinite for ‖μ‖ = 0, and for p ≥ 1/(1+e) = 0.269, as γ then stays below 1.

    Notes
    -----
    Leading order [N]. All filters of sign j soon have the sign of ⟨w, jμ⟩ positive, so that a
    sample has the output ŷγ, and half of the samples act on each filter. −ℓ' is 1/(1+e^γ) if label
    and signal agree, and 1/(1+e^{−γ}) if not, so that in an epoch
    γ̇ = ηn‖μ‖²/(2Bm) · [(1−p)/(1+e^γ) − p/(1+e^{−γ})], which is integrated from 0 to 1. γ tends to
    the fixed point of `signal_limit`. The times for p = 0.1, 0.2, 0.25 are 1.40, 2.42, 4.34 times
    that for p = 0.

    Regime: n‖μ‖² ≫ (P−1)²σ_p²d, or the SAM stage; otherwise the noise fits first and γ may never
    reach 1. Many samples and many updates: p is the share of labels that are flipped, and in a draw
    of a few samples this share varies.
    """
    rate = learning_rate * n_samples * np.square(signal_norm) / (2.0 * n_filters * batch_size)
    p = np.clip(label_flip, 1e-300, 0.4)  # the limit p → 0, and infinite before 0.4
    with np.errstate(divide="ignore"):
        slowed = np.log1p(-2.0 * p) - np.log1p(-np.minimum((1.0 + np.e) * p, 1.0))
        return np.divide((1.0 + slowed / p) / (1.0 - p), rate)


def signal_limit(label_flip: Any) -> Any:
    """The limit of γ when a share p of the labels is flipped: log((1−p)/p).

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
