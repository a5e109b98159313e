"""The two protocols: what their requests become, and how answers and errors look."""

from __future__ import annotations

import contextlib
import string
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.queues.api import ROUTES
from tenet.queues.errors import InvalidParameterValue, QueuesError, SerializationException
from tenet.queues.rules.batches import batch_answer, check_batch_bytes, check_entries
from tenet.queues.rules.json_types import check_types
from tenet.queues.rules.paging import next_token, read_token
from tenet.queues.rules.query_answers import answer_document, error_document
from tenet.queues.rules.query_forms import PARAMETERS_MAX, read_form
from tenet.queues.rules.shapes import ANSWERS, REQUESTS
from tenet.queues.rules.tags import check_tags

SPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"
#: What XML can hold.
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"))


def form(**parameters: str) -> str:
    return urlencode({name.replace("__", "."): value for name, value in parameters.items()})


def test_every_operation_has_a_shape() -> None:
    assert set(ROUTES) == set(REQUESTS)
    assert set(ANSWERS) < set(REQUESTS)
    assert len(REQUESTS) == 23


# ---- JSON ------------------------------------------------------------------------------------------------------------


def test_a_request_of_the_right_types_is_left_as_it_is() -> None:
    request = {
        "QueueUrl": "q",
        "Entries": [{"Id": "a", "MessageBody": "b", "MessageAttributes": {"n": {"DataType": "String"}}}],
        "Unknown": {"x": [1]},
    }
    assert check_types("SendMessageBatch", request) is request


def test_null_is_absent_and_fractions_are_cut_off() -> None:
    request = {"QueueUrl": "q", "DelaySeconds": 1.9, "MessageBody": None, "MessageAttributes": {"a": None}}
    assert check_types("SendMessage", request) == {"QueueUrl": "q", "DelaySeconds": 1, "MessageAttributes": {}}
    assert check_types("SendMessage", {"DelaySeconds": 1e300}) == {"DelaySeconds": 2**31 - 1}


@pytest.mark.parametrize(
    ("operation", "request_", "words"),
    [
        ("SendMessage", {"MessageBody": 1}, "NUMBER_VALUE can not be converted to a String"),
        ("SendMessage", {"MessageBody": 1.5}, "DECIMAL_VALUE can not be converted to a String"),
        ("SendMessage", {"MessageBody": True}, "TRUE_VALUE can not be converted to a String"),
        ("SendMessage", {"MessageBody": {}}, "Start of structure or map found where not expected"),
        ("SendMessage", {"DelaySeconds": "1"}, "STRING_VALUE can not be converted to an Integer"),
        ("SendMessage", {"DelaySeconds": False}, "FALSE_VALUE can not be converted to an Integer"),
        ("SendMessage", {"MessageAttributes": []}, "Unexpected field type"),
        ("SendMessage", {"MessageAttributes": {"a": "x"}}, "Unexpected field type"),
        ("SendMessage", {"MessageAttributes": {"a": {"BinaryValue": 1}}}, "base-64-encoded strings"),
        ("SendMessageBatch", {"Entries": {}}, "Start of structure or map"),
        ("SendMessageBatch", {"Entries": ["x"]}, "Unexpected field type"),
        ("ReceiveMessage", {"AttributeNames": "All"}, "Unexpected field type"),
    ],
)
def test_what_cannot_be_converted(operation: str, request_: dict[str, Any], words: str) -> None:
    with pytest.raises(SerializationException) as raised:
        check_types(operation, request_)
    assert words in raised.value.message


# ---- forms -----------------------------------------------------------------------------------------------------------


def test_a_form_reads_as_the_request_that_it_means() -> None:
    text = form(
        Action="SendMessageBatch",
        Version="2012-11-05",
        QueueUrl="http://host/1/q",
        SendMessageBatchRequestEntry__2__Id="b",
        SendMessageBatchRequestEntry__2__MessageBody="",
        SendMessageBatchRequestEntry__1__Id="a",
        SendMessageBatchRequestEntry__1__MessageBody="größe & = \r\n",
        SendMessageBatchRequestEntry__1__DelaySeconds="5",
        SendMessageBatchRequestEntry__1__MessageAttribute__1__Name="n",
        SendMessageBatchRequestEntry__1__MessageAttribute__1__Value__DataType="Binary",
        SendMessageBatchRequestEntry__1__MessageAttribute__1__Value__BinaryValue="AQI=",
        SendMessageBatchRequestEntry__10__Id="c",
    )
    assert read_form("SendMessageBatch", text) == {
        "QueueUrl": "http://host/1/q",
        "Entries": [
            {
                "Id": "a",
                "MessageBody": "größe & = \r\n",
                "DelaySeconds": 5,
                "MessageAttributes": {"n": {"DataType": "Binary", "BinaryValue": "AQI="}},
            },
            {"Id": "b", "MessageBody": ""},
            {"Id": "c"},
        ],
    }


def test_lists_and_maps_may_be_written_as_old_clients_do() -> None:
    assert read_form("GetQueueAttributes", form(AttributeName="All"))["AttributeNames"] == ["All"]
    assert read_form("GetQueueAttributes", form(AttributeName__member__1="All"))["AttributeNames"] == ["All"]
    single = form(Attribute__Name="DelaySeconds", Attribute__Value="5")
    assert read_form("SetQueueAttributes", single)["Attributes"] == {"DelaySeconds": "5"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MessageAttribute.0.Name", "^0 is not a valid index"),
        ("MessageAttribute.x.Name", "^x is not a valid index"),
        ("MessageAttribute.-1.Name", "^-1 is not a valid index"),
        ("MessageAttribute.\u0661.Name", "is not a valid index"),
        ("MessageAttribute.99999999999.Name", "^99999999999 is not a valid index"),
        ("MessageAttributes.entry.1.Name", "^entry is not a valid index"),
        ("MessageAttribute.Value.DataType", "^Value is not a valid index"),
        ("MessageAttribute", "^MessageAttribute has to be numbered"),
        ("MessageAttribute.1.Value.StringListValue.x", "^x is not a valid index"),
        ("MessageAttribute..Name", r"^MessageAttribute\.\.Name is not a valid parameter"),
        ("MessageAttribute.1.", "is not a valid parameter"),
        ("MessageAttribute.1.2.3.4.5.6.7.8", "is not a valid parameter"),
    ],
)
def test_what_is_numbered_wrongly_is_refused(name: str, words: str) -> None:
    with pytest.raises(SerializationException, match=words):
        read_form("SendMessage", urlencode({"MessageBody": "m", name: "a"}))


def test_an_attribute_with_a_number_is_not_lost_behind_one_without() -> None:
    with pytest.raises(SerializationException, match="Name is not a valid index"):
        read_form("SendMessage", form(MessageAttribute__Name="a", MessageAttribute__1__Name="b"))
    with pytest.raises(SerializationException, match="AttributeName has to be numbered"):
        read_form("GetQueueAttributes", form(AttributeName="All", AttributeName__1="Policy"))
    with pytest.raises(SerializationException, match="member is not a valid index"):
        read_form("GetQueueAttributes", form(AttributeName__member__1="All", AttributeName__1="Policy"))


def test_parameters_that_the_api_does_not_have_are_left_out() -> None:
    assert read_form("SendMessage", "MessageBody=m&Other.x.Name=1&Other..y=2&MessageAttribute=") == {
        "MessageBody": "m",
        "MessageAttributes": {},
    }


@pytest.mark.parametrize("number", ["", "x", "1.5", " 1", "1_0", "\u0661", "9" * 5_000])
def test_what_is_no_integer(number: str) -> None:
    with pytest.raises(InvalidParameterValue, match="Must be an integer"):
        read_form("SendMessage", form(DelaySeconds=number))


def test_a_form_has_bounds_and_is_utf_8() -> None:
    with pytest.raises(SerializationException, match="more than 2000 parameters"):
        read_form("SendMessage", "&".join(f"a{number}=" for number in range(PARAMETERS_MAX + 1)))
    with pytest.raises(SerializationException, match="UTF-8"):
        read_form("SendMessage", "MessageBody=%ff")


@given(
    st.sampled_from(sorted(REQUESTS)), st.text(string.ascii_letters + string.digits + "=&.%+[]{}\x00 ", max_size=300)
)
def test_whatever_comes_as_a_form_is_read_or_refused(operation: str, text: str) -> None:
    for hostile in (text, "MessageBody.=1&MessageBody..x=2&" + text, "Attribute.1=1&Attribute.1.Name=2&" + text):
        with contextlib.suppress(QueuesError):
            assert isinstance(read_form(operation, hostile), dict)


# ---- XML -------------------------------------------------------------------------------------------------------------


@given(TEXT, TEXT)
def test_an_answer_reads_back_as_what_was_written(body: str, value: str) -> None:
    body = body + "\r\n\t"
    answer = {
        "Messages": [
            {
                "MessageId": "1",
                "Body": body,
                "Attributes": {"SenderId": "2"},
                "MessageAttributes": {"n": {"StringValue": value, "DataType": "String"}},
            },
            {"MessageId": "3", "Body": ""},
        ]
    }
    document = ET.fromstring(answer_document("ReceiveMessage", answer, "R"))
    assert document.tag == f"{SPACE}ReceiveMessageResponse"
    first, second = document.findall(f"{SPACE}ReceiveMessageResult/{SPACE}Message")
    assert (first.findtext(f"{SPACE}Body") or "") == body
    assert first.findtext(f"{SPACE}Attribute/{SPACE}Name") == "SenderId"
    assert (first.findtext(f"{SPACE}MessageAttribute/{SPACE}Value/{SPACE}StringValue") or "") == value
    assert second.findtext(f"{SPACE}MessageId") == "3"
    assert document.findtext(f"{SPACE}ResponseMetadata/{SPACE}RequestId") == "R"


@pytest.mark.parametrize("text", ["\x01", "a\ufffe", "\uffff\x1f"])
def test_an_answer_can_be_read_whatever_it_repeats(text: str) -> None:
    failed = {"Failed": [{"Id": "1", "SenderFault": True, "Code": "C", "Message": text}]}
    document = ET.fromstring(answer_document("DeleteMessageBatch", failed, "R"))
    assert "?" in "".join(document.itertext())


def test_answers_without_members() -> None:
    assert b"Result" not in answer_document("DeleteMessage", None, "R")
    assert b"<ReceiveMessageResult></ReceiveMessageResult>" in answer_document("ReceiveMessage", {}, "R")


@given(st.text(st.characters(codec="utf-8")))
def test_an_error_can_be_read_whatever_it_repeats(message: str) -> None:
    document = ET.fromstring(error_document("Code", message, "R", is_senders_fault=False))
    assert document.findtext(f"{SPACE}Error/{SPACE}Type") == "Receiver"
    assert document.findtext(f"{SPACE}Error/{SPACE}Code") == "Code"


# ---- batches, pages, tags --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "code", "words"),
    [
        ([], "AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one Entry in the request."),
        (
            [str(number) for number in range(11)],
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10. You have sent 11.",
        ),
        ([None], "MissingParameter", "The request must contain the parameter Entry.1.Id."),
        (["a b"], "AWS.SimpleQueueService.InvalidBatchEntryId", "It can be at most 80 letters long."),
        ([""], "AWS.SimpleQueueService.InvalidBatchEntryId", "A batch entry id can only contain"),
        (["a" * 81], "AWS.SimpleQueueService.InvalidBatchEntryId", "A batch entry id can only contain"),
        (["a", "b", "a"], "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id a repeated."),
    ],
)
def test_batches_that_are_refused_as_a_whole(ids: list[str | None], code: str, words: str) -> None:
    entries = [{} if entry_id is None else {"Id": entry_id} for entry_id in ids]
    with pytest.raises(QueuesError) as raised:
        check_entries({"Entries": entries}, "Entry")
    assert raised.value.query_code == code
    assert words in raised.value.message


def test_a_batch_is_at_most_a_mebibyte() -> None:
    check_batch_bytes(1_048_576)
    with pytest.raises(QueuesError, match=r"longer than 1048576 bytes\. You have sent 1048577 bytes"):
        check_batch_bytes(1_048_577)
    assert batch_answer([], []) == {}


def test_a_token_is_good_for_its_own_list() -> None:
    token = next_token("pre", "prefix-1")
    assert read_token(token, "pre", "Bad.") == "prefix-1"
    with pytest.raises(InvalidParameterValue, match="must not change the other request parameters"):
        read_token(token, "other", "Bad.")
    for wrong in ("x", "!!!!", "e30=", "WzEsMl0=", "\ud800", "A" * 5):
        with pytest.raises(InvalidParameterValue, match=r"^Bad\.$"):
            read_token(wrong, "pre", "Bad.")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({f"k{number}": "" for number in range(51)}, "Too many tags added for queue q."),
        ({"": "x"}, "Tag keys must be between 1 and 128 characters"),
        ({"k" * 129: "x"}, "Tag keys must be between 1 and 128 characters"),
        ({"k": "v" * 257}, "Tag values must be between 0 and 256"),
        ({"AWS:k": "x"}, "may not begin with 'aws:'"),
        ({"k*": "x"}, "Tag keys may only contain"),
        ({"k": "\x1f"}, "Tag values may only contain unicode letters, digits"),
        ({"k": "<"}, "Tag values may only contain unicode letters, digits"),
    ],
)
def test_tags_that_cannot_be(tags: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidParameterValue) as raised:
        check_tags(tags, "q")
    assert words in raised.value.message
    check_tags({"größe": "ä\u3000 1_.:/=+-@", "empty": ""}, "q")
