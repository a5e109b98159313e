"""What was committed is there when the engine is opened again, in order or after a crash."""

from __future__ import annotations

import asyncio

import pytest

from tenet.store.contract import (
    Add,
    Append,
    Commit,
    Committed,
    Conflict,
    Delete,
    IsVersion,
    Key,
    LogOptions,
    NeverCommitted,
    Put,
    SpaceInfo,
    SpaceOptions,
    StampOf,
    Unknown,
)
from tenet.store.errors import InvalidRequest, LogTrimmed, StoreError
from tenet.store.suite.logs_tail import put_logged, trimmed_to
from tenet.store.suite.settle import assert_never_lands, landed
from tenet.store.suite.spaces import drop, listed
from tenet.store.suite.stage import LOGGED, STAMPED, Client, PrivateEngine, Stage, all_of

ALL = SpaceOptions(stamps=True, log=LogOptions(shards=3, readers=("tail", "other"), retention_ms=1_000))


async def again(engine: PrivateEngine, how: str) -> Client:
    """Opens the engine anew and returns a client of it."""
    if how == "reopen":
        await engine.reopen()
    else:
        await engine.crash()
    return engine.client


@pytest.mark.parametrize("how", ["reopen", "crash"])
class TestDurability:
    """Everything that the contract keeps is kept."""

    async def test_spaces_and_records(self, stage: Stage, how: str) -> None:
        async with stage.private_engine() as engine:
            kept, plain, dropped = await engine.space(ALL), await engine.space(), await engine.space()
            keys = [Key(kept, b"p%d" % (at % 5), bytes([at])) for at in range(100)]
            await engine.client.write(*(Put(key, key.sort * at, {"n": at}) for at, key in enumerate(keys)))
            await engine.client.write(*(Add(key, "n", 1000) for key in keys[:10]), *(Delete(key) for key in keys[90:]))
            await engine.client.write(Put(Key(plain, b""), bytes(2 * 1024 * 1024)))
            await drop(engine.client, dropped)
            stamps = [StampOf(kept, b"p%d" % at) for at in range(6)]
            before = await engine.client.together(*keys, Key(plain, b""), *stamps)
            scanned = await engine.client.scan_all(kept)
            client = await again(engine, how)
            assert await client.together(*keys, Key(plain, b""), *stamps) == before
            assert await client.scan_all(kept) == scanned
            assert await listed(client, "") == sorted(
                [SpaceInfo(kept, ALL), SpaceInfo(plain, SpaceOptions())], key=lambda info: info.name
            )
            record = before[0]
            assert not isinstance(record, int)
            await client.write(Put(keys[0], b"x"), checks=[IsVersion(keys[0], record.version if record else None)])
            stamp = before[101]
            assert isinstance(stamp, int)
            assert await client.stamp(stamps[0]) > stamp

    async def test_logs_their_positions_and_their_readers(self, stage: Stage, how: str) -> None:
        async with stage.private_engine() as engine:
            space = await engine.space(LOGGED)
            for number in range(12):
                await put_logged(engine.client, Key(space, b"p"), b"%d" % number)
            log = await engine.client.log_all(space)
            page = await engine.client.log_page(space, after=log[3].position, reader="tail")
            client = await again(engine, how)
            assert await client.log_all(space, after=log[3].position) == log[4:]
            await put_logged(client, Key(space, b"p"), b"next")
            entries = await client.log_all(space, after=log[3].position)
            assert entries[:-1] == log[4:]
            assert (entries[-1].new, entries[-1].position > page.closed) == (b"next", True)
            # What the reader released goes now, if it has not gone yet; what it did not release stays.
            await trimmed_to(client, space, above=log[3].position, within_s=stage.harness.trim_s_max)
            with pytest.raises(LogTrimmed):
                await client.log_page(space, after=0)

    async def test_what_was_settled(self, stage: Stage, how: str) -> None:
        async with stage.private_engine() as engine:
            space = await engine.space()
            keys = [Key(space, b"p%d" % at) for at in range(3)]
            commit, committed = await landed(engine.client, Put(keys[0], b"x"))
            never = Commit(engine.client.new_id(), [Put(keys[1], b"x")])
            assert await engine.client.settle(never) == NeverCommitted(never.id)
            unasked = Commit(engine.client.new_id(), [Put(keys[2], b"x")])
            client = await again(engine, how)
            settled = await client.settle(commit)
            assert isinstance(settled, Committed)
            assert settled.version == committed.version
            await assert_never_lands(client, never, keys[1])
            assert await client.settle(unasked) == NeverCommitted(unasked.id)
            await assert_never_lands(client, unasked, keys[2])

    async def test_bounds_and_duplicates_hold_across_it(self, stage: Stage, how: str) -> None:
        async with stage.private_engine() as engine:
            key = Key(await engine.space(STAMPED), b"p")
            commit, _ = await landed(engine.client, Add(key, "n", 1, at_most=2))
            client = await again(engine, how)
            try:
                copy: object = await client.store.commit(commit)
            except (InvalidRequest, StoreError):
                copy = None
            assert not isinstance(copy, Conflict)
            assert await client.cells(key) == {"n": 1}
            await client.write(Add(key, "n", 1, at_most=2))
            await client.refused(Add(key, "n", 1, at_most=2))

    async def test_commits_under_way(self, stage: Stage, how: str) -> None:
        # Pairs of records in two spaces, written by commits that may be cut off anywhere: both or none of a pair, and
        # both of every one that was answered.
        for _ in range(stage.rounds(2, 20)):
            async with stage.private_engine() as engine:
                spaces = [await engine.space(LOGGED), await engine.space()]
                sent: list[tuple[Commit, asyncio.Task[object]]] = []
                for number in range(120):
                    name = b"%d" % number
                    commit = Commit(
                        engine.client.new_id(),
                        [Put(Key(space, name), name) for space in spaces],
                        (),
                        [Append(Key(spaces[0], name), None, name)],
                    )
                    sent.append((commit, asyncio.create_task(_outcome(engine.client, commit))))
                    if number % 10 == 0:
                        await asyncio.sleep(0.0005)
                client = await again(engine, how)
                await _assert_pairs(client, spaces, sent)


async def _outcome(client: Client, commit: Commit) -> object:
    try:
        return await client.store.commit(commit)
    except StoreError:
        return None


async def _assert_pairs(client: Client, spaces: list[str], sent: list[tuple[Commit, asyncio.Task[object]]]) -> None:
    outcomes = await asyncio.gather(*(task for _, task in sent), return_exceptions=True)
    logged = {entry.new for entry in await client.log_all(spaces[0])}

    async def assert_one(commit: Commit, outcome: object) -> None:
        (put, other) = (write.key for write in commit.writes)
        records = await client.get(put, other)
        assert (records[0] is None) == (records[1] is None), "half a commit"
        assert (put.partition in logged) == (records[0] is not None)
        if isinstance(outcome, Committed):
            assert records[0] is not None, "an acknowledged write is gone"
        if outcome is None:
            assert records[0] is None, "nothing was to be written, said the error"
        if isinstance(outcome, Unknown):
            assert isinstance(await client.settle(commit), Committed) == (records[0] is not None)

    await all_of(*(assert_one(commit, outcome) for (commit, _), outcome in zip(sent, outcomes, strict=True)))
