"""The reference of all public names: an index, and a page for each."""

import importlib
import inspect
from typing import Any

import simdyn
from simdyn import plot, theory
from simdyn.guide.parameter_pages import marked, table
from simdyn.params import PICTURES, Parameters

GROUPS = {
    "Data": (
        "SignalNoiseData",
        "IndependentNoiseData",
        "XORData",
        "MultiViewData",
        "ClusterData",
        "ImageData",
        "Problem",
        "initial_weights",
        "draw",
    ),
    "Network, training and record": ("TwoLayerCNN", "SGD", "SAM", "Record", "Crossing"),
    "Running": ("simulate", "train", "Study", "load_study"),
    "Results": ("open_results", "replay", "summary", "exponent", "collapse"),
    "Modules": ("theory", "analysis", "plot"),
}
MODULES = {  # further groups: names of modules, which are documented under their module's name
    "Figures": {"simdyn.params": [kind.__name__ for kind in PICTURES.values()]},
    "Fine maps": {"simdyn.params": ["Refinement"]},
    "Drawing": {"simdyn.plot": plot.__all__},
    "Laws": {"simdyn.theory": theory.__all__},
    "Analysis of results": {
        "simdyn.theory.analysis": [
            "mean_state",
            "largest_coefficients",
            "paired_difference",
            "contour",
            "fit_critical_constant",
            "ConstantFit",
        ]
    },
    "Regime": {"simdyn.theory.regime": ["regime", "Regime", "conditions"]},
    "Claims": {"simdyn.claims": ["check", "Claim", "Bench"]},
}


def groups() -> dict[str, dict[str, Any]]:
    """Objects by their full name, by group; every public name is in one."""
    grouped = {name for names in GROUPS.values() for name in names}
    others = tuple(name for name in sorted(dir(simdyn)) if name not in grouped)
    named = {
        group: {f"simdyn.{name}": getattr(simdyn, name) for name in names}
        for group, names in {**GROUPS, "Errors and other names": others}.items()
        if names
    }
    inner = {
        group: {
            f"{module}.{name}": getattr(importlib.import_module(module), name)
            for module, names in modules.items()
            for name in names
        }
        for group, modules in MODULES.items()
    }
    return named | inner


def pages() -> dict[str, str]:
    """Text by path."""
    found = {"api/index.md": _index()}
    for objects in groups().values():
        for name, value in objects.items():
            found[f"api/{name}.md"] = _page(name, value)
    return found


def _index() -> str:
    parts = ["# Public names"]
    for group, objects in groups().items():
        rows = (
            (f"[`{name.removeprefix('simdyn.')}`]({name}.md)", _first_line(value))
            for name, value in objects.items()
        )
        parts += [f"## {group}", table(("Name", "What it is"), rows)]
    names = [name for objects in groups().values() for name in objects]
    listed = "\n".join(f"{name.removeprefix('simdyn.')} <{name}>" for name in names)
    return "\n\n".join([*parts, f"```{{toctree}}\n:hidden:\n\n{listed}\n```"])


def _first_line(value: Any) -> str:
    return marked((inspect.getdoc(value) or "").partition("\n\n")[0])


def _page(name: str, value: Any) -> str:
    module, _, last = name.rpartition(".")
    if inspect.ismodule(value):
        text = marked(inspect.getdoc(value) or "")
        return f"# {last}\n\n```{{eval-rst}}\n.. py:module:: {name}\n```\n\n{text}\n"
    parts = [f".. py:currentmodule:: {module}"]
    if inspect.isclass(value):
        parts.append(f".. autoclass:: {name}")
        if issubclass(value, BaseException):
            parts.append("   :show-inheritance:")
        parts += [f"   .. auto{kind}:: {member}" for member, kind in members(value)]
    else:
        parts.append(f".. autofunction:: {name}")
    body = "\n\n".join(parts).replace("\n\n   :show", "\n   :show")
    fields = ""
    if inspect.isclass(value) and issubclass(value, Parameters):
        page = "figures" if value in PICTURES.values() else "parameters"
        fields = f"\n\nAll fields in a table: [here](../reference/{page}.md#{last.lower()}).\n"
    return f"# {name.removeprefix('simdyn.')}\n\n```{{eval-rst}}\n{body}\n```{fields}"


def members(owner: type) -> list[tuple[str, str]]:
    """Public methods and properties of a class that simdyn defines, with their kind."""
    found = []
    for name in dir(owner):
        value = inspect.getattr_static(owner, name)
        inner = getattr(value, "__func__", getattr(value, "fget", getattr(value, "func", value)))
        ours = str(getattr(inner, "__module__", "")).startswith("simdyn.")
        if name.startswith("_") or not ours or not inspect.getdoc(inner):
            continue
        if inspect.isfunction(value) or isinstance(value, classmethod | staticmethod):
            found.append((name, "method"))
        elif isinstance(value, property) or hasattr(value, "func"):
            found.append((name, "property"))
    return found
