"""The decorator of every kernel: compiled, GIL-free, cached under a hash of all kernel sources.

Numba's own cache looks only at the file of the function itself and so misses a change in a
callee that lives in another file. Here the folder of the cache carries a hash of every source
in this package, so any edit starts from an empty folder.
"""

import contextlib
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import typing
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


def _compile(function: Callable[..., Any], counts: bool = True, **options: Any) -> Any:
    """`counts`: references to arrays; where not said, the caller's choice would be taken over."""
    with _kept_in_folder():
        return numba.njit(nogil=True, no_cfunc_wrapper=True, _nrt=counts, **_OPTIONS, **options)(
            function
        )


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on first call: nogil, cached, no reassociation, fused multiply-add."""
    return _compile(function)


def part(function: Callable[..., Any]) -> Any:
    """A kernel only other kernels call: without a Python wrapper, which saves compile time."""
    return _compile(function, no_cpython_wrapper=True)


def borrowing(function: Callable[..., Any]) -> Any:
    """A part that makes no array and returns none: it counts no references to those it is given.

    A count is an atomic operation, for each array of each argument: some 5 ns an array and call.
    """
    return _compile(function, counts=False, no_cpython_wrapper=True)


def inlined(function: Callable[..., Any]) -> Any:
    """A part set into its caller: a layer fewer for the compiler to go through."""
    return _compile(function, no_cpython_wrapper=True, inline="always")


class Pointed:
    """A kernel that others call through a pointer, so that it can be compiled apart from them.

    What is behind a pointer is also not compiled once more into each of its callers. Its
    annotations say what it takes, and it returns nothing. Calling it gives the compiled function,
    which kernels take as an argument.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.function, self.options, self.compiled = function, {**_OPTIONS, **options}, None

    @functools.cached_property
    def signature(self) -> Any:
        """The types of its arguments."""
        hints = get_type_hints(self.function, include_extras=True)
        del hints["return"]
        return typing.signature(types.void, *map(kind_of, hints.values()))

    @property
    def kind(self) -> types.FunctionType:
        """The type of its pointer."""
        return types.FunctionType(self.signature)

    def __call__(self) -> Any:
        """The compiled function, compiled or loaded when first asked for."""
        if self.compiled is None:
            with _kept_in_folder():
                self.compiled = numba.cfunc(self.signature, **self.options)(self.function)
        return self.compiled


def borrowing_pointed(function: Callable[..., Any]) -> Pointed:
    """A `Pointed` that makes no array, see `borrowing`."""
    return Pointed(function, _nrt=False)


@contextlib.contextmanager
def compiled_beside(*kernels: Pointed) -> Iterator[None]:
    """Compile kernels in a process of its own while this one compiles others.

    Meant for an empty cache. Whatever becomes of that process, calling a kernel compiles what it
    has not left in the cache.
    """
    if _FOLDER is None:
        yield
        return
    places = ((kernel.function.__module__, kernel.function.__name__) for kernel in kernels)
    orders = "; ".join(f"import {module} as home; home.{name}()" for module, name in places)
    try:
        other = subprocess.Popen(
            [sys.executable, "-c", orders],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
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


def kind_of(annotation: Any) -> types.Type:
    """The compiler's type for an annotation.

    A number, a named tuple, Annotated[…, type of the entries, number of axes] for an array, or
    Annotated[…, a `Pointed`] for its pointer.
    """
    if get_origin(annotation) is Annotated:
        _, what, *axes = get_args(annotation)
        if isinstance(what, Pointed):
            return what.kind
        return types.Array(kind_of(what), *axes, "C")
    if hasattr(annotation, "_fields"):
        hints = get_type_hints(annotation, include_extras=True)
        kinds = list(map(kind_of, hints.values()))
        if len(set(kinds)) == 1:
            return types.NamedUniTuple(kinds[0], len(kinds), annotation)
        return types.NamedTuple(kinds, annotation)
    return numba.from_dtype(np.dtype(annotation))


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
