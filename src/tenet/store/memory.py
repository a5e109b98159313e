"""The engine ``memory``: the contract carried out in dictionaries, simple enough to be seen to be right.

It is the reference against which the contract suite itself is tried, and what fast simulations run on. Every commit
and every read happens in one step of the event loop, so that their order is the order of those steps. Nothing
outlives the process; an engine that is opened again on the same ``MemoryState`` finds everything that was committed.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
from tenet.store.contract import (
    EVERYTHING,
    Add,
    Append,
    Capabilities,
    Check,
    Commit,
    CommitId,
    Committed,
    Conflict,
    Delete,
    IsOlderThan,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    Limits,
    LogEntry,
    LogPage,
    NeverCommitted,
    Outcome,
    Page,
    Put,
    Range,
    Record,
    Settled,
    SpaceInfo,
    SpaceOptions,
    StampOf,
    Unknown,
    Version,
    Watch,
    Write,
    commit_id_ms,
    log_shard,
    token,
)
from tenet.store.errors import (
    DeadlineExceeded,
    InvalidRequest,
    LimitExceeded,
    LogTrimmed,
    OutsideSlice,
    SettleWindowPassed,
    SpaceNotFound,
    StoreUnavailable,
)
from tenet.store.memory_state import MemoryState, Space
from tenet.store.validate import (
    check_change,
    check_commit,
    check_count,
    check_key,
    check_options,
    check_partition,
    check_range,
    check_reads_log,
    check_slices,
    check_space_name,
    check_stamp_of,
)
from tenet.store.versions import VersionSource

_MIB: Final = 1024 * 1024
_PARTITIONS_MAX: Final = Limits.checks_max + Limits.writes_max + Limits.appends_max
_NO_OPTIONS: Final = SpaceOptions()


class _MemoryWatch:
    """A watch of the engine; it is told of every commit."""

    def __init__(self, watches: dict[_MemoryWatch, None], space: str, partition: bytes | None) -> None:
        self._watches = watches
        self._space = space
        self._partition = partition
        self._hinted = asyncio.Event()
        watches[self] = None

    def tell(self, key: Key) -> None:
        if key.space == self._space and self._partition in (None, key.partition):
            self._hinted.set()

    async def wait(self, timeout_s: float) -> bool:
        """Waits for the next hint; see ``Watch``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._hinted.wait()
        except TimeoutError:
            return False
        self._hinted.clear()
        return True

    def close(self) -> None:
        """Ends the watch."""
        self._watches.pop(self, None)


class MemoryEngine:
    """A store in the memory of this process.

    Args:
        state: what it holds; an empty one by default.
        clock: time.
        ids: randomness, for nonces.
        site: the site's number, 0 to 65,535.
        gate: awaited by every commit inside the engine before it takes effect, so that a test can hold one up.
    """

    def __init__(
        self,
        state: MemoryState | None = None,
        *,
        clock: Clock,
        ids: Ids,
        site: int = 0,
        gate: Callable[[Commit], Awaitable[None]] | None = None,
    ) -> None:
        self._state = state if state is not None else MemoryState()
        self._clock = clock
        self._versions = VersionSource(clock, ids, site=site)
        self._versions.observe(self._state.last_version)
        self._gate = gate
        self._behind_gate: set[asyncio.Task[Outcome]] = set()
        # In the order in which they were begun, so that a simulation is told in the same one each time.
        self._watches: dict[_MemoryWatch, None] = {}
        self._is_closed = False

    @property
    def capabilities(self) -> Capabilities:
        """What the engine declares about itself."""
        return Capabilities(
            engine="memory",
            partitions_max=_PARTITIONS_MAX,
            cheap_commits_across_partitions=True,
            durable=False,
        )

    # ---- spaces ------------------------------------------------------------------------------------------------------

    async def ensure_space(
        self, name: str, options: SpaceOptions = _NO_OPTIONS, *, deadline: float = NEVER
    ) -> SpaceInfo:
        """Creates or changes a space; see ``Store``."""
        await self._begin(deadline)
        check_space_name(name)
        check_options(options)
        info = SpaceInfo(name, options)
        space = self._state.spaces.get(name)
        if space is None:
            self._state.spaces[name] = Space(info)
        else:
            check_change(space.info, options)
            space.change(info)
        return info

    async def drop_space(self, name: str, *, deadline: float = NEVER) -> None:
        """Drops a space; see ``Store``."""
        await self._begin(deadline)
        self._state.spaces.pop(name, None)

    async def list_spaces(self, prefix: str = "", *, deadline: float = NEVER) -> Sequence[SpaceInfo]:
        """Returns the spaces by name; see ``Store``."""
        await self._begin(deadline)
        return [space.info for name, space in sorted(self._state.spaces.items()) if name.startswith(prefix)]

    # ---- reads -------------------------------------------------------------------------------------------------------

    async def get(
        self, keys: Sequence[Key], *, stale: bool = False, deadline: float = NEVER
    ) -> Sequence[Record | None]:
        """Returns the record of each key; see ``Store``."""
        del stale
        await self._begin(deadline)
        check_count("the number of keys", len(keys), Limits.get_keys_max)
        return [self._read(key) for key in keys]

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
        """Returns records of one partition; see ``Store``."""
        del stale
        await self._begin(deadline)
        check_partition(partition)
        check_range(within)
        stamp_now = None if stamp is None else self._read_stamp(stamp)
        records = self._space(space).partition(partition)
        sorts = records.sorts_within(within)
        page = _page((records.records[sort] for sort in (reversed(sorts) if reverse else sorts)), limit, limit_bytes)
        return replace(page, stamp=stamp_now)

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
        """Returns records of a slice of a space, by the tokens of their partitions; see ``Store``."""
        del stale
        await self._begin(deadline)
        check_range(within)
        check_slices(slice_index, slice_count)
        behind = (-1, b"", b"") if after is None else (token(after[0]), *after)
        if after is not None and _slice_of(after[0], slice_count) != slice_index:
            raise OutsideSlice(f"the record to go on behind is not in slice {slice_index} of {slice_count}")
        records = _scan(self._space(space), within, behind)
        of_slice = (record for record in records if _slice_of(record.partition, slice_count) == slice_index)
        return _page(of_slice, limit, limit_bytes)

    async def read_together(
        self, reads: Sequence[Key | StampOf], *, deadline: float = NEVER
    ) -> Sequence[Record | int | None]:
        """Returns records and stamps of one moment; see ``Store``."""
        await self._begin(deadline)
        check_count("the number of reads", len(reads), Limits.together_max)
        return [self._read(read) if isinstance(read, Key) else self._read_stamp(read) for read in reads]

    def _space(self, name: str) -> Space:
        space = self._state.spaces.get(name)
        if space is None:
            raise SpaceNotFound(f"there is no space {name}")
        return space

    def _read(self, key: Key) -> Record | None:
        check_key(key)
        return self._space(key.space).record(key)

    def _read_stamp(self, of: StampOf) -> int:
        space = self._space(of.space)
        check_stamp_of(of, space.info.options)
        return space.stamp(of)

    # ---- commits -----------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits; see ``Store``."""
        await self._begin(deadline)
        check_commit(commit, partitions_max=self.capabilities.partitions_max, now_ms=self._clock.wall_ms())
        if self._gate is None:
            return self._decide(commit)
        task = asyncio.get_running_loop().create_task(self._decide_behind_gate(commit, self._gate))
        self._behind_gate.add(task)
        task.add_done_callback(self._behind_gate.discard)
        done, _ = await asyncio.wait((task,), timeout=_timeout_s(self._clock, deadline))
        return task.result() if done and not task.cancelled() else Unknown(commit.id)

    async def _decide_behind_gate(self, commit: Commit, gate: Callable[[Commit], Awaitable[None]]) -> Outcome:
        await gate(commit)
        return self._decide(commit)

    def _decide(self, commit: Commit) -> Outcome:
        """Carries the commit out or refuses it, in one step."""
        if self._is_forgotten(commit.id):
            raise InvalidRequest(f"the commit was made more than {Limits.settle_window_s} s ago")
        known = self._state.settled.get(commit.id)
        if isinstance(known, Committed):
            return known
        if known is not None:
            raise InvalidRequest("the commit was settled as one that never took effect")
        self._check_spaces(commit)
        conflict = self._refusal(commit)
        if conflict is not None:
            return conflict
        # Several engines may be open on one state, as several nodes are on one store.
        self._versions.observe(self._state.last_version)
        version = self._state.last_version = self._versions.draw()
        for write in commit.writes:
            self._write(write, version)
        for append in commit.appends:
            self._append(append, commit.id, version)
        added = {write.key for write in commit.writes if isinstance(write, Add)} if commit.return_cells else ()
        committed = Committed(version, {key: record.cells for key in added if (record := self._read(key)) is not None})
        if commit.writes or commit.appends:
            self._remember(commit.id, committed)
        return committed

    def _check_spaces(self, commit: Commit) -> None:
        """Refuses a commit that asks spaces for what they do not keep."""
        for check in commit.checks:
            if isinstance(check, IsStamp):
                check_stamp_of(check.of, self._space(check.of.space).info.options)
            else:
                self._space(check.key.space)
        for append in commit.appends:
            if self._space(append.key.space).info.options.log is None:
                raise InvalidRequest(f"the space {append.key.space} has no log")
        cells: dict[Key, set[str]] = {}
        for write in commit.writes:
            record = self._space(write.key.space).record(write.key)
            if isinstance(write, Add):
                names = cells.setdefault(write.key, set(record.cells) if record else set())
                names.add(write.cell)
                if len(names) > Limits.cells_max:
                    raise LimitExceeded(f"a record has at most {Limits.cells_max} cells")

    def _refusal(self, commit: Commit) -> Conflict | None:
        """Returns why the commit cannot take effect now, or None."""
        failed = [index for index, check in enumerate(commit.checks) if not self._holds(check)]
        out_of_bounds = [index for index, write in enumerate(commit.writes) if not self._is_in_bounds(write)]
        if not failed and not out_of_bounds:
            return None
        checks = [commit.checks[index] for index in failed]
        keys = [check.key for check in checks if not isinstance(check, IsStamp)]
        keys += [commit.writes[index].key for index in out_of_bounds]
        stamps = {check.of: self._read_stamp(check.of) for check in checks if isinstance(check, IsStamp)}
        return Conflict(failed, out_of_bounds, self._records_that_fit(keys), stamps)

    def _records_that_fit(self, keys: Iterable[Key]) -> Mapping[Key, Record | None]:
        records: dict[Key, Record | None] = {}
        value_bytes = 0
        for key in keys:
            record = self._read(key)
            value_bytes += len(record.value) if record is not None and key not in records else 0
            if value_bytes > Limits.commit_bytes_max:
                break
            records[key] = record
        return records

    def _holds(self, check: Check) -> bool:
        if isinstance(check, IsStamp):
            return self._read_stamp(check.of) == check.stamp
        record = self._read(check.key)
        if isinstance(check, IsVersion):
            return (None if record is None else record.version) == check.version
        if isinstance(check, IsOlderThan):
            return record is None or record.version < check.version
        assert isinstance(check, IsPresent)
        return record is not None

    def _is_in_bounds(self, write: Write) -> bool:
        if not isinstance(write, Add):
            return True
        record = self._read(write.key)
        total = (0 if record is None else record.cells.get(write.cell, 0)) + write.amount
        at_least = -Limits.cell_max - 1 if write.at_least is None else write.at_least
        at_most = Limits.cell_max if write.at_most is None else write.at_most
        return at_least <= total <= at_most

    def _write(self, write: Write, version: Version) -> None:
        key = write.key
        space = self._space(key.space)
        old = space.record(key)
        cells = {} if old is None else old.cells
        if isinstance(write, Delete):
            space.partition(key.partition).delete(key.sort)
        elif isinstance(write, Put):
            new_cells = cells if write.cells is None else dict(write.cells)
            space.make_partition(key.partition).put(
                Record(key.partition, key.sort, bytes(write.value), version, new_cells)
            )
        else:
            new_cells = {**cells, write.cell: cells.get(write.cell, 0) + write.amount}
            base = Record(key.partition, key.sort, b"", version) if old is None else old
            space.make_partition(key.partition).put(replace(base, cells=new_cells))
        space.raise_stamp(key)
        for watch in self._watches:
            watch.tell(key)

    def _append(self, append: Append, commit_id: CommitId, version: Version) -> None:
        self._state.position += 1
        key = append.key
        shards = self._space(key.space).shards
        shards[log_shard(key.partition, len(shards))].entries.append(
            LogEntry(
                self._state.position,
                commit_id,
                version,
                key.partition,
                key.sort,
                append.old,
                append.new,
                append.origin,
            )
        )

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        """Says whether a commit took effect; see ``Store``."""
        await self._begin(deadline)
        if not commit.writes and not commit.appends:
            raise InvalidRequest("a commit without writes and appends has no effect to settle")
        if self._is_forgotten(commit.id):
            raise SettleWindowPassed(f"the commit was made more than {Limits.settle_window_s} s ago")
        known = self._state.settled.get(commit.id)
        if known is None:
            known = self._remember(commit.id, NeverCommitted(commit.id))
        return known

    def _remember(self, commit_id: CommitId, settled: Settled) -> Settled:
        remembered = self._state.settled
        # Oldest first: ids come about in the order in which they were made.
        for old in list(_take(remembered, 2)):
            if self._is_forgotten(old):
                del remembered[old]
        remembered[commit_id] = settled
        return settled

    def _is_forgotten(self, commit_id: CommitId) -> bool:
        return self._clock.wall_ms() - commit_id_ms(commit_id) > Limits.settle_window_s * 1000

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
        """Returns entries of a shard of a log; see ``Store``."""
        await self._begin(deadline)
        check_count("limit", limit, Limits.page_records_max, least=1)
        check_reads_log(reader, stale=stale)
        options = self._space(space).info.options.log
        if options is None:
            raise InvalidRequest(f"the space {space} has no log")
        if not 0 <= shard < options.shards:
            raise InvalidRequest(f"the log of {space} has the shards 0 to {options.shards - 1}, not {shard}")
        if reader is not None and reader not in options.readers:
            raise InvalidRequest(f"the log of {space} has no reader {reader}")
        log = self._space(space).shards[shard]
        log.trim(options, self._clock.wall_ms())
        first = log.entries[0].position if log.entries else self._state.position + 1
        if after < log.trimmed_up_to:
            raise LogTrimmed(f"the log of {space} begins at position {first}, behind {after}", first=first)
        if reader is not None:
            log.read_up_to[reader] = max(log.read_up_to.get(reader, 0), after)
        start = bisect_right(log.entries, after, key=lambda entry: entry.position)
        return LogPage(log.entries[start : start + limit], self._state.position, first)

    async def discard(
        self, space: str, partition: bytes, within: Range = EVERYTHING, *, deadline: float = NEVER
    ) -> None:
        """Removes a range of a partition; see ``Store``."""
        await self._begin(deadline)
        check_partition(partition)
        check_range(within)
        records = self._space(space).partition(partition)
        for sort in records.sorts_within(within):
            records.delete(sort)

    def watch(self, space: str, partition: bytes | None = None) -> Watch:
        """Watches for commits; see ``Store``."""
        return _MemoryWatch(self._watches, space, partition)

    async def close(self) -> None:
        """Finishes the commits that were begun, and closes."""
        self._is_closed = True
        if self._behind_gate:
            await asyncio.wait(tuple(self._behind_gate))

    def crash(self) -> None:
        """Ends as ``kill -9`` would: what has not taken effect yet never does."""
        self._is_closed = True
        for task in self._behind_gate:
            task.cancel()

    async def health(self) -> Mapping[str, str | int | float | bool]:
        """Figures for an operator."""
        spaces = self._state.spaces.values()
        return {
            "engine": "memory",
            "is_open": not self._is_closed,
            "can_write": not self._is_closed,
            "write_refusal": "the engine is closed" if self._is_closed else "",
            "is_damaged": False,
            "is_restoring": False,
            "spaces": len(spaces),
            "records": sum(len(part.sorts) for space in spaces for part in space.partitions.values()),
            "settled": len(self._state.settled),
        }

    async def _begin(self, deadline: float) -> None:
        """Lets others have their turn, as a call that goes to a disk or over a network would."""
        await asyncio.sleep(0)
        if self._is_closed:
            raise StoreUnavailable("the engine is closed")
        if self._clock.monotonic_s() >= deadline:
            raise DeadlineExceeded("the deadline passed before the call was begun")


def _take(ids: Iterable[CommitId], count: int) -> Iterator[CommitId]:
    for _, commit_id in zip(range(count), ids, strict=False):
        yield commit_id


def _timeout_s(clock: Clock, deadline: float) -> float | None:
    return None if deadline == NEVER else max(0.0, deadline - clock.monotonic_s())


def _scan(space: Space, within: Range, behind: tuple[int, bytes, bytes]) -> Iterator[Record]:
    """Gives the records of a space behind a place, by the token of their partition, partition and sort key."""
    ring = space.ring
    for place in ring[bisect_left(ring, behind[:2]) :]:
        partition = space.partitions[place[1]]
        for sort in partition.sorts_within(within):
            if (*place, sort) > behind:
                yield partition.records[sort]


def _slice_of(partition: bytes, slice_count: int) -> int:
    return token(partition) * slice_count >> 64


def _page(records: Iterator[Record], limit: int, limit_bytes: int) -> Page:
    """Takes the records of a page; it ends with the one that makes it reach a limit."""
    check_count("limit", limit, Limits.page_records_max, least=1)
    check_count("limit_bytes", limit_bytes, 2**63, least=1)
    page: list[Record] = []
    value_bytes = 0
    for record in records:
        if len(page) == limit or (page and value_bytes >= limit_bytes):
            return Page(page, more=True)
        page.append(record)
        value_bytes += len(record.value)
    return Page(page, more=False)


async def open_engine(location: str, *, clock: Clock, ids: Ids, site: int = 0) -> MemoryEngine:
    """Opens an empty engine in memory.

    Args:
        location: means nothing here.
        clock: time.
        ids: randomness, for nonces.
        site: the site's number, 0 to 65,535.
    """
    del location
    return MemoryEngine(clock=clock, ids=ids, site=site)
