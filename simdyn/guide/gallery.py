"""The gallery: every committed figure with its study's question and the command that draws it."""

import re
from pathlib import Path

from simdyn.guide.parameter_pages import plain
from simdyn.space.axes import RULES
from simdyn.study.tables import read_tables


def pages(studies: Path, figures: Path) -> dict[str, str]:
    """Text by path."""
    parts = [
        "# Gallery",
        "Every study of the repository with the question it asks, its figure and what is seen in "
        "it, and the command that simulates and draws it. A study file is an example, too: copy "
        "one and change it. Add `--smoke` to try a small variant in seconds. The "
        "[tutorial](tutorial.ipynb) is a notebook with small studies of this kind, from the first "
        "run to a critical line.",
    ]
    for file in sorted(studies.glob("*.toml")):
        parts.append(_entry(file, figures / f"{file.stem}.png"))
    return {"gallery.md": "\n\n".join(parts) + "\n"}


def question(text: str) -> str:
    """What a study file asks at its top."""
    return _head(text)[0]


def seen(text: str) -> str:
    """What the top of a study file says is seen in its figure; empty if it says nothing."""
    return _head(text)[1]


def _head(text: str) -> tuple[str, str]:
    """The comment at the top, before and after 'Seen:'."""
    head = re.match(r"(?:#.*\n)+", text)
    whole = " ".join(line.lstrip("# ") for line in head[0].splitlines()) if head else ""
    before, _, after = whole.partition("Seen: ")
    return before.strip(), after[:1].upper() + after[1:]


def escaped(text: str) -> str:
    """Plain text for Markdown."""
    return text.replace("*", "\\*")


def _entry(file: Path, picture: Path) -> str:
    text = file.read_text(encoding="utf-8")
    tables = read_tables(file)
    methods = ", ".join(f"`{name}`" for name in tables["methods"])
    swept = [name for name in tables.get("space", {}) if name not in RULES]
    over = f" over {' and '.join(f'`{name}`' for name in swept)}" if swept else ""
    replicates = tables.get("replicates", 1)
    parts = [
        f"({file.stem})=\n## {file.stem.replace('_', ' ').capitalize()}",
        escaped(question(text)),
        f"Methods {methods}{over}; {plain(replicates)} replicates.",
    ]
    if picture.is_file():
        parts.append(f"![The figure of {file.name}](/figures/{picture.name})")
    if found := seen(text):
        parts.append(f"**Seen:** {escaped(found)}")
    parts += [
        f"```sh\nsimdyn run studies/{file.name}\n```",
        f"<details>\n<summary>The study file</summary>\n\n```toml\n{text}```\n\n</details>",
    ]
    return "\n\n".join(parts)
