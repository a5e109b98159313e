"""The distributed engine on a real cluster, and the published contract suite of the store over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.engine import CassandraEngine, open_engine
from tenet.store.suite.plugin import *  # noqa: F403 - its fixtures and hooks
from tests.clusters import new_store_url
from tools.cluster.cluster import Cluster

OpenEngine = Callable[[], AbstractAsyncContextManager[CassandraEngine]]


@pytest.fixture(scope="session")
def store_url(cassandra_cluster: Cluster) -> str:
    """The store's URL of a keyspace that this process of the tests has for itself."""
    return new_store_url(cassandra_cluster)


@pytest.fixture(scope="session")
def node_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the first node on that keyspace; any other one would have to join it."""
    return tmp_path_factory.mktemp("node") / "data"


@pytest.fixture
def opened(store_url: str) -> OpenEngine:
    """Opens an engine on that keyspace, as often as wanted."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[CassandraEngine]:
        location = store_url.removeprefix("cassandra:")
        engine = await open_engine(location, clock=SystemClock(), ids=SystemIds())
        try:
            yield engine
        finally:
            await engine.close()

    return opened


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out crashes of engines in the process of the tests, which cannot crash: they would be closed in order.

    Processes that are killed have tests of their own: ``test_server``, and all in tests/cluster.
    """
    left_out = [item for item in items if item.name.endswith("[crash]")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
