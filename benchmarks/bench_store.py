"""Measures the embedded engine alone: operations per second and CPU per operation, without HTTP, names or services.

    .venv/bin/python benchmarks/bench_store.py --seconds 2 --items 10000 --directory /var/tmp/bench

Each row runs many tasks on one event loop; `cpu` is user and system time of the whole process, threads included,
divided by the operations. Items have values of 1 KiB and lie 20 to a partition.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Commit, Committed, Engine, IsVersion, Key, Put, Range, Version, new_commit_id
from tenet.store.sqlite.engine import open_engine

PER_PARTITION = 20
VALUE_BYTES = 1024
VALUES = [random.randbytes(VALUE_BYTES) for _ in range(251)]
CLOCK = SystemClock()
IDS = SystemIds()

Operation = Callable[[int], Awaitable[None]]


def key_of(item: int) -> Key:
    return Key("bench", b"partition-%08d" % (item // PER_PARTITION), b"sort-%04d" % (item % PER_PARTITION))


class Bench:
    def __init__(self, engine: Engine, items: int, tasks: int) -> None:
        self.engine = engine
        self.items = items
        self.tasks = tasks
        self.versions: dict[Key, Version | None] = {}

    def own(self, task: int) -> int:
        """An item that no other task writes."""
        return random.randrange(self.items // self.tasks) * self.tasks + task

    async def commit(self, puts: list[Put], checks: tuple[IsVersion, ...] = ()) -> Version:
        outcome = await self.engine.commit(Commit(new_commit_id(CLOCK, IDS), puts, checks))
        assert isinstance(outcome, Committed), outcome
        return outcome.version

    async def load(self) -> None:
        await self.engine.ensure_space("bench")
        for first in range(0, self.items, 500):
            await self.commit([Put(key_of(item), random.choice(VALUES)) for item in range(first, first + 500)])

    # ---- the operations ----------------------------------------------------------------------------------------------

    async def nothing(self, task: int) -> None:
        self.own(task), random.choice(VALUES)

    async def put(self, task: int) -> None:
        await self.commit([Put(key_of(self.own(task)), random.choice(VALUES))])

    async def get(self, _: int) -> None:
        (record,) = await self.engine.get((key_of(random.randrange(self.items)),))
        assert record is not None

    async def mixed(self, task: int) -> None:
        await (self.put(task) if random.random() < 0.1 else self.get(task))

    async def query(self, _: int) -> None:
        partition = key_of(random.randrange(self.items)).partition
        page = await self.engine.query("bench", partition, Range(b"sort"), limit=PER_PARTITION)
        assert len(page.records) == PER_PARTITION

    async def batch(self, task: int) -> None:
        await self.commit([Put(key_of(self.own(task)), random.choice(VALUES)) for task in self._distinct(task, 25)])

    async def transact(self, task: int) -> None:
        keys = [key_of(self.own(one)) for one in self._distinct(task, 4)]
        records = await self.engine.get(keys)
        checks = tuple(
            IsVersion(key, None if record is None else record.version)
            for key, record in zip(keys, records, strict=True)
        )
        outcome = await self.engine.commit(
            Commit(new_commit_id(CLOCK, IDS), [Put(key, random.choice(VALUES)) for key in keys], checks)
        )
        assert outcome is not None

    def _distinct(self, task: int, count: int) -> list[int]:
        """Tasks whose items differ, so that no key stands twice in a commit."""
        return [(task + at * 2) % self.tasks for at in range(min(count, self.tasks))]


async def measure(name: str, operation: Operation, tasks: int, seconds: float) -> None:
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def run(task: int) -> None:
        while (began := time.perf_counter()) < end:
            await operation(task)
            latencies.append(time.perf_counter() - began)
            await asyncio.sleep(0)

    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    await asyncio.gather(*(run(task) for task in range(tasks)))
    elapsed = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    latencies.sort()
    count = len(latencies)
    p50, p99 = latencies[count // 2] * 1000, latencies[int(count * 0.99)] * 1000
    print(f"{name:10} {tasks:4} {count / elapsed:9.0f}/s {cpu / count * 1e6:8.1f} {p50:9.2f} {p99:9.2f}", flush=True)


def resident_mib() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


async def main(options: argparse.Namespace) -> None:
    directory = Path(tempfile.mkdtemp(prefix="bench-store-", dir=options.directory))
    try:
        engine = await open_engine(str(directory), clock=CLOCK, ids=IDS)
        bench = Bench(engine, options.items, 64)
        await bench.load()
        print(f"{options.items} items, {resident_mib():.0f} MiB resident after loading")
        print(f"{'operation':10} {'tasks':>4} {'rate':>11} {'cpu µs':>8} {'p50 ms':>9} {'p99 ms':>9}")
        for name in options.operations.split(","):
            for tasks in (int(text) for text in options.tasks.split(",")):
                await measure(name, getattr(bench, name), tasks, options.seconds)
        print(f"{resident_mib():.0f} MiB resident")
        for figure, value in (await engine.health()).items():
            print(f"  {figure}: {value}")
        await engine.close()
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--tasks", default="1,64")
    parser.add_argument("--operations", default="put,get,mixed,query,batch,transact")
    parser.add_argument("--directory", default=None, help="where the data lies while it is measured")
    uvloop.run(main(parser.parse_args()))
