"""Every figure of every engine, and of the mesh, is described on the page of metrics."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tenet.app.figures import COUNTERS, GAUGES, described
from tenet.base.clock import ManualClock
from tenet.base.ids import SeededIds
from tenet.mesh.cooperation import Cooperation
from tenet.mesh.switchboard import Switchboard
from tenet.store import memory
from tenet.store.sqlite import engine as sqlite
from tenet.wire.metrics import Figures, undescribed
from tests.cassandra_model.stand import Stand


def names(prefix: str, figures: Figures) -> set[str]:
    return {measured.name for measured in undescribed(prefix, figures)}


def test_every_figure_is_described_and_every_description_is_of_one(tmp_path: Path) -> None:
    clock, ids = ManualClock(), SeededIds(1)

    async def embedded() -> set[str]:
        found = names("tenet_store", {"reachable": False})
        for engine in (
            await memory.open_engine("", clock=clock, ids=ids),
            await sqlite.open_engine(str(tmp_path), clock=clock, ids=ids),
        ):
            found |= names("tenet_store", await engine.health())
            await engine.close()
        return found

    async def distributed(stand: Stand) -> set[str]:
        return names("tenet_store", await (await stand.process("one")).engine.health())

    async def mesh() -> set[str]:
        store = await memory.open_engine("", clock=clock, ids=ids)
        board = Switchboard(clock.monotonic_s, delay_s=0.0)
        cooperation = Cooperation(store, board.start("one"), clock=clock, ids=ids, address="one:1")
        found = names("tenet_mesh", cooperation.figures())
        await store.close()
        return found

    stand = Stand()
    found = asyncio.run(embedded()) | stand.run(distributed) | asyncio.run(mesh())
    assert found == COUNTERS.keys() | GAUGES.keys()
    assert COUNTERS.keys().isdisjoint(GAUGES)


def test_what_counts_is_a_counter_and_silent_nodes_have_a_label() -> None:
    figures: Figures = {
        "statements_sent_again": 3,
        "nodes_silent": 1,
        "nodes": "10.0.0.1,10.0.0.2",
        "nodes_not_answering": "10.0.0.2",
        "write_refusal": "",
        "of_an_engine_of_others": 7,
    }
    found = {measured.name: measured for measured in described("tenet_store", figures)}
    assert found["tenet_store_statements_sent_again"].is_counter
    assert not found["tenet_store_nodes_silent"].is_counter
    silent = found["tenet_store_node_silent"]
    assert (silent.labels, silent.values) == (("node",), {("10.0.0.1",): 0.0, ("10.0.0.2",): 1.0})
    assert found["tenet_store_of_an_engine_of_others"].values == {(): 7.0}
    assert len({measured.words for measured in found.values()}) == len(found) == 4
