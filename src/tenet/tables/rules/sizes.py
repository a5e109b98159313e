"""How many bytes an item counts as, and how many capacity units reading or writing them costs.

Source: "Item sizes and formats" and "Read and write operations: capacity unit consumption" of the Developer Guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.tables.rules import numbers

if TYPE_CHECKING:
    from tenet.tables.model import AttributeValue, Item

READ_UNIT_BYTES: Final = 4 * 1024
WRITE_UNIT_BYTES: Final = 1024


def item_bytes(item: Item) -> int:
    """Returns the size of a canonical item: its attributes' names and values.

    Args:
        item: an item, a key, or the content of a map.
    """
    size = 0
    for name, value in item.items():
        size += len(name) if name.isascii() else len(name.encode())
        ((kind, content),) = value.items()
        if kind == "S":
            size += len(content) if content.isascii() else len(content.encode())
        else:
            size += value_bytes(value)
    return size


def value_bytes(value: AttributeValue) -> int:
    """Returns the size of a canonical attribute value, without a name."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return text_bytes(content)
        case "N":
            return numbers.size_bytes(content)
        case "B":
            return binary_bytes(content)
        case "M":
            return 3 + len(content) + item_bytes(content)
        case "L":
            return 3 + len(content) + sum(map(value_bytes, content))
        case "SS":
            return sum(map(text_bytes, content))
        case "NS":
            return sum(map(numbers.size_bytes, content))
        case "BS":
            return sum(map(binary_bytes, content))
        case _:
            return 1


def text_bytes(text: str) -> int:
    """Returns the length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def binary_bytes(encoded: str) -> int:
    """Returns how many bytes a canonical base64 text stands for."""
    return len(encoded) // 4 * 3 - encoded.count("=", -2) if encoded else 0


def read_units(size_bytes: int, *, consistent: bool = False, transactional: bool = False) -> float:
    """Returns the read capacity units for reading so many bytes at once: a multiple of 0.5, at least for 4 KB.

    Args:
        size_bytes: of an item, or of all items that a query or scan read.
        consistent: whether the read was strongly consistent, which costs twice as much.
        transactional: whether it was part of a transaction, which costs four times as much.
    """
    blocks = max(1, -(-size_bytes // READ_UNIT_BYTES))
    if transactional:
        return float(2 * blocks)
    return float(blocks) if consistent else blocks / 2


def write_units(size_bytes: int, *, transactional: bool = False) -> float:
    """Returns the write capacity units for writing an item of so many bytes, at least those for 1 KB.

    Args:
        size_bytes: the larger one of the item before and after the write.
        transactional: whether it was part of a transaction, which costs twice as much.
    """
    blocks = max(1, -(-size_bytes // WRITE_UNIT_BYTES))
    return float(2 * blocks if transactional else blocks)
