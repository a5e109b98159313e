"""Tasks that move messages out of a dead-letter queue: what they are asked to do, and what is told of them.

Source: Amazon SQS API Reference, StartMessageMoveTask, CancelMessageMoveTask and ListMessageMoveTasks.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Any, Final

import msgspec
import orjson
from msgspec import Struct

from tenet.queues.errors import InvalidParameterValue, MissingParameter
from tenet.queues.rules.addresses import read_arn
from tenet.store.formats import decode_marked

RATE_MAX: Final = 500
RESULTS_MAX: Final = 10
#: Tasks that are kept of a queue, the latest.
KEPT_MAX: Final = 10
FORMAT: Final = b"\x01"

RUNNING: Final = "RUNNING"
CANCELLING: Final = "CANCELLING"
COMPLETED: Final = "COMPLETED"
CANCELLED: Final = "CANCELLED"
FAILED: Final = "FAILED"

_FORM: Final = (
    "You must use this format to specify the {}: arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
)


class Task(Struct, frozen=True):
    """A task as it is stored.

    Args:
        id: a UUID.
        source: ARN of the queue that messages are taken from.
        destination: ARN of the queue that they go to; empty: each to the queue that it came from.
        rate: the most messages a second; 0: as fast as it goes.
        started_ms: milliseconds since 1970-01-01 UTC.
        status: ``RUNNING``, ``CANCELLING``, ``COMPLETED``, ``CANCELLED`` or ``FAILED``.
        moved: how many messages have been moved.
        to_move: how many there were when it was started.
        failure: why it failed.
    """

    id: str
    source: str
    destination: str
    rate: int
    started_ms: int
    status: str = RUNNING
    moved: int = 0
    to_move: int = 0
    failure: str = ""


_decoder = msgspec.json.Decoder(Task)


def encode_task(task: Task) -> bytes:
    """Returns the stored form of a task."""
    return FORMAT + msgspec.json.encode(task)


def decode_task(value: bytes) -> Task:
    """Returns a task that was stored.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    return decode_marked(value, _decoder, "a message movement task", mark=FORMAT)


def check_arn(name: str, arn: str | None) -> tuple[str, str]:
    """Returns account and name of the queue that a parameter names.

    Raises:
        MissingParameter: it is not there.
        InvalidParameterValue: it is no ARN of a queue.
    """
    if not arn:
        raise MissingParameter.of(name)
    found = read_arn(arn)
    if found is None:
        raise InvalidParameterValue(_FORM.format(name))
    return found[1], found[2]


def check_rate(rate: int | None) -> int:
    """Returns how many messages a second are moved at the most; 0: as many as it goes.

    Raises:
        InvalidParameterValue: it is not within 1 and ``RATE_MAX``.
    """
    if rate is not None and not 1 <= rate <= RATE_MAX:
        raise InvalidParameterValue(
            "Value for parameter MaxNumberOfMessagesPerSecond is invalid. "
            f"Reason: You must enter a number that's between 1 and {RATE_MAX}."
        )
    return rate or 0


def check_results(most: int | None) -> int:
    """Returns how many tasks are listed.

    Raises:
        InvalidParameterValue: it is not within 1 and ``RESULTS_MAX``.
    """
    if most is not None and not 1 <= most <= RESULTS_MAX:
        raise InvalidParameterValue(
            "Value for parameter MaxResults is invalid. "
            f"Reason: You must enter a number that's between 1 and {RESULTS_MAX}."
        )
    return most or 1


def handle_of(task: Task) -> str:
    """Returns the handle by which a task is cancelled."""
    return b64encode(orjson.dumps({"taskId": task.id, "sourceArn": task.source})).decode("ascii")


def read_handle(handle: str | None) -> tuple[str, str, str]:
    """Returns the id of a task, and account and name of its source.

    Raises:
        MissingParameter: there is no handle.
        InvalidParameterValue: it is none.
    """
    if not handle:
        raise MissingParameter.of("TaskHandle")
    try:
        found = orjson.loads(b64decode(handle.encode(), validate=True))
        address = read_arn(found["sourceArn"])
        task_id = found["taskId"]
    except (Base64Error, ValueError, KeyError, TypeError):
        address, task_id = None, None
    if address is None or not isinstance(task_id, str):
        raise InvalidParameterValue("Value for parameter TaskHandle is invalid.")
    return task_id, address[1], address[2]


def told_task(task: Task) -> dict[str, Any]:
    """Returns what is told of a task."""
    told: dict[str, Any] = {"Status": task.status, "SourceArn": task.source}
    if task.status == RUNNING:
        told["TaskHandle"] = handle_of(task)
    if task.destination:
        told["DestinationArn"] = task.destination
    if task.rate:
        told["MaxNumberOfMessagesPerSecond"] = task.rate
    told["ApproximateNumberOfMessagesMoved"] = task.moved
    told["ApproximateNumberOfMessagesToMove"] = task.to_move
    if task.failure:
        told["FailureReason"] = task.failure
    told["StartedTimestamp"] = task.started_ms
    return told
