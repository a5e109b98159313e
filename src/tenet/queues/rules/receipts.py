"""Receipt handles and message ids: what they say, and how they are written.

A receipt handle is base64 of: a byte of format, the first 8 bytes of the queue's id, the message's sequence number (8
bytes), how often it had been received then (4 bytes). A message id has the form of a UUID (RFC 9562, version 4) and is
made of the queue's id, which is random, and the sequence number: it needs no place, and no other message ever has it.
"""

from __future__ import annotations

import binascii
import hashlib
import struct
from typing import Final

_HANDLE: Final = struct.Struct(">B8sQI")
_FORMAT: Final = 1
_TAG_BYTES: Final = 8
_RECEIVES_MAX: Final = 2**32 - 1

_pack = _HANDLE.pack
_to_base64 = binascii.b2a_base64


def encode_handle(queue_id: bytes, sequence: int, receives: int) -> str:
    """Returns the receipt handle of a receive.

    Args:
        queue_id: 16 bytes.
        sequence: of the message.
        receives: how often it has been received, this time included.
    """
    return _to_base64(_pack(_FORMAT, queue_id[:_TAG_BYTES], sequence, receives & _RECEIVES_MAX), newline=False).decode()


def decode_handle(queue_id: bytes, handle: str) -> tuple[int, int] | None:
    """Returns the sequence number and the number of the receive; None: the handle is not one of this queue.

    Args:
        queue_id: of the queue that the handle is shown to.
        handle: anything.
    """
    try:
        data = binascii.a2b_base64(handle, strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) != _HANDLE.size:
        return None
    version, tag, sequence, receives = _HANDLE.unpack(data)
    if version != _FORMAT or tag != queue_id[:_TAG_BYTES]:
        return None
    return sequence, receives


def message_id(queue_id: bytes, sequence: int) -> str:
    """Returns the id of a message that was sent to a queue.

    Args:
        queue_id: 16 bytes.
        sequence: of the message.
    """
    queue = queue_id.hex()
    number = f"{sequence:015x}"
    return f"{queue[:8]}-{queue[8:12]}-4{queue[12:15]}-8{number[:3]}-{number[3:]}"


def deduplication_key(deduplication_id: str, group: str) -> bytes:
    """Returns what stands for a deduplication id: 16 bytes.

    Args:
        deduplication_id: 1 to 128 characters, none of them a control character.
        group: the message group where ids are told apart by it; else empty.
    """
    return hashlib.blake2b(f"{group}\0{deduplication_id}".encode(), digest_size=16).digest()
