"""What ``GET /resource_providers`` may ask for.

Source: the Placement API reference, "List resource providers"; texts and bounds of openstack-placement 16.0.0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct

from tenet.placement.errors import BadRequest
from tenet.placement.rules.query_strings import (
    Query,
    check_classes,
    is_uuid_like,
    read_in_tree,
    read_member_of,
    read_resources,
    read_traits,
    refuse_unknown,
    refused,
    unknown_trait,
)

#: Since which microversion each parameter is there.
_SINCE: Final[Mapping[str, int]] = {
    "name": 0,
    "uuid": 0,
    "member_of": 3,
    "resources": 4,
    "in_tree": 14,
    "required": 18,
}


class ProviderFilter(Struct, frozen=True):
    """Which providers are asked for; all of it has to hold.

    Args:
        name: the provider's; None: any.
        uuid: the provider's; None: any.
        in_tree: of a provider in the same tree; None: any tree.
        required: of each of these choices one trait.
        forbidden: none of these traits.
        member_of: of each of these choices one aggregate.
        forbidden_aggregates: none of these aggregates.
        resources: amounts that one claim could get now, by resource class.
    """

    name: str | None = None
    uuid: str | None = None
    in_tree: str | None = None
    required: tuple[frozenset[str], ...] = ()
    forbidden: frozenset[str] = frozenset()
    member_of: tuple[frozenset[str], ...] = ()
    forbidden_aggregates: frozenset[str] = frozenset()
    resources: Mapping[str, int] = {}


def read_provider_filter(
    text: str, version: int, *, classes: Collection[str], traits: Collection[str]
) -> ProviderFilter:
    """Returns the filter that a query string means.

    Args:
        text: what followed the question mark, percent-encoded as it came.
        version: the microversion's minor number.
        classes: the names of all resource classes there are.
        traits: the names of all traits there are.

    Raises:
        BadRequest: it is not one that the microversion has, or names a class or trait that does not exist.
    """
    query = Query(text)
    refuse_unknown({key for key in query.keys() if _SINCE.get(key, version + 1) > version})  # noqa: SIM118 no mapping
    uuids = {}
    for name in ("uuid", "in_tree"):
        value = query.last(name)
        if value is not None:
            if not is_uuid_like(value):
                raise refused(f"{value!r} is not a 'uuid'", "format", name)
            uuids[name] = read_in_tree(value)
    aggregates = read_member_of(query.all("member_of"), version)
    asked = read_traits(query.all("required"), version)
    resources = query.last("resources")
    wanted = {} if resources is None else read_resources(resources)
    missing = unknown_trait(asked, traits)
    if missing is not None:
        raise BadRequest(f'Invalid trait(s) in "required" parameter: No such trait(s): {missing}.')
    check_classes(wanted, classes)
    return ProviderFilter(
        # An empty name is none, as in the reference.
        name=query.last("name") or None,
        required=asked.required,
        forbidden=asked.forbidden,
        member_of=aggregates.required,
        forbidden_aggregates=aggregates.forbidden,
        resources=wanted,
        **uuids,
    )
