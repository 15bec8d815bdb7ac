"""The store: what lies on disk, what damage does to it, and what opens it again."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from common import Heard, files, refusal, unlogged

from simdyn import open_results
from simdyn.api.study import Study
from simdyn.base.inputs import InputError
from simdyn.params import SAM, SGD, Record, SignalNoiseData
from simdyn.run import run_block, run_study
from simdyn.store import Store, open_group
from simdyn.study.blocks import Block
from simdyn.variables.registry import VARIABLES
from simdyn.variables.selection import by_studies, offers_of, recordable

RECEIPTS = "simdyn.store/receipts/sha256"
DATA = {"n_samples": 4, "noise_std": 1.0}
NET = {"n_filters": 2, "init_std": 0.01}
METHODS = {
    "sgd": [SGD(learning_rate=0.1, epochs=3)],
    "sam": [SAM(radius=0.1, learning_rate=0.1, epochs=3)],
}
SPACE = {"dimension": [20, 30, 40], "signal_norm": [0.0, 1.0]}
SCALARS = by_studies(recordable(offers_of(SignalNoiseData)))
EVERYTHING = Record(every=1, variables=(*SCALARS, "margin", "signal_coef", "noise_coef"))


def study(**changes: Any) -> Study:
    options: dict[str, Any] = {"replicates": 3, "seed": 5, "record": EVERYTHING, **changes}
    space = options.pop("space", SPACE)
    return Study(options.pop("data", DATA), NET, options.pop("methods", METHODS), space, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole store, to be read only."""
    path = tmp_path_factory.mktemp("finished") / "study.zarr"
    study().run(path)
    return path


@pytest.fixture(scope="module")
def in_memory() -> xr.Dataset:
    return study().run()


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A whole store of one's own."""
    return Path(shutil.copytree(finished, tmp_path / "study.zarr"))


def computed(made: Study, block: Block) -> dict[str, np.ndarray]:
    arrays = run_block(made, block, np.zeros(1, np.int64), lambda *_: pytest.fail("point failed"))
    assert arrays is not None
    return arrays


def values_of(path: Path) -> dict[str, np.ndarray]:
    with open_results(path) as results:
        return {str(name): array.values for name, array in results.data_vars.items()}


def same_values(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(other[name], values, err_msg=name)


# -- what lies on disk ---------------------------------------------------------------------------


def test_write__round_trip(tmp_path: Path) -> None:
    made = study()
    store = Store(tmp_path / "one.zarr", made)
    written = {}
    for block in made.blocks:
        arrays = written[block.number] = computed(made, block)
        store.write(block, arrays)
    again = Store(tmp_path / "one.zarr", study())
    for block in made.blocks:
        assert again.is_done(block)
        assert again.receipts()[block.number]
        same_values(again.read(block), {n: written[block.number][n] for n in made.variables})


def test_write__one_chunk_for_each_block_and_variable(finished: Path) -> None:
    made = study()
    assert len(made.blocks) > 1
    for name in made.variables:
        chunks = [path for path in (finished / name / "c").rglob("*") if path.is_file()]
        assert len(chunks) == len(made.blocks), name
        meta = json.loads((finished / name / "zarr.json").read_text(encoding="utf-8"))
        assert meta["zarr_format"] == 3
        assert meta["codecs"][-1]["name"] == "crc32c"
        *grid, replicates = made.block_shape
        inner = made.layout.shape(name)[4:]
        assert meta["chunk_grid"]["configuration"]["chunk_shape"] == [*grid, 2, replicates, *inner]
        assert meta["dimension_names"] == list(made.layout.dims(name))
    folder = finished / RECEIPTS / "c"
    receipts = [path for path in folder.rglob("*") if path.is_file()]
    assert len(receipts) == len(made.blocks)


def test_write__a_block_touches_its_own_chunks_only(tmp_path: Path) -> None:
    made, path = study(), tmp_path / "one.zarr"
    store = Store(path, made)
    before = files(path)
    store.write(made.blocks[3], computed(made, made.blocks[3]))
    after = files(path)
    assert {name: after[name] for name in before} == before
    fresh = sorted(after.keys() - before.keys())
    assert len(fresh) == len(made.variables) + 1
    assert {name.split("/")[0] for name in fresh} == {*made.variables, "simdyn.store"}


def test_write__empty_chunks_too(tmp_path: Path) -> None:
    made, path = study(), tmp_path / "one.zarr"
    block = made.blocks[0]
    arrays = {
        name: np.full(values.shape, np.nan if values.dtype == np.float64 else 0, values.dtype)
        for name, values in computed(made, block).items()
    }
    store = Store(path, made)
    store.write(block, arrays)
    assert store.is_done(block)
    for name in made.variables:
        assert sum(item.is_file() for item in (path / name / "c").rglob("*")) == 1


def test_receipt__depends_on_fingerprint_block_and_every_value(tmp_path: Path) -> None:
    made = study()
    store = Store(tmp_path / "one.zarr", made)
    other = Store(tmp_path / "two.zarr", study(seed=6))
    block = made.blocks[0]
    arrays = computed(made, block)
    known = {
        store.receipt(block, arrays),
        other.receipt(block, arrays),
        store.receipt(Block(1, block.region), arrays),
    }
    for name in made.variables:
        touched = {key: values.copy() for key, values in arrays.items()}
        flat = touched[name].reshape(-1)
        flat[-1] = np.nextafter(flat[-1], 1) if flat.dtype == np.float64 else flat[-1] + 1
        known.add(store.receipt(block, touched))
    assert len(known) == 3 + len(made.variables)
    assert all(len(receipt) == 32 for receipt in known)


def test_store__equal_physics_gives_equal_value_files(finished: Path, tmp_path: Path) -> None:
    study().run(tmp_path / "two.zarr", threads=1)
    assert unlogged(tmp_path / "two.zarr") == unlogged(finished)


def test_open_log__who_computed_is_beside_the_values(copied: Path) -> None:
    def entries() -> list[dict[str, Any]]:
        files = sorted((copied / "simdyn.store" / "log").glob("*/zarr.json"))
        metas = [json.loads(path.read_text(encoding="utf-8")) for path in files]
        return [meta["attributes"] for meta in metas]

    assert len(entries()) == 1
    study().run(copied)
    assert len(entries()) == 1  # nothing was computed
    shutil.rmtree(copied / "simdyn.store" / "receipts" / "sha256" / "c")
    study().run(copied, threads=1)
    assert len(entries()) == 2
    assert {"started", "threads", "simdyn", "python", "numpy", "numba", "zarr", "cpu"} <= set(
        entries()[0]
    )
    assert entries()[1]["threads"] == 1


# -- damage --------------------------------------------------------------------------------------


def chunk(path: Path, variable: str, number: int) -> Path:
    """The file of one chunk, of those in order."""
    return sorted(item for item in (path / variable / "c").rglob("*") if item.is_file())[number]


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "first byte": lambda path: flip(path, 0),
    "a byte in the middle": lambda path: flip(path, path.stat().st_size // 2),
    "last byte": lambda path: flip(path, -1),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "nearly nothing left": lambda path: path.write_bytes(path.read_bytes()[:2]),
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "deleted": lambda path: path.unlink(),
}


def small() -> Study:
    return study(
        space={"signal_norm": [0.5, 1.0]},
        data={**DATA, "dimension": 20},
        replicates=2,
        record=Record(variables=("train_loss", "noise_coef")),
    )


@pytest.fixture(scope="module")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.zarr"
    small().run(path)
    return path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("variable", ["train_loss", "status", "noise_coef", RECEIPTS])
def test_is_done__damage_is_seen_and_computed_again(
    small_store: Path, tmp_path: Path, variable: str, damage: str
) -> None:
    path = Path(shutil.copytree(small_store, tmp_path / "small.zarr"))
    damaged = chunk(path, variable, 2)
    DAMAGES[damage](damaged)
    made = small()
    assert len(made.blocks) == 4
    store = Store(path, made)
    assert [store.is_done(block) for block in made.blocks].count(False) == 1
    run_study(made, path, threads=1)
    assert all(store.is_done(block) for block in made.blocks)
    same_values(values_of(path), values_of(small_store))
    assert damaged.read_bytes() == chunk(small_store, variable, 2).read_bytes()


def test_is_done__receipt_of_another_block(copied: Path) -> None:
    one, two = chunk(copied, RECEIPTS, 0), chunk(copied, RECEIPTS, 1)
    one.write_bytes(two.read_bytes())
    store = Store(copied, study())
    assert [block.number for block in study().blocks if not store.is_done(block)] == [0]
    assert store.receipts()[0]


def test_is_done__values_of_another_block(copied: Path) -> None:
    one, two = chunk(copied, "train_loss", 0), chunk(copied, "train_loss", 1)
    assert one.read_bytes() != two.read_bytes()
    one.write_bytes(two.read_bytes())
    store = Store(copied, study())
    assert sum(not store.is_done(block) for block in study().blocks) == 1


def test_is_done__values_without_receipt_and_receipt_without_values(tmp_path: Path) -> None:
    made = study()
    store = Store(tmp_path / "one.zarr", made)
    block = made.blocks[1]
    assert not store.is_done(block)
    assert not store.receipts()[block.number]
    arrays = computed(made, block)
    store.write(block, arrays)
    shutil.rmtree(tmp_path / "one.zarr" / "simdyn.store" / "receipts" / "sha256" / "c")
    assert not store.is_done(block)
    assert not store.receipts()[block.number]
    store.write(block, arrays)
    shutil.rmtree(tmp_path / "one.zarr" / "margin" / "c")
    assert not store.is_done(block)
    assert store.receipts()[block.number]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: shutil.rmtree(path / "train_loss"),
        lambda path: shutil.rmtree(path / "simdyn.store" / "receipts"),
        lambda path: shutil.rmtree(path / "simdyn.store" / "receipts" / "sha256"),
        lambda path: (path / "train_loss" / "zarr.json").write_text("{"),
        lambda path: (path / "train_loss" / "zarr.json").write_text("{}"),
        lambda path: (path / "zarr.json").write_text("{"),
        lambda path: (path / "zarr.json").write_text("{}"),
        lambda path: (path / "zarr.json").write_text("5"),
        lambda path: (path / "zarr.json").write_bytes(b"\xff\x00"),
        lambda path: (path / "zarr.json").unlink(),
    ],
    ids=range(10),
)
def test_store__damaged_structure_is_bad_input(copied: Path, damage: Callable[[Path], Any]) -> None:
    damage(copied)
    before = files(copied)
    message = refusal(lambda: Store(copied, study()))
    assert str(copied) in message
    assert "`simdyn run STUDY` repairs it" in message
    assert files(copied) == before


# -- another study, another thing, another place -------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 6}, "seed is 5 there, 6 here"),
        ({"replicates": 2}, "replicates is 3 there, 2 here"),
        ({"data": {**DATA, "noise_std": 2}}, "data.noise_std is 1.0 there, 2.0 here"),
        ({"record": Record()}, "record."),
        ({"methods": {"sgd": METHODS["sgd"]}}, "methods.sam"),
        ({"space": {**SPACE, "dimension": [20]}}, "space.dimension is [20,30,40] there, [20] here"),
    ],
)
def test_store__of_another_study_is_refused(
    finished: Path, changes: dict[str, Any], words: str
) -> None:
    before = files(finished)
    message = refusal(lambda: study(**changes).run(finished))
    assert message.startswith(f"{finished}: belongs to another study: ")
    assert words in message
    assert files(finished) == before


@pytest.mark.parametrize(
    "changes",
    [{"methods": dict(reversed(METHODS.items()))}, {"space": dict(reversed(SPACE.items()))}],
    ids=["methods", "space"],
)
def test_store__other_order_of_methods_or_axes_does_not_mix_values(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    # A store half filled by one study, then offered to the same study in another order: refused,
    # or right values for every label; never values of one method under the name of another.
    first, other = study(), study(**changes)
    store = Store(tmp_path / "one.zarr", first)
    for block in first.blocks[:3]:
        store.write(block, computed(first, block))
    try:
        mixed = other.run(tmp_path / "one.zarr")
    except InputError:
        return
    right = other.run()
    for name in right.data_vars:
        there = mixed[name].sel({"method": right["method"]}).transpose(*right[name].dims)
        np.testing.assert_array_equal(there.values, right[name].values, err_msg=str(name))


def test_store__not_a_store(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder.zarr", tmp_path / "file.zarr"
    folder.mkdir()
    file.write_text("text")
    (tmp_path / "full.zarr").mkdir()
    (tmp_path / "full.zarr" / "thesis.tex").write_text("text")
    before = files(tmp_path)
    for path in (folder, file, tmp_path / "full.zarr"):
        for call in (
            lambda p=path: Store(p, study()),
            lambda p=path: open_results(p),
            lambda p=path: open_group(p),
        ):
            message = refusal(call)
            assert message.startswith(f"{path}: ")
            assert "not a store of simdyn" in message
    assert files(tmp_path) == before
    assert list(folder.iterdir()) == []


def test_store__zarr_group_of_someone_else(tmp_path: Path) -> None:
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "theirs.zarr", consolidated=False)
    before = files(tmp_path)
    for call in (
        lambda: Store(tmp_path / "theirs.zarr", study()),
        lambda: open_results(tmp_path / "theirs.zarr"),
    ):
        assert "not a store of simdyn" in refusal(call)
    assert files(tmp_path) == before


def test_store__place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    long = "n" * 300
    for path in (
        tmp_path / "file" / "one.zarr",
        tmp_path / "file" / "deep" / "one.zarr",
        Path("/proc/none/one.zarr"),
        tmp_path / f"{long}.zarr",
        tmp_path / long / "one.zarr",
    ):
        message = refusal(lambda path=path: Store(path, study()))
        assert message.startswith(f"{path}: cannot be written: ")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file"]


def test_store__failure_while_allocating_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("simdyn.store.creation._create", full)
    message = refusal(lambda: Store(tmp_path / "one.zarr", study()))
    assert message.endswith("cannot be written: No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_store__failure_while_renaming_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("simdyn.store.creation.os.rename", refuse)
    assert "Operation not permitted" in refusal(lambda: Store(tmp_path / "one.zarr", study()))
    assert list(tmp_path.iterdir()) == []


def test_store__half_made_draft_of_a_killed_process_does_no_harm(tmp_path: Path) -> None:
    draft = tmp_path / ".one.zarr.12345.partial"
    (draft / "train_loss").mkdir(parents=True)
    (draft / "zarr.json").write_text("{")
    made = study()
    run_study(made, tmp_path / "one.zarr")
    store = Store(tmp_path / "one.zarr", made)
    assert all(store.is_done(block) for block in made.blocks)


def test_write__disk_full_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = study()
    store = Store(tmp_path / "one.zarr", made)

    class Full:
        def __setitem__(self, *_: Any) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setitem(store._arrays, "train_loss", Full())
    block = made.blocks[0]
    message = refusal(lambda: store.write(block, computed(made, block)))
    assert message == f"{store.path}: cannot be written: No space left on device"
    assert not store.receipts()[block.number]


# -- opening results -----------------------------------------------------------------------------


def test_open_results__equals_results_in_memory(finished: Path, in_memory: xr.Dataset) -> None:
    results = open_results(finished)
    assert list(results.data_vars) == list(in_memory.data_vars)
    assert set(results.coords) == set(in_memory.coords)
    for name in in_memory.variables:
        one, other = results[name], in_memory[name]
        assert one.dims == other.dims, name
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one.values, other.values, err_msg=str(name))
        assert one.attrs == other.attrs, name
    assert results.attrs == in_memory.attrs


def test_open_results__order_of_dims(finished: Path) -> None:
    results = open_results(finished)
    grid = ("dimension", "signal_norm", "method", "replicate")
    assert results["noise_coef"].dims == (*grid, "step", "sign", "filter", "sample")
    assert results["test_error"].dims == (*grid, "step")
    assert results["status"].dims == grid


def test_open_results__is_lazy(finished: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(finished, tmp_path / "lazy.zarr"))
    shutil.rmtree(path / "noise_coef" / "c")
    for item in (path / "train_loss" / "c").rglob("*"):
        if item.is_file():
            item.write_bytes(b"not a chunk")
    results = open_results(path)  # reads no value
    assert np.isfinite(results["test_error"].values).all()
    assert results["train_loss"].shape == (3, 2, 2, 3, 4)
    with pytest.raises(Exception, match=r"."):
        results["train_loss"].values  # noqa: B018


def test_open_results__no_warnings_and_strings_are_text(finished: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = open_results(finished)
        results.load()
    assert results["method"].dtype.kind == "U"
    assert results["method"].values.tolist() == ["sgd", "sam"]
    assert results["noise"].item() == "isotropic"
    assert results["activation"].item() == "relu"


def test_open_results__selects_by_label(finished: Path, in_memory: xr.Dataset) -> None:
    at = {"method": "sam", "dimension": 30, "signal_norm": 1.0, "replicate": 2}
    one = open_results(finished).sel(at)
    np.testing.assert_array_equal(one["margin"].values, in_memory["margin"].values[1, 1, 1, 2])
    assert one["updates"].values.tolist() == [0, 1, 2, 3]


def test_open_results__every_variable_says_what_it_is(finished: Path) -> None:
    results = open_results(finished)
    for name, array in results.data_vars.items():
        assert set(array.attrs) == {"long_name", "symbol", "equation", "description"}
        assert array.attrs == VARIABLES[str(name)].attrs
        assert array.attrs["long_name"]
        assert array.attrs["description"]
    for name, coord in results.coords.items():
        assert coord.attrs["long_name"], name


def test_open_results__carries_the_call(finished: Path) -> None:
    attrs = open_results(finished).attrs
    assert attrs["title"] == "study"
    assert attrs["seed"] == 5
    assert attrs["fingerprint"] == study().fingerprint
    tables = json.loads(attrs["study"])
    record = {key: value for key, value in tables["record"].items() if value is not None}
    again = Study(
        tables["data"],
        tables["network"],
        tables["methods"],
        tables["space"],
        replicates=tables["replicates"],
        seed=attrs["seed"],
        record=Record(**record),
    )
    assert again.fingerprint == attrs["fingerprint"]


def test_open_results__unfinished_store_shows_what_is_missing(tmp_path: Path) -> None:
    made, path = study(), tmp_path / "one.zarr"
    store = Store(path, made)
    assert (open_results(path)["status"].values == 0).all()
    assert np.isnan(open_results(path)["train_loss"].values).all()
    for block in made.blocks[::2]:
        store.write(block, computed(made, block))
    results = open_results(path)
    present = results["status"].values != 0
    assert 0 < present.sum() < present.size
    assert (np.isfinite(results["train_loss"].values) == present[..., None]).all()


def test_open_results__no_such_store(tmp_path: Path) -> None:
    message = refusal(lambda: open_results(tmp_path / "none.zarr"))
    assert message == f"{tmp_path / 'none.zarr'}: no such results; `simdyn run STUDY` makes them"


@pytest.mark.parametrize(("before", "after"), [(32, 1), (1, 32)])
def test_store__stands_when_block_sizes_of_the_package_change(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    path = tmp_path / "small.zarr"
    monkeypatch.setattr("simdyn.study.blocks.MIN_BLOCKS", before)
    first = small()
    store = Store(path, first)
    for block in first.blocks[:-1]:
        store.write(block, computed(first, block))
    monkeypatch.setattr("simdyn.study.blocks.MIN_BLOCKS", after)
    other = small()
    assert len(other.blocks) != len(first.blocks)
    run_study(other, path)
    same_values(values_of(path), values_of(small_store))
    run_study(other, path, progress=(heard := Heard()))
    assert sum(heard.steps) == 0
