"""Sends requests with every part of them replaced by what does not belong there, and prints each answer.

    python -m tests.conformance.mutations

Run by `test_forms` once from source and once with compiled modules: both have to print the same.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any

from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError
from tenet.base.ids import SystemIds
from tenet.store.memory import MemoryEngine
from tenet.tables.api import Caller, Tables

KEY = {"p": {"S": "a"}, "s": {"S": "b"}}
ITEM = KEY | {
    "n": {"N": "5"},
    "l": {"L": [{"S": "x"}, {"M": {"q": {"N": "1"}}}]},
    "m": {"M": {"k": {"S": "v"}}},
    "ss": {"SS": ["a", "b"]},
    "ns": {"NS": ["1", "2"]},
    "bs": {"BS": ["YQ=="]},
    "b": {"B": "YWI="},
    "t": {"BOOL": True},
    "z": {"NULL": True},
    "g": {"S": "g"},
}
UPDATE = {
    "TableName": "table",
    "Key": KEY,
    "UpdateExpression": "SET n = n + :i, #l[0] = :s, m.j = if_not_exists(m.j, :s), x = list_append(l, :l) "
    "REMOVE z ADD ss :ss DELETE ns :ns",
    "ConditionExpression": "attribute_exists(p) AND (n BETWEEN :i AND :n OR size(#l) > :i OR contains(ss, :s) "
    "OR begins_with(g, :s) OR NOT m.k IN (:s, :i) OR attribute_type(n, :s))",
    "ExpressionAttributeNames": {"#l": "l"},
    "ExpressionAttributeValues": {
        ":i": {"N": "1"},
        ":n": {"N": "9"},
        ":s": {"S": "N"},
        ":l": {"L": [{"S": "1"}]},
        ":ss": {"SS": ["c"]},
        ":ns": {"NS": ["2"]},
    },
    "ReturnValues": "ALL_NEW",
    "ReturnConsumedCapacity": "INDEXES",
    "ReturnItemCollectionMetrics": "SIZE",
}
CONDITION = {
    "ConditionExpression": "attribute_not_exists(p) OR n = :i",
    "ExpressionAttributeValues": {":i": {"N": "5"}},
}
PARTITION = {":p": {"S": "a"}, ":s": {"S": "b"}, ":n": {"N": "0"}}
REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PutItem", {"TableName": "table", "Item": ITEM, "ReturnValues": "ALL_OLD", **CONDITION}),
    ("GetItem", {"TableName": "table", "Key": KEY, "ProjectionExpression": "p, l[1].q, #m.k",
                 "ExpressionAttributeNames": {"#m": "m"}, "ReturnConsumedCapacity": "TOTAL"}),
    ("UpdateItem", UPDATE),
    ("DeleteItem", {"TableName": "table", "Key": KEY, "ReturnValues": "ALL_OLD", **CONDITION}),
    ("Query", {"TableName": "table", "KeyConditionExpression": "p = :p AND begins_with(s, :s)",
               "FilterExpression": "n >= :n", "ProjectionExpression": "p, n", "Limit": 5, "ScanIndexForward": False,
               "ExpressionAttributeValues": PARTITION, "ExclusiveStartKey": {"p": {"S": "a"}, "s": {"S": "c"}},
               "Select": "SPECIFIC_ATTRIBUTES", "ReturnConsumedCapacity": "INDEXES"}),
    ("Query", {"TableName": "table", "IndexName": "index", "KeyConditionExpression": "g = :g AND n > :n",
               "ExpressionAttributeValues": {":g": {"S": "g"}, ":n": {"N": "0"}}, "ReturnConsumedCapacity": "INDEXES",
               "ExclusiveStartKey": KEY | {"g": {"S": "g"}, "n": {"N": "1"}}}),
    ("Scan", {"TableName": "table", "Segment": 0, "TotalSegments": 2, "Limit": 3, "FilterExpression": "m.k = :s",
              "ExpressionAttributeValues": {":s": {"S": "v"}}}),
    ("BatchGetItem", {"RequestItems": {"table": {"Keys": [KEY, KEY | {"s": {"S": "z"}}], "ConsistentRead": True,
                      "ProjectionExpression": "#n", "ExpressionAttributeNames": {"#n": "n"}}}}),
    ("BatchWriteItem", {"RequestItems": {"table": [{"PutRequest": {"Item": ITEM | {"s": {"S": "c"}}}},
                        {"DeleteRequest": {"Key": KEY | {"s": {"S": "d"}}}}]}, "ReturnConsumedCapacity": "INDEXES"}),
    ("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "table", "Key": KEY, "ProjectionExpression": "n"}}]}),
    ("TransactWriteItems", {"TransactItems": [
        {"Put": {"TableName": "table", "Item": ITEM | {"s": {"S": "e"}},
                 "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
        {"Update": {"TableName": "table", "Key": KEY, "UpdateExpression": "SET #l = :s",
                    "ConditionExpression": "attribute_exists(p)", "ExpressionAttributeNames": {"#l": "l"},
                    "ExpressionAttributeValues": {":s": {"S": "q"}}}},
        {"ConditionCheck": {"TableName": "table", "Key": KEY | {"s": {"S": "y"}},
                            "ConditionExpression": "attribute_not_exists(p)"}},
        {"Delete": {"TableName": "table", "Key": KEY | {"s": {"S": "x"}}}}], "ReturnConsumedCapacity": "INDEXES"}),
)  # fmt: skip
#: What takes the place of a part.
STRANGERS: tuple[Any, ...] = (
    None, 5, 1.5, True, "x", "", 2**70, [], {}, [None], ["S"], {"a": None}, {"S": None}, {"S": 5}, {"S": "x", "N": "1"},
    {"N": "1e5"}, {"L": 5}, {"L": [{"NULL": True}, None]}, {"M": {"x": None}}, {"M": {"a": {"M": {"b": {"N": "1"}}}}},
    {"SS": ["a", None]}, {"SS": ["a", "b"]}, {"B": "YQ=="}, {"BOOL": "yes"},
)  # fmt: skip
TABLE = {
    "TableName": "table",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "N" if name == "n" else "S"} for name in ("p", "s", "g", "n")
    ],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "index",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every part of a request, by the way that leads to it."""
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*path, name))


def replaced(request: Any, path: tuple[Any, ...], stranger: Any) -> Any:
    """A copy of a request with another part in one place."""
    copied = copy.deepcopy(request)
    holder = copied
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = copy.deepcopy(stranger)
    return copied


async def main() -> None:
    clock, ids = SystemClock(), SystemIds()
    tables = await Tables.open(MemoryEngine(clock=clock, ids=ids), clock=clock, ids=ids)

    async def answer(operation: str, request: Any) -> str:
        caller = Caller("000000000000", "us-east-1", clock.monotonic_s() + 30, {}, "host")
        try:
            return (await tables.call(operation, request, caller)).decode()
        except TenetError as error:
            return f"{error.code}: {error.message} {getattr(error, 'members', '')}"
        except Exception as error:  # noqa: BLE001 (what a client would be told is an internal error)
            return f"UNEXPECTED {error!r}"

    await answer("CreateTable", TABLE)
    for operation, request in REQUESTS:
        for path in places(request):
            for stranger in STRANGERS:
                await answer("PutItem", {"TableName": "table", "Item": copy.deepcopy(ITEM)})
                said = await answer(operation, replaced(request, path, stranger))
                print(operation, path, json.dumps(stranger), "->", said)
    await tables.close()


if __name__ == "__main__":
    asyncio.run(main())
