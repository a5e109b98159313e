"""Decides who is silent, who vouches for whom, and for how long this node can be sure of itself. No I/O, no clock.

The rules:

1. A node is watched by its *observers*, `OBSERVERS_MAX` of the members that are up (all of them where there are no
   more), chosen by rendezvous hashing as every node works it out alone (the observers of Rapid, Suresh et al., 2018).
2. It is *silent* for an observer that has had nothing from it for ``silent_s``. The observer then asks it directly, and
   the other observers whether they have heard of it (the indirect probes of SWIM, Das et al., 2002).
3. Whoever has heard of it *vouches* for it, and nothing happens: one way by which it can be reached is enough.
4. It is evicted when more than half of its observers deny having heard of it and nobody vouches. Where no such majority
   can be asked, the observer waits for ``grace_s`` more, and twice that where the silent one has been a member for
   longer: of two sides that cannot reach each other, the one with more nodes is faster.
5. A node that finds that it has itself been away (paused, or starved of CPU) blames nobody: it listens anew for
   ``silent_s``, and abstains where others ask it (the local health of Lifeguard, Dadgar et al., 2018).
6. A node is *sure of itself* as long as so many of its observers have lately answered it that the others are no
   majority. Until then rule 4 cannot have evicted it by a majority.
7. A node which the store has not answered for ``storeless_s`` is not sure of itself. If the store refused it, it says
   so in its heartbeats; if it is merely late to answer, after ``slow_s``. An observer that has heard it say so for
   ``storeless_s``, while the store answered the observer all that time, evicts it. So a store that is out of
   everybody's reach evicts nobody, neither while it is away nor when it comes back, nor does one that is overloaded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct

from tenet.base.clock import NEVER
from tenet.mesh.channel import NodeId
from tenet.mesh.rendezvous import ranked

OBSERVERS_MAX: Final = 7


class Timings(Struct, frozen=True, kw_only=True):
    """How fast nodes watch each other, in seconds.

    Args:
        heartbeat_s: how often a node tells its observers that it lives.
        tick_s: how often it looks who is silent.
        silent_s: after how long of hearing nothing it asks others; more than twice ``heartbeat_s``.
        probe_s: how long it waits for what it has asked.
        grace_s: how much longer it waits where no majority of the observers can be asked.
        late_s: a tick that comes so much too late shows that the node has been away.
        poll_s: how often the members are read although nothing says that they have changed.
        lonely_poll_s: how often they are read while somebody is silent, or this node is not sure of itself.
        call_s: how long one call of the store may take.
        rest_s: how long an evicted node that hears of nobody waits before it joins all the same.
        rest_max_s: the longest time that it waits, after being evicted often.
        forgive_s: after how long an eviction does not count any more.
        storeless_s: after how long without an answer of the store a node rests and says so, and for how long its
            observers hear it say so before they evict it; more than ``poll_s`` and two calls of the store.
        slow_s: for how long a store whose answers come too late is taken for slow, and not for lost.
    """

    heartbeat_s: float = 0.2
    tick_s: float = 0.1
    silent_s: float = 0.8
    probe_s: float = 0.2
    grace_s: float = 2.5
    late_s: float = 0.3
    poll_s: float = 2.0
    lonely_poll_s: float = 0.3
    call_s: float = 1.0
    rest_s: float = 30.0
    rest_max_s: float = 600.0
    forgive_s: float = 600.0
    storeless_s: float = 5.0
    slow_s: float = 30.0


class Vote(Enum):
    """What an observer says about another node; who does not answer says nothing."""

    VOUCHES = "vouches"
    DENIES = "denies"
    ABSTAINS = "abstains"


class StoreSeen(Enum):
    """How the store answers a node."""

    ANSWERS = "answers"
    LATE = "late"
    LOST = "lost"


def observers_of(subject: NodeId, up: Collection[NodeId]) -> tuple[NodeId, ...]:
    """Returns who watches a node, of those that are up."""
    others = [node for node in up if node != subject]
    return tuple(NodeId(node) for node in ranked(f"observe/{subject}", others)[:OBSERVERS_MAX])


class _Known:
    """What this node has seen of one incarnation of another.

    Args:
        incarnation: which one.
        seen_s: since when it is known.
    """

    __slots__ = ("answered_s", "heard_s", "incarnation", "seen_s", "storeless_s", "storeless_since_s")

    def __init__(self, incarnation: str, seen_s: float) -> None:
        self.incarnation = incarnation
        self.seen_s = seen_s
        #: When it was last heard; None: never.
        self.heard_s: float | None = None
        #: When the last message was sent that it answered; None: never.
        self.answered_s: float | None = None
        #: When it said last that the store does not answer it, and since when it has said nothing else; None: it does.
        self.storeless_s: float | None = None
        self.storeless_since_s: float | None = None


class Observations:
    """What a node has heard of others. All times are seconds on its monotonic clock.

    Args:
        me: this node.
        timings: how fast.
        now_s: now.
    """

    def __init__(self, me: NodeId, timings: Timings, *, now_s: float) -> None:
        self._me = me
        self._timings = timings
        self._known: dict[NodeId, _Known] = {}
        self._silent_since_s: dict[NodeId, float] = {}
        self._looked_s = now_s
        #: Before this, silence is this node's own fault.
        self._back_s = now_s
        #: When the store answered last, and since when it has done so without a gap.
        self._read_s = now_s
        self._reached_s = now_s
        #: When it was last late, which is another thing than to refuse: it may have too much to do.
        self._late_s = -NEVER

    # ---- what is heard -----------------------------------------------------------------------------------------------

    def look(self, now_s: float) -> bool:
        """Takes note that the node is at work; returns whether it finds that it has been away since the last time."""
        was_away = now_s - self._looked_s > self._timings.tick_s + self._timings.late_s
        self._looked_s = now_s
        if was_away:
            self._back_s = now_s
            self._silent_since_s.clear()
        return was_away

    def expect(self, others: dict[NodeId, str], now_s: float) -> None:
        """Takes note of who is up, with their incarnations; forgets the others."""
        for node in [node for node, known in self._known.items() if others.get(node) != known.incarnation]:
            del self._known[node]
            self._silent_since_s.pop(node, None)
        for node, incarnation in others.items():
            self._known.setdefault(node, _Known(incarnation, now_s))

    def hear(self, node: NodeId, heard_s: float) -> None:
        """Takes note that something came from a node. What came before it was known says nothing about it."""
        known = self._known.get(node)
        if known is not None and heard_s >= known.seen_s and (known.heard_s is None or heard_s > known.heard_s):
            known.heard_s = heard_s

    def answered(self, node: NodeId, sent_s: float, now_s: float) -> None:
        """Takes note that a node answered what was sent to it at a time."""
        known = self._known.get(node)
        if known is not None:
            known.answered_s = max(sent_s, known.answered_s or 0.0)
            self.hear(node, now_s)

    def read(self, asked_s: float) -> None:
        """Takes note that the store answered what it was asked at a time."""
        if not self.is_answered(asked_s):
            self._reached_s = asked_s
        self._read_s = max(asked_s, self._read_s)

    def late(self, now_s: float) -> None:
        """Takes note that the store did not answer in time, and did not refuse either."""
        self._late_s = now_s

    def hear_of_store(self, node: NodeId, *, has_store: bool, now_s: float) -> None:
        """Takes note of what a node says of its store."""
        known = self._known.get(node)
        if known is None:
            return
        known.storeless_s = None if has_store else now_s
        if has_store:
            known.storeless_since_s = None
        elif known.storeless_since_s is None:
            known.storeless_since_s = now_s

    # ---- what follows ------------------------------------------------------------------------------------------------

    def in_touch(self, node: NodeId, now_s: float) -> bool:
        """Whether a node has been heard lately."""
        known = self._known.get(node)
        return known is not None and known.heard_s is not None and now_s - known.heard_s < self._timings.silent_s

    def silent(self, now_s: float) -> list[NodeId]:
        """Returns those of which nothing was heard for too long."""
        found = []
        for node, known in self._known.items():
            last_s = max(known.heard_s or 0.0, known.seen_s, self._back_s)
            if now_s - last_s < self._timings.silent_s:
                self._silent_since_s.pop(node, None)
            else:
                self._silent_since_s.setdefault(node, now_s)
                found.append(node)
        return found

    def is_answered(self, now_s: float) -> bool:
        """Whether the store has answered this node lately."""
        return now_s - self._read_s < self._timings.storeless_s

    def store_seen(self, now_s: float) -> StoreSeen:
        """Returns what this node can say of the store."""
        if self.is_answered(now_s):
            return StoreSeen.ANSWERS
        is_late = now_s - self._late_s < self._timings.storeless_s and now_s - self._read_s < self._timings.slow_s
        return StoreSeen.LATE if is_late else StoreSeen.LOST

    def has_store(self, now_s: float) -> bool:
        """Whether the store is not lost to this node: it has answered lately, or is merely late with its answers."""
        return self.store_seen(now_s) is not StoreSeen.LOST

    def storeless(self, now_s: float) -> list[NodeId]:
        """Returns those to be evicted, whom the store has not answered for long while it answered this node."""
        if not self.is_answered(now_s):
            return []
        return [node for node, known in self._known.items() if self._is_storeless(known, now_s)]

    def _is_storeless(self, known: _Known, now_s: float) -> bool:
        since_s, said_s = known.storeless_since_s, known.storeless_s
        if since_s is None or said_s is None or now_s - said_s >= self._timings.silent_s:
            return False
        return now_s - max(since_s, self._reached_s, self._back_s) >= self._timings.storeless_s

    def vote(self, subject: NodeId, now_s: float) -> Vote:
        """Returns what this node says when it is asked about another one."""
        known = self._known.get(subject)
        if known is None:
            return Vote.ABSTAINS
        if known.heard_s is not None and now_s - known.heard_s < self.sure_s:
            return Vote.VOUCHES
        return Vote.ABSTAINS if now_s - max(known.seen_s, self._back_s) < self.sure_s else Vote.DENIES

    @property
    def sure_s(self) -> float:
        """How long after a message came from a node its receiver vouches for it, seconds."""
        return self._timings.silent_s - self._timings.heartbeat_s

    def is_over(self, subject: NodeId, votes: Sequence[Vote], *, observers: int, is_senior: bool, now_s: float) -> bool:
        """Decides, as one of its observers, whether a silent node is to be evicted.

        Args:
            subject: which node.
            votes: what the other observers said.
            observers: how many there are, this node included.
            is_senior: whether it has been a member for longer than this node.
            now_s: now.
        """
        known, since_s = self._known.get(subject), self._silent_since_s.get(subject)
        if known is None or since_s is None or self.in_touch(subject, now_s):
            return False
        if Vote.VOUCHES in votes:
            self._silent_since_s[subject] = now_s
            return False
        denials = 1 + votes.count(Vote.DENIES)
        # Whoever has never heard of it may itself be what cannot be reached.
        if denials > observers // 2 and known.heard_s is not None:
            return True
        return now_s - since_s >= self._timings.grace_s * (2 if is_senior else 1)

    def begin_again(self, now_s: float) -> None:
        """Takes note that this node joins anew: whom it is not in touch with, it has never heard of."""
        for node, known in self._known.items():
            if not self.in_touch(node, now_s):
                self._known[node] = _Known(known.incarnation, now_s)
        self._silent_since_s.clear()

    def sure_until_s(self, up: Collection[NodeId]) -> float:
        """Returns until when nobody can have evicted this node by the rules 4, with a majority, and 7."""
        storeless_s = self._read_s + self._timings.storeless_s
        observers = observers_of(self._me, up)
        if not observers:
            return storeless_s
        bounds = sorted((self._bound_s(node) for node in observers), reverse=True)
        return min(bounds[(len(observers) + 1) // 2 - 1], storeless_s)

    def _bound_s(self, observer: NodeId) -> float:
        known = self._known.get(observer)
        if known is None:
            return -NEVER
        if known.answered_s is None:
            # It has not heard of this node, so that it has to wait for the grace before it may evict.
            return known.seen_s + self._timings.grace_s
        return known.answered_s + self.sure_s
