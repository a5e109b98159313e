"""Settings that change while a server over real Cassandra nodes is in use."""

from __future__ import annotations

from pathlib import Path

from tenet.base.ids import SystemIds
from tests.faults.control import START_S_MAX
from tests.reloads import changes_while_clients_go_on
from tools.cluster.cluster import Cluster


def test_settings_change_while_clients_go_on(cassandra_cluster: Cluster, tmp_path: Path) -> None:
    url = f"cassandra://{','.join(cassandra_cluster.contact_points)}/test_{SystemIds().draw(6).hex()}"
    changes_while_clients_go_on(tmp_path, {"TENET_STORE_URL": url}, START_S_MAX)
