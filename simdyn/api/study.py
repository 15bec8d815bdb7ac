"""The public `Study`: a design that can be run."""

from pathlib import Path
from typing import TYPE_CHECKING

from simdyn.api.display import display_for
from simdyn.base.inputs import InputError, with_prefix
from simdyn.study.design import StudyDesign
from simdyn.study.tables import read_tables

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client


class Study(StudyDesign):
    """Methods compared over a space of parameters.

    Parameters
    ----------
    data : SignalNoiseData, another law of `simdyn.params`, or mapping
        A mapping may hold formulas, as in a study file, and may leave out swept fields; its
        ``model`` names the law, by default "signal_noise".
    net : TwoLayerCNN or mapping
    methods : dict of str to list of Phase (or mappings)
        A plan for each method.
    space : dict, optional
        Values of each swept field: a list, or {start, stop, num}, or {log: [low, high], num}.
        The last two give plain decimals, 0.3 and not 0.30000000000000004. Numbers that agree to
        twelve digits are equal, on an axis and in "where".
        A name means that field wherever it occurs; "sam.0.epochs" names a single one.
        "zip": ["dimension", "n_samples"], or a list of such lists: these vary together, as one dim
        of the grid that has the name of the first, which must not repeat its values: it may be a
        name of its own with the values 0, 1, 2, …. "where": "signal_norm < dimension**0.5": points
        at which this is false are masked and need not be allowed; it may read numbers of data and
        network, also swept ones and formulas.
        If a space has more than 50,000 points, some thousands are checked before it runs.
    replicates : int ≥ 1
    seed : int, 0 … 2⁶³ − 1
    solve : Crossing, optional
        A field that is solved for instead of swept: at each point and for each method, its value
        at which the mean over replicates of a variable crosses a level.
    record : Record, optional
        By default only the last state is recorded.
    figure : Picture, optional
        PhaseDiagram, Curves or Trajectories of `simdyn.params`.
    name : str
        The stem of results and figures.

    Raises
    ------
    InputError
        One line that names the field, the value and what is allowed.

    Examples
    --------
    >>> study = simdyn.Study(
    ...     {"n_samples": 10, "dimension": 100},
    ...     simdyn.TwoLayerCNN(n_filters=2, init_std=0.01),
    ...     {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=20)]},
    ...     {"signal_norm": [1.0, 3.0]},
    ...     replicates=3,
    ... )
    >>> dict(study.run().sizes)
    {'signal_norm': 2, 'method': 1, 'replicate': 3, 'step': 1}
    """

    def run(
        self,
        out: str | Path | None = None,
        threads: int | None = None,
        client: "Client | None" = None,
        *,
        progress: bool | None = None,
    ) -> "xr.Dataset":
        """Simulate every point.

        Parameters
        ----------
        out : path, optional
            A Zarr store; blocks of this study that it already has are not computed again. In memory
            if absent.
        threads : int, optional
            Cores to use; every available one if absent. The values have the same bits.
        client : distributed.Client, optional
            Run on the workers of its Dask cluster, with the same bits; they need access to `out`.
        progress : bool, optional
            Show runs done, rate and time left: a bar in a notebook or on a terminal, else lines on
            standard error. In a notebook only, if absent.

        Returns
        -------
        xarray.Dataset
            Dims: swept parameters, method, replicate, step, …

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C, or if a notebook's cell is interrupted, once blocks that are being
            computed are given up; a second time at once. A store keeps what is done, and the same
            call goes on.
        """
        display = display_for(self.name, progress)
        from simdyn.run.runner import run_study  # loads Zarr

        try:
            return run_study(self, out, threads=threads, client=client, progress=display)
        finally:
            if display is not None:
                display.close()


def load_study(path: str | Path) -> Study:
    """A study from its TOML file.

    Raises
    ------
    InputError
        One line for each field that is wrong: the file, the field, the value and what is allowed.

    Examples
    --------
    >>> study = simdyn.load_study("studies/xor.toml")
    >>> study.name, study.lengths  # axes, then replicates
    ('xor', (21, 25, 10))
    """
    path = Path(path)
    tables = read_tables(path)
    try:
        return Study.from_mapping(tables, path.stem, path)
    except InputError as problem:
        raise with_prefix(f"{path}: ", problem) from None
