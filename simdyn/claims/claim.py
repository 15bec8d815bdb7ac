"""What a claim is, and the bench it is measured on."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simdyn.api.study import Study
from simdyn.claims.verdict import Quantity
from simdyn.params import Crossing, Phase, Record

if TYPE_CHECKING:
    import xarray as xr

PAPER = "Chen et al., NeurIPS 2023 (arXiv 2310.07269)"
EXACT, LEADING, RECALLED = "exact", "leading order", "recalled"


@dataclasses.dataclass(frozen=True)
class Bench:
    """How claims are measured: with how many replicates, on how many cores.

    Attributes
    ----------
    quick : bool
        Fewer replicates and shorter ladders.
    threads : int, optional
    """

    quick: bool = False
    threads: int | None = None

    def replicates(self, quick: int, full: int) -> int:
        """The number of replicates, of the two given."""
        return quick if self.quick else full

    def run(
        self,
        data: Mapping[str, Any],
        net: Mapping[str, Any],
        methods: Mapping[str, Sequence[Phase | Mapping[str, Any]] | Phase],
        replicates: int,
        space: Mapping[str, Any] | None = None,
        **record: Any,
    ) -> "xr.Dataset":
        """Results of a small study, in memory; `record` are fields of Record.

        A phase may be a table with formulas, as in a study file.
        """
        plans = {
            name: [plan] if isinstance(plan, Phase) else list(plan)
            for name, plan in methods.items()
        }
        study = Study(data, net, plans, space, replicates=replicates, record=Record(**record))
        return study.run(threads=self.threads)

    def solve(
        self,
        data: Mapping[str, Any],
        net: Mapping[str, Any],
        methods: Mapping[str, Sequence[Phase | Mapping[str, Any]]],
        replicates: int,
        space: Mapping[str, Any],
        crossing: Crossing,
    ) -> "xr.Dataset":
        """Critical values of a small study, in memory."""
        study = Study(data, net, methods, space, replicates=replicates, solve=crossing)
        return study.run(threads=self.threads)


Measure = Callable[[Bench], Iterable[Quantity]]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement about the dynamics, and how it is measured.

    Attributes
    ----------
    name : str
    statement, source, regime : str
    mark : {"exact", "leading order", "recalled"}
    measure : callable
        Runs small studies on a bench and returns quantities with the bands of a true claim.
    not_quick : str
        What a quick bench leaves out, as it takes too many runs to decide; empty if nothing.
    """

    name: str
    statement: str
    source: str
    mark: str
    regime: str
    measure: Measure
    not_quick: str = ""


CLAIMS: dict[str, Claim] = {}


def claim(
    name: str, statement: str, *, mark: str, regime: str, source: str = PAPER, not_quick: str = ""
) -> Callable[[Measure], Measure]:
    """Decorate the function that measures a claim, and enter the claim into the table."""

    def enter(measure: Measure) -> Measure:
        CLAIMS[name] = Claim(name, statement, source, mark, regime, measure, not_quick)
        return measure

    return enter
