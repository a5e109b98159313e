"""Steps on one record are carried out in order, combined, and none is lost or carried out twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tenet.base.clock import NEVER, Clock, SystemClock
from tenet.base.ids import Ids, SeededIds
from tenet.store.combine import KEEP, Change, Combiner
from tenet.store.contract import Commit, Committed, Key, Outcome, Put, Record, new_commit_id
from tenet.store.errors import DeadlineExceeded, OutcomeUnknown, StoreUnavailable
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState

KEY = Key("numbers", b"p", b"s")
OTHER = Key("numbers", b"q", b"s")


class Slow(MemoryEngine):
    """Lets the loop turn before it commits, as a disk does, and counts commits."""

    commits = 0
    refuse = False
    waiting = 0

    def __init__(self, state: MemoryState, *, clock: Clock, ids: Ids) -> None:
        super().__init__(state, clock=clock, ids=ids)
        self.may_commit = asyncio.Event()
        self.may_commit.set()

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits a little later."""
        await asyncio.sleep(0.001)
        self.waiting += 1
        await self.may_commit.wait()
        self.waiting -= 1
        self.commits += 1
        if self.refuse:
            raise StoreUnavailable("refused for a test")
        return await super().commit(commit, deadline=deadline)


def add(amount: int) -> Callable[[Record | None], Change[int]]:
    """Returns the step that adds to a number; its result is the sum."""

    def step(record: Record | None) -> Change[int]:
        total = (int(record.value) if record else 0) + amount
        return Change(total, str(total).encode())

    return step


def run(body: Callable[[Slow, Combiner], Awaitable[None]]) -> None:
    """Runs a test over a new store and a combiner."""

    async def main() -> None:
        clock, ids = SystemClock(), SeededIds(1)
        store = Slow(MemoryState(), clock=clock, ids=ids)
        await store.ensure_space("numbers")
        await body(store, Combiner(store, clock=clock, ids=ids))

    asyncio.run(main())


async def eventually(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.002)


async def value(store: Slow, key: Key = KEY) -> bytes | None:
    """Returns what lies at a key."""
    (record,) = await store.get((key,))
    return record.value if record else None


def test_increments_of_one_key_are_combined_in_order_of_arrival() -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        sums = await asyncio.gather(*(combiner.mutate(KEY, add(1)) for _ in range(200)))
        assert sums == list(range(1, 201))
        assert await value(store) == b"200"
        assert store.commits < 10
        assert not combiner.is_busy(KEY)

    run(body)


def test_a_refused_step_refuses_its_caller_alone() -> None:
    def refuse(_: Record | None) -> Change[int]:
        raise ValueError("no")

    async def body(store: Slow, combiner: Combiner) -> None:
        steps = [add(1), refuse, add(1), refuse, add(1)]
        results = await asyncio.gather(*(combiner.mutate(KEY, s) for s in steps), return_exceptions=True)
        assert [r for r in results if isinstance(r, int)] == [1, 2, 3]
        assert sum(isinstance(r, ValueError) for r in results) == 2
        assert await value(store) == b"3"

    run(body)


def test_a_write_that_goes_past_the_line_is_seen() -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        first = asyncio.ensure_future(combiner.mutate(KEY, add(1)))
        await asyncio.sleep(0)
        put = Commit(new_commit_id(SystemClock(), SeededIds(2)), (Put(KEY, b"100"),))
        assert isinstance(await MemoryEngine.commit(store, put), Committed)
        assert await first == 101
        assert await combiner.mutate(KEY, add(1)) == 102

    run(body)


def test_a_step_that_keeps_the_record_commits_nothing_where_it_read_it() -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        assert await combiner.mutate(KEY, lambda record: Change(record is None, KEEP))
        assert store.commits == 0

    run(body)


def test_a_delete_and_a_put_of_one_batch_leave_no_cells_behind() -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        put = Commit(new_commit_id(SystemClock(), SeededIds(2)), (Put(KEY, b"1", {"used": 5}),))
        assert isinstance(await store.commit(put), Committed)
        blocker = asyncio.ensure_future(combiner.mutate(KEY, add(0)))
        await asyncio.sleep(0)
        await asyncio.gather(combiner.mutate(KEY, lambda _: Change(None, None)), combiner.mutate(KEY, add(7)), blocker)
        (record,) = await store.get((KEY,))
        assert record is not None
        assert (record.value, dict(record.cells)) == (b"7", {})

    run(body)


def test_a_cancelled_caller_neither_stops_the_line_nor_takes_effect_while_it_waits() -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        tasks = [asyncio.ensure_future(combiner.mutate(KEY, add(1))) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[3], asyncio.CancelledError)
        assert await value(store) == b"4"
        assert not combiner.is_busy(KEY)

    run(body)


def test_the_first_caller_may_be_cancelled_while_its_commit_is_under_way() -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        first = asyncio.ensure_future(combiner.mutate(KEY, add(1)))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(combiner.mutate(KEY, add(1)))
        await asyncio.sleep(0)
        first.cancel()
        assert await second in {1, 2}
        assert not combiner.is_busy(KEY)

    run(body)


def test_a_store_that_fails_refuses_all_that_wait_and_the_line_opens_again() -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        store.refuse = True
        results = await asyncio.gather(*(combiner.mutate(KEY, add(1)) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(result, StoreUnavailable) for result in results)
        store.refuse = False
        assert await combiner.mutate(KEY, add(1)) == 1

    run(body)


def test_a_deadline_that_passes_in_the_line_writes_nothing() -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        first = asyncio.ensure_future(combiner.mutate(KEY, add(1)))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await combiner.mutate(KEY, add(1), deadline=SystemClock().monotonic_s())
        assert await first == 1
        assert await value(store) == b"1"

    run(body)


@pytest.mark.parametrize("is_hung", [True, False])
def test_whoever_waits_is_answered_by_his_own_deadline_while_the_others_go_on(*, is_hung: bool) -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        clock = SystemClock()
        store.may_commit.clear()
        patient = [asyncio.create_task(combiner.mutate(KEY, add(1)))]
        await eventually(lambda: store.waiting == 1)
        if is_hung:
            # These are part of the commit that hangs; those behind are not.
            patient.append(asyncio.create_task(combiner.mutate(KEY, add(10))))
            hurried = asyncio.create_task(combiner.mutate(KEY, add(100), deadline=clock.monotonic_s() + 0.3))
            store.may_commit.set()
            await patient[0]
            store.may_commit.clear()
            await eventually(lambda: store.waiting == 1)
        else:
            hurried = asyncio.create_task(combiner.mutate(KEY, add(100), deadline=clock.monotonic_s() + 0.3))
        behind = asyncio.create_task(combiner.mutate(KEY, add(1_000), deadline=clock.monotonic_s() + 0.3))
        patient.append(asyncio.create_task(combiner.mutate(KEY, add(10_000), deadline=clock.monotonic_s() + 60)))
        began = clock.monotonic_s()
        with pytest.raises(OutcomeUnknown if is_hung else DeadlineExceeded):
            await hurried
        with pytest.raises(DeadlineExceeded, match="before it was carried out"):
            await behind
        assert clock.monotonic_s() - began < 5
        assert not patient[-1].done()
        store.may_commit.set()
        await asyncio.gather(*patient)
        # What was being committed has landed; what waited was never carried out.
        assert await value(store) == (b"10111" if is_hung else b"10001")
        assert not combiner.is_busy(KEY)

    run(body)


def test_a_holder_keeps_steps_away_and_two_holders_never_wait_for_each_other() -> None:
    async def body(store: Slow, combiner: Combiner) -> None:
        async def held(keys: list[Key]) -> None:
            async with combiner.hold(keys, deadline=SystemClock().monotonic_s() + 5):
                before = [await value(store, key) for key in keys]
                await asyncio.sleep(0.002)
                assert [await value(store, key) for key in keys] == before

        work = [combiner.mutate(key, add(1)) for key in (KEY, OTHER) for _ in range(50)]
        holds = [held([KEY, OTHER]), held([OTHER, KEY]), held([KEY])]
        await asyncio.gather(*work[:50], *holds, *work[50:])
        assert (await value(store), await value(store, OTHER)) == (b"50", b"50")
        assert not combiner.is_busy(KEY)

    run(body)


def test_a_holder_whose_deadline_passes_gives_back_what_it_held() -> None:
    async def body(_: Slow, combiner: Combiner) -> None:
        async with combiner.hold([OTHER]):
            with pytest.raises(DeadlineExceeded):
                async with combiner.hold([KEY, OTHER], deadline=SystemClock().monotonic_s() + 0.01):
                    raise AssertionError("two held one line")
            assert not combiner.is_busy(KEY)
        assert not combiner.is_busy(OTHER)

    run(body)
