"""Closed forms of the paper and its neighbours, their regime, and analysis of results.

Source if no other is named: Chen, Zhang, Kou, Chen, Hsieh, Gu, "Why Does Sharpness-Aware
Minimization Generalize Better Than SGD?", NeurIPS 2023 (arXiv 2310.07269), recalled: theorem
numbers and constants are to be checked against its text before they are quoted. Marks: [E] exact,
[N] measured to leading order in a regime, [R] recalled.

Examples
--------
>>> simdyn.theory.critical_signal_norm(dimension=5120, n_samples=20, n_patches=2, noise_std=1.0)
4.0
"""

import importlib
from typing import Any

from simdyn.theory.critical_norms import (
    critical_signal_norm,
    critical_signal_norm_power,
    critical_signal_norm_xor,
)
from simdyn.theory.laws import (
    best_radius,
    deactivation_probability,
    gradient_norm_bound,
    initial_gradient_norm,
    noise_time,
    noise_time_power,
    signal_limit,
    signal_time,
)
from simdyn.theory.predicted import conditions, predictions

__all__ = [
    "best_radius",
    "conditions",
    "critical_signal_norm",
    "critical_signal_norm_power",
    "critical_signal_norm_xor",
    "deactivation_probability",
    "gradient_norm_bound",
    "initial_gradient_norm",
    "noise_time",
    "noise_time_power",
    "predictions",
    "signal_limit",
    "signal_time",
]


def __getattr__(name: str) -> Any:
    """Load the analysis of results when it is first used: it needs xarray."""
    if name == "analysis":
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
