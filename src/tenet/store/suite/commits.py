"""Commits: all or nothing, checks, and what a conflict tells."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tenet.store.contract import (
    Add,
    Append,
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
    LogOptions,
    Put,
    SpaceOptions,
    StampOf,
    Version,
    Write,
)
from tenet.store.errors import InvalidRequest
from tenet.store.suite.stage import LOGGED, PLAIN, STAMPED, Stage

NO_VERSION = Version(bytes(16))
LAST_VERSION = Version(b"\xff" * 16)


class TestCommits:
    """What a commit does, and what one that is refused does not."""

    async def test_a_commit_over_partitions_and_spaces_is_whole(self, stage: Stage) -> None:
        keys = [await stage.key(b"s", options) for options in (PLAIN, STAMPED, LOGGED) for _ in range(3)]
        await stage.client.write(*(Put(key, b"old") for key in keys[::2]))
        writes: list[Write] = [Put(key, b"new") for key in keys[:4]]
        writes += [Delete(key) for key in keys[4:6]]
        writes += [Add(key, "n", 5) for key in keys[6:]]
        await stage.client.write(*writes)
        records = await stage.client.get(*keys)
        assert [record.value if record else None for record in records[:6]] == [b"new"] * 4 + [None] * 2
        assert [dict(record.cells) if record else None for record in records[6:]] == [{"n": 5}] * 3

    async def test_a_commit_that_is_refused_leaves_nothing(self, stage: Stage) -> None:
        options = SpaceOptions(stamps=True, log=LogOptions(readers=("tail",)))
        space = await stage.own_space(options)
        there, absent, added = Key(space, b"1"), Key(space, b"2"), Key(space, b"3", b"s")
        await stage.client.write(Put(there, b"kept", {"n": 1}), Put(added, b"", {"n": 10}))
        reads: list[Key | StampOf] = [there, absent, added, *(StampOf(space, name) for name in (b"1", b"2", b"3"))]
        before = await stage.client.together(*reads)
        for checks, bound in (((IsPresent(absent),), None), ((), 5)):
            conflict = await stage.client.refused(
                Put(there, b"changed", {"n": 2}),
                Put(absent, b"made"),
                Add(added, "n", 1, at_most=bound),
                checks=checks,
                appends=[Append(there, b"kept", b"changed")],
            )
            assert (list(conflict.failed), list(conflict.out_of_bounds)) == (([0], []) if checks else ([], [2]))
            assert await stage.client.together(*reads) == before
            assert await stage.client.log_all(space) == []

    async def test_a_commit_of_checks_alone_is_never_unknown(self, stage: Stage) -> None:
        key = await stage.key()
        version = (await stage.client.write(Put(key, b"x"))).version
        for check, holds in ((IsVersion(key, version), True), (IsVersion(key, None), False)):
            commit = Commit(stage.client.new_id(), (), (check,))
            for _ in range(2):
                outcome = await stage.client.patiently(lambda commit=commit: stage.store.commit(commit))  # type: ignore[misc]  # - a default binds the loop's value
                assert isinstance(outcome, Committed if holds else Conflict)

    async def test_a_commit_of_nothing_succeeds(self, stage: Stage) -> None:
        outcome = await stage.client.patiently(lambda: stage.store.commit(Commit(stage.client.new_id())))
        assert isinstance(outcome, Committed)

    async def test_a_check_does_not_need_a_write_of_its_key(self, stage: Stage) -> None:
        guard, key = await stage.key(), await stage.key(b"s")
        version = (await stage.client.write(Put(guard, b"x"))).version
        await stage.client.write(Put(key, b"1"), checks=[IsVersion(guard, version)])
        await stage.client.write(Put(guard, b"y"))
        await stage.client.refused(Put(key, b"2"), checks=[IsVersion(guard, version)])
        assert await stage.client.value(key) == b"1"

    async def test_checks_look_at_what_was_there_before_the_commit(self, stage: Stage) -> None:
        key = await stage.key()
        await stage.client.write(Put(key, b"1"), checks=[IsVersion(key, None)])
        await stage.client.write(Delete(key), checks=[IsPresent(key)])
        await stage.client.refused(Put(key, b"2"), checks=[IsPresent(key)])


class TestChecks:
    """Each check, on a record that is absent, of this version, older and newer."""

    @pytest.mark.parametrize(
        ("check", "holds"),
        [
            (lambda key, _: IsVersion(key, None), "absent"),
            (IsVersion, "present"),
            (lambda key, _: IsVersion(key, NO_VERSION), ""),
            (lambda key, _: IsPresent(key), "present"),
            (lambda key, _: IsOlderThan(key, LAST_VERSION), "absent present"),
            (IsOlderThan, "absent"),
            (lambda key, _: IsOlderThan(key, NO_VERSION), "absent"),
        ],
        ids=["is-absent", "same", "another", "present", "older", "not-older-than-itself", "newer"],
    )
    async def test_a_check_holds_exactly_where_it_says(
        self, stage: Stage, check: Callable[[Key, Version], Check], holds: str
    ) -> None:
        present, absent = await stage.key(b"s"), await stage.key(b"s")
        now = (await stage.client.write(Put(present, b"x"))).version
        for key, state in ((present, "present"), (absent, "absent")):
            target = await stage.key(b"target")
            outcome = await stage.client.attempt(Put(target, b"y"), checks=[check(key, now)])
            assert isinstance(outcome, Committed) == (state in holds.split())
            assert (await stage.client.value(target) == b"y") == (state in holds.split())

    async def test_a_version_that_was_is_not_the_version_that_is(self, stage: Stage) -> None:
        key = await stage.key()
        old = (await stage.client.write(Put(key, b"1"))).version
        new = (await stage.client.write(Put(key, b"1"))).version
        await stage.client.refused(Delete(key), checks=[IsVersion(key, old)])
        await stage.client.refused(Delete(key), checks=[IsOlderThan(key, new)])
        await stage.client.write(Put(key, b"2"), checks=[IsOlderThan(key, LAST_VERSION), IsVersion(key, new)])

    async def test_several_checks_of_one_key_are_checked_each(self, stage: Stage) -> None:
        key = await stage.key()
        version = (await stage.client.write(Put(key, b"x"))).version
        checks: list[Check] = [IsPresent(key), IsVersion(key, version), IsOlderThan(key, LAST_VERSION)]
        await stage.client.write(Put(key, b"y"), checks=checks)
        conflict = await stage.client.refused(Put(key, b"z"), checks=checks)
        assert list(conflict.failed) == [1]

    @pytest.mark.parametrize(
        "writes",
        [
            lambda a, _: [Put(a, b"1"), Put(a, b"2")],
            lambda a, b: [Put(a, b"1"), Put(b, b"1"), Delete(a)],
            lambda a, _: [Delete(a), Delete(a)],
            lambda a, _: [Put(a, b"1"), Add(a, "n", 1)],
            lambda a, b: [Add(a, "n", 1), Put(b, b"1"), Delete(a)],
            lambda a, _: [Add(a, "n", 1), Add(a, "n", 2)],
        ],
        ids=["put-put", "put-delete", "delete-delete", "put-add", "add-delete", "add-add"],
    )
    async def test_a_key_stands_in_one_write(self, stage: Stage, writes: Callable[[Key, Key], list[Write]]) -> None:
        one, other = await stage.key(), await stage.key()
        with pytest.raises(InvalidRequest):
            await stage.client.attempt(*writes(one, other))
        assert list(await stage.client.get(one, other)) == [None, None]

    async def test_what_a_space_does_not_keep_cannot_be_asked_of_it(self, stage: Stage) -> None:
        plain = await stage.key()
        stamped = await stage.key(b"s", STAMPED)
        wrong: list[Check] = [
            IsStamp(StampOf(plain.space, plain.partition), 0),
            IsStamp(StampOf(stamped.space, stamped.partition, b"s"), 0),
        ]
        for check in wrong:
            with pytest.raises(InvalidRequest):
                await stage.client.attempt(Put(stamped, b"x"), checks=[check])
        with pytest.raises(InvalidRequest):
            await stage.client.attempt(Put(stamped, b"x"), appends=[Append(stamped, None, b"x")])
        for of in (StampOf(plain.space, b""), StampOf(stamped.space, b"", b"s")):
            with pytest.raises(InvalidRequest):
                await stage.client.together(of)
        assert await stage.client.read(stamped) is None


class TestConflicts:
    """What a conflict carries is enough to try again without a read."""

    async def test_it_names_every_check_that_failed_and_brings_its_record(self, stage: Stage) -> None:
        stamped = await stage.key(b"s", STAMPED)
        of = StampOf(stamped.space, stamped.partition)
        present, absent, full = await stage.key(b"1"), await stage.key(b"2"), await stage.key(b"3")
        now = (await stage.client.write(Put(present, b"x", {"c": 3}), Put(full, b"f", {"n": 9}))).version
        await stage.client.write(Put(stamped, b"x"))
        stamp = await stage.client.stamp(of)
        checks: list[Check] = [
            IsVersion(present, now),
            IsVersion(present, None),
            IsPresent(absent),
            IsVersion(absent, None),
            IsStamp(of, stamp + 1),
            IsStamp(of, stamp),
            IsOlderThan(present, now),
        ]
        writes: list[Write] = [
            Put(await stage.key(), b""),
            Add(full, "n", 2, at_most=10),
            Add(full, "m", 2, at_most=10),
        ]
        conflict = await stage.client.refused(*writes, checks=checks)
        assert list(conflict.failed) == [1, 2, 4, 6]
        assert list(conflict.out_of_bounds) == [1]
        assert conflict.records[absent] is None
        assert conflict.stamps[of] == stamp
        for key in (present, full):
            assert conflict.records[key] == await stage.client.read(key)

    async def test_a_retry_needs_no_read(self, stage: Stage) -> None:
        key = await stage.key()
        await stage.client.write(Put(key, b"10"))
        conflict = await stage.client.refused(Put(key, b"1"), checks=[IsVersion(key, None)])
        record = conflict.records[key]
        assert record is not None
        await stage.client.write(Put(key, record.value + b"1"), checks=[IsVersion(key, record.version)])
        assert await stage.client.value(key) == b"101"

    async def test_large_records_may_be_left_out_but_not_the_failure(self, stage: Stage) -> None:
        keys = [await stage.key() for _ in range(8)]
        for key in keys:
            await stage.client.write(Put(key, bytes(2 * 1024 * 1024)))
        conflict = await stage.client.refused(
            Put(await stage.key(), b"x"), checks=[IsVersion(key, None) for key in keys]
        )
        assert list(conflict.failed) == list(range(8))
        carried = [record for record in conflict.records.values() if record is not None]
        assert carried
        assert all(len(record.value) == 2 * 1024 * 1024 for record in carried)
