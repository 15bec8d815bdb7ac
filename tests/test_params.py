"""Parameter classes: what they accept, what they refuse and in which words."""

import pickle
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import common
import numpy as np
import pytest
from common import items

from simdyn.base.inputs import SYNONYMS, InputError, nearest
from simdyn.params import (
    PICTURES,
    SAM,
    SGD,
    ClusterData,
    Collapse,
    CriticalLines,
    Crossing,
    Curves,
    DrawnData,
    ImageData,
    IndependentNoiseData,
    MultiViewData,
    Parameters,
    Phase,
    PhaseDiagram,
    Record,
    Refinement,
    SignalNoiseData,
    Trajectories,
    TwoLayerCNN,
    XORData,
    as_plan,
)
from simdyn.params.figure_look import Look
from simdyn.study.design import TABLES
from simdyn.variables.registry import VARIABLES

VALID: dict[type[Parameters], dict[str, Any]] = {
    SignalNoiseData: {"n_samples": 20, "dimension": 5000, "signal_norm": 3.0},
    IndependentNoiseData: {"n_samples": 20, "dimension": 5000, "signal_norm": 3.0},
    XORData: {"n_samples": 20, "dimension": 5000, "signal_norm": 3.0},
    MultiViewData: {"n_samples": 20, "dimension": 5000, "signal_norm": 3.0, "weak_norm": 1.0},
    ClusterData: {"n_samples": 20, "dimension": 5000, "signal_norm": 3.0},
    ImageData: {"n_samples": 20},
    TwoLayerCNN: {"n_filters": 10, "init_std": 1e-3},
    SGD: {"learning_rate": 0.1, "epochs": 100},
    SAM: {"radius": 0.03, "learning_rate": 0.1, "epochs": 100},
    Record: {},
    PhaseDiagram: {},
    Curves: {"x": "dimension"},
    CriticalLines: {},
    Crossing: {"field": "signal_norm", "between": (0.1, 10.0)},
    Trajectories: {},
    Refinement: {},
    Collapse: {},
}

NAN, INF = float("nan"), float("inf")
COMMON = ("at", *Look.model_fields)  # options of every kind of figure, tested with one
# Fields that hold more than one number, or a number or a formula.
FORMULAS = (
    (Crossing, "between"),
    (Crossing, "level"),
    (Collapse, "between"),
    (Refinement, "levels"),
    (PhaseDiagram, "thin_levels"),
    *((kind, "width") for kind in PICTURES.values()),
    *((kind, "at") for kind in PICTURES.values()),
)
SCALES = ["linear", "log", "symlog"]
SCALE_WORDS = '"linear", "log" or "symlog"'
NOT_NUMBERS: list[Any] = [True, False, "1", "n_samples", None, [1], {"a": 1}, 1j, b"1"]

# Of each class: field, values at the edge of what is allowed, values that are not, the words
LIMITS: dict[type[Parameters], list[tuple[str, list[Any], list[Any], str]]] = {
    SignalNoiseData: [
        ("n_samples", [1, 2**31], [0, -1, 2**31 + 1, 1.5, NAN, INF], "an integer from 1 to 2**31"),
        ("dimension", [1, 2**53], [0, -1, 2**53 + 1, 0.5, NAN, INF], "an integer from 1 to 2**53"),
        ("signal_norm", [0, 0.0, 1e300], [-1e-300, -1, NAN, INF, -INF], "a finite number ≥ 0"),
        ("noise_std", [0, 1e300], [-1e-300, NAN, INF], "a finite number ≥ 0"),
        ("n_patches", [2, 2**31], [1, 0, 2**31 + 1, 2.5, NAN], "an integer from 2 to 2**31"),
        ("label_flip", [0, 0.4999999], [0.5, -1e-9, 1, NAN], "a number from 0 to below 0.5"),
        (
            "noise",
            ["isotropic", "orthogonal"],
            ["Isotropic", "", 1, None, True],
            '"isotropic" or "orthogonal"',
        ),
    ],
    IndependentNoiseData: [("n_patches", [2, 33], [1, 0, 34, 2.5, NAN], "an integer from 2 to 33")],
    XORData: [
        ("angle", [1e-9, 90, 179.9], [0, 180, -1, NAN, INF], "a number between 0 and 180"),
        ("n_patches", [2, 2**31], [1, 2.5, NAN], "an integer from 2 to 2**31"),
    ],
    MultiViewData: [
        ("weak_norm", [0, 1e300], [-1e-300, NAN, INF], "a finite number ≥ 0"),
        ("strong_only", [0, 1], [-1e-9, 1.1, NAN], "a number from 0 to 1"),
        ("weak_only", [0, 1], [-1e-9, 1.1, NAN], "a number from 0 to 1"),
        ("test_strong_only", [None, 0, 1], [-1e-9, 1.1, NAN], "a number from 0 to 1"),
        ("test_weak_only", [None, 0, 1], [-1e-9, 1.1, NAN], "a number from 0 to 1"),
        ("n_patches", [3, 2**31], [2, 3.5, NAN], "an integer from 3 to 2**31"),
    ],
    ClusterData: [("signal_share", [0, 1], [-1e-9, 1.1, NAN], "a number from 0 to 1")],
    ImageData: [
        ("n_samples", [2, 2**31], [1, 0, 2.5, NAN], "an integer from 2 to 2**31"),
        ("source", ["digits", "x.npz"], [None, 3], '"digits" or the path of an .npz file'),
        ("images", ["x"], [None, 3], "the name of an array"),
        ("labels", ["y"], [None, 3], "the name of an array"),
        ("positive", [0, -5, 2**53], [0.5, NAN, 2**54], "an integer"),
        ("negative", [0, -5, 2**53], [0.5, NAN, 2**54], "an integer"),
        ("patch_size", [1, 2**15], [0, 1.5, NAN], "an integer from 1 to 2**15"),
        ("signal_norm", [1e-300, 5.0], [0, -1, NAN, INF], "a finite number > 0"),
        ("noise_std", [0, 1e300], [-1e-300, NAN, INF], "a finite number ≥ 0"),
        ("noise_patches", [0, 64], [-1, 0.5, 65, NAN], "an integer from 0 to 64"),
        ("label_flip", [0, 0.4999999], [0.5, NAN], "a number from 0 to below 0.5"),
        ("test_samples", [None, 1, 2**31], [0, 1.5, NAN], "an integer from 1 to 2**31"),
    ],
    TwoLayerCNN: [
        (
            "init",
            ["gaussian", "uniform", "antisymmetric"],
            ["normal", None, 0],
            '"gaussian", "uniform" or "antisymmetric"',
        ),
        ("n_filters", [1, 2**20], [0, -3, 2**20 + 1, 1.01, NAN], "an integer from 1 to 2**20"),
        ("init_std", [0, 5.0], [-1e-9, NAN, INF], "a finite number ≥ 0"),
        (
            "activation",
            ["relu", "leaky_relu", "relu_power", "huber_relu"],
            ["tanh", "ReLU", 0, None],
            '"relu", "leaky_relu", "relu_power" or "huber_relu"',
        ),
        ("activation_shape", [None], [NAN, INF], "a finite number that fits the activation"),
        ("output", ["mean", "sum"], ["max", None], '"mean" or "sum"'),
        ("loss", ["logistic", "hinge"], ["log", None], '"logistic" or "hinge"'),
        ("reduction", ["mean", "sum"], ["none", None], '"mean" or "sum"'),
    ],
    SGD: [
        (
            "learning_rate",
            [5e-324, 1e300, "0.1*cosine()", "1/epochs"],
            [0, -0.1, NAN, INF, 10**400, "0.1", "2*0.1", "rate"],
            "a finite number > 0, or a formula of epoch and update",
        ),
        ("epochs", [0, 2**53], [-1, 2**53 + 1, 0.5, NAN, 1e300], "an integer from 0 to 2**53"),
        (
            "batch_size",
            [None, 1, 2**40],
            [0, -1, 1.5, NAN],
            "an integer from 1 to n_samples, or none for the full batch",
        ),
        ("last_batch", ["refuse", "drop", "keep"], ["Keep", None, 1], '"refuse", "drop" or "keep"'),
        ("momentum", [0, 0.999], [1, -0.1, NAN], "a number from 0 to below 1"),
        ("weight_decay", [0, 1e300], [-1e-300, NAN, INF], "a finite number ≥ 0"),
        ("label_noise", [0, 0.5], [0.51, -0.1, NAN], "a number from 0 to 0.5"),
        ("restart", [True, False], ["yes", None, 1], "true or false"),
        (
            "until",
            [None, "train_loss < 0.01", "margin > 1e3"],
            ["", "train_loss", "train_loss < inf"],
            "a name, < or >, and a number: train_loss < 0.01",
        ),
        ("stepping", ["exact", "strides", "flow"], ["leaps", None], '"exact", "strides" or "flow"'),
        ("stride_tolerance", [1e-8, 0.1], [0, 0.11, NAN], "a number from 1e-8 to 0.1"),
    ],
    SAM: [
        ("normalised", [True, False], ["yes", None], "true or false"),
        ("group_size", [None, 1, 2**31], [0, -1, 2**31 + 1, 1.5], "an integer from 1 to 2**31"),
        ("radius", [0, 1e300], [-1e-300, NAN, INF], "a finite number ≥ 0"),
    ],
    Record: [
        ("every", [None, 1, 2**53], [0, -1, 1.5, 2**53 + 1], "an integer from 1 to 2**53"),
        ("unit", ["epoch", "step"], ["epochs", "", 3], '"epoch" or "step"'),
        ("log_spaced", [None, 2, 2**20], [1, 0, 2.5, 2**20 + 1], "an integer from 2 to 2**20"),
        (
            "variables",
            [None, ("test_error",), ["status"]],
            ["test_error", 3, [1], [None]],
            "a list of names of variables",
        ),
        ("weights", [True, False], ["maybe", None, 2], "true or false"),
        (
            "test_estimator",
            [None, "line", "counted", "radial"],
            ["lines", 1],
            '"line", "counted" or "radial"',
        ),
        ("test_draws", [None, 4, 2**27], [3, 0, 2**27 + 1, 4.5], "an integer from 4 to 2**27"),
        ("probe_radius", [None, 0, 1e300], [-1e-300, NAN, INF], "a finite number ≥ 0"),
    ],
    PhaseDiagram: [
        ("x_scale", [*SCALES, None], ["Log", 3], SCALE_WORDS),
        ("y_scale", [*SCALES, None], ["Log", 3], SCALE_WORDS),
        ("thin_levels", [None, (0.1,), [0.1, 2]], [(), ["a"], 0.1], "a list of finite numbers"),
        ("panel_height", [None, 0.3, 30], [0.2, 31, "a"], "inches from 0.3 to 30"),
        ("kind", ["phase_diagram"], ["map", None], '"phase_diagram"'),
        (
            "labels",
            [None, {"sam": "SAM (τ = 0.05)"}, {"a": r"$\tau$", "b": "B"}],
            ["sam", ["a"], {"a": ""}, {"a": 3}, {"a": "x\ny"}, {"a": "$x"}],
            "a table of a text of one line for each method",
        ),
        (
            "lines",
            [None, "results/lines.zarr"],
            ["", 3, ["a"]],
            "the path of a store of a study with [solve]",
        ),
        (
            "at",
            [None, {"n_samples": 20}, {"noise": "orthogonal"}],
            [3, ["n_samples"], {"n_samples": None}],
            "a table with a value of each swept name on no axis",
        ),
        ("title", [None, "A title"], [3, ["a"]], "a text"),
        (
            "width",
            ["single", "double", 1.5, 40, 5.5],
            ["wide", 1.4, 41, NAN, True, None],
            '"single", "double" or inches from 1.5 to 40',
        ),
        ("font_size", [3, 40, 9.5], [2, 41, NAN, "7"], "points from 3 to 40"),
        ("font", ["serif"], [3, None], "the name of an installed font"),
        ("caption", ["below", "file", "none"], ["above", None], '"below", "file" or "none"'),
        (
            "legend",
            ["below", "above", "inside", "none"],
            ["right", None],
            '"below", "above", "inside" or "none"',
        ),
        (
            "formats",
            [("png",), ["svg", "pdf"]],
            [(), "png", ["jpg"], None],
            'a list of "png", "pdf" and "svg"',
        ),
        ("colours", ["viridis"], [3, None], "the name of a colour map of matplotlib"),
        ("x", ["dimension"], [3, None, ["dimension"]], "a swept parameter"),
        (
            "compare",
            [None, ("a",), ("a", "b", "c")],
            [(), "ab", [1, 2]],
            "a list of names of methods",
        ),
        ("level", [0, -1, 0.5], [NAN, INF], "a finite number"),
        ("hatch_loss", [0.05], [NAN], "a finite number"),
        ("interpolated", ["plain", "faint"], ["hidden", None], '"plain" or "faint"'),
    ],
    Curves: [
        ("kind", ["curves"], ["curve", None], '"curves"'),
        ("x", ["dimension"], [3, None], "a swept parameter"),
        (
            "variables",
            [("train_loss",), ["a", "b", "c"]],
            [(), "test_error", ("a",) * 4, None],
            "a list of up to three recorded scalar variables",
        ),
        (
            "compare",
            [None, ("a",), ("a",) * 6],
            [(), ("a",) * 7, "a"],
            "a list of up to six names of methods",
        ),
        ("scale", SCALES, ["lin", None], SCALE_WORDS),
        ("x_scale", [*SCALES, None], ["Log", 3], SCALE_WORDS),
    ],
    CriticalLines: [
        ("x_scale", SCALES, ["lin", None], SCALE_WORDS),
        ("y_scale", SCALES, ["lin", None], SCALE_WORDS),
        ("kind", ["critical_lines"], ["lines", None], '"critical_lines"'),
        (
            "x",
            [("dimension",), ["a"] * 6],
            [(), "dimension", ["a"] * 7, None],
            "a list of up to six swept parameters",
        ),
        (
            "compare",
            [None, ("a",), ("a",) * 6],
            [(), ("a",) * 7, "a"],
            "a list of up to six names of methods",
        ),
    ],
    Collapse: [
        ("scale", SCALES, ["lin", None], SCALE_WORDS),
        ("kind", ["collapse"], ["scaling", None], '"collapse"'),
        ("x", ["signal_norm"], [3, None], "a swept parameter"),
        (
            "along",
            [("dimension",), ["a"] * 3],
            [(), "dimension", ["a"] * 4, None],
            "a list of up to three swept parameters",
        ),
        ("variable", ["train_loss"], [1, None], "a recorded scalar variable"),
        (
            "compare",
            [None, ("a",), ("a",) * 6],
            [(), ("a",) * 7, "a"],
            "a list of up to six names of methods",
        ),
        (
            "between",
            [None, (0.02, 0.4), (-1.0, 1)],
            [(0.1,), 0.1, (0.1, "a"), (0.1, float("nan")), (0.1, 0.2, 0.3)],
            "two numbers, the smaller one first",
        ),
    ],
    Crossing: [
        (
            "field",
            ["signal_norm", "ratio"],
            [3, None, ["dimension"]],
            "the name of a real-valued field",
        ),
        (
            "between",
            [(-1, 5), [0.1, "2*dimension"], ("a", "b")],
            [3, (1.0,), (1.0, 2.0, 3.0), (NAN, 1.0), (True, 2.0), ("1 +", 2.0), None],
            "two numbers or formulas, the smaller first",
        ),
        ("variable", ["train_loss"], [3, None], "the name of a recorded number"),
        (
            "level",
            [0, -1.5, "label_flip + 0.1"],
            [NAN, INF, "0.1 +", None],
            "a finite number or a formula",
        ),
        ("statistic", ["mean", "median"], ["mode", None], '"mean" or "median"'),
        ("replicates", [None, 2, 2**24], [1, 0, 2**24 + 1, 2.5], "an integer from 2 to 2**24"),
        ("tolerance", [1e-6, 0.1], [0.0, 0.2, NAN, -1], "a number above 0, at most 0.1"),
    ],
    Refinement: [
        ("variable", ["train_loss"], [3, None], "the name of a recorded number"),
        (
            "levels",
            [[0.1], (0, -1.5)],
            [[], 0.1, [NAN], [INF], None],
            "a list of one or more finite numbers",
        ),
        ("depth", [1, 10], [0, 11, 2.5, None], "an integer from 1 to 10"),
        ("step", [None, 1e-300, 3], [0.0, -1.0, NAN, INF], "a number above 0"),
        (
            "over",
            [None, ["dimension"]],
            [[], "dimension", [3]],
            "a list of swept names with numbers",
        ),
    ],
    Trajectories: [
        ("x_scale", SCALES, ["lin", None], SCALE_WORDS),
        ("scale", SCALES, ["lin", None], SCALE_WORDS),
        ("kind", ["trajectories"], ["trajectory"], '"trajectories"'),
        ("compare", [None, ("a", "b")], [("a",), "ab"], "two names of methods"),
        (
            "overlay",
            [None, ("a",), ("a", "b")],
            [(), ("a", "b", "c"), "ab"],
            "a list of one or two names of methods",
        ),
        (
            "panels",
            [None, ("growth",), ("sharpness", "losses")],
            [(), ("loss",), "growth"],
            "a list of growth, losses, deactivated_fraction, sharpness, sam_gap, "
            "switching_fraction",
        ),
    ],
}


def made(owner: type[Parameters], **fields: Any) -> Any:
    return owner(**{**VALID[owner], **fields})


def refusal(owner: type[Parameters], **fields: Any) -> str:
    """The message with which fields are refused: one line, always."""
    return common.refusal(made, owner, **fields)


@pytest.mark.parametrize(
    ("owner", "field", "good", "bad", "words"),
    [(owner, *limits) for owner, fields in LIMITS.items() for limits in fields],
)
def test_parameters__limits_of_each_field(
    owner: type[Parameters], field: str, good: list[Any], bad: list[Any], words: str
) -> None:
    for value in good:
        kept = getattr(made(owner, **{field: value}), field)
        assert kept == (tuple(value) if isinstance(value, list) else value)
    for value in bad:
        message = refusal(owner, **{field: value})
        assert message.startswith(f"{owner.__name__}.{field} = ")
        assert message.endswith(f": allowed is {words}")


def test_parameters__every_field_has_limits_tested() -> None:
    tested = {(owner, field) for owner, fields in LIMITS.items() for field, *_ in fields}
    drawn = [IndependentNoiseData, XORData, MultiViewData, ClusterData]
    inherited = {(SAM, f) for f in Phase.model_fields} | {
        *((owner, field) for owner in drawn for field in DrawnData.model_fields),
        (PhaseDiagram, "y"),
        (PhaseDiagram, "variable"),
        *(
            (kind, field)
            for kind in PICTURES.values()
            for field in COMMON
            if kind is not PhaseDiagram
        ),
    }
    every = {(owner, field) for owner in VALID for field in owner.model_fields}
    assert every - inherited == tested


@pytest.mark.parametrize("owner", VALID)
def test_parameters__refuses_what_is_no_number(owner: type[Parameters]) -> None:
    for field, info in owner.model_fields.items():
        if owner.is_number(field) and (owner, field) not in FORMULAS:
            for value in NOT_NUMBERS:
                if value is None and info.default is None:
                    continue
                message = refusal(owner, **{field: value})
                assert message.startswith(f"{owner.__name__}.{field} = {value!r}: allowed is ")


def test_parameters__is_number_and_is_integer_know_optional_fields() -> None:
    whole = {
        *items("""
        group_size  n_samples  dimension  n_patches  n_filters  epochs  batch_size  every
        log_spaced  test_draws  positive  negative  patch_size  noise_patches  test_samples
        replicates  depth
    """)
    }
    real = {
        *items("""
        signal_norm  noise_std  label_flip  init_std  learning_rate  radius  level  hatch_loss
        probe_radius  activation_shape  momentum  weight_decay  label_noise  angle  weak_norm
        stride_tolerance  strong_only  weak_only  test_strong_only  test_weak_only  signal_share
        between  tolerance  levels  step  width  font_size  at  panel_height  thin_levels
    """)
    }
    for owner in VALID:
        for field in owner.model_fields:
            assert owner.is_integer(field) == (field in whole), field
            assert owner.is_number(field) == (field in whole | real), field


def test_parameters__message_shows_value() -> None:
    assert refusal(SignalNoiseData, dimension=0) == (
        "SignalNoiseData.dimension = 0: allowed is an integer from 1 to 2**53"
    )
    assert "'a\\nb'" in refusal(SignalNoiseData, noise="a\nb")


@pytest.mark.parametrize(
    ("owner", "typo", "meant"),
    [
        (SignalNoiseData, "dimensions", "dimension"),
        (SignalNoiseData, "n_sample", "n_samples"),
        (TwoLayerCNN, "initstd", "init_std"),
        (SGD, "learningrate", "learning_rate"),
        (SAM, "raduis", "radius"),
        (Record, "variable", "variables"),
        (PhaseDiagram, "hatch", "hatch_loss"),
    ],
)
def test_parameters__misspelt_name_gets_nearest(
    owner: type[Parameters], typo: str, meant: str
) -> None:
    message = refusal(owner, **{typo: 1})
    assert message.startswith(f"{owner.__name__}.{typo}: no such field; did you mean '{meant}'?")
    for field in owner.model_fields:
        assert field in message


def test_parameters__misspelt_required_name_is_not_called_missing() -> None:
    with pytest.raises(InputError, match=r"^SGD\.epoch: no such field; did you mean 'epochs'\?"):
        SGD(learning_rate=0.1, epoch=3)  # type: ignore[call-arg]


def test_parameters__missing_field() -> None:
    with pytest.raises(InputError) as problem:
        SAM(learning_rate=0.1, epochs=3)  # type: ignore[call-arg]
    assert str(problem.value) == "SAM.radius is missing; allowed is a finite number ≥ 0"


@pytest.mark.parametrize("owner", VALID)
def test_parameters__frozen_equal_hashable_picklable(owner: type[Parameters]) -> None:
    one, same = made(owner), made(owner)
    assert one is not same
    assert one == same
    assert hash(one) == hash(same)
    assert pickle.loads(pickle.dumps(one)) == one
    field = next(iter(owner.model_fields))
    with pytest.raises(ValueError, match="cannot be changed"):
        setattr(one, field, getattr(one, field))


def test_parameters__differ_by_value_and_by_class() -> None:
    assert made(SGD) != made(SGD, epochs=101)
    assert made(SAM, radius=0.0) != made(SGD)


def test_parameters__numpy_scalars_become_plain_numbers() -> None:
    data = SignalNoiseData(
        n_samples=np.int8(4),
        dimension=np.uint64(50),
        signal_norm=np.float32(0.5),
        noise_std=np.float64(2.0),
        n_patches=np.int64(3),
    )
    assert data == SignalNoiseData(
        n_samples=4, dimension=50, signal_norm=0.5, noise_std=2.0, n_patches=3
    )
    assert type(data.dimension) is int
    assert type(data.signal_norm) is float
    assert refusal(SignalNoiseData, n_samples=np.bool_(True)).startswith("SignalNoiseData.n_samp")
    assert refusal(SignalNoiseData, signal_norm=np.float32("nan")).count("nan") == 1


def test_parameters__whole_floats_are_integers() -> None:
    data = made(SignalNoiseData, dimension=1000.0)
    assert data.dimension == 1000
    assert type(data.dimension) is int


def test_parameters__self_is_a_misspelt_field_like_any_other() -> None:
    for owner in VALID:
        fields = {**VALID[owner], "self": 1}
        with pytest.raises(InputError, match="no such field"):
            owner(**fields)


def test_nearest__hint_only_where_something_is_near() -> None:
    assert nearest("dimensoin", ["dimension", "noise"]) == (
        "did you mean 'dimension'? Allowed: dimension, noise"
    )
    assert nearest("zzz", ["dimension", "noise"]) == "Allowed: dimension, noise"


@pytest.mark.parametrize(
    ("owner", "name", "meant"),
    [
        (SGD, "lr", "learning_rate"),
        (SGD, "eta", "learning_rate"),
        (SAM, "rho", "radius"),
        (SAM, "tau", "radius"),
        (SGD, "beta", "momentum"),
        (SGD, "wd", "weight_decay"),
        (SGD, "B", "batch_size"),
        (SGD, "mu", "momentum"),
        (SignalNoiseData, "mu", "signal_norm"),
        (SignalNoiseData, "d", "dimension"),
        (SignalNoiseData, "n", "n_samples"),
        (SignalNoiseData, "P", "n_patches"),
        (SignalNoiseData, "p", "label_flip"),
        (SignalNoiseData, "sigma", "noise_std"),
        (TwoLayerCNN, "sigma", "init_std"),
        (TwoLayerCNN, "m", "n_filters"),
    ],
)
def test_nearest__knows_what_others_call_a_field(
    owner: type[Parameters], name: str, meant: str
) -> None:
    assert f"did you mean '{meant}'? " in refusal(owner, **{name: 1})


def test_nearest__synonyms_lead_to_names_that_exist() -> None:
    fields = {field for owner in VALID for field in owner.model_fields}
    known = fields | {*TABLES, *VARIABLES, "optimiser"}
    for name, meant in SYNONYMS.items():
        assert {*meant} <= known, name
        assert name == name.lower() or name.lower() in SYNONYMS


# -- phases --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "batch", "last", "updates"),
    [
        (20, None, "refuse", 1),
        (20, 20, "refuse", 1),
        (20, 5, "refuse", 4),
        (20, 1, "refuse", 20),
        (20, 6, "drop", 3),
        (20, 6, "keep", 4),
        (20, 11, "drop", 1),
        (20, 11, "keep", 2),
        (1, None, "refuse", 1),
        (21, 5, "drop", 4),
        (21, 5, "keep", 5),
        (20, 5, "keep", 4),
    ],
)
def test_updates_per_epoch__batches(n: int, batch: int | None, last: str, updates: int) -> None:
    assert made(SGD, batch_size=batch, last_batch=last).updates_per_epoch(n) == updates


@pytest.mark.parametrize("last", ["refuse", "drop", "keep"])
def test_updates_per_epoch__batch_larger_than_data(last: str) -> None:
    with pytest.raises(InputError) as problem:
        made(SAM, batch_size=21, last_batch=last).updates_per_epoch(20)
    assert str(problem.value) == (
        "SAM.batch_size = 21: allowed is an integer from 1 to n_samples = 20"
    )


def test_updates_per_epoch__batch_that_does_not_divide() -> None:
    with pytest.raises(InputError) as problem:
        made(SGD, batch_size=6).updates_per_epoch(20)
    assert str(problem.value) == (
        "SGD.batch_size = 6 does not divide n_samples = 20: choose a divisor, or "
        'last_batch = "drop" or "keep"'
    )


def test_perturbation__radius_of_sam_and_zero_for_sgd() -> None:
    assert made(SAM, radius=0.25).perturbation == 0.25
    assert made(SGD).perturbation == 0.0


class Counted(list[Any]):
    """A list that counts how often it is shown."""

    times = 0

    def __repr__(self) -> str:
        type(self).times += 1
        return super().__repr__()


def test_mistakes__a_list_that_is_wrong_throughout_is_not_shown_for_each_entry() -> None:
    fields = {"x": "dimension", "y": "signal_norm", "compare": Counted([1] * 5000)}
    (line,) = PhaseDiagram.mistakes("figure", fields)
    assert line.startswith("figure.compare = [1, 1, 1")
    assert Counted.times < 10, "once for each kind of mistake, not for each of 5,000 entries"


def test_as_plan__one_or_several() -> None:
    phase = made(SGD)
    assert as_plan(phase) == as_plan([phase]) == (phase,)
    for bad in ([], [phase, None], [3]):
        with pytest.raises(InputError, match="allowed is a non-empty list"):
            as_plan(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [None, 5])
def test_as_plan__what_is_no_list(bad: Any) -> None:
    with pytest.raises(InputError, match="allowed is a non-empty list"):
        as_plan(bad)


# -- what is recorded ----------------------------------------------------------------------------


def brute_updates(record: Record, plan: Sequence[Phase], n: int) -> list[int]:
    """Recorded updates by walking through training one update at a time."""
    every = record.every or 1
    found, update, epoch = [0], 0, 0
    for phase in plan:
        for _ in range(phase.epochs):
            for _ in range(phase.updates_per_epoch(n)):
                update += 1
                if record.unit == "step" and update % every == 0:
                    found.append(update)
            epoch += 1
            if record.unit == "epoch" and epoch % every == 0:
                found.append(update)
    return sorted({*found, update})


MIXED = [
    made(SGD, epochs=7, batch_size=5),
    made(SAM, epochs=4, batch_size=20),
    made(SGD, epochs=0),
    made(SAM, epochs=5, batch_size=6, last_batch="keep"),
    made(SGD, epochs=3, batch_size=6, last_batch="drop"),
]


@pytest.mark.parametrize("unit", ["epoch", "step"])
@pytest.mark.parametrize("every", [None, 1, 2, 3, 5, 18, 19, 20, 1000])
@pytest.mark.parametrize("plan", [MIXED, MIXED[:1], MIXED[2:3], MIXED[::-1]])
def test_record_updates__every_and_unit_over_mixed_phases(
    unit: Any, every: int | None, plan: list[Phase]
) -> None:
    record = Record(every=every, unit=unit)
    updates = record.updates(plan, 20, "epoch")
    assert updates.dtype == np.int64
    assert updates.tolist() == brute_updates(record, plan, 20)


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_record_updates__beyond_a_thousand_the_default_is_log_spaced(unit: Any) -> None:
    per_epoch = 4 if unit == "epoch" else 1  # of the 20 samples
    batch = 20 // per_epoch

    def plan(units: int) -> list[Phase]:
        return [
            made(SGD, epochs=units // 2, batch_size=batch),
            made(SAM, epochs=units - units // 2, batch_size=batch),
        ]

    record = Record(unit=unit)
    whole = record.updates(plan(1000), 20, "epoch")
    assert whole.tolist() == list(range(0, 1000 * per_epoch + 1, per_epoch))
    assert record.thinning(plan(1000), 20, whole) == {}
    for units in (1001, 10**5, 10**12):
        updates = record.updates(plan(units), 20, "epoch")
        expected = Record(log_spaced=1000).updates(plan(units), 20, "epoch")
        np.testing.assert_array_equal(updates, expected)
        assert updates.size <= 1000
        assert updates[[0, -1]].tolist() == [0, units * per_epoch]
        said = record.thinning(plan(units), 20, updates)["recorded"]
        assert said.startswith(f"{updates.size} states of {units:,} {unit}s, log-spaced")
        assert "\n" not in said
    assert Record(every=1, unit=unit).updates(plan(5000), 20, "epoch").size == 5001
    assert Record(every=1, unit=unit).thinning(plan(5000), 20, updates) == {}
    assert record.updates(plan(5000), 20, "last").size == 1


def test_record_updates__last_only_by_default_of_a_study() -> None:
    total = brute_updates(Record(), MIXED, 20)[-1]
    assert Record().updates(MIXED, 20, "last").tolist() == [total]
    assert Record(every=1).updates(MIXED, 20, "last").size > 1


def test_record_updates__no_epochs() -> None:
    plan = [made(SGD, epochs=0)]
    for record in (Record(), Record(every=3, unit="step"), Record(log_spaced=9)):
        for default in ("epoch", "last"):
            assert record.updates(plan, 20, default).tolist() == [0]


@pytest.mark.parametrize("states", [2, 3, 10, 50])
@pytest.mark.parametrize("epochs", [1, 2, 100, 10**9])
def test_record_updates__log_spaced(states: int, epochs: int) -> None:
    updates = Record(log_spaced=states).updates([made(SGD, epochs=epochs)], 20, "epoch")
    assert updates[0] == 0
    assert updates[-1] == epochs
    assert (np.diff(updates) > 0).all()
    assert updates.size <= states + 1
    if epochs == 10**9 and states == 10:
        assert updates.size == states
        ratios = np.diff(np.log(updates[1:].astype(float)))
        np.testing.assert_allclose(ratios, ratios.mean(), rtol=0.1)


def test_record_updates__log_spaced_has_the_last_update_exactly() -> None:
    for epochs in (2**53, 2**53 - 1, 10**15 + 3):
        updates = Record(log_spaced=7).updates([made(SGD, epochs=epochs)], 1, "epoch")
        assert updates[-1] == epochs
        assert (np.diff(updates) > 0).all()


@pytest.mark.parametrize(
    "record", [Record(), Record(log_spaced=5), Record(every=2**53), Record(every=1)]
)
def test_record_updates__more_than_can_be_counted_or_held_is_bad_input(record: Record) -> None:
    plan = [made(SGD, epochs=2**53, batch_size=1)]
    with pytest.raises(InputError, match="allowed"):
        record.updates(plan, 2**31, "last" if record == Record() else "epoch")


def test_record__estimator_and_draws_for_each_activation() -> None:
    assert Record().estimator("relu") == "line"
    assert Record().estimator("leaky_relu") == "line"
    assert Record().estimator("relu_power") == "counted"
    assert Record(test_estimator="radial").estimator("relu_power") == "radial"
    with pytest.raises(InputError, match="'radial': allowed for activation = 'huber_relu' is"):
        Record(test_estimator="radial").estimator("huber_relu")
    assert Record().draws("relu") == 32
    assert Record().draws("huber_relu") == 1000
    assert Record(test_estimator="counted").draws("relu") == 1000
    assert Record(test_estimator="radial").draws("relu") == 1000
    assert Record(test_estimator="radial", test_draws=7).draws("relu") == 7


def test_parameters__fractions_are_refused_or_exact() -> None:
    try:
        kept = made(SignalNoiseData, signal_norm=Fraction(1, 4)).signal_norm
    except InputError:
        return
    assert kept == 0.25
