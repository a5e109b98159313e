"""What every operation is handed: who calls, and what the service works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.base.clock import NEVER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.combine import Combiner
    from tenet.store.contract import Store
    from tenet.store.expiry import ExpiryIndex
    from tenet.tables.ops.barrier import Barrier
    from tenet.tables.ops.catalog import Catalog
    from tenet.tables.ops.counts import Counts
    from tenet.tables.ops.departed import DepartedTables
    from tenet.tables.ops.expiring import Expiring
    from tenet.tables.ops.lifecycle import Lifecycle
    from tenet.tables.throttle import Throttle

    #: An operation: context, caller and the parsed request (its shape already checked); returns the answer as JSON.
    Operation: TypeAlias = Callable[["Context", "Caller", dict[str, Any]], Awaitable[bytes]]


class Caller:
    """Who calls, for how long, and from where.

    Args:
        account: the tenant, 12 digits.
        region: the region of the request's signature.
        deadline: when an answer is of no use any more, in seconds on the monotonic clock.
        notes: what the log line of this request should say; None: nobody reads it.
        host: the address that the request was sent to, as its Host header says; empty where there was none.
    """

    __slots__ = ("account", "deadline", "host", "notes", "region")

    def __init__(
        self,
        account: str,
        region: str = "us-east-1",
        deadline: float = NEVER,
        notes: dict[str, str | int | float] | None = None,
        host: str = "",
    ) -> None:
        self.account = account
        self.region = region
        self.deadline = deadline
        self.notes: dict[str, str | int | float] = {} if notes is None else notes
        self.host = host


class Context:
    """What the operations work with; one for the life of the service.

    Args:
        store: where all state lives.
        clock: time.
        ids: randomness.
        combiner: read-modify-write of single records, with those of one key combined.
        catalog: finds tables.
        departed: finds deleted ones whose streams can still be read.
        throttle: provisioned capacity.
        lifecycle: carries tables through their transitions.
        counts: what tables hold.
        expiry: where it is noted that records expire.
        expiring: removes items whose time has come.
        barrier: tells when all requests have ended that had begun before a moment.
        is_logging: whether entries of global indexes are kept from the log of the table's space, instead of being
            written in the item's own commit.
    """

    __slots__ = (
        "barrier",
        "catalog",
        "clock",
        "combiner",
        "counts",
        "departed",
        "expiring",
        "expiry",
        "ids",
        "is_logging",
        "lifecycle",
        "store",
        "throttle",
    )

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        combiner: Combiner,
        catalog: Catalog,
        departed: DepartedTables,
        throttle: Throttle,
        lifecycle: Lifecycle,
        counts: Counts,
        expiry: ExpiryIndex,
        expiring: Expiring,
        barrier: Barrier,
        is_logging: bool = False,
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.combiner = combiner
        self.catalog = catalog
        self.departed = departed
        self.throttle = throttle
        self.lifecycle = lifecycle
        self.counts = counts
        self.expiry = expiry
        self.expiring = expiring
        self.barrier = barrier
        self.is_logging = is_logging
