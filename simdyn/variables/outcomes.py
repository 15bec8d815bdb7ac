"""How a search for a crossing can end: codes, as results hold them, and what they mean."""

import enum


class Outcome(enum.IntEnum):
    """How a search for a crossing ended."""

    MISSING = 0
    FOUND = 1
    ABOVE = 2
    BELOW = 3
    SEVERAL = 4
    NOT_FINITE = 5
    FLAT = 6

    @property
    def located(self) -> bool:
        """Is there a critical value?"""
        return self in (Outcome.FOUND, Outcome.SEVERAL, Outcome.FLAT)


OUTCOMES = {
    Outcome.MISSING: "no answer: not computed yet, masked or failed, as status says",
    Outcome.FOUND: "found",
    Outcome.ABOVE: "above the level in the whole bracket",
    Outcome.BELOW: "below the level in the whole bracket",
    Outcome.SEVERAL: "found, and crossed elsewhere too: of several falls the last is taken, "
    "without a fall the first rise",
    Outcome.NOT_FINITE: "not finite between the two values that bracket it",
    Outcome.FLAT: "found, but without an interval: the slope there is zero, of the other sign, or "
    "not finite",
}
