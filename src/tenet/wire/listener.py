"""The listening sockets: accept connections, as many as the limits allow, and turn the others away in words."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from typing import Final

import structlog

from tenet.wire.metrics import Metrics
from tenet.wire.protocol import Connection
from tenet.wire.shared import Shared

_BACKLOG: Final = 1024
#: Connections accepted in one turn of the loop, so that those already open get theirs.
_ACCEPTS_MAX: Final = 64
#: How long the loop leaves the sockets alone when the process has no descriptors left.
_PAUSE_S: Final = 0.1
#: How long a client may take to say goodbye over TLS; those that keep idle connections in a pool never do.
_GOODBYE_S: Final = 0.5
#: How long a connection that was turned away may take to read why.
_TURNED_AWAY_S: Final = 1.0

#: The first byte of a TLS record that begins a handshake (RFC 8446, section 5.1).
_HANDSHAKE: Final = b"\x16"
HTTPS_ONLY: Final = "Only https is spoken here: send the request to https:// instead of http://"

_log = structlog.get_logger(__name__)


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Returns sockets that listen, one for every address of a host.

    Args:
        host: name or address.
        port: 0 takes a free one, the same for every address.

    Raises:
        OSError: the address cannot be listened on; none is left open.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listening = socket.socket(family, kind, protocol)
            sockets.append(listening)
            listening.settimeout(0.0)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(sockets) > 1:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])  # noqa: PLW2901 - both families share the first free port
            listening.bind(address)
            listening.listen(_BACKLOG)
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    return sockets


def is_loopback(host: str) -> bool:
    """Tells whether only this machine can reach an address; of names, only localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _note(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class Listener:
    """Accepts connections on every address of a host.

    Args:
        sockets: bound and listening.
        tls: for the handshake; None for plaintext.
        shared: what the connections have in common.
        metrics: counts them.
        loop: the loop that it runs on.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        *,
        tls: ssl.SSLContext | None,
        shared: Shared,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._sockets = sockets
        host, port = sockets[0].getsockname()[:2]
        #: Host and port of the first socket.
        self.address = (str(host), int(port))
        self._tls = tls
        self._shared = shared
        self._metrics = metrics
        self._loop = loop
        self._greetings: set[asyncio.Task[None]] = set()
        self._turned_away: set[socket.socket] = set()
        self._closed = False
        for listening in sockets:
            loop.add_reader(listening.fileno(), self._accept, listening)

    @classmethod
    async def open(
        cls, host: str, port: int, *, tls: ssl.SSLContext | None, shared: Shared, metrics: Metrics
    ) -> Listener:
        """Binds and listens.

        Args:
            host: name or address.
            port: 0 takes a free one, the same for every address.
            tls: for the handshake; None for plaintext.
            shared: what the connections have in common.
            metrics: counts them.

        Raises:
            OSError: the address cannot be listened on.
        """
        sockets = await listening_sockets(host, port)
        return cls(sockets, tls=tls, shared=shared, metrics=metrics, loop=asyncio.get_running_loop())

    def retire(self) -> None:
        """Stops listening, and lets whoever has begun a connection have it; ``close`` ends their handshakes."""
        for listening in self._sockets:
            self._accept(listening)
        self._stop_listening()

    def close(self) -> None:
        """Stops listening and ends handshakes; connections stay."""
        self._stop_listening()
        for task in self._greetings:
            task.cancel()
        for turned_away in list(self._turned_away):
            self._forget(turned_away)

    def turn_out(self) -> None:
        """Ends the connections that wait to be accepted, unheard: the process stood still since they were made."""
        for listening in () if self._closed else self._sockets:
            for _ in range(_BACKLOG):
                try:
                    accepted, _address = listening.accept()
                except OSError:
                    break
                accepted.close()

    def _stop_listening(self) -> None:
        if self._closed:
            return
        self._closed = True
        for listening in self._sockets:
            self._loop.remove_reader(listening.fileno())
            # The loop lets go of the descriptor in its next turn; its number must not be another socket's by then.
            self._loop.call_soon(listening.close)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_MAX):
            try:
                accepted, _address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listening, error)
                return
            self._metrics.connections_accepted += 1
            shared = self._shared
            if len(shared.connections) + len(shared.greeted) >= shared.limits.connections_max:
                self._turn_away(accepted)
                continue
            accepted.settimeout(0.0)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(shared, self._loop)
            shared.greeted.add(connection)
            task = self._loop.create_task(self._greet(accepted, connection))
            self._greetings.add(task)
            task.add_done_callback(self._greetings.discard)

    async def _greet(self, accepted: socket.socket, connection: Connection) -> None:
        """Makes a connection of an accepted socket; its TLS handshake included."""
        try:
            if self._tls is not None and not await self._begins_handshake(accepted):
                self._metrics.handshakes_failed += 1
                self._tell(accepted, 400, HTTPS_ONLY)
                return
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._shared.limits.handshake_s_max if self._tls is not None else None,
                ssl_shutdown_timeout=_GOODBYE_S if self._tls is not None else None,
            )
        except (OSError, ssl.SSLError, TimeoutError):
            self._metrics.handshakes_failed += 1
            accepted.close()
        finally:
            self._shared.greeted.discard(connection)

    async def _begins_handshake(self, accepted: socket.socket) -> bool:
        """Waits for a client's first byte, and tells whether it is one of TLS; an ended connection passes for that."""
        try:
            first = accepted.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            ready: asyncio.Future[None] = self._loop.create_future()
            descriptor = accepted.fileno()
            self._loop.add_reader(descriptor, _note, ready)
            try:
                async with asyncio.timeout(self._shared.limits.handshake_s_max):
                    await ready
            except asyncio.CancelledError:
                accepted.close()
                raise
            finally:
                self._loop.remove_reader(descriptor)
            first = accepted.recv(1, socket.MSG_PEEK)
        return first in {_HANDSHAKE, b""}

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """The process has no descriptors left: leaves new connections in the backlog for a moment."""
        _log.error("connections cannot be accepted", reason=str(error))
        descriptor = listening.fileno()
        self._loop.remove_reader(descriptor)

        def resume() -> None:
            if not self._closed:
                self._loop.add_reader(descriptor, self._accept, listening)

        self._loop.call_later(_PAUSE_S, resume)

    def _turn_away(self, accepted: socket.socket) -> None:
        """Answers 503 and hangs up; over TLS, where that would take a handshake, just hangs up."""
        self._metrics.connections_refused += 1
        if self._tls is not None:
            accepted.close()
            return
        accepted.settimeout(0.0)
        self._tell(accepted, 503, "The server has as many connections as it takes")

    def _tell(self, accepted: socket.socket, status: int, reason: str) -> None:
        """Sends an answer that ends the connection, and leaves its client a moment to read it."""
        if len(self._turned_away) >= _BACKLOG:
            accepted.close()
            return
        with contextlib.suppress(OSError):
            accepted.send(self._shared.handler.malformed(status, reason))
            accepted.shutdown(socket.SHUT_WR)
        self._turned_away.add(accepted)
        self._loop.call_later(_TURNED_AWAY_S, self._forget, accepted)

    def _forget(self, turned_away: socket.socket) -> None:
        if turned_away in self._turned_away:
            self._turned_away.discard(turned_away)
            turned_away.close()
