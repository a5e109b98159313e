"""Bounded adds: they never conflict with one another, never break a bound, and leave versions alone."""

from __future__ import annotations

import asyncio

import pytest

from tenet.base.dice import Dice
from tenet.store.contract import (
    Add,
    Append,
    Committed,
    Conflict,
    Delete,
    IsPresent,
    IsVersion,
    Limits,
    Put,
)
from tenet.store.suite.stage import LOGGED, SEED, Client, Stage, all_of

CELL_MIN = -Limits.cell_max - 1


class TestAdds:
    """What an add does to a record."""

    async def test_an_absent_cell_counts_as_nought(self, stage: Stage) -> None:
        key = await stage.key()
        await stage.client.write(Put(key, b"v", {"a": 5}))
        await stage.client.write(Add(key, "b", -3))
        assert await stage.client.cells(key) == {"a": 5, "b": -3}
        assert await stage.client.value(key) == b"v"

    async def test_an_absent_record_is_made_with_an_empty_value(self, stage: Stage) -> None:
        key = await stage.key(b"s")
        committed = await stage.client.write(Add(key, "n", 7))
        record = await stage.client.read(key)
        assert record is not None
        assert (record.value, dict(record.cells), record.version) == (b"", {"n": 7}, committed.version)
        found = await stage.client.query_all(key.space, key.partition)
        assert found == [record]

    async def test_an_add_leaves_the_version(self, stage: Stage) -> None:
        key = await stage.key()
        version = (await stage.client.write(Put(key, b"v"))).version
        for _ in range(5):
            await stage.client.write(Add(key, "n", 1))
        record = await stage.client.read(key)
        assert record is not None
        assert record.version == version
        await stage.client.write(Put(key, b"w"), checks=[IsVersion(key, version)])
        assert await stage.client.cells(key) == {"n": 5}

    async def test_an_add_of_nought_makes_the_cell(self, stage: Stage) -> None:
        key = await stage.key()
        await stage.client.write(Add(key, "n", 0))
        assert await stage.client.cells(key) == {"n": 0}

    async def test_a_deleted_record_begins_anew(self, stage: Stage) -> None:
        key = await stage.key()
        await stage.client.write(Add(key, "n", 7))
        await stage.client.write(Delete(key))
        await stage.client.write(Add(key, "n", 1))
        assert await stage.client.cells(key) == {"n": 1}

    async def test_several_cells_and_records_in_one_commit(self, stage: Stage) -> None:
        one, other = await stage.key(b"1"), await stage.key(b"2")
        await stage.client.write(Add(one, "a", 1), Add(one, "b", 2), Add(other, "a", 3), Add(one, "c", -4))
        assert await stage.client.cells(one) == {"a": 1, "b": 2, "c": -4}
        assert await stage.client.cells(other) == {"a": 3}

    async def test_cells_are_returned_where_they_are_asked_for(self, stage: Stage) -> None:
        one, other, put = await stage.key(b"1"), await stage.key(b"2"), await stage.key(b"3")
        await stage.client.write(Put(one, b"", {"a": 1, "z": 26}))
        writes = (Add(one, "a", 1), Add(one, "b", 2), Add(other, "n", -1), Put(put, b"", {"p": 1}))
        committed = await stage.client.write(*writes, return_cells=True)
        # A commit whose answer was lost and that was settled may have none.
        if committed.cells:
            assert {key: dict(cells) for key, cells in committed.cells.items() if key != put} == {
                one: {"a": 2, "b": 2, "z": 26},
                other: {"n": -1},
            }

    async def test_adds_go_with_checks_and_log_entries(self, stage: Stage) -> None:
        key, guard = await stage.key(b"s", LOGGED), await stage.key()
        await stage.client.refused(Add(key, "n", 1), checks=[IsPresent(guard)])
        await stage.client.write(Add(key, "n", 1), checks=[IsVersion(guard, None)], appends=[Append(key, None, b"+1")])
        assert await stage.client.cells(key) == {"n": 1}


class TestBounds:
    """A bound is never broken, and refuses nothing that keeps it."""

    @pytest.mark.parametrize(
        ("start", "amount", "at_least", "at_most", "holds"),
        [
            (5, 5, None, 10, True),
            (5, 6, None, 10, False),
            (5, -5, 0, None, True),
            (5, -6, 0, None, False),
            (5, -5, 0, 10, True),
            (5, 0, 6, None, False),
            (5, 0, None, 4, False),
            (5, 1, 6, 6, True),
            (5, 1, 7, 5, False),
            (20, -1, None, 10, False),
            (0, Limits.cell_max, None, None, True),
            (1, Limits.cell_max, None, None, False),
            (Limits.cell_max, 1, None, None, False),
            (Limits.cell_max, 0, None, None, True),
            (Limits.cell_max, CELL_MIN, None, None, True),
            (0, CELL_MIN, None, None, True),
            (-1, CELL_MIN, None, None, False),
            (CELL_MIN, -1, None, None, False),
            (CELL_MIN, CELL_MIN, CELL_MIN, Limits.cell_max, False),
            (CELL_MIN, Limits.cell_max, -1, -1, True),
            (2**53, 1, 2**53 + 1, 2**53 + 1, True),
        ],
    )
    async def test_bounds_are_met_exactly(
        self, stage: Stage, start: int, amount: int, at_least: int | None, at_most: int | None, *, holds: bool
    ) -> None:
        key = await stage.key()
        await stage.client.write(Put(key, b"v", {"n": start}))
        outcome = await stage.client.attempt(Add(key, "n", amount, at_least, at_most))
        assert isinstance(outcome, Committed) == holds
        assert await stage.client.cells(key) == {"n": start + amount if holds else start}

    async def test_an_absent_record_is_bounded_as_nought(self, stage: Stage) -> None:
        key = await stage.key()
        conflict = await stage.client.refused(Add(key, "n", 5, at_most=4))
        assert list(conflict.out_of_bounds) == [0]
        assert conflict.records == {key: None}
        conflict = await stage.client.refused(Add(key, "n", 5, at_least=6))
        assert await stage.client.read(key) is None
        await stage.client.write(Add(key, "n", 5, at_least=5, at_most=5))
        assert await stage.client.cells(key) == {"n": 5}

    async def test_one_out_of_bounds_refuses_all_and_is_named(self, stage: Stage) -> None:
        one, other = await stage.key(b"1"), await stage.key(b"2")
        await stage.client.write(Put(one, b"v", {"a": 1, "b": 1}), Put(other, b"w", {"a": 1}))
        conflict = await stage.client.refused(
            Add(one, "a", 1), Add(one, "b", 1, at_most=1), Add(other, "a", -2, at_least=0), Put(await stage.key(), b"x")
        )
        assert (list(conflict.failed), list(conflict.out_of_bounds)) == ([], [1, 2])
        for key, cells in ((one, {"a": 1, "b": 1}), (other, {"a": 1})):
            record = conflict.records[key]
            assert record is not None
            assert dict(record.cells) == cells
            assert await stage.client.cells(key) == cells


class TestAddsTogether:
    """Adds of many at once."""

    async def test_they_never_conflict(self, stage: Stage) -> None:
        key = await stage.key()
        each = stage.rounds(12, 200)

        async def add_on(client: Client) -> None:
            for _ in range(each):
                await client.write(Add(key, "n", 1), Add(key, "total", 3))

        await all_of(*(add_on(stage.client) for _ in range(48)))
        assert await stage.client.cells(key) == {"n": 48 * each, "total": 3 * 48 * each}

    async def test_exactly_as_many_succeed_as_the_bound_lets(self, stage: Stage) -> None:
        for bound in (1, 10, 63):
            key = await stage.key()
            outcomes = await all_of(*(stage.client.attempt(Add(key, "n", 1, at_most=bound)) for _ in range(64)))
            assert sum(isinstance(outcome, Committed) for outcome in outcomes) == bound
            for outcome in outcomes:
                if isinstance(outcome, Conflict):
                    record = outcome.records[key]
                    assert record is not None
                    assert record.cells["n"] == bound, "refused though the bound would have held"
            assert await stage.client.cells(key) == {"n": bound}

    async def test_stock_is_never_below_nought_nor_above_its_shelf(self, stage: Stage) -> None:
        key = await stage.key()
        shelf = 20
        await stage.client.write(Put(key, b"stock", {"n": 5}))
        stop = asyncio.Event()
        left: list[int] = []

        async def trade(trader: int) -> None:
            dice = Dice(SEED + trader)
            balance = 0
            for _ in range(stage.rounds(25, 400)):
                amount = (1 + dice.below(6)) * (1 if dice.chance(0.5) else -1)
                outcome = await stage.client.attempt(Add(key, "n", amount, 0, shelf))
                balance += amount if isinstance(outcome, Committed) else 0
                if isinstance(outcome, Conflict):
                    record = outcome.records[key]
                    assert record is not None
                    assert not 0 <= record.cells["n"] + amount <= shelf, "refused though the bounds would have held"
            left.append(balance)

        async def look() -> None:
            while not stop.is_set():
                cells = await stage.client.cells(key)
                assert cells is not None
                assert 0 <= cells["n"] <= shelf
                await asyncio.sleep(0)

        async def trade_all() -> None:
            await all_of(*(trade(trader) for trader in range(16)))
            stop.set()

        await all_of(trade_all(), look())
        assert await stage.client.cells(key) == {"n": 5 + sum(left)}

    async def test_a_counter_counts_in_the_order_of_time(self, stage: Stage) -> None:
        key = await stage.key()
        seen: list[tuple[int, int, int]] = []
        clock = iter(range(10**9))

        async def count_on() -> None:
            for _ in range(stage.rounds(15, 200)):
                begun = next(clock)
                committed = await stage.client.write(Add(key, "n", 1), return_cells=True)
                ended = next(clock)
                if committed.cells:
                    seen.append((committed.cells[key]["n"], begun, ended))

        await all_of(*(count_on() for _ in range(16)))
        total = 16 * stage.rounds(15, 200)
        numbers = [number for number, _, _ in seen]
        assert len(set(numbers)) == len(numbers), "two adds left the same count"
        assert set(numbers) <= set(range(1, total + 1))
        # Whoever began after another was answered has the larger number.
        latest = 0
        for _, is_end, number in sorted(
            [(begun, 0, number) for number, begun, _ in seen] + [(ended, 1, number) for number, _, ended in seen]
        ):
            if is_end:
                latest = max(latest, number)
            else:
                assert number > latest
        assert await stage.client.cells(key) == {"n": total}

    async def test_puts_beside_adds_lose_none(self, stage: Stage) -> None:
        key = await stage.key()
        await stage.client.write(Put(key, b"start"))
        each = stage.rounds(15, 200)

        async def add_on() -> None:
            for _ in range(each):
                await stage.client.write(Add(key, "n", 1))

        async def put_on() -> None:
            for number in range(each):
                record = await stage.client.read(key)
                assert record is not None
                # The version is checked, and adds between the read and the commit do not disturb it.
                await stage.client.write(Put(key, b"%d" % number), checks=[IsVersion(key, record.version)])

        await all_of(*(add_on() for _ in range(8)), put_on())
        assert await stage.client.cells(key) == {"n": 8 * each}
        assert await stage.client.value(key) == b"%d" % (each - 1)
