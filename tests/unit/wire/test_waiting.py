"""Requests that wait on purpose: they take no place, and end with their clients."""

from __future__ import annotations

import asyncio

import pytest

from tenet.wire.door import Request, Response
from tenet.wire.limits import EdgeLimits
from tests.edges import Client, Echo, call, connected, on_loop, serving, until


class Patient(Echo):
    """Its operation Poll waits on purpose until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.ended = 0

    async def answer(self, request: Request) -> Response:
        if request.operation != "Poll":
            return await super().answer(request)
        assert request.patience is not None
        request.patience.begin_wait()
        self.waiting += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended += 1
            raise
        finally:
            self.waiting -= 1
            request.patience.end_wait()
        return Response(200, request.body)


def test_those_who_wait_on_purpose_take_no_place() -> None:
    async def main() -> None:
        service = Patient()
        limits = EdgeLimits(in_flight_max=1, waiting_max=0, waiting_ms_max=0)
        async with serving(service, limits=limits) as edge:
            clients = [await Client.connect(edge.address) for _ in range(5)]
            for client in clients:
                await client.send(call("Poll", b"{}"))
            await until(lambda: service.waiting == 5)
            assert edge.admission.in_flight == 0
            async with connected(edge) as other:
                assert (await other.ask(call("Echo", b"1"))).body == b"1"
            service.gate.set()
            for client in clients:
                assert (await client.read()).status == 200
                await client.close()
            assert edge.admission.in_flight == 0

    on_loop(main)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_wait_ends_when_its_client_goes_away(how: str) -> None:
    async def main() -> None:
        service = Patient()
        async with serving(service) as edge:
            client = await Client.connect(edge.address)
            await client.send(call("Poll", b"{}"))
            await until(lambda: service.waiting == 1)
            if how == "half":
                client.writer.write_eof()
            else:
                await (client.close() if how == "close" else client.reset())
            await until(lambda: service.ended == 1)
            assert edge.admission.in_flight == 0
            await client.close()
            async with connected(edge) as other:
                assert (await other.ask(call("Echo", b"1"))).body == b"1"

    on_loop(main)


def test_a_wait_ends_with_a_client_that_goes_away_at_once() -> None:
    async def main() -> None:
        service = Patient()
        async with serving(service) as edge:
            client = await Client.connect(edge.address)
            client.writer.write(call("Poll", b"{}"))
            await client.reset()
            await until(lambda: not edge.admission.in_flight and not service.waiting)

    on_loop(main)


def test_a_request_that_does_not_wait_on_purpose_is_carried_through() -> None:
    async def main() -> None:
        service = Patient()
        async with serving(service) as edge:
            client = await Client.connect(edge.address)
            await client.send(call("Wait", b"{}"))
            await until(lambda: edge.admission.in_flight == 1)
            await client.reset()
            await asyncio.sleep(0.05)
            assert edge.admission.in_flight == 1
            service.gate.set()
            await until(lambda: edge.admission.in_flight == 0)

    on_loop(main)


def test_what_was_waited_for_is_not_the_requests_own_time() -> None:
    async def main() -> None:
        service = Patient()
        async with serving(service) as edge, connected(edge) as client:
            await client.send(call("Poll", b"{}"))
            await until(lambda: service.waiting == 1)
            await asyncio.sleep(0.3)
            service.gate.set()
            assert (await client.read()).status == 200
            assert edge.metrics.known["echo", "Poll"].seconds < 0.2

    on_loop(main)


def test_a_connection_serves_on_after_a_wait() -> None:
    async def main() -> None:
        service = Patient()
        async with serving(service) as edge, connected(edge) as client:
            await client.send(call("Poll", b"{}") + call("Echo", b"2"))
            await until(lambda: service.waiting == 1)
            service.gate.set()
            assert (await client.read()).body == b"{}"
            assert (await client.read()).body == b"2"

    on_loop(main)
