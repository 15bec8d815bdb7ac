"""Inlining by Numba that copies the variables of a function once, not once for each of its blocks.

A block refers to the scope of its function, with all variables of it. Numba copies a function block
by block, each with a scope of its own: most of the time that inlining takes.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import inline_closurecall, ir


class _Copies:
    """In place of the module `copy` in Numba's inliner: blocks copied in a row share their scope.

    A block that was copied already begins another copy of its function.
    """

    copy = staticmethod(copy.copy)

    def __init__(self) -> None:
        self._scope: Any = None
        self._known: dict[int, Any] = {}

    def deepcopy(self, of: Any) -> Any:
        """Copy a block, or anything else as usual."""
        if not isinstance(of, ir.Block):
            return copy.deepcopy(of)
        if of.scope is not self._scope or id(of) in self._known:
            self._scope, self._known = of.scope, {}
        return copy.deepcopy(of, self._known)


@contextmanager
def scopes_copied_once() -> Iterator[None]:
    """Inline like this; to be entered by the thread that holds the compiler's lock."""
    usual = inline_closurecall.copy
    inline_closurecall.copy = _Copies()
    try:
        yield
    finally:
        inline_closurecall.copy = usual
