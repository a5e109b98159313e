"""Many queues and many who wait at them: they cost a server hardly anything while nothing comes."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.rounds import LONG, rounds
from tests.servers import Server, running
from tests.soak import cpu_s

POLLERS, QUEUES_OF_POLLERS = 1_000, 10
#: What a server may take while nothing comes: of one processor.
IDLE_SHARE_MAX = 0.02
IDLE_S = 5.0
WAIT_S = 20
MANY = rounds(2_000, 10_000)


def idle_share(server: Server) -> float:
    """The share of a processor that a server takes while the test does nothing."""
    before_s, began_s = cpu_s(server.process.pid), time.monotonic()
    time.sleep(IDLE_S)
    return (cpu_s(server.process.pid) - before_s) / (time.monotonic() - began_s)


def receive_of(server: Server, url: str) -> bytes:
    """The bytes of a signed request that waits for one message."""
    exports = server.exports
    body = json.dumps({"QueueUrl": url, "MaxNumberOfMessages": 1, "WaitTimeSeconds": WAIT_S}).encode()
    headers = {
        "host": urlsplit(server.endpoint).netloc,
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "AmazonSQS.ReceiveMessage",
    }
    request = AWSRequest("POST", f"{server.endpoint}/", headers=headers, data=body)
    keys = Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(keys, "sqs", exports["AWS_DEFAULT_REGION"]).add_auth(request)
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"POST / HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


async def poll(server: Server, request: bytes, trusted: ssl.SSLContext, sent: asyncio.Semaphore) -> str:
    """Sends a receive over a connection of its own; returns the body of the message that it is given."""
    at = urlsplit(server.endpoint)
    reader, writer = await asyncio.open_connection(at.hostname, at.port, ssl=trusted)
    try:
        writer.write(request)
        await writer.drain()
        sent.release()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200"), head
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        (message,) = json.loads(await reader.readexactly(length))["Messages"]
        return str(message["Body"])
    finally:
        writer.close()


async def wait_at(server: Server, urls: Sequence[str]) -> tuple[float, list[str]]:
    """Has many wait, looks what that costs, sends a message for each; returns the share and what they were given."""
    trusted = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
    requests = [receive_of(server, url) for url in urls]
    sent = asyncio.Semaphore(0)
    polls = [
        asyncio.create_task(poll(server, requests[number % len(requests)], trusted, sent)) for number in range(POLLERS)
    ]
    for _ in polls:
        await sent.acquire()
    share = await asyncio.to_thread(idle_share, server)
    await asyncio.to_thread(send_to_all, server, urls)
    return share, await asyncio.gather(*polls)


def send_to_all(server: Server, urls: Sequence[str]) -> None:
    client = server.client("sqs")
    for at, url in enumerate(urls):
        numbers = range(at, POLLERS, len(urls))
        for first in range(0, len(numbers), 10):
            entries = [{"Id": str(number), "MessageBody": f"for {number}"} for number in numbers[first : first + 10]]
            assert "Failed" not in client.send_message_batch(QueueUrl=url, Entries=entries)


@pytest.mark.alone
@pytest.mark.time_limit_s(180)
def test_a_thousand_that_wait_cost_hardly_anything_and_are_all_answered(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        client = server.client("sqs")
        urls = [client.create_queue(QueueName=f"queue-{number}")["QueueUrl"] for number in range(QUEUES_OF_POLLERS)]
        share, given = asyncio.run(wait_at(server, urls))
        assert sorted(given) == sorted(f"for {number}" for number in range(POLLERS))
        assert share <= IDLE_SHARE_MAX, share


@pytest.mark.alone
@pytest.mark.time_limit_s(600 if LONG else 240)
def test_thousands_of_queues_are_there_and_cost_nothing(tmp_path: Path) -> None:
    names = [f"queue-{number:05}" for number in range(MANY)]
    with running(tmp_path / "data") as server:
        clients = [server.client("sqs") for _ in range(4)]
        with ThreadPoolExecutor(len(clients)) as threads:
            urls = list(
                threads.map(
                    lambda each: clients[each[0] % 4].create_queue(QueueName=each[1])["QueueUrl"], enumerate(names)
                )
            )
        client = clients[0]
        pages = client.get_paginator("list_queues").paginate(PaginationConfig={"PageSize": 1_000})
        assert [url for page in pages for url in page.get("QueueUrls", ())] == urls
        assert idle_share(server) <= IDLE_SHARE_MAX
        some = urls[:: MANY // 50]
        for url in some:
            client.send_message(QueueUrl=url, MessageBody=url)
        server.kill()
    with running(tmp_path / "data") as server:
        client = server.client("sqs")
        for url in some:
            (message,) = client.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"]
            assert message["Body"] == url
        assert idle_share(server) <= IDLE_SHARE_MAX
