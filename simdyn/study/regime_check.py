"""Does a study lie in the regime for which the laws of `simdyn.theory` are derived?"""

import itertools
from collections.abc import Iterator

from simdyn.base.inputs import InputError
from simdyn.space.spread import spread
from simdyn.study.design import StudyDesign
from simdyn.theory.regime import REASONS, describe, regime

LOOKED_AT, CORNERS = 100, 128  # points of a study that stand for all: spread, and corners


def _representative(study: StudyDesign) -> Iterator[tuple[int, ...]]:
    """Corners of the space, and points spread evenly over it; all points of a small one."""
    shape = study.space.shape
    corners = itertools.product(*({0, size - 1} for size in shape))
    every = itertools.chain(itertools.islice(corners, CORNERS), spread(shape, LOOKED_AT))
    yield from dict.fromkeys(every)


def outside(study: StudyDesign) -> str:
    """In one line why a study lies outside the regime of the laws; empty if it lies inside.

    Some hundred points stand for a larger space: its corners, and points spread evenly. A study for
    which no law is derived gives an empty line, too.
    """
    numbers: dict[str, list[float]] = {}
    places: dict[str, set[tuple[int, ...]]] = {}
    looked_at = 0
    for index in _representative(study):
        try:
            if not study.space.wanted(index):
                continue
            point = study.space.point(index)
        except InputError:  # a corner of a large space that was not checked
            continue
        looked_at += 1
        for plan in point.plans:
            for kind, value in regime(point.data, point.net, plan).numbers.items():
                numbers.setdefault(kind, []).append(value)
                places.setdefault(kind, set()).add(index)
    if not numbers:
        return ""
    count = len(set().union(*places.values()))
    several = looked_at > 1
    reasons = [
        describe(kind, numbers[kind]) + (f" at {len(places[kind])}" if several else "")
        for kind in REASONS
        if kind in numbers
    ]
    looked = "looked at" if looked_at < study.space.size else ""
    where = f" at {count} of {looked_at} points {looked}".rstrip() if several else ""
    why = "; ".join(reasons)
    return f"outside the theory's regime{where}: {why}. Its laws do not hold there; the results do"
