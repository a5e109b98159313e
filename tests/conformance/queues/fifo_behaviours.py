"""What the service does on FIFO queues, with dead letters, with tasks that move them, and with noisy tenants."""

from __future__ import annotations

import base64
import hashlib
import json

from tests.conformance.queues.behaviours import BEHAVIOURS, check
from tests.conformance.queues.wire import Json
from tests.conformance.queues.world import DOCUMENTED, INVALID, QUOTED, World, expect

#: Those of the other module, and these, which are registered as this one is imported.
__all__ = ["BEHAVIOURS"]

# ---- FIFO ------------------------------------------------------------------------------------------------------------


def _put(world: World, url: str, body: str, group: str = "g", token: str = "", **more: str) -> Json:
    return world.send(url, body, MessageGroupId=group, MessageDeduplicationId=token or body, **more)


def _bodies(messages: list[Json]) -> list[str]:
    return [message["Body"] for message in messages]


@check("SendMessage")
def a_fifo_message_has_its_place(world: World) -> None:
    url = world.fifo()
    first, second = (_put(world, url, body) for body in ("a1", "a2"))
    for sent in (first, second):
        expect((len(sent["SequenceNumber"]), sent["SequenceNumber"].isdigit()), (20, True), "20 digits")
    expect(first["SequenceNumber"] < second["SequenceNumber"], True, "numbers that rise")
    message = world.receive_one(url)
    told = message["Attributes"]
    expect(told["SequenceNumber"], first["SequenceNumber"], "sequence number")
    expect((told["MessageGroupId"], told["MessageDeduplicationId"]), ("g", "a1"), "ids")


@check("ReceiveMessage")
def a_group_waits_while_one_of_it_is_in_flight(world: World) -> None:
    url = world.fifo()
    for body in ("a1", "a2"):
        _put(world, url, body, "a")
    _put(world, url, "b1", "b")
    first = world.receive_one(url)
    expect(first["Body"], "a1", "message")
    other = world.receive(url)
    expect(_bodies(other), ["b1"], "messages of other groups")
    expect(world.receive(url, wait_s=0), [], "messages")
    world.delete(url, first)
    expect(_bodies(world.receive(url)), ["a2"], "messages")


@check("ReceiveMessage", DOCUMENTED)
def a_receive_takes_several_of_a_group_in_order(world: World) -> None:
    url = world.fifo()
    entries = [
        {"Id": str(n), "MessageBody": f"m{n}", "MessageGroupId": "g", "MessageDeduplicationId": f"d{n}"}
        for n in range(8)
    ]
    answer = world.ok("SendMessageBatch", QueueUrl=url, Entries=entries)
    numbers = [one["SequenceNumber"] for one in answer["Successful"]]
    expect(numbers, sorted(numbers), "sequence numbers")
    expect(_bodies(world.receive(url, 5)), [f"m{n}" for n in range(5)], "messages")
    expect(world.receive(url, wait_s=0), [], "messages")


@check("ChangeMessageVisibility", DOCUMENTED)
def what_was_not_done_comes_first_again(world: World) -> None:
    url = world.fifo(VisibilityTimeout="60")
    for body in ("a1", "a2", "a3"):
        _put(world, url, body)
    taken = world.receive(url, 2)
    expect(_bodies(taken), ["a1", "a2"], "messages")
    for message in reversed(taken):
        world.ok("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    expect(_bodies(world.receive(url)), ["a1", "a2", "a3"], "messages")


@check("SendMessage")
def a_repeated_send_is_taken_once(world: World) -> None:
    url = world.fifo()
    first = _put(world, url, "first", token="same")
    again = _put(world, url, "second", token="same")
    for member in ("MessageId", "SequenceNumber"):
        expect(again[member], first[member], member)
    message = world.receive_one(url)
    expect(message["Body"], "first", "message")
    world.delete(url, message)
    _put(world, url, "third", token="same")
    expect(world.receive(url, wait_s=1), [], "messages after the first one was deleted")


@check("SendMessage")
def deduplication_is_over_all_groups(world: World) -> None:
    url = world.fifo()
    _put(world, url, "first", "a", "same")
    _put(world, url, "second", "b", "same")
    expect(_bodies(world.receive(url)), ["first"], "messages")


@check("SendMessage", DOCUMENTED)
def deduplication_may_be_in_each_group(world: World) -> None:
    url = world.fifo(DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    for group in ("a", "b", "a"):
        _put(world, url, f"of {group}", group, "same")
    expect(sorted(_bodies([*world.receive(url), *world.receive(url, wait_s=1)])), ["of a", "of b"], "messages")


@check("SendMessage")
def deduplication_may_be_by_content(world: World) -> None:
    url = world.fifo(ContentBasedDeduplication="true")
    for _time in range(2):
        world.send(url, "same", MessageGroupId="g")
    message = world.receive_one(url)
    token = hashlib.sha256(b"same").hexdigest()
    expect(message["Attributes"]["MessageDeduplicationId"], token, "deduplication id")
    world.delete(url, message)
    expect(world.receive(url, wait_s=0), [], "messages")
    world.send(url, "same", MessageGroupId="g", MessageDeduplicationId="another")
    world.receive_one(url)


@check("DeleteMessage", seconds=2)
def an_expired_handle_deletes_nothing(world: World) -> None:
    url = world.fifo()
    _put(world, url, "a1")
    message = world.receive_one(url, VisibilityTimeout=1)
    request = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
    world.eventually("it is visible", lambda: world.attributes(url, "ApproximateNumberOfMessages").popitem()[1] == "1")
    text = (
        f"Value {message['ReceiptHandle']} for parameter ReceiptHandle is invalid. Reason: The receipt handle has "
        "expired."
    )
    world.refused("DeleteMessage", request, INVALID, text)
    expect(world.receive_one(url)["MessageId"], message["MessageId"], "message")


@check("ReceiveMessage", DOCUMENTED)
def the_same_attempt_gets_the_same_messages(world: World) -> None:
    url = world.fifo()
    for body in ("a1", "a2"):
        _put(world, url, body)
    first = world.receive(url, 2, ReceiveRequestAttemptId="attempt")
    again = world.receive(url, 2, ReceiveRequestAttemptId="attempt")
    expect(_bodies(again), _bodies(first), "messages")
    for one, other in zip(first, again, strict=True):
        expect(other["ReceiptHandle"], one["ReceiptHandle"], "handle")
    _put(world, url, "b1", "b")
    (changed,) = world.receive(url, 2, ReceiveRequestAttemptId="other")
    world.ok("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=changed["ReceiptHandle"], VisibilityTimeout=1_000)
    world.delete(url, first[0])
    for attempt in ("attempt", "other"):
        text = (
            f"Value {attempt} for parameter ReceiveRequestAttemptId is invalid. Reason: The receiveRequestAttemptId is "
            "not valid anymore since the receive call is not retryable."
        )
        world.refused("ReceiveMessage", {"QueueUrl": url, "ReceiveRequestAttemptId": attempt}, INVALID, text)


@check("SendMessage", DOCUMENTED)
def a_fifo_queue_delays_all_of_its_messages(world: World) -> None:
    url = world.fifo(DelaySeconds="1")
    _put(world, url, "a1")
    expect(world.receive(url, wait_s=0), [], "messages")
    expect(_bodies(world.receive(url, wait_s=5)), ["a1"], "messages")


# ---- dead letters ----------------------------------------------------------------------------------------------------


def _policy(world: World, target: str, count: int) -> str:
    return json.dumps({"deadLetterTargetArn": world.arn(target), "maxReceiveCount": count})


@check("ReceiveMessage")
def a_message_that_is_received_too_often_is_set_aside(world: World) -> None:
    letters = world.queue()
    url = world.queue(RedrivePolicy=_policy(world, letters, 1))
    color = {"color": {"DataType": "String", "StringValue": "blue"}}
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "trace-1"}}
    sent = world.send(url, "poison", MessageAttributes=color, MessageSystemAttributes=trace)
    first = world.receive_one(url, VisibilityTimeout=0)
    expect(world.receive(url, wait_s=1), [], "messages")
    message = world.receive_one(letters, wait_s=5)
    expect((message["MessageId"], message["Body"]), (sent["MessageId"], "poison"), "message")
    expect(message["MessageAttributes"], color, "attributes")
    told = message["Attributes"]
    expect(told["DeadLetterQueueSourceArn"], world.arn(url), "source")
    expect(told["AWSTraceHeader"], "trace-1", "trace")
    expect(told["SentTimestamp"], first["Attributes"]["SentTimestamp"], "time of sending")
    expect(told["ApproximateReceiveCount"], "2", "receives")


@check("ReceiveMessage", DOCUMENTED)
def dead_letters_of_a_group_make_way(world: World) -> None:
    letters = world.fifo()
    url = world.fifo(RedrivePolicy=_policy(world, letters, 1))
    for body in ("a1", "a2"):
        _put(world, url, body)
    world.receive_one(url, VisibilityTimeout=0)
    world.eventually("the next one comes", lambda: _bodies(world.receive(url, 1, wait_s=1)) == ["a2"])
    expect(_bodies(world.receive(letters, wait_s=5)), ["a1"], "dead letters")


@check("GetQueueAttributes")
def a_policy_of_dead_letters_is_told(world: World) -> None:
    letters = world.queue()
    policy = json.dumps({"maxReceiveCount": "5", "deadLetterTargetArn": world.arn(letters)})
    url = world.queue(RedrivePolicy=policy)
    told = json.loads(world.attributes(url, "RedrivePolicy")["RedrivePolicy"])
    expect(told, {"deadLetterTargetArn": world.arn(letters), "maxReceiveCount": 5}, "policy")
    expect(world.ok("ListDeadLetterSourceQueues", QueueUrl=letters), {"queueUrls": [url]}, "sources")
    world.ok("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": ""})
    expect(world.attributes(url, "RedrivePolicy"), {}, "policy")
    found = world.ok("ListDeadLetterSourceQueues", QueueUrl=letters)
    expect(found.get("queueUrls", []), [], "sources")


@check("SetQueueAttributes")
def only_queues_that_are_allowed_leave_dead_letters(world: World) -> None:
    allowed, other = world.queue(), world.queue()
    policy = json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [world.arn(allowed)]})
    letters = world.queue(RedriveAllowPolicy=policy)
    expect(
        json.loads(world.attributes(letters, "RedriveAllowPolicy")["RedriveAllowPolicy"]), json.loads(policy), "policy"
    )
    redrive = {"RedrivePolicy": _policy(world, letters, 3)}
    world.ok("SetQueueAttributes", QueueUrl=allowed, Attributes=redrive)
    request = {"QueueUrl": other, "Attributes": redrive}
    world.refused("SetQueueAttributes", request, INVALID)


# ---- tasks -----------------------------------------------------------------------------------------------------------


def _with_dead_letters(world: World, count: int) -> tuple[str, str]:
    """Makes a queue and one of its dead letters, with messages that died; returns both URLs."""
    letters = world.queue()
    url = world.queue(RedrivePolicy=_policy(world, letters, 1))
    for number in range(count):
        world.send(url, f"message {number}")
    taken = 0
    while taken < count:
        taken += len(world.receive(url, VisibilityTimeout=0))
        world.receive(url, wait_s=0)
    world.eventually("all of them died", lambda: _count(world, letters) == count)
    return url, letters


def _count(world: World, url: str) -> int:
    return int(world.attributes(url, "ApproximateNumberOfMessages")["ApproximateNumberOfMessages"])


def _task(world: World, arn: str) -> Json:
    return dict(world.ok("ListMessageMoveTasks", SourceArn=arn)["Results"][0])


@check("StartMessageMoveTask", seconds=2)
def dead_letters_go_back_where_they_came_from(world: World) -> None:
    url, letters = _with_dead_letters(world, 2)
    arn = world.arn(letters)
    handle = world.ok("StartMessageMoveTask", SourceArn=arn)["TaskHandle"]
    expect(json.loads(base64.b64decode(handle))["sourceArn"], arn, "source in the handle")
    world.eventually("they are moved", lambda: _task(world, arn)["Status"] == "COMPLETED", 20)
    task = _task(world, arn)
    moved = (task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"])
    expect(moved, (2, 2), "numbers")
    members = {"Status", "SourceArn", "StartedTimestamp", *_MOVED}
    expect(set(task), members, "members")
    expect(sorted(_bodies(world.receive(url))), ["message 0", "message 1"], "messages")
    expect(_count(world, letters), 0, "dead letters")


_MOVED = ("ApproximateNumberOfMessagesMoved", "ApproximateNumberOfMessagesToMove")


@check("StartMessageMoveTask", seconds=2)
def dead_letters_go_where_they_are_sent(world: World) -> None:
    _, letters = _with_dead_letters(world, 2)
    other = world.queue()
    arn = world.arn(letters)
    world.ok("StartMessageMoveTask", SourceArn=arn, DestinationArn=world.arn(other), MaxNumberOfMessagesPerSecond=500)
    world.eventually("they are moved", lambda: _count(world, other) == 2, 20)
    world.eventually("it ends", lambda: _task(world, arn)["Status"] == "COMPLETED", 20)
    task = _task(world, arn)
    told = (task["DestinationArn"], task["MaxNumberOfMessagesPerSecond"])
    expect(told, (world.arn(other), 500), "task")


@check("CancelMessageMoveTask", seconds=5)
def a_task_is_cancelled(world: World) -> None:
    _, letters = _with_dead_letters(world, 6)
    arn, other = world.arn(letters), world.queue()
    request = {"SourceArn": arn, "DestinationArn": world.arn(other), "MaxNumberOfMessagesPerSecond": 1}
    handle = world.ok("StartMessageMoveTask", **request)["TaskHandle"]
    text = "There is already a task running. Only one active task is allowed for a source queue arn at a given time."
    world.refused("StartMessageMoveTask", request, INVALID, text)
    task = _task(world, arn)
    expect((task["Status"], task["TaskHandle"]), ("RUNNING", handle), "task")
    moved = world.ok("CancelMessageMoveTask", TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
    expect(moved < 6, True, "not all of them moved")
    world.eventually("it is cancelled", lambda: _task(world, arn)["Status"] == "CANCELLED")
    expect("TaskHandle" in _task(world, arn), False, "a handle")
    expect(_count(world, letters) + _count(world, other), 6, "messages")


@check("StartMessageMoveTask", QUOTED, seconds=2)
def a_task_tells_why_it_failed(world: World) -> None:
    letters = world.queue()
    world.queue(RedrivePolicy=_policy(world, letters, 1))
    world.send(letters, "was never anywhere else")
    arn = world.arn(letters)
    world.ok("StartMessageMoveTask", SourceArn=arn)
    world.eventually("it fails", lambda: _task(world, arn)["Status"] == "FAILED", 20)
    expect(_task(world, arn)["FailureReason"], "CouldNotDetermineMessageSource", "reason")
    expect(_count(world, letters), 1, "dead letters")


# ---- fair queues -----------------------------------------------------------------------------------------------------


@check("ReceiveMessage", DOCUMENTED)
def a_noisy_tenant_does_not_hold_up_a_quiet_one(world: World) -> None:
    url = world.queue()
    for batch in range(40):
        entries = [{"Id": str(n), "MessageBody": f"noise {batch}", "MessageGroupId": "noisy"} for n in range(10)]
        world.ok("SendMessageBatch", QueueUrl=url, Entries=entries)
    for _receive in range(8):
        world.receive(url)  # stay in flight: the tenant has more than 30, and all of them
    world.send(url, "quiet", MessageGroupId="quiet")
    seen = [body for _receive in range(3) for body in _bodies(world.receive(url))]
    expect("quiet" in seen, True, f"among the next {len(seen)} messages is the quiet one")
