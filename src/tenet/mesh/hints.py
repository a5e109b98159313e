"""Hints from node to node: what one node commits wakes watches on the others, within milliseconds.

``hinting.HintingStore`` wraps a node's engine. A watch that is made through it is told of what this node commits, by
the engine, and of what other nodes commit, by ``Hints``: each node tells the others which places it watches, and each
commit is told to the nodes that watch what it wrote. Nothing is asked, kept or sent where nobody watches.

A hint is never the only way to find out that something changed (``Store.watch``). So whatever is too much, too late or
lost here costs somebody a slower answer and nothing else: places are told by 64-bit hashes, a node that watches more
than `PLACES_MAX` places of a space is told of every commit into that space, one that watches more than `SPACES_MAX`
spaces of every commit at all, and notices that find no room are dropped.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from tenet.mesh.channel import Channel, NodeId, Peer
from tenet.mesh.errors import MeshError
from tenet.mesh.tasks import Tasks
from tenet.store.contract import Commit

#: Places that a node watches one by one in a space, and spaces, before it asks for more than it needs.
PLACES_MAX: Final = 4_096
SPACES_MAX: Final = 1_024
#: Places that wait to be told to one node; with more, their spaces are told instead.
PENDING_MAX: Final = 4_096
#: How long commits are gathered before they are told, seconds, and how long for a node to confirm what is asked of it.
GATHER_S: Final = 0.001
CONFIRM_S: Final = 1.0

_WANT: Final = "hints.want"
_TELL: Final = "hints.tell"
#: Stands for the whole space where a place is meant, and for all spaces where a space is.
_WHOLE: Final = 0
_ALL: Final = "*"
_NOTHING: Final[frozenset[int]] = frozenset()


class _Wanted(Struct, frozen=True):
    """What a node wants to be told of: for each space, the hashes of partitions; `_WHOLE` among them: all of them.

    Args:
        number: a later one replaces an earlier one.
        places: by space.
    """

    number: int
    places: Mapping[str, frozenset[int]]


class _Told(Struct, frozen=True):
    """What was committed into: for each space, the hashes of partitions; `_WHOLE` among them: any."""

    places: Mapping[str, set[int]]


class Place:
    """A place of which a node is told when something is committed into it.

    Args:
        space: the space's name.
        hash_: of the partition; 0 for the whole space.
    """

    __slots__ = ("event", "hash", "space")

    def __init__(self, space: str, hash_: int) -> None:
        self.space = space
        self.hash = hash_
        self.event = asyncio.Event()


class Hints:
    """Tells other nodes what this one commits, and is told what they do.

    Args:
        channel: how nodes talk to each other.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._number = 0
        #: What is watched here: by space and hash, in the order in which it was begun, in which all are told.
        self._watched: dict[str, dict[int, dict[Place, None]]] = {}
        #: What others watch: by node.
        self._wanted: dict[NodeId, _Wanted] = {}
        #: All spaces that any of the others watches, which is what a commit looks at first.
        self._spaces: frozenset[str] = frozenset()
        self._pending: dict[NodeId, dict[str, set[int]]] = {}
        self._is_gathering = False
        self._confirmed: dict[NodeId, tuple[str, int]] = {}
        self._tasks = Tasks()
        self._counts = {"told": 0, "notices": 0, "dropped": 0, "heard": 0}
        channel.handle(_WANT, self._take_want)
        channel.receive(_TELL, self._take_told)
        channel.on_up(self._begin_with)
        channel.on_down(self._end_with)
        for peer in channel.peers():
            self._begin_with(peer)

    def figures(self) -> Mapping[str, int]:
        """What it did since it was made, for metrics; ``told`` counts places, ``notices`` what was sent."""
        return {**self._counts, "watched": sum(len(places) for places in self._watched.values())}

    async def close(self) -> None:
        """Ends what goes on in the background."""
        await self._tasks.close()

    # ---- what is watched here ----------------------------------------------------------------------------------------

    def watch(self, space: str, partition: bytes | None) -> Place:
        """Begins to be told of commits into a place."""
        place = Place(space, _WHOLE if partition is None else place_hash(partition))
        of_space = self._watched.setdefault(space, {})
        if place.hash not in of_space:
            of_space[place.hash] = {}
            self._ask_again()
        of_space[place.hash][place] = None
        return place

    def end_watch(self, place: Place) -> None:
        """Ends it; safe to call twice."""
        of_space = self._watched.get(place.space, {})
        places = of_space.get(place.hash, {})
        places.pop(place, None)
        if not places and place.hash in of_space:
            del of_space[place.hash]
            if not of_space:
                del self._watched[place.space]
            self._ask_again()

    def _ask_again(self) -> None:
        self._number += 1
        for peer in self._channel.peers():
            self._tasks.start(("ask", peer.node), self._ask(peer.node))

    def _wish(self) -> _Wanted:
        if len(self._watched) > SPACES_MAX:
            return _Wanted(self._number, {_ALL: frozenset((_WHOLE,))})
        return _Wanted(
            self._number,
            {
                space: frozenset((_WHOLE,)) if len(places) > PLACES_MAX else frozenset(places)
                for space, places in self._watched.items()
            },
        )

    async def _ask(self, node: NodeId) -> None:
        """Tells a node what is wanted of it, until it has confirmed the last of it."""
        while True:
            # What is watched in the same moment is asked for together.
            await asyncio.sleep(GATHER_S)
            peer = next((peer for peer in self._channel.peers() if peer.node == node), None)
            wish = self._wish()
            if peer is None or self._confirmed.get(node) == (peer.incarnation, wish.number):
                return
            try:
                await self._channel.call(node, _WANT, msgspec.msgpack.encode(wish), CONFIRM_S)
            except MeshError:
                await asyncio.sleep(CONFIRM_S)
                continue
            self._confirmed[node] = (peer.incarnation, wish.number)

    def _take_told(self, _: NodeId, body: bytes) -> None:
        for space, hashes in msgspec.msgpack.decode(body, type=_Told).places.items():
            watched = self._watched.get(space, {})
            self._counts["heard"] += len(hashes)
            for hash_ in watched if _WHOLE in hashes else (*hashes, _WHOLE):
                for place in watched.get(hash_, ()):
                    place.event.set()

    # ---- what others watch -------------------------------------------------------------------------------------------

    def _begin_with(self, peer: Peer) -> None:
        self._end_with(peer)
        if self._watched:
            self._tasks.start(("ask", peer.node), self._ask(peer.node))

    def _end_with(self, peer: Peer) -> None:
        self._wanted.pop(peer.node, None)
        self._pending.pop(peer.node, None)
        self._confirmed.pop(peer.node, None)
        self._note_spaces()

    async def _take_want(self, sender: NodeId, body: bytes) -> bytes:
        wanted = msgspec.msgpack.decode(body, type=_Wanted)
        known = self._wanted.get(sender)
        if known is None or known.number <= wanted.number:
            self._wanted[sender] = wanted
            self._note_spaces()
        return b""

    def _note_spaces(self) -> None:
        self._spaces = frozenset(space for wanted in self._wanted.values() for space in wanted.places)

    def committed(self, commit: Commit) -> None:
        """Tells the other nodes that watch it that something was committed."""
        if not self._spaces:
            return
        seen: set[tuple[str, bytes]] = set()
        for change in (*commit.writes, *commit.appends):
            space, partition = change.key.space, change.key.partition
            if (space in self._spaces or _ALL in self._spaces) and (space, partition) not in seen:
                seen.add((space, partition))
                self._gather(space, place_hash(partition))

    def _gather(self, space: str, hash_: int) -> None:
        for node, wanted in self._wanted.items():
            hashes = wanted.places.get(space) or wanted.places.get(_ALL, _NOTHING)
            if hash_ not in hashes and _WHOLE not in hashes:
                continue
            pending = self._pending.setdefault(node, {})
            of_space = pending.setdefault(space, set())
            if len(of_space) >= PENDING_MAX:
                of_space.clear()
                of_space.add(_WHOLE)
            if _WHOLE not in of_space:
                of_space.add(hash_)
        if self._pending and not self._is_gathering:
            self._is_gathering = True
            asyncio.get_running_loop().call_later(GATHER_S, self._tell)

    def _tell(self) -> None:
        self._is_gathering = False
        pending, self._pending = self._pending, {}
        for node, places in pending.items():
            count = sum(len(hashes) for hashes in places.values())
            is_taken = self._channel.notify(node, _TELL, msgspec.msgpack.encode(_Told(places)))
            self._counts["notices"] += is_taken
            self._counts["told" if is_taken else "dropped"] += count


def place_hash(partition: bytes) -> int:
    """Returns the hash that stands for a partition, 1 to 2**64 - 1: the same on every node and in every version."""
    return int.from_bytes(hashlib.blake2b(partition, digest_size=8).digest(), "big") or 1
