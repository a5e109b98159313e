"""The simulation sends every operation of tables, of their streams and of queues to nodes to which everything happens.

Each is answered there, and meets a store that cannot serve. Scenes are played from seeds of their own, whatever else
runs and wherever; a new operation fails here until an actor sends it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import pytest

from tenet.queues import api as queues_api
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.store.faulty import Faulty
from tenet.tables import api as tables_api
from tests.sim import (
    test_queues_control_plane,
    test_queues_messages,
    test_tables_control_plane,
    test_tables_operations,
    test_tables_settings,
    test_tables_streams,
)
from tests.sim.harness import Simulation, simulate

#: What is played, with the seeds of each.
Scenes = Mapping[Callable[[Simulation], Awaitable[Any]], range]
TABLES: Scenes = {
    test_tables_operations.scene: range(6),
    test_tables_settings.scene: range(5),
    test_tables_control_plane.scene: range(3),
}
STREAMS: Scenes = {test_tables_streams.everything: range(14)}
QUEUES: Scenes = {
    partial(test_queues_messages.scene, name="q"): range(6),
    partial(test_queues_messages.scene, name="q.fifo"): range(2),
    test_queues_control_plane.scene: range(4),
    test_queues_control_plane.moving: range(10),
}
#: Operations that ask nothing of the store, so that it cannot fail them.
WITHOUT_STORE = {"DescribeEndpoints", "DescribeLimits"}


class Recorder:
    """Counts the requests that reach the operations of a service, by what became of them.

    Only those count whose node has had a fault.
    """

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def recorded(self, name: str, operation: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Returns an operation that is counted."""

        async def call(context: Any, *arguments: Any) -> Any:
            is_faulty = isinstance(context.store, Faulty) and any(context.store.counts.values())
            try:
                answer = await operation(context, *arguments)
            except (StoreUnavailable, OutcomeUnknown):
                self.failed[name] += is_faulty
                raise
            self.answered[name] += is_faulty
            return answer

        return call


def play(monkeypatch: pytest.MonkeyPatch, routes: Any, scenes: Scenes) -> Recorder:
    """Plays scenes, and returns what they sent to the operations of a service."""
    recorder = Recorder()
    for name, operation in list(routes.items()):
        monkeypatch.setitem(routes, name, recorder.recorded(name, operation))
    for scene, seeds in scenes.items():
        for seed in seeds:
            simulate(scene, seed)
    return recorder


@pytest.mark.interpreted
@pytest.mark.parametrize(
    ("routes", "scenes"),
    [(tables_api.ROUTES, TABLES), (tables_api.STREAM_ROUTES, STREAMS), (queues_api.ROUTES, QUEUES)],
    ids=["tables", "streams", "queues"],
)
def test_every_operation_is_sent_where_everything_happens(
    routes: Mapping[str, Any], scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = play(monkeypatch, routes, scenes)
    assert sorted(name for name in routes if not recorder.answered[name]) == [], "never answered"
    never_failed = {name for name in routes if not recorder.failed[name]}
    assert never_failed <= WITHOUT_STORE, "never failed"


@pytest.mark.interpreted
def test_an_operation_that_is_never_sent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = play(monkeypatch, tables_api.ROUTES, {test_tables_settings.scene: range(1)})
    assert recorder.answered["TagResource"]
    assert not recorder.answered["Query"]
    # The table is made at a node to which nothing happens.
    assert not recorder.answered["CreateTable"]
