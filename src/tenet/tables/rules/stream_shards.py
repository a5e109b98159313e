"""Names and places in streams: shards, sequence numbers and shard iterators.

A shard lies in a shard of the log of its table's space (``stream_splits``). A sequence number is a position in that one
and its number, so that no two records of a stream have the same. An iterator says all that a read needs; the server
keeps nothing.
"""

from __future__ import annotations

import re
import struct
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tenet.store.contract import Limits
from tenet.tables.errors import ExpiredIteratorException, ResourceNotFoundException, ValidationException
from tenet.tables.rules.stream_splits import NUMBERS

if TYPE_CHECKING:
    from tenet.tables.model import Stream
    from tenet.tables.rules.stream_splits import Shard

#: How long an iterator is good, milliseconds.
ITERATOR_MS: Final = 15 * 60_000
#: Sequence numbers have 23 digits: positions are below 2**63, and there are at most 1,024 shards.
_SEQUENCE_BASE: Final = 10**22
_SHARDS_MAX: Final = Limits.log_shards_max
_SHARD_ID: Final = re.compile(r"shardId-(\d{20})-([0-9a-f]{8})")
_ARN: Final = re.compile(r"(arn:[^:]*:dynamodb:[^:]*:[^:]*:table/[A-Za-z0-9_.\-]+)/stream/([0-9T:.\-]+)")
#: Format, shard, position, when it was made and from when on records are wanted (milliseconds since 1970); a checksum.
_ITERATOR: Final = struct.Struct(">BHQQQL")
_FORMAT: Final = 1
#: Beyond every time that is meant, and still in an iterator.
TIME_MS_MAX: Final = 2**53


class Iterator(Struct, frozen=True):
    """A place in a shard from which records are read.

    Args:
        arn: of the stream.
        shard: its number in the stream.
        after: the last position that is not wanted.
        made_ms: when it was handed out, milliseconds since 1970.
        since_ms: records that are older are not wanted, milliseconds since 1970.
    """

    arn: str
    shard: int
    after: int
    made_ms: int
    since_ms: int = 0


def parse_arn(arn: str) -> tuple[str, str]:
    """Returns the table's ARN and the stream's label that the ARN of a stream names.

    Raises:
        ValidationException: it is none.
    """
    found = _ARN.fullmatch(arn)
    if found is None:
        raise ValidationException("Invalid StreamArn")
    return found[1], found[2]


def no_stream(arn: str) -> ResourceNotFoundException:
    """Returns the error for a stream that does not exist, or not any more."""
    return ResourceNotFoundException(f"Requested resource not found: Stream: {arn} not found")


def shard_id(stream: Stream, number: int) -> str:
    """Returns the name of a shard of a stream; in order of names, shards are in order of their numbers."""
    return f"shardId-{stream.created_ms:020}-{number:08x}"


def number_of(stream: Stream, name: str) -> int:
    """Returns the number of the shard that a name may be of; whether there is one is another matter.

    Raises:
        ResourceNotFoundException: the stream never has such a shard.
    """
    found = _SHARD_ID.fullmatch(name)
    if found is None or int(found[1]) != stream.created_ms or int(found[2], 16) >= NUMBERS:
        raise no_shard()
    return int(found[2], 16)


def no_shard() -> ResourceNotFoundException:
    """Returns the error for a shard that does not exist, or not any more."""
    return ResourceNotFoundException("Shard does not exist")


def sequence_number(log: int, position: int) -> str:
    """Returns the sequence number of a position in a shard of the log: 23 digits."""
    return str(_SEQUENCE_BASE + position * _SHARDS_MAX + log)


def position_of(shard: Shard, number: str) -> int:
    """Returns the position that a sequence number is of.

    Raises:
        ValidationException: it is none of the shard.
    """
    if not (number.isascii() and number.isdecimal()) or int(number) < _SEQUENCE_BASE:
        raise ValidationException("Invalid SequenceNumber")
    position, of_log = divmod(int(number) - _SEQUENCE_BASE, _SHARDS_MAX)
    end = 2**63 - 1 if shard.end is None else max(shard.end, shard.start + 1)
    if of_log != shard.log or not shard.start <= position <= end:
        raise ValidationException("Invalid SequenceNumber for the shard")
    return position


def encode_iterator(iterator: Iterator) -> str:
    """Returns an iterator as clients are given it."""
    packed = _ITERATOR.pack(
        _FORMAT, iterator.shard, iterator.after, iterator.made_ms, iterator.since_ms, zlib.crc32(iterator.arn.encode())
    )
    return f"{iterator.arn}|1|{urlsafe_b64encode(packed + zlib.crc32(packed).to_bytes(4, 'big')).decode()}"


def decode_iterator(text: str, *, now_ms: int) -> Iterator:
    """Returns the iterator that a client hands back.

    Args:
        text: what it was given.
        now_ms: the time, milliseconds since 1970.

    Raises:
        ValidationException: it was given something else.
        ExpiredIteratorException: it was given it more than 15 minutes ago.
    """
    arn, _, encoded = text.partition("|1|")
    try:
        packed = urlsafe_b64decode(encoded.encode("ascii"))
        kind, shard, after, made_ms, since_ms, of_arn = _ITERATOR.unpack(packed[:-4])
    except (UnicodeEncodeError, Base64Error, struct.error):
        raise ValidationException("Invalid ShardIterator") from None
    is_whole = packed[-4:] == zlib.crc32(packed[:-4]).to_bytes(4, "big") and of_arn == zlib.crc32(arn.encode())
    if kind != _FORMAT or not is_whole or shard >= NUMBERS:
        raise ValidationException("Invalid ShardIterator")
    if now_ms - made_ms > ITERATOR_MS:
        raise ExpiredIteratorException("The shard iterator has expired. Shard iterators are valid for 15 minutes")
    return Iterator(arn, shard, after, made_ms, since_ms)
