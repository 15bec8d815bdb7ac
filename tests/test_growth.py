"""Growth: a larger study keeps what a smaller one has done, whatever happens on the way."""

import ast
import operator
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import call
from common import refusal
from growing import AXES, GROWTHS, METHODS, equal, settled, study

from simdyn import load_study, open_results
from simdyn.api.replay import replay
from simdyn.api.study import Study
from simdyn.base.formula import COMPARISONS, _compiled
from simdyn.base.inputs import InputError
from simdyn.params import Record
from simdyn.run import MASKED, Silent, run_study
from simdyn.store import Store
from simdyn.store.audit import audit
from simdyn.store.upkeep import clean_up, prepare_store

pytestmark = pytest.mark.usefixtures("one_skeleton")


class Count:
    """Trajectories that are computed; after so many the run is broken off."""

    def __init__(self) -> None:
        self.runs, self.most = 0, sys.maxsize

    def taken(self) -> int:
        runs, self.runs = self.runs, 0
        return runs


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Count:
    from simdyn.engine.replicates import run_replicates

    counted = Count()

    def counting(data: Any, net: Any, plans: Any, seed: int, part: range, *rest: Any) -> Any:
        if counted.runs >= counted.most:
            raise KeyboardInterrupt
        counted.runs += len(plans) * len(part)
        return run_replicates(data, net, plans, seed, part, *rest)

    monkeypatch.setattr("simdyn.run.block.run_replicates", counting)
    return counted


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store, to be copied."""
    path = tmp_path_factory.mktemp("small") / "study.zarr"
    run_study(study(), path, threads=1)
    return path


@pytest.fixture
def grown(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "study.zarr"))


def broken_off(larger: Study, path: Path, count: Count, after: int) -> int:
    """A run that ends early; returns the trajectories that it computed and kept."""
    count.most = after
    with pytest.raises(KeyboardInterrupt):
        run_study(larger, path, threads=1)
    count.most = sys.maxsize
    return count.taken()  # each block is one point and replicate, so none is half done


@pytest.mark.parametrize("how", GROWTHS)
def test_run__computes_only_what_is_new(grown: Path, count: Count, how: str) -> None:
    larger = study(**GROWTHS[how])
    run_study(larger, grown, threads=1)
    assert count.taken() == larger.runs - study().runs
    settled(grown, larger)


@pytest.mark.parametrize("first", ["at the start", "replicates", "a method before"])
@pytest.mark.parametrize("after", [0, 5])
def test_run__grows_again_before_it_is_finished(
    grown: Path, count: Count, first: str, after: int
) -> None:
    kept = broken_off(study(**GROWTHS[first]), grown, count, after)
    assert (kept > 0) == (after > 0)
    larger = study(**{**GROWTHS["everything"], "replicates": 6})
    run_study(larger, grown, threads=1)
    assert count.taken() == larger.runs - study().runs - kept
    settled(grown, larger)


@pytest.mark.parametrize("blocks", [4, 32])
def test_run__every_level_gives_what_it_has(
    grown: Path, count: Count, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    """Replicates 0 and 1 are of the first study, some of 2 and 3 of the second."""
    kept = broken_off(study(replicates=4), grown, count, 6)
    assert kept == 6
    monkeypatch.setattr("simdyn.study.blocks.MIN_BLOCKS", blocks)
    third = study(replicates=5)
    assert third.block_shape[-1] == {4: 5, 32: 1}[blocks]
    run_study(third, grown, threads=1)
    assert count.taken() == third.runs - study().runs - kept
    settled(grown, third)


def test_run__damage_to_the_smaller_store_costs_its_block_alone(grown: Path, count: Count) -> None:
    store = Store(grown, study())
    block = store.blocks[3]
    (grown / store.files_of(block)["margin"]).write_bytes(b"damaged")
    larger = study(dimension=[20, 40, 60])
    run_study(larger, grown, threads=1)
    assert count.taken() == larger.runs - study().runs + block.cells * 2
    settled(grown, larger)


@pytest.mark.parametrize(
    "name",
    [
        "zarr.json",
        "simdyn.store/receipts/zarr.json",
        "margin/zarr.json",
        "dimension",
        "simdyn.store/log",
    ],
)
@pytest.mark.parametrize("growing", [False, True])
def test_run__metadata_of_the_smaller_store_is_repaired_first(
    grown: Path, count: Count, name: str, growing: bool
) -> None:
    larger = study(dimension=[20, 40, 60])
    if growing:
        broken_off(larger, grown, count, 0)
    damaged = grown / ("simdyn.store/before" if growing else "") / name
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
    run_study(larger, grown, threads=1)
    assert count.taken() == larger.runs - study().runs
    settled(grown, larger)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dimension": [20]}, "space.dimension is [20,40] there, [20] here"),
        ({"dimension": [20, 60]}, "space.dimension is [20,40] there, [20,60] here"),
        ({"replicates": 1}, "replicates is 2 there, 1 here"),
        ({"methods": ("sam",)}, "methods.sgd"),
        ({"seed": 4, "replicates": 3}, "seed is 3 there, 4 here"),
        ({"data": {"signal_norm": 2.0}, "replicates": 3}, "data.signal_norm is 1.0 there, 2.0"),
    ],
)
def test_run__what_is_not_growth_is_refused(small: Path, changes: Any, words: str) -> None:
    assert words in refusal(run_study, study(**changes), small, threads=1)
    assert not audit(small, study()).findings


def test_run__axes_in_another_order_are_refused(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growing.AXES", dict(reversed(AXES.items())))
    with pytest.raises(InputError, match=r"order of space is \[.*\] there, \[.*\] here"):
        run_study(study(), small, threads=1)


def test_run__methods_in_another_order_are_taken_over(grown: Path, count: Count) -> None:
    other = study(methods=("sam", "sgd"))
    run_study(other, grown, threads=1)
    assert count.taken() == 0
    settled(grown, other)


def test_run__grows_behind_a_link(grown: Path, count: Count, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    link = tmp_path / "results" / "link.zarr"
    link.symlink_to("../study.zarr")
    larger = study(dimension=[20, 40, 60])
    run_study(larger, link, threads=1)
    assert count.taken() == larger.runs - study().runs
    equal(open_results(link), larger.run(threads=1))
    assert link.is_symlink()


# -- axes whose values only rounding keeps apart --------------------------------------------------

OLD = [0.1, 0.2, 0.30000000000000004]  # what {start = 0.1, stop = 0.3, num = 3} was
NEW = {"start": 0.1, "stop": 0.3, "num": 3}


def swept(rates: Any, where: str | None = None, **more: Any) -> Study:
    axes = {"learning_rate": rates, **more, **({"where": where} if where else {})}
    return Study(
        {"n_samples": 4, "signal_norm": 1.0, "dimension": 30},
        {"n_filters": 2, "init_std": 0.01},
        {"sgd": METHODS["sgd"]},
        axes,
        replicates=2,
        seed=3,
        record=Record(variables=("train_loss", "margin")),
    )


def computed(path: Path, larger: Study, count: Count) -> int:
    count.taken()
    run_study(larger, path, threads=1)
    return count.taken()


def rates_in(path: Path) -> list[float]:
    return list(open_results(path)["learning_rate"].values.tolist())


def test_run__a_store_of_before_goes_on_with_its_own_values(tmp_path: Path, count: Count) -> None:
    path, old, new = tmp_path / "study.zarr", swept(OLD), swept(NEW)
    assert new.space.axes["learning_rate"].tolist() == [0.1, 0.2, 0.3]
    assert new.fingerprint != old.fingerprint
    assert broken_off(old, path, count, 3) == 3
    assert computed(path, new, count) == 3
    settled(path, old)
    assert computed(path, new, count) == computed(path, old, count) == 0
    for rate in ("0.3", 0.3, 0.30000000000000004):
        assert replay(path, {"learning_rate": rate}).attrs["replayed"] > 0


@pytest.mark.parametrize(
    ("first", "then", "held"),
    [
        (OLD, {"start": 0.1, "stop": 0.6, "num": 6}, [*OLD, 0.4, 0.5, 0.6]),
        ([0.1, 0.3], {"start": 0.1, "stop": 0.6, "num": 6}, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ([0.1, 0.3], [0.1, 0.2, 0.30000000000000004], [0.1, 0.2, 0.3]),
        ([0.1, 0.30000000000000004], [0.3, 0.1], [0.30000000000000004, 0.1]),
    ],
)
def test_run__grows_across_rounding(
    tmp_path: Path, count: Count, first: Any, then: Any, held: list[float]
) -> None:
    """Labels are the numbers that the values were computed with."""
    path = tmp_path / "study.zarr"
    run_study(swept(first), path, threads=1)
    larger = swept(then)
    assert computed(path, larger, count) == larger.runs - swept(first).runs
    assert rates_in(path) == held
    settled(path, swept(held))
    assert computed(path, swept(then), count) == 0


def test_run__axes_that_go_together_are_taken_over_label_by_label(
    tmp_path: Path, count: Count
) -> None:
    path, together = tmp_path / "study.zarr", ["learning_rate", "noise_std"]
    run_study(swept(OLD, noise_std=[0.7, 0.7, 0.1 * 7], zip=together), path, threads=1)
    larger = swept([0.1, 0.2, 0.3, 0.4], noise_std=[0.7] * 4, zip=together)
    assert computed(path, larger, count) == 2
    held = open_results(path)
    assert held["learning_rate"].values.tolist() == [*OLD, 0.4]
    assert held["noise_std"].values.tolist() == [0.7, 0.7, 0.1 * 7, 0.7]
    with pytest.raises(InputError, match="belongs to another study"):
        run_study(swept(NEW, noise_std=[0.7, 0.7, 0.8], zip=together), path, threads=1)


def test_run__values_apart_by_more_than_rounding_are_another_study(tmp_path: Path) -> None:
    path = tmp_path / "study.zarr"
    run_study(swept([0.1, 0.3 * (1 + 3e-12)]), path, threads=1)
    with pytest.raises(InputError, match="belongs to another study"):
        run_study(swept([0.1, 0.3]), path, threads=1)


def test_run__points_masked_by_the_last_bit_are_computed(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, where = tmp_path / "study.zarr", "learning_rate <= 0.3"
    with monkeypatch.context() as before:
        before.setitem(COMPARISONS, ast.LtE, operator.le)
        run_study(swept(OLD, where), path, threads=1)
        assert (open_results(path)["status"][-1] == MASKED).all()
    _compiled.cache_clear()
    notes: list[str] = []
    display = Silent()
    monkeypatch.setattr(display, "note", notes.append)
    count.taken()
    run_study(swept(NEW, where), path, threads=1, progress=display)
    assert count.taken() == 2
    assert len(notes) == 2
    assert "`where` now masks other points: computed again" in notes[0]
    settled(path, swept(OLD, where))
    assert computed(path, swept(NEW, where), count) == 0


FILE = """
replicates = 2
[data]
n_samples = 4
signal_norm = 1.0
dimension = 30
[network]
n_filters = 2
init_std = 0.01
[methods]
sgd = [{ optimiser = "SGD", epochs = 2 }]
[space]
learning_rate = RATES
[figure]
kind = "curves"
x = "learning_rate"
variables = ["train_loss"]
"""


def test_cli__a_store_of_before_under_the_study_file_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, path = Path("study.toml"), Path("results/study.zarr")
    file.write_text(FILE.replace("RATES", str(OLD)))
    before = load_study(file)
    run_study(before, path, threads=1)
    file.write_text(FILE.replace("RATES", "{ start = 0.1, stop = 0.3, num = 3 }"))
    assert load_study(file).fingerprint != before.fingerprint
    for line in (
        *("status", "verify", "plan --nominal", "run", "plot", "export", "worker --shard 1/2"),
        "replay learning_rate=0.3",
    ):
        name, *rest = line.split()
        answer = call(name, file, *rest)
        assert answer.code == 0, answer
        if name == "plan":
            assert "6 of 6" in answer.out or "0 left" in answer.out, answer
    assert rates_in(path) == OLD


# -- killed at every moment ----------------------------------------------------------------------

# The k-th change to a folder ends a process before it is made, as SIGKILL does; then all is done
# again, undisturbed. Children are forked before any thread is started.
KILLED = """
import os, shutil, sys
from pathlib import Path
import growing as t
from simdyn.run import run_study
from simdyn.store.upkeep import clean_up, prepare_store

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")

def die_at(k, root):
    left = [k]
    def hook(event, about):
        opens = event == "open" and about[2] is not None and about[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in CHANGES or opens) and root in str(about[0]):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
    sys.addaudithook(hook)

def child(do):
    if not (number := os.fork()):
        try:
            do()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])

small, root, first, step = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
larger = t.study(**t.GROWTHS["everything"])
how = sys.argv[5]

def change(path):
    store = prepare_store(path, larger)[0]
    if how == "settling":
        run_study(larger, path, threads=1)

def killed(k):
    die_at(k, str(root))
    change(root / "study.zarr")

def again():
    path = root / "study.zarr"
    found = []
    from simdyn.engine.replicates import run_replicates
    def counting(data, net, plans, seed, part, *rest):
        found.append(len(plans) * len(part))
        return run_replicates(data, net, plans, seed, part, *rest)
    import simdyn.run.block
    simdyn.run.block.run_replicates = counting
    run_study(larger, path, threads=1)
    simdyn.run.block.run_replicates = run_replicates
    new = larger.runs - t.study().runs
    assert sum(found) == new if how == "growing" else sum(found) <= new, (sum(found), new)
    t.settled(path, larger)

k, kills = first, 0
while True:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    shutil.copytree(small, root / "study.zarr")
    code = child(lambda: killed(k))
    assert code in (0, 9), code
    assert child(again) == 0, k
    kills += code == 9
    if code == 0:
        break
    k += step
print(kills)
"""


def kill_at_every(small: Path, tmp_path: Path, first: int, step: int, how: str) -> int:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c", KILLED),
            *map(str, (small, tmp_path / "killed", first, step, how)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=3000,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]),
        },
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_run__killed_while_it_grows(small: Path, tmp_path: Path) -> None:
    assert kill_at_every(small, tmp_path, 100, 75, "growing") > 0


@pytest.mark.campaign
@pytest.mark.parametrize(("how", "step"), [("growing", 3), ("settling", 40)])
def test_campaign__killed_at_every_moment(
    small: Path, tmp_path: Path, how: str, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    kills = kill_at_every(small, tmp_path, 0, step, how)
    with capsys.disabled():
        print(f"\n{how}: {kills} kills, each gone on from")


@pytest.mark.parametrize("nth", [0, 1])
def test_ready__a_rename_that_fails_loses_nothing(
    grown: Path, count: Count, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    larger, rename, calls = study(dimension=[20, 40, 60]), os.rename, iter(range(99))

    def failing(*where: Any) -> None:
        if next(calls) == nth:
            raise OSError(5, "Input/output error")
        rename(*where)

    with monkeypatch.context() as patch:
        patch.setattr("simdyn.store.creation.os.rename", failing)
        with pytest.raises(InputError, match="cannot be written: Input/output error"):
            prepare_store(grown, larger)
    run_study(larger, grown, threads=1)
    assert count.taken() == larger.runs - study().runs
    settled(grown, larger)


# -- several at once -----------------------------------------------------------------------------


def test_write__the_smaller_study_at_work_hears_that_its_store_has_grown(
    grown: Path, count: Count
) -> None:
    smaller, larger = Store(grown, study()), study(dimension=[20, 40, 60])
    block = smaller.blocks[0]
    values = smaller.read(block)
    prepare_store(grown, larger)
    with pytest.raises(InputError, match="no longer holds this study"):
        smaller.write(block, values)
    with pytest.raises(InputError, match="no longer holds this study"):
        clean_up(smaller)  # which would take from the larger one what it has not taken over yet
    run_study(larger, grown, threads=1)
    assert count.taken() == larger.runs - study().runs
    settled(grown, larger)


READY = """
import sys
from pathlib import Path
import growing as t
from simdyn.run import run_study
larger = t.study(**t.GROWTHS["everything"])
print("up", flush=True)
sys.stdin.readline()
run_study(larger, Path(sys.argv[1]), threads=1)
"""


def damaged(path: Path) -> None:
    shutil.rmtree(path / "margin")
    (path / "zarr.json").write_bytes(b"")
    (path / "thesis.tex").write_text("text")


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("fresh", marks=pytest.mark.campaign),
        "growing",
        pytest.param("damaged", marks=pytest.mark.campaign),
    ],
)
def test_run__several_processes_at_once(small: Path, tmp_path: Path, start: str) -> None:
    path, larger = tmp_path / "study.zarr", study(**GROWTHS["everything"])
    if start != "fresh":
        shutil.copytree(small, path)
    if start == "damaged":
        damaged(path)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    many = [
        subprocess.Popen(
            [sys.executable, "-c", READY, str(path)],
            stdin=subprocess.PIPE,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
        for _ in range(3)
    ]
    for process in many:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
    for process in many:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in many:
        complaint = process.communicate(timeout=300)[1]
        assert process.returncode == 0, complaint
    shutil.rmtree(path.with_name("study.zarr.foreign"), ignore_errors=True)
    settled(path, larger)
