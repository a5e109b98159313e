"""The audit: clean after whatever clients do, and every kind of mistake is found by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tenet.base.clock import SystemClock
from tenet.placement import keys
from tenet.placement.api import audit
from tenet.placement.model import Consumer, Inventory
from tenet.placement.rules.auditing import FINDINGS_MAX, Books, Finding
from tenet.placement.rules.stored import (
    Description,
    Held,
    encode_consumer,
    encode_description,
    encode_held,
    encode_inventory,
)
from tenet.store.contract import Add, Commit, Committed, Delete, Engine, Put, Write, new_commit_id
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

NO_CONTENT = 204
HOST, PART, HOLDER, OTHER = uuid_of(1), uuid_of(2), uuid_of(7), uuid_of(8)


async def write(store: Engine, *writes: Write) -> None:
    """Writes past the service, as nobody should."""
    done = await store.commit(Commit(new_commit_id(SystemClock(), IDS), writes))
    assert isinstance(done, Committed)


async def full(world: World) -> None:
    """Makes a host with a part, custom names, and two consumers."""
    await world.ask("PUT", "/traits/CUSTOM_GOOD", status=201)
    await world.ask("PUT", "/resource_classes/CUSTOM_THING", status=201)
    await world.provider(1, VCPU={"total": 4, "allocation_ratio": 2.0}, CUSTOM_THING=3)
    await world.provider(2, parent=1, VGPU=2)
    body = {"resource_provider_generation": 1, "traits": ["CUSTOM_GOOD", "HW_CPU_X86_AVX"]}
    await world.ask("PUT", f"/resource_providers/{PART}/traits", body)
    assert (await world.claim(7, {HOST: {"VCPU": 5, "CUSTOM_THING": 1}, PART: {"VGPU": 1}})).status == NO_CONTENT
    assert (await world.claim(8, {HOST: {"VCPU": 3}}, user_id="somebody")).status == NO_CONTENT


@in_loop
async def test_what_clients_do_adds_up() -> None:
    async with World(memory()) as world:
        await full(world)
        audited = await audit(world.store)
        assert audited.findings == []
        assert audited.figures == {"providers": 2, "allocations": 3, "consumers": 2, "projects": 1, "names": 2}
        assert (await world.claim(7, {PART: {"VGPU": 2}}, generation=1)).status == NO_CONTENT
        await world.ask("DELETE", f"/allocations/{OTHER}", status=NO_CONTENT)
        await world.ask("PUT", f"/resource_providers/{PART}", {"name": "renamed", "parent_provider_uuid": None})
        await world.ask("DELETE", f"/resource_providers/{HOST}", status=NO_CONTENT)
        audited = await audit(world.store)
        assert audited.findings == []
        assert audited.figures == {"providers": 1, "allocations": 1, "consumers": 1, "projects": 1, "names": 1}


@in_loop
async def test_a_store_without_placement_adds_up() -> None:
    assert (await audit(memory())).count == 0


@in_loop
async def test_an_inventory_made_smaller_is_no_mistake_and_more_than_was_there_is() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=10)
        await world.claim(7, {host: {"VCPU": 9}})
        await world.ask(
            "PUT",
            f"/resource_providers/{host}/inventories/VCPU",
            {"resource_provider_generation": 2, "total": 5},
        )
        assert (await audit(world.store)).findings == []
        assert (await world.claim(7, {host: {"VCPU": 8}}, generation=1)).status == NO_CONTENT
        assert (await audit(world.store)).findings == []
        held = encode_held(Held({"VCPU": 10}, 2))
        consumer = Consumer(HOLDER, "project", "user", "INSTANCE", 2, {host: {"VCPU": 10}})
        await write(
            world.store,
            Add(keys.used_key(host, "VCPU"), keys.USED, 2),
            Add(keys.project_use_key("project", "user", "INSTANCE", "VCPU"), keys.USED, 2),
            Put(keys.allocation_key(host, HOLDER), held),
            Put(keys.consumer_key(HOLDER), encode_consumer(consumer)),
        )
        (finding,) = (await audit(world.store)).findings
        assert finding == Finding(
            "over-committed",
            f"provider {host}",
            "VCPU: 10 in use; the capacity is 5, and 9 were in use when the inventory was last changed",
        )


def project_use(amount: int) -> Write:
    return Add(keys.project_use_key("project", "user", "INSTANCE", "VGPU"), keys.USED, amount)


def consumer_record(**more: object) -> Write:
    told = {"project": "project", "user": "somebody", "type": "INSTANCE", "generation": 1}
    consumer = Consumer(uuid=OTHER, **{"allocations": {HOST: {"VCPU": 3}}, **told, **more})  # type: ignore[arg-type]
    return Put(keys.consumer_key(OTHER), encode_consumer(consumer))


def described(name: str, parent: str = "", traits: tuple[str, ...] = ()) -> bytes:
    return encode_description(Description(name, parent, traits))


#: What is written past the service, and the kinds of mistakes that it makes.
MISTAKES: dict[str, tuple[Callable[[], Sequence[Write]], set[str]]] = {
    "a use": (lambda: [Add(keys.used_key(HOST, "VCPU"), keys.USED, -1)], {"use-differs"}),
    "too much": (lambda: [Add(keys.used_key(HOST, "VCPU"), keys.USED, 1)], {"use-differs", "over-committed"}),
    "an inventory lost": (lambda: [Delete(keys.inventory_key(PART, "VGPU"))], {"inventory-missing"}),
    "an inventory unreadable": (
        lambda: [Put(keys.inventory_key(PART, "VGPU"), b"\x01?")],
        {"unreadable", "inventory-missing"},
    ),
    "an inventory too small": (
        lambda: [Put(keys.inventory_key(HOST, "VCPU"), encode_inventory(Inventory(7), 0))],
        {"over-committed"},
    ),
    "a consumer lost": (lambda: [Delete(keys.consumer_key(OTHER))], {"consumer-missing", "project-differs"}),
    "a consumer unreadable": (
        lambda: [Put(keys.consumer_key(OTHER), b"\x01?")],
        {"unreadable", "project-differs"},
    ),
    "a consumer elsewhere": (
        lambda: [consumer_record(allocations={PART: {"VCPU": 3}})],
        {"allocation-missing", "allocation-unknown"},
    ),
    "a consumer of more": (
        lambda: [consumer_record(allocations={HOST: {"VCPU": 4}})],
        {"allocation-differs", "project-differs"},
    ),
    "a consumer of another generation": (lambda: [consumer_record(generation=2)], {"allocation-differs"}),
    "a consumer of another project": (lambda: [consumer_record(project="other")], {"project-differs"}),
    "an allocation lost": (
        lambda: [Delete(keys.allocation_key(PART, HOLDER))],
        {"allocation-missing", "use-differs"},
    ),
    "an allocation unreadable": (
        lambda: [Put(keys.allocation_key(PART, HOLDER), b"\x01?")],
        {"unreadable", "use-differs"},
    ),
    "a project": (lambda: [project_use(1)], {"project-differs"}),
    "a provider lost": (
        lambda: [Delete(keys.provider_key(PART))],
        {"provider-missing", "name-unused", "children-differ", "users-differ"},
    ),
    "a parent lost": (
        lambda: [Delete(keys.provider_key(HOST))],
        {"provider-missing", "name-unused", "parent-missing"},
    ),
    "a name lost": (lambda: [Delete(keys.name_key("provider-1"))], {"name-differs"}),
    "a name of another": (
        lambda: [Put(keys.name_key("provider-1"), keys.uuid_bytes(PART))],
        {"name-differs", "name-unused"},
    ),
    "one name twice": (
        lambda: [Put(keys.provider_key(PART), described("provider-1", HOST, ("CUSTOM_GOOD",)))],
        {"name-differs", "name-unused"},
    ),
    "a loop": (lambda: [Put(keys.provider_key(HOST), described("provider-1", PART))], {"loop", "children-differ"}),
    "children": (lambda: [Add(keys.counts_key(PART), keys.CHILDREN, 1)], {"children-differ"}),
    "users of a trait": (lambda: [Add(keys.trait_key("CUSTOM_GOOD"), keys.USERS, 1)], {"users-differ"}),
    "a class lost": (lambda: [Delete(keys.class_key("CUSTOM_THING"))], {"name-missing"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@in_loop
async def test_a_mistake_is_found(mistake: str) -> None:
    make, kinds = MISTAKES[mistake]
    async with World(memory()) as world:
        await full(world)
        await write(world.store, *make())
        audited = await audit(world.store)
        assert {finding.kind for finding in audited.findings} == kinds, audited.findings
        assert audited.count == len(audited.findings)


@in_loop
async def test_more_than_a_page_is_looked_at() -> None:
    """Consumers, allocations and providers over several pages, with a mistake in the last."""
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=5_000)
        writes: list[Write] = []
        for number in range(10, 2_510):
            uuid = uuid_of(number)
            consumer = Consumer(uuid, "project", "user", "INSTANCE", 1, {host: {"VCPU": 1}})
            writes += [
                Put(keys.consumer_key(uuid), encode_consumer(consumer)),
                Put(keys.allocation_key(host, uuid), encode_held(Held({"VCPU": 1}, 1))),
            ]
        writes += [
            Add(keys.used_key(host, "VCPU"), keys.USED, 2_500),
            Add(keys.project_use_key("project", "user", "INSTANCE", "VCPU"), keys.USED, 2_500),
            Add(keys.project_consumers_key("project", "user", "INSTANCE"), keys.CONSUMERS, 2_500),
        ]
        await write(world.store, *writes)
        audited = await audit(world.store)
        assert audited.findings == []
        assert audited.figures["allocations"] == audited.figures["consumers"] == 2_500
        await write(world.store, Delete(keys.allocation_key(host, uuid_of(2_509))))
        assert {finding.kind for finding in (await audit(world.store)).findings} == {
            "allocation-missing",
            "use-differs",
        }


def test_all_mistakes_are_counted_and_some_told() -> None:
    books = Books()
    for number in range(FINDINGS_MAX + 5):
        books.note("kind", str(number), "wrong")
    audited = books.close()
    assert (len(audited.findings), audited.count) == (FINDINGS_MAX, FINDINGS_MAX + 5)
