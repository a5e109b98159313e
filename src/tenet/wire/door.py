"""The door between the edge and the services that it serves.

The edge does what is the same for all: HTTP, TLS, signatures, admission, compression, checksums, metrics, logs, traces.
A service gets a request whose sender is known and gives back bytes. Which service a request belongs to follows from
its ``Mount``; what an error looks like on the wire only the service knows, so that the edge hands even its own
refusals to ``Service.refuse``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct, field

from tenet.base.clock import NEVER
from tenet.base.errors import TenetError
from tenet.wire.trace import TraceContext, context_of


class Principal(Struct, frozen=True, gc=False):
    """Who signed a request.

    Args:
        access_key_id: the key that signed.
        tenant: the account of 12 digits that the key belongs to.
        is_root: whether it is the installation's root key, which may administer it.
    """

    access_key_id: str
    tenant: str
    is_root: bool = False


#: Who stands behind a request that no service asked to be signed.
NOBODY = Principal(access_key_id="", tenant="")


class Patience(Protocol):
    """What a request says that waits on purpose for something to come, as a long poll does."""

    def begin_wait(self) -> None:
        """Gives back the request's place among those in flight; from now on it is ended when its client goes away.

        Its task is cancelled then. What it waits for is not counted as its own time.
        """
        ...

    def end_wait(self) -> None:
        """Takes a place again, whether one is free or not. Called once for each ``begin_wait``, whatever came of it."""
        ...


class Request(Struct, gc=False):
    """A request as the edge hands it over: body complete and decompressed, sender known.

    Args:
        method: upper case.
        path: percent-encoded as it came, without the query.
        query: what followed the question mark, as it came; empty where there was none.
        headers: by lower-case name; a repeated header's values are joined with a comma.
        body: 0 to ``Mount.body_bytes_max`` bytes.
        operation: the part of X-Amz-Target behind the dot; empty where there was none.
        request_id: what the answer carries as its request id.
        principal: who signed.
        deadline: when an answer is of no use any more, in seconds on the monotonic clock.
        region: the region of the signature's scope.
        peer: the client's address.
        notes: what the service wants the log line, the metrics and the trace of this request to say, for instance
            ``table``; values without secrets.
        patience: whom it tells that it waits on purpose; None: nobody.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    operation: str = ""
    request_id: str = ""
    principal: Principal = NOBODY
    deadline: float = NEVER
    region: str = ""
    peer: str = ""
    notes: dict[str, str | int | float] = field(default_factory=dict)
    patience: Patience | None = None

    @property
    def trace(self) -> TraceContext:
        """Where the request stands in a trace (W3C Trace Context); calls made for it carry ``trace.traceparent``."""
        return context_of(self.headers, self.request_id)


#: A body that is made while it is sent. What it raises cuts the answer off.
Pieces: TypeAlias = AsyncGenerator[bytes, None]


class Response(Struct, gc=False):
    """An answer.

    Args:
        status: 200 to 599.
        body: the body, uncompressed; the edge compresses it where the client asks.
        content_type: of the body.
        headers: further ones, by name. The edge adds length, request id, checksum, date and CORS.
        error_code: for an answer that is an error, its code for metrics and logs.
        pieces: in place of a body one whose length nobody knows. It is asked for the next piece when the client has
            read enough of those before, and ended early where the client goes away; the request keeps its place among
            those in flight meanwhile, but while its client does not read. It has no checksum.
        sent_bytes: how much of the pieces was sent; the edge counts.
    """

    status: int
    body: bytes
    content_type: str = "application/x-amz-json-1.0"
    headers: tuple[tuple[str, str], ...] = ()
    error_code: str = ""
    pieces: Pieces | None = None
    sent_bytes: int = 0


#: Returns who sent a request, of which the body is still as it came; ``NOBODY`` where nobody has to say. Raises the
#: service's own error where nobody knows. It may ask others, within a time and for a number of requests that it bounds.
Authenticate: TypeAlias = Callable[[Request], Awaitable[Principal]]


class Mount(Struct, frozen=True):
    """Which requests belong to a service. All that match nothing go to the service whose mount has `fallback`.

    Args:
        label: names the service in metrics and logs, for instance ``dynamodb``.
        signing_name: the service part of a signature's scope; "" where requests need no signature.
        targets: what stands before the dot in X-Amz-Target, for instance ``DynamoDB_20120810``.
        form_versions: the ``Version`` of Query-protocol forms, for instance ``2012-11-05``.
        path_prefixes: paths, for instance ``/placement``; an empty one is of all that match nothing else, the server's
            own pages included, unless they have a target.
        is_aws: whether those are of an API of AWS, as targets and forms are in any case.
        body_bytes_max: larger bodies are refused unread.
        crc32: whether answers carry ``x-amz-crc32``.
        fallback: whether requests that match no mount are this service's to refuse.
        is_lasting: whether a request goes on to its end also where the process stood still in the middle of it. Others
            are ended then, since their clients have long sent them to another server.
        answers_cors: whether it answers browsers' cross-origin requests itself. Else every origin may, as every request
            is signed.
        authenticate: where requests need no signature, how their senders are known. It is asked before anything is
            done that costs much: what is refused here was neither decompressed nor looked through.
    """

    label: str
    signing_name: str
    targets: tuple[str, ...] = ()
    form_versions: tuple[str, ...] = ()
    path_prefixes: tuple[str, ...] = ()
    is_aws: bool = False
    body_bytes_max: int = 16 * 1024 * 1024
    crc32: bool = False
    fallback: bool = False
    is_lasting: bool = False
    answers_cors: bool = False
    authenticate: Authenticate | None = None


class Measured(Struct, frozen=True):
    """Figures of a service for the page of metrics, one for each set of labels.

    Args:
        name: of the metric, with the unit last, for instance ``tenet_index_lag_seconds``.
        words: what it is, in a sentence.
        labels: names of the labels.
        values: the figures, by the values of the labels.
        is_counter: whether they only ever rise.
    """

    name: str
    words: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]
    is_counter: bool = False


class Distribution(Struct, frozen=True):
    """A histogram of a service for the page of metrics.

    Args:
        name: of the metric, with the unit last.
        words: what it is, in a sentence.
        bounds: upper bounds of the buckets, ascending.
        counts: how many fell into each bucket; one more than there are bounds.
        total: the sum of all that was counted.
    """

    name: str
    words: str
    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


Measure: TypeAlias = Measured | Distribution


class Service(Protocol):
    """A protocol service on the one listener."""

    @property
    def mount(self) -> Mount:
        """Which requests are its own."""
        ...

    async def answer(self, request: Request) -> Response:
        """Answers a request; never raises for what a client can cause.

        Runs as part of a task, from its first step on, but without a turn of the loop before it suspends: what can be
        answered without waiting is answered at once.
        """
        ...

    def refuse(self, request: Request, error: TenetError) -> Response:
        """Turns an error of the edge (signature, admission, size, unknown target) into this service's bytes."""
        ...
