"""Shows, makes and deletes traits, and those of a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tenet.placement import keys
from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.errors import BadRequest, Conflict, NotFound
from tenet.placement.ops.aggregates import STALE
from tenet.placement.ops.committing import Plan, check_generation
from tenet.placement.ops.names import deleting, using_traits
from tenet.placement.ops.pieces import listed, written
from tenet.placement.rules.inventories import generation_write
from tenet.placement.rules.schemas import CUSTOM_TRAIT, LIST_TRAITS, PUT_TRAITS
from tenet.placement.rules.standard_names import STANDARD_TRAITS, is_standard_trait, trait_rank
from tenet.placement.rules.stored import encode_description
from tenet.placement.rules.validation import check_query, matches, read_body
from tenet.store.contract import IsVersion, Put, Write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenet.placement.ops.names import Made
    from tenet.placement.rules.snapshots import Snapshot

_MADE: Final = 201
_NO_CONTENT: Final = 204


async def list_traits(context: Context, asked: Asked) -> Answer:
    """Shows traits: ``GET /traits``, with the filters ``name`` and ``associated``.

    A round trip for each ten thousand that clients made.

    Raises:
        BadRequest: a filter is malformed.
        Unavailable: the list was not done in time.
    """
    query = asked.parameters
    check_query(query, LIST_TRAITS)
    passes = _name_filter(query.get("name"))
    custom = await context.names.custom_traits(deadline=asked.deadline)
    names = [name for name in (*STANDARD_TRAITS, *custom) if passes(name)]
    if "associated" in query:
        wanted = query["associated"].lower()
        if wanted not in {"true", "false"}:
            raise BadRequest('The query parameter "associated" only accepts "true" or "false"')
        associated = _associated(context, custom)
        names = [name for name in names if (name in associated) == (wanted == "true")]
    made_ms = [custom[name].made_ms for name in names if name in custom]
    is_plain = len(made_ms) < len(names)
    answer = await written(context, asked, listed("traits", names))
    return replace(answer, modified_ms=NOW if is_plain or not made_ms else max(made_ms))


def _name_filter(value: str | None) -> Callable[[str], bool]:
    if value is None:
        return lambda _: True
    kind, colon, wanted = value.partition(":")
    if not colon:
        raise BadRequest(
            "Badly formatted name parameter. Expected name query string parameter in form: "
            f'?name=[in|startswith]:[name1,name2|prefix]. Got: "{value}"'
        )
    if kind == "in":
        names = frozenset(wanted.split(","))
        return names.__contains__
    if kind == "startswith":
        return lambda name: name.startswith(wanted)
    return lambda _: True


def _associated(context: Context, custom: dict[str, Made]) -> set[str]:
    """Returns the traits that a provider has: of custom ones their count tells, of the others the read model."""
    return context.keeper.fleet.traits_held() | {name for name, made in custom.items() if made.users}


async def show_trait(context: Context, asked: Asked) -> Answer:
    """Tells whether a trait exists: ``GET /traits/{name}``. At most one round trip.

    Raises:
        NotFound: it does not.
    """
    name = asked.path["name"]
    if is_standard_trait(name):
        return Answer(_NO_CONTENT, modified_ms=NOW)
    made = await context.names.made(keys.trait_key(name), deadline=asked.deadline)
    if made is None:
        raise _no_trait(name)
    return Answer(_NO_CONTENT, modified_ms=made.made_ms)


async def put_trait(context: Context, asked: Asked) -> Answer:
    """Makes a trait where there is none: ``PUT /traits/{name}``. Two round trips.

    Raises:
        BadRequest: the name is none of a custom trait.
    """
    name = asked.path["name"]
    if not matches(name, CUSTOM_TRAIT):
        raise BadRequest(
            "The trait is invalid. A valid trait must be no longer than 255 characters, start with the prefix "
            '"CUSTOM_" and use following characters: "A"-"Z", "0"-"9" and "_"'
        )
    now_ms = context.clock.wall_ms()

    async def plan() -> tuple[Plan, bool]:
        writes, checks = await context.names.making(keys.trait_key(name), now_ms, deadline=asked.deadline)
        return Plan(writes, checks), bool(writes)

    is_new = await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(_MADE if is_new else _NO_CONTENT, location=f"/traits/{name}", modified_ms=NOW)


async def delete_trait(context: Context, asked: Asked) -> Answer:
    """Deletes a custom trait: ``DELETE /traits/{name}``. Two round trips.

    Raises:
        NotFound: there is none.
        BadRequest: it is a standard one.
        Conflict: a provider has it.
    """
    name = asked.path["name"]
    if is_standard_trait(name):
        raise BadRequest(f"Cannot delete standard trait {name}.")

    async def plan() -> tuple[Plan, None]:
        made = await context.names.made(keys.trait_key(name), deadline=asked.deadline)
        if made is None:
            raise _no_trait(name)
        if made.users:
            raise Conflict(f"The trait {name} is in use by a resource provider.")
        return Plan([deleting(keys.trait_key(name))]), None

    await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(_NO_CONTENT)


def _no_trait(name: str) -> NotFound:
    return NotFound(f"No such trait(s): {name}.")


async def list_provider_traits(context: Context, asked: Asked) -> Answer:
    """Shows the traits of a provider: ``GET /resource_providers/{uuid}/traits``. One round trip.

    Raises:
        NotFound: there is no such provider.
    """
    uuid = asked.path["uuid"]
    snapshot = await context.reader.find(uuid, deadline=asked.deadline)
    if snapshot is None:
        raise NotFound(f"No resource provider with uuid {uuid} found: No resource provider with uuid {uuid} found ")
    return _provider_answer(snapshot.description.traits, snapshot.generation)


async def set_provider_traits(context: Context, asked: Asked) -> Answer:
    """Replaces the traits of a provider: ``PUT /resource_providers/{uuid}/traits``. Three round trips.

    Raises:
        NotFound: there is no such provider.
        BadRequest: the body is malformed, or a trait does not exist.
        Conflict: the generation is another one.
    """
    data = read_body(asked.body, PUT_TRAITS)
    given, traits = data["resource_provider_generation"], tuple(sorted(set(data["traits"]), key=trait_rank))
    snapshot = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
    check_generation(snapshot.generation, given, STALE)

    async def plan() -> tuple[Plan, int]:
        found = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
        check_generation(found.generation, given, STALE)
        missing = await context.names.missing_traits(traits, deadline=asked.deadline)
        if missing:
            raise BadRequest(f"No such trait {', '.join(missing)}")
        return _replacing(context, found, traits)

    generation = await context.committer.carry_out(plan, deadline=asked.deadline)
    return _provider_answer(traits, generation)


async def delete_provider_traits(context: Context, asked: Asked) -> Answer:
    """Takes all traits from a provider: ``DELETE /resource_providers/{uuid}/traits``. Two round trips.

    Raises:
        NotFound: there is no such provider.
    """

    async def plan() -> tuple[Plan, int]:
        found = await context.reader.provider(asked.path["uuid"], deadline=asked.deadline)
        return _replacing(context, found, ())

    await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(_NO_CONTENT)


def _replacing(context: Context, snapshot: Snapshot, traits: tuple[str, ...]) -> tuple[Plan, int]:
    """Returns the plan that gives a provider other traits, and its generation then."""
    before, key = snapshot.description, keys.provider_key(snapshot.uuid)
    if set(before.traits) == set(traits):
        return Plan(()), snapshot.generation
    after = replace(before, traits=traits, updated_ms=context.clock.wall_ms())
    writes: list[Write] = [Put(key, encode_description(after)), generation_write(snapshot)]
    writes += using_traits(before.traits, traits)
    return Plan(writes, [IsVersion(key, snapshot.version)], [snapshot.uuid]), snapshot.generation + 1


def _provider_answer(traits: Sequence[str], generation: int) -> Answer:
    document = {"traits": list(traits), "resource_provider_generation": generation}
    return Answer(200, document, modified_ms=NOW)
