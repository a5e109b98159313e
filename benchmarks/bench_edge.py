"""Measures what the edge itself costs a request: parsing, SigV4, admission, metrics, head; without kernel and service.

    .venv/bin/python -m benchmarks.bench_edge
    .venv/bin/python -m benchmarks.bench_edge --profile

Requests are handed to a connection as bytes, answered by a service that does nothing, and written to a transport that
keeps them. The least of many short rounds is printed, in µs per request: what others do on the machine mostly stays out
of it. With --profile, where the time of a small get goes, by file, as cProfile sees it.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import structlog
import uvloop

from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError
from tenet.base.ids import SystemIds
from tenet.wire.credentials import AccessKey
from tenet.wire.door import Mount, Principal, Request, Response
from tenet.wire.limits import EdgeLimits
from tenet.wire.protocol import Connection
from tenet.wire.server import Edge
from tests.edges import KEY_ID, SECRET, TENANT, call

ROUND = 100
TARGET = "DynamoDB_20120810"
KEY = b'{"TableName":"bench","Key":{"pk":{"S":"part-000001"},"sk":{"S":"item-01"}},"ConsistentRead":true}'
ITEM = b'{"TableName":"bench","Item":{"pk":{"S":"part-000001"},"body":{"S":"' + b"x" * 1024 + b'"}}}'
OF_BOTO3: dict[str, Any] = {
    "user_agent": "Boto3/1.43 md/Botocore#1.43 ua/2.1 os/linux md/arch#x86_64 lang/python#3.13 md/pyimpl#CPython",
    "amz_sdk_invocation_id": "3d1e1b0e-6f7c-4c6f-9d8a-6a4a5a2b1c0d",
    "amz_sdk_request": "attempt=1",
    "accept_encoding": "identity",
}


class Answers:
    """A service that costs nothing."""

    mount = Mount(label="dynamodb", signing_name="dynamodb", targets=(TARGET,), crc32=True, fallback=True)

    async def answer(self, request: Request) -> Response:
        del request
        return Response(200, b'{"Item":{"pk":{"S":"x"}}}')

    def refuse(self, request: Request, error: TenetError) -> Response:
        del request
        body = b'{"__type":"%b","message":"%b"}' % (error.code.encode(), error.message.encode())
        return Response(error.http_status, body, error_code=error.code)


class OneKey:
    """Implements ``tenet.wire.credentials.Keys``."""

    key = AccessKey(Principal(KEY_ID, TENANT), SECRET)

    def find(self, access_key_id: str) -> AccessKey | None:
        return self.key if access_key_id == KEY_ID else None


class Kept:
    """A transport that keeps the last answer."""

    answer = b""

    def get_extra_info(self, name: str) -> None:
        del name

    def write(self, data: bytes) -> None:
        self.answer = data

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def close(self) -> None:
        """Nothing is open."""


def least_us(step: Callable[[], None], seconds: float) -> float:
    """The least of many rounds, in µs a step."""
    least, ends_s = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends_s:
        began_s = time.perf_counter()
        for _ in range(ROUND):
            step()
        least = min(least, (time.perf_counter() - began_s) / ROUND)
    return least * 1e6


def by_file(step: Callable[[], None]) -> dict[str, float]:
    """The share of each file in the time of a step, in per cent."""
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(20_000):
        step()
    profile.disable()
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, dict[Any, Any]]] = cast(
        "Any", pstats.Stats(profile)
    ).stats
    shares: defaultdict[str, float] = defaultdict(float)
    for (file, _, function), (_, _, own_s, _, callers) in stats.items():
        if file != "~":
            shares[Path(file).name] += own_s
            continue
        # What is built in counts for whoever called it.
        for (caller, _, _), (_, _, caller_s, _) in callers.items():
            shares[Path(caller).name if caller != "~" else function] += caller_s
    total = sum(shares.values())
    most = sorted(shares.items(), key=lambda share: -share[1])[:12]
    return {name: round(100 * own_s / total, 1) for name, own_s in most}


def step_of(request: bytes, limits: EdgeLimits) -> tuple[Callable[[], None], Kept]:
    """A function that has a connection answer one request, and what keeps the answer."""
    edge = Edge([Answers()], OneKey(), clock=SystemClock(), ids=SystemIds(), limits=limits)
    connection = Connection(edge._shared, asyncio.get_running_loop())  # noqa: SLF001 (the edge without its listener)
    kept = Kept()
    connection.connection_made(cast("asyncio.BaseTransport", kept))
    return lambda: connection.data_received(request), kept


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    usual = EdgeLimits(loop_delay_ms_max=0)
    rows = {
        "get, 6 headers": (call("GetItem", KEY, target=TARGET), usual),
        "get, as boto3 sends it": (call("GetItem", KEY, target=TARGET, **OF_BOTO3), usual),
        "put of 1 KiB": (call("PutItem", ITEM, target=TARGET), usual),
        "refused": (
            call("GetItem", KEY, target=TARGET),
            EdgeLimits(loop_delay_ms_max=0, requests_per_s_max=0.001, requests_burst=1, refusals_per_s_max=10_000_000),
        ),
    }
    # Called from the loop itself, as a transport does, not from a task.
    done = asyncio.get_running_loop().create_future()

    def measure() -> None:
        try:
            for name, (request, limits) in rows.items():
                step, kept = step_of(request, limits)
                step()
                print(
                    f"{name:<24} {least_us(step, options.seconds):6.1f} µs   {kept.answer[9:12].decode()}", flush=True
                )
            if options.profile:
                print(by_file(step_of(*rows["get, 6 headers"])[0]))
        finally:
            done.set_result(None)

    asyncio.get_running_loop().call_soon(measure)
    await done


if __name__ == "__main__":
    uvloop.run(main())
