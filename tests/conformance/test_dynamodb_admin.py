"""dynamodb-admin, a GUI of the npm registry, started against Tenet: each of its pages and forms over a table."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from tests.conformance.packages import NODE_PROGRAMS
from tests.servers import Server, clean_environment

pytestmark = pytest.mark.time_limit_s(300)

START_S_MAX = 60
OK, NO_CONTENT, NOT_FOUND, FAILED = 200, 204, 404, 500
CITIES = 60
UNITS = {"ReadCapacityUnits": 50, "WriteCapacityUnits": 50}


@dataclass(frozen=True)
class Gui:
    """The application, as a browser sees it."""

    url: str
    pool: urllib3.PoolManager

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        headers = {} if body is None else {"content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        answer = self.pool.request(method, self.url + path, body=data, headers=headers, redirect=False)
        return answer.status, answer.data.decode()

    def page(self, path: str) -> str:
        status, text = self.ask("GET", path)
        assert status == OK, text
        return text


def listening_url(process: subprocess.Popen[bytes]) -> str:
    """The address in what it prints, or what it printed where there is none."""
    assert process.stdout is not None
    said, until = b"", time.monotonic() + START_S_MAX
    while time.monotonic() < until and process.poll() is None:
        if select.select([process.stdout], [], [], 0.2)[0]:
            said += os.read(process.stdout.fileno(), 65_536)
        found = re.search(rb"listening on (http://127\.0\.0\.1:\d+)", said)
        if found:
            return found[1].decode()
    raise AssertionError(f"dynamodb-admin did not start:\n{said.decode()}")


@contextmanager
def running_gui(server: Server, folder: Path) -> Iterator[Gui]:
    program = NODE_PROGRAMS.ensure() / "node_modules" / "dynamodb-admin" / "dist" / "dynamodb-admin.js"
    listener = ["--host", "127.0.0.1", "--port", "0", "--dynamo-endpoint", server.endpoint]
    # Without the option it adds a session token that nobody gave out.
    process = subprocess.Popen(
        ["node", str(program), *listener, "--skip-default-credentials"],
        cwd=folder,
        env=clean_environment(**dict(server.exports), NODE_EXTRA_CA_CERTS=server.exports["AWS_CA_BUNDLE"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield Gui(listening_url(process), urllib3.PoolManager(retries=False))
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def gui(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    with running_gui(server, tmp_path_factory.mktemp("gui")) as started:
        yield started


def form_keys(partition: str, kind: str, sort: str, sort_kind: str) -> dict[str, str]:
    """The fields of a form that name the keys of a table or an index."""
    names = ("HashAttributeName", "HashAttributeType", "RangeAttributeName", "RangeAttributeType")
    return dict(zip(names, (partition, kind, sort, sort_kind), strict=True))


@pytest.fixture
def table(gui: Gui, server: Server, fresh_name: Callable[[str], str]) -> Iterator[str]:
    """A table as its form makes one, with a local and a global index, and cities in it."""
    name = fresh_name("cities")
    definition = {"TableName": name, **UNITS, **form_keys("country", "S", "number", "N")}
    by_kind = {"IndexName": "by-kind", "IndexType": "global", **UNITS, **form_keys("kind", "S", "name", "S")}
    by_name = {"IndexName": "by-name", "IndexType": "local", **form_keys("country", "S", "name", "S")}
    form = {"TableDefinition": definition, "SecondaryIndexes": [by_kind, by_name]}
    assert gui.ask("POST", "/create-table", form) == (NO_CONTENT, "")
    for number in range(CITIES):
        status, text = gui.ask("PUT", f"/tables/{name}/add-item", city(number))
        assert (status, json.loads(text)) == (OK, {"country": "IS", "number": number})
    yield name
    server.client().delete_table(TableName=name)


def city(number: int) -> dict[str, Any]:
    kind = "town" if number % 3 else "port"
    return {"country": "IS", "number": number, "name": f"Höfn {number:02}", "kind": kind, "at": {"north": [64, -15.5]}}


def items(gui: Gui, table: str, **query: Any) -> dict[str, Any]:
    """What its list of items shows."""
    asked = "&".join(
        f"{name}={quote(value if isinstance(value, str) else json.dumps(value))}" for name, value in query.items()
    )
    found: dict[str, Any] = json.loads(gui.page(f"/tables/{table}/items?{asked}"))
    return found


def test_pages_show_the_table(gui: Gui, table: str) -> None:
    assert table in gui.page("/")
    described = {one["TableName"]: one for one in json.loads(gui.page("/api/tables"))}[table]
    assert described["TableStatus"] == "ACTIVE"
    assert described["ProvisionedThroughput"]["ReadCapacityUnits"] == 50
    assert "HashAttributeName" in gui.page("/create-table")
    for page in ("", "/get", "/ttl", "/add-item"):
        assert table in gui.page(f"/tables/{table}{page}")
    meta = gui.page(f"/tables/{table}/meta")
    assert all(f"&#34;IndexName&#34;: &#34;{index}&#34;" in meta for index in ("by-kind", "by-name"))


def test_items_come_in_pages(gui: Gui, table: str) -> None:
    seen: list[int] = []
    query: dict[str, Any] = {"pageSize": 25}
    for size in (25, 25, 10):
        page = items(gui, table, **query)
        assert len(page["Items"]) == size
        assert (page["nextKey"] is None) == (size < 25)
        seen += [one["number"] for one in page["Items"]]
        query["startKey"] = {"country": "IS", "number": seen[-1]}
    assert seen == list(range(CITIES))


def test_filters_and_indexes(gui: Gui, table: str) -> None:
    north = {"number": {"type": "N", "operator": ">=", "value": "30"}, "kind": {"operator": "=", "value": "port"}}
    found = items(gui, table, filters=north)["Items"]
    assert [one["number"] for one in found] == list(range(30, CITIES, 3))
    assert found[0]["at"] == {"north": [64, -15.5]}
    begins = {"kind": {"operator": "=", "value": "town"}, "name": {"operator": "begins_with", "value": "Höfn 1"}}
    query = {"operationType": "query", "queryableSelection": "by-kind", "filters": begins}
    assert [one["number"] for one in items(gui, table, **query)["Items"]] == [10, 11, 13, 14, 16, 17, 19]
    other = {"country": {"operator": "=", "value": "IS"}, "name": {"operator": "<>", "value": "Höfn 05"}}
    assert len(items(gui, table, operationType="query", filters=other, pageSize=100)["Items"]) == CITIES - 1


def test_an_item_is_edited_and_deleted(gui: Gui, table: str, server: Server) -> None:
    status, _ = gui.ask("GET", f"/tables/{table}/get?hash=IS&range=7")
    assert status == 302
    path = f"/tables/{table}/items/IS,7"
    assert "Höfn 07" in gui.page(path)
    edited = city(7) | {"name": "Höfn við Hornafjörð", "founded": 1897, "twinned": None, "empty": ""}
    status, text = gui.ask("PUT", path, edited)
    assert (status, json.loads(text)) == (OK, edited)
    key = {"country": {"S": "IS"}, "number": {"N": "7"}}
    stored = server.client().get_item(TableName=table, Key=key)["Item"]
    assert (stored["founded"], stored["twinned"], stored["empty"]) == ({"N": "1897"}, {"NULL": True}, {"S": ""})
    assert gui.ask("DELETE", path) == (NO_CONTENT, "")
    assert gui.ask("GET", path) == (NOT_FOUND, "Not found")


def test_time_to_live_is_shown(gui: Gui, table: str, server: Server) -> None:
    assert "DISABLED" in gui.page(f"/tables/{table}/ttl")
    wanted = {"AttributeName": "gone_by", "Enabled": True}
    server.client().update_time_to_live(TableName=table, TimeToLiveSpecification=wanted)
    assert "gone_by" in gui.page(f"/tables/{table}/ttl")


def test_a_refusal_is_told_in_its_words(gui: Gui, table: str) -> None:
    status, text = gui.ask("GET", f"/tables/{table}-none/meta")
    assert (status, json.loads(text)["message"][:29]) == (FAILED, "Requested resource not found:")
    status, text = gui.ask("PUT", f"/tables/{table}/add-item", {"country": "IS", "number": "seven"})
    assert (status, "Type mismatch for key number" in json.loads(text)["message"]) == (FAILED, True)
    bad = {"number": {"operator": "<", "value": "seven"}, "country": {"operator": "=", "value": "IS"}}
    status, text = gui.ask("GET", f"/tables/{table}/items?operationType=query&filters={quote(json.dumps(bad))}")
    assert (status, "Condition parameter type does not match" in json.loads(text)["message"]) == (FAILED, True)


def test_a_table_is_emptied_and_deleted(gui: Gui, server: Server, fresh_name: Callable[[str], str]) -> None:
    name = fresh_name("villages")
    definition = {"TableName": name, "HashAttributeName": "id", "HashAttributeType": "S"}
    assert gui.ask("POST", "/create-table", {"TableDefinition": definition | UNITS}) == (NO_CONTENT, "")
    client = server.client()
    for number in range(10):
        client.put_item(TableName=name, Item={"id": {"S": str(number)}})
    assert gui.ask("DELETE", f"/tables/{name}/all") == (OK, "")
    assert client.scan(TableName=name)["Count"] == 0
    assert gui.ask("DELETE", f"/tables/{name}") == (NO_CONTENT, "")
    assert name not in gui.page("/")
