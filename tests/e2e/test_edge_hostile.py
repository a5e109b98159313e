"""Hostile clients of a real server: each gets the right error, nobody else notices, and nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edges import Answer, Client, Signature, call, on_loop, raw, until
from tests.servers import Server, running

TARGET = "DynamoDB_20120810"
#: Of resident memory that a thousand hostile connections may cost for good.
GROWTH_BYTES_MAX = 80 * 1024 * 1024
#: How long a line of the log may take behind the answer, seconds.
LOGGED_S_MAX = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    names = ("HEADER_S_MAX", "BODY_S_MAX", "IDLE_S_MAX", "LINGER_S_MAX")
    limits = dict.fromkeys((f"TENET_LIMITS_{name}" for name in names), "2")
    with running(tmp_path_factory.mktemp("hostile") / "data", "--plaintext", environment=limits) as started:
        started.client().create_table(
            TableName="ttt",
            KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        started.client().get_waiter("table_exists").wait(TableName="ttt")
        yield started


def address(server: Server) -> tuple[str, int]:
    host, _, port = server.endpoint.removeprefix("http://").rpartition(":")
    return host, int(port)


def signed(server: Server, operation: str, body: bytes) -> bytes:
    by = Signature(server.exports["AWS_ACCESS_KEY_ID"], server.exports["AWS_SECRET_ACCESS_KEY"])
    return call(operation, body, target=TARGET, by=by)


def ask(server: Server, operation: str, body: bytes) -> Answer:
    answers = []

    async def main() -> None:
        client = await Client.connect(address(server))
        answers.append(await client.ask(signed(server, operation, body)))
        await client.close()

    on_loop(main)
    return answers[0]


def resident_bytes(server: Server) -> int:
    command = ["ps", "-o", "rss=", "-p", str(server.process.pid)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * 1024


def put(value: str) -> bytes:
    return b'{"TableName":"ttt","Item":{"p":{"S":"k"},"v":' + value.encode() + b"}}"


def nested(levels: int) -> str:
    return '{"L":[' * levels + '{"S":"x"}' + "]}" * levels


BODIES = {
    "nested to the limit of an item": ("PutItem", put(nested(31)), 200, None),
    "nested one level too deep": ("PutItem", put(nested(33)), 400, "ValidationException"),
    "nested hundreds of levels deep": ("PutItem", put(nested(490)), 400, "ValidationException"),
    "nested more than a thousand levels deep": ("PutItem", put(nested(510)), 400, "SerializationException"),
    "nested a hundred thousand levels deep": ("PutItem", put(nested(100_000)), 400, "SerializationException"),
    "brackets that never close": ("PutItem", b"[" * 1_000_000, 400, "SerializationException"),
    "number of many digits": ("PutItem", put('{"N":"%s"}' % ("1" * 100_000)), 400, "ValidationException"),
    "number of many zeroes": ("PutItem", put('{"N":"1e%s"}' % ("9" * 100_000)), 400, "ValidationException"),
    "JSON number of many digits": ("PutItem", put('{"N":%s}' % ("1" * 100_000)), 400, "SerializationException"),
    "invalid UTF-8": ("PutItem", b'{"TableName":"ttt","Item":{"p":{"S":"\xff\xfe"}}}', 400, "SerializationException"),
    "half a surrogate": ("PutItem", b'{"TableName":"ttt","Item":{"p":{"S":"\\ud800"}}}', 400, "SerializationException"),
    "a name given twice": ("PutItem", b'{"TableName":"absent",' + put("[]")[1:].replace(b',"v":[]', b""), 200, None),
    "no JSON": ("PutItem", b"\x00" * 1000, 400, "SerializationException"),
    "a list": ("ListTables", b'["x"]', 400, "SerializationException"),
    "parentheses thousands of levels deep": (
        "PutItem",
        b'{"TableName":"ttt","Item":{"p":{"S":"k"}},"ConditionExpression":"%b"}'
        % (b"(" * 5_000 + b"attribute_exists(p)" + b")" * 5_000),
        400,
        "ValidationException",
    ),
    "NOT a thousand times": (
        "PutItem",
        b'{"TableName":"ttt","Item":{"p":{"S":"k"}},"ConditionExpression":"%b"}'
        % (b"NOT " * 1_000 + b"attribute_exists(p)"),
        400,
        "ValidationException",
    ),
    "a path thousands of steps deep": (
        "GetItem",
        b'{"TableName":"ttt","Key":{"p":{"S":"k"}},"ProjectionExpression":"a%b"}' % (b"[0]" * 5_000),
        400,
        "ValidationException",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_hostile_bodies_get_the_right_error(server: Server, name: str) -> None:
    operation, body, status, code = BODIES[name]
    answer = ask(server, operation, body)
    assert answer.status == status, answer.body[:300]
    if code is not None:
        assert answer.code.rpartition("#")[2] == code


def test_a_body_larger_than_any_is_refused(server: Server) -> None:
    async def main() -> None:
        client = await Client.connect(address(server))
        headers = {"host": "h", "x-amz-target": f"{TARGET}.PutItem", "content-length": str(17 * 1024 * 1024)}
        refused = await client.ask(raw("POST", "/", headers))
        assert (refused.status, refused.body) == (413, b"")
        assert await client.is_ended()
        await client.close()

    on_loop(main)


def client_calls(server: Server) -> dict[str, Any]:
    """What an ordinary program does meanwhile."""
    client = server.client()
    client.put_item(TableName="ttt", Item={"p": {"S": "ordinary"}, "v": {"N": "1"}})
    found: dict[str, Any] = client.get_item(TableName="ttt", Key={"p": {"S": "ordinary"}})["Item"]
    return found


async def hostile(server: Server, kind: int) -> Client:
    """One of many connections that do not do what they should."""
    client = await Client.connect(address(server))
    item = signed(server, "PutItem", put('{"S":"' + "x" * 10_000 + '"}'))
    beginnings = (
        b"POST / HTTP/1.1\r\nhost: h\r\nx-slow: ",
        item[:-20],
        b"POST / HTTP/1.1\r\nhost: h\r\n" + b"x: y\r\n" * 50,
        item.split(b"\r\n\r\n")[0].replace(b"content-length", b"x-length")
        + b"\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n"
        + b"x" * 1000,
        item * 3 + item[:100],
        b"\r\n\r\n\r\n",
        b"GET /" + b"x" * 10_000,
    )
    try:
        await client.send(beginnings[kind % len(beginnings)])
        if kind % 3 == 0:
            client.writer.write_eof()
        if kind % 5 == 0:
            await client.reset()
    except ConnectionError:
        pass  # refused already
    return client


@pytest.mark.time_limit_s(120)
def test_a_thousand_hostile_connections_harm_nobody(server: Server) -> None:
    client_calls(server)
    before_bytes = resident_bytes(server)

    async def main() -> None:
        clients = [await hostile(server, kind) for kind in range(1_000)]
        assert (await asyncio.to_thread(client_calls, server))["v"] == {"N": "1"}
        watching = await Client.connect(address(server))

        async def connections() -> int:
            metrics = await watching.ask(raw("GET", "/metrics", {"host": "h"}))
            line = next(line for line in metrics.body.splitlines() if line.startswith(b"tenet_connections "))
            return int(float(line.split()[1]))

        # All are ended by the server, in the time that its limits give them.
        async with asyncio.timeout(60):
            while await connections() > 1:  # noqa: ASYNC110 (the state of another process)
                await asyncio.sleep(0.1)
        metrics = (await watching.ask(raw("GET", "/metrics", {"host": "h"}))).body
        assert b"tenet_body_bytes_held 0.0" in metrics
        for client in (*clients, watching):
            await client.close()

    on_loop(main)
    assert client_calls(server)["v"] == {"N": "1"}
    assert resident_bytes(server) - before_bytes < GROWTH_BYTES_MAX


def test_slow_senders_are_ended_by_the_server(server: Server) -> None:
    async def main() -> None:
        item = signed(server, "PutItem", put('{"S":"x"}'))
        for begun, drop in ((b"POST / HTTP/1.1\r\nhost: h\r\nx-slow: ", b"x"), (item[:-5], b"")):
            client = await Client.connect(address(server))
            answered = asyncio.create_task(client.read())
            await client.send(begun)

            async def drip(client: Client = client, drop: bytes = drop) -> None:
                while not client.reader.at_eof():
                    client.writer.write(drop)
                    await asyncio.sleep(0.1)

            dripping = asyncio.create_task(drip())
            await until(answered.done, 15.0)
            assert answered.result().status == 408
            dripping.cancel()
            await client.close()

    on_loop(main)


def test_the_log_tells_what_failed_and_nothing_secret(server: Server) -> None:
    ask(server, "PutItem", put('{"N":"no number"}'))
    told: list[dict[str, object]] = []
    until_s = time.monotonic() + LOGGED_S_MAX
    # What failed is told behind the answer.
    while not any(one.get("code") == "ValidationException" and one.get("operation") == "PutItem" for one in told):
        assert time.monotonic() < until_s, told
        lines = server.log.read_text(encoding="utf-8").splitlines(keepends=True)
        told = [json.loads(line) for line in lines if line.endswith("\n")]
    assert not any(line.get("event") == "unexpected error" for line in told)
    assert server.exports["AWS_SECRET_ACCESS_KEY"] not in server.log.read_text(encoding="utf-8")


def test_it_ends_in_order(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--plaintext") as started:

        async def main() -> None:
            clients = [await hostile(started, kind) for kind in range(50)]
            assert await asyncio.to_thread(started.stop) == 0
            for client in clients:
                await client.close()

        on_loop(main)
