"""The table of claims: measured, judged, and as text, plain data or a dataset."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn.base.inputs import InputError, nearest
from simdyn.claims.claim import CLAIMS, Bench, Claim
from simdyn.claims.verdict import FAILS, FAMILY_ERROR, Finding, Quantity, judge, overall

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class Report:
    """A claim with its findings.

    Attributes
    ----------
    claim : Claim
    findings : tuple of Finding
    verdict : str
    seconds : float
    """

    claim: Claim
    findings: tuple[Finding, ...]
    verdict: str
    seconds: float

    @property
    def plain(self) -> dict[str, Any]:
        """The report as JSON takes it; infinite and missing numbers are null."""

        def number(value: float) -> float | None:
            return value if math.isfinite(value) else None

        return {
            "name": self.claim.name,
            "statement": self.claim.statement,
            "source": self.claim.source,
            "mark": self.claim.mark,
            "regime": self.claim.regime,
            "verdict": self.verdict,
            "not_quick": self.claim.not_quick,
            "quantities": [
                {
                    "name": f.quantity.name,
                    "predicted": number(f.quantity.predicted),
                    "estimate": number(f.estimate),
                    "interval": [number(f.low), number(f.high)],
                    "band": [number(f.quantity.low), number(f.quantity.high)],
                    "reason": f.quantity.reason,
                    "replicates": f.replicates,
                    "verdict": f.verdict,
                    "outside": f.quantity.outside,
                    "small_parameter": f.quantity.small,
                    "replicates_to_decide": number(f.needed),
                }
                for f in self.findings
            ],
        }


def choose(names: Sequence[str] | None) -> list[Claim]:
    """Claims by name; all if none is named.

    Raises
    ------
    InputError
        For a name that is not in the table.
    """
    for name in names or ():
        if name not in CLAIMS:
            raise InputError(f"claim '{name}': {nearest(name, CLAIMS)}")
    return [CLAIMS[name] for name in dict.fromkeys(names or CLAIMS)]


def check(
    names: Sequence[str] | None = None,
    *,
    quick: bool = False,
    threads: int | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> list[Report]:
    """Measure claims and judge them, with a family-wise error of 5 % over all their quantities.

    Parameters
    ----------
    names : sequence of str, optional
        All claims if absent.
    quick : bool
        Fewer replicates and shorter ladders; without what `Claim.not_quick` names.
    threads : int, optional
    progress : callable
        Called with the name of each claim before it is measured.

    Returns
    -------
    list of Report

    Raises
    ------
    InputError
        For a name that is not in the table.
    """
    bench = Bench(quick, threads)
    measured: list[tuple[Claim, list[Quantity], float]] = []
    for claim in choose(names):
        progress(claim.name)
        began = time.perf_counter()
        measured.append((claim, list(claim.measure(bench)), time.perf_counter() - began))
    sampled = sum(not q.exact for _, quantities, _ in measured for q in quantities)
    error = FAMILY_ERROR / max(sampled, 1)
    reports = []
    for claim, quantities, seconds in measured:
        findings = tuple(judge(quantity, error) for quantity in quantities)
        reports.append(Report(claim, findings, overall(findings), seconds))
    return reports


def failed(reports: Sequence[Report]) -> bool:
    """Does any claim fail?"""
    return any(report.verdict == FAILS for report in reports)


def dataset(reports: Sequence[Report], attrs: dict[str, Any]) -> "xr.Dataset":
    """All findings, one along the dim `quantity`."""
    import xarray as xr

    rows = [(report, finding) for report in reports for finding in report.findings]

    def column(values: list[Any], long_name: str) -> tuple[str, np.ndarray, dict[str, str]]:
        return "quantity", np.array(values), {"long_name": long_name}

    return xr.Dataset(
        {
            "estimate": column([f.estimate for _, f in rows], "measured"),
            "low": column([f.low for _, f in rows], "lower end of the interval"),
            "high": column([f.high for _, f in rows], "upper end of the interval"),
            "band_low": column([f.quantity.low for _, f in rows], "lower end of a true claim"),
            "band_high": column([f.quantity.high for _, f in rows], "upper end of a true claim"),
            "predicted": column([f.quantity.predicted for _, f in rows], "predicted"),
            "replicates": column([f.replicates for _, f in rows], "replicates"),
            "needed": column([f.needed for _, f in rows], "replicates that would decide"),
            "verdict": column([f.verdict for _, f in rows], "verdict"),
        },
        {
            "quantity": column([f.quantity.name for _, f in rows], "quantity"),
            "claim": column([r.claim.name for r, _ in rows], "claim"),
            "mark": column([r.claim.mark for r, _ in rows], "how far it is established"),
        },
        {**attrs, "family_error": FAMILY_ERROR},
    )
