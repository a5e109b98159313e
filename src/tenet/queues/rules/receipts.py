"""Receipt handles and message ids: what they say, and how they are written.

A receipt handle is base64 of: a byte of format, the message's sequence number (8 bytes), how often it had been
received then (4 bytes), and a seal of these (8 bytes, BLAKE2b keyed with the queue's id, RFC 7693). A message id has
the form of a UUID (RFC 9562, version 4) and is made of the first half of the queue's id, which is random, and the
sequence number: it needs no place, and no other message ever has it.

The second half of a queue's id is told to no client: 64 random bits that nobody can make a seal without. So a handle
leads to what it was given out for, and who has not received a message has none for it; and no secret has to be kept.
"""

from __future__ import annotations

import binascii
import hashlib
import struct
from hmac import compare_digest
from typing import Final

_SAID: Final = struct.Struct(">BQI")
#: Format 1 had no seal.
_FORMAT: Final = 2
_SEAL_BYTES: Final = 8
_HANDLE_BYTES: Final = _SAID.size + _SEAL_BYTES
#: Keeps seals apart from whatever else may be made with a queue's id.
_PERSON: Final = b"tenet receipt"
_RECEIVES_MAX: Final = 2**32 - 1

_pack = _SAID.pack
_blake2b = hashlib.blake2b
_to_base64 = binascii.b2a_base64


def encode_handle(queue_id: bytes, sequence: int, receives: int) -> str:
    """Returns the receipt handle of a receive.

    Args:
        queue_id: 16 bytes.
        sequence: of the message.
        receives: how often it has been received, this time included.
    """
    said = _pack(_FORMAT, sequence, receives & _RECEIVES_MAX)
    return _to_base64(said + _seal(queue_id, said), newline=False).decode()


def decode_handle(queue_id: bytes, handle: str) -> tuple[int, int] | None:
    """Returns the sequence number and the number of the receive; None: this queue has not given it out.

    Args:
        queue_id: of the queue that the handle is shown to.
        handle: anything.
    """
    try:
        data = binascii.a2b_base64(handle, strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) != _HANDLE_BYTES or data[0] != _FORMAT:
        return None
    said = data[: _SAID.size]
    if not compare_digest(data[_SAID.size :], _seal(queue_id, said)):
        return None
    _, sequence, receives = _SAID.unpack(said)
    return sequence, receives


def _seal(queue_id: bytes, said: bytes) -> bytes:
    return _blake2b(said, digest_size=_SEAL_BYTES, key=queue_id, person=_PERSON).digest()


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
