"""Expiry over the contract alone: records that are due are removed soon after, without looking at any others.

A *pointer* says that a record is due at a time. It lies in a space of its own, in partitions of ten minutes, ordered
by the time, so that a *sweeper* finds what is due now by a range and nothing else. A pointer is only a hint: whether
its record goes is decided by the record as it is now, and by a check of its version in the commit that removes it. A
stale pointer costs a read and is removed.

Where commits over partitions are cheap, a pointer is written in the record's own commit; elsewhere in a commit before
it, so that there is never a record to expire without a pointer (``ExpiryIndex.announce`` knows which).

No pointer can come into the past unseen: its time is never before the moment in which it was made, and a commit comes
at most ``Limits.settle_window_s`` after it was made. So each sweeper reads what lies just behind it with every pass,
all of the last quarter of an hour once a minute, and keeps a *mark* before which nothing can be any more; it goes on
from there when it is started again. Several sweepers disturb each other only by conflicts.

What it leaves to others: which record expires when, and what else goes with it (``ExpiryRule``); to hide records that
are due but not swept yet (the services, if they want to); leases, so that sweepers share the work.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from msgspec import Struct

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
from tenet.store.contract import (
    Append,
    Check,
    Committed,
    Conflict,
    Delete,
    IsVersion,
    Key,
    Limits,
    Put,
    Range,
    Record,
    SpaceOptions,
    Store,
    Write,
)
from tenet.store.errors import InvalidRequest, LimitExceeded, SpaceNotFound, StoreError
from tenet.store.expiry_batches import Item, packed
from tenet.store.formats import refuse_later
from tenet.store.landing import land
from tenet.store.versions import version_ms

#: How pointers are spread over partitions. Both are part of the stored format.
SHARDS: Final = 16
PERIOD_MS: Final = 600_000
#: Later than this after its time, no pointer can come any more: the settle window, and clocks that are 5 minutes apart.
LATENESS_MS: Final = Limits.settle_window_s * 1_000 + 300_000

#: How far behind itself a sweeper reads with every pass.
_OVERLAP_MS: Final = 2_000
_THOROUGH_EVERY_S: Final = 60.0
_PAUSE_S: Final = 0.5
_PAUSE_REMOTE_S: Final = 5.0
#: How many pointers are dealt with at a time: few at first, more as long as their records are small.
_BATCH_MIN: Final = 4
_BATCH_MAX: Final = Limits.checks_max
_READ_BYTES_MAX: Final = 4 * 1024 * 1024
_PAGE_BYTES: Final = 64 * 1024
#: How long one call of a sweeper may take before it tries again.
_CALL_S: Final = 30.0
_ATTEMPTS_MAX: Final = 4
_DUE_MS_MAX: Final = 2**63 - 1
#: What a pointer's value begins with: its format, and how long the space and the partition of its record are.
_TARGET: Final = struct.Struct(">BHH")
_FORMAT: Final = 1
_MARKS: Final = b"marks"


class Removal(Struct, frozen=True):
    """What goes with a record that expires, in the same commit.

    Args:
        writes: further writes, for instance deletes of index entries.
        appends: log entries, see ``expiry_entry``.
        checks: what else must hold; where it does not, the record is looked at again.
    """

    writes: Sequence[Write] = ()
    appends: Sequence[Append] = ()
    checks: Sequence[Check] = ()


class ExpiryRule(Protocol):
    """What a service says about the records of a space."""

    def expires_ms(self, key: Key, record: Record) -> int | None:
        """Returns when the record is due, milliseconds since 1970-01-01 UTC; None: never."""
        ...

    def removal(self, key: Key, record: Record) -> Removal:
        """Returns what goes with the record when it is removed."""
        ...


@runtime_checkable
class Remover(Protocol):
    """What a service says about the records of a space that it removes itself, because more has to be read for it."""

    def expires_ms(self, key: Key, record: Record) -> int | None:
        """Returns when the record is due, milliseconds since 1970-01-01 UTC; None: never."""
        ...

    async def remove(self, key: Key, record: Record) -> bool:
        """Removes what was due when it was read, in a commit that checks it; returns whether it is done with.

        False: it is tried again with the next pass. It must not raise for what is wrong with one record.
        """
        ...


#: Finds the rule of a space; None: its records do not expire (any more), and pointers to them are dropped.
Rules = Callable[[str], Awaitable[ExpiryRule | Remover | None]]


def expiry_entry(key: Key, record: Record) -> Append:
    """Returns the log entry which says that a record was removed because it expired."""
    return Append(key, record.value, None, "expiry")


# ---- pointers --------------------------------------------------------------------------------------------------------


class ExpiryIndex:
    """Where pointers lie.

    Args:
        store: the store.
        clock: time.
        ids: for commit ids.
        space: the space of the pointers; several services may share it.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids, space: str = "expiry") -> None:
        self.store = store
        self.space = space
        self._clock = clock
        self._ids = ids

    @property
    def is_in_same_commit(self) -> bool:
        """Whether pointers are written in the record's own commit, or before it."""
        return self.store.capabilities.cheap_commits_across_partitions

    async def ensure(self, *, deadline: float = NEVER) -> None:
        """Makes the space and its marks, before the first pointer is written; safe to repeat."""
        await self.store.ensure_space(self.space, SpaceOptions(), deadline=deadline)
        keys = [mark_key(self.space, shard) for shard in range(SHARDS)]
        value = (self._clock.wall_ms() - LATENESS_MS).to_bytes(8, "big")
        missing = [
            key for key, record in zip(keys, await self.store.get(keys, deadline=deadline), strict=True) if not record
        ]
        for key in missing:
            # Where somebody else was first, the mark is there, which is all that is wanted.
            await self._land((Put(key, value),), (IsVersion(key, None),), deadline)

    def pointers_for(self, key: Key, expires_ms: int | None, *, replaces_ms: int | None = None) -> Sequence[Write]:
        """Returns what has to be written so that a record is swept when it is due; hand it to ``announce``.

        Call it when the commit is made, not long before: a pointer to the past becomes one to now.

        Args:
            key: the record.
            expires_ms: when it is due, milliseconds since 1970-01-01 UTC; None: never.
            replaces_ms: when it was due before this change, if it had a pointer then.
        """
        if expires_ms is not None and expires_ms == replaces_ms and expires_ms > self._clock.wall_ms():
            return ()
        writes: list[Write] = []
        if expires_ms is not None:
            due_ms = max(expires_ms, self._clock.wall_ms())
            writes.append(Put(pointer_key(self.space, key, due_ms), _encode_target(key)))
        if replaces_ms is not None and self.is_in_same_commit:
            old = pointer_key(self.space, key, max(replaces_ms, 0))
            if not writes or writes[0].key != old:
                writes.append(Delete(old))
        return writes

    async def announce(self, pointers: Sequence[Write], *, deadline: float = NEVER) -> Sequence[Write]:
        """Returns what the record's own commit has to hold of the pointers; writes the others now.

        Nothing but a call on engines with cheap commits over partitions; elsewhere one commit for each partition of
        pointers, at once.

        Args:
            pointers: what ``pointers_for`` returned, of one or many records.
            deadline: when to give up.

        Raises:
            StoreError: the record's commit must not be made; to announce the same again does no harm.
        """
        if self.is_in_same_commit or not pointers:
            return pointers
        by_partition: dict[bytes, list[Write]] = {}
        for pointer in pointers:
            by_partition.setdefault(pointer.key.partition, []).append(pointer)
        await asyncio.gather(*(self._land(writes, (), deadline) for writes in by_partition.values()))
        return ()

    async def _land(self, writes: Sequence[Write], checks: Sequence[Check], deadline: float) -> Committed | Conflict:
        return await land(self.store, writes, checks, clock=self._clock, ids=self._ids, deadline=deadline)


def pointer_key(space: str, target: Key, due_ms: int) -> Key:
    """Returns where the pointer to a record lies that is due at a time."""
    due_ms = min(due_ms, _DUE_MS_MAX)
    digest = hashlib.blake2b(_encode_target(target), digest_size=16).digest()
    partition = _partition(digest[0] % SHARDS, due_ms // PERIOD_MS)
    return Key(space, partition, due_ms.to_bytes(8, "big") + digest)


def mark_key(space: str, shard: int) -> Key:
    """Returns where the mark of a shard lies, before which it has no pointers any more."""
    return Key(space, _MARKS, bytes((shard,)))


def _partition(shard: int, period: int) -> bytes:
    return bytes((shard,)) + period.to_bytes(8, "big")


def _encode_target(key: Key) -> bytes:
    space = key.space.encode()
    return _TARGET.pack(_FORMAT, len(space), len(key.partition)) + space + key.partition + key.sort


def _decode_target(value: bytes) -> Key:
    refuse_later("a pointer of the expiry", value[0], _FORMAT)
    _, space_bytes, partition_bytes = _TARGET.unpack_from(value)
    partition_at = _TARGET.size + space_bytes
    sort_at = partition_at + partition_bytes
    return Key(value[_TARGET.size : partition_at].decode(), value[partition_at:sort_at], value[sort_at:])


# ---- sweeping --------------------------------------------------------------------------------------------------------


class Swept(Struct, frozen=True):
    """What a pass of a sweeper did.

    Args:
        expired: records that it removed.
        stale: pointers that it removed without a record.
        left: pointers that it has to look at again.
        late_ms_max: how long after its time the latest record was removed, milliseconds.
        read_bytes: values of the records that it looked at.
    """

    expired: int = 0
    stale: int = 0
    left: int = 0
    late_ms_max: int = 0
    read_bytes: int = 0

    def plus(self, other: Swept) -> Swept:
        """Returns both together."""
        return Swept(
            self.expired + other.expired,
            self.stale + other.stale,
            self.left + other.left,
            max(self.late_ms_max, other.late_ms_max),
            self.read_bytes + other.read_bytes,
        )


class _Pointer(Struct, frozen=True, gc=False):
    key: Key
    record: Record
    target: Key

    @property
    def due_ms(self) -> int:
        return int.from_bytes(self.record.sort[:8], "big")


class _Item(Item, frozen=True, gc=False):
    """An item of a commit: a record that pointers lead to.

    Args:
        pointers: every pointer to it in the batch.
        is_due: whether the record goes, or the pointers alone.
    """

    pointers: Sequence[_Pointer] = ()
    is_due: bool = False


class Sweeper:
    """Removes records that are due, in bounded batches.

    Args:
        index: where the pointers lie.
        rules: finds the rule of a space.
        clock: time.
        ids: for commit ids.
        parallel: how many shards are swept at the same time.
        pause_s: how long it rests between two passes, seconds; a record is removed about so much after its time. None
            for half a second, and for ten times as long where each look costs a round over a network.
        shards: which of the ``SHARDS`` it sweeps; all by default. Several sweepers of a shard do no harm.
    """

    def __init__(
        self,
        index: ExpiryIndex,
        rules: Rules,
        *,
        clock: Clock,
        ids: Ids,
        parallel: int = 4,
        pause_s: float | None = None,
        shards: Sequence[int] = range(SHARDS),
    ) -> None:
        self._index = index
        self._store = index.store
        self._is_in_same_commit = index.is_in_same_commit
        self._rules = rules
        self._clock = clock
        self._ids = ids
        self._parallel = asyncio.Semaphore(parallel)
        is_remote = index.store.capabilities.remote
        self._pause_s = pause_s if pause_s is not None else _PAUSE_REMOTE_S if is_remote else _PAUSE_S
        self._shards = shards
        #: For each shard, before which time everything was seen.
        self._seen_to_ms: dict[int, int] = {}
        self._is_thorough_at_s = -NEVER
        self._total = Swept()
        self._failed_passes = 0
        self._refused = 0

    async def run(self) -> None:
        """Sweeps until it is cancelled. While the store cannot serve, it tries again with the next pass."""
        while True:
            try:
                await self.sweep()
            except StoreError:
                self._failed_passes += 1
            await asyncio.sleep(self._pause_s)

    def figures(self) -> Mapping[str, int]:
        """What it did since it was made, for metrics.

        ``refused`` counts removals that the store refused as wrong, which is a fault of their rule.
        """
        total = self._total
        return {
            "expired": total.expired,
            "stale": total.stale,
            "late_ms_max": total.late_ms_max,
            "failed_passes": self._failed_passes,
            "refused": self._refused,
        }

    async def sweep(self) -> Swept:
        """Makes one pass over what is due now.

        Raises:
            StoreError: the store could not serve some of it, which is due still.
        """
        is_thorough = self._clock.monotonic_s() >= self._is_thorough_at_s + _THOROUGH_EVERY_S
        passes = [self._sweep_shard(shard, is_thorough=is_thorough) for shard in self._shards]
        results = await asyncio.gather(*passes, return_exceptions=True)
        swept = Swept()
        for result in results:
            if isinstance(result, Swept):
                swept = swept.plus(result)
        self._total = self._total.plus(swept)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        if is_thorough:
            self._is_thorough_at_s = self._clock.monotonic_s()
        return swept

    async def _sweep_shard(self, shard: int, *, is_thorough: bool) -> Swept:
        async with self._parallel:
            now_ms = self._clock.wall_ms()
            mark = await self._read_mark(shard) if is_thorough else None
            # The clock may have stepped back, so that nothing kept from before is believed to be later than now.
            lower_ms = min(self._seen_to_ms.get(shard, now_ms), now_ms - _OVERLAP_MS)
            if mark is not None:
                lower_ms = min(int.from_bytes(mark.value, "big"), now_ms - LATENESS_MS)
            swept, left_from_ms = await self._sweep_range(shard, lower_ms, now_ms)
            self._seen_to_ms[shard] = min(now_ms, left_from_ms)
            if mark is not None:
                await self._move_mark(shard, mark, min(now_ms - LATENESS_MS, left_from_ms), now_ms)
            return swept

    async def _sweep_range(self, shard: int, lower_ms: int, now_ms: int) -> tuple[Swept, int]:
        """Sweeps what is due in a stretch of time; returns the time of the first pointer that was left, too."""
        swept, left_from_ms = Swept(), now_ms
        batch = _BATCH_MIN
        for period in range(lower_ms // PERIOD_MS, now_ms // PERIOD_MS + 1):
            partition = _partition(shard, period)
            lower, upper = lower_ms.to_bytes(8, "big"), (now_ms + 1).to_bytes(8, "big")
            while True:
                # What a stale read misses, the next pass finds; what it shows, the commit checks.
                page = await self._store.query(
                    self._index.space,
                    partition,
                    Range(lower, upper),
                    limit=batch,
                    limit_bytes=_PAGE_BYTES,
                    stale=True,
                    deadline=self._deadline(),
                )
                if page.records:
                    done, left = await self._sweep_batch(page.records, now_ms)
                    swept = swept.plus(done)
                    batch = _adapted(batch, done.read_bytes)
                    left_from_ms = min([left_from_ms, *(pointer.due_ms for pointer in left)])
                    lower = page.records[-1].sort + b"\x00"
                if not page.more:
                    break
        return swept, left_from_ms

    async def _read_mark(self, shard: int) -> Record | None:
        (mark,) = await self._store.get((mark_key(self._index.space, shard),), deadline=self._deadline())
        return mark

    async def _move_mark(self, shard: int, mark: Record, to_ms: int, now_ms: int) -> None:
        """Notes, once in a period, that nothing is left before a time; or that the clock has gone back behind it."""
        marked_ms = int.from_bytes(mark.value, "big")
        if to_ms // PERIOD_MS <= marked_ms // PERIOD_MS and marked_ms <= now_ms:
            return
        if not self._is_in_same_commit:
            # Where deleted rows leave tombstones, a partition that has had its time is dropped whole.
            for period in range(marked_ms // PERIOD_MS, to_ms // PERIOD_MS):
                await self._store.discard(self._index.space, _partition(shard, period), deadline=self._deadline())
        key = mark_key(self._index.space, shard)
        # A conflict is another sweeper's mark, which is as good.
        await self._land((Put(key, to_ms.to_bytes(8, "big")),), (IsVersion(key, mark.version),))

    def _deadline(self) -> float:
        return self._clock.monotonic_s() + _CALL_S

    async def _land(
        self, writes: Sequence[Write], checks: Sequence[Check], appends: Sequence[Append] = ()
    ) -> Committed | Conflict:
        return await land(
            self._store, writes, checks, appends, clock=self._clock, ids=self._ids, deadline=self._deadline()
        )

    # ---- a batch -----------------------------------------------------------------------------------------------------

    async def _sweep_batch(self, found: Sequence[Record], now_ms: int) -> tuple[Swept, Sequence[_Pointer]]:
        """Deals with a batch of pointers of one partition; returns those that are left, too."""
        space = self._index.space
        pointers: Sequence[_Pointer] = [
            _Pointer(Key(space, one.partition, one.sort), one, _decode_target(one.value)) for one in found
        ]
        swept = Swept()
        left: list[_Pointer] = []
        for attempt in range(_ATTEMPTS_MAX):
            if attempt:
                pointers = await self._still_there(pointers)
            items, young, read_bytes = await self._judge(pointers, now_ms)
            left += young
            done, refused = await self._carry_out(items)
            swept = swept.plus(self._count(done)).plus(Swept(read_bytes=read_bytes))
            pointers = [pointer for item in refused for pointer in item.pointers]
            if not pointers:
                break
        left += pointers
        return swept.plus(Swept(left=len(left))), left

    async def _still_there(self, pointers: Sequence[_Pointer]) -> Sequence[_Pointer]:
        """Returns the pointers that nobody else has removed meanwhile, as they are now."""
        records = await self._store.get([pointer.key for pointer in pointers], deadline=self._deadline())
        return [
            _Pointer(pointer.key, record, pointer.target)
            for pointer, record in zip(pointers, records, strict=True)
            if record is not None
        ]

    async def _judge(self, pointers: Sequence[_Pointer], now_ms: int) -> tuple[list[_Item], list[_Pointer], int]:
        """Returns what is to be done about pointers, those about which nothing may be done yet, and the bytes read."""
        targets: dict[str, dict[Key, list[_Pointer]]] = {}
        for pointer in pointers:
            targets.setdefault(pointer.target.space, {}).setdefault(pointer.target, []).append(pointer)
        items: list[_Item] = []
        young: list[_Pointer] = []
        read_bytes = 0
        for space, of_space in targets.items():
            rule = await self._rules(space)
            records = await self._records(list(of_space))
            read_bytes += sum(len(record.value) for record in records.values() if record is not None)
            due: list[tuple[Key, Record]] = []
            for key, of_key in of_space.items():
                record = records.get(key)
                if record is not None and rule is not None and _is_due(rule, key, record, now_ms):
                    if isinstance(rule, Remover):
                        due.append((key, record))
                    else:
                        items.append(self._due(key, record, of_key, rule.removal(key, record)))
                elif self._may_record_come(of_key, now_ms):
                    young += of_key
                else:
                    items.append(self._stale(key, record, of_key, is_known=key in records))
            if isinstance(rule, Remover):
                done = await asyncio.gather(*(rule.remove(key, record) for key, record in due))
                for (key, _), is_done in zip(due, done, strict=True):
                    if not is_done:
                        young += of_space[key]
                    else:
                        items.append(self._stale(key, None, of_space[key], is_known=False))
        return items, young, read_bytes

    async def _records(self, keys: Sequence[Key]) -> Mapping[Key, Record | None]:
        """Returns the records of keys of one space; nothing where the space is gone."""
        try:
            records = await self._store.get(keys, deadline=self._deadline())
        except SpaceNotFound:
            return {}
        return dict(zip(keys, records, strict=True))

    def _may_record_come(self, pointers: Sequence[_Pointer], now_ms: int) -> bool:
        """Whether the commit that a pointer was written before may still be under way."""
        if self._is_in_same_commit:
            return False
        return any(now_ms - version_ms(pointer.record.version) < LATENESS_MS for pointer in pointers)

    def _due(self, key: Key, record: Record, pointers: Sequence[_Pointer], removal: Removal) -> _Item:
        own = self._deletes(pointers) if self._is_in_same_commit else ()
        checks = (IsVersion(key, record.version), *removal.checks)
        writes = (Delete(key), *removal.writes, *own)
        return _Item(checks, writes, removal.appends, removed_bytes=len(record.value), pointers=pointers, is_due=True)

    def _stale(self, key: Key, record: Record | None, pointers: Sequence[_Pointer], *, is_known: bool) -> _Item:
        if self._is_in_same_commit and is_known:
            # Who writes this very pointer again writes the record with it, which the check of the record shows.
            checks: Sequence[Check] = (IsVersion(key, record.version if record is not None else None),)
        else:
            checks = [IsVersion(pointer.key, pointer.record.version) for pointer in pointers]
        return _Item(checks, self._deletes(pointers), pointers=pointers)

    def _deletes(self, pointers: Sequence[_Pointer]) -> Sequence[Write]:
        return [Delete(pointer.key) for pointer in pointers]

    def _count(self, done: Sequence[_Item]) -> Swept:
        now_ms = self._clock.wall_ms()
        due = [item for item in done if item.is_due]
        late_ms = (now_ms - max(pointer.due_ms for pointer in item.pointers) for item in due)
        return Swept(len(due), len(done) - len(due), 0, max(late_ms, default=0))

    async def _carry_out(self, items: Sequence[_Item]) -> tuple[list[_Item], list[_Item]]:
        """Commits items in as few commits as hold them; returns those that took effect and those refused."""
        done: list[_Item] = []
        refused: list[_Item] = []
        is_grouped = not self._is_in_same_commit
        if is_grouped:
            items = sorted(items, key=lambda item: item.writes[0].key)
        for batch in packed(items, self._store.capabilities.partitions_max, is_grouped=is_grouped):
            landed, failed = await self._commit_each(batch)
            done += landed
            refused += failed
        if is_grouped:
            gone = [pointer for item in done if item.is_due for pointer in item.pointers]
            await self._commit([self._stale(pointer.target, None, [pointer], is_known=False) for pointer in gone])
        return done, refused

    async def _commit(self, batch: Sequence[_Item]) -> tuple[list[_Item], list[_Item]]:
        """Commits what is not refused of a batch."""
        items = list(batch)
        refused: list[_Item] = []
        while items:
            checks = [(check, at) for at, item in enumerate(items) for check in item.checks]
            writes = [(write, at) for at, item in enumerate(items) for write in item.writes]
            appends = [append for item in items for append in item.appends]
            outcome = await self._land([write for write, _ in writes], [check for check, _ in checks], appends)
            if isinstance(outcome, Committed):
                break
            failed = {checks[index][1] for index in outcome.failed}
            failed |= {writes[index][1] for index in outcome.out_of_bounds}
            refused += [items[at] for at in sorted(failed)]
            items = [item for at, item in enumerate(items) if at not in failed]
        return items, refused

    async def _commit_each(self, batch: Sequence[_Item]) -> tuple[list[_Item], list[_Item]]:
        """Commits a batch; where the store refuses it as wrong, each item by itself, so that one cannot stop others."""
        try:
            return await self._commit(batch)
        except (InvalidRequest, LimitExceeded, SpaceNotFound):
            if len(batch) == 1:
                self._refused += 1
                return [], list(batch)
        results = [await self._commit_each([item]) for item in batch]
        return [item for done, _ in results for item in done], [item for _, failed in results for item in failed]


def _adapted(batch: int, read_bytes: int) -> int:
    """Returns how many pointers are dealt with next, so that their records do not fill the memory.

    Args:
        batch: how many it was.
        read_bytes: the values of their records.
    """
    if read_bytes > _READ_BYTES_MAX:
        return max(_BATCH_MIN, batch // 2)
    return min(_BATCH_MAX, batch * 2) if read_bytes <= _READ_BYTES_MAX // 2 else batch


def _is_due(rule: ExpiryRule | Remover, key: Key, record: Record, now_ms: int) -> bool:
    expires_ms = rule.expires_ms(key, record)
    return expires_ms is not None and expires_ms <= now_ms
