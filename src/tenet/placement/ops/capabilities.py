"""Shows and changes the capabilities of a provider: ``/v1/resource-providers/{uuid}/capabilities``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from tenet.placement import keys
from tenet.placement.context import Answer, Asked, Context
from tenet.placement.ops.aggregates import STALE
from tenet.placement.ops.committing import Plan, check_generation
from tenet.placement.rules.capabilities import (
    PUT_CAPABILITIES,
    capabilities_document,
    encode_capabilities,
    read_capabilities,
)
from tenet.placement.rules.inventories import generation_write
from tenet.placement.rules.stored import encode_description
from tenet.placement.rules.validation import read_body
from tenet.store.contract import Delete, IsVersion, Put

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.placement.model import Capability
    from tenet.placement.rules.snapshots import Snapshot
    from tenet.store.contract import Write

_OK: Final = 200


async def show_capabilities(context: Context, asked: Asked) -> Answer:
    """Shows the capabilities of a provider: ``GET …/capabilities``. One round trip.

    Raises:
        NotFound: there is no such provider.
    """
    snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    return _answer(snapshot.capabilities, snapshot.generation)


async def set_capabilities(context: Context, asked: Asked) -> Answer:
    """Replaces the capabilities of a provider: ``PUT …/capabilities``. Two round trips and one commit.

    The description is written anew with them: its version is what a claim checks that has chosen by a capability.

    Raises:
        NotFound: there is no such provider.
        BadRequest: the body is malformed, or there are too many, or they are too large.
        Conflict: the generation is another one.
    """
    await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    data = read_body(asked.body, PUT_CAPABILITIES)
    capabilities = read_capabilities(data["capabilities"])

    async def plan() -> tuple[Plan, int]:
        snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
        check_generation(snapshot.generation, data["resource_provider_generation"], STALE)
        return _replacing(snapshot, capabilities, context.clock.wall_ms())

    generation = await context.committer.carry_out(plan, deadline=asked.deadline)
    return _answer(capabilities, generation)


def _replacing(snapshot: Snapshot, capabilities: Mapping[str, Capability], now_ms: int) -> tuple[Plan, int]:
    """Returns the plan that gives a provider other capabilities, and its generation then."""
    if snapshot.capabilities == capabilities:
        return Plan(()), snapshot.generation
    key, at = keys.provider_key(snapshot.uuid), keys.capabilities_key(snapshot.uuid)
    writes: list[Write] = [
        Put(key, encode_description(replace(snapshot.description, updated_ms=now_ms))),
        Put(at, encode_capabilities(capabilities)) if capabilities else Delete(at),
        generation_write(snapshot),
    ]
    return Plan(writes, [IsVersion(key, snapshot.version)], [snapshot.uuid]), snapshot.generation + 1


def _answer(capabilities: Mapping[str, Capability], generation: int) -> Answer:
    document: dict[str, Any] = {
        "resource_provider_generation": generation,
        "capabilities": capabilities_document(capabilities),
    }
    return Answer(_OK, document)
