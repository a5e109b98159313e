"""Fuzzes the edge's parsers with atheris, coverage-guided, for so many seconds; exits with 1 at the first failure.

    python tests/e2e/fuzz_edge.py TARGET SECONDS [further options of libFuzzer]

Targets: ``connection`` (HTTP by the byte, through the whole edge), ``signature`` (claims and canonical forms),
``bodies`` (nesting and gzip).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, cast

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["tenet.wire"]):
    from tenet.base.clock import ManualClock
    from tenet.base.errors import TenetError
    from tenet.base.ids import SeededIds
    from tenet.wire import compression
    from tenet.wire.admission import nesting
    from tenet.wire.canonical import canonical_path, canonical_query
    from tenet.wire.door import Request
    from tenet.wire.protocol import Connection
    from tenet.wire.server import Edge
    from tenet.wire.sigv4 import Verifier
    from tenet.wire.trace import context_of

from tests.edges import Echo, Keys, Written


def connection(data: bytes) -> None:
    """Feeds a connection; whatever it answers is HTTP, and nothing stays behind."""

    async def main() -> None:
        edge = Edge([Echo()], Keys(), clock=ManualClock(), ids=SeededIds(0))
        transport = Written()
        served = Connection(edge._shared, asyncio.get_running_loop())
        # As from a transport: not from within a task.
        finished = asyncio.get_running_loop().create_future()

        def feed() -> None:
            try:
                served.connection_made(cast("asyncio.BaseTransport", transport))
                size = 1 + (data[0] if data else 0)
                for start in range(0, len(data), size):
                    served.data_received(data[start : start + size])
                finished.set_result(None)
            except BaseException as error:  # noqa: BLE001 (whatever it is, the fuzzer has to see it)
                finished.set_exception(error)

        asyncio.get_running_loop().call_soon(feed)
        await finished
        for _ in range(5):
            await asyncio.sleep(0)
        served.connection_lost(None)
        await asyncio.sleep(0)
        assert not transport.written or transport.written.startswith(b"HTTP/1.1 ")
        assert edge._shared.body_bytes_held == 0
        assert edge.admission.in_flight == 0

    asyncio.run(main())


def signature(data: bytes) -> None:
    """Verifies nonsense; only refusals are allowed."""
    provider = atheris.FuzzedDataProvider(data)

    def text(longest: int) -> str:
        return str(provider.ConsumeBytes(longest).decode("latin-1"))

    query, path = text(100), "/" + text(50)
    headers = {"host": "h", "authorization": text(200), "x-amz-date": text(20), "date": text(40), "x-amz-x": text(9)}
    canonical_path(path)
    canonical_query(query)
    context_of({"traceparent": text(60)}, "0" * 52)
    request = Request("POST", path, query, headers, data)
    try:
        Verifier(Keys()).verify(request, headers, "dynamodb", 1_700_000_000)
    except TenetError:
        return
    raise AssertionError("nonsense was verified")


def bodies(data: bytes) -> None:
    """Measures and unpacks nonsense."""
    assert 0 <= nesting(data) <= len(data)
    try:
        plain = compression._decompress(data, 10_000)
    except TenetError:
        return
    assert len(plain) <= 10_000


TARGETS: dict[str, Callable[[bytes], None]] = {"connection": connection, "signature": signature, "bodies": bodies}


def main() -> None:
    """Runs one target."""
    name, seconds, *more = sys.argv[1:]
    setup: Any = atheris.Setup
    setup([sys.argv[0], f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", *more], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
