"""One server over TLS for all conformance tests with real clients of a run; each test makes tables of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.servers import Server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Tenet as ``tenet up`` starts it: TLS from its own authority, every request signed."""
    with running(tmp_path_factory.mktemp("tenet") / "data") as started:
        assert started.endpoint.startswith("https://")
        yield started


@pytest.fixture(scope="session")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Tenet without TLS, for clients that cannot be told of an authority."""
    with running(tmp_path_factory.mktemp("plain-tenet") / "data", "--plaintext") as started:
        yield started


@pytest.fixture(scope="session")
def fresh_name() -> Callable[[str], str]:
    """Gives names of tables and queues that nobody else uses."""
    numbers = itertools.count(1)
    return lambda stem: f"{stem}-{next(numbers)}"
