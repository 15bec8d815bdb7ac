"""The recipes of CONTRIBUTING.md, applied to a copy of the package: each must work as it says.

Each recipe has a check below, a function without arguments that runs in a process of its own with
the changed copy. Kernels that a recipe changes are not compiled, which would take half a minute.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SIGNS = np.array([1.0, -1.0])


class Recipe(NamedTuple):
    """A section of CONTRIBUTING.md."""

    files: int  # that it touches, as its heading says
    diff: str


def recipes() -> dict[str, Recipe]:
    """All recipes by their headings."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"^##+ ", text, flags=re.MULTILINE):
        if heading := re.match(r"(.+) \((\d+) files?\)\n", section):
            (diff,) = re.findall(r"^```diff\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
            found[heading[1]] = Recipe(int(heading[2]), diff)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a package."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", recipes())
def test_recipe__touches_the_files_it_says_and_works(name: str, tmp_path: Path) -> None:
    files, diff = recipes()[name]
    package = tmp_path / "simdyn"
    shutil.copytree(ROOT / "simdyn", package, ignore=shutil.ignore_patterns("__pycache__"))
    before = contents(package)
    environment = os.environ | {
        "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
        "NUMBA_DISABLE_JIT": str(int("simdyn/kernels/" in diff)),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "tests")]),
    }

    def run(*command: str, text: str | None = None) -> None:
        done = subprocess.run(
            command, input=text, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("git", "apply", "--whitespace=error", text=diff)
    after = contents(package)
    assert before.keys() <= after.keys()
    changed = [file for file in after if after[file] != before.get(file)]
    assert len(changed) == files, changed
    paths = [str(package / file) for file in changed]
    for options in (["check"], ["format", "--check"]):
        run("ruff", *options, "--no-cache", "--config", str(ROOT / "pyproject.toml"), *paths)
    check = CHECKS[name].__name__
    run(sys.executable, "-c", f"import test_recipes; test_recipes.run({check!r}, {str(package)!r})")


def test_recipes__each_has_a_check() -> None:
    assert recipes().keys() <= CHECKS.keys()
    assert recipes()


# -- what runs on the changed copy ---------------------------------------------------------------


def run(check: str, package: str) -> None:
    """Run a check by its name, with the package of that folder."""
    import numba

    import simdyn

    assert simdyn.__file__ == os.path.join(package, "__init__.py")
    if numba.config.DISABLE_JIT:
        import uncompiled

        uncompiled.replace_intrinsics()
    globals()[check]()


Function = Callable[[np.ndarray], np.ndarray]


def relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0.0)


def relu_slope(z: np.ndarray) -> np.ndarray:
    return (z > 0.0).astype(float)


def logistic_slope(margins: np.ndarray) -> np.ndarray:
    return -1.0 / (1.0 + np.exp(margins))


class Plain(NamedTuple):
    """A small problem as plain arrays, and its network in weight space."""

    patches: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    activate: Function = relu
    slope: Function = relu_slope
    loss_slope: Function = logistic_slope

    def outputs(self, weights: np.ndarray) -> np.ndarray:
        z = np.einsum("jmd,npd->jmnp", weights, self.patches)
        return np.einsum("j,jmnp->n", SIGNS, self.activate(z)) / weights.shape[1]

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        z = np.einsum("jmd,npd->jmnp", weights, self.patches)
        pulls = self.labels * self.loss_slope(self.labels * self.outputs(weights))
        total = np.einsum("j,n,jmnp,npd->jmd", SIGNS, pulls, self.slope(z), self.patches)
        return total / (len(self.labels) * weights.shape[1])

    def trained(self, rate: float, updates: int, radius: float = 0.0) -> np.ndarray:
        """The weights after some updates of SGD or SAM with the whole batch."""
        weights = self.weights
        for _ in range(updates):
            ascent = self.gradient(weights)
            at = weights + radius * ascent / np.linalg.norm(ascent)
            weights = weights - rate * self.gradient(at)
        return weights


def plain(**functions: Function) -> Plain:
    rng = np.random.default_rng(0)
    patches, labels = rng.standard_normal((6, 3, 5)), rng.choice(SIGNS, 6)
    return Plain(patches, labels, 0.5 * rng.standard_normal((2, 4, 5)), **functions)


def trained(problem: Plain, plan: Any, *variables: str, **network: Any) -> Any:
    """What simdyn records of the plan, with the weights."""
    import simdyn

    explicit = simdyn.Problem.from_patches(
        problem.patches, problem.labels, problem.weights, **network
    )
    record = simdyn.Record(weights=True, variables=("train_loss", *variables))
    return simdyn.train(explicit, plan, record=record)


def check_network(problem: Plain, formula: Function, **network: Any) -> None:
    """SGD and SAM train a network as weight space has it, and the loss is recorded."""
    import simdyn

    for radius in (0.0, 0.1):
        plan = simdyn.SAM(radius=radius, learning_rate=0.5, epochs=20)
        ds = trained(problem, plan, **network)
        weights = problem.trained(0.5, 20, radius)
        assert np.abs(weights - problem.weights).max() > 0.1
        np.testing.assert_allclose(ds.weights[-1], weights, rtol=1e-9, atol=1e-12)
        margins = problem.labels * problem.outputs(weights)
        np.testing.assert_allclose(ds.train_loss[-1], formula(margins).mean(), rtol=1e-9)
    data = simdyn.SignalNoiseData(n_samples=4, dimension=50, signal_norm=2.0)
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.1, **network)
    ds = simdyn.simulate(data, net, simdyn.SGD(learning_rate=0.1, epochs=3))
    assert np.isfinite(ds.test_error).all()


def check_activation() -> None:
    """Softplus, log(1 + e^z)."""
    problem = plain(
        activate=lambda z: np.logaddexp(0.0, z), slope=lambda z: 1.0 / (1.0 + np.exp(-z))
    )
    check_network(problem, lambda margins: np.logaddexp(0.0, -margins), activation="softplus")


def check_loss() -> None:
    """The squared hinge loss, max(0, 1 − y f)²."""
    problem = plain(loss_slope=lambda margins: -2.0 * relu(1.0 - margins))
    check_network(problem, lambda margins: relu(1.0 - margins) ** 2, loss="squared_hinge")


def check_rule() -> None:
    """Nesterov's momentum: v ← β v + ∇L(W), W ← W − η (∇L(W) + β v)."""
    import simdyn

    problem = plain()
    weights, velocity = problem.weights, np.zeros_like(problem.weights)
    for _ in range(20):
        pull = problem.gradient(weights)
        velocity = 0.9 * velocity + pull
        weights = weights - 0.2 * (pull + 0.9 * velocity)
    rule: dict[str, Any] = {"learning_rate": 0.2, "epochs": 20, "momentum": 0.9}
    ds = trained(problem, simdyn.SGD(**rule, nesterov=True))
    np.testing.assert_allclose(ds.weights[-1], weights, rtol=1e-9, atol=1e-12)
    heavy = trained(problem, simdyn.SGD(**rule))
    assert np.abs(heavy.weights[-1] - weights).max() > 0.01


def check_law() -> None:
    """Samples show the signal in a given share only; without noise the others say nothing."""
    import simdyn
    from simdyn.params import MODELS

    law = MODELS["sparse_signal"]
    data = law(n_samples=200, dimension=50, signal_norm=2.0, noise_std=0.0, shown=0.25)
    net = simdyn.TwoLayerCNN(n_filters=3, init_std=0.1)
    plan = simdyn.SGD(learning_rate=1.0, epochs=20)
    variables = ("margin", "test_error")
    record = simdyn.Record(every=20, variables=variables, test_estimator="counted")
    last = simdyn.simulate(data, net, plan, record=record).isel(replicate=0, step=-1)
    shown = last.margin.values > 0.0
    assert ((last.margin.values == 0.0) | shown).all()
    assert abs(shown.mean() - 0.25) < 0.15  # 5 standard deviations
    # Those that show it are right, and of the others half.
    assert abs(float(last.test_error) - 0.75 / 2) < 0.1
    study = simdyn.Study(
        {"model": "sparse_signal", "n_samples": 4, "dimension": 20, "signal_norm": 1.0},
        net,
        {"sgd": [plan]},
        {"shown": [0.0, 1.0]},
    )
    assert (study.run().status == 1).all()


def check_variable() -> None:
    """How far the filters are from their initial weights, ‖W − aW(0)‖_F."""
    import simdyn
    from simdyn.variables.registry import VARIABLES

    plan = simdyn.SGD(learning_rate=0.5, epochs=10, weight_decay=0.1)
    problem = plain()
    ds = trained(problem, plan, "movement_norm", "initial_share")
    share = ds.initial_share.values[:, None, None, None]
    moved = ds.weights.values - share * problem.weights
    norms = np.sqrt((moved**2).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(ds.movement_norm, norms, rtol=1e-9, atol=1e-12)
    assert len(np.unique(ds.movement_norm)) == 11
    assert ds.movement_norm.attrs["equation"] == VARIABLES["movement_norm"].equation != ""
    data = simdyn.SignalNoiseData(n_samples=4, dimension=10**4, signal_norm=2.0)
    net = simdyn.TwoLayerCNN(n_filters=3, init_std=0.01)
    record = simdyn.Record(variables=("movement_norm",))
    drawn = simdyn.simulate(data, net, plan, record=record).movement_norm.isel(replicate=0)
    assert drawn[0] == 0.0
    assert (drawn[1:] > 0.0).all()


def check_figure() -> None:
    """A histogram of a variable over replicates, whose bars hold every run."""
    import simdyn
    from simdyn.params import made_picture
    from simdyn.plot import draw

    study = simdyn.Study(
        {"n_samples": 4, "dimension": 20, "signal_norm": 1.0},
        {"n_filters": 2, "init_std": 0.1},
        {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=2)]},
        replicates=12,
        figure=made_picture({"kind": "histogram", "variable": "train_loss"}),
    )
    drawn = draw(study.run(), study.figure)
    (stairs,) = drawn.axes[0].patches
    counts = stairs.get_data().values
    assert counts.size > 1
    assert counts.sum() == 12
    with pytest.raises(simdyn.InputError, match="variable"):
        simdyn.Study(
            {"n_samples": 4, "dimension": 20, "signal_norm": 1.0},
            {"n_filters": 2, "init_std": 0.1},
            {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=2)]},
            figure=made_picture({"kind": "histogram", "variable": "nonsense"}),
        )


def check_claim() -> None:
    """SAM of radius 0 is SGD: in the table, measured, and true."""
    from simdyn.claims import check

    (report,) = check(["radius-zero"], quick=True, threads=1)
    assert report.verdict == "holds"
    assert report.findings


CHECKS: dict[str, Callable[[], None]] = {
    "An activation": check_activation,
    "A loss": check_loss,
    "An optimiser rule": check_rule,
    "A law of data": check_law,
    "A recorded variable": check_variable,
    "A kind of figure": check_figure,
    "A claim": check_claim,
}
