"""The log of a store: who computed, on what, when, and which points failed why.

No value depends on it, and no decision. An entry is a Zarr group with attributes only, its own
checksum among them, so that damage to the log is seen like any other.
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
from simdyn.store.files import META, own_names, plainly
from simdyn.variables.provenance import as_json

MOST_FAILURES = 1000  # of which an entry tells place and cause


def machine() -> dict[str, str]:
    """What may decide the last bits of a value: the type of CPU compiled for, and versions."""
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
    """What one process notes of its work on a store."""

    def __init__(self, path: Path, **about: Any) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.path = path
        self.failures: list[list[str]] = []
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        started = {"entry": name, "started": now.isoformat()}
        self.attrs: dict[str, Any] = {**started, **about, **versions()}
        with plainly(path, "written"):
            log = zarr.open_group(path, mode="r+", path=own_names(path).log)
            # Whole from its first moment on: others may look at any time.
            self._group = log.create_group(name, attributes=self._signed())

    def _signed(self) -> dict[str, Any]:
        attrs = {**self.attrs, "failures": list(self.failures)}
        return {**attrs, "sha256": checksum(attrs)}

    def _write(self) -> None:
        with plainly(self.path, "written"):
            self._group.attrs.put(self._signed())

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
    log = path / own_names(path).log
    folders = sorted(log.iterdir()) if log.is_dir() else []
    return [attrs for attrs in map(entry, folders) if attrs]


def entry(folder: Path) -> dict[str, Any]:
    """An entry of the log; nothing where it does not fit its checksum, its name, or Zarr."""
    try:
        said = json.loads((folder / META).read_bytes())
        attrs = dict(said.pop("attributes"))
        said.pop("consolidated_metadata", None)
        plain = said == {"zarr_format": 3, "node_type": "group"}
        whole = plain and attrs.get("sha256") == checksum(attrs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return attrs if whole and attrs.get("entry", folder.name) == folder.name else {}


def failures(path: Path) -> dict[str, str]:
    """Cause of every failure that was noted, by its place; the latest where there are several."""
    return {place: cause for attrs in entries(path) for place, cause in attrs["failures"]}


def computed_by(path: Path) -> list[dict[str, str]]:
    """Types of CPU and versions that computed a store, each once, as `machine` gives them.

    A version that an older entry does not tell is "".
    """
    found: list[dict[str, str]] = []
    for attrs in entries(path):
        if "scheduler" in attrs:  # of a client, whose workers have entries of their own
            continue
        by = {
            key: str(attrs.get(key, "")) for key in ("cpu", "simdyn", "numba", "llvmlite", "numpy")
        }
        if by not in found:
            found.append(by)
    return found
