"""Copies a store to another one, whatever their engines are, while it serves; then switches over.

1. ``begin`` finds out whether the copy may be made, or was begun before, and marks both stores (``copy_marks``). From
   then on no other process's write to the source is acknowledged (``copy_fence``).
2. ``follow`` copies every space, page by page, and then what has changed meanwhile, in rounds, until little is left.
   The changes are those that the guard of the source notes (``guard``). How far the first pass came is kept in the
   copy, so that it goes on there after a crash; what changed while nobody noted it is then found by comparing.
3. ``switch`` refuses writes, copies what is left, verifies, and marks the source as moved.

What is copied are records: key, value and cells. The engine of the copy gives versions, stamps and positions of its
own; logs are not copied, for what their readers know are positions. Whoever switches sees to it that the logs were read
to their ends, and leaves out what services keep about positions (``LeftOut``).

Verified is by count and digest of each space on both sides, over key, value and cells. The digest of a space is the sum
of its records' (modulo 2**256; Bellare, Micciancio, "A New Paradigm for Collision-Free Hashing", 1997), since engines
scan in different orders.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from tenet.base.clock import NEVER
from tenet.store.contract import IsVersion, Key, Limits, Range
from tenet.store.copy_claim import Claim
from tenet.store.copy_marks import IN, OUT, SPACE, End, Incoming, Outgoing, SpaceCopied, progress_key, put
from tenet.store.copy_writing import Writer, patiently, read
from tenet.store.errors import CopyDiffers, CopyRefused, SpaceNotFound, StoreError
from tenet.store.versions import version_ms

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Engine, Page, Put, Record, SpaceInfo, Store, Version
    from tenet.store.guard import Changes, Guard

PAGE_RECORDS: Final = 1_000
PAGE_BYTES: Final = 4 * 1024 * 1024
#: How far a space was copied is written down this many seconds apart.
TOUCH_S: Final = 2.0
#: Rounds go on until so few changes are left, or there have been so many.
FEW_CHANGES: Final = 1_000
ROUNDS_MAX: Final = 20
ROUNDS_MIN: Final = 3
#: A round that leaves more than this part of what it began with does not get on.
_SHRINKING_MIN: Final = 0.7
_CHANGES_AT_ONCE: Final = 500
#: Later than this after it was begun, no commit comes any more: the settle window, and clocks 5 minutes apart.
LATENESS_MS: Final = Limits.settle_window_s * 1_000 + 300_000
_COPY_BYTES: Final = 8
_DIGEST_MODULUS: Final = 2**256
_CELL_BYTES: Final = 8


def _nothing(_key: Key) -> bool:
    return False


class LeftOut(Struct, frozen=True):
    """What is not copied, because it is about the source itself: who serves it, and how far its logs were read.

    Args:
        spaces: names of spaces.
        is_left_out: says so of single records in other spaces.
    """

    spaces: frozenset[str] = frozenset()
    is_left_out: Callable[[Key], bool] = _nothing

    def has_space(self, name: str) -> bool:
        """Whether a whole space is left out."""
        return name == SPACE or name in self.spaces


class Progress:
    """How far a copy has come, for whoever looks at it while it goes on."""

    def __init__(self) -> None:
        #: ``beginning``, ``copying``, ``catching up``, ``switching``, ``verifying`` or ``complete``.
        self.phase = "beginning"
        self.space = ""
        self.spaces = 0
        self.spaces_done = 0
        #: Records and bytes of their values that the first pass has copied, those of earlier tries included.
        self.records = 0
        self.value_bytes = 0
        #: Records that were copied again, or removed, because they had changed.
        self.changed = 0
        #: Changes that are known and not copied yet.
        self.left = 0
        self.verified = 0


class Totals(Struct, frozen=True):
    """What a space holds, as verified.

    Args:
        records: how many.
        digest: their digest, 0 to 2**256 - 1.
    """

    records: int
    digest: int


def _noisy() -> AbstractAsyncContextManager[None]:
    return nullcontext()


async def _no_step(_name: str) -> None:
    """Stands in where nobody wants to know which step comes next."""


class Copying:
    """One copy of a store.

    Args:
        source: the store, with the guard that everything in this process writes through.
        target: the copy; nobody serves it.
        names: of both, for people: where from, where to.
        left_out: what is not copied.
        clock: time.
        ids: randomness.
        node: whose process this is; empty where it is no node's.
        quiet: brings about that logs are read to their ends and nothing is added; for as long as writes are about to be
            refused.
        step: is told what comes next, between any two steps; tests end it there.
    """

    def __init__(
        self,
        source: Guard,
        target: Engine,
        names: tuple[str, str],
        *,
        left_out: LeftOut,
        clock: Clock,
        ids: Ids,
        node: str = "",
        quiet: Callable[[], AbstractAsyncContextManager[None]] = _noisy,
        step: Callable[[str], Awaitable[None]] = _no_step,
    ) -> None:
        self.progress = Progress()
        self._guard = source
        self._source: Store = source.engine
        self._target = target
        self._from, self._to = names
        self._left_out = left_out
        self._clock = clock
        self._ids = ids
        self._quiet = quiet
        self._step = step
        self._writer = Writer(target, clock=clock, ids=ids)
        self._out = End(source.engine, clock=clock, ids=ids)
        self._in = End(target, clock=clock, ids=ids)
        self._claim = Claim(self._out, source, node, clock=clock, ids=ids)
        self._incoming: Incoming
        self._incoming_version: Version | None = None
        self._changes: Changes
        self._is_resumed = False
        self._done: dict[str, SpaceCopied] = {}
        self._not_before_ms = 0
        self._touched_s = clock.monotonic_s()

    # ---- 1: begin ----------------------------------------------------------------------------------------------------

    async def begin(self) -> bool:
        """Marks both stores; returns whether the copy is complete already, so that there is nothing left to do.

        Raises:
            CopyRefused: the copy holds something else, or the store is being copied to another one.
        """
        self._changes = self._guard.follow()
        outgoing, version = await self._out.read(OUT, Outgoing)
        incoming, self._incoming_version = await self._in.read(IN, Incoming)
        if outgoing is not None and outgoing.target != self._to:
            raise CopyRefused(
                f"FROM is being copied to {outgoing.target}, or was: end that with `tenet store copy --abort`, or name"
                " it as TO"
            )
        if incoming is not None and (outgoing is None or incoming.copy != outgoing.copy):
            raise CopyRefused(f"TO is a copy of {incoming.source} that was begun there; name an empty store as TO")
        if incoming is None:
            await self._check_empty(outgoing)
        if outgoing is None:
            outgoing = Outgoing(1, self._ids.draw(_COPY_BYTES).hex(), self._to, "copying")
        if outgoing.state == "copying":
            await self._step("mark the source")
            await self._out.ensure()
            await self._claim.make(outgoing, version)
        if incoming is None:
            await self._step("mark the copy")
            await self._in.ensure()
            now_ms = self._clock.wall_ms()
            incoming = Incoming(1, outgoing.copy, self._from, "copying", now_ms, now_ms)
            self._incoming_version = await self._in.write(IN, incoming, None)
        else:
            self._is_resumed = True
            if self._target.capabilities.remote:
                self._not_before_ms = incoming.touched_ms + LATENESS_MS
        self._incoming = incoming
        return await self._is_complete(outgoing)

    async def _check_empty(self, outgoing: Outgoing | None) -> None:
        if outgoing is not None and outgoing.state == "moved":
            raise CopyRefused(f"FROM was moved to {outgoing.target}, which serves since: FROM is not what is true now")
        if not await self._wanted():
            raise CopyRefused(f"FROM holds nothing: is {self._from} the store that you mean?")
        spaces = [info.name for info in await self._spaces(self._target) if info.name != SPACE]
        if spaces:
            raise CopyRefused(
                f"TO holds something already: {len(spaces)} spaces, for instance {spaces[0]}. Name a store that is"
                " empty; nothing was changed"
            )

    async def _is_complete(self, outgoing: Outgoing) -> bool:
        if self._incoming.state == "ending":
            raise CopyRefused("TO is being removed by `tenet store copy --abort`: repeat that first")
        if outgoing.state == "moved" and self._incoming.state == "copying":
            # The switch was made, and the process died right behind it.
            await self._complete()
        if outgoing.state == "moved":
            self.progress.phase = "complete"
            return True
        return False

    # ---- 2: follow ---------------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Copies everything while the source serves; returns when little has changed that is not copied."""
        self.progress.phase = "waiting until nobody else can write"
        await self._claim.wait_until_alone()
        self.progress.phase = "copying"
        for info in await self._wanted():
            found, _ = await self._in.read(progress_key(info.name), SpaceCopied)
            self._done[info.name] = found or SpaceCopied()
        await self._copy_spaces()
        if self._is_resumed:
            await self._wait_for_the_past()
            for name in [name for name, done in self._done.items() if done.is_done]:
                await self._compare(name, self._incoming.began_ms - LATENESS_MS)
        self.progress.phase = "catching up"
        for number in range(ROUNDS_MAX):
            before = self._changes.count()
            await self._round()
            self.progress.left = left = self._changes.count()
            # Where the source is written to faster than the copy can be, further rounds would only grow.
            if left <= FEW_CHANGES or (number >= ROUNDS_MIN and left > before * _SHRINKING_MIN):
                return

    async def _wanted(self) -> list[SpaceInfo]:
        infos = [info for info in await self._spaces(self._source) if not self._left_out.has_space(info.name)]
        self.progress.spaces = len(infos)
        return infos

    async def _spaces(self, store: Store) -> Sequence[SpaceInfo]:
        return await patiently(lambda deadline: store.list_spaces(deadline=deadline), self._clock)

    async def _copy_spaces(self) -> None:
        """Copies every space that was not copied yet."""
        infos = await self._wanted()
        totals = [self._done.get(info.name, SpaceCopied()) for info in infos]
        self.progress.spaces_done = sum(total.is_done for total in totals)
        self.progress.records = sum(total.records for total in totals)
        self.progress.value_bytes = sum(total.value_bytes for total in totals)
        for info in infos:
            if not self._done.get(info.name, SpaceCopied()).is_done:
                await self._copy_space(info)
                self.progress.spaces_done += 1

    async def _copy_space(self, info: SpaceInfo) -> None:
        done = self._done.get(info.name, SpaceCopied())
        self.progress.space = info.name
        await self._step(f"make the space {info.name}")
        # Logs stay behind: their positions are the engine's, and whoever serves the copy asks for what it needs.
        options = replace(info.options, log=None)
        await patiently(lambda deadline: self._target.ensure_space(info.name, options, deadline=deadline), self._clock)
        while not done.is_done:
            page = await self._page(self._source, info.name, done.after)
            if page is None:
                return  # dropped meanwhile, which the next round sees
            await self._copy_records(info.name, page.records)
            last = page.records[-1] if page.records else None
            done = SpaceCopied(
                after=done.after if last is None else (last.partition, last.sort),
                is_done=not page.more,
                records=done.records + len(page.records),
                value_bytes=done.value_bytes + sum(len(record.value) for record in page.records),
            )
            self.progress.records += len(page.records)
            self.progress.value_bytes += sum(len(record.value) for record in page.records)
            self.progress.left = self._changes.count()
            if done.is_done or self._clock.monotonic_s() - self._touched_s >= TOUCH_S:
                await self._step(f"note how far {info.name} is copied")
                await self._touch(put(progress_key(info.name), done))
        self._done[info.name] = done

    async def _copy_records(self, space: str, records: Sequence[Record]) -> None:
        """Copies records that are most likely not there yet."""
        wanted = self._copied(space, records)
        await self._step(f"copy records of {space}")
        await self._writer.make_so(wanted, dict.fromkeys(wanted))

    def _copied(self, space: str, records: Sequence[Record]) -> dict[Key, Record | None]:
        """Returns those of a space's records that are copied, by key."""
        keyed: dict[Key, Record | None] = {Key(space, one.partition, one.sort): one for one in records}
        return {key: one for key, one in keyed.items() if not self._left_out.is_left_out(key)}

    async def _touch(self, *marks: Put) -> None:
        """Notes in the copy that somebody works on it, and further marks."""
        incoming = replace(self._incoming, touched_ms=self._clock.wall_ms())
        self._touched_s = self._clock.monotonic_s()
        check = IsVersion(IN, self._incoming_version)
        self._incoming_version = await self._in.land([put(IN, incoming), *marks], check)
        self._incoming = incoming

    async def _page(self, store: Store, space: str, after: tuple[bytes, bytes] | None) -> Page | None:
        """Returns the next page of a space, or None where the space is gone."""

        async def call(deadline: float) -> Page:
            return await store.scan(space, limit=PAGE_RECORDS, limit_bytes=PAGE_BYTES, after=after, deadline=deadline)

        try:
            return await patiently(call, self._clock)
        except SpaceNotFound:
            return None

    # ---- what has changed --------------------------------------------------------------------------------------------

    async def _compare(self, space: str, since_ms: int | None = None) -> None:
        """Makes the copy of a space what the space is, by looking at every record of both.

        Args:
            space: the space; it exists in both.
            since_ms: records that were put before this, and have no cells, were copied as they are: they need not be
                looked up in the copy. None: every one is.
        """
        self.progress.space = space
        after, more = None, True
        while more and (page := await self._page(self._source, space, after)) is not None and page.records:
            found = [
                one for one in page.records if since_ms is None or one.cells or version_ms(one.version) >= since_ms
            ]
            wanted = self._copied(space, found)
            await self._make_so(wanted)
            after, more = (page.records[-1].partition, page.records[-1].sort), page.more
        after, more = None, True
        while more and (page := await self._page(self._target, space, after)) is not None and page.records:
            await self._bring(list(self._copied(space, page.records)))
            after, more = (page.records[-1].partition, page.records[-1].sort), page.more

    async def _make_so(self, wanted: Mapping[Key, Record | None]) -> None:
        if self._clock.monotonic_s() - self._touched_s >= TOUCH_S:
            await self._touch()
        seen = await read(self._target, list(wanted), self._clock)
        await self._step("copy what differs")
        self.progress.changed += await self._writer.make_so(wanted, seen)

    async def _bring(self, keys: Sequence[Key]) -> None:
        """Makes records of the copy what they are in the source now."""
        await self._make_so(await read(self._source, keys, self._clock))

    async def _round(self) -> None:
        """Copies what has changed since the last round."""
        self._guard.note_doubtful()
        changes, self._changes = self._changes, self._guard.follow()
        await self._spaces_come_and_gone(changes.dropped)
        spaces = {name for name, done in self._done.items() if done.is_done}
        for space, partition in sorted(changes.partitions):
            if space in spaces:
                changes.keys.update(dict.fromkeys(await self._keys_of(space, partition)))
        for space in sorted(changes.spaces & spaces):
            await self._compare(space)
        keys = [key for key in changes.keys if key.space in spaces and not self._left_out.is_left_out(key)]
        for begin in range(0, len(keys), _CHANGES_AT_ONCE):
            self.progress.left = len(keys) - begin + self._changes.count()
            await self._bring(keys[begin : begin + _CHANGES_AT_ONCE])

    async def _spaces_come_and_gone(self, dropped: set[str]) -> None:
        wanted = {info.name for info in await self._wanted()}
        there = {info.name for info in await self._spaces(self._target)}
        for name in sorted(there):
            if name != SPACE and (name in dropped or name not in wanted):
                await self._step(f"drop the space {name}")
                await patiently(functools.partial(self._drop, name), self._clock)
        for name in dropped | (set(self._done) - wanted):
            self._done.pop(name, None)
        await self._copy_spaces()

    async def _drop(self, name: str, deadline: float) -> None:
        # How far it was copied goes first: what is not there is copied from the beginning.
        await self._touch(put(progress_key(name), SpaceCopied()))
        await self._target.drop_space(name, deadline=deadline)

    async def _keys_of(self, space: str, partition: bytes) -> list[Key]:
        """Returns the keys of a partition that are in the copy."""
        keys: list[Key] = []
        lower, more = b"", True
        while more:
            page = await patiently(functools.partial(_query, self._target, space, partition, lower), self._clock)
            keys += [Key(space, one.partition, one.sort) for one in page.records]
            more = page.more
            lower = keys[-1].sort + b"\x00" if keys else b""
        return keys

    # ---- 3: switch ---------------------------------------------------------------------------------------------------

    async def switch(self) -> Mapping[str, Totals]:
        """Refuses writes, copies what is left, verifies and marks the source as moved; returns what was verified.

        Where it fails, or is cancelled, before the source is marked, the source takes writes again.

        Raises:
            CopyDiffers: the copy is not what the source is.
            StoreUnavailable: one of the stores could not serve.
        """
        self.progress.phase = "switching"
        try:
            await self._step("refuse writes")
            async with self._quiet():
                await self._guard.stand_still(f"the store moves to {self._to}; please try again")
            while self._changes.count():
                await self._round()
            await self._spaces_come_and_gone(set())
            totals = await self._verify()
            await self._step("mark the source as moved")
        except BaseException:
            self._guard.allow()
            raise
        try:
            await self._claim.mark_moved()
        except (StoreError, asyncio.CancelledError):
            # What was sent may land yet; then no write may have been taken since.
            await self.leave_off()
            raise
        await self._complete()
        self.progress.phase = "complete"
        return totals

    async def leave_off(self) -> None:
        """Lets everybody write to the source again, unless it is marked as moved; the copy can be resumed.

        Raises:
            StoreError: whether it is marked cannot be found out. Writes are refused as before.
        """
        await self._claim.end()

    async def _wait_for_the_past(self) -> None:
        """Waits until nothing can come any more that a process sent which died while it copied.

        What comes late is refused where the record has changed since; where it has changed and changed back, it is not.
        """
        while (left_ms := self._not_before_ms - self._clock.wall_ms()) > 0:
            self.progress.phase = f"waiting {-(-left_ms // 1000)} s for what an earlier try may have sent"
            await asyncio.sleep(min(1.0, left_ms / 1000))

    async def _verify(self) -> dict[str, Totals]:
        self.progress.phase = "verifying"
        totals: dict[str, Totals] = {}
        for info in await self._wanted():
            self.progress.space = info.name
            await self._step(f"verify {info.name}")
            ours, theirs = await asyncio.gather(
                self._totals(self._source, info.name), self._totals(self._target, info.name)
            )
            if ours != theirs:
                raise CopyDiffers(
                    f"the copy of {info.name} differs: {ours.records} records with the digest {ours.digest:064x} in"
                    f" {self._from}, {theirs.records} with {theirs.digest:064x} in {self._to}. The store serves as"
                    " before; repeat the command, which compares every record"
                )
            totals[info.name] = ours
            self.progress.verified += ours.records
        return totals

    async def _totals(self, store: Store, space: str) -> Totals:
        records = digest = 0
        after, more = None, True
        while more:
            page = await self._page(store, space, after)
            if page is None or not page.records:
                break
            for key, record in self._copied(space, page.records).items():
                assert record is not None
                records += 1
                digest = (digest + digest_of(key, record)) % _DIGEST_MODULUS
            after, more = (page.records[-1].partition, page.records[-1].sort), page.more
            await asyncio.sleep(0)
        return Totals(records, digest)

    async def _complete(self) -> None:
        await self._step("mark the copy as complete")
        complete = replace(self._incoming, state="complete", touched_ms=self._clock.wall_ms())
        self._incoming_version = await self._in.write(IN, complete, self._incoming_version)
        self._incoming = complete


async def _query(store: Store, space: str, partition: bytes, lower: bytes, deadline: float) -> Page:
    return await store.query(space, partition, Range(lower), limit=PAGE_RECORDS, deadline=deadline)


def digest_of(key: Key, record: Record) -> int:
    """Returns the digest of a record, over key, value and cells: 0 to 2**256 - 1."""
    digest = hashlib.blake2b(digest_size=32)
    for part in (key.partition, key.sort, record.value):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    for name in sorted(record.cells):
        digest.update(len(name).to_bytes(8, "big") + name.encode("ascii"))
        digest.update(record.cells[name].to_bytes(_CELL_BYTES, "big", signed=True))
    return int.from_bytes(digest.digest(), "big")


async def abort(source: Store, target: Store, names: tuple[str, str], *, clock: Clock, ids: Ids) -> None:
    """Gives a copy up: the source may be served, and the copy is emptied. Safe to repeat where it was interrupted.

    Args:
        source: the store that was copied; nobody copies it now.
        target: the copy; nobody serves it.
        names: of both, for people: where from, where to.
        clock: time.
        ids: for commit ids.

    Raises:
        CopyRefused: there is no such copy, or it has been served since.
    """
    out, into = End(source, clock=clock, ids=ids), End(target, clock=clock, ids=ids)
    outgoing, out_version = await out.read(OUT, Outgoing)
    incoming, in_version = await into.read(IN, Incoming)
    if outgoing is not None and outgoing.target != names[1]:
        raise CopyRefused(f"FROM is being copied to {outgoing.target}: name that as TO")
    is_theirs = incoming is not None and (
        incoming.source == names[0] if outgoing is None else incoming.copy == outgoing.copy
    )
    if outgoing is not None and outgoing.state == "moved" and not is_theirs:
        raise CopyRefused(
            "TO was started since FROM was moved there, and may have taken writes: FROM is not what is true now. The"
            " way back is `tenet store copy TO FROM` with an empty store as FROM"
        )
    if outgoing is None and not is_theirs:
        raise CopyRefused("there is no copy of FROM in TO that could be given up")
    if incoming is not None and is_theirs:
        # From here on the copy cannot be served; only then may the source be.
        await into.write(IN, replace(incoming, state="ending"), in_version)
    if outgoing is not None:
        await out.write(OUT, None, out_version)
    if is_theirs:
        for info in await target.list_spaces(deadline=NEVER):
            if info.name != SPACE:
                await target.drop_space(info.name, deadline=NEVER)
        await target.drop_space(SPACE, deadline=NEVER)
