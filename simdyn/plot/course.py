"""What a figure of trajectories shows of results, and what the theory predicts of it."""

import dataclasses
import math

import numpy as np
import xarray as xr

from simdyn.base.inputs import InputError
from simdyn.params import Phase, Trajectories
from simdyn.params.figures import PANELS
from simdyn.plot.source import Source, checked, labelled
from simdyn.theory import analysis
from simdyn.theory.regime import deactivated_at_start, noise_updates, regime, signal_updates


@dataclasses.dataclass(frozen=True)
class Course:
    """What the figure shows: results, methods, panels and the times of the recorded states."""

    ds: xr.Dataset
    methods: tuple[str, ...]
    source: Source
    updates: dict[str, np.ndarray]  # updates made at each state, with ½ for 0 on a log axis
    panels: tuple[str, ...]
    overlay: tuple[str, ...]  # methods below those of the same place
    figure: Trajectories

    def statistics(self, array: xr.DataArray, method: str) -> xr.Dataset:
        """Mean and standard error over replicates of one method, at every state."""
        one, status = (part.sel({"method": method}, drop=True) for part in (array, self.ds.status))
        return analysis.over_replicates(one, status)

    def first_phase(self, method: str) -> Phase | None:
        """The phase whose rates decide the predicted times; None if it is not known."""
        plan = self.source.phases.get(method, ())
        return next((phase for phase in plan if phase.epochs), None)


def read_course(ds: xr.Dataset, figure: Trajectories) -> Course:
    """What a figure shows of results of a study, of `simulate` or of `train`.

    Raises
    ------
    InputError
        If the results do not have what the figure needs or names.
    """
    for name, lack in (("status", "status"), ("step", "dim"), ("updates", "coordinate")):
        if name not in (ds.dims if lack == "dim" else ds.variables):
            raise InputError(
                f"Trajectories: these results have no {lack} {name!r}; allowed are "
                "those of a study, simulate or train with their course"
            )
    ds, source = labelled(ds)
    ds = checked(ds, figure, source.possible)
    methods = figure.compare or tuple(map(str, ds["method"].values[:2]))
    at, updates = ds["updates"], {}
    overlay = figure.overlay or ()
    for method in (*methods, *overlay):
        own = at.sel({"method": method}) if "method" in at.dims else at
        least = 0.5 if figure.x_scale == "log" else 0.0
        updates[method] = np.maximum(own.values.astype(float), least)
    there = tuple(panel for panel in figure.panels or PANELS if set(PANELS[panel]) & set(ds))
    return Course(ds, methods, source, updates, there, overlay, figure)


def predicted_times(course: Course, method: str) -> dict[str, float]:
    """Updates until γ and ρ̄ are of order one, from the rates of the first phase; inf: never."""
    first, data, net = course.first_phase(method), course.source.data, course.source.net
    if first is None or data is None or net is None:
        return {}
    times = {
        "largest_signal": signal_updates(data, net, first),
        "largest_noise": noise_updates(data, net, first),
    }
    return {name: time for name, time in times.items() if not math.isnan(time)}


def drawn_times(course: Course, method: str) -> dict[str, float]:
    """Predicted times within the recorded updates."""
    first, last = course.updates[method][[0, -1]]
    times = predicted_times(course, method)
    return {name: time for name, time in times.items() if first < time < last}


def predicted_deactivation(course: Course) -> float | None:
    """erf(τ/(σ_0√(2Bm))) with the probe's radius, or with that of the last method's SAM phase."""
    data, net, radius = course.source.data, course.source.net, course.source.probe_radius
    plan = course.source.phases.get(course.methods[-1], ())
    perturbed = [phase for phase in plan if phase.perturbation > 0]
    if data is None or net is None or not plan or (radius is None and not perturbed):
        return None
    phase = perturbed[0] if perturbed else plan[0]
    law = deactivated_at_start(data, net, phase, phase.perturbation if radius is None else radius)
    return None if math.isnan(law) else law


def outside_regime(course: Course, method: str) -> str:
    """Why the theory does not cover the training of a method; empty if it does."""
    data, net, plan = course.source.data, course.source.net, course.source.phases.get(method)
    if data is None or net is None or not plan:
        return ""
    return ", ".join(regime(data, net, plan).reasons)
