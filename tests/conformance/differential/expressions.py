"""Writes expressions of every kind by their grammars, valid for the most part, and breaks them on request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import TypeVar

from tests.conformance.differential.schemas import INDEX_ATTRIBUTES, Schema
from tests.conformance.differential.values import ATTRIBUTES, TYPES, Value, key_value, value

T = TypeVar("T")

#: Attributes that cannot stand in an expression by their own name.
_ONLY_BY_PLACEHOLDER = frozenset({"name", "größe", "a.b", "size"})
_TOKEN = re.compile(r"[:#]?\w+|<>|<=|>=|\s+|.")
_INTRUDERS = (
    *("AND", "or", "NOT", "(", ")", ",", "=", "<", "<>", "+", "-", ".", "[", "]", "[0]", "0", "1a", "a", ":absent"),
    *("#absent", "status", "SET", "remove", "BETWEEN", "IN", "$", "'", "é", "!", ":", "#", "size", "foo(a)", "A", "_a"),
)


class Writer:
    """Writes the expressions of one request and collects the placeholders that they use.

    Args:
        random: where choices come from.
        schema: the table.
    """

    def __init__(self, random: Random, schema: Schema) -> None:
        self.random = random
        self._schema = schema
        self.names: dict[str, str] = {}
        self.values: dict[str, Value] = {}
        self._updated: set[str] = set()

    # ---- drawing -------------------------------------------------------------------------------------------------

    def pick(self, options: Sequence[T]) -> T:
        """One of some."""
        return self.random.choice(options)

    def chance(self, percent: int) -> bool:
        """True in so many cases of a hundred."""
        return self.random.randrange(100) < percent

    def count(self, low: int, high: int) -> int:
        """A number within bounds, both included."""
        return self.random.randint(low, high)

    # ---- operands ------------------------------------------------------------------------------------------------

    def name(self, attribute: str) -> str:
        """An attribute's name as it may stand in an expression, or a placeholder for it."""
        if attribute not in _ONLY_BY_PLACEHOLDER and self.chance(65):
            return attribute
        for placeholder, known in self.names.items():
            if known == attribute:
                return placeholder
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = attribute
        return placeholder

    def hold(self, one: Value) -> str:
        """A placeholder for a value."""
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = one
        return placeholder

    def value_of(self, kind: str) -> str:
        """A placeholder for a value of a type, or now and then of another."""
        return self.hold(value(self.random, kind if self.chance(85) else "any", 1))

    def attribute(self, *, keys: bool) -> tuple[str, str]:
        """Name and type of a top-level attribute; with `keys` also of the table and its indexes."""
        if keys and self.chance(20):
            name = self.pick((*self._schema.key_names, *INDEX_ATTRIBUTES))
            return name, self._schema.type_of(name)
        name = self.pick(list(ATTRIBUTES))
        return name, ATTRIBUTES[name]

    def path(self, *, keys: bool = True) -> tuple[str, str]:
        """A document path and the type that is to be expected there."""
        return self._descend(*self.attribute(keys=keys))

    def _descend(self, name: str, kind: str) -> tuple[str, str]:
        """A path that begins with an attribute, and goes on where it is a list or a map."""
        text = self.name(name)
        while kind in {"L", "M"} and self.chance(60):
            text += f"[{self.pick((0, 0, 1, 2, 9))}]" if kind == "L" else f".{self.name(self.pick('abc'))}"
            kind = self.pick(("any", "any", "L", "M"))
        if self.chance(4):
            text += self.pick(("[0]", ".a"))
        return text, kind

    # ---- conditions ----------------------------------------------------------------------------------------------

    def condition(self, depth: int = 2, *, keys: bool = True) -> str:
        """A condition or filter expression.

        Args:
            depth: how deep logical operators may lie in one another.
            keys: whether key attributes may be named.
        """
        form = self.count(0, 9)
        if depth == 0 or form < 5:
            return self._predicate(keys=keys)
        inner = self.condition(depth - 1, keys=keys)
        if form == 5:
            return f"NOT {inner}" if self.chance(70) else f"not({inner})"
        if form == 6:
            return f"({inner})"
        other = self.condition(depth - 1, keys=keys)
        return f"{inner} {self.pick(('AND', 'OR', 'and'))} {other}"

    def _predicate(self, *, keys: bool) -> str:
        forms = (self._comparison, self._comparison, self._between, self._among, self._function, self._function)
        return self.pick(forms)(keys)

    def _operand(self, keys: bool) -> tuple[str, str]:
        path, kind = self.path(keys=keys)
        if self.chance(15):
            return f"size({path})", "N"
        return path, kind

    def _comparison(self, keys: bool) -> str:
        left, kind = self._operand(keys)
        right = self._operand(keys)[0] if self.chance(15) else self.value_of(kind)
        if self.chance(8):
            left, right = right, left
        space = self.pick((" ", " ", ""))
        return f"{left}{space}{self.pick(('=', '=', '<>', '<', '<=', '>', '>='))}{space}{right}"

    def _between(self, keys: bool) -> str:
        left, kind = self._operand(keys)
        kind = kind if kind in {"S", "N", "B"} else "N"
        low, high = self.value_of(kind), self.value_of(kind)
        return f"{left} BETWEEN {low} AND {high}"

    def _among(self, keys: bool) -> str:
        left, kind = self._operand(keys)
        return f"{left} IN ({', '.join(self.value_of(kind) for _ in range(self.count(1, 3)))})"

    def _function(self, keys: bool) -> str:
        name = self.pick(("attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"))
        path, kind = self.path(keys=keys)
        if name in {"attribute_exists", "attribute_not_exists"}:
            return f"{name}({path})"
        if name == "attribute_type":
            return f"{name}({path}, {self.hold({'S': self.pick(TYPES)})})"
        if name == "begins_with":
            return f"{name}({path}, {self.value_of(kind if kind in {'S', 'B'} else 'S')})"
        member = {"SS": "S", "NS": "N", "BS": "B", "L": "any"}.get(kind, kind)
        return f"{name}({path}, {self.value_of(member)})"

    # ---- updates -------------------------------------------------------------------------------------------------

    def update(self) -> str:
        """An update expression of one to three sections."""
        sections = {"SET": self._set, "REMOVE": self._remove, "ADD": self._add, "DELETE": self._delete}
        chosen = self.random.sample(list(sections), self.pick((1, 1, 2, 2, 3)))
        written = []
        for keyword in chosen:
            actions = ", ".join(sections[keyword]() for _ in range(self.pick((1, 1, 1, 2, 3))))
            written.append(f"{keyword if self.chance(90) else keyword.lower()} {actions}")
        return " ".join(written)

    def _target(self) -> tuple[str, str]:
        """What an action changes: mostly an attribute that no other action of the expression does."""
        kinds = ATTRIBUTES | INDEX_ATTRIBUTES
        if self.chance(3):
            kinds |= dict(self._schema.keys)
        name = self._unused(list(kinds))
        return self._descend(name, kinds[name])

    def _unused(self, names: Sequence[str]) -> str:
        fresh = [name for name in names if name not in self._updated]
        name = self.pick(fresh if fresh and self.chance(95) else names)
        self._updated.add(name)
        return name

    def _set(self) -> str:
        path, kind = self._target()
        return f"{path} = {self._right_side(path, kind)}"

    def _right_side(self, path: str, kind: str) -> str:
        form = self.count(0, 9)
        if form == 0:
            return self.path()[0]
        if form == 1:
            return f"if_not_exists({self.pick((path, self.path()[0]))}, {self.value_of(kind)})"
        if form in {2, 3} and kind == "N":
            return f"{self._number(path)} {self.pick('+-')} {self._number(path)}"
        if form in {2, 3} and kind == "L":
            first, second = path, self.value_of("L")
            if self.chance(30):
                first = f"if_not_exists({path}, {self.value_of('L')})"
            return f"list_append({first}, {second})" if self.chance(70) else f"list_append({second}, {first})"
        return self.value_of(kind)

    def _number(self, path: str) -> str:
        form = self.count(0, 5)
        if form == 0:
            return f"if_not_exists({path}, {self.value_of('N')})"
        return path if form < 3 else self.value_of("N")

    def _remove(self) -> str:
        return self._target()[0]

    def _add(self) -> str:
        name = self._unused([name for name, kind in ATTRIBUTES.items() if kind in {"N", "SS", "NS", "BS"}])
        return f"{self.name(name)} {self.value_of(ATTRIBUTES[name])}"

    def _delete(self) -> str:
        name = self._unused(("ss", "ns", "bs"))
        return f"{self.name(name)} {self.value_of(ATTRIBUTES[name])}"

    # ---- keys and projections ------------------------------------------------------------------------------------

    def key_condition(self, keys: tuple[str, ...]) -> str:
        """A key condition on a table or an index with these key attributes."""
        partition = f"{self.name(keys[0])} = {self._key_value(keys[0])}"
        if len(keys) == 1 or self.chance(50):
            return partition
        sort = self._sort_condition(keys[1])
        return f"{partition} AND {sort}" if self.chance(80) else f"{sort} AND {partition}"

    def _key_value(self, name: str) -> str:
        return self.hold(key_value(self.random, self._schema.type_of(name)))

    def _sort_condition(self, name: str) -> str:
        form = self.count(0, 3)
        if form == 0:
            kind = self._schema.type_of(name)
            both = [key_value(self.random, kind) for _ in range(2)]
            return f"{self.name(name)} BETWEEN {self.hold(both[0])} AND {self.hold(both[1])}"
        if form == 1 and self._schema.type_of(name) in {"S", "B"}:
            return f"begins_with({self.name(name)}, {self._key_value(name)})"
        return f"{self.name(name)} {self.pick(('=', '<', '<=', '>', '>='))} {self._key_value(name)}"

    def projection(self) -> str:
        """A projection expression of one to three paths."""
        return self.pick((", ", ",", " , ")).join(self.path()[0] for _ in range(self.count(1, 3)))

    # ---- faults --------------------------------------------------------------------------------------------------

    def break_expression(self, text: str) -> str:
        """The expression with one token left out, doubled, replaced or put in, or something else wrong with it."""
        form = self.count(0, 9)
        if form == 0:
            return self.pick(("", " ", f"({text})", f"(({text}))", text + " ", "a" * 5_000, f"{text} {text}"))
        tokens = [token for token in _TOKEN.findall(text) if token.strip()] or ["a"]
        place = self.count(0, len(tokens) - 1)
        if form < 4:
            tokens[place : place + 1] = []
        elif form < 6:
            tokens[place:place] = [tokens[place]]
        elif form < 8:
            tokens[place] = self.pick(_INTRUDERS)
        else:
            tokens[place:place] = [self.pick(_INTRUDERS)]
        return " ".join(tokens)
