"""Damage to every kind of file a store has: found, named, and repaired by the next run."""

import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from commands import call
from common import Heard, files, refusal
from damages import DAMAGES, KINDS, META, Expected, Whole, same_meaning

from simdyn import load_study
from simdyn.api.study import Study
from simdyn.run import run_study
from simdyn.store import Store, audit, open_study, skeleton
from simdyn.store.log import computed_by

TEXT = """
seed = SEED
replicates = 2
[data]
n_samples = 4
signal_norm = "2*strength"
dimension = 20
[network]
n_filters = 2
init_std = 0.01
[methods]
sgd = [{ optimiser = "SGD", learning_rate = 0.1, epochs = 2 }]
sam = [{ optimiser = "SAM", radius = 0.1, learning_rate = 0.1, epochs = 2 }]
[space]
noise = ["isotropic", "orthogonal"]
strength = [0.5, 1.0]
[record]
every = 1
variables = ["train_loss", "margin"]
"""


class Place:
    """A finished study beside its store, and how the store should be."""

    def __init__(self, folder: Path, seed: int) -> None:
        folder.mkdir()
        self.file, self.store = folder / "study.toml", folder / "results" / "study.zarr"
        self.file.write_text(TEXT.replace("SEED", str(seed)))
        self.study: Study = load_study(self.file)
        run_study(self.study, self.store, threads=1)
        store = Store(self.store, self.study)
        self.whole = Whole(
            files(self.store),
            tuple(self.study.variables),
            store.blocks.counts,
            self.study.fingerprint,
            self.study.layout.attrs["study"],
        )

    def again(self) -> None:
        """Put the store back as it was."""
        shutil.rmtree(self.store.with_name("study.zarr.foreign"), ignore_errors=True)
        shutil.rmtree(self.store)
        for name, content in self.whole.files.items():
            (self.store / name).parent.mkdir(parents=True, exist_ok=True)
            (self.store / name).write_bytes(content)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("repair") / "one", seed=5)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of another seed's store."""
    return Place(tmp_path_factory.mktemp("stale") / "two", seed=6).whole.files


pytestmark = pytest.mark.usefixtures("one_skeleton")  # half the time of a case else


def run_again(place: Place) -> tuple[list[int], list[str]]:
    """Run a study; returns the blocks that were computed, and what was noted."""
    from simdyn.run import worker

    computed: list[int] = []
    run_block = worker.run_block

    def counted(study: Study, which: Any, *rest: Any, **options: Any) -> Any:
        computed.append(which.number)
        return run_block(study, which, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simdyn.run.worker.run_block", counted)
        run_study(place.study, place.store, threads=1, progress=(heard := Heard()))
    return sorted(computed), heard.notes


def verify(place: Place) -> tuple[int, list[str], str]:
    """Exit code, lines and complaint of `simdyn verify`."""
    answer = call("verify", place.file, "--out", place.file.parent)
    return answer.code, answer.out.splitlines(), answer.err


def hold(place: Place, command: bool = False) -> str:
    """Hold a damaged store against what must be found, run, and hold again; how it ended."""
    now = files(place.store)
    expected = place.whole.expected(now)
    if not place.whole.known(place.store):
        return _refused(place, now)
    found = audit.audit(place.store, place.study)
    assert {f.file for f in found.findings if f.block is None} == expected.pieces
    assert {f.block for f in found.findings} - {None} == expected.damaged == set(found.damaged)
    assert set(found.missing) == expected.lost
    assert found.leftovers == expected.leftovers
    for finding in found.findings:  # pieces of blocks are theirs
        if finding.block is not None and finding.file:
            assert place.whole.block(finding.file) == finding.block
    if command:
        code, lines, complaint = verify(place)
        assert code == (0 if expected.harmless else 1)
        assert lines[1 : 1 + len(found.findings)] == [f"  {finding}" for finding in found.findings]
        who = [line for line in lines if line.startswith("  computed on ")]
        assert len(who) == len(computed_by(place.store)) <= 1
        assert len(lines) == 1 + len(found.findings) + (found.leftovers > 0) + len(who)
        assert len(complaint.splitlines()) == (not expected.harmless)
    assert files(place.store) == now
    computed, notes = run_again(place)
    assert computed == sorted(expected.damaged | expected.lost)
    assert sum("moved to" in note or "written anew" in note for note in notes) == len(
        expected.pieces
    ) + len(_rewritten(place.whole, expected, now))
    _whole_again(place, now, expected)
    return "harmless" if expected.harmless else "repaired"


def _rewritten(whole: Whole, expected: Expected, now: dict[str, bytes]) -> set[str]:
    """Metadata and labels in whose place is a folder: moved away, and written anew."""
    kinds = ("value", "receipt", "entry")
    in_the_way = {name for name in expected.pieces - now.keys() if whole.kind(name) not in kinds}
    return {name for name in in_the_way if any(at.startswith(f"{name}/") for at in now)}


def _whole_again(place: Place, now: dict[str, bytes], expected: Expected) -> None:
    found = audit.audit(place.store, place.study)
    assert (found.findings, found.missing, found.leftovers) == ((), (), 0)
    after = files(place.store)
    for name, content in place.whole.files.items():
        if place.whole.kind(name) != "entry":
            # What means the same is left as it is.
            kept = (
                name in now
                and name not in expected.pieces
                and place.whole.kind(name) not in ("value", "receipt")
            )
            assert after.pop(name) == (now[name] if kept else content), name
    assert all(name.startswith("simdyn.store/log/") for name in after)
    beside = place.store.with_name("study.zarr.foreign")
    aside = Counter(files(beside).values()) if beside.is_dir() else Counter[bytes]()
    inside = tuple(f"{at}/" for at in place.whole.files)
    in_folders = {name for name in now if name.startswith(inside)}
    entries = {name for name in expected.pieces & now.keys() if place.whole.kind(name) == "entry"}
    foreign = {*expected.foreign, *in_folders, *entries}
    assert Counter(now[name] for name in foreign) == aside


def _refused(place: Place, now: dict[str, bytes]) -> str:
    """No place of the store says any more what it is: one line, and nothing changed."""
    code, lines, complaint = verify(place)
    assert (code, lines, len(complaint.splitlines())) == (2, [], 1)
    message = refusal(run_study, place.study, place.store, threads=1)
    assert message.startswith(f"{place.store}: ")
    assert files(place.store) == now
    return "refused"


# -- one damage at a time ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "damages",
    [
        ("flip", "truncate", "append"),
        ("flip_many", "zeros", "empty"),
        ("delete", "folder", "folder_deleted"),
        ("swap", "swap_kinds", "duplicate", "stale"),
        ("copied", "foreign_folder", "partial", "file_for_folder"),
    ],
    ids="-".join,
)
def test_run__repairs_what_verify_finds(
    here: Place, others: dict[str, bytes], kind: str, damages: tuple[str, ...]
) -> None:
    rng = random.Random(f"{kind} {damages}")
    here.again()
    damage = rng.choice(damages)
    DAMAGES[damage](here.store, rng.choice(here.whole.of_kind(kind)), rng, here.whole, others)
    hold(here, command="delete" in damages)  # the command in one case of five: it takes its time


def test_run__another_format_of_the_same_json_is_no_damage(here: Place) -> None:
    here.again()
    for name in here.whole.files:
        if name.endswith(META):
            DAMAGES["reformatted"](here.store, name, random.Random(), here.whole, {})
    assert files(here.store) != here.whole.files
    assert hold(here, command=True) == "harmless"


@pytest.mark.parametrize("content", [b"", b"{}", b"5", b"\xff", None], ids=repr)
def test_run__a_store_that_says_nowhere_what_it_is_stays_as_it_is(
    here: Place, content: bytes | None
) -> None:
    here.again()
    for name in (META, f"simdyn.store/receipts/{META}"):
        if content is None:
            (here.store / name).unlink()
        else:
            (here.store / name).write_bytes(content)
    assert hold(here) == "refused"


@pytest.mark.parametrize("name", [META, f"simdyn.store/receipts/{META}"])
def test_open_study__one_of_the_places_that_say_it_is_enough(here: Place, name: str) -> None:
    here.again()
    (here.store / name).write_bytes(b"{")
    assert open_study(here.store).fingerprint == here.study.fingerprint
    answer = call("verify", here.store)
    assert (answer.code, f"  {name} is damaged" in answer.out.splitlines()) == (1, True)


@pytest.mark.parametrize("name", [META, f"simdyn.store/receipts/{META}"])
def test_verify__names_the_copy_of_a_study_that_is_damaged(here: Place, name: str) -> None:
    """A field of no value may lose its name, and the study is the same."""
    here.again()
    content = here.whole.files[name]
    assert content.count(b"log_spaced") == 1
    (here.store / name).write_bytes(content.replace(b"log_spaced", b"log_spcced"))
    assert hold(here, command=True) == "repaired"


def test_run__nothing_foreign_is_lost_when_names_meet(here: Place) -> None:
    """A file, then a folder of its name, then the file again."""
    here.again()
    for text in ("one", "two"):
        (here.store / "notes").write_text(text)
        assert hold_notes(here) == ["notes"]
        (here.store / "notes").mkdir()
        (here.store / "notes" / "a").write_text(text)
        assert hold_notes(here) == ["notes/a"]
        assert not (here.store / "notes").exists()
    beside = here.store.with_name("study.zarr.foreign")
    assert sorted(files(beside).values()) == [b"one", b"one", b"two", b"two"]


def hold_notes(place: Place) -> list[str]:
    found = audit.audit(place.store, place.study).findings
    assert run_again(place)[0] == []
    return [finding.file for finding in found]


# -- thousands of them ---------------------------------------------------------------------------

FIRST = int(os.environ.get("SIMDYN_FIRST_DAMAGE", "0"))
CASES = int(os.environ.get("SIMDYN_DAMAGES", "4000"))


@pytest.mark.campaign
def test_campaign__every_damage_is_found_and_repaired(
    here: Place, others: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """Random damages, one to five at once: each found and named, then repaired by one run."""
    ended, done = Counter[str](), Counter[str]()
    began = time.monotonic()
    for case in range(FIRST, FIRST + CASES):
        here.again()
        rng = random.Random(case)
        damages = rng.choices(sorted(DAMAGES), k=rng.choice([1, 1, 1, 2, 3, 4, 5]))
        for damage in damages:
            name = rng.choice(here.whole.of_kind(rng.choice(KINDS)))
            if (here.store / name).is_file() and (here.store / name).stat().st_size:
                DAMAGES[damage](here.store, name, rng, here.whole, others)
        try:
            how = hold(here, command=case % 20 == 0)
        except BaseException as problem:
            raise AssertionError(f"case {case}: {damages}") from problem
        ended[how] += 1
        done.update(damages)
        if case % 200 == 199 or case == FIRST + CASES - 1:
            with capsys.disabled():
                minutes = (time.monotonic() - began) / 60
                print(
                    f"\n{ended.total()} cases, {done.total()} damages, {minutes:.1f} min: "
                    f"{dict(ended)}",
                    flush=True,
                )
    with capsys.disabled():
        print(dict(done))


@pytest.mark.campaign
def test_campaign__every_single_bit_of_metadata(
    here: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flip passes where the file still means the same, and nowhere else."""
    intact = skeleton.Skeleton(here.study, here.study.block_shape)
    flips, same = 0, 0
    for name, content in intact.files.items():
        for at in range(8 * len(content)):
            changed = bytearray(content)
            changed[at // 8] ^= 1 << at % 8
            means_same = same_meaning(
                here.whole.kind(name), content, bytes(changed), here.whole.holds_texts(name)
            )
            assert intact.fits(name, bytes(changed)) == means_same, (name, at)
            flips, same = flips + 1, same + means_same
    with capsys.disabled():
        print(f"\n{flips} flips of a bit, {same} of which change no meaning")
