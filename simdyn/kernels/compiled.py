"""The decorator of every kernel: compiled, GIL-free, cached under a hash of all kernel sources.

Numba's own cache looks only at the file of the function itself and so misses a change in a
callee that lives in another file. Here the folder of the cache carries a hash of every source
in this package, so any edit starts from an empty folder.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def source_hash() -> str:
    """SHA-256 (first 16 digits) over the names and contents of all kernel sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """Where compiled code is kept: ``NUMBA_CACHE_DIR`` or the user's cache; None if unwritable."""
    if numba.config.CACHE_DIR:
        root = Path(numba.config.CACHE_DIR)
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "simdyn" / f"kernels-{source_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


_FOLDER = cache_folder()


def kernels_kept() -> bool:
    """Is there compiled code of these sources on disk?"""
    return _FOLDER is not None and any(_FOLDER.rglob("*.nbc"))


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    before = numba.config.CACHE_DIR
    try:
        numba.config.CACHE_DIR = str(_FOLDER or before)
        return numba.njit(
            nogil=True,
            error_model="numpy",
            fastmath={"contract"},
            cache=_FOLDER is not None,
            no_cfunc_wrapper=True,
            **options,
        )(function)
    finally:
        numba.config.CACHE_DIR = before


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on first call: nogil, cached, no reassociation, fused multiply-add."""
    return _compile(function)


def part(function: Callable[..., Any]) -> Any:
    """A kernel only other kernels call: without a Python wrapper, which saves compile time."""
    return _compile(function, no_cpython_wrapper=True)


def inlined(function: Callable[..., Any]) -> Any:
    """A part set into its caller: a layer fewer for the compiler to go through."""
    return _compile(function, no_cpython_wrapper=True, inline="always")


@intrinsic
def _atomic_load(typing_context, flag):
    """Read flag[0] from memory each time: a plain load may be hoisted out of a loop."""

    def build(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        value = builder.load_atomic(array.data, "monotonic", 8)
        return builder.icmp_signed("!=", value, ir.Constant(ir.IntType(64), 0))

    return types.boolean(flag), build


@kernel
def stopped(flag):
    """Has another thread raised the stop flag, an int64 array of one element?"""
    return _atomic_load(flag)
