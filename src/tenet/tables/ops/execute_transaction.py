"""ExecuteTransaction (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ExecuteTransaction.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.tables.errors import ValidationException
from tenet.tables.ops.statements import Prepared, selected_item, write_of
from tenet.tables.ops.transact_get_items import read_items
from tenet.tables.ops.transact_write_items import Action, carry_out
from tenet.tables.rules.partiql.key_reads import UnreadableWhere
from tenet.tables.rules.partiql.tree import Delete, Exists, Insert, Update
from tenet.tables.rules.partiql.writing import item_of, write_plan
from tenet.tables.rules.sizes import item_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Item, Table
    from tenet.tables.ops.writing import Plan


async def execute_transaction(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Carries out up to 100 PartiQL statements, all or none; as many round trips as a transaction of items.

    Raises:
        ValidationException: a statement is wrong, or reads and writes stand together.
        ResourceNotFoundException: there is no such table.
        TransactionCanceledException: a statement cannot be carried out; its reasons name each one.
        IdempotentParameterMismatchException: the client token was used for another request.
    """
    statements = [Prepared(each) for each in request["TransactStatements"]]
    if len({statement.is_read for statement in statements}) > 1:
        raise ValidationException(
            "ExecuteTransaction API does not support both read and write operations in the same request."
        )
    if statements[0].is_read:
        return await _read(context, caller, request, statements)
    for at, statement in enumerate(statements):
        await _check(context, caller, statement, at)
    answer = await carry_out(context, caller, request, [_action(statement) for statement in statements])
    return b'{"Responses":[]' + (b"}" if answer == b"{}" else b"," + answer[1:])


def _failed(at: int, why: str) -> ValidationException:
    return ValidationException(f"Validation failed in TransactStatements[{at}]: {why}")


async def _check(context: Context, caller: Caller, prepared: Prepared, at: int) -> None:
    """Checks what of a write does not depend on its parameters."""
    statement = prepared.statement
    if isinstance(statement, Exists) and prepared.source.index is not None:
        raise _failed(at, "Operations on indices are not supported in transactions")
    if isinstance(statement, Update | Delete) and statement.returning != "NONE":
        raise _failed(at, "RETURNING clause is not supported in ExecuteTransaction.")
    table = await prepared.table(context, caller)
    if not isinstance(statement, Insert):
        try:
            write_plan(prepared.parsed, table.keys)
        except ValidationException as error:
            is_check = isinstance(statement, Exists) and "mandatory equality" in error.message
            raise _failed(
                at, "EXISTS() must contain a single item read with additional condition" if is_check else error.message
            ) from error


def _action(prepared: Prepared) -> Action:
    item: Item = {}
    if isinstance(prepared.statement, Insert):
        item = item_of(prepared.statement, prepared.parameters)

    def plan(table: Table) -> Plan:
        return write_of(prepared, table).plan

    return Action(prepared.source.table, item, item_bytes(item), plan)


async def _read(context: Context, caller: Caller, request: dict[str, Any], statements: Sequence[Prepared]) -> bytes:
    gets, projections = [], []
    for at, statement in enumerate(statements):
        if statement.source.index is not None:
            raise _failed(at, "Reads on indices are not supported within transactions.")
        table = await statement.table(context, caller)
        try:
            found = selected_item(statement, table)
        except UnreadableWhere as error:
            raise _failed(at, error.message) from error
        if found is None:
            raise _failed(
                at,
                "Select statements within ExecuteTransaction must specify the primary key in the where clause.",
            )
        gets.append({"TableName": statement.source.table, "Key": found.key})
        projections.append(found.projection)
    return await read_items(context, caller, gets, projections, request.get("ReturnConsumedCapacity", "NONE"))
