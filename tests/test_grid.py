"""The grid of a space: zipped axes, masks, spaces of many points, and what a study makes of it."""

import hashlib
import itertools
import math
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import common
import numpy as np
import pytest

from simdyn.api.study import Study
from simdyn.params import Curves, ImageData, PhaseDiagram, Record
from simdyn.space.points import Point, Space
from simdyn.space.spread import spread
from simdyn.space.zips import dims_of, groups_of
from simdyn.study import checks, coordinates

DATA: dict[str, Any] = {"n_samples": 12, "dimension": 500, "signal_norm": 2.0}
NET: dict[str, Any] = {"n_filters": 3, "init_std": 0.01}
METHODS: dict[str, Any] = {
    "sgd": [{"optimiser": "SGD", "learning_rate": 0.1, "epochs": 10}],
    "sam": [{"optimiser": "SAM", "radius": 0.03, "learning_rate": 0.1, "epochs": 6}],
}
PAIR: dict[str, Any] = {"n_samples": [4, 6, 8], "dimension": [40, 60, 60]}


def space(axes: Mapping[str, Any], data: Mapping[str, Any] | None = None) -> Space:
    return Space({**DATA, **(data or {})}, NET, METHODS, axes)


def study(
    axes: Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
    net: Mapping[str, Any] | None = None,
    methods: Mapping[str, Any] | None = None,
    **options: Any,
) -> Study:
    return Study(
        {**DATA, **(data or {})}, {**NET, **(net or {})}, methods or METHODS, axes, **options
    )


def refusal(axes: Mapping[str, Any], **options: Any) -> str:
    """The message with which a study is refused: one line."""
    return common.refusal(study, axes, **options)


# -- sources of points ---------------------------------------------------------------------------


class Diagonal:
    """For each value of the first axis it finds one of the second, between two ends, when asked."""

    def __init__(self, axes: Mapping[str, np.ndarray], groups: object) -> None:
        (self.first, self.values), (self.second, self.ends) = axes.items()
        self.dims: Mapping[str, tuple[str, ...]] = {self.first: (self.first, self.second)}
        self.dim_of: Mapping[str, str] = dict.fromkeys((self.first, self.second), self.first)
        self.shape: tuple[int, ...] = (self.values.size,)
        self.size = self.values.size
        self.physics = {"diagonal": [self.values.tolist(), self.ends.tolist()]}
        self.searched: list[int] = []

    def swept_along(self, indices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.first not in indices:
            return {}
        k = indices[self.first]
        self.searched += k.ravel().tolist()
        low, high = self.ends
        return {self.first: self.values[k], self.second: low + (high - low) * k / (self.size - 1)}

    def swept(self, index: Sequence[int]) -> dict[str, Any]:
        found = self.swept_along({self.first: np.array(index[0])})
        return {name: value.item() for name, value in found.items()}

    @property
    def axes(self) -> Mapping[str, np.ndarray]:
        return self.swept_along({self.first: np.arange(self.size)})

    def indices(self) -> Iterator[tuple[int, ...]]:
        return np.ndindex(*self.shape)

    def with_values(self, axes: Mapping[str, np.ndarray]) -> "Diagonal":
        raise NotImplementedError


def test_source__a_search_finds_points_when_they_are_asked_for() -> None:
    axes = {"dimension": [100, 200, 300], "signal_norm": [1.0, 5.0], "where": "signal_norm > 2"}
    data = {**DATA, "noise_std": "signal_norm/2"}
    made = Space(data, NET, METHODS, axes, Diagonal)
    assert isinstance(made.source, Diagonal)
    assert not made.source.searched
    assert made.first == (1,)
    assert [made.wanted(index) for index in made.indices()] == [False, True, True]
    met = [made.point(index).data for index in made.indices()]
    values = [(at.dimension, at.signal_norm, at.noise_std) for at in met]
    assert values == [(100, 1.0, 0.5), (200, 3.0, 1.5), (300, 5.0, 2.5)]
    noise = (made.data, "noise_std")
    assert made.varying_dims([noise]) == ("dimension",)
    (column,) = made.fields([noise], ["dimension"])
    assert column.values.tolist() == [0.5, 1.5, 2.5]
    assert made.location((2,)) == " (at dimension = 300, signal_norm = 5.0)"
    assert made.physics == {"diagonal": [[100, 200, 300], [1.0, 5.0]], "where": "signal_norm > 2"}


# -- zip -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [["n_samples", "dimension"], ("n_samples", "dimension"), [["n_samples", "dimension"]]]
)
def test_zip__axes_go_together_along_one_dim(given: Any) -> None:
    made = space({**PAIR, "signal_norm": [1, 2], "zip": given})
    assert list(made.axes) == ["n_samples", "dimension", "signal_norm"]
    assert made.dims == {"n_samples": ("n_samples", "dimension"), "signal_norm": ("signal_norm",)}
    assert (made.shape, made.size) == ((3, 2), 6)
    assert list(made.indices()) == list(itertools.product(range(3), range(2)))
    met = [
        (p.data.n_samples, p.data.dimension, p.data.signal_norm)
        for p in map(made.point, made.indices())
    ]
    assert met == [(n, d, float(s)) for n, d in ((4, 40), (6, 60), (8, 60)) for s in (1, 2)]
    assert made.location((2, 1)) == " (at n_samples = 8, dimension = 60, signal_norm = 2.0)"


@pytest.mark.parametrize(
    ("order", "zipped", "dims"),
    [
        ("abcd", ["b", "d"], ["a", "b", "c"]),
        ("abcd", ["d", "b"], ["a", "c", "d"]),
        ("abcd", [["c", "a"], ["d", "b"]], ["c", "d"]),
        ("abcd", [["d", "b"], ["c", "a"]], ["c", "d"]),
        ("dcba", [["a", "b"], ["c", "d"]], ["c", "a"]),
        ("abcd", ["c", "b", "a", "d"], ["c"]),
    ],
)
def test_zip__dims_stand_where_the_first_name_of_a_group_does(
    order: str, zipped: Any, dims: list[str]
) -> None:
    groups = groups_of(zipped, order)
    found = dims_of(groups, dict.fromkeys(order, 2))
    assert list(found) == dims
    assert sorted(itertools.chain(*found.values())) == sorted(order)
    assert all(names[0] == dim for dim, names in found.items())


def test_zip__only_the_first_of_a_group_is_an_index() -> None:
    assert space({**PAIR, "zip": ["n_samples", "dimension"]}).shape == (3,)
    message = refusal({**PAIR, "zip": ["dimension", "n_samples"]})
    assert message == "space.dimension: the value 60 occurs twice; allowed are distinct ones"
    assert "occurs twice" in refusal(PAIR)


def test_zip__with_a_name_that_only_formulas_read_and_with_texts() -> None:
    made = space(
        {"scale": [1.0, 2.0], "noise": ["isotropic", "orthogonal"], "zip": ["scale", "noise"]},
        {"signal_norm": "3*scale"},
    )
    points = [made.point((k,)) for k in (0, 1)]
    assert [p.data.signal_norm for p in points] == [3.0, 6.0]
    assert [p.data.noise for p in points] == ["isotropic", "orthogonal"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "space.zip = 5: allowed is a list of two or more swept names, or a list of such lists"),
        ("n_samples", "space.zip = 'n_samples': allowed is a list of two or more"),
        ({"n_samples": "dimension"}, "allowed is a list of two or more"),
        ([], "space.zip = []:"),
        ([[]], "space.zip = [[]]:"),
        (["n_samples"], "space.zip = ['n_samples']: allowed is"),
        ([["n_samples"]], "allowed is a list of two or more"),
        (["n_samples", 5], "allowed is"),
        ([["n_samples", "dimension"], "signal_norm"], "allowed is a list of two or more"),
        ([[["n_samples", "dimension"]]], "allowed is a list of two or more"),
        (
            ["n_samples", "dimensoin"],
            "space.zip: no axis 'dimensoin'; did you mean 'dimension'? "
            "Allowed: n_samples, dimension, signal_norm",
        ),
        (["n_samples", "noise_std"], "space.zip: no axis 'noise_std'; "),
        (["n_samples", "n_samples"], "'n_samples' is in it 2 times; allowed is each name once"),
        ([["n_samples", "dimension"], ["dimension", "signal_norm"]], "'dimension' is in it 2 time"),
        (
            ["n_samples", "signal_norm"],
            "space.zip: 'n_samples' has 3 value(s) and 'signal_norm' "
            "has 2; allowed are equal numbers",
        ),
    ],
)
def test_zip__bad_input(given: Any, said: str) -> None:
    axes = {"n_samples": [4, 6, 8], "dimension": [40, 50, 60], "signal_norm": [1, 2]}
    assert said in refusal({**axes, "zip": given})


def test_zip__layout_runs_and_blocks_go_by_dims() -> None:
    made = study(
        {"signal_norm": [1, 2], **PAIR, "zip": ["n_samples", "dimension"]},
        replicates=2,
        record=Record(variables=["train_loss"]),
    )
    assert made.lengths == (2, 3, 2)
    assert made.layout.outer == ("signal_norm", "n_samples", "method", "replicate")
    assert made.layout.all_dims == (*made.layout.outer, "step")
    assert made.layout.coords["dimension"].dims == ("n_samples",)
    assert made.layout.coords["dimension"].values.tolist() == PAIR["dimension"]
    assert made.layout.coords["dimension"].attrs["symbol"] == "d"
    results = made.run()
    assert results["train_loss"].dims == ("signal_norm", "n_samples", "method", "replicate", "step")
    alone = study(
        {"signal_norm": [1, 2]},
        data={"n_samples": 8, "dimension": 60},
        replicates=2,
        record=Record(variables=["train_loss"]),
    ).run()
    np.testing.assert_array_equal(results["train_loss"].sel(n_samples=8), alone["train_loss"])


def test_zip__figures_are_drawn_over_dims() -> None:
    axes = {**PAIR, "zip": ["n_samples", "dimension"]}
    assert study(axes, figure=Curves(x="n_samples")).figure is not None
    assert refusal(axes, figure=Curves(x="dimension")) == (
        "figure.x = 'dimension': it goes along with 'n_samples' in space.zip; allowed is "
        "'n_samples'"
    )
    both = PhaseDiagram(x="n_samples", y="signal_norm")
    assert study({**axes, "signal_norm": [1, 2]}, figure=both).figure is both


# -- where ---------------------------------------------------------------------------------------

GRID: dict[str, Any] = {"dimension": [10, 20, 40], "signal_norm": [1, 2, 3]}


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("signal_norm**2 < dimension/5", lambda d, s: s**2 < d / 5),
        ("10 < dimension <= 20 or signal_norm == 3", lambda d, s: 10 < d <= 20 or s == 3),
        ("not (dimension > n_samples and signal_norm != 2)", lambda d, s: not (d > 12 and s != 2)),
        ("init_std*n_filters > 0 and noise_std < 1.5", lambda d, s: 1 + d / 40 < 1.5),
    ],
)
def test_wanted__where_the_formula_is_true(where: str, wanted: Any) -> None:
    made = space({**GRID, "where": where}, {"noise_std": "1 + dimension/40"})
    assert made.where == where
    assert list(made.axes) == list(made.dims) == list(GRID)
    for index in made.indices():
        answer = made.wanted(index)
        assert answer is wanted(GRID["dimension"][index[0]], GRID["signal_norm"][index[1]])


@pytest.mark.parametrize("generated", [True, False])
@pytest.mark.parametrize(
    ("where", "first", "last"),
    [
        ("noise_std <= 0.3", 0.1, 0.3),
        ("noise_std < 0.3", 0.1, 0.2),
        ("noise_std == 0.3", 0.3, 0.3),
        ("0.3 <= noise_std < 0.7", 0.3, 0.6),
        ("noise_std > 0.3", 0.4, 1.0),
        ("3*noise_std >= 2.1 and noise_std != 1", 0.7, 0.9),
    ],
)
def test_wanted__on_the_boundary(where: str, first: float, last: float, generated: bool) -> None:
    """Whether 3·0.1 is 0.3 to the last bit decides nothing."""
    values = {"start": 0.1, "stop": 1.0, "num": 10} if generated else np.linspace(0.1, 1, 10)
    made = space({"noise_std": values, "where": where})
    wanted = [k / 10 for k in range(1, 11) if made.wanted((k - 1,))]
    assert wanted == [k / 10 for k in range(1, 11) if first <= k / 10 <= last]
    assert made.first == (round(first * 10) - 1,)


def test_wanted__everywhere_where_there_is_no_formula() -> None:
    made = space(GRID)
    assert made.where is None
    assert all(made.wanted(index) is True for index in made.indices())
    assert made.first == (0, 0)
    assert space({}).first == ()


def test_wanted__reads_swept_names_of_phases_and_names_that_are_no_fields() -> None:
    made = space(
        {"epochs": [1, 5], "radius": [0.1, 0.2], "scale": [1, 2], "where": "epochs*radius < scale"},
        {"signal_norm": "scale"},
    )
    for e, r, s in made.indices():
        assert made.wanted((e, r, s)) == ((1, 5)[e] * (0.1, 0.2)[r] < (1, 2)[s])


def test_wanted__reads_all_axes_of_a_zip() -> None:
    made = space({**PAIR, "zip": ["n_samples", "dimension"], "where": "dimension > 8*n_samples"})
    assert [made.wanted(index) for index in made.indices()] == [True, True, False]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (5, "space.where = 5: allowed is a formula that is true or false"),
        (True, "space.where = True: allowed is a formula"),
        ([1, 2], "space.where = [1, 2]: "),
        ("1 + 1", "space.where = '1 + 1': allowed are comparisons of formulas, < <= > >= == !=, "),
        ("signal_norm", "space.where = 'signal_norm': allowed are comparisons"),
        ("signal_norm <", "space.where = 'signal_norm <' is not a formula"),
        (
            "signal_nrom < 1",
            "space.where = 'signal_nrom < 1': no field 'signal_nrom'; did you mean 'signal_norm'?",
        ),
        ("radius < 1", "no field 'radius'"),
        ("noise == 1", "no field 'noise'"),
        ("learning_rate < 1", "no field 'learning_rate'"),
        ("sqr(2) < 1", "no function 'sqr'"),
        (
            "log(dimension - 20) > 1",
            "space.where = 'log(dimension - 20) > 1' has no value: math "
            "domain error (at dimension = 10, signal_norm = 1.0)",
        ),
        (
            "noise_std > 0 and signal_norm > 3",
            "space.where = 'noise_std > 0 and signal_norm > 3': "
            "true at no point; allowed is a formula that is true at one or more",
        ),
    ],
)
def test_where__bad_input(where: Any, said: str) -> None:
    assert said in refusal({**GRID, "where": where})


def test_where__error_in_a_formula_that_it_reads() -> None:
    message = refusal({**GRID, "where": "noise_std > 1"}, data={"noise_std": "1/(dimension - 20)"})
    assert message.startswith("space.where: data.noise_std = '1/(dimension - 20)' has no value")
    assert message.endswith("(at dimension = 20, signal_norm = 1.0)")


def test_where__numbers_of_fields_are_no_truth_values() -> None:
    assert "allowed are numbers, field names" in refusal(GRID, data={"noise_std": "dimension > 1"})


@pytest.mark.parametrize("name", ["zip", "where"])
def test_space__zip_and_where_are_no_axes(name: str) -> None:
    message = refusal({name: [1.0, 2.0]}, data={"noise_std": name})
    assert message.startswith(f"space.{name} = [1.0, 2.0]: allowed is")


def test_masked_points__need_not_be_allowed() -> None:
    batch = {"sgd": [{**METHODS["sgd"][0], "batch_size": 5}]}
    axes = {"n_samples": [4, 5, 12, 15], "signal_norm": [-1, 1, 2]}
    assert "signal_norm = -1.0: allowed is" in refusal(axes, methods=batch)
    assert "batch_size = 5" in refusal({**axes, "where": "signal_norm > 0"}, methods=batch)
    kept = "n_samples == 5*floor(n_samples/5) and signal_norm >= 0"
    made = study({**axes, "where": kept}, methods=batch)
    assert made.space.first == (1, 1)
    assert (made.space.first_point.data.n_samples, made.space.first_point.data.signal_norm) == (
        5,
        1.0,
    )
    met = [index for index in made.space.indices() if made.space.wanted(index)]
    assert met == [(1, 1), (1, 2), (3, 1), (3, 2)]
    assert "signal_norm = -1.0: allowed is" in refusal(
        {**axes, "where": "n_samples == 5"}, methods=batch
    )
    # Where there is no schedule there are no updates either.
    assert made.layout.coords["updates"].values.tolist() == [[[0]], [[10]], [[0]], [[30]]]
    assert made.cost == pytest.approx(
        sum(
            study(
                {name: [axes[name][k]] for name, k in zip(axes, index, strict=True)}, methods=batch
            ).cost
            for index in met
        )
    )


def test_masked_points__may_record_another_number_of_states() -> None:
    axes, record = {"epochs": [3, 4, 6]}, Record(every=3)
    assert "record: " in refusal(axes, record=record)
    update = study({**axes, "where": "epochs != 3"}, record=record).layout.coords["updates"]
    assert update.dims == ("epochs", "method", "step")
    assert update.values[:, 0].tolist() == [[0, 0, 0], [0, 3, 4], [0, 3, 6]]


def test_masked_points__coordinates_are_missing_where_a_formula_has_no_value() -> None:
    made = study(
        {"dimension": [3, 4, 6, 8], "where": "dimension > 4"},
        data={
            "signal_norm": "sqrt(dimension - 4)",
            "n_patches": "dimension/2 + 1",
            "noise_std": "1/(dimension - 4)**2",
        },
        net={"n_filters": "round(4/(dimension - 4))"},
    )
    coords = made.layout.coords
    np.testing.assert_array_equal(coords["signal_norm"].values, [np.nan, 0.0, math.sqrt(2), 2.0])
    np.testing.assert_array_equal(coords["noise_std"].values, [1.0, np.nan, 0.25, 0.0625])
    assert coords["n_patches"].values.tolist() == [0, 3, 4, 5]  # 2.5 patches are none
    assert coords["n_filters"].values.tolist() == [-4, 0, 2, 1]  # nor are −4 filters allowed
    assert {coords[name].values.dtype for name in ("n_patches", "n_filters")} == {np.dtype("int64")}


# -- coordinates of fields that are not swept ------------------------------------------------------

FIELDS_BY_FORMULA: dict[str, Any] = {
    "data": {
        "signal_norm": "scale*sqrt(dimension/n_samples)",
        "noise_std": "exp(-0.1*signal_norm)",
        "n_patches": "2 + floor(log(dimension))",
        "label_flip": "0.1*(scale/3)**1.7",
    },
    "net": {"init_std": "noise_std/dimension**0.3", "n_filters": "round(3*scale) + n_patches"},
}


@pytest.mark.parametrize("zipped", [[], ["n_samples", "dimension"]])
def test_layout__coordinates_have_the_bits_of_the_points(zipped: list[str]) -> None:
    axes = {"n_samples": [4, 6, 9], "scale": [0.3, 1.1, 2.7, 2.9], "dimension": [41, 67, 1013]}
    made = study({**axes, **({"zip": zipped} if zipped else {})}, **FIELDS_BY_FORMULA)
    shape, outer = made.space.shape, tuple(made.space.dims)
    seen = {}
    for name in ("signal_norm", "noise_std", "n_patches", "label_flip", "init_std", "n_filters"):
        coord = made.layout.coords[name]
        seen[name] = coord.dims
        at = [slice(None) if dim in coord.dims else None for dim in outer]
        values = np.broadcast_to(coord.values[tuple(at)], shape)
        for index in made.space.indices():
            point: Point = made.space.point(index)
            given = {**point.data.model_dump(), **point.net.model_dump()}[name]
            assert type(values[index].item()) is type(given)
            assert values[index].tobytes() == np.asarray(given).tobytes()
    n, d = "n_samples", "n_samples" if zipped else "dimension"
    dims = {k: tuple(dim for dim in outer if dim in {n, d, "scale"}) for k in seen}
    assert seen == dims | {
        "n_patches": (d,),
        "label_flip": ("scale",),
        "n_filters": tuple(dim for dim in outer if dim in (d, "scale")),
    }


def test_layout__formulas_that_read_nothing_swept_are_scalars() -> None:
    coords = study({"dimension": [10, 20]}, data={"noise_std": "sqrt(n_samples)"}).layout.coords
    assert (coords["noise_std"].dims, coords["noise_std"].values.item()) == ((), math.sqrt(12))


def test_layout__field_set_by_the_full_name_of_an_axis() -> None:
    made = study({"data.dimension": [20, 10], "data.noise": ["orthogonal", "isotropic"]})
    coords = made.layout.coords
    assert coords["dimension"].dims == ("data.dimension",)
    assert coords["dimension"].values.tolist() == [20, 10]
    assert coords["noise"].dims == ("data.noise",)
    assert coords["noise"].values.tolist() == ["orthogonal", "isotropic"]


def test_layout__too_many_values_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {"dimension": [10, 20, 30], "signal_norm": [1, 2, 3], "epochs": [5, 6]}
    data = {"noise_std": "dimension*signal_norm", "label_flip": "dimension/100"}
    assert {"noise_std", "label_flip", "updates"} <= set(study(axes, data=data).layout.coords)
    monkeypatch.setattr(coordinates, "MAX_VALUES", 8)
    few = study(axes, data=data).layout.coords
    assert "noise_std" not in few
    assert {"label_flip", "updates", *axes} <= set(few)
    monkeypatch.setattr(coordinates, "MAX_VALUES", 3)
    assert "updates" not in study(axes, data=data).layout.coords
    monkeypatch.undo()
    monkeypatch.setattr(coordinates, "MAX_SCHEDULES", 1)
    assert "updates" not in study(axes, data=data).layout.coords


def test_layout__update_has_the_values_of_the_points() -> None:
    phases = [
        {
            "optimiser": "SAM",
            "radius": 0.1,
            "learning_rate": 0.1,
            "epochs": "ceil(10*share)",
            "batch_size": "n_samples/2",
        },
        {"optimiser": "SGD", "learning_rate": 0.1, "epochs": "10 - ceil(10*share)"},
    ]
    made = study(
        {"signal_norm": [1, 2], "share": [0.0, 0.31, 1.0], "last_batch": ["keep", "drop"]},
        methods={"sgd": METHODS["sgd"], "mixed": phases},
        record=Record(every=3),
    )
    update = made.layout.coords["updates"]
    assert update.dims == ("share", "last_batch", "method", "step")
    for index in made.space.indices():
        point = made.space.point(index)
        for k, plan in enumerate(point.plans):
            expected = made.record.updates(plan, point.data.n_samples, "last")
            assert update.values[index[1], index[2], k].tolist() == expected.tolist()


# -- fingerprint ---------------------------------------------------------------------------------


def test_fingerprint__zip_and_where_enter_only_where_they_are_given() -> None:
    bare = study(GRID)
    assert bare.physics["space"] == {"dimension": [10, 20, 40], "signal_norm": [1.0, 2.0, 3.0]}
    pair = study({**GRID, "zip": ["signal_norm", "dimension"], "where": "dimension > 5"})
    assert list(pair.physics["space"]) == ["dimension", "signal_norm", "zip", "where"]
    assert pair.physics["space"]["zip"] == [["signal_norm", "dimension"]]
    assert pair.physics["space"]["where"] == "dimension > 5"
    made = [
        bare,
        pair,
        study({**GRID, "where": "dimension > 5"}),
        study({**GRID, "where": "dimension > 6"}),
        study({**GRID, "zip": list(GRID)}),
        study({**GRID, "zip": ["signal_norm", "dimension"]}),
    ]
    assert len({each.fingerprint for each in made}) == len(made)


def test_fingerprint__is_pinned() -> None:
    """Whatever changes it refuses every store there is; the numbers' version is told apart."""
    assert study(GRID).with_numerics(2).fingerprint.startswith("16dc21166fd86ee6")
    both = study({**GRID, "zip": ["signal_norm", "dimension"], "where": "dimension > 5"})
    assert both.with_numerics(2).fingerprint.startswith("2e33832e1a39e3b6")
    long = study({"dimension": {"start": 1, "stop": 10_001, "num": 10_001}})
    assert long.with_numerics(2).fingerprint.startswith("2722a99fa56ee243")


def test_fingerprint__same_zip_in_other_words() -> None:
    three = {"epochs": [1, 2, 3], **GRID}
    made = [
        study({**three, "zip": zipped, "where": "dimension > 5"})
        for zipped in (
            ["dimension", "epochs", "signal_norm"],
            [["dimension", "signal_norm", "epochs"]],
        )
    ]
    assert made[0].fingerprint == made[1].fingerprint
    again = Space(*(made[0].physics[part] for part in ("data", "network", "methods", "space")))
    assert (again.dims, again.source.groups, again.where) == (
        made[0].space.dims,
        made[0].space.source.groups,
        "dimension > 5",
    )


def test_fingerprint__long_axes_enter_by_their_sum() -> None:
    short = study({"dimension": {"start": 1, "stop": 10_000, "num": 10_000}})
    assert short.physics["space"]["dimension"] == list(range(1, 10_001))
    long = study({"dimension": {"start": 1, "stop": 10_001, "num": 10_001}})
    little = np.arange(1, 10_002).astype("<i8").tobytes()
    assert long.physics["space"]["dimension"] == {
        "size": 10_001,
        "sha256": hashlib.sha256(little).hexdigest(),
    }
    other = [*range(1, 10_001), 10_002]
    assert study({"dimension": other}).fingerprint != long.fingerprint
    assert study({"dimension": range(1, 10_002)}).fingerprint == long.fingerprint


# -- many points ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (5,), (1999,), (40, 49), (3, 1, 7)])
def test_spread__every_point_of_a_small_grid(shape: tuple[int, ...]) -> None:
    assert list(spread(shape, 1000)) == list(np.ndindex(*shape))


@pytest.mark.parametrize(
    "shape", [(10**7,), (3162, 3162), (10**4, 10**3), (10**3, 10**4), (100, 2, 500), (2,) * 24]
)
def test_spread__even_along_every_dim(shape: tuple[int, ...]) -> None:
    places = np.array(list(spread(shape, 1000)))
    assert places.shape == (1000, len(shape))
    for along, size in zip(places.T, shape, strict=True):
        assert 0 <= along.min() <= along.max() < size
        for part in (along, along[:250]):  # the beginning of it is even, too
            counts = np.histogram(part, bins=min(size, 10), range=(0, size))[0]
            assert counts.min() > 0.7 * part.size / counts.size
            assert counts.max() < 1.3 * part.size / counts.size
    if math.prod(shape) > 10**5:
        assert len(set(map(tuple, places.tolist()))) > 990


def test_spread__same_on_every_machine() -> None:
    assert list(itertools.islice(spread((10**7, 10**7), 1000), 3)) == [
        (7071067, 8660254),
        (1213203, 5980762),
        (5355339, 3301270),
    ]


LARGE: dict[str, dict[str, Any]] = {
    "grid": {
        "dimension": {"log": [1e3, 1e12], "num": 3162},
        "signal_norm": {"start": 1, "stop": 10, "num": 3162},
    },
    "axis": {"dimension": {"start": 1000, "stop": 10**7 + 999, "num": 10**7}},
    "zip": {
        "dimension": {"start": 1000, "stop": 10**7 + 999, "num": 10**7},
        "signal_norm": {"start": 1, "stop": 10, "num": 10**7},
        "zip": ["dimension", "signal_norm"],
    },
    "where": {
        "dimension": {"log": [1e3, 1e12], "num": 3162},
        "signal_norm": {"start": 1, "stop": 10, "num": 3162},
        "where": "signal_norm > 3 and signal_norm < dimension**0.25",
    },
}


@pytest.mark.parametrize("name", LARGE)
def test_study__ten_million_points_are_planned_from_some_thousands(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"point": 0, "wanted": 0}

    def counted(method: str) -> Any:
        inner = getattr(Space, method)

        def call(self: Space, index: Any) -> Any:
            calls[method] += 1
            return inner(self, index)

        return call

    for method in calls:
        monkeypatch.setattr(Space, method, counted(method))
    methods = {
        "sgd": [{**METHODS["sgd"][0], "learning_rate": "20/dimension"}],
        "sam": [{**METHODS["sam"][0], "radius": "0.03/signal_norm"}],
    }
    tracemalloc.start()
    try:
        made = study(LARGE[name], methods=methods, net={"init_std": "0.1/sqrt(dimension)"})
        assert made.layout.outer == (*made.space.dims, "method", "replicate")
        assert len(made.fingerprint) == 64
        assert 0 < made.cost < math.inf
        assert math.prod(made.block_shape) >= 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.space.size > 9.9e6
    assert 1000 < calls["point"] < 10_000
    assert calls["wanted"] < 12_000
    assert peak < 2.1 * sum(values.nbytes for values in made.space.axes.values()) + 2e7
    assert len(made.layout.attrs["study"]) < 300_000
    expected = {"grid": ("dimension",), "where": ("dimension",)}.get(name)
    coord = made.layout.coords.get("init_std")
    assert (None if coord is None else coord.dims) == expected


@pytest.mark.parametrize("bad", [0, 1, 77_777, 299_999])
def test_check_points__of_a_large_space_see_every_extreme_value(bad: int) -> None:
    norms = np.linspace(1, 2, 300_000)
    assert study({"signal_norm": norms}).space.size == 300_000
    norms[bad] = -1.0
    assert "signal_norm = -1.0: allowed is" in refusal({"signal_norm": norms})
    zipped = {"scale": np.arange(300_000), "signal_norm": norms, "zip": ["scale", "signal_norm"]}
    data = {"noise_std": "1 + scale"}
    assert "signal_norm = -1.0: allowed is" in refusal(zipped, data=data)
    assert study({**zipped, "where": "signal_norm > 0"}, data=data).space.size == 300_000


def test_check_points__of_a_large_space_see_its_far_corner() -> None:
    axes = {"dimension": list(range(1, 301)), "signal_norm": np.linspace(0, 8, 301)}
    flip = {"label_flip": "0.4*(dimension/300)*(signal_norm/7.99)**9"}
    assert study(axes, data=flip).space.size > checks.CHECKED_POINTS
    message = refusal({**axes, "dimension": [*range(1, 300), 400]}, data=flip)
    assert "label_flip = 0.5" in message  # only at the three largest norms
    assert "dimension = 400" in message


def test_first__is_found_where_few_points_are_wanted() -> None:
    axes = {"dimension": range(1, 1001), "signal_norm": np.linspace(0, 1, 1001).tolist()}
    made = study({**axes, "where": "dimension == 777 and signal_norm == 1"})
    assert made.space.first == (776, 1000)
    assert 0 < made.cost < 1e-2 * study(axes).cost
    assert "true at no point" in refusal({**axes, "where": "dimension*signal_norm > 1000.5"})
    late = {**axes, "where": "log(900.5 - dimension) > 0 and dimension > 950"}
    assert "math domain error (at dimension = 901, signal_norm = 0.0)" in refusal(late)


def test_check_points__all_of_a_space_that_is_not_large() -> None:
    axes = {"dimension": list(range(1, 121)), "signal_norm": list(range(150))}
    away = "abs(dimension - 77) + abs(signal_norm - 131)"  # 0.5 at one point, 0.4 elsewhere
    message = refusal(axes, data={"label_flip": f"0.5 - min(1, {away})*0.1"})
    assert message.endswith(
        "label_flip = 0.5: allowed is a number from 0 to below 0.5 (at "
        "dimension = 77, signal_norm = 131.0)"
    )


def test_images__sources_and_masks() -> None:
    pytest.importorskip("sklearn")
    made = Study(
        {"model": "images", "source": "digits", "n_samples": 10, "signal_norm": 1.0},
        NET,
        METHODS,
        {"noise_std": [0.0, 1.0, 2.0], "where": "noise_std > 0.5"},
    )
    assert isinstance(made.space.first_point.data, ImageData)
    assert made.space.first_point.data.noise_std == 1.0


def test_zip__a_label_numbers_points_whose_axes_repeat() -> None:
    axes = {
        "case": [0, 1, 2],
        "n_samples": [8, 8, 10],
        "dimension": [100, 200, 100],
        "zip": ["case", "n_samples", "dimension"],
    }
    made = space(axes)
    assert dict(made.dims) == {"case": ("case", "n_samples", "dimension")}
    assert [made.point((k,)).data.n_samples for k in range(3)] == [8, 8, 10]
    for values in ([0, 1, 3], [1, 2, 3], [0.5, 1, 2]):
        assert "space.case: no such field" in refusal({**axes, "case": values})
    assert "space.case: no such field" in refusal({"case": [0, 1, 2]})
