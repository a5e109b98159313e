"""What a process remembers of cells and of its own intents saves reads, and refuses and changes nothing by itself."""

from __future__ import annotations

import asyncio
from random import Random

from tenet.store.contract import Add, Commit, Committed, Conflict, Delete, Key, Limits, Outcome, Put, Write
from tests.cassandra_model.cluster import Fate
from tests.cassandra_model.stand import Process, Stand, statement

COUNTER = Key("plain", b"counter", b"")
OTHER = Key("plain", b"other", b"")
PREPARATION = statement("SET lk = ?")
LOOKS_UP_AN_INTENT = statement("SELECT v FROM")


async def opened(stand: Stand, *names: str) -> list[Process]:
    processes = [await stand.process(name) for name in names]
    for process in processes:
        await process.engine.ensure_space("plain")
    return processes


async def commit(process: Process, *writes: Write) -> Outcome:
    return await process.engine.commit(Commit(process.client.new_id(), writes))


async def cost(process: Process, *writes: Write) -> tuple[int, int]:
    """Commits what nothing stands against; returns how many reads and batches that took, its end included."""
    await process.engine.is_quiet()
    before = dict(process.driver.sent)
    assert isinstance(await commit(process, *writes), Committed)
    await process.engine.is_quiet()
    sent = process.driver.sent
    return sent["read"] - before["read"], sent["conditional"] - before["conditional"]


async def cells(process: Process, key: Key) -> dict[str, int]:
    (record,) = await process.engine.get([key])
    return {} if record is None else dict(record.cells)


def add(amount: int = 1, *, at_most: int | None = None, at_least: int | None = None) -> Add:
    return Add(COUNTER, "n", amount, at_least=at_least, at_most=at_most)


def test_cells_that_this_process_has_left_are_not_read_again() -> None:
    async def test(stand: Stand) -> None:
        one, other = await opened(stand, "one", "other")
        assert await cost(one, add()) == (1, 1)
        assert await cost(one, add()) == (0, 1)
        assert await cost(one, Put(OTHER, b"x"), add()) == (0, 3), "prepared, and carried out by what was laid"
        assert await cost(one, add()) == (0, 1)
        assert await cost(other, add()) == (1, 1)
        assert await cost(one, add()) == (0, 2), "refused once, which tells what is there"
        assert await cost(one, add()) == (0, 1)
        assert await cells(one, COUNTER) == {"n": 7}

    Stand().run(test)


def test_a_bound_refuses_what_is_there_and_never_what_is_remembered() -> None:
    async def test(stand: Stand) -> None:
        one, other = await opened(stand, "one", "other")
        for _ in range(3):
            assert isinstance(await commit(one, add(at_most=3)), Committed)
        assert isinstance(await commit(other, add(-3)), Committed)
        assert isinstance(await commit(one, add(at_most=3)), Committed), "full, as far as it remembers"
        assert isinstance(await commit(other, add(2)), Committed)
        refused = await commit(one, add(at_most=3))
        assert isinstance(refused, Conflict), "there is room, as far as it remembers"
        assert list(refused.out_of_bounds) == [0]
        assert await cells(one, COUNTER) == {"n": 3}

    Stand().run(test)


def test_what_became_of_a_record_otherwise_is_found_out() -> None:
    """It was deleted, put anew, and put with as many cells as a record may have."""

    async def test(stand: Stand) -> None:
        one, other = await opened(stand, "one", "other")
        many = {f"c{number}": number for number in range(Limits.cells_max - 1)}
        for change, left in (
            (Delete(COUNTER), {"n": 1}),
            (Put(COUNTER, b"x", cells={"n": 5, "m": 1}), {"n": 6, "m": 1}),
            (Put(COUNTER, b"x"), {"n": 7, "m": 1}),
            (Put(COUNTER, b"x", cells=many), {**many, "n": 1}),
        ):
            assert isinstance(await commit(other, change), Committed)
            assert isinstance(await commit(one, add()), Committed)
            assert await cells(one, COUNTER) == left
        assert isinstance(await commit(other, Put(COUNTER, b"x", cells={"o": 1})), Committed)
        # As far as is remembered there would be a cell too many.
        assert isinstance(await commit(one, Add(COUNTER, "o", 1)), Committed)
        assert await cells(one, COUNTER) == {"o": 2}

    Stand().run(test)


def test_many_at_once_need_one_batch_each() -> None:
    async def test(stand: Stand) -> None:
        (one,) = await opened(stand, "one")
        await commit(one, add())
        before = dict(one.driver.sent)
        outcomes = await asyncio.gather(*(commit(one, add(at_most=11)) for _ in range(12)))
        assert sum(isinstance(outcome, Committed) for outcome in outcomes) == 10
        assert await cells(one, COUNTER) == {"n": 11}
        assert one.driver.sent["conditional"] - before["conditional"] <= 12

    Stand().run(test)


def test_an_intent_is_looked_up_where_its_preparation_was_not_answered_at_once() -> None:
    async def test(stand: Stand) -> None:
        one, other = await opened(stand, "one", "other")
        looked_up: list[str] = []
        take = one.script.take

        async def noted(driver: object, kind: str, bound: object) -> Fate:
            if LOOKS_UP_AN_INTENT(kind, bound):  # type: ignore[arg-type]
                looked_up.append(kind)
            return await take(driver, kind, bound)  # type: ignore[arg-type]

        one.script.take = noted  # type: ignore[method-assign]
        for number, fate in enumerate((Fate.DONE, Fate.LOST, Fate.NEVER)):
            looked_up.clear()
            one.script.then(PREPARATION, fate)
            assert isinstance(await commit(one, Put(OTHER, b"%d" % number), add()), Committed)
            await one.engine.is_quiet()
            assert bool(looked_up) is (fate is not Fate.DONE)
            assert await cells(other, COUNTER) == {"n": number + 1}
            assert await other.client.value(OTHER) == b"%d" % number

    Stand().run(test)


def test_whoever_else_was_there_every_sum_is_that_of_what_took_effect() -> None:
    async def test(stand: Stand) -> None:
        chance = Random(5)
        processes = await opened(stand, "one", "two", "three")
        keys = [Key("plain", b"p%d" % number, b"%d" % record) for number in range(2) for record in range(2)]
        sums = dict.fromkeys(keys, 0)

        async def work(process: Process) -> None:
            for _ in range(40):
                chosen = chance.sample(keys, chance.randint(1, 3))
                amounts = {key: chance.choice((-2, -1, 1, 2)) for key in chosen}
                writes = [Add(key, "n", amount, at_least=0, at_most=5) for key, amount in amounts.items()]
                if isinstance(await process.client.attempt(*writes), Committed):
                    for key, amount in amounts.items():
                        sums[key] += amount

        await asyncio.gather(*(work(process) for process in processes for _ in range(2)))
        for key in keys:
            assert (await cells(processes[0], key)).get("n", 0) == sums[key]
            assert 0 <= sums[key] <= 5

    Stand().run(test)
