"""What the service does with queues and messages, beyond refusing: a check for each thing that programs rely on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable

from tests.conformance.queues.wire import JSON, QUERY, Answer, Json
from tests.conformance.queues.world import DOCUMENTED, QUOTED, RECORDED, Check, World, expect

#: Filled by ``check``, in the order of this file.
BEHAVIOURS: list[Check] = []
_Run = Callable[[World], None]


def check(
    operation: str, decided_by: str = RECORDED, *, protocols: tuple[str, ...] = (JSON, QUERY), seconds: int = 0
) -> Callable[[_Run], _Run]:
    """Makes a function a check; its name says what it shows."""

    def register(run: _Run) -> _Run:
        BEHAVIOURS.append(Check(run.__name__.replace("_", " "), operation, decided_by, run, protocols, seconds))
        return run

    return register


# ---- queues ----------------------------------------------------------------------------------------------------------

_DEFAULTS = {
    "ApproximateNumberOfMessages": "0",
    "ApproximateNumberOfMessagesDelayed": "0",
    "ApproximateNumberOfMessagesNotVisible": "0",
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
_OF_ITS_OWN = {"QueueArn", "CreatedTimestamp", "LastModifiedTimestamp"}
_FIFO_DEFAULTS = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}


@check("GetQueueAttributes")
def a_new_queue_has_the_defaults(world: World) -> None:
    found = world.attributes(world.queue())
    expect(set(found), set(_DEFAULTS) | _OF_ITS_OWN, "attributes")
    expect({name: found[name] for name in _DEFAULTS}, _DEFAULTS, "defaults")
    expect(found["CreatedTimestamp"].isdigit() and len(found["CreatedTimestamp"]) == 10, True, "time in seconds")


@check("GetQueueAttributes")
def a_new_fifo_queue_has_the_defaults(world: World) -> None:
    found = world.attributes(world.fifo())
    wanted = _DEFAULTS | _FIFO_DEFAULTS
    expect(set(found), set(wanted) | _OF_ITS_OWN, "attributes")
    expect({name: found[name] for name in wanted}, wanted, "defaults")


@check("GetQueueAttributes")
def nothing_asked_for_is_nothing_told(world: World) -> None:
    expect(world.ok("GetQueueAttributes", QueueUrl=world.queue()), {}, "answer")


@check("CreateQueue")
def the_same_queue_is_made_twice(world: World) -> None:
    url = world.queue(DelaySeconds="5", VisibilityTimeout="7")
    name = url.rpartition("/")[2]
    for attributes in ({}, {"DelaySeconds": "5"}, {"DelaySeconds": "5", "VisibilityTimeout": "7"}):
        again = world.ok("CreateQueue", QueueName=name, Attributes=attributes)
        expect(again["QueueUrl"], url, "URL")


@check("SetQueueAttributes")
def attributes_are_changed(world: World) -> None:
    url = world.queue()
    wanted = {"VisibilityTimeout": "69", "MaximumMessageSize": "2048", "DelaySeconds": "420"}
    world.ok("SetQueueAttributes", QueueUrl=url, Attributes=wanted)
    expect(world.attributes(url, *wanted), wanted, "attributes")


@check("SetQueueAttributes", QUOTED)
def a_bad_attribute_changes_none(world: World) -> None:
    url = world.queue()
    request = {"QueueUrl": url, "Attributes": {"DelaySeconds": "9", "VisibilityTimeout": "99999"}}
    expect(world.target.call("SetQueueAttributes", request).is_success, False, "success")
    expect(world.attributes(url, "DelaySeconds"), {"DelaySeconds": "0"}, "attributes")


@check("SetQueueAttributes")
def one_encryption_takes_the_place_of_the_other(world: World) -> None:
    url = world.queue()
    key = {"KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000"}
    names = [*key, "SqsManagedSseEnabled"]
    world.ok("SetQueueAttributes", QueueUrl=url, Attributes=key)
    expect(world.attributes(url, *names), key | {"SqsManagedSseEnabled": "false"}, "attributes")
    world.ok("SetQueueAttributes", QueueUrl=url, Attributes={"KmsMasterKeyId": "", "SqsManagedSseEnabled": "true"})
    expect(world.attributes(url, "SqsManagedSseEnabled"), {"SqsManagedSseEnabled": "true"}, "attributes")


@check("ListQueues")
def queues_are_listed_in_pages(world: World) -> None:
    stem = world.name("-page-")
    made = sorted(world.ok("CreateQueue", QueueName=f"{stem}{n}")["QueueUrl"] for n in range(5))
    found: list[str] = []
    token: dict[str, str] = {}
    for _page in range(5):
        page = world.ok("ListQueues", QueueNamePrefix=stem, MaxResults=2, **token)
        found += page.get("QueueUrls", [])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    for url in made:
        world.ok("DeleteQueue", QueueUrl=url)
    expect(sorted(found), made, "queues")


@check("ListQueues")
def no_queue_is_listed_where_none_fits(world: World) -> None:
    expect(world.ok("ListQueues", QueueNamePrefix=world.name()), {}, "answer")


@check("DeleteQueue")
def a_deleted_queue_is_gone(world: World) -> None:
    url = world.queue()
    world.ok("DeleteQueue", QueueUrl=url)
    expect(world.target.call("SendMessage", {"QueueUrl": url, "MessageBody": "x"}).is_success, False, "success")
    expect(world.ok("ListQueues", QueueNamePrefix=url.rpartition("/")[2]), {}, "queues")


@check("PurgeQueue", DOCUMENTED)
def a_purge_takes_all_messages(world: World) -> None:
    url = world.queue()
    for number in range(12):
        world.send(url, f"message {number}")
    world.receive(url, 3)
    world.ok("PurgeQueue", QueueUrl=url)
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    world.eventually("nothing is left", lambda: set(world.attributes(url, *counts).values()) == {"0"})
    expect(world.receive(url, wait_s=0), [], "messages")
    world.send(url, "afterwards")
    expect(world.receive_one(url)["Body"], "afterwards", "message")


@check("TagQueue")
def tags_are_added_replaced_and_taken_away(world: World) -> None:
    url = world.queue()
    world.ok("TagQueue", QueueUrl=url, Tags={"tag1": "value1", "tag2": "value2", "tag3": ""})
    world.ok("TagQueue", QueueUrl=url, Tags={"tag1": "other"})
    expect(world.ok("ListQueueTags", QueueUrl=url), {"Tags": {"tag1": "other", "tag2": "value2", "tag3": ""}}, "tags")
    world.ok("UntagQueue", QueueUrl=url, TagKeys=["tag1", "tag3", "none"])
    expect(world.ok("ListQueueTags", QueueUrl=url), {"Tags": {"tag2": "value2"}}, "tags")
    world.ok("UntagQueue", QueueUrl=url, TagKeys=["tag2"])
    expect(world.ok("ListQueueTags", QueueUrl=url), {}, "tags")


@check("CreateQueue", DOCUMENTED)
def a_queue_is_made_with_tags(world: World) -> None:
    url = world.ok("CreateQueue", QueueName=world.name(), tags={"team": "metal"})["QueueUrl"]
    found = world.ok("ListQueueTags", QueueUrl=url)
    world.ok("DeleteQueue", QueueUrl=url)
    expect(found, {"Tags": {"team": "metal"}}, "tags")


@check("TagQueue", QUOTED, protocols=(QUERY,))
def tags_have_two_names_in_a_form(world: World) -> None:
    url = world.queue()
    for name, key in (("Tag", "a"), ("Tags", "b")):
        form = [("Action", "TagQueue"), (f"{name}.1.Key", key), (f"{name}.1.Value", "x")]
        expect(world.target.call_query(_path(url), form).status, 200, name)
    expect(world.ok("ListQueueTags", QueueUrl=url), {"Tags": {"a": "x", "b": "x"}}, "tags")


@check("AddPermission")
def permissions_make_a_policy(world: World) -> None:
    url = world.queue()
    arn = world.arn(url)
    accounts = ["111122223333", "444455556666"]
    world.ok("AddPermission", QueueUrl=url, Label="read", AWSAccountIds=accounts, Actions=["ReceiveMessage"])
    world.ok(
        "AddPermission", QueueUrl=url, Label="write", AWSAccountIds=accounts[:1], Actions=["SendMessage", "GetQueueUrl"]
    )
    policy = json.loads(world.attributes(url, "Policy")["Policy"])
    root = [f"arn:aws:iam::{account}:root" for account in accounts]
    wanted: list[Json] = [
        {"Sid": "read", "Effect": "Allow", "Principal": {"AWS": root}, "Action": "SQS:ReceiveMessage", "Resource": arn},
        {
            "Sid": "write",
            "Effect": "Allow",
            "Principal": {"AWS": root[0]},
            "Action": ["SQS:SendMessage", "SQS:GetQueueUrl"],
            "Resource": arn,
        },
    ]
    expect(policy["Statement"], wanted, "statements")
    expect((policy["Version"], policy["Id"]), ("2008-10-17", f"{arn}/SQSDefaultPolicy"), "policy")
    for label in ("read", "write"):
        world.ok("RemovePermission", QueueUrl=url, Label=label)
    expect(world.attributes(url, "Policy"), {}, "policy")


@check("SetQueueAttributes", DOCUMENTED)
def a_policy_is_kept_and_taken_away(world: World) -> None:
    url = world.queue()
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": world.arn(url)}
    policy = json.dumps({"Version": "2012-10-17", "Id": "mine", "Statement": [statement]})
    world.ok("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": policy})
    expect(json.loads(world.attributes(url, "Policy")["Policy"]), json.loads(policy), "policy")
    world.ok("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": ""})
    expect(world.attributes(url, "Policy"), {}, "policy")


# ---- messages --------------------------------------------------------------------------------------------------------


def md5(text: str) -> str:
    """The digest of a body."""
    return hashlib.md5(text.encode()).hexdigest()


_COLORS = {
    "color": {"DataType": "String", "StringValue": "blue"},
    "count": {"DataType": "Number", "StringValue": "3"},
    "blob": {"DataType": "Binary", "BinaryValue": "AQID"},
}
_COLORS_MD5, _COLOR_MD5 = "d838729972a4b70e2d2acd9d59ac847c", "da1b33cc3cbfe8b1630921e78e6b9880"


@check("SendMessage")
def a_message_comes_as_it_was_sent(world: World) -> None:
    url = world.queue()
    for body in ("message", '"&quot;&quot;\r', "<a>&\r\n\t\U0001f600ü</a>", " ", "]]>"):
        sent = world.send(url, body)
        expect(sent["MD5OfMessageBody"], md5(body), "digest")
        message = world.receive_one(url)
        expect((message["Body"], message["MD5OfBody"]), (body, md5(body)), "body")
        expect(message["MessageId"], sent["MessageId"], "id")
        world.delete(url, message)
    expect(sorted(world.send(url)), ["MD5OfMessageBody", "MessageId"], "members of the answer")


@check("ReceiveMessage")
def system_attributes_are_told_if_asked_for(world: World) -> None:
    url = world.queue()
    world.send(url)
    plain = {"VisibilityTimeout": 0, "MessageSystemAttributeNames": [], "MessageAttributeNames": []}
    message = world.receive_one(url, **plain)
    expect(sorted(message), ["Body", "MD5OfBody", "MessageId", "ReceiptHandle"], "members")
    message = world.receive_one(url, **(plain | {"AttributeNames": ["SenderId"]}))
    expect(list(message["Attributes"]), ["SenderId"], "attributes")
    message = world.receive_one(url, VisibilityTimeout=0)
    names = ["ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "SenderId", "SentTimestamp"]
    expect(sorted(message["Attributes"]), names, "attributes")
    expect(message["Attributes"]["ApproximateReceiveCount"], "3", "receives")
    expect(len(message["Attributes"]["SentTimestamp"]), 13, "digits of a time in milliseconds")


@check("ReceiveMessage")
def message_attributes_are_told_if_asked_for(world: World) -> None:
    url = world.queue()
    sent = world.send(url, MessageAttributes=_COLORS)
    expect(sent["MD5OfMessageAttributes"], _COLORS_MD5, "digest")
    for names, wanted, digest in (
        (["All"], _COLORS, _COLORS_MD5),
        ([".*"], _COLORS, _COLORS_MD5),
        (["color"], {"color": _COLORS["color"]}, _COLOR_MD5),
        (["col.*", "none"], {"color": _COLORS["color"]}, _COLOR_MD5),
        (["none"], None, None),
        ([], None, None),
    ):
        message = world.receive_one(url, VisibilityTimeout=0, MessageAttributeNames=names)
        expect(message.get("MessageAttributes"), wanted, f"attributes for {names}")
        expect(message.get("MD5OfMessageAttributes"), digest, f"digest for {names}")


@check("SendMessage", QUOTED)
def digests_cover_custom_types_and_the_trace(world: World) -> None:
    url = world.queue()
    user = {"UserId": {"DataType": "Number.bigint", "StringValue": "1234567890123456789012"}}
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "some-trace-id"}}
    sent = world.send(url, MessageAttributes=user, MessageSystemAttributes=trace)
    expect(sent["MD5OfMessageAttributes"], "797ab158d73dcb5242dedc4412c8e855", "digest of attributes")
    expect(sent["MD5OfMessageSystemAttributes"], "fdce4f2818803f2f73becc09a54792c0", "digest of system attributes")
    message = world.receive_one(url)
    expect(message["Attributes"]["AWSTraceHeader"], "some-trace-id", "trace")
    expect(message["MessageAttributes"], user, "attributes")


@check("SendMessage")
def a_message_may_have_one_mebibyte(world: World) -> None:
    url = world.queue()
    attributes = {"k": {"DataType": "String", "StringValue": "x"}}
    body = "a" * (1_048_576 - len("kStringx"))
    world.send(url, body, MessageAttributes=attributes)
    expect(len(world.receive_one(url)["Body"]), len(body), "length")


@check("SendMessageBatch")
def a_batch_tells_of_each_entry(world: World) -> None:
    url = world.queue()
    entries = [
        {"Id": "good", "MessageBody": "fine"},
        {"Id": "late", "MessageBody": "fine", "DelaySeconds": 901},
        {"Id": "also_good-2", "MessageBody": "fine too", "MessageAttributes": {"color": _COLORS["color"]}},
    ]
    answer = world.ok("SendMessageBatch", QueueUrl=url, Entries=entries)
    expect([one["Id"] for one in answer["Successful"]], ["good", "also_good-2"], "entries")
    expect([one["MD5OfMessageBody"] for one in answer["Successful"]], [md5("fine"), md5("fine too")], "digests")
    expect(answer["Successful"][1]["MD5OfMessageAttributes"], _COLOR_MD5, "digest of attributes")
    failed = answer["Failed"]
    told = [(one["Id"], one["Code"], one["SenderFault"]) for one in failed]
    expect(told, [("late", "InvalidParameterValue", True)], "failures")
    expect(sorted(one["Body"] for one in world.receive(url)), ["fine", "fine too"], "messages")


@check("SendMessageBatch", protocols=(JSON,))
def a_batch_refuses_an_entry_with_bad_characters(world: World) -> None:
    entries = [{"Id": "ok", "MessageBody": "fine"}, {"Id": "bad", "MessageBody": "\0"}]
    answer = world.ok("SendMessageBatch", QueueUrl=world.queue(), Entries=entries)
    expect([one["Id"] for one in answer["Successful"]], ["ok"], "entries")
    told = [(one["Id"], one["Code"], one["SenderFault"]) for one in answer["Failed"]]
    expect(told, [("bad", "InvalidMessageContents", True)], "failures")


@check("DeleteMessageBatch")
def a_batch_of_deletes_tells_of_each_entry(world: World) -> None:
    url = world.queue()
    world.send(url)
    handle = world.receive_one(url)["ReceiptHandle"]
    entries = [{"Id": "x", "ReceiptHandle": handle}, {"Id": "y", "ReceiptHandle": "garbage"}]
    answer = world.ok("DeleteMessageBatch", QueueUrl=url, Entries=entries)
    expect(answer["Successful"], [{"Id": "x"}], "entries")
    told = [(one["Id"], one["Code"], one["SenderFault"]) for one in answer["Failed"]]
    expect(told, [("y", "ReceiptHandleIsInvalid", True)], "failures")


@check("ChangeMessageVisibilityBatch")
def a_batch_of_changes_tells_of_each_entry(world: World) -> None:
    url = world.queue()
    world.send(url)
    handle = world.receive_one(url)["ReceiptHandle"]
    entries = [
        {"Id": "x", "ReceiptHandle": handle, "VisibilityTimeout": 0},
        {"Id": "y", "ReceiptHandle": "garbage", "VisibilityTimeout": 0},
    ]
    answer = world.ok("ChangeMessageVisibilityBatch", QueueUrl=url, Entries=entries)
    expect(answer["Successful"], [{"Id": "x"}], "entries")
    told = [(one["Id"], one["Code"], one["SenderFault"]) for one in answer["Failed"]]
    expect(told, [("y", "ReceiptHandleIsInvalid", True)], "failures")
    world.receive_one(url)


@check("DeleteMessage")
def a_message_is_deleted_twice(world: World) -> None:
    url = world.queue()
    world.send(url)
    message = world.receive_one(url, VisibilityTimeout=0)
    latest = world.receive_one(url)
    for one in (message, latest, latest):
        world.delete(url, one)
    expect(world.receive(url, wait_s=0), [], "messages")


@check("ReceiveMessage")
def a_message_is_hidden_while_it_is_worked_on(world: World) -> None:
    url = world.queue(VisibilityTimeout="1")
    world.send(url)
    first = world.receive_one(url)
    expect(world.receive(url, wait_s=0), [], "messages")
    again = world.receive_one(url, wait_s=5)
    expect(again["MessageId"], first["MessageId"], "message")
    expect(again["Attributes"]["ApproximateReceiveCount"], "2", "receives")
    expect(again["ReceiptHandle"] == first["ReceiptHandle"], False, "the same handle")
    kept = [one["Attributes"]["ApproximateFirstReceiveTimestamp"] for one in (first, again)]
    expect(kept[0], kept[1], "first receive")


@check("ChangeMessageVisibility")
def visibility_is_changed(world: World) -> None:
    url = world.queue()
    world.send(url)
    handle = world.receive_one(url)["ReceiptHandle"]
    change = {"QueueUrl": url, "ReceiptHandle": handle}
    world.ok("ChangeMessageVisibility", VisibilityTimeout=0, **change)
    world.ok("ChangeMessageVisibility", VisibilityTimeout=10, **change)  # not in flight any more: hidden again
    expect(world.receive(url, wait_s=1), [], "messages")
    counts = world.attributes(url, "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    expect(list(counts.values()), ["0", "1"], "counts")
    world.ok("ChangeMessageVisibility", VisibilityTimeout=0, **change)
    world.receive_one(url)


@check("SendMessage", DOCUMENTED)
def messages_are_delayed(world: World) -> None:
    url = world.queue(DelaySeconds="1")
    sent = time.monotonic()
    world.send(url, "as the queue says")
    world.send(url, "at once", DelaySeconds=0)
    expect(world.receive_one(url)["Body"], "at once", "message")
    counts = world.attributes(url, "ApproximateNumberOfMessagesDelayed")
    expect(list(counts.values()), ["1"], "delayed messages")
    expect(world.receive_one(url, wait_s=5)["Body"], "as the queue says", "message")
    expect(time.monotonic() - sent >= 0.9, True, "delayed for a second")


@check("ReceiveMessage", DOCUMENTED)
def a_receive_waits_for_as_long_as_it_says(world: World) -> None:
    url = world.queue(ReceiveMessageWaitTimeSeconds="1")
    begun = time.monotonic()
    expect(world.ok("ReceiveMessage", QueueUrl=url), {}, "answer")
    waited = time.monotonic() - begun
    expect(0.9 <= waited < 3, True, f"waited for {waited:.1f} s, a second")
    begun = time.monotonic()
    expect(world.ok("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=0), {}, "answer")
    expect(time.monotonic() - begun < 0.9, True, "answered at once")


@check("GetQueueAttributes", DOCUMENTED)
def counts_are_right_within_a_second(world: World) -> None:
    url = world.queue()
    for number in range(7):
        world.send(url, str(number), **({"DelaySeconds": 60} if number > 4 else {}))
    taken = world.receive(url, 3)
    wanted = {
        "ApproximateNumberOfMessages": str(5 - len(taken)),
        "ApproximateNumberOfMessagesDelayed": "2",
        "ApproximateNumberOfMessagesNotVisible": str(len(taken)),
    }
    world.eventually(f"counts of {wanted}", lambda: world.attributes(url, *wanted) == wanted, within_s=1.0)


@check("SendMessage")
def a_group_is_told_on_a_standard_queue(world: World) -> None:
    url = world.queue()
    sent = world.send(url, MessageGroupId="tenant-1")
    expect("SequenceNumber" in sent, False, "a sequence number")
    expect(world.receive_one(url)["Attributes"]["MessageGroupId"], "tenant-1", "group")


# ---- what the wire looks like ----------------------------------------------------------------------------------------


@check("SendMessage", protocols=(JSON,))
def answers_bear_their_type_and_an_id(world: World) -> None:
    url = world.queue()
    for operation, request in (
        ("SendMessage", {"QueueUrl": url, "MessageBody": "x"}),
        ("SendMessage", {"QueueUrl": url}),
        ("PurgeQueue", {"QueueUrl": url}),
    ):
        headers = world.target.call(operation, request).headers
        expect(headers.get("content-type"), "application/x-amz-json-1.0", "type")
        expect(bool(headers.get("x-amzn-requestid")), True, "an id")


@check("PurgeQueue", protocols=(JSON,))
def an_answer_without_members_is_empty(world: World) -> None:
    answer = world.target.call("PurgeQueue", {"QueueUrl": world.queue()})
    expect((answer.status, answer.raw), (200, b""), "answer")


def _raw(world: World, operation: str, body: bytes) -> Answer:
    return world.target.call_json(operation, body)


@check("GetQueueUrl", protocols=(JSON,))
def a_body_that_is_no_object_is_refused(world: World) -> None:
    for body in (b"{", b"[]", b'"x"'):
        answer = _raw(world, "GetQueueUrl", body)
        told = (answer.status, answer.code, answer.shape)
        expect(told, (400, "MalformedInput", "com.amazon.coral.service#SerializationException"), str(body))


@check("GetQueueUrl", protocols=(JSON,))
def an_unknown_operation_is_refused(world: World) -> None:
    answer = _raw(world, "Bogus", b"{}")
    told = (answer.status, answer.code, answer.shape)
    expect(told, (400, "InvalidAction", "com.amazon.coral.service#UnknownOperationException"), answer.text)


@check("SendMessage", protocols=(JSON,))
def a_missing_url_is_a_missing_queue(world: World) -> None:
    answer = _raw(world, "SendMessage", b'{"MessageBody":"x"}')
    expect((answer.status, answer.code), (400, "AWS.SimpleQueueService.NonExistentQueue"), answer.text)


@check("GetQueueAttributes", protocols=(QUERY,))
def a_form_may_stand_behind_a_question_mark(world: World) -> None:
    url = world.queue()
    path = _path(url)
    form = [("Action", "GetQueueAttributes"), ("AttributeName.1", "All")]
    answer = world.target.call_query(path, form, "GET")
    expect(answer.body.get("Attributes", {}).get("VisibilityTimeout"), "30", "attribute")
    expect(b'xmlns="http://queue.amazonaws.com/doc/2012-11-05/"' in answer.raw, True, "the namespace")
    expect(b"<RequestId>" in answer.raw, True, "an id")


@check("GetQueueAttributes", protocols=(QUERY,))
def a_url_as_parameter_wins_over_the_path(world: World) -> None:
    first, second = world.queue(), world.queue(DelaySeconds="7")
    form = [("Action", "GetQueueAttributes"), ("QueueUrl", second), ("AttributeName.1", "DelaySeconds")]
    answer = world.target.call_query(_path(first), form)
    expect(answer.body, {"Attributes": {"DelaySeconds": "7"}}, "answer")


@check("GetQueueUrl", protocols=(QUERY,))
def an_unknown_action_is_refused(world: World) -> None:
    url = world.queue()
    for action in ("FooBar", "CreateQueue", "ListQueues"):
        answer = world.target.call_query(_path(url), [("Action", action), ("Version", "2012-11-05")])
        text = f"The action {action} is not valid for this endpoint."
        expect((answer.status, answer.code, answer.text), (400, "InvalidAction", text), action)
    answer = world.target.call_query(_path(url), [("Action", "FooBar")])
    expect(b"<Detail/>" in answer.raw.replace(b" />", b"/>"), True, "an empty detail")


@check("GetQueueUrl", protocols=(QUERY,))
def a_request_without_action_is_refused(world: World) -> None:
    answer = world.target.call_query(_path(world.queue()), [], "GET")
    expect((answer.status, b"<UnknownOperationException" in answer.raw), (404, True), "answer")


def _path(url: str) -> str:
    return "/" + "/".join(url.split("/")[3:])
