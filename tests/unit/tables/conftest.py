"""What tests of statements share: a service of its own for each file, filled anew for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.tables.statements import Service, fill, served


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("statements")) as service:
        yield service


@pytest.fixture
def service(started: Service) -> Service:
    fill(started)
    return started
