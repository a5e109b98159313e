"""Tenet is killed between two instructions while programs write through the API: what was answered is there.

Each round kills the process after a number of writes drawn from the seed, starts it again on the same directory, and
compares what the programs were told with what is there; a request that got no answer may have taken effect or not, but
whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tenet.base.dice import Dice
from tests.rounds import rounds
from tests.servers import start

# A client that retries by itself could count an increment twice; so every request is sent once.
ONCE = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10)
ACCOUNTS = 4
BALANCE = 1_000
COUNTERS = 3


class Books:
    """What the programs were told, over all rounds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counted = [0] * COUNTERS
        self.unsure = [0] * COUNTERS
        self.put: dict[str, int] = {}
        self.perhaps_put: dict[str, set[int]] = {}
        self.writes = threading.Semaphore(0)


def number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def make_table(client: Any) -> None:
    client.create_table(
        TableName="things",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "kind", "AttributeType": "S"},
            {"AttributeName": "version", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-kind",
                "KeySchema": [
                    {"AttributeName": "kind", "KeyType": "HASH"},
                    {"AttributeName": "version", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    client.get_waiter("table_exists").wait(TableName="things", WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    for account in range(ACCOUNTS):
        client.put_item(TableName="things", Item={"id": {"S": f"account-{account}"}, "balance": number(BALANCE)})


def count(client: Any, dice: Dice, books: Books, _: str) -> None:
    which = dice.below(COUNTERS)
    try:
        client.update_item(
            TableName="things",
            Key={"id": {"S": f"counter-{which}"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": number(1)},
        )
    except BotoCoreError:
        with books.lock:
            books.unsure[which] += 1
        raise
    with books.lock:
        books.counted[which] += 1


def put(client: Any, dice: Dice, books: Books, program: str) -> None:
    """Writes rising versions to items of this program's own."""
    name = f"{program}-{dice.below(5)}"
    version = books.put.get(name, 0) + 1 + len(books.perhaps_put.get(name, ()))
    item = {"id": {"S": name}, "kind": {"S": dice.pick(["a", "b"])}, "version": number(version)}
    try:
        client.put_item(TableName="things", Item=item)
    except BotoCoreError:
        books.perhaps_put.setdefault(name, set()).add(version)
        raise
    books.put[name] = version
    books.perhaps_put.pop(name, None)


def transfer(client: Any, dice: Dice, _: Books, __: str) -> None:
    source, target = dice.sample(range(ACCOUNTS), 2)
    values = {":a": number(1 + dice.below(50))}
    take = {
        "TableName": "things",
        "Key": {"id": {"S": f"account-{source}"}},
        "UpdateExpression": "SET balance = balance - :a",
        "ConditionExpression": "balance >= :a",
        "ExpressionAttributeValues": values,
    }
    give = {
        "TableName": "things",
        "Key": {"id": {"S": f"account-{target}"}},
        "UpdateExpression": "SET balance = balance + :a",
        "ExpressionAttributeValues": values,
    }
    client.transact_write_items(TransactItems=[{"Update": take}, {"Update": give}])


WAYS: list[Callable[[Any, Dice, Books, str], None]] = [count, put, transfer]


def program(client: Any, books: Books, seed: int, name: str) -> None:
    """Writes until the server is gone."""
    dice = Dice(seed)
    while True:
        try:
            dice.pick(WAYS)(client, dice, books, name)
            books.writes.release()
        except ClientError as error:
            # Not enough in the account, or the requests of a transfer crossed.
            assert error.response["Error"]["Code"] == "TransactionCanceledException"  # noqa: PT017 - in a thread, where no raises helper reaches
        except BotoCoreError:
            return


def play(data: Path, books: Books, seed: int) -> None:
    """One round: programs write, the server dies."""
    server = start(data)
    client = server.client(config=ONCE)
    if not client.list_tables()["TableNames"]:
        make_table(client)
    programs = [
        threading.Thread(target=program, args=(client, books, seed * 10 + at, f"program-{at}")) for at in range(4)
    ]
    for thread in programs:
        thread.start()
    for _ in range(20 + Dice(seed).below(300)):
        assert books.writes.acquire(timeout=30)
    server.kill()
    for thread in programs:
        thread.join(timeout=30)
        assert not thread.is_alive()


def check(data: Path, books: Books) -> None:
    server = start(data)
    client = server.client()
    items = {
        item["id"]["S"]: item
        for page in client.get_paginator("scan").paginate(TableName="things", ConsistentRead=True)
        for item in page["Items"]
    }
    for which in range(COUNTERS):
        counted = int(items.get(f"counter-{which}", {"n": {"N": "0"}})["n"]["N"])
        assert books.counted[which] <= counted <= books.counted[which] + books.unsure[which]
    assert sum(int(items[f"account-{account}"]["balance"]["N"]) for account in range(ACCOUNTS)) == ACCOUNTS * BALANCE
    for name, version in books.put.items():
        assert int(items[name]["version"]["N"]) in {version} | books.perhaps_put.get(name, set())
    indexed = [
        item
        for page in client.get_paginator("scan").paginate(TableName="things", IndexName="by-kind")
        for item in page["Items"]
    ]
    assert sorted(item["id"]["S"] for item in indexed) == sorted(name for name, item in items.items() if "kind" in item)
    assert all(items[item["id"]["S"]] == item for item in indexed)
    assert told(server.client("dynamodbstreams")) == items
    assert server.stop() == 0


def told(streams: Any) -> dict[str, Any]:
    """What the items have to be by the table's stream, each of whose records follows the one before of its item."""
    items: dict[str, Any] = {}
    (stream,) = streams.list_streams(TableName="things")["Streams"]
    numbers: list[str] = []
    for shard in streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]:
        at = {"StreamArn": stream["StreamArn"], "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = streams.get_shard_iterator(**at)["ShardIterator"]
        while records := (answer := streams.get_records(ShardIterator=iterator))["Records"]:
            iterator = answer["NextShardIterator"]
            for record in records:
                change = record["dynamodb"]
                numbers.append(change["SequenceNumber"])
                name = change["Keys"]["id"]["S"]
                assert items.pop(name, None) == change.get("OldImage")
                if "NewImage" in change:
                    items[name] = change["NewImage"]
    assert len(set(numbers)) == len(numbers)
    return items


@pytest.mark.time_limit_s(1_200)
def test_what_was_answered_survives_kill_9(tmp_path: Path, seed: int) -> None:
    books = Books()
    for at in range(rounds(3, 50)):
        play(tmp_path / "data", books, seed * 1_000 + at)
        check(tmp_path / "data", books)
    assert sum(books.counted) > 0
    assert books.put
