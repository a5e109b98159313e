"""Clients of a Tenet over three real Cassandra nodes, of which one is killed and one frozen, and Tenet killed itself.

What clients were told is true, whatever happened; how little they notice is looked at with several Tenets.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tenet.base.ids import SystemIds
from tests.faults.clients import Load
from tests.faults.control import Node, NumberedNode, TenetNode
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


@pytest.mark.time_limit_s(900)
def test_what_clients_were_told_is_true_whatever_happens_to_nodes(
    cassandra_faults: Cluster, tmp_path: Path, seed: int
) -> None:
    url = f"cassandra://{','.join(cassandra_faults.contact_points)}/test_{SystemIds().draw(6).hex()}"
    tenet = TenetNode("tenet-1", tmp_path / "data", environment={"TENET_STORE_URL": url})
    nodes: list[Node] = [tenet, *(NumberedNode(cassandra_faults, number) for number in (1, 2, 3))]
    groups = {node.name: [node.name] for node in nodes}
    actions: list[Action] = ["kill9", "pause"]
    schedule = draw(seed, groups=groups, actions=actions, seconds=SECONDS, lasts_s=LASTS_S, calm_s=rounds(2.0, 5.0))
    tenet.start()
    try:
        trial = conduct(tenet.target, nodes, schedule, LOADS, folder=tmp_path, seed=seed, seconds=SECONDS)
    finally:
        tenet.end()
    print(trial)
    assert trial.verdict.is_right, str(trial)
    assert len(trial.history) > 100, str(trial)
