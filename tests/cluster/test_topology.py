"""Connections to a real cluster are made anew when its nodes are others than a process knew, while statements go on."""

from __future__ import annotations

import asyncio

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.driver import Driver
from tenet.store.cassandra.engine import open_engine
from tenet.store.contract import Commit, Committed, Key, Put, new_commit_id
from tools.cluster.cluster import Cluster

CALLERS = 8


def test_a_node_that_was_not_known_is_learnt_and_one_that_is_not_there_forgotten_while_statements_go_on(
    cassandra_faults: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = cassandra_faults.contact_points
    gone = first.rpartition(".")[0] + ".99"

    async def outdated(driver: Driver, session: object) -> list[str]:
        """What a process has read that started before a node joined and another one left."""
        del session
        driver.datacenter = "dc1"
        return [first, second, gone]

    monkeypatch.setattr(Driver, "_addresses", outdated)

    async def main() -> None:
        clock, ids = SystemClock(), SystemIds()
        engine = await open_engine(f"//{first},{second}/learnt_{ids.draw(6).hex()}", clock=clock, ids=ids)
        try:
            await engine.ensure_space("s")
            is_over = False

            async def call(number: int) -> int:
                done = 0
                while not is_over:
                    keys = [Key("s", b"%d" % number, b""), Key("s", b"%d %d" % (number, done), b"")]
                    puts = [Put(key, b"%d" % done) for key in keys]
                    outcome = await engine.commit(Commit(new_commit_id(clock, ids), puts))
                    assert isinstance(outcome, Committed), outcome
                    (record,) = await engine.get(keys[:1])
                    assert record is not None
                    assert record.value == b"%d" % done
                    done += 1
                return done

            callers = [asyncio.create_task(call(number)) for number in range(CALLERS)]
            await asyncio.sleep(3)
            assert gone in engine.driver.nodes.addresses
            await engine._supervision._learn()
            assert engine.driver.nodes.addresses == [first, second, third]
            assert engine.driver.nodes.left_alone == []
            await asyncio.sleep(3)
            await engine.driver.close_former()
            await asyncio.sleep(2)
            is_over = True
            assert min(await asyncio.gather(*callers)) > 1
            assert await engine.driver.told_by(third, "SELECT key FROM system.local", timeout_s=5.0)
        finally:
            await engine.close()

    asyncio.run(main())
