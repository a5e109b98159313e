"""The Cassandra cluster that all tests of a run share.

A run of `make test` has a cluster of its own; by hand, tests take the one of `make cluster` where it runs, and else
start it for as long as any of them uses it. Tests keep to keyspaces of their own; one that takes nodes down is in a
stage that runs one test after the other, and gives the cluster back whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tenet.base.ids import SystemIds
from tools.cluster.cluster import NETWORK, Cluster, use
from tools.cluster.spec import Spec


@pytest.fixture(scope="session")
def cassandra_cluster() -> Iterator[Cluster]:
    """Three real nodes, up and aware of each other, shared by all workers; ``contact_points`` has their addresses."""
    with use(Spec(os.environ.get(NETWORK) or Spec.network)) as cluster:
        cluster.start_all()
        yield cluster


@pytest.fixture
def cassandra_faults(cassandra_cluster: Cluster) -> Iterator[Cluster]:
    """The same for a test that kills or freezes nodes: whole before it, and whole after it."""
    cassandra_cluster.start_all()
    yield cassandra_cluster
    cassandra_cluster.start_all()


def new_store_url(cluster: Cluster) -> str:
    """Returns the URL of a store in a keyspace that nobody else has."""
    return f"cassandra://{','.join(cluster.contact_points)}/test_{SystemIds().draw(6).hex()}"
