"""Requests that the service refuses, with the error, the status and the words that it has for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from tests.conformance.queues.wire import JSON, QUERY, Json
from tests.conformance.queues.world import CORAL, DOCUMENTED, QUOTED, RECORDED, SQS, Check, Error, World

VALUE: Error = (CORAL + "InvalidParameterValueException", "InvalidParameterValue", 400)
MISSING: Error = (CORAL + "MissingRequiredParameterException", "MissingParameter", 400)
ATTRIBUTE_NAME: Error = (SQS + "InvalidAttributeName", "InvalidAttributeName", 400)
ATTRIBUTE_VALUE: Error = (SQS + "InvalidAttributeValue", "InvalidAttributeValue", 400)
NO_QUEUE: Error = (SQS + "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400)
OTHER_ATTRIBUTES: Error = (SQS + "QueueNameExists", "QueueAlreadyExists", 400)
DELETED_RECENTLY: Error = (SQS + "QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently", 400)
PURGED: Error = (SQS + "PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress", 403)
CONTENTS: Error = (SQS + "InvalidMessageContents", "InvalidMessageContents", 400)
HANDLE: Error = (SQS + "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404)
UNSUPPORTED: Error = (SQS + "UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", 400)
OVER_LIMIT: Error = (SQS + "OverLimit", "OverLimit", 403)
EMPTY: Error = (SQS + "EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", 400)
TOO_MANY: Error = (SQS + "TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400)
NOT_DISTINCT: Error = (SQS + "BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400)
ENTRY_ID: Error = (SQS + "InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", 400)
TOO_LONG: Error = (SQS + "BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", 400)
NOT_FOUND: Error = (SQS + "ResourceNotFoundException", "ResourceNotFoundException", 404)

BOTH = (JSON, QUERY)
BYTES_MAX = 1_048_576
NAME_TEXT = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
CHARACTERS_TEXT = (
    "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | "
    "#x10000 to #x10FFFF"
)
ENTRY_ID_TEXT = (
    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters "
    "long."
)
DEDUPLICATION_TEXT = (
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
)

Request = Callable[[World], Json]
Text = str | Callable[[Json], str] | None


def refusal(
    name: str,
    operation: str,
    request: Request,
    error: Error,
    text: Text,
    *,
    by: str = RECORDED,
    protocols: tuple[str, ...] = BOTH,
) -> Check:
    """A check that a request is refused."""
    return Check(name, operation, by, partial(_refused, operation, request, error, text), protocols)


def _refused(operation: str, request: Request, error: Error, text: Text, world: World) -> None:
    made = request(world)
    world.refused(operation, made, error, text(made) if callable(text) else text)


def asking(**request: object) -> Request:
    """A request that needs no queue."""
    return lambda _world: dict(request)


def _no_queue_text(world: World) -> str:
    more = " for this wsdl version" if world.protocol == QUERY else ""
    return f"The specified queue does not exist{more}."


def _no_queue(operation: str, request: Request) -> Check:
    def run(world: World) -> None:
        world.refused(operation, request(world), NO_QUEUE, _no_queue_text(world))

    return Check(f"{operation} of a queue that is not there", operation, RECORDED, run)


# ---- queues ----------------------------------------------------------------------------------------------------------


def _creating(**attributes: str) -> Request:
    return lambda world: {"QueueName": world.name(), "Attributes": attributes}


def _setting(**attributes: str) -> Request:
    return lambda world: {"QueueUrl": world.queue(), "Attributes": attributes}


def _setting_fifo(**attributes: str) -> Request:
    return lambda world: {"QueueUrl": world.fifo(), "Attributes": attributes}


def _again(world: World) -> Json:
    url = world.queue(DelaySeconds="5")
    return {"QueueName": url.rpartition("/")[2], "Attributes": {"DelaySeconds": "6"}}


def _deleted(world: World) -> Json:
    url = world.queue()
    world.ok("DeleteQueue", QueueUrl=url)
    return {"QueueName": url.rpartition("/")[2]}


def _purged(world: World) -> Json:
    url = world.queue()
    world.ok("PurgeQueue", QueueUrl=url)
    return {"QueueUrl": url}


def _missing(world: World) -> Json:
    return {"QueueUrl": world.queue().rpartition("/")[0] + "/" + world.name()}


#: Attributes with numbers: one below and one above what they may be.
_NUMBERS = {
    "DelaySeconds": ("-1", "901"),
    "MaximumMessageSize": ("1023", "1048577"),
    "MessageRetentionPeriod": ("59", "1209601"),
    "ReceiveMessageWaitTimeSeconds": ("-1", "21"),
    "VisibilityTimeout": ("-1", "43201"),
    "KmsDataKeyReusePeriodSeconds": ("59", "86401"),
}


def of_attributes() -> Iterator[Check]:
    """Attributes of queues."""
    for name, (low, high) in _NUMBERS.items():
        for value in (low, high, "1.5", "", " 60", "many"):
            what, text = f"{name} of {value!r}", f"Invalid value for the parameter {name}."
            yield refusal(
                f"new queue, {what}",
                "CreateQueue",
                _creating(**{name: value}),
                ATTRIBUTE_VALUE,
                text,
                by=QUOTED,
            )
        text = f"Invalid value for the parameter {name}."
        yield refusal(
            f"change, {name} of {high}",
            "SetQueueAttributes",
            _setting(**{name: high}),
            ATTRIBUTE_VALUE,
            text,
            by=RECORDED,
        )
    for name in ("QueueArn", "CreatedTimestamp", "ApproximateNumberOfMessages", "Bogus"):
        yield refusal(
            f"{name} is not set",
            "SetQueueAttributes",
            _setting(**{name: "1"}),
            ATTRIBUTE_NAME,
            f"Unknown Attribute {name}.",
        )
    unknown = "Unknown Attribute FifoQueue."
    yield refusal(
        "FifoQueue of a standard queue", "SetQueueAttributes", _setting(FifoQueue="true"), ATTRIBUTE_NAME, unknown
    )
    yield refusal("FifoQueue=false", "CreateQueue", _creating(FifoQueue="false"), ATTRIBUTE_NAME, unknown)
    text = "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."
    yield refusal(
        "FifoQueue is not changed", "SetQueueAttributes", _setting_fifo(FifoQueue="false"), ATTRIBUTE_VALUE, text
    )
    for name, value in (("DeduplicationScope", "messageGroup"), ("FifoThroughputLimit", "perQueue")):
        text = f"You can specify the {name} only when FifoQueue is set to true."
        yield refusal(f"{name} of a standard queue", "CreateQueue", _creating(**{name: value}), ATTRIBUTE_NAME, text)
    sse = "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE."
    both = {"KmsMasterKeyId": "alias/aws/sqs", "SqsManagedSseEnabled": "true"}
    yield refusal("two encryptions", "SetQueueAttributes", _setting(**both), ATTRIBUTE_NAME, sse)
    yield refusal(
        "an attribute that is not known",
        "GetQueueAttributes",
        lambda world: {"QueueUrl": world.queue(), "AttributeNames": ["VisibilityTimeout", "Foobar"]},
        ATTRIBUTE_NAME,
        "Unknown Attribute Foobar.",
    )
    yield refusal(
        "no attributes",
        "SetQueueAttributes",
        lambda world: {"QueueUrl": world.queue(), "Attributes": {}},
        MISSING,
        "The request must contain the parameter Attribute.Name.",
        by=QUOTED,
    )


def of_queues() -> Iterator[Check]:
    """Queues as such."""
    yield refusal("no name", "CreateQueue", asking(), VALUE, None, by=QUOTED)
    name_text = "Value for parameter QueueName is invalid. Reason: Must specify a queue name."
    yield refusal("no name", "GetQueueUrl", asking(), VALUE, name_text)
    for name in ("a b", "a" * 81, "straße", "a.b", "a.fifo"):
        yield refusal(f"name {name[:9]!r}", "CreateQueue", asking(QueueName=name), VALUE, NAME_TEXT)
    yield refusal(
        "FIFO without .fifo",
        "CreateQueue",
        _creating(FifoQueue="true"),
        VALUE,
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with "
        ".fifo suffix and be 1 to 80 in length.",
        by=QUOTED,
    )
    text = "A queue already exists with the same name and a different value for attribute DelaySeconds"
    yield refusal("same name, other attributes", "CreateQueue", _again, OTHER_ATTRIBUTES, text)
    text = "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    yield refusal("deleted just now", "CreateQueue", _deleted, DELETED_RECENTLY, text)
    yield refusal("purged just now", "PurgeQueue", _purged, PURGED, _purge_text)
    yield _no_queue("GetQueueUrl", lambda world: {"QueueName": world.name()})
    for operation, more in _ON_A_QUEUE.items():
        yield _no_queue(operation, _of_missing(more))
    text = "Value for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and 1000."
    for most in (-1, 1001):
        yield refusal(f"MaxResults {most}", "ListQueues", asking(MaxResults=most), VALUE, text, by=QUOTED)
    yield refusal(
        "a token without MaxResults",
        "ListQueues",
        asking(NextToken="bm8="),
        VALUE,
        "MaxResults is a mandatory parameter when you provide a value for NextToken.",
        by=QUOTED,
    )
    yield refusal("a token that is none", "ListQueues", asking(NextToken="x", MaxResults=5), VALUE, None, by=QUOTED)


def _purge_text(request: Json) -> str:
    name = request["QueueUrl"].rpartition("/")[2]
    return f"Only one PurgeQueue operation on {name} is allowed every 60 seconds."


def _of_missing(more: Json) -> Request:
    return lambda world: _missing(world) | more


#: Operations on a queue, with what they need besides.
_ON_A_QUEUE: dict[str, Json] = {
    "SendMessage": {"MessageBody": "x"},
    "SendMessageBatch": {"Entries": [{"Id": "1", "MessageBody": "x"}]},
    "ReceiveMessage": {},
    "DeleteMessage": {"ReceiptHandle": "x"},
    "DeleteMessageBatch": {"Entries": [{"Id": "1", "ReceiptHandle": "x"}]},
    "ChangeMessageVisibility": {"ReceiptHandle": "x", "VisibilityTimeout": 1},
    "ChangeMessageVisibilityBatch": {"Entries": [{"Id": "1", "ReceiptHandle": "x", "VisibilityTimeout": 1}]},
    "GetQueueAttributes": {"AttributeNames": ["All"]},
    "SetQueueAttributes": {"Attributes": {"DelaySeconds": "1"}},
    "DeleteQueue": {},
    "PurgeQueue": {},
    "ListQueueTags": {},
    "TagQueue": {"Tags": {"a": "b"}},
    "UntagQueue": {"TagKeys": ["a"]},
    "AddPermission": {"Label": "a", "AWSAccountIds": ["111122223333"], "Actions": ["SendMessage"]},
    "RemovePermission": {"Label": "a"},
    "ListDeadLetterSourceQueues": {},
}


def of_tags() -> Iterator[Check]:
    """Tags of queues."""
    many = {f"key-{number}": "x" for number in range(51)}
    yield refusal(
        "51 tags",
        "TagQueue",
        lambda world: {"QueueUrl": world.queue(), "Tags": many},
        VALUE,
        lambda request: f"Too many tags added for queue {request['QueueUrl'].rpartition('/')[2]}.",
        by=QUOTED,
    )


# ---- dead letters ----------------------------------------------------------------------------------------------------


def _redriving(**policy: object) -> Request:
    """A new queue with a policy whose target, unless given, is a queue that is there."""

    def request(world: World) -> Json:
        filled = {"deadLetterTargetArn": world.arn(world.queue()), "maxReceiveCount": 3} | policy
        kept = {name: value for name, value in filled.items() if value is not None}
        return {"QueueName": world.name(), "Attributes": {"RedrivePolicy": json.dumps(kept)}}

    return request


def _policy_text(reason: str, name: str = "RedrivePolicy") -> Callable[[Json], str]:
    return lambda request: f"Value {request['Attributes'][name]} for parameter {name} is invalid. Reason: {reason}"


def _denied(world: World) -> Json:
    target = world.queue(RedriveAllowPolicy='{"redrivePermission":"denyAll"}')
    policy = {"deadLetterTargetArn": world.arn(target), "maxReceiveCount": 1}
    return {"QueueName": world.name(), "Attributes": {"RedrivePolicy": json.dumps(policy)}}


def _of_other_kind(world: World) -> Json:
    policy = {"deadLetterTargetArn": world.arn(world.fifo()), "maxReceiveCount": 1}
    return {"QueueName": world.name(), "Attributes": {"RedrivePolicy": json.dumps(policy)}}


def _to_a_queue_that_is_not_there(world: World) -> Json:
    policy = {"deadLetterTargetArn": world.arn(world.queue()) + "-not", "maxReceiveCount": 1}
    return {"QueueName": world.name(), "Attributes": {"RedrivePolicy": json.dumps(policy)}}


def of_dead_letters() -> Iterator[Check]:
    """Policies of dead letters."""
    lacking = "Redrive policy does not contain mandatory attribute: {}."
    for name in ("maxReceiveCount", "deadLetterTargetArn"):
        text: Text = _policy_text(lacking.format(name))
        yield refusal(f"policy without {name}", "CreateQueue", _redriving(**{name: None}), VALUE, text, by=QUOTED)
    for count in (0, 1001, -36):
        text = _policy_text(
            f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to 1000 both inclusive."
        )
        yield refusal(f"count {count}", "CreateQueue", _redriving(maxReceiveCount=count), VALUE, text, by=QUOTED)
    text = _policy_text("Invalid value for deadLetterTargetArn.")
    yield refusal("target is no ARN", "CreateQueue", _redriving(deadLetterTargetArn="dummy"), VALUE, text)
    text = _policy_text("Dead letter target does not exist.")
    yield refusal("target is not there", "CreateQueue", _to_a_queue_that_is_not_there, VALUE, text, by=QUOTED)
    text = _policy_text("Dead-letter queue must be same type of queue as the source..")
    yield refusal("target of the other kind", "CreateQueue", _of_other_kind, VALUE, text, by=QUOTED)
    yield refusal("target denies it", "CreateQueue", _denied, VALUE, None)
    for value in (" ", "[]", "4", "{"):
        text = "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid JSON map."
        yield refusal(
            f"policy {value!r}", "CreateQueue", _creating(RedrivePolicy=value), ATTRIBUTE_VALUE, text, by=QUOTED
        )
    yield from _of_allowing()


def _of_allowing() -> Iterator[Check]:
    format_text = (
        "Invalid value for the parameter RedriveAllowPolicy. Reason: Amazon SQS can't create the redrive allow policy, "
        "as it\u2019s in an unsupported format."
    )
    for value in ("badjson", "[]", "{}", '{"redrivePermission":"some"}', '{"redrivePermission":"allowAll","x":1}'):
        request = _creating(RedriveAllowPolicy=value)
        yield refusal(f"allowing {value}", "CreateQueue", request, ATTRIBUTE_VALUE, format_text, by=QUOTED)
    arn = "arn:aws:sqs:us-east-1:123456789012:x"
    why = "Amazon SQS can't create the redrive allow policy. "
    by_queue = (
        why + "When you specify the byQueue permission type, you must also specify one or more sourceQueueArns values."
    )
    other = why + "To specify one or more source queue ARNs, you must set redrivePermission to byQueue."
    many = why + "The maximum number of source queue ARNs you can specify is 10."
    for name, policy, reason in (
        ("byQueue without ARNs", {"redrivePermission": "byQueue"}, by_queue),
        ("byQueue with no ARN", {"redrivePermission": "byQueue", "sourceQueueArns": []}, by_queue),
        ("allowAll with ARNs", {"redrivePermission": "allowAll", "sourceQueueArns": [arn]}, other),
        ("11 ARNs", {"redrivePermission": "byQueue", "sourceQueueArns": [f"{arn}{n}" for n in range(11)]}, many),
    ):
        request = _setting(RedriveAllowPolicy=json.dumps(policy))
        text = _policy_text(reason, "RedriveAllowPolicy")
        yield refusal(f"allowing: {name}", "SetQueueAttributes", request, VALUE, text, by=QUOTED)


# ---- permissions -----------------------------------------------------------------------------------------------------


def _permission(**more: object) -> Request:
    def request(world: World) -> Json:
        given = {"Label": "label", "AWSAccountIds": ["111122223333"], "Actions": ["SendMessage"]}
        return {"QueueUrl": world.queue()} | given | more

    return request


def _permission_again(world: World) -> Json:
    url = world.queue()
    given: Json = {"QueueUrl": url, "Label": "label", "AWSAccountIds": ["111122223333"]}
    world.ok("AddPermission", Actions=["SendMessage"], **given)
    return given | {"Actions": ["ReceiveMessage"]}


def _other_label(world: World) -> Json:
    return {"QueueUrl": _permission_again(world)["QueueUrl"], "Label": "other"}


def of_permissions() -> Iterator[Check]:
    """Permissions and policies."""
    text = "Value label for parameter Label is invalid. Reason: Already exists."
    yield refusal("a label twice", "AddPermission", _permission_again, VALUE, text)
    text = (
        "Value SQS:CreateQueue for parameter ActionName is invalid. Reason: Only the queue owner is allowed to invoke "
        "this action."
    )
    yield refusal(
        "an action of the owner", "AddPermission", _permission(Actions=["CreateQueue"]), VALUE, text, by=QUOTED
    )
    actions = [
        *("SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes"),
        *("GetQueueUrl", "ListDeadLetterSourceQueues", "PurgeQueue"),
    ]
    text = "8 Actions were found, maximum allowed is 7."
    yield refusal("eight actions", "AddPermission", _permission(Actions=actions), OVER_LIMIT, text, by=QUOTED)
    text = "Value other for parameter Label is invalid. Reason: can't find label on existing policy."
    yield refusal("a label that is not there", "RemovePermission", _other_label, VALUE, text, by=QUOTED)
    text = "Value other for parameter Label is invalid. Reason: can't find label."
    yield refusal(
        "a label where there are none",
        "RemovePermission",
        lambda world: {"QueueUrl": world.queue(), "Label": "other"},
        VALUE,
        text,
    )
    for policy in ("badjson", "[]", "{}", '{"Version":"4532-10-17","Statement":[]}'):
        text = "Invalid value for the parameter Policy."
        yield refusal(
            f"policy {policy}", "SetQueueAttributes", _setting(Policy=policy), ATTRIBUTE_VALUE, text, by=QUOTED
        )


# ---- move tasks ------------------------------------------------------------------------------------------------------

_ARN_TEXT = "You must use this format to specify the {}: arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
_GONE_TEXT = "The resource that you specified for the {} parameter doesn't exist."


def _dead_letters(world: World, **more: object) -> Json:
    """A queue of dead letters, as the source of a task."""
    target = world.queue()
    arn = world.arn(target)
    world.queue(RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1}))
    return {"SourceArn": arn} | more


def _moving(**more: object) -> Request:
    return lambda world: _dead_letters(world, **more)


def of_move_tasks() -> Iterator[Check]:
    """Tasks that move messages."""
    start = "StartMessageMoveTask"
    arn = "arn:aws:sqs:us-east-1:000000000000:surely-not-there"
    yield refusal("no ARN", start, asking(SourceArn="x"), VALUE, _ARN_TEXT.format("SourceArn"), by=QUOTED)
    yield refusal("no such source", start, asking(SourceArn=arn), NOT_FOUND, _GONE_TEXT.format("SourceArn"))
    text = "Source queue must be configured as a Dead Letter Queue."
    yield refusal("source has no dead letters", start, lambda w: {"SourceArn": w.arn(w.queue())}, VALUE, text)
    text = _GONE_TEXT.format("DestinationArn")
    yield refusal("no such destination", start, lambda w: _dead_letters(w, DestinationArn=arn), NOT_FOUND, text)
    text = (
        "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: You must enter a number that's between 1 "
        "and 500."
    )
    for rate in (0, 501):
        yield refusal(
            f"rate {rate}",
            start,
            _moving(MaxNumberOfMessagesPerSecond=rate),
            VALUE,
            text,
            by=QUOTED,
        )
    text = "The source queue and destination queue must be of the same queue type."
    yield refusal(
        "other kind", start, lambda w: _dead_letters(w, DestinationArn=w.arn(w.fifo())), VALUE, text, by=QUOTED
    )
    text = "Value for parameter TaskHandle is invalid."
    yield refusal("no handle", "CancelMessageMoveTask", asking(TaskHandle="x"), VALUE, text)
    text = _GONE_TEXT.format("SourceArn")
    yield refusal("no such source", "ListMessageMoveTasks", asking(SourceArn=arn), NOT_FOUND, text, by=DOCUMENTED)
