"""What catalogs answer without asking the store: how old it may be, what ends it, and how much of it there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tenet.base.clock import ManualClock
from tenet.base.ids import SeededIds
from tenet.store.cached import STALE_S, Cached
from tenet.store.contract import Commit, Committed, Key, Put, new_commit_id
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState

COUNT_MAX = 3


class Stand:
    """A cache over a store in memory, whose descriptions are texts."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ids = SeededIds(1)
        self.store = MemoryEngine(MemoryState(), clock=self.clock, ids=self.ids)
        self.cached: Cached[str] = Cached(self.store, "names", clock=self.clock, count_max=COUNT_MAX)

    async def read(self, name: str, text: str | None = "text", account: str = "a") -> str | None:
        async def reading() -> str | None:
            await asyncio.sleep(0)
            return text

        return await self.cached.read(account, name, reading())


def run(body: Callable[[Stand], Awaitable[None]]) -> None:
    async def main() -> None:
        stand = Stand()
        await stand.store.ensure_space("names")
        stand.cached.open()
        await asyncio.sleep(0)  # it listens from then on
        await body(stand)
        await stand.cached.close()

    asyncio.run(main())


def test_what_was_read_is_answered_for_as_long_as_it_may_be_old() -> None:
    async def body(stand: Stand) -> None:
        assert stand.cached.known("a", "n") is None
        assert await stand.read("n") == "text"
        stand.clock.advance_ms(int(STALE_S * 1000) - 1)
        assert stand.cached.known("a", "n") == "text"
        assert stand.cached.known("b", "n") is None
        stand.clock.advance_ms(1)
        assert stand.cached.known("a", "n") is None

    run(body)


def test_its_age_begins_with_the_read_and_not_with_the_answer() -> None:
    async def body(stand: Stand) -> None:
        async def slow() -> str:
            stand.clock.advance_ms(int(STALE_S * 1000))
            return "text"

        assert await stand.cached.read("a", "n", slow()) == "text"
        assert stand.cached.known("a", "n") is None

    run(body)


def test_a_read_that_a_change_has_overtaken_is_answered_and_not_held() -> None:
    async def body(stand: Stand) -> None:
        changes: list[Callable[[], None]] = [
            lambda: stand.cached.forget("a", "other"),
            lambda: stand.cached.forget_all("b"),
        ]
        for change in changes:
            reading = asyncio.create_task(stand.read("n"))
            await asyncio.sleep(0)
            change()
            assert await reading == "text"
            assert stand.cached.known("a", "n") is None

    run(body)


def test_what_has_gone_is_not_answered_any_more() -> None:
    async def body(stand: Stand) -> None:
        await stand.read("n")
        assert await stand.read("n", None) is None
        assert stand.cached.known("a", "n") is None

    run(body)


def test_one_description_or_all_of_a_tenant_can_be_dropped() -> None:
    async def body(stand: Stand) -> None:
        await stand.read("m")
        await stand.read("n")
        await stand.read("n", account="b")
        stand.cached.forget("a", "n")
        assert [stand.cached.known("a", name) for name in "mn"] == ["text", None]
        stand.cached.forget_all("a")
        assert stand.cached.known("a", "m") is None
        assert stand.cached.known("b", "n") == "text"

    run(body)


def test_a_hint_of_the_store_empties_it_until_it_is_closed() -> None:
    async def body(stand: Stand) -> None:
        async def commit() -> None:
            commit = Commit(new_commit_id(stand.clock, stand.ids), [Put(Key("names", b"p"), b"")])
            assert isinstance(await stand.store.commit(commit), Committed)
            for _ in range(5):
                await asyncio.sleep(0)

        await stand.read("n")
        await commit()
        assert stand.cached.known("a", "n") is None
        await stand.cached.close()
        await stand.read("n")
        await commit()
        assert stand.cached.known("a", "n") == "text"

    run(body)


def test_it_holds_so_many_and_no_more() -> None:
    async def body(stand: Stand) -> None:
        for name in "klmn":
            await stand.read(name)
        assert [stand.cached.known("a", name) for name in "klmn"] == [None, None, None, "text"]

    run(body)
