"""A gate is the service behind it while it is open, and a retryable refusal while it is shut."""

from __future__ import annotations

import asyncio

from tenet.app.gate import RESTORING, Gate
from tenet.base.errors import TenetError
from tenet.wire.door import Mount, Request, Response

REQUEST = Request("POST", "/", "", {}, b"")


class Named:
    """A service that answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mount = Mount(label=name, signing_name="")

    async def answer(self, request: Request) -> Response:
        return Response(200, self.name.encode())

    def refuse(self, request: Request, error: TenetError) -> Response:
        return Response(error.http_status, f"{self.name}: {error.message}".encode(), error_code=error.code)


def answer(gate: Gate) -> Response:
    return asyncio.run(gate.answer(REQUEST))


def test_open_it_is_the_service() -> None:
    gate = Gate(Named("first"))
    assert answer(gate).body == b"first"
    assert gate.mount.label == "first"


def test_shut_it_refuses_in_the_services_own_words() -> None:
    gate = Gate(Named("first"))
    assert gate.refusal == ""
    gate.shut()
    assert gate.refusal == RESTORING
    refused = answer(gate)
    assert (refused.status, refused.error_code) == (503, "ServiceUnavailable")
    assert refused.body == f"first: {RESTORING}".encode()


def test_opened_again_it_is_another_service() -> None:
    gate = Gate(Named("first"))
    gate.shut()
    gate.open(Named("second"))
    assert gate.refusal == ""
    assert answer(gate).body == b"second"
