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
    from collections.abc import Iterable, Mapping, Sequence

    from tenet.placement.fleet.fleet import Fleet
    from tenet.placement.model import Consumer, Inventory, Provider
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

    One round trip to read, and one commit over the providers, the consumer and its project. Where the read model is
    behind, or says that there is no room, each provider is read as well before anything is refused.

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
    is_first = True

    async def plan() -> tuple[Plan, None]:
        nonlocal is_first
        moves = await moves_of(context, asked, asking, now_ms)
        providers: Mapping[str, Snapshot | Provider] | None = None
        if is_first:
            providers = _known_to_fit(context.keeper.fleet, moves)
        else:
            context.keeper.suspect(_claimed(moves))
        is_first = False
        if providers is None:
            providers = await _read_to_fit(context, asked, moves, refused)
        writes, checks = consumer_writes(moves)
        writes += provider_writes(moves, providers)
        writes += used_writes(amounts_moved(moves), _inventories(providers))
        return Plan(writes, checks, providers_of(moves), moves, only_uses=True), None

    await context.committer.carry_out(plan, deadline=asked.deadline)


def _known_to_fit(fleet: Fleet, moves: Sequence[Move]) -> dict[str, Provider] | None:
    """Returns the providers that some changes claim from as the read model has them.

    It may be behind: the commit checks that their inventories are of this revision, which no provider has twice, also
    where it is made anew; and what is in use is bounded by it in any case. Nothing is refused by the model.

    Returns:
        None where one is not known, or something does not fit as far as is known.
    """
    known: dict[str, Provider] = {}
    for uuid in _claimed(moves):
        provider = fleet.get(uuid)
        if provider is None:
            return None
        known[uuid] = provider
    try:
        check_fit(moves, _inventories(known), {uuid: one.used for uuid, one in known.items()})
    except Conflict:
        return None
    return known


async def _read_to_fit(
    context: Context, asked: Asked, moves: Sequence[Move], refused: str
) -> Mapping[str, Snapshot | Provider]:
    """Returns the providers that some changes claim from as they are; costs as ``claimed_providers`` does.

    Raises:
        BadRequest: a provider or a class does not exist.
        Conflict: it does not fit.
        PlanAgain: it does not, and a consumer has changed since it was read.
    """
    snapshots = await claimed_providers(context, asked, moves)
    await check_classes(context, asked, moves, refused)
    try:
        check_fit(moves, _inventories(snapshots), {uuid: snapshot.used for uuid, snapshot in snapshots.items()})
    except Conflict:
        await check_unchanged(context, asked, moves)
        raise
    return snapshots


def _inventories(providers: Mapping[str, Snapshot | Provider]) -> dict[str, Mapping[str, Inventory]]:
    return {uuid: one.inventories for uuid, one in providers.items()}


def _claimed(moves: Iterable[Move]) -> list[str]:
    """Returns the uuids of the providers that some changes claim from, each once."""
    return list(dict.fromkeys(uuid for move in moves if move.after is not None for uuid in move.after.allocations))


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
    claimed = _claimed(moves)
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
