"""Attribute values for property tests, and their meaning in Python's own types.

The values are few and alike, so that equal ones, prefixes and members of each other come up often.
"""

from __future__ import annotations

import base64
from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tenet.tables.model import AttributeValue, Item
from tenet.tables.rules.attributes import check_item

STRINGS = ("", "a", "b", "ab", "ba", "é", "ab\U0001f600")
NUMBERS = ("0", "-0.0", "1", "1.0", "2", "-1", "10", "1e1", "0.5", "1e40", "-2.50")
BINARIES = tuple(base64.b64encode(data).decode() for data in (b"", b"a", b"b", b"ab", b"\xff", b"\x00a"))
NAMES = ("a", "b", "c", "dd")


@cache
def scalars() -> st.SearchStrategy[AttributeValue]:
    return st.one_of(
        st.sampled_from(STRINGS).map(lambda text: {"S": text}),
        st.sampled_from(NUMBERS).map(lambda text: {"N": text}),
        st.sampled_from(BINARIES).map(lambda text: {"B": text}),
    )


@cache
def sets() -> st.SearchStrategy[AttributeValue]:
    return st.one_of(
        st.lists(st.sampled_from(STRINGS), min_size=1, max_size=3, unique=True).map(lambda some: {"SS": some}),
        st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3, unique_by=Decimal).map(lambda some: {"NS": some}),
        st.lists(st.sampled_from(BINARIES), min_size=1, max_size=3, unique=True).map(lambda some: {"BS": some}),
    )


@cache
def values() -> st.SearchStrategy[AttributeValue]:
    """Valid values as clients write them, not yet canonical."""
    leaves = st.one_of(scalars(), sets(), st.booleans().map(lambda flag: {"BOOL": flag}), st.just({"NULL": True}))
    return st.recursive(leaves, lambda inner: lists(inner) | maps(inner), max_leaves=5)


def lists(inner: st.SearchStrategy[AttributeValue]) -> st.SearchStrategy[AttributeValue]:
    return st.lists(inner, max_size=3).map(lambda some: {"L": some})


def maps(inner: st.SearchStrategy[AttributeValue]) -> st.SearchStrategy[AttributeValue]:
    return st.dictionaries(st.sampled_from(NAMES), inner, max_size=3).map(lambda some: {"M": some})


@cache
def items() -> st.SearchStrategy[Item]:
    """Items as they lie in the store."""
    return st.dictionaries(st.sampled_from(NAMES), values(), max_size=4).map(canonical)


def canonical(item: Item) -> Item:
    check_item(item)
    return item


def meaning(value: AttributeValue) -> tuple[str, Any]:
    """What a value means, with its type: numbers as decimals, binaries as bytes, sets as sets."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return kind, Decimal(content)
        case "B":
            return kind, base64.b64decode(content)
        case "SS":
            return kind, frozenset(content)
        case "NS":
            return kind, frozenset(map(Decimal, content))
        case "BS":
            return kind, frozenset(map(base64.b64decode, content))
        case "L":
            return kind, [meaning(element) for element in content]
        case "M":
            return kind, {name: meaning(member) for name, member in content.items()}
        case _:
            return kind, content
