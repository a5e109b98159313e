"""How an item lies in the store: a small header, then the very bytes that go over the wire.

``format (1 byte) | size in bytes by the service's rules (3 bytes, big-endian) | the item as compact JSON``. A read that
neither filters nor projects splices the JSON into its answer and decodes nothing. JSON that is too long for a record
(400 KB of control characters are 2.4 MB of it) is kept compressed, as another format; and index entries that would make
a commit too large hold their keys alone, as a third.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, cast

import orjson

from tenet.store.contract import Limits
from tenet.store.formats import refuse_later

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.model import Item

#: The first byte of a stored item says how the JSON behind the header is kept.
PLAIN: Final = 1
DEFLATED: Final = 2
#: An index entry that holds the keys alone; the rest is in the item that it stands for.
REFERENCE: Final = 3
HEADER_BYTES: Final = 4
_JSON_BYTES_MAX: Final = Limits.value_bytes_max - HEADER_BYTES


def encode(item: Item, size: int) -> bytes:
    """Returns the stored form of an item.

    Args:
        item: valid and canonical.
        size: its size in bytes by the service's rules, below 2**24.
    """
    json = orjson.dumps(item)
    if len(json) > _JSON_BYTES_MAX:
        return (DEFLATED << 24 | size).to_bytes(HEADER_BYTES, "big") + zlib.compress(json, 1)
    return (PLAIN << 24 | size).to_bytes(HEADER_BYTES, "big") + json


def deflated(value: bytes) -> bytes:
    """Returns the compressed form of a stored item."""
    if value[0] != PLAIN:
        return value
    return bytes((DEFLATED,)) + value[1:HEADER_BYTES] + zlib.compress(value[HEADER_BYTES:], 1)


def encode_reference(keys: Item, size: int) -> bytes:
    """Returns the stored form of an index entry that holds its keys alone.

    Args:
        keys: the key attributes of table and index.
        size: the bytes of the whole entry by the service's rules.
    """
    return (REFERENCE << 24 | size).to_bytes(HEADER_BYTES, "big") + orjson.dumps(keys)


def is_reference(value: bytes) -> bool:
    """Whether a value is an index entry that holds its keys alone."""
    return value[0] == REFERENCE


def json_of(value: bytes) -> bytes:
    """Returns the item's JSON.

    Raises:
        StoreOfLaterVersion: a later version wrote it, in a format that this one does not know.
    """
    if value[0] != DEFLATED:
        if value[0] != PLAIN:
            refuse_later("a stored item", value[0], REFERENCE)
        return value[HEADER_BYTES:]
    return zlib.decompress(value[HEADER_BYTES:])


def jsons_of(values: Sequence[bytes]) -> list[bytes]:
    """Returns the JSON of many items."""
    if all([value[0] == PLAIN for value in values]):  # noqa: C419 - a generator takes twice the time
        return [value[HEADER_BYTES:] for value in values]
    return [json_of(value) for value in values]


def sizes_of(values: Sequence[bytes]) -> list[int]:
    """Returns the sizes of many items in bytes by the service's rules."""
    from_bytes = int.from_bytes
    return [from_bytes(value[1:HEADER_BYTES], "big") for value in values]


def size_of(value: bytes) -> int:
    """Returns the item's size in bytes by the service's rules."""
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def decode(value: bytes) -> Item:
    """Returns the item."""
    return cast("Item", orjson.loads(json_of(value)))
