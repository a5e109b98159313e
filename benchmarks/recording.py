"""The very statements by which Tenet carries requests out on a cluster, and which of them it sends side by side.

Requests go through Tenet's own table service and its own engine; only the cluster below them is the one in memory that
the engine's tests have, which takes the engine's statements as they are. What is noted can be sent to a real cluster
afterwards, in the same order: keys, versions, commit ids and conditions follow from each other as they would there.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from benchmarks.generator import Request
from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.engine import CassandraEngine
from tenet.store.cassandra.location import Location
from tenet.store.cassandra.sending import Bound, Shown
from tenet.store.cassandra.tries import Doubt
from tenet.tables.api import Caller, Tables
from tests.cassandra_model.cluster import Cluster, ModelDriver

Kind = Literal["read", "write", "conditional"]

ACCOUNT: Final = "000000000000"
ACTIVE_S_MAX: Final = 30.0
#: Turns of the event loop that a statement takes: whatever is sent within them is sent side by side.
_TURNS: Final = 25
_TABLE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\S+)")
_PARTITION: Final = re.compile(r'"rack": \{"S": "([^"]+)"')


@dataclass
class Statement:
    """One statement, or one batch.

    Args:
        kind: how it is sent.
        bound: texts with the values of their markers; of a read, one.
        is_serial: whether a read goes by Paxos.
        is_refused: whether a conditional batch does not take effect: an update that begins with the item as it was seen
            last is refused where a put has written it since, and made again.
    """

    kind: Kind
    bound: Sequence[Bound]
    is_serial: bool = False
    is_refused: bool = False


@dataclass(frozen=True)
class Recorded:
    """What carries one request out.

    Args:
        connection: whose request it is.
        stages: statements that are sent side by side; a stage begins when the one before it is answered.
        answered: how many stages come before the answer to the request.
        partitions: those that the request names.
    """

    connection: int
    stages: Sequence[Sequence[Statement]]
    answered: int
    partitions: frozenset[str]

    @property
    def statements(self) -> int:
        """How many statements are sent."""
        return sum(map(len, self.stages))


@dataclass
class _Trace:
    """The statements of a request that is being carried out."""

    stages: list[list[Statement]] = field(default_factory=lambda: [[]])
    #: How many statements of each stage have been answered.
    answered: list[int] = field(default_factory=lambda: [0])

    @asynccontextmanager
    async def statement(self, statement: Statement) -> AsyncIterator[None]:
        """Notes a statement for as long as it is under way."""
        if self.answered[-1]:
            self.stages.append([])
            self.answered.append(0)
        stage = len(self.stages) - 1
        self.stages[stage].append(statement)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        try:
            yield
        finally:
            self.answered[stage] += 1

    @property
    def stages_over(self) -> int:
        """How many stages have been answered as a whole."""
        return sum(
            bool(stage) and len(stage) == answered for stage, answered in zip(self.stages, self.answered, strict=True)
        )


#: The request that a task works for; what the service does for itself has none.
_trace: ContextVar[_Trace | None] = ContextVar("_trace", default=None)


class _RecordingDriver(ModelDriver):
    """Sends to the cluster in memory and notes what belongs to a request."""

    def __init__(self, location: Location) -> None:
        clock = SystemClock()
        super().__init__(location, clock, cluster=Cluster(clock))
        #: Definitions of tables by their names, and of the keyspace under an empty one.
        self.definitions: dict[str, str] = {}

    async def define(self, *texts: str, deadline: float = float("inf")) -> None:
        for text in texts:
            found = _TABLE.match(text)
            self.definitions[found[1] if found else ""] = text
        await super().define(*texts, deadline=deadline)

    async def select(
        self, text: str, values: Sequence[Any], *, is_serial: bool = True, counts_as: str = "read", **more: Any
    ) -> list[tuple[Any, ...]]:
        trace = _trace.get()
        if trace is None or counts_as != "read":
            return await super().select(text, values, is_serial=is_serial, counts_as=counts_as, **more)
        async with trace.statement(Statement("read", [(text, values)], is_serial)):
            return await super().select(text, values, is_serial=is_serial, counts_as=counts_as, **more)

    async def write(self, bound: Sequence[Bound], **more: Any) -> None:
        trace = _trace.get()
        if trace is None:
            return await super().write(bound, **more)
        async with trace.statement(Statement("write", bound)):
            return await super().write(bound, **more)

    async def decide(
        self,
        bound: Sequence[Bound],
        *,
        deadline: float = float("inf"),
        doubt: Doubt | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> list[Shown] | None:
        trace = _trace.get()
        if trace is None:
            return await super().decide(bound, deadline=deadline, doubt=doubt, before=before)
        statement = Statement("conditional", bound)
        async with trace.statement(statement):
            shown = await super().decide(bound, deadline=deadline, doubt=doubt, before=before)
        statement.is_refused = shown is not None
        return shown


class Recorder:
    """Tenet's table service over its engine, with what it would send. Made by ``open``.

    Args:
        engine: the engine.
        driver: what it sends by.
        tables: the service.
    """

    def __init__(self, engine: CassandraEngine, driver: _RecordingDriver, tables: Tables) -> None:
        self._engine = engine
        self._driver = driver
        self._tables = tables

    @classmethod
    async def open(cls, keyspace: str) -> Recorder:
        """Begins with an empty keyspace.

        Args:
            keyspace: what statements name it.
        """
        clock, ids = SystemClock(), SystemIds()
        location = Location(("127.0.0.1",), keyspace)
        driver = _RecordingDriver(location)
        engine = CassandraEngine(location, clock=clock, ids=ids, driver=driver)
        await engine.start()
        return cls(engine, driver, await Tables.open(engine, clock=clock, ids=ids))

    async def close(self) -> None:
        """Ends the service and its engine."""
        await self._tables.close()
        await self._engine.close()

    @property
    def definitions(self) -> Mapping[str, str]:
        """Definitions of all tables so far by their names, and of the keyspace under an empty one."""
        return self._driver.definitions

    async def make_table(self, name: str) -> None:
        """Makes a table as the load generator does."""
        names = {"rack": "HASH", "slot": "RANGE"}
        definition = {
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": one, "AttributeType": "S"} for one in names],
            "KeySchema": [{"AttributeName": one, "KeyType": kind} for one, kind in names.items()],
        }
        await self._call("CreateTable", definition)
        async with asyncio.timeout(ACTIVE_S_MAX):
            while (await self._call("DescribeTable", {"TableName": name}))["Table"]["TableStatus"] != "ACTIVE":  # noqa: ASYNC110 (only polling tells)
                await asyncio.sleep(0.01)

    async def record(self, request: Request) -> Recorded:
        """Carries a request out and returns what that took."""
        trace = _Trace()
        token = _trace.set(trace)
        try:
            await self._call(request.operation, request.body)
            answered = trace.stages_over
            await self._engine.is_quiet()
        finally:
            _trace.reset(token)
        partitions = frozenset(_PARTITION.findall(json.dumps(request.body)))
        return Recorded(request.connection, trace.stages, answered, partitions)

    async def _call(self, operation: str, document: dict[str, Any]) -> Any:
        return json.loads(await self._tables.call(operation, document, Caller(ACCOUNT)))
