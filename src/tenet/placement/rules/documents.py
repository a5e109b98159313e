"""The documents of answers, by microversion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tenet.placement.model import Consumer, Inventory, Provider

#: Links of a provider, with the microversions since which they are told.
_LINKS: Final = (("inventories", 0), ("usages", 0), ("aggregates", 1), ("traits", 6), ("allocations", 11))
_PARENTS: Final = 14
_OWNERS: Final = 12
_CONSUMER_GENERATIONS: Final = 28
_CONSUMER_TYPES: Final = 38


def provider_document(provider: Provider, version: int, base: str) -> dict[str, Any]:
    """Returns a provider as clients are told of it.

    Args:
        provider: the provider.
        version: microversion.
        base: what stands before the paths of links.
    """
    url = f"{base}/resource_providers/{provider.uuid}"
    links = [{"rel": "self", "href": url}]
    links += [{"rel": rel, "href": f"{url}/{rel}"} for rel, since in _LINKS if version >= since]
    document: dict[str, Any] = {
        "uuid": provider.uuid,
        "name": provider.name,
        "generation": provider.generation,
        "links": links,
    }
    if version >= _PARENTS:
        document["parent_provider_uuid"] = provider.parent
        document["root_provider_uuid"] = provider.root
    return document


def inventory_document(inventory: Inventory, generation: int = 0) -> dict[str, Any]:
    """Returns an inventory as clients are told of it.

    Args:
        inventory: the inventory.
        generation: of its provider; 0 is left out, as the reference leaves it out.
    """
    document: dict[str, Any] = {
        "total": inventory.total,
        "reserved": inventory.reserved,
        "min_unit": inventory.min_unit,
        "max_unit": inventory.max_unit,
        "step_size": inventory.step_size,
        "allocation_ratio": inventory.allocation_ratio,
    }
    if generation:
        document["resource_provider_generation"] = generation
    return document


def inventories_document(inventories: Mapping[str, Inventory], generation: int) -> dict[str, Any]:
    """Returns all inventories of a provider as clients are told of them."""
    return {
        "resource_provider_generation": generation,
        "inventories": {name: inventory_document(inventory) for name, inventory in inventories.items()},
    }


def consumer_document(consumer: Consumer | None, generations: Mapping[str, int], version: int) -> dict[str, Any]:
    """Returns the allocations of a consumer as clients are told of them.

    Args:
        consumer: None where there is none.
        generations: of the providers.
        version: microversion.
    """
    if consumer is None:
        return {"allocations": {}}
    document: dict[str, Any] = {
        "allocations": {
            uuid: {"resources": resources, "generation": generations.get(uuid, 0)}
            for uuid, resources in consumer.allocations.items()
        }
    }
    if version >= _OWNERS:
        document["project_id"] = consumer.project
        document["user_id"] = consumer.user
    if version >= _CONSUMER_GENERATIONS:
        document["consumer_generation"] = consumer.generation
    if version >= _CONSUMER_TYPES:
        document["consumer_type"] = consumer.type
    return document


def holders_document(
    held: Iterable[tuple[str, Mapping[str, int], int]], generation: int, version: int
) -> dict[str, Any]:
    """Returns what consumers have of a provider as clients are told of it.

    Args:
        held: uuid, amounts and generation of each consumer.
        generation: of the provider.
        version: microversion.
    """
    allocations: dict[str, Any] = {}
    for uuid, resources, consumer_generation in held:
        allocations[uuid] = {"resources": resources}
        if version >= _CONSUMER_GENERATIONS:
            allocations[uuid]["consumer_generation"] = consumer_generation
    return {"allocations": allocations, "resource_provider_generation": generation}


def usages_document(uses: Mapping[tuple[str, str, str], int], user: str | None) -> dict[str, Any]:
    """Returns what a project uses, by class.

    Args:
        uses: by user, consumer type and class.
        user: only this one's; None: everybody's.
    """
    total: dict[str, int] = {}
    for (owner, _, resource_class), amount in uses.items():
        if user is None or owner == user:
            total[resource_class] = total.get(resource_class, 0) + amount
    return {"usages": total}


def usages_by_type_document(
    uses: Mapping[tuple[str, str, str], int],
    consumers: Mapping[tuple[str, str, str], int],
    *,
    user: str | None,
    consumer_type: str | None,
) -> dict[str, Any]:
    """Returns what a project uses, by consumer type and class, with the number of consumers (1.38).

    Args:
        uses: by user, consumer type and class.
        consumers: how many there are, by user, consumer type and an empty class.
        user: only this one's; None: everybody's.
        consumer_type: only this one; ``all`` puts all of them together; None: each by itself.
    """
    usages: dict[str, dict[str, int]] = {}
    for kind, counted in (("", uses), ("consumer_count", consumers)):
        for (owner, owned_as, resource_class), amount in counted.items():
            if user not in {None, owner} or consumer_type not in {None, "all", owned_as}:
                continue
            of_type = usages.setdefault("all" if consumer_type == "all" else owned_as, {})
            name = kind or resource_class
            of_type[name] = of_type.get(name, 0) + amount
    return {"usages": usages}
