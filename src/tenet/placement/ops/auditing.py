"""Reads everything that the placement service has stored, and proves that it adds up.

Nobody may write meanwhile: records are read one after the other, and what changes between is told as a disagreement.
What is in memory at a time is a page of records, and sums for each provider, project and name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.placement import keys
from tenet.placement.ops.reading import Reader, scanned
from tenet.placement.rules.auditing import Books
from tenet.placement.rules.stored import decode_held
from tenet.store.contract import EVERYTHING, Key, Limits, Range
from tenet.store.errors import StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.placement.model import Consumer
    from tenet.placement.rules.auditing import Audited
    from tenet.store.contract import Record, Store

_PAGE_RECORDS: Final = 1_000
#: The sort keys of consumers, and of nothing that may lie beside them.
_CONSUMERS: Final = Range(b"", b"\x00")


async def audit(store: Store) -> Audited:
    """Adds up everything that is stored a second time.

    Costs a scan of each space, and a read of each consumer and each allocation.

    Args:
        store: where everything lies; nobody else writes to it.

    Raises:
        StoreError: the store could not serve.
    """
    there = {space.name for space in await store.list_spaces("placement.")}
    auditor = _Auditor(store)
    steps = {
        keys.CATALOG_SPACE: (EVERYTHING, auditor.take_names),
        keys.PROVIDERS_SPACE: (EVERYTHING, auditor.take_providers),
        keys.CONSUMERS_SPACE: (_CONSUMERS, auditor.take_consumers),
        keys.PROJECTS_SPACE: (keys.PROJECT_COUNTS, auditor.take_projects),
    }
    for space, (within, take) in steps.items():
        if space in there:
            async for records in scanned(store, space, within, limit=_PAGE_RECORDS):
                await take(records)
    return auditor.books.close()


class _Auditor:
    """Takes pages of records in, and reads what stands opposite to each.

    Args:
        store: where it reads.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reader = Reader(store)
        self.books = Books()

    async def take_names(self, records: Sequence[Record]) -> None:
        """Takes in records of the catalog."""
        for record in records:
            self.books.take_name(record)

    async def take_projects(self, records: Sequence[Record]) -> None:
        """Takes in counts of projects."""
        for record in records:
            self.books.take_project_record(record)

    async def take_providers(self, records: Sequence[Record]) -> None:
        """Takes in records of providers, and asks the consumers that they tell of."""
        told: list[tuple[str, str]] = []
        for record in records:
            holding = self.books.take_provider_record(record)
            if holding is not None:
                told.append((keys.uuid_text(record.partition), holding[0]))
        try:
            consumers = await self._reader.consumers(holder for _, holder in told)
        except StoreCorrupt:
            return  # one of them cannot be read, which the scan of consumers tells of by its name
        for provider, holder in told:
            known = consumers[holder]
            self.books.compare_holder(provider, holder, None if known is None else known[0])

    async def take_consumers(self, records: Sequence[Record]) -> None:
        """Takes in consumers, and asks the providers that they have something of."""
        claims: list[tuple[Consumer, str]] = []
        for record in records:
            consumer = self.books.take_consumer(record)
            if consumer is not None:
                claims += [(consumer, provider) for provider in consumer.allocations]
        for start in range(0, len(claims), Limits.get_keys_max):
            await self._compare(claims[start : start + Limits.get_keys_max])

    async def _compare(self, claims: Sequence[tuple[Consumer, str]]) -> None:
        wanted: list[Key] = [keys.allocation_key(provider, consumer.uuid) for consumer, provider in claims]
        records = await self._store.get(wanted)
        for (consumer, provider), record in zip(claims, records, strict=True):
            try:
                held = None if record is None else decode_held(record.value)
            except StoreCorrupt:
                continue  # told of when the provider was read
            self.books.compare_holding(consumer, provider, held)
