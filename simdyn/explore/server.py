"""The server of the live page: on this machine only, until Ctrl-C."""

import contextlib
import signal
import socket
import sys
import threading
import weakref
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simdyn.base.inputs import InputError

HOST = "127.0.0.1"
MOST_MESSAGE = 20 * 2**20  # bytes that a browser may send at once
LEFT_OPEN = 20_000  # milliseconds after which a closed page is forgotten


def listening(port: int) -> socket.socket:
    """A socket that listens on this machine only; port 0 is any free one.

    Raises
    ------
    InputError
        If the port is not free.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
        made.listen(64)
    except (OSError, OverflowError) as problem:
        made.close()
        reason = getattr(problem, "strerror", None) or problem
        raise InputError(
            f"--port {port}: {str(reason).lower()}; allowed is a free port from 1024 to 65535, or "
            "0 for any"
        ) from None
    made.setblocking(False)
    return made


def serve(
    port: int = 0,
    *,
    opens: bool = True,
    threads: int | None = None,
    target: Path | None = None,
    out: Path = Path(),
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page until the process is told to end (SIGINT or SIGTERM).

    Parameters
    ----------
    port : int
        Port on 127.0.0.1; 0 is any free one.
    opens : bool
        Open the page in the browser.
    threads : int, optional
        Cores to use.
    target : path, optional
        Study file or store whose map is shown.
    out : path
        Folder with results/, for a study.
    say : callable
        Called with lines for the user.
    """
    from simdyn.explore.map_source import MapSource

    with contextlib.closing(listening(port)) as sock:
        source = None if target is None else MapSource.of(target, out, threads)
        number = sock.getsockname()[1]
        address = f"http://{HOST}:{number}/{'' if source is None else 'map'}"
        say(address)
        # The socket listens already: while the browser starts, the libraries are loaded, and the
        # kernels on another thread.
        if opens:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        threading.Thread(target=_warm, args=(threads,), daemon=True).start()
        _run(sock, number, source, threads)
    say("simdyn explore: ended")
    if source is not None:
        source.end()


def _warm(threads: int | None) -> None:
    """Train the opening setting once, so that kernels are loaded when the page asks."""
    from simdyn.explore.setting import parsed, starting_texts

    with contextlib.suppress(Exception):  # the page says what is wrong
        parsed(starting_texts()).study.run(threads=threads)


def _run(sock: socket.socket, port: int, source: Any, threads: int | None) -> None:
    """Serve on a socket until a signal."""
    from bokeh.application import Application
    from bokeh.application.handlers.function import FunctionHandler
    from bokeh.server.server import BaseServer
    from bokeh.server.tornado import BokehTornado
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop

    from simdyn.explore.map_page import MapPage
    from simdyn.explore.playground_page import PlaygroundPage

    open_pages: weakref.WeakSet[Any] = weakref.WeakSet()

    def playground(document: Any) -> None:
        open_pages.add(PlaygroundPage(document, threads))

    def mapped(document: Any) -> None:
        open_pages.add(MapPage(document, source))

    loop = IOLoop.current()
    app = BokehTornado(
        {
            "/": Application(FunctionHandler(playground)),
            "/map": Application(FunctionHandler(mapped)),
        },
        extra_websocket_origins=[f"{HOST}:{port}", f"localhost:{port}"],
        use_index=False,
        websocket_max_message_size_bytes=MOST_MESSAGE,
        unused_session_lifetime_milliseconds=LEFT_OPEN,
        check_unused_sessions_milliseconds=LEFT_OPEN // 2,
        keep_alive_milliseconds=30_000,
    )
    http = HTTPServer(app)
    http.add_sockets([sock])
    server = BaseServer(loop, app, http)
    server.start()

    def end(*_: Any) -> None:
        loop.add_callback_from_signal(loop.stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    loop.start()
    for page in open_pages:
        page.end()
    server.stop(wait=False)
    sys.stdout.flush()
