"""An edge in a process of its own, over a small real service: signed gets and durable puts on the embedded engine.

    python tests/e2e/edge_process.py DIRECTORY '{"requests_per_s_max": 500}' [tls]

Prints host and port once it listens; takes further limits, a JSON object a line, on standard input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from pathlib import Path

import msgspec
import uvloop

from tenet.app.logs import set_up
from tenet.app.server import COLLECTOR_THRESHOLDS, SWITCH_INTERVAL_S
from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError
from tenet.base.ids import SystemIds
from tenet.store.contract import Engine, Key, Put, SpaceOptions
from tenet.store.landing import land
from tenet.store.sqlite.engine import open_engine
from tenet.wire.credentials import AccessKey
from tenet.wire.door import Mount, Principal, Request, Response
from tenet.wire.limits import EdgeLimits
from tenet.wire.log import Sink
from tenet.wire.server import Edge
from tenet.wire.tls import LocalAuthority, server_context

CLOCK, IDS = SystemClock(), SystemIds()
JSON = "application/x-amz-json-1.0"


class Records:
    """``Get`` and ``Put`` of one record for each request body.

    Args:
        store: where they lie.
    """

    mount = Mount(label="records", signing_name="dynamodb", targets=("Records",), crc32=True, fallback=True)

    def __init__(self, store: Engine) -> None:
        self._store = store

    async def answer(self, request: Request) -> Response:
        try:
            key = Key("records", request.body[:32])
            if request.operation == "Put":
                await land(self._store, [Put(key, request.body)], clock=CLOCK, ids=IDS, deadline=request.deadline)
                return Response(200, b"{}", JSON)
            (found,) = await self._store.get([key], deadline=request.deadline)
            return Response(200, found.value if found else b"{}", JSON)
        except TenetError as error:
            return self.refuse(request, error)

    def refuse(self, request: Request, error: TenetError) -> Response:
        del request
        told = msgspec.json.encode({"__type": error.code, "message": error.message})
        return Response(error.http_status, told, JSON, error_code=error.code)


class OneKey:
    """Implements ``tenet.wire.credentials.Keys``."""

    key = AccessKey(Principal("AKIAEXAMPLE", "000000000000"), "example/secret+key")

    def find(self, access_key_id: str) -> AccessKey | None:
        return self.key if access_key_id == "AKIAEXAMPLE" else None


async def main() -> None:
    directory, limits = Path(sys.argv[1]), json.loads(sys.argv[2])
    store = await open_engine(str(directory / "store"), clock=CLOCK, ids=IDS)
    await store.ensure_space("records", SpaceOptions())
    tls = None
    if sys.argv[3:] == ["tls"]:
        local = LocalAuthority(directory, clock=CLOCK, ids=IDS)
        local.ensure(["localhost", "127.0.0.1"])
        tls = server_context(local.files.certificate, local.files.private_key)
    edge = Edge([Records(store)], OneKey(), clock=CLOCK, ids=IDS, limits=EdgeLimits(**limits), store=store)
    await edge.start("127.0.0.1", 0, tls=tls)
    # As the product does, whose process this one stands for.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    print(json.dumps(edge.address), flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        edge.limits = EdgeLimits(**json.loads(line))
    await edge.drain(5.0)
    await store.close()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    sink = Sink()
    set_up(sink, "info")
    uvloop.run(main())
    sink.close()
