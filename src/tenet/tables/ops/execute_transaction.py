"""ExecuteTransaction (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ExecuteTransaction.html).

What is wrong with a statement of a table that is there refuses the request, and is told with the number of the
statement. Then a table that is missing, or a key that does not fit, cancels it, as in transactions of items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ResourceNotFoundException, ValidationException
from tenet.tables.ops.statements import Prepared, action_of, single_item_of
from tenet.tables.ops.transact_get_items import Get, read_items
from tenet.tables.ops.transact_write_items import Action, carry_out
from tenet.tables.rules.key_values import EmptyKeyValue
from tenet.tables.rules.partiql.tree import Delete, Exists, Update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table

_MEMBERS: Final = ("TransactStatements", "ClientRequestToken", "ReturnConsumedCapacity")


async def execute_transaction(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Carries out up to 100 PartiQL statements, all or none; as many round trips as a transaction of items.

    Raises:
        ValidationException: a statement is wrong, or reads and writes stand together.
        TransactionCanceledException: a statement cannot be carried out; its reasons name each one.
        IdempotentParameterMismatchException: the client token was used for another request.
    """
    # Other members mean nothing here, though they do in transactions of items.
    request = {name: request[name] for name in _MEMBERS if name in request}
    statements = [Prepared(each) for each in request["TransactStatements"]]
    if len({statement.is_read for statement in statements}) > 1:
        raise ValidationException(
            "ExecuteTransaction API does not support both read and write operations in the same request."
        )
    if statements[0].is_read:
        return await _read(context, caller, request, statements)
    actions: list[Action] = []
    tables: list[Table | None] = []
    for at, statement in enumerate(statements):
        table = await _table(context, caller, statement)
        tables.append(table)
        actions.append(Action(statement.source.table) if table is None else _action(statement, table, at))
    answer = await carry_out(context, caller, request, actions, tables)
    return b'{"Responses":[]' + (b"}" if answer == b"{}" else b"," + answer[1:])


async def _table(context: Context, caller: Caller, prepared: Prepared) -> Table | None:
    try:
        return await prepared.table(context, caller)
    except ResourceNotFoundException:
        return None


def _failed(at: int, why: str) -> ValidationException:
    return ValidationException(f"Validation failed in TransactStatements[{at}]: {why}")


def _action(prepared: Prepared, table: Table, at: int) -> Action:
    """Returns what a statement writes; refuses it for what is wrong whichever item it names."""
    statement = prepared.statement
    if isinstance(statement, Exists) and prepared.source.index is not None:
        raise _failed(at, "Operations on indices are not supported in transactions")
    if isinstance(statement, Update | Delete) and statement.returning != "NONE":
        raise _failed(at, "RETURNING clause is not supported in ExecuteTransaction.")
    try:
        return action_of(prepared, table)
    except ValidationException as error:
        raise _failed(at, error.message) from error


async def _read(context: Context, caller: Caller, request: dict[str, Any], statements: Sequence[Prepared]) -> bytes:
    gets = []
    for at, statement in enumerate(statements):
        table = await _table(context, caller, statement)
        gets.append(Get(None, {}, None) if table is None else _get(statement, table, at))
    return await read_items(context, caller, gets, request.get("ReturnConsumedCapacity", "NONE"))


def _get(prepared: Prepared, table: Table, at: int) -> Get:
    if prepared.source.index is not None:
        raise _failed(at, "Reads on indices are not supported within transactions.")
    try:
        found = single_item_of(prepared, table)
    except EmptyKeyValue:
        raise
    except ValidationException as error:
        raise _failed(at, error.message) from error
    if found is None:
        raise _failed(
            at, "Select statements within ExecuteTransaction must specify the primary key in the where clause."
        )
    key, projection = found
    return Get(table, key, projection)
