"""Stored forms: what is written is read again, and what a later version has written is refused in words."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.placement import keys
from tenet.placement.model import Consumer, Inventory
from tenet.placement.rules.snapshots import snapshot_of
from tenet.placement.rules.stored import (
    FORMAT,
    Description,
    Held,
    decode_consumer,
    decode_description,
    decode_held,
    decode_inventory,
    encode_consumer,
    encode_description,
    encode_held,
    encode_inventory,
)
from tenet.store.contract import Record, Version
from tenet.store.errors import StoreCorrupt, StoreOfLaterVersion
from tests.unit.placement.world import uuid_of

HOST, CONSUMER = uuid_of(1), uuid_of(7)
VERSION = Version(bytes(16))
AMOUNTS = st.integers(1, 2**31 - 1)
RESOURCES = st.dictionaries(st.sampled_from(("VCPU", "MEMORY_MB", "CUSTOM_A")), AMOUNTS, min_size=1)
TEXTS = st.text(min_size=1, max_size=20)


@given(TEXTS, st.sampled_from(("", HOST)), st.lists(TEXTS, max_size=3), st.integers(0, 2**42))
def test_descriptions_are_read_as_they_were_written(name: str, parent: str, names: list[str], at_ms: int) -> None:
    described = Description(name, parent, tuple(names), tuple(names), at_ms, at_ms)
    assert decode_description(encode_description(described)) == described


@given(AMOUNTS, st.integers(0, 9), st.floats(0.1, 16, allow_nan=False), st.integers(0, 2**42))
def test_inventories_are_read_as_they_were_written(total: int, reserved: int, ratio: float, at_ms: int) -> None:
    inventory = Inventory(total, reserved, 1, total, 1, ratio)
    assert decode_inventory(encode_inventory(inventory, at_ms)) == (inventory, at_ms)


@given(TEXTS, TEXTS, RESOURCES, st.integers(1, 2**31))
def test_consumers_are_read_as_they_were_written(
    project: str, user: str, resources: dict[str, int], generation: int
) -> None:
    consumer = Consumer(CONSUMER, project, user, "INSTANCE", generation, {HOST: resources}, 5)
    assert decode_consumer(CONSUMER, encode_consumer(consumer)) == consumer
    held = Held(resources, generation, 5)
    assert decode_held(encode_held(held)) == held


READERS = (decode_description, decode_inventory, decode_held, lambda value: decode_consumer(CONSUMER, value))


@pytest.mark.parametrize("read", READERS)
def test_what_a_later_version_wrote_is_refused(read: object) -> None:
    assert callable(read)
    with pytest.raises(StoreOfLaterVersion, match="which a later version of Tenet has written"):
        read(b"\x02" + msgspec.msgpack.encode([]))
    for value in (b"", b"\x00", FORMAT, FORMAT + b"\xc1", FORMAT + msgspec.msgpack.encode({"name": 1})):
        with pytest.raises(StoreCorrupt):
            read(value)


def test_a_later_field_is_ignored() -> None:
    value = encode_description(Description("one"))
    later = FORMAT + msgspec.msgpack.encode([*msgspec.msgpack.decode(value[1:]), "of the next version"])
    assert decode_description(later) == Description("one")


# ---- keys and snapshots ----------------------------------------------------------------------------------------------


def record(sort: bytes, value: bytes = b"", **cells: int) -> Record:
    return Record(keys.uuid_bytes(HOST), sort, value, VERSION, cells)


def test_a_provider_is_what_its_records_tell() -> None:
    records = [
        record(keys.COUNTS, generation=5, inventories=3, children=1),
        record(keys.inventory_key(HOST, "VCPU").sort, encode_inventory(Inventory(4), 9)),
        record(keys.DESCRIPTION, encode_description(Description("one", uuid_of(2), ("T",), ("A",), 1, 2))),
        record(keys.used_key(HOST, "VCPU").sort, used=3),
        record(keys.used_key(HOST, "VGPU").sort, used=0),
    ]
    snapshot = snapshot_of(HOST, records)
    assert snapshot is not None
    assert (snapshot.generation, snapshot.revision, snapshot.children) == (5, 3, 1)
    assert snapshot.used == {"VCPU": 3}
    assert snapshot.changed_ms == {"VCPU": 9}
    provider = snapshot.provider(uuid_of(3))
    assert (provider.parent, provider.root, provider.name) == (uuid_of(2), uuid_of(3), "one")
    assert provider.inventories == {"VCPU": Inventory(4)}
    assert snapshot_of(HOST, records[:2]) is None
    assert snapshot_of(HOST, []) is None


def test_a_snapshot_has_everything_but_allocations() -> None:
    within = keys.SNAPSHOT
    assert within.upper is not None
    for key in (
        keys.provider_key(HOST),
        keys.counts_key(HOST),
        keys.inventory_key(HOST, "VCPU"),
        keys.used_key(HOST, "VCPU"),
    ):
        assert within.lower <= key.sort < within.upper
        assert key.partition == keys.uuid_bytes(HOST)
    held = keys.allocation_key(HOST, CONSUMER)
    assert not within.lower <= held.sort < within.upper
    assert keys.uuid_text(held.sort[1:]) == CONSUMER


@given(TEXTS, TEXTS, TEXTS, st.sampled_from(("", "VCPU", "CUSTOM_A")))
def test_keys_of_projects_are_taken_apart_again(project: str, user: str, consumer_type: str, name: str) -> None:
    key = keys.project_use_key(project, user, consumer_type, name)
    assert keys.split_project_key(key.sort) == (user, consumer_type, name)
    counted = keys.project_consumers_key(project, user, consumer_type)
    assert keys.split_project_key(counted.sort) == (user, consumer_type, "")
    assert key.sort != counted.sort
    assert key.partition == counted.partition == project.encode()
