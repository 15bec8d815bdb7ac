"""The page of laws, from the docstrings of `simdyn.theory`, and the list of claims."""

import inspect
import re

from simdyn import theory
from simdyn.claims import CLAIMS
from simdyn.guide.parameter_pages import marked, table

LAWS = [name for name in theory.__all__ if name not in ("conditions", "predictions")]
MARKS = {"E": "exact", "N": "numerical", "R": "recalled"}


def pages() -> dict[str, str]:
    """Text by path."""
    return {"theory/laws.md": laws(), "theory/claims.md": claims()}


def marks(text: str) -> list[str]:
    """The marks that a docstring gives, in words, each once."""
    return [word for letter, word in MARKS.items() if f"[{letter}]" in text]


def laws() -> str:
    """Every closed form, with its equation, source, regime and marks."""
    functions = {name: getattr(theory, name) for name in LAWS}
    docs = {name: inspect.getdoc(each) or "" for name, each in functions.items()}
    rows = (
        (f"[`{name}`](#{name})", marked(text.partition("\n")[0]), ", ".join(marks(text)))
        for name, text in docs.items()
    )
    source = " ".join((inspect.getdoc(theory) or "").split("\n\n")[1].split("Marks:")[0].split())
    return "\n\n".join(
        [
            "# Every law",
            "The closed forms of `simdyn.theory`. Each takes numbers or arrays, labelled ones too. "
            "Marks: *exact*, derived, and checked to rounding; *numerical*, measured to leading "
            "order in the regime that is named; *recalled*, quoted from memory.",
            source,
            table(("Law", "What it is", "Marks"), rows),
            *(_law(name, text) for name, text in docs.items()),
        ]
    )


def _law(name: str, text: str) -> str:
    parts = text.split("\n\n")
    until = next(i for i, part in enumerate(parts) if part.startswith("Parameters\n"))
    notes = re.search(r"^Notes\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", text, re.M | re.S)
    said = (notes[1] if notes else "").split("\n\n")
    body = "\n\n".join(_in_words(part) for part in [*parts[:until], *said] if part.strip())
    return f"({name})=\n## {name}\n\n{body}\n\nArguments: {{py:func}}`simdyn.theory.{name}`."


def _in_words(text: str) -> str:
    for letter, word in MARKS.items():
        text = text.replace(f"[{letter}]", f"*[{word}]*")
    return marked(text).replace(r"\*[", "*[")


def claims() -> str:
    """Every claim that `simdyn check` measures."""
    rows = (
        (f"`{claim.name}`", claim.statement, claim.mark, claim.regime, claim.source)
        for claim in CLAIMS.values()
    )
    return "\n\n".join(
        [
            "# Every claim",
            "What `simdyn check` measures: each claim with its mark, the regime in which it is "
            "stated, and its source. Statements of papers are as recalled. What came out is on "
            "the page [The predictions, measured](../measured/predictions.md).",
            table(("Claim", "Statement", "Mark", "Regime", "Source"), rows),
        ]
    )
