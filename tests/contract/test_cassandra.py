"""The contract suite over the distributed engine, on a real cluster."""

from __future__ import annotations

import pytest

from tenet.store.suite.contract_tests import *  # noqa: F403 - the suite is imported whole
from tests.contract.harnesses import CassandraHarness

# The driver leaves the pair of sockets by which its threads wake the loop to the collector of garbage.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def harness() -> CassandraHarness:
    return CassandraHarness("127.0.9.1")
