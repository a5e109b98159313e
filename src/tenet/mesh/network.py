"""A node's connections with all others: listens, dials, keeps one connection per peer, and is the node's ``Channel``.

Invariants, which the tests show:

* A peer is up with one incarnation at a time, and ``on_up`` and ``on_down`` alternate for it.
* Of two connections between the same two processes both sides keep the same one: that which the node with the lower id
  has dialled, and of several of those the last.
* A connection ends when a certificate does that it was made with. Whoever dialled it dials anew well before, with the
  renewed certificate, and the new connection takes the other's place without a gap.
* The same holds where another authority takes the place of the one that a certificate is of.
* Nobody is a peer whom ``admit`` does not know at that moment, or who was told to ``expel`` since.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog
from cryptography import x509

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.mesh.channel import Handler, Listener, NodeId, Peer, Receiver
from tenet.mesh.credentials import Credentials, fingerprint_of, node_of, version_of
from tenet.mesh.dialling import Dialler
from tenet.mesh.errors import MeshError, PeerUnreachable
from tenet.mesh.frames import Hello, check_body
from tenet.mesh.link import Link, LinkLimits, Proof
from tenet.wire.listener import listening_sockets

#: How long a side may take to say goodbye over TLS.
_GOODBYE_S: Final = 1.0
#: How long the loop leaves the socket alone when the process has no descriptors left.
_PAUSE_S: Final = 0.1
#: Connections that are not greeted on yet: all together, and from one address. Addresses from which nodes have come
#: before do not count among all, so that strangers keep no node out.
STRANGERS_MAX: Final = 256
STRANGERS_OF_ADDRESS_MAX: Final = 64
#: How many such addresses are remembered.
_ADDRESSES_MAX: Final = 1_024
#: Looks at every connection so many times per ``keep_alive_s``.
_LOOKS: Final = 3
#: A pause of our own that is longer than so many looks is not the peers' silence.
_LOOKS_MISSED: Final = 4

_log = structlog.get_logger(__name__)


class Network:
    """Implements ``channel.Channel`` over mutual TLS, and ``link.Owner``.

    Args:
        credentials: the node's certificate, and whom it believes.
        release: the version of Tenet, for people.
        admit: says of a node, and of the fingerprint of its public key, why it is not talked to; "" where it is.
        clock: time.
        ids: for the incarnation, and for jitter.
        limits: what each connection takes.
    """

    def __init__(
        self,
        credentials: Credentials,
        release: str,
        admit: Callable[[NodeId, str], Awaitable[str]],
        *,
        clock: Clock,
        ids: Ids,
        limits: LinkLimits | None = None,
    ) -> None:
        self.credentials = credentials
        self.clock = clock
        self.limits = limits or LinkLimits()
        #: ``HOST:PORT`` that others reach this node at; known once it listens.
        self.address = ""
        #: Later incarnations of a node are greater, as far as its clock allows.
        self.incarnation = f"{clock.wall_ms() & 0xFFFFFFFFFFFF:012x}{ids.draw(2).hex()}"
        self._release = release
        self._admit = admit
        self._handlers: dict[str, Handler] = {}
        self._stranger_handlers: dict[str, Handler] = {}
        self._receivers: dict[str, Receiver] = {}
        self._up: list[Listener] = []
        self._down: list[Listener] = []
        self._links: dict[NodeId, Link] = {}
        self._all: set[Link] = set()
        self._strangers: Counter[str] = Counter()
        #: Addresses from which nodes have come, the last ones.
        self._members_from: dict[str, None] = {}
        self._sockets: list[socket.socket] = []
        #: Those whose handshake goes on.
        self._accepted: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dialler = Dialler(self, ids)
        self._ticked_s = clock.monotonic_s()

    # ---- beginning and end -------------------------------------------------------------------------------------------

    async def start(self, host: str, port: int, *, advertised: str = "") -> None:
        """Listens.

        Args:
            host: name or address.
            port: 0 takes a free one.
            advertised: ``HOST:PORT`` that others reach it at; a port of 0 stands for the one that is listened on.
                Empty: what is listened on.

        Raises:
            OSError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        self._sockets = await listening_sockets(host, port)
        port = int(self._sockets[0].getsockname()[1])
        self.address = _told(advertised or (f"[{host}]:0" if ":" in host else f"{host}:0"), port)
        for listening in self._sockets:
            loop.add_reader(listening.fileno(), self._accept, listening)
        self._begin(self._tick_on())

    async def close(self) -> None:
        """Stops listening and dialling, and ends every connection; peers see at once that it is gone."""
        self._dialler.close()
        listening, self._sockets = self._sockets, []
        for one in listening:
            asyncio.get_running_loop().remove_reader(one.fileno())
        for task in [*self._tasks]:
            task.cancel()
        for link in [*self._all]:
            link.part("the node stops")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # The loop lets go of descriptors, and transports say goodbye, in its next turns.
        await asyncio.sleep(0)
        for unused in [*listening, *self._accepted]:
            unused.close()

    # ---- the channel -------------------------------------------------------------------------------------------------

    @property
    def node(self) -> NodeId:
        """This node."""
        return self.credentials.node

    async def call(self, peer: NodeId, kind: str, body: bytes, timeout_s: float) -> bytes:
        """Asks a connected peer something and returns its answer; see ``Channel.call``."""
        check_body(body)
        link = self._links.get(peer)
        if link is None:
            raise PeerUnreachable(f"node {peer} is not connected")
        return await link.call(kind, body, timeout_s)

    def notify(self, peer: NodeId, kind: str, body: bytes) -> bool:
        """Tells a peer something; see ``Channel.notify``."""
        check_body(body)
        link = self._links.get(peer)
        return link is not None and link.notify(kind, body)

    def handle(self, kind: str, handler: Handler) -> None:
        """Answers calls of a kind by this handler."""
        self._handlers[kind] = handler

    def handle_strangers(self, kind: str, handler: Handler) -> None:
        """Answers calls of a kind from those that have no certificate yet; the handler is given an empty id."""
        self._stranger_handlers[kind] = handler

    def receive(self, kind: str, receiver: Receiver) -> None:
        """Gives notices of a kind to this receiver."""
        self._receivers[kind] = receiver

    def on_up(self, listener: Listener) -> None:
        """Tells the listener of each peer with which a connection came up."""
        self._up.append(listener)

    def on_down(self, listener: Listener) -> None:
        """Tells the listener of each peer whose connection ended."""
        self._down.append(listener)

    def peers(self) -> tuple[Peer, ...]:
        """Returns those that are connected now, by id."""
        return tuple(link.peer for _, link in sorted(self._links.items()) if link.peer is not None)

    def heard_s(self, peer: NodeId) -> float | None:
        """Returns when anything last arrived from a peer, on the monotonic clock."""
        link = self._links.get(peer)
        return link.heard_s if link is not None else None

    def dial(self, address: str, peer: NodeId | None = None) -> None:
        """Keeps trying to be connected with who is at an address."""
        self._dialler.dial(address, peer)

    def forget(self, address: str, peer: NodeId | None = None) -> None:
        """Stops trying to be connected with who is at an address, where nobody else wants it."""
        self._dialler.forget(address, peer)

    def drop(self, peer: NodeId) -> None:
        """Ends the connection with a peer."""
        self.expel(peer, "the other side wants a new connection")

    def expel(self, node: NodeId, reason: str) -> None:
        """Ends every connection with a node, and tells it why."""
        for link in [link for link in self._all if link.node == node]:
            link.part(reason)

    def outdated(self) -> tuple[NodeId, ...]:
        """Returns the nodes with which a connection is of another authority than the present one, by id."""
        return tuple(node for node, link in sorted(self._links.items()) if self.is_outdated(link))

    def take_over(self) -> None:
        """Shows what the node's files hold now, and believes whom they say.

        Connections of an authority that is not believed any more end; those of a former one that is are dialled anew,
        and end when another one has taken their place.

        Raises:
            IdentityUnusable: a file cannot be used; everything stays as it was.
        """
        self.credentials.take_over()
        for link in [*self._all]:
            if link.is_up and not link.signers <= self.credentials.authorities.keys():
                link.part("a certificate of it is of an authority that is not believed any more")
        self._dialler.look()

    def trouble(self, address: str, peer: NodeId | None = None) -> str:
        """Returns why the last attempt to reach a peer at an address failed; "" where none has. None: any peer."""
        return self._dialler.trouble(address, peer)

    # ---- for the dialler ---------------------------------------------------------------------------------------------

    def link_with(self, node: NodeId) -> Link | None:
        """Returns the connection with a node that is up."""
        return self._links.get(node)

    def adopt(self, link: Link) -> Link:
        """Keeps an eye on a connection that is being made with this node's present certificate."""
        link.signers = {self.credentials.signed_by}
        self._all.add(link)
        return link

    def is_outdated(self, link: Link) -> bool:
        """Whether a connection was made with a certificate of another authority than the present one."""
        return link.signers != {self.credentials.present}

    # ---- what links need ---------------------------------------------------------------------------------------------

    def proof(self, secured: ssl.SSLObject) -> Proof:
        """Says who is at the other end of a connection; see ``link.Owner``."""
        version = version_of(secured, self.credentials.protocols)
        shown = secured.getpeercert(binary_form=True)
        now_s, now_ms = self.clock.monotonic_s(), self.clock.wall_ms()
        if version == 0:
            return Proof(None, "", 0, now_s + self.limits.stranger_s)
        if shown is None:
            raise MeshError("it shows no certificate")
        certificate = x509.load_der_x509_certificate(shown)
        node = node_of(certificate)
        if node is None:
            raise MeshError("its certificate is not a node's")
        ends_s = min(certificate.not_valid_after_utc, self.credentials.not_after).timestamp()
        signed_by = self.credentials.signer_of(certificate)
        if not signed_by:
            raise MeshError("its certificate is of an authority that is not believed any more")
        return Proof(node, fingerprint_of(certificate), version, now_s + ends_s - now_ms / 1000, signed_by)

    def hello(self, attempt: int) -> Hello:
        """Returns how this node introduces itself."""
        return Hello(self.incarnation, self.address, self._release, attempt)

    async def admit(self, link: Link) -> str:
        """Returns why the node at the other end is not talked to; "" where it is."""
        assert link.node is not None
        if link.node == self.node:
            return "that is this node itself"
        return await self._admit(link.node, link.key_sha256)

    def greeted(self, link: Link) -> None:
        """Takes a connection up, in the place of a lesser one, or retires it."""
        assert link.node is not None
        assert link.peer is not None
        now_s = self.clock.monotonic_s()
        former = self._links.get(link.node)
        if former is None or former.peer is None:
            self._links[link.node] = link
            self._tell(self._up, link.peer)
        elif former.peer.incarnation != link.peer.incarnation:
            if link.peer.incarnation < former.peer.incarnation:
                link.part("a later process of this node is connected")
                return
            former.hang_up("the node was started again")
            self._links[link.node] = link
            self._tell(self._up, link.peer)
        elif self._rank(link) > self._rank(former):
            self._links[link.node] = link
            former.retire(now_s)
        else:
            link.retire(now_s)
        self._dialler.look()

    def ended(self, link: Link) -> None:
        """Takes note that a connection is over."""
        self._all.discard(link)
        if link.node is not None and self._links.get(link.node) is link:
            del self._links[link.node]
            assert link.peer is not None
            _log.info("a node is not connected any more", peer=link.node, reason=link.reason)
            self._tell(self._down, link.peer)
        self._dialler.look()

    def handler(self, kind: str, *, of_stranger: bool) -> Handler | None:
        """Returns who answers calls of a kind."""
        return (self._stranger_handlers if of_stranger else self._handlers).get(kind)

    def receiver(self, kind: str) -> Receiver | None:
        """Returns who takes notices of a kind."""
        return self._receivers.get(kind)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _rank(self, link: Link) -> tuple[bool, int]:
        assert link.node is not None
        by_lower = (self.node < link.node) == link.is_dialled
        return by_lower, link.attempt

    def _tell(self, listeners: list[Listener], peer: Peer) -> None:
        for listener in listeners:
            listener(peer)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self, listening: socket.socket) -> None:
        try:
            accepted, address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._pause(listening, error)
            return
        source = str(address[0])
        if not self._has_room(source):
            accepted.close()
            return
        accepted.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._strangers[source] += 1
        self._accepted.add(accepted)
        self._begin(self._greet(accepted, source))

    def _has_room(self, source: str) -> bool:
        """Whether one more connection from an address may be greeted on."""
        if self._strangers[source] >= STRANGERS_OF_ADDRESS_MAX:
            return False
        unknown = sum(count for address, count in self._strangers.items() if address not in self._members_from)
        return source in self._members_from or unknown < STRANGERS_MAX

    def _note_member(self, source: str) -> None:
        self._members_from.pop(source, None)
        self._members_from[source] = None
        if len(self._members_from) > _ADDRESSES_MAX:
            del self._members_from[next(iter(self._members_from))]

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """The process has no descriptors left: leaves new connections in the backlog for a moment."""
        _log.error("connections of nodes cannot be accepted", reason=str(error))
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening.fileno())

        def resume() -> None:
            if listening in self._sockets:
                loop.add_reader(listening.fileno(), self._accept, listening)

        loop.call_later(_PAUSE_S, resume)

    async def _greet(self, accepted: socket.socket, source: str) -> None:
        """Shakes hands with who has dialled this node, and counts it as a stranger until it has introduced itself."""
        link = self.adopt(Link(self))
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: link,
                accepted,
                ssl=self.credentials.server,
                ssl_handshake_timeout=self.limits.greeting_s,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
            self._accepted.discard(accepted)
            await link.settled
            if link.is_up:
                self._note_member(source)
        except (OSError, ssl.SSLError) as error:
            _log.info("a connection was not made", source=source, reason=str(error) or "it took too long")
            link.hang_up("it was not made")
        finally:
            self._forget(accepted)
            self._strangers[source] -= 1
            self._strangers += Counter()  # forgets those that have none

    def _forget(self, accepted: socket.socket) -> None:
        """Closes a socket that no connection was made of."""
        if accepted in self._accepted:
            self._accepted.discard(accepted)
            accepted.close()

    async def _tick_on(self) -> None:
        pause_s = self.limits.keep_alive_s / _LOOKS
        while True:
            await asyncio.sleep(pause_s)
            now_s = self.clock.monotonic_s()
            slept_s = now_s - self._ticked_s
            self._ticked_s = now_s
            for link in [*self._all]:
                if slept_s > _LOOKS_MISSED * pause_s:
                    link.forgive(slept_s - pause_s)
                link.tick(now_s)
            self._dialler.look()


def _told(address: str, port: int) -> str:
    """Returns an address with a port in the place of a 0."""
    host, _, named = address.rpartition(":")
    return f"{host}:{int(named) or port}"
