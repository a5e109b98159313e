"""Changes of a table as records of a stream, and records as messages.

Source: Amazon DynamoDB Streams API Reference, "Record" and "StreamRecord"; Amazon EventBridge User Guide, "Amazon
DynamoDB stream as a source for EventBridge Pipes", for the event that is made of one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson
from msgspec import Struct

from tenet.pipes.rules.paths import NothingThere, follow_path, read_path

if TYPE_CHECKING:
    from tenet.pipes.model import Pipe
    from tenet.tables.api import Change, Source

#: Digits of the two parts of a sequence number: the position in the shard's log, and the shard.
_POSITION_DIGITS: Final = 21
_SHARD_DIGITS: Final = 4
_GROUP_DIGITS: Final = 32
#: What JSON may hold as it is and a message may not (SendMessage, MessageBody).
_NOT_IN_MESSAGES: Final = {"\ufffe": "\\ufffe", "\uffff": "\\uffff"}
_IMAGES: Final = "NEW_AND_OLD_IMAGES"
_KEYS: Final = "KEYS_ONLY"


class Outgoing(Struct):
    """A record on its way into a queue.

    Args:
        change: what it tells.
        record: as filters and paths see it.
        body: the message.
        group: MessageGroupId; empty for none.
        deduplication: MessageDeduplicationId; empty for none.
    """

    change: Change
    record: dict[str, Any]
    body: str
    group: str = ""
    deduplication: str = ""


def sequence_number(position: int, shard: int) -> str:
    """Returns the sequence number of a record: 25 digits, which ascend within a shard as texts do."""
    return str(position).zfill(_POSITION_DIGITS) + str(shard).zfill(_SHARD_DIGITS)


def record_of(source: Source, shard: int, change: Change, *, with_images: bool = True) -> dict[str, Any]:
    """Returns the record that tells a change.

    Args:
        source: the table.
        shard: of its log.
        change: what to tell.
        with_images: whether images are told where there are any.
    """
    sequence = sequence_number(change.position, shard)
    images: dict[str, Any] = {}
    has_images = with_images and change.has_images
    if has_images and change.new is not None:
        images["NewImage"] = change.new
    if has_images and change.old is not None:
        images["OldImage"] = change.old
    # By what the change is, so that who reads it twice can see that it is the same.
    event_id = hashlib.blake2b(change.commit_id + sequence.encode(), digest_size=16)
    return {
        "eventID": event_id.hexdigest(),
        "eventName": change.event,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": source.region,
        "dynamodb": {
            "ApproximateCreationDateTime": change.at_ms // 1000,
            "Keys": change.keys,
            **images,
            "SequenceNumber": sequence,
            "SizeBytes": change.item_bytes,
            "StreamViewType": _IMAGES if has_images else _KEYS,
        },
        "eventSourceARN": source.arn,
    }


def outgoing(pipe: Pipe, shard: int, change: Change, *, with_images: bool = True) -> Outgoing:
    """Returns the message for a change; what its parameters are is not known yet (``addressed``)."""
    record = record_of(pipe.source, shard, change, with_images=with_images)
    body = orjson.dumps(record).decode()
    for character, escaped in _NOT_IN_MESSAGES.items():
        if character in body:
            body = body.replace(character, escaped)
    return Outgoing(change, record, body)


def addressed(pipe: Pipe, one: Outgoing) -> Outgoing:
    """Returns a message with its group and its deduplication id.

    Raises:
        NothingThere: a parameter is a path to nothing in this record; the error names it.
    """
    group = _parameter(pipe.group, one.record, "MessageGroupId")
    deduplication = _parameter(pipe.deduplication, one.record, "MessageDeduplicationId")
    if pipe.has_fifo_target:
        group = group or group_of(one.change)
        # With the pipe's id: other pipes into the same queue may come to the same numbers.
        deduplication = deduplication or f"{pipe.id}/{one.record['dynamodb']['SequenceNumber']}"
    return msgspec.structs.replace(one, group=group, deduplication=deduplication)


def group_of(change: Change) -> str:
    """Returns the group of a change where the pipe names none: one for each key, of digits that a group may have."""
    key = orjson.dumps(change.keys, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(key).hexdigest()[:_GROUP_DIGITS]


def _parameter(text: str, record: dict[str, Any], field: str) -> str:
    path = read_path(text, field) if text else None
    if path is None:
        return text
    try:
        return follow_path(path, record)
    except NothingThere:
        raise NothingThere(f"{field} is {text}, and the record has neither text nor number there") from None
