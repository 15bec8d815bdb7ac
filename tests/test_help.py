"""What `help`, `dir` and tab completion show of parameter classes: names of simdyn only."""

import inspect
import pydoc
from typing import Any

import pytest
from common import items
from pydantic import Field

import simdyn
from simdyn.params import MODELS, OPTIMISERS, PICTURES, Crossing, Record, Refinement, TwoLayerCNN
from simdyn.params.parameters import Parameters

OWNERS = [
    *MODELS.values(),
    *OPTIMISERS.values(),
    *PICTURES.values(),
    TwoLayerCNN,
    Record,
    Crossing,
    Refinement,
]
SAM = simdyn.SAM(radius=0.1, learning_rate=0.5, epochs=3)
FIELDS = items("""
    batch_size  epochs  group_size  label_noise  last_batch  learning_rate  momentum  normalised
    radius  restart  stepping  stride_tolerance  until  weight_decay
""")
METHODS = items("""
    goal  optimiser  perturbation  perturbed_together  perturbs_by_norm  rate_program  replace
    updates_per_epoch  with_longer_strides
""")


def helped(thing: Any) -> str:
    return pydoc.plain(pydoc.render_doc(thing))


def test_dir__has_fields_and_simdyns_own_methods() -> None:
    assert dir(simdyn.SAM) == list(METHODS)
    assert dir(SAM) == sorted([*FIELDS, *METHODS])
    for name in dir(SAM):
        getattr(SAM, name)
    for name in dir(simdyn.SAM):  # a field has no value in the class
        getattr(simdyn.SAM, name)


@pytest.mark.parametrize("owner", OWNERS)
def test_dir__of_every_class_has_nothing_of_pydantic(owner: type[Parameters]) -> None:
    known = set(dir(owner))
    assert "replace" in known
    assert not known & {"allowed", "is_flag", "mistakes", "copy", "dict", "json", "schema"}
    assert not [name for name in known if name.startswith(("_", "model_"))]


@pytest.mark.parametrize("owner", OWNERS)
def test_help__has_each_field_with_its_meaning(owner: type[Parameters]) -> None:
    text = helped(owner)
    for name, field in owner.model_fields.items():
        assert f"\n |  {name}\n |      {field.description}" in text
    assert "__pydantic" not in text
    assert "model_" not in text
    assert "ModelMetaclass" not in text


def test_help__is_short_and_begins_with_how_to_make_one() -> None:
    text = helped(simdyn.SAM)
    assert "SAM(*, learning_rate, epochs, radius, batch_size=None, last_batch='refuse'," in text
    assert (
        " |  radius\n |      perturbation radius (τ): a finite number ≥ 0; must be given.\n" in text
    )
    assert " |      momentum (β): a number from 0 to below 1; by default 0.0.\n" in text
    assert " |  replace(self, **changes: Any) -> Self\n" in text
    assert len(text.splitlines()) < 130
    assert "momentum (β)" in helped(SAM)


def test_help__of_a_class_with_a_plain_field() -> None:
    class Plain(Parameters):
        """Of someone else."""

        tried: int = Field(3, description="how often it is tried")

    assert " |  tried\n |      how often it is tried: by default 3.\n" in helped(Plain)
    assert "<td>tried</td><td></td><td>4</td>" in Plain(tried=4)._repr_html_()


def test_signature__has_what_must_be_given_first() -> None:
    given = inspect.signature(TwoLayerCNN).parameters
    assert list(given)[:2] == ["n_filters", "init_std"]
    assert given["n_filters"].default is inspect.Parameter.empty
    assert given["activation"].default == "relu"
    assert {each.kind for each in given.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_repr__is_what_was_given_and_makes_it_again() -> None:
    given = "SAM(learning_rate=0.5, epochs=3, radius=0.1)"
    assert repr(SAM) == str(SAM) == given
    assert repr([SAM]) == f"[{given}]"
    changed = SAM.replace(momentum=0.9, until="train_loss < 0.1")
    assert repr(changed) == (
        "SAM(learning_rate=0.5, epochs=3, momentum=0.9, until='train_loss < 0.1', radius=0.1)"
    )
    assert eval(repr(changed), vars(simdyn.params)) == changed


@pytest.mark.parametrize("jedi", [True, False])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sam.", sorted([*FIELDS, *METHODS])),
        ("sam.m", ["momentum"]),
        ("SAM.rep", ["replace"]),
        ("SAM(rad", ["radius="]),
        ("SAM(l", ["label_noise=", "last_batch=", "learning_rate="]),
    ],
)
def test_tab__completes_fields_and_methods(jedi: bool, text: str, wanted: list[str]) -> None:
    """As IPython does it, for a notebook and a terminal."""
    from IPython.core.completer import IPCompleter, provisionalcompleter

    completer = IPCompleter(
        namespace={"SAM": simdyn.SAM, "sam": SAM},
        use_jedi=jedi,
        disable_matchers=["IPCompleter.magic_matcher", "IPCompleter.magic_config_matcher"],
    )
    with provisionalcompleter():
        found = {each.text.lstrip(".") for each in completer.completions(text, len(text))}
    keywords = {name for name in found if not name.endswith("=")} if "(" in text else set()
    assert sorted(found - keywords) == wanted
