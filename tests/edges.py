"""An edge in this process, with services small enough to be seen to be right, and a client that can misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop

from tenet.base.clock import Clock, ProcessTime, SystemClock
from tenet.base.errors import TenetError
from tenet.base.ids import SystemIds
from tenet.store.contract import Engine
from tenet.wire import credentials
from tenet.wire.credentials import AccessKey
from tenet.wire.door import Mount, Principal, Request, Response, Service
from tenet.wire.limits import EdgeLimits, ObservedRules
from tenet.wire.server import Edge
from tenet.wire.signing import sign_headers
from tenet.wire.trace import Tracer

KEY_ID, SECRET, TENANT = "AKIAEXAMPLE", "example/secret+key", "000000000000"
TARGET = "Echo_20260101"
JSON_1_0 = "application/x-amz-json-1.0"


def refusal(error: TenetError) -> Response:
    told = json.dumps({"__type": error.code, "message": error.message}).encode()
    return Response(error.http_status, told, JSON_1_0, error_code=error.code)


class Written:
    """A transport that keeps what is written: whoever hands a connection its bytes needs no network."""

    def __init__(self) -> None:
        self.written = b""
        self.ended = False

    def get_extra_info(self, name: str) -> None:
        del name

    def write(self, data: bytes) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """Nothing is read."""

    resume_reading = pause_reading

    def close(self) -> None:
        self.ended = True

    abort = close


class Echo:
    """Answers with the body; the operations Wait and Fail do what their names say."""

    def __init__(self, **mount: Any) -> None:
        options: dict[str, Any] = {
            "label": "echo",
            "signing_name": "dynamodb",
            "targets": (TARGET,),
            "crc32": True,
            "fallback": True,
        }
        self.mount = Mount(**(options | mount))
        self.seen: list[Request] = []
        self.gate = asyncio.Event()

    async def answer(self, request: Request) -> Response:
        self.seen.append(request)
        if request.operation == "Wait":
            await self.gate.wait()
        elif request.operation == "Fail":
            raise ZeroDivisionError
        elif request.operation == "Refuse":
            return refusal(TenetError("refused"))
        elif request.operation == "Repeat":
            return Response(200, request.body * 100)
        return Response(200, request.body)

    def refuse(self, request: Request, error: TenetError) -> Response:
        del request
        return refusal(error)


class Keys:
    """Implements ``tenet.wire.credentials.Keys`` by a dictionary."""

    def __init__(self, *more: AccessKey) -> None:
        first = AccessKey(Principal(KEY_ID, TENANT), SECRET)
        self.keys = {key.principal.access_key_id: key for key in (first, *more)}

    def find(self, access_key_id: str) -> AccessKey | None:
        return self.keys.get(access_key_id)


@dataclass
class Answer:
    """An HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error's code."""
        return str(json.loads(self.body)["__type"])

    @property
    def message(self) -> str:
        """The error's words."""
        return str(json.loads(self.body)["message"])


class Client:
    """A connection that sends what it is told to, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> Client:
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(*address, ssl=tls, server_hostname=name, limit=64 * 1024 * 1024)
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, *, has_body: bool = True) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head[:-4].split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0"))) if has_body else b""
        return Answer(int(status_line.split(" ")[1]), headers, body)

    async def ask(self, data: bytes, *, has_body: bool = True) -> Answer:
        await self.send(data)
        return await self.read(has_body=has_body)

    async def is_ended(self, timeout_s: float = 5.0) -> bool:
        """Whether the server ends the connection without another byte."""
        return await asyncio.wait_for(self.reader.read(1), timeout_s) == b""

    async def reset(self) -> None:
        """Breaks the connection off, as a machine does that loses its power and comes back."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@dataclass
class Signature:
    """Who signs, and how."""

    key_id: str = KEY_ID
    secret: str = SECRET
    region: str = "us-east-1"
    service: str = "dynamodb"
    clock: Clock = field(default_factory=SystemClock)


def raw(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def call(
    operation: str, body: bytes = b"{}", *, target: str = TARGET, by: Signature | None = None, **more: str
) -> bytes:
    """A signed call of the JSON protocol; further headers are signed too."""
    by = by or Signature()
    headers = {"host": "localhost", "content-type": JSON_1_0, "x-amz-target": f"{target}.{operation}"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    signed = sign_headers(
        "POST",
        "/",
        headers,
        body,
        access_key_id=by.key_id,
        secret=by.secret,
        region=by.region,
        service=by.service,
        clock=by.clock,
    )
    return raw("POST", "/", {**signed, "content-length": str(len(body))}, body)


@asynccontextmanager
async def serving(
    *services: Service,
    limits: EdgeLimits | None = None,
    keys: credentials.Keys | None = None,
    tls: ssl.SSLContext | None = None,
    clock: Clock | None = None,
    rules: ObservedRules | None = None,
    store: Engine | None = None,
    tracer: Tracer | None = None,
    refusal: Callable[[], str] = str,
    process: ProcessTime | None = None,
) -> AsyncIterator[Edge]:
    """An edge on a free port of the loopback address."""
    edge = Edge(
        services or (Echo(),),
        keys or Keys(),
        clock=clock or SystemClock(),
        ids=SystemIds(),
        limits=limits,
        rules=rules,
        store=store,
        tracer=tracer,
        refusal=refusal,
        process=process,
    )
    await edge.start("127.0.0.1", 0, tls=tls)
    try:
        yield edge
    finally:
        await edge.drain(0.0)


@asynccontextmanager
async def connected(edge: Edge, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    """A connection to an edge."""
    client = await Client.connect(edge.address, tls)
    try:
        yield client
    finally:
        await client.close()


async def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 (what is waited for is the state of a server, not an event)
            await asyncio.sleep(0.001)


def on_loop(body: Callable[[], Awaitable[None]]) -> None:
    """Runs a test on the loop that servers run on."""

    async def main() -> None:
        await body()

    uvloop.run(main())


def answers_to(*requests: bytes, services: Sequence[Service] = (), **options: Any) -> list[Answer]:
    """Starts an edge, sends requests over one connection, and returns what it answers."""
    answers: list[Answer] = []

    async def main() -> None:
        async with serving(*services, **options) as edge, connected(edge) as client:
            answers.extend(
                [await client.ask(request, has_body=not request.startswith(b"HEAD")) for request in requests]
            )

    on_loop(main)
    return answers
