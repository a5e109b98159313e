"""The contract suite over the distributed engine, on a cluster in memory: its logic, without the nodes."""

from __future__ import annotations

import pytest

from tenet.store.suite.contract_tests import *  # noqa: F403 - the suite is imported whole
from tests.contract.harnesses import ModelledCassandraHarness


@pytest.fixture(scope="module")
def harness() -> ModelledCassandraHarness:
    return ModelledCassandraHarness()
