"""Queues of three Tenet nodes over three real Cassandra nodes, which are killed under load."""

from __future__ import annotations

import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from tests.clusters import new_store_url
from tests.rounds import LONG, rounds
from tests.servers import Server, join, running
from tools.cluster.cluster import Cluster

#: What is promised, and what a machine takes longer that runs six servers and the load on a few cores.
DELAY_S = 2.0
MARGIN_S = 4.0
#: How long the load goes on before and after the kill, and how long until everything has to be received.
BEFORE_S = 5.0
AFTER_S = 8.0
REST_S = 20.0
GROUPS = 3


def measured(server: Server, name: str) -> dict[str, float]:
    """The values of a metric of queues, by queue, as one server shows them."""
    trusted = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
    with urllib.request.urlopen(f"{server.endpoint}/metrics", context=trusted, timeout=10) as page:
        text = page.read().decode()
    return {
        match[1]: float(match[2])
        for match in re.finditer(rf'^{name}{{.*queue="([^"]+)".*}} (\S+)$', text, re.MULTILINE)
    }


class Load:
    """Producers and consumers of one queue, at the nodes that stay."""

    def __init__(self, servers: list[Server], url: str) -> None:
        self.url = url
        self.is_fifo = url.endswith(".fifo")
        self.asked_s: dict[str, float] = {}
        self.sent: set[str] = set()
        self.received: list[tuple[str, str, float]] = []
        #: When a deletion was answered; and what was received by a request that was sent behind that.
        self.deleted_s: dict[str, float] = {}
        self.came_back: list[str] = []
        self.errors: list[Exception] = []
        self.slowest_send_s = 0.0
        self._is_over = threading.Event()
        self._is_drained = threading.Event()
        once = Config(retries={"max_attempts": 0}, read_timeout=40)
        clients = [server.client("sqs", config=once) for server in servers]
        self._producers = [
            threading.Thread(target=self._guarded, args=(self._produce, client, number))
            for number, client in enumerate(clients)
        ]
        self._consumers = [threading.Thread(target=self._guarded, args=(self._consume, client)) for client in clients]

    def start(self) -> None:
        for thread in (*self._producers, *self._consumers):
            thread.start()

    def end(self) -> None:
        """Ends the producers, and the consumers once they have everything."""
        self._is_over.set()
        for thread in self._producers:
            thread.join()
        until_s = time.monotonic() + REST_S
        while self.sent - {body for body, _, _ in self.received} and time.monotonic() < until_s and not self.errors:
            time.sleep(0.05)
        self._is_drained.set()
        for thread in self._consumers:
            thread.join()

    def _guarded(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to fail of it
            self.errors.append(error)

    def _produce(self, client: Any, number: int) -> None:
        at = 0
        while not self._is_over.is_set():
            # Each group has one producer, so that its order is known.
            group = f"{number}/{at % GROUPS}"
            body = f"{group}/{at:06}"
            more = {"MessageGroupId": group, "MessageDeduplicationId": body} if self.is_fifo else {}
            self.asked_s[body] = begun_s = time.monotonic()
            client.send_message(QueueUrl=self.url, MessageBody=body, **more)
            self.slowest_send_s = max(self.slowest_send_s, time.monotonic() - begun_s)
            self.sent.add(body)
            at += 1
            time.sleep(0.02)

    def _consume(self, client: Any) -> None:
        while not self._is_drained.is_set():
            begun_s = time.monotonic()
            found = client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            now_s = time.monotonic()
            for message in found.get("Messages", ()):
                body = message["Body"]
                if body in self.asked_s:
                    self.received.append((body.rpartition("/")[0], body, now_s))
                if self.deleted_s.get(body, begun_s) < begun_s:
                    self.came_back.append(body)
                client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                self.deleted_s[body] = time.monotonic()

    def check(self) -> None:
        assert not self.errors, self.errors
        assert len(self.sent) > 40
        first_s: dict[str, float] = {}
        for _, body, now_s in self.received:
            first_s.setdefault(body, now_s)
        assert self.sent <= set(first_s), f"lost: {sorted(self.sent - set(first_s))}"
        assert not self.came_back, f"received though their deletion had been answered: {self.came_back}"
        delays = {body: now_s - self.asked_s[body] for body, now_s in first_s.items()}
        slowest = max(delays, key=delays.__getitem__)
        print(
            f"{self.url.rpartition('/')[2]}: {len(first_s)} messages, slowest {delays[slowest]:.2f} s,"
            f" slowest send {self.slowest_send_s:.2f} s, received again {len(self.received) - len(first_s)}"
        )
        assert delays[slowest] < DELAY_S + MARGIN_S, f"{slowest} took {delays[slowest]:.2f} s"
        if self.is_fifo:
            assert len(self.received) == len(first_s), "a message was received twice"
            for group in {group for group, _, _ in self.received}:
                bodies = [body for other, body, _ in self.received if other == group]
                # Two consumers may note theirs a moment apart, though a group is at one of them at a time.
                assert bodies == sorted(bodies), f"group {group} was received out of order"


@pytest.fixture
def nodes(cassandra_faults: Cluster, tmp_path: Path) -> Iterator[list[Server]]:
    """The first node, and two that join it: ``two`` and ``three``."""
    store_url = new_store_url(cassandra_faults)
    with ExitStack() as stack:
        found = [stack.enter_context(running(tmp_path / "one", "--store", store_url))]
        for name in ("two", "three"):
            join(found[0], tmp_path / name)
            found.append(stack.enter_context(running(tmp_path / name, "--store", store_url)))
        yield found


def owned(servers: list[Server], names: list[str]) -> list[set[str]]:
    """The queues that each node has; waits until each queue is at one node."""
    until_s = time.monotonic() + 30
    while True:
        found = [set(measured(server, "tenet_queue_visible_messages")) for server in servers]
        if sorted(name for of in found for name in of) == sorted(names):
            return found
        assert time.monotonic() < until_s, found
        time.sleep(0.2)


@pytest.mark.time_limit_s(420)
def test_killing_the_owner_of_queues_delays_their_messages_by_two_seconds_and_loses_none(nodes: list[Server]) -> None:
    client = nodes[0].client("sqs")
    names = [f"{kind}{number}{suffix}" for number in range(5) for kind, suffix in (("plain", ""), ("line", ".fifo"))]
    urls = {}
    for name in names:
        attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        urls[name] = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    time.sleep(2)  # until members have settled who has what
    for number, name in enumerate(names):
        more = {"MessageGroupId": "first", "MessageDeduplicationId": "first"} if name.endswith(".fifo") else {}
        nodes[number % 3].client("sqs").send_message(QueueUrl=urls[name], MessageBody="first", **more)
    at = owned(nodes, names)
    victim = next(number for number in (1, 2, 0) if {name.endswith(".fifo") for name in at[number]} == {True, False})
    killed = nodes[victim]
    stay = [server for server in nodes if server is not killed]
    used = [next(name for name in sorted(at[victim]) if name.endswith(".fifo") is is_fifo) for is_fifo in (True, False)]
    loads = [Load(stay, urls[name]) for name in used]
    for load in loads:
        load.start()
    time.sleep(BEFORE_S)
    killed.kill()
    time.sleep(AFTER_S)
    for load in loads:
        load.end()
    for load in loads:
        load.check()


@pytest.mark.time_limit_s(600 if LONG else 300)
def test_killing_nodes_of_cassandra_loses_no_message_and_brings_none_back(
    nodes: list[Server], cassandra_faults: Cluster
) -> None:
    client = nodes[0].client("sqs")
    names = {"plain": {}, "line.fifo": {"FifoQueue": "true"}}
    urls = [client.create_queue(QueueName=name, Attributes=more)["QueueUrl"] for name, more in names.items()]
    loads = [Load(nodes, url) for url in urls]
    for load in loads:
        load.start()
    for number in range(1, 1 + rounds(1, 6)):
        time.sleep(BEFORE_S)
        killed = 1 + number % len(cassandra_faults.contact_points)
        cassandra_faults.kill9(killed)
        time.sleep(AFTER_S)
        cassandra_faults.start(killed)
        cassandra_faults.wait_whole()
    for load in loads:
        load.end()
    for load in loads:
        load.check()
