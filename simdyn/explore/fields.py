"""What can be set on the playground: one row for each field, with the range of its slider."""

import dataclasses
from typing import Literal

from simdyn.kernels.codes import ACTIVATIONS
from simdyn.params import MODELS, SAM, DrawnData, Parameters, TwoLayerCNN

LAWS = tuple(name for name, owner in MODELS.items() if issubclass(owner, DrawnData))
Kind = Literal["integer", "number", "choice", "text"]


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of the playground.

    Attributes
    ----------
    group : {"data", "network", "training", "run"}
        Which object it belongs to.
    start : str
        Its text when the page opens; "" is none, for fields that may be absent.
    low, high : float
        Range of the slider; the text may hold any allowed value. Equal: there is no slider.
    log : bool
        Is the slider logarithmic?
    choices : tuple of str
    law : str
        The only law of data that has it; empty if every law may have it.
    """

    group: Literal["data", "network", "training", "run"]
    start: str
    kind: Kind = "number"
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[str, ...] = ()
    law: str = ""

    @property
    def slides(self) -> bool:
        """Has it a slider?"""
        return self.high > self.low


FIELDS: dict[str, Field] = {
    "model": Field("data", "signal_noise", "choice", choices=LAWS),
    "dimension": Field("data", "2000", "integer", 10, 1e12, log=True),
    "signal_norm": Field("data", "2.5", "number", 0, 20),
    "weak_norm": Field("data", "1", "number", 0, 20, law="multi_view"),
    "angle": Field("data", "90", "number", 1, 179, law="xor"),
    "signal_share": Field("data", "0.5", "number", 0, 1, law="cluster"),
    "n_samples": Field("data", "20", "integer", 2, 400, log=True),
    "n_patches": Field("data", "2", "integer", 2, 16),
    "noise_std": Field("data", "1", "number", 0.01, 10, log=True),
    "label_flip": Field("data", "0", "number", 0, 0.45),
    "noise": Field("data", "isotropic", "choice", choices=("isotropic", "orthogonal")),
    "n_filters": Field("network", "10", "integer", 1, 200, log=True),
    "init_std": Field("network", "0.001", "number", 1e-8, 1, log=True),
    "activation": Field("network", "relu", "choice", choices=tuple(ACTIVATIONS)),
    "activation_shape": Field("network", "", "number"),
    "learning_rate": Field("training", "0.02", "number", 1e-5, 10, log=True),
    "radius": Field("training", "0.03", "number", 1e-4, 10, log=True),
    "batch_size": Field("training", "", "integer"),
    "epochs": Field("training", "100", "integer", 1, 1e5, log=True),
    "until": Field("training", "", "text"),
    "replicates": Field("run", "1", "integer", 1, 20),
    "seed": Field("run", "0", "integer", 0, 100),
}
"""Every field by its own name, which also stands in the page's address."""

_OF_THE_PAGE = {"model": ("", "data"), "replicates": ("", "replicates"), "seed": ("", "seed")}


def owner_of(name: str, model: str) -> type[Parameters]:
    """The parameter class that has a field, with this law of data."""
    group = FIELDS[name].group
    if group == "data":
        return MODELS[model if model in LAWS else LAWS[0]]
    return TwoLayerCNN if group == "network" else SAM


def offered(name: str, model: str) -> bool:
    """Is a field shown with this law of data?"""
    field = FIELDS[name]
    if name in _OF_THE_PAGE:
        return True
    return field.law in ("", model) and name in owner_of(name, model).model_fields


def words(name: str, model: str) -> tuple[str, str]:
    """Symbol and meaning of a field."""
    if name in _OF_THE_PAGE:
        return _OF_THE_PAGE[name]
    owner = owner_of(name, FIELDS[name].law or model)
    return owner.symbol(name), str(owner.model_fields[name].description)
