"""Where the tests of the suite play: an open engine, spaces and partitions nobody else uses, and a patient client.

The contract allows a store to be unavailable and an outcome to be unknown at any time. The client does what a caller
has to do then: it tries again what wrote nothing, and settles what may have. So the suite passes on an engine with
faults of that kind, and fails on one that treats them as anything else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from tenet.base.clock import Clock, SystemClock
from tenet.base.ids import Ids, SeededIds
from tenet.store.contract import (
    EVERYTHING,
    Append,
    Check,
    Commit,
    CommitId,
    Committed,
    Conflict,
    Engine,
    Key,
    LogEntry,
    LogOptions,
    LogPage,
    Page,
    Put,
    Range,
    Record,
    Settled,
    SpaceOptions,
    StampOf,
    Store,
    Unknown,
    Write,
    new_commit_id,
)
from tenet.store.errors import DeadlineExceeded, StoreUnavailable
from tenet.store.suite.harness import EngineHarness

T = TypeVar("T")

PLAIN: Final = SpaceOptions()
STAMPED: Final = SpaceOptions(stamps=True)
LOGGED: Final = SpaceOptions(log=LogOptions(readers=("tail",)))
#: How often a call is repeated that the store was unavailable for, and how long it waits before, seconds: at first as
#: short as what a fault of one call takes, then so long that a cluster on a busy machine finds itself again meanwhile.
_TRIES_MAX: Final = 300
_SHORT_PAUSES: Final = 200
_SHORT_PAUSE_S: Final = 0.001
_LONG_PAUSE_S: Final = 0.1

_FILLS_SIDE_BY_SIDE: Final = 32

LONG: Final = os.environ.get("TENET_TEST_LONG") == "1"
SEED: Final = int(os.environ.get("TENET_TEST_SEED", "0"))


def rounds(short: int, long: int) -> int:
    """Returns how many rounds a test runs: `short`, or `long` where TENET_TEST_LONG=1."""
    return long if LONG else short


class Client:
    """Calls a store as a careful caller does.

    Args:
        store: the store.
        clock: for commit ids.
        ids: for commit ids.
    """

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self.store = store
        self._clock = clock
        self._ids = ids

    def new_id(self) -> CommitId:
        """Returns an id for a commit."""
        return new_commit_id(self._clock, self._ids)

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeats a call for as long as the store is unavailable, within reason."""
        for tried in range(_TRIES_MAX):
            try:
                return await call()
            except DeadlineExceeded:
                raise
            except StoreUnavailable:
                await asyncio.sleep(_SHORT_PAUSE_S if tried < _SHORT_PAUSES else _LONG_PAUSE_S)
        return await call()

    # ---- commits -----------------------------------------------------------------------------------------------------

    async def attempt(
        self,
        *writes: Write,
        checks: Sequence[Check] = (),
        appends: Sequence[Append] = (),
        return_cells: bool = False,
    ) -> Committed | Conflict:
        """Commits, until it is known whether it took effect; what never did is sent again under a new id."""
        while True:
            commit = Commit(self.new_id(), writes, checks, appends, return_cells=return_cells)
            outcome = await self.attempt_commit(commit)
            if outcome is not None:
                return outcome

    async def attempt_commit(self, commit: Commit) -> Committed | Conflict | None:
        """Sends one commit; None where it was settled that it never took effect."""
        outcome = await self.patiently(lambda: self.store.commit(commit))
        if not isinstance(outcome, Unknown):
            return outcome
        assert commit.writes or commit.appends, "a commit without effect cannot be unknown"
        settled = await self.settle(commit)
        return settled if isinstance(settled, Committed) else None

    async def write(
        self,
        *writes: Write,
        checks: Sequence[Check] = (),
        appends: Sequence[Append] = (),
        return_cells: bool = False,
    ) -> Committed:
        """Commits what nothing stands against."""
        outcome = await self.attempt(*writes, checks=checks, appends=appends, return_cells=return_cells)
        assert isinstance(outcome, Committed), outcome
        return outcome

    async def fill(self, puts: Sequence[Put]) -> None:
        """Puts what one commit need not carry, a partition at a time, some of them side by side."""
        by_partition: dict[tuple[str, bytes], list[Put]] = {}
        for put in puts:
            by_partition.setdefault((put.key.space, put.key.partition), []).append(put)
        gate = asyncio.Semaphore(_FILLS_SIDE_BY_SIDE)

        async def put_all(some: Sequence[Put]) -> None:
            async with gate:
                await self.write(*some)

        await all_of(*map(put_all, by_partition.values()))

    async def refused(self, *writes: Write, checks: Sequence[Check] = (), appends: Sequence[Append] = ()) -> Conflict:
        """Commits what has to be refused."""
        outcome = await self.attempt(*writes, checks=checks, appends=appends)
        assert isinstance(outcome, Conflict), outcome
        return outcome

    async def settle(self, commit: Commit) -> Settled:
        """Settles."""
        return await self.patiently(lambda: self.store.settle(commit))

    # ---- reads -------------------------------------------------------------------------------------------------------

    async def get(self, *keys: Key) -> Sequence[Record | None]:
        """Reads records."""
        return await self.patiently(lambda: self.store.get(keys))

    async def read(self, key: Key) -> Record | None:
        """Reads one record."""
        (record,) = await self.get(key)
        return record

    async def value(self, key: Key) -> bytes | None:
        """Reads the value of one record."""
        record = await self.read(key)
        return None if record is None else record.value

    async def cells(self, key: Key) -> dict[str, int] | None:
        """Reads the cells of one record."""
        record = await self.read(key)
        return None if record is None else dict(record.cells)

    async def together(self, *reads: Key | StampOf) -> Sequence[Record | int | None]:
        """Reads records and stamps of one moment."""
        return await self.patiently(lambda: self.store.read_together(reads))

    async def stamp(self, of: StampOf) -> int:
        """Reads one stamp."""
        (stamp,) = await self.together(of)
        assert isinstance(stamp, int)
        return stamp

    async def query_all(
        self, space: str, partition: bytes, within: Range = EVERYTHING, *, page: int = 1_000, reverse: bool = False
    ) -> list[Record]:
        """Reads a range of a partition to its end, page by page."""
        found: list[Record] = []
        while True:
            rest = _range_behind(within, found[-1].sort, reverse=reverse) if found else within
            got = await self._query(space, partition, rest, page, reverse=reverse)
            assert len(got.records) <= page
            found += got.records
            if not got.more:
                return found
            assert got.records, "a page that says there is more must not be empty"

    async def _query(self, space: str, partition: bytes, within: Range, limit: int, *, reverse: bool) -> Page:
        return await self.patiently(lambda: self.store.query(space, partition, within, limit=limit, reverse=reverse))

    async def scan_all(
        self,
        space: str,
        within: Range = EVERYTHING,
        *,
        page: int = 1_000,
        slice_index: int = 0,
        slice_count: int = 1,
        after: tuple[bytes, bytes] | None = None,
    ) -> list[Record]:
        """Reads a slice of a space to its end, page by page."""
        found: list[Record] = []
        while True:
            got = await self._scan(space, within, page, (slice_index, slice_count), after)
            assert len(got.records) <= page
            found += got.records
            if not got.more:
                return found
            assert got.records, "a page that says there is more must not be empty"
            after = (found[-1].partition, found[-1].sort)

    async def _scan(
        self,
        space: str,
        within: Range,
        limit: int,
        part: tuple[int, int],
        after: tuple[bytes, bytes] | None,
    ) -> Page:
        return await self.patiently(
            lambda: self.store.scan(space, within, limit=limit, slice_index=part[0], slice_count=part[1], after=after)
        )

    async def log_page(
        self,
        space: str,
        shard: int = 0,
        *,
        after: int,
        limit: int = 1_000,
        reader: str | None = None,
        stale: bool = False,
    ) -> LogPage:
        """Reads a page of a log."""
        return await self.patiently(
            lambda: self.store.read_log(space, shard, after=after, limit=limit, reader=reader, stale=stale)
        )

    async def log_all(self, space: str, shard: int = 0, *, after: int = 0, limit: int = 1_000) -> list[LogEntry]:
        """Reads a shard of a log to what is closed now."""
        found: list[LogEntry] = []
        while True:
            page = await self.log_page(space, shard, after=after, limit=limit)
            found += page.entries
            if not page.entries:
                return found
            after = page.entries[-1].position


def _range_behind(within: Range, sort: bytes, *, reverse: bool) -> Range:
    return Range(within.lower, sort) if reverse else Range(sort + b"\x00", within.upper)


class Stage:
    """An engine that is open for the tests of one module, and what they need beside it.

    Args:
        harness: of the engine.
        name: of the module, so that locations of different modules differ.
    """

    def __init__(self, harness: EngineHarness, name: str) -> None:
        self.harness = harness
        self.clock = SystemClock()
        self.ids = SeededIds(SEED)
        self._name = name
        self._runner = asyncio.Runner()
        self._count = 0
        self._shared_spaces: dict[SpaceOptions, str] = {}
        self._store: Engine | None = None

    def rounds(self, short: int, long: int) -> int:
        """Returns how many rounds a test runs that has very many; fewer where an engine takes its time."""
        return max(1, round(rounds(short, long) * self.harness.pace))

    @property
    def is_quick(self) -> bool:
        """Whether a failed run may be tried hundreds of times, to find a shorter one."""
        return self.harness.pace >= 1

    def run(self, test: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the loop that the engine lives in."""
        return self._runner.run(test)

    def start(self) -> None:
        """Opens the engine that the tests share."""
        self._store = self.run(self.open(self.new_name()))

    def stop(self) -> None:
        """Closes what is open."""
        self.run(self.store.close())
        self.run(self.harness.close())
        self._runner.close()

    # ---- engines -----------------------------------------------------------------------------------------------------

    @property
    def store(self) -> Engine:
        """The engine that the tests share."""
        assert self._store is not None
        return self._store

    @property
    def client(self) -> Client:
        """A client of the engine that the tests share."""
        return self.client_of(self.store)

    def client_of(self, store: Store) -> Client:
        """Returns a client of a store."""
        return Client(store, self.clock, self.ids)

    async def open(self, location: str, clock: Clock | None = None) -> Engine:
        """Opens an engine at a location."""
        return await self.harness.open(location, clock=clock or self.clock, ids=self.ids)

    @asynccontextmanager
    async def private_engine(self, clock: Clock | None = None) -> AsyncIterator[PrivateEngine]:
        """Gives an engine of one's own at an empty location, which can be closed, opened again and crashed."""
        private = PrivateEngine(self, self.new_name(), clock or self.clock)
        await private.open()
        try:
            yield private
        finally:
            await private.store.close()

    # ---- names -------------------------------------------------------------------------------------------------------

    def new_name(self) -> str:
        """Returns a name for a location or a space that nobody else uses."""
        self._count += 1
        return f"{self._name}-{self._count}"

    def partition(self) -> bytes:
        """Returns a partition key that nobody else uses."""
        self._count += 1
        return b"p%d" % self._count

    async def space(self, options: SpaceOptions = PLAIN) -> str:
        """Returns a space of these options, which tests share: each keeps to partitions of its own."""
        name = self._shared_spaces.get(options)
        if name is None:
            name = self._shared_spaces[options] = await self.own_space(options)
        return name

    async def own_space(self, options: SpaceOptions = PLAIN) -> str:
        """Makes a space that nobody else uses; costs seconds on some engines."""
        name = self.new_name()
        await self.client.patiently(lambda: self.store.ensure_space(name, options))
        return name

    async def key(self, sort: bytes = b"", options: SpaceOptions = PLAIN) -> Key:
        """Returns a key in a partition that nobody else uses."""
        return Key(await self.space(options), self.partition(), sort)


class PrivateEngine:
    """An engine of one test's own.

    Args:
        stage: where it plays.
        location: where its data lies.
        clock: its time.
    """

    def __init__(self, stage: Stage, location: str, clock: Clock) -> None:
        self._stage = stage
        self._location = location
        self._clock = clock
        self._store: Engine | None = None

    @property
    def store(self) -> Engine:
        """The engine, open."""
        assert self._store is not None
        return self._store

    @property
    def client(self) -> Client:
        """A client of the engine."""
        return Client(self.store, self._clock, self._stage.ids)

    async def open(self) -> None:
        """Opens the engine where its data lies."""
        self._store = await self._stage.open(self._location, self._clock)

    async def reopen(self) -> None:
        """Closes the engine and opens it again."""
        await self.store.close()
        await self.open()

    async def crash(self) -> None:
        """Ends the engine as ``kill -9`` would, where the harness can, else in order; and opens it again."""
        if self._stage.harness.can_crash:
            await self._stage.harness.crash(self.store)
            await self.open()
        else:
            await self.reopen()

    async def space(self, options: SpaceOptions = PLAIN) -> str:
        """Makes a space."""
        name = self._stage.new_name()
        await self.client.patiently(lambda: self.store.ensure_space(name, options))
        return name


async def all_of(*coroutines: Coroutine[Any, Any, T]) -> list[T]:
    """Runs coroutines side by side; the first error ends them all."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in tasks]
