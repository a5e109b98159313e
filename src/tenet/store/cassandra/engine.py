"""The engine ``cassandra``: the store contract over a cluster, any number of processes at once.

It puts the parts together and keeps the contract's manners: deadlines, limits, spaces by name. See ``DESIGN.md``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
from tenet.store import validate
from tenet.store.cassandra import schema
from tenet.store.cassandra.across import Across
from tenet.store.cassandra.commits import Commits
from tenet.store.cassandra.deciding import Deciding
from tenet.store.cassandra.driver import Driver
from tenet.store.cassandra.endings import Endings
from tenet.store.cassandra.journal import Journal
from tenet.store.cassandra.location import Location, parse_location
from tenet.store.cassandra.locks import Locks
from tenet.store.cassandra.logs import Logs
from tenet.store.cassandra.partitions import Partitions
from tenet.store.cassandra.pointers import Pointers
from tenet.store.cassandra.reads import Reads
from tenet.store.cassandra.spaces import Space, Spaces
from tenet.store.cassandra.supervision import Supervision
from tenet.store.cassandra.tries import TableMissing
from tenet.store.cassandra.turns import Turns
from tenet.store.cassandra.under_way import UnderWay
from tenet.store.cassandra.unit import Unit, spaces_of, split
from tenet.store.cassandra.upkeep import Upkeep
from tenet.store.contract import (
    EVERYTHING,
    Capabilities,
    Commit,
    Committed,
    Key,
    Limits,
    LogPage,
    Outcome,
    Page,
    Range,
    Record,
    Settled,
    SpaceInfo,
    SpaceOptions,
    StampOf,
    Unknown,
    Watch,
    commit_id_ms,
)
from tenet.store.errors import (
    DeadlineExceeded,
    InvalidRequest,
    SettleWindowPassed,
    SpaceNotFound,
    StoreUnavailable,
)
from tenet.store.versions import VersionSource
from tenet.store.watches import Watches

T = TypeVar("T")

_MIB: Final = 1024 * 1024
_NO_OPTIONS: Final = SpaceOptions()
PARTITIONS_MAX: Final = 200
CAPABILITIES: Final = Capabilities(
    engine="cassandra",
    partitions_max=PARTITIONS_MAX,
    cheap_commits_across_partitions=False,
    stale_reads=True,
    remote=True,
)
_SIDE_BY_SIDE: Final = 32
_KEYSPACE: Final = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?"
#: How long a commit may take beyond its deadline to say itself what became of it, seconds.
_GRACE_S: Final = 0.02


async def open_engine(location: str, *, clock: Clock, ids: Ids, site: int = 0) -> CassandraEngine:
    """Opens the distributed engine; the entry point ``cassandra`` of ``tenet.engines``.

    Args:
        location: ``//HOST[:PORT][,HOST…]/KEYSPACE[?name=value&…]``; see ``location.Location`` for the names.
        clock: time.
        ids: nonces of versions.
        site: the site's number, 0 to 65,535.

    Raises:
        InvalidRequest: the location is not of that form.
        StoreUnavailable: no node of the cluster can be reached, or it could not make the keyspace.
    """
    engine = CassandraEngine(parse_location(location), clock=clock, ids=ids, site=site)
    await engine.start()
    return engine


class CassandraEngine:
    """The engine; see ``contract.Engine``.

    Args:
        location: the cluster and the keyspace.
        clock: time.
        ids: nonces.
        site: the site's number.
        gate: awaited by every commit before its first batch is sent, so that a test can hold one up.
        driver: what it sends by; by default one of the location's cluster.
    """

    def __init__(
        self,
        location: Location,
        *,
        clock: Clock,
        ids: Ids,
        site: int = 0,
        gate: Callable[[Commit], Awaitable[None]] | None = None,
        driver: Driver | None = None,
    ) -> None:
        self._location = location
        self._clock = clock
        self._gate = gate
        self._watches = Watches()
        self.driver = driver if driver is not None else Driver(location, clock)
        versions = VersionSource(clock, ids, site=site)
        partitions = Partitions(clock)
        pointers = Pointers(self.driver)
        self._spaces = Spaces(self.driver, clock=clock, ids=ids)
        locks = Locks(self.driver, self._spaces, partitions, versions, clock)
        self._reads = Reads(self.driver, partitions, locks, versions)
        deciding = Deciding(
            self.driver,
            partitions=partitions,
            locks=locks,
            reads=self._reads,
            pointers=pointers,
            versions=versions,
            clock=clock,
        )
        journal = Journal(self.driver, clock=clock, ids=ids)
        self._endings = Endings(self.driver, locks=locks, journal=journal, clock=clock)
        turns = Turns(clock)
        self._across = Across(
            deciding,
            locks=locks,
            journal=journal,
            endings=self._endings,
            reads=self._reads,
            turns=turns,
            clock=clock,
            ids=ids,
        )
        self._reads.look_under_locks = self._across.look_under_locks
        self._commits = Commits(
            self.driver,
            deciding=deciding,
            locks=locks,
            across=self._across,
            reads=self._reads,
            partitions=partitions,
            turns=turns,
            versions=versions,
            clock=clock,
        )
        self._logs = Logs(self.driver, locks, partitions, clock)
        self._supervision = Supervision(self.driver, clock)
        self._upkeep = Upkeep(self.driver, journal=journal, endings=self._endings, clock=clock)
        self._under_way: UnderWay[Outcome] = UnderWay()
        self._is_closed = False

    async def start(self) -> None:
        """Connects, and makes the keyspace and the registry where they are missing.

        Raises:
            StoreUnavailable: the cluster cannot be reached, or does not let us.
            StoreOfLaterVersion: a later version wrote what is in the keyspace.
        """
        try:
            await self.driver.open()
            at = self._location
            # One that is there is left alone: a user with few rights may not even ask for it to be made.
            if not await self.driver.select(_KEYSPACE, (at.keyspace,), is_serial=False, counts_as="beat"):
                await self.driver.define(schema.keyspace(at.keyspace, self._replication()))
            await self._define_registry()
            await self._spaces.check_format()
            await self._upkeep.sweeping.ensure()
        except BaseException:
            await self.driver.close()
            raise
        self._supervision.start()

    async def _define_registry(self) -> None:
        """Makes the tables of the engine that are missing: what is not defined cannot wait for a node that is down."""
        at = self._location
        rows = await self.driver.select(schema.TABLES, (at.keyspace,), is_serial=False, counts_as="beat")
        there = {name for (name,) in rows}
        missing = [text for name, text in schema.registry(at.keyspace, at.gc_grace_s).items() if name not in there]
        if missing:
            await self.driver.define(*missing)

    def _replication(self) -> str:
        """Returns how a keyspace yet to be made is replicated: three copies, or as many as there are nodes."""
        if self._location.replication:
            return ", ".join(f"'{name}': {copies}" for name, copies in self._location.replication)
        return f"'{self.driver.datacenter}': {max(1, min(3, self.driver.copies_max))}"

    @property
    def capabilities(self) -> Capabilities:
        """What the engine declares about itself."""
        return CAPABILITIES

    # ---- spaces ------------------------------------------------------------------------------------------------------

    async def ensure_space(
        self, name: str, options: SpaceOptions = _NO_OPTIONS, *, deadline: float = NEVER
    ) -> SpaceInfo:
        """Creates the space, or changes it to these options."""
        validate.check_space_name(name)
        validate.check_options(options)
        self._begin(deadline)
        return await self._spaces.ensure(name, options, deadline)

    async def drop_space(self, name: str, *, deadline: float = NEVER) -> None:
        """Drops the space with its records, stamps and log."""
        validate.check_space_name(name)
        self._begin(deadline)
        await self._spaces.drop(name, deadline)

    async def list_spaces(self, prefix: str = "", *, deadline: float = NEVER) -> Sequence[SpaceInfo]:
        """Returns the spaces whose names begin with `prefix`, by name."""
        self._begin(deadline)
        return await self._spaces.list(prefix, deadline)

    async def _find(self, names: Iterable[str], deadline: float) -> dict[str, Space]:
        spaces: dict[str, Space] = {}
        for name in names:
            if name not in spaces:
                spaces[name] = self._spaces.remembered(name) or await self._spaces.read(name, deadline)
        return spaces

    async def _with_spaces(
        self, names: Sequence[str], deadline: float, work: Callable[[dict[str, Space]], Awaitable[T]]
    ) -> T:
        """Does what needs spaces; looks again which tables they have where one is not there any more."""
        spaces = await self._find(names, deadline)
        try:
            return await work(spaces)
        except TableMissing:
            pass
        return await self._with_changed_spaces(names, deadline, work)

    async def _with_changed_spaces(
        self, names: Sequence[str], deadline: float, work: Callable[[dict[str, Space]], Awaitable[T]]
    ) -> T:
        for name in names:
            self._spaces.forget(name)
        spaces = await self._find(names, deadline)
        try:
            return await work(spaces)
        except TableMissing as error:
            raise StoreUnavailable(f"a table of the spaces {', '.join(spaces)} is missing: {error}") from error

    # ---- reads -------------------------------------------------------------------------------------------------------

    async def get(
        self, keys: Sequence[Key], *, stale: bool = False, deadline: float = NEVER
    ) -> Sequence[Record | None]:
        """Returns the record of each key, None where absent."""
        self._begin(deadline)
        validate.check_count("the number of keys", len(keys), Limits.get_keys_max)
        for key in keys:
            validate.check_key(key)
        if len(keys) == 1:
            (key,) = keys
            space = self._spaces.remembered(key.space)
            if space is not None:
                # Nearly every get; the rest of this method is for the others.
                try:
                    return [await self._reads.get_one(space, key.partition, key.sort, deadline, is_stale=stale)]
                except TableMissing:
                    self._spaces.forget(key.space)
        return await self._with_spaces(
            [key.space for key in keys], deadline, lambda spaces: self._get(keys, spaces, deadline, is_stale=stale)
        )

    async def _get(
        self, keys: Sequence[Key], spaces: dict[str, Space], deadline: float, *, is_stale: bool
    ) -> Sequence[Record | None]:
        sorts: dict[tuple[str, bytes], list[bytes]] = {}
        for key in keys:
            sorts.setdefault((key.space, key.partition), []).append(key.sort)
        gate = asyncio.Semaphore(_SIDE_BY_SIDE)
        found: dict[Key, Record | None] = {}

        async def read(space: str, partition: bytes, some: list[bytes]) -> None:
            async with gate:
                records = await self._reads.get(spaces[space], partition, some, deadline, is_stale=is_stale)
            found.update((Key(space, partition, sort), one) for sort, one in zip(some, records, strict=True))

        await asyncio.gather(*(read(*place, some) for place, some in sorts.items()))
        return [found[key] for key in keys]

    async def query(
        self,
        space: str,
        partition: bytes,
        within: Range = EVERYTHING,
        *,
        limit: int,
        limit_bytes: int = _MIB,
        reverse: bool = False,
        stamp: StampOf | None = None,
        stale: bool = False,
        deadline: float = NEVER,
    ) -> Page:
        """Returns records of one partition in order of their sort keys, as of one moment."""
        self._begin(deadline)
        validate.check_partition(partition)
        validate.check_range(within)
        _check_limits(limit, limit_bytes)

        def work(spaces: dict[str, Space]) -> Awaitable[Page]:
            if stamp is not None:
                validate.check_stamp_of(stamp, spaces[stamp.space].options)
            return self._reads.query(
                spaces[space],
                partition,
                within,
                limit=limit,
                limit_bytes=limit_bytes,
                reverse=reverse,
                stamp=stamp,
                deadline=deadline,
                is_stale=stale,
            )

        return await self._with_spaces([space], deadline, work)

    async def scan(
        self,
        space: str,
        within: Range = EVERYTHING,
        *,
        limit: int,
        limit_bytes: int = _MIB,
        slice_index: int = 0,
        slice_count: int = 1,
        after: tuple[bytes, bytes] | None = None,
        stale: bool = False,
        deadline: float = NEVER,
    ) -> Page:
        """Returns records of a slice of a space, by the token of their partition."""
        del stale
        self._begin(deadline)
        validate.check_range(within)
        validate.check_slices(slice_index, slice_count)
        _check_limits(limit, limit_bytes)

        async def work(spaces: dict[str, Space]) -> Page:
            return await self._reads.scan(
                spaces[space],
                within,
                limit=limit,
                limit_bytes=limit_bytes,
                slice_index=slice_index,
                slice_count=slice_count,
                after=after,
                deadline=deadline,
            )

        return await self._with_spaces([space], deadline, work)

    async def read_together(
        self, reads: Sequence[Key | StampOf], *, deadline: float = NEVER
    ) -> Sequence[Record | int | None]:
        """Returns the record of each key and each stamp, all of one moment."""
        self._begin(deadline)
        validate.check_count("the number of reads", len(reads), Limits.together_max)

        async def work(spaces: dict[str, Space]) -> Sequence[Record | int | None]:
            for read in reads:
                if isinstance(read, Key):
                    validate.check_key(read)
                else:
                    validate.check_stamp_of(read, spaces[read.space].options)
            return await self._reads.read_together(reads, spaces, deadline)

        return await self._with_spaces([read.space for read in reads], deadline, work)

    # ---- commits -----------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits; see ``Store.commit``."""
        self._begin(deadline)
        validate.check_commit(commit, partitions_max=PARTITIONS_MAX, now_ms=self._clock.wall_ms())
        units = await self._units(commit, deadline)
        # What was begun goes on to its end although nobody may wait for it any more.
        timeout_s = max(0.0, deadline - self._clock.monotonic_s()) + _GRACE_S
        task = await self._under_way.run(self._carry_out(commit, units, deadline), timeout_s)
        if task.done():
            return task.result()
        if not commit.writes and not commit.appends:
            raise DeadlineExceeded("the deadline passed before all that the commit checks was read")
        return Unknown(commit.id)

    async def _carry_out(self, commit: Commit, units: Sequence[Unit], deadline: float) -> Outcome:
        if self._gate is not None:
            await self._gate(commit)
        try:
            outcome = await self._commits.commit(commit, units, deadline)
        except TableMissing as error:
            for unit in units:
                self._spaces.forget(unit.space.name)
            await self._find([unit.space.name for unit in units], deadline)
            raise StoreUnavailable(f"a space was dropped, or made again, while the commit went on: {error}") from error
        if isinstance(outcome, Committed) and self._watches.are_there:
            self._watches.hint((commit,))
        return outcome

    async def _units(self, commit: Commit, deadline: float) -> list[Unit]:
        spaces = await self._find(spaces_of(commit), deadline)
        for name in {append.key.space for append in commit.appends}:
            if spaces[name].log is None:
                spaces[name] = await self._spaces.read(name, deadline)
        return split(commit, spaces)

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        """Says whether a commit took effect; if it has not, it never will."""
        self._begin(deadline)
        if not commit.writes and not commit.appends:
            raise InvalidRequest("a commit without writes and appends has no effect to settle")
        if self._clock.wall_ms() - commit_id_ms(commit.id) > Limits.settle_window_s * 1000:
            raise SettleWindowPassed(f"the commit was made more than {Limits.settle_window_s} s ago")
        units = await self._units(commit, deadline)
        return await self._commits.settle(commit, units[0], deadline)

    # ---- logs, housekeeping ------------------------------------------------------------------------------------------

    async def read_log(
        self,
        space: str,
        shard: int,
        *,
        after: int,
        limit: int,
        reader: str | None = None,
        stale: bool = False,
        deadline: float = NEVER,
    ) -> LogPage:
        """Returns entries of a shard behind a position."""
        self._begin(deadline)
        validate.check_count("limit", limit, Limits.page_records_max, least=1)
        validate.check_reads_log(reader, stale=stale)
        found = await self._spaces.find(space, deadline)
        if found.log is None or (reader is not None and reader not in found.log.readers):
            found = await self._spaces.read(space, deadline)
        options = found.log
        if options is None:
            raise InvalidRequest(f"the space {space} has no log")
        if not 0 <= shard < options.shards:
            raise InvalidRequest(f"the log of {space} has the shards 0 to {options.shards - 1}, not {shard}")
        if reader is not None and reader not in options.readers:
            raise InvalidRequest(f"the log of {space} has no reader {reader}")
        try:
            if stale:
                return await self._logs.look(found, shard, after=after, limit=limit, deadline=deadline)
            # Whoever reads a log brings it up to date first: nobody else has to.
            await self._logs.sequence(found, shard, deadline)
            return await self._logs.read(
                found,
                shard,
                after=after,
                limit=limit,
                reader=reader,
                deadline=deadline,
                fresh=partial(self._spaces.find_fresh, space, deadline),
            )
        except TableMissing as error:
            self._spaces.forget(space)
            raise SpaceNotFound(f"the space {space} was dropped") from error

    async def discard(
        self, space: str, partition: bytes, within: Range = EVERYTHING, *, deadline: float = NEVER
    ) -> None:
        """Removes a range of a partition that nobody reads or writes any more."""
        self._begin(deadline)
        validate.check_partition(partition)
        validate.check_range(within)

        async def work(spaces: dict[str, Space]) -> None:
            await self._commits.discard(spaces[space], partition, within, deadline)

        await self._with_spaces([space], deadline, work)

    def watch(self, space: str, partition: bytes | None = None) -> Watch:
        """Watches a partition, or the whole space, for commits of this process into it."""
        return self._watches.add(space, partition)

    async def keep_up(self) -> None:
        """Ends commits that were left open, and removes what nobody needs; see ``store.upkept``."""
        self._begin(NEVER)
        await self._upkeep.run()

    async def is_quiet(self) -> None:
        """Waits until what goes on behind answers has ended."""
        await self._spaces.is_quiet()
        await self._across.is_quiet()
        await self._logs.is_quiet()

    async def close(self) -> None:
        """Finishes what was begun, and ends the connections."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._under_way.is_quiet()
        await self._across.is_quiet()
        await self._logs.close()
        await self._spaces.close()
        await self._supervision.close()
        await self.driver.close()

    async def health(self) -> Mapping[str, str | int | float | bool]:
        """Figures about the state of the engine for an operator."""
        refusal = "the store is closed" if self._is_closed else self.driver.tries.cut_off
        figures = await self.driver.health()
        if self.driver.tries.cut_off and figures["nodes_not_answering"]:
            refusal += f" (no answer from {figures['nodes_not_answering']})"
        return {
            "engine": "cassandra",
            "keyspace": self._location.keyspace,
            "hosts": ",".join(self._location.hosts),
            "is_open": not self._is_closed,
            "can_write": not refusal,
            "write_refusal": refusal,
            "is_damaged": False,
            "is_restoring": False,
            "commits_under_way": len(self._under_way),
            "advice": " ".join(self._supervision.advice),
            **{f"statements_{kind}": sent for kind, sent in self.driver.sent.items() if kind != "second"},
            **figures,
        }

    def _begin(self, deadline: float) -> None:
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        if self._clock.monotonic_s() >= deadline:
            raise DeadlineExceeded("the deadline passed before the call was begun")


def _check_limits(limit: int, limit_bytes: int) -> None:
    validate.check_count("limit", limit, Limits.page_records_max, least=1)
    validate.check_count("limit_bytes", limit_bytes, 2**63, least=1)
