"""Three Tenet nodes over three real Cassandra nodes: joined by tokens, one set of tables, one removed, one killed."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers import Server, join, running

WAIT_S = 60


def listed(server: Server) -> dict[str, tuple[str, ...]]:
    shown = server.command("node", "list").stdout.splitlines()
    return {line.split("  ")[0]: tuple(line.split("  ")[1:]) for line in shown}


def wait_until(is_so: Callable[[], object]) -> float:
    """Waits, and returns for how long it did, in seconds."""
    began_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_s < WAIT_S
        time.sleep(0.05)
    return time.monotonic() - began_s


@pytest.fixture
def nodes(store_url: str, node_data: Path, tmp_path: Path) -> Iterator[list[Server]]:
    """The first node, and two that join it: ``two`` and ``three``."""
    with ExitStack() as stack:
        first = stack.enter_context(running(node_data, "--store", store_url))
        found = [first]
        for name in ("two", "three"):
            join(first, tmp_path / name)
            found.append(stack.enter_context(running(tmp_path / name, "--store", store_url)))
        yield found


@pytest.mark.time_limit_s(600)
def test_three_nodes_serve_the_same_and_go_on_without_those_that_are_removed_or_killed(
    nodes: list[Server],
) -> None:
    one, two, three = nodes
    wait_until(lambda: all(facts[-1] == "connected" for server in nodes for facts in listed(server).values()))
    # The same keys and the same authority everywhere, and one set of tables.
    assert len({server.exports["AWS_SECRET_ACCESS_KEY"] for server in nodes}) == 1
    assert len({Path(server.exports["AWS_CA_BUNDLE"]).read_bytes() for server in nodes}) == 1
    client = two.client()
    client.create_table(
        TableName="things",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName="things", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    for server in nodes:
        server.client().put_item(TableName="things", Item={"id": {"S": str(server.data)}})
    for server in nodes:
        assert server.client().scan(TableName="things", ConsistentRead=True)["Count"] == 3
    # Removed at one node, refused by the others and stopped by itself.
    assert two.command("node", "remove", "three").returncode == 0
    assert three.process.wait(timeout=WAIT_S) == 1
    assert "node three was removed from its cluster" in three.log.read_text()
    assert re.search(r"three.*removed", one.command("node", "list").stdout)
    # Killed, and known to be.
    two.process.send_signal(signal.SIGKILL)
    wait_until(lambda: listed(one)["two"][-1] == "not connected")
    wait_until(lambda: re.match(r"dead since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$", listed(one)["two"][0]))
    one.client().put_item(TableName="things", Item={"id": {"S": "afterwards"}})
    assert one.client().scan(TableName="things", ConsistentRead=True)["Count"] == 4
    one.client().delete_table(TableName="things")
    assert one.command("node", "remove", "two").returncode == 0
