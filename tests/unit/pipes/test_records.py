"""Records: what a change looks like to whoever receives it, and which group and id its message has."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest

from tenet.pipes.errors import ValidationException
from tenet.pipes.model import Pipe
from tenet.pipes.ops.sending import BODIES_BYTES_MAX, batches
from tenet.pipes.rules.paths import NothingThere, follow_path, read_path
from tenet.pipes.rules.records import addressed, group_of, outgoing, record_of, sequence_number
from tenet.queues.rules.message_attributes import has_bad_characters
from tenet.tables.api import Change, Source

SOURCE = Source("1" * 12, "orders", "id", "arn:aws:dynamodb:eu-west-1:111111111111:table/orders", "eu-west-1", ("Id",))
CHANGE = Change(
    position=7,
    commit_id=bytes(16),
    at_ms=1_700_000_000_123,
    event="MODIFY",
    keys={"Id": {"S": "a"}},
    old={"Id": {"S": "a"}, "n": {"N": "1"}},
    new={"Id": {"S": "a"}, "n": {"N": "2"}},
    has_images=True,
    item_bytes=9,
    origin="client",
)


def pipe(**more: Any) -> Pipe:
    target = more.pop("target", "arn:aws:sqs:eu-west-1:111111111111:out.fifo")
    return Pipe("f" * 32, "1" * 12, "p", "eu-west-1", SOURCE, target, "role", 0, 0, **more)


def test_a_record_is_that_of_a_stream() -> None:
    record = record_of(SOURCE, 3, CHANGE)
    assert len(record.pop("eventID")) == 32
    assert record == {
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_700_000_000,
            "Keys": {"Id": {"S": "a"}},
            "NewImage": {"Id": {"S": "a"}, "n": {"N": "2"}},
            "OldImage": {"Id": {"S": "a"}, "n": {"N": "1"}},
            "SequenceNumber": "0" * 20 + "70003",
            "SizeBytes": 9,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": SOURCE.arn,
    }


def test_a_record_without_images_says_so() -> None:
    record = record_of(SOURCE, 0, CHANGE, with_images=False)["dynamodb"]
    assert record["StreamViewType"] == "KEYS_ONLY"
    assert not record.keys() & {"NewImage", "OldImage"}


def test_sequence_numbers_ascend_as_texts_do() -> None:
    numbers = [sequence_number(position, 1_023) for position in (0, 9, 10, 2**40, 2**63 - 1)]
    assert numbers == sorted(numbers)
    assert {len(number) for number in numbers} == {25}


def test_the_same_change_has_the_same_id_and_another_one_another() -> None:
    again = record_of(SOURCE, 3, CHANGE)["eventID"]
    assert record_of(SOURCE, 3, CHANGE)["eventID"] == again
    assert record_of(SOURCE, 2, CHANGE)["eventID"] != again
    assert record_of(SOURCE, 3, msgspec.structs.replace(CHANGE, position=8))["eventID"] != again


def test_a_fifo_queue_gets_a_group_for_each_key_and_an_id_for_each_record() -> None:
    one = addressed(pipe(), outgoing(pipe(), 3, CHANGE))
    assert one.group == group_of(CHANGE)
    assert one.deduplication == "f" * 32 + "/" + "0" * 20 + "70003"
    other = msgspec.structs.replace(CHANGE, keys={"Id": {"S": "b"}})
    assert group_of(other) != group_of(CHANGE)
    assert orjson.loads(one.body) == one.record


def test_a_standard_queue_gets_neither() -> None:
    standard = pipe(target="arn:aws:sqs:eu-west-1:111111111111:out")
    one = addressed(standard, outgoing(standard, 3, CHANGE))
    assert (one.group, one.deduplication) == ("", "")


def test_parameters_may_be_texts_and_paths() -> None:
    given = pipe(group="$.dynamodb.NewImage.n.N", deduplication="always")
    one = addressed(given, outgoing(given, 3, CHANGE))
    assert (one.group, one.deduplication) == ("2", "always")
    nowhere = pipe(group="$.dynamodb.NewImage.m.N")
    with pytest.raises(NothingThere, match="MessageGroupId is"):
        addressed(nowhere, outgoing(nowhere, 3, CHANGE))


@pytest.mark.parametrize(
    ("text", "found"),
    [("$.a", "1"), ("$.b[1].c", "x"), ("$.b[0]", "y"), ("$.b[2][0]", "z"), ("$.d", "1.5")],
)
def test_paths_lead_somewhere(text: str, found: str) -> None:
    path = read_path(text, "field")
    assert path is not None
    assert follow_path(path, {"a": 1, "b": ["y", {"c": "x"}, ["z"]], "d": 1.5}) == found


@pytest.mark.parametrize("text", ["$.x", "$.b[9]", "$.b", "$.e", "$.a.b"])
def test_paths_lead_nowhere(text: str) -> None:
    path = read_path(text, "field")
    assert path is not None
    with pytest.raises(NothingThere):
        follow_path(path, {"a": 1, "b": [], "e": True})


@pytest.mark.parametrize("text", ["$", "$x", "$.", "$.a[", "$.a[x]", "$..a", "$.a.$b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValidationException, match="is no path"):
        read_path(text, "field")


def test_batches_hold_what_one_call_takes() -> None:
    small = [outgoing(pipe(), 0, CHANGE) for _ in range(25)]
    assert [(first, len(batch)) for first, batch in batches(small)] == [(0, 10), (10, 10), (20, 5)]
    large = [msgspec.structs.replace(small[0], body="é" * (BODIES_BYTES_MAX // 4)) for _ in range(5)]
    assert [(first, len(batch)) for first, batch in batches(large)] == [(0, 2), (2, 2), (4, 1)]
    assert not list(batches([]))


def test_a_message_has_no_characters_that_queues_refuse() -> None:
    odd = "".join(map(chr, (0, 9, 31, 127, 0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x10FFFF)))
    one = outgoing(pipe(), 0, msgspec.structs.replace(CHANGE, new={"Id": {"S": "a"}, "v": {"S": odd}}))
    assert not has_bad_characters(one.body.encode())
    assert orjson.loads(one.body)["dynamodb"]["NewImage"]["v"]["S"] == odd
