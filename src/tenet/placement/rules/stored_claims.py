"""What is stored of claims, as bytes; the form of values is that of ``stored``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from tenet.placement.rules.stored import FORMAT
from tenet.store.formats import decode_marked, unmarked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.placement.model import Consumer


class LastClaim(Struct, frozen=True, array_like=True):
    """The last claim that was made for a consumer.

    Args:
        claim: uuid of the claim.
        digest: of the request.
        expired_ms: when what it had was freed because it was not confirmed, milliseconds since 1970; 0: it was not.
    """

    claim: str
    digest: bytes
    expired_ms: int = 0


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
    return decode_marked(value, _decoder, "a consumer's last claim", mark=FORMAT)


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
    return bytes(unmarked(value, "a claim", mark=FORMAT))


def state_of(
    claim: str, wanted: Mapping[str, Mapping[str, int]], consumer: Consumer | None, last: LastClaim | None
) -> str:
    """Returns what became of what a claim gave to a consumer.

    Args:
        claim: uuid of the claim.
        wanted: what it gave, by provider and resource class.
        consumer: as it is now; None where it has nothing.
        last: the last claim that was made for it.

    Returns:
        ``reserved``: it has it, until the claim expires or is confirmed. ``held``: it has it. ``changed``: it has
        something else. ``expired``: it was not confirmed in time. ``freed``: it has nothing any more.
    """
    if consumer is not None:
        if consumer.allocations != wanted:
            return "changed"
        reserved = consumer.reserved
        return "reserved" if reserved is not None and reserved.claim == claim else "held"
    return "expired" if last is not None and last.claim == claim and last.expired_ms else "freed"
