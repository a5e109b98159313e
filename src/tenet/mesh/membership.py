"""Which nodes there are and which of them live, as this node knows it: joins, watches others, and is watched.

What counts is in the store: a node is a member when its record says so, and dead when its record is evicted or gone.
So all nodes agree, in one order, about who was there when, and two halves that cannot reach each other cannot both
evict the other: an eviction checks in its commit that the evicting node has not been evicted itself. How nodes notice
that one is dead is in ``observing``; heartbeats go over the channel, and nothing is written while nothing changes.

Only a node itself comes back: when it finds that it was evicted, it gives up everything that it holds, and joins again
as another incarnation as soon as it hears of most of the others; after the second eviction it waits longer each time.
So a node that is paused, or starved again and again, is not declared dead and alive in a loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
from tenet.mesh.channel import Channel, NodeId
from tenet.mesh.member_store import MemberStore
from tenet.mesh.members import Member, View, member_key
from tenet.mesh.observing import Observations, StoreSeen, Timings, observers_of
from tenet.mesh.tasks import Tasks
from tenet.mesh.watching import Beat, Watching
from tenet.store.contract import IsVersion, Store
from tenet.store.errors import StoreError

_DEFAULTS: Final = Timings()
_CHANGED: Final = "member.changed"
#: How long a node waits that was evicted for the second time; twice as long each time after.
_HOLD_S: Final = 1.0
_HOLD_MAX_S: Final = 60.0
#: For how long the record of a dead node is kept, so that whoever reads it sees what became of it.
_KEPT_MS: Final = 24 * 3_600_000
#: A call of the store that ends so much before its time, seconds, was refused; else it was late.
_REFUSED_S: Final = 0.05
#: What an operator is told of the store.
_STORE: Final = {
    StoreSeen.ANSWERS: "the store answers this node again",
    StoreSeen.LATE: "the store answers this node too late: its background jobs rest",
    StoreSeen.LOST: "the store does not answer this node: its background jobs rest",
}

_log = structlog.get_logger(__name__)


class Standing(Enum):
    """What the others hold of this node."""

    OUTSIDE = "outside"  # has not joined yet, or has left
    UP = "up"
    EVICTED = "evicted"  # joins again by itself
    DISPLACED = "displaced"  # another process has joined as the same node, or an operator has removed it


class Membership:
    """This node among the others.

    Args:
        store: where the members are.
        channel: how nodes talk to each other.
        clock: time.
        ids: for commit ids.
        address: ``HOST:PORT`` at which other nodes reach this one.
        release: the version of Tenet, for people.
        timings: how fast nodes watch each other; the same on all of them.
    """

    def __init__(
        self,
        store: Store,
        channel: Channel,
        *,
        clock: Clock,
        ids: Ids,
        address: str,
        release: str = "",
        timings: Timings = _DEFAULTS,
    ) -> None:
        self.view = View()
        self.standing = Standing.OUTSIDE
        self._stored = MemberStore(store, clock=clock, ids=ids)
        self._channel = channel
        self._clock = clock
        self._timings = timings
        self._joined = 0
        self._me = Member(node=channel.node, incarnation=f"{channel.incarnation}.0", address=address, release=release)
        self._observations = Observations(channel.node, timings, now_s=clock.monotonic_s())
        self._watching = Watching(channel, self._observations, self, clock=clock, timings=timings)
        self._listeners: list[Callable[[], None]] = []
        self._tasks = Tasks()
        self._wake = asyncio.Event()
        self._read = asyncio.Lock()
        #: How many reads of the members have begun, and the number of the last one that was answered, from 1.
        self._reads_begun = 0
        self._last_read = 0
        #: The number of the last read, if it failed, and how.
        self._failed_read: tuple[int, StoreError] | None = None
        self._dialled: dict[NodeId, str] = {}
        self._beaten_s = -NEVER
        self._was_sure = True
        self._store_seen = StoreSeen.ANSWERS
        #: How long a read of the members may take at present, seconds.
        self._patience_s = timings.call_s
        self._evicted_s: list[float] = []
        self._counts = {"evicted_others": 0, "was_evicted": 0, "was_away": 0, "failed_reads": 0}

    # ---- what others ask ---------------------------------------------------------------------------------------------

    @property
    def node(self) -> NodeId:
        """This node."""
        return self._channel.node

    @property
    def incarnation(self) -> str:
        """This node's incarnation, as its record has it."""
        return self._me.incarnation

    @property
    def sure_until_s(self) -> float:
        """Until when this node cannot have been evicted by a majority, in seconds on the monotonic clock.

        It is past while the store does not answer, so that this node rests before others do its work.
        """
        if self.standing is not Standing.UP:
            return -NEVER
        return self._observations.sure_until_s(self.view.up)

    def in_touch(self, node: NodeId) -> bool:
        """Whether this node has lately heard of another one."""
        return self._observations.in_touch(node, self._clock.monotonic_s())

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls the listener whenever the view has changed, or this node is sure of itself or no longer; forever."""
        self._listeners.append(listener)

    async def is_gone(self, node: str, incarnation: str) -> bool:
        """Whether an incarnation of a node is dead; a read of the store where this node's view does not know it.

        Raises:
            StoreError: the store could not say.
        """
        if self.view.is_evicted(node, incarnation):
            # For good: it never comes again, so that no newer view can say anything else.
            return True
        if not self.view.is_up(node, incarnation):
            await self.refresh()
        return not (self.view.is_up(node, incarnation) or self.view.is_unknown(node))

    def figures(self) -> Mapping[str, int]:
        """What it did and how many members there are, for metrics."""
        up = len(self.view.up)
        return {**self._counts, "up": up, "dead": len(self.view.members) - up}

    # ---- joining and leaving -----------------------------------------------------------------------------------------

    async def join(self, jobs: Mapping[str, int] | None = None) -> None:
        """Becomes a member, and watches the others from now on.

        Args:
            jobs: the background jobs that it can do, by name, with the number of their shards.

        Raises:
            StoreError: the store could not serve; it has not joined.
        """
        if jobs is not None:
            self._me = replace(self._me, jobs=jobs)
        # Until now it was not away, it was not there.
        self._observations.look(self._clock.monotonic_s())
        self._watching.open()
        self._channel.receive(_CHANGED, self._take_change)
        # A first start makes the table of it, which takes a distributed store its time.
        await self._stored.ensure(deadline=NEVER)
        # What was known before belongs to another life, perhaps of a store that was restored since.
        self.view = View()
        await self.refresh()
        while not await self._write_up():
            await self.refresh()
        self._tasks.start("watch", self._watch())
        self._tasks.start("keep up", self._keep_up())

    async def _write_up(self) -> bool:
        """Writes that this node is up, as an incarnation that has not been there before; returns whether it could."""
        # Whether it lands or not: an incarnation that others may have seen, and evicted, is never written again.
        self._joined += 1
        me = replace(
            self._me, incarnation=f"{self._channel.incarnation}.{self._joined}", state="up", evicted_by="", evicted_ms=0
        )
        if not await self._stored.put(me, self.view.versions.get(self.node), deadline=self._deadline()):
            return False
        self._me = replace(me, jobs=self._me.jobs, is_draining=self._me.is_draining)
        self.standing = Standing.UP
        await self._spread_change()
        # What was declared meanwhile is not in what was written.
        await self.declare()
        return True

    async def declare(self, *, jobs: Mapping[str, int] | None = None, is_draining: bool | None = None) -> None:
        """Says something else of this node, now or as soon as it is a member; nothing is written where it is as it was.

        Args:
            jobs: see ``join``; None: as before.
            is_draining: whether it wants to have no jobs any more; None: as before.

        Raises:
            StoreError: the store could not serve; whether it is said is known at the next look at ``view``.
        """
        self._me = replace(
            self._me,
            jobs=self._me.jobs if jobs is None else jobs,
            is_draining=self._me.is_draining if is_draining is None else is_draining,
        )
        while self.standing is Standing.UP:
            known = self.view.members.get(self.node, self._me)
            said = replace(known, jobs=self._me.jobs, is_draining=self._me.is_draining)
            if said == known:
                return
            if await self._stored.put(said, self.view.versions.get(self.node), deadline=self._deadline()):
                await self._spread_change()
                return
            await self.refresh()

    async def leave(self) -> None:
        """Stops watching and is no member any more; what it held can be taken by others at once. Safe to repeat.

        Raises:
            StoreError: the store could not serve; the others will find out by themselves.
        """
        await self._tasks.close()
        self.standing = Standing.OUTSIDE
        # Before anything is waited for: what it holds it may not use any more.
        self._notify()
        is_removed = False
        while not is_removed and self._record_is_mine():
            is_removed = await self._stored.remove(self.node, self.view.versions[self.node], deadline=self._deadline())
            self.view = await self._stored.load(deadline=self._deadline())
        self._tell_change()
        self._notify()

    async def expel(self, node: NodeId) -> None:
        """Removes another node's record for good; where its process lives, it gives up everything and stays outside.

        Raises:
            StoreError: the store could not serve; whether it is removed is known at the next look at ``view``.
        """
        await self.refresh()
        while node in self.view.versions and node != self.node:
            if await self._stored.remove(node, self.view.versions[node], deadline=self._deadline()):
                await self._spread_change()
                return
            await self.refresh()

    async def close(self) -> None:
        """Stops watching, and leaves its record as it is."""
        await self._tasks.close()
        self.standing = Standing.OUTSIDE
        self._notify()

    def _deadline(self) -> float:
        return self._clock.monotonic_s() + self._timings.call_s

    # ---- the view ----------------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Reads who the members are. Whoever calls gets what was true after the call began.

        One read serves all who called before it began: a node that dies leaves hundreds of leases, and who takes them
        asks for each.

        Raises:
            StoreError: the store could not say.
        """
        called = self._reads_begun
        async with self._read:
            if self._last_read > called:
                return
            if self._failed_read is not None and self._failed_read[0] > called:
                raise self._failed_read[1]
            self._reads_begun += 1
            asked_s = self._clock.monotonic_s()
            until_s = asked_s + self._patience_s
            try:
                view = await self._stored.load(deadline=until_s)
            except StoreError as error:
                self._failed_read = self._reads_begun, error
                self._note_miss(until_s)
                raise
            if self._clock.monotonic_s() - asked_s < self._timings.call_s:
                self._patience_s = self._timings.call_s
            self._last_read, self._failed_read = self._reads_begun, None
            self._observations.read(asked_s)
            self._adopt(view)

    def _note_miss(self, until_s: float) -> None:
        """Takes note that a read failed that was given until then: whoever is slow has more time at the next one."""
        now_s = self._clock.monotonic_s()
        if now_s < until_s - _REFUSED_S:
            return  # It was refused, and so it is no matter of time.
        self._observations.late(now_s)
        self._patience_s = min(2 * self._patience_s, self._timings.storeless_s - self._timings.call_s)

    def _adopt(self, view: View) -> None:
        if view.epoch < self.view.epoch:
            return
        is_changed = view != self.view
        self.view = view
        self._dial()
        now_s = self._clock.monotonic_s()
        up = {node: view.members[node].incarnation for node in sorted(view.up) if node != self.node}
        self._observations.expect(up, now_s)
        self._look_at_own_record(now_s)
        if is_changed:
            self._notify()

    def _record_is_mine(self) -> bool:
        mine = self.view.members.get(self.node)
        return mine is not None and mine.process == self._channel.incarnation

    def _look_at_own_record(self, now_s: float) -> None:
        if self.standing not in {Standing.UP, Standing.EVICTED}:
            return
        mine = self.view.members.get(self.node)
        if mine is None and self.standing is Standing.EVICTED:
            return  # forgotten, after it was dead for long; it may come back as if it were new
        if mine is None or not self._record_is_mine():
            self.standing = Standing.DISPLACED
            _log.error("this node is no member any more", node=self.node, why="removed" if mine is None else "replaced")
        elif mine.state == "evicted" and self.standing is Standing.UP:
            self.standing = Standing.EVICTED
            self._counts["was_evicted"] += 1
            self._evicted_s = [at_s for at_s in self._evicted_s if now_s - at_s < self._timings.forgive_s] + [now_s]
            _log.warning("this node was evicted", node=self.node, by=mine.evicted_by, times=len(self._evicted_s))

    def _dial(self) -> None:
        """Keeps connections with all members, evicted ones too, since they come back."""
        wanted = {node: member.address for node, member in self.view.members.items() if node != self.node}
        for node, address in self._dialled.items():
            if wanted.get(node) != address:
                self._channel.forget(address, node)
        for node, address in sorted(wanted.items()):
            if self._dialled.get(node) != address:
                self._channel.dial(address, node)
        self._dialled = wanted

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    async def _spread_change(self) -> None:
        """Reads what this node has just written, and tells the others that there is something new."""
        await self.refresh()
        self._tell_change()

    def _tell_change(self) -> None:
        body = self._watching.say()
        for peer in self._channel.peers():
            self._channel.notify(peer.node, _CHANGED, body)

    def _take_change(self, _: NodeId, body: bytes) -> None:
        self.hear_epoch(msgspec.json.decode(body, type=Beat).epoch)

    def hear_epoch(self, epoch: int) -> None:
        """Reads the members again soon, if somebody has a newer view of them."""
        if epoch > self.view.epoch:
            self._wake.set()

    async def _keep_up(self) -> None:
        """Reads the members when they have changed, and now and then; comes back after an eviction."""
        while True:
            try:
                async with asyncio.timeout(self._rest_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.refresh()
                await self._forget_long_dead()
                if self.standing is Standing.EVICTED and self._may_come_back(self._clock.monotonic_s()):
                    self._observations.begin_again(self._clock.monotonic_s())
                    await self._write_up()
            except StoreError:
                self._counts["failed_reads"] += 1
                await asyncio.sleep(self._timings.lonely_poll_s)
                self._wake.set()

    async def _forget_long_dead(self) -> None:
        """Removes the record of a node that was evicted long ago; where it comes back, it joins as a new one."""
        long_ago_ms = self._clock.wall_ms() - _KEPT_MS
        for node, member in self.view.members.items():
            if member.state == "evicted" and member.evicted_ms < long_ago_ms and self.standing is Standing.UP:
                if await self._stored.remove(node, self.view.versions[node], deadline=self._deadline()):
                    _log.info("a node that is dead for long is forgotten", node=node)
                self._wake.set()
                return

    def _rest_s(self) -> float:
        now_s = self._clock.monotonic_s()
        is_calm = self.sure_until_s > now_s and not self._observations.silent(now_s)
        return self._timings.poll_s if is_calm else self._timings.lonely_poll_s

    def _may_come_back(self, now_s: float) -> bool:
        since_s, times = now_s - self._evicted_s[-1], len(self._evicted_s)
        others = [node for node in self.view.up if node != self.node]
        touched = sum(self._observations.in_touch(node, now_s) for node in others)
        if touched * 2 > len(others) or not others:
            return since_s >= (0.0 if times == 1 else min(_HOLD_MAX_S, _HOLD_S * 2.0 ** (times - 2)))
        return since_s >= min(self._timings.rest_max_s, self._timings.rest_s * 2.0 ** (times - 1))

    # ---- watching ----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            now_s = self._watching.look()
            self._watching.hear_channel()
            if now_s - self._beaten_s >= self._timings.heartbeat_s:
                self._beaten_s = now_s
                for observer in observers_of(self.node, self.view.up):
                    self._tasks.start(("beat", observer), self._watching.beat(observer))
            for subject in self._observations.silent(now_s):
                if self.standing is Standing.UP and self.node in observers_of(subject, self.view.up):
                    self._tasks.start(("judge", subject), self._watching.judge(subject))
            self._look_at_stores(now_s)
            is_sure = self.sure_until_s > now_s
            if is_sure is not self._was_sure:
                self._was_sure = is_sure
                self._wake.set()
                self._notify()
            await asyncio.sleep(self._timings.tick_s)

    def _look_at_stores(self, now_s: float) -> None:
        """Evicts those that the store does not answer, and tells the operator where that is this node."""
        for subject in self._observations.storeless(now_s):
            if self.standing is Standing.UP and self.node in observers_of(subject, self.view.up):
                why = "the store answers others and not it"
                evicting = self.evict(self.view, self.view.members[subject], why=why)
                self._tasks.start(("evict", subject), evicting)
        seen = self._observations.store_seen(now_s)
        if seen is not self._store_seen:
            self._store_seen = seen
            say = _log.warning if seen is StoreSeen.ANSWERS else _log.error
            say(_STORE[seen], node=self.node)

    def come_back(self) -> None:
        """Looks at once whether the others have evicted this node while it was away."""
        self._counts["was_away"] += 1
        self._wake.set()

    async def evict(self, view: View, subject: Member, *, why: str) -> None:
        """Writes that a node is dead, if neither it nor this node has changed since the view."""
        evicted = replace(subject, state="evicted", evicted_by=self.node, evicted_ms=self._clock.wall_ms())
        mine = IsVersion(member_key(self.node), view.versions[self.node])
        try:
            is_done = await self._stored.put(
                evicted, view.versions[subject.node], checks=[mine], deadline=self._deadline()
            )
            if is_done:
                self._counts["evicted_others"] += 1
                _log.warning("a node is dead", node=subject.node, found_by=self.node, why=why)
                await self._spread_change()
            else:
                await self.refresh()
        except StoreError as error:
            _log.warning("a dead node could not be evicted", node=subject.node, reason=error.message)
