"""Expressions that were prepared for one request serve the next, which is checked as if it were the first."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tenet.tables.errors import SerializationException, TablesError, ValidationException
from tenet.tables.rules import parameters, prepared
from tenet.tables.rules.parameters import condition_of, query_expressions, update_of
from tenet.tables.rules.prepared import Prepared

UPDATE: dict[str, Any] = {
    "UpdateExpression": "SET #o = :o ADD #c :n",
    "ConditionExpression": "#c >= :z",
    "ExpressionAttributeNames": {"#o": "owner", "#c": "count"},
    "ExpressionAttributeValues": {":o": {"S": "x"}, ":n": {"N": "1"}, ":z": {"N": "0"}},
}


def changed(request: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Returns a copy of a request with other members; None takes one out."""
    made = copy.deepcopy(request) | members
    return {name: member for name, member in made.items() if member is not None}


def said(request: dict[str, Any]) -> str:
    """Returns how an update is refused."""
    with pytest.raises(TablesError) as refusal:
        update_of(copy.deepcopy(request))
    return f"{refusal.value.code}: {refusal.value.message}"


def test_the_values_are_those_of_the_request_at_hand() -> None:
    for count in (1, 2, 30):
        values = {":o": {"S": f"owner {count}"}, ":n": {"N": str(count)}, ":z": {"N": str(count)}}
        update, condition = update_of(changed(UPDATE, ExpressionAttributeValues=values))
        assert update is not None
        assert condition is not None
        item = {"pk": {"S": "p"}, "count": {"N": "5"}}
        assert update.apply(item, item) == item | {"owner": {"S": f"owner {count}"}, "count": {"N": str(5 + count)}}
        assert condition.test(item) == (count <= 5)


def test_values_are_made_canonical_every_time() -> None:
    for _ in range(3):
        request = changed(UPDATE)
        request["ExpressionAttributeValues"][":n"] = {"N": "01.50"}
        update, _ = update_of(request)
        assert update is not None
        assert update.apply({"count": {"N": "1"}}, {}) == {"count": {"N": "2.5"}, "owner": {"S": "x"}}


BROKEN = {
    "a value of another type": changed(
        UPDATE, ExpressionAttributeValues=UPDATE["ExpressionAttributeValues"] | {":n": {"BOOL": True}}
    ),
    "a value that is no number": changed(
        UPDATE, ExpressionAttributeValues=UPDATE["ExpressionAttributeValues"] | {":n": {"N": "one"}}
    ),
    "a value of the wrong JSON type": changed(
        UPDATE, ExpressionAttributeValues=UPDATE["ExpressionAttributeValues"] | {":n": {"N": 1}}
    ),
    "a value too many": changed(
        UPDATE, ExpressionAttributeValues=UPDATE["ExpressionAttributeValues"] | {":more": {"S": "x"}}
    ),
    "a value too few": changed(UPDATE, ExpressionAttributeValues={":o": {"S": "x"}, ":n": {"N": "1"}}),
    "no values": changed(UPDATE, ExpressionAttributeValues=None),
    "empty values": changed(UPDATE, ExpressionAttributeValues={}),
    "a name too many": changed(UPDATE, ExpressionAttributeNames={"#o": "owner", "#c": "count", "#d": "d"}),
    "no names": changed(UPDATE, ExpressionAttributeNames=None),
    "a name twice": changed(UPDATE, ExpressionAttributeNames={"#o": "count", "#c": "count"}),
    "no condition": changed(UPDATE, ConditionExpression=None),
    "no update": changed(UPDATE, UpdateExpression=None),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_said_as_if_nothing_had_been_prepared(
    broken: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    update_of(changed(UPDATE))
    with_it = said(broken)
    monkeypatch.setattr(Prepared, "find", lambda *_: None)
    assert said(broken) == with_it


def test_conditions_and_queries_are_prepared_too() -> None:
    for text in ("a", "b"):
        condition = condition_of({"ConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": text}}})
        assert condition is not None
        assert condition.test({"a": {"S": text}})
        assert not condition.test({"a": {"S": "c"}})
        query = query_expressions(
            {
                "KeyConditionExpression": "pk = :p",
                "FilterExpression": "a = :a",
                "ExpressionAttributeValues": {":p": {"S": "p" + text}, ":a": {"S": text}},
            }
        )
        assert query.filter is not None
        assert query.filter.test({"a": {"S": text}})
    assert condition_of({"ConditionExpression": "attribute_exists(a)"}) is not None
    assert condition_of({"ConditionExpression": "attribute_exists(a)"}) is not None
    assert condition_of({}) is None


def test_nothing_of_the_values_is_kept() -> None:
    update_of(changed(UPDATE))
    kept = [one for both, _ in parameters._UPDATES._kept.values() for one in both if one is not None]
    assert kept
    assert not any(one._values for one in kept)


def test_what_is_kept_is_bounded() -> None:
    memory: Prepared[int] = Prepared(("ConditionExpression",), lambda one, _: one)
    for number in range(3 * prepared._KEPT_MAX):
        memory.keep({"ConditionExpression": f"a = {number}"}, number, ())
        assert memory.find({"ConditionExpression": f"a = {number}"}) == number
        assert len(memory._kept) <= prepared._KEPT_MAX
    memory.keep({"ConditionExpression": "a" * 3_000}, 1, ())
    assert memory.find({"ConditionExpression": "a" * 3_000}) is None


def test_a_value_that_no_longer_fits_is_refused_with_its_placeholder() -> None:
    update_of(changed(UPDATE))
    for value, error in (({"N": ""}, ValidationException), ({"N": 7}, SerializationException)):
        request = changed(UPDATE)
        request["ExpressionAttributeValues"][":z"] = value
        with pytest.raises(error):
            update_of(request)
