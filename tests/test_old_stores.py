"""Stores of earlier versions are read, and names that a store uses itself may be swept.

`numerics_2.tar.xz` holds a store that simdyn wrote at NUMERICS_VERSION 2, with its own groups
beside the variables, and a generated axis that held 0.30000000000000004.
"""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from commands import call
from common import everything

import simdyn
from simdyn.api.study import load_study
from simdyn.base.inputs import InputError
from simdyn.kernels import NUMERICS_VERSION
from simdyn.store import Store, as_stored, export, open_study
from simdyn.store.audit import audit

FILE = """
seed = 3
replicates = 2
[data]
n_samples = 6
dimension = 50
signal_norm = 2.0
[network]
n_filters = 2
init_std = 0.01
[methods]
sgd = [{ optimiser = "SGD", learning_rate = 0.1, epochs = 4 }]
sam = [{ optimiser = "SAM", radius = 0.05, learning_rate = 0.1, epochs = 4 }]
[space]
learning_rate = [0.1, 0.2, 0.30000000000000004, 0.4, 0.5]
where = "learning_rate < 0.45"
[record]
every = 2
variables = ["train_loss", "test_error", "test_error_se", "noise_coef"]
"""
TAKEN = ("before", "receipts", "sources", "entries", "texts", "c", "update_")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The store of NUMERICS_VERSION 2, as the results of before.toml."""
    with tarfile.open(Path(__file__).with_name("numerics_2.tar.xz")) as packed:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in 3.11.2
        packed.extractall(tmp_path / "results", **safely)
    (tmp_path / "before.toml").write_text(FILE, encoding="utf-8")
    return tmp_path / "results" / "before.zarr"


# Stores of before


def test_old_store__opens_under_both_names_of_the_updates(old: Path) -> None:
    ds = simdyn.open_results(old)
    assert ds["updates"].values.tolist() == [[0, 2, 4]] * 2
    assert ds["update"].identical(ds["updates"].rename("update"))
    assert ds.sizes["learning_rate"] == 5
    done = ds.status.values == 1
    assert done.sum() == 16
    assert np.isfinite(ds.train_loss.values[done]).all()
    assert (ds.status.sel(learning_rate=0.5) == 5).all()


def test_old_store__is_whole_and_every_flipped_value_is_found(old: Path) -> None:
    study = open_study(old)
    assert study.numerics_version == 2 != NUMERICS_VERSION
    audited = audit(old, study)
    assert (audited.good, audited.findings) == (10, ())
    chunk = next(path for path in (old / "train_loss" / "c").rglob("0") if path.is_file())
    broken = bytearray(chunk.read_bytes())
    broken[-1] ^= 1
    chunk.write_bytes(bytes(broken))
    assert len(audit(old, study).damaged) == 1


@pytest.mark.parametrize("damaged", ["zarr.json", "receipts/zarr.json", "train_loss/zarr.json"])
def test_old_store__damaged_metadata_is_found(old: Path, damaged: str) -> None:
    text = (old / damaged).read_text(encoding="utf-8")
    (old / damaged).write_text(text.replace("zarr_format", "zarr_farmat"), encoding="utf-8")
    (finding,) = audit(old, open_study(old)).findings
    assert (finding.file, finding.trouble) == (damaged, "is damaged")


def test_old_store__commands_read_it_and_run_does_not_mix_it(old: Path) -> None:
    folder = old.parent.parent
    for name in ("status", "verify", "export"):
        for what in ([old], [folder / "before.toml", "--out", folder]):
            assert call(name, *what).code == 0
    before = everything(folder)
    answer = call("run", folder / "before.toml", "--out", folder)
    assert answer.code == 2
    refusal = [line for line in answer.err.splitlines() if "regime" not in line]
    assert len(refusal) == 1
    assert "NUMERICS_VERSION 2" in refusal[0]
    assert everything(folder) == before


def test_old_store__export_has_its_values(old: Path, tmp_path: Path) -> None:
    export(old, tmp_path / "before.nc")
    with xr.open_dataset(tmp_path / "before.nc", engine="h5netcdf") as exported:
        np.testing.assert_array_equal(exported.test_error, simdyn.open_results(old).test_error)


def test_as_stored__takes_only_the_version_of_the_numbers(old: Path) -> None:
    study = load_study(old.parent.parent / "before.toml")
    assert as_stored(old, study).numerics_version == 2
    other = load_study(old.parent.parent / "before.toml")
    other.seed = 4
    assert as_stored(old, other) is other
    with pytest.raises(InputError, match=r"seed is 3 there, 4 here"):
        Store(old, other)


# Names a store uses itself


def swept(name: str, values: list[float]) -> simdyn.Study:
    """A study that sweeps a name which only a formula reads."""
    return simdyn.Study(
        simdyn.SignalNoiseData(n_samples=4, dimension=30, signal_norm=1.0),
        {"n_filters": 2, "init_std": f"0.01*{name}"},
        {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=2)]},
        {name: values},
        name="swept",
    )


@pytest.mark.parametrize("name", TAKEN)
def test_store__any_name_may_be_swept(name: str, tmp_path: Path) -> None:
    study, path = swept(name, [1.0, 2.0]), tmp_path / "swept.zarr"
    expected = study.run()
    study.run(path)
    assert audit(path, study).findings == ()
    ds = study.run(path)  # a second run repairs nothing and moves nothing away
    assert [item.name for item in tmp_path.iterdir()] == ["swept.zarr"]
    xr.testing.assert_identical(ds.load().drop_attrs(), expected.drop_attrs())
    grown = swept(name, [1.0, 1.5, 2.0])
    ds = grown.run(path)
    assert audit(path, grown).findings == ()
    xr.testing.assert_identical(ds.load().drop_attrs(), grown.run().drop_attrs())


def test_store__a_name_with_a_meaning_in_formulas_is_refused() -> None:
    with pytest.raises(InputError, match=r"space\.log"):
        swept("log", [1.0])


def test_store__own_groups_lie_apart(tmp_path: Path) -> None:
    swept("scale", [1.0]).run(tmp_path / "swept.zarr")
    root = zarr.open_group(tmp_path / "swept.zarr", mode="r")
    assert dict(root.groups()).keys() == {"simdyn.store"}
    assert dict(root["simdyn.store"].groups()).keys() == {"receipts", "log"}


def test_store__documentation_in_other_words_is_no_damage(tmp_path: Path) -> None:
    """A later version may describe a variable better; what this version wrote is held strictly."""
    study, path = swept("scale", [1.0]), tmp_path / "swept.zarr"
    study.run(path)
    meta = path / "train_loss" / "zarr.json"
    text = meta.read_text(encoding="utf-8")
    meta.write_text(text.replace("training loss", "loss in training"), encoding="utf-8")
    (finding,) = audit(path, study).findings
    assert finding.file == "train_loss/zarr.json"
    for place in (path / "zarr.json", path / "simdyn.store" / "receipts" / "zarr.json"):
        text = place.read_text(encoding="utf-8")
        start = text.index('"texts": "') + len('"texts": "')
        place.write_text(f"{text[:start]}{'0' * 16}{text[start + 16 :]}", encoding="utf-8")
    assert audit(path, study).findings == ()
    shutil.rmtree(path / "train_loss")
    assert audit(path, study).findings != ()
