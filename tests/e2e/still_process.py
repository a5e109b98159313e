"""An edge in a process of its own, whose service says what it carries out: for tests that stop and wake the process.

    python -m tests.e2e.still_process uvloop|asyncio [CERTIFICATE KEY]

Prints host and port once it listens, then a line for each request that it begins and each that it carries out.
``Note`` is carried out at once, ``Later`` when half a second has passed, ``Burn`` after a second and a half of work
that lets nobody else have the loop. The answer says how often the process stood still.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

import uvloop

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.wire.door import Request, Response
from tenet.wire.server import Edge
from tenet.wire.tls import server_context
from tests.edges import Echo, Keys

LATER_S: Final = 0.5
BURN_S: Final = 1.5


class Said(Echo):
    """Says what it does."""

    edge: Edge

    async def answer(self, request: Request) -> Response:
        body = request.body.decode()
        print("begun", body, flush=True)
        if request.operation == "Later":
            await asyncio.sleep(LATER_S)
        elif request.operation == "Burn":
            until_s = time.process_time() + BURN_S
            while time.process_time() < until_s:
                pass
        print("done", body, flush=True)
        return Response(200, str(self.edge.metrics.standstills).encode())


async def main(*certificate: str) -> None:
    """Serves until it is killed."""
    said = Said()
    said.edge = Edge([said], Keys(), clock=SystemClock(), ids=SystemIds())
    tls = server_context(*map(Path, certificate)) if certificate else None
    await said.edge.start("127.0.0.1", 0, tls=tls)
    print(json.dumps(said.edge.address), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    factory = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}[sys.argv[1]]
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(*sys.argv[2:]))
