"""Shows and changes the aggregates of a provider."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from tenet.placement import keys
from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.ops.committing import Plan, check_generation
from tenet.placement.rules.inventories import generation_write
from tenet.placement.rules.schemas import PUT_AGGREGATES, PUT_AGGREGATES_19, of_version
from tenet.placement.rules.stored import encode_description
from tenet.placement.rules.validation import canonical_uuid, read_body
from tenet.store.contract import IsVersion, Put, Write

_GENERATIONS: Final = 19
STALE: Final = "Resource provider's generation already changed. Please update the generation and try again."


async def list_aggregates(context: Context, asked: Asked) -> Answer:
    """Shows the aggregates of a provider: ``GET /resource_providers/{uuid}/aggregates``. One round trip.

    Raises:
        NotFound: there is no such provider.
    """
    snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    return _answer(asked, snapshot.description.aggregates, snapshot.generation)


async def set_aggregates(context: Context, asked: Asked) -> Answer:
    """Replaces the aggregates of a provider: ``PUT /resource_providers/{uuid}/aggregates``. Two round trips.

    Raises:
        NotFound: there is no such provider.
        BadRequest: the body is malformed.
        Conflict: the generation is another one, from 1.19 on.
    """
    await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    data = read_body(asked.body, of_version(asked.version, (0, PUT_AGGREGATES), (_GENERATIONS, PUT_AGGREGATES_19)))
    has_generation = asked.version >= _GENERATIONS
    listed = data["aggregates"] if has_generation else data
    aggregates = tuple(dict.fromkeys(canonical_uuid(uuid) or uuid for uuid in listed))

    async def plan() -> tuple[Plan, int]:
        snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
        if has_generation:
            check_generation(snapshot.generation, data["resource_provider_generation"], STALE)
        key = keys.provider_key(snapshot.uuid)
        described = replace(snapshot.description, aggregates=aggregates, updated_ms=context.clock.wall_ms())
        writes: list[Write] = [Put(key, encode_description(described))]
        if has_generation:
            writes.append(generation_write(snapshot))
        return Plan(writes, [IsVersion(key, snapshot.version)], [snapshot.uuid]), snapshot.generation + 1

    generation = await context.committer.carry_out(plan, deadline=asked.deadline)
    return _answer(asked, aggregates, generation)


def _answer(asked: Asked, aggregates: tuple[str, ...], generation: int) -> Answer:
    document: dict[str, Any] = {"aggregates": list(aggregates)}
    if asked.version >= _GENERATIONS:
        document["resource_provider_generation"] = generation
    return Answer(200, document, modified_ms=NOW)
