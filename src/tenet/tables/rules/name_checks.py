"""Checks of a parsed expression that need neither the names nor the values of the request.

They come in the order of the text, so that the first fault is named: functions that do not exist or do not belong
there, and attribute names that are reserved words. Kept with the parsed expression, they are made once.

Source of texts and order: the peer DynamoDB Local 3.3, whose parser is the service's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.reserved_words import is_reserved
from tenet.tables.rules.syntax_tree import And, Call, Not, Or, Path, SetAction, Tree, in_order

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The functions that are conditions.
TEST_FUNCTIONS: Final = frozenset(
    ("attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains")
)
_CONDITION_FUNCTIONS: Final = TEST_FUNCTIONS | {"size"}
_UPDATE_FUNCTIONS: Final = frozenset(("if_not_exists", "list_append"))


def check_condition_names(tree: Tree) -> None:
    """Checks the functions and names of a condition.

    Raises:
        ValidationException: the first fault.
    """
    for node, used_as_condition in _with_use(tree):
        if isinstance(node, Call):
            _check_known(node.function, _CONDITION_FUNCTIONS, "a condition")
            if (node.function in TEST_FUNCTIONS) is not used_as_condition:
                raise _misused(node.function)
        elif isinstance(node, Path):
            _check_path(node)


def check_update_names(actions: Iterable[Tree]) -> None:
    """Checks the functions and names of an update's actions.

    Raises:
        ValidationException: the first fault.
    """
    for action in actions:
        whole = action.value if isinstance(action, SetAction) else None
        for node in in_order(action):
            if isinstance(node, Call):
                _check_known(node.function, _UPDATE_FUNCTIONS, "an update")
                if node.function == "list_append" and node is not whole:
                    raise _misused(node.function)
            elif isinstance(node, Path):
                _check_path(node)


def check_projection_names(paths: Iterable[Path]) -> None:
    """Checks the names of a projection.

    Raises:
        ValidationException: the first reserved word.
    """
    for path in paths:
        _check_path(path)


def _misused(function: str) -> ValidationException:
    """Returns the error for a function that is a condition where an operand belongs, or the other way round."""
    return ValidationException(
        f"The function is not allowed to be used this way in an expression; function: {function}"
    )


def _with_use(tree: Tree) -> Iterable[tuple[Tree, bool]]:
    """Yields a condition and its parts in order, each with whether it stands as a condition."""
    conditions = {id(tree)}
    for node in in_order(tree):
        if isinstance(node, And | Or):
            conditions.update(map(id, node.conditions))
        elif isinstance(node, Not):
            conditions.add(id(node.condition))
        yield node, id(node) in conditions


def _check_known(function: str, allowed: frozenset[str], place: str) -> None:
    if function in allowed:
        return
    if function in _CONDITION_FUNCTIONS or function in _UPDATE_FUNCTIONS:
        raise ValidationException(f"The function is not allowed in {place} expression; function: {function}")
    raise ValidationException(f"Invalid function name; function: {function}")


def _check_path(path: Path) -> None:
    for element in path.elements:
        if isinstance(element, str) and is_reserved(element):
            raise ValidationException(f"Attribute name is a reserved keyword; reserved keyword: {element}")
