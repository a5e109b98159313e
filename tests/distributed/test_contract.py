"""The contract suite over the distributed engine, on three real nodes."""

from __future__ import annotations

import pytest

from tenet.store.suite.contract_tests import *  # noqa: F403 - the suite is imported whole
from tests.contract.harnesses import CassandraHarness
from tools.cluster.cluster import Cluster


@pytest.fixture(scope="module")
def harness(cassandra_cluster: Cluster) -> CassandraHarness:
    return CassandraHarness(",".join(cassandra_cluster.contact_points))
