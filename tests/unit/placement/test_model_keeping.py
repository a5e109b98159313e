"""The read model over a store that fails, and a log that is trimmed: it starts, it follows, and it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tenet.base.clock import ManualClock
from tenet.placement import keys
from tenet.placement.fleet.growing import GrowingFleet
from tenet.placement.model import Inventory, Provider
from tenet.placement.ops.model_keeping import _HEARD_MAX, _OWN_MAX, RETENTION_MS
from tenet.store.contract import Commit as StoreCommit
from tenet.store.contract import CommitId, Engine, LogPage, Outcome, Page, Put, Version
from tenet.store.errors import LogTrimmed, StoreUnavailable
from tenet.store.landing import land
from tenet.store.memory_state import MemoryState
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

CREATED, NO_CONTENT = 201, 204
BEFORE = Callable[[dict[str, Any]], Awaitable[None]]


async def nothing(_: dict[str, Any]) -> None:
    """What happens before a call where a test does not say more."""


class Troubled:
    """A store on whose calls something happens first; all else is the store's own.

    Args:
        store: the one below.
    """

    def __init__(self, store: Engine) -> None:
        self._store = store
        self.before_log: BEFORE = nothing
        self.before_scan: BEFORE = nothing
        self.before_query: BEFORE = nothing
        self.after_commit: BEFORE = nothing
        #: Commits that are told to be on their way into the log, one for each stale read.
        self.waiting: list[CommitId] = []
        self.reads: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read_log(self, *arguments: Any, **named: Any) -> LogPage:
        await self.before_log(named)
        self.reads.append(bool(named.get("stale")))
        page = await self._store.read_log(*arguments, **named)
        if named.get("stale") and self.waiting:
            return replace(page, entries=(), waiting=self.waiting.pop(0))
        return page

    async def scan(self, *arguments: Any, **named: Any) -> Page:
        await self.before_scan(named)
        return await self._store.scan(*arguments, **named)

    async def query(self, *arguments: Any, **named: Any) -> Page:
        if arguments[0] == keys.PROVIDERS_SPACE:  # and not that of what expires, which is looked at in the background
            await self.before_query({"partition": arguments[1]})
        return await self._store.query(*arguments, **named)

    async def commit(self, commit: StoreCommit, **named: Any) -> Outcome:
        outcome = await self._store.commit(commit, **named)
        await self.after_commit({})
        return outcome


class Arriving(Troubled):
    """A store in which nothing that others commit comes into the log, for as long as it is held up."""

    is_held_up = False

    async def read_log(self, *arguments: Any, **named: Any) -> LogPage:
        page = await super().read_log(*arguments, **named)
        if not self.is_held_up or not page.entries:
            return page
        arriving = {entry.partition: entry.version for entry in reversed(page.entries)}
        waiting = page.entries[0].commit_id
        return replace(page, entries=(), closed=named["after"], waiting=waiting, arriving=arriving)


def troubled(clock: ManualClock | None = None, state: MemoryState | None = None) -> Any:
    """Returns a troubled store, typed as whatever takes it wants it."""
    return Troubled(memory(clock, state))


async def names_of(world: World) -> list[str]:
    return sorted(one["name"] for one in (await world.ask("GET", "/resource_providers"))["resource_providers"])


async def until_named(world: World, names: list[str]) -> None:
    """Waits until a list tells of these providers."""
    found: list[str] = []
    for _ in range(300):
        found = await names_of(world)
        if found == names:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def trim(store: Engine, clock: ManualClock) -> None:
    """Lets so much time pass that the log of providers is trimmed, and makes sure of it."""
    clock.advance_ms(RETENTION_MS + 60_000)
    try:
        await store.read_log(keys.PROVIDERS_SPACE, 0, after=0, limit=1)
    except LogTrimmed:
        return
    raise AssertionError("the log is whole")


# ---- starting --------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_node_starts_where_the_log_was_trimmed() -> None:
    clock, state = ManualClock(), MemoryState()
    first = memory(clock, state)
    async with World(first, clock=clock, is_shared=True) as one:
        await one.provider(1, VCPU=4)
        await trim(first, clock)
        async with World(memory(clock, state), clock=clock, is_shared=True) as other:
            assert await names_of(other) == ["provider-1"]
            await one.provider(2)
            await until_named(other, ["provider-1", "provider-2"])


@in_loop
async def test_a_log_that_is_trimmed_again_meanwhile_is_asked_again() -> None:
    clock, state = ManualClock(), MemoryState()
    first = memory(clock, state)
    async with World(first, clock=clock, is_shared=True) as one:
        await one.provider(1)
        await trim(first, clock)
        await one.provider(2)
        second = troubled(clock, state)
        tries = []

        async def trim_twice(named: dict[str, Any]) -> None:
            tries.append(named["after"])
            if len(tries) == 2:
                await trim(first, clock)

        second.before_log = trim_twice
        async with World(second, clock=clock, is_shared=True) as other:
            assert await names_of(other) == ["provider-1", "provider-2"]
            assert tries[0] == 0
            assert tries[1] < tries[2], "it goes on where the store says that the log begins"


@in_loop
async def test_a_load_changes_nothing_in_the_log() -> None:
    store = troubled()
    async with World(store, is_shared=True) as world:
        await names_of(world)
        assert store.reads
        assert all(store.reads)


@in_loop
async def test_a_provider_that_cannot_be_read_is_left_out_and_the_rest_is_served() -> None:
    state = MemoryState()
    store = memory(state=state)
    async with World(store) as world:
        for number in (1, 2, 3):
            await world.provider(number, VCPU=4)
    garbage = [Put(keys.inventory_key(uuid_of(2), "VCPU"), b"\x01\xc1")]
    await land(store, garbage, (), clock=world.clock, ids=IDS, deadline=world.clock.monotonic_s() + 5)
    async with World(memory(state=state)) as again:
        assert await names_of(again) == ["provider-1", "provider-3"]
        assert (await again.claim(7, {uuid_of(3): {"VCPU": 1}})).status == NO_CONTENT
        found = await again.ask("GET", "/allocation_candidates?resources=VCPU:1")
        assert len(found["allocation_requests"]) == 2


@in_loop
async def test_a_provider_that_can_be_read_again_comes_back_with_those_below_it() -> None:
    store = memory()
    async with World(store) as world:
        await world.provider(1, VCPU=4)
        await world.provider(2, parent=1)
        key = keys.inventory_key(uuid_of(1), "VCPU")
        (good,) = await store.get((key,))
        assert good is not None
        deadline = world.clock.monotonic_s() + 30
        await land(store, [Put(key, b"\x01\xc1")], (), clock=world.clock, ids=IDS, deadline=deadline)
        world.keeper.begin_refresh([uuid_of(1)])
        await until_named(world, ["provider-2"])
        await land(store, [Put(key, good.value)], (), clock=world.clock, ids=IDS, deadline=deadline)
        await world.keeper.refresh([uuid_of(1)])
        found = await world.ask("GET", f"/resource_providers?in_tree={uuid_of(1)}")
        assert len(found["resource_providers"]) == 2


# ---- following -------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_node_that_was_away_for_longer_than_the_log_is_kept_comes_back() -> None:
    """Also where the store fails it in the middle of loading everything."""
    clock, state = ManualClock(), MemoryState()
    first, second = memory(clock, state), troubled(clock, state)
    async with (
        World(first, clock=clock, is_shared=True) as one,
        World(second, clock=clock, is_shared=True) as other,
    ):
        await one.provider(1)
        await until_named(other, ["provider-1"])

        async def cut_off(_: dict[str, Any]) -> None:
            raise StoreUnavailable("cut off")

        second.before_log = cut_off
        await asyncio.sleep(0.3)
        await one.provider(2)
        await trim(first, clock)
        loads = []

        async def fail_once(_: dict[str, Any]) -> None:
            loads.append(1)
            if len(loads) == 1:
                raise StoreUnavailable("coming back")

        second.before_scan, second.before_log = fail_once, nothing
        await until_named(other, ["provider-1", "provider-2"])
        assert len(loads) == 2
        await one.provider(3)
        await until_named(other, ["provider-1", "provider-2", "provider-3"])


@pytest.mark.parametrize("error", [ValueError("no number"), RuntimeError("a mistake"), StoreUnavailable("not now")])
@in_loop
async def test_no_error_ends_the_follower(error: Exception) -> None:
    state = MemoryState()
    second = troubled(state=state)
    async with (
        World(memory(state=state), is_shared=True) as one,
        World(second, is_shared=True) as other,
    ):
        assert await names_of(other) == []
        failed: list[int] = []

        async def fail_once(_: dict[str, Any]) -> None:
            if not failed:
                failed.append(1)
                raise error

        second.before_log = fail_once
        await one.provider(1)
        await until_named(other, ["provider-1"])
        assert failed


@in_loop
async def test_a_node_says_how_far_it_is_behind() -> None:
    clock, state = ManualClock(), MemoryState()
    second = troubled(clock, state)
    async with World(second, clock=clock, is_shared=True) as world:
        await names_of(world)

        async def cut_off(_: dict[str, Any]) -> None:
            raise StoreUnavailable("cut off")

        await asyncio.sleep(0.05)
        second.before_log = cut_off
        clock.advance_ms(42_000)
        assert world.keeper.behind_s == pytest.approx(42)
    async with World(memory(clock), clock=clock, is_shared=False) as alone:
        await names_of(alone)
        clock.advance_ms(42_000)
        assert alone.keeper.behind_s == 0


@in_loop
async def test_what_is_on_its_way_is_left_to_others_for_a_moment() -> None:
    """A commit that waits once may be brought in by another node; one that waits still is brought in here."""
    store = troubled()
    async with World(store, is_shared=True) as world:
        await names_of(world)
        await asyncio.sleep(0.01)
        early, late = (CommitId(bytes([number]) * 16) for number in (1, 2))
        store.reads.clear()
        store.waiting = [early, late]
        await asyncio.sleep(0.5)
        assert all(store.reads), "each was seen once, and then it was there"
        store.reads.clear()
        store.waiting = [early, early]
        await asyncio.sleep(1)
        assert store.reads.count(False) == 1


# ---- what this node commits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("no number"), RuntimeError("a mistake")])
@in_loop
async def test_no_error_leaves_a_request_waiting(error: Exception) -> None:
    store = troubled()
    async with World(store) as world:
        await world.provider(1)
        failing = True

        async def fail(_: dict[str, Any]) -> None:
            if failing:
                raise error

        store.before_query = fail
        await asyncio.wait_for(world.keeper.refresh([uuid_of(1)]), 2)
        assert await names_of(world) == []
        failing = False
        await asyncio.wait_for(world.keeper.refresh([uuid_of(1)]), 2)
        assert await names_of(world) == ["provider-1"]


@in_loop
async def test_closing_leaves_nobody_waiting() -> None:
    store = troubled()
    async with World(store) as world:
        await world.provider(1)

        async def hang(_: dict[str, Any]) -> None:
            await asyncio.Event().wait()

        store.before_query = hang
        waiting = asyncio.create_task(world.keeper.refresh([uuid_of(1)]))
        await asyncio.sleep(0)
        await world.keeper.close()
        await asyncio.wait_for(waiting, 2)


@in_loop
async def test_what_is_committed_during_a_load_is_in_what_was_loaded() -> None:
    """The load has read everything when a provider is made, and is seen afterwards."""
    clock, state = ManualClock(), MemoryState()
    first, second = memory(clock, state), troubled(clock, state)
    async with (
        World(first, clock=clock, is_shared=True) as one,
        World(second, clock=clock, is_shared=True) as other,
    ):
        await one.provider(1)
        await until_named(other, ["provider-1"])

        async def cut_off(_: dict[str, Any]) -> None:
            raise StoreUnavailable("cut off")

        second.before_log = cut_off
        await asyncio.sleep(0.3)
        await one.provider(2)
        await trim(first, clock)
        is_loading, may_go_on = asyncio.Event(), asyncio.Event()
        scan = second._store.scan

        async def scan_slowly(*arguments: Any, **named: Any) -> Page:
            page: Page = await scan(*arguments, **named)
            is_loading.set()
            await may_go_on.wait()
            return page

        second.scan, second.before_log = scan_slowly, nothing
        await asyncio.wait_for(is_loading.wait(), 5)
        # From here on the log says nothing: what is there later is from this node's own commits.
        second.before_log = cut_off
        await other.provider(3, VCPU=1)
        await other.ask("DELETE", f"/resource_providers/{uuid_of(1)}", status=NO_CONTENT)
        may_go_on.set()
        await until_named(other, ["provider-2", "provider-3"])


@in_loop
async def test_a_commit_whose_answer_is_lost_is_taken_in() -> None:
    store = troubled()
    async with World(store) as world:
        await names_of(world)

        async def end_request(_: dict[str, Any]) -> None:
            raise asyncio.CancelledError

        store.after_commit = end_request
        with pytest.raises(asyncio.CancelledError):
            await world.send("POST", "/resource_providers", {"name": "lost", "uuid": uuid_of(1)})
        store.after_commit = nothing
        await until_named(world, ["lost"])
        found = await world.ask("GET", f"/resource_providers/{uuid_of(1)}")
        assert found["name"] == "lost"


# ---- trees -----------------------------------------------------------------------------------------------------------


def node(number: int, parent: int | None, root: int, **inventories: Inventory) -> Provider:
    above = None if parent is None else uuid_of(parent)
    return Provider(uuid_of(number), f"provider-{number}", above, uuid_of(root), 1, inventories=inventories)


def roots(model: GrowingFleet, *numbers: int) -> list[str]:
    found = [model.fleet.get(uuid_of(number)) for number in numbers]
    return [provider.root for provider in found if provider is not None]


def test_what_came_before_its_parent_gets_its_parents_root() -> None:
    """3 and 4 were read when 2 stood below 1; 2 is read when it stands below 9."""
    model = GrowingFleet()
    for provider in (node(1, None, 1), node(9, None, 9), node(3, 2, 1), node(4, 3, 1), node(2, 9, 9)):
        model.put(provider)
    assert roots(model, 2, 3, 4) == [uuid_of(9)] * 3
    assert len(model.fleet.tree(uuid_of(9))) == 4
    assert len(model.fleet.tree(uuid_of(1))) == 1


def test_what_is_below_moves_with_a_provider() -> None:
    model = GrowingFleet()
    for provider in (node(1, None, 1), node(2, 1, 1), node(3, 2, 1), node(5, 1, 1), node(9, None, 9)):
        model.put(provider)
    model.put(node(2, 9, 9))
    assert roots(model, 2, 3, 5) == [uuid_of(9), uuid_of(9), uuid_of(1)]


def test_a_child_that_has_found_another_parent_stays_there() -> None:
    model = GrowingFleet()
    for provider in (node(1, None, 1), node(3, 2, 1), node(3, 1, 1), node(9, None, 9), node(2, 9, 9)):
        model.put(provider)
    assert roots(model, 3) == [uuid_of(1)]


def test_what_is_left_out_finds_its_children_again() -> None:
    model = GrowingFleet()
    for provider in (node(1, None, 1), node(2, 1, 1), node(3, 2, 1), node(9, None, 9)):
        model.put(provider)
    model.leave_out(uuid_of(2))
    assert model.fleet.get(uuid_of(2)) is None
    model.put(node(2, 9, 9))
    assert roots(model, 2, 3) == [uuid_of(9)] * 2
    model.leave_out(uuid_of(77))


@pytest.mark.parametrize("ratio", [float("nan"), float("inf")])
def test_nothing_of_a_provider_without_a_capacity_is_taken_in(ratio: float) -> None:
    model = GrowingFleet()
    model.put(node(1, None, 1, VCPU=Inventory(4)))
    with pytest.raises((ValueError, OverflowError)):
        model.put(node(1, None, 1, VCPU=Inventory(8), VGPU=Inventory(4, allocation_ratio=ratio)))
    kept = model.fleet.get(uuid_of(1))
    assert kept is not None
    assert kept.inventories == {"VCPU": Inventory(4)}


@in_loop
async def test_a_node_does_not_read_again_what_it_has_changed_itself() -> None:
    state = MemoryState()
    store = Troubled(memory(state=state))
    async with World(store, is_shared=True) as world, World(memory(state=state), is_shared=True) as other:
        host = await world.provider(1, VCPU=4)
        await _heard(world, other)
        read: list[int] = []

        async def note(_: dict[str, Any]) -> None:
            read.append(1)

        store.before_query = note
        assert (await world.claim(7, {host: {"VCPU": 1}})).status == NO_CONTENT
        await _heard(world, other)
        assert read == [], "neither before the commit nor behind it"
        # What another one has changed is read, once.
        assert (await other.claim(8, {host: {"VCPU": 1}})).status == NO_CONTENT
        await _heard(world, other)
        assert len(read) == 1


async def _heard(*worlds: World) -> None:
    """Waits until all nodes have followed the log to its end."""
    newest = (await worlds[0].store.read_log(keys.PROVIDERS_SPACE, 0, after=0, limit=1)).closed
    for _ in range(1_000):
        if all(world.keeper._position >= newest for world in worlds):
            return
        await asyncio.sleep(0.01)
    raise AssertionError([world.keeper._position for world in worlds])


@in_loop
async def test_what_is_on_its_way_into_the_log_is_shown_before_it_is_there_and_read_once() -> None:
    state = MemoryState()
    store = Arriving(memory(state=state))
    async with World(memory(state=state), is_shared=True) as other:
        host = await other.provider(1, VCPU=4)
        async with World(cast("Engine", store), is_shared=True) as world:
            await _heard(world)
            read: list[dict[str, Any]] = []

            async def note(given: dict[str, Any]) -> None:
                read.append(given)

            store.before_query = note
            for number in range(3):
                store.is_held_up = True
                assert (await other.claim(7 + number, {host: {"VCPU": 1}})).status == NO_CONTENT
                for _ in range(300):
                    known = world.keeper.fleet.get(host)
                    if known is not None and known.used.get("VCPU") == number + 1:
                        break
                    await asyncio.sleep(0.01)
                else:
                    raise AssertionError(number)
                store.is_held_up = False
                await _heard(world)
            # Its own is not read on its way either.
            store.is_held_up = True
            assert (await world.claim(10, {host: {"VCPU": 1}})).status == NO_CONTENT
            await asyncio.sleep(0.3)
            store.is_held_up = False
            await _heard(world)
            assert len(read) == 3
            known = world.keeper.fleet.get(host)
            assert known is not None
            assert known.used == {"VCPU": 4}


@in_loop
async def test_a_node_forgets_what_it_has_heard_of() -> None:
    async with World(memory(), is_shared=True) as world:
        changes = [(keys.uuid_bytes(uuid_of(1)), Version(n.to_bytes(24, "big"))) for n in range(_HEARD_MAX + 5)]
        await world.keeper._take_in_others(changes)
        assert len(world.keeper._heard) == _HEARD_MAX
        assert changes[0] not in world.keeper._heard


@in_loop
async def test_a_node_forgets_which_commits_were_its_own() -> None:
    async with World(memory(), is_shared=True) as world:
        for number in range(_OWN_MAX + 5):
            world.keeper.note(Version(number.to_bytes(24, "big")))
        assert len(world.keeper._own) == _OWN_MAX
        assert Version(bytes(24)) not in world.keeper._own
