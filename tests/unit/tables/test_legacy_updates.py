"""AttributeUpdates: their errors, and that they make of an item exactly what a plain model says."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.tables.model import Item, KeyAttribute, KeySchema
from tenet.tables.rules.legacy_updates import attribute_updates_of
from tenet.tables.rules.returns import returned_attributes
from tests.unit.tables import values
from tests.unit.tables.outcomes import outcome_of, refusal_of

A = {"S": "a"}
ONE = {"N": "1"}
KEY: Item = {"p": {"S": "key"}}
INVALID = "One or more parameter values were invalid: "
MISMATCH = "Type mismatch for attribute to update"


def applied(updates: dict[str, Any], item: Item | None) -> Item | None:
    update = attribute_updates_of(copy.deepcopy(updates))
    assert update is not None
    return update.apply(item, KEY)


# ---- the model -------------------------------------------------------------------------------------------------------


def changed(action: str, old: Any, value: Any) -> Any:
    """What an action makes of a meaning (None: absent); ``MISMATCH`` where it cannot."""
    if value is None:
        return None
    if action == "PUT":
        return value
    kind, content = value
    if old is not None and old[0] != kind:
        return MISMATCH
    before: Any = old[1] if old is not None else Decimal(0) if kind == "N" else [] if kind == "L" else frozenset()
    if action == "DELETE":
        left = before - content
        return (kind, left) if left else None
    return kind, before | content if isinstance(content, frozenset) else before + content


@st.composite
def updates(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Updates that are right in themselves."""
    found: dict[str, dict[str, Any]] = {}
    for name in draw(st.lists(st.sampled_from(values.NAMES), min_size=1, max_size=3, unique=True)):
        action = draw(st.sampled_from(("PUT", "ADD", "DELETE", "REMOVE", "")))
        if action == "REMOVE":
            found[name] = {"Action": "DELETE"}
            continue
        of = {
            "ADD": values.sets() | values.lists(values.scalars()) | st.sampled_from([{"N": "2"}, {"N": "-0.5"}]),
            "DELETE": values.sets(),
        }.get(action, values.values())
        found[name] = {"Value": draw(of)} | ({"Action": action} if action else {})
    return found


@given(updates(), values.items())
def test_updates_make_what_the_model_says(wanted: dict[str, dict[str, Any]], item: Item) -> None:
    before = copy.deepcopy(item)
    results = {
        name: changed(
            update.get("Action", "PUT"),
            values.meaning(item[name]) if name in item else None,
            values.meaning(update["Value"]) if "Value" in update else None,
        )
        for name, update in wanted.items()
    }
    found, told = outcome_of(lambda: applied(wanted, item))
    assert item == before
    if MISMATCH in results.values():
        assert told == MISMATCH
        return
    assert found is not None
    kept = {name: values.meaning(value) for name, value in item.items() if name not in wanted}
    made = {name: result for name, result in results.items() if result is not None}
    assert {name: values.meaning(value) for name, value in found.items()} == kept | made


# ---- single actions --------------------------------------------------------------------------------------------------


def test_an_item_that_is_absent_is_made_unless_all_is_taken_away() -> None:
    assert applied({"a": {"Value": A}}, None) == KEY | {"a": A}
    assert applied({"a": {"Action": "ADD", "Value": ONE}}, None) == KEY | {"a": ONE}
    assert applied({"a": {"Action": "ADD", "Value": {"L": [A]}}}, None) == KEY | {"a": {"L": [A]}}
    assert applied({"a": {"Action": "DELETE"}, "b": {"Action": "DELETE", "Value": {"SS": ["x"]}}}, None) is None
    assert applied({"a": {"Action": "DELETE"}, "b": {"Value": A}}, None) == KEY | {"b": A}


def test_a_list_is_appended_to_and_keeps_what_stands_twice() -> None:
    item: Item = {"a": {"L": [A, ONE]}}
    assert applied({"a": {"Action": "ADD", "Value": {"L": [ONE, A]}}}, item) == {"a": {"L": [A, ONE, ONE, A]}}
    assert item == {"a": {"L": [A, ONE]}}


def test_a_set_that_becomes_empty_goes() -> None:
    item: Item = {"a": {"NS": ["1", "2"]}, "b": A}
    assert applied({"a": {"Action": "DELETE", "Value": {"NS": ["2.0", "3"]}}}, item) == {"a": {"NS": ["1"]}, "b": A}
    assert applied({"a": {"Action": "DELETE", "Value": {"NS": ["2", "1"]}}}, item) == {"b": A}


def test_a_sum_has_bounds() -> None:
    item = {"a": {"N": "9.9999999999999999999999999999999999999E+125"}}
    told = refusal_of(lambda: applied({"a": {"Action": "ADD", "Value": {"N": "1E125"}}}, item))
    assert told.startswith("Number overflow")


def test_names_are_no_paths() -> None:
    item = {"a": {"M": {"b": A}}}
    assert applied({"a.b": {"Value": ONE}}, item) == item | {"a.b": ONE}
    assert applied({"a.b": {"Action": "DELETE"}}, item) == item


@pytest.mark.parametrize(
    ("mode", "answered"),
    [
        ("UPDATED_OLD", {"a": ONE, "c": A}),
        ("UPDATED_NEW", {"a": {"N": "3"}, "x.y": A}),
        ("ALL_NEW", {"a": {"N": "3"}, "b": A, "x.y": A}),
        ("NONE", None),
    ],
)
def test_what_is_answered_of_updates(mode: str, answered: Item | None) -> None:
    update = attribute_updates_of(
        {"a": {"Action": "ADD", "Value": {"N": "2"}}, "x.y": {"Value": dict(A)}, "c": {"Action": "DELETE"}}
    )
    assert update is not None
    old = {"a": ONE, "b": A, "c": A}
    assert returned_attributes(mode, old, update.apply(old, KEY), update.paths) == answered
    assert update.names == {"a", "x.y", "c"}
    assert update.nested_names == set()


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({}, f"{INVALID}Only DELETE action is allowed when no attribute value is specified"),
        ({"Action": "PUT"}, f"{INVALID}Only DELETE action is allowed when no attribute value is specified"),
        ({"Action": "ADD"}, f"{INVALID}Only DELETE action is allowed when no attribute value is specified"),
        ({"Action": "ADD", "Value": A}, f"{INVALID}ADD action is not supported for the type S"),
        ({"Action": "ADD", "Value": {"M": {}}}, f"{INVALID}ADD action is not supported for the type M"),
        (
            {"Action": "DELETE", "Value": {"L": []}},
            f"{INVALID}DELETE action with value is not supported for the type L",
        ),
        ({"Action": "DELETE", "Value": ONE}, f"{INVALID}DELETE action with value is not supported for the type N"),
        ({"Value": {"N": "x"}}, "The parameter cannot be converted to a numeric value: x"),
        ({"Action": "DELETE", "Value": {"SS": []}}, f"{INVALID}An string set  may not be empty"),
        ({"Value": {"S": "x" * 409_601}}, "Item size to update has exceeded the maximum allowed size"),
        (
            {"Value": {"L": [{"S": "x" * 409_601}, A]}},
            "Item size to update has exceeded the maximum allowed size",
        ),
    ],
)
def test_updates_that_are_refused(update: dict[str, Any], message: str) -> None:
    assert refusal_of(lambda: attribute_updates_of({"a": copy.deepcopy(update)})) == message


@pytest.mark.parametrize(
    ("update", "old"),
    [
        ({"Action": "ADD", "Value": ONE}, A),
        ({"Action": "ADD", "Value": {"L": []}}, {"SS": ["a"]}),
        ({"Action": "ADD", "Value": {"SS": ["a"]}}, {"NS": ["1"]}),
        ({"Action": "DELETE", "Value": {"SS": ["a"]}}, {"L": [A]}),
    ],
)
def test_what_an_update_meets_has_its_type(update: dict[str, Any], old: Any) -> None:
    assert refusal_of(lambda: applied({"a": update}, {"a": old})) == MISMATCH


def test_the_key_stays_as_it_is() -> None:
    update = attribute_updates_of({"a": {"Value": A}, "p": {"Value": A}})
    assert update is not None
    assert refusal_of(lambda: update.check_keys(KeySchema(KeyAttribute("p", "S")))) == (
        f"{INVALID}Cannot update attribute p. This attribute is part of the key"
    )


@pytest.mark.parametrize("name", ["", "x" * 65_536])
def test_names_have_a_length(name: str) -> None:
    told = refusal_of(lambda: attribute_updates_of({name: {"Action": "DELETE"}}))
    assert told == ("Attribute name is too large, must be less than 65536 bytes" if name else "Empty attribute name")


def test_no_updates_are_none() -> None:
    assert attribute_updates_of({}) is None
