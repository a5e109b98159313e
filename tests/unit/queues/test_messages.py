"""What a message may be that is sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tenet.queues.errors import (
    InvalidMessageContents,
    InvalidParameterValue,
    MissingParameter,
    QueuesError,
    SerializationException,
    UnsupportedOperation,
)
from tenet.queues.model import Queue, Settings
from tenet.queues.rules.digests import attributes_digest, digest
from tenet.queues.rules.message_attributes import (
    attributes_bytes,
    is_json,
    pack_attributes,
    read_attributes,
    selected,
    unpack_attributes,
)
from tenet.queues.rules.messages import measured, prepare

STANDARD = Queue(b"s" * 16, "111111111111", "orders", 0, 0, Settings())
FIFO = Queue(b"f" * 16, "111111111111", "orders.fifo", 0, 0, Settings())
CONTENT = msgspec.structs.replace(FIFO, settings=Settings(content_based_deduplication=True))


def text(value: str, kind: str = "String") -> dict[str, str]:
    return {"DataType": kind, "StringValue": value}


def binary(value: str, kind: str = "Binary") -> dict[str, str]:
    return {"DataType": kind, "BinaryValue": value}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"Hello": text("World")}, "7db7fb1ba7f41366a8ea5eb18220b26d"),
        ({"UserId": text("1234567890123456789012", "Number.bigint")}, "797ab158d73dcb5242dedc4412c8e855"),
        ({"AWSTraceHeader": text("some-trace-id")}, "fdce4f2818803f2f73becc09a54792c0"),
        (
            {"count": text("3", "Number"), "color": text("blue"), "blob": binary("AQID")},
            "d838729972a4b70e2d2acd9d59ac847c",
        ),
        ({"color": text("blue")}, "da1b33cc3cbfe8b1630921e78e6b9880"),
    ],
)
def test_digests_are_those_that_the_service_gave(attributes: dict[str, Any], expected: str) -> None:
    assert attributes_digest(attributes) == expected


def test_a_message_is_measured_and_digested() -> None:
    request = {"MessageBody": "hé", "MessageAttributes": {"ab": text("xyz"), "c": binary("AQI=")}}
    prepared = prepare(STANDARD, request, sender="me", trace="Root=1")
    assert prepared.size_bytes == measured(request) == 3 + (2 + 6 + 3) + (1 + 6 + 2)
    assert prepared.md5_of_body == digest("hé".encode())
    message = prepared.message
    assert (message.body, message.sender, message.trace_header, message.delay_s) == ("hé", "me", "Root=1", None)
    assert message.attributes == (
        b'{"ab":{"StringValue":"xyz","DataType":"String"},"c":{"BinaryValue":"AQI=","DataType":"Binary"}}'
    )


@pytest.mark.parametrize("body", ["\t\n\r ", "\ud7ff\ue000\ufffd", "\U00010000\U0010ffff", "\x7f\x85"])
def test_all_characters_of_xml_may_be_sent(body: str) -> None:
    assert prepare(STANDARD, {"MessageBody": body}, sender="").message.body == body


@pytest.mark.parametrize("body", ["\x00", "a\x08", "\x0b", "\x1f", "x\ufffe", "\uffffx"])
def test_no_others_may(body: str) -> None:
    with pytest.raises(InvalidMessageContents, match="#x10000 to #x10FFFF"):
        prepare(STANDARD, {"MessageBody": body}, sender="")


def test_a_message_may_be_as_large_as_its_queue_takes_and_no_larger() -> None:
    prepare(STANDARD, {"MessageBody": "x" * 1_048_576}, sender="")
    with pytest.raises(InvalidParameterValue, match=r"Reason: Message must be shorter than 1048576 bytes\."):
        prepare(STANDARD, {"MessageBody": "x" * 1_048_577}, sender="")
    small = msgspec.structs.replace(STANDARD, settings=Settings(maximum_message_bytes=1024))
    prepare(small, {"MessageBody": "x" * 1013, "MessageAttributes": {"abc": text("yy")}}, sender="")
    with pytest.raises(InvalidParameterValue, match="shorter than 1024 bytes"):
        prepare(small, {"MessageBody": "x" * 1014, "MessageAttributes": {"abc": text("yy")}}, sender="")


@pytest.mark.parametrize(
    ("queue", "request_", "error", "words"),
    [
        (STANDARD, {}, MissingParameter, "The request must contain the parameter MessageBody."),
        (STANDARD, {"MessageBody": ""}, MissingParameter, "The request must contain the parameter MessageBody."),
        (
            STANDARD,
            {"MessageBody": "x", "DelaySeconds": 901},
            InvalidParameterValue,
            "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
        ),
        (STANDARD, {"MessageBody": "x", "DelaySeconds": -1}, InvalidParameterValue, "Value -1 for parameter"),
        (STANDARD, {"MessageBody": "x", "MessageDeduplicationId": "d"}, InvalidParameterValue, "this queue type"),
        (
            STANDARD,
            {"MessageBody": "x", "MessageGroupId": "a b"},
            InvalidParameterValue,
            "alphanumeric and punctuation",
        ),
        (STANDARD, {"MessageBody": "x", "MessageGroupId": "g" * 129}, InvalidParameterValue, "1 to 128 in length"),
        (FIFO, {"MessageBody": "x"}, MissingParameter, "The request must contain the parameter MessageGroupId."),
        (FIFO, {"MessageBody": "x", "MessageGroupId": "g"}, InvalidParameterValue, "ContentBasedDeduplication enabled"),
        (
            FIFO,
            {"MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 2},
            InvalidParameterValue,
            "not valid for this queue type",
        ),
    ],
)
def test_what_may_not_be_sent(queue: Queue, request_: dict[str, Any], error: type[QueuesError], words: str) -> None:
    with pytest.raises(error) as raised:
        prepare(queue, request_, sender="")
    assert words in raised.value.message


def test_a_fifo_queue_makes_an_id_of_the_body_where_it_is_told_to() -> None:
    message = prepare(CONTENT, {"MessageBody": "x", "MessageGroupId": "g", "DelaySeconds": 0}, sender="").message
    assert message.deduplication_id == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert (message.group, message.delay_s) == ("g", None)
    own = {"MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "own"}
    assert prepare(CONTENT, own, sender="").message.deduplication_id == "own"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("", text("x"), "must contain non-empty message (user) attribute names"),
        ("n" * 257, text("x"), "name must be shorter than 256 bytes"),
        ("a b", text("x"), "can only contain upper and lower score characters"),
        ("AWS.x", text("x"), "reserved for internal use"),
        ("amazon.x", text("x"), "reserved for internal use"),
        (".x", text("x"), "begin or end with a period"),
        ("x..y", text("x"), "periods in succession"),
        ("a", {}, "must contain a non-empty message attribute value"),
        ("a", {"StringValue": "x"}, "must contain a non-empty type"),
        ("a", text("x", "Text"), "The type of message (user) attribute 'a' is invalid"),
        ("a", text("x", "String."), "is invalid"),
        ("a", text("x", "String." + "l" * 250), "type must be shorter than 256 bytes"),
        ("a", text(""), "must contain a non-empty value of type 'String'"),
        ("a", binary(""), "must contain a non-empty value of type 'Binary'"),
        ("a", {"DataType": "String", "BinaryValue": "AQI="}, "must use field 'StringValue'"),
        ("a", {"DataType": "Binary", "StringValue": "x"}, "must use field 'BinaryValue'"),
        ("a", text("x", "Number"), "Can't cast the value of message (user) attribute 'a' to a number"),
        ("a", text("1" * 39, "Number"), "to a number"),
        ("a", text("1e127", "Number"), "to a number"),
        ("a", text("\x01"), "Invalid characters found"),
    ],
)
def test_message_attributes_that_may_not_be(name: str, value: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParameterValue) as raised:
        read_attributes({name: value})
    assert words in raised.value.message


@pytest.mark.parametrize("number", ["0", "-1", "+1.5", ".5", "1.", "1e126", "1E-128", "9" * 38, "1" + "0" * 100])
def test_numbers_keep_their_text(number: str) -> None:
    assert read_attributes({"n": text(number, "Number.any")})["n"]["StringValue"] == number


def test_attributes_are_at_most_ten_and_have_no_lists() -> None:
    with pytest.raises(InvalidParameterValue, match=r"\[11\] exceeds the allowed maximum \[10\]"):
        read_attributes({f"a{number}": text("x") for number in range(11)})
    with pytest.raises(UnsupportedOperation, match="list values"):
        read_attributes({"a": {"DataType": "String", "StringListValues": ["x"]}})
    with pytest.raises(SerializationException):
        read_attributes({"a": binary("AQ")})
    # Clients of old send what they do not mean.
    read = read_attributes({"a": {**text("x"), "BinaryValue": "", "StringListValues": [], "BinaryListValues": []}})
    assert read == {"a": text("x")}


def test_only_a_trace_is_a_system_attribute() -> None:
    request = {"MessageBody": "x", "MessageSystemAttributes": {"AWSTraceHeader": text("some-trace-id")}}
    prepared = prepare(STANDARD, request, sender="", trace="of the request")
    assert prepared.message.trace_header == "some-trace-id"
    assert prepared.md5_of_system_attributes == "fdce4f2818803f2f73becc09a54792c0"
    # It does not count towards the size of its message, so that it has bounds of its own.
    for value in (
        text("x" * 1_025),
        text("\x01"),
        text("ä"),
        text(""),
        {"DataType": "String"},
        text("x", "Number"),
        {**text("x"), "BinaryValue": "a"},
    ):
        with pytest.raises(InvalidParameterValue):
            prepare(STANDARD, {"MessageBody": "x", "MessageSystemAttributes": {"AWSTraceHeader": value}}, sender="")
    empty = {**text("some-trace-id"), "BinaryValue": "", "StringListValues": []}
    request = {"MessageBody": "x", "MessageSystemAttributes": {"AWSTraceHeader": empty}}
    assert prepare(STANDARD, request, sender="").md5_of_system_attributes == "fdce4f2818803f2f73becc09a54792c0"
    with pytest.raises(InvalidParameterValue, match="Message system attribute name 'Hello' is invalid"):
        prepare(STANDARD, {"MessageBody": "x", "MessageSystemAttributes": {"Hello": text("x")}}, sender="")
    assert attributes_bytes({}) == 0


@pytest.mark.parametrize("value", ["x", '"\\\n' * 300_000])
def test_attributes_are_stored_in_no_more_than_they_are(value: str) -> None:
    attributes = {"a": text(value), "b": binary("AQI=")}
    packed = pack_attributes(attributes)
    assert len(packed) < len(value) + 200
    assert is_json(packed) == (value == "x")
    assert unpack_attributes(packed) == attributes


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["All"], {"color", "colour", "size"}),
        ([".*"], {"color", "colour", "size"}),
        (["col.*"], {"color", "colour"}),
        (["size", "nothing"], {"size"}),
        (["COL.*", "al l"], set()),
    ],
)
def test_a_receive_asks_for_attributes_by_name_or_beginning(names: list[str], expected: set[str]) -> None:
    attributes = {name: text("x") for name in ("color", "colour", "size")}
    assert set(selected(attributes, names)) == expected
