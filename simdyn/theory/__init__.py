"""Closed forms of the paper and its neighbours (`laws`), their regime, and what results say."""

from simdyn.theory.laws import (
    best_radius,
    conditions,
    critical_signal_norm,
    critical_signal_norm_power,
    critical_signal_norm_xor,
    deactivation_probability,
    gradient_norm_bound,
    initial_gradient_norm,
    noise_time,
    noise_time_power,
    signal_limit,
    signal_strength,
    signal_time,
)

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
    "signal_limit",
    "signal_strength",
    "signal_time",
]
