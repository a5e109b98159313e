"""How many bytes an item counts as.

Source: "Item sizes and formats" of the Developer Guide; numbers as the peer dynoxide 1.5 measured them at the service's
limit of 400 KB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenet.tables.rules import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenet.tables.model import AttributeValue, Item


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


def changed_bytes(old_bytes: int, old: Item, new: Item, names: Iterable[str]) -> int:
    """Returns the size of a canonical item, by what differs from an older state of it.

    Args:
        old_bytes: the size of the older state, 0 where there was no item.
        old: the older state, empty where there was none.
        new: the item.
        names: the attributes that may differ.
    """
    if not old:
        return item_bytes(new)
    size = old_bytes
    for name in names:
        before, after = old.get(name), new.get(name)
        if before is not None and after is not None:
            size += value_bytes(after) - value_bytes(before)
        elif before is not None:
            size -= text_bytes(name) + value_bytes(before)
        elif after is not None:
            size += text_bytes(name) + value_bytes(after)
    return size


def value_bytes(value: AttributeValue) -> int:
    """Returns the size of a canonical attribute value, without a name."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content) if content.isascii() else len(content.encode())
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
