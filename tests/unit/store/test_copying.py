"""A copy holds what the store holds, whichever engines, wherever the process dies, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tenet.base.clock import ManualClock, SystemClock
from tenet.base.ids import SeededIds, SystemIds
from tenet.store import copying as module
from tenet.store.contract import Add, Capabilities, Delete, Engine, Key, LogOptions, Put, SpaceOptions
from tenet.store.copy_marks import take_into_service
from tenet.store.copying import abort, digest_of
from tenet.store.errors import CopyDiffers, CopyRefused, StoreMoved
from tenet.store.guard import Guard
from tenet.store.memory import MemoryEngine
from tenet.store.sqlite.engine import open_engine
from tests.contract.harnesses import ModelledCassandraHarness
from tests.copies import NAMES, Killed, copying, fill, held, run, write

Two = AbstractAsyncContextManager[tuple[Engine, Engine]]
ENDS = ["memory", "sqlite", "cassandra"]


def memory() -> MemoryEngine:
    return MemoryEngine(clock=SystemClock(), ids=SystemIds())


@pytest.fixture
def two(tmp_path: Path) -> Callable[[str, str], Two]:
    """Opens two empty stores of these engines; the distributed one on a cluster in memory."""

    async def one(engine: str, name: str) -> Engine:
        if engine == "memory":
            return memory()
        if engine == "sqlite":
            return await open_engine(str(tmp_path / name), clock=SystemClock(), ids=SystemIds())
        return await ModelledCassandraHarness().open(name, clock=SystemClock(), ids=SystemIds())

    @asynccontextmanager
    async def two(source: str, target: str) -> AsyncIterator[tuple[Engine, Engine]]:
        opened = await one(source, "source"), await one(target, "target")
        try:
            yield opened
        finally:
            for engine in opened:
                await engine.close()

    return two


@pytest.mark.thorough
@pytest.mark.parametrize("source_engine", ENDS)
@pytest.mark.parametrize("target_engine", ENDS)
def test_a_copy_holds_what_the_store_holds(
    two: Callable[[str, str], Two], source_engine: str, target_engine: str
) -> None:
    async def main() -> None:
        async with two(source_engine, target_engine) as (source, target):
            await fill(source)
            before = await held(source)
            assert await run(copying(source, target))
            assert await held(target) == before == await held(source)
            names = {info.name: info.options for info in await target.list_spaces()}
            assert names["stamped"] == SpaceOptions(stamps=True)
            assert "empty" in names
            assert "membership" not in names
            # From now on one of them may be served, and it is the copy.
            with pytest.raises(StoreMoved, match="moved to memory:there"):
                await take_into_service(source, clock=SystemClock(), ids=SystemIds())
            await take_into_service(target, clock=SystemClock(), ids=SystemIds())

    asyncio.run(main())


@pytest.mark.parametrize("engines", [("sqlite", "memory"), ("memory", "sqlite"), ("memory", "cassandra")])
def test_a_copy_goes_on_wherever_the_process_was_killed(
    two: Callable[[str, str], Two], engines: tuple[str, str]
) -> None:
    """Killed at every step in turn, one step further each time, with changes between any two tries."""

    async def main() -> None:
        clock, ids, at = SystemClock(), SystemIds(), 0
        async with two(*engines) as (source, target):
            await fill(source, 120)
            killed: list[str] = []
            while True:
                at += 1
                # A copy that waits for what an earlier process may have sent has nothing to wait for in one process.
                copy = copying(source, target, ids=ids, dies_at=at, steps=killed.append)
                copy._wait_for_the_past = _no_wait  # type: ignore[method-assign]
                try:
                    await run(copy)
                    break
                except Killed:
                    pass
                if not await _is_moved(source):
                    # Whatever serves next writes, removes, and counts.
                    n = at % 40
                    await write(
                        source,
                        [
                            Put(Key("plain", b"p%d" % (n % 7), b"s%d" % n), b"after kill %d" % at),
                            Delete(Key("plain", b"p%d" % ((n + 40) % 7), b"s%d" % (n + 40))),
                            Add(Key("stamped", b"counts", b"c"), "used", 1),
                            Put(Key("plain", b"new", b"%d" % at), b"new"),
                        ],
                        clock=clock,
                        ids=ids,
                    )
            assert {"mark the source", "mark the copy", "refuse writes", "mark the copy as complete"} <= set(killed)
            assert await held(target) == await held(source)
            assert not await run(copying(source, target))

    asyncio.run(main())


async def _no_wait() -> None:
    """Waits for nothing."""


async def _is_moved(store: Engine) -> bool:
    try:
        await take_into_service(store, clock=SystemClock(), ids=SystemIds())
    except StoreMoved:
        return True
    return False


def test_what_changes_while_it_is_copied_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces come and go, ranges are discarded, records are put, removed and counted, between any two steps."""
    monkeypatch.setattr(module, "PAGE_RECORDS", 20)
    monkeypatch.setattr(module, "FEW_CHANGES", 3)

    async def main() -> None:
        clock, ids = SystemClock(), SystemIds()
        source, target = memory(), memory()
        await fill(source, 200)
        guard = Guard(source, clock)
        number = 0

        async def change(name: str) -> None:
            nonlocal number
            number += 1
            if guard.refusal or number > 60:
                return
            n = number % 200
            await write(guard, [Put(Key("plain", b"p%d" % (n % 7), b"s%d" % n), b"now %d" % n)], clock=clock, ids=ids)
            await write(guard, [Delete(Key("plain", b"p3", b"s%d" % (3 + number * 7)))], clock=clock, ids=ids)
            await write(guard, [Add(Key("stamped", b"counts", b"c"), "used", number)], clock=clock, ids=ids)
            if number % 5 == 0:
                await guard.ensure_space(f"made-{number}")
                await write(guard, [Put(Key(f"made-{number}", b"a", b"b"), b"c")], clock=clock, ids=ids)
            if number % 10 == 0:
                await guard.drop_space(f"made-{number}")
            if number % 15 == 0:
                await guard.drop_space(f"made-{number}")
                await guard.ensure_space(f"made-{number}", SpaceOptions(stamps=True))
                await write(guard, [Put(Key(f"made-{number}", b"a", b"other"), b"")], clock=clock, ids=ids)
            if number == 12:
                await guard.discard("plain", b"p5")

        copy = copying(guard, target)
        copy._step = change
        assert await run(copy)
        assert number > 25
        found = await held(target)
        assert found == await held(source)
        assert Key("plain", b"p5", b"s5") not in found
        assert Key("made-15", b"a", b"other") in found
        assert Key("made-15", b"a", b"b") not in found
        assert copy.progress.changed > 0
        with pytest.raises(StoreMoved, match="moves to memory:there"):
            await write(guard, [Put(Key("plain", b"a"), b"late")], clock=clock, ids=ids)
        health = await guard.health()
        assert health["can_write"] is False

    asyncio.run(main())


def test_more_changes_than_are_kept_make_it_compare_whole_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenet.store.guard.CHANGES_MAX", 5)

    async def main() -> None:
        source, target = memory(), memory()
        await fill(source, 100)
        guard = Guard(source, SystemClock())
        copy = copying(guard, target)
        await copy.begin()
        await copy.follow()
        gone = [Delete(Key("plain", b"p%d" % (n % 7), b"s%d" % n)) for n in range(30)]
        new = [Put(Key("plain", b"p%d" % (n % 7), b"s%d" % n), b"other") for n in range(30, 60)]
        await write(guard, [*gone, *new], clock=SystemClock(), ids=SystemIds())
        await copy.switch()
        assert await held(target) == await held(source)
        assert copy.progress.changed == 60

    asyncio.run(main())


def test_a_copy_that_differs_is_not_used_and_the_store_serves_on() -> None:
    async def main() -> None:
        clock, ids = SystemClock(), SystemIds()
        source, target = memory(), memory()
        await fill(source, 50)
        guard = Guard(source, clock)
        copy = copying(guard, target)
        await copy.begin()
        await copy.follow()
        # Somebody else has written to the copy.
        await write(target, [Put(Key("plain", b"p1", b"s1"), b"damaged")], clock=clock, ids=ids)
        with pytest.raises(CopyDiffers, match="the copy of plain differs: 51 records with the digest"):
            await copy.switch()
        await write(guard, [Put(Key("plain", b"p1", b"s2"), b"served")], clock=clock, ids=ids)
        with pytest.raises(StoreMoved, match="not complete"):
            await take_into_service(target, clock=clock, ids=ids)
        # Where the same difference came while nobody was there, comparing finds it: its version is a new one there.
        await write(source, [Put(Key("plain", b"p1", b"s1"), b"true")], clock=clock, ids=ids)
        assert await run(copying(source, target))
        assert await held(target) == await held(source)

    asyncio.run(main())


def test_logs_stay_behind() -> None:
    async def main() -> None:
        source, target = memory(), memory()
        await source.ensure_space("logged", SpaceOptions(log=LogOptions(shards=4, readers=("indexes",))))
        assert await run(copying(source, target))
        assert {info.name: info.options.log for info in await target.list_spaces("l")} == {"logged": None}

    asyncio.run(main())


def test_what_is_no_place_for_a_copy_is_refused() -> None:
    async def main() -> None:
        source, full, target = memory(), memory(), memory()
        await fill(source, 10)
        await full.ensure_space("other")
        with pytest.raises(CopyRefused, match="TO holds something already: 1 spaces, for instance other"):
            await run(copying(source, full))
        assert [info.name for info in await full.list_spaces()] == ["other"]
        with pytest.raises(CopyRefused, match="FROM holds nothing: is memory:here the store that you mean"):
            await run(copying(memory(), memory()))
        # The source is not marked either: another copy can be begun.
        copy = copying(source, target)
        assert not await copy.begin()
        with pytest.raises(CopyRefused, match="FROM is being copied to memory:there"):
            await copying(source, memory(), names=(NAMES[0], "memory:elsewhere")).begin()
        with pytest.raises(CopyRefused, match="TO is a copy of memory:here"):
            await copying(memory(), target).begin()

    asyncio.run(main())


def test_a_move_can_be_taken_back_until_the_copy_is_served() -> None:
    async def main() -> None:
        clock, ids = SystemClock(), SystemIds()
        source, target = memory(), memory()
        await fill(source, 10)
        with pytest.raises(CopyRefused, match="there is no copy"):
            await abort(source, target, NAMES, clock=clock, ids=ids)
        await run(copying(source, target))
        await abort(source, target, NAMES, clock=clock, ids=ids)
        assert list(await target.list_spaces()) == []
        await take_into_service(source, clock=clock, ids=ids)
        # Again, and now it is served.
        await run(copying(source, target))
        await take_into_service(target, clock=clock, ids=ids)
        await take_into_service(target, clock=clock, ids=ids)
        with pytest.raises(CopyRefused, match="TO was started since"):
            await abort(source, target, NAMES, clock=clock, ids=ids)
        with pytest.raises(CopyRefused, match="FROM was moved to memory:there"):
            await run(copying(source, target))
        with pytest.raises(StoreMoved):
            await take_into_service(source, clock=clock, ids=ids)
        # The way back leads to an empty store.
        back = memory()
        assert await run(copying(target, back, names=("memory:there", "memory:back")))
        assert await held(back) == await held(source)

    asyncio.run(main())


def test_an_abort_that_died_in_between_can_be_repeated() -> None:
    async def main() -> None:
        clock, ids = SystemClock(), SystemIds()
        source, target = memory(), memory()
        await fill(source, 10)
        await run(copying(source, target))
        drop = target.drop_space

        async def die(*_: object, **__: object) -> None:
            raise Killed

        target.drop_space = die  # type: ignore[method-assign]
        with pytest.raises(Killed):
            await abort(source, target, NAMES, clock=clock, ids=ids)
        target.drop_space = drop  # type: ignore[method-assign]
        with pytest.raises(StoreMoved, match="not complete"):
            await take_into_service(target, clock=clock, ids=ids)
        await take_into_service(source, clock=clock, ids=ids)
        await abort(source, target, NAMES, clock=clock, ids=ids)
        assert list(await target.list_spaces()) == []

    asyncio.run(main())


def test_a_resumed_copy_to_a_distant_store_waits_for_what_may_still_come() -> None:
    class Distant(MemoryEngine):
        @property
        def capabilities(self) -> Capabilities:
            return Capabilities(
                engine="distant", partitions_max=200, cheap_commits_across_partitions=False, remote=True
            )

    async def main() -> None:
        clock = ManualClock()
        source, target = MemoryEngine(clock=clock, ids=SeededIds(1)), Distant(clock=clock, ids=SeededIds(2))
        await source.ensure_space("plain")
        first = copying(source, target, clock=clock)
        await first.begin()
        second = copying(source, target, clock=clock)
        await second.begin()
        following = asyncio.create_task(second.follow())
        while not second.progress.phase.startswith("waiting"):  # noqa: ASYNC110 (nobody tells of it)
            await asyncio.sleep(0)
        assert second.progress.phase.startswith("waiting 900 s")
        clock.advance_ms(900_000)
        await following
        await second.switch()

    asyncio.run(main())


def test_the_digest_tells_apart_what_differs() -> None:
    async def main() -> None:
        store = memory()
        await store.ensure_space("s")
        key = Key("s", b"ab", b"c")
        digests = set()
        for value, cells in [(b"", {}), (b"d", {}), (b"", {"a": 1}), (b"", {"a": -1}), (b"", {"b": 1})]:
            await write(store, [Put(key, value, cells)], clock=SystemClock(), ids=SystemIds())
            (record,) = await store.get([key])
            assert record is not None
            digests.add(digest_of(key, record))
            # Where a key ends and the next part begins counts too.
            digests.add(digest_of(Key("s", b"a", b"bc"), record))
        assert len(digests) == 10

    asyncio.run(main())
