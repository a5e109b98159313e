"""Real Cassandra nodes as the tests have them: killed, frozen, stopped and back; and gone with whoever started them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import acsylla
import pytest

from tests.conformance.packages import CASSANDRA
from tools.cluster.cluster import Cluster, ClusterFailed, find, free_network, open_free, use
from tools.cluster.java import find_java
from tools.cluster.keeper import LINGER_S
from tools.cluster.spec import Spec

ROOT = Path(__file__).resolve().parents[2]
#: A cluster of one node beside the others, which none of these tests waits for.
ONE = Spec(nodes=1, heap_mb=256)
GONE_S_MAX = 30

pytestmark = pytest.mark.time_limit_s(300)


# ---- a driver sees one node die ----


async def applied(session: Any, statement: str) -> bool:
    """Runs a lightweight transaction and says whether it took effect."""
    query = acsylla.create_statement(statement, consistency=acsylla.Consistency.QUORUM, timeout=10)
    query.set_serial_consistency(acsylla.Consistency.SERIAL)
    row = (await session.execute(query)).first()
    assert row is not None
    return bool(row.as_dict()["[applied]"])


def connected(cluster: Cluster, work: Callable[[Any], Awaitable[None]]) -> None:
    async def run() -> None:
        driver = acsylla.create_cluster(list(cluster.contact_points), request_timeout=20)
        session = await driver.create_session()
        try:
            await work(session)
        finally:
            await session.close()

    asyncio.run(run())


def test_lightweight_transactions_go_on_while_a_node_is_killed_and_comes_back(cassandra_faults: Cluster) -> None:
    insert = "INSERT INTO nodes_test.items (name, size) VALUES ('{}', {}) IF NOT EXISTS"

    async def work(session: Any) -> None:
        replication = "{'class': 'NetworkTopologyStrategy', 'dc1': 3}"
        for statement in (
            "DROP KEYSPACE IF EXISTS nodes_test",
            f"CREATE KEYSPACE nodes_test WITH replication = {replication}",
            "CREATE TABLE nodes_test.items (name text PRIMARY KEY, size bigint)",
        ):
            await session.execute(acsylla.create_statement(statement))
        assert await applied(session, insert.format("before", 1))
        await asyncio.to_thread(cassandra_faults.kill9, 2)
        assert not cassandra_faults.is_up(2)
        assert await applied(session, insert.format("during", 2))
        assert not await applied(session, insert.format("before", 3)), "what was there before the kill is still there"
        await asyncio.to_thread(cassandra_faults.start, 2)
        await asyncio.to_thread(cassandra_faults.wait_whole)
        # With another node away, the one that was killed has to take part in every quorum.
        await asyncio.to_thread(cassandra_faults.stop, 3)
        assert not await applied(session, insert.format("during", 4))
        assert await applied(session, insert.format("after", 5))

    connected(cassandra_faults, work)
    assert cassandra_faults.state(3)["state"] == "down"
    assert "Cassandra shutdown complete" in (cassandra_faults.logs(3) / "system.log").read_text(encoding="utf-8")
    assert cassandra_faults.seen_up(1) == {2}, "a node that is stopped takes its leave, one that is killed does not"


# ---- single nodes ----


def test_a_frozen_node_is_not_up_and_goes_on_where_it_was(cassandra_faults: Cluster) -> None:
    process = cassandra_faults.state(3)["pid"]
    cassandra_faults.pause(3)
    assert cassandra_faults.state(3)["state"] == "paused"
    assert not cassandra_faults.is_up(3)
    assert cassandra_faults.is_up(1)
    cassandra_faults.resume(3)
    cassandra_faults.wait_up(3)
    assert cassandra_faults.state(3)["pid"] == process


def test_nodetool_reaches_each_node(cassandra_cluster: Cluster) -> None:
    done = cassandra_cluster.nodetool(2, "status")
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in sorted(done.stdout.splitlines()) if line.startswith("UN")] == [
        ["UN", address] for address in cassandra_cluster.contact_points
    ]


def test_a_node_that_is_not_there_cannot_be_told_anything(cassandra_cluster: Cluster) -> None:
    with pytest.raises(ValueError, match="no node 4, only 1 to 3"):
        cassandra_cluster.kill9(4)


def test_a_cluster_with_other_settings_is_not_taken_for_this_one(cassandra_cluster: Cluster) -> None:
    with pytest.raises(ClusterFailed, match="other settings"), use(Spec(cassandra_cluster.spec.network, nodes=2)):
        pass


# ---- lifetimes ----


@pytest.fixture
def apart() -> Iterator[Cluster]:
    """A node of its own, started but not waited for, beside the cluster of the run."""
    cluster = open_free(ONE)
    cluster.launch(1)
    yield cluster
    cluster.close()


def is_there(pid: int) -> bool:
    """Whether a process exists and has not ended; one that nobody has waited for yet has ended."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def wait_gone(pid: int) -> None:
    until = time.monotonic() + GONE_S_MAX
    while is_there(pid):
        assert time.monotonic() < until, f"process {pid} is still there"
        time.sleep(0.1)


def test_two_clusters_run_beside_each_other(cassandra_cluster: Cluster, apart: Cluster) -> None:
    assert apart.spec.network != cassandra_cluster.spec.network
    assert apart.state(1)["state"] == "running"


def test_nodes_end_with_the_run_that_was_killed() -> None:
    program = (
        "import time; from tools.cluster.cluster import open_free; from tools.cluster.spec import Spec\n"
        "cluster = open_free(Spec(nodes=1, heap_mb=256)); cluster.launch(1)\n"
        "print(cluster.state(1)['pid'], flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        node = int(run.stdout.readline())
        assert is_there(node)
        run.kill()
    wait_gone(node)


def test_a_hold_of_one_process_is_enough(apart: Cluster) -> None:
    network, node = apart.spec.network, apart.state(1)["pid"]
    second = find(network)
    assert second is not None
    apart.close()
    time.sleep(LINGER_S + 2)  # longer than the keeper waits for another user
    assert second.state(1)["pid"] == node
    second.close()
    wait_gone(node)
    assert find(network) is None


def test_what_a_killed_keeper_left_behind_is_ended(apart: Cluster) -> None:
    spec, node = apart.spec, apart.state(1)["pid"]
    parent = subprocess.run(["ps", "-o", "ppid=", "-p", str(node)], capture_output=True, text=True, check=True)
    os.kill(int(parent.stdout), signal.SIGKILL)
    with pytest.raises(ClusterFailed, match="has ended or"):
        apart.state(1)
    with use(spec) as again:
        again.launch(1)
        assert again.state(1)["pid"] != node
    wait_gone(node)


def test_a_keeper_that_cleans_up_for_long_still_waits_for_its_first_user() -> None:
    spec = replace(ONE, network=free_network(1))
    spec.folder.mkdir(parents=True, exist_ok=True)
    program = (
        "import sys, time; from tools.cluster import keeper\n"
        f"keeper.Node.end_stale = lambda _node: time.sleep({LINGER_S + 1})\n"
        "sys.exit(keeper.main())"
    )
    arguments = [json.dumps(spec.to_json()), str(find_java()), str(CASSANDRA.ensure() / "lib"), "fresh"]
    with subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=ROOT) as keeper:
        until = time.monotonic() + GONE_S_MAX
        while (cluster := find(spec.network)) is None:
            assert keeper.poll() is None, "the keeper has ended before anybody could use it"
            assert time.monotonic() < until
            time.sleep(0.05)
        assert cluster.spec == spec
        cluster.close()
        assert keeper.wait(GONE_S_MAX) == 0
