"""Labels of a study's training samples, worked out beside its results.

No store keeps them: they follow from the seed, the replicate and the label flip probability.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from simdyn.engine.labels import OBSERVED_ATTRS, TRUE_ATTRS, label_draws
from simdyn.kernels import NUMERICS_VERSION
from simdyn.study.coordinates import MAX_VALUES
from simdyn.study.design import StudyDesign

if TYPE_CHECKING:
    import xarray as xr


def with_labels(results: "xr.Dataset", study: StudyDesign) -> "xr.Dataset":
    """Results of a study with the labels of its samples, if they have a dim `sample`.

    `true_label` has the dims (replicate, sample), `label` those of the swept fields on which p
    depends before them. Results of another NUMERICS_VERSION, and labels of more than a million
    values, get none.
    """
    if "sample" not in results.dims or study.numerics_version != NUMERICS_VERSION:
        return results
    space, n = study.space, results.sizes["sample"]
    flip = [(space.data, "label_flip")]
    over = space.varying_dims(flip)
    shape = tuple(space.axes[dim].size for dim in over)
    if math.prod(shape) * n * study.replicates > MAX_VALUES:
        return results
    (column,) = space.fields(flip, over)
    p = 0.0 if column is None else np.broadcast_to(column.values, shape)[..., None, None]
    draws = label_draws(space.law, n, study.seed, range(study.replicates))
    inner = ("replicate", "sample")
    return results.assign_coords(
        label=((*over, *inner), draws.labels(p), OBSERVED_ATTRS),
        true_label=(inner, draws.true_labels, TRUE_ATTRS),
    )
