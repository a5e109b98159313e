"""An index is filled by a Tenet node over three real Cassandra nodes; the node is killed in the middle of it."""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import new_store_url
from tests.servers import Server, join, running
from tools.cluster.cluster import Cluster

ITEMS = 2_000
#: How many of them the node has looked at that is killed.
LOOKED_AT = 300
HOLDERS = 7
#: How long filling may take on a machine that runs five servers, and what follows from the log until it is there.
FILLED_S_MAX = 150.0
FOLLOWED_S_MAX = 30.0
_LOOKED_AT = re.compile(r"^tenet_index_filling_items\{.*\} (\S+)$", re.MULTILINE)


def looked_at(server: Server) -> float:
    """How many items a node has looked at to fill the index, 0 where it is not the one that does."""
    trusted = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
    with urllib.request.urlopen(f"{server.endpoint}/metrics", context=trusted, timeout=10) as page:
        return max(map(float, _LOOKED_AT.findall(page.read().decode())), default=0.0)


def everything(client: Any, **where: Any) -> dict[str, str]:
    """The holders of all items, by their ids, as the table or an index has them."""
    pages = client.get_paginator("scan").paginate(TableName="items", **where)
    return {item["id"]["S"]: item["holder"]["S"] for page in pages for item in page["Items"] if "holder" in item}


def change_until(is_over: threading.Event, client: Any) -> None:
    """Gives items another holder, or none, until it is over."""
    dice = random.Random(1)
    while not is_over.is_set():
        key = {"id": {"S": f"item-{dice.randrange(ITEMS)}"}}
        if dice.random() < 0.2:
            client.update_item(TableName="items", Key=key, UpdateExpression="REMOVE holder")
        else:
            new = {":h": {"S": f"holder-{dice.randrange(HOLDERS)}"}}
            client.update_item(
                TableName="items", Key=key, UpdateExpression="SET holder = :h", ExpressionAttributeValues=new
            )


def index_status(client: Any) -> str:
    (index,) = client.describe_table(TableName="items")["Table"]["GlobalSecondaryIndexes"]
    return str(index["IndexStatus"])


@pytest.mark.time_limit_s(420)
def test_another_node_goes_on_filling_where_one_was_killed(cassandra_cluster: Cluster, tmp_path: Path) -> None:
    store_url = new_store_url(cassandra_cluster)
    # Filling begins when every request has ended that does not know of the index.
    options = {"environment": {"TENET_LIMITS_DEADLINE_S": "5"}}
    with ExitStack() as stack:
        nodes = [stack.enter_context(running(tmp_path / "one", "--store", store_url, **options))]
        join(nodes[0], tmp_path / "two")
        nodes.append(stack.enter_context(running(tmp_path / "two", "--store", store_url, **options)))
        client = nodes[0].client("dynamodb")
        client.create_table(
            TableName="items",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.get_waiter("table_exists").wait(TableName="items", WaiterConfig={"Delay": 1})
        for first in range(0, ITEMS, 25):
            items = [
                {"id": {"S": f"item-{number}"}, "holder": {"S": f"holder-{number % HOLDERS}"}}
                for number in range(first, first + 25)
            ]
            client.batch_write_item(RequestItems={"items": [{"PutRequest": {"Item": item}} for item in items]})
        client.update_table(
            TableName="items",
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "holder", "AttributeType": "S"},
            ],
            GlobalSecondaryIndexUpdates=[
                {
                    "Create": {
                        "IndexName": "by-holder",
                        "KeySchema": [{"AttributeName": "holder", "KeyType": "HASH"}],
                        "Projection": {"ProjectionType": "ALL"},
                    }
                }
            ],
        )
        until_s = time.monotonic() + FILLED_S_MAX
        while not (filling := [node for node in nodes if looked_at(node) >= LOOKED_AT]):
            assert time.monotonic() < until_s
            time.sleep(0.05)
        (killed,) = filling
        killed.kill()
        (other,) = (node for node in nodes if node is not killed)
        client = other.client("dynamodb")
        assert index_status(client) == "CREATING", "it was filled before its node was killed"
        is_over = threading.Event()
        changing = threading.Thread(target=change_until, args=(is_over, other.client("dynamodb")))
        changing.start()
        try:
            while index_status(client) != "ACTIVE":
                assert time.monotonic() < until_s
                time.sleep(0.2)
        finally:
            is_over.set()
            changing.join()
        expected = everything(client, ConsistentRead=True)
        assert len(expected) > ITEMS / 2
        until_s = time.monotonic() + FOLLOWED_S_MAX
        while (found := everything(client, IndexName="by-holder")) != expected and time.monotonic() < until_s:
            time.sleep(0.2)
        assert found == expected
