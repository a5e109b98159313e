"""ReceiveMessage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.queues.errors import InvalidParameterValue
from tenet.queues.ops.access import queue_of
from tenet.queues.ops.send_message import sequence_text
from tenet.queues.rules.digests import attributes_digest
from tenet.queues.rules.message_attributes import is_json, selected, unpack_attributes
from tenet.queues.rules.messages import check_id
from tenet.queues.rules.queue_attributes import unknown_attribute

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context
    from tenet.queues.model import Received

MESSAGES_MAX: Final = 10
WAIT_S_MAX: Final = 20
VISIBILITY_S_MAX: Final = 43_200
_ALL: Final = "All"

#: How the system attributes of a message read; "" where it does not have one.
_SYSTEM: Final[Mapping[str, Callable[[Received], str]]] = {
    "SenderId": lambda message: message.sender,
    "SentTimestamp": lambda message: str(message.sent_ms),
    "ApproximateReceiveCount": lambda message: str(message.receives),
    "ApproximateFirstReceiveTimestamp": lambda message: str(message.first_received_ms),
    "SequenceNumber": lambda message: sequence_text(message.sequence_number) if message.sequence_number else "",
    "MessageDeduplicationId": lambda message: message.deduplication_id,
    "MessageGroupId": lambda message: message.group,
    "AWSTraceHeader": lambda message: message.trace_header,
    "DeadLetterQueueSourceArn": lambda message: message.dead_letter_source,
}


async def receive_message(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Receives up to ten messages, and waits for the first one as long as it is told to."""
    queue = await queue_of(context, caller, request, "ReceiveMessage")
    most = _within(
        request, "MaxNumberOfMessages", 1, MESSAGES_MAX, f"Must be between 1 and {MESSAGES_MAX}, if provided."
    )
    asked_s = _within(request, "WaitTimeSeconds", 0, WAIT_S_MAX, f"Must be >= 0 and <= {WAIT_S_MAX}, if provided.")
    visibility_s = _within(
        request, "VisibilityTimeout", 0, VISIBILITY_S_MAX, f"Must be >= 0 and <= {VISIBILITY_S_MAX}, if provided."
    )
    system = _system_names(request)
    names: list[str] = request.get("MessageAttributeNames") or []
    attempt_id = request.get("ReceiveRequestAttemptId", "")
    if attempt_id:
        check_id("ReceiveRequestAttemptId", attempt_id)
    wait_s = float(queue.settings.wait_s if asked_s is None else asked_s)
    if wait_s:
        wait_s = 0.0 if context.is_ending else context.bounded_s(wait_s, caller.deadline)
    patience = caller.patience if wait_s else None
    if patience is not None:
        patience.begin_wait()
    try:
        received = await context.owners.of(queue).receive(
            most=1 if most is None else most,
            visibility_s=visibility_s,
            wait_s=wait_s,
            attempt_id=attempt_id if queue.is_fifo else "",
            deadline=caller.deadline,
        )
    finally:
        if patience is not None:
            patience.end_wait()
    if not received:
        return {}
    return {"Messages": [_told(message, system, names, takes_json=caller.takes_json) for message in received]}


def _within(request: dict[str, Any], name: str, least: int, most: int, reason: str) -> int | None:
    value: int | None = request.get(name)
    if value is not None and not least <= value <= most:
        raise InvalidParameterValue.of(name, value, reason)
    return value


def _system_names(request: dict[str, Any]) -> list[str]:
    """Returns the system attributes that a receive asks for, under their former name or the present one."""
    names: list[str] = [*(request.get("AttributeNames") or ()), *(request.get("MessageSystemAttributeNames") or ())]
    if not names:
        return names
    for name in names:
        if name != _ALL and name not in _SYSTEM:
            raise unknown_attribute(name)
    return list(_SYSTEM) if _ALL in names else names


def _told(message: Received, system: list[str], names: list[str], *, takes_json: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": message.md5_of_body,
        "Body": message.body,
    }
    if system:
        attributes = {name: text for name in system if (text := _SYSTEM[name](message))}
        if attributes:
            told["Attributes"] = attributes
    if names and message.attributes:
        _tell_attributes(told, message, names, takes_json=takes_json)
    return told


def _tell_attributes(told: dict[str, Any], message: Received, names: list[str], *, takes_json: bool) -> None:
    """Adds the message attributes that are asked for, with the digest of just these."""
    if takes_json and (_ALL in names or ".*" in names) and is_json(message.attributes):
        told["MD5OfMessageAttributes"] = message.md5_of_attributes
        told["MessageAttributes"] = orjson.Fragment(message.attributes)
        return
    attributes = selected(unpack_attributes(message.attributes), names)
    if attributes:
        told["MD5OfMessageAttributes"] = attributes_digest(attributes)
        told["MessageAttributes"] = attributes
