"""Shows allocations, and claims, moves and frees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.errors import BadRequest, Conflict, NotFound
from tenet.placement.ops.committing import Plan, PlanAgain
from tenet.placement.rules.allocation_requests import read_post, read_put
from tenet.placement.rules.claims import (
    Move,
    Wanted,
    amounts_moved,
    check_fit,
    consumer_writes,
    move_of,
    provider_writes,
    providers_of,
    used_writes,
)
from tenet.placement.rules.documents import consumer_document, holders_document
from tenet.placement.rules.validation import canonical_uuid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tenet.placement.model import Consumer
    from tenet.placement.rules.allocation_requests import Asking
    from tenet.placement.rules.snapshots import Snapshot
    from tenet.store.contract import Version

_NO_CONTENT: Final = 204


async def show_allocations(context: Context, asked: Asked) -> Answer:
    """Shows what a consumer has: ``GET /allocations/{consumer_uuid}``. Two round trips."""
    uuid = canonical_uuid(asked.path["consumer_uuid"])
    found = None if uuid is None else await context.reader.consumer(uuid, deadline=asked.deadline)
    consumer = None if found is None else found[0]
    providers = () if consumer is None else consumer.allocations
    generations = await context.reader.generations(providers, deadline=asked.deadline)
    modified_ms = NOW if consumer is None else consumer.updated_ms
    return Answer(200, consumer_document(consumer, generations, asked.version), modified_ms=modified_ms)


async def list_provider_allocations(context: Context, asked: Asked) -> Answer:
    """Shows who has something of a provider: ``GET /resource_providers/{uuid}/allocations``. Two round trips.

    Raises:
        NotFound: there is no such provider.
    """
    uuid = asked.path["uuid"]
    snapshot = await context.reader.find(uuid, deadline=asked.deadline)
    if snapshot is None:
        raise NotFound(f"Resource provider '{uuid}' not found: No resource provider with uuid {uuid} found ")
    held = await context.reader.held_of(snapshot.uuid, deadline=asked.deadline)
    modified_ms = max((one.updated_ms for one in held.values()), default=NOW)
    listed = ((consumer, one.resources, one.generation) for consumer, one in held.items())
    return Answer(200, holders_document(listed, snapshot.generation, asked.version), modified_ms=modified_ms)


async def put_allocations(context: Context, asked: Asked) -> Answer:
    """Gives a consumer what it is to have: ``PUT /allocations/{consumer_uuid}``.

    Two round trips to read, and one commit over the providers, the consumer and its project.

    Raises:
        BadRequest: the body is malformed, or a provider or class does not exist.
        Conflict: it does not fit, or the consumer's generation is another one.
        QuotaExceeded: the project would have more than it may.
    """
    asking = read_put(asked.path["consumer_uuid"], asked.body, asked.version)
    refused = f"Unable to allocate inventory for consumer {asking.wanted.uuid}: "
    await _replace(context, asked, [asking], refused)
    return Answer(_NO_CONTENT)


async def post_allocations(context: Context, asked: Asked) -> Answer:
    """Gives several consumers what they are to have, all or nothing: ``POST /allocations``. Costs as ``PUT`` does.

    Raises:
        BadRequest: the body is malformed, or a provider or class does not exist.
        Conflict: it does not fit, or the generation of a consumer is another one.
    """
    await _replace(context, asked, read_post(asked.body, asked.version), "Unable to allocate inventory ")
    return Answer(_NO_CONTENT)


async def delete_allocations(context: Context, asked: Asked) -> Answer:
    """Takes everything from a consumer: ``DELETE /allocations/{consumer_uuid}``. One round trip and a commit.

    As in the reference, the generations of its providers stay.

    Raises:
        NotFound: it has nothing.
    """
    given = asked.path["consumer_uuid"]

    async def plan() -> tuple[Plan, None]:
        uuid = canonical_uuid(given)
        found = None if uuid is None else await context.reader.consumer(uuid, deadline=asked.deadline)
        if found is None:
            raise NotFound(f"No allocations for consumer '{given}'")
        return freeing([found]), None

    await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(_NO_CONTENT)


def freeing(found: Sequence[tuple[Consumer, Version]]) -> Plan:
    """Returns the commit that takes everything from consumers, as they were read; no generation of a provider rises."""
    moves = [Move(consumer, version, None) for consumer, version in found]
    writes, checks = consumer_writes(moves)
    writes += used_writes(amounts_moved(moves), {})
    return Plan(writes, checks, providers_of(moves), moves)


async def _replace(context: Context, asked: Asked, asking: Sequence[Asking], refused: str) -> None:
    now_ms = context.clock.wall_ms()

    async def plan() -> tuple[Plan, None]:
        moves = await moves_of(context, asked, asking, now_ms)
        snapshots = await claimed_providers(context, asked, moves)
        await check_classes(context, asked, moves, refused)
        inventories = {uuid: snapshot.inventories for uuid, snapshot in snapshots.items()}
        try:
            check_fit(moves, inventories, {uuid: snapshot.used for uuid, snapshot in snapshots.items()})
        except Conflict:
            await check_unchanged(context, asked, moves)
            raise
        writes, checks = consumer_writes(moves)
        writes += provider_writes(moves, snapshots)
        writes += used_writes(amounts_moved(moves), inventories)
        return Plan(writes, checks, providers_of(moves), moves, only_uses=True), None

    await context.committer.carry_out(plan, deadline=asked.deadline)


async def moves_of(context: Context, asked: Asked, asking: Iterable[Asking], now_ms: int) -> list[Move]:
    """Returns the changes that a request asks for; one round trip.

    Raises:
        Conflict: the generation of a consumer is another one.
    """
    wanted: list[tuple[Asking, Wanted]] = [(one, one.wanted) for one in asking]
    found = await context.reader.consumers([one.uuid for _, one in wanted], deadline=asked.deadline)
    moves: list[Move] = []
    for one, wants in wanted:
        before, version = found[wants.uuid] or (None, None)
        one.check(before)
        move = move_of(wants, before, version, now_ms)
        if move is not None:
            moves.append(move)
    return moves


async def check_unchanged(context: Context, asked: Asked, moves: Sequence[Move]) -> None:
    """Looks, before something is refused for lack of room, whether consumers are still what they were; one round trip.

    They were read before the providers: what has changed in between is counted twice, or not at all.

    Raises:
        PlanAgain: one has changed.
    """
    if not await context.reader.are_unchanged(moves, deadline=asked.deadline):
        raise PlanAgain


async def claimed_providers(context: Context, asked: Asked, moves: Sequence[Move]) -> dict[str, Snapshot]:
    """Returns the providers that some changes claim from; a round trip for each, all at once.

    Raises:
        BadRequest: one does not exist.
    """
    claimed = list(dict.fromkeys(uuid for move in moves if move.after is not None for uuid in move.after.allocations))
    found = await asyncio.gather(*(context.reader.find(uuid, deadline=asked.deadline) for uuid in claimed))
    snapshots: dict[str, Snapshot] = {}
    for uuid, snapshot in zip(claimed, found, strict=True):
        if snapshot is None:
            raise BadRequest(f"Allocation for resource provider '{uuid}' that does not exist.")
        snapshots[uuid] = snapshot
    return snapshots


async def check_classes(context: Context, asked: Asked, moves: Sequence[Move], refused: str) -> None:
    """Refuses claims of classes that do not exist; at most one round trip, none for standard classes.

    Args:
        context: what it works with.
        asked: the request.
        moves: the changes.
        refused: what the error begins with.

    Raises:
        BadRequest: one does not exist.
    """
    names = dict.fromkeys(
        name
        for move in moves
        if move.after is not None
        for resources in move.after.allocations.values()
        for name in resources
    )
    missing = await context.names.missing_classes(names, deadline=asked.deadline)
    if missing:
        raise BadRequest(f"{refused}No such resource class {missing[0]}.")
