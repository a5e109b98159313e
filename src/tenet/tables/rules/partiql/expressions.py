"""Parses PartiQL expressions: what stands in WHERE and behind SET, and the values of items.

Binary operators wait on a stack for what binds more strongly, so that only what is in brackets goes a level deeper;
there are at most 100 levels and 300 operators, which keeps everything that walks a tree within bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules import numbers
from tenet.tables.rules.partiql.lexer import Kind, Token, not_well_formed, place, tokens_of
from tenet.tables.rules.partiql.tree import (
    Apply,
    Call,
    Constant,
    Expression,
    Is,
    Missing,
    Name,
    Parameter,
    Tuple,
)
from tenet.tables.rules.partiql.tree import Sequence as SequenceOf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

LEVELS_MAX: Final = 100
OPERATORS_MAX: Final = 300
INDEX_MAX: Final = 2**31 - 1
_INDEX_DIGITS_MAX: Final = 10

_COMPARISON: Final = 4
_SUM: Final = 6
#: How strongly operators bind.
_STRENGTHS: Final = {
    "or": 1,
    "and": 2,
    "not": 3,
    "||": 5,
    "+": _SUM,
    "-": _SUM,
    "*": 7,
    "/": 7,
    "%": 7,
    **dict.fromkeys(("=", "<>", "!=", "<", "<=", ">", ">=", "like"), _COMPARISON),
}
_POSTFIX: Final = frozenset(("in", "between", "is"))
_TYPES: Final = frozenset(
    (
        "missing",
        "null",
        "boolean",
        "bool",
        "blob",
        "string",
        "numeric",
        "decimal",
        "int",
        "integer",
        "float",
        "struct",
        "tuple",
        "list",
        "bag",
        "timestamp",
        "symbol",
        "sexp",
        "clob",
    )
)
#: Reserved words that name functions where a parenthesis follows.
_FUNCTIONS: Final = frozenset(("size", "exists", "count"))


class ExpressionParser:
    """Reads expressions from a statement. What statements are made of is in ``StatementParser``.

    Args:
        text: the statement.

    Raises:
        ValidationException: something in it is no token.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: Sequence[Token] = tokens_of(text)
        self._position = 0
        self._levels = 0
        self._operators = 0
        #: How many parameters were read.
        self.parameters = 0

    # ---- tokens --------------------------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._position]

    def at(self, token: Token, length: int | None = None) -> str:
        """Returns where a token stands."""
        return place(self._text, token.start, token.end - token.start if length is None else length)

    def advance(self) -> Token:
        """Returns the next token and goes on behind it."""
        token = self.token
        if token.kind is not Kind.END:
            self._position += 1
        return token

    def is_at(self, *texts: str) -> bool:
        """Whether the next token is one of these keywords or symbols."""
        return self.token.kind in (Kind.KEYWORD, Kind.SYMBOL) and self.token.text in texts

    def is_followed_by(self, text: str) -> bool:
        """Whether the token behind the next one is this keyword or symbol."""
        if self.token.kind is Kind.END:
            return False
        after = self._tokens[self._position + 1]
        return after.kind in (Kind.KEYWORD, Kind.SYMBOL) and after.text == text

    def accept(self, text: str) -> bool:
        """Goes on behind a keyword or symbol, if it comes next."""
        if self.is_at(text):
            self._position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Goes on behind a keyword or symbol.

        Raises:
            ValidationException: something else comes next.
        """
        if not self.accept(text):
            raise self.refusal(f"Expected {text.upper()}")

    def refusal(self, why: str = "") -> ValidationException:
        """Returns the error for the token that comes next."""
        kind = self.token.kind
        usual = {Kind.KEYWORD: "Unexpected keyword", Kind.END: "Unexpected end of statement"}
        return not_well_formed(why or usual.get(kind, "Unexpected term"), self.at(self.token))

    # ---- expressions ---------------------------------------------------------------------------------------------

    def expression(self, weakest: int = 0) -> Expression:
        """Parses an expression of operators that bind more strongly than `weakest`.

        Raises:
            ValidationException: there is none, it nests too deep or has too many operators.
        """
        self._enter()
        waiting: list[tuple[str, str]] = []
        found: list[Expression] = []
        while True:
            while weakest < _STRENGTHS["not"] and self.is_at("not"):
                waiting.append(("not", self.at(self.advance())))
                self._count()
            found.append(self._operand())
            while self._is_postfix(weakest):
                _combine(waiting, found, _COMPARISON)
                found.append(self._postfix(found.pop()))
            token = self.token
            strength = _STRENGTHS.get(token.text, 0) if token.kind in (Kind.KEYWORD, Kind.SYMBOL) else 0
            if strength <= weakest or token.text == "not":
                break
            _combine(waiting, found, strength)
            waiting.append(("<>" if token.text == "!=" else token.text, self.at(token)))
            if strength > _STRENGTHS["not"]:
                self._count()
            self.advance()
        _combine(waiting, found, 0)
        self._levels -= 1
        return found[0]

    def _enter(self) -> None:
        self._levels += 1
        if self._levels > LEVELS_MAX:
            raise self.refusal(f"Expressions are nested more than {LEVELS_MAX} levels deep")

    def _count(self) -> None:
        self._operators += 1
        if self._operators > OPERATORS_MAX:
            raise ValidationException(
                f"The expression contains too many operators; operator count: {OPERATORS_MAX + 1}"
            )

    def _is_postfix(self, weakest: int) -> bool:
        if weakest >= _COMPARISON:
            return False
        if self.is_at("not"):
            return self.is_followed_by("in") or self.is_followed_by("between") or self.is_followed_by("like")
        return self.is_at(*_POSTFIX)

    def _postfix(self, left: Expression) -> Expression:
        """Parses IN, BETWEEN, IS or NOT LIKE behind an operand."""
        is_negated = self.accept("not")
        token = self.advance()
        self._count()
        at = self.at(token)
        tree: Expression
        if token.text == "is":
            is_negated = self.accept("not")
            if self.token.text.lower() not in _TYPES or self.token.kind not in (Kind.KEYWORD, Kind.WORD):
                raise self.refusal("Expected type name")
            tree = Is(left, self.advance().text.upper(), at)
        elif token.text == "between":
            lower = self.expression(_COMPARISON)
            self.expect("and")
            tree = Apply("between", (left, lower, self.expression(_COMPARISON)), at)
        elif token.text == "in":
            tree = Apply("in", (left, self._options()), at)
        else:
            tree = Apply("like", (left, self.expression(_COMPARISON)), at)
        if is_negated:
            self._count()
            return Apply("not", (tree,), at)
        return tree

    def _options(self) -> Expression:
        """Parses what stands behind IN; in parentheses one value is a sequence too."""
        at = self.at(self.token)
        return SequenceOf("values", self._elements(")"), at) if self.accept("(") else self.expression(_COMPARISON)

    def _operand(self) -> Expression:
        token = self.token
        at = self.at(token)
        if token.kind is Kind.KEYWORD:
            return self._keyword(token, at)
        if token.kind in (Kind.WORD, Kind.QUOTED):
            if token.kind is Kind.WORD and self.is_followed_by("("):
                return self._call(at)
            return self.path()
        if token.kind is Kind.STRING:
            return Constant({"S": self.advance().text}, at)
        if token.kind is Kind.NUMBER:
            text = self.advance().text
            return Constant({"N": numbers.canonical(text)}, at, text)
        if token.kind is Kind.ION:
            raise ValidationException(f"Ion Literals are not supported: {token.text} under key root at {at}")
        return self._symbol(token, at)

    def _keyword(self, token: Token, at: str) -> Expression:
        constants = {"null": {"NULL": True}, "true": {"BOOL": True}, "false": {"BOOL": False}}
        if token.text in constants:
            self.advance()
            return Constant(constants[token.text], at)
        if token.text == "missing":
            self.advance()
            return Missing(at)
        if token.text in _FUNCTIONS and self.is_followed_by("("):
            return self._call(at)
        if token.text == "select":
            raise ValidationException(f"Unsupported token in expression: SELECT at {at}")
        raise self.refusal()

    def _symbol(self, token: Token, at: str) -> Expression:
        if self.accept("?"):
            self.parameters += 1
            return Parameter(self.parameters - 1, at)
        if self.accept("("):
            return self._parenthesized(at)
        if self.accept("["):
            return SequenceOf("list", self._elements("]"), at)
        if self.accept("<<"):
            return SequenceOf("bag", self._elements(">>"), at)
        if self.accept("{"):
            return Tuple(self._members(), at)
        if token.kind is Kind.SYMBOL and token.text in ("-", "+"):
            return self._signed(at)
        raise self.refusal()

    def _signed(self, at: str) -> Expression:
        """Parses signs and what they stand before; that of a number becomes part of it."""
        is_negative = False
        while self.is_at("-", "+"):
            is_negative ^= self.advance().text == "-"
            self._count()
        operand = self._operand()
        if isinstance(operand, Constant) and "N" in operand.value:
            if not is_negative:
                return operand
            return Constant({"N": numbers.negate(operand.value["N"])}, at, f"-{operand.text}")
        if not is_negative:
            raise ValidationException(
                "Incorrect number of operands for operator or function; operator or function: +, number of operands: 1"
            )
        return Apply("neg", (operand,), at)

    def _parenthesized(self, at: str) -> Expression:
        inner = self.expression()
        if not self.is_at(","):
            self.expect(")")
            return inner
        elements = [inner]
        while self.accept(","):
            elements.append(self.expression())
        self.expect(")")
        return SequenceOf("values", tuple(elements), at)

    def _elements(self, end: Literal["]", ">>", ")"]) -> tuple[Expression, ...]:
        elements: list[Expression] = []
        if not self.is_at(end):
            elements.append(self.expression())
            while self.accept(","):
                elements.append(self.expression())
        self.expect(end)
        return tuple(elements)

    def _members(self) -> tuple[tuple[Expression, Expression], ...]:
        members: list[tuple[Expression, Expression]] = []
        while not self.is_at("}"):
            if members:
                self.expect(",")
            key = self.expression()
            self.expect(":")
            members.append((key, self.expression()))
        self.expect("}")
        return tuple(members)

    def _call(self, at: str) -> Expression:
        self._count()
        function = self.advance().text.lower()
        self.expect("(")
        if self.accept("*"):
            self.expect(")")
            return Call(function, (), at)
        return Call(function, self._elements(")"), at)

    def path(self) -> Name:
        """Parses an attribute's name, or a path into one.

        Raises:
            ValidationException: there is none.
        """
        token = self.token
        elements: list[str | int] = [self._name()]
        while True:
            if self.is_at(".") and self.is_followed_by("*"):
                raise ValidationException("Changing item's hierarchy while reading isn't supported")
            if self.accept("."):
                elements.append(self._name())
            elif self.accept("["):
                elements.append(self._index())
            else:
                return Name(tuple(elements), self.at(token))

    def _name(self) -> str:
        if self.token.kind not in (Kind.WORD, Kind.QUOTED):
            raise self.refusal()
        if not self.token.text:
            raise ValidationException("Path component cannot be an empty string")
        return self.advance().text

    def _index(self) -> str | int:
        token = self.token
        if token.kind in (Kind.STRING, Kind.QUOTED):
            # m['x'] is m.x.
            name = self.advance().text
            self.expect("]")
            return name
        is_negative = self.accept("-")
        token = self.token
        if token.kind is not Kind.NUMBER or not token.text.isdigit():
            raise self.refusal("Unexpected path component")
        text = self.advance().text
        if (is_negative and text.strip("0")) or len(text) > _INDEX_DIGITS_MAX or int(text) > INDEX_MAX:
            index = f"-{text}" if is_negative else text
            raise ValidationException(
                f"List index is not within the allowable range; index: [{index}] at {self.at(token)}"
            )
        self.expect("]")
        return int(text)


def _combine(waiting: list[tuple[str, str]], found: list[Expression], strength: int) -> None:
    """Applies waiting operators that bind at least so strongly."""
    while waiting and _STRENGTHS[waiting[-1][0]] >= strength:
        operator, at = waiting.pop()
        right = found.pop()
        if operator == "not":
            found.append(Apply("not", (right,), at))
            continue
        left = found.pop()
        if operator in ("and", "or") and isinstance(left, Apply) and left.operator == operator:
            found.append(Apply(operator, (*left.operands, right), left.at))
        else:
            found.append(Apply(operator, (left, right), at))
