"""Reads of providers and consumers from the store: each provider as of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from tenet.base.clock import NEVER
from tenet.placement import keys
from tenet.placement.errors import NotFound
from tenet.placement.model import Consumer
from tenet.placement.rules.snapshots import Snapshot, snapshot_of
from tenet.placement.rules.stored import Held, decode_consumer, decode_description, decode_held
from tenet.placement.rules.validation import canonical_uuid
from tenet.store.contract import Range
from tenet.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from tenet.placement.rules.claims import Move
    from tenet.store.contract import Page, Record, Store, Version

_PAGE_RECORDS: Final = 10_000
_PAGE_BYTES: Final = 1 << 30
_KEYS_AT_ONCE: Final = 1_000
#: How often a provider is read whose records do not come at once.
_READS_MAX: Final = 10


#: Amounts by user, consumer type and resource class; the class is empty where consumers are counted.
Counted: TypeAlias = dict[tuple[str, str, str], int]


async def scanned(
    store: Store, space: str, within: Range, *, limit: int, deadline: float = NEVER
) -> AsyncIterator[Sequence[Record]]:
    """Yields the records of a space, in the engine's order, as they are when each page is read.

    Args:
        store: where they lie.
        space: the space.
        within: their sort keys.
        limit: the most records of a page.
        deadline: when to give up.
    """
    after: tuple[bytes, bytes] | None = None
    more = True
    while more:
        page = await store.scan(space, within, limit=limit, after=after, deadline=deadline)
        if page.records:
            after = page.records[-1].partition, page.records[-1].sort
            yield page.records
        more = page.more


def versions_of(found: Mapping[str, tuple[Consumer, Version] | None]) -> dict[str, Version | None]:
    """Returns the versions of consumers that were read; None where there is none."""
    return {uuid: None if one is None else one[1] for uuid, one in found.items()}


class Reader:
    """Reads from the store.

    Args:
        store: where everything lies.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, uuid: str, *, deadline: float = NEVER) -> Snapshot | None:
        """Returns a provider, or None, as of one moment; one round trip, more where the store gives it in parts.

        Args:
            uuid: in any form; what is no uuid is nobody's.
            deadline: when to give up.

        Raises:
            StoreUnavailable: it changes faster than its parts can be read.
        """
        canonical = canonical_uuid(uuid)
        if canonical is None:
            return None
        partition = keys.uuid_bytes(canonical)
        for _ in range(_READS_MAX):
            page = await self._page(keys.PROVIDERS_SPACE, partition, keys.SNAPSHOT, deadline)
            if not page.more:
                return snapshot_of(canonical, page.records)
            # A store may give less than all at any time. What does not come at once is not of one moment: it counts
            # where no change was told of between the first record and the last.
            records = [*page.records]
            async for later in self._pages(keys.PROVIDERS_SPACE, partition, _behind(keys.SNAPSHOT, records), deadline):
                records += later
            (counts,) = await self._store.get((keys.counts_key(uuid),), deadline=deadline)
            if _version_of(records, keys.COUNTS) == (None if counts is None else (counts.version, dict(counts.cells))):
                return snapshot_of(canonical, records)
        raise StoreUnavailable(f"the provider {canonical} changes faster than it can be read")

    async def _page(self, space: str, partition: bytes, within: Range, deadline: float) -> Page:
        return await self._store.query(
            space, partition, within, limit=_PAGE_RECORDS, limit_bytes=_PAGE_BYTES, deadline=deadline
        )

    async def _pages(
        self, space: str, partition: bytes, within: Range, deadline: float
    ) -> AsyncIterator[Sequence[Record]]:
        """Returns all records of a range, a page at a time, however small the store makes them."""
        more = True
        while more:
            page = await self._page(space, partition, within, deadline)
            yield page.records
            within, more = _behind(within, page.records), page.more

    async def provider(self, uuid: str, *, deadline: float = NEVER) -> Snapshot:
        """Returns a provider; one round trip.

        Raises:
            NotFound: there is none.
        """
        found = await self.find(uuid, deadline=deadline)
        if found is None:
            raise NotFound.provider(uuid)
        return found

    async def ancestors(
        self, parent: str, *, likely: Sequence[str] = (), deadline: float = NEVER
    ) -> list[tuple[str, Version]]:
        """Returns the providers from a parent up to the root, however many, each with its description's version.

        A round trip for each thousand that are as was likely, and for each other one. Each is of its own moment: a
        commit that relies on them checks their versions.

        Args:
            parent: uuid; empty for none.
            likely: uuids of what may stand there, which are read together.
            deadline: when to give up.

        Returns:
            Empty where there is no parent, or the parent does not exist.
        """
        records: dict[str, Record | None] = {}
        for start in range(0, len(likely), _KEYS_AT_ONCE):
            some = likely[start : start + _KEYS_AT_ONCE]
            read = await self._store.get([keys.provider_key(uuid) for uuid in some], deadline=deadline)
            records.update(zip(some, read, strict=True))
        found: dict[str, Version] = {}
        # Nothing stands above itself; what was read of different moments may look so.
        while parent and parent not in found:
            if parent not in records:
                (records[parent],) = await self._store.get((keys.provider_key(parent),), deadline=deadline)
            record = records[parent]
            if record is None:
                break
            found[parent] = record.version
            parent = decode_description(record.value).parent
        return list(found.items())

    async def moves(self, parent: str, *, deadline: float = NEVER) -> tuple[int, Version | None]:
        """Returns how often a provider was moved that others stand below, and a description's version; one round trip.

        Args:
            parent: uuid of the provider whose description is looked at.
            deadline: when to give up.
        """
        moves, described = await self._store.get((keys.MOVES_KEY, keys.provider_key(parent)), deadline=deadline)
        count = 0 if moves is None else moves.cells.get(keys.MOVES, 0)
        return count, None if described is None else described.version

    async def root_of(self, snapshot: Snapshot, *, deadline: float = NEVER) -> str:
        """Returns the uuid of the top of a provider's tree; a round trip for each ancestor."""
        above = await self.ancestors(snapshot.description.parent, deadline=deadline)
        return above[-1][0] if above else snapshot.uuid

    async def held_of(self, uuid: str, *, deadline: float = NEVER) -> dict[str, Held]:
        """Returns what consumers have of a provider, by consumer; a round trip for each ten thousand.

        Args:
            uuid: in its usual form.
            deadline: when to give up.
        """
        held: dict[str, Held] = {}
        async for records in self._pages(keys.PROVIDERS_SPACE, keys.uuid_bytes(uuid), keys.ALLOCATIONS, deadline):
            for record in records:
                held[keys.uuid_text(record.sort[1:])] = decode_held(record.value)
        return held

    async def consumers(
        self, uuids: Iterable[str], *, deadline: float = NEVER
    ) -> dict[str, tuple[Consumer, Version] | None]:
        """Returns consumers with their records' versions, None where there is none; a round trip for each thousand.

        Args:
            uuids: in their usual form.
            deadline: when to give up.
        """
        wanted = list(dict.fromkeys(uuids))
        found: dict[str, tuple[Consumer, Version] | None] = {}
        for start in range(0, len(wanted), _KEYS_AT_ONCE):
            some = wanted[start : start + _KEYS_AT_ONCE]
            records = await self._store.get([keys.consumer_key(uuid) for uuid in some], deadline=deadline)
            for uuid, record in zip(some, records, strict=True):
                found[uuid] = None if record is None else (decode_consumer(uuid, record.value), record.version)
        return found

    async def consumer(self, uuid: str, *, deadline: float = NEVER) -> tuple[Consumer, Version] | None:
        """Returns a consumer with its record's version, or None; one round trip."""
        return (await self.consumers([uuid], deadline=deadline))[uuid]

    async def are_unchanged(self, moves: Sequence[Move], *, deadline: float = NEVER) -> bool:
        """Returns whether consumers are still of the versions that some changes of them were planned for."""
        now = await self.consumers([move.uuid for move in moves], deadline=deadline)
        return versions_of(now) == {move.uuid: move.version for move in moves}

    async def generations(self, uuids: Iterable[str], *, deadline: float = NEVER) -> dict[str, int]:
        """Returns the generations of providers; a round trip for each thousand."""
        wanted = list(uuids)
        found: dict[str, int] = {}
        for start in range(0, len(wanted), _KEYS_AT_ONCE):
            some = wanted[start : start + _KEYS_AT_ONCE]
            records = await self._store.get([keys.counts_key(uuid) for uuid in some], deadline=deadline)
            for uuid, record in zip(some, records, strict=True):
                found[uuid] = 0 if record is None else record.cells.get(keys.GENERATION, 0)
        return found

    async def named(self, name: str, *, deadline: float = NEVER) -> bool:
        """Tells whether a provider has a name; one round trip."""
        (record,) = await self._store.get((keys.name_key(name),), deadline=deadline)
        return record is not None

    async def project(self, project: str, *, deadline: float = NEVER) -> tuple[Counted, Counted]:
        """Returns what a project uses and how many consumers it has, by user, type and class.

        A round trip or two for each page that the store gives: a project has a record for each user, consumer type and
        class that it ever had, and an embedded store gives 10,000 at a time. Several pages are not of one moment.
        """
        found: list[Counted] = []
        for within, cell in ((keys.PROJECT_USES, keys.USED), (keys.PROJECT_CONSUMERS, keys.CONSUMERS)):
            counted: Counted = {}
            async for records in self._pages(keys.PROJECTS_SPACE, project.encode(), within, deadline):
                for record in records:
                    if record.cells.get(cell, 0) > 0:
                        counted[keys.split_project_key(record.sort)] = record.cells[cell]
            found.append(counted)
        return found[0], found[1]

    async def counted(self, project: str, *, deadline: float = NEVER) -> tuple[Counted, dict[tuple[str, str], int]]:
        """Returns what a project uses and its consumers, as ``project`` does and in one, and its totals, of one moment.

        One round trip, or two for each page where the store gives it in parts: then it is read until nothing changes.

        Raises:
            StoreUnavailable: it changes faster than its parts can be read.
        """
        before: list[Record] | None = None
        for _ in range(_READS_MAX):
            records: list[Record] = []
            pages = 0
            async for some in self._pages(keys.PROJECTS_SPACE, project.encode(), keys.PROJECT_COUNTS, deadline):
                records += some
                pages += 1
            if pages == 1 or records == before:
                return _counts_in(records)
            before = records
        raise StoreUnavailable(f"the project {project!r} changes faster than it can be read")


def _counts_in(records: Iterable[Record]) -> tuple[Counted, dict[tuple[str, str], int]]:
    counted: Counted = {}
    totals: dict[tuple[str, str], int] = {}
    for record in records:
        if record.sort in {keys.QUOTA, keys.QUOTA_REVISION}:
            continue
        amount = record.cells.get(keys.USED, 0) + record.cells.get(keys.CONSUMERS, 0)  # one of them is there
        if keys.is_total(record.sort):
            totals[keys.split_total_key(record.sort)] = amount
        else:
            counted[keys.split_project_key(record.sort)] = amount
    return counted, totals


def _behind(within: Range, records: Sequence[Record]) -> Range:
    """Returns what is left of a range behind some records of it."""
    return Range(records[-1].sort + b"\x00", within.upper) if records else within


def _version_of(records: Iterable[Record], sort: bytes) -> tuple[Version, dict[str, int]] | None:
    """Returns a record's version and cells among some; None where it is not among them."""
    return next(((record.version, dict(record.cells)) for record in records if record.sort == sort), None)
