"""BatchExecuteStatement (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.store.errors import OutcomeUnknown, SpaceNotFound, StoreUnavailable
from tenet.tables.errors import (
    ConditionalCheckFailedException,
    DuplicateItemException,
    InternalServerError,
    ItemCollectionSizeLimitExceededException,
    ProvisionedThroughputExceededException,
    ResourceNotFoundException,
    TablesError,
    ThrottlingException,
    TransactionConflictException,
    ValidationException,
)
from tenet.tables.ops.get_item import charged
from tenet.tables.ops.statements import Prepared, SelectedItem, read_selected, single_item_of, write_of
from tenet.tables.ops.writing import charge, write
from tenet.tables.rules.capacity import Consumed
from tenet.tables.rules.key_values import check_scalar_access, place_of_key
from tenet.tables.rules.multi_attribute_keys import refuse_statement
from tenet.tables.rules.partiql.single_items import check_key_types
from tenet.tables.rules.partiql.tree import Exists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.store.contract import Key
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table
    from tenet.tables.ops.statements import StatementWrite

#: ``BatchStatementErrorCodeEnum``, by the codes of errors.
_CODES: Final = {
    ConditionalCheckFailedException.code: "ConditionalCheckFailed",
    DuplicateItemException.code: "DuplicateItem",
    InternalServerError.code: "InternalServerError",
    ItemCollectionSizeLimitExceededException.code: "ItemCollectionSizeLimitExceeded",
    ProvisionedThroughputExceededException.code: "ProvisionedThroughputExceeded",
    ResourceNotFoundException.code: "ResourceNotFound",
    ThrottlingException.code: "ThrottlingError",
    TransactionConflictException.code: "TransactionConflict",
    ValidationException.code: "ValidationError",
}


class _Part:
    """One statement of a batch, and what becomes of it.

    Args:
        request: its part of the request.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.error: TablesError | None = None
        self.statement: Prepared | None = None
        self.table: Table | None = None
        self.key: Key | None = None
        self.write: StatementWrite | None = None
        self.selected: SelectedItem | None = None
        self.consumed: Consumed | None = None
        self.item = b""
        self.failure: StoreUnavailable | OutcomeUnknown | None = None
        try:
            self.statement = Prepared(request)
        except ValidationException as error:
            self.error = error

    async def find(self, context: Context, caller: Caller) -> None:
        """Finds the table and what to do there."""
        if self.statement is None:
            return
        try:
            if isinstance(self.statement.statement, Exists):
                raise ValidationException("EXISTS can only be used in ExecuteTransaction write requests.")
            table = await self.statement.table(context, caller)
            if self.statement.is_read:
                self._find_item(self.statement, table)
            else:
                self.write = write_of(self.statement, table)
                self.key = self.write.plan.key
            self.table = table
        except TablesError as error:
            self.error = error

    def _find_item(self, statement: Prepared, table: Table) -> None:
        refuse_statement(table, statement.source.index)
        found = None if statement.source.index is not None else single_item_of(statement, table)
        if found is None:
            raise ValidationException(
                "Select statements within BatchExecuteStatement must specify the primary key in the where clause."
            )
        key, projection = found
        check_key_types(key, table.keys)
        if projection is not None:
            check_scalar_access(projection.nested_names, table)
        self.key = place_of_key(table, key)
        self.selected = SelectedItem(self.key, projection)

    async def carry_out(self, context: Context, caller: Caller) -> None:
        """Reads or writes, if nothing was wrong so far. What the store could not do is kept: others may be done."""
        if self.error is not None:
            return
        try:
            try:
                await self._carry_out(context, caller)
            except SpaceNotFound:
                # The table has gone, or one of its indexes, since it was looked up.
                await self._once_more(context, caller)
        except TablesError as error:
            self.error = error
        except (StoreUnavailable, OutcomeUnknown) as failure:
            self.failure = failure

    async def _once_more(self, context: Context, caller: Caller) -> None:
        context.catalog.forget(caller.account)
        self.table = None
        await self.find(context, caller)
        if self.error is not None:
            return
        try:
            await self._carry_out(context, caller)
        except SpaceNotFound:
            context.catalog.forget(caller.account)
            raise ResourceNotFoundException("Requested resource not found") from None

    async def _carry_out(self, context: Context, caller: Caller) -> None:
        assert self.statement is not None
        assert self.table is not None
        if self.selected is not None:
            image, self.item = await read_selected(context, caller, self.statement, self.table, self.selected)
            consistent = bool(self.statement.request.get("ConsistentRead"))
            self.consumed = charged(context, self.table, image, consistent=consistent)
            return
        assert self.write is not None
        context.throttle.admit_write(self.table)
        written = await write(context, caller, self.write.plan, look=True)
        charge(context, self.table, written)
        self.consumed = written.consumed(self.table)
        item = self.write.returned(written)
        self.item = b"" if item is None else orjson.dumps(item)

    @property
    def answer(self) -> bytes:
        """Its part of the answer."""
        members: list[bytes] = []
        if self.error is not None:
            code = _CODES.get(self.error.code, self.error.code)
            error = {"Code": code, "Message": self.error.message, **self.error.members}
            members.append(b'"Error":' + orjson.dumps(error))
        if self.table is not None:
            members.append(b'"TableName":' + orjson.dumps(self.table.name))
        if self.item:
            members.append(b'"Item":' + self.item)
        return b"{" + b",".join(members) + b"}"


async def batch_execute_statement(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Carries out up to 25 PartiQL statements, all reads or all writes of one item, each by itself, at the same time.

    Raises:
        ValidationException: reads and writes stand together, or an item stands twice. What is wrong with a statement
            stands in its part of the answer.
        StoreUnavailable: nothing was written, or not all could be read.
        OutcomeUnknown: nothing is known to be written, and something may be.
    """
    parts = [_Part(each) for each in request["Statements"]]
    kinds = {part.statement.is_read for part in parts if part.statement is not None}
    if len(kinds) > 1:
        raise ValidationException("Read and write requests together in the same batch is not supported.")
    for part in parts:
        await part.find(context, caller)
    found = [part.key for part in parts if part.key is not None]
    if len(set(found)) < len(found):
        raise ValidationException("Provided list of item keys contains duplicates")
    # None may still be under way when the request has its answer.
    for outcome in await asyncio.gather(*(part.carry_out(context, caller) for part in parts), return_exceptions=True):
        if outcome is not None:
            raise outcome
    _tell_failures(parts)
    answer = b'{"Responses":[' + b",".join(part.answer for part in parts) + b"]"
    mode = request.get("ReturnConsumedCapacity", "NONE")
    if mode != "NONE":
        answer += b',"ConsumedCapacity":' + orjson.dumps([of_table.answer(mode) for of_table in _by_table(parts)])
    return answer + b"}"


def _tell_failures(parts: Sequence[_Part]) -> None:
    """Tells what the store could not do: by the part that it befell, where another one has written.

    Whoever is told that the request failed sends it again, and what was written would be written twice.
    """
    failures = [part.failure for part in parts if part.failure is not None]
    if not failures:
        return
    if not any(part.write is not None and part.error is None and part.failure is None for part in parts):
        raise next((failure for failure in failures if isinstance(failure, OutcomeUnknown)), failures[0])
    for part in parts:
        if part.failure is not None:
            part.error = InternalServerError("Internal server error")


def _by_table(parts: Sequence[_Part]) -> list[Consumed]:
    """Returns what the parts took, by table."""
    found: dict[str, Consumed] = {}
    for part in parts:
        if part.table is not None and part.consumed is not None:
            found.setdefault(part.table.id, Consumed(part.table)).merge(part.consumed)
    return list(found.values())
