"""Two nodes of the placement service on one store, asked in turn: what machines of rules have in common."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from tenet.store.memory_state import MemoryState
from tests.unit.placement.world import World, memory

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")


class TwoNodes(RuleBasedStateMachine):
    """Asks one of two nodes, the other one next."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.state = MemoryState()
        self.turn = 0
        self.nodes = [self.runner.run(self._open()) for _ in range(2)]

    async def _open(self) -> World:
        return await World(memory(state=self.state), is_shared=True).__aenter__()

    def teardown(self) -> None:
        for node in self.nodes:
            self.run(node.__aexit__())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def next_node(self) -> World:
        self.turn += 1
        return self.nodes[self.turn % 2]
