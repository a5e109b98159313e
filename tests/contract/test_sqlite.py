"""The contract suite over the embedded engine."""

from __future__ import annotations

import pytest

from tenet.store.suite.contract_tests import *  # noqa: F403 - the suite is imported whole
from tests.contract.harnesses import SqliteHarness


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> SqliteHarness:
    return SqliteHarness(tmp_path_factory.mktemp("sqlite"))
