"""Numbers of stored formats: a version meets none that it does not know without saying so.

What is stored carries the number of its format. A version reads the formats that it and the version before it write,
and writes none that the version before it does not read (ARCHITECTURE.md, "Formats"). Whoever skips a version, or comes
back too far, is told so here, instead of taking bytes for something else.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from tenet.store.errors import StoreCorrupt, StoreOfLaterVersion

Stored = TypeVar("Stored", bound=Struct)
T = TypeVar("T")


class _Numbered(Struct, frozen=True):
    version: int


_number: Final = msgspec.json.Decoder(_Numbered)


def refuse_later(what: str, found: int, known: int) -> None:
    """Refuses what a later version has written.

    Args:
        what: is read, for the message.
        found: the number of its format.
        known: the largest number that this version reads.

    Raises:
        StoreOfLaterVersion: the number is larger than that.
    """
    if found > known:
        raise StoreOfLaterVersion(
            f"{what} has the format {found}, which a later version of Tenet has written; this one reads up to {known}"
        )


def unmarked(value: bytes, what: str, *, mark: bytes) -> memoryview:
    """Returns what stands behind the first byte of a record, the number of its format.

    Args:
        value: of the record.
        what: it is, for messages.
        mark: the byte of the one format that this version reads.

    Raises:
        StoreOfLaterVersion: a later version wrote it.
        StoreCorrupt: the format is unknown.
    """
    refuse_later(what, value[0] if value else 0, mark[0])
    if value[:1] != mark:
        raise StoreCorrupt(f"{what} has the unknown format {value[:1]!r}")
    return memoryview(value)[1:]


def decode_marked(
    value: bytes, decoder: msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T], what: str, *, mark: bytes
) -> T:
    """Reads a record that is JSON or MessagePack behind one byte, the number of its format.

    Args:
        value: of the record.
        decoder: of what it is to be.
        what: it is, for messages.
        mark: the byte of the one format that this version reads.

    Raises:
        StoreOfLaterVersion: a later version wrote it.
        StoreCorrupt: it is something else.
    """
    data = unmarked(value, what, mark=mark)
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"{what} cannot be read: {error}") from error


def decode_numbered(value: bytes, kind: type[Stored], what: str, *, known: int = 1) -> Stored:
    """Reads a record that is JSON and says in ``version`` which format it has; fields that are not known are ignored.

    Args:
        value: of the record.
        kind: what it is to be.
        what: it is, for messages.
        known: the largest number of its format that this version reads.

    Raises:
        StoreOfLaterVersion: a later version wrote it.
        StoreCorrupt: it is something else.
    """
    try:
        refuse_later(what, _number.decode(value).version, known)
        return msgspec.json.decode(value, type=kind)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"{what} cannot be read: {error}") from error
