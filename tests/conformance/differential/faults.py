"""Breaks requests in one place: keys, values, expressions, placeholders, parameters, JSON types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.conformance.differential.expressions import Writer
from tests.conformance.differential.schemas import Json, Schema
from tests.conformance.differential.values import refused_value, wrong_json

EXPRESSIONS = (
    *("UpdateExpression", "ConditionExpression", "KeyConditionExpression", "FilterExpression"),
    "ProjectionExpression",
)
#: Wrong values of parameters, by name.
_PARAMETERS: dict[str, tuple[Any, ...]] = {
    "TableName": ("absent-table", "ab", "", "a;b", "a" * 256, None, 1, "a", "a;"),
    "ReturnValues": ("X", "UPDATED_NEW", "ALL_NEW", "", 1, None, "none"),
    "ReturnConsumedCapacity": ("X", "", 1, None, "total"),
    "ReturnValuesOnConditionCheckFailure": ("X", "", "ALL_NEW"),
    "ReturnItemCollectionMetrics": ("X", "SIZE"),
    "Limit": (0, -1, "1", 1.5, True),
    "IndexName": ("absent", "", "ab", "a;b", 1),
    "Select": ("X", "", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES"),
    "ConsistentRead": ("maybe", 1, "true", None),
    "ScanIndexForward": ("maybe", 1),
    "ClientRequestToken": ("", "a" * 37, 1),
    "Segment": (0, 1, -1, 5),
    "TotalSegments": (0, 1, 2, -1, 1_000_001),
    "Key": ("a", [], 1, {}, None),
    "Item": ("a", [], 1, {}, None),
    "RequestItems": ("a", [], 1, {}, None),
    "TransactItems": ("a", {}, 1, [], None, [{}]),
    "ExpressionAttributeNames": ({}, {"a": "b"}, {"#a": ""}, {"#a b": "c"}, {"#a": 1}, "a", [], {"#": "a"}),
    "ExpressionAttributeValues": ({}, {"a": {"S": "a"}}, {":": {"S": "a"}}, "a", [], {":v": "a"}, {":a-b": {"S": "a"}}),
    "UpdateExpression": (1, {}, [], "", None),
    "ConditionExpression": (1, {}, "", None),
    "ProjectionExpression": (1, {}, ""),
    "FilterExpression": (1, ""),
    "KeyConditionExpression": (1, "", None),
    "ExclusiveStartKey": ({}, {"p": {"S": "a"}}, {"zzz": {"S": "a"}}, {"p": {"S": ""}}, "a"),
}
#: Parameters that many operations share, and that stand at their top level.
_SHARED = ("TableName", "ReturnConsumedCapacity", "ExpressionAttributeNames", "ExpressionAttributeValues")


def break_request(writer: Writer, schema: Schema, request: Json) -> Json:
    """Returns the request with one thing wrong with it."""
    part = writer.pick(list(_parts(request)))
    faults: list[Callable[[Writer, Schema, Json], None]] = [_break_parameter]
    if "Key" in part or "Item" in part:
        faults += [_break_key, _break_key, _break_value, _break_value]
    if any(name in part for name in EXPRESSIONS):
        faults += [_break_expression] * 4 + [_break_placeholder] * 2
    if "ExpressionAttributeValues" in part:
        faults += [_break_value]
    writer.pick(faults)(writer, schema, part)
    return request


def _parts(request: Json) -> Iterator[Json]:
    """The request itself, or, weightier, the parts of a batch or a transaction."""
    yield request
    for element in request.get("TransactItems", ()):
        yield from element.values()
    for wanted in request.get("RequestItems", {}).values():
        if isinstance(wanted, dict):
            yield wanted
        else:
            for write in wanted:
                yield from write.values()


def _break_parameter(writer: Writer, _schema: Schema, part: Json) -> None:
    present = [name for name in part if name in _PARAMETERS]
    name = writer.pick([*present, *present, *_SHARED, *_PARAMETERS])
    if name in part and writer.chance(10):
        del part[name]
    else:
        part[name] = writer.pick(_PARAMETERS[name])


def _break_key(writer: Writer, schema: Schema, part: Json) -> None:
    item = part["Key" if "Key" in part else "Item"]
    name, kind = writer.pick(schema.keys)
    form = writer.count(0, 5)
    if form == 0:
        del item[name]
    elif form == 1:
        item[name] = {writer.pick([other for other in "SNB" if other != kind]): "10=="[: 2 if kind == "B" else 4]}
    elif form == 2:
        item["other"] = {"S": "a"}
    elif form == 3 and kind != "N":
        item[name] = {kind: ""}
    elif form == 4:
        item[name] = {"S": "a" * 2_049} if kind == "S" else {kind: "1"}
    else:
        item[name] = writer.pick(({"BOOL": True}, {"SS": ["a"]}, {"NULL": True}, {"M": {}}, {}))


def _break_value(writer: Writer, _schema: Schema, part: Json) -> None:
    places = [part[name] for name in ("Item", "Key", "ExpressionAttributeValues") if part.get(name)]
    if not places:
        return
    place = writer.pick(places)
    name = writer.pick(list(place))
    place[name] = (wrong_json if writer.chance(25) else refused_value)(writer.random)


def _break_expression(writer: Writer, _schema: Schema, part: Json) -> None:
    name = writer.pick([name for name in EXPRESSIONS if name in part])
    part[name] = writer.break_expression(part[name])


def _break_placeholder(writer: Writer, _schema: Schema, part: Json) -> None:
    member = writer.pick(("ExpressionAttributeNames", "ExpressionAttributeValues"))
    extra: Json = {"#unused": "a"} if member == "ExpressionAttributeNames" else {":unused": {"S": "a"}}
    known = part.get(member)
    if known and writer.chance(50):
        del known[writer.pick(list(known))]
        if not known:
            del part[member]
    else:
        part[member] = {**(known or {}), **extra}
