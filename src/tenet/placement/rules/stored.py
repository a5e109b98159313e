"""What is stored of providers, inventories, allocations and consumers, as bytes.

Every value begins with a byte of format; MessagePack follows. Structs are arrays, to whose ends fields may be added.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from tenet.placement.model import Consumer, Inventory, Reservation
from tenet.store.formats import decode_marked

FORMAT: Final = b"\x01"


class Description(Struct, frozen=True, array_like=True):
    """What is stored of a provider beside its counts.

    Args:
        name: unique, 1 to 200 characters.
        parent: uuid of the provider that it is a part of; empty at the top of a tree. The top itself is not stored: a
            tree that gets another parent is one write, however large it is.
        traits: names, in order.
        aggregates: uuids, in the order given.
        created_ms: milliseconds since 1970.
        updated_ms: milliseconds since 1970.
    """

    name: str
    parent: str = ""
    traits: tuple[str, ...] = ()
    aggregates: tuple[str, ...] = ()
    created_ms: int = 0
    updated_ms: int = 0


class StoredInventory(Struct, frozen=True, array_like=True):
    """An inventory, and when it was last changed.

    Args:
        updated_ms: milliseconds since 1970.
        used_then: what was in use when it was written, at most. What is in use is never above the larger one of this
            and the capacity: nothing else shows whether an inventory was made smaller or something was given out twice.
    """

    total: int
    reserved: int
    min_unit: int
    max_unit: int
    step_size: int
    allocation_ratio: float
    updated_ms: int = 0
    used_then: int = 0


class Held(Struct, frozen=True, array_like=True):
    """What a consumer has of a provider.

    Args:
        resources: amounts by resource class.
        generation: of the consumer.
        updated_ms: milliseconds since 1970.
    """

    resources: dict[str, int]
    generation: int
    updated_ms: int = 0


class StoredConsumer(Struct, frozen=True, array_like=True):
    """A consumer; its uuid is its key. Fields as in ``Consumer``."""

    project: str
    user: str
    type: str
    generation: int
    allocations: dict[str, dict[str, int]]
    updated_ms: int = 0
    reserved: Reservation | None = None


_encoder: Final = msgspec.msgpack.Encoder()
_descriptions: Final = msgspec.msgpack.Decoder(Description)
_inventories: Final = msgspec.msgpack.Decoder(StoredInventory)
_held: Final = msgspec.msgpack.Decoder(Held)
_consumers: Final = msgspec.msgpack.Decoder(StoredConsumer)


def encode_description(description: Description) -> bytes:
    """Returns the stored form of a provider's description."""
    return FORMAT + _encoder.encode(description)


def decode_description(value: bytes) -> Description:
    """Returns a provider's description.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    return decode_marked(value, _descriptions, "a provider's description", mark=FORMAT)


def encode_inventory(inventory: Inventory, updated_ms: int, used_then: int = 0) -> bytes:
    """Returns the stored form of an inventory that was changed at `updated_ms`, when `used_then` was in use at most."""
    return FORMAT + _encoder.encode(
        StoredInventory(
            inventory.total,
            inventory.reserved,
            inventory.min_unit,
            inventory.max_unit,
            inventory.step_size,
            float(inventory.allocation_ratio),
            updated_ms,
            used_then,
        )
    )


def decode_used_then(value: bytes) -> int:
    """Returns what was in use, at most, when an inventory was last changed.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    return decode_marked(value, _inventories, "an inventory", mark=FORMAT).used_then


def decode_inventory(value: bytes) -> tuple[Inventory, int]:
    """Returns an inventory, and when it was last changed.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    found = decode_marked(value, _inventories, "an inventory", mark=FORMAT)
    inventory = Inventory(
        found.total, found.reserved, found.min_unit, found.max_unit, found.step_size, found.allocation_ratio
    )
    return inventory, found.updated_ms


def encode_held(held: Held) -> bytes:
    """Returns the stored form of what a consumer has of a provider."""
    return FORMAT + _encoder.encode(held)


def decode_held(value: bytes) -> Held:
    """Returns what a consumer has of a provider.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    return decode_marked(value, _held, "an allocation", mark=FORMAT)


def encode_consumer(consumer: Consumer) -> bytes:
    """Returns the stored form of a consumer."""
    return FORMAT + _encoder.encode(
        StoredConsumer(
            consumer.project,
            consumer.user,
            consumer.type,
            consumer.generation,
            consumer.allocations,
            consumer.updated_ms,
            consumer.reserved,
        )
    )


def decode_consumer(uuid: str, value: bytes) -> Consumer:
    """Returns a consumer.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    found = decode_marked(value, _consumers, "a consumer", mark=FORMAT)
    return Consumer(
        uuid,
        found.project,
        found.user,
        found.type,
        found.generation,
        found.allocations,
        found.updated_ms,
        found.reserved,
    )
