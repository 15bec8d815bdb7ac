"""The paper as checks that run: theory beside measurement, with verdicts.

A claim is a function that runs small studies and returns quantities, under the decorator `claim`
that states what is claimed. All modules of this folder are loaded, and each may hold claims:
`exact` has those that are true to rounding, `repeated` and `fresh_samples` those true in law;
`gradients`, `neurons` and `times` are about neurons, `errors` about test errors, `lines` about
critical lines, `radius` about the choice of SAM's radius.
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

FIRST = (
    *("exact", "repeated", "fresh_samples", "gradients", "neurons", "times", "errors", "lines"),
    "radius",
)
# The table has the claims of these modules first, then those of other modules by name.
for _name in (*FIRST, *(module.name for module in pkgutil.iter_modules(__path__))):
    importlib.import_module(f"{__name__}.{_name}")
