"""What statements and streams cost beside the operations they stand for, at one connection, over HTTP.

    python -m benchmarks.variants [--requests 1000] [--rounds 5] [--records 100000]

Every pair is measured in turns within each round, against the same server, which syncs what it acknowledges: latency
at the median, and CPU of the server, each as a ratio of the second to the first. The pairs are a statement of PartiQL
beside the operation that it stands for, and a put into a table with a stream beside one into a table without. Then the
records of the stream are read, a thousand at a time, and counted by the second.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks import servers
from benchmarks.generator import Target

_TICKS: Final = os.sysconf("SC_CLK_TCK")
#: Between the ids of two variants of a pair, and of two rounds of one.
_APART: Final = 10_000_000
_TABLES: Final = "DynamoDB_20120810"
_STREAMS: Final = "DynamoDBStreams_20120810"
_LOADED_AT_ONCE: Final = 25
_SLOTS: Final = 10
_ALIVE: Final = 200


class Answered(Exception):
    """A request was answered by an error; the message is its body."""


class Connection:
    """A connection to a server that sends signed requests and takes their answers.

    Args:
        target: the server.
    """

    def __init__(self, target: Target) -> None:
        place = urlsplit(target.endpoint)
        self._url = target.endpoint
        self._signer = SigV4Auth(Credentials(target.access_key_id, target.secret_access_key), "dynamodb", "us-east-1")
        self._socket = socket.create_connection((place.hostname or "", place.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = place.netloc

    def prepared(self, operation: str, body: dict[str, Any], *, api: str = _TABLES) -> bytes:
        """Returns a request as it is sent."""
        data = orjson.dumps(body)
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"{api}.{operation}"}
        request = AWSRequest("POST", self._url + "/", headers, data)
        self._signer.add_auth(request)
        lines = [f"{name}: {value}" for name, value in request.headers.items()]
        head = "\r\n".join(["POST / HTTP/1.1", f"Host: {self._host}", *lines, f"Content-Length: {len(data)}", "", ""])
        return head.encode() + data

    def send(self, request: bytes) -> bytes:
        """Sends a request and returns the body of its answer.

        Raises:
            Answered: it is an error.
        """
        self._socket.sendall(request)
        received = self._socket.recv(1 << 20)
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(1 << 20)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:])
        parts, there = [body], len(body)
        while there < length:
            parts.append(self._socket.recv(1 << 20))
            there += len(parts[-1])
        if not head.startswith(b"HTTP/1.1 200"):
            raise Answered(b"".join(parts).decode())
        return b"".join(parts)

    def call(self, operation: str, *, api: str = _TABLES, **body: Any) -> Any:
        """Sends a request and returns its answer."""
        return orjson.loads(self.send(self.prepared(operation, body, api=api)))


@dataclass(frozen=True)
class Variant:
    """A request of a kind.

    Args:
        name: of the kind.
        operation: that it calls.
        body: of the request for an item, by its number.
    """

    name: str
    operation: str
    body: Callable[[int], dict[str, Any]]


@dataclass
class Found:
    """What was measured of a variant, each round for itself: microseconds."""

    p50_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def key(number: int) -> dict[str, Any]:
    """The key of an item: of ten in a row, which share their partition."""
    return {"id": {"S": f"item-{number // _SLOTS:08}"}, "slot": {"N": str(number % _SLOTS)}}


def item(number: int) -> dict[str, Any]:
    """An item of about 200 bytes."""
    return {**key(number), "count": {"N": str(number)}, "text": {"S": "x" * 140}}


def _statement(words: str, values: Callable[[int], list[Any]]) -> Callable[[int], dict[str, Any]]:
    return lambda number: {"Statement": words, "Parameters": values(number)}


def _of_key(number: int) -> list[Any]:
    return [key(number)["id"], key(number)["slot"]]


def _put(table: str, **more: Any) -> Callable[[int], dict[str, Any]]:
    return lambda number: {"TableName": table, "Item": item(number), **more}


_WHERE: Final = "WHERE id = ? AND slot = ?"
_UPDATE: Final = {"UpdateExpression": "SET #count = :count", "ConditionExpression": "attribute_exists(id)"}
_NEW: Final = {"ConditionExpression": "attribute_not_exists(id)"}
_INSERT: Final = "INSERT INTO plain VALUE {'id': ?, 'slot': ?, 'count': ?, 'text': ?}"

#: The first of each pair is what the second is compared to. What makes items makes those that are not there yet.
PAIRS: Final[list[tuple[Variant, Variant]]] = [
    (
        Variant("GetItem", "GetItem", lambda number: {"TableName": "plain", "Key": key(number % _ALIVE)}),
        Variant(
            "SELECT of one item",
            "ExecuteStatement",
            _statement(f"SELECT * FROM plain {_WHERE}", lambda number: _of_key(number % _ALIVE)),
        ),
    ),
    (
        Variant(
            "Query",
            "Query",
            lambda number: {
                "TableName": "plain",
                "KeyConditionExpression": "id = :id",
                "ExpressionAttributeValues": {":id": key(number % _ALIVE)["id"]},
            },
        ),
        Variant(
            "SELECT of a partition",
            "ExecuteStatement",
            _statement("SELECT * FROM plain WHERE id = ?", lambda number: _of_key(number % _ALIVE)[:1]),
        ),
    ),
    (
        Variant("PutItem of a new item", "PutItem", _put("plain", **_NEW)),
        Variant("INSERT", "ExecuteStatement", _statement(_INSERT, lambda number: list(item(number).values()))),
    ),
    (
        Variant(
            "UpdateItem",
            "UpdateItem",
            lambda number: {
                "TableName": "plain",
                "Key": key(number % _ALIVE),
                **_UPDATE,
                "ExpressionAttributeNames": {"#count": "count"},
                "ExpressionAttributeValues": {":count": {"N": str(number)}},
            },
        ),
        Variant(
            "UPDATE",
            "ExecuteStatement",
            _statement(
                f'UPDATE plain SET "count" = ? {_WHERE}',
                lambda number: [{"N": str(number)}, *_of_key(number % _ALIVE)],
            ),
        ),
    ),
    (Variant("PutItem", "PutItem", _put("plain")), Variant("PutItem, with a stream", "PutItem", _put("told"))),
]


def _cpu_s(target: Target) -> float:
    """CPU seconds of the server so far."""
    total = 0.0
    for pid in target.pids:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(values[11]) + int(values[12])) / _TICKS
    return total


def measured(
    target: Target, connection: Connection, variant: Variant, first: int, requests: int
) -> tuple[float, float]:
    """Sends requests one after the other; returns their median and the server's CPU for each, microseconds."""
    prepared = [connection.prepared(variant.operation, variant.body(first + at)) for at in range(requests)]
    taken: list[float] = []
    before_s = _cpu_s(target)
    for request in prepared:
        began = time.perf_counter()
        connection.send(request)
        taken.append(time.perf_counter() - began)
    return 1e6 * statistics.median(taken), 1e6 * (_cpu_s(target) - before_s) / requests


def pairs(target: Target, connection: Connection, rounds: int, requests: int) -> None:
    """Prints what each pair costs."""
    print(f"{'':26}{'p50 µs':>9}{'CPU µs':>9}{'p50 ratio':>11}{'CPU ratio':>11}")
    for number, pair in enumerate(PAIRS):
        found = {variant.name: Found() for variant in pair}
        for turn in range(rounds + 1):
            for at, variant in enumerate(pair if turn % 2 else reversed(pair)):
                first = ((number * 2 + at) * (rounds + 2) + turn + 1) * _APART
                p50_us, cpu_us = measured(target, connection, variant, first, requests)
                # The first round is for getting warm.
                if turn:
                    found[variant.name].p50_us.append(p50_us)
                    found[variant.name].cpu_us.append(cpu_us)
        base = found[pair[0].name]
        for variant in pair:
            one = found[variant.name]
            p50_us, cpu_us = statistics.median(one.p50_us), statistics.median(one.cpu_us)
            line = f"{variant.name:26}{p50_us:9.0f}{cpu_us:9.0f}"
            if variant is not pair[0]:
                ratios = [
                    statistics.median(other / mine for other, mine in zip(theirs, ours, strict=True))
                    for theirs, ours in ((one.p50_us, base.p50_us), (one.cpu_us, base.cpu_us))
                ]
                line += f"{ratios[0]:11.2f}{ratios[1]:11.2f}"
            print(line, flush=True)


def records(target: Target, connection: Connection, count: int) -> None:
    """Writes items into the table with a stream, and prints how fast its records are read."""
    for start in range(0, count, _LOADED_AT_ONCE):
        puts = [{"PutRequest": {"Item": item(start + at)}} for at in range(_LOADED_AT_ONCE)]
        connection.call("BatchWriteItem", RequestItems={"told": puts})
    (stream,) = connection.call("ListStreams", api=_STREAMS)["Streams"]
    described = connection.call("DescribeStream", api=_STREAMS, StreamArn=stream["StreamArn"])["StreamDescription"]
    before_s, began, read = _cpu_s(target), time.perf_counter(), 0
    for shard in described["Shards"]:
        place = {"StreamArn": stream["StreamArn"], "ShardId": shard["ShardId"]}
        iterator = connection.call("GetShardIterator", api=_STREAMS, **place, ShardIteratorType="TRIM_HORIZON")
        next_one = iterator["ShardIterator"]
        while next_one:
            answer = connection.call("GetRecords", api=_STREAMS, ShardIterator=next_one, Limit=1_000)
            read += len(answer["Records"])
            next_one = answer.get("NextShardIterator") if answer["Records"] else None
    taken_s, cpu_s = time.perf_counter() - began, _cpu_s(target) - before_s
    print(f"GetRecords: {read} records, {read / taken_s:.0f} a second, {1e6 * cpu_s / read:.1f} µs of CPU each")


def prepare(connection: Connection) -> None:
    """Makes a table with a stream, one without, and the items that are read."""
    schema = [("id", "S", "HASH"), ("slot", "N", "RANGE")]
    for table in ("plain", "told"):
        connection.call(
            "CreateTable",
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind, _ in schema],
            KeySchema=[{"AttributeName": name, "KeyType": role} for name, _, role in schema],
            StreamSpecification={"StreamEnabled": table == "told"}
            | ({"StreamViewType": "NEW_AND_OLD_IMAGES"} if table == "told" else {}),
        )
        while connection.call("DescribeTable", TableName=table)["Table"]["TableStatus"] != "ACTIVE":
            time.sleep(0.1)
        for number in range(_ALIVE):
            connection.call("PutItem", TableName=table, Item=item(number))


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000, help="of each variant, each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, servers.tenet(Path(directory)) as target:
        connection = Connection(target)
        prepare(connection)
        pairs(target, connection, given.rounds, given.requests)
        records(target, connection, given.records)


if __name__ == "__main__":
    main()
