"""A reader that tails a shard of a log as services do, and remembers what it was told."""

from __future__ import annotations

import asyncio

from tenet.store.contract import Append, Commit, CommitId, Committed, Key, LogEntry, Put
from tenet.store.suite.stage import Client


async def put_logged(client: Client, key: Key, value: bytes) -> Committed:
    """Puts a record and logs it, in one commit."""
    return await client.write(Put(key, value), appends=[Append(key, None, value)])


async def trimmed_to(client: Client, space: str, *, above: int, within_s: float) -> None:
    """Waits until the first shard of a log begins above a position."""
    async with asyncio.timeout(within_s):
        while True:
            page = await client.log_page(space, after=above, limit=1)
            if page.first > above:
                return
            await asyncio.sleep(0.02)


class Tail:
    """Follows a shard: entry by entry, and, where none is left, from the closed position on.

    Whoever trusts the closed position misses an entry that appears at or below it afterwards; so what the tail has
    seen is the log itself exactly if the promise was kept.

    Args:
        client: of the store.
        space: whose log.
        shard: which shard of it.
    """

    def __init__(self, client: Client, space: str, shard: int) -> None:
        self.entries: list[LogEntry] = []
        #: Every closed position that it was told of.
        self.closed: list[int] = [0]
        self._client = client
        self._space = space
        self._shard = shard
        self._after = 0

    @staticmethod
    def commit_of(commit_id: CommitId, key: Key, value: bytes) -> Commit:
        """Returns a commit that puts and logs."""
        return Commit(commit_id, [Put(key, value)], (), [Append(key, None, value)])

    async def follow(self, stop: asyncio.Event) -> None:
        """Reads on until it is told to stop and nothing is left."""
        while True:
            is_last = stop.is_set()
            if not await self._read_on() and is_last:
                return
            await asyncio.sleep(0)

    async def _read_on(self) -> bool:
        page = await self._client.log_page(self._space, self._shard, after=self._after, limit=7)
        assert page.closed >= self.closed[-1], "the closed position went back"
        assert all(self._after < entry.position <= page.closed for entry in page.entries)
        self.closed.append(page.closed)
        self.entries += page.entries
        self._after = page.entries[-1].position if page.entries else max(self._after, page.closed)
        return bool(page.entries)

    async def assert_is_the_log(self) -> None:
        """Fails unless the tail has seen what the log holds now, in its order, each entry once."""
        log = await self._client.log_all(self._space, self._shard)
        assert [entry.position for entry in self.entries] == [entry.position for entry in log]
        assert self.entries == log
