"""The door between the edge and the services that it serves.

The edge does what is the same for all: HTTP, TLS, signatures, admission, compression, checksums, metrics, logs, traces.
A service gets a request whose sender is known and gives back bytes. Which service a request belongs to follows from
its ``Mount``; what an error looks like on the wire only the service knows, so that the edge hands even its own
refusals to ``Service.refuse``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from tenet.base.errors import TenetError
from tenet.wire.messages import Pieces, Request, Response
from tenet.wire.senders import NOBODY, Patience, Principal

__all__ = (
    "NOBODY",
    "Authenticate",
    "Distribution",
    "Measure",
    "Measured",
    "Mount",
    "Patience",
    "Pieces",
    "Principal",
    "Request",
    "Response",
    "Service",
)


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
