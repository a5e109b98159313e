"""Parses PartiQL statements: ``parse`` gives a tree, kept by its text.

Source: "PartiQL statements for DynamoDB" of the Developer Guide; texts as the peer DynamoDB Local 3.3 has them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.partiql.expressions import ExpressionParser
from tenet.tables.rules.partiql.lexer import Kind, not_well_formed
from tenet.tables.rules.partiql.tree import (
    Assignment,
    Delete,
    Exists,
    Expression,
    Insert,
    Name,
    Order,
    Select,
    Source,
    Statement,
    Update,
)

#: Longer texts are parsed every time; the memory of the cache has a bound.
_KEPT_CHARS_MAX: Final = 1_024
_KEPT_TEXTS: Final = 512
_NAMES_MAX: Final = 2
_NO_ALIAS: Final = "Aliasing is not supported"
_ONE_SOURCE: Final = "Only select from a single table or index is supported."


class Parsed:
    """A statement and how many parameters it has; what is made of it for a table is kept by its identity."""

    __slots__ = ("parameters", "statement")

    def __init__(self, statement: Statement, parameters: int) -> None:
        self.statement = statement
        self.parameters = parameters


class StatementParser(ExpressionParser):
    """Reads one statement."""

    def parse(self) -> Parsed:
        """Returns the statement.

        Raises:
            ValidationException: the text is none, or one that is not supported.
        """
        statement = self._statement()
        if self.accept(";") and self.token.kind is not Kind.END:
            raise ValidationException("Only one operation is allowed in a statement.")
        if self.token.kind is not Kind.END:
            raise not_well_formed("Unexpected token after expression")
        return Parsed(statement, self.parameters)

    def _statement(self) -> Statement:
        if self.accept("select"):
            return self._select()
        if self.accept("insert"):
            return self._insert()
        if self.accept("update"):
            return self._update()
        if self.accept("delete"):
            return self._delete()
        if self.is_at("exists") and self.is_followed_by("("):
            self.advance()
            self.advance()
            self.expect("select")
            select = self._select()
            self.expect(")")
            return Exists(select)
        for word, operation in (("create", "CreateTable"), ("drop", "DropTable")):
            if self.is_at(word):
                raise ValidationException(f"Unsupported operation: {operation}")
        raise self.refusal("Expected data manipulation")

    def _select(self) -> Select:
        if self.is_at("distinct"):
            raise ValidationException("Unsupported token in expression: DISTINCT")
        if self.is_at("value", "pivot"):
            raise ValidationException("Select projection doesn't support value or pivot keywords")
        projection = self._projection()
        self.expect("from")
        source = self._source()
        self._refuse_alias()
        if self.is_at(",", "join", "inner", "left", "cross"):
            raise ValidationException(_ONE_SOURCE)
        where = self._where()
        for clause in ("group", "having", "limit"):
            if self.is_at(clause):
                name = "GROUP BY" if clause == "group" else clause.upper()
                raise ValidationException(f"Unsupported clause: {name} at {self.at(self.token)}")
        return Select(projection, source, where, self._order())

    def _projection(self) -> tuple[Expression, ...]:
        if self.accept("*"):
            return ()
        found = [self._projected()]
        while self.accept(","):
            found.append(self._projected())
        return tuple(found)

    def _projected(self) -> Expression:
        tree = self.expression()
        self._refuse_alias()
        if not isinstance(tree, Name):
            raise ValidationException(f"Unexpected path component at {tree.at}")
        return tree

    def _refuse_alias(self) -> None:
        if self.is_at("as") or self.token.kind in (Kind.WORD, Kind.QUOTED):
            raise ValidationException(_NO_ALIAS)

    def _source(self) -> Source:
        if self.token.kind in (Kind.STRING, Kind.NUMBER) or self.is_at("(", "[", "<<", "{", "?"):
            raise ValidationException("Unexpected from source")
        path = self.path().path
        if any(isinstance(name, int) for name in path):
            raise ValidationException("Invalid list expression in source.")
        if len(path) > _NAMES_MAX:
            raise ValidationException("A path may contain at most 2 components in the FROM clause")
        return Source(tuple(map(str, path)))

    def _written(self) -> Source:
        """Parses the table of a write, which is no index."""
        source = self._source()
        if source.index is not None:
            raise ValidationException("This operation is not supported on an index")
        return source

    def _where(self) -> Expression | None:
        return self.expression() if self.accept("where") else None

    def _order(self) -> tuple[Order, ...]:
        if not self.accept("order"):
            return ()
        self.expect("by")
        found: list[Order] = []
        while not found or self.accept(","):
            key = self.expression()
            is_descending = self.accept("desc")
            if not is_descending:
                self.accept("asc")
            found.append(Order(key, is_descending))
        return tuple(found)

    def _insert(self) -> Insert:
        self.expect("into")
        source = self._source()
        if source.index is not None:
            raise ValidationException(
                "FROM clause may only contain a single table name in data manipulation statements"
            )
        if self.is_at("<<", "[", "values", "("):
            raise ValidationException(
                "Unsupported operation: Inserting multiple items in a single statement is not supported, use "
                '"INSERT INTO tableName VALUE item" instead'
            )
        self.expect("value")
        item = self.expression()
        if self.is_at("returning"):
            raise ValidationException("RETURNING is not supported in INSERT")
        return Insert(source, item)

    def _update(self) -> Update:
        source = self._written()
        assignments: list[Assignment] = []
        while self.is_at("set", "remove"):
            if self.accept("remove"):
                assignments.append(Assignment(self.path()))
                continue
            self.advance()
            while True:
                path = self.path()
                self.expect("=")
                assignments.append(Assignment(path, self.expression()))
                if not self.accept(","):
                    break
        if not assignments:
            raise self.refusal("Expected data manipulation")
        return Update(source, tuple(assignments), self._where(), self._returning())

    def _delete(self) -> Delete:
        self.expect("from")
        source = self._written()
        where = self._where()
        returning = self._returning()
        if returning not in ("NONE", "ALL_OLD"):
            raise ValidationException(
                f"Invalid returning clause: RETURNING {returning.replace('_', ' ').replace('UPDATED', 'MODIFIED')} *. "
                "Only RETURNING ALL OLD * is allowed in DELETE statements."
            )
        return Delete(source, where, returning)

    def _returning(self) -> str:
        """Parses a RETURNING clause to a mode of ReturnValues."""
        if not self.accept("returning"):
            return "NONE"
        if not self.is_at("all", "modified"):
            raise self.refusal()
        which = "ALL" if self.advance().text == "all" else "UPDATED"
        if not self.is_at("old", "new"):
            raise self.refusal()
        when = self.advance().text.upper()
        if not self.accept("*"):
            raise ValidationException("Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause")
        if self.is_at(","):
            raise ValidationException("Invalid syntax with multiple returning elements in RETURNING clause")
        return f"{which}_{when}"


def parse(text: str) -> Parsed:
    """Parses a statement, or finds it among those that were parsed before.

    Args:
        text: 1 to 8,192 characters.

    Raises:
        ValidationException: it is none, or one that is not supported.
    """
    return _kept(text) if len(text) <= _KEPT_CHARS_MAX else StatementParser(text).parse()


@lru_cache(_KEPT_TEXTS)
def _kept(text: str) -> Parsed:
    return StatementParser(text).parse()
