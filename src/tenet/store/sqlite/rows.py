"""What a row of a space holds beside its key: version, value and cells; and how cells become bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from tenet.store.contract import NO_CELLS, Record

#: Version, value and cells of a row, as a point read returns them; of a damaged file they may be anything.
Row: TypeAlias = tuple[Any, Any, Any]

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(dict[str, int])


def cells_to_bytes(cells: Mapping[str, int] | None) -> bytes | None:
    """Returns the stored form of cells; None where there are none."""
    return _encoder.encode(cells) if cells else None


def cells_from_bytes(stored: bytes | None) -> Mapping[str, int]:
    """Returns the cells of a stored form."""
    return NO_CELLS if stored is None else _decoder.decode(stored)


def record_of(partition: bytes, sort: bytes, row: Row) -> Record:
    """Returns the record of a key whose row was read."""
    version, value, cells = row
    return Record(partition, sort, value, version, NO_CELLS if cells is None else _decoder.decode(cells))
