"""Sends requests to a placement service over many connections, each the next one when it has the answer to the last.

    python -m benchmarks.placement.load < plan.json

A process of its own, so that what sending costs is nobody's CPU but its own. It reads a plan from its standard input
and writes what it measured as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop

_HEAD_END = b"\r\n\r\n"
_BAD_REQUEST = 400


class Call(msgspec.Struct):
    """A request.

    Args:
        method: upper case.
        path: behind the service's own.
        body: JSON; None: none.
    """

    method: str
    path: str
    body: Any = None


class Load(msgspec.Struct):
    """What to send.

    Args:
        endpoint: URL of the service, its path included.
        token: shown with every request.
        connections: how many send at the same time.
        calls: each is sent once.
        seconds_max: after so many no further one is sent.
    """

    endpoint: str
    token: str
    connections: int
    calls: list[Call]
    seconds_max: float = 60.0


class Measured(msgspec.Struct):
    """What came of it.

    Args:
        answered: how many were answered.
        seconds: from the first one to the last answer.
        p50_ms: half of the answers took so long at most.
        p99_ms: of a hundred answers, ninety-nine did.
        statuses: how many answers by status.
        wrong: the first answers of 400 and more.
    """

    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int]
    wrong: list[str]


def request_of(load: Load, call: Call) -> bytes:
    """Returns a request as it goes over the wire."""
    url = urlsplit(load.endpoint)
    body = b"" if call.body is None else msgspec.json.encode(call.body)
    kind = "Content-Type: application/json\r\n" if body else ""
    return (
        f"{call.method} {url.path}{call.path} HTTP/1.1\r\nHost: {url.netloc}\r\nX-Auth-Token: {load.token}\r\n"
        f"OpenStack-API-Version: placement 1.39\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def measure(load: Load) -> Measured:
    """Sends all of it."""
    url = urlsplit(load.endpoint)
    waiting = iter([request_of(load, call) for call in load.calls])
    took_ms: list[float] = []
    statuses: Counter[str] = Counter()
    wrong: list[str] = []
    began_s = time.perf_counter()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=1 << 26)
        for request in _until(waiting, began_s + load.seconds_max):
            sent_s = time.perf_counter()
            writer.write(request)
            status, body, goes_on = await _answer(reader)
            took_ms.append(1000 * (time.perf_counter() - sent_s))
            statuses[str(status)] += 1
            if status >= _BAD_REQUEST and len(wrong) < 3:
                wrong.append(body[:200].decode("utf-8", "replace"))
            if not goes_on:
                writer.close()
                reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=1 << 26)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(load.connections)))
    seconds = time.perf_counter() - began_s
    ranked = sorted(took_ms)
    p99_ms = ranked[min(len(ranked) - 1, len(ranked) * 99 // 100)]
    return Measured(len(ranked), seconds, statistics.median(ranked), p99_ms, dict(statuses), wrong)


def _until(requests: Iterator[bytes], end_s: float) -> Iterator[bytes]:
    for request in requests:
        yield request
        if time.perf_counter() > end_s:
            return


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Reads an answer; returns its status and body, and whether the connection goes on."""
    head = (await reader.readuntil(_HEAD_END)).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    body = b""
    if fields.get("transfer-encoding") == "chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        _ = await reader.readexactly(2)
    elif "content-length" in fields:
        body = await reader.readexactly(int(fields["content-length"]))
    return status, body, fields.get("connection") != "close"


def main() -> None:
    """Does what its standard input says."""
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    measured = uvloop.run(measure(load))
    print(json.dumps(msgspec.to_builtins(measured)))


if __name__ == "__main__":
    main()
