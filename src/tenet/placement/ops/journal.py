"""What was asked of ``/v1/claims``, in order of time: of each project, and of all.

A claim's place in the order is a record of its project's partition, which the claim's commit writes to anyway; what was
asked and what came of it lies once, at the claim. A refused request is written by itself, with why, in a partition for
the refused ones of its project, so that a full cloud does not hold up who frees something; the newest are kept.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from tenet.base.clock import NEVER
from tenet.base.errors import TenetError
from tenet.placement import keys
from tenet.placement.ops.reading import scanned
from tenet.placement.rules.claim_lists import refusal_document
from tenet.placement.rules.stored_claims import encode_claim
from tenet.store.contract import Key, Limits, Put, Range, Record
from tenet.store.landing import land

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.errors import PlacementError
    from tenet.store.contract import Store

_READ_BYTES: Final = 8 * 1024 * 1024
#: After so many refused requests, one in so many of those that are kept, the oldest are looked for.
_TRIM_SHARE: Final = 10
_TRIMMED_MAX: Final = 10_000

_log = structlog.get_logger(__name__)


class Entry(Struct, frozen=True):
    """A place in the order.

    Args:
        record: a claim's entry, or a refused request.
        is_refused: which of the two.
    """

    record: Record
    is_refused: bool


class Journal:
    """Reads and writes the order of claims.

    Args:
        store: where it lies.
        clock: for commit ids.
        ids: for commit ids.
        refused_max: how many refused requests are kept of a project, about; 0: none are.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids, refused_max: int) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._refused_max = refused_max
        #: How many were refused of a project since the oldest were last looked for.
        self._untrimmed: dict[str, int] = {}

    async def note_refusal(
        self, claim: str, request: Mapping[str, Any], error: PlacementError, *, deadline: float = NEVER
    ) -> None:
        """Keeps a request that was refused, in one commit of one partition for each project that it was about.

        Where it cannot, the log says so: who asked is answered in any case.

        Args:
            claim: a uuid for it.
            request: as it was sent.
            error: what it is answered.
            deadline: when to give up.
        """
        if not self._refused_max:
            return
        now_ms = self._clock.wall_ms()
        value = encode_claim(refusal_document(claim, now_ms, request, error))
        projects = dict.fromkeys(one["project_id"] for one in request["consumers"])
        try:
            await asyncio.gather(
                *(self._note(project, keys.entry_sort(now_ms, claim), value, deadline) for project in projects)
            )
        except TenetError as failure:
            _log.warning("a refused claim is not kept", claim=claim, reason=failure.message)

    async def _note(self, project: str, sort: bytes, value: bytes, deadline: float) -> None:
        partition = keys.refusals_partition(project)
        write = Put(Key(keys.CLAIMS_SPACE, partition, sort), value)
        _ = await land(self._store, (write,), clock=self._clock, ids=self._ids, deadline=deadline)
        count = self._untrimmed.pop(project, self._refused_max) + 1
        if count > self._refused_max // _TRIM_SHARE:
            count = 0
            await self._trim(partition, deadline)
        if len(self._untrimmed) >= _TRIMMED_MAX:
            del self._untrimmed[next(iter(self._untrimmed))]
        self._untrimmed[project] = count

    async def _trim(self, partition: bytes, deadline: float) -> None:
        """Forgets all but the newest of a project."""
        left, within = self._refused_max, keys.ENTRIES
        while left:
            page = await self._store.query(
                keys.CLAIMS_SPACE,
                partition,
                within,
                limit=min(left, Limits.page_records_max),
                limit_bytes=_READ_BYTES,
                reverse=True,
                deadline=deadline,
            )
            if not page.more:
                return
            left -= len(page.records)
            within = Range(within.lower, page.records[-1].sort)
        await self._store.discard(keys.CLAIMS_SPACE, partition, within, deadline=deadline)

    # ---- reading -----------------------------------------------------------------------------------------------------

    async def page(
        self, project: str | None, lower: bytes, limit: int, *, refused: bool | None, deadline: float = NEVER
    ) -> tuple[Sequence[Entry], bool]:
        """Returns the next entries, oldest first, and whether there may be more behind them.

        Of a project it costs a query or two; of all projects two scans, however few entries there are.

        Args:
            project: whose; None: those of all.
            lower: the first sort key.
            limit: the most entries.
            refused: whether to return refused requests alone; False: none of them; None: both.
            deadline: when to give up.
        """
        sources = [
            (space, is_refused)
            for space, is_refused in ((keys.PROJECTS_SPACE, False), (keys.CLAIMS_SPACE, True))
            if refused in {None, is_refused}
        ]
        found: list[Entry] = []
        horizon: bytes | None = None
        for space, is_refused in sources:
            if project is None:
                records, more = await self._of_all(space, lower, limit, deadline)
            else:
                records, more = await self._of_project(space, project, lower, limit, deadline)
            found += [Entry(record, is_refused) for record in records]
            if more:
                horizon = min(horizon or records[-1].sort, records[-1].sort)
        found.sort(key=_place)
        within = [one for one in found if horizon is None or one.record.sort <= horizon]
        return within[:limit], horizon is not None or len(within) > limit

    async def _of_project(
        self, space: str, project: str, lower: bytes, limit: int, deadline: float
    ) -> tuple[Sequence[Record], bool]:
        partition = project.encode() if space == keys.PROJECTS_SPACE else keys.refusals_partition(project)
        page = await self._store.query(
            space, partition, Range(lower, keys.ENTRIES.upper), limit=limit, limit_bytes=_READ_BYTES, deadline=deadline
        )
        return page.records, page.more

    async def _of_all(self, space: str, lower: bytes, limit: int, deadline: float) -> tuple[Sequence[Record], bool]:
        """Returns the first entries of all projects: one of each claim, though it may be of several."""
        first: dict[bytes, Record] = {}
        is_cut = False
        within = Range(lower, keys.ENTRIES.upper)
        async for records in scanned(self._store, space, within, limit=Limits.page_records_max, deadline=deadline):
            first |= {record.sort: record for record in records}
            if len(first) > limit:
                is_cut = True
                first = {sort: first[sort] for sort in heapq.nsmallest(limit, first)}
        return [first[sort] for sort in sorted(first)], is_cut


def _place(entry: Entry) -> bytes:
    return entry.record.sort
