"""Results on disk: the only room that touches Zarr.

A store is a Zarr v3 group: one array for each variable, chunked so that a block of the study is one
chunk of each; the coordinates; and two groups beside them, `receipts` and `log`. A block writes
its chunks (each checksummed, each to a temporary file that is then renamed) and last its receipt:
a SHA-256 over fingerprint, block number and decoded arrays. A block without a good receipt is not
done.
"""

import contextlib
import datetime
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from simdyn import version
from simdyn.blocks import Block, cut
from simdyn.inputs import InputError
from simdyn.params import MODELS, TwoLayerCNN
from simdyn.schema import INNER, OUTER, VARIABLES, as_json
from simdyn.study import Study

if TYPE_CHECKING:
    import xarray as xr

KIND = "simdyn results"


@contextlib.contextmanager
def _plainly(path: Path, action: str) -> Iterator[None]:
    """Turn a file system error into one line."""
    try:
        yield
    except OSError as problem:
        raise InputError(f"{path}: cannot be {action}: {problem.strerror or problem}") from None


@contextlib.contextmanager
def _intact(path: Path) -> Iterator[None]:
    """Turn whatever a store with missing or broken parts raises into one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as problem:
        name = type(problem).__name__
        raise InputError(
            f"{path}: damaged beyond its chunks ({name}: {problem}); move it away and run again"
        ) from None


class Store:
    """The results of one study in a folder.

    Parameters
    ----------
    path : path
        Made where it does not exist; must hold the same study otherwise.
    study : Study

    Raises
    ------
    InputError
        Where the folder cannot be written, is not a store, or belongs to another study.
    """

    def __init__(self, path: str | Path, study: Study) -> None:
        self.path, self.study = Path(path), study
        with _plainly(self.path, "written"):
            if not self.path.exists():
                self._allocate()
        # The setting is read as arrays are opened, and not kept with them.
        with zarr.config.set({"array.write_empty_chunks": True}), _intact(self.path):
            self.group = open_group(self.path, "r+")
            stored = {name: self.group.attrs.get(name) for name in ("study", "fingerprint")}
            if stored["fingerprint"] == study.fingerprint:
                self._arrays: dict[str, Any] = {n: self.group[n] for n in study.variables}
                self._receipts: Any = self.group["receipts/sha256"]
                self._seconds: Any = self.group["receipts/seconds"]
                # The blocks are the store's: a later version may cut the same study otherwise.
                *grid, _, replicates = self._arrays["status"].chunks
                self.blocks = tuple(cut(study.lengths, (*grid, replicates)))
                return
        theirs, ours = str(stored["study"] or "{}"), study.layout.attrs["study"]
        raise InputError(
            f"{self.path}: belongs to another study: {'; '.join(study_differences(theirs, ours))}. "
            "Move it away, or give another --out"
        )

    def _allocate(self) -> None:
        """Lay the whole store out beside its place, then move it there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            layout, study = self.study.layout, self.study
            coords = layout.dataset({})
            coords = _with_plain_texts(coords)
            coords.attrs["kind"] = KIND
            coords.to_zarr(draft, zarr_format=3, consolidated=False)
            group = zarr.open_group(draft, mode="r+")
            *grid, replicates = study.block_shape
            for name in study.variables:
                inner = layout.shape(name)[len(layout.outer) :]
                self._create(group, name, layout.shape(name), (*grid, len(study.space.methods),
                             replicates, *inner), VARIABLES[name].dtype, layout.dims(name),
                             VARIABLES[name].attrs)  # fmt: skip
            blocks = len(study.blocks)
            receipts = group.create_group("receipts")
            self._create(receipts, "sha256", (blocks, 32), (1, 32), "uint8", ("block", "byte"), {})
            self._create(receipts, "seconds", (blocks,), (1,), "float64", ("block",), {})
            group.create_group("log")
            os.rename(draft, self.path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @staticmethod
    def _create(
        group: zarr.Group, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str,
        dims: tuple[str, ...], attrs: Mapping[str, Any],
    ) -> None:  # fmt: skip
        fill = np.nan if dtype == "float64" else 0
        group.create_array(
            name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, dimension_names=dims,
            compressors=[ZstdCodec(level=3), Crc32cCodec()], attributes=dict(attrs),
            config={"write_empty_chunks": True},
        )  # fmt: skip

    def _place(self, block: Block, name: str) -> tuple[slice, ...]:
        """Where a block's values of a variable lie."""
        *grid, replicates = block.region
        inner = len(self.study.layout.dims(name)) - len(grid) - 2
        return (*grid, slice(None), replicates, *(slice(None),) * inner)

    def receipt(self, block: Block, arrays: Mapping[str, np.ndarray]) -> bytes:
        """SHA-256 over fingerprint, block number and values."""
        digest = hashlib.sha256(f"{self.study.fingerprint}/{block.number}".encode())
        for name in self.study.variables:
            values = np.ascontiguousarray(arrays[name], dtype=VARIABLES[name].dtype)
            little = values.astype(values.dtype.newbyteorder("<"), copy=False)
            digest.update(f"/{name}/{values.shape}/".encode() + little.tobytes())
        return digest.digest()

    def write(self, block: Block, arrays: Mapping[str, np.ndarray], seconds: float) -> None:
        """Keep a block: its values, then its receipt."""
        with _plainly(self.path, "written"):
            for name in self.study.variables:
                self._arrays[name][self._place(block, name)] = arrays[name]
            self._seconds[block.number] = seconds
            self._receipts[block.number] = np.frombuffer(self.receipt(block, arrays), np.uint8)

    def read(self, block: Block) -> dict[str, np.ndarray]:
        """The values of a block as they are on disk."""
        return {n: np.asarray(self._arrays[n][self._place(block, n)]) for n in self.study.variables}

    def is_done(self, block: Block) -> bool:
        """Does the block's receipt fit its values? Damaged chunks count as not done."""
        try:
            kept = np.asarray(self._receipts[block.number]).tobytes()
            return any(kept) and kept == self.receipt(block, self.read(block))
        except Exception:  # what a damaged chunk raises depends on where it is damaged
            return False

    def has_receipt(self, block: Block) -> bool:
        """Has the block left a receipt, good or not? Quick, for `status`."""
        try:
            return bool(np.asarray(self._receipts[block.number]).any())
        except Exception:
            return False

    def open_log(self, threads: int) -> None:
        """Note who computes from now on: versions, CPU, time. No value depends on it."""
        now = datetime.datetime.now(datetime.UTC)
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}"
        entry = self.group.require_group("log").create_group(name)
        entry.attrs.update({"started": now.isoformat(), "threads": threads, **versions()})


def versions() -> dict[str, str]:
    """Versions and machine, for the log."""
    import llvmlite.binding
    import numba

    return {
        "simdyn": version.VERSION,
        "commit": version.COMMIT,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "zarr": zarr.__version__,
        "cpu": llvmlite.binding.get_host_cpu_name(),
        "platform": platform.platform(),
    }


def open_group(path: str | Path, mode: Any = "r") -> zarr.Group:
    """The Zarr group of a store.

    Raises
    ------
    InputError
        Where there is no store of simdyn.
    """
    path = Path(path)
    with _plainly(path, "read"):
        if not path.exists():
            raise InputError(f"{path}: no such results; `simdyn run STUDY` makes them")
    try:
        group = zarr.open_group(path, mode=mode)
        kind = group.attrs.get("kind")
    except Exception:  # whatever lies there, it is no store
        kind = None
    if kind != KIND:
        raise InputError(f"{path}: exists and is not a store of simdyn; give another --out")
    return group


def _with_plain_texts(ds: "xr.Dataset") -> "xr.Dataset":
    """Texts as objects: Zarr has a specification for those, and none for texts of one length."""
    texts = {name: at.astype(object) for name, at in ds.variables.items() if at.dtype.kind == "U"}
    return ds.assign(texts)


def write_dataset(ds: "xr.Dataset", path: str | Path) -> None:
    """Write a small dataset whole: beside its place first, then moved into it.

    Parameters
    ----------
    ds : xarray.Dataset
    path : path
        What stands there is replaced. Opens with ``xarray.open_zarr``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    try:
        _with_plain_texts(ds).to_zarr(fresh, mode="w", consolidated=False, zarr_format=3)
        if path.exists():
            path.replace(old)
        fresh.replace(path)
    finally:
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)


def open_results(path: str | Path) -> "xr.Dataset":
    """Results of a study as a plain, lazy dataset; values are read when they are used.

    Parameters
    ----------
    path : path
        A store that `simdyn run` or `Study.run` wrote, whole or unfinished; what is missing has
        status 0.

    Raises
    ------
    InputError
        Where there is no store.
    """
    import xarray as xr

    open_group(path)
    with _intact(Path(path)):
        results = xr.open_zarr(path, chunks=None, consolidated=False)
    del results.attrs["kind"]
    # A folder is listed in no order, and texts come back as objects: put both right.
    laws = [name for owner in MODELS.values() for name in owner.model_fields]
    known = [*OUTER, *INNER, "update", *laws, *TwoLayerCNN.model_fields]
    names = [*results["status"].dims, *known, *sorted(map(str, results.coords))]
    coords = {}
    for name in dict.fromkeys(names):
        if name in results.coords:
            at = results.coords[name].variable
            if at.dtype.kind in "OT":
                at = xr.Variable(at.dims, np.array(at.values.tolist()), at.attrs)
            coords[name] = at
    variables = {name: results[name].variable for name in VARIABLES if name in results}
    return xr.Dataset(variables, coords, results.attrs)


ORDERED = ("methods.", "space.")


def study_differences(stored: str, wanted: str, most: int = 3) -> Sequence[str]:
    """What differs between two studies given as the JSON of their physics, one text a field."""

    def leaves(value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, dict):
            inner = {k: v for key in value for k, v in leaves(value[key], f"{path}{key}.").items()}
            return inner | ({f"order of {path[:-1]}": list(value)} if path in ORDERED else {})
        return {path[:-1]: value}

    old, new = leaves(json.loads(stored), ""), leaves(json.loads(wanted), "")
    found = ["the images are others"] if old.pop("contents", 0) != new.pop("contents", 0) else []
    found += [
        f"{name} is {_short(old.get(name))} there, {_short(new.get(name))} here"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return found[:most] + ([f"and {len(found) - most} more"] if len(found) > most else [])


def _short(value: Any, most: int = 60) -> str:
    text = as_json(value)
    return text if len(text) <= most else text[: most - 1] + "…"
