"""Every limit of the edge in one place, and which requests leave a line. All can be changed while the server runs."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

_MIB = 1024 * 1024


class EdgeLimits(Struct, frozen=True, kw_only=True):
    """What the edge takes on at most. A change is a new value of ``Edge.limits``; it holds from the next request on.

    Args:
        connections_max: connections served at once; one more is answered 503 and closed.
        header_bytes_max: request line and headers together.
        headers_max: header lines of a request.
        pipelined_max: requests of one connection that wait for their turn; reading pauses beyond.
        body_bytes_held_max: bodies held in memory over all connections, of requests and of answers that their clients
            do not read; beyond, requests are throttled.
        decompressed_ratio_max: how many times its size a compressed body may grow to (beyond ``Mount.body_bytes_max``
            it is refused whatever this says).
        nesting_max: brackets open at once in a JSON body.
        in_flight_max: requests being answered at once.
        waiting_max: requests that wait for one of those places; beyond, they are throttled at once.
        waiting_ms_max: how long one waits before it is throttled.
        requests_per_s_max: what the server takes on, 0 for no limit.
        requests_burst: how many may come at once under ``requests_per_s_max``; 0 is a tenth of a second's.
        tenant_requests_per_s_max: each tenant's share, 0 for no limit.
        tenant_requests_per_s: exceptions to it, by tenant.
        refusals_per_s_max: throttled requests answered in a second; the answers to more of them are kept back, up to a
            second, so that clients which try again at once cannot keep the server busy with refusing.
        loop_delay_ms_max: requests that waited longer than this to be read are throttled, 0 for never. What counts is
            the time since the server began its present round over the connections that had something to say.
        deadline_s: how long a request may take from its last byte to its answer.
        header_s_max: how long a client may take to send a request's headers, from their first byte.
        body_s_max: how long it may take to send the body.
        idle_s_max: how long a connection stays open without a request.
        write_s_max: how long a client may leave an answer unread.
        linger_s_max: how long the rest of a refused request is read and thrown away, so that its sender sees why.
        handshake_s_max: how long a TLS handshake may take.
    """

    connections_max: int = 10_000
    header_bytes_max: int = 32 * 1024
    headers_max: int = 100
    pipelined_max: int = 32
    body_bytes_held_max: int = 256 * _MIB
    decompressed_ratio_max: int = 200
    nesting_max: int = 1_000
    in_flight_max: int = 1024
    waiting_max: int = 1024
    waiting_ms_max: int = 250
    requests_per_s_max: float = 0.0
    requests_burst: float = 0.0
    tenant_requests_per_s_max: float = 0.0
    tenant_requests_per_s: Mapping[str, float] = field(default_factory=dict)
    refusals_per_s_max: int = 5_500
    loop_delay_ms_max: int = 1000
    deadline_s: float = 30.0
    header_s_max: float = 10.0
    body_s_max: float = 60.0
    idle_s_max: float = 120.0
    write_s_max: float = 60.0
    linger_s_max: float = 2.0
    handshake_s_max: float = 10.0


class ObservedRules(Struct, frozen=True, kw_only=True):
    """Which requests leave a line and a trace; can be changed while running.

    Args:
        slow_ms: a request that takes longer is slow.
        sample_ratio: the share of the others, 0 to 1.
    """

    slow_ms: int = 500
    sample_ratio: float = 0.001
