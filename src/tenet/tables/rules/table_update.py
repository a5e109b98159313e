"""What UpdateTable makes of a table: its checks in the service's order and words, and the transition that begins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tenet.tables.errors import LimitExceededException, ResourceInUseException, ValidationException
from tenet.tables.model import CapacityHistory, Index, Pending, Table, Throughput
from tenet.tables.rules.index_changes import (
    all_types,
    changed_indexes,
    check_index_changes,
    check_indexes_are_there,
    types_of,
)
from tenet.tables.rules.stream_settings import check_switched, switched
from tenet.tables.rules.table_definition import check_capacity
from tenet.tables.rules.table_settings import (
    check_table_class,
    kept,
    on_demand_throughput,
    sse_description,
    warm_throughput,
    warmth,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.tables.model import BillingMode, Stream

_INVALID: Final = "One or more parameter values were invalid: "
_IN_USE: Final = "Attempt to change a resource which is still in use: "
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
#: How often a day capacity may fall without an hour's rest in between.
FREE_DECREASES: Final = 4
#: How often within 24 hours a table may be switched to on-demand.
ON_DEMAND_SWITCHES_MAX: Final = 4
#: How often within so many days a table may change its class ("Considerations when choosing a table class" of the
#: Developer Guide).
CLASS_CHANGES_MAX: Final = 2
CLASS_DAYS: Final = 30

_INDEX_UPDATES: Final = "GlobalSecondaryIndexUpdates"
#: Parameters of which at least one must be there.
_CHANGES: Final = frozenset(
    {
        "BillingMode",
        "DeletionProtectionEnabled",
        _INDEX_UPDATES,
        "OnDemandThroughput",
        "ProvisionedThroughput",
        "SSESpecification",
        "StreamSpecification",
        "TableClass",
        "WarmThroughput",
    }
)

#: Parameters that stand alone, in the order in which they are told, by the words for them.
_ALONE: Final = {
    "SSESpecification": "Server-Side Encryption modification",
    "TableClass": "TableClass modification",
    "DeletionProtectionEnabled": "DeletionProtection modification",
}
#: Parameters that ask for nothing where they are empty.
_OR_NONE: Final = frozenset({"OnDemandThroughput", "WarmThroughput"})
#: Changes during which the table stays ACTIVE, where nothing else is changed with them.
_AT_ONCE: Final = frozenset({"DeletionProtectionEnabled", "OnDemandThroughput", "SSESpecification", "WarmThroughput"})
#: What stands beside the names of parameters where an index is made, and where one is made or removed.
_CREATION, _REMAKING = "Create", "Create or Delete"
#: What cannot be changed together, unless something else is changed too, and the words for it.
_NEVER_TOGETHER: Final[tuple[tuple[frozenset[str], str, str], ...]] = (
    (
        frozenset({"WarmThroughput", _CREATION}),
        "",
        "Create global secondary index cannot be specified when updating WarmThroughput",
    ),
    (
        frozenset({"OnDemandThroughput", "StreamSpecification"}),
        "",
        "OnDemandThroughput can only be combined with BillingMode in an UpdateTable request",
    ),
    (
        frozenset({"OnDemandThroughput", "WarmThroughput"}),
        "",
        "OnDemandThroughput can only be combined with BillingMode in an UpdateTable request",
    ),
    (
        frozenset({"StreamSpecification", "ProvisionedThroughput"}),
        "",
        "You cannot modify stream status while updating table IOPS",
    ),
    (
        frozenset({"StreamSpecification", _REMAKING}),
        "",
        "You cannot create or delete index while changing stream status",
    ),
    (
        frozenset({"ProvisionedThroughput", _REMAKING}),
        "BillingMode",
        "You cannot create or delete index while updating table IOPS",
    ),
)


def check_update(request: Mapping[str, Any]) -> None:
    """Checks an UpdateTable request by itself; its shape is right.

    Raises:
        ValidationException: with the service's text for the first rule that it breaks.
    """
    _check_changes_something(request)
    check_table_class(request.get("TableClass"))
    throughput = request.get("ProvisionedThroughput")
    if request.get("BillingMode") == "PROVISIONED" and throughput is None:
        raise ValidationException(_INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED")
    if throughput is not None:
        check_capacity(throughput)
    if "StreamSpecification" in request:
        check_switched(request["StreamSpecification"])
    _check_together(request)
    check_index_changes(request)
    for update in request.get(_INDEX_UPDATES) or ():
        change = update.get("Update", {})
        if "ProvisionedThroughput" in change:
            check_capacity(change["ProvisionedThroughput"])
        if change.get("WarmThroughput") == {}:
            raise ValidationException(
                _INVALID + "WarmThroughput must have at least one of ReadUnitsPerSecond or WriteUnitsPerSecond "
                f"specified for index: {change['IndexName']}"
            )


def _check_changes_something(request: Mapping[str, Any]) -> None:
    """Checks that an UpdateTable request asks for a change; an empty list of updates of indexes is none.

    Raises:
        ValidationException: it does not, or has such a list beside a change.
    """
    changes = _CHANGES.intersection(request)
    is_empty = request.get(_INDEX_UPDATES) == []
    if not changes or (is_empty and changes == {_INDEX_UPDATES}):
        raise ValidationException(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, "
            "SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, "
            "MultiRegionConsistency, DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is "
            "required"
        )
    if is_empty:
        raise ValidationException(f"{_INVALID}List of GlobalSecondaryIndexUpdates is empty")


def _check_together(request: Mapping[str, Any]) -> None:
    """Checks that an UpdateTable request changes nothing together that can only be changed one after the other.

    An empty WarmThroughput or OnDemandThroughput counts as none, as captures of October 2026 have it.

    Raises:
        ValidationException: it does.
    """
    changes = {name for name in _CHANGES.intersection(request) if name not in _OR_NONE or request[name] != {}}
    updates = request.get(_INDEX_UPDATES) or ()
    if any(update.get("Create") for update in updates):
        changes |= {_CREATION, _REMAKING}
    elif any(update.get("Delete") for update in updates):
        changes.add(_REMAKING)
    if changes <= {_INDEX_UPDATES, _CREATION, _REMAKING}:
        return
    if len(changes) > 1:
        for name, words in _ALONE.items():
            if name in changes:
                raise ValidationException(f"{_INVALID}{words} must be the only operation in the request")
    for together, without, words in _NEVER_TOGETHER:
        if together <= changes and without not in changes:
            raise ValidationException(_INVALID + words)
    # The developer guide warms a table and its indexes with one request.
    beside_warmth = changes - ({"WarmThroughput"} if _REMAKING in changes else {"WarmThroughput", _INDEX_UPDATES})
    if "WarmThroughput" in changes and beside_warmth:
        raise ValidationException(f"{_INVALID}WarmThroughput must be the only operation in the request")


def check_is_active(table: Table) -> None:
    """Checks that no transition of a table runs.

    Raises:
        ResourceInUseException: one does; the message says which.
    """
    if table.status != "ACTIVE":
        doing = {"CREATING": "created", "UPDATING": "updated", "DELETING": "deleted"}[table.status]
        raise ResourceInUseException(f"{_IN_USE}Table is being {doing}: {table.name}")


def check_deletion(table: Table) -> None:
    """Checks that a table may be deleted.

    Raises:
        ResourceInUseException: a transition runs; the message says which.
        ValidationException: it is protected from deletion.
    """
    if table.status == "UPDATING":
        if any(_is_being_switched(stream) for stream in table.streams):
            raise ResourceInUseException(f"{_IN_USE}Cannot delete table while stream is being enabled/disabled.")
        if table.pending is not None and table.pending.indexes != table.indexes:
            raise ResourceInUseException(
                f"{_IN_USE}Cannot delete table while indexes are being created, updated, or deleted."
            )
        raise ResourceInUseException(f"{_IN_USE}Table: {table.name} is in the process of being updated.")
    check_is_active(table)
    if table.deletion_protection:
        raise ValidationException(
            "Resource cannot be deleted as it is currently protected against deletion. "
            "Disable deletion protection first."
        )


def _is_being_switched(stream: Stream) -> bool:
    return stream.status in {"ENABLING", "DISABLING"} or (stream.is_on and not stream.is_settled)


def begin_update(table: Table, request: Mapping[str, Any], *, now_ms: int, until_ms: int) -> Table:
    """Returns a table that is being updated, with what it is to become; what is changed at once is changed already.

    Args:
        table: as it is.
        request: passed by `check_update`.
        now_ms: the time, milliseconds since 1970.
        until_ms: when the update is over.

    Raises:
        ResourceInUseException: another transition runs, and more than protection from deletion is to be changed.
        ValidationException: the update contradicts the table.
        LimitExceededException: it comes too soon after another one.
    """
    if table.status == "UPDATING" and table.pending is not None:
        if _CHANGES.intersection(request) == {"DeletionProtectionEnabled"}:
            # The one thing that can be changed meanwhile; the transition goes on.
            given = request["DeletionProtectionEnabled"]
            pending = msgspec.structs.replace(table.pending, deletion_protection=given)
            return msgspec.structs.replace(table, deletion_protection=given, pending=pending)
        if "ProvisionedThroughput" in request and table.pending.throughput != table.throughput:
            raise ResourceInUseException(f"{_IN_USE}Table IOPS are currently being updated. Table: {table.name}")
    check_is_active(table)
    billing: BillingMode = request.get("BillingMode") or table.billing
    indexes, statuses = _updated_indexes(table, request, billing, now_ms)
    throughput = _updated_throughput(table, request.get("ProvisionedThroughput"), billing)
    pending = Pending(
        billing=billing,
        throughput=throughput,
        indexes=indexes,
        deletion_protection=request.get("DeletionProtectionEnabled", table.deletion_protection),
        table_class=request.get("TableClass") or table.table_class,
        settings=kept(
            OnDemandThroughput=on_demand_throughput(request.get("OnDemandThroughput"), table.settings, billing),
            WarmThroughput=warm_throughput(
                request.get("WarmThroughput"),
                table.settings,
                None if billing == "PAY_PER_REQUEST" else throughput,
                had=warmth(table.settings, None if table.billing == "PAY_PER_REQUEST" else table.throughput),
            ),
            SSEDescription=sse_description(
                request.get("SSESpecification"), table.settings, table.account, table.region
            ),
        ),
        attribute_types=types_of(table, indexes, all_types(table, request)),
    )
    begun = msgspec.structs.replace(
        table,
        status="UPDATING",
        status_until_ms=until_ms,
        indexes=statuses,
        pending=pending,
        streams=switched(table, request.get("StreamSpecification"), now_ms=now_ms),
        next_index_number=max(table.next_index_number, *(index.number + 1 for index in indexes), 1),
        history=_history(table.history, table.throughput, throughput, now_ms),
        on_demand_ms=_switches(table, billing, now_ms),
        **_class_changes(table, pending.table_class, now_ms),
    )
    if not _CHANGES.intersection(request) <= _AT_ONCE:
        return begun
    ended = end_transition(begun)
    assert ended is not None
    return ended


def end_transition(table: Table) -> Table | None:
    """Returns what a table is when the transition that its status names is over; None where it is gone."""
    if table.status == "DELETING":
        return None
    becomes = table.pending
    indexes = table.indexes if becomes is None else becomes.indexes
    ended = msgspec.structs.replace(
        table,
        status="ACTIVE",
        status_until_ms=0,
        pending=None,
        # One that was added is filled from now on.
        indexes=tuple(one if one.is_filling else msgspec.structs.replace(one, status="ACTIVE") for one in indexes),
    )
    if becomes is None:
        return ended
    return msgspec.structs.replace(
        ended,
        billing=becomes.billing,
        throughput=becomes.throughput,
        deletion_protection=becomes.deletion_protection,
        table_class=becomes.table_class,
        settings=becomes.settings,
        attribute_types=table.attribute_types if becomes.attribute_types is None else becomes.attribute_types,
        is_indexed_later=table.is_indexed_later or (bool(table.global_indexes) and not ended.global_indexes),
    )


# ---- throughput ------------------------------------------------------------------------------------------------------


def _updated_throughput(table: Table, given: Mapping[str, int] | None, billing: BillingMode) -> Throughput:
    if given is None:
        return table.throughput if billing == table.billing else Throughput()
    if billing == "PAY_PER_REQUEST":
        raise ValidationException(
            _INVALID + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is "
            "PAY_PER_REQUEST"
        )
    wanted = Throughput(given["ReadCapacityUnits"], given["WriteCapacityUnits"])
    if wanted == table.throughput:
        raise _unchanged("the table", "the table", wanted)
    return wanted


def _unchanged(what: str, of_what: str, throughput: Throughput) -> ValidationException:
    """Returns the error of capacity that stays what it is.

    Args:
        what: has it, as the first sentence names it.
        of_what: the same, as the others name it.
        throughput: the capacity.
    """
    units = "".join(
        f"Current {name} provisioned for {of_what}: {value}. Requested {name}: {value}. "
        for name, value in (("ReadCapacityUnits", throughput.read), ("WriteCapacityUnits", throughput.write))
    )
    return ValidationException(
        f"The provisioned throughput for {what} will not change. The requested value equals the current value. "
        f"{units}Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
    )


def _history(history: CapacityHistory, before: Throughput, after: Throughput, now_ms: int) -> CapacityHistory:
    """Returns the history of a capacity after a change of it.

    Raises:
        LimitExceededException: it has fallen too often today.
    """
    rises = after.read > before.read or after.write > before.write
    falls = (after.read < before.read or after.write < before.write) and after != Throughput()
    increased_ms = now_ms if rises and before != Throughput() else history.increased_ms
    if not falls:
        return msgspec.structs.replace(history, increased_ms=increased_ms)
    is_today = history.decreased_ms // _DAY_MS == now_ms // _DAY_MS
    today = history.decreases_today if is_today else 0
    if today >= FREE_DECREASES and now_ms - history.decreased_ms < _HOUR_MS:
        raise LimitExceededException(
            "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the "
            f"first {FREE_DECREASES} decreases, each subsequent decrease in the same UTC day can be performed at most "
            f"once every {_HOUR_MS // 1000} seconds. Number of decreases today: {today}. "
            f"Last decrease at {_time_text(history.decreased_ms)}. "
            f"Next decrease can be made at {_time_text(history.decreased_ms + _HOUR_MS)}"
        )
    return CapacityHistory(increased_ms, now_ms, today + 1)


def _switches(table: Table, billing: BillingMode, now_ms: int) -> tuple[int, ...]:
    """Returns when the table was switched to on-demand, this time included; at least the last one is kept.

    Raises:
        LimitExceededException: too often within a day.
    """
    if billing != "PAY_PER_REQUEST" or table.billing == "PAY_PER_REQUEST":
        return table.on_demand_ms
    recent = tuple(at for at in table.on_demand_ms if now_ms - at < _DAY_MS and at != table.created_ms)
    if len(recent) >= ON_DEMAND_SWITCHES_MAX:
        raise LimitExceededException(
            f"Subscriber limit exceeded: Update to PayPerRequest mode are limited to {ON_DEMAND_SWITCHES_MAX} times in "
            f"1 day(s). Last update at {_time_text(recent[-1])}. "
            f"Next update can be made at {_time_text(recent[0] + _DAY_MS)}"
        )
    return (*recent, now_ms)


def _class_changes(table: Table, table_class: str, now_ms: int) -> dict[str, int]:
    """Returns when the table's class was changed, this time included, as fields of a table.

    Raises:
        LimitExceededException: too often within a month.
    """
    if table_class == table.table_class:
        return {}
    free_ms = table.class_changed_before_ms + CLASS_DAYS * _DAY_MS
    if table.class_changed_before_ms and now_ms < free_ms:
        # The words are those of the limit of switches to on-demand; the service's own are not known.
        raise LimitExceededException(
            f"Subscriber limit exceeded: Updates of the table class are limited to {CLASS_CHANGES_MAX} times in "
            f"{CLASS_DAYS} day(s). Last update at {_time_text(table.class_changed_ms)}. "
            f"Next update can be made at {_time_text(free_ms)}"
        )
    return {"class_changed_ms": now_ms, "class_changed_before_ms": table.class_changed_ms}


def _time_text(at_ms: int) -> str:
    """Returns a time as the service's messages print it, for instance ``Wednesday, July 25, 2018 8:48:14 PM UTC``."""
    at = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    half, hour = divmod(at.hour, 12)
    return f"{at:%A, %B} {at.day}, {at.year} {hour or 12}:{at:%M:%S} {('AM', 'PM')[half]} UTC"


# ---- indexes ---------------------------------------------------------------------------------------------------------


def _updated_indexes(
    table: Table, request: Mapping[str, Any], billing: BillingMode, now_ms: int
) -> tuple[tuple[Index, ...], tuple[Index, ...]]:
    """Returns the table's indexes as they are to be, and as they are until then, with their status."""
    updates = request.get(_INDEX_UPDATES) or ()
    check_indexes_are_there(table, updates)
    changes = {given["Update"]["IndexName"]: given["Update"] for given in updates if "Update" in given}
    updated = tuple(
        _updated_index(table, index, changes.get(index.name), billing, now_ms) if index.is_global else index
        for index in table.indexes
    )
    after = changed_indexes(table, request, updated, billing)
    if billing == "PROVISIONED":
        missing = [index.name for index in after if index.is_global and index.throughput == Throughput()]
        if missing:
            raise ValidationException(
                _INVALID + f"ProvisionedThroughput must be specified for index: {','.join(missing)}"
            )
    kept = {index.number for index in after}
    until = tuple(_until(old, new, is_kept=old.number in kept) for old, new in zip(table.indexes, updated, strict=True))
    return after, until


def _until(old: Index, new: Index, *, is_kept: bool) -> Index:
    """Returns an index as it is until the update is over."""
    if not is_kept:
        return msgspec.structs.replace(old, status="DELETING")
    if new == old:
        return old
    status = old.status if old.is_filling else "UPDATING"
    return msgspec.structs.replace(old, status=status, history=new.history)


def _updated_index(
    table: Table, index: Index, change: Mapping[str, Any] | None, billing: BillingMode, now_ms: int
) -> Index:
    change = change or {}
    throughput = index.throughput if billing == "PROVISIONED" else Throughput()
    given = change.get("ProvisionedThroughput")
    if given is not None:
        if billing == "PAY_PER_REQUEST":
            raise ValidationException(
                f"{_INVALID}The only Updates for index: {index.name} when TableThroughputMode is PAY_PER_REQUEST can "
                "be to OnDemandThroughput, WarmThroughput"
            )
        throughput = Throughput(given["ReadCapacityUnits"], given["WriteCapacityUnits"])
        if throughput == index.throughput and table.billing == billing:
            raise _unchanged(f"the index {index.name}", f"index {index.name}", throughput)
    return msgspec.structs.replace(
        index,
        throughput=throughput,
        history=_history(index.history, index.throughput, throughput, now_ms),
        settings=kept(
            OnDemandThroughput=on_demand_throughput(
                change.get("OnDemandThroughput"), index.settings, billing, index=index.name
            ),
            WarmThroughput=warm_throughput(
                change.get("WarmThroughput"),
                index.settings,
                None if billing == "PAY_PER_REQUEST" else throughput,
                index=index.name,
                had=warmth(index.settings, None if table.billing == "PAY_PER_REQUEST" else index.throughput),
            ),
        ),
    )
