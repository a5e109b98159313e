"""What projects leave behind goes, and nothing that is added meanwhile goes with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from tenet.base.clock import SystemClock
from tenet.placement import keys
from tenet.placement.ops import project_upkeep
from tenet.placement.ops.auditing import audit
from tenet.placement.ops.project_upkeep import ProjectUpkeep
from tenet.placement.ops.quota_keeping import find_quotas
from tenet.store.contract import (
    EVERYTHING,
    Commit,
    Committed,
    Delete,
    Engine,
    Key,
    Outcome,
    Page,
    Put,
    Record,
    Store,
    new_commit_id,
)
from tenet.store.errors import StoreCorrupt, StoreError, StoreUnavailable
from tenet.store.faulty import NO_FAULTS, Faulty
from tenet.store.memory_state import MemoryState
from tests.cassandra_model.stand import Stand
from tests.unit.placement.test_claims import PLAN, every_use
from tests.unit.placement.test_quotas import quota_of, set_quota
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

NO_CONTENT, FORBIDDEN = 204, 403


class Watched:
    """A store in which something happens behind reads of projects, and which may fail at a commit.

    Args:
        store: the one below.
    """

    def __init__(self, store: Engine) -> None:
        self._store = store
        self.behind_query: Callable[[], Awaitable[None]] | None = None
        self.commits_left = 1_000

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def query(self, *arguments: Any, **named: Any) -> Page:
        page = await self._store.query(*arguments, **named)
        happening, self.behind_query = self.behind_query, None
        if happening is not None:
            await happening()
        return page

    async def commit(self, commit: Commit, **named: Any) -> Outcome:
        self.commits_left -= 1
        if self.commits_left < 0:
            raise StoreUnavailable("this process is dead")
        return await self._store.commit(commit, **named)


class Apart:
    """A store that reads each key of a ``get`` at a moment of its own, as it may; something happens behind a quota.

    Args:
        store: the one below.
    """

    def __init__(self, store: Engine) -> None:
        self._store = store
        self.behind_quota: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, wanted: Sequence[Key], **named: Any) -> Sequence[Record | None]:
        found: list[Record | None] = []
        for key in wanted:
            found += await self._store.get((key,), **named)
            if (key.space, key.sort) == (keys.PROJECTS_SPACE, keys.QUOTA) and self.behind_quota is not None:
                happening, self.behind_quota = self.behind_quota, None
                await happening()
        return found


def upkeep(store: Any) -> ProjectUpkeep:
    return ProjectUpkeep(store, clock=SystemClock(), ids=IDS)


async def dies_after_shutting(store: Engine, project: str = "project") -> None:
    """A process shuts a project and is killed."""
    watched = Watched(store)
    watched.commits_left = 1
    with pytest.raises(StoreUnavailable):
        await upkeep(watched).clear(project)
    assert (await find_quotas(store, [project]))[project].counted < 0


async def left_of(store: Engine, project: str = "project") -> dict[bytes, int]:
    """What is counted of a project, by the first letter of its keys: how many records."""
    page = await store.query(keys.PROJECTS_SPACE, project.encode(), EVERYTHING, limit=10_000)
    found: dict[bytes, int] = {}
    for record in page.records:
        found[record.sort[:1]] = found.get(record.sort[:1], 0) + 1
    return found


async def drop(world: World, consumer: int) -> None:
    assert (await world.send("DELETE", f"/allocations/{uuid_of(consumer)}")).status == NO_CONTENT


async def used_and_left(world: World, host: str, *, users: int, project: str = "project") -> None:
    """A project of which each user has once had something, with all that is kept of a quota."""
    for number in range(users):
        given = await world.claim(
            number, {host: {"VCPU": 1, "MEMORY_MB": 1}}, project_id=project, user_id=f"user-{number}"
        )
        assert given.status == NO_CONTENT
    for number in range(users):
        await drop(world, number)


async def is_clean(world: World) -> None:
    await every_use(world)
    found = await audit(world.store)
    assert (found.findings, found.remarks) == ([], [])


@pytest.mark.parametrize("most", [1, 2, 5, 1_000])
@in_loop
async def test_nothing_is_left_of_who_has_nothing(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_upkeep, "PAGE", most)
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        await used_and_left(world, host, users=4, project="gone")
        await used_and_left(world, host, users=4)
        assert (await world.claim(50, {host: {"VCPU": 3}}, user_id="user-2")).status == NO_CONTENT
        assert await left_of(world.store, "gone") == {b"u": 8, b"n": 4, b"r": 1}
        assert await upkeep(world.store).look() == (8 + 4) + (8 + 4 - 2)
        assert await left_of(world.store, "gone") == {}
        assert await left_of(world.store) == {b"u": 1, b"n": 1, b"r": 1}
        assert await upkeep(world.store).look() == 0
        await is_clean(world)
        # They go on as if they were new.
        await used_and_left(world, host, users=2, project="gone")
        usages = (await world.ask("GET", "/usages?project_id=project"))["usages"]
        assert usages["INSTANCE"] == {"VCPU": 3, "consumer_count": 1}
        await is_clean(world)


@in_loop
async def test_a_quota_stays_with_what_it_counts() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        await set_quota(world, {"resources": {"VCPU": 5}, "consumers": 9})
        await used_and_left(world, host, users=3)
        assert await upkeep(world.store).look() == 9
        assert await left_of(world.store) == {b"q": 1, b"r": 1, b"t": 2}
        assert (await quota_of(world))["resources"]["VCPU"] == {"limit": 5, "used": 0, "left": 5}
        assert (await world.claim(50, {host: {"VCPU": 5}})).status == NO_CONTENT
        await world.ask("DELETE", "/v1/quotas/project", status=NO_CONTENT)
        await drop(world, 50)
        assert await upkeep(world.store).look() == 4
        # A former quota is told from one to come by its revision.
        assert await left_of(world.store) == {b"q": 1, b"r": 1}
        await set_quota(world, {"resources": {"VCPU": 5}})
        assert (await world.claim(51, {host: {"VCPU": 5}})).status == NO_CONTENT
        assert (await quota_of(world))["resources"]["VCPU"] == {"limit": 5, "used": 5, "left": 0}
        await is_clean(world)


@pytest.mark.parametrize("is_shut_again", [True, False])
@pytest.mark.parametrize("is_limited", [True, False])
@in_loop
async def test_what_is_claimed_while_it_is_being_removed_stays(*, is_shut_again: bool, is_limited: bool) -> None:
    store = memory()
    async with World(store) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        if is_limited:
            await set_quota(world, {"resources": {"VCPU": 50}})
        await used_and_left(world, host, users=2)
        watched = Watched(store)

        async def meanwhile() -> None:
            assert (await world.claim(50, {host: {"VCPU": 3}}, user_id="user-1")).status == NO_CONTENT
            if is_shut_again:
                await dies_after_shutting(store)

        watched.behind_query = meanwhile
        assert await upkeep(watched).clear("project") == 0
        assert (await world.ask("GET", "/usages?project_id=project"))["usages"]["INSTANCE"]["VCPU"] == 3
        await is_clean(world)
        assert await upkeep(store).look() == 6 - 2
        await drop(world, 50)
        await is_clean(world)


@in_loop
async def test_a_quota_that_is_set_before_the_last_is_removed_stays() -> None:
    store = memory()
    async with World(store) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        await used_and_left(world, host, users=1)
        watched = Watched(store)

        async def meanwhile() -> None:
            await set_quota(world, {"resources": {"VCPU": 2}})

        watched.behind_query = meanwhile
        assert await upkeep(watched).clear("project") == 0
        assert (await world.claim(7, {host: {"VCPU": 3}})).status != NO_CONTENT
        assert (await world.claim(7, {host: {"VCPU": 2}})).status == NO_CONTENT
        await is_clean(world)


@in_loop
async def test_a_project_that_a_dead_process_has_shut_is_opened_by_whoever_comes_first() -> None:
    store = memory()
    async with World(store) as world, World(store) as other:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        await used_and_left(world, host, users=1)
        await dies_after_shutting(store)
        await is_clean(world)
        assert (await other.claim(7, {host: {"VCPU": 3}})).status == NO_CONTENT
        await dies_after_shutting(store)
        await set_quota(world, {"resources": {"VCPU": 3}})
        await dies_after_shutting(store)
        await set_quota(world, {"resources": {"VCPU": 4}})
        await dies_after_shutting(store)
        await drop(other, 7)
        await dies_after_shutting(store)
        await world.ask("DELETE", "/v1/quotas/project", status=NO_CONTENT)
        await dies_after_shutting(store)
        assert await upkeep(store).look() > 0
        assert (await find_quotas(store, ["project"]))["project"].counted > 0
        await is_clean(world)


@in_loop
async def test_who_opens_a_project_keeps_to_the_quota_with_which_it_was_shut() -> None:
    store = memory()
    apart = Apart(store)
    async with World(store) as world, World(cast("Engine", apart)) as other:
        host = await world.provider(1, VCPU=100)

        async def meanwhile() -> None:
            await set_quota(world, {"resources": {"VCPU": 1}})
            await dies_after_shutting(store)

        apart.behind_quota = meanwhile
        assert (await other.claim(7, {host: {"VCPU": 50}})).status == FORBIDDEN
        assert (await other.claim(8, {host: {"VCPU": 1}})).status == NO_CONTENT
        assert (await world.claim(9, {host: {"VCPU": 1}})).status == FORBIDDEN
        await is_clean(world)


# ---- who is stopped in between, and what cannot be cleared -----------------------------------------------------------


class Halting:
    """A store that waits at one call for a nod; what it waits in may be cancelled.

    Args:
        store: the one below.
        at: the call: ``query``, or ``commit`` and which one, from 1.
        has_landed: whether the store has answered before it waits.
    """

    def __init__(self, store: Engine, at: str, *, has_landed: bool = False) -> None:
        self._store = store
        self._at = at
        self._has_landed = has_landed
        self._commits = 0
        self.reached, self.nod = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def _wait(self) -> None:
        self.reached.set()
        await self.nod.wait()

    async def query(self, *arguments: Any, **named: Any) -> Page:
        if self._at == "query":
            await self._wait()
        return await self._store.query(*arguments, **named)

    async def commit(self, commit: Commit, **named: Any) -> Outcome:
        self._commits += 1
        if self._at != f"commit {self._commits}":
            return await self._store.commit(commit, **named)
        if self._has_landed:
            outcome = await self._store.commit(commit, **named)
            await self._wait()
            return outcome
        await self._wait()
        return await self._store.commit(commit, **named)


RUNBOOK = (Path(__file__).resolve().parents[3] / "docs" / "runbook" / "placement.md").read_text(encoding="utf-8")


def told(logs: Iterable[MutableMapping[str, Any]], level: str = "warning") -> list[tuple[Any, ...]]:
    """What a log has of a level: event, project and error. The runbook knows each event."""
    found = [one for one in logs if one["log_level"] == level]
    assert all(f"| `{one['event']}`, with" in RUNBOOK for one in found)
    return [(one["event"], one.get("project"), one.get("error")) for one in found]


async def is_open(store: Engine, project: str = "project") -> bool:
    found = (await find_quotas(store, [project]))[project]
    return found.counted == found.quota.revision


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("is_limited", [True, False])
@pytest.mark.parametrize(
    ("at", "has_landed"),
    [("commit 1", False), ("commit 1", True), ("query", False), ("commit 2", False), ("commit 2", True)],
)
@in_loop
async def test_who_is_stopped_leaves_no_project_shut(
    at: str, *, has_landed: bool, is_limited: bool, times: int
) -> None:
    store = memory()
    async with World(store) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        if is_limited:
            await set_quota(world, {"resources": {"VCPU": 50}})
        await used_and_left(world, host, users=2)
        halting = Halting(store, at, has_landed=has_landed)
        clearing = asyncio.create_task(upkeep(halting).clear("project"))
        await halting.reached.wait()
        assert await is_open(store) == ((at, has_landed) in {("commit 1", False), ("commit 2", True)})
        for _ in range(times):
            clearing.cancel()
            await asyncio.sleep(0.01)
        halting.nod.set()
        with pytest.raises(asyncio.CancelledError):
            await clearing
        await asyncio.sleep(0.01)
        assert await is_open(store)
        assert (await world.claim(50, {host: {"VCPU": 3}})).status == NO_CONTENT
        await is_clean(world)


@in_loop
async def test_who_cannot_read_what_is_at_0_opens_the_project_again() -> None:
    store = memory()
    async with World(store) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        await used_and_left(world, host, users=2)
        watched = Watched(store)

        async def fail() -> None:
            assert not await is_open(store)
            raise StoreUnavailable("no store")

        watched.behind_query = fail
        with pytest.raises(StoreUnavailable, match="no store"):
            await upkeep(watched).clear("project")
        assert await is_open(store)
        assert await upkeep(store).look() == 6


@in_loop
async def test_a_stop_waits_for_a_store_that_does_not_answer_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(project_upkeep, "OPENING_S", 0.05)
    store = memory()
    async with World(store) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        await used_and_left(world, host, users=1)
        halting = Halting(store, "commit 1", has_landed=True)
        clearing = asyncio.create_task(upkeep(halting).clear("project"))
        await halting.reached.wait()
        clearing.cancel()
        with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(clearing, 5)
        assert told(logs) == [("a project may be shut until somebody claims for it", "project", None)]
        assert (await world.claim(50, {host: {"VCPU": 3}})).status == NO_CONTENT


@in_loop
async def test_a_quota_that_cannot_be_read_keeps_no_other_project_from_being_cleared() -> None:
    store = memory()
    async with World(store) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        projects = [f"project-{number}" for number in range(5)]
        for project in projects:
            await used_and_left(world, host, users=1, project=project)
        # As the scan meets them: the first one cannot be read.
        page = await store.scan(keys.PROJECTS_SPACE, keys.PROJECT_CONSUMERS, limit=100)
        bad = page.records[0].partition.decode()
        broken = Commit(new_commit_id(world.clock, IDS), [Put(keys.quota_key(bad), b"\x01\xc1")])
        assert isinstance(await store.commit(broken), Committed)
        for removed in (4 * 3, 0):
            with capture_logs() as logs:
                assert await upkeep(store).look() == removed
            assert told(logs) == [("what projects left behind is not removed yet", bad, StoreCorrupt.code)]
            assert len(told(logs, "info")) == bool(removed)
            assert [one["records"] for one in logs if "records" in one] == [removed] * bool(removed)
        assert [bool(await left_of(store, project)) for project in projects] == [one == bad for one in projects]
        mended = Commit(new_commit_id(world.clock, IDS), [Delete(keys.quota_key(bad))])
        assert isinstance(await store.commit(mended), Committed)
        assert await upkeep(store).look() == 3
        await is_clean(world)


@in_loop
async def test_what_was_removed_before_a_failure_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_upkeep, "PAGE", 2)
    store = memory()
    async with World(store) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        await used_and_left(world, host, users=2)
        watched = Watched(store)
        watched.commits_left = 2
        with capture_logs() as logs:
            assert await upkeep(watched).look() == 2
        assert [project for _, project, _ in told(logs)] == ["project"]
        assert await upkeep(store).look() == 4
        await is_clean(world)


@in_loop
async def test_a_store_that_serves_nobody_is_not_asked_about_every_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_upkeep, "_FAILURES_MAX", 3)
    store = memory()
    async with World(store) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        for number in range(6):
            await used_and_left(world, host, users=1, project=f"project-{number}")
        watched = Watched(store)
        watched.commits_left = 0
        with capture_logs() as logs, pytest.raises(StoreUnavailable, match="this process is dead"):
            await upkeep(watched).look()
        assert len({project for _, project, _ in told(logs)}) == len(logs) == 2
        assert await upkeep(store).look() == 18


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
@in_loop
async def test_it_loses_no_claim_however_they_race(seed: int) -> None:
    """Two nodes claim, give back, set quotas and tidy up, on a way to the store on which much goes wrong."""
    state, clock, chance = MemoryState(), SystemClock(), Random(seed)
    stores = [memory(state=state) for _ in range(3)]
    nodes = [Faulty(store, NO_FAULTS, seed=seed + number, clock=clock) for number, store in enumerate(stores[:2])]
    async with World(stores[2], is_shared=True) as clean:
        host = await clean.provider(1, VCPU=10_000, MEMORY_MB=10_000)
        async with World(nodes[0], is_shared=True) as one, World(nodes[1], is_shared=True) as other:
            for node in nodes:
                node._plan = PLAN
            is_over, removed = False, 0

            async def tidy(node: Faulty) -> None:
                nonlocal removed
                while not is_over:
                    with contextlib.suppress(StoreError):
                        count = await upkeep(node).clear("project")
                        removed += count
                    await asyncio.sleep(0.002)

            async def come_and_go(number: int) -> None:
                user, world = f"user-{number % 3}", (one, other)[number % 2]
                for _ in range(12):
                    await asyncio.sleep(chance.random() * 0.02)
                    held = (await clean.ask("GET", f"/allocations/{uuid_of(number)}")).get("consumer_generation")
                    if held is None:
                        await world.claim(number, {host: {"VCPU": 1, "MEMORY_MB": 3}}, user_id=user)
                    elif chance.random() < 0.1:
                        limits = chance.choice(({}, {"VCPU": 9_000}))
                        await world.send("PUT", "/v1/quotas/project", {"resources": limits})
                    else:
                        await world.send("DELETE", f"/allocations/{uuid_of(number)}")

            tidying = [asyncio.create_task(tidy(node)) for node in nodes]
            await asyncio.gather(*(come_and_go(number) for number in range(100, 106)))
            is_over = True
            await asyncio.gather(*tidying)
        assert removed > 0
        await is_clean(clean)


def test_two_processes_on_the_distributed_engine() -> None:
    async def test(stand: Stand) -> None:
        first, second = await stand.process("first"), await stand.process("second", behind_ms=30)
        tidier = ProjectUpkeep(first.engine, clock=first.clock, ids=IDS)
        async with World(first.engine, clock=first.clock) as one, World(second.engine, clock=second.clock) as other:
            host = await one.provider(1, VCPU=100, MEMORY_MB=100)
            await used_and_left(one, host, users=2)
            assert await left_of(one.store) == {b"u": 4, b"n": 2, b"r": 1}
            watched = Watched(first.engine)

            async def meanwhile() -> None:
                assert (await other.claim(50, {host: {"VCPU": 3}}, user_id="user-1")).status == NO_CONTENT

            watched.behind_query = meanwhile
            assert await ProjectUpkeep(cast("Store", watched), clock=first.clock, ids=IDS).clear("project") == 0
            assert await tidier.look() == 4
            await drop(one, 50)
            assert await tidier.look() == 2
            assert await left_of(one.store) == {}
            assert (await other.claim(51, {host: {"VCPU": 3}})).status == NO_CONTENT
            found = await audit(one.store)
            assert (found.findings, found.remarks) == ([], [])

    Stand().run(test)
