"""Clients of three Tenets behind HAProxy over three real Cassandra nodes, any of which is killed or frozen.

What clients were told is true, and the faults are hidden from them: no error beyond what the SDK's retries hide.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.clusters import new_store_url
from tests.conformance.peers import free_port
from tests.faults.clients import Load
from tests.faults.control import Node, NumberedNode, TenetNode
from tests.faults.haproxy import Proxy
from tests.faults.schedule import Action, draw
from tests.faults.trial import conduct
from tests.rounds import rounds
from tools.cluster.cluster import Cluster

LOADS = (
    Load("registers", 2),
    Load("counters", 2),
    Load("bank", 2),
    Load("lists", 2),
    Load("lists", 2, language="javascript"),
)
LASTS_S: dict[Action, float] = {"kill9": rounds(2.0, 5.0), "pause": rounds(3.0, 20.0)}
SECONDS = rounds(25.0, 300.0)
NAMES = ("tenet-1", "tenet-2", "tenet-3")


@pytest.mark.time_limit_s(1_200)
def test_what_clients_were_told_is_true_whatever_happens_to_nodes(
    cassandra_faults: Cluster, tmp_path: Path, seed: int
) -> None:
    url = new_store_url(cassandra_faults)
    with ExitStack() as stack:
        first = TenetNode(NAMES[0], tmp_path / NAMES[0], environment={"TENET_STORE_URL": url})
        first.start()
        stack.callback(first.end)
        tenets = [first]
        for name in NAMES[1:]:
            node = first.joined_by(tmp_path / name)
            node.start()
            stack.callback(node.end)
            tenets.append(node)
        proxy = Proxy(
            Path(stack.enter_context(TemporaryDirectory(prefix="haproxy"))),
            {node.name: node.address for node in tenets},
            listen=f"127.0.0.1:{free_port()}",
            ca_file=first.server.exports["AWS_CA_BUNDLE"],
        )
        proxy.start()
        stack.callback(proxy.end)
        nodes: list[Node] = [*tenets, *(NumberedNode(cassandra_faults, number) for number in (1, 2, 3))]
        groups = {node.name: [node.name] for node in nodes}
        actions: list[Action] = ["kill9", "pause"]
        schedule = draw(seed, groups=groups, actions=actions, seconds=SECONDS, lasts_s=LASTS_S, calm_s=rounds(3.0, 5.0))
        target = proxy.target(first.server.exports)
        trial = conduct(target, nodes, schedule, LOADS, folder=tmp_path, seed=seed, seconds=SECONDS)
    print(trial)
    assert trial.verdict.is_right, str(trial)
    assert len(trial.history) > 100, str(trial)
    assert trial.complaints({}) == [], str(trial)
