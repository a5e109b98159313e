"""Replaces inventories and moves the allocations on them, all or nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tenet.placement import keys
from tenet.placement.context import Answer, Asked, Context
from tenet.placement.errors import INVENTORY_IN_USE, PROVIDER_NOT_FOUND, BadRequest, Conflict
from tenet.placement.ops.allocations import check_classes, check_unchanged, claimed_providers, moves_of
from tenet.placement.ops.committing import Plan, PlanAgain, check_generation
from tenet.placement.ops.names import using_classes
from tenet.placement.ops.reading import versions_of
from tenet.placement.rules.allocation_requests import read_many
from tenet.placement.rules.claims import (
    Amounts,
    amounts_moved,
    check_fit,
    consumer_writes,
    provider_writes,
    providers_of,
    used_writes,
)
from tenet.placement.rules.inventories import check_capacity, in_use, inventory_writes, read_inventory
from tenet.placement.rules.schemas import RESHAPER_30, RESHAPER_34, RESHAPER_38, of_version
from tenet.placement.rules.validation import read_body
from tenet.store.contract import Add

if TYPE_CHECKING:
    from tenet.placement.model import Inventory
    from tenet.placement.rules.claims import Move
    from tenet.placement.rules.snapshots import Snapshot
    from tenet.store.contract import Write

_NO_CONTENT: Final = 204
_MALFORMED: Final = "malformed reshaper data: "


async def reshape(context: Context, asked: Asked) -> Answer:
    """Replaces inventories of providers and allocations of consumers in one commit: ``POST /reshaper``.

    Raises:
        BadRequest: the body is malformed, or a provider or class does not exist.
        Conflict: a generation is another one, or the allocations do not fit the new inventories.
    """
    data = read_body(asked.body, of_version(asked.version, (30, RESHAPER_30), (34, RESHAPER_34), (38, RESHAPER_38)))
    wanted = {
        uuid: {name: read_inventory(inventory) for name, inventory in one["inventories"].items()}
        for uuid, one in data["inventories"].items()
    }
    for uuid, inventories in wanted.items():
        check_capacity("update", uuid, inventories, asked.version)
    asking = read_many(data["allocations"], asked.version)
    now_ms = context.clock.wall_ms()

    async def plan() -> tuple[Plan, None]:
        first = await context.reader.consumers([one.wanted.uuid for one in asking], deadline=asked.deadline)
        reshaped = await _reshaped(context, asked, data["inventories"])
        moves = await moves_of(context, asked, asking, now_ms)
        snapshots = {**await claimed_providers(context, asked, moves), **{one.uuid: one for one in reshaped.values()}}
        await _check_new_classes(context, asked, wanted)
        await check_classes(context, asked, moves, _MALFORMED)
        after = {reshaped[uuid].uuid: inventories for uuid, inventories in wanted.items()}
        try:
            return _plan(snapshots, after, moves, now_ms), None
        except Conflict:
            # Of the providers some were read before the consumers, others afterwards.
            if any(versions_of(first)[move.uuid] != move.version for move in moves):
                raise PlanAgain from None
            await check_unchanged(context, asked, moves)
            raise

    await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(_NO_CONTENT)


async def _reshaped(context: Context, asked: Asked, data: dict[str, Any]) -> dict[str, Snapshot]:
    """Returns the providers whose inventories are replaced, by the uuid that the request gives."""
    found = await asyncio.gather(*(context.reader.find(uuid, deadline=asked.deadline) for uuid in data))
    snapshots: dict[str, Snapshot] = {}
    for (uuid, one), snapshot in zip(data.items(), found, strict=True):
        if snapshot is None:
            raise BadRequest(
                f"Resource provider {uuid} in inventories not found: No resource provider with uuid {uuid} found ",
                PROVIDER_NOT_FOUND,
            )
        given = one["resource_provider_generation"]
        check_generation(
            snapshot.generation,
            given,
            f"resource provider generation conflict for provider {uuid}: actual: {snapshot.generation}, given: {given}",
        )
        snapshots[uuid] = snapshot
    if len({snapshot.uuid for snapshot in snapshots.values()}) < len(snapshots):
        raise BadRequest(f"{_MALFORMED}a provider stands twice in inventories.")
    return snapshots


async def _check_new_classes(context: Context, asked: Asked, wanted: dict[str, dict[str, Inventory]]) -> None:
    names = dict.fromkeys(name for inventories in wanted.values() for name in inventories)
    missing = await context.names.missing_classes(names, deadline=asked.deadline)
    if missing:
        raise BadRequest(f"{_MALFORMED}No such resource class {missing[0]}.")


def _plan(
    snapshots: dict[str, Snapshot], after: dict[str, dict[str, Inventory]], moves: list[Move], now_ms: int
) -> Plan:
    """Returns the one commit.

    Args:
        snapshots: of the providers that are reshaped or claimed from.
        after: the new inventories of those that are reshaped, by provider and class.
        moves: the changes of allocations.
        now_ms: milliseconds since 1970.
    """
    moved = amounts_moved(moves)
    inventories = {uuid: after.get(uuid, snapshot.inventories) for uuid, snapshot in snapshots.items()}
    # During the change an inventory that goes is still there: allocations on it fail for being in use, not for lack.
    interim = {uuid: {**snapshots[uuid].inventories, **inventories[uuid]} for uuid in snapshots}
    check_fit(moves, interim, {uuid: snapshot.used for uuid, snapshot in snapshots.items()})
    for uuid, kept in after.items():
        _refuse_use(snapshots[uuid], kept, moved)
    writes, checks = consumer_writes(moves)
    visited = {uuid for move in moves for uuid in move.visited}
    gone: set[tuple[str, str]] = set()
    for uuid, kept in after.items():
        snapshot = snapshots[uuid]
        # As many as the reference makes: an interim change where something is left, one for claims, the final one.
        generations = (2 if kept else 1) + (uuid in visited)
        writes += inventory_writes(snapshot, kept, now_ms, generations=generations)
        gone |= {(uuid, name) for name in snapshot.inventories if name not in kept}
    writes += _using(snapshots, after)
    others = [write for write in provider_writes(moves, snapshots) if keys.uuid_text(write.key.partition) not in after]
    writes += others
    writes += used_writes(moved, inventories, without=frozenset(gone))
    return Plan(writes, checks, sorted({*after, *providers_of(moves)}), moves)


def _refuse_use(snapshot: Snapshot, kept: dict[str, Inventory], moved: Amounts) -> None:
    """Refuses to take inventories away that are in use after the change."""
    used = [
        name
        for name in snapshot.inventories
        if name not in kept and snapshot.used.get(name, 0) + moved.get((snapshot.uuid, name), 0) > 0
    ]
    if used:
        raise Conflict(f"update conflict: {in_use(used, snapshot.uuid)}", INVENTORY_IN_USE)


def _using(snapshots: dict[str, Snapshot], after: dict[str, dict[str, Inventory]]) -> list[Write]:
    """Returns the adds to the counts of those who use custom classes, one for each class."""
    counted: dict[Any, Write] = {}
    for uuid, kept in after.items():
        for write in using_classes(snapshots[uuid].inventories, kept):
            assert isinstance(write, Add)
            before = counted.get(write.key)
            more = write.amount + (before.amount if isinstance(before, Add) else 0)
            # One more than those who use it stays at least; where more use it than before, it must be there still.
            counted[write.key] = Add(write.key, keys.USERS, more, at_least=more + 1 if more > 0 else 1)
    return list(counted.values())
