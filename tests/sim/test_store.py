"""Simulations of the store itself: several nodes, every fault, and what has to hold all the same."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from msgspec.structs import replace

from tenet.base.dice import Dice
from tenet.store.contract import Add, Append, Committed, IsVersion, Key, LogOptions, Put, Record, SpaceOptions
from tenet.store.faulty import EVERY_FAULT
from tenet.store.suite.histories import LongHistory, SmallHistory, keys_of_small_history
from tenet.store.suite.logs_tail import Tail, put_logged
from tests.rounds import rounds
from tests.sim.harness import NO_FAULTS, Simulation, Stuck, seeds, simulate

#: A history that is checked by versions must know every writer.
NO_RIVALS = replace(EVERY_FAULT, commits=replace(EVERY_FAULT.commits, rival=0.0), crash=0.01)
STAMPED = SpaceOptions(stamps=True)


async def prepare(sim: Simulation, **spaces: SpaceOptions) -> None:
    for name, options in spaces.items():
        await sim.truth.store.ensure_space(name, options)


async def small_history(sim: Simulation) -> None:
    spaces = {"plain": SpaceOptions(), "stamped": STAMPED}
    await prepare(sim, **spaces)
    keys = keys_of_small_history(spaces, (b"p", b"q"), sim.seed)
    clients = [sim.node().client for _ in range(2)]
    await SmallHistory(clients, spaces, keys, sim.seed).play(callers=4, each=6)


async def long_history(sim: Simulation) -> None:
    await prepare(sim, plain=SpaceOptions(), stamped=STAMPED)
    places = [(space, partition) for space in ("plain", "stamped") for partition in (b"p", b"q", b"r")]
    keys = [Key(space, partition, sort) for space, partition in places for sort in (b"1", b"2")]
    clients = [sim.node().client for _ in range(3)]
    await LongHistory(clients, keys, sim.seed).play(callers=9, each=25)


async def bank(sim: Simulation) -> tuple[list[bytes], dict[str, int]]:
    """Money is moved by clerks on three nodes, in balances and in cells; rivals touch the accounts all the while."""
    await prepare(sim, accounts=SpaceOptions())
    accounts = [Key("accounts", b"branch-%d" % (at % 3), b"%d" % at) for at in range(6)]
    await sim.truth.write(*(Put(account, b"100", {"cash": 100}) for account in accounts))
    nodes = [sim.node() for _ in range(3)]

    async def clerk(number: int) -> None:
        client, dice = nodes[number % 3].client, Dice(sim.seed * 100 + number)
        for _ in range(12):
            source, target = dice.sample(accounts, 2)
            amount = 1 + dice.below(80)
            if dice.chance(0.5):
                await client.attempt(Add(source, "cash", -amount, at_least=0), Add(target, "cash", amount))
                continue
            records = dict(zip((source, target), await client.get(source, target), strict=True))
            balances = {key: int(record.value) for key, record in records.items() if record}
            if balances[source] >= amount:
                await client.attempt(
                    Put(source, b"%d" % (balances[source] - amount)),
                    Put(target, b"%d" % (balances[target] + amount)),
                    checks=[IsVersion(key, record.version) for key, record in records.items() if record],
                )

    async def auditor(number: int) -> None:
        for _ in range(10):
            records = [r for r in await nodes[number].client.together(*accounts) if isinstance(r, Record)]
            assert sum(int(record.value) for record in records) == 600
            assert sum(record.cells["cash"] for record in records) == 600
            assert min(record.cells["cash"] for record in records) >= 0
            await asyncio.sleep(0.05)

    await sim.actors(8, lambda number: clerk(number) if number < 6 else auditor(number - 6))
    await sim.calm()
    records = [record for record in await sim.truth.get(*accounts) if record]
    assert sum(int(record.value) for record in records) == 600
    assert sum(record.cells["cash"] for record in records) == 600
    return [record.version for record in records], dict(sim.counts())


async def tailed_log(sim: Simulation) -> None:
    """A log is tailed on one node while two write to it."""
    await prepare(sim, logged=SpaceOptions(log=LogOptions(shards=2, readers=("tail",))))
    writers, reader = [sim.node(), sim.node()], sim.node()
    tails = [Tail(reader.client, "logged", shard) for shard in range(2)]
    stop = asyncio.Event()

    async def write_on(number: int) -> None:
        client = writers[number % 2].client
        for count in range(15):
            await put_logged(client, Key("logged", b"p%d" % (count % 4), b"%d" % number), b"%d" % count)

    async def write_all() -> None:
        await sim.actors(4, write_on)
        await sim.calm()
        stop.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(write_all())
        for tail in tails:
            group.create_task(tail.follow(stop))
    for tail in tails:
        await tail.assert_is_the_log()
    written = [(entry.sort, entry.new) for tail in tails for entry in tail.entries]
    assert sorted(written) == sorted((b"%d" % number, b"%d" % count) for number in range(4) for count in range(15))


@pytest.mark.parametrize("seed", seeds(60, 3_000))
def test_one_order_explains_every_answer_of_any_node(seed: int) -> None:
    simulate(small_history, seed, NO_RIVALS)


@pytest.mark.parametrize("seed", seeds(4, 150))
def test_long_histories_of_several_nodes_are_strictly_serializable(seed: int) -> None:
    simulate(long_history, seed, NO_RIVALS)


@pytest.mark.parametrize("seed", seeds(15, 500))
def test_money_is_neither_made_nor_lost(seed: int) -> None:
    simulate(bank, seed)


@pytest.mark.parametrize("seed", seeds(10, 300))
def test_a_log_is_complete_and_in_order(seed: int) -> None:
    simulate(tailed_log, seed, replace(NO_RIVALS, crash=0.02))


class TestHarness:
    """The simulation itself: its time, its repetition, and what it says of a failure."""

    def test_every_fault_happens(self) -> None:
        counts: dict[str, int] = {}
        # What is late is late by so little that some of it lands before it is settled, and some after.
        plan = replace(EVERY_FAULT, crash=0.02, commits=replace(EVERY_FAULT.commits, late_ms_max=5))
        for seed in range(rounds(12, 40)):
            for fault, count in simulate(bank, seed, plan)[1].items():
                counts[fault] = counts.get(fault, 0) + count
        wanted = {
            "unavailable",
            "answer lost",
            "delayed",
            "unknown, sent",
            "unknown, never sent",
            "unknown, sent later",
            "crashed before the call",
            "crashed before the answer",
            "down",
            "met a rival: Committed",
            "landed late: Committed",
            "refused late: InvalidRequest",
        }
        assert wanted <= set(counts), wanted - set(counts)

    def test_a_seed_determines_a_run_to_the_last_byte(self) -> None:
        assert simulate(bank, 7) == simulate(bank, 7)
        assert simulate(bank, 7) != simulate(bank, 8)

    def test_time_is_jumped_over(self) -> None:
        async def scene(sim: Simulation) -> int:
            started = sim.clock.wall_ms()
            await asyncio.sleep(3_600)
            return sim.clock.wall_ms() - started

        assert simulate(scene, 0, NO_FAULTS) == 3_600_000

    def test_sleepers_wake_in_the_order_of_their_time(self) -> None:
        async def scene(sim: Simulation) -> list[int]:
            woken: list[int] = []

            async def sleep(after_ms: int) -> None:
                await asyncio.sleep(after_ms / 1_000)
                woken.append(after_ms)

            await sim.actors(5, lambda actor: sleep(1_000 * (5 - actor)))
            return woken

        assert simulate(scene, 0, NO_FAULTS) == [1_000, 2_000, 3_000, 4_000, 5_000]

    def test_a_scene_that_waits_for_nothing_is_stuck(self) -> None:
        async def scene(_: Simulation) -> None:
            await asyncio.Event().wait()

        with pytest.raises(Stuck):
            simulate(scene, 0, NO_FAULTS)

    def test_a_failure_says_how_to_play_it_again(self) -> None:
        async def scene(sim: Simulation) -> None:
            await prepare(sim, plain=SpaceOptions())
            for number in range(50):
                assert isinstance(await sim.node().client.attempt(Put(Key("plain", b"p"), b"%d" % number)), Committed)
            raise AssertionError("no invariant is without exception")

        with pytest.raises(AssertionError, match="no invariant") as failed:
            simulate(partial(scene), 4_711)
        (note,) = failed.value.__notes__
        assert "TENET_SIM_SEED=4711" in note
        assert "faults by seed" in note


def test_an_append_and_its_write_are_one(seed: int) -> None:
    """What is in the log is in the records, whatever becomes of the answer."""

    async def scene(sim: Simulation) -> None:
        await prepare(sim, logged=SpaceOptions(log=LogOptions(readers=("tail",))))
        node = sim.node()
        for number in range(60):
            key = Key("logged", b"p", b"%d" % number)
            await node.client.attempt(Put(key, b"x"), appends=[Append(key, None, b"x")])
        await sim.calm()
        records = {record.sort for record in await sim.truth.query_all("logged", b"p")}
        assert [entry.sort for entry in await sim.truth.log_all("logged")] == sorted(records, key=int)

    for one in seeds(5, 100):
        simulate(scene, one + seed, NO_RIVALS)
