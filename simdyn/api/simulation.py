"""The public `simulate`: one setting, trained on several draws of the data."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from simdyn.base.inputs import InputError, check_replicates, check_seed
from simdyn.base.threads import check_threads, side_by_side
from simdyn.engine.arguments import Wanted, pointers_for, read_by_conditions
from simdyn.engine.image_files import sizes
from simdyn.engine.labels import label_coordinates
from simdyn.engine.preparation import prepare
from simdyn.engine.replicates import run_replicates
from simdyn.params import Data, DrawnData, ImageData, Phase, Plan, Record, TwoLayerCNN, as_plan
from simdyn.params.parameters import check_kind
from simdyn.variables.layout import UPDATE_ATTRS, Coordinate, Layout, axis_coordinates
from simdyn.variables.provenance import provenance
from simdyn.variables.selection import (
    by_default,
    check_activation,
    check_conditions,
    check_estimator,
    check_init,
    choose_variables,
    offers_of,
    offers_of_plan,
    recordable,
)

if TYPE_CHECKING:
    import xarray as xr


def simulate(
    data: Data,
    net: TwoLayerCNN,
    plan: Plan,
    *,
    seed: int = 0,
    replicates: int = 1,
    record: Record | None = None,
    threads: int | None = None,
) -> "xr.Dataset":
    """Train on drawn data or on images, in Gram space.

    Parameters
    ----------
    data : SignalNoiseData, IndependentNoiseData, XORData, MultiViewData, ClusterData or ImageData
    net : TwoLayerCNN
    plan : Phase or list of Phase
        SGD and SAM phases, one after the other.
    seed : int, 0 … 2⁶³ − 1
    replicates : int ≥ 1
        Independent draws of data, weights and batches. Replicate k is one set of unit draws
        whatever the parameters, so comparisons at equal seed are paired.
    record : Record, optional
        What to record, and when. If it does not say when: every epoch from 0, or, of more than a
        thousand epochs, fewer states that are log-spaced (`Record(log_spaced=1000)`);
        the attribute `recorded` of the dataset then says so. `Record(every=1)` records each.
    threads : int, optional
        Cores to use; the result has the same bits for any number.

    Returns
    -------
    xarray.Dataset
        Dims (replicate, step, sign, filter, sample); see `simdyn.variables.registry.VARIABLES`.
        Coordinates `label` (y) and `true_label` (ŷ) over (replicate, sample) tell apart the noise
        coefficients of a sample's own bank, ρ̄, and of the other, ρ̲.

    Raises
    ------
    InputError
        One line that names the field, the value and what is allowed.

    Examples
    --------
    >>> data = simdyn.SignalNoiseData(n_samples=20, dimension=5000, signal_norm=3.0)
    >>> net = simdyn.TwoLayerCNN(n_filters=10, init_std=1e-3)
    >>> sam = simdyn.SAM(radius=0.03, learning_rate=0.1, epochs=100)
    >>> ds = simdyn.simulate(data, net, sam, replicates=2)
    >>> ds.train_loss.dims
    ('replicate', 'step')
    >>> ds.train_loss.isel(step=-1).values.round(3)
    array([0.069, 0.108])
    >>> own = ds.noise_coef.where(ds.label == ds.sign)  # ρ̄; where they differ: ρ̲
    >>> bool(own.min() >= 0.0)
    True
    """
    check_kind("data", data, Data)
    check_kind("net", net, TwoLayerCNN)
    plan, record = as_plan(plan), record or Record()
    check_kind("record", record, Record)
    seed, replicates = check_seed(seed), check_replicates(replicates)
    names = _recorded(data, net, record, plan)
    updates = record.updates(plan, data.n_samples, "epoch")
    call = {"data": data, "net": net, "plan": list(plan), "seed": seed, "replicates": replicates}
    attrs = provenance({"simulate": {**call, "record": record}})
    attrs |= record.thinning(plan, data.n_samples, updates)
    coords = _coordinates(data, net, names, replicates, updates)
    coords |= label_coordinates(data, seed, replicates)
    layout = Layout(("replicate",), coords, names, attrs, type(data))
    arrays = layout.arrays()
    threads = check_threads(threads)
    if isinstance(data, DrawnData):
        stepping = {phase.stepping for phase in plan}
        goals = read_by_conditions([plan])
        prepare(pointers_for(record, net.activation, names, stepping, goals))
    elif isinstance(data, ImageData):
        sizes(data)  # a bad file is refused before anything runs

    wanted = Wanted(record, names, "epoch")

    def work(part: range, stop: np.ndarray) -> dict[str, np.ndarray] | None:
        return run_replicates(data, net, [plan], seed, part, wanted, stop)

    share = max(1, -(-replicates // (4 * threads)))
    parts = (range(at, min(at + share, replicates)) for at in range(0, replicates, share))
    try:
        with contextlib.closing(side_by_side(work, parts, threads)) as found:
            for part, values in found:
                if values is not None:
                    for name in names:
                        arrays[name][part.start : part.stop] = values[name][0]
    except MemoryError:
        raise InputError(
            f"n_samples = {data.n_samples}, n_filters = {net.n_filters}: more than this machine's "
            "memory holds"
        ) from None
    return layout.dataset(arrays)


def _recorded(
    data: Data, net: TwoLayerCNN, record: Record, plan: Sequence[Phase]
) -> tuple[str, ...]:
    """Names of the variables to record, if data and network have them."""
    if record.weights:
        raise InputError(
            "Record.weights = True: allowed for one explicit problem only (simdyn.train); for "
            "drawn data the coefficients determine the weights"
        )
    possible = recordable(offers_of(type(data), offers_of_plan(plan)))
    names = choose_variables(record.variables, by_default(possible), possible)
    check_conditions((phase.until for phase in plan), possible)
    check_estimator(record, net.activation, type(data))
    check_init(net.init, type(data))
    check_activation(names, net.activation)
    return names


def _coordinates(
    data: Data, net: TwoLayerCNN, names: Sequence[str], replicates: int, updates: np.ndarray
) -> dict[str, Coordinate]:
    vectors = data.dictionary_size if isinstance(data, DrawnData) and "coef" in names else 0
    lengths = {"replicate": replicates, "step": updates.size, "sign": 2, "filter": net.n_filters}
    coords = axis_coordinates({**lengths, "sample": data.n_samples, "vector": vectors})
    return {**coords, "updates": Coordinate(("step",), updates, UPDATE_ATTRS)}
