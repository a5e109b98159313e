"""Projections: ``compile_projection`` gives a ``Projection``, whose ``apply`` keeps of an item what was asked for.

The result keeps the item's shape: maps with the members asked for, lists with the elements asked for, in their order
and without gaps. What is not there is left out.

Source: "Projection expressions" of the Developer Guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tenet.tables.errors import ValidationException
from tenet.tables.rules.expressions import compiled_with, parsed_projection, refuse
from tenet.tables.rules.paths import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenet.tables.model import AttributeValue, Item
    from tenet.tables.rules.bindings import Bindings
    from tenet.tables.rules.operand_checks import Check
    from tenet.tables.rules.paths import ResolvedPath
    from tenet.tables.rules.syntax_tree import Path

    #: What is wanted of a container: by name or index, everything (None) or again a part.
    _Wanted = dict[str | int, Any]


class Projection:
    """What is wanted of items.

    Args:
        paths: what is wanted; none leads into another one.
        labels: the paths by the names under which they are answered, where that is not in the item's shape.

    Attributes:
        names: the attributes of which something is wanted.
        nested_names: those of them of which only a part is.
    """

    __slots__ = ("_labels", "_wanted", "names", "nested_names")

    def __init__(self, paths: Iterable[ResolvedPath], labels: Mapping[str, ResolvedPath] | None = None) -> None:
        wanted: _Wanted = {}
        for path in paths:
            node = wanted
            for element in path[:-1]:
                node = node.setdefault(element, {})
            node[path[-1]] = None
        self._wanted = wanted
        self._labels = labels
        self.names = frozenset(cast("dict[str, Any]", wanted))
        self.nested_names = frozenset(name for name in self.names if wanted[name] is not None)

    def apply(self, item: Item) -> Item:
        """Returns what is wanted of an item; its values are shared with the item."""
        if self._labels is not None:
            found = {label: read(item, path) for label, path in self._labels.items()}
            return {label: value for label, value in found.items() if value is not None}
        return _kept_members(item, self._wanted)


def compile_projection(text: str, bindings: Bindings) -> Projection:
    """Compiles a projection.

    Args:
        text: the expression.
        bindings: the request's names, where what the expression uses is noted.

    Raises:
        ValidationException: the expression is not valid.
    """
    try:
        return compiled_with(parsed_projection(text), bindings, _compile)
    except ValidationException as error:
        refuse("ProjectionExpression", error)


def _compile(paths: tuple[Path, ...], bindings: Bindings) -> tuple[list[Check], Projection]:
    return [], Projection(bindings.resolve_apart(paths))


def _kept_members(members: Item, wanted: _Wanted) -> Item:
    kept: Item = {}
    if len(wanted) > len(members):
        # AttributesToGet may have thousands of names; an item has no more attributes than it takes bytes to read.
        wanted = {name: wanted[name] for name in members if name in wanted}
    for name, part in cast("dict[Any, Any]", wanted).items():
        value = members.get(name)
        if value is not None:
            found = value if part is None else _kept_part(value, part)
            if found is not None:
                kept[name] = found
    return kept


def _kept_part(value: AttributeValue, wanted: _Wanted) -> AttributeValue | None:
    """Returns what is wanted of a list or map; None where nothing of it is there."""
    if "M" in value:
        members = _kept_members(value["M"], wanted)
        return {"M": members} if members else None
    elements = _kept_elements(value["L"], wanted) if "L" in value else []
    return {"L": elements} if elements else None


def _kept_elements(elements: list[AttributeValue], wanted: _Wanted) -> list[AttributeValue]:
    kept = []
    indexes = (index for index in wanted if isinstance(index, int) and index < len(elements))
    for index in sorted(indexes):
        part = wanted[index]
        found = elements[index] if part is None else _kept_part(elements[index], part)
        if found is not None:
            kept.append(found)
    return kept
