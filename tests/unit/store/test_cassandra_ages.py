"""Ages: which of two commits over partitions goes first, by what their processes have met and not by clocks alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.store.cassandra.ages import Age, time_of_id
from tenet.store.cassandra.sending import Bound
from tenet.store.contract import Commit, Committed, Key, Put
from tests.cassandra_model.stand import Process, Stand, statement

ID, OTHER = bytes(15) + b"\x01", bytes(15) + b"\x02"
ANCHOR, SHARED, ELSEWHERE = (Key("s", name) for name in (b"a", b"b", b"c"))
DECISION = statement("SET h = ? WHERE")
times = st.integers(0, 1_000)


@given(times, times)
def test_of_two_one_is_older_and_ids_tell_where_times_are_equal(one: int, other: int) -> None:
    assert Age(ID, one).is_behind(other, OTHER) != Age(OTHER, other).is_behind(one, ID)
    assert not Age(ID, one).is_behind(one, ID)
    assert Age(OTHER, one).is_behind(one, ID)


@given(times, st.lists(st.tuples(times, st.none() | times), min_size=1))
def test_one_who_loses_gets_older_between_tries_alone_and_never_past_whom_he_lost_to(
    begun: int, lost: list[tuple[int, int | None]]
) -> None:
    age = Age(ID, begun)
    to = [(time, partition_time) for time, partition_time in lost if age.is_behind(time, OTHER)]
    for time, partition_time in to:
        age.lost_to(time, partition_time)
        assert age.time == begun, "its locks say something else than what it goes by"
    age.begin_again()
    assert age.time <= begun
    if to:
        assert all(age.time <= max(time, partition_time or 0) + 1 for time, partition_time in to)
        assert age.time > min(time for time, _ in to)
        # Whatever is begun there from then on is drawn above what stands there.
        assert not age.is_behind(min(max(time, partition_time or 0) for time, partition_time in to) + 2, OTHER)
    fixed = age.time
    age.begin_again()
    assert age.time == fixed


def test_a_commit_of_a_version_that_tells_no_time_stands_under_that_of_its_id() -> None:
    assert time_of_id((1_700_000_000_000).to_bytes(6, "big") + bytes(10)) == 1_700_000_000_000 << 16


def over(process: Process, *keys: Key) -> Commit:
    return Commit(process.client.new_id(), [Put(key, process.driver.name.encode()) for key in keys])


@pytest.mark.parametrize("ahead_ms", [-240_000, 0, 240_000])
def test_who_has_let_go_once_goes_before_what_is_begun_later_wherever_his_clock_is(ahead_ms: int) -> None:
    async def test(stand: Stand) -> None:
        first, loser = await stand.process("first"), await stand.process("loser", behind_ms=-ahead_ms)
        await first.engine.ensure_space("s")
        # Both have written there, so that neither is behind what stands there.
        for process in (loser, first):
            assert isinstance(await process.engine.commit(over(process, SHARED)), Committed)
        hold = first.script.hold(DECISION)
        winning = asyncio.ensure_future(first.engine.commit(over(first, ANCHOR, SHARED)))
        await hold.reached.wait()
        stand.clock.advance_ms(1)
        losing = asyncio.ensure_future(loser.engine.commit(over(loser, ELSEWHERE, SHARED)))
        await asyncio.sleep(0.05)
        assert not losing.done()
        # What is begun now, by whoever was faster, is younger: held up before its decision it is not waited for long.
        stand.clock.advance_ms(1)
        hold.go.set()
        assert isinstance(await winning, Committed)
        again = first.script.hold(DECISION)
        later = asyncio.ensure_future(first.engine.commit(over(first, ANCHOR, SHARED)))
        await again.reached.wait()
        begun_s = stand.clock.monotonic_s()
        assert isinstance(await losing, Committed)
        assert stand.clock.monotonic_s() - begun_s < 0.4, "it waited as one does who is younger"
        again.go.set()
        assert isinstance(await later, Committed)

    Stand().run(test)


def without_times(bound: Sequence[Bound]) -> Sequence[Bound]:
    """Leaves intents as versions before wrote them."""
    return [
        (text.replace(", st = ?", ""), [values[0], *values[2:]]) if "SET v = ?, st = ?" in text else (text, values)
        for text, values in bound
    ]


@pytest.mark.parametrize("ahead_ms", [-1_000, 1_000])
def test_who_meets_a_version_that_tells_no_time_goes_by_its_ids(ahead_ms: int) -> None:
    async def test(stand: Stand) -> None:
        former, other = await stand.process("former", behind_ms=-ahead_ms), await stand.process("other")
        former.driver._rewrite = without_times
        await former.engine.ensure_space("s")
        hold = former.script.hold(DECISION)
        waiting = asyncio.ensure_future(former.engine.commit(over(former, ANCHOR, SHARED)))
        await hold.reached.wait()
        begun_s = stand.clock.monotonic_s()
        assert isinstance(await other.engine.commit(over(other, ELSEWHERE, SHARED)), Committed)
        waited_s = stand.clock.monotonic_s() - begun_s
        assert (waited_s < 0.4) == (ahead_ms > 0), "an older one waits less"
        hold.go.set()
        assert isinstance(await waiting, Committed)

    Stand().run(test)
