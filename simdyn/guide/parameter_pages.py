"""Pages of what can be set, recorded and drawn, from the tables of the package."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic.fields import FieldInfo

import simdyn
from simdyn.base import formula
from simdyn.kernels.codes import ACTIVATIONS, ESTIMATORS, GOALS, LOSSES
from simdyn.params import (
    MODELS,
    OPTIMISERS,
    PICTURES,
    Crossing,
    Parameters,
    Record,
    Refinement,
    TwoLayerCNN,
    schedule,
)
from simdyn.theory.analysis import VALID
from simdyn.variables.registry import STATUS, VARIABLES
from simdyn.variables.variable import Variable

PUBLIC = frozenset(dir(simdyn))
RECORDED = {
    "always": "always",
    "by studies": "by default, by studies, `simulate` and `train`",
    "in full": "by default, by `simulate` and `train`; by a study if its record names it",
    "on request": "if the record names it",
    "by solving": "always, by studies that solve for a field",
}
NEEDS = {
    "fresh samples": "test samples drawn from the law of the data",
    "test samples": "test samples that are given",
    "one signal": "one signal, which every sample has",
    "one noise": "one noise vector a sample",
    "dictionary": "patch vectors without names as signal and noise",
    "piecewise linear": "a network that is piecewise linear in its weights",
    "strides": "a phase that goes in strides",
    "conditions": "a phase with `until`",
    "solved axis": "a study with `[solve]`",
    "weights": "explicit data and `Record(weights=True)`",
}


def pages() -> dict[str, str]:
    """Text by path."""
    return {
        "reference/parameters.md": parameters(),
        "reference/variables.md": variables(),
        "reference/statuses.md": statuses(),
        "reference/figures.md": figures(),
        "reference/formulas.md": formulas(),
    }


# -- classes of parameters -----------------------------------------------------------------------


def parameters() -> str:
    """All fields of data, network, phases and record."""
    return "\n\n".join(
        [
            "# Every parameter",
            "The fields of all parameter classes, which are also the fields of the tables of a "
            "[study file](../howto/study.md). All quantities are dimensionless unless their "
            "meaning says otherwise. A field without a default must be given. Fields of data, "
            "network and phases that hold numbers may be [formulas](formulas.md) in a study file. "
            "Objects are frozen: `x.replace(field=value)` makes a changed copy.",
            "## Data: `[data]`",
            'The field `model` of a study file names the law; without it, it is `"signal_noise"`.',
            *(_section(law, f'`model = "{name}"`') for name, law in MODELS.items()),
            "## Network: `[network]`",
            _section(TwoLayerCNN),
            "## Phases of training: `[methods]`",
            "A method is a list of phases, each a table with its `optimiser` and the fields below.",
            *(_section(kind, f'`optimiser = "{name}"`') for name, kind in OPTIMISERS.items()),
            "## What is interpolated: `refine` of `[space]`",
            "See [Map finely where it matters](../howto/adaptive_maps.md).",
            _section(Refinement),
            "## What is solved for: `[solve]`",
            "Its quantities are in the [variables](variables.md) that such studies record. See "
            "[Solve for a critical value](../howto/critical_lines.md).",
            _section(Crossing),
            "## Record: `[record]`",
            _section(Record),
        ]
    )


def figures() -> str:
    """All options of all kinds of figure."""
    return "\n\n".join(
        [
            "# Every figure option",
            "The kinds of figure that a study can declare in its table `[figure]`, and their "
            "options. From Python, a figure is an object of these classes, in `simdyn.params`: "
            "`simdyn.plot.draw(ds, figure)` draws it from results, and `simdyn.plot.save` writes "
            "it as PNG and PDF. See [Draw your own figure](../howto/figure.md).",
            *(_section(kind, f'`kind = "{name}"`', "##") for name, kind in PICTURES.items()),
        ]
    )


def _section(owner: type[Parameters], name: str = "", level: str = "###") -> str:
    """A class: its first sentence, a table of its fields, and what its docstring says of them."""
    rows = [
        (f"`{name}`", owner.symbol(name), field.description or "", default(field), allowed)
        for name, field in owner.model_fields.items()
        for allowed in [owner.allowed(name)]
    ]
    parts = [
        f"{level} {owner.__name__}",
        f"{name}{'. ' if name else ''}{_summary(owner)}\n\n{_link(owner)}",
        table(("Field", "Symbol", "Meaning", "Default", "Allowed"), rows),
    ]
    if details := list(documented(owner)):
        parts += [f"`{field}`\n: {text}" for field, text in details]
    return "\n\n".join(parts)


def default(field: FieldInfo) -> str:
    """The default of a field, as a study file has it."""
    if field.is_required():
        return "must be given"
    if field.default is None:
        return "absent"
    return f"`{plain(field.default)}`"


def plain(value: Any) -> str:
    """A value as a study file has it."""
    if isinstance(value, bool):
        return f"{value}".lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(plain, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def _link(owner: type) -> str:
    place = "simdyn" if owner.__name__ in PUBLIC else "simdyn.params"
    return f"In Python: {{py:class}}`{place}.{owner.__name__}`."


def _summary(owner: type) -> str:
    return marked((inspect.getdoc(owner) or "").partition("\n\n")[0])


def documented(owner: type) -> Iterator[tuple[str, str]]:
    """Names and descriptions of a docstring's section Parameters."""
    text = inspect.getdoc(owner) or ""
    found = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", text, re.M | re.S)
    for name, lines in re.findall(r"^(\S.*)\n((?:^ +.*\n?|^\n)*)", found[1] if found else "", re.M):
        if description := " ".join(lines.split()):
            yield name.partition(" : ")[0], marked(description)


# -- variables and statuses ----------------------------------------------------------------------


def variables() -> str:
    """All recorded variables."""
    return "\n\n".join(
        [
            "# Every variable",
            "What results may hold. Each is a variable of the dataset, whose attributes have the "
            "same entries. Every variable has the dims of the grid, `method` (in studies) and "
            "`replicate`, then its own. Which are recorded is chosen by `Record(variables=…)`; "
            "which can be is decided by data, network and plan.",
            table(
                ("Variable", "Symbol", "Meaning"),
                ((f"[`{n}`](#{n})", v.symbol, v.long_name) for n, v in VARIABLES.items()),
            ),
            *(_variable(name, each) for name, each in VARIABLES.items()),
        ]
    )


def _variable(name: str, variable: Variable) -> str:
    needs = [NEEDS[need] for need in variable.needs]
    if variable.test and not needs:
        needs = ["test samples, drawn or given"]
    rows = {
        "Symbol": variable.symbol,
        "Equation": f"`{variable.equation}`" if variable.equation else "",
        "Units": "none (1)" if variable.units == "1" else variable.units,
        "Own dims": ", ".join(f"`{dim}`" for dim in variable.dims),
        "Type": variable.dtype,
        "Recorded": RECORDED[variable.recorded],
        "Needs": "; ".join(needs),
        "May end a phase": "yes, in `until`" if name in GOALS else "",
    }
    lines = "\n".join(f"- {key}: {value}" for key, value in rows.items() if value)
    text = variable.description
    if name == "status":
        text = "How the run ended: one of [these codes](statuses.md)."
    return f"({name})=\n## {name}\n\n*{variable.long_name}.* {text}\n\n{lines}"


def statuses() -> str:
    """All ways in which a run can end."""
    rows = []
    for code, text in STATUS.items():
        word, _, more = text.partition(": ")
        rows.append((f"{code}", word, more, "yes" if code in VALID else "no"))
    return "\n\n".join(
        [
            "# Every status",
            "The variable `status` says how each run ended, and `status_step` the update at which "
            "that was noticed. A value is never NaN without its cause here. Means, figures and "
            "`simdyn.summary` are over the runs whose last state is valid, and count the others.",
            table(("Code", "Status", "What it means", "Last state valid"), rows),
            *_STATUS_NOTES,
        ]
    )


_STATUS_NOTES = (
    "*Failed* (4) is a point that could not be computed, such as one that ends its own process "
    "three times while others live; `simdyn status` tells the cause, and "
    "`simdyn run --retry-failed` tries it once more. *Masked* (5) is a point at which the study's "
    "`where` is false; nothing is computed there. *Missing* (0) is what has not been computed yet.",
)


# -- formulas ------------------------------------------------------------------------------------


def formulas() -> str:
    """What formulas may hold, and the tables of activations, losses, estimators and conditions."""
    definitions = {
        f"{name}({', '.join(arguments)})": text
        for name, (arguments, text) in schedule._DEFINITIONS.items()
    }
    operators = ", ".join(f"`{sign}`" for sign in formula.BINARY.values())
    functions = ", ".join(f"`{name}`" for name in formula.FUNCTIONS)
    constants = ", ".join(f"`{name}`" for name in formula.CONSTANTS)
    return "\n\n".join(
        [
            "# Formulas, activations and other names",
            "## Formulas in a study file",
            "A field of data, network or a phase that holds a number may be a text with a formula "
            "over the names of other such fields and of swept names: "
            '`init_std = "0.1/(noise_std*sqrt(dimension))"`. A formula is parsed against what '
            "follows, and never run as code.",
            f"- operators: {operators}\n- functions: {functions}\n- constants: {constants}",
            "`where` in `[space]` is a comparison of formulas, or several joined with `and`, `or` "
            "and `not`. Numbers that agree to twelve digits are equal.",
            "## Learning rates",
            "`learning_rate` may also read "
            + ", ".join(f"`{name}`" for name in schedule.NAMES)
            + ", the numbers of completed epochs and updates in this phase, and of all of them. It "
            "may call",
            table(
                ("Call", "Is"), ((f"`{call}`", f"`{text}`") for call, text in definitions.items())
            ),
            "where `per_epoch` is the number of updates in an epoch.",
            "## Conditions: `until`",
            "A condition is a name, `<` or `>`, and a number: "
            '`until = "train_loss < 0.01"`. The names are '
            + ", ".join(f"`{name}`" for name in GOALS)
            + "; `margin` is the smallest, `signal_coef` and `noise_coef` the largest.",
            "## Activations",
            table(
                ("`activation`", "σ(z)", "Shape", "Allowed shape", "Test error by"),
                (
                    (
                        f'`"{name}"`',
                        row.formula,
                        "none" if row.default is None else f"{row.default:g}",
                        row.allowed,
                        ", ".join(row.estimators),
                    )
                    for name, row in ACTIVATIONS.items()
                ),
            ),
            "## Losses",
            table(
                ("`loss`", "ℓ of the margin"),
                ((f'`"{name}"`', row.formula) for name, row in LOSSES.items()),
            ),
            "## Estimators of the test error",
            table(
                ("`test_estimator`", "Draws if not given"),
                ((f'`"{name}"`', f"{row.draws}") for name, row in ESTIMATORS.items()),
            ),
            "What each does is on the page [Lines of test error](../concepts/lines.md).",
        ]
    )


# -- Markdown ------------------------------------------------------------------------------------


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def marked(text: str) -> str:
    """Markdown of a docstring's text, in which code has one or two backticks."""
    text = " ".join(text.split())
    return re.sub(r"\*(?=\w)|(?<=\w)\*(?=\w)", r"\\*", text.replace("``", "`"))
