"""Resource classes, and what providers have of them, in their own units: ``/v1/resource-classes``, ``…/resources``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import asdict, replace

from tenet.placement import keys
from tenet.placement.context import Answer, Asked, Context
from tenet.placement.errors import INVENTORY_IN_USE, Conflict
from tenet.placement.ops.aggregates import STALE
from tenet.placement.ops.committing import Plan, PlanAgain, check_generation
from tenet.placement.ops.names import using_classes, using_traits
from tenet.placement.rules.documents import inventory_document
from tenet.placement.rules.inventories import check_capacity, in_use, inventory_writes
from tenet.placement.rules.microversions import LATEST
from tenet.placement.rules.resource_schemas import PUT_RESOURCES
from tenet.placement.rules.resources.contract import State
from tenet.placement.rules.resources.translating import shown, traits_after, written
from tenet.placement.rules.standard_names import trait_rank
from tenet.placement.rules.stored import encode_description
from tenet.placement.rules.validation import read_body
from tenet.store.contract import IsVersion, Put

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.placement.rules.resources.contract import Written
    from tenet.placement.rules.snapshots import Snapshot
    from tenet.store.contract import Check, Write

_OK: Final = 200


async def list_classes(context: Context, asked: Asked) -> Answer:
    """Shows the resource classes that claims and descriptions can name: ``GET /v1/resource-classes``."""
    del asked
    listed = [{"name": name, **asdict(one.about)} for name, one in sorted(context.classes.every().items())]
    unusable = [{"name": name, "problem": text} for name, text in sorted(context.classes.problems().items())]
    return Answer(_OK, {"resource_classes": listed, "unusable": unusable})


async def show_resources(context: Context, asked: Asked) -> Answer:
    """Shows what a provider has: ``GET /v1/resource-providers/{uuid}/resources``. One round trip.

    Raises:
        NotFound: there is no such provider.
    """
    snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    return Answer(_OK, _document(context, snapshot, snapshot.generation))


async def set_resources(context: Context, asked: Asked) -> Answer:
    """Says all that a provider has: ``PUT /v1/resource-providers/{uuid}/resources``.

    Two round trips to read and one commit, which also makes the custom names that its classes bring.

    Raises:
        NotFound: there is no such provider.
        BadRequest: the body is malformed, names a class that there is not, or a class refuses its description.
        Conflict: the generation is another one, or something is in use of what is left out.
    """
    await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    data = read_body(asked.body, PUT_RESOURCES)
    made = written(data["resources"], context.classes)

    async def plan() -> tuple[Plan, dict[str, Any]]:
        snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
        check_generation(snapshot.generation, data["resource_provider_generation"], STALE)
        return await _plan(context, asked, snapshot, made)

    return Answer(_OK, await context.committer.carry_out(plan, deadline=asked.deadline))


async def _plan(context: Context, asked: Asked, snapshot: Snapshot, made: Written) -> tuple[Plan, dict[str, Any]]:
    """Returns the one commit that gives a provider what a description says, and the document of it then."""
    after = dict(made.inventories)
    check_capacity("update", snapshot.uuid, after, LATEST)
    dropped = [name for name in snapshot.inventories if name not in after and snapshot.used.get(name)]
    if dropped:
        raise Conflict(f"update conflict: {in_use(dropped, snapshot.uuid)}", INVENTORY_IN_USE)
    before, now_ms = snapshot.description, context.clock.wall_ms()
    traits = traits_after(before.traits, _state(snapshot), made, context.classes)
    described = replace(before, traits=tuple(sorted(traits, key=trait_rank)), updated_ms=now_ms)
    key = keys.provider_key(snapshot.uuid)
    writes: list[Write] = inventory_writes(snapshot, after, now_ms)
    writes.append(Put(key, encode_description(described)))
    missing = {
        *map(keys.class_key, await context.names.missing_classes(list(after), deadline=asked.deadline)),
        *map(keys.trait_key, await context.names.missing_traits(sorted(made.traits), deadline=asked.deadline)),
    }
    using = [*using_classes(snapshot.inventories, after), *using_traits(before.traits, described.traits)]
    writes += [write for write in using if write.key not in missing]
    checks: list[Check] = [IsVersion(key, snapshot.version)]
    for name in sorted(missing):
        made_now, absent = await context.names.making(name, now_ms, deadline=asked.deadline)
        if not made_now:
            raise PlanAgain
        # One more than the providers that use it, which is this one.
        writes += [Put(name, now_ms.to_bytes(8, "big"), {keys.USERS: 2})]
        checks += absent
    changed = replace(snapshot, description=described, inventories=after)
    return Plan(writes, checks, [snapshot.uuid]), _document(context, changed, snapshot.generation + 1)


def _state(snapshot: Snapshot) -> State:
    return State(snapshot.inventories, snapshot.used, frozenset(snapshot.description.traits))


def _document(context: Context, snapshot: Snapshot, generation: int) -> dict[str, Any]:
    told, others = shown(_state(snapshot), context.classes)
    resources: dict[str, Mapping[str, Any]] = {
        name: {"described": one.described, "used": one.used, "free": one.free} for name, one in told.items()
    }
    for name, inventory in others.items():
        used = snapshot.used.get(name, 0)
        free = max(0, inventory.capacity - used)
        resources[name] = {"described": inventory_document(inventory), "used": used, "free": free}
    return {"resource_provider_generation": generation, "resources": resources}
