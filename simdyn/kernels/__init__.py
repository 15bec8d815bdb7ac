"""Everything compiled: random, sampling, network, gradient, train, observe, probes and risk.

No other room imports numba. A kernel takes named tuples and arrays and returns arrays and
status codes; it never raises and knows neither files nor labels.
"""

NUMERICS_VERSION = 6
"""Goes up whenever a change alters the numbers; part of every study's fingerprint."""

LANCZOS_STEPS = 64
"""At most, for a sharpness."""
