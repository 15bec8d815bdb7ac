"""Bad input: checks, and messages of one line with the field, the value, what is allowed."""

import difflib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

MAX_SEED = 2**63 - 1


def check_seed(seed: int) -> int:
    """A seed is an integer from 0 to 2⁶³ − 1."""
    if (
        isinstance(seed, bool)
        or not isinstance(seed, int | np.integer)
        or not 0 <= seed <= MAX_SEED
    ):
        raise InputError(f"seed = {seed!r}: allowed is an integer from 0 to 2**63 - 1")
    return int(seed)


def check_replicates(replicates: int) -> int:
    """The number of replicates is an integer from 1 to 2²⁴."""
    integer = isinstance(replicates, int | np.integer) and not isinstance(replicates, bool)
    if not integer or not 1 <= replicates <= 2**24:
        raise InputError(f"replicates = {replicates!r}: allowed is an integer from 1 to 2**24")
    return int(replicates)


class InputError(ValueError):
    """Bad input: one clear line with the field, its value and what is allowed.

    Examples
    --------
    >>> simdyn.SGD(learning_rate=-1.0, epochs=5)
    Traceback (most recent call last):
    simdyn.base.inputs.InputError: SGD.learning_rate = -1.0: allowed is a finite number > 0, ...
    """

    LONGEST = 2000  # characters of a message

    def __init__(self, message: str) -> None:
        line = " ".join(message.splitlines())
        if len(line) > self.LONGEST:  # cut in the middle: both ends explain the problem
            line = f"{line[: self.LONGEST // 2]} … {line[-self.LONGEST // 2 :]}"
        # Control characters and lone surrogates are shown as escapes.
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))


class SeveralMistakes(InputError):
    """Bad input in several fields: a line for each."""

    def __init__(self, lines: Iterable[str]) -> None:
        each = [str(InputError(line)) for line in lines]
        ValueError.__init__(self, "\n".join(each))


class LeftUndone(InputError):
    """A run ended with blocks that are not done; the others are in the store."""


# What other papers and libraries call a field, in small letters except where that would be another
# name, and the fields that may be meant: the first that is valid where the name stands.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate",),
    "eta": ("learning_rate",),
    "η": ("learning_rate",),
    "step_size": ("learning_rate",),
    "schedule": ("learning_rate",),
    "scheduler": ("learning_rate",),
    "rho": ("radius",),
    "tau": ("radius",),
    "τ": ("radius",),
    "beta": ("momentum",),
    "beta1": ("momentum",),
    "mu": ("signal_norm", "momentum"),
    "μ": ("signal_norm", "momentum"),
    "signal": ("signal_norm",),
    "signal_strength": ("signal_norm",),
    "snr": ("signal_norm",),
    "wd": ("weight_decay",),
    "decay": ("weight_decay",),
    "l2": ("weight_decay",),
    "lambda": ("weight_decay",),
    "d": ("dimension",),
    "dim": ("dimension",),
    "n_features": ("dimension",),
    "features": ("dimension",),
    "n": ("n_samples",),
    "n_train": ("n_samples",),
    "num_samples": ("n_samples",),
    "samples": ("n_samples",),
    "m": ("n_filters",),
    "width": ("n_filters",),
    "hidden": ("n_filters",),
    "n_neurons": ("n_filters",),
    "neurons": ("n_filters",),
    "channels": ("n_filters",),
    "P": ("n_patches",),
    "patches": ("n_patches",),
    "p": ("label_flip", "label_noise"),
    "flip": ("label_flip", "label_noise"),
    "label_noise": ("label_flip",),
    "noise_rate": ("label_flip",),
    "sigma": ("noise_std", "init_std"),
    "σ": ("noise_std", "init_std"),
    "std": ("noise_std", "init_std"),
    "sigma_p": ("noise_std",),
    "σ_p": ("noise_std",),
    "noise_level": ("noise_std",),
    "sigma_0": ("init_std",),
    "sigma0": ("init_std",),
    "σ_0": ("init_std",),
    "init_scale": ("init_std",),
    "b": ("batch_size",),
    "bs": ("batch_size",),
    "batch": ("batch_size",),
    "t": ("epochs",),
    "steps": ("epochs",),
    "iterations": ("epochs",),
    "n_epochs": ("epochs",),
    "num_epochs": ("epochs",),
    "early_stopping": ("until",),
    "stop": ("until",),
    "q": ("activation_shape",),
    "nonlinearity": ("activation",),
    "optimizer": ("optimiser",),
    "runs": ("replicates",),
    "repeats": ("replicates",),
    "trials": ("replicates",),
    "n_seeds": ("replicates",),
    "random_state": ("seed",),
    "random_seed": ("seed",),
    "model": ("network",),
    "net": ("network",),
    "dataset": ("data",),
    "optimizers": ("methods",),
    "grid": ("space",),
    "sweep": ("space",),
    "plot": ("figure",),
    "metrics": ("variables",),
    "loss": ("train_loss",),
    "accuracy": ("test_error",),
    "test_accuracy": ("test_error",),
    "gamma": ("signal_coef",),
    "γ": ("signal_coef",),
    "ρ": ("radius", "noise_coef"),
}


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint for another or a misspelt name: the valid one that is meant, then all of them."""
    valid = list(valid)
    meant = SYNONYMS.get(name) or SYNONYMS.get(name.lower(), ())
    found = next((other for other in meant if other in valid), None)
    if found is None:
        known = {other.lower(): other for other in reversed(valid)}
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        found = known[close[0]] if close else None
    hint = f"did you mean '{found}'? " if found else ""
    return f"{hint}Allowed: {', '.join(valid) or 'none'}"


def shown(value: Any, most: int = 80) -> str:
    """A value as messages show it: its repr, cut if it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def with_prefix(prefix: str, problem: InputError) -> InputError:
    """The same problem, each of its lines with a prefix, such as the file that it is in."""
    lines = str(problem).splitlines()
    if len(lines) > 1:
        return SeveralMistakes(f"{prefix}{line}" for line in lines)
    return InputError(f"{prefix}{problem}")


def is_plain_number(value: Any) -> bool:
    """Is it an int or a float, and not a boolean?"""
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_float(value: float) -> float:
    """A number in double precision; infinite if it does not fit."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
