"""Problems of explicit patches: any data whose d-vectors you hold, seen from their span."""

import dataclasses
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from simdyn.bridge import (
    NO_FRESH_SAMPLES,
    NO_TEST_SET,
    kernel_model,
)
from simdyn.inputs import InputError, check_seed, is_plain_number, shown
from simdyn.kernels import problem as codes
from simdyn.kernels.linear import inner_products, lower_factor, scale_rows
from simdyn.kernels.network import Model
from simdyn.params import TwoLayerCNN, made
from simdyn.schema import (
    PROBES,
    SCALARS,
)

if TYPE_CHECKING:
    pass

Floats = npt.NDArray[np.float64]
INTERVAL = ("test_error_low", "test_error_high")


def _array(name: str, value: Any, ndim: int, shape: tuple[int | None, ...]) -> Floats:
    """A finite float64 array of a given shape, `None` standing for any length."""
    wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "iuf":
            raise ValueError
        array = np.array(given, dtype=np.float64, order="C")  # a copy: the problem is the call's
    except (TypeError, ValueError):
        raise InputError(f"{name}: allowed is an array of numbers of shape {wanted}") from None
    fits = array.ndim == ndim and all(
        n is None or n == length for n, length in zip(shape, array.shape, strict=True)
    )
    if not fits or 0 in array.shape:
        raise InputError(f"{name} has shape {array.shape}: allowed is {wanted}, none of them 0")
    if not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name}{list(at)} = {array[at]}: allowed are finite numbers")
    return array


def _labels(name: str, value: Any, n: int) -> Floats:
    labels = _array(name, value, 1, (n,))
    for i, label in enumerate(labels):
        if abs(label) != 1.0:
            raise InputError(f"{name}[{i}] = {label:g}: allowed are +1 and -1")
    return labels


def generator(seed: int, replicate: int, purpose: str) -> np.random.Generator:
    """Random numbers of one purpose in one replicate."""
    words = [seed, replicate, *purpose.encode()]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def initial_weights(
    net: TwoLayerCNN, dimension: int, *, seed: int = 0, replicate: int = 0
) -> Floats:
    """Initial filters of a network, by its own law.

    Parameters
    ----------
    net : TwoLayerCNN
        Its `init` says which law, its `init_std` the standard deviation of each entry.
    dimension : int ≥ 1
        Entries d of a filter.
    seed : int, 0 … 2⁶³ − 1
    replicate : int ≥ 0

    Returns
    -------
    (2, m, d) array
        First the bank of sign +1. A wider network has the filters of a narrower one.
    """
    if not isinstance(net, TwoLayerCNN):
        raise InputError(f"net = {shown(net)}: allowed is a TwoLayerCNN(…)")
    for name, value, least in (("dimension", dimension, 1), ("replicate", replicate, 0)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} = {shown(value)}: allowed is an integer ≥ {least}")
    rng = generator(check_seed(seed), replicate, "weights")
    shape = (net.n_filters, 2, int(dimension))
    if net.init == "uniform":
        unit = rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), shape)
    else:
        unit = rng.standard_normal(shape)
    if net.init == "antisymmetric":
        unit[:, 1] = unit[:, 0]
    return np.ascontiguousarray(net.init_std * unit.swapaxes(0, 1))


class _Vectors:
    """Distinct vectors up to sign, in order of appearance, and the signed patches made of them."""

    def __init__(self) -> None:
        self.vectors: list[Floats] = []
        self.rows: list[int] = []
        self.signs: list[float] = []
        self._known_vectors: dict[bytes, int] = {}
        self._known_patches: dict[tuple[int, float], int] = {}

    def patch(self, vector: Floats) -> int:
        """The number of a patch that is not zero."""
        sign = 1.0 if vector[np.flatnonzero(vector)[0]] > 0.0 else -1.0
        canonical = sign * vector + 0.0  # + 0.0 turns −0.0 into 0.0
        row = self._known_vectors.setdefault(canonical.tobytes(), len(self.vectors))
        if row == len(self.vectors):
            self.vectors.append(canonical)
        return self.signed(row, sign)

    def signed(self, row: int, sign: float) -> int:
        """The number of the patch sign · row."""
        number = self._known_patches.setdefault((row, sign), len(self.rows))
        if number == len(self.rows):
            self.rows.append(row)
            self.signs.append(sign)
        return number

    def table(self, samples: list[dict[int, float]]) -> codes.Table:
        """The table of samples given as {patch: multiplicity}."""
        return codes.Table(
            np.cumsum([0, *map(len, samples)]).astype(np.int64),
            np.array([patch for sample in samples for patch in sample], dtype=np.int64),
            np.array([times for sample in samples for times in sample.values()], dtype=np.float64),
            np.array(self.rows, dtype=np.int64),
            np.array(self.signs, dtype=np.float64),
        )


def _in_units(table: codes.Table, units: Floats) -> codes.Table:
    """The same patches, made of rows that are divided by `units`."""
    return table._replace(sign=table.sign * units[table.row])


def _with_ones(patches: Floats) -> Floats:
    """Patches with one more coordinate, which is one: what a bias is the weight of."""
    return np.concatenate([patches, np.ones((*patches.shape[:2], 1))], axis=2)


def _count_patches(patches: Floats, known: _Vectors) -> list[dict[int, float]]:
    """Each sample as {patch: multiplicity}; zero patches never act and are left out."""
    samples = []
    for sample in patches:
        counts: dict[int, float] = {}
        for vector in sample:
            if vector.any():
                number = known.patch(vector)
                counts[number] = counts.get(number, 0.0) + 1.0
        samples.append(counts)
    return samples


def _coarser(*given: Any) -> np.dtype[Any]:
    """The coarsest floating-point type among arrays, up to float64."""
    kinds = [np.asarray(value).dtype for value in given]
    floats = [kind for kind in kinds if kind.kind == "f"]
    return min([np.dtype(np.float64), *floats], key=lambda kind: np.finfo(kind).precision)


def _rounded(array: Floats, kind: np.dtype[Any]) -> Floats:
    """The array at the precision of a floating-point type."""
    with np.errstate(over="ignore"):
        return array.astype(kind).astype(np.float64)


def _signal_and_noise(
    patches: Floats, signal: Floats, true_labels: Floats | None, kind: np.dtype[Any]
) -> tuple[Floats, Floats, Floats]:
    """Samples made of ±signal and a shared noise, taken apart.

    Patches are compared with the signal at the precision of `kind`; the signal that is trained on
    is the one that the patches hold.

    Returns
    -------
    signal : (d,)
    true_labels : (n,)
    noises : (n, d)
    """
    n, n_patches, d = patches.shape
    seen, wanted = _rounded(patches, kind), _rounded(signal, kind)
    if n_patches < 2:
        raise InputError(f"patches has {n_patches} patch a sample: with a signal, allowed are ≥ 2")
    if true_labels is None and not signal.any():
        raise InputError("true_labels is missing: a zero signal does not tell them")
    held, found, noises = signal, np.empty(n), np.empty((n, d))
    for i, sample in enumerate(patches):
        signs = (1.0, -1.0) if true_labels is None else (true_labels[i],)
        match = [
            (p, s) for s in signs for p in range(n_patches) if (seen[i, p] == s * wanted).all()
        ]
        if not match:
            raise InputError(
                f"patches[{i}]: no patch equals the signal times "
                f"{'±1' if true_labels is None else 'its true label'}, compared as {kind}; "
                "leave `signal` out for other kinds of data"
            )
        place, found[i] = match[0]
        held = found[i] * sample[place] if i == 0 else held
        rest = np.delete(sample, place, axis=0)
        if (rest != rest[0]).any():
            raise InputError(
                f"patches[{i}]: beside the signal, all patches must be one noise vector; leave "
                "`signal` out for other kinds of data"
            )
        noises[i] = rest[0]
    return held, found, noises


@dataclasses.dataclass(frozen=True)
class Problem:
    """Explicit data and initial weights, seen from the span of the patches.

    Make one with `from_patches`. Its arrays are read by `train`.
    """

    def __repr__(self) -> str:
        """Sizes, not arrays."""
        q, d = self.vectors.shape
        n, m = self.arrays.labels.size, self.weights.shape[1]
        return f"Problem({n} samples, {q} distinct vectors of dimension {d}, {m} filters a sign)"

    net: TwoLayerCNN
    arrays: codes.Problem
    vectors: Floats  # distinct patch vectors, (q, d)
    weights: Floats  # (2, m, d)
    test_set: codes.TestSet
    fresh_samples: codes.FreshSamples
    named_signal: bool

    @classmethod
    def from_patches(
        cls,
        patches: npt.ArrayLike,
        labels: npt.ArrayLike,
        weights: npt.ArrayLike,
        *,
        signal: npt.ArrayLike | None = None,
        true_labels: npt.ArrayLike | None = None,
        noise_std: float | None = None,
        test_patches: npt.ArrayLike | None = None,
        test_labels: npt.ArrayLike | None = None,
        bias: npt.ArrayLike | None = None,
        **network: Any,
    ) -> Self:
        """A problem from arrays.

        Parameters
        ----------
        patches : (n, P, d) array
            Any patches. Equal ones (up to sign) become one dictionary vector.
        labels : (n,) array of ±1
            Observed labels.
        weights : (2, m, d) array
            Initial filters; the first bank has sign +1, the second −1.
        signal : (d,) array, optional
            The signal μ, where each sample is ±μ once and one noise vector in all other patches;
            results then hold signal_coef γ and noise_coef ρ, otherwise coef. If it has another
            precision than the patches, the two are compared at the coarser one.
        true_labels : (n,) array of ±1, optional
            With `signal`: the sign of μ in each sample; read off the patches where absent.
        noise_std : float, optional
            With `signal`: σ_p of fresh isotropic noise; gives the test error on fresh samples.
        test_patches, test_labels : (N, P, d) and (N,) arrays, optional
            Explicit test data instead; the error on it comes with its 95 % interval.
        bias : (2, m) array, optional
            Initial biases, trained like weights: each patch gets one more coordinate, a one, and
            the biases are the filters' last entries. Not with `signal`.
        activation, activation_shape, output, loss, reduction
            As for `TwoLayerCNN`.

        Raises
        ------
        InputError
            One line that names the argument and what is allowed.
        """
        given = patches
        patches = _array("patches", patches, 3, (None, None, None))
        n, n_patches, d = patches.shape
        labels = _labels("labels", labels, n)
        weights = _array("weights", weights, 3, (2, None, d))
        net = made("Problem", TwoLayerCNN, {
            "n_filters": weights.shape[1], "init_std": 0.0, **network})  # fmt: skip
        if bias is not None:
            if signal is not None:
                raise InputError("bias and signal: allowed is one of them")
            bias = _array("bias", bias, 2, (2, weights.shape[1]))
            weights = np.concatenate([weights, bias[..., None]], axis=2)
            patches, d = _with_ones(patches), d + 1
        known = _Vectors()
        if signal is None:
            for name, value in (("true_labels", true_labels), ("noise_std", noise_std)):
                if value is not None:
                    raise InputError(f"{name} is given without signal: allowed only with it")
            samples = _count_patches(patches, known)
            truth = labels
            if not known.vectors:
                raise InputError("patches: all are zero; allowed is at least one other patch")
            vectors = np.array(known.vectors)
        else:
            raw, signal = signal, _array("signal", signal, 1, (d,))
            told = None if true_labels is None else _labels("true_labels", true_labels, n)
            signal, truth, noises = _signal_and_noise(patches, signal, told, _coarser(given, raw))
            samples = [
                {known.signed(0, truth[i]): 1.0, known.signed(1 + i, 1.0): n_patches - 1.0}
                for i in range(n)
            ]
            vectors = np.concatenate([signal[None], noises])
        filters = weights.reshape(-1, d)
        fresh_samples = cls._fresh_samples(noise_std, n_patches, labels, truth)
        arrays = cls._arrays(
            vectors, filters, known.table(samples), labels, truth, int(signal is not None),
            kernel_model(net), fresh_samples.method != codes.NO_TEST,
        )  # fmt: skip
        test_set = NO_TEST_SET
        if (test_patches is None) != (test_labels is None):
            raise InputError("test_patches and test_labels: allowed only together")
        if test_patches is not None:
            if noise_std is not None:
                raise InputError("noise_std and test_patches: allowed is one of them")
            wide = d - (bias is not None)
            points = _array("test_patches", test_patches, 3, (None, None, wide))
            points = points if bias is None else _with_ones(points)
            tested = _Vectors()
            table = tested.table(_count_patches(points, tested))
            across, units = scale_rows(np.array(tested.vectors).reshape(-1, d))
            test_set = codes.TestSet(
                inner_products(across, scale_rows(vectors)[0]), inner_products(across, filters),
                _in_units(table, units),
                _labels("test_labels", test_labels, len(points)),
            )  # fmt: skip
            fresh_samples = fresh_samples._replace(method=codes.TEST_SET)
        return cls(net, arrays, vectors, weights, test_set, fresh_samples, signal is not None)

    @staticmethod
    def _fresh_samples(
        noise_std: float | None, n_patches: int, labels: Floats, truth: Floats
    ) -> codes.FreshSamples:
        """The law of fresh samples; the flip rate is that of the data at hand."""
        number = noise_std is None or is_plain_number(noise_std) or isinstance(noise_std, np.number)
        if not number or not 0.0 <= float(noise_std or 0.0) < np.inf:
            raise InputError(f"noise_std = {shown(noise_std)}: allowed is a finite number ≥ 0")
        flipped = float(np.mean(labels != truth)) if noise_std is not None else 0.0
        return NO_FRESH_SAMPLES._replace(
            method=codes.NO_TEST if noise_std is None else codes.LINE,
            noise_std=float(noise_std or 0.0), noise_copies=n_patches - 1.0, label_flip=flipped,
        )  # fmt: skip

    @staticmethod
    def _arrays(
        vectors: Floats, filters: Floats, table: codes.Table, labels: Floats, truth: Floats,
        n_signals: int, model: Model, needs_weights: bool,
    ) -> codes.Problem:  # fmt: skip
        """Kernel arrays; coordinates of the vectors only where something needs them."""
        q, d = vectors.shape
        vectors, units = scale_rows(vectors)
        factored = q > 2 * d
        if not (factored or needs_weights):
            rows, turned = np.zeros((q, 0)), np.zeros((len(filters), 0))
        elif d > q + len(filters):
            picture = lower_factor(np.concatenate([vectors, filters]))
            rows, turned = picture[:q].copy(), picture[q:].copy()
            half = len(filters) // 2
            equal = (filters[:half] == filters[half:]).all(axis=1)
            turned[half:][equal] = turned[:half][equal]  # not to rounding only
        else:
            rows, turned = vectors, filters
        gram = np.zeros((0, 0)) if factored else inner_products(vectors, vectors)
        return codes.Problem(
            codes.Dictionary(gram, rows, units), inner_products(vectors, filters), turned,
            _in_units(table, units), labels, truth, n_signals, model,
        )  # fmt: skip

    @property
    def variables(self) -> tuple[str, ...]:
        """What can be recorded of this problem."""
        tests: tuple[str, ...] = tuple(name for name in SCALARS if "test_error" in name)
        if self.fresh_samples.method == codes.NO_TEST:
            tests = ()
        elif self.fresh_samples.method == codes.TEST_SET:
            tests = ("test_error", "test_error_se")
        scalars = tuple(name for name in SCALARS if "test_error" not in name or name in tests)
        named = ("signal_coef", "noise_coef") if self.named_signal else ("coef",)
        probes: tuple[str, ...] = PROBES if self.named_signal else ("sam_gap", "sharpness")
        if not self.net.piecewise_linear:
            probes = tuple(name for name in probes if name != "sharpness")
        interval = INTERVAL if self.fresh_samples.method == codes.TEST_SET else ()
        return (*scalars, *interval, *probes, "margin", *named, "initial_share")
