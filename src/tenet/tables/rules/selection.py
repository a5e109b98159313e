"""Which attributes a Query or Scan answers: Select, the projection, and what an index carries.

Source: ``Select`` in the API references of Query and Scan, and "Using global secondary indexes" / "local secondary
indexes" of the DynamoDB developer guide: a local index fetches from the table what it lacks, a global one refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenet.tables.model import Index, Table

_OF_WHAT: Final = {
    "COUNT": "only the Count",
    "ALL_ATTRIBUTES": "ALL_ATTRIBUTES",
    "ALL_PROJECTED_ATTRIBUTES": "ALL_PROJECTED_ATTRIBUTES",
}


def check_select(request: dict[str, Any]) -> None:
    """Checks Select against the parameters beside it.

    Raises:
        ValidationException: they rule each other out.
    """
    select = request.get("Select")
    if select is None:
        return
    projects = next((name for name in ("AttributesToGet", "ProjectionExpression") if name in request), "")
    if select == "SPECIFIC_ATTRIBUTES":
        if not projects:
            raise ValidationException(
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
            )
        return
    if projects:
        raise ValidationException(f"Cannot specify the {projects} when choosing to get {_OF_WHAT[select]}")
    if select == "ALL_PROJECTED_ATTRIBUTES" and "IndexName" not in request:
        raise ValidationException("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")


def index_of(request: dict[str, Any], table: Table) -> Index | None:
    """Returns the index that a request reads, or None.

    Raises:
        ValidationException: the table has none of that name, or it is a global one and the read consistent.
    """
    name = request.get("IndexName")
    if name is None:
        return None
    index = table.index(name)
    if index is None:
        raise ValidationException(f"The table does not have the specified index: {name}")
    if index.is_filling:
        raise ValidationException(f"Cannot read from backfilling global secondary index: {name}")
    if index.is_global and request.get("ConsistentRead"):
        raise ValidationException("Consistent reads are not supported on global secondary indexes")
    return index


def must_fetch(
    request: dict[str, Any], table: Table, index: Index | None, *, answered: Iterable[str], filtered: Iterable[str]
) -> bool:
    """Returns whether items have to be fetched from the table, since a local index lacks what is asked for.

    A filter does not have them fetched: to a Scan, what the index does not carry is absent.

    Args:
        request: for its Select.
        table: the table.
        index: the index that is read, or None.
        answered: the top-level attributes that the projection names.
        filtered: the top-level attributes that the filter of a Query names.

    Raises:
        ValidationException: a global index lacks what is asked for, or any index what a Query filters by.
    """
    if index is None or index.projection == "ALL":
        return False
    carried = table.projections[index.name]
    wants_all = request.get("Select") == "ALL_ATTRIBUTES"
    lacks = sorted(set(answered) - carried)
    if index.is_global and wants_all:
        raise ValidationException(
            "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global "
            f"secondary index {index.name} because its projection type is not ALL"
        )
    check_filtered(table, index, sorted(set(filtered)))
    if index.is_global and lacks:
        raise ValidationException(
            "One or more parameter values were invalid: "
            f"Global secondary index {index.name} does not project [{', '.join(lacks)}]"
        )
    return wants_all or bool(lacks)


def check_filtered(table: Table, index: Index | None, filtered: Iterable[str]) -> None:
    """Checks that what is read by key can be filtered by what the index carries.

    Args:
        table: the table.
        index: the index that is read, or None.
        filtered: the top-level attributes that the filter names, in the order of the error.

    Raises:
        ValidationException: the index lacks one.
    """
    if index is None or index.projection == "ALL":
        return
    lacks = [name for name in filtered if name not in table.projections[index.name]]
    if lacks:
        raise ValidationException(
            "One or more parameter values were invalid: Secondary index "
            f"{index.name} does not project one or more filter attributes: [{', '.join(lacks)}]"
        )
