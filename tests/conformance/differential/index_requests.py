"""Makes requests that add indexes to tables and remove them, right and wrong, and that read what is in them then."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.conformance.differential.requests import Step
from tests.conformance.differential.schemas import Json
from tests.conformance.differential.table_requests import TABLE

_THROUGHPUT = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
_NAMES = ("first", "second", "third")
#: What each attribute is defined as; the fourth only stands in items.
_TYPES = {"a": "S", "g": "S", "n": "N", "x": "B"}


def _index(random: Random, name: str) -> Json:
    keys = random.choice((["g"], ["n"], ["g", "n"], ["n", "g"], ["g", "a"]))
    kind = random.choice(("ALL", "KEYS_ONLY", "INCLUDE"))
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": key, "KeyType": role} for key, role in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        "Projection": {"ProjectionType": kind} | ({"NonKeyAttributes": ["v"]} if kind == "INCLUDE" else {}),
    }


def _defined(*names: str) -> list[Json]:
    return [{"AttributeName": name, "AttributeType": _TYPES[name]} for name in names]


def _defined_for(*indexes: Json) -> list[Json]:
    return _defined(*sorted({"a"} | {key["AttributeName"] for index in indexes for key in index["KeySchema"]}))


def _create(random: Random, *, is_provisioned: bool) -> Json:
    """A CreateTable with an index, or with none."""
    request: Json = {"TableName": TABLE, "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}]}
    more = {"ProvisionedThroughput": dict(_THROUGHPUT)} if is_provisioned else {}
    indexes = [_index(random, _NAMES[0])] if random.random() < 0.5 else []
    request["AttributeDefinitions"] = _defined_for(*indexes)
    if indexes:
        request["GlobalSecondaryIndexes"] = [index | more for index in indexes]
    return request | more | {"BillingMode": "PROVISIONED" if is_provisioned else "PAY_PER_REQUEST"}


def _item(random: Random) -> Json:
    """An item that an index takes, or that lacks a part of its key."""
    item: Json = {"a": {"S": f"item-{random.randrange(6)}"}, "v": {"N": str(random.randrange(4))}}
    if random.random() < 0.8:
        item["g"] = {"S": random.choice("pq")}
    if random.random() < 0.8:
        item["n"] = {"N": str(random.randrange(-2, 3))}
    return item


def _wrong(random: Random, index: Json) -> list[Json]:
    """Changes of indexes that are refused, most of them."""
    options: tuple[list[Json], ...] = (
        [{"Create": index}, {"Create": index | {"IndexName": "other"}}],
        [{"Create": index}, {"Delete": {"IndexName": _NAMES[0]}}],
        [{"Create": index, "Delete": {"IndexName": _NAMES[0]}}],
        [{"Create": index | {"IndexName": random.choice(("ab", "a;b", "x" * 256))}}],
        [{"Create": index | {"KeySchema": []}}],
        [{"Create": index | {"KeySchema": [{"AttributeName": "z", "KeyType": "HASH"}]}}],
        [{"Create": index | {"KeySchema": [{"AttributeName": "g", "KeyType": "RANGE"}]}}],
        [{"Create": index | {"Projection": {"ProjectionType": "INCLUDE"}}}],
        [{"Create": index | {"Projection": {"ProjectionType": "ALL", "NonKeyAttributes": ["v"]}}}],
        [{"Create": {name: index[name] for name in index if name != "KeySchema"}}],
        [{"Create": {name: index[name] for name in index if name != "Projection"}}],
        [{"Delete": {"IndexName": "absent"}}],
        [{"Delete": {}}],
        [{"Delete": {"IndexName": _NAMES[0]}}, {"Delete": {"IndexName": _NAMES[0]}}],
        [{"Update": {"IndexName": _NAMES[0], "ProvisionedThroughput": {"ReadCapacityUnits": 0}}}],
        [{}],
        [],
    )
    return random.choice(options)


def _change(random: Random, *, is_provisioned: bool) -> Json:
    name = random.choice(_NAMES)
    index: Json = _index(random, name)
    if is_provisioned and random.random() < 0.9:
        index["ProvisionedThroughput"] = dict(_THROUGHPUT)
    request: Json = {"TableName": TABLE}
    form = random.random()
    if form < 0.5:
        request["GlobalSecondaryIndexUpdates"] = [{"Create": index}]
    elif form < 0.7:
        request["GlobalSecondaryIndexUpdates"] = [{"Delete": {"IndexName": name}}]
        return request
    else:
        request["GlobalSecondaryIndexUpdates"] = _wrong(random, index)
    if random.random() < 0.9:
        # Attributes of a table's own key need not be defined again, and those that no index has must not be.
        request["AttributeDefinitions"] = _defined_for(index)
    elif random.random() < 0.5:
        request["AttributeDefinitions"] = _defined("a", "x")
    return request


def _read(random: Random) -> Step:
    request: dict[str, Any] = {"TableName": TABLE, "IndexName": random.choice((*_NAMES, "absent"))}
    if random.random() < 0.4:
        return Step("Scan", request)
    key, value = random.choice((("g", {"S": random.choice("pq")}), ("n", {"N": str(random.randrange(-2, 3))})))
    return Step(
        "Query", request | {"KeyConditionExpression": f"{key} = :v", "ExpressionAttributeValues": {":v": value}}
    )


def index_sequence(random: Random) -> list[Step]:
    """A table with items whose indexes come and go, what is read of them, and what the table says of itself."""
    is_provisioned = random.random() < 0.3
    steps = [Step("CreateTable", _create(random, is_provisioned=is_provisioned))]
    for _ in range(random.randint(1, 4)):
        steps += [Step("PutItem", {"TableName": TABLE, "Item": _item(random)}) for _ in range(random.randint(0, 4))]
        steps.append(Step("UpdateTable", _change(random, is_provisioned=is_provisioned)))
        steps += [_read(random) for _ in range(random.randint(1, 3))]
        steps.append(Step("DescribeTable", {"TableName": TABLE}))
    return [*steps, Step("DeleteTable", {"TableName": TABLE})]
