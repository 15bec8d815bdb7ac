"""Code of kernels that only other kernels call: linked into these, and optimised there.

Numba optimises each function by itself and makes machine code of it, before it links it into its
callers, where both are done again. For a function that Python never calls, the first is in vain.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from simdyn.kernels.inlining import scopes_copied_once

Result = TypeVar("Result")


class _NoEnvironment:
    """A code generator that sets no environment: there is no machine code that would have one."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    def set_env(self, *_: Any) -> None:
        """Numba would write to the address of a symbol that is not there."""


class Linked(JITCodeLibrary):  # type: ignore[misc]
    """Code without machine code of its own, not yet optimised."""

    @property
    def codegen(self) -> Any:
        """The code generator."""
        return _NoEnvironment(super().codegen)

    def _optimize_functions(self, module: Any) -> None:
        _unoptimised(super()._optimize_functions, module)

    def _optimize_final_module(self) -> None:
        _unoptimised(super()._optimize_final_module)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


def _unoptimised(passes: Callable[..., None], *arguments: Any) -> None:
    """Run passes of the compiler as at NUMBA_OPT=0: those that the linker needs."""
    usual = numba.config.OPT
    numba.config.OPT = type(usual)(0)
    try:
        passes(*arguments)
    finally:
        numba.config.OPT = usual


def compiled_as(library: type[JITCodeLibrary], work: Callable[..., Result], *of: Any) -> Result:
    """Call the compiler, with code of this kind for what it makes."""
    with global_compiler_lock:  # no other thread makes code meanwhile
        generator = cpu_target.target_context.codegen()
        usual, generator._library_class = generator._library_class, library
        try:
            with scopes_copied_once():
                return work(*of)
        finally:
            generator._library_class = usual
