"""The guide: pages that leave nothing out, examples that run, and a site without a warning."""

import html.parser
import itertools
import json
import re
import subprocess
import sys
import tomllib
import zlib
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

import pytest

import simdyn
from simdyn import theory
from simdyn.base.inputs import InputError
from simdyn.claims import CLAIMS
from simdyn.cli.commands import by_name
from simdyn.guide import examples, gallery, law_pages, public_names, site
from simdyn.guide.examples import SiteError, blocks, script_of, with_outputs
from simdyn.guide.parameter_pages import default, documented
from simdyn.params import (
    MODELS,
    OPTIMISERS,
    PICTURES,
    Crossing,
    Parameters,
    Record,
    Refinement,
    TwoLayerCNN,
)
from simdyn.variables.registry import STATUS, VARIABLES

ROOT = Path(__file__).parents[1]
GENERATED = site.generated_pages(ROOT / "studies", ROOT / "figures")
WRITTEN = site.written_pages()
NOTEBOOKS = {path.relative_to(site.PAGES).as_posix(): path for path in site.notebooks()}
PARAMETERS = [*MODELS.values(), TwoLayerCNN, *OPTIMISERS.values(), Refinement, Crossing, Record]


def section(page: str, title: str) -> str:
    """The part of a page below a heading, up to the next."""
    found = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#|\Z)", GENERATED[page], re.M | re.S)
    assert found, f"{page} has no section {title}"
    return found[1]


# -- what is generated ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "owner"),
    [
        *(("reference/parameters.md", owner) for owner in PARAMETERS),
        *(("reference/figures.md", owner) for owner in PICTURES.values()),
    ],
)
def test_reference__has_every_field(page: str, owner: type[Parameters]) -> None:
    text = section(page, owner.__name__)
    for name, field in owner.model_fields.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*)$", text, re.M)
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[:4] == [
            owner.symbol(name),
            field.description,
            default(field),
            owner.allowed(name),
        ]
        assert field.is_required() == (cells[2] == "must be given")
    for name, words in documented(owner):
        assert f"`{name}`\n: {words}" in text


def test_documented__reads_the_fields_of_a_docstring() -> None:
    found = dict(documented(simdyn.SAM))
    assert found["radius"].startswith("Perturbation radius τ.")
    assert found["group_size"].endswith("is a group of its own.")
    assert "Examples" not in found
    for owner in (*PARAMETERS, *PICTURES.values()):
        names = {part for name, _ in documented(owner) for part in re.findall(r"\w+", name)}
        assert names & set(owner.model_fields), owner


def test_reference__has_every_variable_and_status() -> None:
    for name, variable in VARIABLES.items():
        text = section("reference/variables.md", name)
        assert variable.long_name in text
        for said in (variable.symbol, variable.equation, *(f"`{dim}`" for dim in variable.dims)):
            assert said in text
        assert name == "status" or variable.description in text
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", GENERATED["reference/statuses.md"], re.M)
    assert {int(code): word for code, word in rows} == {
        code: text.split(":")[0] for code, text in STATUS.items()
    }


def test_reference__has_every_command_with_its_options() -> None:
    for name, command in by_name().items():
        text = section("reference/commands.md", f"simdyn {name}")
        for each in command.params:
            option = each.opts[0].startswith("-")
            shown = each.opts if option else [each.metavar.replace("|", r"\|")]
            assert f"`{', '.join(shown)}`" in text


def test_theory__has_every_law_and_claim() -> None:
    for name in law_pages.LAWS:
        text = section("theory/laws.md", name)
        assert re.search(r"\*\[(exact|numerical|recalled)\]\*", text), name
        assert not re.search(r"\[[ENR]\]", text)
    for name, claim in CLAIMS.items():
        assert f"| `{name}` | {claim.statement} |" in GENERATED["theory/claims.md"]


def test_public_names__have_a_page_each() -> None:
    for name in simdyn.__all__:
        page = GENERATED[f"api/simdyn.{name}.md"]
        directive = r"(auto(class|function)|py:module)"
        assert re.search(rf"^\.\. {directive}:: simdyn\.{name}$", page, re.M)
    members = dict(public_names.members(simdyn.Problem))
    assert members["from_patches"] == "method"
    assert dict(public_names.members(simdyn.Study))["fingerprint"] == "property"
    members = dict(public_names.members(simdyn.SAM))
    assert {"replace", "updates_per_epoch"} <= set(members)
    assert not {"model_dump", "model_fields", "is_flag", "radius"} & set(members)


def test_public_names__new_ones_find_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(public_names.GROUPS, "Results", ("open_results",))
    found = public_names.groups()
    assert "simdyn.summary" in found["Errors and other names"]


def test_gallery__has_every_study_with_its_question() -> None:
    page = GENERATED["gallery.md"]
    for file in (ROOT / "studies").glob("*.toml"):
        assert f"({file.stem})=" in page
        assert f"simdyn run studies/{file.name}" in page
        picture = ROOT / "figures" / f"{file.stem}.png"
        assert (f"/figures/{picture.name}" in page) == picture.is_file()
        text = file.read_text(encoding="utf-8")
        assert text in page
        assert bool(gallery.seen(text)) == picture.is_file(), file
    text = "# Why?\n# So.\n# Seen: it\n# does.\n\n# Not this.\n"
    assert (gallery.question(text), gallery.seen(text)) == ("Why? So.", "It does.")
    assert gallery.seen("# Why?\n") == ""


# -- what the pages show -------------------------------------------------------------------------

SHOWN = [
    (name, block.language, block.text) for name, text in WRITTEN.items() for block in blocks(text)
]


def test_pages__have_examples() -> None:
    found = {language for _, language, _ in SHOWN}
    assert found == {"python", "console", "toml", "sh", "text"}
    assert sum(language == "python" for _, language, _ in SHOWN) >= 30


@pytest.mark.parametrize(
    "line",
    [
        line
        for _, language, text in SHOWN
        if language in ("sh", "console")
        for line in text.splitlines()
    ],
)
def test_pages__commands_exist(line: str) -> None:
    """Commands and options are those of the command line, scripts are files of the repository."""
    line = line.removeprefix("$ ").split("#")[0]
    for command in re.split(r"&&|>|;", line):
        words = [word.strip("[].") for word in command.split()]
        if words[:1] == ["simdyn"]:
            known = {name for each in by_name()[words[1]].params for name in each.opts}
            options = {word for word in words[2:] if word.startswith("--")}
            assert options <= known
    for script in re.findall(r"\btests/[\w/]+\.py", line):
        assert (ROOT / script).is_file()


@pytest.mark.parametrize("text", [text for _, language, text in SHOWN if language == "toml"])
def test_pages__study_files_are_studies(text: str, tmp_path: Path) -> None:
    file = tmp_path / "shown.toml"
    file.write_text(text, encoding="utf-8")
    study = simdyn.load_study(file)
    assert study.space.methods
    assert next(blocks(f"```toml\n{text}```\n")).file.endswith(".toml")


def test_pages__scripts_in_their_text_are_there() -> None:
    found = {
        path
        for text in WRITTEN.values()
        for path in re.findall(r"`((?:tests|studies|simdyn|\.github)/[\w./]+)`", text)
    }
    assert len(found) > 15
    for path in found:
        assert (ROOT / path).exists(), path


PAGE = """\
```python
a = 2
```

```toml
# mine.toml
seed = 1
```

```python
from pathlib import Path

print(a + 1, Path("mine.toml").read_text().splitlines()[1])
```

```console
$ echo two | tr a-z A-Z
$ exit 3  # exit code 3
```

```sh
simdyn run STUDY
```
"""


def test_examples__run_in_their_order_and_show_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    page = examples.run(PAGE, "page.md", tmp_path / "page", [tmp_path / "studies"])
    assert page.count("```{code-block} text\n:class: output\n\n3 seed = 1\n```") == 1
    assert "```console\n$ echo two | tr a-z A-Z\nTWO\n$ exit 3  # exit code 3\n```" in page
    assert page.startswith("```python\na = 2\n```\n\n```toml\n# mine.toml\n")
    assert page.endswith("```sh\nsimdyn run STUDY\n```\n")
    assert (tmp_path / "page" / "studies").is_dir()


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("```python\nprint(1)\nraise ValueError('no luck')\n```\n", "1\nTraceback.*no luck"),
        ("```console\n$ echo out; false\n```\n", r"out\nTraceback.*exit code 1: echo out; false"),
        ("```console\n$ true  # exit code 2\n```\n", "exit code 0: true"),
    ],
)
def test_examples__that_fail_are_said(block: str, said: str, tmp_path: Path) -> None:
    tmp_path.joinpath("page").mkdir()
    with pytest.raises(SiteError, match=f"(?s)^page.md: an example fails:.*{said}"):
        examples.run(block, "page.md", tmp_path / "page", [])


def test_examples__pages_without_code_are_left_alone(tmp_path: Path) -> None:
    page = "# Title\n\n```sh\nsimdyn run STUDY\n```\n"
    assert script_of(page) == ""
    assert examples.run(page, "page.md", tmp_path / "none", []) == page
    assert not (tmp_path / "none").exists()
    assert with_outputs(page, [""]) == page


# -- notebooks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_notebooks__are_prose_and_code_without_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds[0] == "markdown"
    for before, cell in itertools.pairwise(notebook["cells"][1:]):
        assert {before["cell_type"], cell["cell_type"]} == {"markdown", "code"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_notebooks__are_shipped_and_their_links_lead_somewhere(path: Path) -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (shipped,) = config["tool"]["setuptools"]["package-data"].values()
    package = Path(simdyn.__file__).parent
    assert path in {file for pattern in shipped for file in package.glob(pattern)}
    links = re.findall(r"\]\(([\w/.]+)\)", path.read_text(encoding="utf-8"))
    assert len(links) >= 3
    for link in links:
        assert (path.parent / link).is_file(), link
    for page in ("index.md", "start.md", "howto/notebooks.md"):
        assert path.name in WRITTEN[page]
    assert f"({path.name})" in GENERATED["gallery.md"]


# -- the site ------------------------------------------------------------------------------------


def html_pages(site: Path) -> list[Path]:
    """The pages of a site, without the templates that its theme brings along."""
    return [file for file in site.rglob("*.html") if "_static" not in file.parts]


class Page(html.parser.HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {found["id"]} if found.get("id") else set()
        self.links += [found[key] for key in ("href", "src") if found.get(key)]


def check_pages_and_links(built: Path) -> None:
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in html_pages(built)}
    for name in (*WRITTEN, *GENERATED, *NOTEBOOKS):
        assert (built / name).with_suffix(".html") in pages
    broken = defaultdict(set)
    for file, page in pages.items():
        for link in page.links:
            if re.match(r"(https?|mailto|data):|//", link):
                continue
            place, _, anchor = link.partition("#")
            target = (file.parent / unquote(place.split("?")[0])).resolve() if place else file
            if not target.exists() or (
                anchor and target in pages and unquote(anchor) not in pages[target].anchors
            ):
                broken[link].add(file.name)
    assert not broken


def check_public_names(built: Path) -> None:
    head, body = (built / "objects.inv").read_bytes().split(b"zlib.\n", 1)
    assert b"simdyn" in head
    known = {line.split()[0] for line in zlib.decompress(body).decode().splitlines()}
    assert {f"simdyn.{name}" for name in simdyn.__all__} <= known
    assert {f"simdyn.theory.{name}" for name in theory.__all__} <= known
    assert {"simdyn.Problem.from_patches", "simdyn.Study.run", "simdyn.SAM.replace"} <= known


def check_loads(built: Path) -> None:
    """Nothing that a page loads lies elsewhere; links may lead there."""
    for file in html_pages(built):
        loads = re.findall(
            r"<(?:script|img|link)\b[^>]*?(?:src|href)=\"([^\"]+)\"",
            file.read_text(encoding="utf-8"),
        )
        assert loads
        assert not [each for each in loads if re.match("https?:|//", each)], file


def check_outputs_and_pictures(built: Path) -> None:
    text = (built / "start.html").read_text(encoding="utf-8")
    assert re.search(r"SAM, then SGD: training loss 0\.\d{3}, test error 0\.\d{4}", text)
    assert (built / "_images" / "growth.png").stat().st_size > 10_000


@pytest.mark.campaign
def test_site__is_whole_campaign(tmp_path: Path) -> None:
    """Built as users build it: this runs every example, and turns down warnings of Sphinx.

    One test, as several workers of pytest would each build the site.
    """
    out = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "simdyn.guide", out, "--checkout", ROOT],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "index.html")
    check_pages_and_links(out)
    check_public_names(out)
    check_loads(out)
    check_outputs_and_pictures(out)


def test_site__pages_leave_pictures_and_pass_on_results(tmp_path: Path) -> None:
    source, studies = tmp_path / "source", tmp_path / "studies"
    source.mkdir()
    studies.mkdir()
    first = "from pathlib import Path\n\nPath('results').mkdir()\nPath('results/kept').touch()\n"
    then = "from pathlib import Path\n\nPath('drawn.png').touch()\nprint(*Path().glob('*/*'))\n"
    (source / "start.md").write_text(f"```python\n{first}```\n", encoding="utf-8")
    (source / "then.md").write_text(f"```python\n{then}```\n", encoding="utf-8")
    site._run_examples(source, tmp_path / "scratch", studies)
    assert "\n\nresults/kept\n```" in (source / "then.md").read_text(encoding="utf-8")
    assert (source / "then" / "drawn.png").is_file()
    (source / "bad.md").write_text("```python\nnothing\n```\n", encoding="utf-8")
    with pytest.raises(SiteError, match=r"(?s)^bad.md: an example fails:.*NameError"):
        site._run_examples(source, tmp_path / "again", studies)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[there](nowhere.md)", "index.md:3: WARNING.*nowhere.md"),
        ("![picture](lost.png)", "image file not readable: lost.png"),
        ("{py:class}`simdyn.Nothing`", "target not found: simdyn.Nothing"),
    ],
)
def test_site__turns_warnings_down(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "index.md").write_text(f"# Title\n\n{text}\n", encoding="utf-8")
    with pytest.raises(SiteError, match=said):
        site._sphinx(tmp_path / "source", tmp_path / "html", tmp_path / "doctrees")


def test_build__refuses_other_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"studies is missing: run this in a checkout"):
        site.build(tmp_path / "site", tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("words", encoding="utf-8")
    with pytest.raises(InputError, match="mine is there and is no site of before"):
        site.build(mine, ROOT)
    assert [file.name for file in mine.iterdir()] == ["thesis.txt"]


def test_build__says_that_sphinx_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install '\.\[docs\]'"):
        site.build(ROOT / "nowhere", ROOT)
