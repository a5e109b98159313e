"""What a message may be that is sent, and what the service says where it is not.

Source: Amazon SQS API Reference, SendMessage and SendMessageBatch; Developer Guide, "Amazon SQS message quotas".
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, Final

from tenet.queues.errors import InvalidMessageContents, InvalidParameterValue, MissingParameter
from tenet.queues.model import NewMessage, Prepared, Queue
from tenet.queues.rules.digests import attributes_digest, digest
from tenet.queues.rules.message_attributes import (
    TRACE_HEADER,
    attributes_bytes,
    has_bad_characters,
    pack_attributes,
    read_attributes,
    read_trace,
)

DELAY_S_MAX: Final = 900
_ID: Final = re.compile(r"[!-~]{1,128}")
_ID_PROBLEM: Final = "{} can only include alphanumeric and punctuation characters. 1 to 128 in length."
_NOT_HERE: Final = "The request include parameter that is not valid for this queue type."
_NO_DEDUPLICATION: Final = (
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
)


def prepare(
    queue: Queue, request: dict[str, Any], *, sender: str, trace: str = "", place: str = "MessageBody"
) -> Prepared:
    """Checks a message and returns it measured.

    Args:
        queue: that it is sent to.
        request: a SendMessage, or an entry of a batch, of the right types.
        sender: the SenderId.
        trace: what the request's own trace header says; the message's own comes first.
        place: what its body is called where it is missing.

    Raises:
        QueuesError: it may not be sent; the first problem in the service's order.
    """
    body = request.get("MessageBody")
    if not body:
        raise MissingParameter.of(place)
    data = body.encode()
    given = request.get("MessageAttributes")
    size = len(data) + attributes_bytes(given) if given else len(data)
    if size > queue.settings.maximum_message_bytes:
        raise InvalidParameterValue(
            "One or more parameters are invalid. Reason: "
            f"Message must be shorter than {queue.settings.maximum_message_bytes} bytes."
        )
    if has_bad_characters(data):
        raise InvalidMessageContents
    attributes, md5_of_attributes = b"", ""
    if given:
        read = read_attributes(given)
        attributes, md5_of_attributes = pack_attributes(read), attributes_digest(read)
    md5_of_system_attributes = ""
    system = request.get("MessageSystemAttributes")
    if system:
        trace = read_trace(system)
        md5_of_system_attributes = attributes_digest({TRACE_HEADER: {"StringValue": trace, "DataType": "String"}})
    group, deduplication_id = _check_ids(queue, request, data)
    message = NewMessage(
        body,
        attributes,
        trace,
        _check_delay(queue, request.get("DelaySeconds")),
        group,
        deduplication_id,
        sender,
        md5_of_attributes,
    )
    return Prepared(message, size, digest(data), md5_of_system_attributes)


def measured(request: dict[str, Any]) -> int:
    """Returns how large a message is, body and message attributes together; it need not be right otherwise."""
    given = request.get("MessageAttributes")
    size = len((request.get("MessageBody") or "").encode())
    return size + attributes_bytes(given) if given else size


def _check_delay(queue: Queue, delay_s: int | None) -> int | None:
    if delay_s is None:
        return None
    if not 0 <= delay_s <= DELAY_S_MAX:
        raise InvalidParameterValue.of("DelaySeconds", delay_s, f"DelaySeconds must be >= 0 and <= {DELAY_S_MAX}.")
    if not queue.is_fifo:
        return delay_s
    if delay_s:
        raise InvalidParameterValue.of("DelaySeconds", delay_s, _NOT_HERE)
    return None


def _check_ids(queue: Queue, request: dict[str, Any], body: bytes) -> tuple[str, str]:
    """Returns message group and deduplication id as the queue's type has them."""
    group, deduplication_id = request.get("MessageGroupId"), request.get("MessageDeduplicationId")
    if group is not None:
        check_id("MessageGroupId", group)
    if deduplication_id is not None:
        check_id("MessageDeduplicationId", deduplication_id)
    if not queue.is_fifo:
        if deduplication_id is not None:
            raise InvalidParameterValue.of("MessageDeduplicationId", deduplication_id, _NOT_HERE)
        return group or "", ""
    if group is None:
        raise MissingParameter.of("MessageGroupId")
    if deduplication_id is None:
        if not queue.settings.content_based_deduplication:
            raise InvalidParameterValue(_NO_DEDUPLICATION)
        deduplication_id = sha256(body).hexdigest()
    return group, deduplication_id


def check_id(name: str, value: str) -> None:
    """Refuses what is no id of a group, of a message or of a receive attempt.

    Args:
        name: of the parameter.
        value: that it has.

    Raises:
        InvalidParameterValue: it is none.
    """
    if not _ID.fullmatch(value):
        raise InvalidParameterValue.of(name, value, _ID_PROBLEM.format(name))
