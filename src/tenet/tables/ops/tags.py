"""TagResource, UntagResource and ListTagsOfResource.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TagResource.html and its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from tenet.tables.errors import ResourceNotFoundException
from tenet.tables.rules.tags import check_keys, required, tagged_table, with_tags

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table


async def tag_resource(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Sets tags of a table; two round trips. The answer is empty.

    Raises:
        ValidationException: the ARN or a tag is not right.
        ResourceNotFoundException: there is no such table.
        AccessDeniedException: it is another tenant's.
    """
    arn, given = request.get("ResourceArn"), request.get("Tags")
    name = tagged_table("TagResource", caller.account, arn)
    required("tags", given, "Tag")
    assert given is not None
    # What is wrong with them in themselves is told before the table is looked up.
    with_tags({}, given)

    def decide(table: Table | None) -> Table:
        if table is None:
            raise _not_found(arn)
        return msgspec.structs.replace(table, tags=with_tags(table.tags, given))

    await context.catalog.change(caller.account, name, decide, deadline=caller.deadline)
    caller.notes["table"] = name
    return b""


async def untag_resource(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Removes tags of a table, those that it has; two round trips. The answer is empty.

    Raises:
        ValidationException: the ARN or a key is not right, or no key is given.
        ResourceNotFoundException: there is no such table.
        AccessDeniedException: it is another tenant's.
    """
    arn, given = request.get("ResourceArn"), request.get("TagKeys")
    name = tagged_table("UntagResource", caller.account, arn)
    required("tagKeys", given, "Tag Key")
    assert given is not None
    check_keys(given)
    gone = frozenset(given)

    def decide(table: Table | None) -> Table:
        if table is None:
            raise _not_found(arn)
        if gone.isdisjoint(table.tags):
            return table
        return msgspec.structs.replace(table, tags={key: text for key, text in table.tags.items() if key not in gone})

    await context.catalog.change(caller.account, name, decide, deadline=caller.deadline)
    caller.notes["table"] = name
    return b""


async def list_tags_of_resource(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Lists the tags of a table, all of them on one page whatever the NextToken says; one round trip.

    Raises:
        ValidationException: the ARN is not right.
        ResourceNotFoundException: there is no such table.
        AccessDeniedException: it is another tenant's.
    """
    arn = request.get("ResourceArn")
    name = tagged_table("ListTagsOfResource", caller.account, arn)
    table = await context.catalog.find(caller.account, name, deadline=caller.deadline)
    if table is None:
        raise _not_found(arn)
    caller.notes["table"] = name
    return orjson.dumps({"Tags": [{"Key": key, "Value": text} for key, text in table.tags.items()]})


def _not_found(arn: str | None) -> ResourceNotFoundException:
    return ResourceNotFoundException(f"Requested resource not found: ResourceArn: {arn} not found")
