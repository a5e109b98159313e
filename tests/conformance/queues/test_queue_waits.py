"""Receives that wait: woken by a send, ended by the server that stops, and not fed once their client is gone."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.conformance.queues.wire import JSON, QUERY, REGION, Json, Target
from tests.conformance.queues.world import World
from tests.servers import Server, running

WAITERS = 8


@pytest.fixture
def world(plain_server: Server) -> Iterator[World]:
    with closing(Target.of_server(plain_server)) as target:
        world = World(target)
        yield world
        world.clean()


def receiving(server: Server, url: str, wait_s: int = 20) -> list[Json]:
    """A receive over a connection of its own."""
    with closing(Target.of_server(server, QUERY if wait_s % 2 else JSON)) as target:
        return World(target).receive(url, 1, wait_s)


def is_held(server: Server, waiting: list[Future[list[Json]]]) -> None:
    """Gives receives the time to arrive; none of them may have been answered."""
    time.sleep(1)
    assert not any(one.done() for one in waiting)


def test_a_send_wakes_a_receive(plain_server: Server, world: World) -> None:
    url = world.queue()
    with ThreadPoolExecutor(WAITERS) as pool:
        waiting = [pool.submit(receiving, plain_server, url, 19 + number % 2) for number in range(WAITERS)]
        is_held(plain_server, waiting)
        sent = time.monotonic()
        for number in range(WAITERS):
            world.send(url, str(number))
        found = [one.result(timeout=10) for one in waiting]
        assert time.monotonic() - sent < 5
    assert sorted(message["Body"] for messages in found for message in messages) == sorted(map(str, range(WAITERS)))
    assert all(message["Attributes"]["ApproximateReceiveCount"] == "1" for messages in found for message in messages)


def test_a_delay_that_ends_wakes_a_receive(plain_server: Server, world: World) -> None:
    url = world.queue()
    world.send(url, "late", DelaySeconds=2)
    begun = time.monotonic()
    assert [message["Body"] for message in world.receive(url, wait_s=20)] == ["late"]
    assert 1.5 < time.monotonic() - begun < 8


def test_a_message_that_becomes_visible_wakes_a_receive(plain_server: Server, world: World) -> None:
    url = world.fifo()
    world.send(url, "again", MessageGroupId="g", MessageDeduplicationId="d")
    message = world.receive_one(url)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(receiving, plain_server, url)
        is_held(plain_server, [waiting])
        world.ok("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
        assert [one["Body"] for one in waiting.result(timeout=10)] == ["again"]


@contextmanager
def half_a_receive(server: Server, url: str) -> Iterator[socket.socket]:
    """A client that asks to wait for 20 s, and whose answer nobody reads."""
    exports = server.exports
    body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20, "MaxNumberOfMessages": 10})
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.ReceiveMessage"}
    signed = AWSRequest("POST", f"{server.endpoint}/", data=body, headers=headers)
    credentials = Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(credentials, "sqs", REGION).add_auth(signed)
    address = urlsplit(server.endpoint)
    lines = ["POST / HTTP/1.1", f"Host: {address.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in signed.headers.items()]
    with socket.create_connection((address.hostname, address.port), timeout=10) as client:
        client.sendall("\r\n".join([*lines, "", body]).encode())
        yield client


def test_a_client_that_is_gone_takes_no_message(plain_server: Server, world: World) -> None:
    url = world.fifo()
    for _client in range(5):
        with half_a_receive(plain_server, url):
            time.sleep(0.5)
    world.send(url, "for somebody who waits", MessageGroupId="g", MessageDeduplicationId="d")
    message = world.receive_one(url, wait_s=5)
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_a_server_that_stops_answers_those_who_wait(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--plaintext") as server:
        with closing(Target.of_server(server)) as target:
            url = World(target).queue()
        with ThreadPoolExecutor(WAITERS) as pool:
            waiting = [pool.submit(receiving, server, url, 19 + number % 2) for number in range(WAITERS)]
            is_held(server, waiting)
            stopping = threading.Thread(target=server.stop)
            begun = time.monotonic()
            stopping.start()
            assert [one.result(timeout=15) for one in waiting] == [[]] * WAITERS
            assert time.monotonic() - begun < 10
            stopping.join()
        assert server.process.returncode == 0


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--plaintext") as server, closing(Target.of_server(server)) as target:
        world = World(target)
        url = world.queue(VisibilityTimeout="600")
        for number in range(30):
            world.send(url, str(number), MessageAttributes={"n": {"DataType": "Number", "StringValue": str(number)}})
        done = world.receive(url)
        for message in done:
            world.delete(url, message)
        path = urlsplit(url).path
    with running(data, "--plaintext") as server, closing(Target.of_server(server)) as target:
        world = World(target)
        left = {str(number) for number in range(30)} - {message["Body"] for message in done}
        found: set[str] = set()
        while messages := world.receive(server.endpoint + path, wait_s=1):
            assert all(one["MessageAttributes"]["n"]["StringValue"] == one["Body"] for one in messages)
            found |= {message["Body"] for message in messages}
        assert found == left
