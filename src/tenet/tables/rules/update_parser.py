"""Parses update and projection expressions.

Source: "Update expressions" and "Projection expressions" of the Developer Guide; which token an error names, as the
peer DynamoDB Local 3.3 shows, whose parser is the service's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

from tenet.tables.errors import ValidationException
from tenet.tables.rules.lexer import Lexer, TokenKind
from tenet.tables.rules.operand_parser import (
    REDUNDANT_PARENTHESES,
    parse_bare_operand,
    parse_operand,
    parse_path,
    parse_value_name,
)
from tenet.tables.rules.syntax_tree import (
    AddAction,
    Arithmetic,
    DeleteAction,
    Operand,
    Path,
    RemoveAction,
    SetAction,
    UpdateAction,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def parse_projection(text: str) -> tuple[Path, ...]:
    """Parses a projection: paths joined by commas.

    Args:
        text: not empty, at most 4,096 bytes.

    Raises:
        ValidationException: the text is no projection.
    """
    lexer = Lexer(text)
    paths = [parse_path(lexer)]
    while lexer.accept(","):
        paths.append(parse_path(lexer))
    if lexer.kind is not TokenKind.END:
        raise lexer.error()
    return tuple(paths)


def parse_update(text: str) -> tuple[UpdateAction, ...]:
    """Parses an update: sections of SET, REMOVE, ADD and DELETE, each at most once, in any order.

    Args:
        text: not empty, at most 4,096 bytes.

    Raises:
        ValidationException: the text is no update.
    """
    lexer = Lexer(text)
    actions: list[UpdateAction] = []
    sections: list[str] = []
    while lexer.kind is not TokenKind.END or not sections:
        if not lexer.is_at(*_ACTIONS):
            raise lexer.error()
        sections.append(lexer.advance())
        parse_action = _ACTIONS[sections[-1]]
        actions.append(parse_action(lexer))
        while lexer.accept(","):
            actions.append(parse_action(lexer))
    for section in sections:
        if sections.count(section) > 1:
            raise ValidationException(f'The "{section}" section can only be used once in an update expression;')
    return tuple(actions)


def _parse_set(lexer: Lexer) -> SetAction:
    path = parse_path(lexer)
    lexer.expect("=")
    return SetAction(path, _parse_set_value(lexer))


def _parse_set_value(lexer: Lexer) -> Operand:
    """Parses an operand, or two that are added or subtracted; parentheses may stand around the whole and the first."""
    open_count = 0
    while lexer.accept("("):
        open_count += 1
    value = parse_bare_operand(lexer)
    parenthesized = False
    while True:
        if lexer.is_at("+", "-") and not isinstance(value, Arithmetic):
            operator = cast("Literal['+', '-']", lexer.advance())
            value = Arithmetic(operator, value, parse_operand(lexer))
            parenthesized = False
        elif open_count and lexer.accept(")"):
            if parenthesized:
                raise ValidationException(REDUNDANT_PARENTHESES)
            parenthesized = True
            open_count -= 1
        elif open_count:
            raise lexer.error()
        else:
            return value


def _parse_remove(lexer: Lexer) -> RemoveAction:
    return RemoveAction(parse_path(lexer))


def _parse_add(lexer: Lexer) -> AddAction:
    return AddAction(parse_path(lexer), parse_value_name(lexer))


def _parse_delete(lexer: Lexer) -> DeleteAction:
    return DeleteAction(parse_path(lexer), parse_value_name(lexer))


_ACTIONS: Final[dict[str, Callable[[Lexer], UpdateAction]]] = {
    "SET": _parse_set,
    "REMOVE": _parse_remove,
    "ADD": _parse_add,
    "DELETE": _parse_delete,
}
