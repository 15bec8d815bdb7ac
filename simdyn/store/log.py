"""The log of a store: what computed its values, when, and which points failed and why.

No value and no decision depends on it. An entry is a Zarr group with attributes only. One of them
is its checksum, so that damage to the log is found like any other.
"""

import datetime
import hashlib
import json
import os
import platform
import socket
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from simdyn.base import version
from simdyn.store.files import META, explain_file_errors, store_names
from simdyn.variables.provenance import as_json

MOST_FAILURES = 1000  # that an entry lists
KNOWN = ("cpu", "simdyn", "numba", "llvmlite", "numpy")  # of `machine`


def machine() -> dict[str, str]:
    """What the last bits of a value may depend on: the type of CPU compiled for, and versions."""
    import llvmlite
    import numba

    from simdyn.kernels.apart import cpu_name

    cpu = numba.config.CPU_NAME or cpu_name()
    features = numba.config.CPU_FEATURES
    return {
        "cpu": f"{cpu} with {features}" if features else str(cpu),
        "simdyn": version.VERSION,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "numpy": np.__version__,
    }


def versions() -> dict[str, str]:
    """Versions and machine."""
    return {
        **machine(),
        "commit": version.COMMIT,
        "python": platform.python_version(),
        "zarr": zarr.__version__,
        "platform": platform.platform(),
        "host": socket.gethostname(),
    }


def checksum(attrs: dict[str, Any]) -> str:
    """SHA-256 of an entry's attributes without their checksum."""
    rest = {key: value for key, value in sorted(attrs.items()) if key != "sha256"}
    return hashlib.sha256(as_json(rest).encode()).hexdigest()


class LogEntry:
    """One process's notes about its work on a store."""

    def __init__(self, path: Path, **about: Any) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.path = path
        self.failures: list[list[str]] = []
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        started = {"entry": name, "started": now.isoformat()}
        self.attrs: dict[str, Any] = {**started, **about, **versions()}
        with explain_file_errors(path, "written"):
            log = zarr.open_group(path, mode="r+", path=store_names(path).log)
            # Complete from the start: other processes may read it at any time.
            self._group = log.create_group(name, attributes=self._signed())

    def _signed(self) -> dict[str, Any]:
        attrs = {**self.attrs, "failures": list(self.failures)}
        return {**attrs, "sha256": checksum(attrs)}

    def _write(self) -> None:
        with explain_file_errors(self.path, "written"):
            self._group.attrs.put(self._signed())

    def failed(self, point: str, cause: str) -> None:
        """Note a point that failed, and why."""
        if len(self.failures) < MOST_FAILURES:
            self.failures.append([point, cause])
            self._write()

    def close(self, blocks: int, core_seconds: float) -> None:
        """Note what was done, at the end."""
        now = datetime.datetime.now(datetime.UTC).isoformat()
        self.attrs |= {"ended": now, "blocks": blocks, "core_seconds": core_seconds}
        self._write()


def entries(path: Path) -> list[dict[str, Any]]:
    """All entries that can be read, oldest first."""
    log = path / store_names(path).log
    folders = sorted(log.iterdir()) if log.is_dir() else []
    return [attrs for attrs in map(entry, folders) if attrs]


def entry(folder: Path) -> dict[str, Any]:
    """An entry of the log; empty if it does not fit its checksum, its name, or Zarr."""
    try:
        metadata = json.loads((folder / META).read_bytes())
        attrs = dict(metadata.pop("attributes"))
        metadata.pop("consolidated_metadata", None)
        plain = metadata == {"zarr_format": 3, "node_type": "group"}
        intact = plain and attrs.get("sha256") == checksum(attrs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return attrs if intact and attrs.get("entry", folder.name) == folder.name else {}


def failures(path: Path) -> dict[str, str]:
    """The latest cause of failure that was noted for each point."""
    return {point: cause for attrs in entries(path) for point, cause in attrs["failures"]}


def computed_by(path: Path) -> list[dict[str, str]]:
    """Each combination of CPU type and versions that computed values of a store; see `machine`.

    A version that an older entry does not have is "".
    """
    found: list[dict[str, str]] = []
    for attrs in entries(path):
        if "scheduler" in attrs:  # a client of Dask: its workers have entries of their own
            continue
        by = {key: str(attrs.get(key, "")) for key in KNOWN}
        if by not in found:
            found.append(by)
    return found


def work_done(path: Path) -> list[dict[str, Any]]:
    """Who computed how much of a store, when and with what: entries of equal machines together.

    Returns
    -------
    list of dict
        In the order of their first entries: host, cpu, platform, versions, `started` and `ended`
        (the first and the last time, in UTC), blocks and core_seconds. What an older entry does not
        have is "". Entries that were not closed, of processes that were killed, count no blocks.
    """
    names = (*KNOWN, "commit", "python", "zarr", "platform", "host")
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for attrs in entries(path):
        if "scheduler" in attrs:  # a client of Dask: its workers have entries of their own
            continue
        by = {name: str(attrs.get(name, "")) for name in names}
        start = str(attrs.get("started", ""))
        fresh = {**by, "started": start, "ended": "", "blocks": 0, "core_seconds": 0.0}
        one = found.setdefault(tuple(by.values()), fresh)
        one["ended"] = max(one["ended"], str(attrs.get("ended", start)))
        one["blocks"] += int(attrs.get("blocks", 0))
        one["core_seconds"] += float(attrs.get("core_seconds", 0.0))
    return list(found.values())
