"""Parses conditions, filters and key conditions.

The grammar, loosest binding first::

    condition  = condition OR condition | condition AND condition | NOT condition | "(" condition ")"
               | operand comparator operand | operand BETWEEN operand AND operand
               | operand IN "(" operand {"," operand} ")" | function
    operand    = path | value | function | "(" operand ")"

A parenthesis may hold a condition or an operand, which shows only later. So both lie on one stack, and what a node is
good for is decided where it is used. Nothing recurses.

Source: "Condition and filter expressions, operators, and functions" of the Developer Guide; which token an error names,
as the peer DynamoDB Local 3.3 shows, whose parser is the service's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from tenet.tables.errors import ValidationException
from tenet.tables.rules.lexer import Lexer, TokenKind
from tenet.tables.rules.operand_parser import REDUNDANT_PARENTHESES, parse_bare_operand, parse_operand
from tenet.tables.rules.syntax_tree import (
    And,
    Between,
    Call,
    Comparator,
    Comparison,
    ConditionTree,
    In,
    Not,
    Operand,
    Or,
    Path,
    ValueName,
)

_COMPARATORS: Final = ("=", "<>", "<", "<=", ">", ">=")
#: How strongly an operator binds; a parenthesis ends every operator within it.
_STRENGTH: Final = {"(": 0, "OR": 1, "AND": 2, "NOT": 3}


@dataclass(frozen=True)
class _Node:
    """An operand or a condition, and whether it stands in parentheses."""

    tree: Operand | ConditionTree
    parenthesized: bool = False


def parse_condition(text: str) -> ConditionTree:
    """Parses a condition.

    Args:
        text: not empty, at most 4,096 bytes.

    Raises:
        ValidationException: the text is no condition.
    """
    return _ConditionParser(text).parse()


class _ConditionParser:
    """Operators that wait for their right side, and the nodes that wait for an operator."""

    __slots__ = ("_lexer", "_nodes", "_open_count", "_waiting")

    def __init__(self, text: str) -> None:
        self._lexer = Lexer(text)
        self._waiting: list[str] = []
        self._nodes: list[_Node] = []
        self._open_count = 0

    def parse(self) -> ConditionTree:
        lexer = self._lexer
        while True:
            self._parse_start()
            if self._parse_rest():
                break
        self._combine(_STRENGTH["OR"])
        if self._waiting or lexer.kind is not TokenKind.END:
            raise lexer.error()
        return cast("ConditionTree", self._nodes[0].tree)

    def _parse_start(self) -> None:
        """Parses what may stand before an operand, and the operand."""
        lexer = self._lexer
        while True:
            if lexer.accept("("):
                self._waiting.append("(")
                self._open_count += 1
            elif lexer.accept("NOT"):
                self._waiting.append("NOT")
            else:
                self._nodes.append(_Node(parse_bare_operand(lexer)))
                return

    def _parse_rest(self) -> bool:
        """Parses what follows an operand up to the next AND or OR; returns whether there is none."""
        lexer = self._lexer
        while True:
            node = self._nodes[-1]
            if _can_be_operand(node.tree) and self._parse_relation(node):
                continue
            if lexer.is_at(")"):
                self._close_parenthesis()
                continue
            if not _can_be_condition(node.tree):
                raise lexer.error()
            if lexer.is_at("AND", "OR"):
                operator = lexer.advance()
                self._combine(_STRENGTH[operator])
                self._waiting.append(operator)
                return False
            return True

    def _parse_relation(self, node: _Node) -> bool:
        """Parses a comparator, BETWEEN or IN with its right side; returns whether there was one."""
        lexer = self._lexer
        left = cast("Operand", node.tree)
        tree: ConditionTree
        if lexer.is_at(*_COMPARATORS):
            operator = cast("Comparator", lexer.advance())
            tree = Comparison(operator, left, parse_operand(lexer))
        elif lexer.accept("BETWEEN"):
            lower = parse_operand(lexer)
            lexer.expect("AND")
            tree = Between(left, lower, parse_operand(lexer))
        elif lexer.accept("IN"):
            lexer.expect("(")
            options = [parse_operand(lexer)]
            while lexer.accept(","):
                options.append(parse_operand(lexer))
            lexer.expect(")")
            tree = In(left, tuple(options))
        else:
            return False
        self._nodes[-1] = _Node(tree)
        return True

    def _close_parenthesis(self) -> None:
        if not self._open_count or (self._waiting[-1] != "(" and not _can_be_condition(self._nodes[-1].tree)):
            raise self._lexer.error()
        self._combine(_STRENGTH["OR"])
        self._waiting.pop()
        self._open_count -= 1
        self._lexer.advance()
        node = self._nodes[-1]
        if node.parenthesized:
            raise ValidationException(REDUNDANT_PARENTHESES)
        self._nodes[-1] = _Node(node.tree, parenthesized=True)

    def _combine(self, strength: int) -> None:
        """Applies waiting operators that bind at least so strongly."""
        while self._waiting and _STRENGTH[self._waiting[-1]] >= strength:
            operator = self._waiting.pop()
            right = cast("ConditionTree", self._nodes.pop().tree)
            if operator == "NOT":
                self._nodes.append(_Node(Not(right)))
                continue
            left = self._nodes.pop()
            self._nodes.append(_Node(_joined(And if operator == "AND" else Or, left, right)))


def _joined(junction: type[And | Or], left: _Node, right: ConditionTree) -> And | Or:
    """Returns both conditions as one; several in a row lie side by side, not within one another."""
    tree = left.tree
    if isinstance(tree, junction) and not left.parenthesized:
        return junction((*tree.conditions, right))
    return junction((cast("ConditionTree", tree), right))


def _can_be_operand(tree: Operand | ConditionTree) -> bool:
    return isinstance(tree, Path | ValueName | Call)


def _can_be_condition(tree: Operand | ConditionTree) -> bool:
    return not isinstance(tree, Path | ValueName)
