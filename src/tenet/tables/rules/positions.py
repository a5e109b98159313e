"""Where a Query or Scan goes on: ExclusiveStartKey, Segment and TotalSegments, and the key that a page ends with.

Source: "Pagination" and "Parallel scan" of the DynamoDB developer guide; texts as us-east-1 words them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.store.contract import Limits
from tenet.tables import keys
from tenet.tables.errors import ValidationException

if TYPE_CHECKING:
    from tenet.store.contract import Range
    from tenet.tables.model import Index, Item, KeySchema, Table
    from tenet.tables.rules.key_conditions import KeyCondition

_INVALID = "The provided starting key is invalid"
_ONE_ROW = "The query can return at most one row and cannot be restarted"


def position_of(table: Table, index: Index | None, item: Item) -> Item:
    """Returns the key that says where a page ended: the table's key, and the index's where one is read."""
    return {name: item[name] for name in _types(table, index)}


def check_query_position(table: Table, index: Index | None, start: Item, wanted: KeyCondition, within: Range) -> bytes:
    """Checks the ExclusiveStartKey of a Query against the schema, the partition that is queried and the sort keys.

    Args:
        table: the table.
        index: the index that is read, or None.
        start: the key, canonical.
        wanted: what is queried.
        within: the sort keys that the condition on the sort key allows.

    Returns:
        The sort key of the item or entry.

    Raises:
        ValidationException: it is no key of what is read, or of another partition, or outside of the condition.
    """
    _check_shape(table, index, start, _INVALID)
    schema = table.keys if index is None else index.keys
    if schema.more is not None:
        return _position_in_several(table, index, start, wanted, within)
    if start[schema.partition.name] != wanted.partition:
        raise _outside()
    return _checked_within(_sort_of(table, index, start), within)


def _position_in_several(table: Table, index: Index | None, start: Item, wanted: KeyCondition, within: Range) -> bytes:
    """Checks a key of several attributes as the service does: the last one of the partition key after the sort key."""
    assert index is not None
    *first, last = zip(index.keys.partitions, (wanted.partition, *wanted.more), strict=True)
    if any(start[attribute.name] != value for attribute, value in first):
        raise ValidationException(_ONE_ROW)
    sort = _checked_within(_sort_of(table, index, start), within)
    if start[last[0].name] != last[1]:
        raise ValidationException(_ONE_ROW) if wanted.operator else _outside()
    return sort


def _sort_of(table: Table, index: Index | None, start: Item) -> bytes:
    """Returns the sort key of a starting key, cut to what the store takes: none that is kept is as long."""
    return keys.position(table, index, start)[1][: Limits.sort_bytes_max]


def _outside() -> ValidationException:
    return ValidationException("The provided starting key is outside query boundaries based on provided conditions")


def _checked_within(sort: bytes, within: Range) -> bytes:
    if sort < within.lower or (within.upper is not None and sort >= within.upper):
        raise ValidationException("The provided starting key does not match the range key predicate")
    return sort


def scan_position(table: Table, index: Index | None, start: Item) -> tuple[bytes, bytes]:
    """Checks the ExclusiveStartKey of a Scan against the schema, and returns where it stands in the store.

    Raises:
        ValidationException: it is no key of what is read, or a longer one than any.
    """
    message = _INVALID if index is not None else f"{_INVALID}: The provided key element does not match the schema"
    _check_shape(table, index, start, message)
    partition, sort = keys.position(table, index, start)
    if len(partition) > Limits.partition_bytes_max:
        raise ValidationException(message)
    return partition, sort[: Limits.sort_bytes_max]


def check_segments(request: dict[str, Any]) -> None:
    """Checks Segment and TotalSegments against each other.

    Raises:
        ValidationException: one is missing, or the segment is not below the total.
    """
    segment, total = request.get("Segment"), request.get("TotalSegments")
    if segment is not None and total is None:
        raise ValidationException(
            "The TotalSegments parameter is required but was not present in the request "
            "when Segment parameter is present"
        )
    if total is not None and segment is None:
        raise ValidationException(
            "The Segment parameter is required but was not present in the request "
            "when parameter TotalSegments is present"
        )
    if segment is not None and segment >= total:
        raise ValidationException(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )


def outside_segment(segment: int, total: int) -> ValidationException:
    """Returns the error of a Scan whose ExclusiveStartKey belongs to another segment.

    Args:
        segment: ``Segment``.
        total: ``TotalSegments``.
    """
    return ValidationException(
        f"{_INVALID}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "
        f"TotalSegments: {total} Segment: {segment}"
    )


def _types(table: Table, index: Index | None) -> dict[str, str]:
    schemas: tuple[KeySchema, ...] = (table.keys,) if index is None else (table.keys, index.keys)
    return {
        attribute.name: attribute.type
        for schema in schemas
        for attribute in ((schema.partition, schema.sort) if schema.more is None else schema.attributes)
        if attribute is not None
    }


def _check_shape(table: Table, index: Index | None, start: Item, message: str) -> None:
    types = _types(table, index)
    if start.keys() != types.keys() or any(types[name] not in value for name, value in start.items()):
        raise ValidationException(message)
    for name, value in start.items():
        kind = types[name]
        if not value[kind]:
            what = "string" if kind == "S" else "binary"
            raise ValidationException(
                "One or more parameter values are not valid. The AttributeValue for a key attribute "
                f"cannot contain an empty {what} value. Key: {name}"
            )
