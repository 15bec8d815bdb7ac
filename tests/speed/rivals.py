"""Other ways to run the same training, to be timed against the package.

Three rivals, fastest last: the naive NumPy loop, JAX in weight space, JAX in Gram space. The JAX
ones are float64, jitted, mapped over runs and scanned over steps. Each does `n_steps` full-batch
updates (SAM, or SGD where the radius is 0) of every run and returns the final training margins,
so that they can be checked against each other. Leading axis R: the runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import naive

jax.config.update("jax_enable_x64", True)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """R independent draws of data and initial weights: what every rival starts from."""

    patches: Array  # (R, n, P, d)
    labels: Array  # (R, n)
    true_labels: Array  # (R, n)
    signal: Array  # (R, d)
    noises: Array  # (R, n, d)
    weights: Array  # (R, 2, m, d)


@dataclass(frozen=True)
class Timed:
    """Final margins y f (R, n), and the seconds it took to compile and to run."""

    margins: Array
    compile_seconds: float
    run_seconds: float


def draw_runs(
    seed: int,
    n_runs: int,
    n_samples: int,
    n_filters: int,
    dimension: int,
    signal_norm: float = 3.0,
    noise_std: float = 1.0,
    n_patches: int = 2,
    label_flip: float = 0.0,
    init_std: float = 1e-3,
) -> Runs:
    """Independent draws of the signal-noise data and of W(0), stacked over runs."""
    draws = []
    for rng in map(np.random.default_rng, np.random.SeedSequence(seed).spawn(n_runs)):
        data = naive.draw_data(
            rng, n_samples, dimension, signal_norm, noise_std, n_patches, label_flip
        )
        draws.append((*data, naive.draw_weights(rng, n_filters, dimension, init_std)))
    return Runs(*(np.stack(field) for field in zip(*draws, strict=True)))


def gram_arrays(signal: Array, noises: Array, weights: Array) -> tuple[Array, Array]:
    """G = V Vᵀ (R, q, q) and A = V Wᵀ (R, q, 2m) of the dictionary V = (μ, ξ_1, …, ξ_n)."""
    vectors = np.concatenate([signal[:, None], noises], axis=1)
    filters = weights.reshape(len(weights), -1, weights.shape[-1])
    return vectors @ vectors.swapaxes(1, 2), vectors @ filters.swapaxes(1, 2)


def naive_weight_space(
    patches: Array,
    labels: Array,
    weights: Array,
    radius: ArrayLike,
    learning_rate: ArrayLike,
    n_steps: int,
) -> Timed:
    """One run after another with the reference network in NumPy."""
    radii, rates = (np.broadcast_to(value, len(labels)) for value in (radius, learning_rate))
    start = time.perf_counter()
    margins = np.empty_like(labels)
    for run, (x, y, w) in enumerate(zip(patches, labels, weights, strict=True)):
        for _ in range(n_steps):
            w = naive.sam_step(w, x, y, radii[run], rates[run])
        margins[run] = y * naive.outputs(w, x)
    return Timed(margins, 0.0, time.perf_counter() - start)


def jax_weight_space(
    patches: Array,
    labels: Array,
    weights: Array,
    radius: ArrayLike,
    learning_rate: ArrayLike,
    n_steps: int,
) -> Timed:
    """All runs at once on the weights themselves."""
    train = partial(_train_weights, sam=bool(np.any(radius)), n_steps=n_steps)
    return _compile_and_run(
        train, patches, labels, weights, *_per_run(labels, radius, learning_rate)
    )


def jax_gram_space(
    gram: Array,
    overlaps: Array,
    labels: Array,
    true_labels: Array,
    n_patches: int,
    radius: ArrayLike,
    learning_rate: ArrayLike,
    n_steps: int,
) -> Timed:
    """All runs at once on the overlaps A = V Wᵀ: the cost of a step does not depend on d."""
    train = partial(
        _train_overlaps, copies=n_patches - 1, sam=bool(np.any(radius)), n_steps=n_steps
    )
    values = _per_run(labels, radius, learning_rate)
    return _compile_and_run(train, gram, overlaps, labels, true_labels, *values)


def _per_run(labels: Array, *values: ArrayLike) -> tuple[Array, ...]:
    return tuple(np.broadcast_to(np.asarray(v, dtype=float), len(labels)) for v in values)


def _compile_and_run(train: Callable[..., jax.Array], *arrays: Array) -> Timed:
    """Map `train` over the leading axis, compile ahead of time, warm up, then time one run."""
    inputs = [jax.device_put(array) for array in arrays]
    start = time.perf_counter()
    compiled = jax.jit(jax.vmap(train)).lower(*inputs).compile()
    compile_seconds = time.perf_counter() - start
    jax.block_until_ready(compiled(*inputs))
    start = time.perf_counter()
    margins = jax.block_until_ready(compiled(*inputs))
    return Timed(np.asarray(margins), compile_seconds, time.perf_counter() - start)


def _signs(n_filters: int) -> jax.Array:
    """Sign j of each of the 2m filters over m: the second layer."""
    return jnp.repeat(jnp.array([1.0, -1.0]), n_filters) / n_filters


def _loss_derivative(margins: jax.Array) -> jax.Array:
    """ℓ' = -1/(1 + exp(y f))."""
    return -jax.nn.sigmoid(-margins)


def _divide_or_zero(value: jax.Array, norm: jax.Array) -> jax.Array:
    """The value over its norm, or 0 where the norm is 0."""
    return jnp.where(norm > 0.0, value / jnp.where(norm > 0.0, norm, 1.0), 0.0)


def _train_weights(
    patches: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
    radius: jax.Array,
    learning_rate: jax.Array,
    *,
    sam: bool,
    n_steps: int,
) -> jax.Array:
    """W ← W - η ∇L(W + ε̂), with all patches as rows of one matrix and all filters of another."""
    n_samples, n_patches, dimension = patches.shape
    rows = patches.reshape(-1, dimension)
    second_layer = _signs(weights.shape[1])

    def outputs(z: jax.Array) -> jax.Array:
        return (jax.nn.relu(z) @ second_layer).reshape(n_samples, n_patches).sum(axis=1)

    def gradient(w: jax.Array) -> jax.Array:
        z = rows @ w.T
        slopes = labels * _loss_derivative(labels * outputs(z)) / n_samples
        coefficients = jnp.repeat(slopes, n_patches)[:, None] * second_layer * (z > 0.0)
        return coefficients.T @ rows

    def step(w: jax.Array, _: None) -> tuple[jax.Array, None]:
        at = w
        if sam:
            ascent = gradient(w)
            ascent = _divide_or_zero(ascent, jnp.abs(ascent).max())
            at = w + radius * _divide_or_zero(ascent, jnp.linalg.norm(ascent))
        return w - learning_rate * gradient(at), None

    final, _ = jax.lax.scan(step, weights.reshape(-1, dimension), length=n_steps)
    return labels * outputs(rows @ final.T)


def _train_overlaps(
    gram: jax.Array,
    overlaps: jax.Array,
    labels: jax.Array,
    true_labels: jax.Array,
    radius: jax.Array,
    learning_rate: jax.Array,
    *,
    copies: int,
    sam: bool,
    n_steps: int,
) -> jax.Array:
    """A ← A - η G C(A + (τ/‖∇L‖_F) G C(A)), where ∇_{w_r} L = Σ_k C_{k,r} v_k.

    Sample i reads row 0 (μ) with sign ŷ_i once, and row i (ξ_i) P - 1 times.
    """
    n_samples = labels.size
    second_layer = _signs(overlaps.shape[1] // 2)
    positive = true_labels > 0.0

    def outputs(a: jax.Array) -> jax.Array:
        plus, minus = jax.nn.relu(a[0]) @ second_layer, jax.nn.relu(-a[0]) @ second_layer
        noise = jax.nn.relu(a[1:]) @ second_layer
        return jnp.where(positive, plus, minus) + copies * noise

    def coefficients(a: jax.Array) -> jax.Array:
        slopes = labels * _loss_derivative(labels * outputs(a)) / n_samples
        on_plus, on_minus = jnp.sum(slopes * positive), jnp.sum(slopes * ~positive)
        signal = on_plus * (a[0] > 0.0) - on_minus * (a[0] < 0.0)
        noise = copies * slopes[:, None] * (a[1:] > 0.0)
        return jnp.concatenate([signal[None], noise]) * second_layer

    def step(a: jax.Array, _: None) -> tuple[jax.Array, None]:
        at = a
        if sam:
            c = coefficients(a)
            c = _divide_or_zero(c, jnp.abs(c).max())
            u = gram @ c
            norm = jnp.sqrt(jnp.maximum(jnp.sum(c * u), 0.0))
            at = a + radius * _divide_or_zero(u, norm)
        return a - learning_rate * (gram @ coefficients(at)), None

    final, _ = jax.lax.scan(step, overlaps, length=n_steps)
    return labels * outputs(final)
