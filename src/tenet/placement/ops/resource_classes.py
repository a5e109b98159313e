"""Shows, makes, renames and deletes resource classes."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

from msgspec.structs import replace

from tenet.placement import keys
from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.errors import BadRequest, Conflict, NotFound
from tenet.placement.ops.committing import Plan
from tenet.placement.ops.names import deleting
from tenet.placement.ops.pieces import listed, written
from tenet.placement.rules.schemas import RESOURCE_CLASS
from tenet.placement.rules.standard_names import STANDARD_CLASSES, is_standard_class
from tenet.placement.rules.validation import check_document, read_body

_MADE: Final = 201
_NO_CONTENT: Final = 204


def _document(asked: Asked, name: str) -> dict[str, Any]:
    return {"name": name, "links": [{"rel": "self", "href": f"{asked.base}{_url(name)}"}]}


def _url(name: str) -> str:
    return f"/resource_classes/{name}"


def _no_class(name: str) -> NotFound:
    return NotFound(f"No such resource class {name}.")


async def list_resource_classes(context: Context, asked: Asked) -> Answer:
    """Shows all resource classes: ``GET /resource_classes``. A round trip for each ten thousand that clients made.

    Raises:
        Unavailable: the list was not done in time.
    """
    custom = await context.names.custom_classes(deadline=asked.deadline)
    documents = (_document(asked, name) for name in chain(STANDARD_CLASSES, custom))
    return replace(await written(context, asked, listed("resource_classes", documents)), modified_ms=NOW)


async def show_resource_class(context: Context, asked: Asked) -> Answer:
    """Shows a resource class: ``GET /resource_classes/{name}``. At most one round trip.

    Raises:
        NotFound: there is none.
    """
    name = asked.path["name"]
    if is_standard_class(name):
        return Answer(200, _document(asked, name), modified_ms=NOW)
    made = await context.names.made(keys.class_key(name), deadline=asked.deadline)
    if made is None:
        raise _no_class(name)
    return Answer(200, _document(asked, name), modified_ms=made.made_ms)


async def create_resource_class(context: Context, asked: Asked) -> Answer:
    """Makes a custom resource class: ``POST /resource_classes``. Two round trips.

    Raises:
        BadRequest: the body is malformed.
        Conflict: there is one of that name.
    """
    name = read_body(asked.body, RESOURCE_CLASS)["name"]
    if not await _make(context, asked, name):
        raise Conflict(f"Conflicting resource class already exists: {name}")
    return Answer(_MADE, location=_url(name))


async def put_resource_class(context: Context, asked: Asked) -> Answer:
    """Makes a custom resource class where there is none: ``PUT /resource_classes/{name}``, from 1.7. Two round trips.

    Raises:
        BadRequest: the name is none of a custom class.
    """
    name = asked.path["name"]
    check_document({"name": name}, RESOURCE_CLASS)
    is_new = await _make(context, asked, name)
    return Answer(_MADE if is_new else _NO_CONTENT, location=_url(name))


async def _make(context: Context, asked: Asked, name: str) -> bool:
    """Makes a class; returns whether there was none."""
    now_ms = context.clock.wall_ms()

    async def plan() -> tuple[Plan, bool]:
        writes, checks = await context.names.making(keys.class_key(name), now_ms, deadline=asked.deadline)
        return Plan(writes, checks), bool(writes)

    return await context.committer.carry_out(plan, deadline=asked.deadline)


async def rename_resource_class(context: Context, asked: Asked) -> Answer:
    """Renames a custom resource class that no provider has: ``PUT /resource_classes/{name}``, 1.2 to 1.6.

    Three round trips.

    Raises:
        NotFound: there is none.
        BadRequest: the body is malformed, or the class is a standard one.
        Conflict: there is one of the new name, or a provider has an inventory of the class.
    """
    before, after = asked.path["name"], read_body(asked.body, RESOURCE_CLASS)["name"]
    if is_standard_class(before):
        raise BadRequest(f"Cannot update standard resource class {before}")
    now_ms = context.clock.wall_ms()

    async def plan() -> tuple[Plan, None]:
        made = await context.names.made(keys.class_key(before), deadline=asked.deadline)
        if made is None:
            raise _no_class(before)
        if after == before:
            return Plan(()), None
        writes, checks = await context.names.making(keys.class_key(after), now_ms, deadline=asked.deadline)
        if not writes:
            raise Conflict(f"Resource class already exists: {after}")
        if made.users:
            raise Conflict(f"Resource class {before} is in use in inventory, and cannot be renamed.")
        return Plan([*writes, deleting(keys.class_key(before))], checks), None

    await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(200, _document(asked, after))


async def delete_resource_class(context: Context, asked: Asked) -> Answer:
    """Deletes a custom resource class: ``DELETE /resource_classes/{name}``. Two round trips.

    Raises:
        NotFound: there is none.
        BadRequest: it is a standard one.
        Conflict: a provider has an inventory of it.
    """
    name = asked.path["name"]
    failed = "Error in delete resource class:"
    if is_standard_class(name):
        raise BadRequest(f"{failed} Cannot delete standard resource class {name}.")

    async def plan() -> tuple[Plan, None]:
        made = await context.names.made(keys.class_key(name), deadline=asked.deadline)
        if made is None:
            raise _no_class(name)
        if made.users:
            raise Conflict(f"{failed} Cannot delete resource class {name}. Class is in use in inventory.")
        return Plan([deleting(keys.class_key(name))]), None

    await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(_NO_CONTENT)
