"""A study as plain data, with or without defaults, and its fingerprint."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from simdyn.params import Crossing, Record
from simdyn.space.axes import RULES
from simdyn.space.points import Space
from simdyn.variables.provenance import as_json

Fields = Literal["fields", "essential"]  # all fields of each section, or those not at defaults


def plans_of(space: Space, fields: Fields) -> dict[str, list[dict[str, Any]]]:
    """The phases of each method."""
    return {
        name: [{"optimiser": s.owner.__name__, **getattr(s, fields)} for s in plan]
        for name, plan in space.phases.items()
    }


def record_of(
    record: Record, space: Space, fields: Fields, numerics_version: int
) -> dict[str, Any]:
    """The record, with the estimator and its draws if all activations have the same."""
    plain = record.model_dump(exclude_defaults=fields == "essential")
    pairs = {(record.estimator(a), record.draws(a, numerics_version)) for a in space.activations}
    if len(pairs) == 1:
        ((plain["test_estimator"], plain["test_draws"]),) = pairs
    return plain


def physics_of(
    space: Space,
    record: Mapping[str, Any],
    contents: Iterable[str],
    fields: Fields,
    solve: Crossing | None,
    **numbers: int,
) -> dict[str, Any]:
    """Everything that decides the values and where they lie, as plain data.

    The order of methods and axes is part of it: it is their order in the arrays.

    Parameters
    ----------
    space : Space
    record : dict
        Of `record_of`, with the variables.
    contents : iterable of str
        SHA-256 of each source of images.
    fields : {"fields", "essential"}
    solve : Crossing or None
        What the study solves for.
    **numbers : int
        Seed, replicates and numerics_version.
    """
    return {
        "data": {"model": space.law.model, **getattr(space.data, fields)},
        **({"contents": sums} if (sums := list(contents)) else {}),
        "network": getattr(space.net, fields),
        "methods": plans_of(space, fields),
        "space": space.physics,
        **({} if solve is None else {"solve": _solved(solve, fields)}),
        "replicates": numbers["replicates"],
        "seed": numbers["seed"],
        "record": dict(sorted(record.items())),
        "numerics_version": numbers["numerics_version"],
    }


def _solved(solve: Crossing, fields: Fields) -> dict[str, Any]:
    """What is solved for; its replicates are the study's."""
    plain = solve.model_dump(exclude={"replicates"}, exclude_defaults=fields == "essential")
    return {**plain, "between": list(solve.between)}


def fixed_in_growth(essential: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the physics that a study keeps while it grows.

    That is all but axes, methods, replicates and images. A value that was solved for is one of all
    replicates together: then their number is fixed, too. So it is if points are interpolated, and
    so are all axes, for their tiles.
    """
    space = {key: essential["space"].get(key) for key in RULES}
    growing = {"space", "methods", "replicates", "contents"}
    if "solve" in essential:
        growing -= {"replicates"}
    if space["refine"] is not None:
        growing -= {"replicates", "space"}
    return {**{k: v for k, v in essential.items() if k not in growing}, **space}


def fingerprint_of(essential: Mapping[str, Any]) -> str:
    """SHA-256 over the physics without fields at their defaults.

    So a field that simdyn gains later does not change existing fingerprints.
    """
    return hashlib.sha256(as_json(essential).encode()).hexdigest()
