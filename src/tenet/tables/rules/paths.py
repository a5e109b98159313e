"""Document paths: how they are shown, read and compared.

A resolved path is a tuple of attribute names and list indexes, a name first: ``("a", "b", 0)`` for ``a.b[0]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tenet.tables.errors import ValidationException

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.model import AttributeValue, Item

ResolvedPath: TypeAlias = tuple[str | int, ...]


def show(path: ResolvedPath) -> str:
    """Returns a path as errors show it: ``[a, b, [0]]``."""
    return "[" + ", ".join(f"[{element}]" if isinstance(element, int) else element for element in path) + "]"


def read(item: Item, path: ResolvedPath) -> AttributeValue | None:
    """Returns what lies at a path, or None where nothing does."""
    value: AttributeValue | None = item.get(path[0])  # type: ignore[arg-type]
    for element in path[1:]:
        if value is None:
            return None
        if isinstance(element, int):
            elements: Sequence[AttributeValue] = value.get("L", ())
            value = elements[element] if element < len(elements) else None
        else:
            members: Item | None = value.get("M")
            value = None if members is None else members.get(element)
    return value


class _Reached:
    """Where paths of one beginning go on."""

    __slots__ = ("next", "path")

    def __init__(self) -> None:
        #: The first path that ends here, if one does.
        self.path: ResolvedPath | None = None
        self.next: dict[str | int, _Reached] = {}

    def any_path(self) -> ResolvedPath:
        """Returns a path that ends here or further on."""
        node = self
        while node.path is None:
            node = next(iter(node.next.values()))
        return node.path


def check_apart(paths: Sequence[ResolvedPath]) -> None:
    """Checks that paths can be written side by side: each leads elsewhere, and all agree on what is a list.

    Raises:
        ValidationException: one is, or leads into, what another one names; or what one indexes, another takes as a map.
    """
    if len(paths) == len({path[0] for path in paths}):
        return
    root = _Reached()
    for path in paths:
        node = root
        for element in path:
            if node.path is not None:
                _refuse("overlap", node.path, path)
            node = node.next.setdefault(element, _Reached())
        if node.path is not None or node.next:
            _refuse("overlap", node.any_path(), path)
        node.path = path
    _check_kinds(paths)


def _check_kinds(paths: Sequence[ResolvedPath]) -> None:
    """Checks that no two paths go on from the same place in different ways."""
    first_by_place: dict[ResolvedPath, ResolvedPath] = {}
    for path in paths:
        for length in range(1, len(path)):
            first = first_by_place.setdefault(path[:length], path)
            if isinstance(first[length], int) is not isinstance(path[length], int):
                _refuse("conflict", first, path)


def _refuse(how: str, one: ResolvedPath, two: ResolvedPath) -> None:
    raise ValidationException(
        f"Two document paths {how} with each other; must remove or rewrite one of these paths; "
        f"path one: {show(one)}, path two: {show(two)}"
    )
