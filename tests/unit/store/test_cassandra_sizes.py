"""How many rows reads ask for, by how large the values of a partition are."""

from __future__ import annotations

import pytest

from tenet.base.clock import NEVER
from tenet.store.cassandra import sizes
from tenet.store.cassandra.sizes import Sizes
from tenet.store.cassandra.tries import Unanswered
from tenet.store.contract import Key, Limits, Put
from tenet.store.errors import DeadlineExceeded, StoreUnavailable
from tests.cassandra_model.stand import Stand

SMALL, LARGE = 20, 100_000
MIB = 1_048_576


def test_a_partition_of_large_values_makes_no_page_of_another_one_small_and_the_other_way_round() -> None:
    async def test(stand: Stand) -> None:
        process = await stand.process("process")
        await process.engine.ensure_space("s")
        await process.client.fill([Put(Key("s", b"small", b"%04d" % at), b"x" * SMALL) for at in range(900)])
        for at in range(30):
            await process.client.write(Put(Key("s", b"large", b"%04d" % at), b"x" * LARGE))
        for partition in (b"small", b"large") * 3:
            await process.engine.query("s", partition, limit=900, limit_bytes=MIB)
        asked: dict[bytes, int] = {}
        for partition in (b"small", b"large", b"small", b"large"):
            page = await process.engine.query("s", partition, limit=900, limit_bytes=MIB)
            asked[partition] = len(page.records)
            space = (await process.engine._find(["s"], NEVER))["s"]
            wanted = 1.25 * MIB / space.sizes.of(partition)
            assert wanted * (LARGE if partition == b"large" else SMALL) <= 2 * MIB, "a node reads too much at once"
        assert asked == {b"small": 900, b"large": MIB // LARGE + 1}

    Stand().run(test)


def test_one_that_was_not_read_yet_is_as_the_space_is_where_what_is_large_counts_for_long() -> None:
    found = Sizes()
    found.learn(b"large", 1_000_000.0)
    for _ in range(3):
        found.learn(b"small", 100.0)
    assert found.of(b"small") == 100.0
    assert found.of(b"large") == 1_000_000.0
    assert found.of(b"unseen") == found.of(None)
    assert 300_000 < found.of(None) < 400_000


def test_what_could_not_be_read_is_taken_for_larger_there_and_nowhere_else() -> None:
    found = Sizes()
    before = found.of(None)
    found.enlarge(b"p")
    assert (found.of(b"p"), found.of(None), found.of(b"q")) == (8 * before, before, before)
    for _ in range(10):
        found.enlarge(b"p")
        found.enlarge(None)
    assert found.of(b"p") == found.of(None) == Limits.value_bytes_max


def test_only_a_read_that_was_sent_and_not_answered_may_have_been_too_much() -> None:
    async def test(stand: Stand) -> None:
        process = await stand.process("process")
        await process.engine.ensure_space("s")
        await process.client.write(Put(Key("s", b"p", b"1"), b"x"))
        await process.engine.query("s", b"p", limit=100)
        known = (await process.engine._find(["s"], NEVER))["s"].sizes
        before, select = known.of(b"p"), process.driver.select
        for refusal, larger in (
            (StoreUnavailable("a majority of the cluster's nodes cannot be reached"), 1),
            (DeadlineExceeded("the deadline passed before a node of the cluster answered"), 1),
            (Unanswered("too few nodes of the cluster answered the read in time"), 8),
        ):

            async def refuse(*_: object, refusal: Exception = refusal, **__: object) -> list[tuple[object, ...]]:
                raise refusal

            process.driver.select = refuse  # type: ignore[method-assign]
            with pytest.raises(type(refusal)):
                await process.engine.query("s", b"p", limit=100)
            assert known.of(b"p") == larger * before
        process.driver.select = select  # type: ignore[method-assign]
        assert len((await process.engine.query("s", b"p", limit=100)).records) == 1

    Stand().run(test)


def test_what_is_remembered_of_partitions_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_PARTITIONS_MAX", 2)
    found = Sizes()
    for name in (b"a", b"b", b"a", b"c"):
        found.learn(name, 10.0)
    assert found.of(b"a") == found.of(b"c") == 10.0
    assert found.of(b"b") == found.of(None)
