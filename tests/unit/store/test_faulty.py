"""Each fault happens as the contract allows it, and the same ones by the same seed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from msgspec.structs import replace

from tenet.base.clock import SystemClock
from tenet.base.ids import SeededIds
from tenet.store.contract import (
    Commit,
    Committed,
    Conflict,
    Engine,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    NeverCommitted,
    Put,
    SpaceOptions,
    StampOf,
    Unknown,
    new_commit_id,
)
from tenet.store.errors import InvalidRequest, StoreUnavailable
from tenet.store.faulty import EVERY_FAULT, NO_FAULTS, CallFaults, CommitFaults, FaultPlan, Faulty
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState

T = TypeVar("T")

KEY = Key("s", b"p", b"k")
OF = StampOf("s", b"p")
CLOCK = SystemClock()
IDS = SeededIds(0)


def commit_of(*writes: Put, checks: tuple[IsVersion | IsStamp | IsPresent, ...] = ()) -> Commit:
    return Commit(new_commit_id(CLOCK, IDS), writes, checks)


def play(plan: FaultPlan, scene: Callable[[Faulty, MemoryEngine], Awaitable[T]], *, seed: int = 0) -> T:
    """Plays a scene on an engine with one record in a space with stamps."""

    async def run() -> T:
        engine = MemoryEngine(clock=CLOCK, ids=IDS)
        await engine.ensure_space("s", SpaceOptions(stamps=True))
        assert isinstance(await engine.commit(commit_of(Put(KEY, b"old", {"n": 1}))), Committed)
        faulty = Faulty(engine, plan, seed=seed, clock=CLOCK)
        try:
            return await scene(faulty, engine)
        finally:
            await faulty.close()

    return asyncio.run(run())


def of_commits(**faults: float) -> FaultPlan:
    return FaultPlan(commits=CommitFaults(late_ms_max=5, **faults))


def test_without_faults_nothing_is_different() -> None:
    async def scene(faulty: Faulty, engine: MemoryEngine) -> None:
        assert isinstance(await faulty.commit(commit_of(Put(KEY, b"new"))), Committed)
        assert await faulty.get([KEY]) == await engine.get([KEY])
        assert faulty.counts == {}
        assert faulty.capabilities == engine.capabilities

    play(NO_FAULTS, scene)


def test_unavailable_writes_nothing_and_names_the_seed() -> None:
    async def scene(faulty: Faulty, engine: MemoryEngine) -> None:
        for call in (faulty.commit(commit_of(Put(KEY, b"new"))), faulty.drop_space("s"), faulty.discard("s", b"p")):
            with pytest.raises(StoreUnavailable, match="seed 77, call"):
                await call
        (record,) = await engine.get([KEY])
        assert record is not None
        assert record.value == b"old"

    play(FaultPlan(calls=CallFaults(unavailable=1.0)), scene, seed=77)


def test_a_single_method_can_have_its_own_faults() -> None:
    async def scene(faulty: Faulty, _: MemoryEngine) -> None:
        assert isinstance(await faulty.commit(commit_of(Put(KEY, b"new"))), Committed)
        with pytest.raises(StoreUnavailable):
            await faulty.get([KEY])

    play(FaultPlan(methods={"get": CallFaults(answer_lost=1.0)}), scene)


@pytest.mark.parametrize(("fault", "lands"), [("unknown_done", True), ("unknown_lost", False)])
def test_an_unknown_outcome_can_be_settled(fault: str, lands: bool) -> None:
    async def scene(faulty: Faulty, engine: MemoryEngine) -> None:
        commit = commit_of(Put(KEY, b"new"))
        assert await faulty.commit(commit) == Unknown(commit.id)
        assert isinstance(await faulty.settle(commit), Committed if lands else NeverCommitted)
        (record,) = await engine.get([KEY])
        assert record is not None
        assert (record.value == b"new") == lands

    play(of_commits(**{fault: 1.0}), scene)


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_late_commit_lands_unless_it_is_settled(is_settled: bool) -> None:
    async def scene(faulty: Faulty, engine: MemoryEngine) -> None:
        commit = commit_of(Put(KEY, b"late"))
        assert await faulty.commit(commit) == Unknown(commit.id)
        if is_settled:
            assert await engine.settle(commit) == NeverCommitted(commit.id)
        await faulty.quiet()
        (record,) = await engine.get([KEY])
        assert record is not None
        assert (record.value == b"late") == (not is_settled)

    play(of_commits(unknown_late=1.0), scene)


def test_a_commit_of_checks_alone_is_never_unknown() -> None:
    async def scene(faulty: Faulty, _: MemoryEngine) -> None:
        assert isinstance(await faulty.commit(commit_of(checks=(IsPresent(KEY),))), Committed)

    play(of_commits(unknown_done=1.0), scene)


def test_a_rival_really_changes_the_version_and_the_stamp_and_nothing_else() -> None:
    async def scene(faulty: Faulty, engine: MemoryEngine) -> None:
        before, stamp = await engine.read_together([KEY, OF])
        assert not isinstance(before, int)
        assert before is not None
        assert isinstance(stamp, int)
        for check in (IsVersion(KEY, before.version), IsStamp(OF, stamp)):
            outcome = await faulty.commit(commit_of(Put(KEY, b"new"), checks=(check,)))
            assert isinstance(outcome, Conflict)
        after, _ = await engine.read_together([KEY, OF])
        assert not isinstance(after, int)
        assert after is not None
        assert (after.value, after.cells) == (before.value, before.cells)
        assert after.version > before.version
        # What is absent stays absent: no rival may invent a record.
        absent = replace(KEY, sort=b"x")
        outcome = await faulty.commit(commit_of(Put(absent, b"x"), checks=(IsVersion(absent, None),)))
        assert isinstance(outcome, Committed)

    play(of_commits(rival=1.0), scene)


def test_a_crash_opens_the_engine_again_and_loses_nothing() -> None:
    state = MemoryState()

    async def run() -> None:
        opened = 0

        async def reopen(crashed: Engine) -> Engine:
            nonlocal opened
            opened += 1
            await crashed.close()
            return MemoryEngine(state, clock=CLOCK, ids=IDS)

        plan = FaultPlan(crash=0.1, down_ms_max=1)
        faulty = Faulty(MemoryEngine(state, clock=CLOCK, ids=IDS), plan, seed=1, clock=CLOCK, reopen=reopen)
        for number in range(100):
            key = replace(KEY, sort=b"%d" % number)
            done = False
            while not done:
                try:
                    await faulty.ensure_space("s")
                    done = isinstance(await faulty.commit(commit_of(Put(key, b"x"))), Committed)
                except StoreUnavailable:
                    await asyncio.sleep(0.001)
            assert None not in await faulty.engine.get([replace(KEY, sort=b"%d" % at) for at in range(number + 1)])
        assert opened > 3
        assert faulty.counts["crashed before the call"] >= opened
        await faulty.close()

    asyncio.run(run())


def test_hints_are_lost_and_come_for_nothing() -> None:
    async def lost(faulty: Faulty, engine: MemoryEngine) -> None:
        watch = faulty.watch("s", b"p")
        waiting = asyncio.create_task(watch.wait(0.05))
        await asyncio.sleep(0)
        assert isinstance(await engine.commit(commit_of(Put(KEY, b"new"))), Committed)
        assert not await waiting
        watch.close()

    async def for_nothing(faulty: Faulty, _: MemoryEngine) -> None:
        watch = faulty.watch("s")
        assert await watch.wait(60)
        watch.close()

    play(FaultPlan(hint_lost=1.0), lost)
    play(FaultPlan(hint_for_nothing=1.0), for_nothing)


def test_what_is_wrong_stays_wrong() -> None:
    async def scene(faulty: Faulty, _: MemoryEngine) -> None:
        with pytest.raises(InvalidRequest):
            await faulty.commit(commit_of(Put(KEY, b"1"), Put(KEY, b"2")))

    play(FaultPlan(calls=CallFaults(delayed=1.0, delay_ms_max=1)), scene)
    play(of_commits(unknown_lost=1.0), scene)


def test_a_seed_determines_every_fault() -> None:
    async def scene(faulty: Faulty, _: MemoryEngine) -> str:
        for number in range(300):
            try:
                outcome = await faulty.commit(commit_of(Put(replace(KEY, sort=b"%d" % number), b"x")))
                assert isinstance(outcome, Committed | Unknown)
                await faulty.get([KEY])
            except StoreUnavailable:
                pass
        return faulty.report()

    # Commits that land late do so by the machine's clock here, so that they are left out.
    plan = replace(
        EVERY_FAULT,
        calls=replace(EVERY_FAULT.calls, delayed=0.0),
        commits=replace(EVERY_FAULT.commits, unknown_late=0.0),
        crash=0.0,
    )
    assert play(plan, scene, seed=5) == play(plan, scene, seed=5)
    assert play(plan, scene, seed=5) != play(plan, scene, seed=6)
