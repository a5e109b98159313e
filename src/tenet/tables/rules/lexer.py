"""Cuts an expression into tokens, and says what is wrong at one of them.

The lexicon, as the service's own parser shows it in its errors: names begin with a letter; placeholders are ``#`` or
``:`` and at least one letter, digit or underscore; numbers are ``0`` or have no leading zero; keywords are known in any
case; space, tab, line feed and carriage return separate; every other character is a token of its own. (Names that
begin with an underscore: dynalite and dynoxide take them; DynamoDB Local and, by Alternator's tests, the service do
not.)
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from tenet.tables.errors import ValidationException

_TOKEN: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9_]*)|(#[A-Za-z0-9_]+)|(:[A-Za-z0-9_]+)|(0|[1-9][0-9]*)|(<>|<=|>=|[^ \t\r\n])",
    re.ASCII | re.DOTALL,
)
KEYWORDS: Final = frozenset(("AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE"))


class TokenKind(Enum):
    """What a token is."""

    IDENTIFIER = auto()
    KEYWORD = auto()
    NAME = auto()  # #name
    VALUE = auto()  # :value
    NUMBER = auto()
    SYMBOL = auto()
    END = auto()


class Lexer:
    """The tokens of an expression, one of which is looked at.

    Args:
        text: the expression.

    Attributes:
        kind: of the token that is looked at.
        token: its text; of a keyword in upper case, of the end empty.
    """

    __slots__ = ("_at", "_matches", "_text", "kind", "token")

    def __init__(self, text: str) -> None:
        self._text = text
        self._matches = list(_TOKEN.finditer(text))
        self._at = -1
        self.kind = TokenKind.END
        self.token = ""
        self.advance()

    def advance(self) -> str:
        """Looks at the next token, and returns the one that was looked at."""
        passed = self.token
        self._at += 1
        if self._at >= len(self._matches):
            self.kind, self.token = TokenKind.END, ""
            return passed
        match = self._matches[self._at]
        self.token, self.kind = match[0], _KINDS[match.lastindex or 0]
        if self.kind is TokenKind.IDENTIFIER and self.token.upper() in KEYWORDS:
            self.kind, self.token = TokenKind.KEYWORD, self.token.upper()
        return passed

    def is_at(self, *tokens: str) -> bool:
        """Whether one of these symbols or keywords is looked at."""
        return self.token in tokens and self.kind in _FIXED

    def accept(self, token: str) -> bool:
        """Passes a symbol or keyword, if it is what is looked at; returns whether."""
        if self.token == token and self.kind in _FIXED:
            self.advance()
            return True
        return False

    def expect(self, token: str) -> None:
        """Passes a symbol or keyword.

        Raises:
            ValidationException: it is not what is looked at.
        """
        if not self.accept(token):
            raise self.error()

    def is_followed_by(self, symbol: str) -> bool:
        """Whether the token behind the one that is looked at is this symbol."""
        return self._at + 1 < len(self._matches) and self._matches[self._at + 1][0] == symbol

    def error(self) -> ValidationException:
        """Returns the error that the token looked at does not belong here.

        It shows the token and what is near: from the token before to the one behind, with the text between them.
        """
        matches, text, at = self._matches, self._text, self._at
        near_start = matches[at - 1].start() if at > 0 else 0
        if at >= len(matches):
            return ValidationException(f'Syntax error; token: "<EOF>", near: "{text[near_start:]}"')
        if at == 0:
            near_start = matches[0].start()
        near_end = matches[at + 1].end() if at + 1 < len(matches) else len(text)
        return ValidationException(f'Syntax error; token: "{matches[at][0]}", near: "{text[near_start:near_end]}"')


#: By the group of the pattern that matched.
_KINDS: Final = (
    TokenKind.END,
    TokenKind.IDENTIFIER,
    TokenKind.NAME,
    TokenKind.VALUE,
    TokenKind.NUMBER,
    TokenKind.SYMBOL,
)
#: Kinds whose text alone says what they are.
_FIXED: Final = frozenset((TokenKind.SYMBOL, TokenKind.KEYWORD))
