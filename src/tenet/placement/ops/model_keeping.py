"""Keeps the read model: loads it, takes in what this node commits at once, and what others commit from the log.

The model may be behind and is never wrong about what was granted, since commits check what they rely on. A provider is
taken in by what a commit of this node says that it left in use, where that comes right behind what is known, else by
reading it again: one read of it at a time, so that an older state never replaces a newer one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from tenet.placement import keys
from tenet.placement.fleet.growing import GrowingFleet
from tenet.placement.rules.snapshots import Snapshot, snapshot_of
from tenet.store.contract import LogOptions, SpaceOptions
from tenet.store.errors import LogTrimmed, StoreCorrupt, StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.fleet.fleet import Fleet
    from tenet.placement.ops.grouping import Landed
    from tenet.placement.ops.reading import Reader
    from tenet.store.contract import CommitId, LogPage, Page, Record, Store, Version

T = TypeVar("T")

_SCAN_RECORDS: Final = 10_000
_SCAN_BYTES: Final = 16 * 1024 * 1024
_LOG_ENTRIES: Final = 1_000
#: How long entries of the log are kept: a node that is behind by more loads everything anew.
RETENTION_MS: Final = 600_000
#: How long the follower waits for a hint before it looks anyway, twice as long each time that nothing has come, and how
#: long after an error before it goes on, seconds. A cloud in which nothing happens costs next to nothing.
_HINT_S: Final = 0.1
_HINT_S_MAX: Final = 2.0
_AGAIN_S: Final = 1.0
#: How many of this node's commits are known, whose entries in the log say nothing new.
_OWN_MAX: Final = 4_096
#: How many changes of others are known that were taken in.
_HEARD_MAX: Final = 4_096
#: How long a node at least, and at most twice as long, leaves it to others to bring into the log what is on its way.
_OTHERS_S: Final = 0.02
#: It rests behind a look at the log for as long as that took, and so long at the most, seconds. A look reads something
#: of each provider that was written to lately: without a rest it would be most of what a busy store does.
_REST_S_MAX: Final = 0.5
_READS_AT_ONCE: Final = 32
#: How long a commit's answer waits for the model to take it in, seconds; it is tried in the background from then on.
REFRESH_S: Final = 5.0
#: When providers are read again whose commit's answer was lost, seconds after that.
_DOUBT_S: Final = (0.0, 1.0, 10.0)
#: How many providers a load puts into the model before others have their turn.
_PUTS_AT_ONCE: Final = 200

_log = structlog.get_logger(__name__)


class ModelKeeper:
    """Keeps a fleet as the store has it.

    Args:
        store: where providers are.
        reader: reads them.
        clock: says how far behind the model is.
        ids: randomness.
        is_shared: whether other processes commit to the store.
    """

    def __init__(self, store: Store, reader: Reader, *, clock: Clock, ids: Ids, is_shared: bool) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock
        self._ids = ids
        self._is_shared = is_shared
        self._model = GrowingFleet()
        self._turns: dict[str, _Turn] = {}
        self._position = 0
        self._following: asyncio.Task[None] | None = None
        #: What was read while everything is loaded, and may be newer than what the load has read.
        self._meanwhile: dict[str, Snapshot | None] | None = None
        #: The oldest commit that was on its way into the log when it was last looked at.
        self._waiting: CommitId | None = None
        self._caught_up_s = 0.0
        self._doubting: set[asyncio.Task[None]] = set()
        self._own: dict[Version, None] = {}
        self._heard: dict[tuple[bytes, Version], None] = {}
        #: How often everything was loaded, and how long the last time took, seconds.
        self.loads = 0
        self.load_s = 0.0

    @property
    def fleet(self) -> Fleet:
        """Every provider, as this node knows it."""
        return self._model.fleet

    def line(self, uuid: str) -> list[str]:
        """Returns the uuids from a provider up to the root of its tree, as this node knows them; empty for no uuid."""
        return self._model.line(uuid)

    @property
    def left_out(self) -> Collection[str]:
        """The uuids of providers that cannot be read, and are in no list."""
        return self._model.left_out

    @property
    def behind_s(self) -> float:
        """For how long the model may have missed what other nodes commit, seconds; 0 where there are no others."""
        return max(0.0, self._clock.monotonic_s() - self._caught_up_s) if self._following is not None else 0.0

    async def open(self) -> None:
        """Makes the space of providers where there is none, loads the model and begins to follow the log."""
        options = SpaceOptions(log=LogOptions(retention_ms=RETENTION_MS) if self._is_shared else None)
        await self._store.ensure_space(keys.PROVIDERS_SPACE, options)
        await self._load()
        if self._is_shared:
            self._following = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """Stops following, and reading."""
        tasks = [turn.task for turn in self._turns.values() if turn.task is not None]
        tasks += [*self._doubting, *([] if self._following is None else [self._following])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for turn in self._turns.values():
            # A read that was ended before it began has told nobody.
            _resolve(turn.waiting)

    # ---- taking in ---------------------------------------------------------------------------------------------------

    async def take_in(self, uuids: Iterable[str], landed: Landed) -> None:
        """Takes in what a commit of this node left in use, from its answer where that says all, else by reading.

        Args:
            uuids: of the providers that the caller has changed by it and that it changed nothing else of.
            landed: the commit, which may have carried out what others asked for as well.
        """
        unknown = [uuid for uuid in uuids if not self._take_uses(uuid, landed)]
        being_read = [turn.reading for uuid in unknown if (turn := self._turns.get(uuid)) is not None]
        if reads := [read for read in being_read if read is not None]:
            # What they find may have it, or be what it comes right behind; else a busy provider would be read for ever.
            await asyncio.wait(reads, timeout=REFRESH_S)
            unknown = [uuid for uuid in unknown if not self._take_uses(uuid, landed)]
        if unknown:
            await self.refresh(unknown)

    def _take_uses(self, uuid: str, landed: Landed) -> bool:
        if uuid in landed.taken:
            return True
        left = landed.uses.get(uuid)
        # What is being read may be from before the commit, and would be put behind it.
        if left is None or uuid in self._turns or self._meanwhile is not None:
            return False
        if not self.fleet.take_uses(
            uuid, left.used, generation=left.generation, raised=left.raised, revision=left.revision
        ):
            return False
        landed.taken.add(uuid)
        return True

    async def refresh(self, uuids: Iterable[str]) -> None:
        """Takes in providers as they are now; one round trip for each, some at a time.

        Where the store cannot be read, the model is behind until it can: that is tried again in the background.

        Args:
            uuids: in their usual form.
        """
        begun = self.begin_refresh(uuids)
        if begun:
            await asyncio.wait(begun, timeout=REFRESH_S)

    def begin_refresh(self, uuids: Iterable[str]) -> list[asyncio.Future[None]]:
        """Begins to take in providers, which goes on also where nobody waits for it.

        Args:
            uuids: in their usual form.

        Returns:
            What is done once a read of each has ended that begins from now on; never an error.
        """
        return [self._refresh(uuid) for uuid in dict.fromkeys(uuids)]

    def suspect(self, uuids: Iterable[str]) -> None:
        """Begins to take in providers of which the model was wrong: the first of them, since the log has all.

        Args:
            uuids: in their usual form.
        """
        self.begin_refresh(itertools.islice(uuids, _READS_AT_ONCE))

    def note(self, version: Version) -> None:
        """Notes a commit of this node whose providers are taken in behind it: nobody has to hear of it from the log.

        Args:
            version: the commit's.
        """
        _remember(self._own, (version,), most=_OWN_MAX)

    def doubt(self, uuids: Iterable[str]) -> None:
        """Takes in providers now and a few times later, since nobody knows whether and when a commit changes them.

        Args:
            uuids: in their usual form.
        """
        task = asyncio.get_running_loop().create_task(self._read_again(tuple(uuids)))
        self._doubting.add(task)
        task.add_done_callback(self._doubting.discard)

    async def _read_again(self, uuids: tuple[str, ...]) -> None:
        for pause_s in _DOUBT_S:
            await asyncio.sleep(pause_s)
            await self.refresh(uuids)

    def _refresh(self, uuid: str) -> asyncio.Future[None]:
        turn = self._turns.get(uuid)
        if turn is None:
            turn = self._turns[uuid] = _Turn()
            turn.task = asyncio.get_running_loop().create_task(self._read_in_turn(uuid, turn))
        return turn.wait()

    async def _read_in_turn(self, uuid: str, turn: _Turn) -> None:
        """Reads a provider as often as somebody waits for a read that has not begun, one after the other.

        However it ends, nobody is left waiting.
        """
        try:
            while turn.waiting is not None:
                waiting = turn.reading = turn.waiting
                turn.waiting = None
                try:
                    is_done = await self._take_in(uuid)
                finally:
                    _resolve(waiting)
                if not is_done:
                    _ = turn.wait()
                    await asyncio.sleep(_AGAIN_S)
        finally:
            del self._turns[uuid]
            _resolve(turn.waiting)

    async def _take_in(self, uuid: str) -> bool:
        """Takes in a provider as it is now; one that cannot be read is left out of the model, and the log says so.

        Returns:
            Whether it is done with; False: the store could not serve.
        """
        try:
            snapshot = await self._reader.find(uuid)
            if self._meanwhile is not None:
                self._meanwhile[uuid] = snapshot
            await self._put(self._model, uuid, snapshot)
        except StoreError as error:
            if not isinstance(error, StoreCorrupt):
                _log.warning("the read model of placement is behind", provider=uuid, reason=error.message)
                return False
            _leave_out(self._model, uuid)
        except Exception:  # noqa: BLE001 (whatever one provider is like, the others are told of)
            _leave_out(self._model, uuid)
        return True

    async def _put(self, model: GrowingFleet, uuid: str, snapshot: Snapshot | None) -> None:
        if snapshot is None:
            model.remove(uuid)
            return
        root = model.root_of(snapshot)
        if root is None:
            root = await self._reader.root_of(snapshot)
        model.put(snapshot.provider(root))

    # ---- loading and following ---------------------------------------------------------------------------------------

    async def _load(self) -> None:
        """Reads everything. What others commit meanwhile stands in the log behind the position noted here first."""
        began_s = self._clock.monotonic_s()
        position = await self._newest() if self._is_shared else 0
        model = GrowingFleet()
        self._meanwhile = {}
        try:
            with _without_collections():
                found, unreadable = await self._everything()
                model.left_out.update(unreadable)
                snapshots = {snapshot.uuid: snapshot for snapshot in found}
                roots: dict[str, str] = {}
                for number, snapshot in enumerate(snapshots.values()):
                    try:
                        model.put(snapshot.provider(_root_among(snapshot, snapshots, roots)))
                    except Exception:  # noqa: BLE001 (as above)
                        _leave_out(model, snapshot.uuid)
                    if not number % _PUTS_AT_ONCE:
                        await asyncio.sleep(0)
            # What this node has committed and answered for meanwhile is in the new model before anybody sees it.
            while self._meanwhile:
                uuid = next(iter(self._meanwhile))
                try:
                    await self._put(model, uuid, self._meanwhile.pop(uuid))
                except (StoreCorrupt, ValueError, OverflowError):
                    _leave_out(model, uuid)
        finally:
            self._meanwhile = None
        self._model, self._position, self._caught_up_s = model, position, began_s
        self.loads += 1
        self.load_s = self._clock.monotonic_s() - began_s

    async def _newest(self) -> int:
        """Returns the newest position of the log, however much of it was trimmed. Nothing in it is changed."""
        after = 0
        while True:
            try:
                page = await self._store.read_log(keys.PROVIDERS_SPACE, 0, after=after, limit=1, stale=True)
            except LogTrimmed as error:
                # That a log is trimmed is no mistake: nobody needs what is gone, the records themselves are read.
                after = error.first - 1
            else:
                return page.closed

    async def _everything(self) -> tuple[list[Snapshot], list[str]]:
        """Returns all providers, and the uuids of those that cannot be read.

        While the records of one page are read, the store fetches the next one.
        """
        found: list[Snapshot] = []
        unreadable: list[str] = []
        partition = b""
        records: list[Record] = []
        coming: asyncio.Task[Page] | None = self._begin_page(None)
        try:
            while coming is not None:
                page = await coming
                last = page.records[-1] if page.more else None
                coming = None if last is None else self._begin_page((last.partition, last.sort))
                for record in page.records:
                    if record.partition != partition:
                        _collect(found, unreadable, partition, records)
                        partition, records = record.partition, []
                    records.append(record)
        finally:
            if coming is not None:
                coming.cancel()
        _collect(found, unreadable, partition, records)
        return found, unreadable

    def _begin_page(self, after: tuple[bytes, bytes] | None) -> asyncio.Task[Page]:
        scan = self._store.scan(
            keys.PROVIDERS_SPACE, keys.SNAPSHOT, limit=_SCAN_RECORDS, limit_bytes=_SCAN_BYTES, after=after
        )
        return asyncio.get_running_loop().create_task(scan)

    async def _follow(self) -> None:
        """Follows the log for as long as the node runs; no error ends it."""
        watch, pause_s, is_lost = self._store.watch(keys.PROVIDERS_SPACE), _HINT_S, False
        try:
            while True:
                try:
                    if is_lost:
                        await self._load()
                        is_lost = False
                    if await self._catch_up():
                        pause_s = _HINT_S
                        continue
                    is_hint = await watch.wait(pause_s)
                    pause_s = _HINT_S if is_hint else min(2 * pause_s, _HINT_S_MAX)
                except LogTrimmed:
                    _log.warning("placement was behind for longer than its log is kept, and loads everything anew")
                    is_lost = True
                except StoreError as error:
                    _log.warning("the read model of placement is behind", reason=error.message)
                    await asyncio.sleep(_AGAIN_S)
                except Exception:  # noqa: BLE001 (a follower that has ended would leave the model as it is for ever)
                    _log.exception("the read model of placement is behind")
                    await asyncio.sleep(_AGAIN_S)
        finally:
            watch.close()

    async def _catch_up(self) -> bool:
        """Takes in what stands in the log behind the last position; returns whether there may be more."""
        began_s = self._clock.monotonic_s()
        page = await self._next_page()
        rest_s = min(self._clock.monotonic_s() - began_s, _REST_S_MAX)
        await self._take_in_others(page.arriving.items())
        if not page.entries:
            self._position = max(self._position, page.closed)
            if page.waiting is not None:
                await asyncio.sleep(max(rest_s, _OTHERS_S * (1 + self._ids.draw(1)[0] / 256)))
                return True
            self._caught_up_s = began_s
            await asyncio.sleep(rest_s)
            return False
        await self._take_in_others([(entry.partition, entry.version) for entry in page.entries])
        self._position = page.entries[-1].position
        return True

    async def _take_in_others(self, changes: Iterable[tuple[bytes, Version]]) -> None:
        """Reads what others have changed; a change that is seen on its way and in the log is read once."""
        unknown = [
            change for change in dict.fromkeys(changes) if change[1] not in self._own and change not in self._heard
        ]
        changed = list(dict.fromkeys(keys.uuid_text(partition) for partition, _ in unknown))
        for start in range(0, len(changed), _READS_AT_ONCE):
            await self.refresh(changed[start : start + _READS_AT_ONCE])
        _remember(self._heard, unknown, most=_HEARD_MAX)

    async def _next_page(self) -> LogPage:
        """Returns the next entries of the log.

        Every node follows it, and one is enough to bring in what is on its way: whoever has seen the same commit wait
        twice, a moment of another length for each, does so, and the others read the log as it stands.
        """
        page = await self._read_log(is_stale=True)
        waiting, self._waiting = self._waiting, page.waiting
        if page.entries or page.waiting is None or page.waiting != waiting:
            return page
        self._waiting = None
        return await self._read_log(is_stale=False)

    async def _read_log(self, *, is_stale: bool) -> LogPage:
        return await self._store.read_log(
            keys.PROVIDERS_SPACE, 0, after=self._position, limit=_LOG_ENTRIES, stale=is_stale
        )


class _Turn:
    """One provider that is being read, and who waits for the read after the one under way."""

    __slots__ = ("reading", "task", "waiting")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        #: Who waits for the read under way.
        self.reading: asyncio.Future[None] | None = None
        self.waiting: asyncio.Future[None] | None = None

    def wait(self) -> asyncio.Future[None]:
        """Returns what is done once a read has ended that begins from now on."""
        if self.waiting is None:
            self.waiting = asyncio.get_running_loop().create_future()
        return self.waiting


def _resolve(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _leave_out(model: GrowingFleet, uuid: str) -> None:
    """Leaves a provider out that cannot be told of, for an error that is being handled."""
    _log.exception("placement cannot read a provider, and leaves it out of all lists", provider=uuid)
    model.leave_out(uuid)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Keeps the garbage collector from looking at what a load makes again and again: all of it stays.

    With it, 100,000 providers take nearly twice as long.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _remember(remembered: dict[T, None], ones: Iterable[T], *, most: int) -> None:
    """Remembers some more, and forgets those of longest ago that are too many."""
    remembered.update(dict.fromkeys(ones))
    while len(remembered) > most:
        del remembered[next(iter(remembered))]


def _collect(found: list[Snapshot], unreadable: list[str], partition: bytes, records: list[Record]) -> None:
    if not records:
        return
    uuid = keys.uuid_text(partition)
    try:
        snapshot = snapshot_of(uuid, records)
    except StoreCorrupt:
        _log.exception("placement cannot read a provider, and leaves it out of all lists", provider=uuid)
        unreadable.append(uuid)
        return
    if snapshot is not None:
        found.append(snapshot)


def _root_among(snapshot: Snapshot, snapshots: dict[str, Snapshot], roots: dict[str, str]) -> str:
    """Returns the root of a provider's tree, and notes that of all on the way to it: each way up is gone once."""
    way: dict[str, None] = {}
    at = snapshot.uuid
    while at not in roots and at not in way:
        way[at] = None
        above = snapshots[at].description.parent
        if above not in snapshots:
            break
        at = above
    root = roots.get(at, at)
    roots.update(dict.fromkeys(way, root))
    return root
