"""Studies: files and their mistakes, fingerprints, blocks, layout."""

import copy
import itertools
import json
import math
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import items, refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simdyn import load_study
from simdyn.api.study import Study
from simdyn.base.inputs import InputError
from simdyn.params import SAM, SGD, PhaseDiagram, Record, SignalNoiseData, TwoLayerCNN
from simdyn.store import study_differences
from simdyn.study import blocks
from simdyn.study.blocks import Blocks, block_shape
from simdyn.variables.selection import by_studies, offers_of, recordable

SCALARS = by_studies(recordable(offers_of(SignalNoiseData)))
FILE = Path(__file__).parents[1] / "studies" / "phase_diagram.toml"

TABLES: dict[str, Any] = {
    "seed": 3,
    "replicates": 2,
    "data": {"n_samples": 4, "noise_std": 1.0},
    "network": {"n_filters": 2, "init_std": 0.01},
    "methods": {
        "sgd": [{"optimiser": "SGD", "learning_rate": 0.1, "epochs": 3}],
        "sam": [{"optimiser": "SAM", "radius": 0.1, "learning_rate": 0.1, "epochs": 3}],
    },
    "space": {"dimension": [20, 30, 40], "signal_norm": {"start": 0, "stop": 1, "num": 2}},
    "record": {"variables": ["train_loss", "test_error"]},
    "figure": {"x": "dimension", "y": "signal_norm", "compare": ["sgd", "sam"]},
    "smoke": {"space.dimension": [20], "replicates": 1},
}


class Delete:
    """In place of a value: take the key away."""

    def __repr__(self) -> str:
        return "DELETE"


DELETE = Delete()


def changed(path: str = "", value: Any = None, **more: Any) -> dict[str, Any]:
    """The tables with some values replaced, added or deleted; a path is written a/b/0/c."""
    tables = copy.deepcopy(TABLES)
    for where, new in {**({path: value} if path else {}), **more}.items():
        *folders, last = where.split("/")
        place: Any = tables
        for folder in folders:
            place = place[int(folder) if isinstance(place, list) else folder]
        if new is DELETE:
            del place[last]
        elif isinstance(place, list):
            place[int(last)] = new
        else:
            place[last] = new
    return tables


def study(path: str = "", value: Any = None, **more: Any) -> Study:
    return Study.from_mapping(changed(path, value, **more), "tiny")


# -- the file of the repository ------------------------------------------------------------------


def test_load_study__phase_diagram() -> None:
    made = load_study(FILE)
    assert made.name == "phase_diagram"
    assert (made.seed, made.replicates) == (0, 10)
    assert made.space.shape == (21, 21)
    assert made.space.axes["dimension"].tolist() == list(range(1000, 21001, 1000))
    assert made.space.axes["signal_norm"].tolist() == [k / 2 for k in range(21)]
    assert made.space.methods == ("sgd", "sam")
    assert made.runs == 21 * 21 * 2 * 10
    assert made.figure == PhaseDiagram(compare=("sgd", "sam"))
    point = made.space.point((20, 6))
    assert point.data == SignalNoiseData(n_samples=20, dimension=21000, signal_norm=3.0)
    assert point.net == TwoLayerCNN(n_filters=10, init_std=0.001)
    assert point.plans == (
        (SGD(learning_rate=0.1, epochs=100),),
        (SAM(radius=0.03, learning_rate=0.1, epochs=100),),
    )


def test_load_study__equals_the_same_study_from_python() -> None:
    from_python = Study(
        {"n_samples": 20},
        TwoLayerCNN(n_filters=10, init_std=1e-3),
        {
            "sgd": SGD(learning_rate=0.1, epochs=100),
            "sam": [SAM(radius=0.03, learning_rate=0.1, epochs=100)],
        },
        {"dimension": np.arange(1000, 21001, 1000), "signal_norm": np.linspace(0, 10, 21)},
        replicates=10,
        name="another name",
    )
    assert from_python.fingerprint == load_study(FILE).fingerprint


def test_load_study__names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text(FILE.read_text(encoding="utf-8").replace("n_samples = 20", "n_samples = 0"))
    message = refusal(lambda: load_study(path))
    assert message.startswith(f"{path}: ")
    assert "n_samples = 0: allowed is an integer from 1 to 2**31" in message


def test_load_study__accepts_other_line_endings_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "phase_diagram.toml"
    path.write_bytes(FILE.read_bytes().replace(b"\n", b"\r\n"))
    assert load_study(path).fingerprint == load_study(FILE).fingerprint
    path.write_bytes(b"\xef\xbb\xbf" + FILE.read_bytes())
    assert load_study(path).fingerprint == load_study(FILE).fingerprint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "[data], [network], [methods] are missing"),
        (b"# only a comment", "[data], [network], [methods] are missing"),
        (b"seed = ", "not valid TOML"),
        (b"[data\n", "not valid TOML"),
        (b"seed = 1\nseed = 2", "not valid TOML"),
        (bytes(range(256)), "not a text file"),
        (b"\x00\x00", "not valid TOML"),
        (b"\xff\xfe", "not a text file"),
        (b"seed = " + b"9" * 5000, "not valid TOML"),
        (b"a = " + b"[" * 50_000, "not valid TOML"),
        (b"a = " + b"{b = " * 5000, "not valid TOML"),
        (b"seed = 2020-13-45", "not valid TOML"),
    ],
    ids=range(12),
)
def test_load_study__files_that_are_no_study(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    message = refusal(lambda: load_study(path))
    assert message.startswith(f"{path}: ")
    assert words in message


def test_load_study__paths_that_are_no_file(tmp_path: Path) -> None:
    assert "is a folder" in refusal(lambda: load_study(tmp_path))
    (tmp_path / "phase.toml").write_text("seed = 1")
    message = refusal(lambda: load_study(tmp_path / "phse.toml"))
    assert message.startswith(f"{tmp_path / 'phse.toml'}: no such file; did you mean '")
    assert "phase.toml" in message
    assert "no such file" in refusal(lambda: load_study(tmp_path / "no" / "such.toml"))
    assert "cannot be read" in refusal(lambda: load_study(tmp_path / "phase.toml" / "x.toml"))
    assert "cannot be read" in refusal(lambda: load_study(tmp_path / ("n" * 300)))


# -- mistakes in the tables ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("sead", 1, "sead: no such field; did you mean 'seed'?"),
        ("sweep", {}, "Allowed: seed, replicates, data, network,"),
        ("data", [], "data = []: allowed is a table [data]"),
        ("data", DELETE, "[data] is missing"),
        ("network", 3, "network = 3: allowed is a table"),
        ("network", DELETE, "[network] is missing"),
        ("methods", DELETE, "[methods] is missing"),
        ("methods", {}, "methods = {}: allowed is"),
        ("methods", [{"optimiser": "SGD"}], "allowed is a table [methods]"),
        ("space", [1, 2], "space = [1, 2]: allowed is a table"),
        ("record", ["test_error"], "allowed is a table"),
        ("figure", "x", "figure = 'x': allowed is a table"),
        ("smoke", 1, "smoke = 1: allowed is"),
        ("seed", -1, "seed = -1: allowed is an integer from 0 to 2**63 - 1"),
        ("seed", 2**63, "seed = 9223372036854775808"),
        ("seed", 1.0, "seed = 1.0"),
        ("seed", True, "seed = True"),
        ("seed", "1", "seed = '1'"),
        ("seed", [1], "seed = [1]"),
        ("replicates", 0, "replicates = 0: allowed is an integer from 1 to 2**24"),
        ("replicates", "x", "replicates = 'x'"),
        ("replicates", 2**31 + 1, "replicates = "),
        ("replicates", 1.5, "replicates = 1.5"),
        ("replicates", True, "replicates = True"),
        ("data/n_sample", 1, "data.n_sample = 1: no such field; did you mean 'n_samples'?"),
        ("data/n_samples", DELETE, "data.n_samples is missing"),
        ("data/noise_std", -1, "noise_std = -1.0: allowed is a finite number ≥ 0"),
        ("data/noise", "white", "noise = 'white': allowed is \"isotropic\" or"),
        ("network/n_filters", 0, "n_filters = 0: allowed is an integer from 1 to 2**20"),
        ("network/initstd", 1, "network.initstd = 1: no such field; did you mean 'init_std'?"),
        ("network/init_std", float("nan"), "init_std = nan"),
        ("methods/sgd/0/epochs", -1, "epochs = -1"),
        ("methods/sgd/0/until", 5, "SGD.until = 5: allowed is a text like 'train_loss < 0.01'"),
        ("methods/sgd/0/until", 0.5, "SGD.until = 0.5: allowed is a text"),
        ("methods/sgd/0/epoch", 1, "methods.sgd.0.epoch = 1: no such field"),
        ("methods/sgd/0/optimiser", DELETE, "methods.sgd.0.optimiser = None"),
        ("methods/sgd/0", 5, "methods.sgd.0 = 5"),
        ("methods/sgd", 5, "methods.sgd = 5"),
        ("methods/sgd/0/batch_size", 5, "allowed is an integer from 1 to n_samples = 4"),
        ("methods/sgd/0/batch_size", 3, "3 does not divide n_samples = 4"),
        ("space/dimension", 5, "space.dimension = 5: allowed is a list"),
        ("space/dimension", [20, 0], "dimension = 0: allowed is an integer from 1 to 2**53"),
        ("space/dimension", [20, 20], "occurs twice"),
        ("space/dimension", [], "is empty"),
        ("space/dimensions", [1], "space.dimensions: no such field; did you mean 'dimension'?"),
        ("space/dimension", [20, float("nan")], "space.dimension"),
        ("record/every", 0, "record.every = 0: allowed is an integer from 1 to 2**53"),
        ("record/self", 1, "record.self: no such field"),
        ("record/evry", 1, "record.evry: no such field; did you mean 'every'?"),
        ("record/weights", True, "record.weights"),
        ("record/weights", "yes", "record.weights"),
        ("record/variables", ["tset_error"], "record.variables: 'tset_error'"),
        ("record/variables", ["coef"], "record.variables: 'coef'"),
        ("record/variables", "test_error", "record.variables = 'test_error': allowed is a list"),
        ("figure/x", "noise_std", "figure.x = 'noise_std': not swept; "),
        ("figure/y", "signal", "figure.y = 'signal': not swept; did you mean 'signal_norm'?"),
        ("figure/y", "dimension", "figure.y = 'dimension'"),
        ("figure/variable", "grad_norm", "figure.variable = 'grad_norm': not recorded"),
        ("figure/variable", "status", "figure.variable = 'status': not recorded"),
        ("figure/compare", ["sgd", "adam"], "figure.compare: no method 'adam'; "),
        ("figure/compare", ["sgd", "sgd"], "figure.compare"),
        ("figure/compare", [], "figure.compare = []: allowed is a list of names of methods"),
        ("figure/kind", "map", 'figure.kind = \'map\': allowed are "phase_diagram", "curves"'),
        ("figure/level", "0.1", "figure.level = '0.1': allowed is a finite number"),
        ("figure/colour", 1, "figure.colour: no such field"),
        ("figure/self", 1, "figure.self: no such field"),
    ],
)
def test_from_mapping__mistakes(path: str, value: Any, words: str) -> None:
    assert words in refusal(lambda: study(path, value))


def test_from_mapping__names_every_mistake() -> None:
    tables = changed("data/n", 4, sead=1, replicates=0)
    tables["network"] = {"n_filters": 2, "init_std": -1, "activation": "rellu"}
    tables["methods"]["sgd"][0] = {"optimiser": "SGD", "lr": 0.1, "epochs": -3}
    tables["methods"]["adam"] = {"optimiser": "Adam"}
    tables["space"] |= {"width": [1, 2]}
    tables["record"] = {"evry": 3}
    tables["figure"]["level"] = "low"
    with pytest.raises(InputError) as problem:
        Study.from_mapping(tables)
    lines = str(problem.value).splitlines()
    begun = [
        "sead: no such field; did you mean 'seed'?",
        "replicates = 0: allowed is an integer",
        "data.n = 4: no such field; did you mean 'n_samples'?",
        "network.init_std = -1: allowed is a finite number ≥ 0",
        "network.activation = 'rellu': allowed is",
        "methods.sgd.0.lr = 0.1: no such field; did you mean 'learning_rate'?",
        "methods.sgd.0.epochs = -3: allowed is an integer",
        "methods.adam.0.optimiser = 'Adam': it rescales each coordinate",
        "space.width: no such field; did you mean 'n_filters'?",
        "record.evry: no such field; did you mean 'every'?",
        "figure.level = 'low': allowed is a finite number",
    ]
    assert len(lines) == len(begun)
    for line, words in zip(lines, begun, strict=True):
        assert line.startswith(words)


def test_from_mapping__names_missing_fields_but_not_swept_ones() -> None:
    tables = changed("network", {"init_std": 0.01, "output": "sum"})
    del tables["methods"]["sgd"][0]["epochs"]
    with pytest.raises(InputError) as problem:
        Study.from_mapping(tables)
    assert [line.split(" is missing")[0] for line in str(problem.value).splitlines()] == [
        "network.n_filters",
        "methods.sgd.0.epochs",
    ]


def test_from_mapping__names_so_many_mistakes_and_counts_the_rest() -> None:
    with pytest.raises(InputError) as problem:
        Study.from_mapping({**changed("seed", 1), **{f"z{k}": {} for k in range(30)}})
    lines = str(problem.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 10 more"


def test_load_study__each_mistake_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(FILE.read_text().replace("n_samples", "n").replace("n_filters", "m"))
    with pytest.raises(InputError) as problem:
        load_study(path)
    lines = str(problem.value).splitlines()
    assert len(lines) >= 2
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_from_mapping__figure_of_more_axes_than_it_can_draw() -> None:
    assert "figure" in refusal(lambda: study("space/noise_std", [1.0, 2.0]))


def test_study__arguments_of_the_wrong_kind() -> None:
    data, net, methods = TABLES["data"], TABLES["network"], TABLES["methods"]
    space = TABLES["space"]
    for call, name in [
        (lambda: Study(None, net, methods, space), "data"),  # type: ignore[arg-type]
        (lambda: Study(data, 5, methods, space), "network"),  # type: ignore[arg-type]
        (lambda: Study(data, net, [SGD], space), "methods"),  # type: ignore[arg-type]
        (lambda: Study(data, net, methods, [1]), "space"),  # type: ignore[arg-type]
        (lambda: Study(data, net, methods, space, record={"every": 1}), "record"),  # type: ignore[arg-type]
        (lambda: Study(data, net, methods, space, figure={"x": "d"}), "figure"),  # type: ignore[arg-type]
        (lambda: Study({**data, 5: 1}, net, methods, space), "data"),
        (lambda: Study(net, data, methods, space), "data"),
        (lambda: Study(TwoLayerCNN(**net), net, methods, space), "data"),  # type: ignore[arg-type]
        (lambda: Study(data, net, methods, {5: [1]}), "space"),  # type: ignore[dict-item]
    ]:
        assert refusal(call).startswith(name)


def test_study__record_more_states_than_can_be_held_is_bad_input() -> None:
    for record in ({"every": 1}, {"log_spaced": 10**13}):
        tables = changed("methods/sgd/0/epochs", 10**13, **{"methods/sam/0/epochs": 10**13})
        tables["record"] = record
        message = refusal(lambda tables=tables: Study.from_mapping(tables))
        assert message.lower().startswith("record")


def test_study__states_must_be_one_number() -> None:
    message = refusal(lambda: study("methods/sgd/0/epochs", 5, record={"every": 1}))
    assert message.startswith("record: ")
    assert "6 for sgd" in message
    assert "4 for sam" in message
    message = refusal(lambda: study("space/epochs", [3, 5], record={"every": 1}))
    assert "4 for" in message
    assert "6 for" in message


@pytest.mark.parametrize(
    ("swept", "variable", "allowed"),
    [
        ("n_samples", "margin", False),
        ("n_samples", "noise_coef", False),
        ("n_samples", "signal_coef", True),
        ("n_filters", "margin", True),
        ("n_filters", "signal_coef", False),
        ("n_filters", "noise_coef", False),
        ("n_samples", "test_error", True),
        ("n_filters", "test_error", True),
        ("dimension", "noise_coef", True),
    ],
)
@pytest.mark.parametrize("by_formula", [False, True])
def test_study__inner_dims_must_not_vary(
    swept: str, variable: str, allowed: bool, by_formula: bool
) -> None:
    tables = changed(figure=DELETE, record={"variables": [variable]})
    tables["space"] = {"signal_norm": [2, 4]}
    tables["data"]["dimension"] = 30
    section = "network" if swept == "n_filters" else "data"
    if by_formula:
        tables[section][swept] = "2*signal_norm"
    else:
        tables["space"][swept] = [4, 6]
    if allowed:
        assert variable in Study.from_mapping(tables).variables
    else:
        message = refusal(lambda: Study.from_mapping(tables))
        assert f"'{variable}'" in message
        assert swept in message.partition("Allowed")[0]


# -- smoke ---------------------------------------------------------------------------------------


def test_smoke__overrides_and_renames() -> None:
    full = load_study(FILE)
    small = full.smoke()
    assert small.name == "phase_diagram-smoke"
    assert small.space.axes["dimension"].tolist() == [1000, 11000, 21000]
    assert small.space.shape == (3, 4)
    assert small.replicates == 2
    assert small.figure == full.figure
    assert small.fingerprint != full.fingerprint
    assert full.space.shape == (21, 21)
    assert full.smoke().fingerprint == small.fingerprint


def test_smoke__reaches_into_lists_and_adds_tables() -> None:
    smoke = {"methods.sgd.0.epochs": 1, "methods.sam.0.epochs": 2, "record.test_draws": 9}
    small = study(smoke=smoke).smoke()
    assert [plan[0].epochs for plan in small.space.point((0, 0)).plans] == [1, 2]
    assert small.record.test_draws == 9


@pytest.mark.parametrize(
    ("smoke", "words"),
    [
        ({"space.dimensions.num": 3}, "there is no space.dimensions"),
        ({"space.dimension.num": 3}, "space.dimension is not a table"),
        ({"methods.sgd.7.epochs": 3}, "there is no methods.sgd.7"),
        ({"methods.sgd.0": {}}, "methods.sgd is not a table"),
        ({"seed.a": 1}, "seed is not a table"),
        ({"": 3}, "no such field"),
        ({"replicate": 3}, "replicate: no such field"),
        ({"replicates": 0}, "replicates = 0"),
        ({"seed.a.b": 1}, "there is no seed.a"),
        ({"space": {"dimension": {"num": 3}}}, "smoke"),
    ],
)
def test_smoke__paths_that_lead_nowhere(smoke: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: study(smoke=smoke).smoke())


def test_smoke__message_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text(FILE.read_text(encoding="utf-8").replace("space.dimension.num", "space.d.num"))
    assert refusal(lambda: load_study(path).smoke()).startswith(f"{path}: smoke")


def test_smoke__absent() -> None:
    assert "no [smoke] table" in refusal(lambda: study(smoke=DELETE).smoke())
    from_python = Study(
        {**TABLES["data"], "dimension": 9, "signal_norm": 1}, TABLES["network"], TABLES["methods"]
    )
    assert "no [smoke] table" in refusal(from_python.smoke)


# -- fingerprint ---------------------------------------------------------------------------------

PHYSICAL: list[tuple[str, Any]] = [
    ("seed", 4),
    ("replicates", 3),
    ("data/n_samples", 5),
    ("data/noise_std", 1.5),
    ("data/n_patches", 3),
    ("data/label_flip", 0.1),
    ("data/noise", "orthogonal"),
    ("network/n_filters", 3),
    ("network/init_std", 0.02),
    ("methods/sgd/0/learning_rate", 0.2),
    ("methods/sgd/0/epochs", 4),
    ("methods/sgd/0/batch_size", 2),
    ("methods/sgd/0/last_batch", "keep"),
    ("methods/sam/0/radius", 0.2),
    ("methods/sam/0/radius", "0.1"),
    ("methods/sgd", TABLES["methods"]["sgd"] * 2),
    ("methods/third", TABLES["methods"]["sgd"]),
    ("space/dimension", [20, 30]),
    ("space/dimension", [30, 20, 40]),
    ("space/dimension", [20, 30, 41]),
    ("space/signal_norm", [0.0, 1.0 + 2**-52]),
    ("space/noise_std", [1.0]),
    ("record/variables", ["train_loss"]),
    ("record/test_draws", 127),
    ("record/test_estimator", "radial"),
    ("record/every", 1),
    ("record/log_spaced", 3),
]


@pytest.mark.parametrize(("path", "value"), PHYSICAL, ids=lambda item: str(item)[:30])
def test_fingerprint__changes_with_each_physical_field(path: str, value: Any) -> None:
    base, other = study(figure=DELETE), study(path, value, figure=DELETE)
    assert other.fingerprint != base.fingerprint
    differs = study_differences(json.dumps(base.physics), json.dumps(other.physics))
    assert any(path.split("/")[0] in text for text in differs)


def test_fingerprint__all_different() -> None:
    every = [study(path, value, figure=DELETE).fingerprint for path, value in PHYSICAL]
    assert len(set(every)) == len(every)


def test_fingerprint__does_not_know_fields_at_their_defaults() -> None:
    """A field that simdyn gains later must leave the stores of before as they are."""
    bare = study("data/noise", "isotropic")
    told = bare._physics("essential")
    assert "noise" not in told["data"]
    assert bare.physics["data"]["noise"] == "isotropic"
    assert study("data/noise", "orthogonal").fingerprint != bare.fingerprint
    assert study().fingerprint == bare.fingerprint


def test_fingerprint__is_pinned() -> None:
    """Whatever changes it refuses every store there is; the numbers' version is told apart."""
    assert load_study(FILE).with_numerics(2).fingerprint.startswith("693db37c07114ada")


def test_fingerprint__changes_with_numerics(monkeypatch: pytest.MonkeyPatch) -> None:
    before = study().fingerprint
    monkeypatch.setattr("simdyn.study.design.NUMERICS_VERSION", 10**6)
    assert study().fingerprint != before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("figure", DELETE),
        ("figure/level", 0.2),
        ("smoke", DELETE),
        ("seed", 3),
        ("data/noise_std", 1),
        ("data/n_patches", 2),
        ("data/label_flip", 0),
        ("data/n_samples", 4.0),
        ("data/noise", "isotropic"),
        ("network/activation", "relu"),
        ("network/n_filters", 2.0),
        ("methods/sgd/0/epochs", 3.0),
        ("methods/sgd/0/last_batch", "refuse"),
        ("methods/sgd", TABLES["methods"]["sgd"][0]),
        ("space/dimension", [20.0, 30.0, 40.0]),
        ("space/dimension", {"start": 20, "stop": 40, "num": 3}),
        ("space/signal_norm", [0, 1]),
        ("space/signal_norm", [-0.0, 1]),
        ("record/variables", ["test_error", "train_loss"]),
        ("record/test_draws", 32),
        ("record/variables", ["status", "train_loss", "test_error", "train_loss"]),
        ("record/unit", "epoch"),
    ],
    ids=lambda item: str(item)[:30],
)
def test_fingerprint__same_physics_in_other_words(path: str, value: Any) -> None:
    assert study(path, value).fingerprint == study().fingerprint


def test_fingerprint__batch_size_spelt_as_float() -> None:
    held = [study("methods/sgd/0/batch_size", value).fingerprint for value in (2, 2.0)]
    swept = [
        study("space/batch_size", value, figure=DELETE).fingerprint for value in ([2, 4], [2.0, 4])
    ]
    assert held[0] == held[1]
    assert swept[0] == swept[1]


@pytest.mark.parametrize("table", ["methods", "space"])
def test_fingerprint__changes_with_the_order_of_methods_and_axes(table: str) -> None:
    # The order decides where values lie in the store, so a store of one is not one of the other.
    other = study(table, dict(reversed(TABLES[table].items())))
    base = study()
    assert other.layout.outer != base.layout.outer or other.space.methods != base.space.methods
    assert other.fingerprint != base.fingerprint


def test_fingerprint__does_not_depend_on_the_order_of_fields_and_tables() -> None:
    tables = dict(reversed(TABLES.items()))
    tables["data"] = dict(reversed(TABLES["data"].items()))
    tables["methods"] = {
        name: [dict(reversed(phase.items())) for phase in plan]
        for name, plan in TABLES["methods"].items()
    }
    assert Study.from_mapping(tables).fingerprint == study().fingerprint


def test_fingerprint__comments_formatting_and_file_name(tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8")
    bare = "\n".join(line.partition("#")[0] for line in text.splitlines())
    other = bare.replace(" = ", "=").replace("0.001", "1e-3").replace("1000,", "1_000.0,")
    path = tmp_path / "renamed.toml"
    path.write_text(other)
    assert tomllib.loads(other) == tomllib.loads(text)
    assert load_study(path).fingerprint == load_study(FILE).fingerprint


def test_fingerprint__stable_across_processes() -> None:
    code = f"import simdyn; print(simdyn.load_study({str(FILE)!r}).fingerprint)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert found == {load_study(FILE).fingerprint}


def test_study_differences__says_what_differs_and_stays_short() -> None:
    base = study(figure=DELETE)
    more = {"data/n_samples": 5, "replicates": 7, "network/n_filters": 9, "figure": DELETE}
    other = study("seed", 9, **more, **{"space/dimension": list(range(10, 90))})
    differs = study_differences(json.dumps(base.physics), json.dumps(other.physics))
    assert differs[0] == "data.n_samples is 4 there, 5 here"
    assert differs[-1] == "and 2 more"
    assert len(differs) == 4
    differs = study_differences(json.dumps(other.physics), json.dumps(base.physics), most=9)
    assert all(len(text) < 200 for text in differs)
    assert study_differences(json.dumps(base.physics), json.dumps(base.physics)) == []


# -- blocks --------------------------------------------------------------------------------------

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(LENGTHS, st.floats(1e-6, 1e6), st.integers(0, 2**40))
def test_blocks__cover_every_cell_exactly_once(lengths: list[int], cost: float, size: int) -> None:
    shape = block_shape(lengths, cost, size)
    assert len(shape) == len(lengths)
    assert all(1 <= k <= n for k, n in zip(shape, lengths, strict=True))
    times = np.zeros(lengths, dtype=int)
    made = list(Blocks(lengths, shape))
    for number, block in enumerate(made):
        assert block.number == number
        # A block is one chunk: it begins at a multiple of the shape and is not larger.
        for part, k, n in zip(block.region, shape, lengths, strict=True):
            assert part.start % k == 0
            assert part.stop == min(part.start + k, n)
        times[block.region] += 1
        assert block.cells == times[block.region].size
        seen = {(*place, r) for place, _ in block.indices() for r in block.replicates}
        assert seen == set(itertools.product(*(range(p.start, p.stop) for p in block.region)))
        for place, local in block.indices():
            starts = [part.start for part in block.region[:-1]]
            assert tuple(np.subtract(place, starts)) == local
    assert (times == 1).all()
    assert len(made) == math.prod(-(-n // k) for n, k in zip(lengths, shape, strict=True))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(LENGTHS, st.floats(1e-3, 1e6), st.integers(1, 2**40))
def test_block_shape__not_longer_and_not_larger_than_meant(
    lengths: list[int], cost: float, size: int
) -> None:
    cells, block = math.prod(lengths), math.prod(block_shape(lengths, cost, size))
    if block > 1:
        most = min(blocks.BLOCK_SECONDS, cost / blocks.MIN_BLOCKS)
        assert block * cost / cells <= max(most, cost / blocks.MAX_BLOCKS) * 1.0001
        assert block * size / cells <= blocks.BLOCK_BYTES * 1.0001


def test_blocks__of_a_study() -> None:
    made = load_study(FILE)
    assert made.lengths == (21, 21, 10)
    assert sum(block.cells for block in made.blocks) == 21 * 21 * 10
    assert len(made.blocks) >= blocks.MIN_BLOCKS
    assert made.bytes == 21 * 21 * 2 * 10 * (7 * 8 + 1 + 8)


def test_cost__grows_with_epochs_radius_and_draws() -> None:
    base = study().cost
    assert base > 0
    assert study("methods/sgd/0/epochs", 3000).cost > base
    assert study("methods/sam/0/radius", 0).cost < base
    assert study("record/test_draws", 10_000).cost > 2 * base
    assert study(replicates=4).cost == pytest.approx(2 * base)


def test_study__very_large_studies_are_described_quickly() -> None:
    tables = changed("replicates", 2**20, figure=DELETE)
    tables["space"] = {
        name: {"start": 1, "stop": 2, "num": 300} for name in ("signal_norm", "noise_std")
    }
    tables["data"]["dimension"] = 100
    made = Study.from_mapping(tables)
    assert made.runs == 300 * 300 * 2 * 2**20
    assert made.bytes > 10**12
    assert math.prod(made.block_shape) >= 1


# -- layout --------------------------------------------------------------------------------------


def test_layout__order_of_dims() -> None:
    made = study("record/variables", [*SCALARS, "margin", "signal_coef", "noise_coef"])
    layout = made.layout
    assert layout.all_dims == items(
        "dimension  signal_norm  method  replicate  step  sign  filter  sample"
    )
    grid = ("dimension", "signal_norm", "method", "replicate")
    assert layout.dims("noise_coef") == (*grid, "step", "sign", "filter", "sample")
    assert layout.shape("noise_coef") == (3, 2, 2, 2, 1, 2, 2, 4)
    assert layout.dims("status") == grid
    assert layout.coords["sign"].values.tolist() == [1, -1]
    assert study().layout.all_dims == (*grid, "step")


def test_layout__swept_coordinates() -> None:
    coords = study().layout.coords
    assert coords["dimension"].values.tolist() == [20, 30, 40]
    assert coords["dimension"].attrs["symbol"] == "d"
    assert coords["signal_norm"].attrs["long_name"] == "signal norm"
    assert coords["method"].values.tolist() == ["sgd", "sam"]


def test_layout__held_parameters_are_scalars() -> None:
    coords = study().layout.coords
    held = {
        "n_samples": 4,
        "noise_std": 1.0,
        "n_patches": 2,
        "label_flip": 0.0,
        "noise": "isotropic",
        "n_filters": 2,
        "init_std": 0.01,
        "init": "gaussian",
        "activation": "relu",
        "output": "mean",
        "loss": "logistic",
        "reduction": "mean",
    }
    for name, value in held.items():
        assert coords[name].dims == ()
        assert coords[name].values.item() == value
    assert set(coords) == {
        *held,
        "dimension",
        "signal_norm",
        "method",
        "replicate",
        "step",
        "updates",
    }


def test_layout__formulas_become_coordinates_over_what_they_read() -> None:
    coords = study("network/init_std", "0.1/sqrt(dimension)").layout.coords
    assert coords["init_std"].dims == ("dimension",)
    np.testing.assert_array_equal(coords["init_std"].values, 0.1 / np.sqrt([20, 30, 40]))


def test_layout__update_over_methods() -> None:
    tables = changed("methods/sgd/0/batch_size", 2)
    update = Study.from_mapping(tables).layout.coords["updates"]
    assert update.dims == ("method", "step")
    assert update.values.tolist() == [[6], [3]]


def test_layout__update_varies_over_what_decides() -> None:
    made = study("space/sam.0.epochs", [3, 5], figure=DELETE)
    update = made.layout.coords["updates"]
    assert update.dims == ("sam.0.epochs", "method", "step")
    assert update.values.tolist() == [[[3], [3]], [[3], [5]]]
    by_formula = study("methods/sam/0/epochs", "dimension/10").layout.coords["updates"]
    assert by_formula.dims == ("dimension", "method", "step")
    assert by_formula.values[:, 1, 0].tolist() == [2, 3, 4]
    swept = study("space/batch_size", [1, 4], figure=DELETE).layout.coords["updates"]
    assert swept.values[:, 0, 0].tolist() == [12, 3]


def test_layout__update_of_several_states() -> None:
    made = study("record/every", 2, **{"methods/sgd/0/batch_size": 2})
    assert made.layout.coords["updates"].values.tolist() == [[0, 4, 6], [0, 2, 3]]


# -- growth --------------------------------------------------------------------------------------


def test_run__growing_grid_and_replicates_leaves_common_points_bit_identical() -> None:
    variables = {"variables": [*SCALARS, "margin", "signal_coef", "noise_coef"]}
    small = study("record", variables, figure=DELETE).run()
    tables = changed("record", variables, figure=DELETE, replicates=5)
    tables["space"] = {
        "noise_std": [0.5, 1.0],
        "signal_norm": [0, 0.25, 1, 3],
        "dimension": [15, 40, 30, 20],
    }
    tables["methods"] = {
        "other": [{"optimiser": "SGD", "learning_rate": 1, "epochs": 3}],
        **dict(reversed(tables["methods"].items())),
    }
    large = Study.from_mapping(tables).run()
    at = {name: small[name].values for name in ("dimension", "signal_norm", "method", "replicate")}
    common = large.sel({**at, "noise_std": 1.0})
    for name in small.data_vars:
        assert np.isfinite(small[name]).all(), name
        there = common[name].transpose(*small[name].dims)
        np.testing.assert_array_equal(there.values, small[name].values, err_msg=name)


# -- any file at all -----------------------------------------------------------------------------

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.integers(-3, 30),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.binary(max_size=3).map(str),
    st.sampled_from(
        [
            *items("""
                SGD  SAM  dimension  n_samples  sqrt(dimension)  1/0  2*radius  keep  orthogonal
                test_error  margin  sgd  sam  step
            """),
            10**400,
            2**53,
            2**63,
            1e300,
            -0.0,
            5e-324,
            "epochs",
            "batch_size",
            "radius",
        ]
    ),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
        st.fixed_dictionaries({"start": inner, "stop": inner, "num": st.integers(-1, 5)}),
        st.fixed_dictionaries({"log": st.lists(inner, max_size=3), "num": st.integers(-1, 5)}),
    ),
    max_leaves=6,
)
KEYS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        items("""
            seed  data  space  self  n_samples  noise  noise_std  dimension  epochs  batch_size
            radius  learning_rate  last_batch  every  unit  log_spaced  variables  test_draws  x
            y  compare  sgd.0.epochs  sam.0.radius  method  data.dimension  optimiser  n_filters
            label_flip  n_patches  num  log
        """)
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested tables and lists."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(item, (*path, key))
    return found


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """The study of the repository after one to four accidents."""
    tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
    for _ in range(draw(st.integers(1, 4))):
        everywhere = places(tables)
        if not everywhere:
            break
        *folders, last = draw(st.sampled_from(everywhere))
        parent: Any = tables
        for folder in folders:
            parent = parent[folder]
        match draw(st.sampled_from(["replace", "replace", "delete", "rename", "add", "wrap"])):
            case "replace":
                parent[last] = draw(VALUES)
            case "delete":
                del parent[last]
            case "rename" if isinstance(parent, dict):
                parent[draw(KEYS)] = parent.pop(last)
            case "add" if isinstance(parent, dict):
                parent[draw(KEYS)] = draw(VALUES)
            case _:
                parent[last] = [parent[last]]
    return tables


def answers(tables: dict[str, Any]) -> None:
    """A study, small or whole, or a line for each thing that is wrong; nothing else."""
    message = "one line"
    try:
        made = Study.from_mapping(tables)
        assert len(made.fingerprint) == 64
        assert made.layout.outer[-2:] == ("method", "replicate")
        assert math.prod(made.block_shape) >= 1
        made.smoke()
    except InputError as problem:
        message = str(problem)
    assert 1 <= len(message.splitlines()) <= 21, message
    assert len(set(message.splitlines())) == len(message.splitlines())


@settings(
    max_examples=250,
    deadline=10_000,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(mutants())
def test_from_mapping__any_mutation(tables: dict[str, Any]) -> None:
    answers(tables)


@pytest.mark.campaign
@settings(max_examples=20_000, deadline=10_000, suppress_health_check=list(HealthCheck))
@given(mutants())
def test_from_mapping__any_mutation_campaign(tables: dict[str, Any]) -> None:
    answers(tables)


@settings(
    max_examples=100,
    deadline=10_000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_load_study__any_damage_to_the_text(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(FILE.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        end = min(len(content), at + data.draw(st.integers(0, 30)))
        content[at:end] = data.draw(st.binary(max_size=5))
        if not content:
            break
    path = tmp_path / "damaged.toml"
    path.write_bytes(bytes(content))
    message = "one line"
    try:
        load_study(path)
    except InputError as problem:
        message = str(problem)
    assert 1 <= len(message.splitlines()) <= 21, message


def test_study__accepts_parameter_objects() -> None:
    made = Study(
        SignalNoiseData(n_samples=4, dimension=20, signal_norm=1.0),
        TwoLayerCNN(n_filters=2, init_std=0.01),
        {"sgd": SGD(learning_rate=0.1, epochs=3)},
        {"dimension": [20, 30]},
        record=Record(variables=["train_loss"]),
    )
    assert made.variables == ("train_loss", "status", "status_step")
    assert made.space.point((1,)).data.dimension == 30
