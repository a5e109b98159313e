"""Shows what is in use: of a provider, and by a project."""

from __future__ import annotations

from typing import Final

from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.errors import Forbidden, NotFound
from tenet.placement.rules.documents import usages_by_type_document, usages_document
from tenet.placement.rules.schemas import GET_USAGES, GET_USAGES_38, of_version
from tenet.placement.rules.validation import check_query

_CONSUMER_TYPES: Final = 38


async def list_provider_usages(context: Context, asked: Asked) -> Answer:
    """Shows what is in use of a provider, by class: ``GET /resource_providers/{uuid}/usages``. One round trip.

    Raises:
        NotFound: there is no such provider.
    """
    uuid = asked.path["uuid"]
    snapshot = await context.reader.find(uuid, deadline=asked.deadline)
    if snapshot is None:
        raise NotFound(f"No resource provider with uuid {uuid} found: No resource provider with uuid {uuid} found ")
    usages = {name: snapshot.used.get(name, 0) for name in snapshot.inventories}
    document = {"resource_provider_generation": snapshot.generation, "usages": usages}
    return Answer(200, document, modified_ms=NOW)


async def show_usages(context: Context, asked: Asked) -> Answer:
    """Shows what a project, or a user in it, has: ``GET /usages``. Two round trips.

    Raises:
        Forbidden: the sender may not see this project.
        BadRequest: the query string is malformed.
    """
    query = asked.parameters
    if not context.policy.allows("project_reader", asked.sender, query.get("project_id")):
        raise Forbidden.of("placement:usages")
    check_query(query, of_version(asked.version, (0, GET_USAGES), (_CONSUMER_TYPES, GET_USAGES_38)))
    uses, consumers = await context.reader.project(query["project_id"], deadline=asked.deadline)
    user = query.get("user_id")
    if asked.version < _CONSUMER_TYPES:
        return Answer(200, usages_document(uses, user), modified_ms=NOW)
    document = usages_by_type_document(uses, consumers, user=user, consumer_type=query.get("consumer_type"))
    return Answer(200, document, modified_ms=NOW)
