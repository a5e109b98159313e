"""How an item lies in the store: a small header, then the very bytes that go over the wire.

``format (1 byte) | size in bytes by the service's rules (3 bytes, big-endian) | the item as compact JSON``. A read that
neither filters nor projects splices the JSON into its answer and decodes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import orjson

if TYPE_CHECKING:
    from tenet.tables.model import Item

#: The first byte of every stored item; a later layout takes another one.
FORMAT: Final = 1
HEADER_BYTES: Final = 4
_FORMAT_BITS: Final = FORMAT << 24


def encode(item: Item, size: int) -> bytes:
    """Returns the stored form of an item.

    Args:
        item: valid and canonical.
        size: its size in bytes by the service's rules, below 2**24.
    """
    return (_FORMAT_BITS | size).to_bytes(HEADER_BYTES, "big") + orjson.dumps(item)


def json_of(value: bytes) -> bytes:
    """Returns the item's JSON."""
    return value[HEADER_BYTES:]


def size_of(value: bytes) -> int:
    """Returns the item's size in bytes by the service's rules."""
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def decode(value: bytes) -> Item:
    """Returns the item."""
    return cast("Item", orjson.loads(value[HEADER_BYTES:]))
