"""How canonical attribute values compare.

Values are equal exactly when they are equal in Python: ``attributes`` has made numbers, sets and binaries canonical.
The order is that of numbers, of UTF-8 bytes and of bytes; values of different types, and of other types, have none.

Source: "Comparison operator and function reference" of the Developer Guide.
"""

from __future__ import annotations

import operator
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, Final

from tenet.tables.rules import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.tables.model import AttributeValue

#: The types that have an order.
ORDERED_KINDS: Final = frozenset(("S", "N", "B"))
#: The types of sets with the type of their elements.
ELEMENT_KINDS: Final = {"SS": "S", "NS": "N", "BS": "B"}
#: The order comparators.
ORDER_TESTS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def kind_of(value: AttributeValue) -> str:
    """Returns the type of a canonical value, for instance ``S``."""
    return next(iter(value))


def ordinal(kind: str, content: Any) -> Any:
    """Returns what stands for the content of an ordered type in comparisons."""
    if kind == "N":
        return numbers.value(content)
    # Python orders texts by code points, which is the order of their UTF-8 bytes.
    return a2b_base64(content) if kind == "B" else content


def are_ordered(test: Callable[[Any, Any], bool], left: AttributeValue, right: AttributeValue) -> bool:
    """Whether two values have an order, and it passes the test."""
    ((kind, left_content),) = left.items()
    right_content = right.get(kind)
    if right_content is None or kind not in ORDERED_KINDS:
        return False
    return test(ordinal(kind, left_content), ordinal(kind, right_content))


def is_between(value: AttributeValue, lower: AttributeValue, upper: AttributeValue) -> bool:
    """Whether a value lies between two others of its type, ends included."""
    return are_ordered(operator.ge, value, lower) and are_ordered(operator.le, value, upper)


def begins_with(value: AttributeValue, prefix: AttributeValue) -> bool:
    """Whether a string or binary begins with another one."""
    ((kind, content),) = value.items()
    beginning = prefix.get(kind)
    if beginning is None:
        return False
    if kind == "S":
        return bool(content.startswith(beginning))
    return kind == "B" and a2b_base64(content).startswith(a2b_base64(beginning))


def contains(container: AttributeValue, part: AttributeValue) -> bool:
    """Whether a string or binary contains another one, a set an element, or a list a value."""
    ((kind, content),) = container.items()
    if kind == "L":
        return part in content
    ((part_kind, part_content),) = part.items()
    if kind == part_kind == "S":
        return part_content in content
    if kind == part_kind == "B":
        return a2b_base64(part_content) in a2b_base64(content)
    return ELEMENT_KINDS.get(kind) == part_kind and part_content in content


def size(value: AttributeValue) -> int | None:
    """Returns the size of a value as the function ``size`` counts it; None for types that have none.

    Strings count UTF-16 code units (as the peer dynoxide 1.5 captured), binaries bytes, all others their elements.
    """
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content) if content.isascii() else len(content.encode("utf-16-le")) // 2
    if kind == "B":
        return len(a2b_base64(content))
    return len(content) if kind in _COUNTED_KINDS else None


_COUNTED_KINDS: Final = frozenset(("SS", "NS", "BS", "L", "M"))
