"""Reads and changes the records of the members. Every change is one commit within one partition.

Each change raises the epoch, so that a node which hears of a larger epoch than its view's knows that it has to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.mesh.channel import NodeId
from tenet.mesh.members import (
    EPOCH_CELL,
    EPOCH_KEY,
    PARTITION,
    SPACE,
    Member,
    View,
    encode_member,
    member_key,
    view_of,
)
from tenet.store.contract import (
    EVERYTHING,
    Add,
    Check,
    Committed,
    Delete,
    IsVersion,
    Put,
    Range,
    Record,
    Store,
    Version,
    Write,
)
from tenet.store.landing import land

_PAGE_RECORDS: Final = 1_000


class MemberStore:
    """The members in the store.

    Args:
        store: the store.
        clock: time.
        ids: for commit ids.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def ensure(self, *, deadline: float) -> None:
        """Makes the space; safe to repeat."""
        await self._store.ensure_space(SPACE, deadline=deadline)

    async def load(self, *, deadline: float) -> View:
        """Returns all members; one read, linearizable as far as they fit into a page of 1,000."""
        records: list[Record] = []
        within = EVERYTHING
        while True:
            page = await self._store.query(SPACE, PARTITION, within, limit=_PAGE_RECORDS, deadline=deadline)
            records += page.records
            if not page.more:
                return view_of(records)
            within = Range(records[-1].sort + b"\x00")

    async def put(
        self, member: Member, expected: Version | None, *, checks: Sequence[Check] = (), deadline: float
    ) -> bool:
        """Writes a member's record, if it still has the version that is expected.

        Args:
            member: the record.
            expected: the version of the one before; None: there is none.
            checks: what else must hold.
            deadline: when to give up.

        Returns:
            Whether it was written.
        """
        key = member_key(member.node)
        return await self._change(Put(key, encode_member(member)), [IsVersion(key, expected), *checks], deadline)

    async def remove(self, node: NodeId, expected: Version, *, deadline: float) -> bool:
        """Removes a member's record, if it still has the version that is expected; returns whether it did."""
        key = member_key(node)
        return await self._change(Delete(key), [IsVersion(key, expected)], deadline)

    async def _change(self, write: Write, checks: Sequence[Check], deadline: float) -> bool:
        writes = (write, Add(EPOCH_KEY, EPOCH_CELL, 1))
        outcome = await land(self._store, writes, checks, clock=self._clock, ids=self._ids, deadline=deadline)
        return isinstance(outcome, Committed)
