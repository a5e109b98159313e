"""The store contract: what a service may ask of a store, and what an engine has to keep.

A *space* is a named set of records. A record lies under a partition key and a sort key, both byte strings; within a
partition records are ordered by the sort key as unsigned bytes. A record has a value, optionally a few named 64-bit
integer *cells*, and a version.

Promises, each one shown by a test of ``tenet.store.suite``:

* A commit is atomic and strictly serializable, over any partitions and spaces, and durable once it is answered.
* ``get``, ``query`` and ``read_together`` are linearizable, except where ``stale=True`` is asked of an engine that
  declares it. A page of a scan holds every commit that was answered before the page was asked for.
* A check that fails writes nothing; its ``Conflict`` carries the records as they are, so that a retry reads nothing.
* After ``Unknown``, ``settle`` says for good whether the commit took effect; afterwards it can no longer land.
* Bounded adds never conflict with each other: only a bound refuses them.
* A commit that checks a stamp is safe from phantoms in what was queried with it.
* Log entries are in the order of the commits for each partition; nothing appears at or below a closed position.

What belongs to others: retries of conflicts (``combine``), expiry (``expiry``), and what a value means (the services).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Final, NewType, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids

#: 16 bytes that order as versions do: hybrid logical time (48 bits of milliseconds, 16 bits of counter; Kulkarni et
#: al., "Logical Physical Clocks", 2014), site (2 bytes), nonce (6 bytes). Larger is newer.
Version = NewType("Version", bytes)
#: 16 bytes that name one commit for ever: when it was made (6 bytes, milliseconds since 1970), then random ones, as in
#: a UUID of version 7 (RFC 9562). Made by ``new_commit_id``; its time tells an engine when it may be forgotten.
CommitId = NewType("CommitId", bytes)

#: What a record without cells carries.
NO_CELLS: Final[Mapping[str, int]] = {}


class Limits:
    """The named limits of the contract. One above any of them is ``LimitExceeded`` before anything is written."""

    space_name_chars_max: Final = 120  # of a-z, 0-9 and ._-, a letter first
    partition_bytes_max: Final = 4_096
    sort_bytes_max: Final = 16_384
    value_bytes_max: Final = 2 * 1024 * 1024
    cells_max: Final = 32
    cell_name_chars_max: Final = 64
    cell_max: Final = 2**63 - 1  # and -2**63
    checks_max: Final = 100
    writes_max: Final = 6_000  # puts, deletes and adds together
    #: The partition keys, sort keys and values of all puts, deletes and adds, and the same of log entries, whose values
    #: are `old` and `new`. Cells, checks and ids do not count.
    commit_bytes_max: Final = 8 * 1024 * 1024
    appends_max: Final = 6_000
    get_keys_max: Final = 1_000
    together_max: Final = 1_000
    page_records_max: Final = 10_000
    slices_max: Final = 1_000_000
    log_shards_max: Final = 1_024
    settle_window_s: Final = 600  # a commit id is remembered, and good, for so long after it was made


class Key(Struct, frozen=True, order=True, gc=False):
    """Where a record lies.

    Args:
        space: the space's name.
        partition: partition key, 0 to ``Limits.partition_bytes_max`` bytes.
        sort: sort key, 0 to ``Limits.sort_bytes_max`` bytes.
    """

    space: str
    partition: bytes
    sort: bytes = b""


class Record(Struct, frozen=True, gc=False):
    """A record as it was read.

    Args:
        partition: its partition key.
        sort: its sort key.
        value: 0 to ``Limits.value_bytes_max`` bytes.
        version: the version of the commit that put the value. Adds to cells leave it as it is.
        cells: named integers; empty where there are none.
    """

    partition: bytes
    sort: bytes
    value: bytes
    version: Version
    cells: Mapping[str, int] = NO_CELLS


class Range(Struct, frozen=True, gc=False):
    r"""Sort keys from `lower`, included, to `upper`, excluded; `upper` None is no upper end.

    The key right after `k` is ``k + b"\x00"``, so that every open or closed end can be said this way.
    """

    lower: bytes = b""
    upper: bytes | None = None


EVERYTHING: Final = Range()


class LogOptions(Struct, frozen=True):
    """How a space keeps its log.

    Args:
        shards: 1 to ``Limits.log_shards_max``; a partition's entries all lie in the shard that ``log_shard`` gives.
            Fixed as long as the log exists.
        readers: names of those who must have read an entry before it may go (see ``Store.read_log``).
        retention_ms: entries younger than this are kept even when all readers have read them.
    """

    shards: int = 1
    readers: tuple[str, ...] = ()
    retention_ms: int = 0


class SpaceOptions(Struct, frozen=True):
    """What a space is asked to keep beside its records.

    Args:
        stamps: whether its partitions have stamps. Fixed for the life of the space.
        stamp_prefix_bytes: what one stamp covers: the records of a partition whose sort keys begin with the same so
            many bytes (its bucket); 0 is the whole partition. Fixed for the life of the space.
        log: its log, or None. May be switched on and off; its readers and its retention may be changed.
    """

    stamps: bool = False
    stamp_prefix_bytes: int = 0
    log: LogOptions | None = None


class SpaceInfo(Struct, frozen=True):
    """A space that exists."""

    name: str
    options: SpaceOptions


class Page(Struct, frozen=True, gc=False):
    """One page of a query or a scan. It may be shorter than was asked for with `more` true, but is never empty then.

    Args:
        records: in the order asked for.
        more: whether there may be more behind the last record. False is certain.
        stamp: where a query asked for it, the stamp of what it read, taken together with the records.
    """

    records: Sequence[Record]
    more: bool
    stamp: int | None = None


class StampOf(Struct, frozen=True, gc=False):
    """Names a stamp: of a partition, or of one bucket of it where the space declares ``stamp_prefix_bytes``.

    A stamp is 0 before the first commit into what it covers. Every put, delete and add raises it, by any amount; an add
    does although it leaves the record's version. ``discard`` leaves it.
    """

    space: str
    partition: bytes
    bucket: bytes = b""


# ---- commits ---------------------------------------------------------------------------------------------------------


class IsVersion(Struct, frozen=True, gc=False):
    """The record has this very version. None: it is absent."""

    key: Key
    version: Version | None


class IsOlderThan(Struct, frozen=True, gc=False):
    """The record is absent, or its version is below this one."""

    key: Key
    version: Version


class IsPresent(Struct, frozen=True, gc=False):
    """The record exists, whatever its version."""

    key: Key


class IsStamp(Struct, frozen=True, gc=False):
    """The stamp is still this one: nothing was committed into what it covers."""

    of: StampOf
    stamp: int


Check: TypeAlias = IsVersion | IsOlderThan | IsPresent | IsStamp


class Put(Struct, frozen=True, gc=False):
    """Writes a record, whatever was there.

    Args:
        key: where.
        value: the new value.
        cells: all of its cells from now on. None keeps those that it has.
    """

    key: Key
    value: bytes
    cells: Mapping[str, int] | None = None


class Delete(Struct, frozen=True, gc=False):
    """Removes a record with its cells; nothing happens where there is none."""

    key: Key


class Add(Struct, frozen=True, gc=False):
    """Adds to a cell. An absent cell counts as 0; where the record is absent, one with an empty value is made.

    The record's version stays (a new record gets the commit's), so that adds never disturb a check of the version.

    Args:
        key: the record.
        cell: the cell's name.
        amount: what is added; negative subtracts.
        at_least: the sum must not be below it, else the commit fails. None: ``-Limits.cell_max - 1``.
        at_most: the sum must not be above it, else the commit fails. None: ``Limits.cell_max``.
    """

    key: Key
    cell: str
    amount: int
    at_least: int | None = None
    at_most: int | None = None


Write: TypeAlias = Put | Delete | Add


class Append(Struct, frozen=True, gc=False):
    """One entry for the log of the key's space, in the order given.

    Args:
        key: what changed.
        old: the value before, or None where there was none.
        new: the value after, or None where it was deleted.
        origin: who caused it, for instance ``client`` or ``expiry``; 1 to 32 characters.
    """

    key: Key
    old: bytes | None
    new: bytes | None
    origin: str = "client"


class Commit(Struct, frozen=True, gc=False):
    """All or nothing: if every check holds and every add stays in its bounds, every write and append takes effect.

    A key stands in at most one put or delete; a key that is added to is in no put or delete of the same commit, and
    each of its cells in one add.

    Args:
        id: names the commit; sent again after it took effect, it does nothing and is answered with its version. One
            that was settled as never committed, or was made longer than ``Limits.settle_window_s`` ago, is
            ``InvalidRequest``.
        writes: puts, deletes and adds.
        checks: what must hold.
        appends: entries for logs; each key's space must have one.
        return_cells: whether ``Committed.cells`` is wanted, which costs some engines a read.
    """

    id: CommitId
    writes: Sequence[Write] = ()
    checks: Sequence[Check] = ()
    appends: Sequence[Append] = ()
    return_cells: bool = False


class Committed(Struct, frozen=True, gc=False):
    """The commit took effect and is durable.

    Args:
        version: the version of every record that it put.
        cells: for each key that it added to, all cells of the record as the commit left them, if ``return_cells`` asked
            for them. Where any of it was settled or sent again, rather than answered at once, they may be missing.
    """

    version: Version
    cells: Mapping[Key, Mapping[str, int]] = {}


class Conflict(Struct, frozen=True, gc=False):
    """A check or a bound refused the commit; nothing was written.

    Args:
        failed: indexes into the checks that did not hold, ascending.
        out_of_bounds: indexes into the writes whose add would have broken a bound, ascending.
        records: for every key of a check that failed and of an add out of bounds, perhaps others, the record as it is
            now, or None; of one partition as of one moment. Some are left out beyond ``Limits.commit_bytes_max``.
        stamps: for every stamp whose check failed, what it is now.
    """

    failed: Sequence[int]
    out_of_bounds: Sequence[int]
    records: Mapping[Key, Record | None]
    stamps: Mapping[StampOf, int]


class Unknown(Struct, frozen=True, gc=False):
    """Nobody knows yet whether the commit took effect. ``Store.settle`` finds out.

    Never the answer to a commit without writes and appends, which has no effect that could be in doubt.
    """

    id: CommitId


class NeverCommitted(Struct, frozen=True, gc=False):
    """The commit did not take effect and never will."""

    id: CommitId


Outcome: TypeAlias = Committed | Conflict | Unknown
Settled: TypeAlias = Committed | NeverCommitted


# ---- logs ------------------------------------------------------------------------------------------------------------


class LogEntry(Struct, frozen=True, gc=False):
    """One change as a log tells it.

    Args:
        position: where it stands in its shard; larger is later. Not every number is used.
        commit_id: the commit that appended it.
        version: that commit's version.
        partition: of the key that changed.
        sort: of the key that changed.
        old: the value before, None where there was none.
        new: the value after, None where it was deleted.
        origin: who caused it.
    """

    position: int
    commit_id: CommitId
    version: Version
    partition: bytes
    sort: bytes
    old: bytes | None
    new: bytes | None
    origin: str


class LogPage(Struct, frozen=True, gc=False):
    """A part of one shard of a log.

    Only where it has no entries, or its last one is at `closed`, is there nothing more at or below that.

    Args:
        entries: by ascending position, each at or below `closed`.
        closed: nothing that is not in the log yet will ever appear at or below this position.
        first: the lowest position that the log still holds, or the next one to come.
        waiting: of a stale read, the oldest commit with an entry on its way into the shard, or left there half moved.
        arriving: of a stale read, at most 1,000 partitions that have such entries, each with its oldest one's version.
    """

    entries: Sequence[LogEntry]
    closed: int
    first: int
    waiting: CommitId | None = None
    arriving: Mapping[bytes, Version] = {}


# ---- the store -------------------------------------------------------------------------------------------------------


class Capabilities(Struct, frozen=True):
    """What an engine declares about itself.

    Args:
        engine: its name, as its entry point gives it.
        partitions_max: how many partitions the checks, writes and appends of one commit may touch; one more is
            ``LimitExceeded``. At least 200.
        cheap_commits_across_partitions: whether a commit over several partitions costs about as much as one within a
            partition. Services then write global index entries in the item's own commit.
        stale_reads: whether ``stale=True`` makes a read cheaper.
        durable: whether an answered commit survives a crash; false for engines in memory.
        remote: whether a read costs a round over a network. Who reads to write then does better to write on what he saw
            last, under a check of it.
    """

    engine: str
    partitions_max: int
    cheap_commits_across_partitions: bool
    stale_reads: bool = False
    durable: bool = True
    remote: bool = False


class Watch(Protocol):
    """Hints that something changed. A hint may be missing, late or for nothing: reading the store is what finds out."""

    async def wait(self, timeout_s: float) -> bool:
        """Waits for the next hint, at most `timeout_s` seconds; returns whether one came."""
        ...

    def close(self) -> None:
        """Ends the watch; safe to call twice."""
        ...


class Store(Protocol):
    """What every engine offers.

    Deadlines are seconds on ``Clock.monotonic_s``; past its deadline, a call raises ``DeadlineExceeded``.
    A commit whose deadline passes before it was begun raises it too; later, it is ``Unknown``.

    Any call may raise ``StoreUnavailable`` (nothing was written; retryable, unless it is ``ReadOnlyStore``),
    ``StoreFault`` and ``StoreCorrupt`` (nothing was written; not retryable), ``LimitExceeded``, ``InvalidRequest`` and,
    where it names a space, ``SpaceNotFound``. The exceptions are ``ensure_space``, ``drop_space``, ``discard`` and the
    release in ``read_log``, which have no id to settle: where they raise ``DeadlineExceeded`` or ``StoreUnavailable``,
    they may have taken effect, in whole or, ``discard``, in part. They are safe to repeat.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the engine declares about itself."""
        ...

    async def ensure_space(self, name: str, options: SpaceOptions = ..., *, deadline: float = NEVER) -> SpaceInfo:
        """Creates the space, or changes it to these options; durable when it returns, and safe to repeat.

        Raises:
            SpaceMismatch: it exists and the change is one that ``SpaceOptions`` rules out.
        """
        ...

    async def drop_space(self, name: str, *, deadline: float = NEVER) -> None:
        """Drops the space with its records, stamps and log; nothing happens where there is none.

        Reads that run meanwhile either complete or raise ``SpaceNotFound``. A space made again under the name is empty.
        """
        ...

    async def list_spaces(self, prefix: str = "", *, deadline: float = NEVER) -> Sequence[SpaceInfo]:
        """Returns the spaces whose names begin with `prefix`, by name."""
        ...

    async def get(
        self, keys: Sequence[Key], *, stale: bool = False, deadline: float = NEVER
    ) -> Sequence[Record | None]:
        """Returns the record of each key, None where absent; each is linearizable by itself.

        Args:
            keys: 0 to ``Limits.get_keys_max``.
            stale: whether an older state will do, where that is cheaper.
            deadline: when to give up.
        """
        ...

    async def query(
        self,
        space: str,
        partition: bytes,
        within: Range = EVERYTHING,
        *,
        limit: int,
        limit_bytes: int = ...,
        reverse: bool = False,
        stamp: StampOf | None = None,
        stale: bool = False,
        deadline: float = NEVER,
    ) -> Page:
        """Returns records of one partition in order of their sort keys, as of one moment.

        Args:
            space: the space.
            partition: the partition key.
            within: which sort keys.
            limit: the most records, 1 to ``Limits.page_records_max``.
            limit_bytes: the page ends with the record that makes its values reach so many bytes; by default 1 MiB.
            reverse: largest sort key first.
            stamp: the stamp to return with the page; it must cover `within` for the check of it to mean anything.
            stale: whether an older state will do, where that is cheaper.
            deadline: when to give up.
        """
        ...

    async def scan(
        self,
        space: str,
        within: Range = EVERYTHING,
        *,
        limit: int,
        limit_bytes: int = ...,
        slice_index: int = 0,
        slice_count: int = 1,
        after: tuple[bytes, bytes] | None = None,
        stale: bool = False,
        deadline: float = NEVER,
    ) -> Page:
        """Returns records of a space in an order that stays the same; which one is the engine's choice.

        The slices of one count are disjoint and together everything; a partition lies in one slice. What is neither
        put nor deleted during a scan is returned by it exactly once.

        Args:
            space: the space.
            within: records of other sort keys are left out.
            limit: the most records, 1 to ``Limits.page_records_max``.
            limit_bytes: the page ends with the record that makes its values reach so many bytes; by default 1 MiB.
            slice_index: 0 to ``slice_count - 1``.
            slice_count: 1 to ``Limits.slices_max``.
            after: partition and sort key of the record to go on behind, which lies in the slice; it need not exist any
                more.
            stale: whether an older state will do, where that is cheaper.
            deadline: when to give up.

        Raises:
            OutsideSlice: `after` lies in another slice.
        """
        ...

    async def read_together(
        self, reads: Sequence[Key | StampOf], *, deadline: float = NEVER
    ) -> Sequence[Record | int | None]:
        """Returns the record of each key (None: absent) and each stamp, all of one moment.

        Args:
            reads: 0 to ``Limits.together_max``.
            deadline: when to give up.
        """
        ...

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits. The result must be looked at: it may be a conflict, or unknown.

        Raises:
            StoreUnavailable: nothing was written and nothing will be.
        """
        ...

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        """Says whether a commit took effect; if it has not, it never will, however late it arrives.

        Linearizable: every later read agrees with the answer.

        Args:
            commit: as it was given to ``commit``. An engine finds what it knows of it by its id, and by what it writes.
            deadline: when to give up.

        Raises:
            SettleWindowPassed: the id was made longer than ``Limits.settle_window_s`` ago, and may be forgotten.
            InvalidRequest: the commit has neither writes nor appends.
        """
        ...

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
        """Returns entries of a shard behind a position: all those whose commits were answered before the call.

        Args:
            space: a space with a log.
            shard: 0 to ``LogOptions.shards - 1``.
            after: the last position already read; 0 for the beginning.
            limit: the most entries, 1 to ``Limits.page_records_max``.
            reader: one of ``LogOptions.readers``, who says by this that it needs nothing at or below `after` again.
            stale: whether the log will do as it stands: nothing is changed, and nobody who follows it disturbed. What
                is missing then is on its way: ``LogPage.waiting`` is not None. Not with a `reader`.
            deadline: when to give up.

        Raises:
            LogTrimmed: entries behind `after` are gone; the error names the first position that is left.
        """
        ...

    async def discard(
        self, space: str, partition: bytes, within: Range = EVERYTHING, *, deadline: float = NEVER
    ) -> None:
        """Removes a range of a partition that nobody reads or writes any more; idempotent, not atomic, not logged."""
        ...

    def watch(self, space: str, partition: bytes | None = None) -> Watch:
        """Watches a partition, or the whole space, for commits into it."""
        ...


class Engine(Store, Protocol):
    """A store that this process has opened."""

    async def close(self) -> None:
        """Finishes what was begun, releases the data, and returns. Calls after it raise ``StoreUnavailable``."""
        ...

    async def health(self) -> Mapping[str, str | int | float | bool]:
        """Figures about the state of the engine for an operator, by name; no secrets. Never waits for what goes on.

        Every engine gives ``can_write`` (bool): whether a commit can be expected to go through. Where it is false,
        ``write_refusal`` (str) says why; it turns true again by itself, without anybody having to write. ``is_damaged``
        (bool) says that stored bytes were met that no engine writes: it stays, until a backup is restored or the engine
        is opened anew. ``is_restoring`` (bool) says that a backup is being restored.
        """
        ...


class OpenEngine(Protocol):
    """What the entry points of the group ``tenet.engines`` name: opens an engine."""

    async def __call__(self, location: str, *, clock: Clock, ids: Ids, site: int = 0) -> Engine:
        """Opens the engine.

        Args:
            location: what follows the engine's name in the store's URL; for ``sqlite`` the data directory.
            clock: time.
            ids: randomness, for nonces.
            site: the site's number, 0 to 65,535, which goes into versions.

        Raises:
            StoreLocked: another process holds the data.
            StoreCorrupt: the data is of a later version, or damaged.
        """
        ...


@runtime_checkable
class Backups(Protocol):
    """Offered by engines that can be backed up as one file while they serve."""

    async def backup(self, path: str) -> Mapping[str, int]:
        """Writes a consistent copy to a new file, which only its owner may read; returns its ``bytes`` and ``records``.

        The file has its name when it is complete and on the disk, not before.

        Args:
            path: the file; its folder exists, it does not.

        Raises:
            InvalidRequest: there is a file of that name, or no such folder.
            DiskFull: there is no room for it.
        """
        ...

    async def restore(self, path: str) -> None:
        """Replaces everything in the store by what a backup holds; durable when it returns, and all or nothing.

        Calls that come meanwhile wait for it, but for ``health``. Once begun it goes on to its end, even if nobody
        waits for it any more. What services keep in memory about the store is void afterwards.

        Raises:
            InvalidRequest: there is no such file. Nothing was changed.
            StoreCorrupt: the file is no backup of this engine, is damaged, or of a later version. Nothing was changed.
        """
        ...


def new_commit_id(clock: Clock, ids: Ids) -> CommitId:
    """Returns an id for a new commit, made now."""
    return CommitId(clock.wall_ms().to_bytes(6, "big") + ids.draw(10))


def commit_id_ms(commit_id: CommitId) -> int:
    """Returns when a commit id was made, milliseconds since 1970-01-01 UTC."""
    return int.from_bytes(commit_id[:6], "big")


def log_shard(partition: bytes, shards: int) -> int:
    """Returns the shard, 0 to ``shards - 1``, that holds the log entries of a partition: the ranges of its token."""
    return token(partition) * shards >> 64


def token(partition: bytes) -> int:
    """Returns the partition's place, 0 to 2**64 - 1, on the ring whose ranges are the shards of a log.

    An engine may use it for the slices of its scans too.

    CRC-32 spread over 64 bits by Fibonacci hashing (Knuth, TAOCP vol. 3, 6.4): 0.2 µs, where BLAKE2b takes 3. Whoever
    chooses keys that collide slows down nothing but the balance of the slices.
    """
    return zlib.crc32(partition) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
