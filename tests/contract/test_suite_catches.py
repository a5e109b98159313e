"""The contract suite fails on every engine that is broken; a suite that cannot fail proves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.store.suite import (
    adds,
    commits,
    histories,
    lifecycle,
    logs,
    queries,
    records,
    scans,
    settle,
    spaces,
    stamps,
    together,
)
from tenet.store.suite.harness import EngineHarness
from tenet.store.suite.stage import Stage
from tests.contract import broken_engines as broken

Test: TypeAlias = Callable[[Stage], Awaitable[None]]

SMALL = histories.TestSmallHistories().test_every_answer_is_explained_by_one_order
LONG = histories.TestLongHistories().test_transactions_have_one_order_that_agrees_with_time
LISTS = histories.TestLongHistories().test_lists_are_appended_to_in_one_order
MONEY = together.TestTogether().test_money_is_neither_made_nor_lost
LOG_ORDER = logs.TestLogOrder().test_the_order_of_a_partition_is_that_of_its_commits
PAGING = queries.TestQueriesWhileWriting().test_paging_neither_skips_nor_repeats


async def on_call(stage: Stage) -> None:
    await stamps.TestPhantoms().test_one_is_always_on_call(stage)


FINDS: list[tuple[type[MemoryEngine], Test]] = [
    (broken.ChecksEarly, LONG),
    (broken.ChecksEarly, SMALL),
    (broken.ChecksEarly, LISTS),
    (broken.ChecksEarly, MONEY),
    (broken.BoundsEarly, adds.TestAddsTogether().test_exactly_as_many_succeed_as_the_bound_lets),
    (broken.BoundsEarly, adds.TestAddsTogether().test_stock_is_never_below_nought_nor_above_its_shelf),
    (broken.BoundsEarly, SMALL),
    (broken.ChecksOnlyWhatItWrites, LONG),
    (broken.ChecksOnlyWhatItWrites, commits.TestCommits().test_a_check_does_not_need_a_write_of_its_key),
    (broken.IgnoresStamps, on_call),
    (broken.IgnoresStamps, SMALL),
    (broken.WritesBitByBit, LONG),
    (broken.WritesBitByBit, MONEY),
    (broken.WritesBitByBit, queries.TestQueriesWhileWriting().test_a_page_is_of_one_moment),
    (broken.ReadsBitByBit, LONG),
    (broken.ReadsBitByBit, SMALL),
    (broken.ReadsBitByBit, MONEY),
    (broken.ReadsBitByBit, together.TestTogether().test_a_stamp_and_records_are_of_the_same_moment),
    (broken.ReadsFromBefore, LONG),
    (broken.ReadsFromBefore, records.TestRecords().test_a_put_replaces_and_its_version_is_larger),
    (broken.QueriesStamplessly, SMALL),
    (broken.AddsConflict, adds.TestAdds().test_an_add_leaves_the_version),
    (broken.AddsConflict, adds.TestAddsTogether().test_puts_beside_adds_lose_none),
    (broken.AddsDoNotStamp, lambda stage: stamps.TestStamps().test_every_write_raises_it(stage, "add")),
    (broken.AddsDoNotStamp, SMALL),
    (broken.PutsDropCells, records.TestRecords().test_put_keeps_cells_unless_it_gives_some),
    (broken.ForgetsIds, settle.TestSentTwice().test_one_after_the_other),
    (broken.ForgetsIds, settle.TestSentTwice().test_all_at_once),
    (broken.ForgetsIds, settle.TestSettle().test_a_commit_that_took_effect),
    (broken.SettlesWithoutAFence, settle.TestSettle().test_one_that_never_came_can_come_no_more),
    (broken.SettlesWithoutAFence, settle.TestSettle().test_delete_only),
    (broken.SettlesWithoutAFence, settle.TestLate().test_a_race_has_one_winner),
    (broken.SettlesWithoutAFence, settle.TestLate().test_one_that_is_held_up_and_settled_never_lands),
    (broken.SettlesByLooking, settle.TestSettle().test_overwritten_since),
    (broken.ConflictsFromBefore, SMALL),
    (broken.NamesTheFirstFailure, commits.TestConflicts().test_it_names_every_check_that_failed_and_brings_its_record),
    (broken.NamesTheFirstFailure, SMALL),
    (broken.LogsLate, LOG_ORDER),
    (broken.LogsInTheWrongOrder, LOG_ORDER),
    (broken.TrimsForTheFastest, logs.TestTrimming().test_it_is_kept_until_every_reader_has_read_it),
    (
        broken.LooksBeforeTheLast,
        logs.TestLogs().test_a_stale_read_says_that_there_is_more_and_leaves_the_log_as_it_was,
    ),
    (broken.ScansByCount, scans.TestScansWhileWriting().test_what_stays_is_returned_exactly_once),
    (broken.EndsTooEarly, queries.TestPages().test_a_page_is_never_longer_than_its_limit),
    (broken.EndsTooEarly, lambda stage: PAGING(stage, reverse=False)),
    (broken.IncludesTheUpperEnd, queries.TestOrder().test_ranges_are_half_open_between_any_two_keys),
    (broken.OrdersAsText, queries.TestOrder().test_order_forward_and_backward),
    (broken.VersionsByTheClock, records.TestVersions().test_versions_of_many_writers_of_a_key_are_different_and_grow),
    (broken.VersionsByTheClock, records.TestVersions().test_versions_grow_while_the_clock_steps_back),
    (broken.KeepsStampsOfTheDropped, spaces.TestDroppedSpaces().test_made_again_it_is_empty),
    (broken.WritesBeforeItRefuses, SMALL),
    (broken.DiscardsTooMuch, lifecycle.TestDiscard().test_it_takes_the_range_and_can_be_repeated),
]


class BrokenHarness(EngineHarness):
    """Opens a broken engine."""

    held_s = 0.2
    #: More rounds than an engine gets that may be right: they end with the first that finds out, which must be in them.
    pace = 5.0

    def __init__(self, engine: type[MemoryEngine]) -> None:
        self._engine = engine
        self._states: dict[str, MemoryState] = {}

    async def open(self, location: str, *, clock: Clock, ids: Ids) -> MemoryEngine:
        return self._engine(self._states.setdefault(location, MemoryState()), clock=clock, ids=ids)


def name_of(value: object) -> str:
    return value.__name__ if isinstance(value, type) else getattr(value, "__name__", "test").removeprefix("test_")


@pytest.mark.parametrize(("engine", "test"), FINDS, ids=name_of)
def test_the_suite_finds_out(engine: type[MemoryEngine], test: Test) -> None:
    stage = Stage(BrokenHarness(engine), "broken")
    stage.start()

    async def play() -> None:
        # A broken engine may also make a test wait for what never comes.
        async with asyncio.timeout(15):
            await test(stage)

    try:
        with pytest.raises(BaseException) as found:  # noqa: PT011 - what a broken engine leads to is not known beforehand
            stage.run(play())
        assert not isinstance(found.value, KeyboardInterrupt | NotImplementedError | TypeError | AttributeError)
    finally:
        stage.stop()


def test_every_broken_engine_is_tried() -> None:
    engines = {one for one in vars(broken).values() if isinstance(one, type) and issubclass(one, MemoryEngine)}
    assert engines - {MemoryEngine} == {engine for engine, _ in FINDS}
