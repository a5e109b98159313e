"""Records of members: versions side by side, and what a view says."""

from __future__ import annotations

import msgspec

from tenet.mesh.channel import NodeId
from tenet.mesh.leases import Holding, holding_of
from tenet.mesh.members import EPOCH_CELL, EPOCH_KEY, Member, encode_member, member_key, view_of
from tenet.store.contract import Key, Record, Version

A, B = NodeId("a"), NodeId("b")


def record(node: NodeId, value: bytes, number: int = 1) -> Record:
    key = member_key(node)
    return Record(key.partition, key.sort, value, Version(number.to_bytes(16, "big")))


def test_a_view_has_the_members_their_versions_and_the_epoch() -> None:
    epoch = Record(EPOCH_KEY.partition, EPOCH_KEY.sort, b"", Version(bytes(16)), {EPOCH_CELL: 7})
    a, b = Member(node=A, incarnation="00ff.1"), Member(node=B, incarnation="00aa.2", state="evicted", evicted_by=A)
    view = view_of([epoch, record(A, encode_member(a), 5), record(B, encode_member(b), 6)])
    assert view.epoch == 7
    assert view.members == {A: a, B: b}
    assert view.versions[A] < view.versions[B]
    assert view.up == {A}
    assert view.is_up("a", "00ff.1")
    assert not view.is_up("a", "00ff.2")
    assert not view.is_up("b", "00aa.2")
    assert not view.is_up("c", "00cc.1")
    assert a.process == "00ff"


def test_what_a_later_version_adds_is_ignored_and_what_an_earlier_one_lacks_has_a_default() -> None:
    later = msgspec.json.encode({"node": "a", "incarnation": "00ff.1", "mood": {"good": True}})
    view = view_of([record(A, later)])
    assert view.members[A] == Member(node=A, incarnation="00ff.1")
    assert view.up == {A}


def test_a_record_that_cannot_be_read_is_no_member_and_stops_nobody() -> None:
    good = encode_member(Member(node=B, incarnation="00aa.1"))
    for damaged in (b"", b"{", b"[]", b'{"node": "a"}', b'{"node": "a", "incarnation": "1.1", "state": "asleep"}'):
        view = view_of([record(A, damaged), record(B, good)])
        assert view.up == {B}
        # Whoever writes it anew has to know what it replaces.
        assert set(view.versions) == {A, B}


def test_a_lease_to_which_a_later_version_added_something_can_be_read() -> None:
    key = Key("guarded", b"p", b"lease")
    value = msgspec.json.encode({"node": "a", "incarnation": "00ff.1", "number": 3, "why": "because"})
    assert holding_of(key, Record(b"p", b"lease", value, Version(bytes(16)))) == Holding("a", "00ff.1", 3)
