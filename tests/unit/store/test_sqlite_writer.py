"""The writer: who waits shares an fsync, in order, within bounds; and what a failing disk leads to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from tenet.base.clock import ManualClock
from tenet.store.contract import (
    Add,
    Append,
    Committed,
    IsVersion,
    Key,
    LogOptions,
    NeverCommitted,
    Put,
    SpaceOptions,
    Unknown,
    Write,
)
from tenet.store.errors import (
    DeadlineExceeded,
    DiskFull,
    InvalidRequest,
    ReadOnlyStore,
    SpaceNotFound,
    StoreCorrupt,
    StoreError,
    StoreFault,
    StoreUnavailable,
)
from tenet.store.sqlite.apply import Transaction
from tenet.store.sqlite.keys import prefix_of
from tenet.store.sqlite.schema import connect
from tenet.store.sqlite.writer import QUEUE_BYTES_MAX, QUEUE_JOBS_MAX
from tenet.store.watches import Watches
from tests.unit.store.sqlite_helpers import (
    CLOCK,
    Disk,
    commit_of,
    damage_leaves,
    eventually,
    file_of,
    key,
    misbehaving_disk,
    opened,
    put,
    put_surely,
    run,
    value_of,
    values,
)

ENOUGH_BYTES = 2 * 1024 * 1024


def test_commits_that_wait_together_share_one_sync(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            before = disk.syncs
            await asyncio.gather(*(put_surely(engine, number) for number in range(200)))
            assert disk.syncs - before <= 3
            assert file_of(engine).writer.figures.largest_group >= 100

    with misbehaving_disk() as disk:
        run(test(disk))


def test_what_comes_during_a_sync_waits_for_the_next(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            disk.hold()
            first = asyncio.create_task(put_surely(engine, 1))
            await eventually(lambda: file_of(engine).writer._is_committing)
            others = [asyncio.create_task(put_surely(engine, number)) for number in range(2, 50)]
            await asyncio.sleep(0.05)
            assert not first.done()
            assert not any(other.done() for other in others)
            # Reads go on, and see nothing that is not on the disk.
            assert await value_of(engine, 1) is None
            disk.release()
            await asyncio.gather(first, *others)
            assert file_of(engine).writer.figures.largest_group == 48

    with misbehaving_disk() as disk:
        run(test(disk))


def test_a_commit_sees_what_the_ones_before_it_in_line_wrote(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            made = (await put_surely(engine, 1)).version
            rivals = [
                engine.commit(commit_of(Put(key(1), b"%d" % number), checks=[IsVersion(key(1), made)]))
                for number in range(20)
            ]
            outcomes = await asyncio.gather(*rivals)
            # In order of arrival: the first one wins.
            assert [isinstance(outcome, Committed) for outcome in outcomes] == [True] + [False] * 19
            assert await value_of(engine, 1) == b"0"

    run(test())


def test_versions_follow_the_order_of_arrival(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            committed = await asyncio.gather(*(put_surely(engine, number) for number in range(300)))
            versions = [outcome.version for outcome in committed]
            assert versions == sorted(set(versions))

    run(test())


@pytest.mark.parametrize("what", ["puts", "adds", "appends"])
def test_a_large_commit_does_not_hold_the_loop(tmp_path: Path, what: str) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await engine.ensure_space("logged", SpaceOptions(log=LogOptions()))
            writes: list[Write] = []
            appends: list[Append] = []
            for number in range(6_000):
                if what == "puts":
                    writes.append(Put(key(number), bytes(100)))
                elif what == "adds":
                    writes.append(Add(key(number), "n", 1))
                else:
                    appends.append(Append(Key("logged", b"%d" % number), None, b"x"))
            turns = 0
            done = asyncio.Event()

            async def tick() -> None:
                nonlocal turns
                while not done.is_set():
                    turns += 1
                    await asyncio.sleep(0)

            ticking = asyncio.create_task(tick())
            assert isinstance(await engine.commit(commit_of(*writes, appends=appends)), Committed)
            done.set()
            await ticking
            assert turns >= 6_000 // 200

    run(test())


def test_nothing_comes_between_the_parts_of_a_large_commit(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            large = [commit_of(*(Put(key(number), b"%d" % one) for number in range(700))) for one in range(3)]
            small = [commit_of(Put(key(0), b"small"), Put(key(699), b"small")) for _ in range(30)]
            calls: list[Awaitable[object]] = [engine.commit(commit) for commit in large]
            calls[1:1] = [engine.commit(commit) for commit in small]
            await asyncio.gather(*calls)
            found = values(await engine.get([key(number) for number in range(700)]))
            assert found == [b"2"] * 700

    run(test())


def test_no_read_goes_back_behind_one_that_saw_the_commit(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1, b"old")
            disk.hold()
            putting = asyncio.create_task(put_surely(engine, 1, b"new"))
            await eventually(lambda: file_of(engine).writer._is_committing)
            for _ in range(50):
                assert await value_of(engine, 1) == b"old"
            assert file_of(engine).pool._keeps
            page = await engine.scan("things", limit=1)
            assert [record.value for record in page.records] == [b"old"]
            disk.release()
            # As a read in a thread may, this sees the commit before the loop has heard of it.
            other = connect(file_of(engine).path, cache_bytes=2**20)
            sql, parameters = file_of(engine).catalogue.find("things").get_sql, (prefix_of(b"p1"),)
            while other.execute(sql, parameters).fetchall()[0][1] == b"old":
                time.sleep(0.001)  # noqa: ASYNC251 - the loop must not hear of it yet
            other.close()
            assert not putting.done()
            assert await value_of(engine, 1) == b"new"
            await putting

    with misbehaving_disk() as disk:
        run(test(disk))


# ---- what waits is bounded, and has a deadline -----------------------------------------------------------------------


def test_too_many_that_wait_are_refused(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            disk.hold()
            calls = [asyncio.create_task(put(engine, number)) for number in range(QUEUE_JOBS_MAX + 50)]
            results = asyncio.gather(*calls, return_exceptions=True)
            await asyncio.sleep(0.2)
            refused = [call for call in calls if call.done()]
            assert 0 < len(refused) <= 50
            for call in refused:
                with pytest.raises(StoreUnavailable, match="wait for the disk"):
                    call.result()
            disk.release()
            assert sum(isinstance(result, Committed) for result in await results) == len(calls) - len(refused)
            # And goes on as if nothing had been.
            await put_surely(engine, 1)

    with misbehaving_disk() as disk:
        run(test(disk))


@pytest.mark.thorough
def test_too_many_bytes_that_wait_are_refused(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            disk.hold()
            value = bytes(ENOUGH_BYTES)
            count = QUEUE_BYTES_MAX // ENOUGH_BYTES + 20
            calls = [asyncio.create_task(put(engine, number, value)) for number in range(count)]
            results = asyncio.gather(*calls, return_exceptions=True)
            await asyncio.sleep(0.2)
            assert any(call.done() for call in calls)
            disk.release()
            ends = await results
            assert {type(end) for end in ends} == {Committed, StoreUnavailable}
            there = [await value_of(engine, number) is not None for number in range(count)]
            assert there == [isinstance(end, Committed) for end in ends]

    with misbehaving_disk() as disk:
        run(test(disk))


def test_a_deadline_that_passes_in_line_is_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            disk.hold()
            first = asyncio.create_task(put_surely(engine, 1))
            await eventually(lambda: file_of(engine).writer._is_committing)
            with pytest.raises(DeadlineExceeded):
                await put(engine, 2, deadline=CLOCK.monotonic_s() + 0.1)
            assert not first.done()
            disk.release()
            await first
            await put_surely(engine, 3)
            assert await value_of(engine, 2) is None

    with misbehaving_disk() as disk:
        run(test(disk))


def test_a_deadline_that_passes_during_the_sync_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            disk.hold()
            commit = commit_of(Put(key(1), b"x"))
            outcome = await engine.commit(commit, deadline=CLOCK.monotonic_s() + 0.1)
            assert outcome == Unknown(commit.id)
            settling = asyncio.create_task(engine.settle(commit))
            await asyncio.sleep(0.05)
            assert not settling.done()
            disk.release()
            settled = await settling
            assert isinstance(settled, Committed)
            assert await value_of(engine, 1) == b"x"

    with misbehaving_disk() as disk:
        run(test(disk))


def test_a_call_that_is_cancelled_while_it_waits_is_not_carried_out(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            disk.hold()
            first = asyncio.create_task(put_surely(engine, 1))
            await eventually(lambda: file_of(engine).writer._is_committing)
            second = asyncio.create_task(put_surely(engine, 2))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.sleep(0)
            disk.release()
            await first
            await put_surely(engine, 3)
            assert await value_of(engine, 2) is None

    with misbehaving_disk() as disk:
        run(test(disk))


def test_closing_carries_out_what_waits(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            calls = [asyncio.create_task(put_surely(engine, number)) for number in range(500)]
            await asyncio.sleep(0)
            await engine.close()
            await asyncio.gather(*calls)
            with pytest.raises(StoreUnavailable):
                await put(engine, 1)
            with pytest.raises(StoreUnavailable):
                await value_of(engine, 1)
        async with opened(tmp_path) as engine:
            assert values(await engine.get([key(number) for number in range(500)])) == [b"x"] * 500

    run(test())


# ---- a disk that fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "told", "words"),
    [
        (apsw.FullError, DiskFull, "no room is left on the disk of {}"),
        (apsw.ReadOnlyError, ReadOnlyStore, "the data directory {} cannot be written to"),
    ],
)
def test_a_disk_that_takes_nothing_is_told_of_and_writing_recovers(
    tmp_path: Path, raised: type[apsw.Error], told: type[StoreUnavailable], words: str
) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1, b"before")
            disk.write_error = raised
            ends = await asyncio.gather(*(put(engine, number, b"lost") for number in range(20)), return_exceptions=True)
            assert {type(end) for end in ends} == {told}
            assert words.format(tmp_path) in str(ends[0])
            assert await value_of(engine, 1) == b"before"
            health = await engine.health()
            assert health["can_write"] is False
            assert words.format(tmp_path) in str(health["write_refusal"])
            disk.write_error = None
            await put_surely(engine, 2, b"after")
            assert values(await engine.get([key(number) for number in range(4)])) == [None, b"before", b"after", None]
            health = await engine.health()
            assert health["can_write"] is True
            assert health["write_refusal"] == ""
            assert health["failed_transactions"] == 1

    with misbehaving_disk() as disk:
        run(test(disk))


def test_that_a_disk_takes_writes_again_is_found_out_although_nobody_writes(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            disk.write_error = apsw.FullError
            with pytest.raises(DiskFull):
                await put(engine, 1)
            figures = file_of(engine).writer.figures
            refused = figures.failed_transactions
            await eventually(lambda: figures.failed_transactions >= refused + 1)
            assert (await engine.health())["can_write"] is False
            disk.write_error = None
            await eventually(lambda: not figures.write_refusal)
            health = await engine.health()
            assert (health["can_write"], health["write_refusal"]) == (True, "")

    with misbehaving_disk() as disk:
        run(test(disk))


def test_a_write_that_fails_by_its_own_fault_does_not_make_the_disk_one_that_refuses(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            with pytest.raises(UnicodeEncodeError):
                await engine.commit(commit_of(Put(key(1), b"x", {"\udc80": 1})))
            health = await engine.health()
            assert (health["can_write"], health["failed_transactions"]) == (True, 1)

    run(test())


def test_a_sync_that_fails_leaves_the_outcome_unknown_until_it_is_settled(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            await engine.ensure_space("logged", SpaceOptions(log=LogOptions(readers=("tail",))))
            await put_surely(engine, 1, b"before")
            closed = (await engine.read_log("logged", 0, after=0, limit=10)).closed
            disk.sync_error = apsw.IOError
            logged = Key("logged", b"p")
            commits = [commit_of(Put(key(1), b"lost")), commit_of(Put(key(2), b"lost"))]
            commits.append(commit_of(appends=[Append(logged, None, b"x")]))
            outcomes = await asyncio.gather(*(engine.commit(commit) for commit in commits))
            assert outcomes == [Unknown(commit.id) for commit in commits]
            # As long as nobody knows, nothing is closed that may yet appear.
            assert (await engine.read_log("logged", 0, after=0, limit=10)).closed == closed
            with pytest.raises(StoreUnavailable):
                await engine.settle(commits[0])
            disk.sync_error = None
            for commit in commits:
                assert await engine.settle(commit) == NeverCommitted(commit.id)
                with pytest.raises(InvalidRequest):
                    await engine.commit(commit)
            assert [await value_of(engine, number) for number in (1, 2)] == [b"before", None]
            assert (await engine.read_log("logged", 0, after=0, limit=10)).entries == []
            await put_surely(engine, 1, b"after")
        async with opened(tmp_path) as engine:
            assert [await value_of(engine, number) for number in (1, 2)] == [b"after", None]

    with misbehaving_disk() as disk:
        run(test(disk))


def test_one_commit_that_is_refused_does_not_touch_the_others(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            calls = [put(engine, 1), engine.commit(commit_of(Put(Key("nowhere", b"p"), b"x"))), put(engine, 2)]
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(end) for end in ends] == [Committed, SpaceNotFound, Committed]

    run(test())


def test_one_that_nobody_can_write_down_fails_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            # A lone surrogate has no form in bytes, which is found out in the middle of the transaction.
            poison = [commit_of(Put(key(at), b"x", {"\udc80": 1})) for at in (10, 20)]
            calls: list[Awaitable[object]] = [put(engine, number) for number in range(6)]
            calls[2:2] = [engine.commit(poison[0])]
            calls[5:5] = [engine.commit(poison[1])]
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert [isinstance(end, Committed) for end in ends] == [at not in {2, 5} for at in range(8)]
            assert values(await engine.get([key(number) for number in range(6)])) == [b"x"] * 6
            assert values(await engine.get([key(10), key(20)])) == [None, None]
            versions = [end.version for end in ends if isinstance(end, Committed)]
            assert versions == sorted(set(versions))

    run(test())


def test_hints_that_cannot_be_given_are_logged_and_stop_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            watch = engine.watch("things")

            def fail(_watches: Watches, _commits: object) -> None:
                raise RuntimeError("told so by a test")

            with monkeypatch.context() as patch, capture_logs() as logs:
                patch.setattr(Watches, "hint", fail)
                ends = await asyncio.gather(*(put(engine, number) for number in range(5)))
            assert {type(end) for end in ends} == {Committed}
            assert [entry["event"] for entry in logs] == ["hints about commits could not be given"]
            await put_surely(engine, 6)
            assert await watch.wait(5)
            assert (await engine.health())["can_write"] is True

    run(test())


def test_a_change_that_memory_does_not_take_up_stops_writing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)

            def fail(_space: object) -> None:
                raise RuntimeError("told so by a test")

            with monkeypatch.context() as patch, capture_logs() as logs:
                patch.setattr(file_of(engine), "set_space", fail)
                making = asyncio.create_task(engine.ensure_space("more"))
                await asyncio.sleep(0)
                behind = asyncio.create_task(put(engine, 2))
                with pytest.raises(RuntimeError):
                    await making
            assert logs[0]["log_level"] == "error"
            for call in (behind, put(engine, 3)):
                with pytest.raises(StoreUnavailable, match="must be opened anew"):
                    await call
            health = await engine.health()
            assert health["can_write"] is False
            assert "must be opened anew" in str(health["write_refusal"])
            assert await value_of(engine, 1) == b"x"
        async with opened(tmp_path) as engine:
            assert [info.name for info in await engine.list_spaces()] == ["more", "things"]
            await put_surely(engine, 2)

    run(test())


@pytest.mark.interpreted
def test_a_commit_that_ends_before_the_disk_was_asked_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            file = file_of(engine)
            begin_change = file.pool.begin_change

            def fail() -> None:
                begin_change()
                raise apsw.IOError("told so by a test")

            with monkeypatch.context() as patch:
                patch.setattr(file.pool, "begin_change", fail)
                ends = await asyncio.gather(*(put(engine, number) for number in range(3)), return_exceptions=True)
            assert {type(end) for end in ends} == {StoreUnavailable}
            assert not file.writer._is_committing
            assert not file.pool._is_changing
            assert values(await engine.get([key(number) for number in range(3)])) == [None] * 3
            await put_surely(engine, 1)

    run(test())


def test_a_damaged_page_is_the_trouble_of_those_who_need_it(tmp_path: Path) -> None:
    sorts = [b"%04d" % number for number in range(300)]

    async def make() -> None:
        async with opened(tmp_path) as engine:
            await engine.ensure_space("whole")
            await engine.commit(commit_of(Put(Key("whole", b"p"), b"before")))
            await engine.commit(commit_of(*(Put(Key("things", b"p", sort), bytes(3_000)) for sort in sorts)))

    run(make())
    # What was written last: leaves of one table.
    damage_leaves(tmp_path)

    async def meet() -> None:
        async with opened(tmp_path) as engine:
            calls = [engine.commit(commit_of(Put(Key("whole", b"%d" % number), b"after"))) for number in range(20)]
            calls[10:10] = [engine.commit(commit_of(Put(Key("things", b"p", sorts[150]), b"x")))]
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(end) for end in ends] == [Committed] * 10 + [StoreCorrupt] + [Committed] * 10
            with pytest.raises(StoreCorrupt):
                await engine.commit(commit_of(Put(Key("things", b"p", sorts[150]), b"x")))
            health = await engine.health()
            told = (health["can_write"], health["write_refusal"], health["is_damaged"])
            assert told == (True, "", True)

    run(meet())


@pytest.mark.interpreted
@pytest.mark.parametrize(("raised", "told"), [(apsw.CorruptError, StoreCorrupt), (apsw.SQLError, StoreFault)])
def test_what_befalls_a_whole_transaction_is_told_to_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[apsw.Error], told: type[StoreError]
) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:

            def fail(_transaction: Transaction) -> None:
                raise raised("told so by a test")

            with monkeypatch.context() as patch:
                patch.setattr(Transaction, "write_ids", fail)
                ends = await asyncio.gather(*(put(engine, number) for number in range(50)), return_exceptions=True)
            assert {type(end) for end in ends} == {told}
            assert (await engine.health())["failed_transactions"] == 1
            await put_surely(engine, 1)

    run(test())


@pytest.mark.interpreted
@pytest.mark.parametrize("was_committed", [True, False])
def test_an_end_that_readers_cannot_be_told_of_is_answered_and_stops_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, was_committed: bool
) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            reader = file_of(engine).pool

            def fail() -> None:
                raise RuntimeError("told so by a test")

            with monkeypatch.context() as patch, capture_logs() as logs:
                patch.setattr(reader, "end_change", fail)
                if not was_committed:
                    patch.setattr(reader, "begin_change", fail)
                async with asyncio.timeout(5):
                    ends = await asyncio.gather(*(put(engine, number) for number in range(3)), return_exceptions=True)
            assert {type(end) for end in ends} == {Unknown if was_committed else RuntimeError}
            assert logs[0]["log_level"] == "error"
            with pytest.raises(StoreUnavailable, match="must be opened anew"):
                await put(engine, 3)
            assert (await engine.health())["can_write"] is False
        async with opened(tmp_path) as engine:
            assert await value_of(engine, 1) == (b"x" if was_committed else None)

    run(test())


# ---- time ------------------------------------------------------------------------------------------------------------


def test_versions_go_on_when_the_clock_stands_or_steps_back_and_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        clock = ManualClock()
        versions = []
        for step_ms in (0, -3_600_000, 7_200_000, -10_000_000):
            clock.step_wall_ms(step_ms)
            async with opened(tmp_path, clock) as engine:
                for number in range(5):
                    outcome = await engine.commit(commit_of(Put(key(number), b"x"), clock=clock))
                    assert isinstance(outcome, Committed)
                    versions.append(outcome.version)
        assert versions == sorted(set(versions))

    run(test())
