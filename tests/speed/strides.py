"""Strides against exact updates, over random settings: errors, estimated errors and time.

    python tests/speed/strides.py --optimiser SAM --settings 200 --updates 1e5 --tolerance 1e-3

Prints percentiles over the settings, which lie in and out of the theory's regime: of the largest
error of γ, margins and ρ, each over its largest value; of the error of the test error; of the
variable `stride_error`; of exact updates and strides; and of the time of exact updates over that of
strides. Then how often `stride_error` is at least the error of the margins.
"""

import argparse
import time

import numpy as np
from settings import setting

from simdyn import Record, simulate

parser = argparse.ArgumentParser()
parser.add_argument("--optimiser", choices=["SGD", "SAM"], default="SGD")
parser.add_argument("--settings", type=int, default=200)
parser.add_argument("--updates", type=float, default=1e5)
parser.add_argument("--tolerance", type=float, default=1e-3)
given = parser.parse_args()

RECORDED = ("margin", "signal_coef", "noise_coef", "test_error")
COUNTED = ("strides", "exact_updates", "rejected_strides", "stride_error")

rng, rows, share = np.random.default_rng(7), [], []
for seed in range(given.settings):
    data, net, exact = setting(rng, given.optimiser, int(given.updates))
    strided = exact.replace(stepping="strides", stride_tolerance=given.tolerance)
    found, seconds = [], []
    for phase, names in ((exact, RECORDED), (strided, RECORDED), (strided, RECORDED + COUNTED)):
        record = Record(every=exact.epochs, variables=names)
        begun = time.perf_counter()
        ds = simulate(data, net, phase, seed=seed, record=record, threads=1)
        seconds.append(time.perf_counter() - begun)
        found.append(ds.isel(step=-1, replicate=0))
    true, _, ours = found
    errors = [
        float(np.abs(ours[name] - true[name]).max() / np.abs(true[name]).max())
        for name in ("signal_coef", "margin", "noise_coef")
    ]
    steps = float(ours.strides + ours.exact_updates + ours.rejected_strides)
    test = float(abs(ours.test_error - true.test_error))
    rows.append([*errors, test, float(ours.stride_error), steps, seconds[0] / seconds[1]])
    share.append(float(ours.stride_error) >= errors[1])
print(f"{given.optimiser}, {given.settings} settings, {given.updates:g} updates")
print("      γ        margins  ρ        test err estimate steps    time ratio")
for q in (50, 90, 99):
    print(f"{q:2d} %  " + "  ".join(f"{x:7.1e}" for x in np.percentile(rows[1:], q, axis=0)))
print(f"estimate covers the error of the margins in {np.mean(share):.1%} of the settings")
