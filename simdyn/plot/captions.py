"""Sentences of captions: fixed parameters, training, and the study that a figure is from."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.mathtext import MathTextParser

from simdyn.base.inputs import InputError
from simdyn.params import OPTIMISERS, ImageData, SignalNoiseData
from simdyn.plot import artists

ACRONYMS = {"sgd": "SGD", "sam": "SAM", "gd": "GD"}
NBSP = "\u00a0"
MODEL_WORDS = {"xor": "XOR", "independent_noise": "independent noise", "multi_view": "multi-view"}
CLASSES = ("positive", "negative")
LABELS = "method_labels"  # the attribute with a figure's names of methods
NAMED_ELSEWHERE = ("activation_shape", *CLASSES)


def with_labels(ds: xr.Dataset, labels: Mapping[str, str] | None) -> xr.Dataset:
    """Results with a figure's names of methods, for `display_name`.

    Raises
    ------
    InputError
        If a label has mathematics that cannot be set.
    """
    for method, text in (labels or {}).items():
        try:
            MathTextParser("path").parse(text)
        except ValueError as problem:
            why = str(problem).splitlines()[-1].partition("  (")[0]
            raise InputError(f"figure.labels.{method} = {text!r}: cannot be set: {why}") from None
    return ds.assign_attrs({LABELS: dict(labels)}) if labels else ds


def display_name(method: str, ds: xr.Dataset | None = None) -> str:
    """The name of a method for a reader: the label of the figure that is drawn, if it has one."""
    labels = {} if ds is None else ds.attrs.get(LABELS, {})
    if method in labels:
        return str(labels[method])
    return ACRONYMS.get(method, method.replace("_", " "))


def plural(number: int, noun: str) -> str:
    """A number and its noun, in the plural unless the number is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def data_model(ds: xr.Dataset) -> str:
    """The name of the law of the data in study files; the paper's if the results have none."""
    fields = json.loads(ds.attrs.get("study", "{}")).get("data", {})
    return str(fields.get("model", SignalNoiseData.model))


def data(ds: xr.Dataset) -> str:
    """The law of the data, if it is not the paper's."""
    model = data_model(ds)
    if model == ImageData.model:
        names = {
            name: str(ds[name].item())
            for name in ("source", "positive", "negative")
            if name in ds and ds[name].ndim == 0
        }
        source = Path(names.get("source", "several sources")).stem
        return f"{source}: " + " against ".join(names.get(name, "swept") for name in CLASSES)
    return "" if model == SignalNoiseData.model else f"{MODEL_WORDS.get(model, model)} data"


def fixed_parameters(ds: xr.Dataset) -> str:
    """Parameters on no axis: the sizes n, m and P first."""
    sizes = ("n_samples", "n_filters", "n_patches")
    rest = (str(name) for name in ds.coords if name not in (*sizes, "updates", "update", *ds.dims))
    items = []
    for name in (*(size for size in sizes if size in ds.coords and size not in ds.dims), *rest):
        symbol = artists.math_symbol(ds[name].attrs.get("symbol", ""))
        of_runs = {"method", "replicate", "sample"} & {*ds[name].dims}  # labels, no parameters
        if of_runs or name in CLASSES or not np.issubdtype(ds[name].dtype, np.number):
            continue
        low, high = float(ds[name].min()), float(ds[name].max())
        value = f"{low:g}" if low == high else f"{low:g}…{high:g}"
        if symbol:
            items.append(f"{symbol}{NBSP}={NBSP}{value}")
        elif name not in NAMED_ELSEWHERE and high > 0.0:
            items.append(f"{ds[name].attrs.get('long_name', name)} {value}")
    return ", ".join(items)


def _phase(fields: Mapping[str, Any]) -> str:
    """One phase: optimiser, radius, rate, epochs, batch; formulas as text."""
    owner = OPTIMISERS[fields["optimiser"]]

    def item(name: str) -> str:
        value = fields.get(name, "swept")
        number = f"{value:g}" if isinstance(value, int | float) else str(value)
        return f"{artists.math_symbol(owner.symbol(name))}{NBSP}={NBSP}{number}"

    batch = "full batch" if fields.get("batch_size", "swept") is None else item("batch_size")
    radius = [item("radius")] if "radius" in owner.model_fields else []
    count = fields.get("epochs", "swept")
    power = round(math.log10(count)) if isinstance(count, int) and count >= 10**6 else 0
    most = "at most " if fields.get("until") else ""
    epochs = f"{most}{f'$10^{{{power}}}$' if power and count == 10**power else count} epochs"
    rest = [item(name) for name in ("momentum", "weight_decay") if fields.get(name)]
    if fields.get("label_noise"):
        rest.append(f"label noise {fields['label_noise']}")
    if fields.get("normalised") is False:
        rest.append("not normalised")
    if fields.get("group_size"):
        rest.append(f"groups of {fields['group_size']}")
    if fields.get("restart"):
        rest.append("velocity from zero")
    if (stepping := fields.get("stepping", "exact")) != "exact":
        rest.append({"strides": "in strides", "flow": "gradient flow"}.get(stepping, stepping))
    if fields.get("until"):
        rest.append(f"until {fields['until']}")
    items = [*radius, item("learning_rate"), batch, epochs, *rest]
    return f"{fields['optimiser']} " + ", ".join(items)


def plans(ds: xr.Dataset, methods: Sequence[str]) -> str:
    """How each method trains, as far as the results say."""
    known, parts = json.loads(ds.attrs.get("study", "{}")).get("methods", {}), []
    for method in methods:
        if method in known:
            phases = [
                {
                    name: value
                    for name, value in fields.items()
                    if not {name, f"{method}.{k}.{name}"} & {*ds.dims, *ds.coords}
                }
                for k, fields in enumerate(known[method])
            ]
            plan = ", then ".join(map(_phase, phases))
            parts.append(
                plan
                if plan.split()[0] == display_name(method, ds)
                else f"{display_name(method, ds)}: {plan}"
            )
    return "; ".join(parts)


def network(ds: xr.Dataset) -> str:
    """What differs from the paper's network: activation, output, loss, reduction."""
    usual = {
        "activation": "relu",
        "output": "mean",
        "loss": "logistic",
        "reduction": "mean",
        "init": "gaussian",
        "noise": "isotropic",
    }
    parts = []
    for name, value in usual.items():
        if name in ds and ds[name].ndim == 0 and str(ds[name].item()) != value:
            number = ds.get("activation_shape") if name == "activation" else None
            shape = "" if number is None or number.ndim else f" ({number.item():g})"
            parts.append(f"{name} {display_name(str(ds[name].item()))}{shape}")
    return ", ".join(parts)


def setting(ds: xr.Dataset, methods: Sequence[str]) -> list[str]:
    """Sentences: fixed parameters, and how each method trains."""
    about = ", ".join(filter(None, (data(ds), fixed_parameters(ds), network(ds))))
    sentences = filter(None, (about, plans(ds, methods)))
    return [
        f"{sentence[0].upper() if sentence[0].isascii() else sentence[0]}{sentence[1:]}."
        for sentence in sentences
    ]


def not_drawn(ds: xr.Dataset, methods: Sequence[str]) -> list[str]:
    """A sentence that names the study's methods that are not drawn."""
    rest = [str(name) for name in ds["method"].values if str(name) not in methods]
    return [f"Not drawn: {', '.join(display_name(name, ds) for name in rest)}."] if rest else []


def origin(ds: xr.Dataset) -> str:
    """The study, its seed and its fingerprint, as the last sentence."""
    fingerprint = str(ds.attrs.get("fingerprint", ""))[:12] or "unknown"
    return (
        f"Study {ds.attrs.get('title', 'unknown')}, seed {ds.attrs.get('seed', 'unknown')}, "
        f"fingerprint {fingerprint}."
    )
