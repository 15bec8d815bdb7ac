"""The paper as checks that run: theory beside measurement, with verdicts.

A claim is one entry: a function that runs small studies and returns quantities, under the
decorator `claim` that states what is claimed. Any module of this folder may hold claims, and all of
them are loaded here: `exact` holds what is true to rounding, `repeated` and `fresh_samples` what is
true in law, `gradients`, `neurons` and `times` what neurons do, `errors` what happens to the test
error, `radius` how to choose SAM's radius.
"""

import importlib
import pkgutil

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
    "failed",
]

FIRST = ("exact", "repeated", "fresh_samples", "gradients", "neurons", "times", "errors", "radius")
# The table has the claims of these modules first, then those of others by name
for _name in (*FIRST, *(module.name for module in pkgutil.iter_modules(__path__))):
    importlib.import_module(f"{__name__}.{_name}")
