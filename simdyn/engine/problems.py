"""Problems of explicit patches: any data given as d-vectors, in coordinates of their span."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from simdyn.base.html_tables import card, table
from simdyn.base.inputs import InputError, is_plain_number, shown
from simdyn.engine.arguments import NO_FRESH_SAMPLES, NO_TEST_SET, kernel_model
from simdyn.engine.patches import (
    Floats,
    _coarser,
    _in_units,
    _spanned,
    _spanned_by_signal,
    _with_ones,
)
from simdyn.kernels import codes
from simdyn.kernels.linear import gram_of, inner_products, lower_factor, scale_rows
from simdyn.kernels.structures import Dictionary, FreshSamples, TestSet
from simdyn.kernels.structures import Problem as KernelProblem
from simdyn.params import TwoLayerCNN, made
from simdyn.variables.selection import recordable
from simdyn.variables.variable import Offer


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


@dataclasses.dataclass(frozen=True)
class Problem:
    """Explicit data and initial weights, seen from the span of the patches.

    Make one with `from_patches`. Its arrays are read by `train`.

    Examples
    --------
    >>> simdyn.Problem.from_patches([[[1.0, 0.0]]], [1], [[[0.1, 0.0]], [[0.0, 0.1]]])
    Problem(1 samples, 1 distinct vectors of dimension 2, 1 filters a sign)
    """

    def __repr__(self) -> str:
        """Sizes, not arrays."""
        q, d = self.vectors.shape
        n, m = self.arrays.labels.size, self.weights.shape[1]
        return f"Problem({n} samples, {q} distinct vectors of dimension {d}, {m} filters a sign)"

    def _repr_html_(self) -> str:
        """Sizes, and the network, as notebooks show them."""
        labels = self.arrays.labels
        kinds = {codes.LINE: "isotropic noise, drawn", codes.TEST_SET: "explicit samples"}
        rows = {
            "samples": f"{labels.size}, {int((labels > 0).sum())} with the label +1",
            "dimension of a patch": f"{self.vectors.shape[1]}",
            "distinct vectors": f"{self.vectors.shape[0]}",
            "filters of each sign": f"{self.weights.shape[1]}",
            "coefficients": "signal γ and noise ρ" if self.named_signal else "of each vector",
            "test error": kinds.get(self.fresh_samples.method, "none: no test data are given"),
            "network": ", ".join(
                f"{name} = {value}"
                for name, value in self.net.__repr_args__()
                if not name.startswith("init")  # weights are given
            ),
        }
        return card("Problem", (), table(("what", "value"), list(rows.items())))

    net: TwoLayerCNN
    arrays: KernelProblem
    vectors: Floats  # distinct patch vectors, (q, d)
    weights: Floats  # (2, m, d)
    test_set: TestSet
    fresh_samples: FreshSamples
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
            The signal μ, if each sample is ±μ once and one noise vector in all other patches;
            results then hold signal_coef γ and noise_coef ρ, otherwise coef. If it has another
            precision than the patches, the two are compared at the coarser one.
        true_labels : (n,) array of ±1, optional
            With `signal`: the sign of μ in each sample; read off the patches if absent.
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

        Examples
        --------
        >>> patches = [[[1.0, 0.0], [0.0, 2.0]], [[-1.0, 0.0], [0.0, 2.0]]]  # (n, P, d)
        >>> weights = simdyn.initial_weights(simdyn.TwoLayerCNN(n_filters=4, init_std=0.1), 2)
        >>> problem = simdyn.Problem.from_patches(patches, [1, -1], weights)
        >>> problem
        Problem(2 samples, 2 distinct vectors of dimension 2, 4 filters a sign)
        """
        given = patches
        patches = _array("patches", patches, 3, (None, None, None))
        n, n_patches, d = patches.shape
        labels = _labels("labels", labels, n)
        weights = _array("weights", weights, 3, (2, None, d))
        net = made(
            "Problem", TwoLayerCNN, {"n_filters": weights.shape[1], "init_std": 0.0, **network}
        )
        if bias is not None:
            if signal is not None:
                raise InputError("bias and signal: allowed is one of them")
            bias = _array("bias", bias, 2, (2, weights.shape[1]))
            weights = np.concatenate([weights, bias[..., None]], axis=2)
            patches = _with_ones(patches)
        if signal is None:
            for name, value in (("true_labels", true_labels), ("noise_std", noise_std)):
                if value is not None:
                    raise InputError(f"{name} is given without signal: allowed only with it")
            (vectors, table), truth = _spanned(patches), labels
            if not vectors.size:
                raise InputError("patches: all are zero; allowed is at least one other patch")
        else:
            raw, signal = signal, _array("signal", signal, 1, (d,))
            told = None if true_labels is None else _labels("true_labels", true_labels, n)
            vectors, table, truth = _spanned_by_signal(patches, signal, told, _coarser(given, raw))
        fresh = cls._fresh_samples(noise_std, n_patches, labels, truth)
        if (test_patches is None) != (test_labels is None):
            raise InputError("test_patches and test_labels: allowed only together")
        tests = NO_TEST_SET
        if test_patches is not None:
            if noise_std is not None:
                raise InputError("noise_std and test_patches: allowed is one of them")
            points = _array("test_patches", test_patches, 3, (None, None, d))
            points = points if bias is None else _with_ones(points)
            tests = cls._test_set(points, test_labels, vectors, weights)
            fresh = fresh._replace(method=codes.TEST_SET)
        named = signal is not None
        dictionary, overlaps, filters = cls._seen(vectors, weights, fresh.method == codes.LINE)
        table = _in_units(table, dictionary.units)
        model = kernel_model(net)
        arrays = KernelProblem(
            dictionary, overlaps, filters, table, labels, truth, int(named), model
        )
        return cls(net, arrays, vectors, weights, tests, fresh, named)

    @staticmethod
    def _fresh_samples(
        noise_std: float | None, n_patches: int, labels: Floats, truth: Floats
    ) -> FreshSamples:
        """The law of fresh samples; the flip rate is that of these data."""
        number = noise_std is None or is_plain_number(noise_std) or isinstance(noise_std, np.number)
        if not number or not 0.0 <= float(noise_std or 0.0) < np.inf:
            raise InputError(f"noise_std = {shown(noise_std)}: allowed is a finite number ≥ 0")
        flipped = float(np.mean(labels != truth)) if noise_std is not None else 0.0
        return NO_FRESH_SAMPLES._replace(
            method=codes.NO_TEST if noise_std is None else codes.LINE,
            noise_std=float(noise_std or 0.0),
            noise_copies=n_patches - 1.0,
            label_flip=flipped,
        )

    @staticmethod
    def _test_set(points: Floats, labels: Any, vectors: Floats, weights: Floats) -> TestSet:
        """Explicit test data (N, P, d), as seen from the vectors and the filters."""
        across, table = _spanned(points)
        across, units = scale_rows(across)
        return TestSet(
            inner_products(across, scale_rows(vectors)[0]),
            inner_products(across, weights.reshape(-1, weights.shape[2])),
            _in_units(table, units),
            _labels("test_labels", labels, len(points)),
        )

    @staticmethod
    def _seen(
        vectors: Floats, weights: Floats, needs_weights: bool
    ) -> tuple[Dictionary, Floats, Floats]:
        """The dictionary, its overlaps with the filters, and the filters in its coordinates.

        Coordinates are left out, of length 0, if nothing needs them.
        """
        q, d = vectors.shape
        filters = weights.reshape(-1, d)
        vectors, units = scale_rows(vectors)
        gram = gram_of(vectors)
        rows, turned = vectors, filters
        if gram.size and not needs_weights:
            rows, turned = np.zeros((q, 0)), np.zeros((len(filters), 0))
        elif d > q + len(filters):
            picture = lower_factor(np.concatenate([vectors, filters]))
            rows, turned = picture[:q].copy(), picture[q:].copy()
            half = len(filters) // 2
            equal = (filters[:half] == filters[half:]).all(axis=1)
            turned[half:][equal] = turned[:half][equal]  # not to rounding only
        return Dictionary(gram, rows, units), inner_products(vectors, filters), turned

    def recordable(self, phases: Iterable[Offer] = ()) -> tuple[str, ...]:
        """What can be recorded of this problem, trained in phases that offer this."""
        offers: set[Offer] = {"one signal", "one noise"} if self.named_signal else {"dictionary"}
        if self.net.piecewise_linear:
            offers.add("piecewise linear")
        if self.fresh_samples.method != codes.NO_TEST:
            given = self.fresh_samples.method == codes.TEST_SET
            offers.add("test samples" if given else "fresh samples")
        return recordable(offers.union(phases))
