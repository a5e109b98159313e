"""What the service does with the largest messages, with odd characters, and with much of either."""

from __future__ import annotations

import json

from tests.conformance.queues.behaviours import check
from tests.conformance.queues.fifo_behaviours import BEHAVIOURS
from tests.conformance.queues.wire import JSON
from tests.conformance.queues.world import DOCUMENTED, World, expect

#: Those of the other modules, and these, which are registered as this one is imported.
__all__ = ["BEHAVIOURS"]

MESSAGE_MAX = 1_048_576
_LARGE = 12
#: Characters that JSON escapes, and one that takes three bytes in UTF-8 and a form.
_LONG_IN_JSON = ('"', "\\", "\n", "\t", "€")


@check("SendMessage", DOCUMENTED)
def a_mebibyte_of_any_character_is_taken(world: World) -> None:
    url = world.queue()
    for character in _LONG_IN_JSON:
        body = character * (MESSAGE_MAX // len(character.encode()))
        world.send(url, body)
        message = world.receive_one(url)
        expect(message["Body"] == body, True, f"the body of {character!r}")
        world.ok("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@check("SendMessage", DOCUMENTED)
def an_attribute_of_any_character_takes_a_mebibyte(world: World) -> None:
    url = world.queue()
    for character in _LONG_IN_JSON:
        text = character * ((MESSAGE_MAX - len("bkString")) // len(character.encode()))
        world.send(url, "b", MessageAttributes={"k": {"DataType": "String", "StringValue": text}})
        message = world.receive_one(url)
        expect(message["MessageAttributes"]["k"]["StringValue"] == text, True, f"the attribute of {character!r}")
        world.ok("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@check("DeleteMessageBatch", DOCUMENTED)
def handles_with_odd_characters_come_back_readable(world: World) -> None:
    url = world.queue()
    handles = ["<&>\"'", "]]>", "\r\n", "😀"]
    entries = [{"Id": f"e{at}", "ReceiptHandle": handle} for at, handle in enumerate(handles)]
    answer = world.ok("DeleteMessageBatch", QueueUrl=url, Entries=entries)
    told = [(one["Id"], one["Code"]) for one in answer["Failed"]]
    expect(told, [(f"e{at}", "ReceiptHandleIsInvalid") for at in range(len(handles))], "failures")


@check("SendMessage", DOCUMENTED)
def white_space_of_a_body_is_kept(world: World) -> None:
    url = world.queue()
    bodies = [" \t both \t ", "\n", "a\r\nb\rc\n", "  ", "\t<![CDATA[x]]>&amp;"]
    for body in bodies:
        world.send(url, body)
        message = world.receive_one(url)
        expect(message["Body"], body, "body")
        world.ok("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@check("StartMessageMoveTask", DOCUMENTED, protocols=(JSON,), seconds=2)
def large_dead_letters_are_moved(world: World) -> None:
    dead, other = world.queue(), world.queue()
    world.queue(RedrivePolicy=json.dumps({"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 3}))
    for number in range(_LARGE):
        world.send(dead, str(number % 10) * 1_000_000)
    world.ok("StartMessageMoveTask", SourceArn=world.arn(dead), DestinationArn=world.arn(other))
    seen: set[str] = set()

    def have_come() -> bool:
        seen.update(message["MessageId"] for message in world.receive(other, VisibilityTimeout=60))
        return len(seen) >= _LARGE

    world.eventually("they are moved", have_come, 30)
    expect(len(seen), _LARGE, "messages")
    expect(world.receive(dead, wait_s=0), [], "left")


@check("ReceiveMessage", DOCUMENTED, protocols=(JSON,))
def a_group_of_large_messages_holds_up_no_other(world: World) -> None:
    url = world.fifo(VisibilityTimeout="60")
    body = "x" * 1_000_000
    for number in range(45):
        world.send(url, body, MessageGroupId="large", MessageDeduplicationId=str(number))
    world.send(url, "small", MessageGroupId="small", MessageDeduplicationId="s")
    one, other = (world.receive(url, 1, wait_s=10) for _ in range(2))
    groups = sorted(message["Attributes"]["MessageGroupId"] for message in one + other)
    expect(groups, ["large", "small"], "groups")
