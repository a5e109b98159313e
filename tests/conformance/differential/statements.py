"""Makes random PartiQL statements to one table, alone, in batches and in transactions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.conformance.differential.requests import CONSUMED_CAPACITY, TOKEN, Requests, Step
from tests.conformance.differential.schemas import INDEX_ATTRIBUTES, SCHEMAS, Index, Json, Schema
from tests.conformance.differential.values import ATTRIBUTES, Value, key_value, value

RETURNING = ("", "", " RETURNING ALL OLD *", " RETURNING ALL NEW *", " RETURNING MODIFIED NEW *")
_BROKEN = ("(", ")", "'", '"', ",", "=", "WHERE", "SELECT", "AND", "?", "1", "<<", "MISSING", "[", "none", ";")
_COMPARATORS = ("=", "=", "<>", "<", "<=", ">", ">=")
_TYPES = ("MISSING", "NULL", "BOOLEAN", "STRING", "NUMERIC", "STRUCT", "LIST")


class Statements:
    """Builds statements to one table.

    Args:
        random: where choices come from.
        schema: the table.
    """

    def __init__(self, random: Random, schema: Schema) -> None:
        self._random = random
        self._schema = schema
        self._parameters: list[Value] = []

    def _chance(self, percent: int) -> bool:
        return self._random.randrange(100) < percent

    # ---- parts ---------------------------------------------------------------------------------------------------

    def _value(self, one: Value) -> str:
        """A value as a literal or as a parameter; some can only be parameters."""
        literal = None if self._chance(40) else _literal(one)
        if literal is None:
            self._parameters.append(one)
            return "?"
        return literal

    def _name(self, name: str) -> str:
        return name if name.isascii() and name.isalpha() and name != "size" and self._chance(50) else f'"{name}"'

    def _attribute(self) -> tuple[str, str]:
        """The name and the type of an attribute that is no key of the table."""
        name = self._random.choice(list(ATTRIBUTES))
        return self._name(name), ATTRIBUTES[name]

    def _path(self) -> tuple[str, str]:
        name, kind = self._attribute()
        if kind == "M" and self._chance(60):
            return f"{name}.{self._random.choice('abc')}", "any"
        return (f"{name}[{self._random.randrange(3)}]", "any") if kind == "L" and self._chance(60) else (name, kind)

    def _some(self, kind: str) -> str:
        return self._value(value(self._random, kind if self._chance(90) else "any", 1))

    def _term(self) -> str:
        if self._chance(10):
            # A condition is a value, and an operand of another one.
            other = self._random.choice(("true", "false", f"({self._term()})"))
            return f"({self._term()}) {self._random.choice(('=', '<>', '<'))} {other}"
        path, kind = self._path()
        form = self._random.randrange(6)
        if form == 0:
            return f"{path} IS {'NOT ' * self._chance(40)}{self._random.choice(_TYPES)}"
        if form == 1:
            return f"{path} {'NOT ' * self._chance(30)}IN [{self._some(kind)}, {self._some(kind)}]"
        if form == 2:
            return f"contains({path}, {self._some('S')})"
        if form == 3:
            return f"begins_with({path}, {self._value({'S': self._random.choice('ab')})})"
        if form == 4:
            return f"size({path}) {self._random.choice(_COMPARATORS)} {self._value({'N': '2'})}"
        return f"{path} {self._random.choice(_COMPARATORS)} {self._some(kind)}"

    def _condition(self) -> str:
        terms = [self._term() for _ in range(self._random.randint(1, 3))]
        joined = self._random.choice((" AND ", " OR ")).join(terms)
        return f"NOT ({joined})" if self._chance(20) else f"({joined})"

    def _key(self, names: tuple[str, ...]) -> list[str]:
        return [f"{self._name(name)} = {self._of_key(name)}" for name in names]

    def _of_key(self, name: str) -> str:
        return self._value(key_value(self._random, self._schema.type_of(name)))

    def _where_key(self) -> str:
        """A WHERE clause that names an item, now and then with a condition, and seldom not quite."""
        terms = self._key(self._schema.key_names)
        if self._chance(5):
            terms = terms[:-1]
        if self._chance(30):
            terms.append(self._condition())
        return f" WHERE {' AND '.join(terms)}" if terms else ""

    # ---- statements ----------------------------------------------------------------------------------------------

    def select(self) -> tuple[str, bool]:
        """A SELECT, and whether the order of its items is promised."""
        index = self._random.choice(self._schema.indexes) if self._schema.indexes and self._chance(40) else None
        names = self._schema.key_names if index is None else index.keys
        source = f'"{self._schema.name}"' + (f'."{index.name}"' if index is not None else "")
        terms, is_ordered = self._key_terms(names)
        if self._chance(40) and (index is None or index.projection == "ALL"):
            terms.append(self._condition())
        where = f" WHERE {' AND '.join(terms)}" if terms else ""
        order = ""
        if is_ordered and len(names) > 1 and self._chance(40):
            order = f" ORDER BY {self._name(names[1])} {self._random.choice(('ASC', 'DESC'))}"
        return f"SELECT {self._projection(index)} FROM {source}{where}{order}", is_ordered and index is None

    def _key_terms(self, names: tuple[str, ...]) -> tuple[list[str], bool]:
        form = self._random.randrange(5)
        partition = self._name(names[0])
        if form == 0:
            return [], False
        if form == 1:
            some = ", ".join(self._of_key(names[0]) for _ in range(self._random.randint(1, 3)))
            return [f"{partition} IN [{some}]"], False
        terms = [f"{partition} = {self._of_key(names[0])}"]
        if len(names) > 1 and self._chance(60):
            terms.append(self._sort_term(names[1]))
        return terms, True

    def _sort_term(self, name: str) -> str:
        sort, kind = self._name(name), self._schema.type_of(name)
        if kind == "S" and self._chance(20):
            return f"begins_with({sort}, {self._value({'S': 'a'})})"
        return f"{sort} {self._random.choice(_COMPARATORS)} {self._of_key(name)}"

    def _projection(self, index: Index | None) -> str:
        if self._chance(60) or index is not None:
            return "*"
        names = self._random.sample([*ATTRIBUTES, *self._schema.key_names], self._random.randint(1, 3))
        return ", ".join(map(self._name, names))

    def insert(self) -> str:
        """An INSERT."""
        item = Requests(self._random, self._schema).item()
        members = ", ".join(f"{_text(name)}: {self._value(one)}" for name, one in item.items())
        return f'INSERT INTO "{self._schema.name}" VALUE {{{members}}}'

    def update(self, *, returns: bool = True) -> str:
        """An UPDATE of one to three attributes."""
        kinds = ATTRIBUTES | (INDEX_ATTRIBUTES if self._schema.indexes else {})
        names = self._random.sample(list(kinds), self._random.randint(1, 3))
        changes = " ".join(self._change(self._name(name), kinds[name]) for name in names)
        returning = self._random.choice(RETURNING) if returns else ""
        return f'UPDATE "{self._schema.name}" {changes}{self._where_key()}{returning}'

    def _change(self, name: str, kind: str) -> str:
        if self._chance(15):
            return f"REMOVE {name}"
        if kind == "N" and self._chance(40):
            return f"SET {name} = {name} {self._random.choice('+-')} {self._value({'N': '1'})}"
        if kind == "L" and self._chance(50):
            return f"SET {name} = list_append({name}, {self._value(value(self._random, 'L', 1))})"
        if kind in ("SS", "NS") and self._chance(60):
            function = self._random.choice(("set_add", "set_delete"))
            return f"SET {name} = {function}({name}, {self._value(value(self._random, kind))})"
        return f"SET {name} = {self._some(kind)}"

    def delete(self, *, returns: bool = True) -> str:
        """A DELETE."""
        returning = " RETURNING ALL OLD *" if returns and self._chance(50) else ""
        return f'DELETE FROM "{self._schema.name}"{self._where_key()}{returning}'

    def _write(self, *, returns: bool = True) -> str:
        form = self._random.randrange(4)
        if form == 0:
            return self.insert()
        return self.delete(returns=returns) if form == 1 else self.update(returns=returns)

    # ---- requests ------------------------------------------------------------------------------------------------

    def _part(self, statement: str) -> Json:
        """A statement with its parameters; the next one has its own."""
        parameters, self._parameters = self._parameters, []
        return {"Statement": statement} | ({"Parameters": parameters} if parameters else {})

    def execute(self) -> Step:
        """ExecuteStatement."""
        if self._chance(45):
            statement, is_ordered = self.select()
            request = self._part(statement)
            if self._chance(20) and "." not in statement.split(" WHERE ")[0]:
                request["ConsistentRead"] = True
        else:
            request, is_ordered = self._part(self._write()), False
            if self._chance(30):
                request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            elif self._chance(10):
                request["ReturnValuesOnConditionCheckFailure"] = "NONE"
        if self._chance(20):
            request["ReturnConsumedCapacity"] = self._random.choice(CONSUMED_CAPACITY)
        return Step("ExecuteStatement", request, is_ordered)

    def broken(self) -> Step:
        """ExecuteStatement of a statement in which something was left out, doubled or put in."""
        step = self.execute()
        words = step.request["Statement"].split(" ")
        at = self._random.randrange(len(words))
        change = self._random.randrange(3)
        words[at : at + (change != 1)] = (
            [] if change == 0 else [words[at]] * 2 if change == 1 else [self._random.choice(_BROKEN)]
        )
        return Step(step.operation, step.request | {"Statement": " ".join(words)}, step.is_ordered, is_faulty=True)

    def batch(self) -> Step:
        """BatchExecuteStatement of up to four statements."""
        count = self._random.randint(1, 4)
        if self._chance(40):
            parts = [self._read_part() for _ in range(count)]
        else:
            parts = [self._part(self._write()) for _ in range(count)]
        return Step("BatchExecuteStatement", {"Statements": parts})

    def _read_part(self) -> Json:
        where = " AND ".join(self._key(self._schema.key_names))
        return self._part(f'SELECT * FROM "{self._schema.name}" WHERE {where}')

    def transaction(self) -> Step:
        """ExecuteTransaction of up to three statements, in some cases with a token."""
        count = self._random.randint(1, 3)
        if self._chance(30):
            return Step("ExecuteTransaction", {"TransactStatements": [self._read_part() for _ in range(count)]})
        parts = []
        for _ in range(count):
            if self._chance(20):
                key = " AND ".join(self._key(self._schema.key_names))
                parts.append(self._part(f'EXISTS(SELECT * FROM "{self._schema.name}" WHERE {key} AND {self._term()})'))
            else:
                parts.append(self._part(self._write(returns=False)))
        request: Json = {"TransactStatements": parts}
        if self._chance(30):
            request["ClientRequestToken"] = f"{TOKEN}-{self._random.randrange(2)}"
        return Step("ExecuteTransaction", request)


def _text(content: str) -> str:
    return "'" + content.replace("'", "''") + "'"


def _literal(one: Value) -> str | None:
    """A value as a literal; None where there is none."""
    ((kind, content),) = one.items()
    if kind == "S":
        return _text(content)
    if kind == "N":
        return str(content) if content.lstrip("-").replace(".", "").isdigit() and content[-1] != "." else None
    if kind in ("BOOL", "NULL"):
        return "null" if kind == "NULL" else str(content).lower()
    parts = content.values() if kind == "M" else content
    if kind in ("SS", "NS"):
        parts = [{kind[0]: part} for part in content]
    elif kind not in ("L", "M"):
        return None
    inner = [_literal(part) for part in parts]
    if None in inner:
        return None
    if kind == "M":
        return "{" + ", ".join(f"{_text(name)}: {part}" for name, part in zip(content, inner, strict=True)) + "}"
    start, end = "[]" if kind == "L" else ("<<", ">>")
    return start + ", ".join(map(str, inner)) + end


#: How often each kind of request comes, as so many tickets.
_TICKETS: dict[Callable[[Statements], Step], int] = {
    Statements.execute: 8,
    Statements.broken: 2,
    Statements.batch: 2,
    Statements.transaction: 2,
}
_DRUM = [build for build, tickets in _TICKETS.items() for _ in range(tickets)]
_WRONG_TOKENS = ("", "x", "a" * 32_769, 1)
_TABLES = [*SCHEMAS, *[schema for schema in SCHEMAS if schema.indexes] * 4]


def with_options(random: Random, step: Step) -> Step:
    """A request as it was made, or with parameters beside its statements: capacity, pages, what refused a write."""
    request = copy.deepcopy(step.request)
    if step.operation != "ExecuteStatement":
        if random.random() < 0.35:
            request["ReturnConsumedCapacity"] = random.choice(CONSUMED_CAPACITY)
        for part in request.get("Statements") or request["TransactStatements"]:
            _add_options(random, part, step.operation)
        return replace(step, request=request)
    if not request["Statement"].startswith("SELECT") or random.random() >= 0.3:
        return step
    if random.random() < 0.15:
        # Nobody takes a token that nobody gave.
        return replace(step, request=request | {"NextToken": random.choice(_WRONG_TOKENS)}, is_faulty=True)
    request["Limit"] = random.choice((1, 2, 3, 100) if random.random() < 0.9 else (0, -1))
    return replace(step, request=request, reads_all=not step.is_faulty)


def _add_options(random: Random, part: Json, operation: str) -> None:
    """Adds what one of several statements can have beside its text."""
    if random.random() < 0.25:
        part["ReturnValuesOnConditionCheckFailure"] = random.choice(("ALL_OLD", "NONE"))
    if operation == "BatchExecuteStatement" and random.random() < 0.2:
        part["ConsistentRead"] = random.random() < 0.5


def statement_sequence(random: Random, length_max: int = 12) -> list[Step]:
    """Requests to one table: some items first, then statements."""
    schema = random.choice(_TABLES)
    first = Requests(random, schema)
    more = [random.choice(_DRUM)(Statements(random, schema)) for _ in range(random.randint(1, length_max))]
    # Drawn last, so that all else stays what it was.
    return [first.batch_write_item(), first.put_item(), *(with_options(random, step) for step in more)]
