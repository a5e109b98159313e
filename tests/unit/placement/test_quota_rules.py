"""The rules of quotas by themselves: what is counted, what is refused, what is written, and what an audit finds."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.placement import keys
from tenet.placement.errors import BadRequest, QuotaExceeded
from tenet.placement.model import Consumer
from tenet.placement.ops.quota_keeping import Quotas
from tenet.placement.rules.auditing_quotas import QuotaBooks
from tenet.placement.rules.claims import Move
from tenet.placement.rules.quotas import (
    NO_QUOTA,
    Quota,
    Subject,
    changed,
    changes_of,
    check_quotas,
    counting,
    encode_quota,
    put_writes,
    quota_document,
    quota_writes,
    read_quota,
    summed,
)
from tenet.store.contract import Add, Commit, Committed, Put, Record, Version, Write, new_commit_id
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

PROJECTS, TYPES, CLASSES = ("a", "b"), ("INSTANCE", "MIGRATION"), ("VCPU", "VGPU")
SUBJECTS: list[Subject] = [(kind, name) for kind in ("", *TYPES) for name in ("", *CLASSES)]
VERSION = Version(bytes(16))

_LIMITS = st.dictionaries(st.sampled_from(SUBJECTS), st.integers(0, 12), max_size=5)
_RESOURCES = st.dictionaries(st.sampled_from(CLASSES), st.integers(1, 4), min_size=1)
_CONSUMERS = st.builds(
    Consumer,
    st.just(uuid_of(7)),
    st.sampled_from(PROJECTS),
    st.just("user"),
    st.sampled_from(TYPES),
    st.just(1),
    st.dictionaries(st.sampled_from([uuid_of(1), uuid_of(2)]), _RESOURCES, min_size=1),
)
_MOVES = st.lists(
    st.builds(Move, st.none() | _CONSUMERS, st.just(VERSION), st.none() | _CONSUMERS), min_size=1, max_size=4
)


def counted_one_by_one(consumers: list[Consumer], project: str, subject: Subject) -> int:
    """Returns how much of a subject some consumers of a project have, looked at one after the other."""
    kind, name = subject
    found = 0
    for one in consumers:
        if one.project == project and kind in {"", one.type}:
            amounts = [resources.get(name, 0) for resources in one.allocations.values()]
            found += sum(amounts) if name else 1
    return found


@given(_MOVES)
def test_what_changes_is_what_is_there_after_without_what_was_before(moves: list[Move]) -> None:
    before = [move.before for move in moves if move.before is not None]
    after = [move.after for move in moves if move.after is not None]
    changes = changes_of(moves)
    assert changes.keys() == {one.project for one in (*before, *after)}
    for project in PROJECTS:
        for subject in SUBJECTS:
            more = counted_one_by_one(after, project, subject) - counted_one_by_one(before, project, subject)
            assert changes.get(project, {}).get(subject, 0) == more


@given(_MOVES, _LIMITS, st.integers(0, 12))
def test_what_is_looked_at_again_and_what_the_commit_bounds_are_the_same(
    moves: list[Move], limits: dict[Subject, int], used: int
) -> None:
    """One who looks refuses just what the bounds of the commit refuse, where each subject has the same in use."""
    quota = changed(NO_QUOTA, limits, 1)
    changes = changes_of(moves)
    quotas = dict.fromkeys(changes, quota)
    totals = {(project, subject): used for project in changes for subject in SUBJECTS}
    adds = [one for one in quota_writes(changes, quotas) if isinstance(one, Add) and keys.is_total(one.key.sort)]
    passes = all(one.at_most is None or used + one.amount <= one.at_most for one in adds)
    if passes:
        check_quotas(changes, quotas, totals)
    else:
        with pytest.raises(QuotaExceeded, match="Quota exceeded for "):
            check_quotas(changes, quotas, totals)
    assert all(one.at_least == 0 for one in adds)
    assert all((one.at_most is None) == (one.amount < 0) for one in adds)


@given(_MOVES, st.integers(0, 9))
def test_every_project_concerned_checks_its_revision_and_adds_nothing_to_it(moves: list[Move], revision: int) -> None:
    changes = changes_of(moves)
    writes = quota_writes(changes, dict.fromkeys(changes, Quota(revision)))
    assert writes == [
        Add(keys.quota_revision_key(project), keys.QUOTAS, 0, at_least=revision, at_most=revision)
        for project in changes
    ]


def test_more_of_one_and_less_of_another_are_one_claim() -> None:
    """What frees enough in the same change is not held up by what it takes."""
    before = Consumer(uuid_of(7), "a", "user", "INSTANCE", 1, {uuid_of(1): {"VCPU": 4}})
    after = Consumer(uuid_of(8), "a", "user", "INSTANCE", 1, {uuid_of(2): {"VCPU": 4}})
    changes = changes_of([Move(before, VERSION, None), Move(None, None, after)])
    quota = changed(NO_QUOTA, {("", "VCPU"): 4, ("", ""): 1}, 1)
    check_quotas(changes, {"a": quota}, {("a", ("", "VCPU")): 4, ("a", ("", "")): 1})
    assert [one.key.sort for one in quota_writes(changes, {"a": quota})] == [keys.QUOTA_REVISION]


@given(_LIMITS, st.dictionaries(st.sampled_from(SUBJECTS), st.integers(0, 12)))
def test_what_is_shown_has_every_limit_and_every_use_and_adds_up(
    limits: dict[Subject, int], used: dict[Subject, int]
) -> None:
    document = quota_document("a", changed(NO_QUOTA, limits, 5), used)
    shown: dict[Subject, dict[str, Any]] = {}
    for kind, part in (("", document), *document["consumer_types"].items()):
        shown |= {(kind, name): one for name, one in part["resources"].items()}
        if "consumers" in part:
            shown[kind, ""] = part["consumers"]
    assert shown.keys() == {("", ""), *limits, *(subject for subject, amount in used.items() if amount)}
    for subject, one in shown.items():
        assert (one["limit"], one["used"]) == (limits.get(subject), used.get(subject, 0))
        assert one["left"] == (None if subject not in limits else max(0, limits[subject] - one["used"]))
    assert document["updated_ms"] == 5


@given(_LIMITS)
def test_a_quota_that_is_sent_is_the_quota_that_is_shown(limits: dict[Subject, int]) -> None:
    """What is read of the limits in an answer is what they were set by."""
    body: dict[str, Any] = {}
    for (kind, name), limit in limits.items():
        part = body.setdefault("consumer_types", {}).setdefault(kind, {}) if kind else body
        if name:
            part.setdefault("resources", {})[name] = limit
        else:
            part["consumers"] = limit
    assert read_quota(orjson.dumps(body)) == limits


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        (b"{}", {}),
        (b'{"resources": {}, "consumer_types": {"INSTANCE": {"resources": {}}}}', {}),
        (b'{"resources": {"VCPU": 4.0}, "consumers": 3e0}', {("", "VCPU"): 4, ("", ""): 3}),
        (b'{"consumer_types": {"unknown": {"consumers": 0}}}', {("unknown", ""): 0}),
        (b'{"resources": {"VCPU": 9007199254740991}}', {("", "VCPU"): 2**53 - 1}),
    ],
)
def test_a_limit_is_a_whole_number_however_it_is_written(body: bytes, limits: dict[Subject, int]) -> None:
    found = read_quota(body)
    assert found == limits
    assert all(type(limit) is int for limit in found.values())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"resources": {"VCPU": 9007199254740992}}', b'{"consumers": true}',
             b'{"consumers": null}', b'{"consumers": NaN}', b'{"resources": {"": 1}}',
             b'{"consumer_types": {"Unknown": {}}}', b'{"consumer_types": {"INSTANCE": {"consumer_types": {}}}}']
)  # fmt: skip
def test_what_is_no_quota_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_quota(body)


def test_each_change_raises_the_revision_and_counts_before_it_limits() -> None:
    first = counting(NO_QUOTA, [("", "VCPU")])
    assert (first.revision, first.limits, first.counted) == (1, (), (("", "VCPU"),))
    second = changed(first, {("", "VCPU"): 0}, 7)
    assert (second.revision, second.by_subject, second.updated_ms) == (2, {("", "VCPU"): 0}, 7)
    third = counting(second, [("", "")])
    assert third.by_subject == second.by_subject, "what is counted besides limits nothing"
    assert third.counted == (("", ""), ("", "VCPU"))
    assert changed(third, {}, 8).counted == ()
    writes = put_writes("a", third, {("", ""): 3, ("", "VCPU"): 0}, 2)
    assert writes == [
        Put(keys.quota_key("a"), encode_quota(third)),
        Add(keys.quota_revision_key("a"), keys.QUOTAS, 1, at_least=3, at_most=3),
        Add(keys.project_total_key("a", "", ""), keys.CONSUMERS, 3, at_least=0),
    ]


# ---- in an audit -----------------------------------------------------------------------------------------------------


def books_of(quota: Quota, revision: int, totals: dict[Subject, int]) -> QuotaBooks:
    """Returns books with the records of one project."""
    books = QuotaBooks()
    found = [(keys.quota_key("a"), encode_quota(quota), {}), (keys.quota_revision_key("a"), b"", {"quotas": revision})]
    found += [
        (keys.project_total_key("a", *subject), b"", {keys.USED if subject[1] else keys.CONSUMERS: total})
        for subject, total in totals.items()
    ]
    for key, value, cells in found:
        assert books.takes("a", Record(key.partition, key.sort, value, VERSION, cells=cells))
    return books


COUNTED = {("a", "ann", "INSTANCE", "VCPU"): 3, ("a", "bob", "MIGRATION", "VCPU"): 2, ("a", "ann", "INSTANCE", ""): 1,
           ("b", "ann", "INSTANCE", "VCPU"): 90}  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "total", "what"),
    [
        (("", "VCPU"), 5, None),
        (("INSTANCE", "VCPU"), 3, None),
        (("", ""), 1, None),
        (("MIGRATION", "VGPU"), 0, None),
        (("", "VCPU"), 4, "VCPU of all types: 4 by the total, 5 by its consumers"),
        (("MIGRATION", "VCPU"), 3, "VCPU of MIGRATION: 3 by the total, 2 by its consumers"),
        (("", ""), 0, "consumers of all types: 0 by the total, 1 by its consumers"),
        (("MIGRATION", ""), 1, "consumers of MIGRATION: 1 by the total, 0 by its consumers"),
    ],
)
def test_a_total_that_is_not_the_sum_of_its_consumers_is_found(subject: Subject, total: int, what: str | None) -> None:
    books = books_of(changed(NO_QUOTA, {subject: 9}, 1), 1, {subject: total})
    assert list(books.compare(COUNTED)) == ([] if what is None else [("quota-differs", "a", what)])


def test_what_is_no_record_of_a_quota_is_left_to_others() -> None:
    key = keys.project_use_key("a", "ann", "INSTANCE", "VCPU")
    assert not QuotaBooks().takes("a", Record(key.partition, key.sort, b"", VERSION, cells={"used": 1}))


def test_who_is_above_a_limit_is_told_and_is_not_wrong() -> None:
    books = books_of(changed(NO_QUOTA, {("", "VCPU"): 4, ("INSTANCE", "VCPU"): 3}, 1), 1,
                     {("", "VCPU"): 5, ("INSTANCE", "VCPU"): 3})  # fmt: skip
    assert list(books.above()) == [], "nothing is known before consumers were counted"
    assert list(books.compare(COUNTED)) == []
    assert list(books.above()) == [
        ("a", "VCPU of all types: 5 in use, 4 allowed; nothing is added until it fits"),
    ]


@given(
    st.lists(st.tuples(st.sampled_from(PROJECTS), st.sampled_from(TYPES), st.sampled_from(("", *CLASSES))), max_size=9)
)
def test_sums_are_those_of_all_types_and_of_each(keys_found: list[tuple[str, str, str]]) -> None:
    sums = summed((one, 2) for one in keys_found)
    for kind, name in SUBJECTS:
        alike = [one for one in keys_found if one[2] == name and kind in {"", one[1]}]
        assert sums.get((kind, name), 0) == 2 * len(alike)


# ---- what is remembered ----------------------------------------------------------------------------------------------


async def put(world: World, *writes: Write) -> None:
    assert isinstance(await world.store.commit(Commit(new_commit_id(world.clock, IDS), writes)), Committed)


@in_loop
async def test_what_is_remembered_is_read_anew_only_where_a_commit_was_refused() -> None:
    async with World(memory()) as world:
        quotas = Quotas(world.store)
        move = Move(None, None, Consumer(uuid_of(7), "a", "u", "INSTANCE", 1, {uuid_of(1): {"VCPU": 2}}))
        assert len(await quotas.writes([move], is_fresh=False)) == 1
        quota = changed(NO_QUOTA, {("", "VCPU"): 3}, 1)
        await put(world, *put_writes("a", quota, {("", "VCPU"): 2}, 0))
        (check,) = await quotas.writes([move], is_fresh=False)
        assert isinstance(check, Add)
        assert (check.at_least, check.at_most) == (0, 0), "the commit finds out that it was changed"
        with pytest.raises(QuotaExceeded, match="VCPU of project 'a': 2 more wanted, 2 of 3 in use"):
            await quotas.writes([move], is_fresh=True)
        check, total = await quotas.writes([move], is_fresh=False)
        assert isinstance(check, Add)
        assert (check.at_least, total) == (1, Add(keys.project_total_key("a", "", "VCPU"), "used", 2, 0, 3))


@in_loop
async def test_more_projects_are_read_than_one_read_may_have() -> None:
    async with World(memory()) as world:
        await put(world, *put_writes("p1500", changed(NO_QUOTA, {("", ""): 6}, 1), {}, 0))
        found = await Quotas(world.store).read([f"p{one}" for one in range(2001)] * 2)
        assert len(found) == 2001
        assert {project for project, one in found.items() if one.quota != NO_QUOTA} == {"p1500"}
