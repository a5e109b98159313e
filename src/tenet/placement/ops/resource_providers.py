"""Makes, shows, changes and deletes resource providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from tenet.base.ids import uuid4_text
from tenet.placement import keys
from tenet.placement.context import Answer, Asked, Context
from tenet.placement.errors import (
    CANNOT_DELETE_PARENT,
    DUPLICATE_NAME,
    PROVIDER_IN_USE,
    BadRequest,
    Conflict,
    NotFound,
)
from tenet.placement.model import Provider
from tenet.placement.ops.committing import Plan, PlanAgain
from tenet.placement.ops.names import using_classes, using_traits
from tenet.placement.rules.documents import provider_document
from tenet.placement.rules.schemas import (
    POST_PROVIDER,
    POST_PROVIDER_14,
    PUT_PROVIDER,
    PUT_PROVIDER_14,
    of_version,
)
from tenet.placement.rules.stored import Description, encode_description
from tenet.placement.rules.validation import canonical_uuid, read_body
from tenet.store.contract import Add, Delete, IsPresent, IsVersion, Put

if TYPE_CHECKING:
    from tenet.placement.rules.snapshots import Snapshot
    from tenet.store.contract import Check, Version, Write

_TREES: Final = 14
_SHOWN: Final = 20
_REPARENTING: Final = 37
_MADE: Final = 201
_NO_CONTENT: Final = 204
#: So many ancestors a commit checks, beside what else it does.
_CHECKED_MAX: Final = 90


async def create_resource_provider(context: Context, asked: Asked) -> Answer:
    """Makes a provider: ``POST /resource_providers``. Three round trips, and one for its ancestors as a rule.

    Raises:
        BadRequest: it is malformed, or the parent does not exist.
        Conflict: there is one of that uuid or name.
    """
    data = read_body(asked.body, of_version(asked.version, (0, POST_PROVIDER), (_TREES, POST_PROVIDER_14)))
    uuid = canonical_uuid(data.get("uuid")) if data.get("uuid") else uuid4_text(context.ids)
    if uuid is None or not data["name"]:
        raise _not_created(data, uuid or data["uuid"], "name is required")
    now_ms = context.clock.wall_ms()
    parent = canonical_uuid(data.get("parent_provider_uuid")) or ""
    description = Description(data["name"], parent, created_ms=now_ms, updated_ms=now_ms)

    async def plan() -> tuple[Plan, str]:
        root = await _root_below(context, asked, data, uuid)
        await _refuse_taken(context, asked, uuid, data["name"])
        writes: list[Write] = [
            Put(keys.provider_key(uuid), encode_description(description)),
            Put(keys.name_key(data["name"]), keys.uuid_bytes(uuid)),
            Add(keys.counts_key(uuid), keys.GENERATION, 0, at_least=0, at_most=0),
        ]
        checks: list[Check] = [
            IsVersion(keys.provider_key(uuid), None),
            IsVersion(keys.name_key(data["name"]), None),
        ]
        if parent:
            writes.append(Add(keys.counts_key(parent), keys.CHILDREN, 1))
            checks.append(IsPresent(keys.provider_key(parent)))
        return Plan(writes, checks, [uuid]), root

    root = await context.committer.carry_out(plan, deadline=asked.deadline)
    location = f"/resource_providers/{uuid}"
    if asked.version < _SHOWN:
        return Answer(_MADE, location=location)
    made = Provider(uuid, description.name, parent or None, root, 0)
    document = provider_document(made, asked.version, asked.base)
    return Answer(200, document, location, modified_ms=now_ms)


async def _root_below(context: Context, asked: Asked, data: dict[str, Any], uuid: str) -> str:
    """Returns the root of the tree that a new provider comes into; its own uuid where it has no parent."""
    given = data.get("parent_provider_uuid")
    if given is None:
        return uuid
    parent = canonical_uuid(given)
    if parent == uuid:
        raise _not_created(
            data,
            uuid,
            "parent provider UUID cannot be same as UUID. Please set parent provider UUID to None if there is no "
            "parent.",
        )
    above = await _above(context, asked, parent or "")
    if not above:
        raise _not_created(data, uuid, "parent provider UUID does not exist.")
    return above[-1][0]


async def _above(context: Context, asked: Asked, parent: str) -> list[tuple[str, Version]]:
    """Returns the providers from a parent up to its root, with their versions; none where it does not exist.

    A round trip for each thousand as the read model knows them, and for each that stands elsewhere.
    """
    return await context.reader.ancestors(parent, likely=context.keeper.line(parent), deadline=asked.deadline)


def _not_created(data: dict[str, Any], uuid: str, reason: str) -> BadRequest:
    return BadRequest(
        f'Unable to create resource provider "{data["name"]}", {uuid}: Object action create failed because: {reason}'
    )


async def _refuse_taken(context: Context, asked: Asked, uuid: str, name: str) -> None:
    taken = []
    if await context.reader.named(name, deadline=asked.deadline):
        taken.append(f"name: {name}")
    if await context.reader.find(uuid, deadline=asked.deadline) is not None:
        taken.append(f"uuid: {uuid}")
    if taken:
        raise Conflict(f"Conflicting resource provider {', '.join(taken)} already exists.", DUPLICATE_NAME)


async def show_resource_provider(context: Context, asked: Asked) -> Answer:
    """Shows a provider: ``GET /resource_providers/{uuid}``. One round trip, and one for its ancestors as a rule.

    Raises:
        NotFound: there is none.
    """
    snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    above = await _above(context, asked, snapshot.description.parent)
    root = above[-1][0] if above else snapshot.uuid
    document = provider_document(snapshot.provider(root), asked.version, asked.base)
    return Answer(200, document, modified_ms=snapshot.description.updated_ms)


async def update_resource_provider(context: Context, asked: Asked) -> Answer:
    """Renames a provider, or gives it a parent: ``PUT /resource_providers/{uuid}``.

    Three round trips, and one for the ancestors of a new parent as a rule. Nobody can make a loop of two changes at a
    time (``_moving``).

    Raises:
        NotFound: there is none.
        BadRequest: the parent does not exist, would make a loop, or may not be changed before 1.37.
        Conflict: another provider has the name.
    """
    await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    data = read_body(asked.body, of_version(asked.version, (0, PUT_PROVIDER), (_TREES, PUT_PROVIDER_14)))
    now_ms = context.clock.wall_ms()

    async def plan() -> tuple[Plan, Provider]:
        snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
        before, key = snapshot.description, keys.provider_key(snapshot.uuid)
        after = replace(before, name=data["name"], updated_ms=now_ms)
        writes: list[Write] = []
        checks: list[Check] = [IsVersion(key, snapshot.version)]
        if after.name != before.name:
            if await context.reader.named(after.name, deadline=asked.deadline):
                raise Conflict(f"Conflicting resource provider {after.name} already exists.", DUPLICATE_NAME)
            writes += [Delete(keys.name_key(before.name)), Put(keys.name_key(after.name), key.partition)]
            checks.append(IsVersion(keys.name_key(after.name), None))
        if "parent_provider_uuid" in data:
            after = replace(after, parent=_parent_after(snapshot, asked, data["parent_provider_uuid"]))
        above = await _above(context, asked, after.parent)
        if after.parent != before.parent:
            more, conditions, above = await _moving(context, asked, snapshot, after.parent, above)
            writes += more
            checks += conditions
        writes.append(Put(key, encode_description(after)))
        root = above[-1][0] if above else snapshot.uuid
        return Plan(writes, checks, [snapshot.uuid]), replace(snapshot, description=after).provider(root)

    changed = await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(200, provider_document(changed, asked.version, asked.base), modified_ms=now_ms)


def _not_saved(uuid: str, action: str, reason: str) -> BadRequest:
    return BadRequest(f"Unable to save resource provider {uuid}: Object action {action} failed because: {reason}")


def _parent_after(snapshot: Snapshot, asked: Asked, given: str | None) -> str:
    """Returns the parent that a request gives a provider; "" for none."""
    before = snapshot.description.parent
    if given is None:
        if before and asked.version < _REPARENTING:
            raise _not_saved(snapshot.uuid, "update", "un-parenting a provider is not currently allowed.")
        return ""
    after = canonical_uuid(given)
    if after is None:
        raise _not_saved(snapshot.uuid, "create", "parent provider UUID does not exist.")
    return after


def _check_parent(snapshot: Snapshot, asked: Asked, parent: str, above: list[str]) -> None:
    """Refuses a parent that cannot be one.

    Args:
        snapshot: the provider.
        asked: the request.
        parent: the new one; "" for none.
        above: the providers from it up to its root; none where it does not exist.
    """
    if not parent:
        return
    uuid, before = snapshot.uuid, snapshot.description.parent
    if not above:
        raise _not_saved(uuid, "create", "parent provider UUID does not exist.")
    if before and asked.version < _REPARENTING:
        raise _not_saved(uuid, "update", "re-parenting a provider is not currently allowed.")
    if uuid in above:
        raise _not_saved(uuid, "update", "creating loop in the provider tree is not allowed.")


async def _moving(
    context: Context, asked: Asked, snapshot: Snapshot, parent: str, above: list[tuple[str, Version]]
) -> tuple[list[Write], list[Check], list[tuple[str, Version]]]:
    """Returns the writes and checks that give a provider another parent and make no loop, and the parent's ancestors.

    A provider that nothing stands below makes none. Any other is counted as a move, and every ancestor of its new
    parent is checked. Where they are more than a commit may check, the parent alone is, and that none was counted since
    before they were read: the parent stands where it stood then, so that each of them had something below it since,
    and was not moved without being counted.

    Args:
        context: what it works with.
        asked: the request.
        snapshot: the provider.
        parent: the new one; "" for none.
        above: the providers from it up to its root; none where it does not exist.
    """
    moves: int | None = None
    if snapshot.children and len(above) > _CHECKED_MAX:
        moves, version = await context.reader.moves(parent, deadline=asked.deadline)
        above = await _above(context, asked, parent)
        if above and above[0][1] != version:
            raise PlanAgain
    _check_parent(snapshot, asked, parent, [uuid for uuid, _ in above])
    writes = _children_writes(snapshot.description.parent, parent)
    if not snapshot.children:
        writes.append(Add(keys.counts_key(snapshot.uuid), keys.CHILDREN, 0, at_least=0, at_most=0))
        return writes, [IsPresent(keys.provider_key(uuid)) for uuid, _ in above[:1]], above
    relied_on = above if moves is None else above[:1]
    checks: list[Check] = [IsVersion(keys.provider_key(uuid), version) for uuid, version in relied_on]
    after = None if moves is None else moves + 1
    writes.append(Add(keys.MOVES_KEY, keys.MOVES, 1, at_least=after, at_most=after))
    return writes, checks, above


def _children_writes(before: str, after: str) -> list[Write]:
    writes: list[Write] = []
    if before:
        writes.append(Add(keys.counts_key(before), keys.CHILDREN, -1, at_least=0))
    if after:
        writes.append(Add(keys.counts_key(after), keys.CHILDREN, 1))
    return writes


async def delete_resource_provider(context: Context, asked: Asked) -> Answer:
    """Deletes a provider: ``DELETE /resource_providers/{uuid}``. Two round trips.

    What it was stays in one small record of counts, by which a provider made later with the uuid begins at 0.

    Raises:
        NotFound: there is none.
        Conflict: it has children or allocations.
    """
    given = asked.path["uuid"]

    async def plan() -> tuple[Plan, None]:
        snapshot = await context.reader.find(given, deadline=asked.deadline)
        if snapshot is None:
            raise NotFound(f"No resource provider with uuid {given} found for delete")
        if snapshot.children:
            raise Conflict(
                f"Unable to delete parent resource provider {given}: It has child resource providers.",
                CANNOT_DELETE_PARENT,
            )
        if snapshot.used:
            raise Conflict(
                f"Unable to delete resource provider {given}: Resource provider has allocations.", PROVIDER_IN_USE
            )
        return Plan(
            _deleting(snapshot), [IsVersion(keys.provider_key(snapshot.uuid), snapshot.version)], [snapshot.uuid]
        ), None

    await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(_NO_CONTENT)


def _deleting(snapshot: Snapshot) -> list[Write]:
    uuid, described = snapshot.uuid, snapshot.description
    counts = keys.counts_key(uuid)
    writes: list[Write] = [
        Delete(keys.provider_key(uuid)),
        Delete(keys.name_key(described.name)),
        Delete(keys.capabilities_key(uuid)),
        # Whatever puts something in use raises the generation: if it is what was read, nothing is in use.
        Add(counts, keys.GENERATION, -snapshot.generation, at_least=0, at_most=0),
        Add(counts, keys.CHILDREN, 0, at_least=0, at_most=0),
        Add(counts, keys.INVENTORIES, 1),
    ]
    for name in snapshot.inventories:
        writes += [Delete(keys.inventory_key(uuid, name)), Delete(keys.used_key(uuid, name))]
    if described.parent:
        writes.append(Add(keys.counts_key(described.parent), keys.CHILDREN, -1, at_least=0))
    writes += using_classes(snapshot.inventories, ())
    writes += using_traits(described.traits, ())
    return writes
