"""Makes the writes that streams tell of, and requests to the operations of streams, right and wrong ones."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.conformance.differential.requests import Step
from tests.conformance.differential.targets import STREAMS

Json = dict[str, Any]
VIEWS = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")
WRITES = 60
#: How many records there are of the one item that `READS` ask about, and how many of them come on a page.
CHANGES = 5
PAGE = 2


def writes(random: Random, name: str) -> list[tuple[str, Json]]:
    """Random writes of a few items, many of which change nothing."""
    found: list[tuple[str, Json]] = []
    for _ in range(WRITES):
        key = {"p": {"S": random.choice("ab")}, "s": {"N": str(random.randint(1, 2))}}
        value: Json = random.choice(
            ({"S": "x"}, {"N": "1.50"}, {"SS": ["b", "a"]}, {"M": {"k": {"L": [{"NULL": True}]}}})
        )
        request: Json = {"TableName": name}
        match random.randrange(5):
            case 0 | 1:
                found.append(("PutItem", request | {"Item": key | {"v": value}}))
            case 2:
                found.append(("DeleteItem", request | {"Key": key}))
            case 3:
                update = {"UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": value}}
                found.append(("UpdateItem", request | {"Key": key} | update))
            case _:
                found.append(
                    ("BatchWriteItem", {"RequestItems": {name: [{"PutRequest": {"Item": key | {"v": value}}}]}})
                )
    return found


def changes(name: str) -> list[tuple[str, Json]]:
    """Writes of one item, all of whose records are therefore in one shard."""
    key = {"p": {"S": "a"}, "s": {"N": "1"}}
    return [("PutItem", {"TableName": name, "Item": key | {"v": {"N": str(number)}}}) for number in range(CHANGES)]


#: Requests by case; names in capitals stand for what each target has of its own: ``SHARD`` for the shard that has the
#: records, ``LAST`` for the last one, ``FIRST`` for the sequence number of the first record.
READS: dict[str, tuple[str, Json]] = {
    "a shard": ("DescribeStream", {"StreamArn": "ARN", "Limit": 1}),
    "behind the last shard": ("DescribeStream", {"StreamArn": "ARN", "ExclusiveStartShardId": "LAST"}),
    "no children": (
        "DescribeStream",
        {"StreamArn": "ARN", "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": "SHARD"}},
    ),
    "a stream": ("ListStreams", {"TableName": "TABLE", "Limit": 1}),
    "behind the stream": ("ListStreams", {"TableName": "TABLE", "ExclusiveStartStreamArn": "ARN"}),
    **{
        kind: ("GetShardIterator", {"StreamArn": "ARN", "ShardId": "SHARD", "ShardIteratorType": kind} | more)
        for kind, more in (
            ("TRIM_HORIZON", {}),
            ("LATEST", {}),
            ("AT_SEQUENCE_NUMBER", {"SequenceNumber": "FIRST"}),
            ("AFTER_SEQUENCE_NUMBER", {"SequenceNumber": "FIRST"}),
            ("AT_TIMESTAMP", {"Timestamp": 1}),
        )
    },
}

REFUSED: dict[str, tuple[str, str, Json]] = {
    "no stream": (STREAMS, "DescribeStream", {"StreamArn": "ARN-OTHER"}),
    "no ARN": (STREAMS, "DescribeStream", {}),
    "short ARN": (STREAMS, "DescribeStream", {"StreamArn": "x"}),
    "limit 0": (STREAMS, "DescribeStream", {"StreamArn": "ARN", "Limit": 0}),
    "limit 101": (STREAMS, "DescribeStream", {"StreamArn": "ARN", "Limit": 101}),
    "list 0": (STREAMS, "ListStreams", {"Limit": 0}),
    "list 101": (STREAMS, "ListStreams", {"Limit": 101}),
    "no shard": (
        STREAMS,
        "GetShardIterator",
        {"StreamArn": "ARN", "ShardId": "shardId-00000000000000000000-00000000", "ShardIteratorType": "LATEST"},
    ),
    "no type": (STREAMS, "GetShardIterator", {"StreamArn": "ARN", "ShardId": "SHARD"}),
    "wrong type": (STREAMS, "GetShardIterator", {"StreamArn": "ARN", "ShardId": "SHARD", "ShardIteratorType": "x"}),
    "children": (
        STREAMS,
        "DescribeStream",
        {
            "StreamArn": "ARN",
            "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": "shardId-00000000000000000000-00000000"},
        },
    ),
    "no number": (
        STREAMS,
        "GetShardIterator",
        {"StreamArn": "ARN", "ShardId": "SHARD", "ShardIteratorType": "AT_SEQUENCE_NUMBER"},
    ),
    "number of latest": (
        STREAMS,
        "GetShardIterator",
        {"StreamArn": "ARN", "ShardId": "SHARD", "ShardIteratorType": "LATEST", "SequenceNumber": "1" * 21},
    ),
    "short number": (
        STREAMS,
        "GetShardIterator",
        {"StreamArn": "ARN", "ShardId": "SHARD", "ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "1"},
    ),
    "wrong iterator": (STREAMS, "GetRecords", {"ShardIterator": "x"}),
    "no iterator": (STREAMS, "GetRecords", {}),
    "records 0": (STREAMS, "GetRecords", {"ShardIterator": "ITERATOR", "Limit": 0}),
    "records 1001": (STREAMS, "GetRecords", {"ShardIterator": "ITERATOR", "Limit": 1_001}),
    "no view": ("", "UpdateTable", {"TableName": "TABLE", "StreamSpecification": {"StreamEnabled": True}}),
    "enabled twice": (
        "",
        "UpdateTable",
        {"TableName": "TABLE", "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}},
    ),
    "view of none": (
        "",
        "UpdateTable",
        {"TableName": "TABLE", "StreamSpecification": {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"}},
    ),
}


def filled(request: Json, values: Json) -> Json:
    """A request with what a target has of its own in place of what stands for it."""
    return {
        name: filled(value, values) if isinstance(value, dict) else values.get(value, value)
        for name, value in request.items()
    }


def stream_steps() -> list[Step]:
    """All requests to the operations of streams that are sent as they should be, for who counts them."""
    own = {"ARN": "a" * 37, "LAST": "s" * 28, "SHARD": "s" * 28, "FIRST": "1" * 21, "TABLE": "table"}
    steps = [Step(operation, filled(request, own)) for operation, request in READS.values()]
    return [*steps, Step("GetRecords", {"ShardIterator": "iterator", "Limit": PAGE})]
