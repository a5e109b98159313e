"""Tables on an embedded store of their own, for tests of PartiQL: called as the edge calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.sqlite.engine import open_engine
from tenet.tables.api import Caller, Tables
from tenet.tables.errors import TablesError

CLOCK, IDS = SystemClock(), SystemIds()
CALLER = "0" * 12


def _schema(*names: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


ROOMS: dict[str, Any] = {
    "TableName": "rooms",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": kind} for name, kind in (("house", "S"), ("room", "N"), ("kind", "S"))
    ],
    "KeySchema": _schema("house", "room"),
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by-kind-here",
            "KeySchema": _schema("house", "kind"),
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
    "GlobalSecondaryIndexes": [
        {"IndexName": "by-kind", "KeySchema": _schema("kind", "room"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
    ],
}
NOTES: dict[str, Any] = {
    "TableName": "notes",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": _schema("id"),
}


class Service:
    """Tables, called from tests that are not asynchronous.

    Args:
        runner: of the loop that they live on.
        tables: the service.
    """

    def __init__(self, runner: asyncio.Runner, tables: Tables) -> None:
        self._runner = runner
        self._tables = tables

    def __call__(self, operation: str, **request: Any) -> Any:
        """Calls an operation."""
        return orjson.loads(self._runner.run(self._tables.call(operation, request, Caller(CALLER))))

    def run(self, statement: str, *parameters: Any, **more: Any) -> Any:
        """Carries out a statement and returns the answer."""
        given = {"Parameters": list(parameters)} if parameters else {}
        return self("ExecuteStatement", Statement=statement, **given, **more)

    def items(self, statement: str, *parameters: Any, **more: Any) -> list[Any]:
        """Carries out a statement and returns its items in Python's own types, where they have them."""
        return [simple(item) for item in self.run(statement, *parameters, **more)["Items"]]

    def refusal(self, statement: str, *parameters: Any, **more: Any) -> str:
        """Carries out a statement that is to be refused, and returns the error's code and text."""
        return refusal_of(lambda: self.run(statement, *parameters, **more))

    def batch(self, *statements: Any, **more: Any) -> Any:
        """Carries out a batch."""
        return self("BatchExecuteStatement", Statements=_parts(statements), **more)

    def transact(self, *statements: Any, **more: Any) -> Any:
        """Carries out a transaction."""
        return self("ExecuteTransaction", TransactStatements=_parts(statements), **more)


def _parts(statements: tuple[Any, ...]) -> list[Any]:
    return [{"Statement": one} if isinstance(one, str) else dict(one) for one in statements]


def refusal_of(call: Any) -> str:
    """Returns the code and the text with which a call is refused; fails where it is not."""
    try:
        answer = call()
    except TablesError as error:
        return f"{error.code}: {error.message}"
    raise AssertionError(answer)


def simple(item: dict[str, Any]) -> dict[str, Any]:
    """An item with strings and whole numbers as Python has them; other values as they are."""
    return {name: _simple(value) for name, value in item.items()}


def _simple(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "N" and "." not in content:
        return int(content)
    if kind == "L":
        return [_simple(element) for element in content]
    if kind == "M":
        return simple(content)
    return content if kind in ("S", "BOOL") else value


@contextmanager
def served(directory: Path) -> Iterator[Service]:
    """Tables with the two tables of these tests."""
    with asyncio.Runner() as runner:
        engine = runner.run(open_engine(str(directory), clock=CLOCK, ids=IDS))
        tables = runner.run(Tables.open(engine, clock=CLOCK, ids=IDS))
        try:
            service = Service(runner, tables)
            service("CreateTable", **ROOMS)
            service("CreateTable", **NOTES)
            yield service
        finally:
            runner.run(tables.close())
            runner.run(engine.close())


def fill(service: Service) -> None:
    """Leaves two houses of four rooms, and one note."""
    for item in service.items("SELECT house, room FROM rooms"):
        service.run(f"DELETE FROM rooms WHERE house = '{item['house']}' AND room = {item['room']}")
    for item in service.items("SELECT id FROM notes"):
        service.run("DELETE FROM notes WHERE id = ?", {"S": item["id"]})
    for house in "ab":
        for room in range(4):
            service.run(
                f"INSERT INTO rooms VALUE {{'house': '{house}', 'room': {room}, 'kind': 'k{room % 2}', "
                f"'map': {{'x': 'y', 'parts': [1, 2]}}, 'tags': <<'a', 'b'>>, 'area': {10 * room}}}"
            )
    service.run("INSERT INTO notes VALUE {'id': 'n', 'v': 1}")
