"""Messages, receives and batches that the service refuses, with the error and the words that it has for each."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.queues.refusals import (
    BYTES_MAX,
    CHARACTERS_TEXT,
    CONTENTS,
    DEDUPLICATION_TEXT,
    EMPTY,
    ENTRY_ID,
    ENTRY_ID_TEXT,
    HANDLE,
    MISSING,
    NOT_DISTINCT,
    TOO_LONG,
    TOO_MANY,
    UNSUPPORTED,
    VALUE,
    Request,
    Text,
    refusal,
)
from tests.conformance.queues.wire import JSON, Json
from tests.conformance.queues.world import QUOTED, RECORDED, Check, World


def _sending(**more: object) -> Request:
    return lambda world: {"QueueUrl": world.queue(), "MessageBody": "hello"} | more


def _sending_fifo(**more: object) -> Request:
    return lambda world: {"QueueUrl": world.fifo(), "MessageBody": "hello"} | more


def _with(name: str, **value: object) -> Request:
    return _sending(MessageAttributes={name: value})


def of_sending() -> Iterator[Check]:
    """Bodies, delays, groups."""
    send = "SendMessage"
    text = "The request must contain the parameter MessageBody."
    yield refusal("no body", send, lambda world: {"QueueUrl": world.queue()}, MISSING, text)
    yield refusal("an empty body", send, _sending(MessageBody=""), MISSING, text)
    for character in ("\0", "\x1f", "\ufffe", "\uffff"):
        name = f"character {ord(character):#x}"
        yield refusal(name, send, _sending(MessageBody=f"a{character}b"), CONTENTS, CHARACTERS_TEXT, protocols=(JSON,))
    text = f"One or more parameters are invalid. Reason: Message must be shorter than {BYTES_MAX} bytes."
    yield refusal("more than 1 MiB", send, _sending(MessageBody="a" * (BYTES_MAX + 1)), VALUE, text)
    attributes = {"k": {"DataType": "String", "StringValue": "x"}}
    long = "a" * (BYTES_MAX - len("kStringx") + 1)
    yield refusal("1 MiB with attributes", send, _sending(MessageBody=long, MessageAttributes=attributes), VALUE, text)
    text = "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."
    yield refusal(
        "more than the queue takes",
        send,
        lambda world: {"QueueUrl": world.queue(MaximumMessageSize="1024"), "MessageBody": "é" * 513},
        VALUE,
        text,
    )
    for delay in (-1, 901):
        text = f"Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
        yield refusal(f"delay of {delay} s", send, _sending(DelaySeconds=delay), VALUE, text, by=QUOTED)
    yield refusal("deduplication on a standard queue", send, _sending(MessageDeduplicationId="d"), VALUE, None)
    yield from _of_fifo()


def _of_fifo() -> Iterator[Check]:
    send = "SendMessage"
    text = "The request must contain the parameter MessageGroupId."
    yield refusal("no group", send, _sending_fifo(MessageDeduplicationId="d"), MISSING, text)
    yield refusal("no deduplication", send, _sending_fifo(MessageGroupId="g"), VALUE, DEDUPLICATION_TEXT)
    ids = {"MessageGroupId": "g", "MessageDeduplicationId": "d"}
    text = (
        "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for "
        "this queue type."
    )
    yield refusal("a delay of its own", send, _sending_fifo(DelaySeconds=2, **ids), VALUE, text)
    for name in ids:
        for value in ("a b", "é", "a" * 129):
            text = (
                f"Value {value} for parameter {name} is invalid. Reason: {name} can only include alphanumeric and "
                "punctuation characters. 1 to 128 in length."
            )
            request = _sending_fifo(**(ids | {name: value}))
            yield refusal(f"{name} {value[:9]!r}", send, request, VALUE, text, by=QUOTED)


def of_message_attributes() -> Iterator[Check]:
    """Attributes of messages."""
    send = "SendMessage"
    eleven = {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(11)}
    text = "Number of message attributes [11] exceeds the allowed maximum [10]."
    yield refusal("eleven attributes", send, _sending(MessageAttributes=eleven), VALUE, text, by=QUOTED)
    text = "Message (user) attribute 'a' must contain a non-empty value of type 'String'."
    yield refusal("an empty string", send, _with("a", DataType="String", StringValue=""), VALUE, text)
    text = "Can't cast the value of message (user) attribute 'a' to a number."
    for number in ("one", "1,5", "0x10", "--1"):
        request = _with("a", DataType="Number", StringValue=number)
        yield refusal(f"number {number}", send, request, VALUE, text, by=QUOTED)
    text = (
        "The type of message (user) attribute 'a' is invalid. You must use only the following supported type prefixes: "
        "Binary, Number, String."
    )
    for kind in ("Text", "string", "Float.Number"):
        yield refusal(f"type {kind}", send, _with("a", DataType=kind, StringValue="x"), VALUE, text, by=QUOTED)
    for name in ("AWS.a", "aws.a", "Amazon.a", ".a", "a.", "a..b", "a b", "a" * 257):
        request = _with(name, DataType="String", StringValue="x")
        yield refusal(f"attribute {name[:9]!r}", send, request, VALUE, None, by=QUOTED)
    for field, value in (("StringListValues", ["x"]), ("BinaryListValues", ["AQID"])):
        request = _with("a", DataType=field[:6], **{field: value})
        text = "Message attribute list values in SendMessage operation are not supported."
        yield refusal(f"attribute with {field}", send, request, UNSUPPORTED, text, protocols=(JSON,))
    request = _sending(MessageSystemAttributes={"Hello": {"DataType": "String", "StringValue": "x"}})
    text = "Message system attribute name 'Hello' is invalid."
    yield refusal("another system attribute", send, request, VALUE, text, by=QUOTED)


def _on_a_queue(**more: object) -> Request:
    return lambda world: {"QueueUrl": world.queue()} | more


def of_receiving() -> Iterator[Check]:
    """Receives, deletes and changes of visibility."""
    receive = "ReceiveMessage"
    for name, values, reason in (
        ("MaxNumberOfMessages", (0, 11), "Must be between 1 and 10, if provided."),
        ("WaitTimeSeconds", (-1, 21), "Must be >= 0 and <= 20, if provided."),
        ("VisibilityTimeout", (-1, 43201), "Must be >= 0 and <= 43200, if provided."),
    ):
        for value in values:
            text = f"Value {value} for parameter {name} is invalid. Reason: {reason}"
            yield refusal(f"{name} of {value}", receive, _on_a_queue(**{name: value}), VALUE, text)
    text = "The request must contain the parameter ReceiptHandle."
    yield refusal("no handle", "DeleteMessage", _on_a_queue(), MISSING, text)
    request = _on_a_queue(ReceiptHandle="garbage")
    text = "The request must contain the parameter VisibilityTimeout."
    yield refusal("no timeout", "ChangeMessageVisibility", request, MISSING, text)
    text = 'The input receipt handle "garbage" is not a valid receipt handle.'
    yield refusal("garbage", "DeleteMessage", request, HANDLE, text)
    yield refusal("garbage", "ChangeMessageVisibility", _hiding(1), HANDLE, text)
    for value in (-1, 43201):
        text = f"Value {value} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200."
        yield refusal(f"timeout of {value}", "ChangeMessageVisibility", _hiding(value), VALUE, text, by=QUOTED)
    yield refusal("a handle of another queue", "DeleteMessage", _of_another_queue, HANDLE, None, by=RECORDED)
    yield refusal("deleted", "ChangeMessageVisibility", _deleted_message, VALUE, _gone)


def _hiding(seconds: int) -> Request:
    return _on_a_queue(ReceiptHandle="garbage", VisibilityTimeout=seconds)


def _of_another_queue(world: World) -> Json:
    url = world.queue()
    world.send(url)
    return {"QueueUrl": world.queue(), "ReceiptHandle": world.receive_one(url)["ReceiptHandle"]}


def _deleted_message(world: World) -> Json:
    url = world.queue()
    world.send(url)
    message = world.receive_one(url)
    world.delete(url, message)
    return {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 5}


def _gone(request: Json) -> str:
    return (
        f"Value {request['ReceiptHandle']} for parameter ReceiptHandle is invalid. Reason: Message does not exist or "
        "is not available for visibility timeout change."
    )


# ---- batches ---------------------------------------------------------------------------------------------------------

#: Operations on batches, with what an entry needs besides its id.
_BATCHES: dict[str, Json] = {
    "SendMessageBatch": {"MessageBody": "x"},
    "DeleteMessageBatch": {"ReceiptHandle": "x"},
    "ChangeMessageVisibilityBatch": {"ReceiptHandle": "x", "VisibilityTimeout": 1},
}


def _batch(*entries: Json) -> Request:
    return lambda world: {"QueueUrl": world.queue(), "Entries": list(entries)}


def _fifo_batch(*entries: Json) -> Request:
    return lambda world: {"QueueUrl": world.fifo(), "Entries": list(entries)}


def of_batches() -> Iterator[Check]:
    """Batches that are refused as a whole."""
    for operation, entry in _BATCHES.items():
        text: Text = f"There should be at least one {operation}RequestEntry in the request."
        yield refusal("no entries", operation, _batch(), EMPTY, text, by=QUOTED)
        eleven = [{"Id": str(number)} | entry for number in range(11)]
        text = "Maximum number of entries per request are 10. You have sent 11."
        yield refusal("eleven entries", operation, _batch(*eleven), TOO_MANY, text)
        twice = [{"Id": "twice"} | entry] * 2
        yield refusal("an id twice", operation, _batch(*twice), NOT_DISTINCT, "Id twice repeated.", by=QUOTED)
        for name in ("", "a" * 81, "in:valid", "é"):
            request = _batch({"Id": name} | entry)
            yield refusal(f"id {name[:9]!r}", operation, request, ENTRY_ID, ENTRY_ID_TEXT)
    half = "a" * (BYTES_MAX // 2)
    entries = [{"Id": "1", "MessageBody": half}, {"Id": "2", "MessageBody": half + "a"}]
    text = f"Batch requests cannot be longer than {BYTES_MAX} bytes. You have sent {BYTES_MAX + 1} bytes."
    yield refusal("more than 1 MiB together", "SendMessageBatch", _batch(*entries), TOO_LONG, text)
    entries = [{"Id": "1", "MessageBody": "x", "MessageDeduplicationId": "d"}]
    text = "The request must contain the parameter MessageGroupId."
    yield refusal("FIFO, no group", "SendMessageBatch", _fifo_batch(*entries), VALUE, text)
    entries = [{"Id": "1", "MessageBody": "x", "MessageGroupId": "g"}]
    yield refusal("FIFO, no deduplication", "SendMessageBatch", _fifo_batch(*entries), VALUE, DEDUPLICATION_TEXT)
