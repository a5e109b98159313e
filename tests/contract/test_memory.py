"""The contract suite over the reference engine."""

from __future__ import annotations

import pytest

from tenet.store.suite.contract_tests import *  # noqa: F403 - the suite is imported whole
from tests.contract.harnesses import MemoryHarness


@pytest.fixture(scope="module")
def harness() -> MemoryHarness:
    return MemoryHarness()
