"""Inventories: what a request says of them, and what is written when a provider gets others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tenet.placement import keys
from tenet.placement.errors import BadRequest
from tenet.placement.model import Inventory, Provider
from tenet.placement.rules.snapshots import Snapshot
from tenet.placement.rules.standard_names import class_rank
from tenet.placement.rules.stored import encode_inventory
from tenet.store.contract import Add, Delete, Put, Write

#: From which microversion on everything may be kept back.
_RESERVED_CAN_BE_TOTAL: Final = 26
_FIELDS: Final = ("total", "reserved", "min_unit", "max_unit", "step_size", "allocation_ratio")


def read_inventory(data: Mapping[str, Any]) -> Inventory:
    """Returns the inventory that a body says, which fits its schema; what it leaves out has the defaults."""
    return Inventory(**{field: data[field] for field in _FIELDS if field in data})


def capacity_problem(uuid: str, inventories: Mapping[str, Inventory], version: int) -> str:
    """Returns what is wrong with the capacity of inventories; empty where nothing is.

    Args:
        uuid: of the provider.
        inventories: by resource class.
        version: microversion.
    """
    least, words = (0, "greater than") if version >= _RESERVED_CAN_BE_TOTAL else (1, "greater than or equal to")
    for name, inventory in inventories.items():
        if inventory.capacity < least:
            return f"Invalid inventory for '{name}' on resource provider '{uuid}'. The reserved value is {words} total."
    return ""


def check_capacity(action: str, uuid: str, inventories: Mapping[str, Inventory], version: int) -> None:
    """Refuses inventories that have no capacity.

    Args:
        action: ``create`` or ``update``.
        uuid: of the provider.
        inventories: by resource class.
        version: microversion.

    Raises:
        BadRequest: one has none.
    """
    problem = capacity_problem(uuid, inventories, version)
    if problem:
        raise BadRequest(f"Unable to {action} inventory for resource provider {uuid}: {problem}")


def in_use(classes: Iterable[str], uuid: str) -> str:
    """Returns how the service says that inventories are in use."""
    return f"Inventory for '{', '.join(sorted(classes, key=class_rank))}' on resource provider '{uuid}' in use."


def inventory_writes(
    snapshot: Snapshot, after: Mapping[str, Inventory], now_ms: int, *, generations: int = 1
) -> list[Write]:
    """Returns the writes that give a provider other inventories, without those of names.

    The count of inventory changes is raised from what was read: it fails where somebody else changed one. Where one is
    taken away nothing may be in use of it, which is so while the generation is what was read.

    Args:
        snapshot: the provider as it is.
        after: all inventories that it has then, by resource class.
        now_ms: milliseconds since 1970.
        generations: by how much the generation rises; 0: somebody else writes it.
    """
    uuid, counts = snapshot.uuid, keys.counts_key(snapshot.uuid)
    revision = snapshot.revision + 1
    writes: list[Write] = [Add(counts, keys.INVENTORIES, 1, at_least=revision, at_most=revision)]
    if generations:
        writes.append(generation_write(snapshot, generations))
    for name, inventory in after.items():
        if snapshot.inventories.get(name) != inventory:
            value = encode_inventory(inventory, now_ms, snapshot.used.get(name, 0))
            writes.append(Put(keys.inventory_key(uuid, name), value))
    for name in snapshot.inventories:
        if name not in after:
            writes += [Delete(keys.inventory_key(uuid, name)), Delete(keys.used_key(uuid, name))]
    return writes


def generation_write(snapshot: Snapshot | Provider, by: int = 1, *, is_exact: bool = True) -> Write:
    """Returns the write that raises the generation of a provider.

    Args:
        snapshot: the provider as it was read.
        by: how much.
        is_exact: whether it fails where the generation is another one by now.
    """
    to = snapshot.generation + by if is_exact else None
    return Add(keys.counts_key(snapshot.uuid), keys.GENERATION, by, at_least=to, at_most=to)
