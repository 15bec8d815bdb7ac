"""The paper as checks that run: theory beside measurement, with verdicts.

A claim is one entry: a function that runs small studies and returns quantities, under the
decorator `claim` that states what is claimed. `exact` holds what is true to rounding, `repeated`
what is true in law, `neurons` what neurons do, `errors` what becomes of the test error, `radius`
how SAM's radius is to be chosen.
"""

from simdyn.claims import exact, repeated, neurons, errors, radius  # isort: skip  (table order)
from simdyn.claims.claim import CLAIMS, Bench, Claim
from simdyn.claims.table import Report, check, choose, dataset, failed
from simdyn.claims.verdict import FAMILY_ERROR

__all__ = [
    "CLAIMS",
    "FAMILY_ERROR",
    "Bench",
    "Claim",
    "Report",
    "check",
    "choose",
    "dataset",
    "errors",
    "exact",
    "failed",
    "neurons",
    "radius",
    "repeated",
]
