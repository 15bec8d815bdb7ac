"""The registry of variables, and the way from arrays to a labelled dataset."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn.inputs import InputError, nearest
from simdyn.params import PIECEWISE_LINEAR, Data, DrawnData, Parameters, Record

if TYPE_CHECKING:
    import xarray as xr

STATUS = {
    0: "missing: not computed yet",
    1: "done",
    2: "zero gradient: from update status_step on every gradient was exactly zero; the state is "
    "valid",
    3: "non-finite: an overflow was noticed at update status_step; from there on all is NaN",
    4: "failed",
    5: "masked",
}

OUTER = ("method", "replicate")
INNER = ("step", "sign", "filter", "sample", "vector")


@dataclasses.dataclass(frozen=True)
class Variable:
    """What is known of a variable, whatever the data."""

    symbol: str
    equation: str
    long_name: str
    description: str
    dims: tuple[str, ...] = ("step",)
    units: str = "1"
    dtype: str = "float64"

    @property
    def attrs(self) -> dict[str, str]:
        """Metadata of the labelled variable."""
        return {
            "long_name": self.long_name,
            "symbol": self.symbol,
            "units": self.units,
            "equation": self.equation,
            "description": self.description,
        }


_FILTER = ("step", "sign", "filter")

VARIABLES: dict[str, Variable] = {
    "train_loss": Variable(
        "L(W)", "(1/n) Σ_i ℓ(y_i f(x_i))", "training loss",
        "Mean loss over the training samples, or their sum where the network's reduction is one.",
    ),
    "train_error": Variable(
        "", "(1/n) Σ_i 1(y_i f(x_i) < 0)", "training error",
        "Fraction of training samples on the wrong side; an output of zero counts one half.",
    ),
    "test_error": Variable(
        "L₀₋₁", "p + (1 − 2p) P(ŷ f(x) < 0)", "test error",
        "Error on a fresh sample's observed label, whose floor is p; on explicit test data the "
        "fraction of wrong samples. An output of zero counts one half.",
    ),
    "test_error_se": Variable(
        "", "", "standard error of the test error",
        "From the spread of the random draws behind the estimate, for lines with one draw more as "
        "far off as the farthest; binomial on explicit test data.",
    ),
    "test_error_ess": Variable(
        "", "(Σ X)²/Σ X²", "effective draws of the test error",
        "Effective sample size of the estimate; one antithetic pair of lines counts as one draw. "
        "It does not show what no draw met.",
    ),
    "test_error_low": Variable(
        "", "", "lower end of the test error's interval",
        "Of the 95 % interval of Clopper and Pearson for the error behind given test samples.",
    ),
    "test_error_high": Variable(
        "", "", "upper end of the test error's interval",
        "Of the 95 % interval of Clopper and Pearson for the error behind given test samples.",
    ),
    "clean_test_error": Variable(
        "", "P(ŷ f(x) < 0)", "clean test error", "Error on a fresh sample's true label."
    ),
    "grad_norm": Variable(
        "‖∇L(W)‖_F", "√(Σ C∘GC)", "gradient norm", "Frobenius norm of the full-batch gradient."
    ),
    "sam_gap": Variable(
        "L(W+ε̂) − L(W)", "ε̂ = τ ∇L_I(W)/‖∇L_I(W)‖_F", "SAM gap",
        "By how much SAM's perturbation raises the loss, the mean over batches of consecutive "
        "samples; τ and the batch size are those of the phase which made the last update, or τ is "
        "Record.probe_radius. Normalised and shared by the batch, also where a phase's own is not.",
    ),
    "deactivated_fraction": Variable(
        "", "#{⟨w_{y_k,r}, ξ_k⟩ > 0 ≥ ⟨w_{y_k,r} + ε̂_{y_k,r}, ξ_k⟩} / #{⟨w_{y_k,r}, ξ_k⟩ > 0}",
        "deactivated fraction",
        "Of the filters of the observed label's sign that a sample's noise makes active, those "
        "that SAM's perturbation on the sample's batch switches off; 0 where none is active.",
    ),
    "sharpness": Variable(
        "λ_max(∇²L)", "λ_max((1/n) Σ_i ℓ''_i ∇f_i ∇f_iᵀ)", "sharpness",
        "Largest eigenvalue of the Hessian of the training loss, away from kinks.",
    ),
    "active_count": Variable(
        "#{r: ⟨w_{j,r}, ξ_i⟩ > 0}", "", "active filters",
        "Filters of a sign that a sample's noise makes active.", ("step", "sign", "sample"),
    ),
    "margin": Variable(
        "y_i f(x_i)", "", "margin", "Output times observed label.", ("step", "sample")
    ),
    "signal_coef": Variable(
        "γ_{j,r}", "w_{j,r} = w_{j,r}(0) + j γ_{j,r} μ/‖μ‖² + (1/(P−1)) Σ_i ρ_{j,r,i} ξ_i/‖ξ_i‖²",
        "signal coefficient", "How far a filter has learned the signal.", _FILTER,
    ),
    "noise_coef": Variable(
        "ρ_{j,r,i}", "w_{j,r} = w_{j,r}(0) + j γ_{j,r} μ/‖μ‖² + (1/(P−1)) Σ_i ρ_{j,r,i} ξ_i/‖ξ_i‖²",
        "noise coefficient", "How far a filter has memorised a sample's noise.",
        (*_FILTER, "sample"),
    ),
    "coef": Variable(
        "", "w_{j,r} = w_{j,r}(0) + Σ_k coef_{j,r,k} v_k", "coefficient",
        "Weight of a distinct patch vector v_k in the movement of a filter.", (*_FILTER, "vector"),
    ),
    "weights": Variable("W", "", "weights", "The filters themselves.", (*_FILTER, "feature")),
    "initial_share": Variable(
        "a", "W = a W(0) + …", "share of the initial weights",
        "What weight decay has left of the initial weights: the coefficients are of W − a W(0).",
    ),
    "status": Variable(
        "", "", "status", "; ".join(f"{code} {text}" for code, text in STATUS.items()), (),
        dtype="int8",
    ),
    "status_step": Variable(
        "", "", "update of the status", "Update at which the status set in; 0 where done.", (),
        dtype="int64",
    ),
}  # fmt: skip


def equations(law: type[Data] | None) -> dict[str, str]:
    """Equations of variables that depend on the law of the data, by name."""
    if law is None or not issubclass(law, DrawnData) or not law.one_noise:
        return {}
    signal = "j γ_{j,r} μ/‖μ‖²" if law.one_signal else "Σ_k coef_{j,r,k} v_k"
    noise = f"(1/({law.copies})) Σ_i ρ_{{j,r,i}} ξ_i/‖ξ_i‖²"
    return {"noise_coef": f"w_{{j,r}} = w_{{j,r}}(0) + {signal} + {noise}"}


ALWAYS = ("status", "status_step")
SCALARS = (
    "train_loss", "train_error", "test_error", "test_error_se", "test_error_ess",
    "clean_test_error", "grad_norm",
)  # fmt: skip


def choose_variables(
    wanted: Sequence[str] | None,
    default: Sequence[str],
    possible: Sequence[str],
    where: str = "Record",
) -> tuple[str, ...]:
    """Names to record, in the registry's order; status is always among them.

    Raises
    ------
    InputError
        For a name that is unknown, or that has no meaning for this problem.
    """
    names = list(default if wanted is None else wanted)
    for name in names:
        if name not in possible and name not in ALWAYS:
            raise InputError(f"{where}.variables: '{name}' is not available here; "
                             f"{nearest(name, possible)}")  # fmt: skip
    return tuple(name for name in VARIABLES if name in names or name in ALWAYS)


PROBES = ("sam_gap", "deactivated_fraction", "sharpness", "active_count")
ON_REQUEST = ("sharpness", "initial_share")


TESTED_ON_SAMPLES = ("test_error", "test_error_se", "test_error_low", "test_error_high")
BY_SUMMARY = (*SCALARS, "test_error_low", "test_error_high")  # what a study records by default


def recordable(owner: type[Data]) -> tuple[str, ...]:
    """What can be recorded of data with such a law.

    Of images, what has one shape whatever the split. Of drawn data: a noise coefficient needs one
    noise vector a sample, a signal coefficient one signal; where one of them is missing there is
    `coef`, of every signal and noise vector.
    """
    if not issubclass(owner, DrawnData):
        names = {*TESTED_ON_SAMPLES, "train_loss", "train_error", "grad_norm", "sam_gap",
                 "sharpness", "margin", "initial_share"}  # fmt: skip
        return tuple(name for name in VARIABLES if name in names)
    noise = ("noise_coef", "deactivated_fraction", "active_count") if owner.one_noise else ()
    signal = ("signal_coef",) if owner.one_signal else ()
    names = {*SCALARS, "sam_gap", "sharpness", "margin", "initial_share", *noise, *signal}
    if not (noise and signal):
        names.add("coef")
    return tuple(name for name in VARIABLES if name in names)


def by_default(possible: Sequence[str]) -> tuple[str, ...]:
    """What `simulate` and `train` record unless told otherwise: all but what few look for."""
    return tuple(name for name in possible if name not in ON_REQUEST)


def check_sharpness(activation: str) -> None:
    """The recorded sharpness is that of a network that is piecewise linear in its weights."""
    if activation not in PIECEWISE_LINEAR:
        raise InputError(
            f"record.variables: 'sharpness' is not available for activation = {activation!r}; "
            f"allowed with it are {', '.join(PIECEWISE_LINEAR)}"
        )


def check_init(init: str, law: type[Data]) -> None:
    """Drawn data has no axes, so its weights cannot have a law that singles them out."""
    if init == "uniform" and issubclass(law, DrawnData):
        raise InputError(
            f"init = {init!r}: allowed for explicit vectors only (ImageData, "
            'Problem.from_patches); for drawn data, allowed is "gaussian" or "antisymmetric"'
        )


def check_estimator(record: Record, activation: str, law: type[Data]) -> None:
    """The estimator of the test error must know the activation and the data."""
    if not issubclass(law, DrawnData):
        for name in ("test_estimator", "test_draws"):
            if getattr(record, name) is not None:
                raise InputError(
                    f"Record.{name} = {getattr(record, name)!r}: allowed is none, the error on "
                    "given test images is counted"
                )
    estimator = record.estimator(activation)
    if estimator == "radial" and issubclass(law, DrawnData) and law.added:
        raise InputError(
            "Record.test_estimator = 'radial': allowed where signal and noise are in patches of "
            "their own; for this data it is line or counted"
        )


@dataclasses.dataclass(frozen=True)
class Coordinate:
    """Values along some dims, with their metadata."""

    dims: tuple[str, ...]
    values: np.ndarray
    attrs: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names, dims and coordinates of a result before it has values.

    Attributes
    ----------
    outer : tuple of str
        Dims that every variable has: the grid, then method and replicate where they exist.
    coords : dict of str to Coordinate
        One-dimensional coordinates of all dims, and others.
    variables : tuple of str
    attrs : dict
        Metadata of the dataset.
    law : type of data, optional
        On which some equations of variables depend.
    """

    outer: tuple[str, ...]
    coords: Mapping[str, Coordinate]
    variables: tuple[str, ...]
    attrs: Mapping[str, Any]
    law: type[Data] | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every dim."""
        return {name: self.coords[name].values.size for name in self.all_dims}

    @property
    def all_dims(self) -> tuple[str, ...]:
        """The dims in their order."""
        return tuple(name for name, at in self.coords.items() if at.dims == (name,))

    def dims(self, name: str) -> tuple[str, ...]:
        """Dims of a variable."""
        return self.outer + VARIABLES[name].dims

    def documentation(self, name: str) -> dict[str, str]:
        """Metadata of a variable."""
        known = VARIABLES[name].attrs
        return {**known, "equation": equations(self.law).get(name, known["equation"])}

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a variable."""
        sizes = self.sizes
        return tuple(sizes[dim] for dim in self.dims(name))

    def empty(self, name: str) -> np.ndarray:
        """An array for a variable, every value missing: NaN, or 0 for integers."""
        dtype = VARIABLES[name].dtype
        return np.full(self.shape(name), np.nan if dtype == "float64" else 0, dtype=dtype)

    def arrays(self) -> dict[str, np.ndarray]:
        """An array of missing values for every variable.

        Raises
        ------
        InputError
            Where they do not fit into memory.
        """
        try:
            return {name: self.empty(name) for name in self.variables}
        except (MemoryError, ValueError):  # NumPy's word for a size no machine has
            size = sum(8 * math.prod(self.shape(name)) for name in self.variables)
            raise InputError(
                f"the results take {size / 1e9:.3g} GB, more than memory holds: record fewer "
                "states or variables, or give a study a store"
            ) from None

    def dataset(self, arrays: Mapping[str, np.ndarray]) -> "xr.Dataset":
        """The labelled dataset of these arrays."""
        import xarray as xr

        data = {name: (self.dims(name), arrays[name], self.documentation(name)) for name in arrays}
        coords = {name: (at.dims, at.values, dict(at.attrs)) for name, at in self.coords.items()}
        return xr.Dataset(data, coords, dict(self.attrs))


def parameter_coordinate(
    name: str, dims: tuple[str, ...], values: np.ndarray, owner: type[Parameters], field: str
) -> Coordinate:
    """The coordinate of a swept parameter; one that is no field goes by its own name."""
    long_name = owner.model_fields[field].description or name.replace("_", " ")
    attrs = {"symbol": owner.symbol(field), "long_name": long_name}
    return Coordinate(dims, values, {**attrs, "units": "1"})


def axis_coordinates(
    methods: Sequence[str] | None, replicates: int, steps: int, filters: int, samples: int,
    vectors: int = 0, signed: bool = False,
) -> dict[str, Coordinate]:  # fmt: skip
    """Coordinates of the dims every result has; absent are those of length zero.

    The signs are there where filters are, or where `signed` says so.
    """
    values = {
        "method": None if methods is None else np.array(methods),
        "replicate": np.arange(replicates),
        "step": np.arange(steps),
        "sign": np.array([1, -1]) if filters or signed else None,
        "filter": np.arange(filters) if filters else None,
        "sample": np.arange(samples) if samples else None,
        "vector": np.arange(vectors) if vectors else None,
    }
    names = {
        "method": "method", "replicate": "replicate: one set of unit draws",
        "step": "recorded state", "sign": "sign j of the filter bank",
        "filter": "filter r of its bank", "sample": "training sample i",
        "vector": "distinct patch vector k",
    }  # fmt: skip
    return {
        name: Coordinate((name,), array, {"long_name": names[name]})
        for name, array in values.items()
        if array is not None
    }


UPDATE_ATTRS = {"long_name": "parameter updates made", "symbol": "t", "units": "1"}


def as_json(value: Any) -> str:
    """Canonical JSON: no spaces, keys as they stand, parameter classes as their fields."""

    def plain(item: Any) -> Any:
        if isinstance(item, Parameters):
            return {"class": type(item).__name__, **item.model_dump()}
        if isinstance(item, np.generic | np.ndarray):
            return item.tolist()
        raise TypeError(f"cannot write {type(item).__name__} as JSON")

    return json.dumps(value, default=plain, separators=(",", ":"))
