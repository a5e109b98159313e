"""Which streams a table has: how one is switched on and off, and how a table's description shows it.

Source: StreamSpecification of the API reference, and "Change data capture for DynamoDB Streams" of the developer guide;
texts as us-east-1 words them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tenet.tables.errors import ValidationException
from tenet.tables.model import Stream
from tenet.tables.rules.index_log import is_readable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.tables.model import StreamStatus, StreamView, Table

_INVALID: Final = "One or more parameter values were invalid: "


def check_created(specification: Mapping[str, Any] | None) -> None:
    """Checks the StreamSpecification of a CreateTable request.

    Raises:
        ValidationException: a stream has no view type, or none is wanted and it has one.
    """
    if specification is None:
        return
    has_view = specification.get("StreamViewType") is not None
    if specification["StreamEnabled"] and not has_view:
        raise ValidationException(_INVALID + "Table is being created with a stream enabled, UpdateViewType is required")
    if has_view and not specification["StreamEnabled"]:
        raise ValidationException(
            _INVALID + "Table is being created with a stream disabled, UpdateViewType should not be specified"
        )


def check_switched(specification: Mapping[str, Any]) -> None:
    """Checks the StreamSpecification of an UpdateTable request by itself.

    Raises:
        ValidationException: a stream has no view type, or is switched off and has one.
    """
    has_view = specification.get("StreamViewType") is not None
    if specification["StreamEnabled"] and not has_view:
        raise ValidationException(_INVALID + "If stream is being enabled then UpdateViewType is required")
    if has_view and not specification["StreamEnabled"]:
        raise ValidationException(_INVALID + "If stream is being disabled, then UpdateViewType must not be specified")


def created(specification: Mapping[str, Any] | None, *, now_ms: int) -> tuple[Stream, ...]:
    """Returns the streams of a new table.

    Args:
        specification: passed by `check_created`.
        now_ms: the time, milliseconds since 1970.
    """
    if specification is None or not specification["StreamEnabled"]:
        return ()
    return (Stream(_label(now_ms), specification["StreamViewType"], now_ms, is_settled=True),)


def switched(table: Table, specification: Mapping[str, Any] | None, *, now_ms: int) -> tuple[Stream, ...]:
    """Returns the streams of a table whose stream an update switches on or off; those that are long gone are left out.

    Args:
        table: as it is.
        specification: passed by `check_switched`, or None where the update is about something else.
        now_ms: the time, milliseconds since 1970.

    Raises:
        ValidationException: the stream is so already.
    """
    if specification is None:
        return table.streams
    last = table.streams[-1] if table.streams else None
    is_on = last is not None and last.is_on
    if specification["StreamEnabled"]:
        if is_on:
            raise ValidationException(f"Table already has an enabled stream: TableName: {table.name}")
        return (*readable(table, now_ms), begun(specification["StreamViewType"], after=last, now_ms=now_ms))
    if last is None or not is_on:
        raise ValidationException(f"Table has no stream to disable: TableName: {table.name}")
    return (*table.streams[:-1], msgspec.structs.replace(last, status="DISABLING"))


def begun(view: StreamView, *, after: Stream | None, now_ms: int) -> Stream:
    """Returns a stream that is being switched on, with a label of its own.

    Args:
        view: what its records show.
        after: the table's stream before, if there was one.
        now_ms: the time, milliseconds since 1970.
    """
    created_ms = now_ms if after is None else max(now_ms, after.created_ms + 1)
    return Stream(_label(created_ms), view, created_ms, "ENABLING")


def readable(table: Table, now_ms: int) -> tuple[Stream, ...]:
    """Returns the streams of a table that can be read: those that are on, and off for less than 24 hours.

    Args:
        table: the table.
        now_ms: the time, milliseconds since 1970.
    """
    return tuple(one for one in table.streams if is_readable(one, now_ms))


def status_of(table: Table, stream: Stream) -> StreamStatus:
    """Returns the StreamStatus of a stream of a table."""
    if table.status == "DELETING" and stream.is_on:
        return "DISABLING"
    return "ENABLING" if table.status == "CREATING" else stream.status


def stream_arn(table: Table, stream: Stream) -> str:
    """Returns the Amazon Resource Name of a stream of a table."""
    return f"{table.arn}/stream/{stream.label}"


def described_stream(table: Table) -> dict[str, Any]:
    """Returns what a TableDescription says of the table's streams: the last one's name, and whether it is on."""
    if not table.streams:
        return {}
    last = table.streams[-1]
    answer: dict[str, Any] = {"LatestStreamLabel": last.label, "LatestStreamArn": stream_arn(table, last)}
    if last.is_on:
        answer["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": last.view}
    return answer


def _label(at_ms: int) -> str:
    """Returns a time as labels have it, for instance ``2015-05-20T20:51:10.252``."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03}"
