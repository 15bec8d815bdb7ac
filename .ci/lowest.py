"""Constraints for pip that pin what simdyn needs to the lowest versions it declares.

python lowest.py pyproject.toml [EXTRA]...
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
extras = (project["optional-dependencies"][name] for name in sys.argv[2:])
for requirement in sum(extras, project["dependencies"]):
    found = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement)
    if not found:
        sys.exit(f"{requirement!r} declares no lowest version; write NAME>=VERSION")
    print(f"{found[1]}=={found[2]}")
