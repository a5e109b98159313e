"""Keeps the read model: loads it, takes in what this node commits at once, and what others commit from the log.

The model may be behind and is never wrong about what was granted, since commits check what they rely on. A provider is
taken in by reading it again: one read of it at a time, so that an older state never replaces a newer one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from tenet.placement import keys
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.ops.reading import Reader
from tenet.placement.rules.snapshots import Snapshot, snapshot_of
from tenet.store.contract import LogOptions, SpaceOptions
from tenet.store.errors import LogTrimmed, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tenet.store.contract import Page, Record, Store

_SCAN_RECORDS: Final = 10_000
_SCAN_BYTES: Final = 16 * 1024 * 1024
_LOG_ENTRIES: Final = 1_000
#: How long entries of the log are kept: a node that is behind by more loads everything anew.
_RETENTION_MS: Final = 600_000
#: How long the follower waits for a hint before it looks anyway, and after an error before it goes on, seconds.
_HINT_S: Final = 0.1
_AGAIN_S: Final = 1.0
_READS_AT_ONCE: Final = 32
#: How many providers a load puts into the model before others have their turn.
_PUTS_AT_ONCE: Final = 200

_log = structlog.get_logger(__name__)


class ModelKeeper:
    """Keeps a fleet as the store has it. Made by ``open``.

    Args:
        store: where providers are.
        reader: reads them.
        is_shared: whether other processes commit to the store.
    """

    def __init__(self, store: Store, reader: Reader, *, is_shared: bool) -> None:
        self._store = store
        self._reader = reader
        self._is_shared = is_shared
        #: Every provider, as this node knows it.
        self.fleet = Fleet()
        self._turns: dict[str, _Turn] = {}
        self._position = 0
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Makes the space of providers where there is none, loads the model and begins to follow the log."""
        options = SpaceOptions(log=LogOptions(retention_ms=_RETENTION_MS) if self._is_shared else None)
        await self._store.ensure_space(keys.PROVIDERS_SPACE, options)
        await self._load()
        if self._is_shared:
            self._following = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """Stops following, and reading."""
        tasks = [turn.task for turn in self._turns.values() if turn.task is not None]
        for task in [*tasks, *([] if self._following is None else [self._following])]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # ---- taking in ---------------------------------------------------------------------------------------------------

    async def refresh(self, uuids: Iterable[str]) -> None:
        """Takes in providers as they are now; one round trip for each, some at a time.

        Where the store cannot be read, the model is behind until it can: that is tried again in the background.

        Args:
            uuids: in their usual form.
        """
        for begun in [self._refresh(uuid) for uuid in dict.fromkeys(uuids)]:
            await asyncio.shield(begun)

    def _refresh(self, uuid: str) -> asyncio.Future[None]:
        """Returns what is done once a read of a provider has ended that begins from now on."""
        turn = self._turns.get(uuid)
        if turn is None:
            turn = self._turns[uuid] = _Turn()
            turn.task = asyncio.get_running_loop().create_task(self._read_in_turn(uuid, turn))
        return self._wait_for(turn)

    @staticmethod
    def _wait_for(turn: _Turn) -> asyncio.Future[None]:
        if turn.waiting is None:
            turn.waiting = asyncio.get_running_loop().create_future()
        return turn.waiting

    async def _read_in_turn(self, uuid: str, turn: _Turn) -> None:
        """Reads a provider as often as somebody waits for a read that has not begun, one after the other."""
        while turn.waiting is not None:
            waiting, turn.waiting = turn.waiting, None
            try:
                await self._take_in(uuid)
            except StoreError as error:
                _log.warning("the read model of placement is behind", provider=uuid, reason=error.message)
                _ = self._wait_for(turn)
                waiting.set_result(None)
                await asyncio.sleep(_AGAIN_S)
                continue
            waiting.set_result(None)
        del self._turns[uuid]

    async def _take_in(self, uuid: str) -> None:
        snapshot = await self._reader.find(uuid)
        if snapshot is None:
            self.fleet.remove(uuid)
            return
        await self._put(snapshot)

    async def _put(self, snapshot: Snapshot) -> None:
        parent = snapshot.description.parent
        root = snapshot.uuid
        if parent:
            above = self.fleet.get(parent)
            root = above.root if above is not None else await self._reader.root_of(snapshot)
        before = self.fleet.get(snapshot.uuid)
        self.fleet.put(snapshot.provider(root))
        if before is not None and before.root != root:
            self._move_below(snapshot.uuid, before.root, root)

    def _move_below(self, uuid: str, root_before: str, root: str) -> None:
        """Gives the providers below one that was moved their new root."""
        moved = {uuid}
        left = [one for one in self.fleet.tree(root_before) if one.uuid != uuid]
        while found := [one for one in left if one.parent in moved]:
            for one in found:
                moved.add(one.uuid)
                self.fleet.put(replace(one, root=root))
            left = [one for one in left if one.uuid not in moved]

    # ---- loading and following ---------------------------------------------------------------------------------------

    async def _load(self) -> None:
        """Reads everything. What is committed meanwhile stands in the log behind the position noted here first."""
        if self._is_shared:
            page = await self._store.read_log(keys.PROVIDERS_SPACE, 0, after=0, limit=1)
            self._position = page.closed
        fleet = Fleet()
        with _without_collections():
            snapshots = {snapshot.uuid: snapshot for snapshot in await self._everything()}
            for number, snapshot in enumerate(snapshots.values()):
                fleet.put(snapshot.provider(_root_among(snapshot, snapshots)))
                if not number % _PUTS_AT_ONCE:
                    await asyncio.sleep(0)
        self.fleet = fleet

    async def _everything(self) -> list[Snapshot]:
        """Returns all providers; while the records of one page are read, the store fetches the next one."""
        found: list[Snapshot] = []
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
                        _collect(found, partition, records)
                        partition, records = record.partition, []
                    records.append(record)
        finally:
            if coming is not None:
                coming.cancel()
        _collect(found, partition, records)
        return found

    def _begin_page(self, after: tuple[bytes, bytes] | None) -> asyncio.Task[Page]:
        scan = self._store.scan(
            keys.PROVIDERS_SPACE, keys.SNAPSHOT, limit=_SCAN_RECORDS, limit_bytes=_SCAN_BYTES, after=after
        )
        return asyncio.get_running_loop().create_task(scan)

    async def _follow(self) -> None:
        watch = self._store.watch(keys.PROVIDERS_SPACE)
        try:
            while True:
                try:
                    if not await self._catch_up():
                        await watch.wait(_HINT_S)
                except LogTrimmed:
                    await self._load()
                except StoreError as error:
                    _log.warning("the read model of placement is behind", reason=error.message)
                    await asyncio.sleep(_AGAIN_S)
        finally:
            watch.close()

    async def _catch_up(self) -> bool:
        """Takes in what stands in the log behind the last position; returns whether there may be more."""
        page = await self._store.read_log(keys.PROVIDERS_SPACE, 0, after=self._position, limit=_LOG_ENTRIES)
        if not page.entries:
            self._position = max(self._position, page.closed)
            return False
        changed = list(dict.fromkeys(keys.uuid_text(entry.partition) for entry in page.entries))
        for start in range(0, len(changed), _READS_AT_ONCE):
            await self.refresh(changed[start : start + _READS_AT_ONCE])
        self._position = page.entries[-1].position
        return True


class _Turn:
    """One provider that is being read, and who waits for the read after the one under way."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.waiting: asyncio.Future[None] | None = None


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


def _collect(found: list[Snapshot], partition: bytes, records: list[Record]) -> None:
    if records:
        snapshot = snapshot_of(keys.uuid_text(partition), records)
        if snapshot is not None:
            found.append(snapshot)


def _root_among(snapshot: Snapshot, snapshots: dict[str, Snapshot]) -> str:
    seen = snapshot
    for _ in range(len(snapshots)):
        above = snapshots.get(seen.description.parent)
        if above is None:
            break
        seen = above
    return seen.uuid
