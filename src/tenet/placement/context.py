"""What every operation is handed: the request, who sent it, and what the service works with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qsl

from msgspec import Struct, field

from tenet.base.clock import NEVER
from tenet.placement.errors import BadRequest
from tenet.placement.rules.policy import Policy, Sender

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.counts import Counts
    from tenet.placement.ops.claims import Claims
    from tenet.placement.ops.committing import Committer
    from tenet.placement.ops.expiring import Deadlines
    from tenet.placement.ops.journal import Journal
    from tenet.placement.ops.model_keeping import ModelKeeper
    from tenet.placement.ops.names import Names
    from tenet.placement.ops.pieces import Held
    from tenet.placement.ops.plugins import Plugins
    from tenet.placement.ops.quota_keeping import Quotas
    from tenet.placement.ops.reading import Reader
    from tenet.placement.ops.resource_plugins import ResourceClasses

#: Values of ``Answer.modified_ms``: no header says when; now.
UNTOLD: Final = -1
NOW: Final = 0


class Asked(Struct, frozen=True):
    """A request as an operation gets it.

    Args:
        version: microversion, the number behind the dot.
        path: the named parts of the path.
        query_string: what followed the question mark, percent-encoded as it came.
        body: as it came.
        sender: who sent it.
        base: what stands before the paths of links, for instance ``/placement``.
        origin: scheme, host and port that the request came to, for instance ``https://localhost:8000``.
        request_id: of the edge.
        deadline: when an answer is of no use any more, in seconds on the monotonic clock.
        notes: what the log line of this request should say.
    """

    version: int
    path: Mapping[str, str]
    query_string: str
    body: bytes
    sender: Sender
    base: str = ""
    origin: str = ""
    request_id: str = ""
    deadline: float = NEVER
    notes: dict[str, str | int | float] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, str]:
        """The last value of each parameter of the query string, decoded.

        Raises:
            BadRequest: it is not UTF-8.
        """
        try:
            return dict(parse_qsl(self.query_string, keep_blank_values=True, errors="strict"))
        except ValueError as error:
            raise BadRequest(f"Invalid query string parameters: {error}") from None


class Answer(Struct, frozen=True):
    """What an operation answers.

    Args:
        status: 200 to 299.
        document: becomes JSON; None: no body.
        body: JSON that is written already, where there is no document.
        location: path of what was made, behind the base; empty: no such header.
        pieces: JSON that is written while it is sent, where there is neither.
        modified_ms: when what is shown was last changed, milliseconds since 1970, ``NOW`` or ``UNTOLD``; told from
            microversion 1.15 on.
    """

    status: int = 200
    document: Any = None
    location: str = ""
    body: bytes = b""
    modified_ms: int = UNTOLD
    pieces: AsyncGenerator[bytes, None] | None = None


#: An operation: context and request; returns the answer, or raises a ``PlacementError``.
Operation: TypeAlias = Callable[["Context", Asked], Awaitable[Answer]]


@dataclass(frozen=True)
class Context:
    """What the operations work with; one for the life of the service.

    Args:
        clock: time.
        ids: randomness.
        policy: who may do what.
        reader: reads providers and consumers.
        committer: writes them.
        names: resource classes and traits.
        keeper: keeps the read model.
        plugins: filters and weighers.
        classes: resource classes in their own units.
        claims: reads claims.
        quotas: of projects.
        journal: claims and refused requests in order of time.
        expiry: notes until when claims have to be confirmed.
        held: how many answers are being sent in pieces.
        counts: what is told to the page of metrics.
    """

    clock: Clock
    ids: Ids
    policy: Policy
    reader: Reader
    committer: Committer
    names: Names
    keeper: ModelKeeper
    plugins: Plugins
    classes: ResourceClasses
    claims: Claims
    quotas: Quotas
    journal: Journal
    expiry: Deadlines
    held: Held
    counts: Counts
