"""Quotas in whole stories: lowered below what is used, expiring claims, changed types and projects, refusals listed."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tenet.base.clock import ManualClock
from tenet.placement import keys
from tenet.placement.ops.auditing import audit
from tenet.wire.door import Measured
from tests.unit.placement.test_claim_lists import asked_for, asking, claimed, listed, page, world_at
from tests.unit.placement.test_claiming import claim_of
from tests.unit.placement.test_claims import every_use
from tests.unit.placement.test_confirming import LATE_S, confirm, on_both_engines, states
from tests.unit.placement.test_quotas import allocation, quota_of, set_quota
from tests.unit.placement.world import OWNER, World, in_loop, memory, uuid_of

OK, CREATED, NO_CONTENT, BAD, FORBIDDEN, CONFLICT = 200, 201, 204, 400, 403, 409


def three_cpus() -> dict[str, Any]:
    return {"groups": [{"resources": {"VCPU": 3}}]}


async def left_of(world: World, project: str, name: str = "VCPU") -> tuple[int, int | None]:
    """Returns what a project uses of a class, and what is left of it."""
    shown = (await quota_of(world, project))["resources"].get(name, {"used": 0, "left": None})
    return shown["used"], shown["left"]


@in_loop
async def test_a_quota_that_is_lowered_below_what_is_used_holds_up_all_until_enough_is_free() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100)
        await set_quota(world, {"resources": {"VCPU": 12}})
        for consumer in (7, 8, 9, 10):
            await claimed(world, claim_of(consumer, request=three_cpus()))
        await set_quota(world, {"resources": {"VCPU": 5}})
        assert await left_of(world, "project") == (12, 0)
        assert [one.kind for one in (await audit(world.store)).findings] == [], "to be above is not to be wrong"
        for freed, used in ((7, 9), (8, 6), (9, 3)):
            await claimed(world, claim_of(11), status=FORBIDDEN)
            refused = await world.claim(20, {host: {"VCPU": 1}})
            assert refused.status == FORBIDDEN
            assert f"1 more wanted, {used + 3} of 5 in use" in refused.body.decode()
            await world.ask("DELETE", f"/v1/claims/{uuid_of(freed)}", status=NO_CONTENT)
            assert await left_of(world, "project") == (used, max(0, 5 - used))
        await claimed(world, claim_of(12, 13))
        await claimed(world, claim_of(14), status=FORBIDDEN)
        assert await left_of(world, "project") == (5, 0)
        await every_use(world)


@in_loop
async def test_a_quota_of_nothing_stops_a_project_and_no_other() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100)
        await set_quota(world, {"consumers": 0}, project="a")
        assert "0 of 0 in use" in (await claimed(world, asking((7, "a")), status=FORBIDDEN))["errors"][0]["detail"]
        await claimed(world, asking((7, "b")))
        # A gang of both is refused as a whole.
        await claimed(world, asking((8, "b"), (9, "a")), status=FORBIDDEN)
        assert await world.used(host) == {"VCPU": 1}
        await world.ask("DELETE", "/v1/quotas/a", status=NO_CONTENT)
        await claimed(world, asking((8, "b"), (9, "a")))
        assert await world.used(host) == {"VCPU": 3}


@in_loop
async def test_what_a_quota_refuses_is_listed_with_its_reason_for_its_own_project() -> None:
    clock = ManualClock()
    async with world_at(clock) as world:
        await world.provider(1, VCPU=100)
        await set_quota(world, {"resources": {"VCPU": 2}}, project="a")
        alone, together = asking((7, "a"), request=three_cpus()), asking((8, "a"), (9, "b"), request=three_cpus())
        for body in (alone, together):
            clock.advance_ms(5)
            await claimed(world, body, status=FORBIDDEN)
        reason = "Quota exceeded for VCPU of project 'a': 3 more wanted, 0 of 2 in use."
        assert [one["error"] for one in await listed(world, "result=refused")] == [
            {"code": "placement.quota.exceeded", "detail": reason}
        ] * 2
        of_a = {"x_auth_token": "ann:a", "x_roles": "reader"}
        of_b = {"x_auth_token": "bob:b", "x_roles": "reader"}
        first, second = await listed(world, who=of_a)
        assert (first["request"], first["error"]["detail"]) == (alone, reason)
        assert second["request"]["consumers"] == together["consumers"][:1]
        (seen,) = await listed(world, who=of_b)
        assert asked_for([seen]) == [uuid_of(9)]
        assert seen["error"] == {
            "code": "placement.quota.exceeded",
            "detail": "It was asked for together with others.",
        }
        assert "'a'" not in orjson.dumps(seen).decode(), "another project's name is none of its business"
        await page(world, "project_id=a", of_b, status=FORBIDDEN)


@in_loop
async def test_a_consumer_that_changes_its_type_or_project_is_counted_where_it_is() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=100)
        await set_quota(world, {"consumer_types": {"MIGRATION": {"resources": {"VCPU": 3}, "consumers": 1}}})
        await set_quota(world, {"resources": {"VCPU": 4}}, project="other")
        for consumer in (7, 8):
            assert (await world.claim(consumer, {host: {"VCPU": 2}})).status == NO_CONTENT
        moved = await world.claim(7, {host: {"VCPU": 2}}, generation=1, consumer_type="MIGRATION")
        assert moved.status == NO_CONTENT
        refused = await world.claim(8, {host: {"VCPU": 2}}, generation=1, consumer_type="MIGRATION")
        assert b"Quota exceeded for consumers of the type MIGRATION of project 'project'" in refused.body
        # It goes to a project which has room for it, and not for the other one as well.
        for consumer, generation, status in ((7, 2, NO_CONTENT), (8, 1, FORBIDDEN)):
            amount = {host: {"VCPU": 2 if consumer == 7 else 3}}
            answer = await world.claim(consumer, amount, generation=generation, project_id="other")
            assert answer.status == status
        assert await left_of(world, "other") == (2, 2)
        assert (await quota_of(world))["consumer_types"]["MIGRATION"]["consumers"] == {"limit": 1, "used": 0, "left": 1}
        moved = await world.claim(8, {host: {"VCPU": 2}}, generation=1, consumer_type="MIGRATION")
        assert moved.status == NO_CONTENT
        assert (await audit(world.store)).findings == []
        await every_use(world)


@in_loop
async def test_a_swap_within_one_request_needs_no_room_of_a_full_quota() -> None:
    """A migration hands over what an instance had: in one request it is never more than it was."""
    async with World(memory()) as world:
        host, target = await world.provider(1, VCPU=4), await world.provider(2, VCPU=4)
        await set_quota(world, {"resources": {"VCPU": 4}, "consumers": 1})
        assert (await world.claim(7, {host: {"VCPU": 4}})).status == NO_CONTENT
        both = {uuid_of(7): {**allocation(host, 1), "allocations": {}}, uuid_of(8): allocation(target, VCPU=4)}
        await world.ask("POST", "/allocations", both, status=NO_CONTENT)
        assert (await world.used(host), await world.used(target)) == ({"VCPU": 0}, {"VCPU": 4})
        more = {uuid_of(8): {**allocation(target, 1), "allocations": {}}, uuid_of(9): allocation(host, VCPU=4),
                uuid_of(10): allocation(target, VCPU=1)}  # fmt: skip
        await world.ask("POST", "/allocations", more, status=FORBIDDEN)
        assert (await world.used(host), await world.used(target)) == ({"VCPU": 0}, {"VCPU": 4})
        await every_use(world)


@on_both_engines
async def test_a_gang_of_which_one_was_moved_expires_with_its_quota(world: World) -> None:
    """One went to another host, one to another project: all that is not confirmed becomes free, wherever it is."""
    host, other = await world.provider(1, VCPU=9), await world.provider(2, VCPU=9)
    away = {"allocations": {other: {"resources": {"VCPU": 2}}}, "consumer_generation": 1, **OWNER}
    await set_quota(world, {"resources": {"VCPU": 4}, "consumers": 3})
    gang = claim_of(7, 8, 9, expires_in_seconds=30)
    gang["request"]["groups"][0]["in_tree"] = host
    await claimed(world, gang)
    assert await left_of(world, "project") == (3, 1)
    await world.ask("PUT", f"/allocations/{uuid_of(8)}", away, status=NO_CONTENT)
    await world.ask("PUT", f"/allocations/{uuid_of(9)}", {**away, "project_id": "b"}, status=NO_CONTENT)
    assert await states(world, 7) == {uuid_of(7): "reserved", uuid_of(8): "changed", uuid_of(9): "changed"}
    assert (await left_of(world, "project"), await left_of(world, "b")) == ((3, 1), (2, None))
    await asyncio.sleep(30 + LATE_S)
    assert (await world.used(host), await world.used(other)) == ({"VCPU": 0}, {"VCPU": 0})
    assert (await left_of(world, "project"), await left_of(world, "b")) == ((0, 4), (0, None))
    assert (await audit(world.store)).findings == []
    await claimed(world, claim_of(17, 18, 19))
    await claimed(world, claim_of(20), status=FORBIDDEN)


@on_both_engines
async def test_a_confirmation_of_one_keeps_the_quota_of_all(world: World) -> None:
    await world.provider(1, VCPU=9)
    await set_quota(world, {"consumers": 2})
    await claimed(world, claim_of(7, 8, expires_in_seconds=20))
    await confirm(world, 8)
    await asyncio.sleep(20 + LATE_S)
    await claimed(world, claim_of(9), status=FORBIDDEN)
    # A quota that is taken away does not take away what was confirmed.
    await world.ask("DELETE", "/v1/quotas/project", status=NO_CONTENT)
    assert set((await states(world, 7)).values()) == {"held"}


@in_loop
async def test_setting_what_is_counted_already_is_one_commit_and_else_two() -> None:
    async with World(memory()) as world:

        async def tries_of(body: Any, method: str = "PUT") -> tuple[int, int]:
            before = await revision()
            answer = await world.send(method, "/v1/quotas/project", body)
            assert answer.status in {OK, NO_CONTENT}
            return await revision() - before, answer.status

        async def revision() -> int:
            (record,) = await world.store.get([keys.quota_revision_key("project")])
            return 0 if record is None else record.cells[keys.QUOTAS]

        assert await tries_of(None, "DELETE") == (0, NO_CONTENT), "of nothing nothing is written"
        assert await tries_of({}) == (0, OK)
        assert await tries_of({"resources": {"VCPU": 4}}) == (2, OK)
        assert await tries_of({"resources": {"VCPU": 9}}) == (1, OK)
        assert await tries_of({"resources": {"VCPU": 9}, "consumers": 1}) == (2, OK)
        assert await tries_of({"consumers": 1}) == (1, OK), "what is not limited any more is not counted any more"
        assert await tries_of({"resources": {"VCPU": 9}}) == (2, OK)
        assert await tries_of(None, "DELETE") == (1, NO_CONTENT)
        assert await tries_of(None, "DELETE") == (0, NO_CONTENT)


@pytest.mark.parametrize("project", ["a/b", "ä", " ", "0" * 255, "😀" * 255, "p?x=1", "a%2Fb", "'"])
@in_loop
async def test_any_id_of_a_project_has_a_quota_of_its_own(project: str) -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=9)
        path = "".join(f"%{byte:02X}" for byte in project.encode())
        answer = await world.ask("PUT", f"/v1/quotas/{path}", {"consumers": 1})
        assert answer["project_id"] == project
        assert (await world.claim(7, {host: {"VCPU": 1}}, project_id=project)).status == NO_CONTENT
        assert (await world.claim(8, {host: {"VCPU": 1}}, project_id=project)).status == FORBIDDEN
        assert (await world.claim(8, {host: {"VCPU": 1}})).status == NO_CONTENT
        shown = await world.ask("GET", f"/v1/quotas/{path}")
        assert shown["consumers"] == {"limit": 1, "used": 1, "left": 0}


@in_loop
async def test_a_refusal_by_quota_is_counted_as_one() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=9)
        await set_quota(world, {"consumers": 0})
        assert (await world.claim(7, {host: {"VCPU": 1}})).status == FORBIDDEN
        await claimed(world, claim_of(8), status=FORBIDDEN)
        measures = {one.name: one.values for one in world.placement.measures() if isinstance(one, Measured)}
        assert measures["tenet_placement_claims"] == {
            ("allocations", "quota.exceeded"): 1,
            ("claims", "quota.exceeded"): 1,
        }
        assert measures["tenet_placement_refusals"] == {("quota.exceeded",): 2}
        assert measures["tenet_placement_shortages"] == {}, "there was place enough"
