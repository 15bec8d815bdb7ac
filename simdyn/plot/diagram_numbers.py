"""The numbers of a phase diagram, before anything is drawn."""

import dataclasses

import numpy as np
import xarray as xr

from simdyn.params import PhaseDiagram
from simdyn.plot import captions, missing
from simdyn.plot.band import Band, fitted_band
from simdyn.plot.source import checked
from simdyn.theory import analysis


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Which runs are in the cells of a map.

    Attributes
    ----------
    fewer : xarray.DataArray
        Cells with a mean over some of the runs only.
    none : xarray.DataArray
        Cells without a finished run.
    masked : xarray.DataArray
        Cells that the study leaves out.
    """

    fewer: xr.DataArray
    none: xr.DataArray
    masked: xr.DataArray

    @classmethod
    def of_runs(cls, runs: xr.DataArray, of: xr.DataArray) -> "Coverage":
        """From the numbers of finished runs and of all runs of the study."""
        return cls((runs > 0) & (runs < of), (runs == 0) & (of > 0), of == 0)

    def map(self, index: int) -> "Coverage":
        """The part for one of several maps."""
        return Coverage(self.fewer[index], self.none[index], self.masked[index])


@dataclasses.dataclass(frozen=True)
class Diagram:
    """All numbers of a phase diagram.

    Attributes
    ----------
    figure : simdyn.params.PhaseDiagram
    methods : tuple of str
        The methods drawn; the others are subtracted from the first.
    mean : (method, y, x) DataArray
    runs : Coverage
        Of `mean`.
    contours : (method, x) DataArray
    thin : dict of float to (method, x) DataArray
        Contours at further levels.
    hatched : (method, y, x) DataArray, optional
        Cells with a high mean training loss; None if no loss was recorded.
    differences : (method, y, x) Dataset, optional
        `difference`, the first method minus each other, and its `standard_error`, over the pairs of
        runs that both finished; None with one method.
    pairs : Coverage, optional
        Of `differences`.
    band : Band
    rising : bool
        Does the variable grow with y?
    interpolated : (method, y, x) DataArray of bool
        Cells that are interpolated, not simulated.
    """

    figure: PhaseDiagram
    methods: tuple[str, ...]
    mean: xr.DataArray
    runs: Coverage
    contours: xr.DataArray
    thin: dict[float, xr.DataArray]
    hatched: xr.DataArray | None
    differences: xr.Dataset | None
    pairs: Coverage | None
    band: Band
    rising: bool
    interpolated: xr.DataArray

    @property
    def names(self) -> list[str]:
        """Names of the methods for a reader."""
        labels = self.figure.labels or {}
        return [labels.get(method, captions.display_name(method)) for method in self.methods]

    @property
    def reverse(self) -> xr.DataArray | None:
        """Cells where a difference is below minus two standard errors."""
        if self.differences is None:
            return None
        return self.differences["difference"] < -2 * self.differences["standard_error"]


def _differences(ds: xr.Dataset, variable: str, methods: tuple[str, ...]) -> xr.Dataset:
    first, *others = methods
    each = [analysis.paired_difference(ds, variable, first, other) for other in others]
    return xr.concat(
        each,
        xr.Variable("method", others),
        data_vars="all",
        coords="minimal",
        compat="override",
        combine_attrs="drop_conflicts",
    )


def measure(ds: xr.Dataset, figure: PhaseDiagram) -> Diagram:
    """Everything a phase diagram shows, from results.

    Raises
    ------
    InputError
        If the figure names what the results do not have.
    """
    ds = checked(ds, figure)
    methods = figure.compare or tuple(map(str, ds["method"].values))
    plane = ("method", figure.y, figure.x)
    lossy = "train_loss" in ds
    found = analysis.last_summary(ds, figure.variable, *(["train_loss"] if lossy else []))
    found = found.sel({"method": list(methods)}).transpose(*plane, ...)
    means, of = found[figure.variable], missing.expected(found["status_count"])
    differences = pairs = None
    if len(methods) > 1:
        differences = _differences(ds, figure.variable, methods).transpose(*plane)
        pairs = Coverage.of_runs(differences["pairs"], np.minimum(of[:1].values, of[1:]))
    ends = means.sortby(figure.y).isel({figure.y: [0, -1]}).mean(["method", figure.x])
    rising = bool(ends[1] > ends[0])  # as it does with the noise, not with the signal

    def contours_at(level: float) -> xr.DataArray:
        lines = analysis.contour(ds, figure.variable, level, figure.y, rising=rising)
        return lines.sel({"method": list(methods)}).transpose("method", figure.x)

    contours = contours_at(figure.level)
    hatched = found["train_loss"] >= figure.hatch_loss if lossy else None
    loss = found["train_loss"][0] if lossy else None
    band = fitted_band(ds, figure, methods[0], contours[0], loss)
    return Diagram(
        figure,
        methods,
        means,
        Coverage.of_runs(found["runs"], of),
        contours,
        {level: contours_at(level) for level in figure.thin_levels or ()},
        hatched,
        differences,
        pairs,
        band,
        rising,
        (found["status_count"].sel({"status": "interpolated"}, drop=True) > 0).transpose(*plane),
    )
