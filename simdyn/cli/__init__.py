"""The command line: parse, call, print."""

import sys
from typing import TYPE_CHECKING, Any

from simdyn.base import interrupts

if TYPE_CHECKING:
    from simdyn.cli.commands import app

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    """Load the commands when they are first used, after `main` has set up interrupts."""
    if name != "app":
        raise AttributeError(f"module 'simdyn.cli' has no attribute '{name}'")
    from simdyn.cli.commands import app

    return app


def main() -> None:
    """Entry point of the command `simdyn`."""
    interrupts.hear()
    import io
    import logging

    from simdyn.cli.commands import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without σ shows ?, not a traceback
            stream.reconfigure(errors="replace")
    # If reading with Zarr fails, asyncio would log every chunk; there is one message already.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        app()
    finally:
        interrupts.ignore()
