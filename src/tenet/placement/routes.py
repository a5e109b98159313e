"""Which function answers which URL and method, at which microversions, and who may ask.

``ROUTES`` is the one place that says so; the edge goes by it and by nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from tenet.placement.context import Operation
from tenet.placement.ops.aggregates import list_aggregates, set_aggregates
from tenet.placement.ops.allocations import (
    delete_allocations,
    list_provider_allocations,
    post_allocations,
    put_allocations,
    show_allocations,
)
from tenet.placement.ops.candidates import list_allocation_candidates
from tenet.placement.ops.capabilities import set_capabilities, show_capabilities
from tenet.placement.ops.claim_lists import list_claims
from tenet.placement.ops.claiming import make_claim, show_claim, show_openapi
from tenet.placement.ops.confirming import confirm_claim, release_claim
from tenet.placement.ops.inventories import (
    create_inventory,
    delete_inventories,
    delete_inventory,
    list_inventories,
    set_inventories,
    show_inventory,
    update_inventory,
)
from tenet.placement.ops.listing import list_resource_providers
from tenet.placement.ops.quotas import delete_quota, set_quota, show_quota
from tenet.placement.ops.reshaping import reshape
from tenet.placement.ops.resource_classes import (
    create_resource_class,
    delete_resource_class,
    list_resource_classes,
    put_resource_class,
    rename_resource_class,
    show_resource_class,
)
from tenet.placement.ops.resource_providers import (
    create_resource_provider,
    delete_resource_provider,
    show_resource_provider,
    update_resource_provider,
)
from tenet.placement.ops.resources import list_classes, set_resources, show_resources
from tenet.placement.ops.root import show_versions
from tenet.placement.ops.traits import (
    delete_provider_traits,
    delete_trait,
    list_provider_traits,
    list_traits,
    put_trait,
    set_provider_traits,
    show_trait,
)
from tenet.placement.ops.usages import list_provider_usages, show_usages
from tenet.placement.rules.microversions import LATEST
from tenet.placement.rules.policy import Rule

#: What is looked at in a request's headers before anything else: the type of the body, the types that the sender takes.
Media: TypeAlias = Literal["", "body", "answer"]


class Route(Struct, frozen=True):
    """What answers one method of a URL.

    Args:
        operation: the function.
        action: name of its policy, without the prefix ``placement:``.
        media: which header has to be JSON's.
        since: the first microversion that has it.
        until: the last one.
        missing: the status of the error at other microversions.
        rule: who may ask.
    """

    operation: Operation
    action: str = ""
    media: Media = ""
    since: int = 0
    until: int = LATEST
    missing: int = 404
    rule: Rule = "admin_or_service"

    @property
    def name(self) -> str:
        """For logs and metrics, for instance ``list_traits``."""
        return self.operation.__name__


#: For each form of path, what answers its methods. Where there are several, microversions tell them apart.
Routes: TypeAlias = Mapping[str, Mapping[str, tuple[Route, ...]]]

_PROVIDERS: Final = "resource_providers"
_ROOT: Final = {"GET": (Route(show_versions, rule="open"),)}

ROUTES: Final[Routes] = {
    "": _ROOT,
    "/": _ROOT,
    "/resource_classes": {
        "GET": (Route(list_resource_classes, "resource_classes:list", "answer", since=2),),
        "POST": (Route(create_resource_class, "resource_classes:create", "body", since=2),),
    },
    "/resource_classes/{name}": {
        "GET": (Route(show_resource_class, "resource_classes:show", "answer", since=2),),
        "PUT": (
            Route(rename_resource_class, "resource_classes:update", "body", since=2, until=6),
            Route(put_resource_class, "resource_classes:update", since=7),
        ),
        "DELETE": (Route(delete_resource_class, "resource_classes:delete", since=2),),
    },
    "/resource_providers": {
        "GET": (Route(list_resource_providers, f"{_PROVIDERS}:list", "answer"),),
        "POST": (Route(create_resource_provider, f"{_PROVIDERS}:create", "body"),),
    },
    "/resource_providers/{uuid}": {
        "GET": (Route(show_resource_provider, f"{_PROVIDERS}:show", "answer"),),
        "DELETE": (Route(delete_resource_provider, f"{_PROVIDERS}:delete"),),
        "PUT": (Route(update_resource_provider, f"{_PROVIDERS}:update", "body"),),
    },
    "/resource_providers/{uuid}/inventories": {
        "GET": (Route(list_inventories, f"{_PROVIDERS}:inventories:list", "answer"),),
        "POST": (Route(create_inventory, f"{_PROVIDERS}:inventories:create", "body"),),
        "PUT": (Route(set_inventories, f"{_PROVIDERS}:inventories:update", "body"),),
        "DELETE": (Route(delete_inventories, f"{_PROVIDERS}:inventories:delete", since=5, missing=405),),
    },
    "/resource_providers/{uuid}/inventories/{resource_class}": {
        "GET": (Route(show_inventory, f"{_PROVIDERS}:inventories:show", "answer"),),
        "PUT": (Route(update_inventory, f"{_PROVIDERS}:inventories:update", "body"),),
        "DELETE": (Route(delete_inventory, f"{_PROVIDERS}:inventories:delete"),),
    },
    "/resource_providers/{uuid}/usages": {
        "GET": (Route(list_provider_usages, f"{_PROVIDERS}:usages", "answer"),),
    },
    "/resource_providers/{uuid}/aggregates": {
        "GET": (Route(list_aggregates, f"{_PROVIDERS}:aggregates:list", "answer", since=1),),
        "PUT": (Route(set_aggregates, f"{_PROVIDERS}:aggregates:update", "body", since=1),),
    },
    "/resource_providers/{uuid}/allocations": {
        "GET": (Route(list_provider_allocations, f"{_PROVIDERS}:allocations:list", "answer"),),
    },
    "/resource_providers/{uuid}/traits": {
        "GET": (Route(list_provider_traits, f"{_PROVIDERS}:traits:list", "answer", since=6),),
        "PUT": (Route(set_provider_traits, f"{_PROVIDERS}:traits:update", "body", since=6),),
        "DELETE": (Route(delete_provider_traits, f"{_PROVIDERS}:traits:delete", since=6),),
    },
    "/allocations": {
        "POST": (Route(post_allocations, "allocations:manage", "body", since=13),),
    },
    "/allocations/{consumer_uuid}": {
        "GET": (Route(show_allocations, "allocations:list", "answer"),),
        "PUT": (Route(put_allocations, "allocations:update", "body"),),
        "DELETE": (Route(delete_allocations, "allocations:delete"),),
    },
    "/allocation_candidates": {
        "GET": (Route(list_allocation_candidates, "allocation_candidates:list", "answer", since=10),),
    },
    "/traits": {
        "GET": (Route(list_traits, "traits:list", "answer", since=6),),
    },
    "/traits/{name}": {
        "GET": (Route(show_trait, "traits:show", since=6),),
        "PUT": (Route(put_trait, "traits:update", since=6),),
        "DELETE": (Route(delete_trait, "traits:delete", since=6),),
    },
    "/usages": {
        "GET": (Route(show_usages, "usages", "answer", since=9, rule="open"),),
    },
    "/v1/claims": {
        "GET": (Route(list_claims, "claims:list", "answer", rule="open"),),
        "POST": (Route(make_claim, "claims:create", "body"),),
    },
    "/v1/claims/{consumer_uuid}": {
        "GET": (Route(show_claim, "claims:show", "answer"),),
        "DELETE": (Route(release_claim, "claims:delete"),),
    },
    "/v1/claims/{consumer_uuid}/confirm": {
        "POST": (Route(confirm_claim, "claims:confirm"),),
    },
    "/v1/quotas/{project_id}": {
        "GET": (Route(show_quota, "quotas:show", "answer", rule="open"),),
        "PUT": (Route(set_quota, "quotas:update", "body", rule="admin"),),
        "DELETE": (Route(delete_quota, "quotas:delete", rule="admin"),),
    },
    "/v1/resource-classes": {
        "GET": (Route(list_classes, "resource_classes:list", "answer"),),
    },
    "/v1/resource-providers/{uuid}/resources": {
        "GET": (Route(show_resources, f"{_PROVIDERS}:inventories:list", "answer"),),
        "PUT": (Route(set_resources, f"{_PROVIDERS}:inventories:update", "body"),),
    },
    "/v1/resource-providers/{uuid}/capabilities": {
        "GET": (Route(show_capabilities, f"{_PROVIDERS}:capabilities:list", "answer"),),
        "PUT": (Route(set_capabilities, f"{_PROVIDERS}:capabilities:update", "body"),),
    },
    "/v1/openapi.json": {
        "GET": (Route(show_openapi, "claims:describe", "answer"),),
    },
    "/reshaper": {
        "POST": (Route(reshape, "reshaper:reshape", "body", since=30, rule="service"),),
    },
}
