"""Which variables may be recorded, by data, network and record."""

from collections.abc import Sequence

from simdyn.base.inputs import InputError, nearest
from simdyn.params import PIECEWISE_LINEAR, Data, DrawnData, Record
from simdyn.variables.registry import ALWAYS, ON_REQUEST, SCALARS, TESTED_ON_SAMPLES, VARIABLES


def choose_variables(
    wanted: Sequence[str] | None,
    default: Sequence[str],
    possible: Sequence[str],
    where: str = "Record",
) -> tuple[str, ...]:
    """Names to record, in the registry's order; status is always among them.

    Raises
    ------
    InputError
        For a name that is unknown, or that has no meaning for this problem.
    """
    names = list(default if wanted is None else wanted)
    for name in names:
        if name not in possible and name not in ALWAYS:
            raise InputError(
                f"{where}.variables: '{name}' is not available here; {nearest(name, possible)}"
            )
    return tuple(name for name in VARIABLES if name in names or name in ALWAYS)


def recordable(owner: type[Data]) -> tuple[str, ...]:
    """What can be recorded of data with such a law.

    Of images, what has one shape whatever the split. Of drawn data: a noise coefficient needs one
    noise vector a sample, a signal coefficient one signal; where one of them is missing there is
    `coef`, of every signal and noise vector.
    """
    if not issubclass(owner, DrawnData):
        names = {
            *TESTED_ON_SAMPLES,
            "train_loss",
            "train_error",
            "grad_norm",
            "sam_gap",
            "sharpness",
            "margin",
            "initial_share",
        }
        return tuple(name for name in VARIABLES if name in names)
    noise = ("noise_coef", "deactivated_fraction", "active_count") if owner.one_noise else ()
    signal = ("signal_coef",) if owner.one_signal else ()
    names = {*SCALARS, "sam_gap", "sharpness", "margin", "initial_share", *noise, *signal}
    if not (noise and signal):
        names.add("coef")
    return tuple(name for name in VARIABLES if name in names)


def by_default(possible: Sequence[str]) -> tuple[str, ...]:
    """What `simulate` and `train` record unless told otherwise: all but what few look for."""
    return tuple(name for name in possible if name not in ON_REQUEST)


def check_sharpness(activation: str) -> None:
    """The recorded sharpness is that of a network that is piecewise linear in its weights."""
    if activation not in PIECEWISE_LINEAR:
        raise InputError(
            f"record.variables: 'sharpness' is not available for activation = {activation!r}; "
            f"allowed with it are {', '.join(PIECEWISE_LINEAR)}"
        )


def check_init(init: str, law: type[Data]) -> None:
    """Drawn data has no axes, so its weights cannot have a law that singles them out."""
    if init == "uniform" and issubclass(law, DrawnData):
        raise InputError(
            f"init = {init!r}: allowed for explicit vectors only (ImageData, "
            'Problem.from_patches); for drawn data, allowed is "gaussian" or "antisymmetric"'
        )


def check_estimator(record: Record, activation: str, law: type[Data]) -> None:
    """The estimator of the test error must know the activation and the data."""
    if not issubclass(law, DrawnData):
        for name in ("test_estimator", "test_draws"):
            if getattr(record, name) is not None:
                raise InputError(
                    f"Record.{name} = {getattr(record, name)!r}: allowed is none, the error on "
                    "given test images is counted"
                )
    estimator = record.estimator(activation)
    if estimator == "radial" and issubclass(law, DrawnData) and law.added:
        raise InputError(
            "Record.test_estimator = 'radial': allowed where signal and noise are in patches of "
            "their own; for this data it is line or counted"
        )
