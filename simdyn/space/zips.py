"""The grid of a space: which axes go together, and points spread evenly over it."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simdyn.base.inputs import InputError, nearest, shown

ZIP_FORM = "a list of two or more swept names, or a list of such lists"


def groups_of(given: Any, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Axes that go together, from `zip` of a space, each group's own name first.

    Groups come in the order of their names among the axes, and so do the others of a group.

    Raises
    ------
    InputError
        For another form, a name that is not swept, or one that is there twice.
    """
    if given is None:
        return ()
    where = f"space.zip = {shown(given)}"
    if not isinstance(given, list | tuple) or not given:
        raise InputError(f"{where}: allowed is {ZIP_FORM}")
    groups = [given] if all(isinstance(item, str) for item in given) else given
    for group in groups:
        texts = isinstance(group, list | tuple) and all(isinstance(name, str) for name in group)
        if not texts or len(group) < 2:
            raise InputError(f"{where}: allowed is {ZIP_FORM}")
    together = list(itertools.chain(*groups))
    for name in together:
        if name not in names:
            raise InputError(f"space.zip: no axis '{name}'; {nearest(name, names)}")
        if together.count(name) > 1:
            raise InputError(
                f"{where}: '{name}' is in it {together.count(name)} times; allowed is each name "
                "once"
            )
    order = list(names).index
    ordered = [(group[0], *sorted(group[1:], key=order)) for group in groups]
    return tuple(sorted(ordered, key=lambda group: order(group[0])))


def is_label(given: Any) -> bool:
    """Do the values of an axis number its points, as 0, 1, 2, …?

    The first of several axes that go together may do so under a name of its own, so that all others
    may repeat their values.
    """
    whole = isinstance(given, list | tuple | np.ndarray) and len(given) > 1
    return whole and list(given) == list(range(len(given)))


def dims_of(
    groups: Sequence[Sequence[str]], sizes: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """The dims of the grid, each with the axes along it, its own first.

    Raises
    ------
    InputError
        If axes that go together differ in length.
    """
    for first, *others in groups:
        for other in others:
            if sizes[other] != sizes[first]:
                raise InputError(
                    f"space.zip: '{first}' has {sizes[first]} value(s) and '{other}' has "
                    f"{sizes[other]}; allowed are equal numbers"
                )
    led = {group[0]: tuple(group) for group in groups}
    followers = {name for group in groups for name in group[1:]}
    return {name: led.get(name, (name,)) for name in sizes if name not in followers}
