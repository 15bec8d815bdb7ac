"""The decorators of kernels: compiled and GIL-free; those that Python calls are kept on disk."""

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import typing
from numba.core.ccallback import CFunc
from numba.core.codegen import JITCodeLibrary
from numba.extending import intrinsic, typeof_impl

from simdyn.kernels.apart import apart
from simdyn.kernels.cache import KernelCache, can_keep
from simdyn.kernels.linked import Linked, compiled_as

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}


def _compile(function: Callable[..., Any], counts: bool = True, **options: Any) -> Any:
    """`counts`: count references to arrays? Always set, else the caller's setting is used."""
    return numba.njit(nogil=True, no_cfunc_wrapper=True, _nrt=counts, **_OPTIONS, **options)(
        function
    )


def _inner(function: Callable[..., Any], **options: Any) -> Any:
    """A kernel without a Python wrapper: calling it from Python is an error.

    Numba itself would jump to a wrapper that is not there, which ends the process. Its code is in
    that of its callers and not kept on disk by itself, see `linked`.
    """
    made = _compile(function, no_cpython_wrapper=True, **options)
    if not numba.config.DISABLE_JIT:

        def refuse(*_: Any, **__: Any) -> None:
            raise TypeError(
                f"{function.__module__}.{function.__name__} is compiled for other kernels only: "
                "call it from a kernel"
            )

        # What Python may call is told to Numba's C code by `add_overload`: here, nothing.
        made.add_overload = lambda result: made.overloads.__setitem__(
            tuple(result.signature.args), result
        )
        made._compile_for_args = refuse
        made.compile = functools.partial(compiled_as, Linked, made.compile)
    return made


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on first call: nogil, cached, no reassociation, fused multiply-add."""
    made = _compile(function)
    if not numba.config.DISABLE_JIT:
        made._cache = KernelCache(function)
        made.compile = functools.partial(apart, compiled_as, JITCodeLibrary, made.compile)
    return made


def part(function: Callable[..., Any]) -> Any:
    """A kernel only other kernels call: without a Python wrapper, which saves compile time."""
    return _inner(function)


def borrowing(function: Callable[..., Any]) -> Any:
    """A part that makes no array and returns none: it counts no references to those it is given.

    A count is an atomic operation, for each array of each argument: some 5 ns an array and call.
    """
    return _inner(function, counts=False)


def inlined(function: Callable[..., Any]) -> Any:
    """A part set into its caller: a layer fewer for the compiler to go through."""
    return _inner(function, inline="always")


class Pointed:
    """A kernel that others call through a pointer, so that it can be compiled apart from them.

    Such a kernel is not compiled again into each of its callers. Its annotations are the types of
    its arguments, and it returns nothing. Calling a `Pointed` gives the compiled function, which
    kernels take as an argument.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.function, self.options = function, {**_OPTIONS, **options}
        self.compiled: Any = None

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
            made: Any = CFunc(
                self.function, (self.signature.args, types.void), locals={}, options=self.options
            )
            made._cache = KernelCache(self.function)
            apart(compiled_as, JITCodeLibrary, made.compile)
            self.compiled = made
        return self.compiled


def borrowing_pointed(function: Callable[..., Any]) -> Pointed:
    """A `Pointed` that makes no array, see `borrowing`."""
    return Pointed(function, _nrt=False)


# However the parent ends, the input of this process is closed. Only the parent acts on Ctrl-C.
_ENDS_WITH_ITS_PARENT = """
import os, signal, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
"""


@contextlib.contextmanager
def compiled_beside(*kernels: Pointed) -> Iterator[None]:
    """Compile kernels in a process of its own while this one compiles others.

    Meant for an empty cache. If that process fails, a kernel is compiled when it is called.
    """
    if not can_keep():
        yield
        return
    places = ((kernel.function.__module__, kernel.function.__name__) for kernel in kernels)
    orders = "; ".join(f"import {module} as home; home.{name}()" for module, name in places)
    try:
        other = subprocess.Popen(
            [sys.executable, "-c", _ENDS_WITH_ITS_PARENT + orders],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except OSError:
        yield
        return
    try:
        yield
        other.wait()
    finally:
        other.kill()
        other.communicate()


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


@typeof_impl.register(Pointed)
def _kind_of_pointed(value: Pointed, context: Any) -> types.Type:
    return value.kind


def entry_for(function: Any, arguments: Sequence[Any]) -> Any:
    """The compiled code of a kernel for arguments of these types, which is called as it is.

    A call of the kernel itself looks up the types of its arguments each time, which takes long if
    pointers are among them. The code is to be given arguments of the same types only.
    """
    if numba.config.DISABLE_JIT:
        return function
    compile_for(function, *arguments)
    return function.overloads[tuple(map(numba.typeof, arguments))].entry_point


def compile_for(function: Any, *arguments: Any) -> None:
    """Compile a kernel for arguments like these; a `Pointed` stands for its compiled function."""
    function.compile(tuple(map(numba.typeof, arguments)))


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
