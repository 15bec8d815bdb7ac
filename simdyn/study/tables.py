"""Study files: TOML to tables, and the tables of a study's small variant."""

import copy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simdyn.base.inputs import InputError, nearest


def read_tables(path: Path) -> dict[str, Any]:
    """The tables of a study file.

    Raises
    ------
    InputError
        One line that names the file and what is wrong with it.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        found = {*path.parent.glob("*.toml"), *Path("studies").glob("*.toml")}
        there = sorted(str(file) for file in found if file.name != "pyproject.toml")
        raise InputError(f"{path}: no such file; {nearest(str(path), there)}") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; allowed is a study file, NAME.toml") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; allowed is a study in TOML") from None
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from None
    except (ValueError, RecursionError, MemoryError) as problem:  # TOMLDecodeError among them
        raise InputError(f"{path}: not valid TOML: {problem}") from None


def shrunk(source: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The tables of a study with what its [smoke] overrides."""
    tables: dict[str, Any] = copy.deepcopy(dict(source))
    changes = tables.pop("smoke", None)
    if not changes:
        raise InputError(f"{name}: no [smoke] table; it says how to shrink the study")
    for path, value in changes.items():
        *folders, last = str(path).split(".")
        table: Any = tables
        for depth, folder in enumerate(folders):
            at = int(folder) if isinstance(table, list) and folder.isdigit() else folder
            try:
                table = table[at]
            except (KeyError, IndexError, TypeError):
                where = ".".join(folders[: depth + 1])
                raise InputError(f'smoke."{path}": there is no {where}') from None
        if not isinstance(table, dict):
            raise InputError(f'smoke."{path}": {".".join(folders)} is not a table')
        # [smoke] with plain dotted keys nests tables: they change what they name, no more.
        if not folders and isinstance(value, dict) and isinstance(table.get(last), dict):
            _merge(table[last], value)
        else:
            table[last] = value
    return tables


def _merge(table: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Change a table in place, and tables in it likewise."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _merge(table[key], value)
        else:
            table[key] = value
