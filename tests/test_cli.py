"""The command line: what it prints, what it writes, and how it answers mistakes."""

import json
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Answer, call, command, ended, refused
from common import everything, files, items

from simdyn import SAM, Record, SignalNoiseData, TwoLayerCNN, load_study, open_results, simulate
from simdyn.base.version import VERSION

FILE = Path(__file__).parents[1] / "studies" / "phase_diagram.toml"
STUDY_COMMANDS = ("run", "plan", "status", "show", "verify", "plot")
COMMANDS = (*STUDY_COMMANDS, "report", "check", "simulate", "explore")

STUDY = """\
seed = 1
replicates = 2
[data]
n_samples = 4
noise_std = 1.0
[network]
n_filters = 2
init_std = 0.01
[methods]
sgd = [{ optimiser = "SGD", learning_rate = 0.1, epochs = 3 }]
sam = [{ optimiser = "SAM", radius = 0.1, learning_rate = 0.1, epochs = 3 }]
[space]
dimension = [20, 30]
signal_norm = { start = 0, stop = 2, num = 3 }
[figure]
x = "dimension"
y = "signal_norm"
compare = ["sgd", "sam"]
[smoke]
replicates = 1
"""
PLAIN = STUDY.split("[figure]")[0] + "[smoke]\nreplicates = 1\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with one small study that draws nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(PLAIN)
    return tmp_path


def process(line: str, *words: object, cwd: Path, **env: str) -> Answer:
    """A command in a process of its own, to its end."""
    return ended(command(line, *words, cwd=cwd, **env), timeout=300)


def strict(text: str) -> Any:
    """JSON as other languages read it: without NaN and Infinity."""

    def constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=constant)


# -- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help__of_every_command(name: str, flag: str) -> None:
    answer = call(name, flag)
    assert answer.code == 0
    assert "Usage:" in answer.out
    for each in [name] if name else COMMANDS:
        assert each in answer.out
    assert "--json" in answer.out or name in ("", "plot", "report", "explore")


def test_help__without_arguments_shows_commands() -> None:
    answer = call("")
    assert "Usage:" in answer.out + answer.err
    assert "simulate" in answer.out + answer.err


def test_version__of_the_package(here: Path) -> None:
    answer = call("--version")
    assert (answer.code, answer.out) == (0, f"simdyn {VERSION}\n")
    assert call("--version run").out == answer.out
    assert set(everything(here)) == {"small.toml"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion__of_commands_and_options(here: Path, shell: str) -> None:
    def completed(words: str) -> str:
        env = {
            "_SIMDYN_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
            "_TYPER_COMPLETE_ARGS": words,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
        # The script of a shell calls the command under its own name.
        before = "import sys; sys.argv[0] = 'simdyn'"
        answer = ended(command("", cwd=here, before=before, **env))
        assert (answer.code, answer.err) == (0, "")
        return answer.out

    assert {"plan", "plot"} <= set(re.findall(r"\w+", completed("simdyn pl")))
    assert "verify" not in completed("simdyn pl")
    assert "--walltime" in completed("simdyn run --wa")
    assert "--watch" not in completed("simdyn run --wa")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion__shown_as_a_script(here: Path, shell: str) -> None:
    before = "import sys; sys.argv[0] = 'simdyn'"
    # Else the shell is looked for among the parents of this process, where there may be none.
    env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    answer = ended(command("--show-completion", shell, cwd=here, before=before, **env))
    assert (answer.code, answer.err) == (0, "")
    assert "_SIMDYN_COMPLETE" in answer.out


# -- end to end ----------------------------------------------------------------------------------


def test_run__smoke_of_the_repository_end_to_end(tmp_path: Path) -> None:
    answer = process("run", FILE, "--smoke", cwd=tmp_path)
    assert answer.code == 0, answer.err
    made = [
        "results/phase_diagram-smoke.zarr",
        "figures/phase_diagram-smoke.png",
        "figures/phase_diagram-smoke.pdf",
    ]
    assert answer.out.splitlines() == made
    assert (tmp_path / made[1]).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (tmp_path / made[2]).read_bytes()[:5] == b"%PDF-"
    assert {item.name for item in tmp_path.iterdir()} == {"results", "figures"}
    assert {item.name for item in (tmp_path / "results").iterdir()} == {"phase_diagram-smoke.zarr"}
    assert len(list((tmp_path / "figures").iterdir())) == 2
    results = open_results(tmp_path / made[0])
    assert dict(results.sizes)["dimension"] == 3
    assert (results["status"] == 1).all()
    lines = answer.err.splitlines()
    assert lines[0] == "phase_diagram-smoke: 48 runs"
    assert lines[-2].startswith("  48/48 (100%), ")
    assert lines[-1].startswith("outside the theory's regime at 8 of 12 points: noise is fitted in")
    assert "\x1b" not in answer.err
    assert "Warning" not in answer.err

    figures = files(tmp_path / "figures")
    again = call("run --smoke", FILE, "--out", tmp_path)
    assert again.code == 0
    assert again.err.splitlines() == ["phase_diagram-smoke: 48 runs, 48 already done", lines[-1]]
    assert files(tmp_path / "figures") == figures


def test_run__out_folder_and_json(here: Path) -> None:
    (here / "small.toml").write_text(STUDY)
    answer = call("run small.toml --out deep/er --threads 2 --json")
    assert answer.code == 0, answer.err
    report = strict(answer.out)
    assert report["store"] == "deep/er/results/small.zarr"
    assert report["figures"] == ["deep/er/figures/small.png", "deep/er/figures/small.pdf"]
    assert (report["runs"], report["computed"]) == (24, 24)
    assert report["seconds"] > 0
    for path in (report["store"], *report["figures"]):
        assert (here / path).exists()
    assert {item.name for item in here.iterdir()} == {"small.toml", "deep"}
    (here / "small.toml").write_text(PLAIN)
    assert strict(call("run small.toml --out deep/er --json").out)["computed"] == 0
    results, expected = open_results(here / report["store"]), load_study("small.toml").run()
    for name in expected.data_vars:
        np.testing.assert_array_equal(results[name].values, expected[name].values)


def test_run__without_figure_draws_none(here: Path) -> None:
    answer = call("run small.toml")
    assert answer.out.splitlines() == ["results/small.zarr"]
    assert not (here / "figures").exists()
    assert "declares no [figure]" in refused(here, "plot small.toml")


def test_plan__before_and_after(here: Path) -> None:
    before = everything(here)
    plan = strict(call("plan small.toml --json").out)
    assert everything(here) == before
    assert plan["points"] == 6
    assert plan["axes"] == {"dimension": 2, "signal_norm": 3}
    assert plan["methods"] == ["sgd", "sam"]
    assert (plan["replicates"], plan["runs"], plan["blocks_done"]) == (2, 24, 0)
    assert plan["blocks"] == len(load_study("small.toml").blocks)
    assert plan["fingerprint"] == load_study("small.toml").fingerprint
    assert 0 < plan["core_hours"] < 1
    assert plan["bytes"] == 24 * (7 * 8 + 9)
    assert plan["store"] == "results/small.zarr"
    text = call("plan small.toml").out
    assert "6 points: 2 dimension × 3 signal_norm" in text
    assert "24 runs: × 2 methods × 2 replicates" in text
    assert plan["fingerprint"][:12] in text
    call("run small.toml")
    assert strict(call("plan small.toml --json").out)["blocks_done"] == plan["blocks"]
    assert strict(call("plan small.toml --smoke --json").out)["runs"] == 12


def test_status_and_verify__whole_missing_and_damaged(here: Path) -> None:
    call("run small.toml")
    store = here / "results" / "small.zarr"
    blocks = len(load_study("small.toml").blocks)
    status = strict(call("status small.toml --json").out)
    assert (status["blocks"], status["blocks_done"]) == (blocks, blocks)
    assert status["runs"]["done"] == 24
    assert sum(status["runs"].values()) == 24
    assert f"{blocks} of {blocks} blocks done" in call("status small.toml").out
    answer = call("verify small.toml --json")
    assert (answer.code, answer.err) == (0, "")
    report = strict(answer.out)
    assert len(report.pop("computed_by")) == 1
    assert report == {
        "store": "results/small.zarr",
        "blocks": blocks,
        "missing": [],
        "damaged": [],
        "findings": [],
        "leftovers": 0,
    }

    shutil.rmtree(store / "simdyn.store" / "receipts" / "sha256" / "c" / "1")
    chunk = store / "train_loss" / "c" / "0" / "0" / "0" / "0" / "0"
    chunk.write_bytes(b"x" + chunk.read_bytes()[1:])
    assert strict(call("status small.toml --json").out)["blocks_done"] == blocks - 1
    before = files(here)
    answer = call("verify small.toml --json")
    report = strict(answer.out)
    assert answer.code == 1
    assert report["missing"] == []
    assert report["damaged"] == [0, 1]
    lost, changed = (
        {"piece": "", "trouble": "has values without a receipt", "block": 1},
        {"piece": str(chunk.relative_to(store)), "trouble": "is damaged", "block": 0},
    )
    assert report["findings"] == [changed, lost]
    assert files(here) == before
    answer = call("verify small.toml")
    assert answer.code == 1
    assert f"{blocks - 2} blocks good, 0 missing, 2 damaged" in answer.out
    assert f"block 0: {changed['piece']} is damaged" in answer.out
    assert "block 1: has values without a receipt" in answer.out
    assert "simdyn run" in answer.err

    answer = call("run small.toml")
    assert answer.code == 0
    assert call("verify small.toml").code == 0


def test_verify__missing_blocks_alone_are_no_damage(here: Path) -> None:
    call("run small.toml")
    for folder in list((here / "results" / "small.zarr").rglob("c")):
        if folder.parent.name in ("sha256", *load_study("small.toml").variables):
            shutil.rmtree(folder)
    answer = call("verify small.toml")
    assert answer.code == 0
    assert "0 blocks good, 12 missing, 0 damaged" in answer.out


def test_plot__the_same_bytes_and_nothing_simulated(here: Path) -> None:
    (here / "small.toml").write_text(STUDY)
    call("run small.toml")
    figures, results = files(here / "figures"), files(here / "results")
    shutil.rmtree(here / "figures")
    answer = call("plot small.toml")
    assert answer.out.splitlines() == ["figures/small.png", "figures/small.pdf"]
    assert files(here / "figures") == figures
    assert files(here / "results") == results


def test_plot__of_results_that_are_not_there(here: Path) -> None:
    (here / "small.toml").write_text(STUDY)
    for name in ("plot", "status", "verify"):
        message = refused(here, name, "small.toml")
        assert "results/small.zarr: no such results; `simdyn run STUDY` makes them" in message


# -- simulate ------------------------------------------------------------------------------------


def test_simulate__prints_what_python_gives(here: Path) -> None:
    line = (
        "simulate --dimension 50 --signal-norm 2 --radius 0.1 --epochs 20 --n-samples 6 "
        "--n-filters 3 --replicates 2 --seed 4 --every 5"
    )
    course = strict(call(line, "--json").out)
    expected = simulate(
        SignalNoiseData(n_samples=6, dimension=50, signal_norm=2.0),
        TwoLayerCNN(n_filters=3, init_std=0.001),
        SAM(radius=0.1, learning_rate=0.1, epochs=20),
        seed=4,
        replicates=2,
        record=Record(every=5),
    )
    assert course["update"] == [0, 5, 10, 15, 20]
    assert course["train_loss"] == expected["train_loss"].mean("replicate").values.tolist()
    assert course["test_error"] == expected["test_error"].mean("replicate").values.tolist()
    assert course["status"] == [1, 1]
    lines = call(line).out.splitlines()
    assert lines[0].split() == ["update", "train_loss", "test_error", "signal_coef", "noise_coef"]
    assert [float(line.split()[0]) for line in lines[1:]] == course["update"]
    assert set(everything(here)) == {"small.toml"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--dimension", 0), "dimension = 0: allowed is an integer from 1 to 2**53"),
        (("--signal-norm", "nan"), "signal_norm = nan"),
        (("--signal-norm", -1), "signal_norm = -1"),
        (("--noise-std", -1), "noise_std = -1"),
        (("--n-samples", 0), "n_samples = 0"),
        (("--n-patches", 1), "n_patches = 1"),
        (("--label-flip", 0.5), "label_flip = 0.5"),
        (("--noise", "white"), "noise = 'white'"),
        (("--n-filters", 0), "n_filters = 0"),
        (("--init-std", "inf"), "init_std = inf"),
        (("--radius", -0.1), "radius = -0.1"),
        (("--learning-rate", 0), "learning_rate = 0"),
        (("--epochs", -1), "epochs = -1"),
        (("--batch-size", 21), "batch_size = 21"),
        (("--batch-size", 3), "3 does not divide"),
        (("--batch-size", 0), "batch_size = 0"),
        (("--replicates", 0), "replicates = 0"),
        (("--seed", -1), "seed = -1"),
        (("--seed", 2**63), "seed = "),
        (("--threads", 0), "threads = 0"),
        (("--every", 0), "every = 0"),
        (("--every", -1), "every = -1"),
        (("--epochs", 2**53, "--every", 1), "every"),
    ],
    ids=str,
)
def test_simulate__bad_flags(here: Path, flags: tuple[object, ...], words: str) -> None:
    assert words in refused(here, "simulate --dimension 50 --signal-norm 1", *flags)


def test_simulate__more_than_memory_holds_is_one_line(here: Path) -> None:
    size = f"--n-samples {2**22} --n-filters {2**20}"
    message = refused(here, f"simulate --dimension 50 --signal-norm 1 {size} --epochs 1")
    assert "memory" in message or "n_samples" in message


def test_simulate__json_of_a_run_that_overflows(here: Path) -> None:
    line = "simulate --dimension 5000 --signal-norm 1 --learning-rate 1e308 --epochs 5 --json"
    answer = call(line)
    assert answer.code == 0
    assert strict(answer.out)["status"] == [3]


# -- bad input -----------------------------------------------------------------------------------


def replaced(*pairs: tuple[str, str]) -> str:
    text = STUDY
    for old, new in pairs:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


BAD: list[tuple[str, str]] = [
    (replaced(("replicates", "replicate")), "did you mean 'replicates'?"),
    (replaced(("[network]", "[netwrok]")), "did you mean 'network'?"),
    (replaced(("n_samples", "n_sample")), "did you mean 'n_samples'?"),
    (replaced(("n_filters", "n_filter")), "did you mean 'n_filters'?"),
    (replaced(("radius", "raduis")), "did you mean 'radius'?"),
    (replaced(("optimiser", "optimizer")), "optimiser"),
    (replaced(('"SGD"', '"sgd"')), "Allowed: SGD, SAM"),
    (replaced(("dimension =", "dimensoin =")), "did you mean 'dimension'?"),
    (replaced(("stop", "end")), "{start = …, stop = …, num = …}"),
    (replaced(("compare", "compared")), "did you mean 'compare'?"),
    (replaced(("[smoke]", "[record]\nevry = 1\n[smoke]")), "did you mean 'every'?"),
    (replaced(("n_filters = 2", "n_filters = -2")), "n_filters = -2: allowed is an integer from 1"),
    (replaced(("epochs = 3", "epochs = 3, batch_size = 5")), "from 1 to n_samples = 4"),
    (replaced(("epochs = 3", "epochs = 3, batch_size = 3")), "3 does not divide n_samples = 4"),
    (replaced(("[20, 30]", "[20, 0]")), "dimension = 0: allowed is an integer from 1 to 2**53"),
    (replaced(("[20, 30]", "[20, nan]")), "dimension"),
    (replaced(("0.01", "nan")), "init_std = nan: allowed is a finite number ≥ 0"),
    (replaced(("0.01", "-inf")), "init_std = -inf: allowed is a finite number ≥ 0"),
    (replaced(("radius = 0.1", 'radius = "1/diemnsion"')), "did you mean 'dimension'?"),
    (replaced(("radius = 0.1", 'radius = "open(1)"')), "no function 'open'"),
    (replaced(("radius = 0.1", 'radius = "1 +"')), "is not a formula"),
    (replaced(("radius = 0.1", 'radius = """1\n+"""')), "is not a formula"),
    (replaced(('["sgd", "sam"]', '["sgd", "adam"]')), "no method 'adam'"),
    (replaced(('x = "dimension"', 'x = "noise_std"')), "figure.x = 'noise_std': not swept"),
    (replaced(("[methods]", "[[methods]]")), "methods = "),
    (replaced(("[data]", "[[data]]")), "data = "),
    (
        replaced(
            ('sgd = [{ optimiser = "SGD", learning_rate = 0.1, epochs = 3 }]', "sgd = [1, 2]")
        ),
        "methods.sgd.0 = 1",
    ),
    (replaced(("replicates = 2", 'replicates = "x"')), "replicates = 'x'"),
    (replaced(("replicates = 2", "replicates = 0")), "replicates = 0"),
    (replaced(("seed = 1", "seed = -1")), "seed = -1"),
    (replaced(("[20, 30]", "20")), "= 20"),
    (replaced(("seed = 1", "seed = 1979-05-27")), "seed = "),
    (replaced(("n_samples = 4", "n_samples = [4]")), "n_samples = [4]"),
    (replaced(("n_samples = 4", "n_samples = {a = 4}")), "n_samples"),
    (replaced(("n_samples = 4", "n_samples = 1979-05-27")), "n_samples"),
    ("data = 1\n" + replaced(("[data]\nn_samples = 4\nnoise_std = 1.0\n", "")), "data = 1"),
    ("seed = 1\nseed = 2\n", "not valid TOML"),
    ("[data", "not valid TOML"),
    ("", "[data]"),
    ("x", "not valid TOML"),
    ("{}", "not valid TOML"),
]


@pytest.mark.parametrize(("text", "words"), BAD, ids=range(len(BAD)))
def test_run__bad_study_file(here: Path, text: str, words: str) -> None:
    (here / "bad.toml").write_text(text)
    for name in ("run", "plan"):
        message = refused(here, name, "bad.toml")
        assert message.startswith("simdyn: bad.toml: ")
        assert words in message


@pytest.mark.parametrize("name", STUDY_COMMANDS)
def test_commands__what_is_no_study_file(here: Path, name: str) -> None:
    (here / "binary.toml").write_bytes(bytes(range(256)) * 10)
    (here / "folder.toml").mkdir()
    assert "binary.toml: not a text file" in refused(here, name, "binary.toml")
    assert "folder.toml: is a folder" in refused(here, name, "folder.toml")
    message = refused(here, name, "smal.toml")
    assert message.startswith("simdyn: smal.toml: no such file; did you mean 'small.toml'?")


@pytest.mark.parametrize("threads", [0, -3])
def test_run__threads_that_are_none(here: Path, threads: int) -> None:
    assert f"threads = {threads}" in refused(here, "run small.toml --threads", threads)


def test_run__place_that_cannot_be_written(here: Path) -> None:
    (here / "file").write_text("text")
    assert "cannot be written" in refused(here, "run small.toml --out file")
    assert "cannot be written" in refused(here, "run small.toml --out /proc/none")
    (here / "results").write_text("text")
    assert "cannot be written" in refused(here, "run small.toml")


def test_run__figures_that_cannot_be_written_is_one_line(here: Path) -> None:
    (here / "small.toml").write_text(STUDY)
    (here / "figures").write_text("text")
    for name in ("run", "plot"):
        answer = call(name, "small.toml")
        assert answer.code == 2
        assert answer.err.splitlines()[-1].startswith("simdyn: figures")
        assert "cannot be written" in answer.err


def test_run__store_of_another_study(here: Path) -> None:
    call("run small.toml")
    (here / "small.toml").write_text(STUDY.replace("seed = 1", "seed = 2"))  # with a figure now
    for name in STUDY_COMMANDS:
        message = refused(here, name, "small.toml")
        assert "results/small.zarr: belongs to another study: seed is 1 there, 2 here" in message


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_text("text")])
def test_run__store_that_is_none(here: Path, make: Callable[[Path], object]) -> None:
    (here / "small.toml").write_text(STUDY)
    (here / "results").mkdir()
    make(here / "results" / "small.zarr")
    for name in STUDY_COMMANDS:
        assert "not a store of simdyn" in refused(here, name, "small.toml")


def test_run__smoke_without_smoke_table(here: Path) -> None:
    (here / "small.toml").write_text(PLAIN.split("[smoke]")[0])
    assert "no [smoke] table" in refused(here, "run small.toml --smoke")


@pytest.mark.parametrize(
    "line",
    items("""
        run  run small.toml --thread 2  run small.toml --threads two  rum small.toml  simulate
        simulate --dimension ten  run small.toml more.toml  --nonsense
    """),
)
def test_commands__misused_flags(here: Path, line: str) -> None:
    answer = call(line)
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert "simdyn" in answer.err or "Usage" in answer.err
    assert set(everything(here)) == {"small.toml"}


MISUSED = [
    ("run", "missing argument STUDY|STORE; see simdyn run --help"),
    ("run small.toml --thread 2", "no such option --thread; did you mean --threads?"),
    ("run small.toml --zzz", "no such option --zzz; see simdyn run --help"),
    ("run small.toml --threads two", "--threads 'two': allowed is an integer"),
    ("run small.toml --threads=2 --threads=1e3", "--threads '1e3': allowed is an integer"),
    ("run small.toml --threads", "option '--threads' requires an argument; see simdyn run --help"),
    ("run small.toml --smoke=3", "option '--smoke' does not take a value; see simdyn run --help"),
    ("status small.toml --every soon", "--every 'soon': allowed is a number"),
    ("worker small.toml", "missing option --shard I/N; see simdyn worker --help"),
    ("simulate --d 20", "no such option --d; did you mean --dimension?"),
    ("simulate --lr 0.1", "no such option --lr; did you mean --learning-rate?"),
    ("run small.toml --jobs 3", "--jobs 3: allowed with --slurm or --pbs"),
    ("run small.toml --cores=8", "--cores 8: allowed with --slurm or --pbs"),
    ("run small.toml --dask local:1 --queue x", "--queue x: allowed with --slurm or --pbs"),
    ("plan small.toml --walltime 1:00:00", "--walltime 1:00:00: allowed with --sbatch, --slurm"),
    ("plan small.toml --shards 2", "--shards 2: allowed with --sbatch"),
    ("status small.toml --every 3", "--every 3.0: allowed with --watch"),
    (
        "simulate --dimension 9 --signal-norm 1 --stride-tolerance 0.1",
        "--stride-tolerance 0.1: allowed with --stepping strides or --stepping flow",
    ),
    ("simulate", "missing option --dimension; see simdyn simulate --help"),
    ("run small.toml more.toml", "got unexpected extra argument(s) (more.toml); see simdyn run -"),
    ("rum small.toml", "no such command 'rum'; did you mean 'run'? Allowed: run, plan"),
    ("--nonsense", "no such option --nonsense; see simdyn --help"),
    ("--", "missing command; see simdyn --help"),
    ("run --\x1b[31m", "no such option --\\x1b[31m; see simdyn run --help"),
]


@pytest.mark.parametrize(("line", "words"), MISUSED, ids=range(len(MISUSED)))
def test_commands__misuse_is_answered_in_one_line(here: Path, line: str, words: str) -> None:
    message = refused(here, line)
    assert message.startswith(f"simdyn: {words}")
    assert len(message.splitlines()) == 1


def test_commands__misuse_in_a_process_of_its_own(here: Path) -> None:
    answer = process("run small.toml --threads two", cwd=here)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "simdyn: --threads 'two': allowed is an integer\n"
    answer = process("run", "\udcff.toml", cwd=here)  # bytes that are no text
    assert answer.code == 2
    assert answer.err.startswith("simdyn: \\udcff.toml: no such file")
    assert "Usage:" in process("", cwd=here).out


def test_commands__a_name_that_no_file_can_have(here: Path) -> None:
    for words in (("status", "x" * 300), ("run", "small.toml", "--out", "x" * 300)):
        assert "File name too long" in refused(here, *words)


def test_plan__batch_script_without_time(here: Path) -> None:
    line = "plan small.toml --nominal --sbatch --walltime 00:00:00"
    assert "walltime = '00:00:00': allowed is a time > 0" in refused(here, line)


@pytest.mark.parametrize("cores", [0, 10**5, 2**63, 10**400])
def test_plan__more_cores_than_a_job_has(here: Path, cores: int) -> None:
    for kind in ("--sbatch", "--slurm"):
        message = refused(here, "plan small.toml --nominal", kind, "--cores", cores)
        assert "cores = " in message
        assert "allowed is an integer from 1 to 10000" in message


def test_export_and_replay__replace_nothing_that_they_did_not_write(here: Path) -> None:
    call("run small.toml")
    point = ("dimension=20", "signal_norm=1", "method=sam")
    for to in ("small.toml", ".", "results", "results/small.zarr"):
        assert f"--to {to}: exists already" in refused(here, "export small.toml --to", to)
        message = refused(here, "replay small.toml", *point, "--to", to)
        assert f"--to {to}: exists already" in message
    for _ in range(2):  # its own trajectory it replaces
        assert call("replay small.toml", *point, "--to", "course.zarr").code == 0


def test_export_and_replay__of_a_study_that_is_not_the_stores(here: Path) -> None:
    call("run small.toml")
    (here / "small.toml").write_text(PLAIN.replace("seed = 1", "seed = 2"))
    for words in (("export", "small.toml"), ("replay", "small.toml", "method=sam")):
        assert "belongs to another study: seed is 1 there, 2 here" in refused(here, *words)


@pytest.mark.parametrize("flags", [("--threads", 0), ("--out", "small.toml")])
def test_check__bad_flags_before_anything_is_measured(
    here: Path, flags: tuple[object, ...]
) -> None:
    refused(here, "check --quick", *flags)


def test_commands__what_is_very_long_is_cut_in_messages(here: Path) -> None:
    message = refused(here, "run", "x" * 10**5)
    assert len(message) < 2100
    assert message.endswith("\n")


def test_commands__bad_input_in_a_process_of_its_own(here: Path) -> None:
    (here / "bad.toml").write_text(replaced(("n_filters = 2", "n_filters = -2")))
    answer = process("run bad.toml", cwd=here)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err == (
        "simdyn: bad.toml: TwoLayerCNN.n_filters = -2: allowed is an integer from 1 to 2**20 (at "
        "dimension = 20, signal_norm = 0.0)\n"
    )
    assert set(everything(here)) == {"small.toml", "bad.toml"}


def test_commands__output_survives_a_plain_terminal(here: Path) -> None:
    for line in ("plan small.toml", "simulate -h", "run small.toml"):
        answer = process(line, cwd=here, PYTHONIOENCODING="ascii", COLUMNS="100")
        assert answer.code == 0, answer.err
        assert "Traceback" not in answer.err


def test_repository__studies_are_all_valid_and_small_ones_named() -> None:
    for path in sorted(FILE.parent.glob("*.toml")):
        study = load_study(path)
        assert study.smoke().runs <= study.runs
        assert tomllib.loads(path.read_text(encoding="utf-8"))["seed"] == study.seed
