"""What a writer begins with where a read costs a round: what was seen last, checked, and never answered from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tenet.base.clock import NEVER, SystemClock
from tenet.base.errors import TenetError
from tenet.base.ids import SeededIds, SystemIds
from tenet.store import remembered
from tenet.store.combine import KEEP, Change, Combiner
from tenet.store.contract import Capabilities, Commit, Key, Outcome, Put, Record, Version, new_commit_id
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.store.remembered import BYTES_MAX, RECORD_BYTES_MAX, Remembered

KEY = Key("numbers", b"p")


class Remote(MemoryEngine):
    """Says that it lies behind a network, and counts what goes over it."""

    reads = 0
    commits = 0

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, remote=True)

    async def get(
        self, keys: Sequence[Key], *, stale: bool = False, deadline: float = NEVER
    ) -> Sequence[Record | None]:
        self.reads += 1
        return await super().get(keys, stale=stale, deadline=deadline)

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        self.commits += 1
        return await super().commit(commit, deadline=deadline)


class Near(Remote):
    """The same, as it declares itself by default."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, remote=False)


def run(body: Callable[[Remote, Combiner], Awaitable[None]], engine: type[Remote] = Remote) -> None:
    async def main() -> None:
        clock, ids = SystemClock(), SeededIds(1)
        store = engine(MemoryState(), clock=clock, ids=ids)
        await store.ensure_space("numbers")
        await body(store, Combiner(store, clock=clock, ids=ids))

    asyncio.run(main())


def add(record: Record | None) -> Change[int]:
    total = (int(record.value) if record else 0) + 1
    return Change(total, b"%d" % total)


def look(record: Record | None) -> Change[bytes | None]:
    return Change(record.value if record else None, KEEP)


def refuse_unless(wanted: bytes) -> Callable[[Record | None], Change[None]]:
    def step(record: Record | None) -> Change[None]:
        if record is None or record.value != wanted:
            raise TenetError("the condition does not hold")
        return Change(None, wanted + b"!")

    return step


async def put_elsewhere(store: Remote, value: bytes) -> None:
    """Puts as another process does, of which the combiner hears nothing."""
    await MemoryEngine.commit(store, Commit(new_commit_id(SystemClock(), SystemIds()), [Put(KEY, value)]))


def test_a_record_that_was_seen_before_is_written_without_a_read() -> None:
    async def body(store: Remote, combiner: Combiner) -> None:
        for number in range(1, 6):
            assert await combiner.mutate(KEY, add) == number
        assert (store.reads, store.commits) == (1, 5)

    run(body)


def test_near_by_every_write_reads() -> None:
    async def body(store: Remote, combiner: Combiner) -> None:
        for number in range(1, 6):
            assert await combiner.mutate(KEY, add) == number
        assert (store.reads, store.commits) == (5, 5)

    run(body, Near)


def test_what_somebody_else_wrote_costs_one_commit_and_no_read() -> None:
    async def body(store: Remote, combiner: Combiner) -> None:
        await combiner.mutate(KEY, add)
        await put_elsewhere(store, b"40")
        assert await combiner.mutate(KEY, add) == 41
        assert (store.reads, store.commits) == (1, 3)

    run(body)


def test_a_refusal_and_an_answer_without_a_write_come_from_what_is_there_now() -> None:
    async def body(store: Remote, combiner: Combiner) -> None:
        await combiner.mutate(KEY, add)
        await put_elsewhere(store, b"x")
        # It was 1 when it was seen last, and the step would refuse that.
        await combiner.mutate(KEY, refuse_unless(b"x"))
        await put_elsewhere(store, b"y")
        assert await combiner.mutate(KEY, look) == b"y"
        with pytest.raises(TenetError):
            await combiner.mutate(KEY, refuse_unless(b"x!"))

    run(body)


def test_many_at_once_lose_nothing() -> None:
    async def body(store: Remote, combiner: Combiner) -> None:
        for _ in range(5):
            await asyncio.gather(*[combiner.mutate(KEY, add) for _ in range(20)])
            total: int = await combiner.mutate(KEY, add)
            await put_elsewhere(store, b"%d" % total)
        assert await combiner.mutate(KEY, look) == b"105"

    run(body)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 70_000) | st.none(), st.booleans()), max_size=60))
def test_it_keeps_what_was_put_last_within_its_bounds(calls: list[tuple[int, int | None, bool]]) -> None:
    cache, model = Remembered(), dict[Key, Record | None]()
    for name, size, is_forgotten in calls:
        key = Key("s", b"%d" % name)
        record = None if size is None else Record(key.partition, b"", bytes(size), Version(bytes(16)))
        if is_forgotten:
            cache.forget(key)
            model.pop(key, None)
        else:
            cache.put(key, record)
            model[key] = record
    for key, record in model.items():
        too_large = record is not None and len(record.value) + 201 > RECORD_BYTES_MAX
        assert (key in cache) != too_large
        if not too_large:
            assert cache.get(key) is record


def test_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "RECORDS_MAX", 3)
    cache = Remembered()
    for number in range(3):
        cache.put(Key("s", b"%d" % number), None)
    cache.get(Key("s", b"0"))
    cache.put(Key("s", b"3"), None)
    assert [Key("s", b"%d" % number) in cache for number in range(4)] == [True, False, True, True]
    large = Record(b"p", b"", bytes(RECORD_BYTES_MAX // 2), Version(bytes(16)))
    monkeypatch.setattr(remembered, "RECORDS_MAX", 10_000)
    for number in range(2 * BYTES_MAX // len(large.value)):
        cache.put(Key("s", b"large%d" % number), large)
    kept = sum(Key("s", b"large%d" % number) in cache for number in range(2 * BYTES_MAX // len(large.value)))
    assert 0.9 * BYTES_MAX < kept * len(large.value) <= BYTES_MAX
