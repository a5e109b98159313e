"""The shapes of the API's requests and answers: one declaration for both protocols.

The JSON protocol has the members under their own names. The Query protocol flattens them into parameters
(``Attribute.1.Name``) and answers in XML; what a list's elements and a map's entries are called there is their place.

Source: the service model of botocore (sqs, 2012-11-05), in its present JSON form and in the Query form before it, which
gives the places.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

Kind: TypeAlias = Literal["string", "integer", "boolean", "blob", "list", "map", "structure"]


class Shape(Struct, frozen=True):
    """What a value looks like.

    Args:
        kind: what it is.
        name: of a structure, its name in the model.
        members: of a structure, the shapes of its members by name.
        required: members that a request must have, in the order in which their absence is told.
        of: of a list or a map, the shape of its values.
        place: of a list or a map, what an element is called in the Query protocol.
        key: of a map, what its keys are called there.
        value: of a map, what its values are called there.
    """

    kind: Kind
    name: str = ""
    members: dict[str, Shape] = {}
    required: tuple[str, ...] = ()
    of: Shape | None = None
    place: str = ""
    key: str = "Name"
    value: str = "Value"


#: The largest integer of a request; the smallest is one further from 0.
INTEGER_MAX: Final = (1 << 31) - 1

STRING: Final = Shape("string")
INTEGER: Final = Shape("integer")
BOOLEAN: Final = Shape("boolean")
BLOB: Final = Shape("blob")


def _list(place: str, of: Shape = STRING) -> Shape:
    return Shape("list", of=of, place=place)


def _structure(name: str, members: dict[str, Shape], *required: str) -> Shape:
    return Shape("structure", name, members, required)


_VALUE: Final = _structure(
    "MessageAttributeValue",
    {
        "StringValue": STRING,
        "BinaryValue": BLOB,
        "StringListValues": _list("StringListValue"),
        "BinaryListValues": _list("BinaryListValue", BLOB),
        "DataType": STRING,
    },
)
_QUEUE_ATTRIBUTES: Final = Shape("map", of=STRING, place="Attribute")
_TAGS: Final = Shape("map", of=STRING, place="Tag", key="Key")
_ATTRIBUTES: Final = Shape("map", of=_VALUE, place="MessageAttribute")
_SYSTEM_ATTRIBUTES: Final = Shape("map", of=_VALUE, place="MessageSystemAttribute")

_MESSAGE: Final = {
    "MessageBody": STRING,
    "DelaySeconds": INTEGER,
    "MessageAttributes": _ATTRIBUTES,
    "MessageSystemAttributes": _SYSTEM_ATTRIBUTES,
    "MessageDeduplicationId": STRING,
    "MessageGroupId": STRING,
}
_URL: Final = {"QueueUrl": STRING}
_HANDLE: Final = {"ReceiptHandle": STRING}
_CHANGE: Final = {**_HANDLE, "VisibilityTimeout": INTEGER}
_PAGE: Final = {"NextToken": STRING, "MaxResults": INTEGER}


def _batch(name: str, members: dict[str, Shape], *required: str) -> Shape:
    entry = _structure(name, {"Id": STRING, **members}, "Id", *required)
    return _structure("", {**_URL, "Entries": _list(name, entry)}, "QueueUrl")


#: What each operation is asked, by its name.
REQUESTS: Final[dict[str, Shape]] = {
    "AddPermission": _structure(
        "",
        {**_URL, "Label": STRING, "AWSAccountIds": _list("AWSAccountId"), "Actions": _list("ActionName")},
        "QueueUrl",
        "Label",
        "AWSAccountIds",
        "Actions",
    ),
    "CancelMessageMoveTask": _structure("", {"TaskHandle": STRING}, "TaskHandle"),
    "ChangeMessageVisibility": _structure("", {**_URL, **_CHANGE}, "QueueUrl", "ReceiptHandle", "VisibilityTimeout"),
    "ChangeMessageVisibilityBatch": _batch("ChangeMessageVisibilityBatchRequestEntry", _CHANGE, "ReceiptHandle"),
    "CreateQueue": _structure("", {"QueueName": STRING, "Attributes": _QUEUE_ATTRIBUTES, "tags": _TAGS}, "QueueName"),
    "DeleteMessage": _structure("", {**_URL, **_HANDLE}, "QueueUrl", "ReceiptHandle"),
    "DeleteMessageBatch": _batch("DeleteMessageBatchRequestEntry", _HANDLE, "ReceiptHandle"),
    "DeleteQueue": _structure("", _URL, "QueueUrl"),
    "GetQueueAttributes": _structure("", {**_URL, "AttributeNames": _list("AttributeName")}, "QueueUrl"),
    "GetQueueUrl": _structure("", {"QueueName": STRING, "QueueOwnerAWSAccountId": STRING}, "QueueName"),
    "ListDeadLetterSourceQueues": _structure("", {**_URL, **_PAGE}, "QueueUrl"),
    "ListMessageMoveTasks": _structure("", {"SourceArn": STRING, "MaxResults": INTEGER}, "SourceArn"),
    "ListQueueTags": _structure("", _URL, "QueueUrl"),
    "ListQueues": _structure("", {"QueueNamePrefix": STRING, **_PAGE}),
    "PurgeQueue": _structure("", _URL, "QueueUrl"),
    "ReceiveMessage": _structure(
        "",
        {
            **_URL,
            "AttributeNames": _list("AttributeName"),
            "MessageSystemAttributeNames": _list("MessageSystemAttributeName"),
            "MessageAttributeNames": _list("MessageAttributeName"),
            "MaxNumberOfMessages": INTEGER,
            "VisibilityTimeout": INTEGER,
            "WaitTimeSeconds": INTEGER,
            "ReceiveRequestAttemptId": STRING,
        },
        "QueueUrl",
    ),
    "RemovePermission": _structure("", {**_URL, "Label": STRING}, "QueueUrl", "Label"),
    "SendMessage": _structure("", {**_URL, **_MESSAGE}, "QueueUrl", "MessageBody"),
    "SendMessageBatch": _batch("SendMessageBatchRequestEntry", _MESSAGE, "MessageBody"),
    "SetQueueAttributes": _structure("", {**_URL, "Attributes": _QUEUE_ATTRIBUTES}, "QueueUrl", "Attributes"),
    "StartMessageMoveTask": _structure(
        "",
        {"SourceArn": STRING, "DestinationArn": STRING, "MaxNumberOfMessagesPerSecond": INTEGER},
        "SourceArn",
    ),
    "TagQueue": _structure("", {**_URL, "Tags": _TAGS}, "QueueUrl", "Tags"),
    "UntagQueue": _structure("", {**_URL, "TagKeys": _list("TagKey")}, "QueueUrl", "TagKeys"),
}

_FAILED: Final = _structure(
    "BatchResultErrorEntry", {"Id": STRING, "SenderFault": BOOLEAN, "Code": STRING, "Message": STRING}
)
_SENT: Final = {
    "MessageId": STRING,
    "MD5OfMessageBody": STRING,
    "MD5OfMessageAttributes": STRING,
    "MD5OfMessageSystemAttributes": STRING,
    "SequenceNumber": STRING,
}
_QUEUE_URL: Final = _structure("", {"QueueUrl": STRING})
_RECEIVED: Final = _structure(
    "Message",
    {
        "MessageId": STRING,
        "ReceiptHandle": STRING,
        "MD5OfBody": STRING,
        "Body": STRING,
        "Attributes": _QUEUE_ATTRIBUTES,
        "MD5OfMessageAttributes": STRING,
        "MessageAttributes": _ATTRIBUTES,
    },
)
_TASK: Final = _structure(
    "ListMessageMoveTasksResultEntry",
    {
        "TaskHandle": STRING,
        "Status": STRING,
        "SourceArn": STRING,
        "DestinationArn": STRING,
        "MaxNumberOfMessagesPerSecond": INTEGER,
        "ApproximateNumberOfMessagesMoved": INTEGER,
        "ApproximateNumberOfMessagesToMove": INTEGER,
        "FailureReason": STRING,
        "StartedTimestamp": INTEGER,
    },
)


def _batch_answer(place: str, members: dict[str, Shape]) -> Shape:
    entry = _structure(place, {"Id": STRING, **members})
    return _structure("", {"Successful": _list(place, entry), "Failed": _list("BatchResultErrorEntry", _FAILED)})


#: What each operation answers, by its name; those that are missing answer nothing.
ANSWERS: Final[dict[str, Shape]] = {
    "CancelMessageMoveTask": _structure("", {"ApproximateNumberOfMessagesMoved": INTEGER}),
    "ChangeMessageVisibilityBatch": _batch_answer("ChangeMessageVisibilityBatchResultEntry", {}),
    "CreateQueue": _QUEUE_URL,
    "DeleteMessageBatch": _batch_answer("DeleteMessageBatchResultEntry", {}),
    "GetQueueAttributes": _structure("", {"Attributes": _QUEUE_ATTRIBUTES}),
    "GetQueueUrl": _QUEUE_URL,
    "ListDeadLetterSourceQueues": _structure("", {"queueUrls": _list("QueueUrl"), "NextToken": STRING}),
    "ListMessageMoveTasks": _structure("", {"Results": _list("ListMessageMoveTasksResultEntry", _TASK)}),
    "ListQueueTags": _structure("", {"Tags": _TAGS}),
    "ListQueues": _structure("", {"QueueUrls": _list("QueueUrl"), "NextToken": STRING}),
    "ReceiveMessage": _structure("", {"Messages": _list("Message", _RECEIVED)}),
    "SendMessage": _structure("", _SENT),
    "SendMessageBatch": _batch_answer("SendMessageBatchResultEntry", _SENT),
    "StartMessageMoveTask": _structure("", {"TaskHandle": STRING}),
}
