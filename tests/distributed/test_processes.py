"""Several engines on one keyspace, as several processes have them: their histories have one order, their log is one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.engine import CassandraEngine
from tenet.store.contract import Append, Key, LogOptions, Put, SpaceOptions, log_shard
from tenet.store.errors import StoreOfLaterVersion
from tenet.store.suite.histories import LongHistory, SmallHistory, keys_of_small_history
from tenet.store.suite.stage import PLAIN, SEED, STAMPED, Client, all_of, rounds
from tests.distributed.conftest import OpenEngine

CLOCK, IDS = SystemClock(), SystemIds()
NUMBERS = count()


async def several(opened: OpenEngine, stack: AsyncExitStack, number: int) -> list[Client]:
    engines: list[CassandraEngine] = [await stack.enter_async_context(opened()) for _ in range(number)]
    return [Client(engine, CLOCK, IDS) for engine in engines]


async def spaces_of(client: Client, *options: SpaceOptions) -> dict[str, SpaceOptions]:
    made = {f"processes-{next(NUMBERS)}": one for one in options}
    for name, one in made.items():
        await client.store.ensure_space(name, one)
    return made


@pytest.mark.time_limit_s(600)
def test_small_histories_have_one_order(opened: OpenEngine) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            clients = await several(opened, stack, 3)
            spaces = await spaces_of(clients[0], PLAIN, STAMPED)
            for number in range(rounds(20, 300)):
                seed = SEED * 10_000 + number
                partitions = (b"a%d" % number, b"b%d" % number)
                keys = keys_of_small_history(spaces, partitions, seed)
                await SmallHistory(clients, spaces, keys, seed).play(callers=4, each=5)

    asyncio.run(run())


@pytest.mark.time_limit_s(600)
def test_long_histories_have_one_order(opened: OpenEngine) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            clients = await several(opened, stack, 3)
            spaces = await spaces_of(clients[0], PLAIN, STAMPED)
            partitions = [b"p%d" % number for number in range(3)]
            keys = [Key(space, p, b"%d" % sort) for space in spaces for p in partitions for sort in range(2)]
            await LongHistory(clients, keys, SEED).play(callers=9, each=rounds(10, 100))

    asyncio.run(run())


@pytest.mark.time_limit_s(600)
def test_a_log_that_all_of_them_sequence_has_every_entry_once_and_in_order(opened: OpenEngine) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            clients = await several(opened, stack, 3)
            options = SpaceOptions(log=LogOptions(shards=2, readers=("tail",)))
            (space,) = await spaces_of(clients[0], options)
            each = rounds(20, 300)

            async def write_on(writer: int) -> None:
                client = clients[writer % len(clients)]
                for number in range(each):
                    key = Key(space, b"p%d" % writer)
                    value = b"%d" % number
                    await client.write(Put(key, value), appends=[Append(key, None, value)])

            await all_of(*(write_on(writer) for writer in range(6)))
            for shard in range(2):
                entries = await clients[shard].log_all(space, shard)
                positions = [entry.position for entry in entries]
                assert positions == sorted(set(positions))
                for writer in range(6):
                    partition = b"p%d" % writer
                    if log_shard(partition, 2) == shard:
                        numbers = [int(entry.new or b"") for entry in entries if entry.partition == partition]
                        assert numbers == list(range(each)), "an entry is missing, comes twice or out of order"

    asyncio.run(run())


def test_a_keyspace_of_a_later_version_is_refused(opened: OpenEngine, store_url: str) -> None:
    async def run() -> None:
        async with opened() as engine:
            keyspace = store_url.rpartition("/")[2]
            text = f"UPDATE {keyspace}.registry SET id = ? WHERE part = ? AND name = ? IF id = ?"
            assert await engine.driver.decide([(text, ("2", "format", "", "1"))]) is None
            with pytest.raises(StoreOfLaterVersion, match="format 2"):
                async with opened():
                    pass
            assert await engine.driver.decide([(text, ("1", "format", "", "2"))]) is None

    asyncio.run(run())
