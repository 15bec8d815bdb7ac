"""Wrong commands and options: one line and exit code 2, like any other bad input."""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup


class OneLine(TyperGroup):
    """The commands of `simdyn`, with one line for each usage error."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of a name."""
        if args[0] not in self.commands:
            from simdyn.base.inputs import nearest, shown

            ctx.fail(f"no such command {shown(args[0])}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Parse and call; Typer itself would print a box of many lines for a usage error."""
        if not extra.get("standalone_mode", True):
            return super().main(*args, **extra)
        given = args[0] if args else extra.pop("args", None)
        words = list(sys.argv[1:] if given is None else given)
        try:
            code = super().main(words, *args[1:], **{**extra, "standalone_mode": False})
        except Exception as problem:
            # Some versions of Typer have a copy of click, so that its classes are not imported.
            if not hasattr(problem, "format_message"):
                raise
            if type(problem).__name__ != "NoArgsIsHelpError":  # else the help is printed already
                from simdyn.base.inputs import InputError

                asked = words[0] if words and words[0] in self.commands else ""
                line = InputError(explain(problem, words, f"simdyn {asked}".strip()))
                typer.echo(f"simdyn: {line}", err=True)
            sys.exit(getattr(problem, "exit_code", 2))
        sys.exit(code if isinstance(code, int) else 0)


def explain(problem: Any, words: Sequence[str], command: str) -> str:
    """A usage error in the form of other messages: what is wrong, the value, what is allowed."""
    from simdyn.base.inputs import shown

    ctx, param = getattr(problem, "ctx", None), getattr(problem, "param", None)
    message = str(problem.format_message()).strip().removesuffix(".")
    more = f"see {command} --help"
    kind = type(problem).__name__
    if kind == "NoSuchOption":
        name = problem.option_name
        close = _nearest_option(name, ctx)
        return f"no such option {name}; " + (f"did you mean {close}?" if close else more)
    if kind == "MissingParameter" and param is not None:
        option = param.param_type_name == "option"
        form = f" {param.metavar}" if option and param.metavar else ""
        return f"missing {param.param_type_name} {_label(param)}{form}; {more}"
    if param is not None:
        given = _given(param, words)
        value = "" if given is None else f" {shown(given)}"
        return f"{_label(param)}{value}: allowed is {_allowed(message)}"
    if "Did you mean" in message or message.startswith("no such command"):
        return message
    return f"{message[:1].lower()}{message[1:]}; {more}"


def _label(param: Any) -> str:
    """An option's or an argument's name as the help shows it."""
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper()).strip("[].")
    return str(max(param.opts, key=len))


def _nearest_option(name: str, ctx: Any) -> str | None:
    """The option that may have been meant."""
    import difflib

    from simdyn.base.inputs import SYNONYMS

    params = ctx.command.get_params(ctx) if ctx is not None else []
    known = [opt for param in params for opt in param.opts if opt.startswith("-")]
    meant = SYNONYMS.get(name.lstrip("-").replace("-", "_"), ())
    for option in (f"--{field.replace('_', '-')}" for field in meant):
        if option in known:
            return option
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return close[0] if close else None


def _given(param: Any, words: Sequence[str]) -> str | None:
    """The value an option had on the command line; the last one counts."""
    for at in reversed(range(len(words))):
        name, equals, value = words[at].partition("=")
        if name in param.opts:
            return value if equals else next(iter(words[at + 1 : at + 2]), None)
    return None


def _allowed(message: str) -> str:
    """What a value may be, from the parser's message about a bad one."""
    words = message.rpartition(": ")[2].lower()
    if "integer" in words:
        return "an integer"
    if "number" in words or "float" in words:
        return "a number"
    return f"another value ({message.rpartition(': ')[2]})"
