"""One SAM step checked against an implementation by others, `optax.contrib.sam`.

Prints one line per case and fails where a step differs by more than 1e-12 of the update. Any
step with the signature of `optax_sam_step` can be checked: `compare_sam_step(step)`.

At the edges, also printed: `optax.contrib.normalize` divides by the plain norm, so a zero gradient
(0/0) gives a NaN perturbation, which this network then takes for filters that are all inactive.
Optax's own remedy, `optax.zero_nans` behind `normalize`, makes it zero, as SAM is defined here, and
leaves every other gradient alone; `optax_sam_step` uses it. A gradient whose squares underflow has
no remedy there: the perturbation is infinite and the new weights are NaN.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import naive

import simdyn

jax.config.update("jax_enable_x64", True)

Array = NDArray[np.float64]
Step = Callable[[Array, Array, Array, float, float], Array]

TOLERANCE = 1e-12


class Case(NamedTuple):
    """The arguments of one step, in the order a `Step` takes them."""

    weights: Array
    patches: Array
    labels: Array
    radius: float
    learning_rate: float


def mean_loss(weights: jax.Array, patches: Array, labels: Array) -> jax.Array:
    """Mean of log(1 + exp(-y f)), to be differentiated by JAX rather than by hand."""
    per_filter = jax.nn.relu(jnp.einsum("jrd,npd->jrnp", weights, patches)).sum(axis=3)
    outputs = per_filter[0].mean(axis=0) - per_filter[1].mean(axis=0)
    return jnp.mean(jax.nn.softplus(-labels * outputs))


def ascent_direction(zero_nans: bool) -> optax.GradientTransformation:
    """∇L/‖∇L‖_F as optax offers it, with or without its guard against 0/0."""
    normalize = optax.contrib.normalize()
    return optax.chain(normalize, optax.zero_nans()) if zero_nans else normalize


def optax_sam_step(
    weights: Array,
    patches: Array,
    labels: Array,
    radius: float,
    learning_rate: float,
    zero_nans: bool = True,
) -> Array:
    """W - η ∇L(W + τ ∇L/‖∇L‖_F) by `optax.contrib.sam` in opaque mode."""
    optimiser = optax.contrib.sam(
        optax.sgd(learning_rate),
        optax.chain(ascent_direction(zero_nans), optax.sgd(radius)),
        sync_period=2,
        opaque_mode=True,
    )
    params = jnp.asarray(weights)
    gradient = jax.grad(lambda w, _: mean_loss(w, patches, labels))
    change, _ = optimiser.update(
        gradient(params, 0), optimiser.init(params), params, grad_fn=gradient
    )
    return np.asarray(optax.apply_updates(params, change))


def draw_case(
    seed: int,
    radius: float = 0.03,
    n_samples: int = 20,
    dimension: int = 200,
    n_patches: int = 2,
    init_std: float = 0.01,
    output_scale: float = 1.0,
) -> Case:
    """Signal-noise data with flipped labels, weights scaled up for large margins."""
    rng = np.random.default_rng(seed)
    patches, labels, *_ = naive.draw_data(rng, n_samples, dimension, 3.0, 1.0, n_patches, 0.2)
    weights = output_scale * naive.draw_weights(rng, 10, dimension, init_std)
    return Case(weights, patches, labels, radius, 0.1)


def cases() -> dict[str, Case]:
    """Steps on which both sides must agree."""
    return {
        "two patches": draw_case(0),
        "four patches": draw_case(1, n_patches=4),
        "wide": draw_case(2, dimension=5000),
        "one sample": draw_case(3, n_samples=1),
        "large radius": draw_case(4, radius=3.0),
        "radius zero": draw_case(5, radius=0.0),
        "outputs of order 100": draw_case(6, output_scale=5e3),
        "zero gradient": draw_case(7, output_scale=0.0),
    }


def difference(ours: Array, theirs: Array, before: Array) -> float:
    """Largest difference of the two new weights, relative to the largest change they made."""
    change = np.abs(theirs - before).max()
    return float(np.abs(ours - theirs).max() / (change if change > 0.0 else 1.0))


def compare_sam_step(step: Step = naive.sam_step) -> None:
    """Check `step` against optax on every case, printing the relative differences."""
    for name, case in cases().items():
        relative = difference(step(*case), optax_sam_step(*case), case.weights)
        print(f"{name:22s} relative difference {relative:.1e}")
        assert relative <= TOLERANCE, f"{name}: {relative:.1e} > {TOLERANCE:.0e}"


def underflow_case() -> Case:
    """One sample with margin 450: the gradient is about 1e-195 and its squares are all zero."""
    case = draw_case(8, n_samples=1)
    output = naive.outputs(case.weights, case.patches)[0]
    return case._replace(
        weights=case.weights * 450.0 / abs(output), labels=np.array([np.sign(output)])
    )


def report_edges(step: Step = naive.sam_step) -> None:
    """Print what optax and `step` do where the norm of the gradient is, or looks, zero."""
    edges = {"zero gradient": cases()["zero gradient"], "underflow": underflow_case()}
    for name, case in edges.items():
        params = jnp.asarray(case.weights)
        gradient = jax.grad(mean_loss)(params, case.patches, case.labels)
        for zero_nans in (False, True):
            direction = ascent_direction(zero_nans)
            ascent, _ = direction.update(gradient, direction.init(params))
            relative = difference(
                step(*case), optax_sam_step(*case, zero_nans=zero_nans), case.weights
            )
            print(
                f"{name:14s} zero_nans {zero_nans!s:5s}  optax direction from {ascent.min():g} to"
                f" {ascent.max():g}, relative difference of the step {relative:.1e}"
            )


def simdyn_sam_step(
    weights: Array, patches: Array, labels: Array, radius: float, learning_rate: float
) -> Array:
    """The same step by simdyn, in the span of the patches."""
    problem = simdyn.Problem.from_patches(patches, labels, weights)
    phase = simdyn.SAM(radius=radius, learning_rate=learning_rate, epochs=1)
    ds = simdyn.train(problem, phase, record=simdyn.Record(weights=True))
    after: Array = ds.weights.values[-1]
    return after


if __name__ == "__main__":
    for name, step in {"simdyn": simdyn_sam_step, "weight-space reference": naive.sam_step}.items():
        print(f"-- {name} against optax.contrib.sam (opaque mode, float64)")
        compare_sam_step(step)
        report_edges(step)
