"""The page of all commands and their options, from the command line itself."""

import re
from typing import Any

from simdyn.cli.commands import by_name
from simdyn.guide.parameter_pages import table


def pages() -> dict[str, str]:
    """Text by path."""
    parts = [
        "# Every command",
        "What `simdyn COMMAND --help` says, for every command. How they are used together is on "
        "the page [From the command line](../howto/command_line.md).",
    ]
    for name, command in by_name().items():
        parts += [f"## simdyn {name}", _prose(command.help or ""), *_options(command)]
    return {"reference/commands.md": "\n\n".join(parts)}


def _prose(text: str) -> str:
    text = re.sub(r"\[/?bold\]", "", text)
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _options(command: Any) -> list[str]:
    rows = []
    for each in command.params:
        argument = not getattr(each, "help", None) or each.param_type_name == "argument"
        name = each.metavar or (each.name or "").upper() if argument else ", ".join(each.opts)
        about = " ".join(str(getattr(each, "help", None) or "").split())
        rows.append((f"`{name}`", about, _default(each)))
    return [table(("Argument or option", "Meaning", "Default"), rows)] if rows else []


def _default(each: Any) -> str:
    if each.required:
        return "must be given"
    if each.default in (None, False, ()) or callable(each.default):
        return ""
    return f"`{each.default}`"
