"""What the store says about the nodes: the record of each one, and all of them together as a view.

A node's record is written when it joins, when what it says of itself changes, and when another node evicts it. It is
JSON; fields that a version does not know are ignored, and those that are missing have defaults, so that versions run
side by side.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from tenet.mesh.channel import NodeId
from tenet.store.contract import Key, Record, Version

#: The space of the members, and of leases that guard nothing in particular.
SPACE: Final = "membership"
#: All members lie in one partition, so that each change is one commit within it.
PARTITION: Final = b"members"
#: Beside the members: a record whose cell counts the changes.
EPOCH_KEY: Final = Key(SPACE, PARTITION)
EPOCH_CELL: Final = "epoch"
_NODE: Final = b"node/"
#: The latest format of a member's record that is read.
_FORMAT: Final = 1

State: TypeAlias = Literal["up", "evicted"]


class Member(Struct, frozen=True, kw_only=True):
    """What is known of a node.

    Args:
        node: its id.
        incarnation: names the time from one joining to the next eviction or end: the channel's incarnation, a dot, and
            how often the process has joined. It never comes again.
        address: ``HOST:PORT`` at which other nodes reach it.
        state: ``up``, or ``evicted`` by others who could not reach it. What is left out is gone.
        jobs: the background jobs that it can do, by name, with the number of shards that it knows each to have.
        is_draining: whether it wants to have no jobs any more.
        release: the version of Tenet that it runs, for people.
        evicted_by: who evicted it; empty where nobody has.
        evicted_ms: when, milliseconds since 1970-01-01 UTC; 0 where nobody has.
        format: the version of this record's format.
    """

    node: NodeId
    incarnation: str
    address: str = ""
    state: State = "up"
    jobs: Mapping[str, int] = {}
    is_draining: bool = False
    release: str = ""
    evicted_by: str = ""
    evicted_ms: int = 0
    format: int = 1

    @property
    def process(self) -> str:
        """The incarnation of its channel, which is that of its process."""
        return self.incarnation.partition(".")[0]


class View(Struct, frozen=True):
    """All members as of one moment.

    Args:
        epoch: counts the changes; of two views, the one with the larger epoch is newer.
        members: by node id.
        versions: of their records, by node id; of those that cannot be read, too.
    """

    epoch: int = 0
    members: Mapping[NodeId, Member] = {}
    versions: Mapping[NodeId, Version] = {}

    @property
    def up(self) -> frozenset[NodeId]:
        """Those that nobody has evicted."""
        return frozenset(node for node, member in self.members.items() if member.state == "up")

    def is_unknown(self, node: str) -> bool:
        """Whether a node's record cannot be read here, so that others have to decide about it."""
        return NodeId(node) in self.versions and NodeId(node) not in self.members

    def is_up(self, node: str, incarnation: str) -> bool:
        """Whether this very incarnation of a node is a member that nobody has evicted."""
        member = self.members.get(NodeId(node))
        return member is not None and member.state == "up" and member.incarnation == incarnation

    def is_evicted(self, node: str, incarnation: str) -> bool:
        """Whether this very incarnation of a node has been evicted, and the node has not come back since."""
        member = self.members.get(NodeId(node))
        return member is not None and member.state == "evicted" and member.incarnation == incarnation


def member_key(node: NodeId) -> Key:
    """Returns where the record of a node lies."""
    return Key(SPACE, PARTITION, _NODE + node.encode())


def encode_member(member: Member) -> bytes:
    """Returns a member's record."""
    return msgspec.json.encode(member)


_decoder: Final = msgspec.json.Decoder(Member)


def view_of(records: list[Record]) -> View:
    """Returns the view that the records of the partition make.

    A record that cannot be read (of a version that is too new) counts as no member: nothing is decided about it.
    """
    epoch = 0
    members: dict[NodeId, Member] = {}
    versions: dict[NodeId, Version] = {}
    for record in records:
        if record.sort == EPOCH_KEY.sort:
            epoch = record.cells.get(EPOCH_CELL, 0)
            continue
        node = NodeId(record.sort.removeprefix(_NODE).decode())
        versions[node] = record.version
        with contextlib.suppress(msgspec.DecodeError):
            member = _decoder.decode(record.value)
            if member.format <= _FORMAT:
                members[node] = member
    return View(epoch, members, versions)
