"""The rules of claims by themselves: what moves, what fits, and in which bounds it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.placement import keys
from tenet.placement.errors import Conflict
from tenet.placement.model import UNKNOWN_TYPE, Consumer, Inventory
from tenet.placement.rules.claims import (
    Move,
    Wanted,
    amounts_moved,
    check_fit,
    consumer_writes,
    move_of,
    providers_of,
    used_writes,
)
from tenet.store.contract import Add, Delete, IsVersion, Limits, Put, Version
from tests.unit.placement.world import uuid_of

FIRST, SECOND, CONSUMER = uuid_of(1), uuid_of(2), uuid_of(7)
VERSION = Version(bytes(16))
NOW_MS = 1_700_000_000_000


def consumer(allocations: dict[str, dict[str, int]], *, generation: int = 1, project: str = "project") -> Consumer:
    return Consumer(CONSUMER, project, "user", "INSTANCE", generation, allocations)


def wanted(allocations: dict[str, dict[str, int]], *, project: str = "project", type_: str | None = None) -> Wanted:
    return Wanted(CONSUMER, project, "user", type_, allocations)


def moved(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> Move:
    move = move_of(wanted(after), consumer(before) if before else None, VERSION if before else None, NOW_MS)
    assert move is not None
    return move


def test_a_new_consumer_begins_with_generation_1() -> None:
    move = move_of(wanted({FIRST: {"VCPU": 1}}), None, None, NOW_MS)
    assert move is not None
    assert move.after is not None
    assert (move.after.generation, move.after.type, move.after.updated_ms) == (1, UNKNOWN_TYPE, NOW_MS)


def test_a_consumer_keeps_its_type_where_none_is_given() -> None:
    before = consumer({FIRST: {"VCPU": 1}}, generation=4)
    kept = move_of(wanted({FIRST: {"VCPU": 2}}), before, VERSION, NOW_MS)
    given_ = move_of(wanted({FIRST: {"VCPU": 2}}, type_="MIGRATION"), before, VERSION, NOW_MS)
    assert kept is not None
    assert given_ is not None
    assert kept.after is not None
    assert given_.after is not None
    assert (kept.after.type, given_.after.type, kept.after.generation) == ("INSTANCE", "MIGRATION", 5)


def test_nothing_for_nobody_is_no_change() -> None:
    assert move_of(wanted({}), None, None, NOW_MS) is None


def test_what_moves_is_the_difference() -> None:
    move = moved({FIRST: {"VCPU": 3, "VGPU": 1}}, {FIRST: {"VCPU": 4}, SECOND: {"VGPU": 1}})
    assert amounts_moved([move]) == {(FIRST, "VCPU"): 1, (FIRST, "VGPU"): -1, (SECOND, "VGPU"): 1}
    assert providers_of([move]) == [FIRST, SECOND]
    assert move.visited == {FIRST, SECOND}
    assert moved({FIRST: {"VCPU": 1}}, {SECOND: {"VCPU": 1}}).visited == {SECOND}
    assert Move(consumer({FIRST: {"VCPU": 1}}), VERSION, None).visited == {FIRST}


def test_more_is_bounded_by_the_capacity_and_less_by_nothing_in_use() -> None:
    move = moved({FIRST: {"VCPU": 3}}, {SECOND: {"VCPU": 2}})
    inventories = {SECOND: {"VCPU": Inventory(10, reserved=2, allocation_ratio=1.5)}}
    assert used_writes(amounts_moved([move]), inventories) == [
        Add(keys.used_key(FIRST, "VCPU"), keys.USED, -3, at_least=0),
        Add(keys.used_key(SECOND, "VCPU"), keys.USED, 2, at_least=0, at_most=12),
    ]
    same = moved({FIRST: {"VCPU": 3}}, {FIRST: {"VCPU": 3}})
    assert used_writes(amounts_moved([same]), {FIRST: {"VCPU": Inventory(10)}}) == []


def test_a_boundless_capacity_is_what_a_count_can_hold() -> None:
    move = moved({}, {FIRST: {"VCPU": 1}})
    (write,) = used_writes(amounts_moved([move]), {FIRST: {"VCPU": Inventory(2**31 - 1, allocation_ratio=3e38)}})
    assert isinstance(write, Add)
    assert write.at_most == Limits.cell_max


def test_a_consumer_is_written_where_it_was_and_is() -> None:
    writes, checks = consumer_writes([moved({FIRST: {"VCPU": 3}}, {SECOND: {"VCPU": 3}})])
    assert checks == [IsVersion(keys.consumer_key(CONSUMER), VERSION)]
    assert [type(write) for write in writes] == [Put, Put, Delete]
    assert [write.key for write in writes] == [
        keys.consumer_key(CONSUMER),
        keys.allocation_key(SECOND, CONSUMER),
        keys.allocation_key(FIRST, CONSUMER),
    ]
    gone, _ = consumer_writes([Move(consumer({FIRST: {"VCPU": 3}}), VERSION, None)])
    assert gone == [
        Delete(keys.consumer_key(CONSUMER)),
        Delete(keys.allocation_key(FIRST, CONSUMER)),
        Add(keys.project_use_key("project", "user", "INSTANCE", "VCPU"), keys.USED, -3, at_least=0),
        Add(keys.project_consumers_key("project", "user", "INSTANCE"), keys.CONSUMERS, -1, at_least=0),
    ]


def test_another_project_has_what_the_former_one_had() -> None:
    move = move_of(wanted({FIRST: {"VCPU": 3}}, project="other"), consumer({FIRST: {"VCPU": 3}}), VERSION, NOW_MS)
    assert move is not None
    writes, _ = consumer_writes([move])
    adds = {write.key: write.amount for write in writes if isinstance(write, Add)}
    assert adds == {
        keys.project_use_key("project", "user", "INSTANCE", "VCPU"): -3,
        keys.project_use_key("other", "user", "INSTANCE", "VCPU"): 3,
        keys.project_consumers_key("project", "user", "INSTANCE"): -1,
        keys.project_consumers_key("other", "user", "INSTANCE"): 1,
    }


@pytest.mark.parametrize(
    ("inventories", "words"),
    [
        ({}, f"Inventory for 'VCPU' on resource provider '{FIRST}' invalid."),
        ({"VGPU": Inventory(1)}, f"Inventory for 'VCPU' on resource provider '{FIRST}' invalid."),
        ({"VCPU": Inventory(1)}, "would exceed the capacity"),
        ({"VCPU": Inventory(9, max_unit=1)}, "would violate inventory constraints"),
    ],
)
def test_what_does_not_fit_is_told(inventories: dict[str, Inventory], words: str) -> None:
    with pytest.raises(Conflict, match=words):
        check_fit([moved({}, {FIRST: {"VCPU": 2}})], {FIRST: inventories}, {FIRST: {}})


@given(
    total=st.integers(1, 50),
    reserved=st.integers(0, 50),
    ratio=st.floats(0.1, 8),
    used=st.integers(0, 100),
    before=st.integers(0, 20),
    amount=st.integers(1, 20),
)
def test_what_fits_is_no_more_than_there_is_or_was(
    *, total: int, reserved: int, ratio: float, used: int, before: int, amount: int
) -> None:
    """The bound of the commit lets through exactly what the rule lets through, on what was read."""
    inventory = Inventory(total, reserved, allocation_ratio=ratio)
    in_use = used + before
    move = moved({FIRST: {"VCPU": before}} if before else {}, {FIRST: {"VCPU": amount}})
    after = used + amount
    fits = after <= inventory.capacity or after <= in_use
    try:
        check_fit([move], {FIRST: {"VCPU": inventory}}, {FIRST: {"VCPU": in_use}})
    except Conflict:
        assert not fits
        return
    assert fits
    for write in used_writes(amounts_moved([move]), {FIRST: {"VCPU": inventory}}):
        assert isinstance(write, Add)
        assert in_use + write.amount == after
        assert write.at_most is None or after <= write.at_most
