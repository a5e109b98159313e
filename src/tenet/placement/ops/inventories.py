"""Shows and changes the inventories of a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.errors import CONCURRENT_UPDATE, INVENTORY_IN_USE, BadRequest, Conflict, NotFound
from tenet.placement.ops.committing import Plan, check_generation
from tenet.placement.ops.names import using_classes
from tenet.placement.rules.documents import inventories_document, inventory_document
from tenet.placement.rules.inventories import check_capacity, in_use, inventory_writes, read_inventory
from tenet.placement.rules.schemas import POST_INVENTORY, PUT_INVENTORIES, PUT_INVENTORY
from tenet.placement.rules.validation import read_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.placement.model import Inventory
    from tenet.placement.rules.snapshots import Snapshot

_MADE: Final = 201
_NO_CONTENT: Final = 204
_STALE: Final = "resource provider generation conflict"


async def list_inventories(context: Context, asked: Asked) -> Answer:
    """Shows all inventories: ``GET /resource_providers/{uuid}/inventories``. One round trip.

    Raises:
        NotFound: there is no such provider.
    """
    snapshot = await _provider(context, asked)
    document = inventories_document(snapshot.inventories, snapshot.generation)
    return Answer(200, document, modified_ms=max(snapshot.changed_ms.values(), default=NOW))


async def show_inventory(context: Context, asked: Asked) -> Answer:
    """Shows one inventory: ``GET /resource_providers/{uuid}/inventories/{resource_class}``. One round trip.

    Raises:
        NotFound: there is no such provider, or it has no such inventory.
    """
    snapshot = await _provider(context, asked)
    name = asked.path["resource_class"]
    inventory = snapshot.inventories.get(name)
    if inventory is None:
        raise NotFound(f"No inventory of class {name} for {asked.path['uuid']}")
    document = inventory_document(inventory, snapshot.generation)
    return Answer(200, document, modified_ms=snapshot.changed_ms[name])


async def _provider(context: Context, asked: Asked) -> Snapshot:
    uuid = asked.path["uuid"]
    snapshot = await context.reader.find(uuid, deadline=asked.deadline)
    if snapshot is None:
        raise NotFound(f"No resource provider with uuid {uuid} found : No resource provider with uuid {uuid} found ")
    return snapshot


async def create_inventory(context: Context, asked: Asked) -> Answer:
    """Adds one inventory: ``POST /resource_providers/{uuid}/inventories``. Two or three round trips.

    Raises:
        NotFound: there is no such provider.
        BadRequest: the body is malformed, the class does not exist, or there is no capacity.
        Conflict: the provider has an inventory of the class.
    """
    snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    data = read_body(asked.body, POST_INVENTORY)
    name, inventory = data["resource_class"], read_inventory(data)
    check_capacity("create", snapshot.uuid, {name: inventory}, asked.version)
    unknown = f"Unable to create inventory for resource provider {snapshot.uuid}"

    def after(found: Snapshot) -> dict[str, Inventory]:
        if name in found.inventories:
            raise Conflict.generation(f"Update conflict: There is an inventory of class {name} already.")
        return {**found.inventories, name: inventory}

    generation = await _replace(context, asked, after, unknown=unknown)
    location = f"/resource_providers/{snapshot.uuid}/inventories/{name}"
    return Answer(_MADE, inventory_document(inventory, generation), location, modified_ms=NOW)


async def set_inventories(context: Context, asked: Asked) -> Answer:
    """Replaces all inventories: ``PUT /resource_providers/{uuid}/inventories``. Two or three round trips.

    Raises:
        NotFound: there is no such provider.
        BadRequest: the body is malformed, a class does not exist, or there is no capacity.
        Conflict: the generation is another one, or an inventory that is left out is in use.
    """
    snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    data = read_body(asked.body, PUT_INVENTORIES)
    given = data["resource_provider_generation"]
    check_generation(snapshot.generation, given, _STALE)
    wanted = {name: read_inventory(inventory) for name, inventory in data["inventories"].items()}
    check_capacity("update", snapshot.uuid, wanted, asked.version)
    unknown = f"Unknown resource class in inventory for resource provider {snapshot.uuid}"

    def after(found: Snapshot) -> dict[str, Inventory]:
        check_generation(found.generation, given, _STALE)
        _refuse_use(found, wanted, "update conflict: ", INVENTORY_IN_USE)
        return wanted

    generation = await _replace(context, asked, after, unknown=unknown)
    return Answer(200, inventories_document(wanted, generation), modified_ms=NOW)


async def update_inventory(context: Context, asked: Asked) -> Answer:
    """Replaces one inventory: ``PUT /resource_providers/{uuid}/inventories/{resource_class}``. Two round trips.

    Raises:
        NotFound: there is no such provider or class.
        BadRequest: the body is malformed, there is no capacity, or the provider has no inventory of the class.
        Conflict: the generation is another one.
    """
    snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    data = read_body(asked.body, PUT_INVENTORY)
    name, given, inventory = asked.path["resource_class"], data["resource_provider_generation"], read_inventory(data)
    check_generation(snapshot.generation, given, _STALE)
    check_capacity("update", snapshot.uuid, {name: inventory}, asked.version)
    if await context.names.missing_classes([name], deadline=asked.deadline):
        raise NotFound(f"No such resource class {name}.")

    def after(found: Snapshot) -> dict[str, Inventory]:
        check_generation(found.generation, given, _STALE)
        if name not in found.inventories:
            raise BadRequest(
                f"No inventory record with resource class for resource provider {found.uuid}: "
                f"No inventory of class {name} found."
            )
        return {**found.inventories, name: inventory}

    generation = await _replace(context, asked, after)
    return Answer(200, inventory_document(inventory, generation), modified_ms=NOW)


async def delete_inventory(context: Context, asked: Asked) -> Answer:
    """Deletes one inventory: ``DELETE /resource_providers/{uuid}/inventories/{resource_class}``. Two round trips.

    Raises:
        NotFound: there is no such provider or class, or it has no such inventory.
        Conflict: it is in use.
    """
    name = asked.path["resource_class"]
    text = f"No inventory of class {name} found for delete"
    absent = NotFound(f"{text}: {text}")

    def after(found: Snapshot) -> dict[str, Inventory]:
        if name not in found.inventories:
            raise absent
        kept = {other: inventory for other, inventory in found.inventories.items() if other != name}
        _refuse_use(found, kept, f"Unable to delete inventory of class {name}: ", CONCURRENT_UPDATE)
        return kept

    try:
        await _replace(context, asked, after)
    except NotFound as error:
        if error is absent and await context.names.missing_classes([name], deadline=asked.deadline):
            raise NotFound(f"{text}: No such resource class {name}.") from error
        raise
    return Answer(_NO_CONTENT)


async def delete_inventories(context: Context, asked: Asked) -> Answer:
    """Deletes all inventories: ``DELETE /resource_providers/{uuid}/inventories``. Two round trips.

    Raises:
        NotFound: there is no such provider.
        Conflict: one is in use.
    """

    def after(found: Snapshot) -> dict[str, Inventory]:
        _refuse_use(found, {}, "", INVENTORY_IN_USE)
        return {}

    await _replace(context, asked, after)
    return Answer(_NO_CONTENT)


def _refuse_use(snapshot: Snapshot, after: dict[str, Inventory], prefix: str, code: str) -> None:
    """Refuses to take inventories away that are in use."""
    used = [name for name in snapshot.inventories if name not in after and snapshot.used.get(name)]
    if used:
        raise Conflict(prefix + in_use(used, snapshot.uuid), code)


async def _replace(
    context: Context,
    asked: Asked,
    after: Callable[[Snapshot], dict[str, Inventory]],
    *,
    unknown: str = "",
) -> int:
    """Gives a provider other inventories; returns its new generation.

    Args:
        context: what it works with.
        asked: the request.
        after: the inventories that it has then, from what it has; raises to refuse.
        unknown: what the refusal of a class that does not exist begins with, where there may be such.
    """

    async def plan() -> tuple[Plan, int]:
        snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
        wanted = after(snapshot)
        new = [name for name in wanted if name not in snapshot.inventories]
        missing = await context.names.missing_classes(new, deadline=asked.deadline)
        if missing:
            raise BadRequest(f"{unknown}: No such resource class {missing[0]}.")
        writes = inventory_writes(snapshot, wanted, context.clock.wall_ms())
        writes += using_classes(snapshot.inventories, wanted)
        return Plan(writes, (), [snapshot.uuid]), snapshot.generation + 1

    return await context.committer.carry_out(plan, deadline=asked.deadline)
