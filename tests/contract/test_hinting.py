"""The contract suite through the store that tells other nodes what is committed: a node's engine keeps its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenet.mesh.hinting import HintingStore
from tenet.mesh.hints import Hints
from tenet.mesh.switchboard import Switchboard
from tenet.store.memory import MemoryEngine
from tenet.store.suite.contract_tests import *  # noqa: F403 - the suite is imported whole
from tests.contract.harnesses import MemoryHarness

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Engine


class HintingHarness(MemoryHarness):
    """The reference engine of a node."""

    async def open(self, location: str, *, clock: Clock, ids: Ids) -> Engine:
        channel = Switchboard(clock.monotonic_s).start("a")
        return HintingStore(self.open_memory(location, clock, ids), Hints(channel))

    async def crash(self, engine: Engine) -> None:
        assert isinstance(engine, HintingStore)
        inner = engine._engine
        assert isinstance(inner, MemoryEngine)
        inner.crash()
        await engine._hints.close()


@pytest.fixture(scope="module")
def harness() -> HintingHarness:
    return HintingHarness()
