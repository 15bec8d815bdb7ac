"""The one place that imports matplotlib first, whatever the environment says of its backend.

Matplotlib reads `MPLBACKEND` when it is imported and raises if that backend is unknown: a
notebook's environment names one (`module://matplotlib_inline.backend_inline`) that need not be
installed where simdyn runs. Nothing here shows a window, so matplotlib is imported without that
variable, and the backend is then set as matplotlib sets it, if it can be.
"""

import contextlib
import os
import sys

VARIABLE = "MPLBACKEND"


def _import_matplotlib() -> None:
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop(VARIABLE, None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ[VARIABLE] = backend
    if backend:
        # A reader's own plots, in a notebook, still go where the environment says.
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


_import_matplotlib()
