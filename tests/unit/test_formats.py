"""What a later version has stored is refused in words, or left to others; nothing of it is taken for something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.mesh.channel import NodeId
from tenet.mesh.errors import IdentityUnusable
from tenet.mesh.identity import Identity
from tenet.mesh.leases import holding_of
from tenet.mesh.members import Member, encode_member, member_key, view_of
from tenet.mesh.records import decode_cluster, decode_invitation, decode_node, node_key
from tenet.pipes.ops.catalog import decode_pipe
from tenet.pipes.ops.cursors import decode_cursor
from tenet.queues.ops.catalog import decode_queue
from tenet.queues.rules.move_tasks import decode_task
from tenet.queues.rules.stored import decode_segment
from tenet.store import expiry
from tenet.store.contract import Key, Put, Record, Version
from tenet.store.errors import StoreCorrupt, StoreOfLaterVersion
from tenet.store.formats import decode_numbered
from tenet.store.landing import land
from tenet.store.memory import MemoryEngine
from tenet.tables.ops.catalog import decode_table
from tenet.tables.ops.expiring import decode_position
from tenet.tables.ops.indexing.cursor import decode_kept
from tenet.tables.ops.indexing.fences import decode_mark
from tenet.tables.rules import stored
from tenet.wire.errors import MasterKeyUnusable
from tenet.wire.keys import SPACE, KeyRing
from tenet.wire.master import MasterKeys


def record(value: bytes, sort: bytes = b"node/n") -> Record:
    return Record(b"nodes", sort, value, Version(bytes(16)))


LATER_JSON = msgspec.json.encode({"version": 2, "format": 2, "state": {"now": "an object"}, "node": "n"})
NUMBERED = msgspec.json.encode({"format": 2})
LATER_BYTES = bytes((9,)) + bytes(40)

REFUSED: Mapping[str, Callable[[], Any]] = {
    "the record of the cluster has the format 2": lambda: decode_cluster(record(LATER_JSON)),
    "the record of the node n has the format 2": lambda: decode_node(record(LATER_JSON)),
    "the record of an invitation has the format 2": lambda: decode_invitation(record(LATER_JSON)),
    "the record of the lease s/p has the format 2": lambda: holding_of(Key("s", b"p"), record(NUMBERED)),
    "a table's description has the format 9": lambda: decode_table(LATER_BYTES),
    "the cursor of an index keeper has the format 9": lambda: decode_kept(record(LATER_BYTES)),
    "the position of a look for expired items has the format 9": lambda: decode_position(LATER_BYTES),
    "the mark of an index keeper has the format 9": lambda: decode_mark(LATER_BYTES),
    "a queue's description has the format 9": lambda: decode_queue(LATER_BYTES),
    "a pipe's description has the format 9": lambda: decode_pipe(LATER_BYTES),
    "a pipe's cursor has the format 9": lambda: decode_cursor(LATER_BYTES),
    "a message movement task has the format 9": lambda: decode_task(LATER_BYTES),
    "a record of a queue has the format 9": lambda: decode_segment(LATER_BYTES),
    "a stored item has the format 9": lambda: stored.decode(LATER_BYTES),
    "a pointer of the expiry has the format 9": lambda: expiry._decode_target(LATER_BYTES),
}


@pytest.mark.parametrize("told", REFUSED)
def test_what_a_later_version_wrote_is_refused_in_words(told: str) -> None:
    with pytest.raises(StoreOfLaterVersion, match=f"^{told}, which a later version of Tenet has written"):
        REFUSED[told]()


def test_what_is_no_record_at_all_is_damage() -> None:
    for value in (b"", b"[]", b'{"version": "1"}', b'{"version": 1}'):
        with pytest.raises(StoreCorrupt, match="the record of the node n cannot be read") as raised:
            decode_node(record(value))
        assert not isinstance(raised.value, StoreOfLaterVersion)


def test_fields_that_are_not_known_are_ignored() -> None:
    class Known(msgspec.Struct, frozen=True):
        version: int
        name: str = "unnamed"

    value = msgspec.json.encode({"version": 1, "colour": "green"})
    assert decode_numbered(value, Known, "a record") == Known(1, "unnamed")


def test_nothing_is_decided_about_a_member_of_a_later_version() -> None:
    known = Member(node=NodeId("known"), incarnation="a.1")
    later = Member(node=NodeId("later"), incarnation="b.1", format=2)
    view = view_of([record(encode_member(member), member_key(member.node).sort) for member in (known, later)])
    assert view.up == {NodeId("known")}
    assert view.is_unknown("later")
    assert not view.is_unknown("known")
    assert not view.is_unknown("never-seen")


def test_a_node_s_own_file_of_a_later_version_stops_its_start(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_bytes(LATER_JSON)
    with pytest.raises(IdentityUnusable, match=r"node\.json has the format 2, which a later version"):
        Identity(tmp_path).node()


def test_a_master_key_of_a_later_version_stops_a_start(tmp_path: Path) -> None:
    file = tmp_path / "master-key"
    file.write_bytes(msgspec.json.encode({"version": 2, "current": "a", "keys": {"a": bytes(32)}}))
    with pytest.raises(MasterKeyUnusable, match="damaged, or of a later version"):
        MasterKeys.open(file, SystemIds(), may_create=False)


def test_an_access_key_of_a_later_version_is_not_used_and_others_are(tmp_path: Path) -> None:
    async def run() -> None:
        clock, ids = SystemClock(), SystemIds()
        store = MemoryEngine(clock=clock, ids=ids)
        master = MasterKeys.open(tmp_path / "master-key", ids, may_create=True)
        ring = await KeyRing.open(store, master, clock=clock, ids=ids)
        made = await ring.create("111122223333")
        later = Put(Key(SPACE, b"keys", b"AKIALATER"), msgspec.json.encode({"version": 2, "secret": "elsewhere"}))
        await land(store, [later], [], clock=clock, ids=ids, deadline=clock.monotonic_s() + 5)
        await ring.refresh()
        assert ring.find("AKIALATER") is None
        assert ring.find(made.access_key_id) is not None
        with pytest.raises(StoreOfLaterVersion, match="the access key AKIALATER has the format 2"):
            ring.list()

    asyncio.run(run())


def test_nodes_are_told_of_by_their_keys() -> None:
    assert (
        decode_node(
            record(
                b'{"version":1,"state":"serving","address":"","joined_ms":1,"key_sha256":"k"}',
                node_key(NodeId("n")).sort,
            )
        ).key_sha256
        == "k"
    )
