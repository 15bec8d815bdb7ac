"""The values of one block of a study."""

import dataclasses
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.engine.arguments import Wanted, pointers_for
from simdyn.engine.preparation import prepare
from simdyn.engine.replicates import run_replicates
from simdyn.engine.solving import Setting, StoppedError, solve
from simdyn.kernels.codes import FAILED, MASKED
from simdyn.params import DrawnData
from simdyn.params.conditions import goal_of
from simdyn.run.refining import Run, Tile
from simdyn.space.cells import Index
from simdyn.store.smaller import SmallerStore
from simdyn.study.blocks import Block
from simdyn.study.design import StudyDesign
from simdyn.variables.registry import VARIABLES

_COMPILING = threading.Lock()
NONE: Mapping[int, str] = MappingProxyType({})


def prepare_kernels(study: StudyDesign) -> float:
    """Compile or load the kernels of a study; returns the seconds it took. Quick when repeated."""
    drawn = issubclass(study.space.law, DrawnData)
    stepping, until = (study.space.phase_values(name) for name in ("stepping", "until"))
    goals = {goal_of(str(condition)).quantity for condition in until if condition}
    # The error on given test samples is counted, and needs no estimate.
    names = [name for name in study.variables_of_runs if drawn or not VARIABLES[name].test]
    with _COMPILING:
        return sum(
            prepare(pointers_for(study.record, activation, names, stepping, goals), drawn=drawn)
            for activation in study.space.activations
        )


def empty_block(study: StudyDesign, block: Block) -> dict[str, np.ndarray]:
    """Arrays of a block, every value missing."""
    layout = study.layout
    *grid, replicates = (part.stop - part.start for part in block.region)
    arrays = {}
    for name in study.variables:
        dtype = VARIABLES[name].dtype
        outer = layout.by_block(name, grid, len(study.space.methods), replicates)
        shape = (*outer, *layout.inner(name))
        arrays[name] = np.full(shape, np.nan if dtype == "float64" else 0, dtype)
    return arrays


def point_label(study: StudyDesign, index: tuple[int, ...]) -> str:
    """A point as text, 'dimension = 1000, signal_norm = 2.0'."""
    return study.space.location(index).strip(" ()").removeprefix("at ") or "the only point"


def run_block(
    study: StudyDesign,
    block: Block,
    stop: np.ndarray,
    failed: Callable[[str, str], None],
    *,
    smaller: SmallerStore | None = None,
    crashing: Mapping[int, str] = NONE,
    begun: Callable[[int], None] | None = None,
    only: range | None = None,
) -> dict[str, np.ndarray] | None:
    """All values of a block, or None if the stop flag was raised.

    If a point cannot be computed it gets status 4 (failed), and the other points are computed.

    Parameters
    ----------
    stop : ndarray of one int
        The stop flag: raised when it is not 0.
    failed : callable
        Called with each point that fails, as text, and the cause.
    smaller : SmallerStore, optional
        Values that are done there are taken over instead of computed.
    crashing : mapping of int to str
        Points that are known to end their process, by their number in the block, and how they end
        it: these are marked as failed and not computed.
    begun : callable, optional
        Called with the number of each point before it is computed.
    only : range, optional
        Numbers of the points to compute, none of which is interpolated; the others stay missing.
    """
    filling = _Filling(study, block, empty_block(study, block), stop, failed, smaller)
    try:
        if study.space.refine is not None and only is None:
            filling.refine(crashing)
            return filling.arrays
        for number, (index, local) in enumerate(block.indices()):
            if only is not None and number not in only:
                continue
            if number in crashing:
                filling.fail(index, local, crashing[number])
            else:
                filling.fill(index, local, None if begun is None else partial(begun, number))
    except StoppedError:
        return None
    return filling.arrays


@dataclasses.dataclass(frozen=True)
class _Filling:
    """The arrays of a block while its points are computed.

    Its methods take a point's index in the grid and in the block, and raise StoppedError if the
    stop flag was raised.
    """

    study: StudyDesign
    block: Block
    arrays: dict[str, np.ndarray]
    stop: np.ndarray
    failed: Callable[[str, str], None]
    smaller: SmallerStore | None

    def fill(self, index: Index, local: Index, begun: Callable[[], None] | None) -> None:
        """Compute a point, unless it is masked."""
        try:
            if not self.study.space.wanted(index):
                self.arrays["status"][local] = MASKED
                return
            if begun is not None:
                begun()
            if self.study.solve is None:
                self._run(index, local)
            else:
                self._solve(index, local)
        except StoppedError:
            raise
        except Exception as problem:  # a study is never stopped by a point
            self.fail(index, local, _cause(problem))

    def fail(self, index: Index, local: Index, cause: str) -> None:
        """Mark a point as failed, and tell it."""
        for name, values in self.arrays.items():
            values[local] = np.nan if VARIABLES[name].dtype == "float64" else 0
        self.arrays["status"][local] = FAILED
        self.failed(point_label(self.study, index), cause)

    def _computed(
        self, index: Index, methods: tuple[int, ...], replicates: range
    ) -> dict[str, np.ndarray]:
        """Values of some runs of a point, (method, replicate, …)."""
        point, study = self.study.space.point(index), self.study
        plans = [point.plans[k] for k in methods]
        wanted = Wanted(study.record, study.variables, "last")
        computed = run_replicates(
            point.data, point.net, plans, study.seed, replicates, wanted, self.stop
        )
        if computed is None:
            raise StoppedError
        return computed

    def _run(self, index: Index, local: Index) -> None:
        """Fill in the values of one point."""
        every, replicates = tuple(range(len(self.study.space.methods))), self.block.replicates
        parts = [(every, replicates)]
        if self.smaller and (taken := self.smaller.take(index, replicates)) is not None:
            values, old, count = taken
            for name, value in values.items():
                self.arrays[name][local][list(old), :count] = value
            new = tuple(k for k in every if k not in old)
            parts = [(old, replicates[count:]), (new, replicates)]
        for methods, part in parts:
            if not methods or not part:
                continue
            first = part.start - replicates.start
            for name, value in self._computed(index, methods, part).items():
                self.arrays[name][local][list(methods), first : first + len(part)] = value

    def _solve(self, index: Index, local: Index) -> None:
        """Fill in what is solved for at one point."""
        study, space = self.study, self.study.space
        crossing, replicates = study.solve, self.block.replicates
        assert crossing is not None
        taken = None if self.smaller is None else self.smaller.take(index, replicates)
        old = taken[1] if taken and taken[2] == len(replicates) else ()
        if taken and old:
            for name, value in taken[0].items():
                self.arrays[name][local][list(old)] = value
        for method in (k for k in range(len(space.methods)) if k not in old):

            def made(value: float, method: int = method) -> Setting:
                point = space.point(index, value)
                return point.data, point.net, point.plans[method], space.level(index, value)

            ends, count = space.ends(index), len(replicates)
            found = solve(made, crossing, ends, study.seed, count, study.record, self.stop)
            if found is None:
                raise StoppedError
            for name, value in found.items():
                self.arrays[name][local][method] = value

    def refine(self, crashing: Mapping[int, str]) -> None:
        """Fill in a tile: points that are computed, and between them others."""
        space, places = self.study.space, dict(self.block.indices())
        numbers = {index: number for number, index in enumerate(places)}
        wanted, causes = set[Index](), dict[Index, str]()
        for index in places:
            try:
                if space.wanted(index):
                    wanted.add(index)
            except InputError as problem:
                causes[index] = str(problem)

        def run(index: Index, method: int) -> Run | None:
            """The values of a point; None if it has none. It may be a corner beyond the tile."""
            if numbers.get(index) in crashing:
                causes[index] = crashing[numbers[index]]
            if index in causes:
                return None
            try:
                if index not in wanted and (index in places or not space.wanted(index)):
                    return None
                values = self._computed(index, (method,), self.block.replicates)
            except StoppedError:
                raise
            except Exception as problem:  # a study is never stopped by a point
                causes[index] = _cause(problem)
                return None
            return {name: value[0] for name, value in values.items()}

        for method in range(len(space.methods)):
            if self._taken(method, wanted):
                continue
            tile = Tile(self.study, self.block, wanted, partial(run, method=method))
            for points, values in tile.values():
                at = tuple(np.array([places[index] for index in points]).T)
                for name, value in values.items():
                    self.arrays[name][(*at, method)] = value
        for index, local in places.items():
            if index in causes:
                self.fail(index, local, causes[index])
            elif index not in wanted:
                self.arrays["status"][local] = MASKED

    def _taken(self, method: int, points: Collection[Index]) -> bool:
        """Take over a method of a tile from a smaller store, if that has all its points."""
        if self.smaller is None:
            return False
        found = {}
        for index in points:
            taken = self.smaller.take(index, self.block.replicates)
            if taken is None or method not in taken[1] or taken[2] < len(self.block.replicates):
                return False
            found[index] = {name: v[taken[1].index(method)] for name, v in taken[0].items()}
        places = dict(self.block.indices())
        for index, values in found.items():
            for name, value in values.items():
                self.arrays[name][places[index]][method] = value
        return True


def _cause(problem: Exception) -> str:
    return str(problem) or type(problem).__name__
