"""Files that are replaced as a whole."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

PARTIAL = ".partial"  # how the names of unfinished files and folders end


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file under another name in its folder, and rename it to `path` if all goes well.

    Readers see the old file or the new one, each complete.

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
