"""Images kept in the store of their study: whoever has the store needs no other file."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from common import Heard, same

from simdyn import open_results
from simdyn.api.replay import replay
from simdyn.api.study import Study
from simdyn.base.inputs import InputError
from simdyn.params import SGD, ImageData, TwoLayerCNN
from simdyn.run import run_study
from simdyn.run.dask import do_block
from simdyn.store import Store, open_study
from simdyn.store.audit import audit

NET = TwoLayerCNN(n_filters=2, init_std=0.05)
DATA: dict[str, Any] = {
    "model": "images",
    "n_samples": 6,
    "patch_size": 2,
    "positive": 0,
    "negative": 2,
    "source": "one.npz",
}


def study(**axes: list[Any]) -> Study:
    data = {key: value for key, value in DATA.items() if key not in axes}
    methods = {"sgd": [SGD(learning_rate=0.1, epochs=3)]}
    return Study(data, NET, methods, {"noise_std": [0.0, 0.5], **axes}, replicates=2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two archives of thirty images in three classes."""
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    for name in ("one.npz", "two.npz"):
        np.savez(name, images=rng.random((30, 4, 6, 2)), labels=np.arange(30) % 3)
    return tmp_path


def gone(folder: Path) -> None:
    for file in folder.glob("*.npz"):
        file.rename(file.with_suffix(".away"))


def back(folder: Path) -> None:
    for file in folder.glob("*.away"):
        file.rename(file.with_suffix(".npz"))


@pytest.mark.parametrize("axes", [{}, {"source": ["one.npz", "two.npz"]}, {"negative": [1, 2]}])
def test_open_study__needs_no_archive(folder: Path, axes: dict[str, list[Any]]) -> None:
    made = study(**axes)
    expected = made.run()
    path = folder / "kept.zarr"
    run_study(made, path, shard=(1, 2))
    gone(folder)
    again = open_study(path)
    assert again.fingerprint == made.fingerprint
    for number in range(len(again.blocks)):  # a worker of Dask has nothing but the store
        do_block(str(path), made.fingerprint, False, number, ())
    same(open_results(path), expected)
    assert audit(path, again).findings == ()
    at = {"noise_std": 0.5, **{name: values[1] for name, values in axes.items()}}
    assert replay(path, at).attrs["replayed"] > 0


def test_store__keeps_the_classes_that_are_used(folder: Path) -> None:
    Store(folder / "two.zarr", study())
    Store(folder / "all.zarr", study(negative=[1, 2]))
    for name, classes in (("two.zarr", {0, 2}), ("all.zarr", {0, 1, 2})):
        kept = zarr.open_group(folder / name / "simdyn.store" / "sources" / "0", mode="r")
        assert set(np.asarray(kept["labels"]).tolist()) == classes
        assert kept["images"].shape == (10 * len(classes), 4, 6, 2)


@pytest.mark.parametrize(
    "piece", ["images/c/0/0/0/0", "labels/c/0", "images/zarr.json", "zarr.json"]
)
@pytest.mark.parametrize("cut", [None, 10])
def test_run__repairs_images_from_their_archive(folder: Path, piece: str, cut: int | None) -> None:
    path, made = folder / "kept.zarr", study()
    run_study(made, path)
    file = path / "simdyn.store" / "sources" / "0" / piece
    whole = file.read_bytes()
    file.unlink() if cut is None else file.write_bytes(whole[:cut] + whole[cut + 1 :])
    (finding,) = audit(path, made).findings
    assert finding.file == f"simdyn.store/sources/0/{piece}"
    assert open_study(path).fingerprint == made.fingerprint  # from the archive
    gone(folder)
    with pytest.raises(InputError) as problem:
        open_study(path)
    assert "source = 'one.npz': No such file" in str(problem.value)
    assert ("the copy in the store is damaged" in str(problem.value)) == (piece != "zarr.json")
    assert len(str(problem.value).splitlines()) == 1
    back(folder)
    run_study(study(), path)
    assert file.read_bytes() == whole
    assert audit(path, made).findings == ()


def test_run__other_images_under_the_same_name_are_refused(folder: Path) -> None:
    path = folder / "kept.zarr"
    run_study(study(), path)
    shutil.copy("two.npz", "one.npz")
    with pytest.raises(InputError, match="the images differ"):
        run_study(study(), path)
    assert open_study(path).fingerprint != study().fingerprint  # it has its own
    assert replay(path, {"noise_std": 0.5}).attrs["replayed"] > 0


def test_run__a_longer_axis_of_sources_keeps_what_is_done(folder: Path) -> None:
    path, larger = folder / "kept.zarr", study(source=["two.npz", "one.npz"])
    run_study(study(source=["one.npz"]), path)
    heard = Heard()
    results = run_study(larger, path, progress=heard)
    same(results, study(source=["two.npz", "one.npz"]).run())
    assert "the study has grown; what was done is kept" in heard.notes
    assert audit(path, larger).findings == ()


def test_run__a_store_of_before_gets_its_images(folder: Path) -> None:
    path, made = folder / "kept.zarr", study()
    run_study(made, path)
    shutil.rmtree(path / "simdyn.store" / "sources")
    assert open_study(path).fingerprint == made.fingerprint
    run_study(study(), path)
    gone(folder)
    assert audit(path, open_study(path)).findings == ()


def test_with_readers__is_the_same_law() -> None:
    law = ImageData.with_readers({})
    assert (law.__name__, law.model, issubclass(law, ImageData)) == ("ImageData", "images", True)
    assert ImageData.readers == {}
