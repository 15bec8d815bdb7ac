"""A setting of the playground: from texts in fields or an address to a study, or what is wrong."""

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from simdyn.base.inputs import InputError, check_replicates, check_seed, nearest, shown
from simdyn.explore.fields import FIELDS, offered
from simdyn.kernels.codes import ACTIVATIONS
from simdyn.params import (
    MODELS,
    SAM,
    SGD,
    Data,
    DrawnData,
    Phase,
    Record,
    Trajectories,
    TwoLayerCNN,
)
from simdyn.params.figures import PANELS
from simdyn.variables.selection import offers_of, offers_of_plan, recordable

if TYPE_CHECKING:
    from simdyn.api.study import Study

STATES = 64  # recorded of a run at most, log-spaced
DRAWS = 64  # lines for each test error
MOST_VECTORS = 4000  # signals and noises, of which all inner products are kept
MOST_NUMBERS = 2e7  # of recorded coefficients, over all states and runs
RECORDED = (
    "train_loss",
    "train_error",
    "test_error",
    "clean_test_error",
    "deactivated_fraction",
    "signal_coef",
    "noise_coef",
    "updates_made",
    "goal_update",
)
METHODS = ("sgd", "sam")
PANELS_DRAWN = ("growth", "losses", "deactivated_fraction")


class Problems(InputError):
    """What is wrong with a setting, by field; "" stands for the setting as a whole."""

    def __init__(self, by_field: Mapping[str, str]) -> None:
        self.by_field = dict(by_field)
        super().__init__("; ".join(self.by_field.values()))


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the playground trains: one setting, by SGD and by SAM.

    Attributes
    ----------
    texts : dict of str to str
        The text of every field.
    data, net : parameter objects
    phases : dict of str to Phase
        Of each method.
    replicates, seed : int
    """

    texts: Mapping[str, str]
    data: DrawnData
    net: TwoLayerCNN
    phases: Mapping[str, Phase]
    replicates: int
    seed: int

    @property
    def query(self) -> str:
        """The part of an address that brings the setting back: fields that are not as at start."""
        return urlencode(
            {name: text for name, text in self.texts.items() if text != FIELDS[name].start}
        )

    @property
    def record(self) -> Record:
        """Log-spaced states of what is drawn; both methods are probed with SAM's radius."""
        line = ACTIVATIONS[self.net.activation].estimators[0] == "line"
        offers = offers_of(type(self.data), offers_of_plan([*self.phases.values()]))
        possible = recordable(offers)
        named = [name for name in RECORDED if name in possible]
        if not {"signal_coef", "noise_coef"} <= set(named):
            named.append("coef")
        return Record(
            log_spaced=STATES,
            variables=tuple(named),
            test_draws=DRAWS if line else None,
            probe_radius=self.phases["sam"].perturbation,
        )

    @property
    def figure(self) -> Trajectories:
        """The figure of this setting, with the panels that its data have."""
        recorded = set(self.record.variables or ())
        panels = tuple(panel for panel in PANELS_DRAWN if recorded & set(PANELS[panel]))
        return Trajectories(compare=METHODS, panels=panels)

    @functools.cached_property
    def study(self) -> "Study":
        """The study of this one point.

        Raises
        ------
        InputError
            If methods and data do not go together.
        """
        from simdyn.api.study import Study

        return Study(
            self.data,
            self.net,
            {name: [phase] for name, phase in self.phases.items()},
            replicates=self.replicates,
            seed=self.seed,
            record=self.record,
            figure=self.figure,
            name="setting",
        )


def starting_texts(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The texts of all fields when a page opens; those of an address come first."""
    given = given or {}
    return {name: given.get(name, field.start) for name, field in FIELDS.items()}


def parsed(texts: Mapping[str, str]) -> Setting:
    """The setting that the texts of all fields mean.

    Raises
    ------
    Problems
        With one line for each field that is wrong.
    """
    texts = dict(texts)
    problems: dict[str, str] = {}
    values: dict[str, Any] = {}
    model = texts["model"]
    if model not in FIELDS["model"].choices:
        hint = nearest(model, FIELDS["model"].choices)
        raise Problems({"model": f"data = {shown(model)}: {hint}"})
    for name in FIELDS:
        if offered(name, model):
            try:
                values[name] = _value(name, texts[name])
            except InputError as problem:
                problems[name] = str(problem)

    def made(owner: type[Any], group: str, leave: tuple[str, ...] = ()) -> Any:
        own = {
            name: values[name]
            for name, field in FIELDS.items()
            if field.group == group and values.get(name) is not None and name not in leave
        }
        missing = {name for name in problems if FIELDS[name].group == group}
        if missing:
            return None
        try:
            return owner(**own)
        except InputError as problem:
            problems[_field_of(str(problem))] = str(problem)
            return None

    data: Data | None = made(MODELS[model], "data", leave=("model",))
    net = made(TwoLayerCNN, "network")
    sgd = made(SGD, "training", leave=("radius",))
    sam = made(SAM, "training")
    for name, check in (("replicates", check_replicates), ("seed", check_seed)):
        if name not in problems:
            try:
                values[name] = check(values[name])
            except InputError as problem:
                problems[name] = str(problem)
    if problems:
        raise Problems(problems)
    assert isinstance(data, DrawnData)
    setting = Setting(
        texts, data, net, {"sgd": sgd, "sam": sam}, values["replicates"], values["seed"]
    )
    try:
        _check_size(setting)
        setting.study.layout  # noqa: B018  (all of its checks)
    except InputError as problem:
        raise Problems({_field_of(str(problem)): str(problem)}) from None
    return setting


def _value(name: str, text: str) -> Any:
    """The value of a field's text; None for an empty one."""
    kind, text = FIELDS[name].kind, text.strip()
    if not text:
        return None
    if kind in ("choice", "text"):
        return text
    try:
        number = float(text.replace("_", "").replace("−", "-"))
    except ValueError:
        if name == "learning_rate":  # a formula of the epoch
            return text
        raise InputError(f"{name} = {shown(text)}: allowed is a number") from None
    if kind != "integer":
        return number
    if not number.is_integer():  # infinities and NaN are none
        raise InputError(f"{name} = {text}: allowed is an integer")
    return int(number) if abs(number) < 2**53 else int(float(text))


def _field_of(message: str) -> str:
    """The field that a message is about: the first that it names; "" for none."""
    return next((word for word in re.findall(r"\w+", message) if word in FIELDS), "")


def _check_size(setting: Setting) -> None:
    """The page keeps to what it computes and draws at once."""
    data, m = setting.data, setting.net.n_filters
    if data.dictionary_size > MOST_VECTORS:
        raise InputError(
            f"n_samples = {data.n_samples}: allowed on this page are up to {MOST_VECTORS} signals "
            f"and noise vectors together, here {data.dictionary_size}"
        )
    numbers = 2.0 * STATES * 2 * m * data.dictionary_size * setting.replicates
    if numbers > MOST_NUMBERS:
        most = int(MOST_NUMBERS / (numbers / m))
        raise InputError(
            f"n_filters = {m}: allowed on this page with n_samples = {data.n_samples} and "
            f"replicates = {setting.replicates} are up to {most}"
        )
