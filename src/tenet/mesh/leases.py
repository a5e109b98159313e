"""Leases: who may do what is to be done by one node at a time, with a fencing token in the partition that is guarded.

A lease is a record, which names its holder. It is written when the lease is taken, moved or released, and never only to
keep it: whether the holder lives, membership knows. Its *token* is the record's version. Every write under the lease
checks it (``Lease.check``, or all writes of ``fenced.FencedStore``), so that a holder that was paused and wakes after
another has taken the lease writes nothing any more, however late, and whatever it believes.

So the token alone is what makes a lease safe (Kleppmann, "How to do distributed locking", 2016; Gray and Cheriton,
"Leases", 1989, for the rest). Membership decides only how soon a lease can be taken from a dead holder, and
``Lease.is_held`` only keeps a node from work that would be in vain; it stands in for the token where a lease guards
something outside the store, as far as clocks and a majority of the observers can be relied upon.

The records live on when a lease is released, so that its number grows for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
import structlog
from msgspec import Struct

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
from tenet.store.contract import Commit, Committed, IsVersion, Key, Put, Record, Store, Version
from tenet.store.errors import StoreCorrupt
from tenet.store.formats import refuse_later
from tenet.store.landing import land

_log = structlog.get_logger(__name__)

#: How long a call of the store may take, seconds, where the caller does not say.
_CALL_S: Final = 2.0
#: Within how long leases that are taken, or released, make one line of the log, seconds: a start takes dozens.
_TOLD_S: Final = 1.0
#: The latest format of a lease's record that is read.
_FORMAT: Final = 1


class Holding(Struct, frozen=True):
    """What the record of a lease says.

    Args:
        node: who holds it; empty: nobody.
        incarnation: of the holder, as membership has it.
        number: how often the lease has been taken: a fencing token for what is outside the store.
        format: the version of this record's format.
    """

    node: str = ""
    incarnation: str = ""
    number: int = 0
    format: int = 1


class Self(Protocol):
    """What leases have to know of this node and of others; ``Membership`` provides it."""

    @property
    def node(self) -> str:
        """This node."""
        ...

    @property
    def incarnation(self) -> str:
        """Its incarnation; another one after it was held to be dead."""
        ...

    @property
    def sure_until_s(self) -> float:
        """Until when others cannot hold it to be dead, seconds on the monotonic clock."""
        ...

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls the listener whenever one of these has changed."""
        ...

    async def is_gone(self, node: str, incarnation: str) -> bool:
        """Whether an incarnation of a node is dead for good."""
        ...


class Lease:
    """A lease that this node holds, or held. Made by ``Leases.take``.

    Args:
        key: where its record lies.
        token: the version of the record.
        number: how often it has been taken.
        incarnation: of this node, when it took it.
        me: this node.
        clock: time.
    """

    def __init__(self, key: Key, token: Version, number: int, incarnation: str, *, me: Self, clock: Clock) -> None:
        self.key = key
        self.token = token
        self.number = number
        self.incarnation = incarnation
        self._me = me
        self._clock = clock
        self._lost = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def check(self) -> IsVersion:
        """What every commit under the lease has to check; free where the commit writes to the lease's partition."""
        return IsVersion(self.key, self.token)

    def guarded(self, commit: Commit) -> Commit:
        """Returns the commit with the check of the lease behind its own, so that their indexes stay."""
        return Commit(
            commit.id,
            commit.writes,
            (*commit.checks, self.check),
            commit.appends,
            return_cells=commit.return_cells,
        )

    @property
    def is_lost(self) -> bool:
        """Whether it is certain that this node does not hold it any more."""
        return self._lost.is_set()

    @property
    def held_until_s(self) -> float:
        """Until when it is held, as far as is known now, seconds on the monotonic clock; past: it may be lost."""
        return -NEVER if self.is_lost else self._me.sure_until_s

    def is_held(self) -> bool:
        """Whether it is held now, as far as this node can know; see the module's head for what that is worth."""
        return self._clock.monotonic_s() < self.held_until_s

    def on_loss(self, listener: Callable[[], None]) -> None:
        """Calls the listener once, when it is certain that the lease is lost; at once, where it is already."""
        if self.is_lost:
            listener()
        else:
            self._listeners.append(listener)

    async def wait_lost(self) -> None:
        """Waits until it is certain that the lease is lost."""
        await self._lost.wait()

    def lose(self) -> None:
        """Takes note that this node does not hold it any more."""
        if self.is_lost:
            return
        self._lost.set()
        for listener in self._listeners:
            listener()

    def note(self, record: Record | None) -> None:
        """Takes note of the lease's record as it was read, or as a conflict showed it.

        A record that another writer has put again as it was is still this lease, under a new token.
        """
        holding = None if record is None else holding_of(self.key, record)
        if record is None or holding != Holding(self._me.node, self.incarnation, self.number):
            self.lose()
        else:
            self.token = record.version


class Leases:
    """The leases of this node.

    Args:
        store: where their records lie.
        me: this node among the others.
        clock: time.
        ids: for commit ids.
    """

    def __init__(self, store: Store, me: Self, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._me = me
        self._clock = clock
        self._ids = ids
        self._held: dict[Key, Lease] = {}
        self._taken = _Told("a lease is taken", "leases are taken")
        self._released = _Told("a lease is released", "leases are released")
        me.on_change(self._look)

    def _look(self) -> None:
        """Loses what was taken by an incarnation of this node that is gone."""
        for lease in [*self._held.values()]:
            if lease.incarnation != self._me.incarnation or self._me.sure_until_s == -NEVER:
                self._drop(lease)

    def _drop(self, lease: Lease) -> None:
        if self._held.get(lease.key) is lease:
            del self._held[lease.key]
        lease.lose()

    def held(self) -> tuple[Lease, ...]:
        """Returns those that this node holds, as far as it knows."""
        return tuple(self._held.values())

    async def take(self, key: Key, *, deadline: float | None = None) -> Lease | None:
        """Takes a lease, unless somebody else who lives holds it.

        It costs a read and a commit, and a read of the members where it has to be taken from somebody else.

        Args:
            key: where its record lies: in the partition that it guards, under a sort key that nothing else has. This
                node does not hold it.
            deadline: when to give up; two seconds from now by default.

        Returns:
            The lease; None: somebody else holds it, was faster, or this node is not sure that it lives.

        Raises:
            StoreError: the store could not serve. Perhaps it is taken; to take it again finds out.
        """
        until_s = self._clock.monotonic_s() + _CALL_S if deadline is None else deadline
        held = self._held.get(key)
        assert held is None or held.is_lost, f"{_name(key)} is taken twice"
        incarnation = self._me.incarnation
        if self._me.sure_until_s <= self._clock.monotonic_s():
            return None
        (record,) = await self._store.get((key,), deadline=until_s)
        before = Holding() if record is None else holding_of(key, record)
        if not await self._is_free(before):
            return None
        return await self._write(key, record, Holding(self._me.node, incarnation, before.number + 1), until_s)

    async def _is_free(self, holding: Holding) -> bool:
        if not holding.node:
            return True
        if holding.node == self._me.node and holding.incarnation == self._me.incarnation:
            # This node's own: its answer was lost, or a task of it was cancelled while it took it.
            return True
        return await self._me.is_gone(holding.node, holding.incarnation)

    async def _write(self, key: Key, record: Record | None, mine: Holding, deadline: float) -> Lease | None:
        check = IsVersion(key, None if record is None else record.version)
        put = Put(key, msgspec.json.encode(mine))
        outcome = await land(self._store, (put,), (check,), clock=self._clock, ids=self._ids, deadline=deadline)
        if not isinstance(outcome, Committed) or mine.incarnation != self._me.incarnation:
            return None
        lease = Lease(key, outcome.version, mine.number, mine.incarnation, me=self._me, clock=self._clock)
        self._held[key] = lease
        self._taken.note(_name(key), mine.number)
        return lease

    async def release(self, key: Key, *, deadline: float | None = None) -> None:
        """Makes sure that this node does not hold a lease, so that anybody can take it at once; a read and a commit.

        It does so too where nobody knows whether ``take`` took it. From the call on, nothing can be written under it.

        Args:
            key: where its record lies.
            deadline: when to give up; two seconds from now by default.

        Raises:
            StoreError: the store could not serve. To release it again finds out.
        """
        until_s = self._clock.monotonic_s() + _CALL_S if deadline is None else deadline
        lease = self._held.pop(key, None)
        if lease is not None:
            lease.lose()
        while True:
            (record,) = await self._store.get((key,), deadline=until_s)
            holding = Holding() if record is None else holding_of(key, record)
            if record is None or (holding.node, holding.incarnation) != (self._me.node, self._me.incarnation):
                return
            put = Put(key, msgspec.json.encode(Holding(number=holding.number)))
            check = IsVersion(key, record.version)
            outcome = await land(self._store, (put,), (check,), clock=self._clock, ids=self._ids, deadline=until_s)
            if isinstance(outcome, Committed):
                self._released.note(_name(key), holding.number)
                return

    def tell(self) -> None:
        """Writes to the log at once what has been taken and released."""
        self._taken.tell()
        self._released.tell()


class _Told:
    """Puts what happens to many leases within a moment into one line of the log; each is one at the level of debugging.

    Args:
        one: what is said of one lease.
        several: what is said of more.
    """

    def __init__(self, one: str, several: str) -> None:
        self._one = one
        self._several = several
        self._noted: list[tuple[str, int]] = []
        self._timer: asyncio.TimerHandle | None = None

    def note(self, lease: str, number: int) -> None:
        """Takes note of a lease and how often it has been taken."""
        self._noted.append((lease, number))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TOLD_S, self.tell)

    def tell(self) -> None:
        """Writes what was noted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        noted, self._noted = self._noted, []
        if len(noted) == 1:
            _log.info(self._one, lease=noted[0][0], number=noted[0][1])
        elif noted:
            _log.info(self._several, count=len(noted))
            for lease, number in noted:
                _log.debug(self._one, lease=lease, number=number)


def holding_of(key: Key, record: Record) -> Holding:
    """Returns what the record of a lease says.

    Raises:
        StoreCorrupt: it is no such record.
        StoreOfLaterVersion: a later version wrote it.
    """
    try:
        found = msgspec.json.decode(record.value, type=Holding)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"the record of the lease {_name(key)} cannot be read: {error}") from error
    refuse_later(f"the record of the lease {_name(key)}", found.format, _FORMAT)
    return found


def _name(key: Key) -> str:
    return "/".join(
        (key.space, *(part.decode(errors="backslashreplace") for part in (key.partition, key.sort) if part))
    )
