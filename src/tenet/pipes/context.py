"""What every operation is handed: who calls, and what the service works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from tenet.base.clock import NEVER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.pipes.ops.catalog import Catalog
    from tenet.pipes.ops.cursors import Cursors
    from tenet.pipes.ops.runners import Runners
    from tenet.pipes.ops.sending import Sender
    from tenet.tables.api import Following

    #: An operation: context, caller and the request's members; returns the answer's.
    Operation: TypeAlias = Callable[["Context", "Caller", dict[str, Any]], Awaitable[dict[str, Any]]]


class Caller(Struct, gc=False):
    """Who calls, and for how long.

    Args:
        account: the tenant, 12 digits.
        region: the region of the request's signature.
        deadline: when an answer is of no use any more, in seconds on the monotonic clock.
        notes: what the log line of this request should say.
    """

    account: str
    region: str = "us-east-1"
    deadline: float = NEVER
    notes: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What the operations work with; one for the life of the service.

    Args:
        clock: time.
        ids: randomness.
        catalog: finds pipes.
        cursors: how far pipes are.
        following: finds tables.
        sender: finds queues.
        runners: run pipes.
        is_known_to_all: whether all nodes that write to tables know of pipes.
    """

    clock: Clock
    ids: Ids
    catalog: Catalog
    cursors: Cursors
    following: Following
    sender: Sender
    runners: Runners
    is_known_to_all: Callable[[], bool]
