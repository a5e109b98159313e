"""A pipe from a table to a FIFO queue, with an unchanged SDK, while servers are killed.

Writers change items of their own, each change numbered, and keep a ledger of what was acknowledged. A receiver empties
the queue meanwhile. In the end every change that was acknowledged was delivered, and those of each item in their order.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.servers import Server

WRITERS, KEYS = 3, 4
ROLE = "arn:aws:iam::000000000000:role/pipes"
IMPATIENT = Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 0})
ANSWERED_S_MAX = 60.0
WRITTEN_S_MAX = 300.0
DELIVERED_S_MAX = 120.0


class Anywhere:
    """Asks servers in turn until one of them answers.

    Args:
        servers: of one store.
    """

    def __init__(self, servers: Sequence[Server]) -> None:
        self._clients: dict[str, list[Any]] = {
            service: [server.client(service, config=IMPATIENT) for server in servers]
            for service in ("dynamodb", "sqs", "pipes")
        }

    def ask(self, service: str, operation: str, **request: Any) -> Any:
        """Returns an answer, the first one that comes."""
        clients, until, tries = self._clients[service], time.monotonic() + ANSWERED_S_MAX, 0
        while True:
            try:
                return getattr(clients[tries % len(clients)], operation)(**request)
            except (BotoCoreError, ClientError):
                if time.monotonic() > until:
                    raise
                tries += 1
                time.sleep(0.05)


class Trial:
    """Writers, a receiver, and what they have seen.

    Args:
        anywhere: where they ask; it is used by all of them.
        url: of the queue that the pipe ``changes`` of the table ``orders`` delivers to.
        changes: how many each writer makes.
    """

    def __init__(self, anywhere: Anywhere, url: str, changes: int) -> None:
        self._ask = anywhere.ask
        self._url = url
        self._changes = changes
        self._written: dict[str, list[int]] = defaultdict(list)
        self._received: dict[str, list[int]] = defaultdict(list)
        self._is_written = threading.Event()
        self._is_given_up = threading.Event()
        self._lock = threading.Lock()

    def run(self, disturb: Callable[[], None]) -> None:
        """Writes and receives while something is done to the servers, and until everything was delivered."""
        writers = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]
        receiver = threading.Thread(target=self._receive)
        try:
            for thread in (*writers, receiver):
                thread.start()
            disturb()
            for thread in writers:
                thread.join(timeout=WRITTEN_S_MAX)
            self._is_written.set()
            receiver.join(timeout=DELIVERED_S_MAX)
            assert not receiver.is_alive(), "something was acknowledged and not delivered"
        finally:
            self._is_given_up.set()

    def check(self) -> None:
        """Everything that was acknowledged was delivered, in its order, and the pipe is well."""
        described = self._ask("pipes", "describe_pipe", Name="changes")
        assert described["CurrentState"] == "RUNNING"
        assert "StateReason" not in described
        assert sum(map(len, self._written.values())) == WRITERS * self._changes
        for key, numbers in self._written.items():
            # What came twice after a kill came in its order each time: what is new only ever rises.
            fresh = list(dict.fromkeys(self._received[key]))
            assert fresh == sorted(fresh), key
            assert set(numbers) <= set(fresh), key

    def _write(self, number: int) -> None:
        last = defaultdict[str, int](int)
        for at in range(self._changes):
            key = f"writer-{number}-key-{at % KEYS}"
            last[key] += 1
            value = {"Id": {"S": key}, "n": {"N": str(last[key])}}
            self._ask("dynamodb", "put_item", TableName="orders", Item=value)
            with self._lock:
                self._written[key].append(last[key])

    def _receive(self) -> None:
        where = {"QueueUrl": self._url}
        while not (self._is_given_up.is_set() or (self._is_written.is_set() and self._is_delivered())):
            answer = self._ask("sqs", "receive_message", MaxNumberOfMessages=10, WaitTimeSeconds=1, **where)
            for message in answer.get("Messages", []):
                record = orjson.loads(message["Body"])["dynamodb"]
                with self._lock:
                    numbers = self._received[record["Keys"]["Id"]["S"]]
                    numbers.append(int(record["NewImage"]["n"]["N"]))
                self._ask("sqs", "delete_message", ReceiptHandle=message["ReceiptHandle"], **where)

    def _is_delivered(self) -> bool:
        with self._lock:
            return all(set(numbers) <= set(self._received[key]) for key, numbers in self._written.items())


def declare(server: Server) -> str:
    """Makes table, queue and pipe, and returns the queue's URL once the pipe runs."""
    tables, queues, pipes = (server.client(service) for service in ("dynamodb", "sqs", "pipes"))
    tables.create_table(
        TableName="orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
    )
    tables.get_waiter("table_exists").wait(TableName="orders", WaiterConfig={"Delay": 1})
    url = queues.create_queue(QueueName="changes.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    arns = {
        "Source": tables.describe_table(TableName="orders")["Table"]["TableArn"],
        "Target": queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"],
    }
    stream = {"StartingPosition": "LATEST", "BatchSize": 20}
    made = pipes.create_pipe(
        Name="changes", RoleArn=ROLE, SourceParameters={"DynamoDBStreamParameters": stream}, **arns
    )
    assert (made["CurrentState"], made["DesiredState"]) == ("CREATING", "RUNNING")
    until = time.monotonic() + ANSWERED_S_MAX
    while pipes.describe_pipe(Name="changes")["CurrentState"] != "RUNNING":
        assert time.monotonic() < until
        time.sleep(0.05)
    return str(url)
