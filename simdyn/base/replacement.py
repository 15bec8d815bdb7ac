"""Files replaced in one step: readers see the old one or the new one, each complete."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

PARTIAL = ".partial"  # suffix of unfinished files and folders


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file under another name in its folder, and rename it to `path` if all goes well.

    Yields
    ------
    path
        Where to write. It is removed if an exception is raised.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
