"""Boot storms over real Cassandra: schedulers at several Tenet nodes, and nodes of both kinds killed meanwhile.

However the schedulers pick, and whichever node they ask, no more is given out than there is, nothing that is free stays
unfound, nobody is answered with an error, and the audit of the store finds that every sum is right.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clusters import new_store_url
from tests.placement_storms import PICKS, Cloud, listen_of, token_of
from tests.rounds import LONG, rounds
from tests.servers import Server, end, join, start, tenet
from tools.cluster.cluster import Cluster

#: Schedulers, hosts, and the slots of each host. Two cores run three Cassandra nodes besides.
STORMS = rounds([(4, 6, 10)], [(16, 20, 10), (64, 20, 10), (16, 1_000, 20), (64, 1_000, 20)])
NODES = rounds(2, 3)
KILLS = rounds(1, 4)
TIME_LIMIT_S = 4 * 3_600 if LONG else 300


class Nodes:
    """Tenet nodes over one store.

    Args:
        folder: where their data lies.
        store_url: of the store.
        stack: ends them.
    """

    def __init__(self, folder: Path, store_url: str, stack: ExitStack) -> None:
        self._more = ("--plaintext", "--store", store_url)
        self.servers: list[Server] = [start(folder / "node-0", *self._more)]
        for number in range(1, NODES):
            data = folder / f"node-{number}"
            join(self.servers[0], data)
            self.servers.append(start(data, *self._more))
        stack.callback(self._end)

    def _end(self) -> None:
        for server in self.servers:
            end(server)

    def kill(self, number: int) -> None:
        """Ends one between two instructions, and starts it again where it was."""
        server = self.servers[number]
        server.kill()
        self.servers[number] = start(server.data, *self._more, "--listen", listen_of(server))


@pytest.mark.time_limit_s(TIME_LIMIT_S)
@pytest.mark.parametrize("pick", rounds(["random"], list(PICKS)))
@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_at_several_nodes_fills_the_cloud_exactly(
    tmp_path: Path, cassandra_faults: Cluster, storm: tuple[int, int, int], pick: str, seed: int
) -> None:
    schedulers, hosts, slots_of_host = storm
    chance = random.Random(seed)
    store_url = new_store_url(cassandra_faults)
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, store_url, stack)
        listens = tuple(map(listen_of, nodes.servers))
        cloud = Cloud(hosts, slots_of_host, listens, token_of(nodes.servers[0]))
        cloud.furnish()

        def kill_both_kinds() -> None:
            # While at least a third of it is still to be done, and never the node that says how far it is.
            for placed in sorted(chance.randrange(1, cloud.slots // 2) for _ in range(KILLS)):
                cloud.wait_for(placed)
                nodes.kill(chance.randrange(1, NODES))
            cloud.wait_for(cloud.slots * 2 // 3)
            cassandra_faults.kill9(3)

        began_s = time.monotonic()
        told = cloud.storm(schedulers, pick, kill_both_kinds)
        elapsed_s = time.monotonic() - began_s
        met = cloud.check(told)
    print(f"{schedulers} schedulers, {pick}, {cloud.slots} slots: {elapsed_s:.1f} s, {dict(met)}")
    # Whoever asked a node that was killed went on at another one.
    assert sum(count for answer, count in met.items() if answer.endswith("lost")) >= 1
    # One Cassandra node is away still.
    audited = tenet("placement", "audit", "--store", store_url, "--data", str(tmp_path / "node-0"))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert audited.stdout == cloud.audited
