"""Reads the part of CQL that the distributed engine writes, into statements that ``tables`` carries out.

The grammar is that of "The Cassandra Query Language (CQL)", Apache Cassandra 5.0, sections on data definition and data
manipulation; of it, what the engine uses, and nothing more: anything else is an error here, so that a statement which
was never tried on a real cluster does not pass unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(r"\s*(0x[0-9a-fA-F]*|'[^']*'|[A-Za-z_][A-Za-z0-9_.]*|-?\d+|!=|<=|>=|[=<>(),?])")
_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\S+) \((.*), PRIMARY KEY \((.*?)\)\) WITH (.*)")
_OPERATORS = {"=", "!=", "<", "<=", ">", ">="}


class NotUnderstood(AssertionError):
    """A statement is none that the model knows."""


@dataclass(frozen=True)
class Term:
    """A value in a statement: the marker of that number, or, where there is none, a literal."""

    marker: int | None
    literal: Any = None

    def of(self, values: Sequence[Any]) -> Any:
        return self.literal if self.marker is None else values[self.marker]


@dataclass(frozen=True)
class Relation:
    """What is asked of a column, of a tuple of columns, or of the token of the partition key."""

    columns: tuple[str, ...]
    operator: str
    terms: tuple[tuple[Term, ...], ...]
    is_token: bool = False

    def right(self, values: Sequence[Any]) -> Any:
        """Returns the right side; of IN all that it names, as tuples."""
        if self.operator != "IN":
            right = tuple(term.of(values) for term in self.terms[0])
            return right if len(self.columns) > 1 else right[0]
        if len(self.terms) == 1 and len(self.columns) == 1:
            return {(one,) for one in self.terms[0][0].of(values)}
        return {tuple(term.of(values) for term in terms) for terms in self.terms}


@dataclass(frozen=True)
class Change:
    """An update, an insert or a delete, with the conditions behind its IF."""

    verb: str
    table: str
    sets: tuple[tuple[str, Term], ...]
    where: tuple[Relation, ...]
    conditions: tuple[Relation, ...]
    ttl: Term | None
    timestamp: Term | None
    markers: int


@dataclass(frozen=True)
class Select:
    """A read; `columns` with whether the time is asked for at which they were written."""

    table: str
    columns: tuple[tuple[str, bool], ...]
    where: tuple[Relation, ...]
    is_reverse: bool
    limit: Term | None
    markers: int


@dataclass(frozen=True)
class Definition:
    """A table: its columns with their types, and which of them are which."""

    table: str
    types: dict[str, str]
    partition: tuple[str, ...]
    clustering: tuple[str, ...]
    static: frozenset[str]


def read_definition(text: str) -> Definition:
    """Reads the definition of a table."""
    found = _TABLE.fullmatch(text)
    if found is None:
        raise NotUnderstood(text)
    columns = [column.split() for column in found[2].split(", ")]
    grouped = re.fullmatch(r"\((.*)\), (.*)", found[3])
    names = found[3].split(", ")
    partition, clustering = (grouped[1].split(", "), grouped[2].split(", ")) if grouped else (names[:1], names[1:])
    return Definition(
        found[1],
        {column[0]: column[1] for column in columns},
        tuple(partition),
        tuple(clustering),
        frozenset(column[0] for column in columns if column[2:] == ["static"]),
    )


@lru_cache(maxsize=10_000)
def read(text: str) -> Change | Select:
    """Reads a statement."""
    return _Reader(text).statement()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise NotUnderstood(f"{text!r} at {at}")
            self._tokens.append(found[1])
            at = found.end()
        self._at = 0
        self._markers = 0

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise NotUnderstood(f"{self._text!r} ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, *words: str) -> bool:
        """Takes these words if they come next."""
        if tuple(self._tokens[self._at : self._at + len(words)]) != words:
            return False
        self._at += len(words)
        return True

    def _must(self, *words: str) -> None:
        if not self._takes(*words):
            raise NotUnderstood(f"{self._text!r}: {' '.join(words)} is missing")

    def statement(self) -> Change | Select:
        verb = self._next()
        made: dict[str, Callable[[], Change | Select]] = {
            "UPDATE": self._update,
            "INSERT": self._insert,
            "DELETE": self._delete,
            "SELECT": self._select,
        }
        if verb not in made:
            raise NotUnderstood(self._text)
        statement = made[verb]()
        if self._at != len(self._tokens):
            raise NotUnderstood(f"{self._text!r} goes on behind its end")
        return statement

    def _update(self) -> Change:
        table = self._next()
        using = self._using()
        self._must("SET")
        sets = [self._set()]
        while self._takes(","):
            sets.append(self._set())
        return self._change("UPDATE", table, sets, where=self._where(), using=using)

    def _set(self) -> tuple[str, Term]:
        column = self._next()
        self._must("=")
        return column, self._term()

    def _insert(self) -> Change:
        self._must("INTO")
        table = self._next()
        columns = self._in_brackets(self._next)
        self._must("VALUES")
        terms = self._in_brackets(self._term)
        return self._change("INSERT", table, list(zip(columns, terms, strict=True)))

    def _delete(self) -> Change:
        self._must("FROM")
        table = self._next()
        using = self._using()
        if using[0] is not None:
            raise NotUnderstood(f"{self._text!r}: what is deleted has no time to live")
        return self._change("DELETE", table, [], where=self._where(), using=using)

    def _change(
        self,
        verb: str,
        table: str,
        sets: list[tuple[str, Term]],
        *,
        where: tuple[Relation, ...] = (),
        using: tuple[Term | None, Term | None] = (None, None),
    ) -> Change:
        conditions = self._relations() if self._takes("IF") else ()
        ttl, timestamp = using
        if conditions and timestamp is not None:
            raise NotUnderstood(f"{self._text!r}: a conditional statement has no timestamp of its own")
        return Change(verb, table, tuple(sets), where, conditions, ttl, timestamp, self._markers)

    def _using(self) -> tuple[Term | None, Term | None]:
        ttl = timestamp = None
        if self._takes("USING"):
            while True:
                if self._takes("TTL"):
                    ttl = self._term()
                else:
                    self._must("TIMESTAMP")
                    timestamp = self._term()
                if not self._takes("AND"):
                    break
        return ttl, timestamp

    def _select(self) -> Select:
        columns = [self._column()]
        while self._takes(","):
            columns.append(self._column())
        self._must("FROM")
        table = self._next()
        where = self._where()
        is_reverse = self._takes("ORDER", "BY")
        if is_reverse:
            self._next()
            self._must("DESC")
            while self._takes(","):
                self._next()
                self._must("DESC")
        limit = self._term() if self._takes("LIMIT") else None
        if any(one.is_token for one in where):
            self._must("ALLOW", "FILTERING")
        return Select(table, tuple(columns), where, is_reverse, limit, self._markers)

    def _column(self) -> tuple[str, bool]:
        if self._takes("writetime"):
            (name,) = self._in_brackets(self._next)
            return name, True
        return self._next(), False

    def _where(self) -> tuple[Relation, ...]:
        return self._relations() if self._takes("WHERE") else ()

    def _relations(self) -> tuple[Relation, ...]:
        found = [self._relation()]
        while self._takes("AND"):
            found.append(self._relation())
        return tuple(found)

    def _relation(self) -> Relation:
        is_token = self._takes("token")
        is_tuple = self._tokens[self._at] == "("
        columns = tuple(self._in_brackets(self._next) if is_tuple else [self._next()])
        operator = self._next()
        if operator == "IN":
            return Relation(columns, operator, self._choices(len(columns)), is_token)
        if operator not in _OPERATORS:
            raise NotUnderstood(self._text)
        terms = self._in_brackets(self._term) if len(columns) > 1 else [self._term()]
        return Relation(columns, operator, (tuple(terms),), is_token)

    def _choices(self, width: int) -> tuple[tuple[Term, ...], ...]:
        if width == 1:
            return ((self._term(),),)
        return tuple(tuple(terms) for terms in self._in_brackets(lambda: self._in_brackets(self._term)))

    def _in_brackets(self, one: Any) -> list[Any]:
        self._must("(")
        found = [one()]
        while self._takes(","):
            found.append(one())
        self._must(")")
        return found

    def _term(self) -> Term:
        token = self._next()
        if token == "?":
            self._markers += 1
            return Term(self._markers - 1)
        if token == "null":
            return Term(None, None)
        if token.startswith("0x"):
            return Term(None, bytes.fromhex(token[2:]))
        if token.startswith("'"):
            return Term(None, token[1:-1])
        if re.fullmatch(r"-?\d+", token):
            return Term(None, int(token))
        raise NotUnderstood(f"{self._text!r}: {token} is no value")
