"""What is stored of claims, as bytes; the form of values is that of ``stored``."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from tenet.placement.rules.stored import FORMAT
from tenet.store.errors import StoreCorrupt
from tenet.store.formats import refuse_later


class LastClaim(Struct, frozen=True, array_like=True):
    """The last claim that was made for a consumer.

    Args:
        claim: uuid of the claim.
        digest: of the request.
    """

    claim: str
    digest: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(LastClaim)


def encode_last_claim(last: LastClaim) -> bytes:
    """Returns the stored form of it."""
    return FORMAT + _encoder.encode(last)


def decode_last_claim(value: bytes) -> LastClaim:
    """Returns which claim was the last for a consumer.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    data = _of_format(value, "a consumer's last claim")
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"a consumer's last claim cannot be read: {error}") from error


def encode_claim(document: bytes) -> bytes:
    """Returns the stored form of a claim.

    Args:
        document: JSON, as it is answered.
    """
    return FORMAT + document


def decode_claim(value: bytes) -> bytes:
    """Returns a claim as it is answered, JSON.

    Raises:
        StoreCorrupt: it is of an unknown format.
    """
    return bytes(_of_format(value, "a claim"))


def _of_format(value: bytes, what: str) -> memoryview:
    refuse_later(what, value[0] if value else 0, FORMAT[0])
    if value[:1] != FORMAT:
        raise StoreCorrupt(f"{what} has the unknown format {value[:1]!r}")
    return memoryview(value)[1:]
