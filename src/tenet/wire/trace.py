"""Traces: the context that a request carries (W3C Trace Context), and spans of the requests that are worth one.

A span is made after the answer, from what is known by then; a request that leaves none has cost nothing. Where a
client sends no context, the trace is named after the request id, so that whoever has the one finds the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from msgspec import Struct

#: W3C Trace Context, section 3.2: version, trace, parent, flags; a later version may have more behind them.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED: Final = 1


class TraceContext(Struct, frozen=True, gc=False):
    """Where a request stands in a trace.

    Args:
        trace_id: 32 hexadecimal digits.
        parent_id: 16 of them, the caller's span; "" where the trace begins here.
        span_id: 16 of them, the request's own span.
        is_sampled: whether the caller leaves a trace of its own.
    """

    trace_id: str
    parent_id: str
    span_id: str
    is_sampled: bool

    @property
    def traceparent(self) -> str:
        """The header to send along with calls that are made for the request."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"


def context_of(headers: Mapping[str, str], request_id: str) -> TraceContext:
    """Returns where a request stands in a trace.

    Args:
        headers: of the request, by lower-case name.
        request_id: its id, at least 48 hexadecimal digits.
    """
    digits = request_id.lower()
    span_id = digits[32:48]
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if found is None:
        return TraceContext(digits[:32], "", span_id, is_sampled=False)
    return TraceContext(found[1], found[2], span_id, is_sampled=bool(int(found[3], 16) & _SAMPLED))


class Finished(Struct, frozen=True, gc=False):
    """A request that was answered.

    Args:
        context: where it stands in its trace.
        service: label of the service's mount.
        operation: what was asked for, or "".
        status: of the answer.
        code: the error's code, or "".
        seconds: from its last byte to its answer.
        attributes: what else is known, by name; without secrets.
    """

    context: TraceContext
    service: str
    operation: str
    status: int
    code: str
    seconds: float
    attributes: Mapping[str, str | int | float]


class Tracer(Protocol):
    """Takes the spans of finished requests."""

    def leave(self, finished: Finished) -> None:
        """Leaves a span; returns at once."""
        ...

    def close(self) -> None:
        """Hands over what is left."""
        ...
