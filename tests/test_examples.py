"""The examples that documentation gives: docstrings of public names, and README."""

import doctest
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import simdyn
from simdyn.cli.commands import by_name

ROOT = Path(__file__).parents[1]
FURTHER = ("Problem.from_patches", "theory.conditions", "theory.predictions")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current folder with the studies in it."""
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [*simdyn.__all__, *FURTHER])
def test_docstrings__examples_give_what_they_show(name: str) -> None:
    found = simdyn
    for part in name.split("."):
        found = getattr(found, part)
    names = {"simdyn": simdyn, "np": np}
    test = doctest.DocTestParser().get_doctest(found.__doc__ or "", names, name, None, 0)
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert not said, "".join(said)


def blocks(language: str) -> list[str]:
    """What README shows in a language."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_readme__python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("studies/phase_diagram.toml")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"space.dimension.num" = 3', '"space.dimension" = [5000]'))
    simdyn.load_study(file).smoke().run("results/phase_diagram.zarr")
    names: dict[str, object] = {}
    ten_lines, *others = blocks("python")
    assert len(ten_lines.splitlines()) <= 12
    exec(ten_lines, names)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["SGD", "SAM", "SAM, then SGD"]
    for code in others:
        exec(code, names)


def test_readme__is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    for link in links:
        assert (ROOT / link).exists(), link


def test_readme__commands_exist() -> None:
    shown = set(re.findall("^simdyn ([a-z]+)", "".join(blocks("sh")), re.MULTILINE))
    assert {"run", "plan", "status", "verify", "explore", "check"} <= shown <= set(by_name())
