"""Strict serializability, looked for in real histories of many concurrent callers.

Long histories are checked by their versions (``serializability``); small ones, of every kind of call, by looking for an
order that explains each answer (``linearizability``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from tenet.base.dice import Dice
from tenet.store.contract import (
    EVERYTHING,
    Add,
    Check,
    Commit,
    Committed,
    Conflict,
    Delete,
    IsOlderThan,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    Put,
    Range,
    Record,
    SpaceOptions,
    StampOf,
    Version,
    Write,
)
from tenet.store.suite import serializability
from tenet.store.suite.linearizability import Call, find_order
from tenet.store.suite.model import (
    Observation,
    SawCommitted,
    SawPage,
    SawTogether,
    State,
    conflict_observations,
    place_of_key,
)
from tenet.store.suite.serializability import Mark, Thing, Transaction
from tenet.store.suite.stage import PLAIN, SEED, STAMPED, Client, Stage, all_of, rounds


class TestLongHistories:
    """Many callers, each of whose commits is a transaction over a few of the same records."""

    async def test_transactions_have_one_order_that_agrees_with_time(self, stage: Stage) -> None:
        for _ in range(stage.rounds(3, 12)):
            await LongHistory([stage.client], await _keys_of(stage), SEED).play(callers=12, each=rounds(14, 120))

    async def test_lists_are_appended_to_in_one_order(self, stage: Stage) -> None:
        # Each commit appends its name to one or two lists. Whoever reads a list sees a beginning of what it becomes.
        client = stage.client
        lists = [await stage.key(b"list") for _ in range(4)]
        seen: dict[Key, list[bytes]] = {key: [] for key in lists}
        appended: set[tuple[Key, bytes]] = set()

        async def append(name: bytes, targets: Sequence[Key]) -> None:
            while True:
                records = await client.together(*targets)
                values = {
                    key: r.value if isinstance(r, Record) else b"" for key, r in zip(targets, records, strict=True)
                }
                for key, value in values.items():
                    seen[key].append(value)
                checks = [
                    IsVersion(key, r.version if isinstance(r, Record) else None)
                    for key, r in zip(targets, records, strict=True)
                ]
                outcome = await client.attempt(*(Put(key, values[key] + name) for key in targets), checks=checks)
                if isinstance(outcome, Committed):
                    appended.update((key, name) for key in targets)
                    return

        async def write_on(writer: int) -> None:
            dice = Dice(SEED + writer)
            for number in range(rounds(12, 150)):
                await append(b"%d.%d;" % (writer, number), dice.sample(lists, 1 + dice.below(2)))

        await all_of(*(write_on(writer) for writer in range(6)))
        for key in lists:
            final = await client.value(key) or b""
            assert all(final.startswith(value) for value in seen[key]), "a list was rewritten"
            names = final.split(b";")[:-1]
            assert len(names) == len(set(names)), "a commit took effect twice"
            assert {name + b";" for name in names} == {name for at, name in appended if at == key}, "a commit was lost"


async def _keys_of(stage: Stage) -> list[Key]:
    """Returns twelve keys: of two spaces, in partitions of one and of several records."""
    spaces = [await stage.space(PLAIN), await stage.space(STAMPED)]
    partitions = [stage.partition() for _ in range(3)]
    return [Key(space, partition, b"%d" % sort) for space in spaces for partition in partitions for sort in range(2)]


class LongHistory:
    """Plays transactions, keeps what each of them saw and made, and fails unless they have one order.

    Args:
        clients: callers share them in turn; each may be of a node of its own.
        keys: twelve that nobody else uses; the last three count.
        seed: determines what the callers do.
    """

    def __init__(self, clients: Sequence[Client], keys: Sequence[Key], seed: int) -> None:
        self._clients = clients
        self._seed = seed
        self._records, self._counters = keys[:9], keys[9:]
        self._time = count(1)
        self._transactions: list[Transaction] = []

    async def play(self, *, callers: int, each: int) -> None:
        begun = next(self._time)
        committed = await self._clients[0].write(*(Put(key, b"0", {"n": 0}) for key in self._counters))
        writes: dict[Thing, Mark] = {("record", key): committed.version for key in self._counters}
        self._keep("setup", begun, {}, {**writes, **{("count", key): 0 for key in self._counters}})
        await all_of(*(self._call_on(caller, each) for caller in range(callers)))
        self._fill_in_counts()
        serializability.check(self._transactions)

    def _keep(
        self, name: str, begun: int, reads: dict[Thing, Mark | None], writes: dict[Thing, Mark] | None = None
    ) -> None:
        self._transactions.append(Transaction(name, begun, next(self._time), reads, writes or {}))

    async def _call_on(self, caller: int, each: int) -> None:
        dice = Dice(self._seed * 1_000 + caller)
        client = self._clients[caller % len(self._clients)]
        for number in range(each):
            name = f"{caller}.{number}"
            kind = dice.below(10)
            if kind < 3:
                await self._read(client, name, dice.sample([*self._records, *self._counters], 1 + dice.below(4)))
            elif kind < 4:
                await self._put_blindly(client, name, dice.sample(self._records, 1 + dice.below(3)))
            else:
                await self._change(client, name, dice)

    async def _read(self, client: Client, name: str, keys: list[Key]) -> dict[Key, Record | None]:
        begun = next(self._time)
        answers = await client.together(*keys)
        records = {k: r for k, r in zip(keys, answers, strict=True) if not isinstance(r, int)}
        self._keep(f"read {name}", begun, self._marks(records))
        return records

    def _marks(self, records: dict[Key, Record | None]) -> dict[Thing, Mark | None]:
        marks: dict[Thing, Mark | None] = {("record", k): r.version if r else None for k, r in records.items()}
        marks.update((("count", k), r.cells["n"]) for k, r in records.items() if r and k in self._counters)
        return marks

    async def _put_blindly(self, client: Client, name: str, keys: list[Key]) -> None:
        begun = next(self._time)
        committed = await client.write(*(Put(key, name.encode()) for key in keys))
        self._keep(f"put {name}", begun, {}, {("record", key): committed.version for key in keys})

    async def _change(self, client: Client, name: str, dice: Dice) -> None:
        """Reads a few records, and changes some of them if all are still what they were; counts some counters up."""
        records = await self._read(client, name, dice.sample(self._records, 1 + dice.below(3)))
        targets = dice.sample(list(records), 1 + dice.below(len(records)))
        counted = dice.sample(self._counters, dice.below(3))
        checks = [IsVersion(key, record.version if record else None) for key, record in records.items()]
        writes: list[Write] = [Put(key, name.encode()) for key in targets]
        writes += [Add(key, "n", 1) for key in counted]
        begun = next(self._time)
        outcome = await client.attempt(*writes, checks=checks, return_cells=True)
        if isinstance(outcome, Committed):
            marks = self._marks(records)
            made: dict[Thing, Mark] = {("record", key): outcome.version for key in targets}
            for key in set(counted) & set(outcome.cells):
                made["count", key] = outcome.cells[key]["n"]
                marks["count", key] = outcome.cells[key]["n"] - 1
            self._keep(f"change {name}", begun, marks, made)
            return
        # A conflict is a read of each partition that it speaks of, at a moment of its own.
        ended = next(self._time)
        for place in {place_of_key(key) for key in outcome.records}:
            here = {key: record for key, record in outcome.records.items() if place_of_key(key) == place}
            self._transactions.append(Transaction(f"conflict {name}", begun, ended, self._marks(here)))

    def _fill_in_counts(self) -> None:
        """Gives a writer to the counts of commits that were settled, and so were not told what they left."""
        made = {(thing, mark) for one in self._transactions for thing, mark in one.writes.items()}
        seen = {(thing, mark) for one in self._transactions for thing, mark in one.reads.items() if thing[0] == "count"}
        last = next(self._time)
        for thing, mark in seen - made:
            assert isinstance(mark, int)
            self._transactions.append(Transaction("somebody", 0, last, {}, {thing: mark}))


class TestSmallHistories:
    """A few callers with every kind of call; an order is looked for that explains every answer."""

    async def test_every_answer_is_explained_by_one_order(self, stage: Stage) -> None:
        for number in range(stage.rounds(200, 1_500)):
            seed = SEED * 10_000 + number
            spaces = {await stage.space(options): options for options in (PLAIN, STAMPED)}
            keys = keys_of_small_history(spaces, (stage.partition(), stage.partition()), seed)
            await SmallHistory([stage.client], spaces, keys, seed).play(callers=4, each=5)


def keys_of_small_history(spaces: Mapping[str, SpaceOptions], partitions: Sequence[bytes], seed: int) -> list[Key]:
    """Returns keys of two partitions in each space; of every other seed so few that most calls meet."""
    first, second = partitions
    places = ((first, b"a"), (first, b"b"), (second, b"a"))
    keys = [Key(space, partition, sort) for space in spaces for partition, sort in places]
    return keys if seed % 2 else [keys[0], *keys[3:5]]


class SmallHistory:
    """Plays calls of every kind on a handful of keys, and fails unless one order explains every answer.

    Args:
        clients: callers share them in turn; each may be of a node of its own.
        spaces: the spaces, one of them with stamps.
        keys: some of each space, which nobody else uses.
        seed: determines what the callers do.
    """

    def __init__(
        self, clients: Sequence[Client], spaces: Mapping[str, SpaceOptions], keys: Sequence[Key], seed: int
    ) -> None:
        self._clients = clients
        self._seed = seed
        self._spaces = spaces
        self._keys = keys
        self._stamps = [StampOf(space, p) for space, p in map(place_of_key, keys) if spaces[space].stamps]
        self._time: Iterator[int] = count(1)
        self._calls: list[Call] = []
        #: What was seen last by anybody: checks are made of it, so that some hold and some do not.
        self._versions: dict[Key, Version | None] = {}
        self._stamps_seen: dict[StampOf, int] = {}

    async def play(self, *, callers: int, each: int) -> None:
        await all_of(*(self._call_on(caller, each) for caller in range(callers)))
        order = find_order(self._calls, State(self._spaces))
        assert order is not None, self._report()

    def _report(self) -> str:
        lines = [f"{call.begun:3}-{call.ended:3} {call.saw}" for call in sorted(self._calls, key=lambda c: c.begun)]
        return "no order explains these calls:\n" + "\n".join(lines)

    def _keep(self, begun: int, *saw: Observation) -> None:
        ended = next(self._time)
        self._calls += [Call(begun, ended, one) for one in saw]

    async def _call_on(self, caller: int, each: int) -> None:
        dice = Dice(self._seed * 100 + caller)
        client = self._clients[caller % len(self._clients)]
        for _ in range(each):
            kind = dice.below(10)
            if kind < 2:
                await self._read_together(client, dice)
            elif kind < 4:
                await self._query(client, dice)
            else:
                await self._commit(client, dice)
            for _ in range(dice.below(3)):
                await asyncio.sleep(0)

    async def _read_together(self, client: Client, dice: Dice) -> None:
        reads: list[Key | StampOf] = [*dice.sample(self._keys, 1 + dice.below(3)), *dice.sample(self._stamps, 1)]
        begun = next(self._time)
        if dice.chance(0.3):
            key = dice.pick(self._keys)
            self._keep(begun, SawTogether([key], [await client.read(key)]))
            return
        answers = await client.together(*reads)
        self._keep(begun, SawTogether(reads, answers))
        for read, answer in zip(reads, answers, strict=True):
            if isinstance(read, StampOf):
                assert isinstance(answer, int)
                self._stamps_seen[read] = answer
            elif not isinstance(answer, int):
                self._versions[read] = answer.version if answer else None

    async def _query(self, client: Client, dice: Dice) -> None:
        key = dice.pick(self._keys)
        of = StampOf(key.space, key.partition) if self._spaces[key.space].stamps else None
        within = dice.pick((EVERYTHING, Range(b"b"), Range(b"", b"b")))
        reverse = dice.chance(0.5)
        begun = next(self._time)
        page = await client.patiently(
            lambda: client.store.query(
                key.space, key.partition, within, limit=5, limit_bytes=100, reverse=reverse, stamp=of
            )
        )
        self._keep(begun, SawPage(place_of_key(key), within, 5, 100, reverse, of, page))
        if of is not None and page.stamp is not None:
            self._stamps_seen[of] = page.stamp

    async def _commit(self, client: Client, dice: Dice) -> None:
        writes = tuple(self._any_write(dice, key) for key in dice.sample(self._keys, 1 + dice.below(3)))
        checks = [self._any_check(dice, key) for key in dice.sample(self._keys, dice.below(3))]
        begun = next(self._time)
        outcome = await client.attempt(*writes, checks=checks, return_cells=True)
        commit = Commit(client.new_id(), writes, checks)
        if isinstance(outcome, Committed):
            self._keep(begun, SawCommitted(commit, outcome))
            self._versions.update((write.key, outcome.version) for write in writes if isinstance(write, Put))
        else:
            _assert_conflict_is_complete(commit, outcome)
            self._keep(begun, *conflict_observations(commit, outcome))

    def _any_write(self, dice: Dice, key: Key) -> Write:
        kind = dice.below(10)
        if kind < 5:
            cells = dice.pick((None, None, {}, {"n": dice.below(5)}))
            return Put(key, b"v%d" % dice.below(1_000), cells)
        if kind < 7:
            return Delete(key)
        return Add(key, "n", dice.below(7) - 3, dice.pick((None, 0)), dice.pick((None, 4)))

    def _any_check(self, dice: Dice, key: Key) -> Check:
        of = StampOf(key.space, key.partition)
        kind = dice.below(10)
        if kind < 3 and of in self._stamps_seen:
            return IsStamp(of, self._stamps_seen[of])
        if kind < 4:
            return IsPresent(key)
        version = self._versions.get(key)
        return IsOlderThan(key, version) if version is not None and kind < 5 else IsVersion(key, version)


def _assert_conflict_is_complete(commit: Commit, conflict: Conflict) -> None:
    """Fails unless the conflict carries what it owes for each check and add that it names."""
    assert conflict.failed or conflict.out_of_bounds
    assert list(conflict.failed) == sorted(set(conflict.failed))
    assert list(conflict.out_of_bounds) == sorted(set(conflict.out_of_bounds))
    for check in (commit.checks[index] for index in conflict.failed):
        if isinstance(check, IsStamp):
            assert check.of in conflict.stamps
        else:
            assert check.key in conflict.records
    assert all(commit.writes[index].key in conflict.records for index in conflict.out_of_bounds)
