"""What connections hand over: complete requests, to whoever answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Final, Protocol

from tenet.wire.admission import Admission
from tenet.wire.door import Request, Response
from tenet.wire.pulse import Pulse

BODY_TOO_LARGE: Final = "body-too-large"
MEMORY_FULL: Final = "memory-full"
#: Stands for what a handler yields that has not been stepped yet.
NOT_BEGUN: Final = object()


class Outcome:
    """What there is to note of a request that was answered.

    Args:
        request: as the service got it.
        label: of the service's mount.
        response: the answer.
        seconds: from the request's last byte to its answer, without waits on purpose.
    """

    __slots__ = ("label", "request", "response", "seconds")

    def __init__(self, request: Request, label: str, response: Response, seconds: float) -> None:
        self.request = request
        self.label = label
        self.response = response
        self.seconds = seconds


class Outlet:
    """The way out of a connection for answers that are sent in pieces; the connection keeps it up.

    Args:
        loop: the loop that it runs on.
    """

    __slots__ = ("_loop", "_unblocked", "is_blocked", "transport")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._unblocked: asyncio.Future[None] | None = None
        #: Whether its client has too much unread.
        self.is_blocked = False
        #: None: before the connection is open, and when its client has gone away.
        self.transport: asyncio.Transport | None = None

    def unblock(self) -> None:
        """Lets go on who waits."""
        self.is_blocked = False
        if self._unblocked is not None and not self._unblocked.done():
            self._unblocked.set_result(None)

    async def send(self, data: bytes, incoming: Incoming) -> None:
        """Sends a piece, and waits on purpose while the client has too much unread; ended where it goes away then.

        Args:
            data: goes out behind what was sent before.
            incoming: the request that it answers, which has its place back when this returns.

        Raises:
            ConnectionResetError: the client has gone away.
        """
        # One that is closing drops what it is given, and never blocks.
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError
        self.transport.write(data)
        if not self.is_blocked:
            return
        incoming.begin_wait()
        try:
            while self.is_blocked:
                self._unblocked = self._loop.create_future()
                await self._unblocked
        finally:
            incoming.end_wait()


class Incoming:
    """A complete request.

    Args:
        method: as it was sent.
        target: the path, percent-encoded, and what follows it, as they were sent.
        headers: by lower-case name, decoded as ISO 8859-1; repeated ones joined by a comma.
        body: without transfer coding, still compressed; empty where `refusal` says that it was not kept.
        peer: the client's address.
        keep_alive: whether the connection can serve another request; the handler may switch it off.
        read_s: when its last byte was read, in seconds on the loop's clock.
        refusal: why the body was not kept: "" (it was), ``BODY_TOO_LARGE`` or ``MEMORY_FULL``.
    """

    __slots__ = (
        "admission",
        "answer",
        "body",
        "headers",
        "hold_s",
        "is_lasting",
        "is_old",
        "is_waiting",
        "keep_alive",
        "method",
        "outcome",
        "peer",
        "read_s",
        "refusal",
        "sink",
        "target",
        "turn_s",
        "waited_s",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes,
        peer: str,
        *,
        keep_alive: bool,
        read_s: float,
        refusal: str = "",
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.peer = peer
        self.keep_alive = keep_alive
        self.refusal = refusal
        self.read_s = read_s
        #: When the turn of the loop began that hands it over, on the same clock.
        self.turn_s = read_s
        #: How long the handler wants its answer to be kept back.
        self.hold_s = 0.0
        #: The bytes of a whole HTTP answer, once the handler has come to its end.
        self.answer = b""
        #: Whether it goes on to its end also where the process stood still meanwhile; the handler says so.
        self.is_lasting = False
        #: Where it has its place; the handler says so once it has one.
        self.admission: Admission | None = None
        #: Whether it waits on purpose, and has no place.
        self.is_waiting = False
        #: How long it has waited so, in seconds; while it does, when that began, taken from 0.
        self.waited_s = 0.0
        #: Where its answer goes if that is sent in pieces; None: nowhere.
        self.sink: Outlet | None = None
        #: Whether its client speaks HTTP/1.0, and knows no chunks.
        self.is_old = False
        #: What there is to note of it once its answer is on its way; None before the handler's end.
        self.outcome: Outcome | None = None

    def begin_wait(self) -> None:
        """Gives its place back; implements ``door.Patience``."""
        admission = self.admission
        assert admission is not None
        self.is_waiting = True
        self.waited_s -= admission.now_s()
        admission.leave()

    def end_wait(self) -> None:
        """Takes a place again."""
        admission = self.admission
        assert admission is not None
        self.is_waiting = False
        self.waited_s += admission.now_s()
        admission.enter_again()


class Handler(Protocol):
    """What connections hand their requests to."""

    def handle(self, incoming: Incoming) -> Coroutine[Any, Any, None]:
        """Leaves in a request the bytes of a whole HTTP answer. Never raises.

        It leaves none where it finds that the process stood still before it began; its connection has ended then.
        """
        ...

    def note(self, incoming: Incoming) -> None:
        """Notes a request whose answer is on its way, or goes nowhere: counts, the log, traces; once for each.

        One that has no outcome is not noted. This is no part of answering, so that nobody waits for it.
        """
        ...

    def body_bytes_max(self, target: str, headers: dict[str, str]) -> int:
        """Returns how large a request's body may be, going by its headers alone."""
        ...

    def malformed(self, status: int, reason: str) -> bytes:
        """Returns the whole answer to what is no request, after which its connection ends."""
        ...


class Resumed:
    """Awaits the rest of a handler, which it ends where the process turns out to have stood still while it waited.

    Args:
        incoming: what it handles.
        pulse: notices it.
        steps: the handler.
        pending: what it yielded when it was stepped for the first time; ``NOT_BEGUN``: it has not been.
    """

    __slots__ = ("_pending", "_pulse", "_steps", "incoming")

    def __init__(
        self, incoming: Incoming, pulse: Pulse, steps: Generator[Any, Any, None], pending: object = NOT_BEGUN
    ) -> None:
        self.incoming = incoming
        self._pulse = pulse
        self._steps = steps
        self._pending = pending

    def __await__(self) -> Generator[Any, Any, None]:
        pending, steps, incoming, pulse = self._pending, self._steps, self.incoming, self._pulse
        if pending is NOT_BEGUN:
            try:
                pending = next(steps)
            except StopIteration:
                return
        while True:
            thrown: BaseException | None = None
            sent: object = None
            try:
                sent = yield pending
            except BaseException as error:  # noqa: BLE001 (whatever is thrown into the task belongs to the handler)
                thrown = error
            if pulse.is_overdue() and thrown is None and not incoming.is_lasting:
                # What it has read is from before; what it would write now, its client has written elsewhere.
                thrown = asyncio.CancelledError()
            try:
                pending = steps.send(sent) if thrown is None else steps.throw(thrown)
            except StopIteration:
                return
