"""The command `explore`: a live page in the browser."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from simdyn.cli.options import Out, Threads, guard

Port = Annotated[int, typer.Option("--port", metavar="N", help="Port on 127.0.0.1; 0: a free one.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the page's address.")]


def explore(
    study_or_store: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STUDY|STORE]",
            help="Show its map, too: study file, NAME.toml, or its store, NAME.zarr.",
            show_default=False,
        ),
    ] = None,
    port: Port = 0,
    no_browser: NoBrowser = False,
    out: Out = Path(),
    threads: Threads = None,
) -> None:
    """Open a live page: a playground of one setting, and the map of a study or store.

    Move a slider, and SGD and SAM are trained again and drawn. Click a cell of a map, and its runs
    are trained again, to the same bits. The page is served on this machine only, until Ctrl-C. The
    map of a study is computed, into results/NAME.zarr as `simdyn run` does, while it is drawn.
    """
    with guard():
        from simdyn.base.inputs import InputError
        from simdyn.base.threads import check_threads

        if importlib.util.find_spec("bokeh") is None:
            raise InputError("explore needs Bokeh: pip install 'simdyn[explore]' brings it")
        if not 0 <= port <= 65535:
            raise InputError(f"--port {port}: allowed is a free port from 1024 to 65535, or 0")
        from simdyn.explore.server import serve

        serve(
            port,
            opens=not no_browser,
            threads=None if threads is None else check_threads(threads),
            target=study_or_store,
            out=out,
            say=typer.echo,
        )
    sys.stdout.flush()
    os._exit(0)  # the interpreter would wait for a kernel that is being compiled
