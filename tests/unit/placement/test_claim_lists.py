"""Lists of claims: who asked for what, where it went and why, in order of time, a page at a time, each to its own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from tenet.base.clock import ManualClock
from tenet.placement import keys
from tenet.placement.errors import NO_PLACE, ClaimRefused
from tenet.placement.rules.claim_lists import REFUSAL_BYTES_MAX, decode_entry, encode_entry, refusal_document
from tenet.store.contract import Add, Commit, Delete, Outcome, Put
from tenet.store.errors import StoreCorrupt, StoreError, StoreUnavailable
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tests.cassandra_model.stand import Stand
from tests.unit.placement import test_claiming
from tests.unit.placement.test_claiming import ONE_CPU, checked, claim_of
from tests.unit.placement.test_quotas import set_quota
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

OK, CREATED, NO_CONTENT, BAD, FORBIDDEN, CONFLICT = 200, 201, 204, 400, 403, 409


def asking(*owners: tuple[int, str], **more: Any) -> dict[str, Any]:
    """Returns the body of a claim for consumers, each of a project."""
    body = claim_of(**more)
    body["consumers"] = [{"uuid": uuid_of(one), "project_id": of, "user_id": "ann"} for one, of in owners]
    return body


async def page(world: World, query: str = "", who: dict[str, str] | None = None, *, status: int = OK) -> Any:
    answer = await world.ask("GET", f"/v1/claims{query and '?' + query}", None, status=status, **(who or {}))
    return checked(answer, "/v1/claims", "get", status)


async def listed(world: World, query: str = "", who: dict[str, str] | None = None) -> list[Any]:
    """Returns all entries of all pages."""
    found: list[Any] = []
    answer = await page(world, query, who)
    while True:
        found += answer["claims"]
        if "next" not in answer:
            return found
        answer = await page(world, f"{query}&marker={answer['next']}".lstrip("&"), who)


async def claimed(world: World, body: Any, *, status: int = CREATED) -> Any:
    """Sends a claim in a millisecond of its own: lists know no finer order."""
    await asyncio.sleep(0.002)
    return await test_claiming.claimed(world, body, status=status)


def asked_for(entries: list[Any]) -> list[str]:
    """Returns the first consumer of each entry."""
    return [one["request"]["consumers"][0]["uuid"] for one in entries]


def world_at(clock: ManualClock, **more: Any) -> World:
    return World(memory(clock), clock=clock, **more)


@in_loop
async def test_it_tells_who_asked_for_what_where_it_went_and_why() -> None:
    clock = ManualClock()
    async with world_at(clock) as world:
        host = await world.provider(1, VCPU=2)
        body = asking((7, "a"), (8, "a"))
        answer = await claimed(world, body)
        clock.advance_ms(1)
        too_much = asking((9, "a"))
        (error,) = (await claimed(world, too_much, status=CONFLICT))["errors"]
        first, second = await listed(world, "project_id=a")
        assert first == {"result": "claimed", **answer}
        assert first["consumers"][uuid_of(7)]["allocations"] == {host: {"resources": {"VCPU": 1}}}
        assert (second["result"], second["request"], second["claimed_ms"]) == ("refused", too_much, clock.wall_ms())
        assert second["error"]["code"] == "placement.claim.no_place"
        assert second["error"]["why_not"] == error["why_not"]
        # What was asked again is not listed again.
        await claimed(world, body, status=OK)
        assert len(await listed(world)) == 2


@in_loop
async def test_every_refusal_of_a_claim_is_listed_and_nothing_malformed() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=9)
        await claimed(world, asking((7, "a")))
        await claimed(world, asking((7, "a"), attempt=1), status=CONFLICT)
        await set_quota(world, {"consumers": 1}, project="a")
        await world.ask("POST", "/v1/claims", asking((8, "a")), status=FORBIDDEN)
        await claimed(world, asking((9, "a"), considered=0), status=BAD)
        codes = [one["error"]["code"] for one in await listed(world, "result=refused")]
        assert sorted(codes) == ["placement.claim.claimed_otherwise", "placement.quota.exceeded"]


@in_loop
async def test_it_is_filtered() -> None:
    clock = ManualClock()
    async with world_at(clock) as world:
        hosts = [await world.provider(number, VCPU=1) for number in (1, 2, 3)]
        begun = clock.wall_ms()
        for number, project in enumerate("abab"):
            clock.advance_ms(1500)
            one = {"groups": [{"resources": {"VCPU": 1}, "in_tree": hosts[min(number, 2)]}]}
            status = CREATED if number < 3 else CONFLICT
            await claimed(world, asking((10 + number, project), request=one), status=status)
        seconds = [datetime.fromtimestamp((begun + 1500 * one) / 1000, UTC) for one in range(5)]
        for query, expected in (
            ("", [10, 11, 12, 13]),
            ("project_id=a", [10, 12]),
            ("project_id=b", [11, 13]),
            ("project_id=c", []),
            ("result=claimed", [10, 11, 12]),
            ("result=refused", [13]),
            ("result=refused&project_id=a", []),
            (f"provider={hosts[1]}", [11]),
            (f"provider={hosts[1].replace('-', '').upper()}&project_id=b", [11]),
            (f"provider={hosts[1]}&project_id=a", []),
            (f"provider={hosts[1]}&result=refused", []),
            (f"since={begun + 3000}", [11, 12, 13]),
            (f"since={begun + 3001}", [12, 13]),
            (f"since={seconds[3].isoformat().replace('+00:00', 'Z')}", [12, 13]),
            (f"since={seconds[3].replace(tzinfo=None).isoformat()}&project_id=b", [13]),
            ("since=1960-01-01", [10, 11, 12, 13]),
            (f"since={9**30}", []),
        ):
            assert asked_for(await listed(world, query)) == [uuid_of(one) for one in expected], query


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=0", "'limit' is '0'; it may be 1 to 1000"),
        ("limit=1001", "it may be 1 to 1000"),
        ("limit=-1", "it may be 1 to 1000"),
        ("limit=9999999999999", "it may be 1 to 1000"),
        ("since=yesterday", "'since' is 'yesterday', and neither milliseconds since 1970 nor a time as in ISO 8601"),
        ("result=maybe", "'result' is 'maybe'; it may be 'claimed' or 'refused'"),
        ("provider=host-1", "'provider' is 'host-1', and not a uuid"),
        ("marker=xyz", "'marker' is none that a list gave"),
        ("marker=00", "'marker' is none that a list gave"),
        ("project=a", "there is no parameter 'project'; there are: project_id, provider, since"),
    ],
)
@in_loop
async def test_malformed_parameters_are_refused(query: str, words: str) -> None:
    async with World(memory()) as world:
        assert words in (await page(world, query, status=BAD))["errors"][0]["detail"]


# ---- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@in_loop
async def test_pages_skip_nothing_and_repeat_nothing(limit: int) -> None:
    """Many of them of the same millisecond, some of gangs of two projects, while more come in behind them."""
    clock, chance = ManualClock(), Random(limit)
    async with world_at(clock) as world:
        await world.provider(1, VCPU=40)
        claims: list[Any] = []

        async def ask(number: int) -> None:
            owners = [(2 * number + one, chance.choice("abc")) for one in range(chance.choice((1, 2)))]
            answer = await world.send("POST", "/v1/claims", asking(*owners))
            assert answer.status in {CREATED, CONFLICT}
            claims.append((owners[0][0], {project for _, project in owners}, answer.status))
            clock.advance_ms(chance.choice((0, 0, 0, 1)))

        for number in range(100, 140):
            await ask(number)
        whole = await listed(world)
        assert sorted(asked_for(whole)) == sorted(uuid_of(one) for one, _, _ in claims)
        assert [one["claimed_ms"] for one in whole] == sorted(one["claimed_ms"] for one in whole)
        for project in ("", "a", "b", "c"):
            query, found, marker = f"project_id={project}" if project else "", [], ""
            expected = [one for one, of, _ in claims if not project or project in of]
            while True:
                answer = await page(world, f"limit={limit}&{query}{marker}".rstrip("&"))
                assert len(answer["claims"]) <= limit
                found += asked_for(answer["claims"])
                if "next" not in answer:
                    break
                marker = f"&marker={answer['next']}"
                if len(claims) < 60:
                    await ask(200 + len(claims))
            later = {uuid_of(one) for one, _, _ in claims} - {uuid_of(one) for one in expected}
            assert sorted(one for one in found if one not in later) == sorted(uuid_of(one) for one in expected)
            assert len(set(found)) == len(found)


@in_loop
async def test_a_page_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=40)
        for one in range(8):
            await claimed(world, asking((100 + one, "a")))
        monkeypatch.setattr("tenet.placement.ops.claim_lists._PAGE_BYTES_MAX", 1)
        assert len((await page(world))["claims"]) == 1
        assert len(await listed(world)) == 8
        monkeypatch.setattr("tenet.placement.ops.claim_lists._PAGE_BYTES_MAX", 1 << 20)
        monkeypatch.setattr("tenet.placement.ops.claim_lists._LOOKED_AT_MAX", 3)
        monkeypatch.setattr("tenet.placement.ops.claim_lists.LIMIT_USUAL", 1)
        nowhere = await page(world, f"provider={uuid_of(99)}&limit=1")
        assert nowhere["claims"] == []
        assert "next" in nowhere
        assert await listed(world, f"provider={uuid_of(99)}&limit=1") == []


# ---- whose -----------------------------------------------------------------------------------------------------------


@in_loop
async def test_tenants_see_their_own() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        await claimed(world, asking((7, "a")))
        await claimed(world, asking((8, "b")))
        mixed = await claimed(world, asking((9, "a"), (10, "b")))
        await claimed(world, asking((11, "b"), (12, "a")), status=CONFLICT)
        ann = {"x_auth_token": "ann:a", "x_roles": "reader"}
        for query in ("", "project_id=a"):
            first, second, third = await listed(world, query, ann)
            assert asked_for([first, second, third]) == [uuid_of(7), uuid_of(9), uuid_of(12)]
            assert second["consumers"] == {uuid_of(9): mixed["consumers"][uuid_of(9)]}
            assert [one["project_id"] for one in second["request"]["consumers"]] == ["a"]
            told = {"code": "placement.claim.no_place", "detail": "It was asked for together with others."}
            assert third["error"] == told
            assert uuid_of(10) not in str([first, second, third])
        for query, who in (("project_id=b", ann), ("", {"x_auth_token": "ann:a", "x_roles": "member"})):
            assert await page(world, query, who, status=FORBIDDEN)
        assert len(await listed(world, "project_id=b", {"x_auth_token": "nova", "x_roles": "service"})) == 3


# ---- what is kept, and what it costs ---------------------------------------------------------------------------------


def keep(world: World, refused_max: int) -> None:
    assert world.opened is not None
    world.opened.context.journal._refused_max = refused_max


@pytest.mark.thorough
@pytest.mark.parametrize("kept", [0, 1, 10, 25])
@in_loop
async def test_of_refused_requests_the_newest_are_kept(kept: int) -> None:
    clock = ManualClock()
    async with world_at(clock) as world:
        keep(world, kept)
        for number in range(40):
            clock.advance_ms(1)
            await claimed(world, asking((100 + number, "ab"[number % 8 == 0])), status=CONFLICT)
            found = await listed(world, "project_id=a")
            assert len(found) <= kept + kept // 10 + 1
        newest = [uuid_of(100 + number) for number in range(40) if number % 8]
        found = await listed(world, "project_id=a")
        assert len(found) >= min(kept, 35)
        assert asked_for(found) == newest[len(newest) - len(found) :]
        assert len(await listed(world, "project_id=b")) == min(5, len(await listed(world, "project_id=b")), kept + 1)


@in_loop
async def test_a_restart_forgets_no_more_and_keeps_no_more() -> None:
    clock = ManualClock()
    store = memory(clock)
    for number in range(30):
        async with World(store, clock=clock) as world:
            keep(world, 10)
            clock.advance_ms(1)
            await claimed(world, asking((100 + number, "a")), status=CONFLICT)
            assert len(await listed(world)) == min(10, number + 1)


class Unwilling(MemoryEngine):
    """Refuses to commit on demand, and tells of what it commits."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(MemoryState(), clock=clock, ids=IDS)
        self.is_willing = True
        self.commits: list[Commit] = []

    async def commit(self, commit: Commit, *, deadline: float = float("inf")) -> Outcome:
        if not self.is_willing:
            raise StoreUnavailable("not now")
        self.commits.append(commit)
        return await super().commit(commit, deadline=deadline)


@in_loop
async def test_a_refusal_that_cannot_be_kept_is_answered_all_the_same() -> None:
    clock = ManualClock()
    store = Unwilling(clock)
    async with World(store, clock=clock) as world:
        store.is_willing = False
        await claimed(world, asking((7, "a")), status=CONFLICT)
        store.is_willing = True
        assert await listed(world) == []


@in_loop
async def test_being_listed_costs_a_claim_no_further_partition() -> None:
    clock = ManualClock()
    store = Unwilling(clock)
    async with World(store, clock=clock) as world:
        host = await world.provider(1, VCPU=4)
        store.commits.clear()
        claim = (await claimed(world, asking((7, "a"))))["claim"]
        (commit,) = store.commits
        places = {(write.key.space, write.key.partition) for write in commit.writes}
        assert places == {
            (keys.PROVIDERS_SPACE, keys.uuid_bytes(host)),
            (keys.CONSUMERS_SPACE, keys.uuid_bytes(uuid_of(7))),
            (keys.PROJECTS_SPACE, b"a"),
            (keys.CLAIMS_SPACE, keys.uuid_bytes(claim)),
        }
        assert {type(write) for write in commit.writes} <= {Put, Add, Delete}
        store.commits.clear()
        await claimed(world, asking((8, "b"), request={"groups": [{"resources": {"VCPU": 9}}]}), status=CONFLICT)
        (refused,) = store.commits
        assert [write.key.partition for write in refused.writes] == [b"rb"]
        # A claim that has to be confirmed, and its confirmation.
        store.commits.clear()
        await claimed(world, asking((9, "a"), expires_in_seconds=9))
        await world.ask("POST", f"/v1/claims/{uuid_of(9)}/confirm", status=NO_CONTENT)
        made, confirmed = store.commits
        of_expiry = {write.key.partition for write in made.writes if write.key.space == keys.EXPIRY_SPACE}
        assert len(of_expiry) == 1
        assert {write.key.space for write in confirmed.writes} == {keys.CONSUMERS_SPACE, keys.EXPIRY_SPACE}


def test_on_the_distributed_engine() -> None:
    async def test(stand: Stand) -> None:
        first, second = await stand.process("first"), await stand.process("second", behind_ms=30)
        async with World(first.engine, clock=first.clock) as one, World(second.engine, clock=second.clock) as other:
            await one.provider(1, VCPU=3)
            for number in range(6):
                await asyncio.sleep(1)
                await one.send("POST", "/v1/claims", asking((10 + number, "ab"[number % 2])))
            everything = await listed(other, "limit=2")
            assert asked_for(everything) == [uuid_of(10 + number) for number in range(6)]
            assert [entry["result"] for entry in everything] == ["claimed"] * 3 + ["refused"] * 3
            assert asked_for(await listed(other, "project_id=b&limit=1")) == [uuid_of(one) for one in (11, 13, 15)]

    Stand().run(test)


# ---- parts -----------------------------------------------------------------------------------------------------------


def test_what_is_kept_of_a_refusal_has_a_size() -> None:
    request = {"consumers": [], "request": ONE_CPU, "filters": "x" * REFUSAL_BYTES_MAX}
    short = ClaimRefused("no", NO_PLACE, {"missing": ["it"]})
    assert b'"request":null' in refusal_document(uuid_of(1), 5, request, short)
    assert b'"missing":["it"]' in refusal_document(uuid_of(1), 5, request, short)
    long = ClaimRefused("no", NO_PLACE, {"missing": ["y" * REFUSAL_BYTES_MAX]})
    written = refusal_document(uuid_of(1), 5, {"consumers": []}, long)
    assert len(written) < REFUSAL_BYTES_MAX
    assert NO_PLACE.encode() in written


def test_an_entry_can_be_read_again() -> None:
    assert decode_entry(encode_entry([uuid_of(1), uuid_of(2)])) == [uuid_of(1), uuid_of(2)]
    for value in (b"\x01\xc1", b"\x01\x91\xc4\x01a"):
        with pytest.raises(StoreCorrupt, match="an entry of a list of claims cannot be read"):
            decode_entry(value)
    with pytest.raises(StoreError):
        decode_entry(b"\x09")
    with pytest.raises(StoreCorrupt, match="an entry of a list of claims has the unknown format"):
        decode_entry(b"\x00\x90")
