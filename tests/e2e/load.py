"""Loads an edge from a process of its own, and says how it answered.

Open loop: requests leave when it is their time, whether or not earlier ones were answered, and their latency counts
from that time. Closed loop: every connection sends its next request when the one before was answered.

    python tests/e2e/load.py '{"address": ["127.0.0.1", 8000], "rate": 5000, "connections": 200, "seconds": 20}'

Prints one JSON object: for each kind of answer (``ok``, an error's code, ``unanswered``) how many there were and the
percentiles of their latency in milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import resource
import ssl
import sys
import time
from collections import defaultdict, deque
from typing import Any, cast

import uvloop

_LENGTH = re.compile(rb"Content-Length: (\d+)\r\n")
_CODE = re.compile(rb'"__type": ?"(?:[^"#]*#)?(\w+)"')
#: How long answers may take to come after the last request.
_LAST_S = 10.0


class Caller(asyncio.Protocol):
    """One connection with at most one request under way.

    Args:
        run: what it takes part in.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._received = b""
        self.transport: asyncio.Transport
        self.since_s = 0.0
        self.is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def call(self, request: bytes, since_s: float) -> None:
        self.since_s = since_s
        self.is_busy = True
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head + b"\r\n")
        if length is None or len(body) < int(length[1]):
            return
        self._received = b""
        self.is_busy = False
        code = "ok" if head[9:12] == b"200" else _code(body)
        self._run.answered(self, code)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.is_busy:
            self._run.lost()


def _code(body: bytes) -> str:
    found = _CODE.search(body)
    return found[1].decode() if found else "other"


class Run:
    """One run; its latencies by kind of answer.

    Args:
        options: as on the command line.
        requests: to send in turn.
    """

    def __init__(self, options: dict[str, Any], requests: list[bytes]) -> None:
        self._options = options
        self._requests = requests
        self._next = 0
        self._free: deque[Caller] = deque()
        self._due: deque[float] = deque()
        self._latencies: defaultdict[str, list[float]] = defaultdict(list)
        self._sent = 0
        self._ends_s = 0.0
        self._is_open_loop = bool(options.get("rate"))

    def answered(self, caller: Caller, code: str) -> None:
        """Notes an answer and sends what is due."""
        now_s = time.monotonic()
        self._latencies[code].append(now_s - caller.since_s)
        if self._is_open_loop:
            if self._due:
                caller.call(self._request(), self._due.popleft())
            else:
                self._free.append(caller)
        elif now_s < self._ends_s:
            self._sent += 1
            caller.call(self._request(), now_s)

    def lost(self) -> None:
        """Notes a connection that ended with a request under way."""
        self._latencies["unanswered"].append(0.0)

    def _request(self) -> bytes:
        self._next = (self._next + 1) % len(self._requests)
        return self._requests[self._next]

    async def run(self) -> dict[str, Any]:
        """Sends for as long as the options say, waits for the last answers, and returns the figures."""
        options, loop = self._options, asyncio.get_running_loop()
        host, port = options["address"]
        tls = ssl.create_default_context(cafile=options["ca"]) if options.get("ca") else None
        callers = []
        for _ in range(options["connections"]):
            _, caller = await loop.create_connection(
                lambda: Caller(self), host, port, ssl=tls, server_hostname="localhost" if tls else None
            )
            callers.append(caller)
        began_s = time.monotonic()
        self._ends_s = began_s + options["seconds"]
        if self._is_open_loop:
            self._free.extend(callers)
            await self._send_in_time(began_s)
        else:
            for caller in callers:
                self._sent += 1
                caller.call(self._request(), time.monotonic())
            await asyncio.sleep(options["seconds"])
        deadline_s = time.monotonic() + _LAST_S
        while (  # noqa: ASYNC110 (an event would cost each answer time)
            self._due or any(caller.is_busy for caller in callers)
        ) and time.monotonic() < deadline_s:
            await asyncio.sleep(0.005)
        answered = sum(map(len, self._latencies.values()))
        self._latencies["unanswered"].extend([_LAST_S] * (self._sent - answered))
        for caller in callers:
            caller.transport.close()
        cpu_s = round(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]), 3)
        counts = {"sent": self._sent, "load_cpu_s": cpu_s}
        return {code: _figures(latencies) for code, latencies in self._latencies.items()} | counts

    async def _send_in_time(self, began_s: float) -> None:
        interval_s = 1 / self._options["rate"]
        while (now_s := time.monotonic()) < self._ends_s:
            while (due_s := began_s + self._sent * interval_s) <= now_s:
                self._sent += 1
                if self._free:
                    self._free.popleft().call(self._request(), due_s)
                else:
                    self._due.append(due_s)
            # The loop's timers are no finer; what is due in between is a little late, and counts as that.
            await asyncio.sleep(0.001)


def _figures(latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    chosen = {
        name: ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0 for name, part in at.items()
    }
    return {"count": len(ordered)} | {f"{name}_ms": round(value * 1000, 3) for name, value in chosen.items()}


def main() -> None:
    """Reads the options and the requests (standard input, as JSON strings in ISO 8859-1), and prints the figures."""
    requests = [request.encode("latin-1") for request in json.loads(sys.stdin.read())]
    gc.disable()  # its pauses would be measured, and there is nothing to collect
    print(json.dumps(uvloop.run(Run(json.loads(sys.argv[1]), requests).run())))


if __name__ == "__main__":
    main()
