"""The raw driver: the statements of recorded requests, sent by a process that does nothing else.

    python -m benchmarks.raw '{"hosts": ["127.0.0.1"], "keyspace": "raw", "store_pids": [], "tables": [[…], …]}'

A line of JSON on standard input asks for a measurement, and one on standard output answers it. Requests are recorded
before the clock starts (``recording``): what is measured is binding, sending, and reading answers. There are no
beliefs, no lines, no second tries through other nodes and no deadlines. What ends behind an answer does so here, too,
and a request waits for what an earlier one of its connection left undone in the same partitions.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import acsylla
import msgspec
import uvloop
from acsylla import Consistency
from msgspec import Struct

from benchmarks import generator
from benchmarks.drivers.client import percentile
from benchmarks.generator import Dataset, GeneratorError, Request, Row
from benchmarks.recording import Recorded, Recorder, Statement
from tenet.base.clock import SystemClock
from tenet.store.cassandra.definitions import DEFINITION_S
from tenet.store.cassandra.driver import Driver
from tenet.store.cassandra.location import Location

#: How often a statement is sent whose answer did not come: a batch may be sent any number of times.
SENDS_MAX: Final = 3
#: Requests of a measurement for each connection, at the least, and of all together at the most.
EACH_MIN: Final = 2
REQUESTS_MAX: Final = 20_000
LOADING_CONNECTIONS: Final = 32
READY: Final = "ready"
_TABLE: Final = re.compile(r"(?:UPDATE|FROM|INTO) (\S+)")


class Asked(Struct, frozen=True):
    """A measurement that is wanted."""

    workload: str
    connections: int
    seconds: float
    #: The table that it works on, by its number among those that the process was started with.
    table: int


class Started(Struct, frozen=True):
    """What the process works with."""

    hosts: list[str]
    keyspace: str
    store_pids: list[int]
    tables: list[Dataset]


class Refused(Exception):
    """A batch did not take effect, though it should, or did, though it should not."""


class _Options(Driver):
    """Knows how the engine's driver connects, so that the raw one connects alike."""

    def all(self) -> dict[str, Any]:
        """Returns the options of the cluster; the raw driver itself waits until all nodes have a definition."""
        return self._options() | {"max_schema_wait_time_ms": int(DEFINITION_S * 1000)}


class Session:
    """A connection to the cluster. Made by ``open``.

    Args:
        session: the driver's.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._prepared: dict[str, Any] = {}
        self._defined: set[str] = set()
        #: How many statements were sent another time.
        self.again = 0

    @classmethod
    async def open(cls, hosts: Sequence[str], keyspace: str) -> Session:
        """Connects with the options of the engine."""
        options = _Options(Location(tuple(hosts), keyspace), SystemClock()).all()
        return cls(await acsylla.create_cluster(**options).create_session())

    async def close(self) -> None:
        """Ends the connections."""
        await self._session.close()

    async def prepare(self, recorded: Recorded, definitions: Mapping[str, str]) -> None:
        """Prepares the statements of a request, and makes the tables that they name.

        Args:
            recorded: the request.
            definitions: of the keyspace, under an empty name, and of tables, by their names.
        """
        for stage in recorded.stages:
            for statement in stage:
                for text, _ in statement.bound:
                    if text in self._prepared:
                        continue
                    for name in ("", *_TABLE.findall(text)):
                        if name not in self._defined:
                            await self._session.query(definitions[name], timeout=DEFINITION_S)
                            self._defined.add(name)
                    self._prepared[text] = await self._session.create_prepared(text)

    async def send(self, statement: Statement) -> None:
        """Sends a statement; one that is not answered is sent again.

        Raises:
            Refused: a batch did not come out as it was recorded.
        """
        for tries_left in reversed(range(SENDS_MAX)):
            try:
                if statement.kind == "read":
                    await self._read(statement)
                else:
                    await self._batch(statement, is_first=tries_left == SENDS_MAX - 1)
            except acsylla.errors.CassException:
                if not tries_left:
                    raise
                self.again += 1
            else:
                return

    async def _read(self, statement: Statement) -> list[tuple[Any, ...]]:
        ((text, values),) = statement.bound
        bound = self._prepared[text].bind(list(values))
        bound.set_consistency(Consistency.SERIAL if statement.is_serial else Consistency.QUORUM)
        result = await self._session.execute(bound)
        return [row.as_tuple() for row in result.all()]

    async def _batch(self, statement: Statement, *, is_first: bool) -> None:
        batch = acsylla.create_batch_unlogged()
        batch.set_consistency(Consistency.QUORUM)
        batch.set_serial_consistency(Consistency.SERIAL)
        for text, values in statement.bound:
            batch.add_statement(self._prepared[text].bind(list(values)))
        result = await self._session.execute_batch(batch)
        if statement.kind == "conditional":
            rows = [row.as_dict() for row in result.all()]
            is_refused = bool(rows) and not rows[0]["[applied]"]
            # One that was sent before may have taken effect then, and is refused by what it left.
            if is_refused != statement.is_refused and is_first:
                raise Refused


@dataclass
class _Tally:
    """What the connections of a measurement saw until the first of them had nothing left to ask."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    of_connection: Counter[int] = field(default_factory=Counter)
    #: Of the requests that were answered, what ends behind the answer included.
    statements: int = 0


@dataclass(frozen=True)
class _Usage:
    """What was used up to a moment."""

    at_s: float
    own_cpu_s: float
    store_cpu_s: float | None
    sent_again: int


class Raw:
    """Records requests and carries them out.

    Args:
        session: the cluster.
        recorder: says what to send.
        started: tables and processes.
    """

    def __init__(self, session: Session, recorder: Recorder, started: Started) -> None:
        self._session = session
        self._recorder = recorder
        self._started = started
        self._rings: dict[tuple[str, int, int], list[list[Request]]] = {}
        self._turns: Counter[tuple[str, int, int]] = Counter()
        self._per_s: dict[tuple[str, int, int], float] = {}

    async def load(self) -> None:
        """Makes the tables and fills them."""
        for data in self._started.tables:
            await self._recorder.make_table(data.table)
        for data in self._started.tables:
            connections = min(LOADING_CONNECTIONS, data.partitions)
            requests = generator.requests("put", connections=connections, data=replace(data, groups=0))
            by_connection = _by_connection(requests, connections)
            # The first half of a round holds the first variant of each item.
            lists = [[await self._record(one) for one in some[: len(some) // 2]] for some in by_connection]
            tally = await self._run(lists)
            if tally[0].errors:
                raise GeneratorError(f"the raw driver could not fill its table: {dict(tally[0].errors)}")

    async def measure(self, asked: Asked) -> Row:
        """Carries requests out for about so many seconds, as many as a shorter run before says."""
        key = (asked.workload, asked.connections, asked.table)
        if key not in self._per_s:
            # All that the connections go through, once: then everything has been seen that is updated.
            await self._measured(asked, max(map(len, self._rings_of(asked))) // 2)
        return await self._measured(asked, int(self._per_s[key] * asked.seconds / asked.connections))

    async def _measured(self, asked: Asked, each: int) -> Row:
        key = (asked.workload, asked.connections, asked.table)
        each = max(EACH_MIN, min(each, REQUESTS_MAX // asked.connections))
        lists = [await self._recorded(asked, connection, each) for connection in range(asked.connections)]
        self._turns[key] += each
        gc.collect()
        gc.freeze()
        tally, before, after = await self._run(lists)
        gc.unfreeze()
        row = _row(asked, tally, before, after)
        self._per_s[key] = max(row.operations_per_s, 1.0)
        return row

    async def _recorded(self, asked: Asked, connection: int, each: int) -> list[Recorded]:
        """Records the next requests of a connection's ring."""
        ring = self._rings_of(asked)[connection]
        first = self._turns[asked.workload, asked.connections, asked.table] % len(ring)
        return [await self._record(one) for one in islice(cycle(ring), first, first + each)]

    def _rings_of(self, asked: Asked) -> list[list[Request]]:
        """Returns what each connection asks round and round."""
        key = (asked.workload, asked.connections, asked.table)
        if key not in self._rings:
            data = self._started.tables[asked.table]
            requests = generator.requests(asked.workload, connections=asked.connections, data=data)
            self._rings[key] = _by_connection(requests, asked.connections)
        return self._rings[key]

    async def _record(self, request: Request) -> Recorded:
        recorded = await self._recorder.record(request)
        await self._session.prepare(recorded, self._recorder.definitions)
        return recorded

    # ---- carrying out ------------------------------------------------------------------------------------------------

    async def _run(self, lists: Sequence[Sequence[Recorded]]) -> tuple[_Tally, _Usage, _Usage]:
        """Carries out the requests of each connection one after the other, connections side by side.

        What is told ends when the first connection has nothing left to ask; the others go on for themselves.
        """
        tally, before = _Tally(), self._usage()
        after: list[_Usage] = []

        async def work(number: int, requests: Sequence[Recorded]) -> None:
            behind: dict[str, asyncio.Task[None]] = {}
            for request in requests:
                begun = time.perf_counter()
                problem = await self._carry_out(request, behind)
                if after:
                    continue
                if problem:
                    tally.errors[problem] += 1
                else:
                    tally.latencies_ms.append((time.perf_counter() - begun) * 1_000)
                    tally.of_connection[number] += 1
                    tally.statements += request.statements
            if not after:
                after.append(self._usage())
            await asyncio.gather(*behind.values(), return_exceptions=True)

        await asyncio.gather(*(work(number, requests) for number, requests in enumerate(lists)))
        return tally, before, after[0]

    async def _carry_out(self, request: Recorded, behind: dict[str, asyncio.Task[None]]) -> str:
        """Carries out a request up to its answer, and has the rest go on; returns what went wrong, or nothing."""
        try:
            for partition in request.partitions:
                if partition in behind:
                    await behind[partition]
            await self._stages(request.stages[: request.answered])
        except (acsylla.errors.CassException, Refused) as error:
            return type(error).__name__
        if request.answered < len(request.stages):
            task = asyncio.create_task(self._stages(request.stages[request.answered :]))
            behind.update(dict.fromkeys(request.partitions, task))
        return ""

    async def _stages(self, stages: Sequence[Sequence[Statement]]) -> None:
        for stage in stages:
            if len(stage) == 1:
                await self._session.send(stage[0])
            else:
                await asyncio.gather(*map(self._session.send, stage))

    def _usage(self) -> _Usage:
        own = resource.getrusage(resource.RUSAGE_SELF)
        store = cpu_s(self._started.store_pids)
        return _Usage(time.perf_counter(), own.ru_utime + own.ru_stime, store, self._session.again)


def cpu_s(pids: Sequence[int]) -> float | None:
    """Returns the processor time of processes so far, None where none is named or there is no /proc."""
    try:
        fields = [Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split() for pid in pids]
    except OSError:
        return None
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK") if fields else None


def _by_connection(requests: Sequence[Request], connections: int) -> list[list[Request]]:
    lists: list[list[Request]] = [[] for _ in range(connections)]
    for request in requests:
        lists[request.connection].append(request)
    return lists


def _row(asked: Asked, tally: _Tally, before: _Usage, after: _Usage) -> Row:
    elapsed_s, operations = after.at_s - before.at_s, len(tally.latencies_ms)
    store_s = None
    if before.store_cpu_s is not None and after.store_cpu_s is not None:
        store_s = after.store_cpu_s - before.store_cpu_s
    each = max(operations, 1)
    own_s = after.own_cpu_s - before.own_cpu_s
    counts = [tally.of_connection[number] for number in range(asked.connections)]
    return Row(
        workload=asked.workload,
        connections=asked.connections,
        rate_per_s=0,
        seconds=elapsed_s,
        operations=operations,
        operations_per_s=operations / elapsed_s,
        p50_ms=percentile(tally.latencies_ms, 0.5),
        p99_ms=percentile(tally.latencies_ms, 0.99),
        max_ms=percentile(tally.latencies_ms, 1.0),
        errors=tally.errors.total(),
        error_kinds=dict(tally.errors),
        unsent=0,
        lost_updates=0,
        operations_of_connection_min=min(counts),
        operations_of_connection_max=max(counts),
        server_cpu_us=own_s / each * 1e6,
        server_cores=own_s / elapsed_s,
        server_memory_mib=None,
        generator_cpu_us=0,
        acknowledged=operations,
        store_cpu_us=None if store_s is None else store_s / each * 1e6,
        statements=(tally.statements + after.sent_again - before.sent_again) / each,
    )


# ---- the process -----------------------------------------------------------------------------------------------------


class RawProcess:
    """The process, as the benchmark uses it; ended by ``close``.

    Args:
        started: what it works with.

    Raises:
        GeneratorError: it could not load its tables.
    """

    def __init__(self, started: Started) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.raw", msgspec.json.encode(started).decode()],
            cwd=generator.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._line() != READY:
            raise GeneratorError("the raw driver said something else before it was ready")

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def measure(self, asked: Asked) -> Row:
        """Measures.

        Raises:
            GeneratorError: the process has ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(asked).decode() + "\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._line(), type=Row)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise GeneratorError(f"the raw driver has ended with status {self._process.wait()}")
        return line

    def close(self) -> None:
        """Lets it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


async def serve(started: Started, lines: Callable[[], Awaitable[str]]) -> None:
    """Loads the tables, and measures what is asked for until no more is."""
    recorder = await Recorder.open(started.keyspace)
    session = await Session.open(started.hosts, started.keyspace)
    raw = Raw(session, recorder, started)
    await raw.load()
    print(READY, flush=True)
    while line := await lines():
        row = await raw.measure(msgspec.json.decode(line, type=Asked))
        print(msgspec.json.encode(row).decode(), flush=True)
    await session.close()
    await recorder.close()


def main() -> int:
    """Reads what it works with from the command line."""
    started = msgspec.json.decode(sys.argv[1], type=Started)
    loop = uvloop.new_event_loop

    async def serving() -> None:
        await serve(started, lambda: asyncio.to_thread(sys.stdin.readline))

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(serving())
    return 0


if __name__ == "__main__":
    sys.exit(main())
