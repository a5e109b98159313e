"""The door of the tables room: everything that other rooms may use of it.

``ROUTES`` is the one place that says which operations there are; ``rules/unavailable.py`` says which operations and
parameters of the API Tenet does not have yet.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from msgspec import Struct

from tenet.mesh import shares as mesh_shares
from tenet.mesh.jobs import Job, Supervisor, Tenure
from tenet.store.combine import Combiner
from tenet.store.expiry import SHARDS, ExpiryIndex, Sweeper
from tenet.tables import keys
from tenet.tables.calls import Calls
from tenet.tables.context import Caller, Context
from tenet.tables.errors import TablesError
from tenet.tables.http import STREAMS_MOUNT, TablesService
from tenet.tables.ops.barrier import Barrier, others_s
from tenet.tables.ops.batch_execute_statement import batch_execute_statement
from tenet.tables.ops.batch_get_item import batch_get_item
from tenet.tables.ops.batch_write_item import batch_write_item
from tenet.tables.ops.catalog import TABLES_MAX, Catalog
from tenet.tables.ops.counts import Counts
from tenet.tables.ops.create_table import create_table
from tenet.tables.ops.delete_item import delete_item
from tenet.tables.ops.delete_table import delete_table
from tenet.tables.ops.departed import DepartedTables
from tenet.tables.ops.describe_stream import describe_stream
from tenet.tables.ops.describe_table import describe_table
from tenet.tables.ops.endpoints import describe_endpoints
from tenet.tables.ops.execute_statement import execute_statement
from tenet.tables.ops.execute_transaction import execute_transaction
from tenet.tables.ops.expiring import Expiring
from tenet.tables.ops.expiring import measures_of as measures_of_expiring
from tenet.tables.ops.following import Change, ChangePage, Following, Source, has_changes
from tenet.tables.ops.get_item import get_item
from tenet.tables.ops.get_records import get_records
from tenet.tables.ops.get_shard_iterator import get_shard_iterator
from tenet.tables.ops.indexing.behind import are_indexes_behind
from tenet.tables.ops.indexing.fences import MarkRule
from tenet.tables.ops.indexing.filling import Filling
from tenet.tables.ops.indexing.keepers import Keepers, Shares
from tenet.tables.ops.indexing.measures import measures_of, measures_of_filling
from tenet.tables.ops.lifecycle import Lifecycle
from tenet.tables.ops.limits import describe_limits
from tenet.tables.ops.list_streams import list_streams
from tenet.tables.ops.list_tables import list_tables
from tenet.tables.ops.put_item import put_item
from tenet.tables.ops.query import query
from tenet.tables.ops.scan import scan
from tenet.tables.ops.stream_splitting import SplitSettings, Splitting
from tenet.tables.ops.tags import list_tags_of_resource, tag_resource, untag_resource
from tenet.tables.ops.time_to_live import describe_time_to_live, update_time_to_live
from tenet.tables.ops.tokens import TokenRule
from tenet.tables.ops.transact_get_items import transact_get_items
from tenet.tables.ops.transact_write_items import transact_write_items
from tenet.tables.ops.update_item import update_item
from tenet.tables.ops.update_table import update_table
from tenet.tables.rules.stream_shards import decode_iterator
from tenet.tables.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.shares import Assignment
    from tenet.store.contract import Store
    from tenet.store.expiry import ExpiryRule
    from tenet.tables.context import Operation
    from tenet.wire.door import Measure

__all__ = [
    "ROUTES",
    "STREAM_ROUTES",
    "Caller",
    "Change",
    "ChangePage",
    "Following",
    "Shares",
    "Source",
    "SplitSettings",
    "Tables",
    "TablesError",
    "TablesSettings",
    "has_changes",
    "position_in",
]

#: Every operation that can be called, by the name that stands in X-Amz-Target.
ROUTES: Final[Mapping[str, Operation]] = {
    "BatchExecuteStatement": batch_execute_statement,
    "BatchGetItem": batch_get_item,
    "BatchWriteItem": batch_write_item,
    "CreateTable": create_table,
    "DeleteItem": delete_item,
    "DeleteTable": delete_table,
    "DescribeEndpoints": describe_endpoints,
    "DescribeLimits": describe_limits,
    "DescribeTable": describe_table,
    "DescribeTimeToLive": describe_time_to_live,
    "ExecuteStatement": execute_statement,
    "ExecuteTransaction": execute_transaction,
    "GetItem": get_item,
    "ListTables": list_tables,
    "ListTagsOfResource": list_tags_of_resource,
    "PutItem": put_item,
    "Query": query,
    "Scan": scan,
    "TagResource": tag_resource,
    "TransactGetItems": transact_get_items,
    "TransactWriteItems": transact_write_items,
    "UntagResource": untag_resource,
    "UpdateItem": update_item,
    "UpdateTable": update_table,
    "UpdateTimeToLive": update_time_to_live,
}

#: The same of the API of streams.
STREAM_ROUTES: Final[Mapping[str, Operation]] = {
    "DescribeStream": describe_stream,
    "GetRecords": get_records,
    "GetShardIterator": get_shard_iterator,
    "ListStreams": list_streams,
}


#: The background job that removes what has expired, and into how many parts it is divided among nodes. Each sweeps some
#: of the shards of the expiry's pointers.
SWEEPING: Final = "tables.expiry"
#: The one that keeps indexes from the log, in shares by the names of their jobs.
KEEPING: Final = "tables.indexes"
#: The one that fills indexes that are added to tables.
FILLING: Final = "tables.filling"
SWEEPERS: Final = 8
#: The one that removes items whose time has come, in shares by the ids of their tables.
EXPIRING: Final = "tables.ttl"
EXPIRING_SHARES: Final = 16
#: The one that splits shards of streams, in shares by the ids of their tables.
SPLITTING: Final = "tables.streams"
SPLITTING_SHARES: Final = 16


class TablesSettings(Struct, frozen=True):
    """What an operator may set.

    Args:
        transition_ms: how long a table stays in CREATING, UPDATING and DELETING at the least, milliseconds, 0 or more.
        tables_max: how many tables a tenant may have, 1 or more.
    """

    transition_ms: int = 0
    tables_max: int = TABLES_MAX


_DEFAULTS: Final = TablesSettings()
_SPLITS: Final = SplitSettings()


class Tables:
    """The tables service on a store. Made by ``open``.

    Args:
        context: what the operations work with.
        supervisor: runs the jobs of the background.
        filling: fills indexes that are added to tables.
        keepers: keep global indexes from the log; None where they are written in the item's own commit.
        splitting: splits shards of streams.
    """

    def __init__(
        self,
        context: Context,
        supervisor: Supervisor,
        filling: Filling,
        keepers: Keepers | None,
        splitting: Splitting,
    ) -> None:
        self._context = context
        self._splitting = splitting
        self._supervisor = supervisor
        self._filling = filling
        self._calls = Calls(context, ROUTES, STREAM_ROUTES)
        self._keepers = keepers
        #: Lets other rooms read the changes of tables.
        self.following = Following(context.store, context.catalog, context.lifecycle.logs)

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        settings: TablesSettings = _DEFAULTS,
        supervisor: Supervisor | None = None,
        assignment: Assignment | None = None,
        request_s_max: float = 30.0,
        splits: SplitSettings = _SPLITS,
    ) -> Self:
        """Opens the service: makes its catalog where there is none, and takes up what an earlier process left.

        Args:
            store: where all state lives; stays open when the service is closed.
            clock: time.
            ids: randomness.
            settings: what an operator may set.
            supervisor: runs the jobs of the background; by default one of its own, which runs all of them.
            assignment: which keepers of indexes are this process's; by default those that the supervisor gives it.
            request_s_max: how long a request may be under way at any process, seconds.
            splits: when shards of streams split.
        """
        catalog = Catalog(store, clock=clock, ids=ids, tables_max=settings.tables_max)
        expiry = ExpiryIndex(store, clock=clock, ids=ids, space=keys.EXPIRY_SPACE)
        shared = mesh_shares.Shares(KEEPING)
        keepers = Keepers(store, catalog, clock=clock, ids=ids, expiry=expiry, assignment=assignment or shared)
        shared.changed = keepers.reassign
        filling = Filling(store, catalog, Barrier(others_s(store, request_s_max)), clock=clock, ids=ids)

        def ended() -> None:
            keepers.look_again()
            filling.look_again()

        lifecycle = Lifecycle(
            catalog,
            store,
            clock=clock,
            departed=DepartedTables(store, clock=clock, ids=ids),
            barrier=filling.barrier,
            transition_ms=settings.transition_ms,
            ended=ended,
        )
        expiring, mine = _shared(EXPIRING, EXPIRING_SHARES, Expiring)
        context = Context(
            store=store,
            clock=clock,
            ids=ids,
            combiner=Combiner(store, clock=clock, ids=ids),
            catalog=catalog,
            departed=lifecycle.departed,
            throttle=Throttle(clock),
            lifecycle=lifecycle,
            counts=Counts(store, clock=clock),
            expiry=expiry,
            expiring=expiring,
            barrier=filling.barrier,
            is_logging=not store.capabilities.cheap_commits_across_partitions,
        )
        splitting, streams = _splitting(catalog, store, clock, splits)
        supervisor = supervisor or _started(Supervisor(store, clock=clock, ids=ids))
        tables = cls(context, supervisor, filling, keepers if context.is_logging else None, splitting)
        try:
            await tables._open(shared if assignment is None else None, mine, streams)
        except BaseException:
            await tables.close()
            raise
        return tables

    async def _open(
        self, shared: mesh_shares.Shares | None, expiring: mesh_shares.Shares, streams: mesh_shares.Shares
    ) -> None:
        context = self._context
        await context.catalog.open()
        await context.store.ensure_space(keys.TOKENS_SPACE)
        await context.expiry.ensure()
        if self._keepers is not None:
            await context.store.ensure_space(keys.KEEPERS_SPACE)
        await context.lifecycle.open()
        context.counts.open()
        await context.expiring.open(context)
        await self._supervisor.add(
            Job(SWEEPING, self._sweep, shards=SWEEPERS, is_fenced=False),
            Job(FILLING, self._fill, is_fenced=False),
            expiring.job,
            streams.job,
        )
        self._splitting.open()
        if self._keepers is not None:
            self._keepers.open()
            if shared is not None:
                await self._supervisor.add(shared.job)

    async def _sweep(self, tenure: Tenure) -> None:
        """Removes what has expired, in the background: client tokens of transactions, marks of keepers.

        Not fenced: removals check what they remove, so that sweepers that meet disturb each other only by conflicts.
        """
        context, shards = self._context, range(tenure.shard, SHARDS, SWEEPERS)
        sweeper = Sweeper(context.expiry, _rule_of, clock=context.clock, ids=context.ids, shards=shards)
        await sweeper.run()

    async def _fill(self, _tenure: Tenure) -> None:
        """Fills indexes, in the background. Not fenced: what is written checks what it was made of."""
        await self._filling.run()

    async def close(self) -> None:
        """Ends the work in the background; what is unfinished is taken up at the next start."""
        await self._supervisor.remove(SWEEPING)
        await self._supervisor.remove(FILLING)
        await self._supervisor.remove(EXPIRING)
        await self._supervisor.remove(SPLITTING)
        await self._splitting.close()
        await self._context.expiring.close()
        if self._keepers is not None:
            await self._supervisor.remove(KEEPING)
            await self._keepers.close()
        await self._context.counts.close()
        await self._context.lifecycle.close()
        await self._context.departed.close()
        await self._context.catalog.close()

    def jobs(self) -> Sequence[str]:
        """Returns the names of the jobs of the background that an assignment is asked about: one per table and shard.

        There are none where global indexes are written in the item's own commit.
        """
        return () if self._keepers is None else self._keepers.jobs()

    def reassign(self) -> None:
        """Says that the assignment has changed; within a second it would be noticed anyway."""
        if self._keepers is not None:
            self._keepers.reassign()

    def measures(self) -> Sequence[Measure]:
        """Returns what the background does about tables that are this process's, for the page of metrics.

        How far their indexes are behind, where those are kept from the log; how far those are filled that were added to
        tables; and what it removes since it expired.
        """
        expiring = measures_of_expiring(self._context.expiring.figures(), self._context.clock.wall_ms())
        others = (*measures_of_filling(self._filling.progress), *expiring)
        return others if self._keepers is None else (*measures_of(self._keepers), *others)

    async def call(self, operation: str, request: dict[str, Any], caller: Caller) -> bytes:
        """Carries out an operation.

        Args:
            operation: its name, for instance ``PutItem``.
            request: the parsed request as the API reference describes it.
            caller: who calls.

        Returns:
            The answer as JSON.

        Raises:
            TablesError: what the API answers with; its code and text are the service's.
            StoreError: the store could not serve.
        """
        return await self._calls.call(operation, request, caller)

    async def call_streams(self, operation: str, request: dict[str, Any], caller: Caller) -> bytes:
        """Carries out an operation of the API of streams; otherwise as `call`."""
        return await self._calls.call_streams(operation, request, caller)

    def service(self) -> TablesService:
        """Returns the service for the edge."""
        return TablesService(self._calls.call)

    def streams_service(self) -> TablesService:
        """Returns the service of streams for the edge."""
        return TablesService(self._calls.call_streams, STREAMS_MOUNT)


#: What is about the logs of the store that it lies in, and is of no use in a copy: a space, and records elsewhere.
SPACES_ABOUT_LOGS: Final = frozenset({keys.KEEPERS_SPACE})
is_about_logs = keys.is_mark


def position_in(iterator: str) -> int:
    """Returns the last position in the log that a shard iterator does not want, however old it is; 0 or more.

    Positions of iterators of one shard can be compared: the higher one has read more.

    Args:
        iterator: as the service handed it out; to clients it is a mere text.

    Raises:
        ValidationException: it did not.
    """
    return decode_iterator(iterator, now_ms=0).after


async def indexes_behind(store: Store, *, clock: Clock, ids: Ids) -> bool:
    """Tells whether the logs of a store hold a change that is not known to be in the global indexes of its tables.

    Args:
        store: the store; it need not have tables.
        clock: time.
        ids: for commit ids.
    """
    if not any(info.name == keys.CATALOG_SPACE for info in await store.list_spaces(keys.CATALOG_SPACE)):
        return False
    return await are_indexes_behind(store, Catalog(store, clock=clock, ids=ids))


class _Shared(Protocol):
    """Work in the background that is shared by the names of what it is about."""

    def look_again(self) -> None:
        """Says that the assignment has changed."""
        ...


_Work = TypeVar("_Work", bound=_Shared)


def _shared(name: str, shares: int, make: Callable[..., _Work]) -> tuple[_Work, mesh_shares.Shares]:
    """Makes what does a part of some work by its ``assignment``; returns it, and what is assigned to this process."""
    mine = mesh_shares.Shares(name, shares=shares)
    work = make(assignment=mine)
    mine.changed = work.look_again
    return work, mine


def _splitting(
    catalog: Catalog, store: Store, clock: Clock, settings: SplitSettings
) -> tuple[Splitting, mesh_shares.Shares]:
    return _shared(SPLITTING, SPLITTING_SHARES, partial(Splitting, catalog, store, clock=clock, settings=settings))


def _started(supervisor: Supervisor) -> Supervisor:
    supervisor.start()
    return supervisor


_TOKENS: Final = TokenRule()
_MARKS: Final = MarkRule()


async def _rule_of(space: str) -> ExpiryRule | None:
    """Returns when the records of a space expire; None: they do not."""
    if space == keys.TOKENS_SPACE:
        return _TOKENS
    return _MARKS if keys.is_index_space(space) else None
