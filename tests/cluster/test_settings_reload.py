"""Settings that change while a server over real Cassandra nodes is in use."""

from __future__ import annotations

from pathlib import Path

from tests.clusters import new_store_url
from tests.faults.control import START_S_MAX
from tests.reloads import changes_while_clients_go_on
from tools.cluster.cluster import Cluster


def test_settings_change_while_clients_go_on(cassandra_cluster: Cluster, tmp_path: Path) -> None:
    url = new_store_url(cassandra_cluster)
    changes_while_clients_go_on(tmp_path, {"TENET_STORE_URL": url}, START_S_MAX)
