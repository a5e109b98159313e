"""Tenet answers every check of the queues as the service does, in both protocols of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.conformance.queues.catalog import CHECKS, doubles, key_of
from tests.conformance.queues.wire import JSON, QUERY, Target
from tests.conformance.queues.world import Check, World
from tests.servers import Server

CASES = [(check, protocol) for check in CHECKS for protocol in check.protocols]


@pytest.fixture(scope="session")
def targets(server: Server) -> Iterator[dict[str, Target]]:
    """Tenet, in both protocols."""
    with closing(Target.of_server(server, JSON)) as json, closing(Target.of_server(server, QUERY)) as query:
        yield {JSON: json, QUERY: query}


def test_no_two_checks_are_called_the_same() -> None:
    assert not doubles()


@pytest.mark.parametrize(("check", "protocol"), CASES, ids=[f"{key_of(check)} ({name})" for check, name in CASES])
def test_tenet_answers_as_the_service(check: Check, protocol: str, targets: dict[str, Target]) -> None:
    world = World(targets[protocol])
    try:
        check.run(world)
    finally:
        world.clean()
