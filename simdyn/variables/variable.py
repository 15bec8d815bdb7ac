"""What a recorded variable is: its meaning, its dims, what it needs and when it is recorded."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

OUTER = ("method", "replicate")
INNER = ("step", "sign", "filter", "sample", "vector")


Offer = Literal[
    "fresh samples",  # test samples are drawn from the law of the data
    "test samples",  # test samples are given
    "one signal",  # every sample has the one signal
    "one noise",  # every sample has one noise vector
    "dictionary",  # distinct patch vectors that have no names as signal and noise
    "piecewise linear",  # the network, in its weights
    "strides",  # a phase that goes in strides
    "conditions",  # a phase that ends by a condition
    "weights",  # weights whose coordinates mean something, asked for with `Record.weights`
    "solved axis",  # a study that solves for a field
]
"""What a problem, its network and its test can offer, and some variables need."""


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable: what it means, of which problems it can be recorded, and when it is.

    Attributes
    ----------
    dims : tuple of str
        Of `INNER`; the shape of its trace follows from them.
    needs : tuple of str
        What a problem must offer for it (`Offer`): every one of them.
    test : bool
        Is it part of the test error? Then a problem must offer test samples of either kind.
    probe : bool
        Does the kernel have to probe SAM's perturbation or the Hessian for it?
    pooled : bool
        Is it one number for all replicates together?
    recorded : str
        When it is recorded if no variables are named: "always", even beside variables that are;
        "by studies", and by `simulate` and `train`; "in full", by these two only; "on request";
        "by solving": only by studies that solve for a field, and then always.
    """

    symbol: str
    equation: str
    long_name: str
    description: str
    dims: tuple[str, ...] = ("step",)
    units: str = ""  # none: dimensionless
    dtype: str = "float64"
    needs: tuple[Offer, ...] = ()
    test: bool = False
    probe: bool = False
    pooled: bool = False
    recorded: Literal["always", "by studies", "in full", "on request", "by solving"] = "in full"

    @property
    def attrs(self) -> dict[str, str]:
        """Metadata of the labelled variable.

        A dimensionless one has no `units`: xarray would write "[1]" behind its name on an axis.
        """
        return {
            "long_name": self.long_name,
            "symbol": self.symbol,
            **({"units": self.units} if self.units else {}),
            "equation": self.equation,
            "description": self.description,
        }

    def possible(self, offers: Iterable[Offer]) -> bool:
        """Can it be recorded of a problem that offers this?"""
        offers = set(offers)
        tested = not self.test or bool(offers & {"fresh samples", "test samples"})
        return tested and offers >= set(self.needs)
