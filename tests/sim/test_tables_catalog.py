"""What the catalog answers from its cache, while descriptions change and answers of the store are late."""

from __future__ import annotations

import asyncio

import msgspec

from tenet.store.cached import STALE_S
from tenet.store.faulty import CallFaults, FaultPlan
from tenet.tables.model import KeyAttribute, KeySchema, Table
from tenet.tables.ops.catalog import Catalog
from tests.sim.harness import Simulation, seeds, simulate
from tests.sim.tables_processes import ACCOUNT

SLOW = FaultPlan(calls=CallFaults(delayed=0.8, delay_ms_max=400), hint_lost=0.5, hint_for_nothing=0.1)
TABLE = Table(
    account=ACCOUNT,
    name="abc",
    id="id",
    region="us-east-1",
    created_ms=1,
    keys=KeySchema(KeyAttribute("p", "S")),
    attribute_types={"p": "S"},
    status="ACTIVE",
)


def more(table: Table | None) -> Table:
    """Changes a table, so that its revision rises."""
    return TABLE if table is None else msgspec.structs.replace(table, class_changed_ms=table.class_changed_ms + 1)


async def scene(sim: Simulation) -> None:
    catalogs = []
    for _ in range(2):
        node = sim.node()
        catalogs.append(Catalog(node.store, clock=sim.clock, ids=node.ids))
        await catalogs[-1].open()
    await catalogs[0].change(ACCOUNT, "abc", more)
    #: When each revision was acknowledged, and through which catalog.
    told = [(1, sim.clock.monotonic_s(), 0)]

    def least(reader: int) -> int:
        """The oldest revision that a read which begins now may answer."""
        old_s = sim.clock.monotonic_s() - STALE_S
        return max(revision for revision, at_s, writer in told if writer == reader or at_s < old_s or revision == 1)

    async def write(writer: int) -> None:
        for _ in range(15):
            table = await catalogs[writer].change(ACCOUNT, "abc", more)
            assert table is not None
            told.append((table.revision, sim.clock.monotonic_s(), writer))
            await asyncio.sleep(sim.dice.below(900) / 1_000)

    async def read(reader: int) -> None:
        for _ in range(150):
            least_revision = least(reader)
            table = await catalogs[reader].table(ACCOUNT, "abc")
            assert table.revision >= least_revision
            await asyncio.sleep(sim.dice.below(100) / 1_000)

    await sim.actors(8, lambda actor: write(actor) if actor < 2 else read(actor % 2))
    assert max(revision for revision, _, _ in told) == 31
    for catalog in catalogs:
        await catalog.close()


def test_the_cache_is_never_older_than_it_promises() -> None:
    for seed in seeds(15, 300):
        simulate(scene, seed, SLOW)
