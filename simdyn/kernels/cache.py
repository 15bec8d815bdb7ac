"""Compiled code on disk, which is never more than a saving of time.

Numba's own cache looks only at the file of the function itself and so misses a change in a callee
that lives in another file; it trusts what it finds, and an entry that is damaged or a disk that is
full ends the program. Here the folder carries a hash of every source in this package, so that any
edit starts from an empty folder; an entry carries its checksum, so that damaged machine code is
never run; and if the folder cannot be used, code is compiled again and kept in memory only.
"""

import contextlib
import hashlib
import inspect
import logging
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from simdyn.base.replacement import replacing

ENTRY = ".nbc"
_CHECKSUM = hashlib.sha256().digest_size
_VERSIONS = (platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__)


def source_hash() -> str:
    """SHA-256 (first 16 digits) over the names and contents of all kernel sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """Where compiled code is kept: ``NUMBA_CACHE_DIR`` or the user's cache; None without a home."""
    try:
        if numba.config.CACHE_DIR:
            root = Path(numba.config.CACHE_DIR)
        elif sys.platform == "win32":
            root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        else:
            root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # neither HOME nor an entry of the user in the list of users
        return None
    return root / "simdyn" / f"kernels-{source_hash()}"


FOLDER = cache_folder()


def kernels_kept() -> bool:
    """Is there compiled code of these sources on disk?"""
    try:
        return FOLDER is not None and any(name.endswith(ENTRY) for name in os.listdir(FOLDER))
    except OSError:
        return False


def can_keep() -> bool:
    """Can compiled code be written to disk?"""
    if FOLDER is None:
        return False
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=FOLDER).close()
    except OSError:
        return False
    return True


_said: set[str] = set()


def _say_once(kind: str, trouble: str, why: str | Exception) -> None:
    """Tell of the first trouble of a kind in this process, in one line."""
    if kind not in _said:
        _said.add(kind)
        why = getattr(why, "strerror", None) or str(why) or type(why).__name__
        logging.getLogger("simdyn").warning("simdyn: %s: %s", trouble, why.splitlines()[0])


class KernelCache(_Cache):  # type: ignore[misc]
    """What Numba asks for the compiled code of one function, and gives it to; it never raises.

    Each list of argument types has a file of its own: a SHA-256 over the rest, then a pickle of
    what the code was compiled from and for, and the code.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.source = function, inspect.getfile(function)
        self.enabled = FOLDER is not None and os.path.isfile(self.source)

    @property
    def cache_path(self) -> str:
        """The folder of the files."""
        return str(FOLDER)

    def enable(self) -> None:
        """Use the files from now on."""
        self.enabled = True

    def disable(self) -> None:
        """Leave the files alone from now on."""
        self.enabled = False

    def flush(self) -> None:
        """Remove the files of this function."""
        with contextlib.suppress(OSError):
            for path in Path(self.cache_path).glob(f"{self._stem}-*{ENTRY}"):
                path.unlink()

    @property
    def _stem(self) -> str:
        return f"{self.function.__module__}.{self.function.__name__}".replace("<lambda>", "lambda")

    def _key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        """All that the code depends on; that of other files of this package names the folder."""
        source = Path(self.source).read_bytes()
        line = self.function.__code__.co_firstlineno
        return signature, codegen.magic_tuple(), _VERSIONS, hashlib.sha256(source).digest(), line

    def _path(self, key: tuple[Any, ...]) -> Path:
        assert FOLDER is not None
        return FOLDER / f"{self._stem}-{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}{ENTRY}"

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """The compiled code for a signature; None if there is none that is whole."""
        target_context.refresh()
        if not self.enabled:
            return None
        path = FOLDER
        try:
            key = self._key(sig, target_context.codegen())
            path = self._path(key)
            return self._load(path, key, target_context)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as problem:  # what damaged code raises depends on where it is damaged
            _say_once("load", f"{path}: cannot be used, and is compiled anew", problem)
            return None

    def _load(self, path: Path, key: tuple[Any, ...], target_context: Any) -> CompileResult | None:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError("not a file")
        data = path.read_bytes()
        if hashlib.sha256(data[_CHECKSUM:]).digest() != data[:_CHECKSUM]:
            raise ValueError("damaged, it does not fit its checksum")
        kept, code = pickle.loads(data[_CHECKSUM:])
        return CompileResult._rebuild(target_context, *code) if kept == key else None

    def save_overload(self, sig: Any, cres: CompileResult) -> None:
        """Keep compiled code, if that can be done."""
        if FOLDER is None:
            _say_once(
                "save",
                "compiled code is not kept, and compiled anew by each process",
                "no home folder is known; NUMBA_CACHE_DIR may name a folder",
            )
        if not self.enabled or cres.lifted or cres.library.has_dynamic_globals:
            return
        try:
            key = self._key(sig, cres.codegen)
            data = dumps((key, cres._reduce()))
            _write(self._path(key), hashlib.sha256(data).digest() + data)
        except Exception as problem:
            _say_once(
                "save",
                f"{FOLDER}: compiled code cannot be kept, and is compiled anew by each process",
                problem,
            )


def _write(path: Path, data: bytes) -> None:
    """Write a file as a whole; processes may do so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(data)
        with contextlib.suppress(OSError):
            path.rmdir()  # an empty folder in its place
