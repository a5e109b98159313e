"""What a commit left in use: taken in where it is the next, and told where it is above capacity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import AMOUNT_MAX, Inventory, Provider
from tests.unit.placement.world import World, in_loop, memory, uuid_of

HOST, OTHER, CONSUMER = uuid_of(1), uuid_of(2), uuid_of(7)


def provider(number: int = 1, **changes: object) -> Provider:
    one = Provider(
        uuid=uuid_of(number),
        name=f"host-{number}",
        parent=None,
        root=uuid_of(number),
        generation=3,
        inventories={"VCPU": Inventory(4), "MEMORY_MB": Inventory(64, reserved=32, allocation_ratio=1.5)},
        used={"VCPU": 1},
        revision=2,
    )
    return replace(one, **changes)


def fleet_of(*providers: Provider) -> Fleet:
    fleet = Fleet()
    for one in providers:
        fleet.put(one)
    return fleet


# ---- taken in --------------------------------------------------------------------------------------------------------


def test_what_comes_right_behind_what_is_known_is_taken_in() -> None:
    fleet = fleet_of(provider())
    shape = fleet.shape
    assert fleet.take_uses(HOST, {"VCPU": 4, "MEMORY_MB": 48}, generation=4, raised=1, revision=2)
    assert fleet.get(HOST) == provider(used={"VCPU": 4, "MEMORY_MB": 48}, generation=4)
    assert not fleet.fitting("VCPU", 1).any()
    assert not fleet.fitting("MEMORY_MB", 1).any()
    assert fleet.shape == shape, "a search that goes on in steps need not begin anew"
    assert fleet.take_uses(HOST, {"VCPU": 2}, generation=5, raised=1, revision=2)
    assert fleet.fitting("VCPU", 2).any()
    assert not fleet.fitting("VCPU", 3).any()


@pytest.mark.parametrize(
    ("generation", "revision"), [(3, 1), (5, 2), (9, 2), (4, 1), (4, 3), (4, 0)]
)  # fmt: skip
def test_where_anything_else_may_have_happened_nothing_is_noted(generation: int, revision: int) -> None:
    fleet = fleet_of(provider())
    assert not fleet.take_uses(HOST, {"VCPU": 4}, generation=generation, raised=1, revision=revision)
    assert fleet.get(HOST) == provider()
    assert fleet.fitting("VCPU", 3).any()


def test_of_who_is_not_here_nothing_is_noted() -> None:
    """Neither of one that nobody knows, nor of one that went, nor of a root of which only a part is here."""
    part = provider(2, parent=HOST, root=HOST)
    fleet = fleet_of(part)
    for uuid in (HOST, uuid_of(9)):
        assert not fleet.take_uses(uuid, {"VCPU": 1}, generation=1, raised=1, revision=0)
        fleet.set_used(uuid, "VCPU", 1, 1)
        assert fleet.get(uuid) is None
    fleet.remove(OTHER)
    assert not fleet.take_uses(OTHER, {"VCPU": 2}, generation=4, raised=1, revision=2)
    assert len(fleet) == 0


def test_a_use_of_what_there_is_no_inventory_of_is_told_and_fits_nothing() -> None:
    fleet = fleet_of(provider())
    assert fleet.take_uses(HOST, {"VGPU": 1}, generation=4, raised=1, revision=2)
    told = fleet.get(HOST)
    assert told is not None
    assert told.used == {"VCPU": 1, "VGPU": 1}
    assert not fleet.fitting("VGPU", 0).any()
    assert fleet.over_capacity() == {}


# ---- above capacity --------------------------------------------------------------------------------------------------

_AMOUNTS = st.integers(0, 6)
_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "use", "remove"]), st.integers(1, 3), st.integers(1, 5), _AMOUNTS, _AMOUNTS),
    max_size=25,
)


@given(_STEPS)
def test_who_is_above_capacity_is_known_through_all_changes(steps: list[tuple[str, int, int, int, int]]) -> None:
    fleet, known = Fleet(), dict[str, Provider]()
    for what, number, total, cpus, memory_mb in steps:
        uuid = uuid_of(number)
        if what == "remove":
            fleet.remove(uuid)
            known.pop(uuid, None)
        elif what == "put":
            inventories = {"VCPU": Inventory(total), "MEMORY_MB": Inventory(total, allocation_ratio=0.5)}
            known[uuid] = provider(number, inventories=inventories, used={"VCPU": cpus, "MEMORY_MB": memory_mb})
            fleet.put(known[uuid])
        elif uuid in known:
            generation = known[uuid].generation + 1
            assert fleet.take_uses(uuid, {"VCPU": cpus}, generation=generation, raised=1, revision=2)
            known[uuid] = replace(known[uuid], used={**known[uuid].used, "VCPU": cpus}, generation=generation)
        wrong = {
            one.uuid: {name for name, inventory in one.inventories.items() if one.used[name] > inventory.capacity}
            for one in known.values()
        }
        found = {uuid: set(names) for uuid, names in fleet.over_capacity().items()}
        assert found == {uuid: names for uuid, names in wrong.items() if names}


def test_the_largest_amounts_are_neither_wrapped_around_nor_above() -> None:
    inventory = Inventory(AMOUNT_MAX, allocation_ratio=10_000.0)
    fleet = fleet_of(provider(inventories={"VCPU": inventory}, used={"VCPU": AMOUNT_MAX + 5}))
    assert fleet.over_capacity() == {}
    assert fleet.fitting("VCPU", AMOUNT_MAX).any()
    assert fleet.take_uses(HOST, {"VCPU": inventory.capacity - 1}, generation=4, raised=1, revision=2)
    assert fleet.fitting("VCPU", 1).any()
    assert not fleet.fitting("VCPU", 2).any()
    assert fleet.take_uses(HOST, {"VCPU": inventory.capacity + 1}, generation=5, raised=1, revision=2)
    assert fleet.over_capacity() == {HOST: ["VCPU"]}


# ---- over the service ------------------------------------------------------------------------------------------------


@in_loop
async def test_what_a_claim_leaves_is_known_without_reading_it_again() -> None:
    """The node's own commit says what is in use; its search keeps to that at once."""
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4, MEMORY_MB=100)
        assert (await world.claim(7, {host: {"VCPU": 3, "MEMORY_MB": 10}})).status == 204
        known = world.keeper.fleet.get(host)
        assert known is not None
        assert (known.used["VCPU"], known.used["MEMORY_MB"]) == (3, 10)
        assert known.generation == await world.generation(host)
        found = await world.ask("GET", "/allocation_candidates?resources=VCPU:2")
        assert found["allocation_requests"] == []
        assert (await world.claim(7, {}, generation=1)).status == 204
        found = await world.ask("GET", "/allocation_candidates?resources=VCPU:4")
        assert len(found["allocation_requests"]) == 1
