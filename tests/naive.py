"""The model written out plainly in weight space: slow, float64, one formula per function.

The reference the package is tested against, so it shares no code with it. Shapes: patches
(n, P, d), labels (n,) of +1.0 and -1.0, weights (2, m, d) with the filters of F_{+1} first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Array = NDArray[np.float64]
Noise = Literal["isotropic", "orthogonal"]
Partitions = Callable[[int], NDArray[np.intp]]

SIGNS = np.array([1.0, -1.0])


class Phase(TypedDict):
    """One stage of training; radius 0 is SGD, batch_size None is the full batch."""

    radius: float
    learning_rate: float | Callable[[int, int], float]  # a rate, or that of (epoch, update)
    epochs: int
    batch_size: int | None
    normalised: NotRequired[bool]  # ε̂ = τ∇L/‖∇L‖_F, else τ∇L
    group_size: NotRequired[int]  # samples perturbed together; 0 for the whole batch
    momentum: NotRequired[float]
    restart: NotRequired[bool]  # the velocity is zero at the start of the phase
    last_batch: NotRequired[str]  # "keep": what B leaves over is a smaller batch
    weight_decay: NotRequired[float]


class Model(NamedTuple):
    """σ, its number, the output's scale, ℓ, and how a batch's losses are put together."""

    activation: Literal["relu", "leaky_relu", "relu_power", "huber_relu"] = "relu"
    shape: float = 0.0
    output: Literal["mean", "sum"] = "mean"
    loss: Literal["logistic", "hinge"] = "logistic"
    reduction: Literal["mean", "sum"] = "mean"


PAPER = Model()


def draw_noises(rng: Rng, n_samples: int, signal: Array, noise_std: float, noise: Noise) -> Array:
    """ξ ~ N(0, σ_p² I), or N(0, σ_p² (I - μμᵀ/‖μ‖²)); where μ = 0 the first axis stands for it."""
    noises = noise_std * rng.standard_normal((n_samples, signal.size))
    if noise == "orthogonal":
        direction = signal / np.linalg.norm(signal) if signal.any() else np.eye(1, signal.size)[0]
        noises -= np.outer(noises @ direction, direction)
    return noises


def make_patches(true_labels: Array, signal: Array, noises: Array, n_patches: int) -> Array:
    """x_i = (ŷ_i μ, ξ_i, …, ξ_i), the noise patch P - 1 times."""
    signal_patch = np.outer(true_labels, signal)
    return np.stack([signal_patch] + [noises] * (n_patches - 1), axis=1)


def draw_data(
    rng: Rng,
    n_samples: int,
    dimension: int,
    signal_norm: float,
    noise_std: float,
    n_patches: int,
    label_flip: float,
    noise: Noise = "isotropic",
) -> tuple[Array, Array, Array, Array, Array]:
    """Patches, observed labels y, true labels ŷ, signal μ (d,) and noises ξ (n, d).

    ŷ = ±1 evenly, y = -ŷ with probability p, and μ = ‖μ‖ e_1 (the model is blind to rotation).
    """
    signal = signal_norm * np.eye(1, dimension)[0]
    true_labels = rng.choice(SIGNS, n_samples)
    labels = np.where(rng.random(n_samples) < label_flip, -true_labels, true_labels)
    noises = draw_noises(rng, n_samples, signal, noise_std, noise)
    patches = make_patches(true_labels, signal, noises, n_patches)
    return patches, labels, true_labels, signal, noises


def draw_weights(rng: Rng, n_filters: int, dimension: int, init_std: float) -> Array:
    """W(0) with independent entries N(0, σ_0²), shape (2, m, d)."""
    return init_std * rng.standard_normal((2, n_filters, dimension))


# Network


def overlaps(weights: Array, patches: Array) -> Array:
    """⟨w_{j,r}, x_i^(p)⟩, shape (2, m, n, P)."""
    return np.tensordot(weights, patches, axes=([2], [2]))


def activate(z: Array, model: Model = PAPER) -> Array:
    """σ(z)."""
    a = model.shape
    above = np.maximum(z, 0.0)
    if model.activation == "leaky_relu":
        return np.where(z > 0.0, z, a * z)
    if model.activation == "relu_power":
        return above**a
    if model.activation == "huber_relu":
        return np.where(z < a, above**2 / (2.0 * a), above - a / 2.0)
    return above


def activation_derivative(z: Array, model: Model = PAPER) -> Array:
    """σ'(z), at a kink that of the left."""
    a = model.shape
    above = np.maximum(z, 0.0)
    if model.activation == "leaky_relu":
        return np.where(z > 0.0, 1.0, a)
    if model.activation == "relu_power":
        return a * above ** (a - 1.0)
    if model.activation == "huber_relu":
        return np.minimum(above / a, 1.0)
    return (z > 0.0).astype(float)


def readout(z: Array, model: Model = PAPER) -> Array:
    """F = F_{+1} - F_{-1}, F_j = (1/m) Σ_r Σ_p σ(z_{j,r,p}) or without 1/m, from overlaps z."""
    total = activate(z, model).sum(axis=3)
    difference: Array = SIGNS @ (
        total.mean(axis=1) if model.output == "mean" else total.sum(axis=1)
    )
    return difference


def outputs(weights: Array, patches: Array, model: Model = PAPER) -> Array:
    """f(W, x) of every sample, shape (n,)."""
    return readout(overlaps(weights, patches), model)


def losses(weights: Array, patches: Array, labels: Array, model: Model = PAPER) -> Array:
    """Per-sample loss log(1 + exp(-y f)), or max(0, 1 - y f)."""
    margins = labels * outputs(weights, patches, model)
    if model.loss == "hinge":
        return np.maximum(0.0, 1.0 - margins)
    return np.logaddexp(0.0, -margins)


def loss_derivative(margins: Array, model: Model = PAPER) -> Array:
    """ℓ' = -1/(1 + exp(y f)), without overflow for margins y f of either sign; or -1(y f < 1)."""
    if model.loss == "hinge":
        return -(margins < 1.0).astype(float)
    decay = np.exp(-np.abs(margins))
    return -np.where(margins >= 0.0, decay, 1.0) / (1.0 + decay)


def gradient(weights: Array, patches: Array, labels: Array, model: Model = PAPER) -> Array:
    """∇_{w_{j,r}} L = (j/(Bm)) Σ_i Σ_p ℓ'_i y_i σ'(⟨w_{j,r}, x_i^(p)⟩) x_i^(p).

    Without 1/m where the output is a sum, without 1/B where the loss is.
    """
    z = overlaps(weights, patches)
    slopes = labels * loss_derivative(labels * readout(z, model), model)
    derivative = activation_derivative(z, model)
    coefficients = SIGNS[:, None, None, None] * slopes[:, None] * derivative
    share = 1.0 / (weights.shape[1] if model.output == "mean" else 1)
    share /= labels.size if model.reduction == "mean" else 1
    return share * np.tensordot(coefficients, patches, axes=2)


# Training


def frobenius_norm(tensor: Array) -> float:
    """‖T‖_F over all entries, scaled by the largest so that the squares cannot underflow."""
    largest = np.abs(tensor).max()
    return float(largest * np.linalg.norm(tensor / largest)) if largest > 0.0 else 0.0


def perturbed_weights(
    weights: Array,
    patches: Array,
    labels: Array,
    radius: float,
    model: Model = PAPER,
    normalised: bool = True,
) -> Array:
    """W + ε̂, ε̂ = τ ∇L(W)/‖∇L(W)‖_F over all filters; ε̂ = 0 where ∇L(W) = 0 or τ = 0."""
    if radius == 0.0:
        return weights
    ascent = gradient(weights, patches, labels, model)
    if not normalised:
        return weights + radius * ascent
    norm = frobenius_norm(ascent)
    return weights + radius * (ascent / norm) if norm > 0.0 else weights


def sgd_step(weights: Array, patches: Array, labels: Array, learning_rate: float) -> Array:
    """W ← W - η ∇L_I(W)."""
    return weights - learning_rate * gradient(weights, patches, labels)


def sam_step(
    weights: Array, patches: Array, labels: Array, radius: float, learning_rate: float
) -> Array:
    """W ← W - η ∇L_I(W + ε̂); τ = 0 is SGD."""
    at = perturbed_weights(weights, patches, labels, radius)
    return weights - learning_rate * gradient(at, patches, labels)


class Update(NamedTuple):
    """One update: its phase, its batch, and how far that phase is."""

    phase: Phase
    batch: NDArray[np.intp]
    epoch: int  # whole epochs done in the phase
    update: int  # updates done in it


def updates(
    phases: Sequence[Phase], n_samples: int, partitions: Partitions | None
) -> Iterator[Update]:
    """Every update in order; a batch is the next B entries of the permutation."""
    begun = 0  # epochs of all phases
    for phase in phases:
        size = phase["batch_size"] or n_samples
        if n_samples % size and phase.get("last_batch") != "keep":
            raise ValueError(f"batch_size {size} does not divide the {n_samples} samples")
        done = 0
        for epoch in range(phase["epochs"]):
            order = partitions(begun) if partitions and size < n_samples else np.arange(n_samples)
            begun += 1
            for batch in np.split(order, np.arange(size, n_samples, size)):
                yield Update(phase, batch, epoch, done)
                done += 1


def rate(now: Update) -> float:
    """The learning rate of an update."""
    given = now.phase["learning_rate"]
    return given(now.epoch, now.update) if callable(given) else given


def descent(weights: Array, x: Array, y: Array, phase: Phase, model: Model = PAPER) -> Array:
    """∇L_I at W + ε̂; each group of the batch has its own ε̂, and its share of the average."""
    size = phase.get("group_size") or len(y)
    total = np.zeros_like(weights)
    for start in range(0, len(y), size):
        own_x, own_y = x[start : start + size], y[start : start + size]
        at = perturbed_weights(
            weights, own_x, own_y, phase["radius"], model, phase.get("normalised", True)
        )
        share = len(own_y) / len(y) if model.reduction == "mean" else 1.0
        total += share * gradient(at, own_x, own_y, model)
    return total


def train(
    weights: Array,
    patches: Array,
    labels: Array,
    phases: Sequence[Phase],
    partitions: Partitions | None = None,
    model: Model = PAPER,
    flipped: Callable[[int], Array] | None = None,
) -> tuple[list[Array], Array]:
    """The weights after every update, and ‖∇L_I(W)‖_F of its batch just before it.

    W ← W - η v, v ← β v + ∇L_I(W + ε̂) + λ W. Like a PyTorch optimiser whose options are set anew, v
    is kept from phase to phase; it is zero at the start, with `restart`, and with another β.
    `partitions(epoch)` permutes the samples (None: as they stand); epochs count across phases.
    `flipped(update)` gives a sign for each label, for that update alone.
    """
    trajectory, norms = [], []
    velocity, momentum = np.zeros_like(weights), 0.0
    for count, now in enumerate(updates(phases, labels.size, partitions)):
        phase, batch = now.phase, now.batch
        if now.update == 0 and (phase.get("restart") or phase.get("momentum", 0.0) != momentum):
            velocity = np.zeros_like(weights)
        momentum = phase.get("momentum", 0.0)
        y = labels if flipped is None else labels * flipped(count)
        x, y = patches[batch], y[batch]
        norms.append(frobenius_norm(gradient(weights, x, y, model)))
        pull = descent(weights, x, y, phase, model) + phase.get("weight_decay", 0.0) * weights
        velocity = momentum * velocity + pull
        weights = weights - rate(now) * velocity
        trajectory.append(weights)
    return trajectory, np.array(norms)


# Coefficients


def rebuild_weights(
    initial: Array, gamma: Array, rho: Array, signal: Array, noises: Array, n_patches: int
) -> Array:
    """w_{j,r} = w_{j,r}(0) + j γ μ/‖μ‖² + (1/(P-1)) Σ_i ρ_i ξ_i/‖ξ_i‖²."""
    vectors = np.vstack([signal, noises])
    squares = (vectors**2).sum(axis=1)
    along = np.concatenate([(SIGNS[:, None] * gamma)[..., None], rho / (n_patches - 1)], axis=2)
    return initial + along @ (vectors / np.where(squares > 0.0, squares, 1.0)[:, None])


def project_coefficients(
    weights: Array, initial_weights: Array, signal: Array, noises: Array, n_patches: int
) -> tuple[Array, Array]:
    """γ (2, m) and ρ (2, m, n) of `rebuild_weights` by least squares (unique for n + 1 ≤ d)."""
    vectors = np.vstack([signal, noises])
    norms = np.linalg.norm(vectors, axis=1)
    units = vectors / np.where(norms > 0.0, norms, 1.0)[:, None]
    moved = (weights - initial_weights).reshape(-1, signal.size)
    along = np.linalg.lstsq(units.T, moved.T)[0].T.reshape(*weights.shape[:2], -1)
    return SIGNS[:, None] * along[..., 0] * norms[0], along[..., 1:] * norms[1:] * (n_patches - 1)


def evolve_coefficients(
    weights: Array,
    patches: Array,
    labels: Array,
    true_labels: Array,
    signal: Array,
    noises: Array,
    phases: Sequence[Phase],
    partitions: Partitions | None = None,
) -> tuple[Array, Array]:
    """γ (updates, 2, m) and ρ (updates, 2, m, n) by their own recursion, W rebuilt from them.

    γ ← γ - (η/(Bm)) ‖μ‖² Σ_{i∈I} ℓ'_i y_i ŷ_i σ'(⟨w, ŷ_i μ⟩)
    ρ_i ← ρ_i - (η(P-1)²/(Bm)) ℓ'_i σ'(⟨w, ξ_i⟩) ‖ξ_i‖² (j y_i),  i ∈ I
    with ℓ' and σ' at W for SGD and at W + ε̂ for SAM.
    """
    n_filters, n_patches = weights.shape[1], patches.shape[1]
    gamma, rho = np.zeros((2, n_filters)), np.zeros((2, n_filters, labels.size))
    gammas, rhos = [], []
    for now_at in updates(phases, labels.size, partitions):
        phase, batch = now_at.phase, now_at.batch
        x, y, y_true, xi = patches[batch], labels[batch], true_labels[batch], noises[batch]
        now = rebuild_weights(weights, gamma, rho, signal, noises, n_patches)
        at = perturbed_weights(now, x, y, phase["radius"])
        slopes = y * loss_derivative(y * outputs(at, x))
        signal_active = (at @ signal)[..., None] * y_true > 0.0
        noise_active = at @ xi.T > 0.0
        share = rate(now_at) / (batch.size * n_filters)
        gamma -= share * (signal @ signal) * (signal_active @ (slopes * y_true))
        change = SIGNS[:, None, None] * noise_active * slopes * (xi**2).sum(axis=1)
        rho[..., batch] -= share * (n_patches - 1) ** 2 * change
        gammas.append(gamma.copy())
        rhos.append(rho.copy())
    return np.array(gammas), np.array(rhos)


def counted_test_error(
    rng: Rng,
    weights: Array,
    signal: Array,
    noise_std: float,
    n_patches: int,
    n_draws: int,
    noise: Noise = "isotropic",
) -> float:
    """Fraction of n_draws fresh samples with ŷ f < 0 (true labels); f = 0 counts one half."""
    true_labels = rng.choice(SIGNS, n_draws)
    noises = draw_noises(rng, n_draws, signal, noise_std, noise)
    patches = make_patches(true_labels, signal, noises, n_patches)
    margins = true_labels * outputs(weights, patches)
    return float(np.mean(margins < 0.0) + np.mean(margins == 0.0) / 2.0)


# Other laws of data: patches (n, P, d), true labels (n,), the signals in the first coordinates.


def draw_noise_patches(
    rng: Rng, shape: tuple[int, ...], noise_std: float, bare: int, noise: Noise
) -> Array:
    """Gaussian noise (…, d), without its first `bare` coordinates where it is orthogonal."""
    noises = noise_std * rng.standard_normal(shape)
    if noise == "orthogonal":
        noises[..., :bare] = 0.0
    return noises


def draw_independent_noise(
    rng: Rng, n: int, d: int, signal_norm: float, noise_std: float, n_patches: int, noise: Noise
) -> tuple[Array, Array]:
    """X = (ŷμ, ξ_1, …, ξ_{P−1})."""
    truth = rng.choice(SIGNS, n)
    patches = np.zeros((n, n_patches, d))
    patches[:, 0, 0] = truth * signal_norm
    patches[:, 1:] = draw_noise_patches(rng, (n, n_patches - 1, d), noise_std, 1, noise)
    return patches, truth


def draw_xor(
    rng: Rng,
    n: int,
    d: int,
    signal_norm: float,
    angle: float,
    noise_std: float,
    n_patches: int,
    noise: Noise,
) -> tuple[Array, Array]:
    """X = (±u, ξ, …, ξ) for label +1 and (±v, ξ, …, ξ) for −1, `angle` degrees between u and v."""
    truth, turned = rng.choice(SIGNS, n), rng.choice(SIGNS, n)
    half = np.deg2rad(angle) / 2.0
    patches = np.zeros((n, n_patches, d))
    patches[:, 0, 0] = turned * signal_norm * np.cos(half)
    patches[:, 0, 1] = turned * truth * signal_norm * np.sin(half)
    patches[:, 1:] = draw_noise_patches(rng, (n, 1, d), noise_std, 2, noise)
    return patches, truth


def draw_multi_view(
    rng: Rng,
    n: int,
    d: int,
    strong: float,
    weak: float,
    strong_only: float,
    weak_only: float,
    noise_std: float,
    n_patches: int,
    noise: Noise,
) -> tuple[Array, Array]:
    """X = (ŷμ, ŷν, ξ, …, ξ), one of the two signals missing in some samples."""
    truth = rng.choice(SIGNS, n)
    both = 1.0 - strong_only - weak_only
    kind = rng.choice(3, n, p=[both, strong_only, weak_only])
    patches = np.zeros((n, n_patches, d))
    patches[:, 0, 0] = np.where(kind != 2, truth * strong, 0.0)
    patches[:, 1, 1] = np.where(kind != 1, truth * weak, 0.0)
    patches[:, 2:] = draw_noise_patches(rng, (n, 1, d), noise_std, 2, noise)
    return patches, truth


def draw_cluster(
    rng: Rng, n: int, d: int, signal_norm: float, share: float, noise_std: float, noise: Noise
) -> tuple[Array, Array]:
    """X = √γ ŷ v + √(1 − γ) ξ, a single patch."""
    truth = rng.choice(SIGNS, n)
    patches = np.sqrt(1.0 - share) * draw_noise_patches(rng, (n, 1, d), noise_std, 1, noise)
    patches[:, 0, 0] += np.sqrt(share) * truth * signal_norm
    return patches, truth
