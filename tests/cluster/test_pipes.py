"""A pipe of three Tenet nodes over three real Cassandra nodes, each of which is killed while it delivers."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clusters import new_store_url
from tests.faults.control import TenetNode
from tests.faults.pipes import Anywhere, Trial, declare
from tests.rounds import rounds
from tools.cluster.cluster import Cluster

CHANGES = rounds(60, 600)
#: How often each node is killed.
KILLS = rounds(1, 5)


@pytest.mark.time_limit_s(rounds(600, 3_600))
def test_every_change_is_delivered_in_its_order_whichever_node_is_killed(
    cassandra_cluster: Cluster, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    url = new_store_url(cassandra_cluster)
    with ExitStack() as stack:
        first = TenetNode("one", tmp_path / "one", environment={"TENET_STORE_URL": url})
        nodes = [first]
        stack.callback(first.end)
        first.start()
        for name in ("two", "three"):
            nodes.append(first.joined_by(tmp_path / name))
            stack.callback(nodes[-1].end)
            nodes[-1].start()

        def disturb() -> None:
            for node in nodes * KILLS:
                time.sleep(chance.uniform(0.5, 2.0))
                node.kill9()
                # Where the runner was there, another node goes on with it.
                time.sleep(chance.uniform(0.0, 4.0))
                node.start()

        trial = Trial(Anywhere([node.server for node in nodes]), declare(first.server), CHANGES)
        began_s = time.monotonic()
        trial.run(disturb)
        print(f"all was delivered {time.monotonic() - began_s:.1f} s after the first change was asked for")
        trial.check()
