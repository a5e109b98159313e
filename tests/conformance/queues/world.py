"""What a check has in its hands: a target, queues of its own, and calls that have to succeed or to be refused."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.conformance.queues.wire import JSON, QUERY, Answer, Json, Target

CORAL = "com.amazon.coral.service#"
SQS = "com.amazonaws.sqs#"
#: An error: its shape in JSON, its code in the Query protocol, its status.
Error = tuple[str, str, int]
INVALID: Error = (CORAL + "InvalidParameterValueException", "InvalidParameterValue", 400)

#: Who says how the service answers, in the order of their weight.
RECORDED = "recordings of the service"
DOCUMENTED = "its documentation"
QUOTED = "texts that its users quote"


class Differs(AssertionError):
    """The target does not answer as the service does."""


class OtherWords(Differs):
    """It does, except for the words of an error."""


@dataclass(frozen=True)
class Check:
    """One question to a target.

    Args:
        name: what it shows.
        operation: the operation that it is about.
        decided_by: who says how the service answers.
        run: asks it; raises Differs.
        protocols: those that it can be asked in.
        seconds: how long it takes at least, where it has to wait.
    """

    name: str
    operation: str
    decided_by: str
    run: Callable[[World], None]
    protocols: tuple[str, ...] = (JSON, QUERY)
    seconds: int = 0


class World:
    """A target with queues that no other check uses.

    Args:
        target: whom it asks.
    """

    _numbers = itertools.count(1)

    def __init__(self, target: Target) -> None:
        self.target = target
        self._stem = uuid.uuid4().hex[:8]
        self._made: list[str] = []

    @property
    def protocol(self) -> str:
        """The protocol that is spoken."""
        return self.target.protocol

    def name(self, suffix: str = "") -> str:
        """A name that no queue has."""
        return f"q-{self._stem}-{next(self._numbers)}{suffix}"

    def queue(self, **attributes: str) -> str:
        """Makes a standard queue; returns its URL."""
        return self._create(self.name(), attributes)

    def fifo(self, **attributes: str) -> str:
        """Makes a FIFO queue; returns its URL."""
        return self._create(self.name(".fifo"), {"FifoQueue": "true"} | attributes)

    def arn(self, url: str) -> str:
        """The ARN of a queue."""
        answer = self.ok("GetQueueAttributes", QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def attributes(self, url: str, *names: str) -> dict[str, str]:
        """Attributes of a queue."""
        answer = self.ok("GetQueueAttributes", QueueUrl=url, AttributeNames=list(names or ["All"]))
        return dict(answer.get("Attributes", {}))

    def ok(self, operation: str, **request: Any) -> Json:
        """Calls, and returns the answer; it has to be a success."""
        answer = self.target.call(operation, request)
        if not answer.is_success:
            raise Differs(f"{operation} {_short(request)}: {answer.status} {answer.code} {answer.text}")
        return answer.body

    def refused(self, operation: str, request: Json, error: Error, text: str | None = None) -> Answer:
        """Calls, and the target has to refuse it in this way; a text of None is not looked at."""
        answer = self.target.call(operation, request)
        same(answer, error, text)
        return answer

    def send(self, url: str, body: str = "hello", **more: Any) -> Json:
        """Sends a message."""
        return self.ok("SendMessage", QueueUrl=url, MessageBody=body, **more)

    def receive(self, url: str, most: int = 10, wait_s: int = 2, **more: Any) -> list[Json]:
        """Receives messages, with every attribute."""
        asked = {"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]} | more
        answer = self.ok("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=most, WaitTimeSeconds=wait_s, **asked)
        return list(answer.get("Messages", []))

    def receive_one(self, url: str, **more: Any) -> Json:
        """Receives a message, which has to be there."""
        found = self.receive(url, 1, **more)
        expect(len(found), 1, "messages received")
        return found[0]

    def delete(self, url: str, message: Json) -> None:
        """Deletes a message that was received."""
        self.ok("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def eventually(self, what: str, found: Callable[[], bool], within_s: float = 10.0) -> None:
        """Waits until something holds."""
        until = time.monotonic() + within_s
        while not found():
            if time.monotonic() > until:
                raise Differs(f"after {within_s} s not yet: {what}")
            time.sleep(0.1)

    def clean(self) -> None:
        """Deletes the queues that were made."""
        for url in self._made:
            self.target.call("DeleteQueue", {"QueueUrl": url})

    def _create(self, name: str, attributes: dict[str, str]) -> str:
        request: Json = {"QueueName": name} | ({"Attributes": attributes} if attributes else {})
        url = str(self.ok("CreateQueue", **request)["QueueUrl"])
        self._made.append(url)
        return url


def same(answer: Answer, error: Error, text: str | None) -> None:
    """Raises where an answer is not the error that it has to be."""
    shape, code, status = error
    if answer.is_success:
        raise Differs(f"was carried out, instead of {code}: {text}")
    expect((answer.status, answer.code), (status, code), answer.text)
    if answer.shape:
        expect(answer.shape, shape, answer.text)
    expect(answer.fault, "Sender", answer.text)
    if text is not None and answer.text != text:
        raise OtherWords(f"{answer.text!r} instead of {text!r}")


def expect(found: Any, wanted: Any, what: str) -> None:
    """Raises where something is not as it has to be."""
    if found != wanted:
        raise Differs(f"{what}: {found!r} instead of {wanted!r}")


def _short(request: Json) -> str:
    text = str(request)
    return text if len(text) < 300 else text[:300] + "…"
