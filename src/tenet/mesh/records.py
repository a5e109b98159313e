"""What the cluster is, as records: its authority, its nodes and its invitations. One partition of one space.

Everything lies in one partition, so that every change of it is one cheap commit on every engine, and one stamp tells
whether anything has changed. Formats are JSON with their version; fields may be added.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal

import msgspec
from msgspec import Struct

from tenet.mesh.channel import NodeId
from tenet.mesh.errors import NodeNameInvalid
from tenet.store.contract import Key, Range, Record, SpaceOptions, StampOf
from tenet.store.formats import decode_numbered
from tenet.wire.master import Sealed

SPACE: Final = "cluster"
OPTIONS: Final = SpaceOptions(stamps=True)
PARTITION: Final = b"nodes"
STAMP: Final = StampOf(SPACE, PARTITION)

CLUSTER: Final = Key(SPACE, PARTITION, b"authority")
_NODE: Final = b"node/"
_INVITATION: Final = b"invitation/"
#: Every node's record, and every invitation's.
NODES: Final = Range(_NODE, b"node0")
INVITATIONS: Final = Range(_INVITATION, b"invitation0")

#: Of the 64 digits of its secret's hash, so many name an invitation: 64 bits, which nobody draws twice.
INVITATION_ID_CHARS: Final = 16
NODE_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")

State = Literal["serving", "draining", "removed"]


class StoredCluster(Struct, frozen=True):
    """What every node of a cluster agrees upon, version 1.

    Args:
        version: of the format.
        authority: certificate of the authority that nodes' certificates are of, PEM.
        sealed: ``Secrets`` as JSON, encrypted under the master key.
        made_ms: when it was made, milliseconds since 1970.
        incoming: certificate of the authority that is to take its place, which nodes trust already; or empty.
        former: certificate of the authority whose place it has taken; or empty.
        former_until_ms: until when nodes trust the former one.
        led_by: node that leads the exchange of the authority, or has led the last one; empty where that is not known.
    """

    version: int
    authority: bytes
    sealed: Sealed
    made_ms: int
    incoming: bytes = b""
    former: bytes = b""
    former_until_ms: int = 0
    led_by: str = ""


class Secrets(Struct, frozen=True):
    """What every node has and nobody else may.

    Args:
        authority_key: private key of the cluster's authority, PEM.
        shared: contents of files that are the same on every node, by name.
        incoming_key: private key of the authority that is to take its place, PEM; or empty.
    """

    authority_key: bytes
    shared: dict[str, bytes]
    incoming_key: bytes = b""

    def __repr__(self) -> str:
        return f"Secrets(shared={sorted(self.shared)})"


class StoredNode(Struct, frozen=True):
    """A node, version 1.

    Args:
        version: of the format.
        state: whether it serves, lets go of its work, or is gone for good.
        address: ``HOST:PORT`` that others reach it at; empty until it has been started.
        joined_ms: when it became a member, milliseconds since 1970.
        key_sha256: fingerprint of its public key.
    """

    version: int
    state: State
    address: str
    joined_ms: int
    key_sha256: str


class StoredInvitation(Struct, frozen=True):
    """An invitation, version 1; its secret is not in it, it lies under the secret's hash.

    Args:
        version: of the format.
        made_ms: when it was made, milliseconds since 1970.
        expires_ms: until when it is good.
        used_by: the node that has used it; empty while none has.
        used_key_sha256: that node's public key.
        made_at: the node at which it was made; empty where a version made it that did not say so.
        authority_sha256: fingerprint of the authority that its token tells a machine to believe; empty likewise.
        withdrawn_ms: when it was withdrawn; 0 while it was not. It ended at that time then, also for a version that
            does not know this field.
    """

    version: int
    made_ms: int
    expires_ms: int
    used_by: str = ""
    used_key_sha256: str = ""
    made_at: str = ""
    authority_sha256: str = ""
    withdrawn_ms: int = 0


def node_key(node: NodeId) -> Key:
    """Returns where a node's record lies."""
    return Key(SPACE, PARTITION, _NODE + node.encode("ascii"))


def node_of_sort(sort: bytes) -> NodeId:
    """Returns the node whose record has this sort key."""
    return NodeId(sort.removeprefix(_NODE).decode("ascii"))


def invitation_key(secret: bytes) -> Key:
    """Returns where the invitation with a secret lies."""
    return Key(SPACE, PARTITION, _INVITATION + hashlib.sha256(secret).hexdigest().encode("ascii"))


def invitation_id(sort: bytes) -> str:
    """Returns how an invitation is named to an administrator: the beginning of its secret's hash, which is no secret.

    Args:
        sort: of its record.
    """
    return sort.removeprefix(_INVITATION)[:INVITATION_ID_CHARS].decode("ascii")


def invitations_named(name: str) -> Range:
    """Returns where an invitation lies that is named so: 16 of 0-9 and a-f, below which all of its hash sorts."""
    first = _INVITATION + name.encode("ascii")
    return Range(first, first + b"g")


def checked_name(name: str) -> NodeId:
    """Returns a node's id.

    Raises:
        NodeNameInvalid: it is none.
    """
    if not NODE_NAME.fullmatch(name):
        raise NodeNameInvalid(
            f"{name!r} cannot be a node's name: it has 1 to 64 of a-z, 0-9 and -, and begins and ends with one of the"
            " first two"
        )
    return NodeId(name)


def decode_cluster(record: Record) -> StoredCluster:
    """Returns what the record of the cluster says.

    Raises:
        StoreOfLaterVersion: a later version wrote it.
        StoreCorrupt: it is no such record.
    """
    return decode_numbered(record.value, StoredCluster, "the record of the cluster")


def decode_node(record: Record) -> StoredNode:
    """Returns what a node's record says; raises as ``decode_cluster`` does."""
    return decode_numbered(record.value, StoredNode, f"the record of the node {node_of_sort(record.sort)}")


def decode_invitation(record: Record) -> StoredInvitation:
    """Returns what an invitation's record says; raises as ``decode_cluster`` does."""
    return decode_numbered(record.value, StoredInvitation, "the record of an invitation")


def encode(stored: Struct) -> bytes:
    """Returns a record's value."""
    return msgspec.json.encode(stored)
