"""Requests and answers, as the edge and its services hand them to each other; services find both in ``door``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeAlias

from tenet.base.clock import NEVER
from tenet.wire.senders import NOBODY, Patience, Principal
from tenet.wire.trace import TraceContext, context_of

#: A body that is made while it is sent. What it raises cuts the answer off.
Pieces: TypeAlias = AsyncGenerator[bytes, None]


class Request:
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
    """

    __slots__ = (
        "body",
        "deadline",
        "headers",
        "method",
        "notes",
        "operation",
        "path",
        "patience",
        "peer",
        "principal",
        "query",
        "region",
        "request_id",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: bytes,
        *,
        operation: str = "",
        request_id: str = "",
        principal: Principal = NOBODY,
        deadline: float = NEVER,
        region: str = "",
        peer: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.operation = operation
        self.request_id = request_id
        self.principal = principal
        self.deadline = deadline
        self.region = region
        self.peer = peer
        #: What the service wants the log line, the metrics and the trace of this request to say, for instance
        #: ``table``; values without secrets.
        self.notes: dict[str, str | int | float] = {}
        #: Whom it tells that it waits on purpose; None: nobody.
        self.patience: Patience | None = None

    @property
    def trace(self) -> TraceContext:
        """Where the request stands in a trace (W3C Trace Context); calls made for it carry ``trace.traceparent``."""
        return context_of(self.headers, self.request_id)


class Response:
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
    """

    __slots__ = ("body", "content_type", "error_code", "headers", "pieces", "sent_bytes", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/x-amz-json-1.0",
        headers: tuple[tuple[str, str], ...] = (),
        *,
        error_code: str = "",
        pieces: Pieces | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.error_code = error_code
        self.pieces = pieces
        #: How much of the pieces was sent; the edge counts.
        self.sent_bytes = 0
