"""Carries out changes at paths of an item, all at once and on a copy."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

from tenet.tables.errors import ValidationException
from tenet.tables.rules.attributes import LEVELS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.model import AttributeValue, Item
    from tenet.tables.rules.paths import ResolvedPath


class Change(Enum):
    """What can become of an attribute beside a new value."""

    REMOVED = "removed"


REMOVED: Final = Change.REMOVED

#: What becomes of the members of a container: a value, REMOVED, or again a tree.
_Tree = dict[str | int, Any]


class _Within(dict[str | int, Any]):
    """Changes within an attribute, in contrast to an attribute value."""

    __slots__ = ()


def changed_item(item: Item, changes: Sequence[tuple[ResolvedPath, AttributeValue | Change]]) -> Item:
    """Returns an item with changes; `item` itself and all that lies in it stay as they are.

    Args:
        item: the item.
        changes: new values or ``REMOVED`` by path; no path leads into another one, and what each leads into exists.
    """
    root = _Within()
    for path, value in changes:
        node = root
        for element in path[:-1]:
            node = node.setdefault(element, _Within())
        node[path[-1]] = value
    return _changed_members(item, root)


def _changed_members(members: Item, changes: _Within) -> Item:
    new = dict(members)
    for name, change in cast("dict[str, Any]", changes).items():
        if change is REMOVED:
            new.pop(name, None)
        elif isinstance(change, _Within):
            new[name] = _changed_value(members[name], change)
        else:
            new[name] = change
    return new


def _changed_value(value: AttributeValue, changes: _Within) -> AttributeValue:
    if "M" in value:
        return {"M": _changed_members(value["M"], changes)}
    return {"L": _changed_elements(value["L"], changes)}


def _changed_elements(elements: list[AttributeValue], changes: _Within) -> list[AttributeValue]:
    """Returns a list with changes by the indexes of the old one; what lies beyond its end is appended in order."""
    new: list[AttributeValue | Change] = list(elements)
    for index, change in sorted(cast("dict[int, Any]", changes).items()):
        if isinstance(change, _Within):
            new[index] = _changed_value(elements[index], change)
        elif index < len(elements):
            new[index] = change
        else:
            new.append(change)
    return [element for element in new if not isinstance(element, Change)]


def check_levels(path: ResolvedPath, value: AttributeValue | Change) -> None:
    """Checks that a value does not nest too deep at its new place.

    Raises:
        ValidationException: lists and maps would nest deeper than 32 levels.
    """
    levels = len(path)
    within = [value] if isinstance(value, dict) else []
    while within := [part for outer in within for part in _parts(outer)]:
        levels += 1
        if levels > LEVELS_MAX:
            raise ValidationException("Nesting Levels have exceeded supported limits")


def _parts(value: AttributeValue) -> list[AttributeValue]:
    if "L" in value:
        return list(value["L"])
    return list(value["M"].values()) if "M" in value else []
