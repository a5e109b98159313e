"""Time to live: its changes, its description, and which items are expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tenet.store.errors import StoreCorrupt
from tenet.tables.errors import ResourceInUseException, ValidationException
from tenet.tables.model import KeyAttribute, KeySchema, Table, TimeToLive
from tenet.tables.ops.expiring import Figures, decode_position, encode_position, measures_of
from tenet.tables.rules import stored
from tenet.tables.rules.time_to_live import (
    AGE_S_MAX,
    CHANGE_MS_MIN,
    Sieve,
    attribute_of,
    changed,
    check_changeable,
    check_describable,
    describe,
    is_expired,
    status,
)
from tenet.wire.door import Measured

if TYPE_CHECKING:
    from tenet.tables.model import TableStatus

NOW_MS = 1_800_000_000_000
NOW_S = NOW_MS // 1000
ON = TimeToLive("t", is_enabled=True, changed_ms=NOW_MS, until_ms=NOW_MS + 50)
OFF = TimeToLive("t", is_enabled=False, changed_ms=NOW_MS, until_ms=NOW_MS + 50)


def wanted(attribute: str, *, enabled: bool) -> dict[str, Any]:
    return {"AttributeName": attribute, "Enabled": enabled}


def test_it_is_switched_on_and_an_hour_later_off_and_on_again_for_another_attribute() -> None:
    now = changed(None, wanted("t", enabled=True), now_ms=NOW_MS, until_ms=NOW_MS)
    assert now == TimeToLive("t", is_enabled=True, changed_ms=NOW_MS, until_ms=NOW_MS)
    later_ms = NOW_MS + CHANGE_MS_MIN
    now = changed(now, wanted("t", enabled=False), now_ms=later_ms, until_ms=later_ms)
    assert not now.is_enabled
    now = changed(now, wanted("u", enabled=True), now_ms=later_ms + CHANGE_MS_MIN, until_ms=0)
    assert (now.attribute, now.is_enabled) == ("u", True)


@pytest.mark.parametrize(
    ("now", "specification", "after_ms", "text"),
    [
        (ON, wanted("t", enabled=True), 0, "TimeToLive is already enabled"),
        (ON, wanted("t", enabled=True), CHANGE_MS_MIN, "TimeToLive is already enabled"),
        (None, wanted("t", enabled=False), 0, "TimeToLive is already disabled"),
        (OFF, wanted("t", enabled=False), 0, "TimeToLive is already disabled"),
        (OFF, wanted("u", enabled=False), CHANGE_MS_MIN, "TimeToLive is already disabled"),
        (
            ON,
            wanted("u", enabled=True),
            CHANGE_MS_MIN,
            "TimeToLive is active on a different AttributeName: current AttributeName is t",
        ),
        (
            ON,
            wanted("u", enabled=False),
            CHANGE_MS_MIN,
            "TimeToLive is active on a different AttributeName: current AttributeName is t",
        ),
        (
            ON,
            wanted("t", enabled=False),
            CHANGE_MS_MIN - 1,
            "Time to live has been modified multiple times within a fixed interval",
        ),
        (OFF, wanted("u", enabled=True), 0, "Time to live has been modified multiple times within a fixed interval"),
    ],
)
def test_what_is_refused(now: TimeToLive | None, specification: dict[str, Any], after_ms: int, text: str) -> None:
    with pytest.raises(ValidationException) as refused:
        changed(now, specification, now_ms=NOW_MS + after_ms, until_ms=0)
    assert refused.value.message == text


TABLE = Table("0" * 12, "abc", "the-id", "x-1", 0, KeySchema(KeyAttribute("p", "S")), {"p": "S"}, status="ACTIVE")


@pytest.mark.parametrize("status", ["ACTIVE", "UPDATING"])
def test_it_is_described_and_changed_while_the_table_is_there(status: TableStatus) -> None:
    check_changeable(replace(TABLE, status=status))
    check_describable(replace(TABLE, status=status))


@pytest.mark.parametrize(
    ("status", "text"),
    [("CREATING", "Table abc is being created"), ("DELETING", "Table is being deleted: abc")],
)
def test_a_table_that_comes_or_goes_has_none(status: TableStatus, text: str) -> None:
    with pytest.raises(ResourceInUseException) as in_use:
        check_changeable(replace(TABLE, status=status))
    assert in_use.value.message == "Attempt to change a resource which is still in use: " + text
    with pytest.raises(ValidationException) as refused:
        check_describable(replace(TABLE, status=status))
    assert refused.value.message == (
        f"Cannot describe time to live while table is in {status} state: Current table state is {status}"
    )


@pytest.mark.parametrize(
    ("now", "at_ms", "described", "attribute"),
    [
        (None, NOW_MS, {"TimeToLiveStatus": "DISABLED"}, None),
        (ON, NOW_MS, {"TimeToLiveStatus": "ENABLING", "AttributeName": "t"}, None),
        (ON, NOW_MS + 50, {"TimeToLiveStatus": "ENABLED", "AttributeName": "t"}, "t"),
        (OFF, NOW_MS, {"TimeToLiveStatus": "DISABLING", "AttributeName": "t"}, None),
        (OFF, NOW_MS + 50, {"TimeToLiveStatus": "DISABLED"}, None),
    ],
)
def test_status(now: TimeToLive | None, at_ms: int, described: dict[str, str], attribute: str | None) -> None:
    assert describe(now, at_ms) == described
    assert status(now, at_ms) == described["TimeToLiveStatus"]
    assert attribute_of(now, at_ms) == attribute


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"N": str(NOW_S - 1)}, True),
        ({"N": str(NOW_S)}, False),
        ({"N": str(NOW_S - 1) + ".999"}, True),
        ({"N": str(NOW_S + 1)}, False),
        ({"N": str(NOW_S - AGE_S_MAX)}, True),
        ({"N": str(NOW_S - AGE_S_MAX - 1)}, False),
        ({"N": "0"}, False),
        ({"N": "-1"}, False),
        ({"N": str(NOW_MS)}, False),
        ({"N": "9" * 38 + "0" * 88}, False),
        ({"N": "0." + "0" * 129 + "1"}, False),
        ({"S": str(NOW_S - 1)}, False),
        ({"NS": [str(NOW_S - 1)]}, False),
        ({"L": [{"N": str(NOW_S - 1)}]}, False),
        ({"M": {"t": {"N": str(NOW_S - 1)}}}, False),
        ({"NULL": True}, False),
    ],
)
def test_which_items_are_expired(value: dict[str, Any], expected: bool) -> None:
    item = {"p": {"S": "x"}, "t": value}
    assert is_expired(item, "t", NOW_MS) is expected
    for bytes_ in (stored.encode(item, 10), stored.deflated(stored.encode(item, 10))):
        assert Sieve("t").is_expired(bytes_, NOW_MS) is expected


def test_items_without_the_attribute_stay() -> None:
    assert not is_expired({"p": {"S": "x"}}, "t", NOW_MS)
    assert not is_expired(None, "t", NOW_MS)


@pytest.mark.parametrize("attribute", ["t", 'with "quotes"', "ä€😀", "back\\slash", "line\nend"])
def test_the_sieve_finds_every_name(attribute: str) -> None:
    past = stored.encode({"p": {"S": "x"}, attribute: {"N": str(NOW_S - 1)}}, 10)
    assert Sieve(attribute).is_expired(past, NOW_MS)
    assert not Sieve(attribute + "x").may_expire(past)


def test_the_sieve_is_not_taken_in_by_what_lies_deeper() -> None:
    nested: dict[str, Any] = {"p": {"S": "x"}, "m": {"M": {"t": {"N": str(NOW_S - 1)}}}, "t": {"N": str(NOW_S + 1)}}
    value = stored.encode(nested, 10)
    assert Sieve("t").may_expire(value)
    assert not Sieve("t").is_expired(value, NOW_MS)


@pytest.mark.parametrize("position", [(b"", b""), (b"p\x00q\x00\xff", b"\x00\x00\x01"), (b"\xff", b"\x00" * 9)])
def test_a_position_is_read_as_it_was_written(position: tuple[bytes, bytes]) -> None:
    assert decode_position(encode_position(position)) == position


def test_a_position_that_cannot_be_read_is_told() -> None:
    with pytest.raises(StoreCorrupt, match="has no end"):
        decode_position(b"\x01abc")


def test_measures_say_what_was_done_and_how_long_ago_a_look_began() -> None:
    begun, new = Figures(TABLE), Figures(replace(TABLE, name="new"))
    begun.removed, begun.failed, begun.looked_ms = 3, 2, NOW_MS - 1_500
    removed, failed, age = measures_of([begun, new], NOW_MS)
    assert isinstance(removed, Measured)
    assert isinstance(failed, Measured)
    assert isinstance(age, Measured)
    assert (removed.name, removed.is_counter) == ("tenet_ttl_removed", True)
    assert removed.values == {("0" * 12, "abc"): 3, ("0" * 12, "new"): 0}
    assert failed.values == {("0" * 12, "abc"): 2, ("0" * 12, "new"): 0}
    assert age.values == {("0" * 12, "abc"): 1.5, ("0" * 12, "new"): 0.0}
