"""Parses what all expressions share: document paths, and operands with functions and parentheses.

Nothing here recurses, so that an expression may nest as deep as its 4 KB go.
"""

from __future__ import annotations

from typing import Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.lexer import Lexer, TokenKind
from tenet.tables.rules.syntax_tree import Call, Operand, Path, ValueName

REDUNDANT_PARENTHESES: Final = "The expression has redundant parentheses;"
_INDEX_MAX: Final = 2**31 - 1
_INDEX_DIGITS_MAX: Final = 10


def parse_path(lexer: Lexer) -> Path:
    """Parses a document path: names joined by dots, list indexes in brackets.

    Raises:
        ValidationException: there is none, or an index is beyond 2,147,483,647.
    """
    elements: list[str | int] = [_name(lexer)]
    while True:
        if lexer.accept("."):
            elements.append(_name(lexer))
        elif lexer.accept("["):
            elements.append(_index(lexer))
        else:
            return Path(tuple(elements))


def _name(lexer: Lexer) -> str:
    if lexer.kind not in (TokenKind.IDENTIFIER, TokenKind.NAME):
        raise lexer.error()
    return lexer.advance()


def _index(lexer: Lexer) -> int:
    if lexer.kind is not TokenKind.NUMBER:
        raise lexer.error()
    digits = lexer.advance()
    if len(digits) > _INDEX_DIGITS_MAX or int(digits) > _INDEX_MAX:
        raise ValidationException(f"List index is not within the allowable range; index: [{digits}]")
    lexer.expect("]")
    return int(digits)


def parse_value_name(lexer: Lexer) -> ValueName:
    """Parses a value's placeholder.

    Raises:
        ValidationException: there is none.
    """
    if lexer.kind is not TokenKind.VALUE:
        raise lexer.error()
    return ValueName(lexer.advance())


class _OpenCall:
    """A function whose operands are being parsed."""

    __slots__ = ("function", "operands")

    def __init__(self, function: str) -> None:
        self.function = function
        self.operands: list[Operand] = []


def parse_operand(lexer: Lexer) -> Operand:
    """Parses an operand: a path, a value, a function, or one of them in parentheses.

    Raises:
        ValidationException: there is none, or it stands in more than one pair of parentheses.
    """
    # What is open around the operand that comes next: a call, or (None) a parenthesis.
    opened: list[_OpenCall | None] = []
    while True:
        operand = _open(lexer, opened)
        if operand is not None:
            closed = _close(lexer, opened, operand)
            if closed is not None:
                return closed


def parse_bare_operand(lexer: Lexer) -> Operand:
    """Parses an operand that begins with neither a parenthesis nor a keyword.

    Raises:
        ValidationException: there is none.
    """
    if lexer.kind is TokenKind.SYMBOL:
        raise lexer.error()
    return parse_operand(lexer)


def _open(lexer: Lexer, opened: list[_OpenCall | None]) -> Operand | None:
    """Parses a path or a value; or the beginning of a function or a parenthesis, and returns None."""
    if lexer.accept("("):
        opened.append(None)
        return None
    if lexer.kind is TokenKind.VALUE:
        return parse_value_name(lexer)
    if lexer.kind is TokenKind.IDENTIFIER and lexer.is_followed_by("("):
        opened.append(_OpenCall(lexer.advance()))
        lexer.advance()
        return None
    return parse_path(lexer)


def _close(lexer: Lexer, opened: list[_OpenCall | None], operand: Operand) -> Operand | None:
    """Ends what an operand ends; returns the whole operand, or None where another one must follow."""
    parenthesized = False
    while opened:
        call = opened[-1]
        if call is None:
            lexer.expect(")")
            if parenthesized:
                raise ValidationException(REDUNDANT_PARENTHESES)
            parenthesized = True
        else:
            call.operands.append(operand)
            if lexer.accept(","):
                return None
            lexer.expect(")")
            operand = Call(call.function, tuple(call.operands))
            parenthesized = False
        opened.pop()
    return operand
