"""What all connections of a server have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from tenet.wire.exchange import Handler
from tenet.wire.limits import EdgeLimits
from tenet.wire.pulse import Pulse
from tenet.wire.shapes import Shapes

if TYPE_CHECKING:
    from tenet.wire.protocol import Connection


class Shared(Struct):
    """What all connections of a server have in common.

    Args:
        handler: answers requests.
        limits: the limits in force.
        body_bytes_small: bodies up to this size are fine for every service.
        pulse: notices that the process stood still.
        greeted: accepted connections that are not open yet; over TLS those in their handshakes.
        connections: every open connection.
        body_bytes_held: bodies in memory now, in bytes; of answers, those that their clients do not read.
        draining: whether connections end after the answer that they are at.
        shapes: of the heads of requests.
    """

    handler: Handler
    limits: EdgeLimits
    body_bytes_small: int
    pulse: Pulse
    greeted: set[Connection] = field(default_factory=set)
    connections: set[Connection] = field(default_factory=set)
    body_bytes_held: int = 0
    draining: bool = False
    shapes: Shapes = field(default_factory=Shapes)
