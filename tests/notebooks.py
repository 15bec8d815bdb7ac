"""A kernel of Jupyter that runs cells as a notebook does, and can be interrupted."""

import contextlib
import queue
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient

Message = dict[str, Any]
LIMIT = 120.0  # seconds of a cell


class Kernel:
    """A running kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client

    def run(self, code: str, until: Callable[[list[Message]], bool] | None = None) -> list[Message]:
        """Run a cell; returns what it published. It is interrupted once `until` holds of that."""
        published: list[Message] = []
        asked = self.client.execute(code)
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            if until is not None and until(published):
                self.manager.interrupt_kernel()
                until = None
            try:
                message = self.client.get_iopub_msg(timeout=0.02)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != asked:
                continue
            published.append({"type": message["msg_type"], **message["content"]})
            if message["content"].get("execution_state") == "idle":
                return published
        raise TimeoutError(f"after {LIMIT} s the cell still runs: {code}")

    def value(self, expression: str) -> str:
        """The text that a cell shows of its last expression."""
        published = self.run(expression)
        (shown,) = (each for each in published if each["type"] == "execute_result")
        return str(shown["data"]["text/plain"])


def errors(published: list[Message]) -> list[str]:
    """Names of exceptions with which a cell ended."""
    return [each["ename"] for each in published if each["type"] == "error"]


def bars(published: list[Message]) -> list[Message]:
    """What was displayed, and displayed again in its place, in order."""
    kinds = ("display_data", "update_display_data")
    return [each for each in published if each["type"] in kinds]


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """What Jupyter reads and writes for itself is in this folder, and no kernel but ours known."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(folder / name))
        yield


def executed(path: Path, folder: Path) -> dict[str, list[str]]:
    """All that a notebook shows, by its kind, when its cells are run in this folder."""
    notebook = nbformat.read(path, 4)
    NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    shown = defaultdict(list)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output["output_type"] in ("execute_result", "display_data"), output
            for kind, content in output["data"].items():
                shown[kind].append(content)
    return shown


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Kernel]:
    """A kernel whose files are in this folder."""
    with in_folder(folder):
        manager, client = start_new_kernel(cwd=str(folder))
        try:
            yield Kernel(manager, client)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()
