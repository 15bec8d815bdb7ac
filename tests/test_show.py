"""`simdyn show`, commands on a store alone, and what is said before and after a run."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import call, refused
from common import files, items, refusal, unlogged

import simdyn
from simdyn.api.display import Display
from simdyn.params import Curves, PhaseDiagram, Trajectories
from simdyn.plot import usual_figure
from simdyn.run.runner import run_study
from simdyn.store import open_study
from simdyn.store.log import work_done
from simdyn.study.design import StudyDesign
from simdyn.study.study_text import as_toml
from simdyn.study.tables import read_tables

STUDIES = sorted(Path(__file__).parents[1].glob("studies/*.toml"))
PLAN = {"optimiser": "SGD", "learning_rate": 0.1, "epochs": 3}
TABLES: dict[str, Any] = {
    "seed": 5,
    "replicates": 2,
    "data": {"n_samples": 4, "noise_std": 1.0},
    "network": {"n_filters": 2, "init_std": "0.1/sqrt(dimension)"},
    "methods": {
        "sgd": [PLAN],
        "SAM then SGD": [
            {"optimiser": "SAM", "radius": 0.1, "learning_rate": 0.1, "epochs": 3},
            PLAN,
        ],
    },
    "space": {"dimension": [20, 30], "signal_norm": {"start": 0, "stop": 0.3, "num": 4}},
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store alone in an empty folder."""
    monkeypatch.chdir(tmp_path)
    simdyn.Study.from_mapping(TABLES, "small").run("small.zarr", threads=1)
    return Path("small.zarr")


# -- a study written again -----------------------------------------------------------------------


def written_again(study: StudyDesign, folder: Path) -> StudyDesign:
    path = folder / "again.toml"
    path.write_text(as_toml(study, study.figure), encoding="utf-8")
    return StudyDesign.from_mapping(read_tables(path))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_as_toml__of_every_study_of_the_repository(path: Path, tmp_path: Path) -> None:
    study = simdyn.load_study(path)
    again = written_again(study, tmp_path)
    assert again.fingerprint == study.fingerprint
    assert again.figure == study.figure
    assert "[figure]" not in as_toml(study)


def test_as_toml__of_a_figure_with_labels_and_lines(tmp_path: Path) -> None:
    figure = PhaseDiagram(
        labels={"sgd": 'a "b"', "SAM then SGD": r"$\tau$"}, lines=Path("x/y.zarr")
    )
    study = simdyn.Study.from_mapping({**TABLES, "figure": figure.model_dump()}, "small")
    assert written_again(study, tmp_path).figure == figure
    assert figure.lines == str(Path("x/y.zarr"))


@pytest.mark.parametrize(
    "space",
    [
        {},
        {"dimension": [20]},
        {"dimension": [30, 20, 25, 40, 31]},
        {"dimension": {"log": [20, 20000], "num": 7}, "sgd.0.learning_rate": [0.1, 0.3, 0.7, 2.0]},
        {"signal_norm": [0.1, 0.2, 0.30000000000000004, 0.4], "where": "signal_norm > 0.15"},
        {"dimension": [20, 30], "n_samples": [4, 5], "zip": ["dimension", "n_samples"]},
        {"noise": ["isotropic", "orthogonal"], "label_flip": {"start": 0, "stop": 0.4, "num": 5}},
        {"signal_norm": {"log": [1e-5, 1e5], "num": 11}},
    ],
)
def test_as_toml__of_any_axes(space: dict[str, Any], tmp_path: Path) -> None:
    data = {"n_samples": 4, "dimension": 20, "signal_norm": 1.0}
    data = {name: value for name, value in data.items() if name not in space}
    study = StudyDesign.from_mapping({**TABLES, "data": data, "space": space})
    again = written_again(study, tmp_path)
    assert again.fingerprint == study.fingerprint
    assert again.physics == study.physics


def test_as_toml__of_records_texts_and_formulas(tmp_path: Path) -> None:
    data = {"n_samples": 4, "dimension": 20, "signal_norm": 1.0, "n_patches": 3}
    phase = {**PLAN, "learning_rate": "0.1*cosine()", "until": "train_loss < 0.01"}
    record = {"log_spaced": 4, "variables": ["train_loss", "test_error"], "test_draws": 8}
    tables = {**TABLES, "data": data, "methods": {"η + 0.1": [phase]}, "record": record}
    del tables["space"]
    study = StudyDesign.from_mapping(tables)
    assert written_again(study, tmp_path).fingerprint == study.fingerprint


# -- show ----------------------------------------------------------------------------------------


def test_show__of_a_store(store: Path) -> None:
    before = files(store)
    answer = call("show", store)
    assert (answer.code, answer.err) == (0, "")
    study = open_study(store)
    for words in (
        f"small ({study.fingerprint[:12]}), small.zarr",
        "dimension: 2 values: 20, 30",
        "signal_norm: 4 values: 0, 0.1, 0.2, 0.3",
        "model = signal_noise, n_samples = 4, noise_std = 1,",
        "init_std = 0.1/sqrt(dimension)",
        "sgd: SGD (epochs = 3, learning_rate = 0.1)",
        "SAM then SGD: SAM (epochs = 3, learning_rate = 0.1, radius = 0.1), then SGD (",
        "1 state of 2 replicates, seed 5,",
        f"{len(study.blocks)} of {len(study.blocks)} blocks, 32 runs in all",
        f"simdyn {simdyn.__version__}, python ",
    ):
        assert words in answer.out, words
    assert files(store) == before


def test_show__as_json_and_as_toml(store: Path, tmp_path: Path) -> None:
    study = open_study(store)
    about = json.loads(call("show small.zarr --json").out)
    assert about["fingerprint"] == study.fingerprint
    assert about["axes"] == {"dimension": [20, 30], "signal_norm": [0.0, 0.1, 0.2, 0.3]}
    assert about["methods"]["sgd"] == [PLAN]
    assert about["runs"] == 32
    assert about["blocks_done"] == about["blocks"] == len(study.blocks)
    (by,) = about["computed_by"]
    assert by["blocks"] == len(study.blocks)
    assert by["started"] <= by["ended"]
    assert by["core_seconds"] > 0
    Path("again.toml").write_text(call("show small.zarr --toml").out, encoding="utf-8")
    assert simdyn.load_study("again.toml").fingerprint == study.fingerprint
    assert json.loads(call("show again.toml --json").out)["computed_by"] == []
    assert "by nobody yet" in call("show again.toml").out
    assert "--toml, --json: allowed is one" in refused(tmp_path, "show small.zarr --toml --json")


def test_work_done__of_several_processes_on_one_machine(tmp_path: Path) -> None:
    study = simdyn.Study.from_mapping(TABLES, "small")
    path = tmp_path / "small.zarr"
    for shard in (1, 2):
        run_study(study, path, threads=1, shard=(shard, 2))
    (by,) = work_done(path)
    assert by["blocks"] == len(study.blocks) > 1


# -- commands on a store alone -------------------------------------------------------------------


def test_run_and_plan__of_a_store_alone(store: Path) -> None:
    whole = unlogged(store)
    for name in ("simdyn.store/receipts/sha256", "train_loss"):
        next(path for path in sorted((store / name / "c").rglob("*")) if path.is_file()).unlink()
    assert json.loads(call("plan small.zarr --nominal --json").out)["blocks_done"] < len(
        open_study(store).blocks
    )
    answer = call("run small.zarr --threads 1")
    assert answer.code == 0
    assert answer.out == "small.zarr\n"
    assert "no figure: a store keeps none; `simdyn plot` draws the usual one" in answer.err
    assert unlogged(store) == whole
    assert call("worker small.zarr --shard 1/2 --left").out == "0\n"


def test_plan__batch_script_of_a_store_alone(store: Path) -> None:
    script = call("plan small.zarr --nominal --sbatch --shards 2").out
    assert f"worker {store.absolute()} --shard" in script


def test_commands__of_a_store_have_no_small_variant(store: Path, tmp_path: Path) -> None:
    for name in ("run", "plan", "plot", "show", "status"):
        message = refused(tmp_path, name, "small.zarr", "--smoke")
        assert message == "simdyn: --smoke: allowed with a study file, and small.zarr is a store\n"
        assert "no such results" in refused(tmp_path, name, "other.zarr")


def test_plot__usual_figure_of_a_store(store: Path) -> None:
    answer = call("plot small.zarr --out there")
    assert answer.out.splitlines() == ["there/figures/small.png", "there/figures/small.pdf"]
    figure = PhaseDiagram(x="dimension", y="signal_norm")
    assert usual_figure(simdyn.open_results(store)) == figure
    declared = {"x": "dimension", "y": "signal_norm"}
    simdyn.Study.from_mapping({**TABLES, "figure": declared}, "small").run("results/small.zarr")
    Path("small.toml").write_text(as_toml(open_study(store)) + "[figure]\n")
    call("plot small.toml")
    assert files(Path("figures")) == files(Path("there/figures"))


@pytest.mark.parametrize(
    ("space", "figure"),
    [
        ({"dimension": [20, 30]}, Curves(x="dimension")),
        ({"dimension": [20, 30], "signal_norm": [1.0]}, Curves(x="dimension")),
        ({}, Trajectories()),
    ],
)
def test_usual_figure__by_what_is_swept(space: dict[str, Any], figure: Any) -> None:
    data = {"n_samples": 4, "dimension": 20, "signal_norm": 1.0}
    data = {name: value for name, value in data.items() if name not in space}
    study = simdyn.Study.from_mapping({**TABLES, "data": data, "space": space})
    assert usual_figure(study.run(threads=1)) == figure


def test_usual_figure__of_what_no_figure_shows() -> None:
    three = {"dimension": [20, 30], "signal_norm": [1, 2], "noise_std": [1, 2]}
    texts = {"noise": ["isotropic", "orthogonal"]}
    data = {"n_samples": 4, "dimension": 20, "signal_norm": 1.0}
    for space, words in ((three, "dimension, signal_norm, noise_std are"), (texts, "noise is")):
        kept = {name: value for name, value in data.items() if name not in space}
        study = simdyn.Study.from_mapping({**TABLES, "data": kept, "space": space})
        message = refusal(usual_figure, study.run(threads=1))
        assert message.startswith(f"{words} swept: no figure shows this by itself")


def test_usual_figure__of_another_variable() -> None:
    space = {"dimension": [20, 30], "signal_norm": [1, 2]}
    tables = {**TABLES, "space": space, "record": {"variables": items("grad_norm")}}
    figure = usual_figure(simdyn.Study.from_mapping(tables).run(threads=1))
    assert figure == PhaseDiagram(x="dimension", y="signal_norm", variable="grad_norm")


# -- before and after a run ----------------------------------------------------------------------


def test_plan__number_of_files(store: Path) -> None:
    planned = json.loads(call("plan small.zarr --nominal --json").out)["files"]
    assert 0 <= planned - len(files(store)) <= 3  # coordinates that are zero have no file of values
    assert f"about {planned} files, in small.zarr" in call("plan small.zarr --nominal").out


@pytest.mark.parametrize(
    "name",
    items("""
        .DS_Store  train_loss/.DS_Store  train_loss/c/0/Thumbs.db  ._zarr.json  status/._c
        simdyn.store/log/.nfs000000000123abcd0000  simdyn.store/receipts/sha256/c/.fuse_hidden0001
        desktop.ini  .directory  @eaDir/x  .snapshot/hourly.0/zarr.json
    """),
)
def test_verify_and_run__what_systems_leave_in_folders_is_no_damage(store: Path, name: str) -> None:
    left = store / name
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"of a system")
    assert call("verify small.zarr").code == 0
    answer = call("run small.zarr")
    assert answer.code == 0
    assert "moved" not in answer.err
    assert left.read_bytes() == b"of a system"
    simdyn.open_results(store).load()
    (store / "stray").write_bytes(b"of somebody")
    assert call("verify small.zarr").code == 1


def test_plan__head_of_a_batch_script(store: Path) -> None:
    script = call("plan small.zarr --nominal --sbatch --shards 2 --cores 4").out.splitlines()
    study = open_study(store)
    assert script[0] == "#!/usr/bin/env bash"
    assert script[1].startswith(
        f"# simdyn-small: 2 shards of a study of {len(study.blocks)} blocks"
    )
    assert study.fingerprint[:12] in script[2]
    assert any("MaxArraySize" in line for line in script[3:7])
    options = [line for line in script if line.startswith("#SBATCH ")]
    assert {"#SBATCH --nodes=1", "#SBATCH --ntasks=1", "#SBATCH --cpus-per-task=4"} <= {*options}
    first = next(k for k, line in enumerate(script) if not line.startswith("#"))
    assert all(script.index(option) < first for option in options)


def test_plan__refuses_shards_out_of_proportion(tmp_path: Path) -> None:
    many = {"dimension": {"log": [20, 2000], "num": 40}, "signal_norm": [0.0, 1.0, 2.0]}
    study = StudyDesign.from_mapping({**TABLES, "space": many})
    (tmp_path / "many.toml").write_text(as_toml(study))
    assert len(study.blocks) > 16
    line = f"plan {tmp_path / 'many.toml'} --out {tmp_path} --nominal --sbatch --shards"
    message = refused(tmp_path, line, 17)
    assert message.startswith("simdyn: shards = 17: each would have about ")
    assert message.endswith("30 s to start; allowed here is an integer from 1 to 16\n")
    assert call(line, 16).code == 0


def test_display__tells_how_long_kernels_compile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("simdyn.kernels.cache.kernels_kept", lambda: False)
    display = Display("small")
    display.start(10, 0)
    assert display.preparing().startswith("compiling the kernels: 0:0")
    display.kernels_ready(83.0)
    said = capsys.readouterr().err
    assert "compiling the kernels, once for this version: a minute or so" in said
    assert "  compiled in 1:23\n" in said
    assert display.preparing() == "preparing kernels …"
    monkeypatch.setattr("simdyn.kernels.cache.kernels_kept", lambda: True)
    display = Display("small")
    display.start(10, 0)
    display.kernels_ready(0.4)
    assert "compil" not in capsys.readouterr().err
