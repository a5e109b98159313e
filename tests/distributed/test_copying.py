"""An installation moves to a real cluster and back by ``tenet store copy``, while an unchanged program writes."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import new_store_url
from tests.moves import ONCE, TABLE, Writers, check, fill, item, make_table
from tests.servers import TENET, Server, clean_environment, running
from tools.cluster.cluster import Cluster

pytestmark = pytest.mark.time_limit_s(900)
#: Global indexes follow from the log on the cluster.
INDEXED_S_MAX = 60
COPY_S_MAX = 300
PACE_S = 0.05


def move(server: Server, source: str, target: str, filled: dict[str, int], *before: Writers) -> Writers:
    """Moves a store while it is written to; returns who wrote."""
    writers = Writers(server, 2, pace_s=PACE_S)
    while len(writers.acknowledged) < 20:
        threading.Event().wait(0.05)
    command = [str(TENET), "store", "copy", source, target, "--data", str(server.data)]
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=COPY_S_MAX, check=False
    )
    assert done.returncode == 0, done.stderr
    writers.stop()
    assert set(writers.refusals) == {503}
    check(server.client(), filled, *before, writers)
    return writers


def check_in_time(client: Any, filled: dict[str, int], *writers: Writers) -> None:
    """Checks a table whose index may be a moment behind."""
    until_s = time.monotonic() + INDEXED_S_MAX
    while True:
        try:
            check(client, filled, *writers)
        except AssertionError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.2)
        else:
            return


def test_to_a_cluster_and_back(cassandra_cluster: Cluster, tmp_path: Path) -> None:
    data, back = tmp_path / "data", f"sqlite:{tmp_path / 'back'}"
    cluster = new_store_url(cassandra_cluster)
    with running(data) as server:
        client = server.client(config=ONCE)
        make_table(client)
        filled = fill(client, 200)
        there = move(server, "sqlite:", cluster, filled)
        exports = server.exports
    with running(data, "--store", cluster) as server:
        # The same keys, and the same authority: what a client was given goes on working.
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CA_BUNDLE")
        assert [server.exports[name] for name in names] == [exports[name] for name in names]
        client = server.client(config=ONCE)
        check(client, filled, there)
        # From here on the index follows from the log of the cluster, which began with the first start.
        filled["filled-0"] = 1_000
        client.put_item(TableName=TABLE, Item=item("filled-0", 1_000))
        del filled["filled-1"]
        client.delete_item(TableName=TABLE, Key={"id": {"S": "filled-1"}})
        check_in_time(client, filled, there)
        home = move(server, cluster, back, filled, there)
    with running(data, "--store", back) as server:
        client = server.client(config=ONCE)
        check(client, filled, there, home)
        client.put_item(TableName=TABLE, Item=item("filled-0", 2))
        check(client, {**filled, "filled-0": 2}, there, home)
