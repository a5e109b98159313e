"""What the rest of the mesh, and services, need of a connection between nodes: calls, notices, and who is connected.

``mesh.network`` provides it over mutual TLS, ``mesh.switchboard`` within one process, for tests and simulations.

All methods are called on the loop that the channel runs on, and callbacks run there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NewType, Protocol, TypeAlias

from msgspec import Struct

#: Names a node, for as long as it exists: 1 to 64 of ``a-z``, ``0-9`` and ``-``. Its certificate is made out to it.
NodeId = NewType("NodeId", str)

#: The most bytes that a body may have.
BODY_BYTES_MAX = 8 * 1024 * 1024


class Peer(Struct, frozen=True, gc=False):
    """A connected node.

    Args:
        node: its id, as its certificate says.
        incarnation: names the process; another one after each of its restarts. 16 hexadecimal digits.
        address: ``HOST:PORT`` that it says other nodes reach it at; it may be another one than it is connected from.
        release: the version of Tenet that it runs, for people; what is spoken is agreed upon by the channel.
    """

    node: NodeId
    incarnation: str
    address: str
    release: str


#: Answers calls of one kind: gets who asks and the body, returns the body of the answer. A ``TenetError`` that it
#: raises is a ``CallFailed`` with the same code at the caller. It is cancelled when the call's deadline has passed, or
#: the connection has ended.
Handler: TypeAlias = Callable[[NodeId, bytes], Awaitable[bytes]]

#: Takes notices of one kind: gets who sends and the body. It must not wait for anything.
Receiver: TypeAlias = Callable[[NodeId, bytes], None]

#: Is told of a connection that came up, or of one that ended.
Listener: TypeAlias = Callable[[Peer], None]


class Channel(Protocol):
    """How a node talks to others. Between two nodes there is one connection at most, whoever has dialled."""

    @property
    def node(self) -> NodeId:
        """This node."""
        ...

    @property
    def incarnation(self) -> str:
        """Names this process among all that have been this node: 16 hexadecimal digits."""
        ...

    async def call(self, peer: NodeId, kind: str, body: bytes, timeout_s: float) -> bytes:
        """Asks a connected peer something and returns its answer.

        Args:
            peer: whom to ask.
            kind: names what is asked, 1 to 64 bytes of ASCII, for instance ``lease.move``; a prefix per user.
            body: 0 to ``BODY_BYTES_MAX`` bytes.
            timeout_s: how long to wait; the peer is told, and stops working on it then too.

        Raises:
            PeerUnreachable: there is no connection; nothing was asked.
            CallLost: no answer within that time, or the connection ended; the peer may have done it.
            CallRefused: the peer has no handler for it, or too much to do; it did nothing.
            CallFailed: its handler raised this.
            FrameTooLarge: the body, or the answer, is too large.
        """
        ...

    def notify(self, peer: NodeId, kind: str, body: bytes) -> bool:
        """Tells a peer something, without an answer. Never waits, never raises for the peer's sake.

        Notices of one connection arrive in the order in which they were sent, or not at all: they are dropped where
        there is no connection, and while more than ``notice_bytes_max`` wait to be sent to this peer.

        Returns:
            Whether it was taken to be sent; no more than that.

        Raises:
            FrameTooLarge: the body is too large.
        """
        ...

    def handle(self, kind: str, handler: Handler) -> None:
        """Answers calls of a kind by this handler, in place of any before."""
        ...

    def receive(self, kind: str, receiver: Receiver) -> None:
        """Gives notices of a kind to this receiver, in place of any before."""
        ...

    def on_up(self, listener: Listener) -> None:
        """Tells the listener of each peer with which a connection came up, from now on."""
        ...

    def on_down(self, listener: Listener) -> None:
        """Tells the listener of each peer that ended its connection, was restarted, or is silent for too long.

        A connection that is replaced by another to the same incarnation is not down in between.
        """
        ...

    def peers(self) -> tuple[Peer, ...]:
        """Returns those that are connected now, by id."""
        ...

    def heard_s(self, peer: NodeId) -> float | None:
        """Returns when anything last arrived from a peer, on ``Clock.monotonic_s``; None where it is not connected.

        Each side sends something at least every ``keep_alive_s``, so that silence means something.
        """
        ...

    def dial(self, address: str, peer: NodeId | None = None) -> None:
        """Keeps trying to be connected with who is at an address, with growing pauses, until ``forget``.

        Nothing happens where that is this node itself, or a peer is connected already. Several may want the same: it
        ends when each of them has forgotten it.

        Args:
            address: ``HOST:PORT``.
            peer: who it is expected to be; another node that answers there is refused. None: whoever it is, as long as
                its certificate is good.
        """
        ...

    def forget(self, address: str, peer: NodeId | None = None) -> None:
        """Takes back what one caller of ``dial`` said of the same two; a connection that is up stays until it ends."""
        ...

    def drop(self, peer: NodeId) -> None:
        """Ends the connection with a peer, at once. It may come up again."""
        ...
