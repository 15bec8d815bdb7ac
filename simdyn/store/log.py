"""The log of a store: who computed, on what, when, and which points failed why.

No value depends on it, and no decision. An entry is a Zarr group with attributes only, its own
checksum among them, so that damage to the log is seen like any other.
"""

import datetime
import hashlib
import os
import platform
import socket
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from simdyn import version
from simdyn.schema import as_json
from simdyn.store.files import LOG, attributes, plainly

MOST_FAILURES = 1000  # of which an entry tells place and cause


def versions() -> dict[str, str]:
    """Versions and machine."""
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
        "host": socket.gethostname(),
    }


def checksum(attrs: dict[str, Any]) -> str:
    """SHA-256 of an entry's attributes without their checksum."""
    rest = {key: value for key, value in sorted(attrs.items()) if key != "sha256"}
    return hashlib.sha256(as_json(rest).encode()).hexdigest()


class LogEntry:
    """What one process notes of its work on a store."""

    def __init__(self, path: Path, **about: Any) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.path = path
        self.failures: list[list[str]] = []
        self.attrs: dict[str, Any] = {"started": now.isoformat(), **about, **versions()}
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        with plainly(path, "written"):
            self._group = zarr.open_group(path, mode="r+", path=LOG).create_group(name)
            self._write()

    def _write(self) -> None:
        attrs = {**self.attrs, "failures": list(self.failures)}
        with plainly(self.path, "written"):
            self._group.attrs.put({**attrs, "sha256": checksum(attrs)})

    def failed(self, place: str, cause: str) -> None:
        """Note a point that failed, and why."""
        if len(self.failures) < MOST_FAILURES:
            self.failures.append([place, cause])
            self._write()

    def close(self, blocks: int, core_seconds: float) -> None:
        """Note what was done."""
        now = datetime.datetime.now(datetime.UTC).isoformat()
        self.attrs |= {"ended": now, "blocks": blocks, "core_seconds": core_seconds}
        self._write()


def entries(path: Path) -> list[dict[str, Any]]:
    """All entries that can be read, the oldest first."""
    folders = sorted((path / LOG).iterdir()) if (path / LOG).is_dir() else []
    return [attrs for attrs in map(attributes, folders) if sound(attrs)]


def sound(attrs: dict[str, Any]) -> bool:
    """Does an entry fit its checksum?"""
    return bool(attrs) and attrs.get("sha256") == checksum(attrs)


def failures(path: Path) -> dict[str, str]:
    """Cause of every failure that was noted, by its place; the latest where there are several."""
    return {place: cause for entry in entries(path) for place, cause in entry["failures"]}
