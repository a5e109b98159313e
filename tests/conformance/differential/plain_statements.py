"""Makes random PartiQL statements of the few forms that every peer with PartiQL reads.

The statements of ``statements`` use the whole language, of which a peer may know so little that its answers bear
nothing out. These name items by their whole key, compare by ``=`` and write one attribute or two.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.conformance.differential.requests import Requests, Step
from tests.conformance.differential.schemas import SCHEMAS, Json, Schema
from tests.conformance.differential.values import Value, key_value

#: Attributes that are keys of nothing, and values for them that a literal can be made of and others.
_NAMES = ("s", "t", "x", "name")
_STRINGS = ("", "a", "b", "é", "😀", "aa", "10")
_OTHERS: tuple[Value, ...] = ({"N": "3"}, {"BOOL": True}, {"L": [{"S": "a"}]}, {"M": {"a": {"N": "1"}}}, {"SS": ["a"]})
_TABLES = [schema for schema in SCHEMAS if {kind for _, kind in schema.keys} == {"S"}]


class PlainStatements:
    """Builds plain statements to one table whose keys are strings.

    Args:
        random: where choices come from.
        schema: the table.
    """

    def __init__(self, random: Random, schema: Schema) -> None:
        self._random = random
        self._schema = schema

    def _chance(self, percent: int) -> bool:
        return self._random.randrange(100) < percent

    def _string(self, text: str, parameters: list[Value]) -> str:
        """A string as a literal or as a parameter."""
        if self._chance(50):
            return f"'{text}'"
        parameters.append({"S": text})
        return "?"

    def _key(self) -> dict[str, str]:
        return {name: key_value(self._random, kind)[kind] for name, kind in self._schema.keys}

    def _where(self, parameters: list[Value], *, is_literal: bool = False) -> str:
        """A WHERE clause that names an item, now and then with another attribute of it."""
        wanted = self._key()
        if self._chance(15):
            wanted[self._random.choice(_NAMES)] = self._random.choice(_STRINGS)
        terms = [
            f'"{name}" = ' + (f"'{text}'" if is_literal else self._string(text, parameters))
            for name, text in wanted.items()
        ]
        return " WHERE " + " AND ".join(terms)

    def select(self) -> Json:
        """A SELECT of an item."""
        parameters: list[Value] = []
        where = self._where(parameters)
        projection = "*" if self._chance(70) else ", ".join(self._random.sample([*_NAMES[:2], "p"], 2))
        return _part(f'SELECT {projection} FROM "{self._schema.name}"{where}', parameters)

    def insert(self) -> Json:
        """An INSERT of an item of strings and numbers."""
        members = [f"'{name}': '{text}'" for name, text in self._key().items()]
        for name in self._random.sample(_NAMES, self._random.randint(0, 2)):
            literal = str(self._random.randrange(9)) if self._chance(30) else f"'{self._random.choice(_STRINGS)}'"
            members.append(f"'{name}': {literal}")
        return _part(f'INSERT INTO "{self._schema.name}" VALUE {{{", ".join(members)}}}', [])

    def update(self) -> Json:
        """An UPDATE that sets an attribute or removes one."""
        parameters: list[Value] = []
        name = self._random.choice(_NAMES)
        if self._chance(20):
            change = f"REMOVE {name}"
        elif self._chance(30):
            parameters.append(self._random.choice(_OTHERS))
            change = f"SET {name} = ?"
        else:
            change = f"SET {name} = {self._string(self._random.choice(_STRINGS), parameters)}"
        return _part(f'UPDATE "{self._schema.name}" {change}{self._where(parameters)}', parameters)

    def delete(self) -> Json:
        """A DELETE of an item."""
        return _part(f'DELETE FROM "{self._schema.name}"{self._where([], is_literal=True)}', [])

    def _write(self) -> Json:
        return self._random.choice((self.insert, self.update, self.update, self.delete))()

    def _parts(self, build: Callable[[], Json]) -> list[Json]:
        return [build() for _ in range(self._random.randint(1, 3))]

    def execute(self) -> Step:
        """ExecuteStatement."""
        return Step("ExecuteStatement", self.select() if self._chance(50) else self._write())

    def batch(self) -> Step:
        """BatchExecuteStatement of reads or of writes."""
        return Step(
            "BatchExecuteStatement", {"Statements": self._parts(self.select if self._chance(40) else self._write)}
        )

    def transaction(self) -> Step:
        """ExecuteTransaction of reads or of writes."""
        parts = self._parts(self.select if self._chance(40) else self._write)
        return Step("ExecuteTransaction", {"TransactStatements": parts})


def _part(statement: str, parameters: list[Value]) -> Json:
    return {"Statement": statement} | ({"Parameters": parameters} if parameters else {})


def plain_sequence(random: Random, length_max: int = 12) -> list[Step]:
    """Requests to one table: some items first, then plain statements."""
    schema = random.choice(_TABLES)
    first = Requests(random, schema)
    made = PlainStatements(random, schema)
    drum = (made.execute, made.execute, made.execute, made.batch, made.transaction)
    more = [random.choice(drum)() for _ in range(random.randint(1, length_max))]
    return [first.batch_write_item(), first.put_item(), *more]
