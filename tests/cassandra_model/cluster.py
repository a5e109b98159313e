"""A cluster in memory, and a stand-in for the engine's ``Driver`` that sends to it.

What is real: every statement of the engine, as text, with its values. What is decided by others: when a statement goes
on, and what becomes of it (``Turns``). So the same engine runs here that runs on a real cluster, and everything can
happen to it that a network and nodes do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from tenet.base.clock import NEVER, Clock
from tenet.store.cassandra.driver import Driver
from tenet.store.cassandra.location import Location
from tenet.store.cassandra.schema import TABLES
from tenet.store.cassandra.sending import Bound, Shown
from tenet.store.cassandra.tries import Doubt, TableMissing, Unsure
from tenet.store.errors import DeadlineExceeded, StoreSlow, StoreUnavailable
from tests.cassandra_model.cql import Change, Select, read, read_definition
from tests.cassandra_model.tables import Table, TooManyTraces

_DROP = "DROP TABLE IF EXISTS "
#: How often a batch is sent before its sender gives up; the driver does it until a time has passed.
SENDS_MAX = 2


class Fate(Enum):
    """What becomes of a statement that was sent."""

    DONE = "takes effect, and is answered"
    LOST = "takes effect, and the answer is lost"
    NEVER = "is lost on its way"
    LATE = "lingers, and is not answered"
    DIED = "takes effect, and its sender is dead"
    MISSING = "is refused by nodes that have not heard of the table yet"


class Dead(Exception):
    """The process that would go on has ended."""


class Skewed:
    """The clock of a process that is wrong by so many milliseconds; negative is behind."""

    def __init__(self, clock: Clock, ahead_ms: int) -> None:
        self._clock = clock
        self._ahead_ms = ahead_ms

    def wall_ms(self) -> int:
        return self._clock.wall_ms() + self._ahead_ms

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()


class Turns:
    """Lets every statement take effect at once, between others."""

    async def take(self, driver: ModelDriver, kind: str, bound: Sequence[Bound]) -> Fate:
        """Returns when the statement may go on, with what becomes of it."""
        del driver, kind, bound
        await asyncio.sleep(0)
        return Fate.DONE

    def answered(self, driver: ModelDriver, bound: Sequence[Bound], answer: object) -> None:
        """Is told of every answer that a process gets."""

    def linger(self, land: Callable[[], object], what: Sequence[Bound]) -> None:
        """Is given what has not taken effect yet, and may at any time."""


class Cluster:
    """All tables.

    Args:
        clock: of the nodes.
        ahead_ms: by how much it is ahead of those of the clients.
    """

    def __init__(self, clock: Clock, *, ahead_ms: int = 0) -> None:
        self._clock = clock
        self._ahead_ms = ahead_ms
        self.tables: dict[str, Table] = {}

    def _now_ms(self) -> int:
        return self._clock.wall_ms()

    def define(self, text: str) -> None:
        """Defines a table, or drops one; keyspaces need no definition here."""
        if text.startswith("CREATE KEYSPACE"):
            return
        if text.startswith(_DROP):
            self.tables.pop(text.removeprefix(_DROP), None)
            return
        definition = read_definition(text)
        self.tables.setdefault(definition.table, Table(definition))

    def tables_of(self, keyspace: str) -> list[tuple[Any, ...]]:
        """Returns the names of a keyspace's tables, as rows."""
        found = [name.partition(".") for name in self.tables]
        return [(table,) for of, _, table in found if of == keyspace]

    def table(self, name: str) -> Table:
        """Returns a table."""
        if name not in self.tables:
            raise TableMissing(f"table {name} does not exist")
        return self.tables[name]

    def select(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Reads."""
        statement = read(text)
        assert isinstance(statement, Select), text
        assert len(values) == statement.markers, text
        try:
            return self.table(statement.table).select(statement, values, self._now_ms())
        except TooManyTraces as error:
            raise StoreSlow("too few nodes of the cluster answered the read in time") from error

    def write(self, bound: Sequence[Bound], timestamp: int) -> None:
        """Writes without a condition, at a timestamp of the client."""
        for text, values in bound:
            statement = read(text)
            assert isinstance(statement, Change), text
            assert not statement.conditions, text
            self.table(statement.table).change(statement, values, timestamp, self._now_ms())

    def decide(self, bound: Sequence[Bound]) -> list[dict[str, Any]] | None:
        """Carries out a conditional batch, at a timestamp of the nodes."""
        batch = []
        for text, values in bound:
            statement = read(text)
            assert isinstance(statement, Change), text
            assert statement.timestamp is None, text
            batch.append((statement, values))
        names = {statement.table for statement, _ in batch}
        assert len(names) == 1, f"a conditional batch is on one table: {names}"
        try:
            return self.table(names.pop()).decide(batch, (self._now_ms() + self._ahead_ms) * 1000, self._now_ms())
        except TooManyTraces as error:
            raise Unsure from error


class ModelDriver(Driver):
    """The stand-in.

    Args:
        location: names the keyspace.
        clock: of the process.
        cluster: where it sends to.
        turns: decide what becomes of statements.
        name: of the process.
        rewrite: makes batches wrong, for engines that are to be found out.
    """

    def __init__(
        self,
        location: Location,
        clock: Clock,
        *,
        cluster: Cluster,
        turns: Turns | None = None,
        name: str = "",
        rewrite: Callable[[Sequence[Bound]], Sequence[Bound]] | None = None,
    ) -> None:
        super().__init__(location, clock)
        self.cluster = cluster
        self.name = name
        self.is_dead = False
        self._turns = turns if turns is not None else Turns()
        self._rewrite = rewrite
        self._is_open = False
        self._last_us = 0

    async def open(self) -> None:
        """Connects."""
        self.datacenter, self.copies_max = "dc1", 3
        self._is_open = True

    async def close(self) -> None:
        """Ends."""
        self._is_open = False

    async def _turn(self, kind: str, bound: Sequence[Bound], deadline: float, *, is_unsure: bool = False) -> Fate:
        if self.is_dead:
            raise Dead
        if not self._is_open:
            raise StoreUnavailable("the store is closed")
        if self._clock.monotonic_s() >= deadline:
            if is_unsure:
                raise Unsure
            raise DeadlineExceeded("the deadline passed before a node of the cluster answered")
        fate = await self._turns.take(self, kind, bound)
        if self.is_dead:
            raise Dead
        return fate

    async def define(self, *texts: str, deadline: float = NEVER) -> None:
        """Defines tables."""
        for text in texts:
            await self._turn("define", [(text, ())], deadline)
            self.cluster.define(text)

    async def select(
        self,
        text: str,
        values: Sequence[Any],
        *,
        deadline: float = NEVER,
        is_serial: bool = True,
        counts_as: str = "read",
        by: str | None = None,
        even_cut_off: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Reads."""
        del is_serial, by, even_cut_off  # In memory there are no copies that could be behind, and no nodes.
        self.sent[counts_as] += 1
        if text == TABLES:
            return self.cluster.tables_of(*values)
        if " system" in text:
            return []
        if await self._turn(counts_as, [(text, values)], deadline) is Fate.MISSING:
            raise TableMissing("a table is missing")
        rows = self.cluster.select(text, values)
        self._turns.answered(self, [(text, values)], rows)
        return rows

    async def write(self, bound: Sequence[Bound], *, deadline: float = NEVER) -> None:
        """Writes without a condition."""
        self.sent["write"] += 1

        self._last_us = timestamp = max(self._last_us + 1, self._clock.wall_ms() * 1000)
        try:
            await self._sent("write", bound, lambda: self.cluster.write(bound, timestamp), deadline, None)
        except Unsure as error:
            raise StoreSlow("too few nodes of the cluster answered the write in time") from error

    async def decide(
        self,
        bound: Sequence[Bound],
        *,
        deadline: float = NEVER,
        doubt: Doubt | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> list[Shown] | None:
        """Sends a conditional batch."""
        self.sent["conditional"] += 1
        if self._rewrite is not None:
            bound = self._rewrite(bound)
        shown: list[Shown] | None = await self._sent(
            "conditional", bound, lambda: self.cluster.decide(bound), deadline, doubt, before=before
        )
        return shown

    async def _sent(
        self,
        kind: str,
        bound: Sequence[Bound],
        land: Callable[[], Any],
        deadline: float,
        doubt: Doubt | None,
        *,
        before: Callable[[], None] = lambda: None,
    ) -> Any:
        for number in range(SENDS_MAX):
            before()
            fate = await self._turn(kind, bound, deadline, is_unsure=number > 0)
            if fate is Fate.MISSING:
                raise TableMissing("a table is missing")
            if fate is Fate.LATE:
                self._turns.linger(land, bound)
            answer = land() if fate in {Fate.DONE, Fate.LOST, Fate.DIED} else None
            if fate is Fate.DIED:
                self.is_dead = True
                raise Dead
            self._turns.answered(self, bound, answer if fate is Fate.DONE else fate)
            if fate is Fate.DONE:
                return answer
            self.sent["second"] += 1
            if doubt is not None:
                doubt.is_there = True
        raise Unsure
