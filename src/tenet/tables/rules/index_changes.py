"""Global indexes that UpdateTable adds to a table and takes from it: which ones there may be, and what becomes of them.

Source: "Managing Global Secondary Indexes in DynamoDB" of the Developer Guide, and UpdateTable of the API reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tenet.tables.errors import LimitExceededException, ResourceNotFoundException, ValidationException
from tenet.tables.rules.table_definition import (
    GLOBAL_INDEXES_MAX,
    INCLUDED_MAX,
    check_index_definition,
    definitions_of,
    index_from,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.tables.model import BillingMode, Index, KeyType, Table

_INVALID: Final = "One or more parameter values were invalid: "
_KINDS: Final = ("Update", "Create", "Delete")


def check_index_changes(request: Mapping[str, Any]) -> None:
    """Checks the updates of global indexes of an UpdateTable request, and its attribute definitions, by themselves.

    Raises:
        ValidationException: with the service's text for the first rule that is broken.
    """
    definitions = definitions_of(request)
    updates: Sequence[Mapping[str, Any]] = request.get("GlobalSecondaryIndexUpdates") or ()
    names: set[str] = set()
    for update in updates:
        kinds = [kind for kind in _KINDS if update.get(kind) is not None]
        if not kinds:
            raise ValidationException(
                _INVALID + "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, "
                "GlobalSecondaryIndexUpdate.Delete must not be null"
            )
        if len(kinds) > 1:
            raise ValidationException(
                _INVALID + "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object"
            )
        name = update[kinds[0]]["IndexName"]
        if name in names:
            raise ValidationException(
                _INVALID + f"Only one global secondary index update per index is allowed simultaneously. Index: {name}"
            )
        names.add(name)
    for update in updates:
        if update.get("Create") is not None:
            if request.get("AttributeDefinitions") is None:
                name = update["Create"]["IndexName"]
                raise ValidationException(_INVALID + f"AttributeDefinitions is not specified for index: {name}")
            check_index_definition(update["Create"], definitions)


def check_indexes_are_there(table: Table, updates: Sequence[Mapping[str, Any]]) -> None:
    """Checks that a table has the global indexes that an update changes or removes.

    Args:
        table: as it is.
        updates: GlobalSecondaryIndexUpdates of the request.

    Raises:
        ResourceNotFoundException: it does not have one.
        ValidationException: one of them is a local one.
    """
    for update in updates:
        for kind in ("Update", "Delete"):
            if kind not in update:
                continue
            name = update[kind]["IndexName"]
            index = table.index(name)
            if index is None:
                raise ResourceNotFoundException(f"Requested resource not found: Index {name} for table {table.name}")
            if not index.is_global:
                raise ValidationException(f"Cannot {kind.lower()} an index that is not a GlobalSecondaryIndex: {name}")


def changed_indexes(
    table: Table, request: Mapping[str, Any], indexes: tuple[Index, ...], billing: BillingMode
) -> tuple[Index, ...]:
    """Returns the indexes that a table is to have, with the one that it is given and without the one that it loses.

    Args:
        table: as it is.
        request: passed by `check_index_changes` and `check_indexes_are_there`.
        indexes: the table's, as the rest of the request changes them.
        billing: how the table will be billed.

    Raises:
        LimitExceededException: several indexes would be made or removed at a time, or there would be too many.
        ValidationException: the new index contradicts the table.
    """
    updates: Sequence[Mapping[str, Any]] = request.get("GlobalSecondaryIndexUpdates") or ()
    removed = {update["Delete"]["IndexName"] for update in updates if "Delete" in update}
    created: list[Mapping[str, Any]] = [update["Create"] for update in updates if "Create" in update]
    if not removed and not created:
        return indexes
    filling = {index.name for index in table.global_indexes if index.is_filling}
    if len(removed) + len(created) > 1 or (filling and not filling <= removed):
        raise LimitExceededException(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"
        )
    left = tuple(index for index in indexes if not index.is_global or index.name not in removed)
    return (*left, *(_created(table, request, one, billing) for one in created))


def _created(table: Table, request: Mapping[str, Any], given: Mapping[str, Any], billing: BillingMode) -> Index:
    if table.index(given["IndexName"]) is not None:
        raise ValidationException("Attempting to create an index which already exists")
    types = all_types(table, request)
    check_index_definition(given, types, billing=billing)
    if len(table.global_indexes) >= GLOBAL_INDEXES_MAX:
        raise LimitExceededException(
            f"Subscriber limit exceeded: Number of global secondary indexes exceeds per-table limit of "
            f"{GLOBAL_INDEXES_MAX}"
        )
    included = given["Projection"].get("NonKeyAttributes") or ()
    if sum(len(index.included) for index in table.indexes) + len(included) > INCLUDED_MAX:
        raise ValidationException(
            _INVALID + f"Number of NonKeyAttributes over all indexes exceeds the per-table limit of {INCLUDED_MAX}"
        )
    index = index_from(given, types, billing, number=table.next_index_number, is_global=True)
    return msgspec.structs.replace(index, is_late=True)


def all_types(table: Table, request: Mapping[str, Any]) -> dict[str, KeyType]:
    """Returns the types of a table's key attributes with those of the indexes that a request adds.

    What else the request defines is passed by, also where it contradicts the table, as in the service.

    Raises:
        ValidationException: a key of an index has another type than in the table.
    """
    types = dict(table.attribute_types)
    definitions = definitions_of(request)
    for update in request.get("GlobalSecondaryIndexUpdates") or ():
        for element in update.get("Create", {}).get("KeySchema", ()):
            name = element["AttributeName"]
            kind = definitions[name]
            if types.setdefault(name, kind) != kind:
                raise ValidationException(
                    f"{_INVALID}Attribute {name} is defined with type {kind}, and is of type {types[name]} in the table"
                )
    return types


def types_of(table: Table, indexes: Sequence[Index], types: Mapping[str, KeyType]) -> dict[str, KeyType]:
    """Returns the types of those attributes alone that the keys of a table and of some indexes use."""
    used = {name for keys in (table.keys, *(index.keys for index in indexes)) for name in keys.names}
    return {name: kind for name, kind in types.items() if name in used}


def whole(table: Table, number: int) -> Table:
    """Returns a table one index of which holds all items now; the very table where it was not being filled."""
    if not any(index.number == number and index.is_filling for index in table.indexes):
        return table
    return _with_index(table, number, status="ACTIVE", since=())


def told_since(table: Table, number: int, since: tuple[int, ...]) -> Table:
    """Returns a table one index of which is to be kept from the log behind some positions, one for each shard."""
    return _with_index(table, number, since=since)


def _with_index(table: Table, number: int, **members: Any) -> Table:
    def changed(indexes: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(
            msgspec.structs.replace(index, **members) if index.number == number else index for index in indexes
        )

    pending = table.pending
    if pending is not None:
        pending = msgspec.structs.replace(pending, indexes=changed(pending.indexes))
    return msgspec.structs.replace(table, indexes=changed(table.indexes), pending=pending)
