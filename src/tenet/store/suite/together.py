"""Reading together: records and stamps of any partitions as they were in one moment."""

from __future__ import annotations

import asyncio

from tenet.base.dice import Dice
from tenet.store.contract import Add, Delete, IsVersion, Key, Put, Record, StampOf
from tenet.store.suite.stage import PLAIN, SEED, STAMPED, Stage, all_of


class TestTogether:
    """One serializable snapshot."""

    async def test_answers_are_in_the_order_of_the_reads(self, stage: Stage) -> None:
        client = stage.client
        one, other = await stage.key(b"1"), await stage.key(b"s", STAMPED)
        await client.write(Put(one, b"one"), Put(other, b"other"))
        of, absent = StampOf(other.space, other.partition), await stage.key()
        answers = await client.together(of, one, absent, other, of, one)
        assert answers[0] == answers[4]
        assert isinstance(answers[0], int)
        assert answers[0] > 0
        values = [answer.value if isinstance(answer, Record) else answer for answer in answers[1:4]]
        assert values == [b"one", None, b"other"]
        assert answers[5] == answers[1]
        assert list(await client.together()) == []

    async def test_money_is_neither_made_nor_lost(self, stage: Stage) -> None:
        client = stage.client
        other_space = await stage.own_space()
        accounts = [await stage.key(b"%d" % index) for index in range(4)]
        accounts += [Key(other_space, b"p%d" % index, b"s") for index in range(4)]
        await client.write(*(Put(account, b"100") for account in accounts))
        stop = asyncio.Event()

        async def transfer(clerk: int) -> None:
            dice = Dice(SEED + clerk)
            for _ in range(stage.rounds(25, 400)):
                source, target = dice.sample(accounts, 2)
                records = await client.together(source, target)
                amount = 1 + dice.below(60)
                balances = [int(record.value) for record in records if isinstance(record, Record)]
                if balances[0] < amount:
                    continue
                await client.attempt(
                    Put(source, b"%d" % (balances[0] - amount)),
                    Put(target, b"%d" % (balances[1] + amount)),
                    checks=[
                        IsVersion(key, record.version)
                        for key, record in zip((source, target), records, strict=True)
                        if isinstance(record, Record)
                    ],
                )

        async def audit() -> None:
            while not stop.is_set():
                balances = [int(r.value) for r in await client.together(*accounts) if isinstance(r, Record)]
                assert sum(balances) == 800, "a snapshot shows half a transfer"
                assert min(balances) >= 0
                await asyncio.sleep(0)

        async def everybody() -> None:
            await all_of(*(transfer(clerk) for clerk in range(8)))
            stop.set()

        await all_of(everybody(), audit(), audit())
        assert sum(int(r.value) for r in await client.get(*accounts) if r) == 800

    async def test_cells_move_whole(self, stage: Stage) -> None:
        client = stage.client
        pots = [await stage.key(b"pot") for _ in range(5)]
        await client.write(*(Put(pot, b"", {"n": 50}) for pot in pots))
        stop = asyncio.Event()

        async def move(mover: int) -> None:
            dice = Dice(SEED + mover)
            for _ in range(stage.rounds(25, 400)):
                source, target = dice.sample(pots, 2)
                amount = 1 + dice.below(30)
                await client.attempt(Add(source, "n", -amount, at_least=0), Add(target, "n", amount))

        async def audit() -> None:
            while not stop.is_set():
                counts = [record.cells["n"] for record in await client.together(*pots) if isinstance(record, Record)]
                assert sum(counts) == 250, "a snapshot shows half a commit"
                assert min(counts) >= 0
                await asyncio.sleep(0)

        async def everybody() -> None:
            await all_of(*(move(mover) for mover in range(8)))
            stop.set()

        await all_of(everybody(), audit(), audit())

    async def test_a_stamp_and_records_are_of_the_same_moment(self, stage: Stage) -> None:
        # Every commit into the partition writes its number elsewhere too; equal numbers go with equal stamps.
        client = stage.client
        inside, outside = await stage.key(b"s", STAMPED), await stage.key(b"s", PLAIN)
        of = StampOf(inside.space, inside.partition)
        stop = asyncio.Event()
        seen: dict[bytes, set[int]] = {}
        stamps: dict[bytes, int] = {}

        async def write_on() -> None:
            for number in range(stage.rounds(80, 1_000)):
                value = b"%d" % number
                await client.write(Put(inside, value) if number % 7 else Delete(inside), Put(outside, value))
                stamps[value] = await client.stamp(of)
            stop.set()

        async def look() -> None:
            while not stop.is_set():
                record, stamp = await client.together(outside, of)
                if isinstance(record, Record) and isinstance(stamp, int):
                    seen.setdefault(record.value, set()).add(stamp)
                await asyncio.sleep(0)

        await all_of(write_on(), look(), look())
        assert seen == {value: {stamps[value]} for value in seen}, "a stamp was read in another moment than the record"
