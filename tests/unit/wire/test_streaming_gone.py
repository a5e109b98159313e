"""A client that is gone before its answer in pieces begins gets none made for it."""

from __future__ import annotations

import asyncio

import pytest

from tests.edges import on_loop, serving, until
from tests.unit.wire.test_streaming import MANY, Streaming, get, slow


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("clients", [1, 10])
def test_for_who_is_gone_before_the_answer_begins_it_is_not_made(clients: int, how: str) -> None:
    """It costs each of them less than what is read ahead, and not the whole of an answer that nobody can get."""

    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge:
            leaving = [await slow(edge) for _ in range(clients)]
            for client in leaving:
                await client.send(get(f"/pieces?{MANY}"))
                await (client.reset() if how == "reset" else client.close())
            await asyncio.sleep(0.1)
            await until(lambda: edge.admission.in_flight == 0 and service.ended in {0, clients})
            assert service.made < clients * MANY / 2

    on_loop(main)
