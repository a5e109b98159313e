"""What every operation is handed: who calls, and what the service works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from tenet.base.clock import NEVER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.queues.ops.catalog import Catalog
    from tenet.queues.ops.mover import Mover
    from tenet.queues.ops.owning.owners import Owners
    from tenet.queues.ops.remains import Remains
    from tenet.store.contract import Store
    from tenet.wire.door import Patience

    #: An operation: context, caller and the parsed request (its shape already checked); returns the answer's members,
    #: None where it has none.
    Operation: TypeAlias = Callable[["Context", "Caller", dict[str, Any]], Awaitable[dict[str, Any] | None]]

#: How long before its deadline a request ends its wait at the latest, seconds.
_ANSWER_S: Final = 0.5


class Caller(Struct, gc=False):
    """Who calls, for how long, and from where.

    Args:
        account: the tenant, 12 digits.
        region: the region of the request's signature.
        deadline: when an answer is of no use any more, in seconds on the monotonic clock.
        notes: what the log line of this request should say.
        base: scheme and host that the request was sent to, for URLs of queues.
        peer: the client's address.
        trace: what the request's X-Amzn-Trace-Id says; empty where there is none.
        takes_json: whether the answer goes out as JSON.
        patience: whom the request tells that it waits on purpose; None: nobody.
    """

    account: str
    region: str = "us-east-1"
    deadline: float = NEVER
    notes: dict[str, str | int | float] = field(default_factory=dict)
    base: str = ""
    peer: str = ""
    trace: str = ""
    takes_json: bool = True
    patience: Patience | None = None


class Context:
    """What the operations work with; one for the life of the service.

    Args:
        store: where all state lives.
        clock: time.
        ids: randomness.
        catalog: finds queues.
        owners: hold the messages of queues.
        mover: carries out message movement tasks.
        remains: takes away what is left of deleted queues.
    """

    __slots__ = ("catalog", "clock", "ids", "is_ending", "mover", "owners", "remains", "store")

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        catalog: Catalog,
        owners: Owners,
        mover: Mover,
        remains: Remains,
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.catalog = catalog
        self.owners = owners
        self.mover = mover
        self.remains = remains
        #: Whether nobody may wait for messages any more, since the service is about to be closed.
        self.is_ending = False

    def bounded_s(self, wait_s: float, deadline: float) -> float:
        """Returns how long a request may wait, so that it is answered before its deadline.

        Args:
            wait_s: how long it wants to, seconds.
            deadline: in seconds on the monotonic clock.
        """
        return max(min(wait_s, deadline - self.clock.monotonic_s() - _ANSWER_S), 0.0)
