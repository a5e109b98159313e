"""Statements on their way to the cluster, and what is made of their answers.

Every operation of the engine passes here, most of them once: it is compiled, and prepares, binds and reads with as few
steps as the driver below allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import acsylla
from acsylla import Consistency, errors

from tenet.store.cassandra.tries import TableMissing, Tries, Unanswered, Unsure, text_of
from tenet.store.errors import StoreSlow, StoreUnavailable

if TYPE_CHECKING:
    from tenet.store.cassandra.nodes import Nodes
    from tenet.store.cassandra.tries import Doubt

#: A statement's text with the values of its markers.
Bound: TypeAlias = tuple[str, Sequence[Any]]
#: What a refused conditional batch shows of one row, by the name of the column.
Shown: TypeAlias = Mapping[str, Any]

_PREPARED_MAX: Final = 20_000


class Connection:
    """The session with the cluster, and the statements that were prepared in it.

    Args:
        nodes: which ones answer.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        #: None before it is connected, and when it is closed.
        self.session: Any = None
        self.prepared: dict[str, Any] = {}

    def connected(self) -> Any:
        """Returns the session.

        Raises:
            StoreUnavailable: there is none.
        """
        if self.session is None:
            raise StoreUnavailable("the store is closed")
        return self.session

    async def prepare(self, text: str) -> Any:
        """Prepares a statement through the next node, or while one of them is silent through several at once."""
        session = self.connected()
        if not self._nodes.left_alone:
            prepared = await session.create_prepared(text)
        else:
            prepared = await self._first(session, text)
        if len(self.prepared) >= _PREPARED_MAX:
            self.prepared.clear()
        if session is self.session:  # else there are other nodes by now
            self.prepared[text] = prepared
        return prepared

    async def _first(self, session: Any, text: str) -> Any:
        asked = [asyncio.ensure_future(session.create_prepared(text)) for _ in self._nodes.addresses]
        failures = []
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    return await answer
                except errors.CassException as error:
                    failures.append(error)
            raise failures[-1]
        finally:
            for one in asked:
                one.cancel()


class _Read:
    """A read on its way."""

    __slots__ = ("_connection", "_consistency", "_text", "_values")

    def __init__(self, connection: Connection, text: str, values: Sequence[Any], consistency: Consistency) -> None:
        self._connection: Final = connection
        self._text: Final = text
        self._values: Final = values
        self._consistency: Final = consistency

    async def send(self, profile: str, timeout_s: float) -> list[tuple[Any, ...]]:
        prepared = self._connection.prepared.get(self._text)
        if prepared is None:
            prepared = await self._connection.prepare(self._text)
        statement = prepared.bind(list(self._values))
        if profile:
            statement.set_execution_profile(profile)
        statement.set_consistency(self._consistency)
        statement.set_timeout(timeout_s)
        result = await self._connection.connected().execute(statement)
        return [row.as_tuple() for row in result.all()]


class _Batch:
    """A batch on its way.

    Args:
        connection: by which it is sent.
        bound: its statements.
        before: of a conditional one, called before each time that it is sent.
    """

    __slots__ = ("_before", "_bound", "_connection")

    def __init__(self, connection: Connection, bound: Sequence[Bound], before: Callable[[], None] | None) -> None:
        self._connection: Final = connection
        self._bound: Final = bound
        self._before: Final = before

    async def send(self, profile: str, timeout_s: float) -> list[Shown] | None:
        """Sends it; returns None if it took effect, else what its conditions looked at."""
        before = self._before
        if before is not None:
            before()
        batch = acsylla.create_batch_unlogged()
        if profile:
            batch.set_execution_profile(profile)
        batch.set_consistency(Consistency.QUORUM)
        batch.set_serial_consistency(Consistency.SERIAL)
        batch.set_request_timeout(int(timeout_s * 1000))
        known = self._connection.prepared
        for text, values in self._bound:
            prepared = known.get(text)
            if prepared is None:
                prepared = await self._connection.prepare(text)
            batch.add_statement(prepared.bind(list(values)))
        result = await self._connection.connected().execute_batch(batch)
        if before is None:
            return None
        rows: list[Shown] = [row.as_dict() for row in result.all()]
        return None if rows and rows[0]["[applied]"] else rows


class Sending:
    """Sends statements, each of them through ``tries``.

    Args:
        connection: by which it is sent.
        tries: sends again what is not answered.
    """

    def __init__(self, connection: Connection, tries: Tries) -> None:
        self._connection = connection
        self._tries = tries

    async def select(
        self, text: str, values: Sequence[Any], deadline: float, consistency: Consistency, *, even_cut_off: bool
    ) -> list[tuple[Any, ...]]:
        """Reads rows; see ``Driver.select``."""
        read = _Read(self._connection, text, values, consistency)
        try:
            rows: list[tuple[Any, ...]] = await self._tries.run(read.send, deadline, even_cut_off=even_cut_off)
        except Unsure as error:
            raise Unanswered("too few nodes of the cluster answered the read in time") from error
        except TableMissing:
            self._connection.prepared.clear()
            raise
        return rows

    async def select_by(
        self, profile: str, text: str, values: Sequence[Any], timeout_s: float, consistency: Consistency
    ) -> list[tuple[Any, ...]]:
        """Reads rows by one profile alone."""
        try:
            return await _Read(self._connection, text, values, consistency).send(profile, timeout_s)
        except errors.CassException as error:
            raise StoreUnavailable(f"a node of the cluster does not answer: {text_of(error)}") from error

    async def write(self, bound: Sequence[Bound], deadline: float) -> None:
        """Writes without a condition; see ``Driver.write``."""
        try:
            await self._tries.run(_Batch(self._connection, bound, None).send, deadline)
        except Unsure as error:
            raise StoreSlow("too few nodes of the cluster answered the write in time") from error
        except TableMissing:
            self._connection.prepared.clear()
            raise

    async def decide(
        self, bound: Sequence[Bound], deadline: float, doubt: Doubt | None, before: Callable[[], None]
    ) -> list[Shown] | None:
        """Sends a conditional batch; see ``Driver.decide``."""
        try:
            shown: list[Shown] | None = await self._tries.run(
                _Batch(self._connection, bound, before).send, deadline, doubt
            )
        except TableMissing:
            self._connection.prepared.clear()
            raise
        return shown
