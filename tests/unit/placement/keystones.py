"""A small server that speaks the part of Keystone's API that services use: makes tokens, and says whose one is.

It can be made to misbehave: ``says`` answers in its place, with bytes of its own and at its own speed.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

PASSWORD = "öpen sesame"
#: Answers a request on its own: method, path, headers; returns the bytes of a whole answer, or None for the usual one.
Says = Callable[[str, str, dict[str, str]], Awaitable[bytes | None]]


def token_document(*roles: str, lasts_s: float = 3600, project: str | None = "project", **more: Any) -> dict[str, Any]:
    """Returns what Keystone says of a token, as its API reference has it.

    Args:
        roles: names.
        lasts_s: how long it is good from now on.
        project: id; None for none.
        more: further parts, for instance ``system``.
    """
    now = datetime.now(UTC)
    token: dict[str, Any] = {
        "methods": ["password"],
        "user": {"domain": {"id": "default", "name": "Default"}, "id": "user", "name": "ada"},
        "audit_ids": ["3T2dc1CGQxyJsHdDu1xkcw"],
        "expires_at": (now + timedelta(seconds=lasts_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "issued_at": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    if project is not None:
        token["project"] = {"domain": {"id": "default", "name": "Default"}, "id": project, "name": "web"}
        token["is_domain"] = False
    token["roles"] = [{"id": f"id-of-{role}", "name": role} for role in roles]
    return {"token": {**token, **more}}


def answer(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> bytes:
    """Returns a whole answer as bytes."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    given = {"Content-Length": str(len(data)), "Content-Type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    return "\r\n".join(lines).encode() + data


class LocalKeystone:
    """A server on a port of its own; each connection is one request.

    Args:
        tls: speaks https with it.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.tokens: dict[str, dict[str, Any]] = {}
        self.own: set[str] = set()
        self.own_lasts_s = 3600.0
        self.counts: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.says: Says | None = None
        self.url = ""
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://localhost:{port}/identity"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.counts[method] += 1
            told = None if self.says is None else await self.says(method, path, headers)
            writer.write(self._usual(method, path, headers, body) if told is None else told)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort() if self.says is drop else writer.close()

    def _usual(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        assert path == "/identity/v3/auth/tokens?nocatalog"
        if method == "POST":
            asked = json.loads(body)
            self.bodies.append(asked)
            if asked["auth"]["identity"]["password"]["user"]["password"] != PASSWORD:
                return answer(401, {"error": {"code": 401, "message": "The request you have made requires ..."}})
            own = f"own-{self.counts['POST']}"
            self.own.add(own)
            return answer(201, token_document("service", lasts_s=self.own_lasts_s), X_Subject_Token=own)
        if headers["x-auth-token"] not in self.own:
            return answer(401, {"error": {"code": 401, "message": "The request you have made requires ..."}})
        found = self.tokens.get(headers["x-subject-token"])
        return (
            answer(404, {"error": {"code": 404, "message": "No such token"}}) if found is None else answer(200, found)
        )


async def drop(_method: str, _path: str, _headers: dict[str, str]) -> bytes:
    """Says nothing, and cuts the connection off."""
    return b""


async def silence(_method: str, _path: str, _headers: dict[str, str]) -> bytes:
    """Says nothing for longer than anybody waits."""
    await asyncio.sleep(60)
    return b""


def always(told: bytes) -> Says:
    """Says the same to everything."""

    async def says(_method: str, _path: str, _headers: dict[str, str]) -> bytes:
        return told

    return says


def to_validations(told: bytes) -> Says:
    """Says the same to everybody who asks about a token; makes tokens as usual."""

    async def says(method: str, _path: str, _headers: dict[str, str]) -> bytes | None:
        return told if method == "GET" else None

    return says


def password_file(folder: Path, password: str = PASSWORD) -> Path:
    """Returns a file with a password in a line."""
    file = folder / "password"
    file.write_text(password + "\n", encoding="utf-8")
    return file
