"""One driver, one workload, one process: what the client's processor time per operation is measured on.

    python -m benchmarks.drivers.client '{"driver": "acsylla", "workload": "get", …}'

Prints READY once it is warm, and a line of JSON in the end.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.drivers.adapters import ADAPTERS, Adapter, summary_of

VALUE = b"v" * 1_024
KEYS_PER_WORKER = 8
WARM_S = 2.0
PREPARE_TRIES = 20
#: Operations that took longer than this are counted as slow.
SLOW_MS = 500


@dataclass
class Measured:
    """What the workers of a run saw."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    #: Answers by tenths of a second since the start.
    tenths: Counter[int] = field(default_factory=Counter)
    longest_error_ms: float = 0.0
    #: When the last error came, in seconds since the start.
    last_error_s: float = 0.0


def version(number: int) -> bytes:
    """A version of 16 bytes, as the engine has them."""
    return number.to_bytes(16, "big")


class Worker:
    """Uses keys of its own, one request at a time.

    Args:
        adapter: the driver.
        workload: put, get, serial, commit or refused.
        number: which worker, so that no two share a key.
        measured: where it writes what it sees.
    """

    def __init__(self, adapter: Adapter, workload: str, number: int, measured: Measured) -> None:
        self._adapter = adapter
        self._workload = workload
        self._keys = [f"{workload}-{number}-{index}".encode() for index in range(KEYS_PER_WORKER)]
        self._versions = dict.fromkeys(self._keys, version(0))
        self.measured = measured

    async def prepare(self) -> None:
        """Writes its keys, with patience: nodes that have just started are slow."""
        for key in self._keys:
            for tries_left in reversed(range(PREPARE_TRIES)):
                try:
                    await self._adapter.put(key, version(0), VALUE)
                except Exception:
                    if not tries_left:
                        raise
                else:
                    break

    async def run(self, began: float, until: float) -> None:
        """Goes on until the time is up; an error is counted and the key's version read again."""
        turn = 0
        while (sent := time.perf_counter()) < until:
            key = self._keys[turn % KEYS_PER_WORKER]
            turn += 1
            try:
                await self._once(key)
            except Exception as error:  # noqa: BLE001  each driver has its own
                failed = time.perf_counter()
                self.measured.errors[type(error).__name__] += 1
                self.measured.longest_error_ms = max(self.measured.longest_error_ms, (failed - sent) * 1_000)
                self.measured.last_error_s = failed - began
            else:
                answered = time.perf_counter()
                self.measured.latencies_ms.append((answered - sent) * 1_000)
                self.measured.tenths[int((answered - began) * 10)] += 1

    async def _once(self, key: bytes) -> None:
        if self._workload == "put":
            await self._adapter.put(key, version(1), VALUE)
        elif self._workload in ("get", "serial"):
            if await self._adapter.get(key, is_serial=self._workload == "serial") is None:
                raise AssertionError("the record is not there")
        elif self._workload == "refused":
            if await self._adapter.commit(key, version(9), version(10), VALUE) != version(0):
                raise AssertionError("a refusal does not say what stood in its way")
        else:
            before = self._versions[key]
            after = version(int.from_bytes(before, "big") + 1)
            # After an unknown outcome the version may be either; what was found says which.
            found = await self._adapter.commit(key, before, after, VALUE)
            self._versions[key] = after if found is None else bytes(found)


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of all lies; 0 for none."""
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 2) if values else 0.0


def cpu_s() -> float:
    """Processor time of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(options: dict[str, Any]) -> dict[str, Any]:
    """Runs one workload; returns its figures."""
    adapter = ADAPTERS[options["driver"]]()
    connected = time.perf_counter()
    await adapter.open(tuple(options["points"]), options["timeout_s"])
    connect_ms = (time.perf_counter() - connected) * 1_000
    warming = Measured()
    workers = [Worker(adapter, options["workload"], number, warming) for number in range(options["in_flight"])]
    await asyncio.gather(*(worker.prepare() for worker in workers))
    now = time.perf_counter()
    warm_s = options.get("warm_s", WARM_S)
    await asyncio.gather(*(worker.run(now, now + warm_s) for worker in workers))
    measured = Measured()
    for worker in workers:
        worker.measured = measured
    print("READY", flush=True)
    began, cpu = time.perf_counter(), cpu_s()
    await asyncio.gather(*(worker.run(began, began + options["seconds"]) for worker in workers))
    elapsed_s, used_s = time.perf_counter() - began, cpu_s() - cpu
    await adapter.close()
    return figures(measured, elapsed_s, used_s) | {"connect_ms": round(connect_ms)}


def figures(measured: Measured, elapsed_s: float, used_s: float) -> dict[str, Any]:
    """What is printed of a run."""
    latencies = measured.latencies_ms
    tenths = [measured.tenths[number] for number in range(int(elapsed_s * 10))]
    return {
        "operations": len(latencies),
        "operations_per_s": round(len(latencies) / elapsed_s),
        "cpu_us": round(used_s / len(latencies) * 1e6, 1) if latencies else 0.0,
        "p50_ms": percentile(latencies, 0.5),
        "p99_ms": percentile(latencies, 0.99),
        "max_ms": percentile(latencies, 1.0),
        "slow": sum(latency > SLOW_MS for latency in latencies),
        "errors": sum(measured.errors.values()),
        "error_kinds": summary_of(measured.errors),
        "longest_error_ms": round(measured.longest_error_ms),
        "last_error_s": round(measured.last_error_s, 1),
        "tenths": tenths,
    }


def main() -> int:
    """Reads its options from the command line."""
    options = json.loads(sys.argv[1])
    print(json.dumps(uvloop.run(measure(options))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
