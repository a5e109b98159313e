"""Capabilities that change between claims: who is claimed from follows them, and what was claimed stays."""

from __future__ import annotations

from typing import Any

from tenet.placement.ops.auditing import audit
from tests.unit.placement.test_capabilities_served import asking, path_of, record
from tests.unit.placement.test_claiming import claim_of, claimed, hosts_in, why_not
from tests.unit.placement.world import World, in_loop, memory, uuid_of

NO_CONTENT, CONFLICT = 204, 409


def driver(version: str) -> dict[str, Any]:
    return {"driver": {"version": version}}


@in_loop
async def test_an_upgrade_moves_claims_to_those_that_have_it_and_takes_nothing_from_anybody() -> None:
    async with World(memory()) as world:
        hosts = [await world.provider(number, VCPU=2) for number in (1, 2)]
        await record(world, 1, driver("535.129"))
        await record(world, 2, driver("550.54"))
        old, new = asking({"driver": {"<": "550"}}), asking({"driver": {">=": "550"}})
        assert hosts_in(await claimed(world, claim_of(7, request=old))) == [hosts[0]]
        assert hosts_in(await claimed(world, claim_of(8, request=new))) == [hosts[1]]
        await record(world, 1, driver("550.127"))
        # Nobody has the old one any more; what was claimed by it is held on, and its retry gets the first answer.
        told = await why_not(world, claim_of(9, request=old))
        (condition,) = [one for one in told["conditions"] if one["condition"] == "capabilities"]
        assert (condition["met_by_providers"], condition["asked"]) == (0, {"driver": {"<": "550"}})
        assert hosts_in(await claimed(world, claim_of(7, request=old), status=200)) == [hosts[0]]
        assert await world.used(hosts[0]) == {"VCPU": 1}
        assert sorted(hosts_in(await claimed(world, claim_of(10, 11, request=new)))) == hosts
        await world.ask("DELETE", f"/v1/claims/{uuid_of(7)}", status=NO_CONTENT)
        assert hosts_in(await claimed(world, claim_of(7, request=new, attempt=1))) == [hosts[0]]
        assert (await audit(world.store)).findings == []


@in_loop
async def test_what_is_taken_away_is_not_claimed_by_and_comes_back() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=9)
        wanted = asking({"flags": {"contains": ["avx"]}})
        for number, (flags, is_met) in enumerate(
            [(["avx"], True), ([], False), (["avx", "sse"], True), (["sse"], False), (["avx"], True)]
        ):
            await record(world, 1, {"flags": {"set": flags}})
            body = claim_of(20 + number, request=wanted)
            if is_met:
                assert hosts_in(await claimed(world, body)) == [host]
            else:
                await claimed(world, body, status=CONFLICT)
        await record(world, 1, {})
        await claimed(world, claim_of(30, request=wanted), status=CONFLICT)
        assert await world.used(host) == {"VCPU": 3}


@in_loop
async def test_a_claim_raises_the_generation_that_capabilities_are_set_with() -> None:
    """So that what is set for a host as it was does not overwrite what somebody set since."""
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=9)
        generation = await world.generation(host)
        await claimed(world, claim_of(7))
        body = {"resource_provider_generation": generation, "capabilities": driver("1")}
        assert (await world.send("PUT", path_of(1), body)).status == CONFLICT
        assert (await world.ask("GET", path_of(1)))["capabilities"] == {}
        await record(world, 1, driver("1"))
        await claimed(world, claim_of(8, request=asking({"driver": {"==": "1.0"}})))
