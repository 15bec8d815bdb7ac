"""Version and commit, as recorded by the build."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


def _installed() -> str:
    try:
        return installed_version("simdyn")
    except PackageNotFoundError:
        return "0+uninstalled"


VERSION = _installed()
# A build between tags is called 0.1.dev5+gCOMMIT.DATE.
COMMIT = next((part[1:] for part in VERSION.partition("+")[2].split(".") if part[:1] == "g"), "")
