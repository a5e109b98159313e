"""Quotas of projects: held in the very commit, exactly filled by whatever races, and right from when they are set."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from tenet.base.clock import SystemClock
from tenet.placement import keys
from tenet.placement.model import Consumer
from tenet.placement.ops.auditing import audit
from tenet.placement.ops.committing import Committer, Plan
from tenet.placement.ops.quota_keeping import Quotas
from tenet.placement.rules.claims import Move
from tenet.placement.rules.quotas import Quota, changes_of, decode_quota, encode_quota, quota_writes, summed
from tenet.store.contract import Add, Commit, Committed, Put, Write, new_commit_id
from tenet.store.errors import StoreCorrupt, StoreError
from tenet.store.faulty import NO_FAULTS, Faulty
from tenet.store.memory_state import MemoryState
from tests.cassandra_model.stand import Stand
from tests.unit.placement.test_claiming import checked, claim_of, claimed
from tests.unit.placement.test_claims import PLAN, every_use
from tests.unit.placement.world import IDS, OWNER, World, in_loop, memory, uuid_of

OK, CREATED, NO_CONTENT, BAD, FORBIDDEN, CONFLICT, UNAVAILABLE = 200, 201, 204, 400, 403, 409, 503
PATH = "/v1/quotas/{project_id}"


async def set_quota(world: World, body: Any, *, project: str = "project", status: int = OK, **more: str) -> Any:
    """Sets a quota, and checks the answer against the OpenAPI document."""
    answer = await world.ask("PUT", f"/v1/quotas/{project}", body, status=status, **more)
    return checked(answer, PATH, "put", status)


async def quota_of(world: World, project: str = "project") -> Any:
    return checked(await world.ask("GET", f"/v1/quotas/{project}"), PATH, "get", OK)


async def exceeded(world: World, method: str, path: str, body: Any) -> str:
    """Sends a request that a quota does not let pass; returns the text."""
    (error,) = (await world.ask(method, path, body, status=FORBIDDEN))["errors"]
    assert error["code"] == "placement.quota.exceeded"
    return str(error["detail"])


def allocation(host: str, generation: int | None = None, **resources: int) -> dict[str, Any]:
    return {"allocations": {host: {"resources": resources}}, "consumer_generation": generation, **OWNER}


@in_loop
async def test_a_project_without_a_quota_is_not_limited() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        assert (await world.claim(7, {host: {"VCPU": 4}})).status == NO_CONTENT
        cpus = {"limit": None, "used": 4, "left": None}
        one = {"limit": None, "used": 1, "left": None}
        assert await quota_of(world) == {
            "project_id": "project",
            "resources": {"VCPU": cpus},
            "consumers": one,
            "consumer_types": {"INSTANCE": {"resources": {"VCPU": cpus}, "consumers": one}},
            "updated_ms": None,
        }


@in_loop
async def test_it_shows_limit_use_and_what_is_left() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=10, MEMORY_MB=100)
        assert (await world.claim(7, {host: {"VCPU": 3, "MEMORY_MB": 10}})).status == NO_CONTENT
        types = {"INSTANCE": {"resources": {"VCPU": 2}, "consumers": 5}, "MIGRATION": {"consumers": 1}}
        body = {"resources": {"VCPU": 8}, "consumers": 4, "consumer_types": types}
        answer = await set_quota(world, body)
        assert answer == await quota_of(world)
        assert answer["resources"]["VCPU"] == {"limit": 8, "used": 3, "left": 5}
        assert answer["resources"]["MEMORY_MB"] == {"limit": None, "used": 10, "left": None}
        assert answer["consumers"] == {"limit": 4, "used": 1, "left": 3}
        of_type = answer["consumer_types"]["INSTANCE"]
        assert of_type["resources"]["VCPU"] == {"limit": 2, "used": 3, "left": 0}
        assert answer["consumer_types"]["MIGRATION"]["consumers"] == {"limit": 1, "used": 0, "left": 1}
        assert answer["updated_ms"] > 0


@in_loop
async def test_every_way_to_allocate_is_held_to_it() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100)
        await set_quota(world, {"resources": {"VCPU": 5}})
        assert (await world.claim(7, {host: {"VCPU": 3}})).status == NO_CONTENT
        words = "Quota exceeded for VCPU of project 'project': 3 more wanted, 3 of 5 in use."
        assert words in await exceeded(world, "PUT", f"/allocations/{uuid_of(8)}", allocation(host, VCPU=3))
        assert words in await exceeded(world, "POST", "/allocations", {uuid_of(8): allocation(host, VCPU=3)})
        inventories = {"inventories": {"VCPU": {"total": 200}}, "resource_provider_generation": 2}
        reshaper = {"inventories": {host: inventories}, "allocations": {uuid_of(8): allocation(host, VCPU=3)}}
        assert words in await exceeded(world, "POST", "/reshaper", reshaper)
        three = {"groups": [{"resources": {"VCPU": 3}}]}
        claim = checked(await world.ask("POST", "/v1/claims", claim_of(8, request=three), status=FORBIDDEN),
                        "/v1/claims", "post", FORBIDDEN)  # fmt: skip
        assert words in claim["errors"][0]["detail"]
        gang = await world.ask("POST", "/v1/claims", claim_of(8, 9, 10), status=FORBIDDEN)
        assert words in gang["errors"][0]["detail"]
        assert await world.used(host) == {"VCPU": 3}
        await claimed(world, claim_of(8, 9))
        assert (await quota_of(world))["resources"]["VCPU"] == {"limit": 5, "used": 5, "left": 0}


@in_loop
async def test_the_number_of_consumers_and_types_are_limited_too() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100)
        await set_quota(
            world, {"consumers": 3, "consumer_types": {"MIGRATION": {"consumers": 1, "resources": {"VCPU": 2}}}}
        )
        refused = await world.claim(7, {host: {"VCPU": 3}}, consumer_type="MIGRATION")
        assert b"Quota exceeded for VCPU of the type MIGRATION" in refused.body
        assert (await world.claim(7, {host: {"VCPU": 2}}, consumer_type="MIGRATION")).status == NO_CONTENT
        refused = await world.claim(8, {host: {"VCPU": 1}}, consumer_type="MIGRATION")
        assert b"Quota exceeded for consumers of the type MIGRATION" in refused.body
        for consumer in (8, 9):
            assert (await world.claim(consumer, {host: {"VCPU": 9}})).status == NO_CONTENT
        refused = await world.claim(10, {host: {"VCPU": 1}})
        assert b"Quota exceeded for consumers of project" in refused.body
        # A consumer that becomes one of another type leaves room behind.
        assert (await world.claim(7, {host: {"VCPU": 2}}, generation=1)).status == NO_CONTENT
        assert (await world.claim(8, {host: {"VCPU": 2}}, generation=1, consumer_type="MIGRATION")).status == NO_CONTENT
        assert (await audit(world.store)).findings == []


@in_loop
async def test_what_is_above_a_limit_may_stay_and_become_less() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100)
        assert (await world.claim(7, {host: {"VCPU": 9}})).status == NO_CONTENT
        assert (await set_quota(world, {"resources": {"VCPU": 5}}))["resources"]["VCPU"]["left"] == 0
        found = await audit(world.store)
        assert found.findings == []
        texts = {one.text for one in found.remarks}
        assert texts == {"VCPU of all types: 9 in use, 5 allowed; nothing is added until it fits"}
        for generation, amount, status in ((1, 9, NO_CONTENT), (2, 10, FORBIDDEN), (2, 8, NO_CONTENT)):
            answer = await world.claim(7, {host: {"VCPU": amount}}, generation=generation)
            assert answer.status == status, answer.body
        assert b"Quota exceeded" in (await world.claim(8, {host: {"VCPU": 1}})).body
        assert (await world.claim(8, {host: {"VCPU": 1}}, project_id="other")).status == NO_CONTENT
        # It goes from one project to another, where there is room for it.
        assert (await world.claim(7, {host: {"VCPU": 8}}, generation=3, project_id="other")).status == NO_CONTENT
        assert (await world.claim(9, {host: {"VCPU": 5}})).status == NO_CONTENT
        assert (await audit(world.store)).remarks == []


@in_loop
async def test_a_limit_that_goes_and_comes_back_counts_what_was_claimed_meanwhile() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100)
        await set_quota(world, {"resources": {"VCPU": 5}})
        assert (await world.claim(7, {host: {"VCPU": 5}})).status == NO_CONTENT
        for _ in range(2):
            await world.ask("DELETE", "/v1/quotas/project", status=NO_CONTENT)
        assert (await world.claim(8, {host: {"VCPU": 7, "MEMORY_MB": 10}})).status == NO_CONTENT
        await world.ask("DELETE", f"/allocations/{uuid_of(7)}", status=NO_CONTENT)
        await set_quota(world, {"resources": {"MEMORY_MB": 20}})
        assert (await world.claim(9, {host: {"VCPU": 2}})).status == NO_CONTENT
        await set_quota(world, {"resources": {"VCPU": 10, "MEMORY_MB": 20}})
        assert (await audit(world.store)).findings == []
        assert (await world.claim(10, {host: {"VCPU": 2}})).status == FORBIDDEN
        assert (await world.claim(10, {host: {"VCPU": 1}})).status == NO_CONTENT


@in_loop
async def test_a_node_that_has_not_heard_of_a_quota_keeps_to_it() -> None:
    state = MemoryState()
    async with World(memory(state=state), is_shared=True) as one, World(memory(state=state), is_shared=True) as other:
        host = await one.provider(1, VCPU=100)
        assert (await other.claim(7, {host: {"VCPU": 1}})).status == NO_CONTENT
        await set_quota(one, {"resources": {"VCPU": 2}})
        assert (await other.claim(8, {host: {"VCPU": 2}})).status == FORBIDDEN
        assert (await other.claim(8, {host: {"VCPU": 1}})).status == NO_CONTENT
        await set_quota(one, {"resources": {"VCPU": 3}})
        assert (await other.claim(9, {host: {"VCPU": 1}})).status == NO_CONTENT
        assert (await audit(one.store)).findings == []


@in_loop
async def test_a_process_that_dies_between_the_two_commits_has_changed_no_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100)
        await set_quota(world, {"consumers": 2})
        assert (await world.claim(7, {host: {"VCPU": 6}})).status == NO_CONTENT
        commit, seen = Committer._commit, 0

        async def once(committer: Committer, plan: Plan, deadline: float) -> Any:
            nonlocal seen
            seen += 1
            if seen == 2:
                raise OSError("killed")
            return await commit(committer, plan, deadline)

        with monkeypatch.context() as patch:
            patch.setattr(Committer, "_commit", once)
            with pytest.raises(OSError, match="killed"):
                await world.send("PUT", "/v1/quotas/project", {"resources": {"VCPU": 5}})
        limits = await quota_of(world)
        assert (limits["resources"]["VCPU"]["limit"], limits["consumers"]["limit"]) == (None, 2)
        assert (await world.claim(8, {host: {"VCPU": 6}})).status == NO_CONTENT
        assert (await world.claim(9, {host: {"VCPU": 1}})).status == FORBIDDEN
        assert (await audit(world.store)).findings == []
        assert (await set_quota(world, {"resources": {"VCPU": 13}}))["resources"]["VCPU"]["left"] == 1
        assert (await world.claim(9, {host: {"VCPU": 2}})).status == FORBIDDEN
        assert (await world.claim(9, {host: {"VCPU": 1}})).status == NO_CONTENT


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"resources": {"VCPU": -1}}, "-1 is less than the minimum of 0"),
        ({"resources": {"VCPU": 1.5}}, "1.5 is not of type 'integer'"),
        ({"resources": {"CUSTOM_X": 1}}, "No such resource class CUSTOM_X"),
        ({"resources": {"vcpu": 1}}, "'vcpu' does not match"),
        ({"VCPU": 1}, "Additional properties are not allowed"),
        ({"consumer_types": {"instance": {"consumers": 1}}}, "'instance' does not match"),
        ({"consumer_types": {f"T{one}": {"resources": {"VCPU": 1}, "consumers": 1} for one in range(200)}},
         "The quota has 400 limits; it may have 256."),
    ],
)  # fmt: skip
@in_loop
async def test_malformed_quotas_are_refused(body: Any, words: str) -> None:
    async with World(memory()) as world:
        answer = await set_quota(world, body, status=BAD)
        assert words in answer["errors"][0]["detail"]
        text = await world.refused("PUT", f"/v1/quotas/{'p' * 256}", {}, status=BAD)
        assert "The project has 256 characters; it may have 255." in text


@in_loop
async def test_administrators_set_quotas_and_projects_see_their_own() -> None:
    async with World(memory()) as world:
        await set_quota(world, {"consumers": 1}, project="mine")
        for role in ("service", "member,reader"):
            who = {"x_auth_token": "ann:mine", "x_roles": role}
            assert (await world.send("PUT", "/v1/quotas/mine", {}, **who)).status == FORBIDDEN
            assert (await world.send("DELETE", "/v1/quotas/mine", **who)).status == FORBIDDEN
            assert (await world.send("GET", "/v1/quotas/mine", **who)).status == OK
        other = await world.send("GET", "/v1/quotas/mine", x_auth_token="bob:his", x_roles="reader")
        assert other.status == FORBIDDEN


# ---- races -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@in_loop
async def test_racing_claims_fill_a_quota_exactly(seed: int) -> None:
    """60 claims of all kinds for 25 units of quota, from two nodes, on a way to the store on which much goes wrong."""
    state, clock, chance = MemoryState(), SystemClock(), Random(seed)
    stores = [memory(state=state) for _ in range(3)]
    nodes = [Faulty(store, NO_FAULTS, seed=seed + number, clock=clock) for number, store in enumerate(stores[:2])]
    async with World(stores[2], is_shared=True) as clean:
        hosts = [await clean.provider(number, VCPU=40) for number in range(1, 5)]
        await set_quota(clean, {"resources": {"VCPU": 25}, "consumer_types": {"MIGRATION": {"consumers": 5}}})
        async with World(nodes[0], is_shared=True) as one, World(nodes[1], is_shared=True) as other:
            for node in nodes:
                node._plan = PLAN

            async def boot(number: int) -> int:
                host, kind = chance.choice(hosts), chance.choice(("INSTANCE", "MIGRATION"))
                body = claim_of(1000 + number)
                body["consumers"][0]["consumer_type"] = kind
                by_claim = chance.random() < 0.5
                while True:
                    world = chance.choice((one, other))
                    if by_claim:
                        answer = await world.send("POST", "/v1/claims", body)
                    else:
                        answer = await world.claim(1000 + number, {host: {"VCPU": 1}}, consumer_type=kind)
                    if answer.status != UNAVAILABLE:
                        assert answer.status in {OK, CREATED, NO_CONTENT, FORBIDDEN}, answer.body
                        return int(answer.status != FORBIDDEN)

            placed = await asyncio.gather(*(boot(number) for number in range(60)))
        assert sum(placed) == 25
        shown = await quota_of(clean)
        assert shown["resources"]["VCPU"] == {"limit": 25, "used": 25, "left": 0}
        assert shown["consumer_types"]["MIGRATION"]["consumers"]["used"] <= 5
        await every_use(clean)
        found = await audit(clean.store)
        assert (found.findings, found.remarks) == ([], [])


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
@in_loop
async def test_a_limit_that_is_changed_while_claims_race_is_never_passed(seed: int) -> None:
    """Limits of one class and another come and go; whenever one is in force, no more than it is there."""
    state, chance = MemoryState(), Random(seed)
    async with World(memory(state=state), is_shared=True) as one, World(memory(state=state), is_shared=True) as other:
        host = await one.provider(1, VCPU=10_000, MEMORY_MB=10_000)
        is_over = False

        async def churn(number: int) -> None:
            world = (one, other)[number % 2]
            while not is_over:
                held = (await world.ask("GET", f"/allocations/{uuid_of(number)}")).get("consumer_generation")
                if held is None:
                    await world.claim(number, {host: {"VCPU": chance.choice((1, 2)), "MEMORY_MB": 3}})
                else:
                    await world.send("DELETE", f"/allocations/{uuid_of(number)}")
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(churn(number)) for number in range(100, 112)]
        for limit in range(20):
            name = chance.choice(("VCPU", "MEMORY_MB"))
            body = {"resources": {name: limit}} if limit % 5 else {}
            world = chance.choice((one, other))
            before = (await set_quota(world, body))["resources"]
            for _ in range(30):
                await asyncio.sleep(0)
                assert world.opened is not None
                counted, totals = await world.opened.context.reader.counted("project")
                sums = summed(counted.items())
                if limit % 5:
                    assert totals.get(("", name), 0) == sums.get(("", name), 0)
                    assert totals.get(("", name), 0) <= max(limit, before.get(name, {"used": 0})["used"])
        is_over = True
        await asyncio.gather(*tasks)
        assert (await audit(one.store)).findings == []


@pytest.mark.parametrize("seed", range(2))
def test_two_processes_on_the_distributed_engine_fill_a_quota_exactly(seed: int) -> None:
    async def test(stand: Stand) -> None:
        first, second = await stand.process("first"), await stand.process("second", behind_ms=30)
        chance = Random(seed)
        async with World(first.engine, clock=first.clock) as one, World(second.engine, clock=second.clock) as other:
            hosts = [await one.provider(number, VCPU=100) for number in range(1, 4)]
            await set_quota(one, {"resources": {"VCPU": 9}, "consumers": 50})

            async def boot(number: int) -> int:
                node = chance.choice((one, other))
                answer = await node.claim(1000 + number, {chance.choice(hosts): {"VCPU": 1}})
                assert answer.status in {NO_CONTENT, FORBIDDEN}, answer.body
                return int(answer.status == NO_CONTENT)

            placed = await asyncio.gather(*(boot(number) for number in range(14)))
            assert sum(placed) == 9
            assert (await quota_of(other))["resources"]["VCPU"] == {"limit": 9, "used": 9, "left": 0}
            # It is raised on one node, and the other one has not heard of it.
            await set_quota(other, {"resources": {"VCPU": 11}})
            placed = await asyncio.gather(*(boot(100 + number) for number in range(5)))
            assert sum(placed) == 2
            found = await audit(one.store)
            assert (found.findings, found.remarks) == ([], [])

    Stand().run(test)


@pytest.mark.parametrize("seed", range(3))
@in_loop
async def test_limits_are_set_on_a_way_on_which_much_goes_wrong(seed: int) -> None:
    """Each is in force when it is answered, and whatever became of those without an answer, no total is wrong."""
    state, clock, chance = MemoryState(), SystemClock(), Random(seed)
    node = Faulty(memory(state=state), NO_FAULTS, seed=seed, clock=clock)
    async with World(memory(state=state), is_shared=True) as clean, World(node, is_shared=True) as world:
        host = await clean.provider(1, VCPU=1000, MEMORY_MB=1000)
        node._plan = PLAN
        for number in range(40):
            name, limit = chance.choice(("VCPU", "MEMORY_MB")), chance.randrange(30)
            answer = await world.send("PUT", "/v1/quotas/project", {"resources": {name: limit}})
            assert answer.status in {OK, UNAVAILABLE}
            if answer.status == OK:
                shown = (await quota_of(clean))["resources"]
                assert shown[name]["limit"] == limit
                room = shown[name]["left"] > 0
                taken = await clean.claim(100 + number, {host: {name: 1}})
                assert taken.status == (NO_CONTENT if room else FORBIDDEN)
            assert (await audit(clean.store)).findings == []


# ---- parts -----------------------------------------------------------------------------------------------------------


def consumer(project: str, kind: str, **resources: int) -> Consumer:
    return Consumer(uuid_of(1), project, "user", kind, 1, {uuid_of(9): resources})


def test_a_move_between_projects_is_a_change_of_both() -> None:
    move = Move(consumer("a", "X", VCPU=2), None, consumer("b", "X", VCPU=3))
    changes = changes_of([move])
    assert changes["a"] == {("", ""): -1, ("X", ""): -1, ("", "VCPU"): -2, ("X", "VCPU"): -2}
    assert changes["b"] == {("", ""): 1, ("X", ""): 1, ("", "VCPU"): 3, ("X", "VCPU"): 3}
    quota = Quota(4, (("", "VCPU", 7),), (("", "VCPU"), ("", "")))
    writes = quota_writes(changes, {"a": Quota(), "b": quota})
    assert writes == [
        Add(keys.quota_revision_key("a"), "quotas", 0, at_least=0, at_most=0),
        Add(keys.quota_revision_key("b"), "quotas", 0, at_least=4, at_most=4),
        Add(keys.project_total_key("b", "", "VCPU"), "used", 3, at_least=0, at_most=7),
        Add(keys.project_total_key("b", "", ""), "consumers", 1, at_least=0),
    ]


def test_what_stays_as_it_is_adds_nothing() -> None:
    same = consumer("a", "X", VCPU=2)
    quota = Quota(1, (("", "VCPU", 1),), (("", "VCPU"),))
    writes = quota_writes(changes_of([Move(same, None, same)]), {"a": quota})
    assert [write.key for write in writes] == [keys.quota_revision_key("a")]


def test_a_quota_can_be_read_again() -> None:
    quota = Quota(3, (("", "VCPU", 7), ("X", "", 0)), (("", "VCPU"), ("X", "")), 99)
    assert decode_quota(encode_quota(quota)) == quota
    with pytest.raises(StoreCorrupt, match="a quota cannot be read"):
        decode_quota(b"\x01\xc1")
    with pytest.raises(StoreError, match="a quota"):
        decode_quota(b"\x09")
    with pytest.raises(StoreCorrupt, match="a quota has the unknown format"):
        decode_quota(b"\x00\x90")


@in_loop
async def test_an_audit_finds_totals_and_revisions_that_are_wrong() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=10)
        await set_quota(world, {"resources": {"VCPU": 5}})
        assert (await world.claim(7, {host: {"VCPU": 2}})).status == NO_CONTENT
        wrong: list[Write] = [
            Add(keys.project_total_key("project", "", "VCPU"), "used", 1),
            Add(keys.quota_revision_key("other"), "quotas", 1),
            Put(keys.quota_key("third"), b"\x01?"),
        ]
        clock = SystemClock()
        assert isinstance(await world.store.commit(Commit(new_commit_id(clock, IDS), wrong)), Committed)
        found = [(one.kind, one.subject, one.text) for one in (await audit(world.store)).findings]
        assert found[0] == ("quota-differs", "project other", "the quota is of revision 0, 1 is counted")
        assert found[1] == ("quota-differs", "project project", "VCPU of all types: 3 by the total, 2 by its consumers")
        assert found[2][:2] == ("unreadable", "project third")


@in_loop
async def test_what_is_remembered_of_quotas_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with World(memory()) as world:
        with monkeypatch.context() as patch:
            patch.setattr("tenet.placement.ops.quota_keeping.REMEMBERED_MAX", 3)
            quotas = Quotas(world.store)
            await quotas.read([f"project-{one}" for one in range(10)])
            assert list(quotas._remembered) == ["project-7", "project-8", "project-9"]
