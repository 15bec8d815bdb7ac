"""The base of all parameter classes, and how a field says what it may hold."""

import inspect
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from simdyn.base.html_tables import FADED, card, table
from simdyn.base.inputs import InputError, is_plain_number, nearest, shown

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

FIELD_COLUMNS = ("field", "symbol", "value", "meaning")
FIELDS = "Attributes\n----------"  # the section of a docstring
MAX_DIMENSION = 2**53  # beyond, d is not exact in float64


def _plain_number(value: Any) -> Any:
    """An int or a float, also from a NumPy scalar; nothing else."""
    if isinstance(value, np.generic):
        value = value.item()
    if not is_plain_number(value):
        raise ValueError("not a number")
    return value


Real = Annotated[float, BeforeValidator(_plain_number)]
Integer = Annotated[int, BeforeValidator(_plain_number)]


def one_of(names: Collection[str]) -> BeforeValidator:
    """Check that a text is one of these names."""

    def known(value: Any) -> Any:
        if not isinstance(value, str) or value not in names:
            raise ValueError("unknown name")
        return value

    return BeforeValidator(known)


def in_words(names: Collection[str]) -> str:
    """What `one_of` allows: '"relu", "leaky_relu" or "relu_power"'."""
    if not names:
        return ""
    *others, last = (f'"{name}"' for name in names)
    return f"{', '.join(others)} or {last}" if others else last


def described(default: Any, symbol: str, meaning: str, allowed: str = "", **limits: Any) -> Any:
    """A field with its default, symbol, meaning, and what it may hold in words and limits.

    The default ... means none; the words may be left out if the type is a `Literal`.
    """
    return Field(
        default,
        description=meaning,
        json_schema_extra={"symbol": symbol, "allowed": allowed},
        **limits,
    )


def integer(default: Any, symbol: str, meaning: str, low: int, high: int) -> Any:
    """A field of integers from `low` to `high`."""
    power = high.bit_length() - 1
    most = f"2**{power}" if high == 2**power and high > 2**10 else f"{high}"
    allowed = f"an integer from {low} to {most}"
    return described(default, symbol, meaning, allowed, ge=low, le=high)


def nonnegative(default: Any, symbol: str, meaning: str) -> Any:
    """A field of finite numbers ≥ 0."""
    return described(default, symbol, meaning, "a finite number ≥ 0", ge=0)


def fraction(default: Any, symbol: str, meaning: str) -> Any:
    """A field of numbers from 0 to 1."""
    return described(default, symbol, meaning, "a number from 0 to 1", ge=0, le=1)


def _types_in(annotation: Any) -> set[Any]:
    """The plain types an annotation is made of."""
    inner = typing.get_args(annotation)
    return set().union(*map(_types_in, inner)) if inner else {annotation}


class ParametersClass(ModelMetaclass):
    """The class of parameter classes, of which `dir` and `help` show what users call."""

    def __dir__(cls) -> list[str]:
        """Public methods and properties that simdyn defines, without those that serve simdyn."""
        found: set[str] = set()
        for owner in cls.__mro__[: cls.__mro__.index(BaseModel)]:
            found.update({"replace"} if owner.__name__ == "Parameters" else vars(owner))
        return sorted(name for name in found if not name.startswith(("_", "model_")))


class Parameters(BaseModel, metaclass=ParametersClass):
    """Base of all parameter classes: immutable, compared by value, no unknown fields.

    Raises
    ------
    InputError
        One line for the first field that is wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, *positional: Any, **fields: Any) -> None:
        if positional:
            names = ", ".join(f"{name}=…" for name in type(self).model_fields)
            raise InputError(f"{type(self).__name__}: fields go by name: {names}")
        try:
            super().__init__(**fields)
        except ValidationError as problem:
            # A misspelt name leaves its field missing too: the message is about the spelling.
            error: Any = min(problem.errors(), key=lambda e: e["type"] != "extra_forbidden")
            raise InputError(self._explain(error, fields)) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Give the class the signature and the list of fields that `help` shows."""
        known = sorted(cls.model_fields.items(), key=lambda item: not item[1].is_required())
        keyword, missing = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
        cls.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    name, keyword, default=missing if field.is_required() else field.default
                )
                for name, field in known
            ]
        )
        lines = "".join(f"{name}\n    {cls._in_short(name)}\n" for name in cls.model_fields)
        cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or '')}\n\n{FIELDS}\n{lines}"

    @classmethod
    def _in_short(cls, name: str) -> str:
        """Meaning, symbol, what is allowed and default, in one line."""
        field, symbol = cls.model_fields[name], cls.symbol(name)
        what = f"{field.description} ({symbol})" if symbol else f"{field.description}"
        given = "must be given" if field.is_required() else f"by default {field.default!r}"
        allowed = f"{cls.allowed(name)}; " if cls.allowed(name) else ""
        return f"{what}: {allowed}{given}."

    def __dir__(self) -> list[str]:
        """Fields, and what the class shows."""
        return sorted({*type(self).model_fields, *dir(type(self))})

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Fields that do not have their defaults."""
        for name in type(self).model_fields:
            if not self._at_default(name):
                yield name, getattr(self, name)

    def _at_default(self, name: str) -> bool:
        """Has the field its default?"""
        field = type(self).model_fields[name]
        return not field.is_required() and bool(getattr(self, name) == field.default)

    def _repr_html_(self) -> str:
        """A table of all fields, as notebooks show it; those at their defaults are faded."""
        fields = type(self).model_fields.items()
        rows = [
            (name, self.symbol(name), shown(getattr(self, name)), field.description or "")
            for name, field in fields
        ]
        marks = [FADED if self._at_default(name) else "" for name, _ in fields]
        return card(type(self).__name__, (), table(FIELD_COLUMNS, rows, marks))

    def __str__(self) -> str:
        """The text that makes it."""
        return repr(self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse: parameters are immutable."""
        raise InputError(
            f"{type(self).__name__}.{name} cannot be changed; "
            f"x.replace({name}=…) makes a changed copy"
        )

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked like any other."""
        return type(self)(**{**self.model_dump(), **changes})

    @classmethod
    def mistakes(cls, name: str, fields: Mapping[str, Any]) -> list[str]:
        """What is wrong with each of these fields, a line each, with a name for the object."""
        try:
            BaseModel.__init__(cls.__new__(cls), **{str(k): value for k, value in fields.items()})
        except ValidationError as problem:
            errors: list[Any] = problem.errors()
            unknown = any(error["type"] == "extra_forbidden" for error in errors)
            # A misspelt name leaves its field missing too: the message is about the spelling.
            said = [e for e in errors if not (unknown and e["type"] == "missing")]
            # The entries of a long list may all be wrong in the same way: it is shown once.
            kinds = {(error["loc"][:1], error["type"], error["msg"]): error for error in said}
            lines = (cls._explain(error, dict(fields)) for error in kinds.values())
            return list(dict.fromkeys(line.replace(cls.__name__, name, 1) for line in lines))
        except InputError as problem:
            return [str(problem).replace(cls.__name__, name, 1)]
        return []

    @classmethod
    def _explain(cls, error: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
        name = str(error["loc"][0]) if error["loc"] else ""
        field = f"{cls.__name__}.{name}"
        if error["type"] == "extra_forbidden":
            return f"{field}: no such field; {nearest(name, cls.model_fields)}"
        if name in cls.model_fields and name not in fields:
            return f"{field} is missing; allowed is {cls.allowed(name)}"
        if name and isinstance(reason := error.get("ctx", {}).get("error"), InputError):
            return f"{field} = {reason}"
        if not name:
            message = str(error["msg"]).removeprefix("Value error, ")
            names_field = message.split(" ")[0] in cls.model_fields
            return f"{cls.__name__}{'.' if names_field else ': '}{message}"
        return f"{field} = {shown(fields[name])}: allowed is {cls.allowed(name)}"

    @classmethod
    def allowed(cls, name: str) -> str:
        """What a field may hold, in words."""
        field = cls.model_fields[name]
        extra = field.json_schema_extra
        words = extra["allowed"] if isinstance(extra, dict) else ""
        return str(words or in_words(typing.get_args(field.annotation)))

    @classmethod
    def symbol(cls, name: str) -> str:
        """The paper's symbol of a field."""
        extra = cls.model_fields[name].json_schema_extra
        return str(extra["symbol"]) if isinstance(extra, dict) else ""

    @classmethod
    def is_integer(cls, name: str) -> bool:
        """Does the field hold integers?"""
        return int in _types_in(cls.model_fields[name].annotation)

    @classmethod
    def is_schedule(cls, name: str) -> bool:
        """May the field change during training, as a formula of the epoch and the update?"""
        return {float, str} <= _types_in(cls.model_fields[name].annotation)

    @classmethod
    def is_optional(cls, name: str) -> bool:
        """May the field be None?"""
        return type(None) in _types_in(cls.model_fields[name].annotation)

    @classmethod
    def is_flag(cls, name: str) -> bool:
        """Is the field true or false?"""
        return bool in _types_in(cls.model_fields[name].annotation)

    @classmethod
    def is_number(cls, name: str) -> bool:
        """Does the field hold numbers?"""
        return bool({int, float} & _types_in(cls.model_fields[name].annotation))


class Data(Parameters):
    """Base of all laws of data."""

    model: ClassVar[str]  # its name in study files

    n_samples: Integer = integer(..., "n", "training samples", 1, 2**31)
    noise_std: Real = nonnegative(1.0, "σ_p", "noise standard deviation")
    label_flip: Real = described(
        0.0, "p", "label flip probability", "a number from 0 to below 0.5", ge=0, lt=0.5
    )


def made(name: str, owner: type[Parameters], fields: Mapping[str, Any]) -> Any:
    """A parameter object from a table, with the table's name in messages."""
    try:
        return owner(**{str(field): value for field, value in fields.items()})
    except InputError as problem:
        raise InputError(str(problem).replace(owner.__name__, name, 1)) from None


def check_kind(name: str, value: Any, kind: type[Parameters]) -> None:
    """An argument must be of its parameter class."""
    if not isinstance(value, kind):
        raise InputError(f"{name} = {value!r}: allowed is a {kind.__name__}(…)")
