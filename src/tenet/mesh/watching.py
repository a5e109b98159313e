"""Sends and answers heartbeats, asks about nodes that are silent, and answers those who ask: the watching by messages.

What follows from what is heard, ``observing`` decides. Messages are JSON; unknown fields are ignored.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from tenet.base.clock import Clock
from tenet.mesh.channel import Channel, NodeId
from tenet.mesh.errors import MeshError
from tenet.mesh.members import Member, View
from tenet.mesh.observing import Observations, Timings, Vote, observers_of

_BEAT: Final = "member.beat"
_HEARD: Final = "member.heard"


class Beat(Struct, frozen=True):
    """A heartbeat, and the answer to one.

    Args:
        epoch: of the newest view that the sender has.
        incarnation: which one the sender is.
        has_store: whether the store answers it; True where its version does not say.
    """

    epoch: int
    incarnation: str
    has_store: bool = True


class _Asked(Struct, frozen=True):
    node: NodeId
    incarnation: str


class _Answered(Struct, frozen=True):
    vote: Vote


class Surroundings(Protocol):
    """What watching has to know of this node's membership, and tells it."""

    @property
    def view(self) -> View:
        """Who there is."""
        ...

    @property
    def incarnation(self) -> str:
        """This node's incarnation."""
        ...

    def hear_epoch(self, epoch: int) -> None:
        """Is told of the epoch of somebody's view."""
        ...

    def come_back(self) -> None:
        """Is told that this node has been away."""
        ...

    async def evict(self, view: View, subject: Member, *, why: str) -> None:
        """Is told that a node is over, as far as this node can know, why, and as of which view."""
        ...


class Watching:
    """This node's part in watching others, and being watched.

    Args:
        channel: how nodes talk to each other.
        observations: what it has heard of others.
        around: its membership.
        clock: time.
        timings: how fast.
    """

    def __init__(
        self, channel: Channel, observations: Observations, around: Surroundings, *, clock: Clock, timings: Timings
    ) -> None:
        self._channel = channel
        self._observations = observations
        self._around = around
        self._clock = clock
        self._timings = timings

    def open(self) -> None:
        """Answers others from now on."""
        self._channel.handle(_BEAT, self._take_beat)
        self._channel.handle(_HEARD, self._say_heard)

    def look(self) -> float:
        """Takes note that this node is at work, and returns the time."""
        now_s = self._clock.monotonic_s()
        if self._observations.look(now_s):
            self._around.come_back()
        return now_s

    def hear_channel(self) -> None:
        """Takes note of what the channel has heard."""
        for peer in self._channel.peers():
            member = self._around.view.members.get(peer.node)
            heard_s = self._channel.heard_s(peer.node)
            if heard_s is not None and member is not None and member.process == peer.incarnation:
                self._observations.hear(peer.node, heard_s)

    def say(self) -> bytes:
        """Returns what this node has to say of itself now, as a ``Beat``."""
        has_store = self._observations.has_store(self._clock.monotonic_s())
        return msgspec.json.encode(Beat(self._around.view.epoch, self._around.incarnation, has_store))

    async def beat(self, observer: NodeId) -> None:
        """Tells an observer that this node lives."""
        sent_s = self._clock.monotonic_s()
        try:
            answer = await self._channel.call(observer, _BEAT, self.say(), self._timings.silent_s)
        except MeshError:
            await asyncio.sleep(self._timings.tick_s)
            return
        self._note_answer(observer, msgspec.json.decode(answer, type=Beat), sent_s)

    def _note_answer(self, node: NodeId, beat: Beat, sent_s: float) -> None:
        self._around.hear_epoch(beat.epoch)
        if self._around.view.is_up(node, beat.incarnation):
            now_s = self._clock.monotonic_s()
            self._observations.answered(node, sent_s, now_s)
            self._observations.hear_of_store(node, has_store=beat.has_store, now_s=now_s)

    async def _take_beat(self, sender: NodeId, body: bytes) -> bytes:
        now_s = self.look()
        beat = msgspec.json.decode(body, type=Beat)
        self._around.hear_epoch(beat.epoch)
        if self._around.view.is_up(sender, beat.incarnation):
            self._observations.hear(sender, now_s)
            self._observations.hear_of_store(sender, has_store=beat.has_store, now_s=now_s)
        return self.say()

    # ---- judging -----------------------------------------------------------------------------------------------------

    async def judge(self, subject: NodeId) -> None:
        """Asks a silent node itself and its other observers, and evicts it where they agree."""
        view, incarnation = self._around.view, self._around.view.members[subject].incarnation
        observers = observers_of(subject, view.up)
        asked = _Asked(subject, incarnation)
        others = [node for node in observers if node != self._channel.node]
        _, *votes = await asyncio.gather(self._probe(subject), *(self._ask(node, asked) for node in others))
        now_s = self.look()
        self.hear_channel()
        is_over = self._observations.is_over(
            subject,
            [vote for vote in votes if vote is not None],
            observers=len(observers),
            is_senior=view.versions[subject] < view.versions[self._channel.node],
            now_s=now_s,
        )
        # The commit checks that both records are as they were in this view.
        if is_over and view.is_up(self._channel.node, self._around.incarnation):
            await self._around.evict(view, view.members[subject], why="nobody hears of it")

    async def _probe(self, subject: NodeId) -> None:
        sent_s = self._clock.monotonic_s()
        try:
            answer = await self._channel.call(subject, _BEAT, self.say(), self._timings.probe_s)
        except MeshError:
            return
        self._note_answer(subject, msgspec.json.decode(answer, type=Beat), sent_s)

    async def _ask(self, node: NodeId, asked: _Asked) -> Vote | None:
        try:
            answer = await self._channel.call(node, _HEARD, msgspec.json.encode(asked), self._timings.probe_s)
        except MeshError:
            return None
        return msgspec.json.decode(answer, type=_Answered).vote

    async def _say_heard(self, _: NodeId, body: bytes) -> bytes:
        now_s = self.look()
        self.hear_channel()
        asked = msgspec.json.decode(body, type=_Asked)
        is_known = self._around.view.is_up(asked.node, asked.incarnation)
        vote = self._observations.vote(asked.node, now_s) if is_known else Vote.ABSTAINS
        return msgspec.json.encode(_Answered(vote))
