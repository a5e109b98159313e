"""What is stored of a queue, as bytes: heads, segments, receives, deduplication ids.

Every value begins with a byte of format; MessagePack follows. Structs are arrays, to whose ends fields may be added.
"""

from __future__ import annotations

import zlib
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from tenet.store.errors import StoreCorrupt
from tenet.store.formats import refuse_later

T = TypeVar("T")

FORMAT: Final = b"\x01"
#: What follows is compressed (RFC 1950).
COMPRESSED: Final = b"\x02"
#: A value that is longer than this is compressed: attributes as JSON may be twice as long as they are, and no value of
#: the store is longer than 2 MiB. What makes them so long, escapes of single characters, becomes short again by it.
_PLAIN_MAX: Final = 1_900_000
_INFLATED_MAX: Final = 64 * 1024 * 1024

#: A segment has at most so many messages, and so many characters unless it is one message.
SEGMENT_MESSAGES_MAX: Final = 256
SEGMENT_CHARACTERS_MAX: Final = 256 * 1024
#: What a message counts beside its body and its attributes, in memory and in a segment.
MESSAGE_OVERHEAD: Final = 200


class Head(Struct, array_like=True):
    """What is true of a queue as a whole.

    Args:
        epoch: counts the owners that it has had.
        next: the sequence number of the next message.
        first: messages below this one are gone.
        live: messages that are not gone.
        sent: messages sent so far.
        received: messages received so far, about.
        deleted: messages deleted so far.
        purged_ms: when it was purged last, milliseconds since 1970-01-01 UTC; 0 for never.
        receives_next: the number of the next record of receives.
        receives_first: there is none below this number that is needed.
        ids_first: the same of records of deduplication ids.
    """

    epoch: int = 0
    next: int = 1
    first: int = 1
    live: int = 0
    sent: int = 0
    received: int = 0
    deleted: int = 0
    purged_ms: int = 0
    receives_next: int = 1
    receives_first: int = 1
    ids_first: int = 1


class Message(Struct, array_like=True, gc=False):
    """A message as it is stored. Empty strings stand for what it does not have.

    Args:
        sequence: its number within the queue, from 1.
        sent_ms: when it was sent, milliseconds since 1970-01-01 UTC; of a dead letter, to its first queue.
        visible_ms: when it becomes visible for the first time; 0: at once.
        body: as it was sent.
        attributes: its message attributes as JSON.
        md5_of_attributes: 32 hexadecimal digits.
        trace_header: the system attribute AWSTraceHeader.
        sender: the SenderId.
        group: the message group.
        deduplication_id: in FIFO queues.
        source: the ARN of the queue that it came from as a dead letter.
        id: its id, where it does not follow from the sequence number.
        receives: of a dead letter, how often it had been received in its first queue.
    """

    sequence: int
    sent_ms: int
    visible_ms: int
    body: str
    attributes: bytes = b""
    md5_of_attributes: str = ""
    trace_header: str = ""
    sender: str = ""
    group: str = ""
    deduplication_id: str = ""
    source: str = ""
    id: str = ""
    receives: int = 0


class Receive(Struct, array_like=True, gc=False):
    """That a message was received, or its visibility changed.

    Args:
        sequence: which message.
        receives: how often it has been received so far.
        first_ms: when that was for the first time, milliseconds since 1970-01-01 UTC.
        received_ms: when that was for the last time.
        visible_ms: when it becomes visible again.
    """

    sequence: int
    receives: int
    first_ms: int
    received_ms: int
    visible_ms: int


class Attempt(Struct, array_like=True, gc=False):
    """A receive that may be repeated by its ReceiveRequestAttemptId.

    Args:
        id: the ReceiveRequestAttemptId.
        at_ms: when it was carried out.
        sequences: which messages it returned.
        visible_ms: when they become visible again, unless somebody changes that; 0: an earlier version wrote it.
    """

    id: str
    at_ms: int
    sequences: list[int]
    visible_ms: int = 0


class Receives(Struct, array_like=True):
    """Receives that were written together."""

    receives: list[Receive]
    attempts: list[Attempt] = []


class Deduplicated(Struct, array_like=True):
    """Deduplication ids that were taken up together.

    Args:
        at_ms: when, milliseconds since 1970-01-01 UTC.
        keys: what stands for the ids.
        sequences: of the messages that were sent with them.
    """

    at_ms: int
    keys: list[bytes]
    sequences: list[int]


_encode = msgspec.msgpack.Encoder().encode
_decode_head: Final = msgspec.msgpack.Decoder(Head).decode
_decode_segment: Final = msgspec.msgpack.Decoder(list[Message]).decode
_decode_receives: Final = msgspec.msgpack.Decoder(Receives).decode
_decode_deduplicated: Final = msgspec.msgpack.Decoder(Deduplicated).decode


def encode(stored: Head | Receives | Deduplicated | list[Message]) -> bytes:
    """Returns the stored form of a head, of receives, of deduplication ids or of a segment's messages."""
    value = _encode(stored)
    return FORMAT + value if len(value) <= _PLAIN_MAX else COMPRESSED + zlib.compress(value, 1)


def _body(value: bytes) -> memoryview | bytes:
    refuse_later("a record of a queue", value[0] if value else 0, COMPRESSED[0])
    if value[:1] == COMPRESSED:
        try:
            return zlib.decompressobj().decompress(memoryview(value)[1:], _INFLATED_MAX)
        except zlib.error as error:
            raise StoreCorrupt(f"a record of a queue cannot be decompressed: {error}") from error
    if value[:1] != FORMAT:
        raise StoreCorrupt(f"a record of a queue has the unknown format {value[:1]!r}")
    return memoryview(value)[1:]


def decode_head(value: bytes) -> Head:
    """Returns the head that was stored.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    try:
        return _decode_head(_body(value))
    except msgspec.MsgspecError as error:
        raise _unreadable("the head of a queue", error) from error


def decode_segment(value: bytes) -> list[Message]:
    """Returns the messages of a segment; raises as `decode_head` does."""
    try:
        return _decode_segment(_body(value))
    except msgspec.MsgspecError as error:
        raise _unreadable("a segment of a queue", error) from error


def decode_receives(value: bytes) -> Receives:
    """Returns receives that were stored; raises as `decode_head` does."""
    try:
        return _decode_receives(_body(value))
    except msgspec.MsgspecError as error:
        raise _unreadable("a record of receives", error) from error


def decode_deduplicated(value: bytes) -> Deduplicated:
    """Returns deduplication ids that were stored; raises as `decode_head` does."""
    try:
        return _decode_deduplicated(_body(value))
    except msgspec.MsgspecError as error:
        raise _unreadable("a record of deduplication ids", error) from error


def encode_gone(gone: int) -> bytes:
    """Returns the stored form of which messages of a segment are gone.

    Args:
        gone: bit n stands for the n-th message.
    """
    return FORMAT + gone.to_bytes((gone.bit_length() + 7) // 8, "little")


def decode_gone(value: bytes) -> int:
    """Returns which messages of a segment are gone; raises as `decode_head` does."""
    return int.from_bytes(_body(value), "little")


def _unreadable(what: str, error: msgspec.MsgspecError) -> StoreCorrupt:
    return StoreCorrupt(f"{what} cannot be read: {error}")


def message_weight(message: Message) -> int:
    """Returns what a message counts towards the limits of segments and of memory: about its bytes."""
    return len(message.body) + len(message.attributes) + len(message.trace_header) + MESSAGE_OVERHEAD


def cut(messages: list[Message]) -> list[list[Message]]:
    """Returns messages cut into segments, in their order.

    Args:
        messages: with consecutive sequence numbers.
    """
    if len(messages) <= SEGMENT_MESSAGES_MAX and sum(map(message_weight, messages)) <= SEGMENT_CHARACTERS_MAX:
        return [messages]
    segments: list[list[Message]] = []
    weight = SEGMENT_CHARACTERS_MAX + 1
    for message in messages:
        its_weight = message_weight(message)
        if weight + its_weight > SEGMENT_CHARACTERS_MAX or len(segments[-1]) >= SEGMENT_MESSAGES_MAX:
            segments.append([])
            weight = 0
        segments[-1].append(message)
        weight += its_weight
    return segments
