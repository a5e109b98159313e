"""The rules of quotas, reservations and lists by themselves: no store, no loop, no clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from jsonschema import Draft202012Validator

from tenet.placement import keys
from tenet.placement.errors import BadRequest, ClaimExpired, QuotaExceeded
from tenet.placement.model import Consumer, Reservation
from tenet.placement.rules.claim_lists import marker_of, read_list, shown_entry
from tenet.placement.rules.claims import Move, Wanted, move_of
from tenet.placement.rules.quota_schemas import PUT_QUOTA, QUOTA
from tenet.placement.rules.quotas import (
    NO_QUOTA,
    Quota,
    changed,
    changes_of,
    check_quotas,
    counting,
    decode_quota,
    put_writes,
    quota_document,
    read_quota,
    summed,
)
from tenet.placement.rules.stored import decode_consumer, encode_consumer
from tenet.placement.rules.stored_claims import LastClaim, decode_last_claim, encode_last_claim, state_of
from tenet.store.contract import Add, Put
from tests.unit.placement.world import uuid_of

DOCS = Path(__file__).parents[3] / "docs/reference"
HOST, OTHER = uuid_of(1), uuid_of(2)
CLAIM, ANOTHER = uuid_of(50), uuid_of(51)
RESERVED = Reservation(CLAIM, 1_000, (uuid_of(7), uuid_of(8)))


def consumer(amount: int = 1, *, project: str = "p", kind: str = "X", reserved: Reservation | None = None) -> Consumer:
    return Consumer(uuid_of(7), project, "user", kind, 3, {HOST: {"VCPU": amount}}, 5, reserved)


# ---- quotas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "used", "before", "after", "is_refused"),
    [
        (5, 0, None, 5, False),
        (5, 0, None, 6, True),
        (5, 4, None, 1, False),
        (5, 4, None, 2, True),
        (5, 5, 3, 3, False),
        (5, 9, 9, 8, False),
        (5, 9, 8, 8, False),
        (5, 9, 8, 9, True),
        (0, 0, None, 1, True),
        (0, 3, 3, None, False),
    ],
)
def test_only_growth_above_a_limit_is_refused(
    limit: int, used: int, before: int | None, after: int | None, *, is_refused: bool
) -> None:
    move = Move(consumer(before) if before else None, None, consumer(after) if after else None)
    quotas = {"p": Quota(1, (("", "VCPU", limit),), (("", "VCPU"),))}
    totals = {("p", ("", "VCPU")): used}
    if is_refused:
        with pytest.raises(QuotaExceeded, match=rf"for VCPU of project 'p': .* {used} of {limit} in use"):
            check_quotas(changes_of([move]), quotas, totals)
    else:
        check_quotas(changes_of([move]), quotas, totals)


def test_a_change_of_type_is_a_change_of_what_types_have() -> None:
    changes = changes_of([Move(consumer(2, kind="X"), None, consumer(2, kind="Y"))])["p"]
    assert {subject: amount for subject, amount in changes.items() if amount} == {
        ("X", ""): -1,
        ("X", "VCPU"): -2,
        ("Y", ""): 1,
        ("Y", "VCPU"): 2,
    }
    quotas = {"p": Quota(1, (("Y", "", 1),), (("Y", ""),))}
    with pytest.raises(QuotaExceeded, match="consumers of the type Y"):
        check_quotas({"p": changes}, quotas, {("p", ("Y", "")): 1})


def test_a_quota_is_read_as_it_is_written() -> None:
    body = {"resources": {"VCPU": 3}, "consumers": 0, "consumer_types": {"X": {"consumers": 1}, "unknown": {}}}
    assert read_quota(orjson.dumps(body)) == {("", "VCPU"): 3, ("", ""): 0, ("X", ""): 1}
    assert read_quota(b"{}") == {}
    with pytest.raises(BadRequest, match="Malformed JSON"):
        read_quota(b"{")


def test_a_new_limit_is_counted_before_it_is_in_force() -> None:
    first = counting(NO_QUOTA, [("", "VCPU")])
    assert (first.revision, first.limits, first.counted) == (1, (), (("", "VCPU"),))
    second = changed(first, {("", "VCPU"): 4}, 99)
    assert second == Quota(2, (("", "VCPU", 4),), (("", "VCPU"),), 99)
    third = counting(second, [("", ""), ("", "VCPU")])
    assert (third.limits, third.counted, third.updated_ms) == (second.limits, (("", ""), ("", "VCPU")), 99)
    assert changed(third, {}, 100) == Quota(4, (), (), 100)
    put, revision, total = put_writes("p", second, {("", "VCPU"): -3, ("", ""): 0}, 1)
    assert isinstance(put, Put)
    assert decode_quota(put.value) == second
    assert revision == Add(keys.quota_revision_key("p"), "quotas", 1, at_least=2, at_most=2)
    assert total == Add(keys.project_total_key("p", "", "VCPU"), "used", -3, at_least=0)


def test_sums_are_by_type_and_of_all() -> None:
    counted = {("ann", "X", "VCPU"): 2, ("bob", "X", "VCPU"): 3, ("ann", "Y", "VCPU"): 4, ("ann", "X", ""): 1}
    assert summed(counted.items()) == {
        ("", "VCPU"): 9,
        ("X", "VCPU"): 5,
        ("Y", "VCPU"): 4,
        ("", ""): 1,
        ("X", ""): 1,
    }


def test_a_quota_shows_what_is_limited_and_what_is_in_use() -> None:
    quota = Quota(1, (("", "VCPU", 4), ("X", "", 2)), (), 7)
    shown = quota_document("p", quota, {("", "VCPU"): 6, ("", "DISK_GB"): 0, ("", ""): 1, ("X", ""): 1})
    Draft202012Validator(QUOTA).validate(shown)
    assert shown == {
        "project_id": "p",
        "resources": {"VCPU": {"limit": 4, "used": 6, "left": 0}},
        "consumers": {"limit": None, "used": 1, "left": None},
        "consumer_types": {"X": {"resources": {}, "consumers": {"limit": 2, "used": 1, "left": 1}}},
        "updated_ms": 7,
    }


def test_the_examples_of_the_reference_are_what_they_say() -> None:
    text = (DOCS / "placement-quotas.md").read_text()
    asked, answered = (orjson.loads(part.partition("```")[0]) for part in text.split("```json\n")[1:])
    Draft202012Validator(PUT_QUOTA).validate(asked)
    Draft202012Validator(QUOTA).validate(answered)
    assert read_quota(orjson.dumps(asked))["INSTANCE", "PCPU"] == 8


@pytest.mark.parametrize(("kind", "name"), [("", ""), ("", "VCPU"), ("INSTANCE", ""), ("INSTANCE", "CUSTOM_A")])
def test_a_total_is_found_by_its_key(kind: str, name: str) -> None:
    key = keys.project_total_key("p", kind, name)
    assert keys.is_total(key.sort)
    assert keys.split_total_key(key.sort) == (kind, name)
    counts = keys.PROJECT_COUNTS
    for sort in (key.sort, keys.QUOTA, keys.QUOTA_REVISION):
        assert counts.upper is not None
        assert counts.lower <= sort < counts.upper
        for others in (keys.PROJECT_USES, keys.PROJECT_CONSUMERS, keys.ENTRIES):
            assert others.upper is not None
            assert not others.lower <= sort < others.upper


# ---- reservations ----------------------------------------------------------------------------------------------------


def test_a_reservation_is_stored_with_its_consumer() -> None:
    for one in (consumer(), consumer(reserved=RESERVED)):
        assert decode_consumer(one.uuid, encode_consumer(one)) == one


def test_consumers_of_the_version_before_are_read_and_have_no_deadline() -> None:
    fields = msgspec.msgpack.decode(encode_consumer(consumer())[1:])
    before = b"\x01" + msgspec.msgpack.encode(fields[:6])
    assert decode_consumer(uuid_of(7), before) == consumer()
    last = b"\x01" + msgspec.msgpack.encode([CLAIM, b"digest"])
    assert decode_last_claim(last) == LastClaim(CLAIM, b"digest")
    assert decode_last_claim(encode_last_claim(LastClaim(CLAIM, b"digest", 9))).expired_ms == 9


def test_who_is_there_keeps_the_deadline_that_he_is_under() -> None:
    wanted = Wanted(uuid_of(7), "p", "user", None, {OTHER: {"VCPU": 2}}, RESERVED)
    for before, expected in ((None, RESERVED), (consumer(), None), (consumer(reserved=RESERVED), RESERVED)):
        move = move_of(wanted, before, None, 9)
        assert move is not None
        assert move.after is not None
        assert move.after.reserved == expected


@pytest.mark.parametrize(
    ("now", "last", "expected"),
    [
        (consumer(reserved=RESERVED), LastClaim(CLAIM, b""), "reserved"),
        (consumer(reserved=Reservation(ANOTHER, 5, ())), LastClaim(ANOTHER, b""), "held"),
        (consumer(), LastClaim(CLAIM, b""), "held"),
        (consumer(2), LastClaim(CLAIM, b""), "changed"),
        (None, LastClaim(CLAIM, b"", 9), "expired"),
        (None, LastClaim(CLAIM, b""), "freed"),
        (None, LastClaim(ANOTHER, b"", 9), "freed"),
        (None, None, "freed"),
    ],
)
def test_what_became_of_a_claim(now: Consumer | None, last: LastClaim | None, expected: str) -> None:
    assert state_of(CLAIM, {HOST: {"VCPU": 1}}, now, last) == expected


def test_what_expired_is_gone() -> None:
    error = ClaimExpired("late")
    assert (error.http_status, error.code, error.is_code_told) == (410, "placement.claim.expired", True)


# ---- lists -----------------------------------------------------------------------------------------------------------


def test_places_are_in_order_of_time() -> None:
    sorts = [keys.entry_sort(time, claim) for time in (0, 1, 2**40) for claim in (CLAIM, ANOTHER)]
    assert sorts == sorted(sorts)
    assert {len(sort) for sort in sorts} == {keys.ENTRY_BYTES}
    assert [keys.claim_of_entry(sort) for sort in sorts] == [CLAIM, ANOTHER] * 3
    assert keys.entry_sort(1) < sorts[2]
    assert keys.entry_sort(1) > sorts[1]


def test_a_list_goes_on_behind_its_marker_and_not_before_its_time() -> None:
    sort = keys.entry_sort(500, CLAIM)
    for since, lower in (("0", sort + b"\x00"), ("500", sort + b"\x00"), ("501", keys.entry_sort(501))):
        assert read_list({"since": since, "marker": marker_of(sort)}).lower == lower
    usual = read_list({})
    assert (usual.project, usual.provider, usual.result, usual.limit) == (None, None, None, 100)
    assert read_list({"provider": HOST.upper(), "limit": "7", "result": "refused"}).provider == HOST


def test_who_is_not_an_administrator_sees_his_own_part() -> None:
    consumers = [{"uuid": uuid_of(7).upper(), "project_id": "a"}, {"uuid": uuid_of(8), "project_id": "b"}]
    document: dict[str, Any] = {
        "claim": CLAIM,
        "request": {"consumers": consumers, "attempt": 1},
        "consumers": {uuid_of(7): {"of": "a"}, uuid_of(8): {"of": "b"}},
    }
    assert shown_entry(document, "claimed", viewer=None) == {"result": "claimed", **document}
    own = shown_entry(document, "claimed", viewer="a")
    assert own["consumers"] == {uuid_of(7): {"of": "a"}}
    assert own["request"] == {"consumers": consumers[:1], "attempt": 1}
    cut = {"claim": CLAIM, "request": None, "error": {"code": "c", "detail": "of b"}}
    assert shown_entry(cut, "refused", viewer="a")["error"] == {"code": "c", "detail": ""}
    assert shown_entry(cut, "refused", viewer=None)["error"] == cut["error"]
