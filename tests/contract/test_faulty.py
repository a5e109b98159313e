"""The contract suite over an engine that everything happens to that the contract allows.

The suite calls it as a careful caller does, who tries again what wrote nothing and settles what may have; so it has to
pass as it does without faults.
"""

from __future__ import annotations

import pytest

from tenet.store.suite.contract_tests import *  # noqa: F403 - the suite is imported whole
from tenet.store.suite.stage import SEED
from tests.contract.harnesses import FaultyHarness


@pytest.fixture(scope="module")
def harness() -> FaultyHarness:
    return FaultyHarness(seed=SEED * 1_000)
