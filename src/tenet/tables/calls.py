"""What all calls have in common: finding the operation, checking its request's shape, saying that a table is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tenet.store.errors import SpaceNotFound
from tenet.tables.context import Caller, Context
from tenet.tables.errors import ResourceNotFoundException, UnknownOperationException
from tenet.tables.rules import unavailable
from tenet.tables.rules.shapes import check_shape

if TYPE_CHECKING:
    from tenet.tables.context import Operation

#: What writes items, by what it knows of their table. Whoever changes that waits for these to end.
WRITES: Final = frozenset(
    {
        "BatchExecuteStatement",
        "BatchWriteItem",
        "DeleteItem",
        "ExecuteStatement",
        "ExecuteTransaction",
        "PutItem",
        "TransactWriteItems",
        "UpdateItem",
    }
)
_NOT_COUNTED: Final = -1


class Calls:
    """Carries out operations.

    Args:
        context: what they work with.
        routes: operations by name.
        stream_routes: those of the API of streams.
    """

    def __init__(
        self, context: Context, routes: Mapping[str, Operation], stream_routes: Mapping[str, Operation]
    ) -> None:
        self._context = context
        self._barrier = context.barrier
        self._routes = dict(routes)
        self._stream_routes = dict(stream_routes)

    async def call(self, operation: str, request: dict[str, Any], caller: Caller) -> bytes:
        """Carries out an operation on tables and items; as ``Tables.call``."""
        route = self._routes.get(operation)
        if route is None:
            if operation in unavailable.OPERATIONS:
                raise unavailable.operation_error(operation)
            raise UnknownOperationException
        request = check_shape(operation, request)
        unavailable.refuse_unavailable(operation, request)
        phase = self._barrier.enter() if operation in WRITES else _NOT_COUNTED
        try:
            try:
                return await route(self._context, caller, request)
            except SpaceNotFound:
                # The table, or one of its indexes, has gone since it was last looked up, perhaps by another process.
                self._context.catalog.forget(caller.account)
            return await self._once_more(route, request, caller)
        finally:
            if phase != _NOT_COUNTED:
                self._barrier.leave(phase)

    async def _once_more(self, route: Operation, request: dict[str, Any], caller: Caller) -> bytes:
        try:
            return await route(self._context, caller, request)
        except SpaceNotFound:
            raise self._table_is_gone(caller) from None

    async def call_streams(self, operation: str, request: dict[str, Any], caller: Caller) -> bytes:
        """Carries out an operation of the API of streams; as ``Tables.call_streams``."""
        route = self._stream_routes.get(operation)
        if route is None:
            raise UnknownOperationException
        try:
            return await route(self._context, caller, check_shape(operation, request))
        except SpaceNotFound:
            raise self._table_is_gone(caller) from None

    def _table_is_gone(self, caller: Caller) -> ResourceNotFoundException:
        """Returns the error for a table that was deleted, perhaps by another process, since it was last looked up."""
        self._context.catalog.forget(caller.account)
        return ResourceNotFoundException("Requested resource not found")
