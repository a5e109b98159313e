"""Commits over several partitions as others meet them: what became of one, and how it is helped to its end.

A commit over several partitions lays a lock into each of them but its anchor, and is decided by one conditional batch
in the anchor, which writes its *fate* there. So whoever meets a lock reads the fate: where there is none yet, the
partition is as it was; where the commit took effect, he carries its intent out; where it was given up, he removes it.
A commit that holds up others for too long is given up by them, which its decision then sees.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tenet.base.clock import NEVER
from tenet.store.cassandra.ages import time_of_id
from tenet.store.cassandra.encoding import (
    CARRIED_OUT,
    COMMITTED,
    GIVEN_UP,
    encode_cells,
    hybrid_time,
    nonce_of,
    version_of,
)
from tenet.store.cassandra.rows import Lock, decode_intent, decode_lock
from tenet.store.cassandra.tries import TableMissing, Unsure
from tenet.store.cassandra.unit import carried_out, given_up
from tenet.store.contract import Version
from tenet.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.partitions import Partitions
    from tenet.store.cassandra.rows import Intent
    from tenet.store.cassandra.schema import Statements
    from tenet.store.cassandra.sending import Bound
    from tenet.store.cassandra.spaces import Spaces
    from tenet.store.versions import VersionSource

#: How long a lock may hold up a younger commit, and an older one, before they give its commit up; seconds.
PATIENCE_S: Final = 0.5
PATIENCE_OLDER_S: Final = 0.15
_PAUSE_S: Final = 0.005
_PAUSE_S_MAX: Final = 0.04
_TRIES_MAX: Final = 50


class Pending:
    """The commit is not decided yet: what it holds is as it was."""


PENDING: Final = Pending()


class Locks:
    """Resolves locks.

    Args:
        driver: the cluster.
        spaces: knows the tables of spaces.
        partitions: what is believed of partitions.
        versions: shown every version that is met.
        clock: time.
    """

    def __init__(
        self, driver: Driver, spaces: Spaces, partitions: Partitions, versions: VersionSource, clock: Clock
    ) -> None:
        self._driver = driver
        self._spaces = spaces
        self._partitions = partitions
        self._versions = versions
        self._clock = clock

    def statements(self, space_id: str) -> Statements:
        """Returns the statements on the table of a space, by its id."""
        return self._spaces.by_id(space_id).statements

    # ---- fates -------------------------------------------------------------------------------------------------------

    async def fate(self, lock: Lock, deadline: float) -> Version | Pending | None:
        """Returns the version by which the locking try took effect, None where it never will, or ``PENDING``."""
        statements = self.statements(lock.space_id)
        sorts = [lock.commit_id, lock.commit_id + lock.nonce]
        try:
            rows = await self._driver.select(statements.get_fates, (lock.anchor, sorts), deadline=deadline)
        except TableMissing:
            # Its table went after everything that had taken effect was carried out.
            await self.check_dropped(lock.space_id)
            return None
        return _judged(lock, {sort: fate for sort, fate in rows if fate})

    async def check_dropped(self, space_id: str) -> None:
        """Makes sure that a table is missing because its space was dropped: a node may not know of a new one yet.

        Raises:
            StoreUnavailable: there is a space that has it.
        """
        if await self._spaces.has_id(space_id):
            raise StoreUnavailable("a node of the cluster does not know a table of a space that there is")

    async def give_up(self, lock: Lock, deadline: float) -> Version | None:
        """Makes sure that a try which is not decided never takes effect; returns its version if it had by then."""
        statements = self.statements(lock.space_id)
        batch = [
            (statements.fate, [GIVEN_UP, lock.anchor, lock.commit_id + lock.nonce]),
            (statements.no_fate, [lock.anchor, lock.commit_id]),
        ]
        for _ in range(_TRIES_MAX):
            try:
                async with self._partitions.line((lock.space_id, lock.anchor), deadline):
                    if await self._driver.decide(batch, deadline=deadline) is None:
                        return None
            except TableMissing:
                await self.check_dropped(lock.space_id)
                return None
            except Unsure:
                pass
            fate = await self.fate(lock, deadline)
            if not isinstance(fate, Pending):
                return fate
        raise StoreUnavailable("a commit that holds a partition could not be brought to an end")

    # ---- those who meet a lock ---------------------------------------------------------------------------------------

    async def is_pending(self, space_id: str, key: bytes, data: bytes, deadline: float) -> bool:
        """For readers: True where the partition still is as it was; else its lock has been resolved, and is gone."""
        lock = decode_lock(data)
        fate = await self.fate(lock, deadline)
        if isinstance(fate, Pending):
            return True
        await self.resolve(space_id, key, data, fate, deadline)
        return False

    async def time_of(self, space_id: str, key: bytes, data: bytes, deadline: float) -> int | None:
        """Returns the time that the commit which holds a partition stands under; None where its lock has gone.

        What this process begins from here on is younger; see ``ages``.
        """
        lock = decode_lock(data)
        rows = await self._driver.select(self.statements(space_id).get_age, (key, lock.nonce), deadline=deadline)
        if not rows:
            return None
        time: int = rows[0][0] or time_of_id(lock.commit_id)
        self._versions.observe(Version(time.to_bytes(8, "big") + bytes(8)))
        return time

    async def clear(
        self,
        space_id: str,
        key: bytes,
        data: bytes,
        deadline: float,
        *,
        is_older: bool = False,
        over: asyncio.Event | None = None,
        was_beaten: bool = False,
    ) -> bool:
        """For writers: returns when the lock is gone, and gives its commit up if that takes too long.

        Whoever waits here holds no locks, or is older than the commit that he waits for: so nobody waits in a circle.

        Args:
            space_id: the id of the space that is locked.
            key: the partition key of the table.
            data: the lock.
            deadline: when to give up.
            is_older: whether the commit that waits is older; then it may hold others up, and waits less.
            over: whether nobody waits for that any more; then it returns soon, False.
            was_beaten: whether it has waited there before, and younger ones were faster; then it waits for none.
        """
        lock = decode_lock(data)
        patience_s = PATIENCE_S
        if is_older:
            patience_s = 0.0 if was_beaten else PATIENCE_OLDER_S
        until = min(self._clock.monotonic_s() + patience_s, deadline)
        pause_s = _PAUSE_S
        while True:
            fate, is_there = await asyncio.gather(
                self.fate(lock, deadline), self._is_there(space_id, key, data, deadline)
            )
            if not isinstance(fate, Pending):
                break
            if not is_there:
                return True
            if over is not None and over.is_set():
                return False
            if self._clock.monotonic_s() >= until:
                fate = await self.give_up(lock, deadline)
                break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)
        await self.resolve(space_id, key, data, fate, deadline)
        return True

    async def _is_there(self, space_id: str, key: bytes, data: bytes, deadline: float) -> bool:
        """Returns whether a partition has this lock: a try that is undone takes its locks away, and leaves no fate."""
        rows = await self._driver.select(self.statements(space_id).get_header, (key,), deadline=deadline)
        return bool(rows) and rows[0][1] == data

    async def resolve(
        self,
        space_id: str,
        key: bytes,
        data: bytes,
        version: Version | None,
        deadline: float = NEVER,
        *,
        intent: Intent | None = None,
    ) -> None:
        """Carries out what a commit intends in a partition, or removes it; returns when its lock is gone.

        Args:
            space_id: the id of the space that is locked.
            key: the partition key of the table.
            data: the lock.
            version: by which the commit took effect; None where it never will.
            deadline: when to give up.
            intent: what it intends, where that is known.
        """
        lock = decode_lock(data)
        statements = self.statements(space_id)
        intent = intent or await self._intent(statements, key, lock, deadline)
        if intent is None:
            return  # Somebody else was faster: the intent goes together with the lock.
        if version is None:
            batch = [
                (statements.unlock, [key, data]),
                (statements.look_at_header, [key]),
                (statements.header, [key]),
                *given_up(statements, key, intent),
            ]
        else:
            self._versions.observe(version)
            batch = [
                (statements.time_under_lock, [hybrid_time(version), key, data]),
                (statements.header, [key]),
                (statements.fate, [CARRIED_OUT + version, key, lock.commit_id]),
                *carried_out(statements, key, lock.commit_id, version, intent),
            ]
        batch.append((statements.intent_done, [key, lock.nonce]))
        await self._finish(space_id, key, data, batch, deadline)
        if version is not None:
            place, time = (space_id, key), hybrid_time(version)
            self._partitions.learn_time(place, time)
            for write in intent.writes:
                self._partitions.learn_cells(place, write.sort, encode_cells(time, write.cells or {}))

    async def _intent(self, statements: Statements, key: bytes, lock: Lock, deadline: float) -> Intent | None:
        rows = await self._driver.select(statements.get_intent, (key, lock.nonce), deadline=deadline)
        return decode_intent(rows[0][0]) if rows and rows[0][0] is not None else None

    async def _finish(self, space_id: str, key: bytes, data: bytes, batch: Sequence[Bound], deadline: float) -> None:
        for _ in range(_TRIES_MAX):
            try:
                async with self._partitions.line((space_id, key), deadline):
                    shown = await self._driver.decide(batch, deadline=deadline)
            except Unsure:
                continue
            if shown is None or shown[0].get("lk") != data:
                return
        raise StoreUnavailable("a commit over several partitions could not be brought to its end in one of them")


def _judged(lock: Lock, fates: dict[bytes, bytes]) -> Version | Pending | None:
    fate = fates.get(lock.commit_id)
    if fate is not None and fate.startswith(COMMITTED):
        return version_of(fate) if nonce_of(fate) == lock.nonce else None
    if fate is not None or lock.commit_id + lock.nonce in fates:
        return None
    return PENDING
