"""Words of captions: what was held, how it was trained, where it comes from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from simdyn.params import OPTIMISERS, ImageData, SignalNoiseData
from simdyn.plot import artists

ACRONYMS = {"sgd": "SGD", "sam": "SAM", "gd": "GD"}
NBSP = "\u00a0"
MODEL_WORDS = {"xor": "XOR", "independent_noise": "independent noise", "multi_view": "multi-view"}
CLASSES = ("positive", "negative")
TOLD_ELSEWHERE = ("activation_shape", *CLASSES)


def spoken(method: str) -> str:
    """The name of a method as a reader knows it."""
    return ACRONYMS.get(method, method.replace("_", " "))


def count(number: int, what: str) -> str:
    """A number of things, in the plural where due."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def data_model(ds: xr.Dataset) -> str:
    """The law of the data by its name in study files; the paper's where the results do not tell."""
    told = json.loads(ds.attrs.get("study", "{}")).get("data", {})
    return str(told.get("model", SignalNoiseData.model))


def data(ds: xr.Dataset) -> str:
    """The law of the data where it is not the paper's."""
    model = data_model(ds)
    if model == ImageData.model:
        said = {
            name: str(ds[name].item())
            for name in ("source", "positive", "negative")
            if name in ds and ds[name].ndim == 0
        }
        source = Path(said.get("source", "several sources")).stem
        return f"{source}: " + " against ".join(said.get(name, "swept") for name in CLASSES)
    return "" if model == SignalNoiseData.model else f"{MODEL_WORDS.get(model, model)} data"


def held(ds: xr.Dataset) -> str:
    """The parameters that are on no axis: the sizes n, m and P first."""
    sizes = ("n_samples", "n_filters", "n_patches")
    rest = (str(name) for name in ds.coords if name not in (*sizes, "updates", "update", *ds.dims))
    items = []
    for name in (*(size for size in sizes if size in ds.coords and size not in ds.dims), *rest):
        symbol = artists.math_symbol(ds[name].attrs.get("symbol", ""))
        if name in CLASSES or not np.issubdtype(ds[name].dtype, np.number):
            continue
        low, high = float(ds[name].min()), float(ds[name].max())
        value = f"{low:g}" if low == high else f"{low:g}…{high:g}"
        if symbol:
            items.append(f"{symbol}{NBSP}={NBSP}{value}")
        elif name not in TOLD_ELSEWHERE and high > 0.0:
            items.append(f"{ds[name].attrs.get('long_name', name)} {value}")
    return ", ".join(items)


def _phase(fields: Mapping[str, Any]) -> str:
    """One phase: optimiser, radius, rate, epochs, batch; formulas as they stand."""
    owner = OPTIMISERS[fields["optimiser"]]

    def item(name: str) -> str:
        value = fields.get(name, "swept")
        number = f"{value:g}" if isinstance(value, int | float) else str(value)
        return f"{artists.math_symbol(owner.symbol(name))}{NBSP}={NBSP}{number}"

    batch = "full batch" if fields.get("batch_size", "swept") is None else item("batch_size")
    radius = [item("radius")] if "radius" in owner.model_fields else []
    epochs = f"{fields.get('epochs', 'swept')} epochs"
    rest = [item(name) for name in ("momentum", "weight_decay") if fields.get(name)]
    if fields.get("label_noise"):
        rest.append(f"label noise {fields['label_noise']}")
    if fields.get("normalised") is False:
        rest.append("not normalised")
    if fields.get("group_size"):
        rest.append(f"groups of {fields['group_size']}")
    if fields.get("restart"):
        rest.append("velocity from zero")
    items = [*radius, item("learning_rate"), batch, epochs, *rest]
    return f"{fields['optimiser']} " + ", ".join(items)


def plans(ds: xr.Dataset, methods: Sequence[str]) -> str:
    """How each method trains; nothing where the results do not tell."""
    told, said = json.loads(ds.attrs.get("study", "{}")).get("methods", {}), []
    for method in methods:
        if method in told:
            phases = [
                {
                    name: value
                    for name, value in fields.items()
                    if not {name, f"{method}.{k}.{name}"} & {*ds.dims, *ds.coords}
                }
                for k, fields in enumerate(told[method])
            ]
            plan = ", then ".join(map(_phase, phases))
            said.append(plan if plan.split()[0] == spoken(method) else f"{spoken(method)}: {plan}")
    return "; ".join(said)


def network(ds: xr.Dataset) -> str:
    """What of the network is not the paper's: activation, output, loss, reduction."""
    usual = {
        "activation": "relu",
        "output": "mean",
        "loss": "logistic",
        "reduction": "mean",
        "init": "gaussian",
        "noise": "isotropic",
    }
    said = []
    for name, value in usual.items():
        if name in ds and ds[name].ndim == 0 and str(ds[name].item()) != value:
            number = ds.get("activation_shape") if name == "activation" else None
            shape = "" if number is None or number.ndim else f" ({number.item():g})"
            said.append(f"{name} {spoken(str(ds[name].item()))}{shape}")
    return ", ".join(said)


def setting(ds: xr.Dataset, methods: Sequence[str]) -> list[str]:
    """Sentences: what was held, and how each method trains."""
    about = ", ".join(filter(None, (data(ds), held(ds), network(ds))))
    sentences = filter(None, (about, plans(ds, methods)))
    return [f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences]


def not_drawn(ds: xr.Dataset, methods: Sequence[str]) -> list[str]:
    """A sentence that names the study's methods that a figure does not show."""
    rest = [str(name) for name in ds["method"].values if str(name) not in methods]
    return [f"Not drawn: {', '.join(map(spoken, rest))}."] if rest else []


def origin(ds: xr.Dataset) -> str:
    """The study, its seed and its fingerprint, as the last sentence."""
    fingerprint = str(ds.attrs.get("fingerprint", ""))[:12] or "unknown"
    return (
        f"Study {ds.attrs.get('title', 'unknown')}, seed {ds.attrs.get('seed', 'unknown')}, "
        f"fingerprint {fingerprint}."
    )
