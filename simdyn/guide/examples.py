"""What the pages show as code: run when the site is built, with its output put below it.

A page is one Python script in a folder of its own, in which the studies lie, and the results of
the first page. Of its blocks,

- ``python`` runs, with the names of the page's blocks before it;
- ``console`` runs each line after ``$`` in a shell; a comment ``# exit code 2`` says how it ends;
- ``toml`` whose first line is ``# NAME.toml`` is written to that file;
- all others are only shown, and tests hold them against the command line and the study files.

Pictures that a page's code leaves in its folder can be shown by its text, as FOLDER/PICTURE with
the page's own name as the folder.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "\x1e"  # between the outputs of blocks
HEAD = f"""\
from pathlib import Path as _Path

from simdyn.guide.examples import shell as _shell


def _next():
    print("{MARK}", end="", flush=True)


"""


class SiteError(Exception):
    """The guide cannot be built: an example fails, or Sphinx warns."""


def shell(line: str) -> None:
    """Run a line of a shell in a page's process, and print it with what it says.

    A plain command of `simdyn` runs in this process, which has compiled code and libraries at hand.

    Raises
    ------
    SystemExit
        If it ends with another exit code than its comment says.
    """
    words = shlex.split(line, comments=True)
    said = io.StringIO()
    if words[:1] == ["simdyn"] and not set("|&;<>$") & set(line):
        from simdyn.cli import main

        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            sys.argv = words
            try:
                main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
    else:
        done = subprocess.run(
            line, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said.write(done.stdout)
        code = done.returncode
    print(f"$ {line}\n{said.getvalue().rstrip()}".rstrip())
    _, _, wanted = line.partition("# exit code ")
    if code != int(wanted or 0):
        raise SystemExit(f"exit code {code}: {line}")


class Block(NamedTuple):
    """A block of code on a page."""

    language: str
    text: str
    end: int  # where it ends on the page

    @property
    def file(self) -> str:
        """The file that a block of TOML is written to; empty if none."""
        named = re.match(r"# (\w+\.toml)\n", self.text) if self.language == "toml" else None
        return named[1] if named else ""

    @property
    def script(self) -> str:
        """What the block does when its page is run; empty for one that is only shown."""
        if self.language == "python":
            return self.text
        if self.language == "console":
            lines = re.findall(r"^\$ (.*)$", self.text, re.MULTILINE)
            return "".join(f"_shell({line!r})\n" for line in lines)
        return f"_Path({self.file!r}).write_text({self.text!r})\n" if self.file else ""


def blocks(page: str) -> Iterator[Block]:
    """The blocks of code of a page, in their order."""
    for found in FENCE.finditer(page):
        yield Block(found[1], found[2], found.end())


def script_of(page: str) -> str:
    """A script that does what the blocks of a page do; empty if none does anything."""
    scripts = [block.script for block in blocks(page)]
    return HEAD + "".join(f"{each}\n_next()\n" for each in scripts) if any(scripts) else ""


def with_outputs(page: str, outputs: list[str]) -> str:
    """The page with the output of each of its blocks."""
    parts, at = [], 0
    for block, output in zip(blocks(page), outputs, strict=True):
        end = block.end
        if block.language == "console":
            start = end - len(f"{block.text}```")
            parts.append(f"{page[at:start]}{output.rstrip()}\n```")
        elif output.strip():
            parts.append(f"{page[at:end]}\n\n```{{code-block}} text\n:class: output\n\n{output}```")
        else:
            parts.append(page[at:end])
        at = end
    return "".join([*parts, page[at:]])


def run(page: str, name: str, folder: Path, given: Iterable[Path]) -> str:
    """Run the code of a page in this process, whose folder is another one meanwhile.

    Parameters
    ----------
    page : str
        Its text.
    name : str
        Of the page, in messages.
    folder : path
        Is made; the pictures that the page's code draws are left there.
    given : folders
        Copied there under their own names, such as ``studies``.

    Returns
    -------
    str
        The text with outputs.

    Raises
    ------
    SiteError
        If an example fails, with what it said.
    """
    script = script_of(page)
    if not script:
        return page
    for each in given:
        shutil.copytree(each, folder / each.name)
    file = folder / "page.py"
    file.write_text(script, encoding="utf-8")
    said, problem = io.StringIO(), ""
    before = Path.cwd(), sys.argv, dict(os.environ)
    try:
        os.chdir(folder)
        programs = str(Path(sys.executable).parent)
        os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", "")])
        os.environ["COLUMNS"] = "96"
        with contextlib.redirect_stdout(said):
            runpy.run_path(file.name)
    except (Exception, SystemExit):
        problem = traceback.format_exc()
    finally:
        os.chdir(before[0])
        sys.argv = before[1]
        os.environ.clear()
        os.environ.update(before[2])
    outputs = said.getvalue().split(MARK)
    if problem:
        raise SiteError(f"{name}: an example fails:\n{outputs[-1]}{problem}".rstrip())
    return with_outputs(page, outputs[:-1])
