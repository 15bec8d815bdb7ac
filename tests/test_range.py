"""Very large and very small weights, patches and radii, against extended precision.

What lies within the range of a double is right to rounding; what leaves it gives its status.
"""

import itertools
from typing import Any

import naive
import numpy as np
import pytest
from common import items

import simdyn

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).maxexp <= np.finfo(float).maxexp,
    reason="long double has the range of a double here",
)

EVERY_STEP = simdyn.Record(
    every=1, unit="step", weights=True, variables=("margin", "grad_norm", "train_loss", "sam_gap")
)
LEAST, MOST = 1e-321, 1e300  # within them all steps of a computation fit a double
ACTIVATIONS = [
    ("relu", 0.0),
    ("leaky_relu", 0.1),
    ("leaky_relu", 1e-200),
    ("relu_power", 3.0),
    ("relu_power", 20.0),
    ("relu_power", 2.5),
    ("huber_relu", 1.0),
    ("huber_relu", 1e-60),
]


def train(
    x: np.ndarray,
    y: np.ndarray,
    w: np.ndarray,
    phase: simdyn.SAM,
    activation: str,
    shape: float,
    record: simdyn.Record = EVERY_STEP,
) -> Any:
    """Dataset of a run with every update recorded."""
    own = {} if activation == "relu" else {"activation_shape": shape}
    problem = simdyn.Problem.from_patches(x, y, w, activation=activation, **own)
    return simdyn.train(problem, phase, record=record)


def norm(tensor: np.ndarray) -> Any:
    """‖T‖_F in extended precision."""
    largest = np.abs(tensor).max()
    return largest * np.sqrt(((tensor / largest) ** 2).sum()) if largest > 0 else largest


def perturbed(
    w: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float, model: naive.Model
) -> np.ndarray:
    """W + ε̂ in extended precision."""
    ascent = naive.gradient(w, x, y, model)
    length = norm(ascent)
    return w + np.longdouble(radius) * (ascent / length) if length > 0 else w


def state(
    w: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float, model: naive.Model
) -> dict[str, Any]:
    """What is recorded of a state, and the largest number it takes."""
    at = perturbed(w, x, y, radius, model)
    before, after = naive.losses(w, x, y, model), naive.losses(at, x, y, model)
    activated = naive.activate(naive.overlaps(at, x), model)
    gradients = naive.gradient(w, x, y, model), naive.gradient(at, x, y, model)
    return {
        "margin": y * naive.outputs(w, x, model),
        "grad_norm": norm(gradients[0]),
        "train_loss": before.mean(),
        "sam_gap": (after - before).mean(),
        "weights": w,
        "pull": norm(gradients[1]),
        "loss after": after.max(),
        "largest": max(np.abs(each).max() for each in (w, at, activated, after, *gradients)),
    }


@np.errstate(all="ignore")  # the reference may leave even the range of a long double
@pytest.mark.parametrize(("activation", "shape"), ACTIVATIONS)
@pytest.mark.parametrize("radius", [0.0, 0.1, 1e160])
def test_train__any_size_of_weights_and_patches(
    activation: str, shape: float, radius: float
) -> None:
    """Two updates of a rate that moves the weights by about their size."""
    rng = np.random.default_rng(5)
    y = np.array([1.0, -1.0, 1.0, -1.0])
    model = naive.Model(activation=activation, shape=shape)
    finished = 0
    for weight, patch in itertools.product(
        (1e-100, 1e-90, 1e-40, 1e-11, 1.0, 1e60, 1e80, 1e100), (1e-165, 1e-30, 1.0, 1e77, 1e150)
    ):
        x = patch * rng.standard_normal((4, 2, 7))
        w = weight * rng.standard_normal((2, 3, 7))
        wide = [array.astype(np.longdouble) for array in (w, x, y)]
        pull = state(*wide, radius, model)["pull"]
        rate = 0.3 * max(weight, radius) / pull if pull > 0.0 else 1.0
        rate = float(np.clip(rate, 1e-300, 1e300))
        phase = simdyn.SAM(radius=radius, learning_rate=rate, epochs=2)
        ds = train(x, y, w, phase, activation, shape)
        path = [wide[0]]
        for _ in range(2):
            at = perturbed(path[-1], *wide[1:], radius, model)
            pull = naive.gradient(at, *wide[1:], model)
            path.append(path[-1] - np.longdouble(rate) * pull)
        states = [state(each, *wide[1:], radius, model) for each in path]
        status, when = int(ds.status), int(ds.status_step)
        told = f"weights {weight:g}, patches {patch:g}, status {status} at {when}"
        until = 3
        if status == 3:
            assert not all(each["largest"] <= MOST for each in states[: when + 1]), told
            until = when
        if status == 2:
            lost = states[when]["grad_norm"] if radius == 0.0 else states[when]["pull"]
            assert lost < LEAST, told
            until = when + 1
        finished += status == 1
        for step, name in itertools.product(
            range(until), ("margin", "grad_norm", "train_loss", "sam_gap", "weights")
        ):
            ours, right = ds[name].values[step], states[step][name]
            assert np.isfinite(ours).all(), f"{name} {told}"
            size = np.abs(right).max()
            if name == "sam_gap":  # a difference of losses
                size = max(size, 1e-6 * states[step]["loss after"], 1e-6 * states[0]["train_loss"])
            assert np.abs(ours - right).max() <= 1e-8 * size + LEAST, f"{name}[{step}] {told}"
    assert finished >= 3, "enough of them stay within the range"


def test_train__sam_of_a_high_power_takes_the_right_direction() -> None:
    """Slopes of 1e-208 and below 1e-324 alike say where ε̂ points."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 2, 7)), np.array([1.0, -1.0, 1.0, -1.0])
    model = naive.Model(activation="relu_power", shape=20.0)
    for size in (1e-11, 1e-40):
        w = size * rng.standard_normal((2, 3, 7))
        wide = [array.astype(np.longdouble) for array in (w, x, y)]
        rate = float(0.01 / norm(naive.gradient(perturbed(*wide, 0.1, model), *wide[1:], model)))
        phase = simdyn.SAM(radius=0.1, learning_rate=rate, epochs=1)
        ds = train(x, y, w, phase, "relu_power", 20.0)
        right = perturbed(*wide, 0.1, model)
        after = wide[0] - np.longdouble(rate) * naive.gradient(right, *wide[1:], model)
        assert int(ds.status) == 1
        assert np.abs(ds.weights.values[1] - after).max() < 1e-11 * np.abs(after).max()


def test_train__gradients_of_powers_do_not_vanish_or_overflow() -> None:
    """Weights of 1e-90: not a zero gradient; of 1e80: a finite norm."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((4, 2, 7)), np.array([1.0, -1.0, 1.0, -1.0])
    still = simdyn.SAM(radius=0.0, learning_rate=1.0, epochs=0)
    for activation, shape in (("relu_power", 3.0), ("huber_relu", 1.0)):
        model = naive.Model(activation=activation, shape=shape)
        for size in (1e-90, 1e80):
            w = size * rng.standard_normal((2, 3, 7))
            ds = train(x, y, w, still, activation, shape)
            right = norm(naive.gradient(*(a.astype(np.longdouble) for a in (w, x, y)), model))
            assert int(ds.status) == 1
            assert abs(ds.grad_norm.values[0] / right - 1.0) < 1e-12


def test_train__a_lone_vector_far_smaller_than_the_others() -> None:
    """The gradient is that of the small one if no filter is active on the large one."""
    x = np.zeros((2, 2, 3))
    x[:, 0, 0], x[:, 1, 1] = 1e150, 1e-165
    w = np.zeros((2, 1, 3))
    w[:, 0, 0], w[0, 0, 1] = -1.0, 1.0
    ds = train(
        x,
        np.array([1.0, 1.0]),
        w,
        simdyn.SAM(radius=0.0, learning_rate=1e165, epochs=1),
        "relu",
        0.0,
    )
    assert int(ds.status) == 1
    assert ds.grad_norm.values[0] == pytest.approx(0.5e-165, rel=1e-12)
    assert ds.weights.values[1, 0, 0, 1] == pytest.approx(1.5, rel=1e-12)


@pytest.mark.parametrize("size", [2.0**-500, 2.0**500])
@pytest.mark.parametrize("noise", ["isotropic", "orthogonal"])
def test_simulate__units_of_the_data_do_not_matter(size: float, noise: str) -> None:
    """Data times a power of two, weights over it, rates over its square: the same bits."""
    record = simdyn.Record(
        variables=items("""
            train_loss  margin  signal_coef  noise_coef  test_error  sam_gap  deactivated_fraction
            grad_norm  sharpness
        """)
    )

    def run(unit: float) -> Any:
        data = simdyn.SignalNoiseData(
            n_samples=6, dimension=40, signal_norm=2.0 * unit, noise_std=0.5 * unit, noise=noise
        )
        net = simdyn.TwoLayerCNN(n_filters=3, init_std=0.1 / unit)
        plan = [
            simdyn.SAM(radius=0.05 / unit, learning_rate=0.1 / unit**2, epochs=5, batch_size=3),
            simdyn.SGD(learning_rate=0.1 / unit**2, epochs=5),
        ]
        return simdyn.simulate(data, net, plan, seed=3, record=record)

    plain, scaled = run(1.0), run(size)
    for name in record.variables:
        units = {"grad_norm": size, "sharpness": size**2}.get(name, 1.0)
        np.testing.assert_array_equal(scaled[name], units * plain[name], err_msg=name)


def test_train__sharpness_of_long_and_short_patches() -> None:
    """λ_max of patches times a power of two is that of the patches times its square."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((5, 2, 7)), np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    w = 0.1 * rng.standard_normal((2, 3, 7))
    still = simdyn.SAM(radius=0.0, learning_rate=1.0, epochs=0)
    record = simdyn.Record(variables=("sharpness",))
    plain, *scaled = (
        float(train(unit * x, y, w / unit, still, "relu", 0.0, record).sharpness[0])
        for unit in (1.0, 2.0**-500, 2.0**300, 2.0**500)
    )
    assert plain > 0.0
    assert scaled == [plain * 2.0**-1000, plain * 2.0**600, plain * 2.0**1000]


@pytest.mark.parametrize("activation", ["relu", "relu_power"])
def test_probe__beyond_the_range_is_a_status(activation: str) -> None:
    """A probe radius of 1e160: the right gap, or status 3 if it is beyond a double."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((4, 2, 7)), np.array([1.0, -1.0, 1.0, -1.0])
    w = rng.standard_normal((2, 3, 7))
    shape = 3.0 if activation == "relu_power" else 0.0
    record = EVERY_STEP.replace(probe_radius=1e160)
    ds = train(
        x, y, w, simdyn.SAM(radius=0.0, learning_rate=0.01, epochs=1), activation, shape, record
    )
    if activation == "relu_power":
        assert (int(ds.status), int(ds.status_step)) == (3, 0)
        assert np.isnan(ds.sam_gap).all()
        assert np.isnan(ds.train_loss).all()
    else:
        wide = [array.astype(np.longdouble) for array in (w, x, y)]
        right = state(*wide, 1e160, naive.Model())["sam_gap"]
        assert int(ds.status) == 1
        assert abs(ds.sam_gap.values[0] / right - 1.0) < 1e-9


def test_train__a_sample_without_patches_beside_an_overflow_that_no_patch_shows() -> None:
    """The signal's negative is shown alone; the sum over its positive side is infinite."""
    weights = np.zeros((2, 2, 2))
    weights[0, :, 0], weights[1, :, 0] = 1.6e308, -1.0
    patches = [[[-1.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0]]]
    problem = simdyn.Problem.from_patches(patches, [1, -1, 1], weights)
    for size in (None, 1):
        plan = simdyn.SGD(learning_rate=0.1, epochs=1, batch_size=size)
        ds = simdyn.train(problem, plan, record=simdyn.Record(variables=("margin",)))
        assert int(ds.status) == 1
        np.testing.assert_allclose(ds.margin.isel(step=0).squeeze(), [-1.0, 0.0, 0.0])
