"""Explicit data: what `Problem.from_patches` and `train` refuse, and in which words."""

from collections.abc import Callable
from typing import Any

import common
import numpy as np
import pytest

from simdyn import SGD, Problem, Record, train

N, P, D, M = 4, 3, 6, 2
DRAW = np.random.default_rng(0)
PATCHES = DRAW.normal(size=(N, P, D))
LABELS = np.array([1.0, -1.0, 1.0, -1.0])
WEIGHTS = DRAW.normal(size=(2, M, D)) * 0.1
SIGNAL = np.eye(D)[0] * 2
NOISE = DRAW.normal(size=(N, D))
# A patch ±μ in any place, and one noise vector in all others.
NAMED = np.repeat(NOISE[:, None], P, axis=1)
TRUTH = np.array([1.0, -1.0, -1.0, 1.0])
for _i in range(N):
    NAMED[_i, _i % P] = TRUTH[_i] * SIGNAL
PLAN = SGD(learning_rate=0.1, epochs=2)


def plain(**changes: Any) -> Problem:
    given: dict[str, Any] = {"patches": PATCHES, "labels": LABELS, "weights": WEIGHTS, **changes}
    return Problem.from_patches(
        given.pop("patches"), given.pop("labels"), given.pop("weights"), **given
    )


def named(**changes: Any) -> Problem:
    return plain(**{"patches": NAMED, "signal": SIGNAL, **changes})


def refusal(call: Callable[[], Any]) -> str:
    message = common.refusal(call)
    assert len(message) < 500
    return message


def put(array: np.ndarray, at: tuple[int, ...], value: float) -> np.ndarray:
    changed = np.array(array, dtype=float)
    changed[at] = value
    return changed


def test_from_patches__good_input_runs() -> None:
    for problem in (
        plain(),
        named(),
        named(true_labels=TRUTH),
        named(noise_std=1.0),
        plain(test_patches=PATCHES, test_labels=LABELS),
        plain(patches=PATCHES.tolist()),
        plain(labels=[1, -1, 1, -1]),
        plain(patches=PATCHES.astype(np.float32)),
    ):
        results = train(problem, PLAN)
        assert np.isfinite(results["train_loss"].values).all()
        assert results["status"] == 1


def test_from_patches__reads_true_labels_off_the_patches() -> None:
    read, told = named().arrays, named(true_labels=TRUTH).arrays
    np.testing.assert_array_equal(read.true_labels, TRUTH)
    np.testing.assert_array_equal(told.true_labels, TRUTH)


@pytest.mark.parametrize(
    ("patches", "signal"),
    [
        (np.float32, np.float64),
        (np.float64, np.float32),
        (np.float32, np.float32),
        (np.float16, np.float64),
        (np.float64, np.float16),
    ],
)
def test_from_patches__compares_the_signal_at_the_coarser_precision(
    patches: type, signal: type
) -> None:
    direction = np.arange(1, D + 1) / 3.0  # no entry has a short binary form
    made = NAMED.copy()
    for i in range(N):
        made[i, i % P] = TRUTH[i] * direction
    problem = named(patches=made.astype(patches), signal=direction.astype(signal))
    np.testing.assert_array_equal(problem.arrays.true_labels, TRUTH)
    np.testing.assert_array_equal(problem.vectors[0], direction.astype(patches))  # as trained on
    other = direction * (1 + 4 * np.finfo(patches).eps + 4 * np.finfo(signal).eps)
    assert "no patch equals the signal" in refusal(
        lambda: named(patches=made.astype(patches), signal=other.astype(signal))
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patches": PATCHES[0]}, "patches has shape (3, 6): allowed is (any, any, any)"),
        ({"patches": PATCHES[:0]}, "patches has shape (0, 3, 6): allowed is"),
        ({"patches": PATCHES[:, :0]}, "patches has shape (4, 0, 6)"),
        ({"patches": PATCHES[:, :, :0]}, "patches has shape (4, 3, 0)"),
        ({"patches": 5}, "patches has shape ("),
        ({"patches": None}, "patches"),
        ({"patches": "abc"}, "patches: allowed is an array of numbers"),
        ({"patches": [[[1.0], [2.0, 3.0]]]}, "patches: allowed is an array of numbers"),
        ({"patches": {"a": 1}}, "patches: allowed is an array of numbers"),
        ({"patches": PATCHES.astype(complex)}, "patches"),
        ({"patches": PATCHES.astype(str)}, "patches: allowed is an array of numbers"),
        ({"patches": put(PATCHES, (2, 1, 0), np.nan)}, "patches[2, 1, 0] = nan: allowed are"),
        ({"patches": put(PATCHES, (0, 0, 5), -np.inf)}, "patches[0, 0, 5] = -inf"),
        ({"patches": np.zeros((N, P, D))}, "patches: all are zero"),
        ({"labels": LABELS[:3]}, "labels has shape (3,): allowed is (4)"),
        ({"labels": LABELS[:, None]}, "labels has shape (4, 1)"),
        ({"labels": None}, "labels"),
        ({"labels": [1, -1, 0, 1]}, "labels[2] = 0: allowed are +1 and -1"),
        ({"labels": [1, -1, 2, 1]}, "labels[2] = 2: allowed are +1 and -1"),
        ({"labels": [1, -1, 0.5, 1]}, "labels[2] = 0.5"),
        ({"labels": [1, -1, np.nan, 1]}, "labels["),
        ({"labels": ["a", "b", "a", "b"]}, "labels: allowed is an array of numbers"),
        ({"labels": [True, False, True, False]}, "labels"),
        ({"weights": WEIGHTS[0]}, "weights has shape (2, 6): allowed is (2, any, 6)"),
        ({"weights": WEIGHTS[:1]}, "weights has shape (1, 2, 6): allowed is (2, any, 6)"),
        ({"weights": WEIGHTS[:, :0]}, "weights has shape (2, 0, 6)"),
        ({"weights": WEIGHTS[:, :, :5]}, "weights has shape (2, 2, 5): allowed is (2, any, 6)"),
        ({"weights": put(WEIGHTS, (1, 0, 3), np.inf)}, "weights[1, 0, 3] = inf"),
        ({"true_labels": TRUTH}, "true_labels is given without signal"),
        ({"noise_std": 1.0}, "noise_std is given without signal"),
        ({"test_patches": PATCHES}, "test_patches and test_labels: allowed only together"),
        ({"test_labels": LABELS}, "test_patches and test_labels: allowed only together"),
        (
            {"test_patches": PATCHES[:, :, :5], "test_labels": LABELS},
            "test_patches has shape (4, 3, 5): allowed is (any, any, 6)",
        ),
        ({"test_patches": PATCHES, "test_labels": LABELS[:2]}, "test_labels has shape (2,)"),
        ({"test_patches": PATCHES, "test_labels": LABELS * 2}, "test_labels[0] = 2"),
        (
            {"test_patches": put(PATCHES, (0, 0, 0), np.nan), "test_labels": LABELS},
            "test_patches[0, 0, 0] = nan",
        ),
        ({"test_patches": PATCHES[:0], "test_labels": LABELS[:0]}, "test_patches has shape (0,"),
    ],
)
def test_from_patches__bad_input(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: plain(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"signal": SIGNAL[:5]}, "signal has shape (5,): allowed is (6)"),
        ({"signal": SIGNAL[None]}, "signal has shape (1, 6)"),
        ({"signal": put(SIGNAL, (1,), np.nan)}, "signal[1] = nan"),
        ({"signal": "mu"}, "signal: allowed is an array of numbers"),
        ({"signal": SIGNAL * 1.5}, "patches[0]: no patch equals the signal times ±1"),
        ({"signal": np.nextafter(SIGNAL, 9)}, "patches[0]: no patch equals the signal"),
        ({"patches": put(NAMED, (2, 2, 0), 7)}, "patches[2]: no patch equals the signal"),
        ({"patches": put(NAMED, (1, 0, 4), 7)}, "patches[1]: beside the signal, all patches"),
        ({"patches": NAMED[:, :1]}, "with a signal, allowed are ≥ 2"),
        ({"signal": np.zeros(D)}, "true_labels is missing: a zero signal does not tell them"),
        ({"true_labels": -TRUTH}, "patches[0]: no patch equals the signal times its true label"),
        ({"true_labels": TRUTH[:2]}, "true_labels has shape (2,): allowed is (4)"),
        ({"true_labels": TRUTH * 0}, "true_labels[0] = 0: allowed are +1 and -1"),
        ({"noise_std": -1.0}, "noise_std = -1.0: allowed is a finite number ≥ 0"),
        ({"noise_std": np.nan}, "noise_std = nan"),
        ({"noise_std": np.inf}, "noise_std = inf"),
        ({"noise_std": "1"}, "noise_std = '1'"),
        ({"noise_std": True}, "noise_std = True"),
        ({"noise_std": [1.0]}, "noise_std = [1.0]"),
        (
            {"noise_std": 1.0, "test_patches": NAMED, "test_labels": LABELS},
            "noise_std and test_patches: allowed is one of them",
        ),
    ],
)
def test_from_patches__bad_input_with_a_signal(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: named(**changes))


def test_from_patches__does_not_keep_or_change_what_it_is_given() -> None:
    patches, labels, weights = PATCHES.copy(), LABELS.copy(), WEIGHTS.copy()
    problem = plain(patches=patches, labels=labels, weights=weights)
    before = train(problem, PLAN, record=Record(weights=True))
    for array, original in ((patches, PATCHES), (labels, LABELS), (weights, WEIGHTS)):
        np.testing.assert_array_equal(array, original)
        array[:] = 1.0
    after = train(problem, PLAN, record=Record(weights=True))
    for name in before.data_vars:
        np.testing.assert_array_equal(after[name].values, before[name].values, err_msg=str(name))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((PATCHES, PLAN), {}, "problem: allowed is a simdyn.Problem"),
        ((None, PLAN), {}, "problem: allowed is a simdyn.Problem"),
        ((plain(), []), {}, "plan = []: allowed is a non-empty list"),
        ((plain(), "SGD"), {}, "plan = 'SGD'"),
        ((plain(), None), {}, "plan = None"),
        ((plain(), PLAN), {"seed": -1}, "seed = -1"),
        ((plain(), PLAN), {"seed": 0.5}, "seed = 0.5"),
        ((plain(), PLAN), {"record": {"every": 1}}, "record = {'every': 1}"),
        ((plain(), PLAN), {"record": Record(variables=["test_error"])}, "'test_error' is not"),
        ((plain(), PLAN), {"record": Record(variables=["signal_coef"])}, "'signal_coef' is not"),
        ((named(), PLAN), {"record": Record(variables=["coef"])}, "'coef' is not available"),
        ((plain(), SGD(learning_rate=0.1, epochs=1, batch_size=5)), {}, "to n_samples = 4"),
        ((plain(), SGD(learning_rate=0.1, epochs=1, batch_size=3)), {}, "3 does not divide"),
        ((plain(), SGD(learning_rate=0.1, epochs=10**13)), {"record": Record(every=1)}, "allowed"),
    ],
)
def test_train__bad_input(arguments: tuple[Any, ...], options: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: train(*arguments, **options))
