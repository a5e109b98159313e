"""Reads for which an older state will do ask a quorum without Paxos, and see what was decided all the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from tenet.store.contract import Commit, Key, Put, SpaceOptions, StampOf
from tests.cassandra_model.cluster import Dead, Fate
from tests.cassandra_model.stand import Process, Stand, statement

DECISION = statement("SET h = ? WHERE p = ? IF lk = null")
INTENT = 5
KEYS = [Key("plain", b"a", b"1"), Key("plain", b"b", b"1")]


def watched(process: Process) -> list[bool]:
    """Returns a list that takes up of each read of records whether it goes by Paxos."""
    seen: list[bool] = []
    select = process.driver.select

    async def noting(
        text: str, values: Sequence[Any], *, is_serial: bool = True, counts_as: str = "read", **more: Any
    ) -> list[tuple[Any, ...]]:
        if counts_as == "read":
            seen.append(is_serial)
        return await select(text, values, is_serial=is_serial, counts_as=counts_as, **more)

    process.driver.select = noting  # type: ignore[method-assign]
    return seen


def test_only_reads_that_may_be_stale_do_without_paxos() -> None:
    async def test(stand: Stand) -> None:
        process = await stand.process("one")
        await process.engine.ensure_space("plain", SpaceOptions(stamps=True))
        await process.client.write(*(Put(key, b"x") for key in KEYS))
        await process.engine.is_quiet()
        seen = watched(process)
        engine, stamp = process.engine, StampOf("plain", b"a")
        for is_stale in (False, True):
            wanted = [not is_stale]
            seen.clear()
            assert [record and record.value for record in await engine.get(KEYS[:1], stale=is_stale)] == [b"x"]
            assert seen == wanted
            seen.clear()
            assert [record and record.value for record in await engine.get(KEYS, stale=is_stale)] == [b"x", b"x"]
            assert seen == wanted * 2
            seen.clear()
            assert len((await engine.query("plain", b"a", limit=9, stale=is_stale)).records) == 1
            assert seen == wanted
            seen.clear()
            # A stamp says what was read, so that a commit can rely on it.
            page = await engine.query("plain", b"a", limit=9, stamp=stamp, stale=is_stale)
            assert page.stamp is not None
            assert all(seen)
        assert engine.capabilities.stale_reads

    Stand().run(test)


@pytest.mark.parametrize("at", [0, 1])
def test_what_was_decided_is_seen_and_carried_out_though_its_process_died(at: int) -> None:
    async def test(stand: Stand) -> None:
        writer, reader = await stand.process("writer"), await stand.process("reader")
        await writer.engine.ensure_space("plain")
        await writer.client.write(*(Put(key, b"old") for key in KEYS))
        await writer.engine.is_quiet()
        writer.script.then(DECISION, Fate.DIED)
        with suppress(Dead):
            await writer.engine.commit(Commit(writer.client.new_id(), [Put(key, b"new") for key in KEYS]))
        assert writer.driver.is_dead
        assert len(stand.rows(INTENT)) == 1
        seen = watched(reader)
        (record,) = await reader.engine.get([KEYS[at]], stale=True)
        assert record is not None
        assert record.value == b"new"
        assert seen[0] is False
        # The anchor needs nothing; where something was carried out, what is read again is read by Paxos.
        assert (stand.rows(INTENT) == [], seen[-1]) == ((True, True) if at else (False, False))

    Stand().run(test)
