"""A pipe from a table to a FIFO queue, with an unchanged SDK, while the server is killed again and again.

Writers change items of their own, each change numbered, and keep a ledger of what was acknowledged. A receiver empties
the queue meanwhile. In the end every change that was acknowledged was delivered, and those of each item in their order.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.rounds import rounds
from tests.servers import Server, end, running, start

WRITERS, KEYS = 3, 4
CHANGES = rounds(100, 1_000)
KILLS = rounds(4, 40)
ROLE = "arn:aws:iam::000000000000:role/pipes"
IMPATIENT = Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 0})


class Ledger:
    """What was acknowledged and what came, by key: numbers of changes in their order."""

    def __init__(self) -> None:
        self.written: dict[str, list[int]] = defaultdict(list)
        self.received: dict[str, list[int]] = defaultdict(list)
        self.is_written = threading.Event()
        self.lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        with self.lock:
            return all(set(numbers) <= set(self.received[key]) for key, numbers in self.written.items())


class Office:
    """A server that is killed, and clients that go on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server = start(folder / "data", "--plaintext")
        self._listen = urlsplit(self.server.endpoint).netloc
        self.ledger = Ledger()
        self.url = declare(self.server)

    def restart(self) -> None:
        self.server.kill()
        self.server = start(self._folder / "data", "--plaintext", "--listen", self._listen)

    def client(self, service: str) -> Any:
        return self.server.client(service, config=IMPATIENT)

    def write(self, number: int) -> None:
        table, last = self.client("dynamodb"), defaultdict[str, int](int)
        for at in range(CHANGES):
            key = f"writer-{number}-key-{at % KEYS}"
            last[key] += 1
            value = {"Id": {"S": key}, "n": {"N": str(last[key])}}
            again(partial(table.put_item, TableName="orders", Item=value))
            with self.ledger.lock:
                self.ledger.written[key].append(last[key])

    def receive(self) -> None:
        queue = self.client("sqs")
        while not (self.ledger.is_written.is_set() and self.ledger.is_over):
            answer = again(lambda: queue.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1))
            for message in answer.get("Messages", []):
                record = orjson.loads(message["Body"])["dynamodb"]
                with self.ledger.lock:
                    numbers = self.ledger.received[record["Keys"]["Id"]["S"]]
                    numbers.append(int(record["NewImage"]["n"]["N"]))
                handle = message["ReceiptHandle"]
                again(partial(queue.delete_message, QueueUrl=self.url, ReceiptHandle=handle))


def declare(server: Server) -> str:
    """Makes table, queue and pipe, and returns the queue's URL once the pipe runs."""
    server.client("dynamodb").create_table(
        TableName="orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
    )
    queue, pipes = server.client("sqs"), server.client("pipes")
    url = queue.create_queue(QueueName="changes.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    arns = {
        "Source": server.client("dynamodb").describe_table(TableName="orders")["Table"]["TableArn"],
        "Target": queue.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"],
    }
    stream = {"StartingPosition": "LATEST", "BatchSize": 20}
    made = pipes.create_pipe(
        Name="changes", RoleArn=ROLE, SourceParameters={"DynamoDBStreamParameters": stream}, **arns
    )
    assert (made["CurrentState"], made["DesiredState"]) == ("CREATING", "RUNNING")
    until = time.monotonic() + 20
    while pipes.describe_pipe(Name="changes")["CurrentState"] != "RUNNING":
        assert time.monotonic() < until
        time.sleep(0.05)
    return str(url)


def again(call: Callable[[], Any]) -> Any:
    """Calls until there is an answer."""
    until = time.monotonic() + 60
    while True:
        with suppress(BotoCoreError, ClientError):
            return call()
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.time_limit_s(rounds(240, 2_400))
def test_every_change_is_delivered_in_its_order(tmp_path: Path, seed: int) -> None:
    chance, office = random.Random(seed), Office(tmp_path)
    ledger = office.ledger
    writers = [threading.Thread(target=office.write, args=(number,)) for number in range(WRITERS)]
    receiver = threading.Thread(target=office.receive)
    try:
        for thread in (*writers, receiver):
            thread.start()
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.2, 1.0))
            office.restart()
        for thread in writers:
            thread.join(timeout=180)
        ledger.is_written.set()
        receiver.join(timeout=120)
        described = office.server.client("pipes").describe_pipe(Name="changes")
    finally:
        ledger.is_written.set()
        end(office.server)
    assert not receiver.is_alive(), "something was acknowledged and not delivered"
    assert sum(map(len, ledger.written.values())) == WRITERS * CHANGES
    assert described["CurrentState"] == "RUNNING"
    assert "StateReason" not in described
    for key, numbers in ledger.written.items():
        # What came twice after a kill came in its order each time: what is new only ever rises.
        fresh = list(dict.fromkeys(ledger.received[key]))
        assert fresh == sorted(fresh), key
        assert set(numbers) <= set(fresh), key


def test_an_unchanged_sdk_declares_stops_and_deletes_a_pipe(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        url = declare(server)
        pipes, table, queue = server.client("pipes"), server.client("dynamodb"), server.client("sqs")
        (listed,) = pipes.list_pipes(NamePrefix="ch")["Pipes"]
        pattern = '{"eventName": ["INSERT"], "dynamodb": {"NewImage": {"n": {"N": [{"anything-but": "0"}]}}}}'
        filters = {"FilterCriteria": {"Filters": [{"Pattern": pattern}]}, "DynamoDBStreamParameters": {"BatchSize": 5}}
        pipes.update_pipe(Name="changes", RoleArn=ROLE, SourceParameters=filters)
        arn = pipes.describe_pipe(Name="changes")["Arn"]
        assert listed["Arn"] == arn
        pipes.tag_resource(resourceArn=arn, tags={"team": "a", "tier": "b"})
        pipes.untag_resource(resourceArn=arn, tagKeys=["tier"])
        assert pipes.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "a"}
        for number in "012":
            table.put_item(TableName="orders", Item={"Id": {"S": "k"}, "n": {"N": number}})
            table.put_item(TableName="orders", Item={"Id": {"S": f"k-{number}"}, "n": {"N": number}})
        found: list[str] = []
        until = time.monotonic() + 20
        while len(found) < 2:
            assert time.monotonic() < until, found
            messages = queue.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", [])
            found += [orjson.loads(message["Body"])["dynamodb"]["Keys"]["Id"]["S"] for message in messages]
        assert sorted(found) == ["k-1", "k-2"]
        assert pipes.stop_pipe(Name="changes")["CurrentState"] == "STOPPING"
        assert pipes.start_pipe(Name="changes")["CurrentState"] == "STARTING"
        with pytest.raises(pipes.exceptions.ConflictException):
            declare_again(pipes, listed)
        assert pipes.delete_pipe(Name="changes")["DesiredState"] == "DELETED"
        with pytest.raises(pipes.exceptions.NotFoundException):
            pipes.describe_pipe(Name="changes")
        with pytest.raises(pipes.exceptions.ValidationException, match="without /stream/ behind it"):
            declare_again(pipes, listed | {"Source": listed["Source"] + "/stream/2026-01-01T00:00:00.000"})


def test_a_pipe_moves_with_its_store(tmp_path: Path) -> None:
    data, target = tmp_path / "data", f"sqlite:{tmp_path / 'there'}"
    with running(data) as server:
        declare(server)
        for number in range(20):
            put(server, number)
        server.client("pipes").stop_pipe(Name="changes")
        put(server, 20)
        refused = server.command("store", "copy", "sqlite:", target)
        assert refused.returncode == 1
        assert "has changes that it has not delivered" in refused.stderr
        server.client("pipes").start_pipe(Name="changes")
        done = server.command("store", "copy", "sqlite:", target)
        assert done.returncode == 0, done.stderr
    with running(data, "--store", target) as server:
        put(server, 21)
        queue = server.client("sqs")
        url = queue.get_queue_url(QueueName="changes.fifo")["QueueUrl"]
        found: list[int] = []
        until = time.monotonic() + 20
        while len(found) < 22:
            assert time.monotonic() < until, found
            for message in queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
                "Messages", []
            ):
                found.append(int(orjson.loads(message["Body"])["dynamodb"]["NewImage"]["n"]["N"]))
                queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        assert found == list(range(22))


def put(server: Server, number: int) -> None:
    item = {"Id": {"S": "k"}, "n": {"N": str(number)}}
    server.client("dynamodb").put_item(TableName="orders", Item=item)


def declare_again(pipes: Any, listed: dict[str, Any]) -> None:
    pipes.create_pipe(
        Name="changes",
        RoleArn=ROLE,
        Source=listed["Source"],
        Target=listed["Target"],
        SourceParameters={"DynamoDBStreamParameters": {"StartingPosition": "TRIM_HORIZON"}},
    )
