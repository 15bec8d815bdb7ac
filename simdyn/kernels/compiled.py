"""The decorator of every kernel: compiled, GIL-free, cached under a hash of all kernel sources.

Numba's own cache looks only at the file of the function itself and so misses a change in a
callee that lives in another file. Here the folder of the cache carries a hash of every source
in this package, so any edit starts from an empty folder.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import sigutils, typing
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


@contextlib.contextmanager
def _kept_in_folder() -> Iterator[None]:
    """Numba reads where its cache lies as a function is decorated."""
    before = numba.config.CACHE_DIR
    try:
        numba.config.CACHE_DIR = str(_FOLDER or before)
        yield
    finally:
        numba.config.CACHE_DIR = before


_OPTIONS: dict[str, Any] = {
    "error_model": "numpy", "fastmath": {"contract"}, "cache": _FOLDER is not None,
}  # fmt: skip


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    with _kept_in_folder():
        return numba.njit(nogil=True, no_cfunc_wrapper=True, **_OPTIONS, **options)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on first call: nogil, cached, no reassociation, fused multiply-add."""
    return _compile(function)


def part(function: Callable[..., Any]) -> Any:
    """A kernel only other kernels call: without a Python wrapper, which saves compile time."""
    return _compile(function, no_cpython_wrapper=True)


def inlined(function: Callable[..., Any]) -> Any:
    """A part set into its caller: a layer fewer for the compiler to go through."""
    return _compile(function, no_cpython_wrapper=True, inline="always")


class Pointed:
    """A kernel that others call through a pointer, so that it can be compiled apart from them.

    Calling it gives the compiled function, which kernels take as an argument.
    """

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        self.function, self.signature = function, signature
        arguments, result = sigutils.normalize_signature(signature)
        self.kind = types.FunctionType(typing.signature(result, *arguments))
        self.compiled: Any = None

    def __call__(self) -> Any:
        """The compiled function, compiled or loaded when first asked for."""
        if self.compiled is None:
            with _kept_in_folder():
                self.compiled = numba.cfunc(self.signature, **_OPTIONS)(self.function)
        return self.compiled

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """Compile it in a process of its own while this one compiles other kernels.

        Meant for an empty cache. Whatever becomes of that process, calling compiles what it has
        not left in the cache.
        """
        if self.compiled is not None or _FOLDER is None:
            yield
            return
        module, name = self.function.__module__, self.function.__name__
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            other = subprocess.Popen(
                [sys.executable, "-c", f"import {module} as home; home.{name}()"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=environment,
            )  # fmt: skip
        except OSError:
            yield
            return
        try:
            yield
            other.wait()
        finally:
            other.kill()
            other.wait()


def pointed(signature: str) -> Callable[[Callable[..., Any]], Pointed]:
    """Put over a kernel of this signature: it is called through a pointer, see `Pointed`."""
    return lambda function: Pointed(function, signature)


def compile_for(function: Any, *arguments: Any) -> None:
    """Compile a kernel for arguments like these; a `Pointed` stands for its compiled function."""
    function.compile(
        tuple(
            value.kind if isinstance(value, Pointed) else numba.typeof(value) for value in arguments
        )
    )


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
