"""Splits PartiQL statements into tokens, all of them at once: a statement has at most 8,192 characters.

Source: "PartiQL - a SQL-compatible query language for Amazon DynamoDB" of the Developer Guide; which words are
reserved, and how errors give places, as the peer DynamoDB Local 3.3 has it.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tenet.tables.errors import ValidationException

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_WELL_FORMED: Final = "Statement wasn't well formed, can't be processed: "

_WORDS: Final = """
absolute action add all allocate alter and any are as asc assertion at authorization avg bag begin between bit
bit_length blob bool boolean by cascade cascaded case cast catalog char char_length character character_length check
clob close coalesce collate collation column commit conflict connect connection constraint constraints continue
convert corresponding count create cross current current_date current_time current_timestamp current_user cursor date
date_add date_diff deallocate dec decimal declare default deferrable deferred delete desc describe descriptor
diagnostics disconnect distinct do domain double drop else end escape except exception exec execute exists external
extract false fetch first float for foreign found from full get global go goto grant group having identity immediate
in index indicator initially inner input insensitive insert int integer intersect interval into is isolation join key
language last left let level like limit list local lower match max min missing modified module names national natural
nchar new next no not nothing null nullif numeric octet_length of old on only open option or order outer output
overlaps pad partial pivot position precision prepare preserve primary prior privileges procedure public read real
references relative remove restrict returning revoke right rollback rows schema scroll section select session
session_user set sexp size smallint some space sql sqlcode sqlerror sqlstate string struct substring sum symbol
system_user table temporary then time timestamp to transaction translate translation trim true tuple union unique
unknown unpivot update upper usage user using value values varchar varying view when whenever where with work write
zone
"""
#: Words that name nothing without double quotes.
RESERVED: Final = frozenset(_WORDS.split())

_TOKEN: Final = re.compile(
    r"""
    (?P<skip>\s+|--[^\r\n]*|/\*.*?\*/)
    |(?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<string>'(?:[^']|'')*')
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<ion>`[^`]*`)
    |(?P<unclosed>/\*)
    |(?P<symbol><<|>>|<=|>=|<>|!=|\|\||[-+*/%=<>()\[\]{},.:;?])
    """,
    re.VERBOSE | re.DOTALL,
)


class Kind(Enum):
    """What a token is."""

    #: A word without quotes that is no keyword.
    WORD = "word"
    #: A reserved word, its text in lower case.
    KEYWORD = "keyword"
    #: A name in double quotes, its text without them.
    QUOTED = "quoted"
    #: A string, its text without quotes.
    STRING = "string"
    NUMBER = "number"
    #: A literal in the notation of Ion, with its quotes.
    ION = "ion"
    SYMBOL = "symbol"
    END = "end"


class Token(Struct, frozen=True):
    """A piece of a statement.

    Args:
        kind: what it is.
        text: its text as `Kind` says.
        start: where it begins, in characters from 0.
        end: where the next one may begin.
    """

    kind: Kind
    text: str
    start: int
    end: int


_UNQUOTED: Final = {"quoted": (Kind.QUOTED, '"'), "string": (Kind.STRING, "'")}
_KINDS: Final = {"number": Kind.NUMBER, "ion": Kind.ION, "symbol": Kind.SYMBOL}


def tokens_of(text: str) -> Sequence[Token]:
    """Returns the tokens of a statement; the last one is its end.

    Raises:
        ValidationException: something in it is no token.
    """
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup == "unclosed":
            raise not_well_formed("Invalid character", place(text, position, 1))
        if match.lastgroup != "skip":
            found.append(_token(str(match.lastgroup), match.group(), position))
        position = match.end()
    found.append(Token(Kind.END, "", len(text), len(text)))
    return found


def _token(group: str, text: str, start: int) -> Token:
    end = start + len(text)
    if group == "word":
        lower = text.lower()
        is_reserved = lower in RESERVED
        return Token(Kind.KEYWORD if is_reserved else Kind.WORD, lower if is_reserved else text, start, end)
    if group in _UNQUOTED:
        kind, quote = _UNQUOTED[group]
        return Token(kind, text[1:-1].replace(2 * quote, quote), start, end)
    return Token(_KINDS[group], text, start, end)


def place(text: str, start: int, length: int) -> str:
    """Returns where something stands, as errors say it: ``line:column:length``, from 1."""
    line = text.count("\n", 0, start)
    return f"{line + 1}:{start - text.rfind(chr(10), 0, start)}:{length}"


def not_well_formed(why: str, at: str = "") -> ValidationException:
    """Returns the error for a text that is no statement, and perhaps where it ends to be one."""
    return ValidationException(f"{_NOT_WELL_FORMED}{why} at {at}" if at else f"{_NOT_WELL_FORMED}{why}")
