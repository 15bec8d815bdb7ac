"""Results as NetCDF, and stores that may only be read."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from common import items, refusal
from growing import equal, study

from simdyn import open_results
from simdyn.base.inputs import InputError
from simdyn.run import run_study
from simdyn.store import export, write_dataset
from simdyn.store.audit import audit


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "study.zarr"
    run_study(study(), path, threads=1)
    return path


def test_export__plain_xarray_opens_the_same(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "study.nc"
    export(store, target)
    with xr.open_dataset(target, engine="h5netcdf") as there:
        equal(_texts(there.load()), open_results(store))
    assert [item.name for item in target.parent.iterdir()] == ["study.nc"]


def _texts(ds: xr.Dataset) -> xr.Dataset:
    """Texts come out of a file as objects."""
    return ds.assign_coords(
        {
            name: (at.dims, at.values.astype(str), at.attrs)
            for name, at in ds.coords.items()
            if at.dtype.kind in "OT"
        }
    )


def test_export__replaces_only_by_a_whole_file(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "study.nc"
    target.write_text("of before")

    def full(self: Any, path: Path, **_: Any) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_netcdf", full)
        with pytest.raises(InputError, match=r"study\.nc: cannot be written: No space left"):
            export(store, target)
    assert target.read_text() == "of before"
    assert list(tmp_path.iterdir()) == [target]
    export(store, target)
    assert target.read_bytes()[:4] == b"\x89HDF"
    assert list(tmp_path.iterdir()) == [target]


def test_write_dataset__replaces_datasets_only(store: Path, tmp_path: Path) -> None:
    ds = xr.Dataset({"x": ("k", [1.0, 2.0])})
    (tmp_path / "notes").mkdir()
    for path in (store, tmp_path / "notes"):
        with pytest.raises(InputError, match="exists already; allowed is a new folder"):
            write_dataset(ds, path)
    for k in range(2):
        write_dataset(ds + k, tmp_path / "own.zarr")
    assert xr.open_zarr(tmp_path / "own.zarr", consolidated=False)["x"].values.tolist() == [2, 3]
    assert audit(store, study()).findings == ()


@pytest.mark.parametrize("module", ["h5netcdf", "h5py"])
def test_export__without_a_module(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert refusal(export, store, tmp_path / "study.nc") == (
        "export needs h5netcdf and h5py: pip install 'simdyn[netcdf]' brings both"
    )


@pytest.mark.parametrize(
    "piece",
    items("""
        margin  dimension  status  margin/c/0/0/0/0/0/0  noise/c/0  zarr.json
        simdyn.store/receipts/zarr.json
    """),
)
@pytest.mark.parametrize("gone", [False, True])
def test_export__of_a_damaged_store_is_one_line(
    store: Path, tmp_path: Path, piece: str, gone: bool
) -> None:
    path = Path(shutil.copytree(store, tmp_path / "study.zarr"))
    place = path / piece
    if gone:
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    else:
        for file in [place] if place.is_file() else place.rglob("*"):
            if file.is_file():
                file.write_bytes(b"damaged")
    if piece == "simdyn.store/receipts/zarr.json":  # what it says stands at the root, too
        export(path, tmp_path / "study.nc")
        return
    with pytest.raises(InputError) as problem:
        export(path, tmp_path / "study.nc")
    of_a_block = f"{path}: block 0 is damaged: "
    assert str(problem.value).startswith(of_a_block if "/c/0/0" in piece else f"{path}: damaged (")
    assert len(str(problem.value).splitlines()) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["study.zarr"]


@pytest.fixture
def read_only(store: Path) -> Iterator[Path]:
    """A store that this process may read and not write, also where it is root's."""
    folder = Path(tempfile.mkdtemp())
    path = Path(shutil.copytree(store, folder / "study.zarr"))
    for place in (folder, path, *path.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield path
    finally:
        if root:
            os.seteuid(0)
        for place in (folder, path, *path.rglob("*")):
            place.chmod(0o755)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def values(store: Path) -> xr.Dataset:
    return open_results(store).load()


def test_read_only__audit_open_and_export(read_only: Path, values: xr.Dataset) -> None:
    with pytest.raises(PermissionError):
        (read_only / "new").write_text("text")
    made = study()
    assert audit(read_only, made).good == len(made.blocks)
    equal(open_results(read_only), values)
    with tempfile.TemporaryDirectory() as folder:
        export(read_only, Path(folder) / "study.nc")
    with pytest.raises(InputError, match="cannot be written"):
        export(read_only, read_only / "study.nc")
