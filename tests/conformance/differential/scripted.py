"""Sequences that chance would hardly make: full pages, starting keys, segments, and requests at their limits."""

from __future__ import annotations

from tests.conformance.differential.requests import Step
from tests.conformance.differential.schemas import Json

#: The attribute that makes items large, 100,000 bytes each; requests about full pages name it.
FILLER = "filler"
_FILLER_CHARACTERS = 100_000
_ITEMS = 15


def _put(table: str, *items: Json) -> Step:
    return Step("BatchWriteItem", {"RequestItems": {table: [{"PutRequest": {"Item": item}} for item in items]}})


def _large(number: int) -> Json:
    return {"p": {"S": "a"}, "r": {"N": str(number)}, FILLER: {"S": "x" * _FILLER_CHARACTERS}}


def full_pages() -> list[Step]:
    """Pages that end where a mebibyte is reached, forwards and backwards, filtered and counted."""
    query: Json = {
        "TableName": "plain-SN",
        "KeyConditionExpression": "p = :p",
        "ExpressionAttributeValues": {":p": {"S": "a"}},
        "ReturnConsumedCapacity": "TOTAL",
        "ProjectionExpression": f"r, {FILLER}.a",
    }
    behind = {"ExclusiveStartKey": {"p": {"S": "a"}, "r": {"N": "9"}}}
    return [
        *(_put("plain-SN", *map(_large, range(first, first + 5))) for first in range(0, _ITEMS, 5)),
        Step("Query", query, is_ordered=True),
        Step("Query", query | {"ConsistentRead": True, "ScanIndexForward": False}, is_ordered=True),
        Step("Query", query | behind, is_ordered=True),
        Step("Query", query | behind | {"ScanIndexForward": False}, is_ordered=True),
        Step("Query", query | {"Limit": 11}, is_ordered=True),
        Step("Query", query | {"FilterExpression": f"attribute_not_exists({FILLER})"}, is_ordered=True),
        *(
            Step(
                "Scan",
                {"TableName": "plain-SN", "Limit": limit, "ProjectionExpression": f"r, {FILLER}.a"},
                reads_all=True,
            )
            for limit in (4, 11, 100)
        ),
        Step("Scan", {"TableName": "plain-SN", "Limit": 4, "Select": "COUNT"}, reads_all=True),
    ]


_STARTS: tuple[Json, ...] = (
    {"p": {"S": "a"}, "r": {"N": "3"}},
    {"p": {"S": "a"}, "r": {"N": "3.5"}},
    {"p": {"S": "b"}, "r": {"N": "3"}},
    {"p": {"S": "a"}},
    {"p": {"S": "a"}, "r": {"S": "3"}},
    {"p": {"S": "a"}, "r": {"N": "3"}, "x": {"S": "3"}},
    {"p": {"S": "a"}, "x": {"N": "3"}},
    {"p": {"S": "a"}, "r": {"N": "99"}},
    {},
)


def starting_keys() -> list[Step]:
    """Queries and scans that go on behind keys, right and wrong ones, of items that are there or not."""
    items = [{"p": {"S": "a"}, "r": {"N": str(number)}} for number in range(8)]
    steps = [_put("plain-SN", *items)]
    for start in _STARTS:
        query = {
            "TableName": "plain-SN",
            "KeyConditionExpression": "p = :p",
            "ExpressionAttributeValues": {":p": {"S": "a"}},
            "ExclusiveStartKey": start,
        }
        between = {
            "KeyConditionExpression": "p = :p AND r BETWEEN :low AND :high",
            "ExpressionAttributeValues": {":p": {"S": "a"}, ":low": {"N": "2"}, ":high": {"N": "5"}},
        }
        steps += [
            Step("Query", query, is_ordered=True),
            Step("Query", query | {"ScanIndexForward": False, "Limit": 2}, is_ordered=True),
            Step("Query", query | between, is_ordered=True),
        ]
    return steps


def starting_keys_of_indexes() -> list[Step]:
    """The same on indexes, where a key is that of the entry and that of the item."""
    items = [
        {"p": {"S": "a"}, "r": {"S": f"{number}"}, "g": {"S": "g"}, "h": {"N": str(number)}, "k": {"B": "YQ=="}}
        for number in range(6)
    ]
    whole = {"p": {"S": "a"}, "r": {"S": "3"}, "g": {"S": "g"}, "h": {"N": "3"}}
    steps = [_put("indexed", *items)]
    for start in (whole, {name: whole[name] for name in "prg"}, whole | {"g": {"S": "other"}}, {"g": {"S": "g"}}):
        query = {
            "TableName": "indexed",
            "IndexName": "global-include",
            "KeyConditionExpression": "g = :g",
            "ExpressionAttributeValues": {":g": {"S": "g"}},
            "ExclusiveStartKey": start,
        }
        steps += [
            Step("Query", query, is_ordered=True),
            Step("Query", query | {"ScanIndexForward": False, "Limit": 2}, is_ordered=True),
        ]
    return steps


def segments() -> list[Step]:
    """Parallel scans, whose segments together are the table."""
    items = [{"p": {"S": f"{number}"}} for number in range(25)]
    scan = {"TableName": "plain-S", "Limit": 3}
    return [
        _put("plain-S", *items),
        *(Step("Scan", scan | {"TotalSegments": count}, reads_all=True, segments=count) for count in (1, 2, 7, 40)),
    ]


def limits() -> list[Step]:
    """Batches and transactions of as many parts as there may be, and of one more."""

    def keys(count: int) -> list[Json]:
        return [{"p": {"N": str(number)}} for number in range(count)]

    def batch(count: int) -> Step:
        deletes = [{"DeleteRequest": {"Key": key}} for key in keys(count)]
        return Step("BatchWriteItem", {"RequestItems": {"plain-N": deletes}})

    def get(count: int) -> Step:
        return Step("BatchGetItem", {"RequestItems": {"plain-N": {"Keys": keys(count)}}})

    def transaction(count: int) -> Step:
        puts = [{"Put": {"TableName": "plain-N", "Item": key}} for key in keys(count)]
        return Step("TransactWriteItems", {"TransactItems": puts})

    gets = [{"Get": {"TableName": "plain-N", "Key": key}} for key in keys(101)]
    return [
        _put("plain-N", *keys(25)),
        *(get(count) for count in (100, 101)),
        *(batch(count) for count in (25, 26)),
        *(Step("TransactGetItems", {"TransactItems": gets[:count]}) for count in (100, 101)),
        *(transaction(count) for count in (101, 100)),
    ]


def substitutes() -> list[Step]:
    """Names and values of expressions as large as they may be, alone and together, and larger."""
    most = 2 * 1024 * 1024

    def put(name_bytes: int, value_bytes: int) -> Step:
        """A put with so many bytes of names and values, their placeholders not counted: 20 names, 1 value."""
        request: Json = {"TableName": "plain-S", "Item": {"p": {"S": "a"}}, "ConditionExpression": "p = :v"}
        sizes = [min(65_535, max(1, name_bytes - at * 65_535)) for at in range(20)]
        request["ExpressionAttributeNames"] = {f"#{at:02}": "x" * size for at, size in enumerate(sizes)}
        request["ConditionExpression"] += "".join(f" OR p = {name}" for name in request["ExpressionAttributeNames"])
        request["ExpressionAttributeValues"] = {":v": {"S": "y" * value_bytes}}
        return Step("PutItem", request)

    first = _put("plain-S", {"p": {"S": "a"}})
    return [first, put(20, 300_000), put(20, most), put(700_000, most - 700_000), put(1_300_000, 900_000)]


SCRIPTS = {
    "substitutes": substitutes,
    "full-pages": full_pages,
    "starting-keys": starting_keys,
    "starting-keys-of-indexes": starting_keys_of_indexes,
    "segments": segments,
    "limits": limits,
}
