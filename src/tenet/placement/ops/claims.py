"""Reads of claims that were made through ``/v1/claims``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tenet.base.clock import NEVER
from tenet.placement import keys
from tenet.placement.rules.stored import decode_consumer
from tenet.placement.rules.stored_claims import LastClaim, decode_claim, decode_last_claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.placement.model import Consumer
    from tenet.store.contract import Store, Version


class Before(Struct, frozen=True):
    """What was claimed for a consumer before.

    Args:
        last: the last claim; None where there was none.
        count: how many there were.
    """

    last: LastClaim | None
    count: int


#: Of a consumer for which nothing was ever claimed.
NEVER_CLAIMED: Final = Before(None, 0)


class Claims:
    """Reads claims.

    Args:
        store: where they lie.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def may_be_assumed(self) -> bool:
        """Whether a claim may be committed before anything was read: a commit that is refused holds nobody up."""
        return self._store.capabilities.cheap_commits_across_partitions

    async def before(self, consumers: Sequence[str], *, deadline: float = NEVER) -> dict[str, Before]:
        """Returns what was claimed before, by consumer; one round trip.

        Args:
            consumers: uuids, at most as many as a claim has.
            deadline: when to give up.
        """
        return (await self.of(consumers, (), deadline=deadline))[1]

    async def of(
        self, consumers: Sequence[str], others: Sequence[str], *, deadline: float = NEVER
    ) -> tuple[dict[str, tuple[Consumer, Version] | None], dict[str, Before]]:
        """Returns what a claim has to know: consumers as they are, and what was claimed before; one round trip.

        Args:
            consumers: uuids, at most as many as a claim has.
            others: uuids of those that the claim names besides.
            deadline: when to give up.

        Returns:
            All of them by uuid, None where one has nothing; and of the first what was claimed for them.
        """
        everybody = [*consumers, *others]
        asked = [keys.consumer_key(one) for one in everybody]
        asked += [key for one in consumers for key in (keys.last_claim_key(one), keys.claims_count_key(one))]
        records = iter(await self._store.get(asked, deadline=deadline))
        now: dict[str, tuple[Consumer, Version] | None] = {}
        for uuid in everybody:
            record = next(records)
            now[uuid] = None if record is None else (decode_consumer(uuid, record.value), record.version)
        before: dict[str, Before] = {}
        for uuid in consumers:
            last, count = next(records), next(records)
            before[uuid] = Before(
                None if last is None else decode_last_claim(last.value),
                0 if count is None else count.cells.get(keys.CLAIMS, 0),
            )
        return now, before

    async def document(self, claim: str, *, deadline: float = NEVER) -> bytes | None:
        """Returns a claim as it is answered, JSON, or None; one round trip."""
        (record,) = await self._store.get((keys.claim_key(claim),), deadline=deadline)
        return None if record is None else decode_claim(record.value)

    async def documents(self, claims: Sequence[str], *, deadline: float = NEVER) -> dict[str, bytes | None]:
        """Returns claims as they are answered, JSON, by their uuids; one round trip.

        Args:
            claims: uuids, at most 1,000; each document may have 1 MiB.
            deadline: when to give up.
        """
        if not claims:
            return {}
        records = await self._store.get([keys.claim_key(claim) for claim in claims], deadline=deadline)
        return {
            claim: None if record is None else decode_claim(record.value)
            for claim, record in zip(claims, records, strict=True)
        }
