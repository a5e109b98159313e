"""Walks through what the distributed engine does, statement by statement, on a cluster in memory; see ``walk``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tenet.store.cassandra import idle
from tenet.store.cassandra.across import Across
from tenet.store.cassandra.encoding import CARRIED_OUT
from tenet.store.cassandra.idle import IdlePointers, Pointer
from tenet.store.cassandra.journal import Note
from tenet.store.cassandra.locks import Locks
from tenet.store.cassandra.outboxes import Outboxes
from tenet.store.cassandra.sending import Bound
from tenet.store.cassandra.spaces import Space
from tenet.store.contract import (
    Add,
    Append,
    Commit,
    CommitId,
    Delete,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    LogOptions,
    Put,
    Range,
    Record,
    SpaceOptions,
    StampOf,
    Version,
)
from tests.cassandra_model.walk import Broken, Explorer, Process, Rewrite, Scene
from tests.rounds import rounds

PLAIN, STAMPED, LOGGED = "plain", "stamped", "logged"


def keys_of(space: str, *partitions: bytes) -> list[Key]:
    return [Key(space, partition, b"1") for partition in partitions]


def version_of(record: Record | int | None) -> Version | None:
    return record.version if isinstance(record, Record) else None


# ---- scenes ----------------------------------------------------------------------------------------------------------

A, B, C = keys_of(PLAIN, b"a", b"b", b"c")


async def put_a_and_b(process: Process) -> None:
    await process.commit(process.commit_of(Put(A, b"a0"), Put(B, b"b0")))


async def move_a_to_b(process: Process) -> None:
    records = await process.together(A, B)
    checks = [IsVersion(key, version_of(record)) for key, record in zip((A, B), records, strict=True)]
    await process.commit(process.commit_of(Put(A, b"a1"), Put(B, b"b1"), checks=checks))


async def move_b_to_c(process: Process) -> None:
    await process.commit(process.commit_of(Put(C, b"c2"), Delete(B), checks=[IsPresent(B), IsVersion(C, None)]))


async def put_b(process: Process) -> None:
    await process.commit(process.commit_of(Put(B, b"b3"), checks=[IsPresent(B)]))


async def read_all(process: Process) -> None:
    await process.get(B)
    await process.together(A, B, C)
    await process.get(A)


#: Two commits over partitions that overlap, and a third one within one of them, of which none may see a half.
OVERLAP = Scene(
    {PLAIN: SpaceOptions()},
    [A, B, C],
    put_a_and_b,
    {"first": move_a_to_b, "second": move_b_to_c, "third": put_b, "reader": read_all},
)


SENT_TWICE_ID = CommitId((1_700_000_000_000).to_bytes(6, "big") + bytes(10))
SENT_TWICE = Commit(SENT_TWICE_ID, [Put(A, b"a4"), Put(B, b"b4"), Put(C, b"c4")], [IsPresent(B)])


async def send(process: Process) -> None:
    await process.commit(SENT_TWICE)


async def settle(process: Process) -> None:
    await process.settle(SENT_TWICE)


async def overwrite_c(process: Process) -> None:
    await process.commit(process.commit_of(Put(C, b"c5")))


#: A commit that is sent by two processes at once, while somebody settles it, and its partitions go on.
TWICE = Scene(
    {PLAIN: SpaceOptions()},
    [A, B, C],
    put_a_and_b,
    {"first": send, "second": send, "settles": settle, "writes": overwrite_c},
)


async def hurry(process: Process) -> None:
    await process.commit(process.commit_of(Put(A, b"a6"), Put(B, b"b6")), deadline_s=0.5)


async def read_a_and_b(process: Process) -> None:
    await process.together(A, B)


#: A commit whose time is over before it is known what became of it.
HURRIED = Scene({PLAIN: SpaceOptions()}, [A, B], put_a_and_b, {"first": hurry, "reader": read_a_and_b})


D, E = keys_of(STAMPED, b"d", b"e")
STAMP = StampOf(STAMPED, b"e")


async def put_d(process: Process) -> None:
    await process.commit(process.commit_of(Put(D, b"", {"n": 1})))


async def add_to_both(process: Process) -> None:
    await process.commit(process.commit_of(Add(D, "n", -1, at_least=0), Add(E, "n", 1)))


async def add_to_d(process: Process) -> None:
    await process.commit(process.commit_of(Add(D, "n", -1, at_least=0)))


async def look_for_phantoms(process: Process) -> None:
    await process.query(STAMPED, b"e", Range(), stamp=STAMP)
    (stamp,) = await process.together(STAMP)
    assert isinstance(stamp, int)
    await process.commit(process.commit_of(Put(Key(STAMPED, b"d", b"2"), b"seen"), checks=[IsStamp(STAMP, stamp)]))
    await process.query(STAMPED, b"e", Range())


#: Bounds, and a range that is empty until a commit over partitions makes a record in it.
ADDS = Scene(
    {STAMPED: SpaceOptions(stamps=True)},
    [D, E, Key(STAMPED, b"d", b"2")],
    put_d,
    {"both": add_to_both, "one": add_to_d, "reader": look_for_phantoms},
)


async def put_both(process: Process) -> None:
    await process.commit(process.commit_of(Put(D, b"d7"), Put(E, b"e7")))


async def look_in_turn(process: Process) -> None:
    for key in (E, D, E, D, E):
        await process.get(key)


#: A commit over partitions that makes a record where there is none, which somebody reads by its key.
EMPTY = Scene({STAMPED: SpaceOptions(stamps=True)}, [D, E], put_d, {"both": put_both, "reader": look_in_turn})


F, G = keys_of(LOGGED, b"f", b"g")


async def nothing(_: Process) -> None:
    return


async def log_both(process: Process) -> None:
    appends = [Append(F, None, b"1"), Append(G, None, b"1"), Append(F, b"1", b"2")]
    await process.commit(process.commit_of(Put(F, b"2"), Put(G, b"1"), appends=appends))


async def log_f(process: Process) -> None:
    for value in (b"3", b"4"):
        await process.commit(process.commit_of(Put(F, value), appends=[Append(F, None, value)]))


async def sequence(process: Process) -> None:
    await process.sequence(LOGGED, 3)


#: Commits with log entries, and two that bring the log up to date against each other.
LOG = Scene(
    {LOGGED: SpaceOptions(log=LogOptions(readers=("tail",)))},
    [F, G],
    nothing,
    {"both": log_both, "one": log_f, "sequencer": sequence, "other": sequence},
)


#: The same with less before it, so that the two meet more often.
SEQUENCERS = Scene(
    {LOGGED: SpaceOptions(log=LogOptions(readers=("tail",)))},
    [F],
    nothing,
    {"one": log_f, "sequencer": sequence, "other": sequence},
)


async def log_once(process: Process) -> None:
    await process.commit(process.commit_of(Put(F, b"5"), appends=[Append(F, None, b"5")]), deadline_s=300)


async def sequence_on(process: Process) -> None:
    await process.sequence(LOGGED, 4, pause_s=16)


#: A commit with an entry, while the pointers of idle partitions are taken away.
POINTER = Scene(
    {LOGGED: SpaceOptions(log=LogOptions(readers=("tail",)))},
    [F],
    nothing,
    {"one": log_once, "sequencer": sequence_on},
)


async def log_twice(process: Process) -> None:
    await log_once(process)
    await asyncio.sleep(48)
    for _ in range(2):
        await process.get(F)
    await log_once(process)


async def sequence_on_and_on(process: Process) -> None:
    await process.sequence(LOGGED, 5, pause_s=16)


#: Two commits with entries, of which the second comes when the pointer of the first is about to be taken away.
IDLE = Scene(
    {LOGGED: SpaceOptions(log=LogOptions(readers=("tail",)))},
    [F],
    nothing,
    {"one": log_twice, "sequencer": sequence_on_and_on},
)


async def log_both_and_on(process: Process) -> None:
    await log_both(process)
    await log_once(process)


async def sequence_now_and_then(process: Process) -> None:
    await process.sequence(LOGGED, 4, pause_s=0.05)


#: A commit over partitions with entries in each, which are read as soon as it was answered.
ANSWERED = Scene(
    {LOGGED: SpaceOptions(log=LogOptions(readers=("tail",)))},
    [F, G],
    nothing,
    {"both": log_both_and_on, "sequencer": sequence_now_and_then, "other": sequence_now_and_then},
)

SCENES = {
    "hurried": HURRIED,
    "overlap": OVERLAP,
    "sent twice": TWICE,
    "adds": ADDS,
    "empty": EMPTY,
    "log": LOG,
    "sequencers": SEQUENCERS,
    "pointer": POINTER,
    "idle": IDLE,
    "answered": ANSWERED,
}


# ---- the engine as it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENES)
def test_what_must_hold_holds_in_every_state_near_the_default(name: str) -> None:
    explorer = Explorer(SCENES[name])
    explorer.explore(rounds(1, 2))
    assert explorer.runs > 30


@pytest.mark.parametrize("name", SCENES)
def test_what_must_hold_holds_on_random_walks(name: str) -> None:
    explorer = Explorer(SCENES[name])
    for seed in range(rounds(60, 5_000)):
        explorer.wander(seed, 0.15)


@pytest.mark.interpreted
@pytest.mark.parametrize("name", ["log", "sequencers", "pointer", "idle", "answered"])
def test_what_must_hold_holds_where_pointers_are_taken_away_as_soon_as_they_lead_to_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "_KEPT_MAX", 0)
    monkeypatch.setattr(idle, "_SOON_S", 0.0)
    monkeypatch.setattr(idle, "_LOOKS_MAX", 1)
    explorer = Explorer(SCENES[name])
    explorer.explore(rounds(1, 2))
    for seed in range(rounds(60, 5_000)):
        explorer.wander(seed, 0.15)


#: Minutes apart, as far as the design says that clocks may be, and each in another order than the processes go in.
SKEWS_MS = (140_000, -140_000, 0, -60_000)


@pytest.mark.parametrize("nodes_ms", [-140_000, 140_000])
@pytest.mark.parametrize("name", SCENES)
def test_what_must_hold_holds_where_clocks_are_minutes_apart(name: str, nodes_ms: int) -> None:
    scene = SCENES[name]
    skew_ms = dict(zip(scene.actors, SKEWS_MS, strict=False))
    explorer = Explorer(replace(scene, skew_ms=skew_ms, nodes_ms=nodes_ms))
    explorer.explore(rounds(0, 1))
    for seed in range(rounds(12, 2_000)):
        explorer.wander(seed, 0.15)


# ---- engines that are broken -----------------------------------------------------------------------------------------


def instead(part: str, other: str) -> Rewrite:
    """Writes something else for a part of the text of statements."""
    return lambda bound: [(text.replace(part, other), values) for text, values in bound]


def dropping(is_wanted: Callable[[str, Sequence[Any]], bool]) -> Rewrite:
    """Leaves statements out of batches."""
    return lambda bound: [(text, values) for text, values in bound if not is_wanted(text, values)]


def decides_again(bound: Sequence[Bound]) -> Sequence[Bound]:
    """Decides without looking whether the commit has a fate."""
    if "SET h = ?" not in bound[0][0]:
        return bound
    return [(text.replace(" IF mk = null", "") if "SET mk" in text else text, values) for text, values in bound]


def ignores_giving_up(bound: Sequence[Bound]) -> Sequence[Bound]:
    """Decides without looking whether the try was given up."""
    if "SET h = ?" not in bound[0][0]:
        return bound
    return [(text, values) for text, values in bound if "SET st = null" not in text]


def unlocks_whoever(bound: Sequence[Bound]) -> Sequence[Bound]:
    """Carries out and takes the lock away whoever has locked, and leaves no mark that it was carried out."""
    return [
        (text.replace("IF lk = ?", "IF lk != ?"), [*values[:-1], b""]) if "IF lk = ?" in text else (text, values)
        for text, values in bound
        if not ("SET mk = ?" in text and values[0].startswith(CARRIED_OUT))
    ]


def fences_nobody(bound: Sequence[Bound]) -> Sequence[Bound]:
    """Writes into the log whoever has taken the shard since, and whatever was written there."""
    text, values = bound[0]
    if "AND tk = ?" not in text:
        return bound
    first = text.replace("IF nx = null AND tk = ?", "IF tk != ?").replace(
        "IF nx = ? AND tk = ?", "IF nx != ? AND tk != ?"
    )
    return [(first, [*values[:4], *(-1 for _ in values[4:])]), *bound[1:]]


def unpoints_whatever_came(bound: Sequence[Bound]) -> Sequence[Bound]:
    """Takes pointers away without looking whether a commit has come since the outbox was seen."""
    text, values = bound[0]
    if "SET pe = ? WHERE p = ? IF lk = null AND h = ?" not in text:
        return bound
    return [(text.replace(" AND h = ?", ""), [*values[:2], *values[3:]]), *bound[1:]]


#: What is wrong: the scene that shows it, and what makes it so.
BROKEN: dict[str, tuple[str, Rewrite]] = {
    "decides again": ("sent twice", decides_again),
    "ignores that it was given up": ("overlap", ignores_giving_up),
    "writes under locks": ("overlap", instead("lk = null AND ", "")),
    "takes any lock away": ("overlap", unlocks_whoever),
    "does not check": ("overlap", instead("IF ver = ?", "IF v != ?")),
    "marks no rows": ("empty", dropping(lambda text, _: "SET i = 1" in text)),
    "checks no stamps": ("adds", dropping(lambda text, _: " IF st " in text)),
    "fences nobody": ("sequencers", fences_nobody),
    "unpoints whatever came": ("idle", unpoints_whatever_came),
    "relies on no pointer": ("pointer", dropping(lambda text, _: "SET pe = ?" in text and "IF lk" not in text)),
}


def find(name: str, rewrite: Rewrite | None = None, *, deviations: int = 1) -> Broken:
    """Returns what is found; first near the default, then at random."""
    explorer = Explorer(SCENES[name], rewrite)
    try:
        explorer.explore(deviations)
        for seed in range(500):
            explorer.wander(seed, 0.25)
    except BaseException as error:
        found = error
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        if isinstance(found, Broken):
            return found
        raise
    pytest.fail(f"nothing was found in {explorer.runs} runs")


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_engine_is_found_out(what: str) -> None:
    assert str(find(*BROKEN[what]))


def test_giving_up_without_saying_so_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def give_up(*_: object) -> None:
        return None

    monkeypatch.setattr(Locks, "give_up", give_up)
    assert str(find("overlap"))


def test_taking_a_pointer_away_without_looking_into_the_outbox_again_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def is_empty(*_: object) -> bool:
        return True

    unpoint = IdlePointers._unpoint

    async def forgetful(self: IdlePointers, space: Space, pointer: Pointer, _: int | None, deadline: float) -> bool:
        return await unpoint(self, space, pointer, None, deadline)

    monkeypatch.setattr(Outboxes, "is_empty", is_empty)
    monkeypatch.setattr(IdlePointers, "_unpoint", forgetful)
    assert "was not shown them" in str(find("idle"))


def test_sequencing_without_regard_to_locks_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_resolved(*_: object) -> bool:
        return False

    monkeypatch.setattr(Outboxes, "_is_resolved", is_resolved)
    assert "was not shown them" in str(find("answered"))


def test_reading_without_regard_to_locks_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_pending(*_: object) -> bool:
        return True

    monkeypatch.setattr(Locks, "is_pending", is_pending)
    assert str(find("overlap"))


def test_undoing_what_is_not_known_to_have_failed_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def undone(self: Across, note: Note, *, is_last: bool) -> None:
        await self._endings.undo(note, is_last=is_last)

    monkeypatch.setattr(Across, "_found_out", undone)
    assert str(find("hurried", deviations=3))
