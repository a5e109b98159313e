"""One connection between two nodes: greets, carries calls and notices both ways, and bounds what they take.

Reading never pauses, so that two nodes cannot wait for each other: what is too much is refused, and a peer that does
not take what it is sent is hung up on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol, cast

import msgspec
import structlog
from msgspec import Struct

from tenet.base.clock import NEVER, Clock
from tenet.base.errors import TenetError
from tenet.mesh.channel import BODY_BYTES_MAX, Handler, NodeId, Peer, Receiver
from tenet.mesh.errors import CallFailed, CallLost, CallRefused, FrameTooLarge, MeshError, PeerUnreachable
from tenet.mesh.frames import (
    BadFrame,
    Failure,
    Frame,
    Frames,
    Hello,
    Reader,
    call_frame,
    frame,
    kind_bytes,
    notice_frame,
    read_call,
    read_failure,
    read_hello,
    read_notice,
)

_log = structlog.get_logger(__name__)

#: The longest that a stranger's frame may say: it asks for a certificate, and that is all.
STRANGER_FRAME_BYTES_MAX: Final = 64 * 1024
_REASON_CHARS_MAX: Final = 400
#: How long both of two connections are open, at the least, when one replaces the other: what a peer has sent on the
#: former before it knew arrives.
_OVERLAP_S: Final = 1.0


class LinkLimits(Struct, frozen=True):
    """What a connection takes and how long it waits.

    Args:
        keep_alive_s: something is sent at least so often.
        silent_s: a peer from which nothing comes for so long is hung up on.
        greeting_s: how long a new connection may take to be greeted on, its handshake not included.
        stranger_s: how long one without a certificate may stay.
        frame_s: how long a frame may take from its first byte to its last.
        write_s: how long a peer may leave unread what it is sent.
        retired_s: how long one that was replaced may take to end the calls under way.
        calls_max: calls of a peer that are worked on at once; one more is refused.
        work_bytes_max: bodies of those calls, together.
        asked_max: calls that may wait for a peer's answer at once.
        notice_bytes_max: notices are dropped while more than this waits to be sent.
        unsent_bytes_max: calls are not sent while more than this waits; a peer with twice as much is hung up on.
    """

    keep_alive_s: float = 0.3
    silent_s: float = 5.0
    greeting_s: float = 5.0
    stranger_s: float = 10.0
    frame_s: float = 20.0
    write_s: float = 10.0
    retired_s: float = 30.0
    calls_max: int = 256
    work_bytes_max: int = 64 * 1024 * 1024
    asked_max: int = 1024
    notice_bytes_max: int = 1024 * 1024
    unsent_bytes_max: int = 32 * 1024 * 1024


class Proof(Struct, frozen=True):
    """What a TLS handshake has shown of the other side.

    Args:
        node: whom its certificate names; None for one without a certificate, who may only join.
        key_sha256: fingerprint of its public key.
        version: of what is spoken.
        until_s: when the certificates of the connection end, on the monotonic clock.
        signed_by: the fingerprint of the authority that its certificate is of.
    """

    node: NodeId | None
    key_sha256: str
    version: int
    until_s: float
    signed_by: str = ""


class Owner(Protocol):
    """What a link needs of the node that it belongs to."""

    @property
    def limits(self) -> LinkLimits:
        """What a connection takes."""
        ...

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    def proof(self, secured: ssl.SSLObject) -> Proof:
        """Says who is at the other end.

        Raises:
            MeshError: nobody that may be talked to.
        """
        ...

    def hello(self, attempt: int) -> Hello:
        """Returns how this node introduces itself."""
        ...

    async def admit(self, link: Link) -> str:
        """Returns why the node at the other end is not talked to; "" where it is."""
        ...

    def greeted(self, link: Link) -> None:
        """Takes note that both sides have introduced themselves."""
        ...

    def ended(self, link: Link) -> None:
        """Takes note that a connection is over."""
        ...

    def handler(self, kind: str, *, of_stranger: bool) -> Handler | None:
        """Returns who answers calls of a kind."""
        ...

    def receiver(self, kind: str) -> Receiver | None:
        """Returns who takes notices of a kind."""
        ...


class Link(asyncio.Protocol):
    """One connection, after its TLS handshake.

    Args:
        owner: the node.
        attempt: counts what the node has dialled; 0 where the other side has.
        is_joining: whether this side is the stranger, who wants to join.
    """

    def __init__(self, owner: Owner, *, attempt: int = 0, is_joining: bool = False) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._clock = owner.clock
        self._is_joining = is_joining
        self.attempt = attempt
        self.is_dialled = attempt > 0 or is_joining
        #: Who is at the other end, as its certificate says.
        self.node: NodeId | None = None
        self.key_sha256 = ""
        #: The fingerprints of the authorities that the certificates of both sides are of.
        self.signers: set[str] = set()
        self.version = 0
        self.peer: Peer | None = None
        self.heard_s = self._clock.monotonic_s()
        self._retired_s: float | None = None
        #: Why the connection is over; "" while it is not.
        self.reason = ""
        #: When both sides had introduced themselves.
        self.up_s = self.heard_s
        #: Ends when both sides have introduced themselves, or the connection is over; a stranger never does the former.
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._reader = Reader()
        self._taken: dict[Frames, Callable[[Frame], None]] = {
            Frames.HELLO: self._take_second_hello,
            Frames.CALL: self._take_call,
            Frames.ANSWER: self._take_answer,
            Frames.FAILURE: self._take_failure,
            Frames.CANCEL: self._take_cancel,
            Frames.NOTICE: self._take_notice,
            Frames.KEEP: self._take_keep,
        }
        self._said_hello = False
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._work: dict[int, asyncio.Task[None]] = {}
        self._work_bytes = 0
        self._admitting: asyncio.Task[None] | None = None
        self._until_s = self._certified_until_s = NEVER
        self._sent_s = self.heard_s
        self._began_s: float | None = None
        self._blocked_s: float | None = None

    # ---- what the loop calls -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Looks at who is at the other end."""
        # Those of uvloop are none by their class.
        self._transport = cast("asyncio.Transport", transport)
        self.heard_s = self._sent_s = self._clock.monotonic_s()
        try:
            proof = self._owner.proof(transport.get_extra_info("ssl_object"))
        except MeshError as error:
            self.hang_up(error.message)
            return
        self.node, self.key_sha256, self.version = proof.node, proof.key_sha256, proof.version
        self.signers |= {proof.signed_by}
        # Half of what a call may leave unsent: what is written faster than it is read counts as blocked from here on.
        self._transport.set_write_buffer_limits(self._limits.notice_bytes_max)
        if self._is_joining or self.node is None:
            self._until_s = self.heard_s + self._limits.stranger_s
            self._reader = Reader(STRANGER_FRAME_BYTES_MAX)
            return
        self._certified_until_s = proof.until_s
        self._until_s = min(proof.until_s, self.heard_s + self._limits.greeting_s)
        self._admitting = asyncio.get_running_loop().create_task(self._admit())

    def data_received(self, data: bytes) -> None:
        """Takes what has arrived."""
        self.heard_s = self._clock.monotonic_s()
        try:
            for arrived in self._reader.feed(data):
                if self.reason:
                    return
                self._take(arrived)
        except BadFrame as error:
            self.hang_up(error.message)
            return
        if not self._reader.is_amid:
            self._began_s = None
        elif self._began_s is None:
            self._began_s = self.heard_s

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends what waits for the other side."""
        self._over(f"the connection was lost: {exc}" if exc else "the connection was closed by the other side")

    def pause_writing(self) -> None:
        """Notes that the peer reads slower than it is written to."""
        self._blocked_s = self._clock.monotonic_s()

    def resume_writing(self) -> None:
        """Notes that it has caught up."""
        self._blocked_s = None

    # ---- what the node calls -----------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether both sides have introduced themselves, and neither has ended it."""
        return self.peer is not None and self._said_hello and not self.reason

    @property
    def until_s(self) -> float:
        """When the connection has to end, on the monotonic clock."""
        return self._until_s

    async def call(self, kind: str, body: bytes, timeout_s: float) -> bytes:
        """Asks the peer something; see ``Channel.call``."""
        number = next(self._numbers) & 0xFFFFFFFF
        data = call_frame(number, kind_bytes(kind), timeout_s, body)
        if self.reason:
            raise PeerUnreachable(f"the connection is over: {self.reason}")
        if len(self._asked) >= self._limits.asked_max:
            raise PeerUnreachable(f"{self._limits.asked_max} calls wait for {self._named} already")
        if self._unsent() > self._limits.unsent_bytes_max:
            raise PeerUnreachable(f"{self._named} does not take what it is sent: {self._unsent()} bytes wait")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._write(data)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise CallLost(f"{self._named} did not answer {kind} within {timeout_s:g} s") from None
        finally:
            if self._asked.pop(number, None) is not None and not self.reason:
                self._write(frame(Frames.CANCEL, number))

    def notify(self, kind: str, body: bytes) -> bool:
        """Tells the peer something; see ``Channel.notify``."""
        data = notice_frame(kind_bytes(kind), body)
        if self.reason or self._unsent() > self._limits.notice_bytes_max:
            return False
        self._write(data)
        return True

    def tick(self, now_s: float) -> None:
        """Keeps the connection alive, and ends it where its time is up; called a few times per ``keep_alive_s``."""
        limits = self._limits
        if self._retired_s is not None and now_s - self._retired_s > _OVERLAP_S and not (self._asked or self._work):
            self.part("it was replaced by another")
        elif now_s >= self._until_s:
            self.hang_up("its time is up" if self.is_up else "nobody has introduced itself in time")
        elif now_s - self.heard_s > limits.silent_s and not self._is_stranger:
            self.hang_up(f"nothing was heard for {now_s - self.heard_s:.1f} s")
        elif self._began_s is not None and now_s - self._began_s > limits.frame_s:
            self.hang_up(f"a frame took longer than {limits.frame_s:g} s")
        elif self._blocked_s is not None and now_s - self._blocked_s > limits.write_s:
            self.hang_up(f"what was sent was not read for {limits.write_s:g} s")
        elif now_s - self._sent_s >= limits.keep_alive_s and self.is_up:
            self._write(frame(Frames.KEEP))

    def forgive(self, pause_s: float) -> None:
        """Does not count against the peer what this process itself has slept.

        Args:
            pause_s: for how long.
        """
        self.heard_s += pause_s
        self._began_s = self._began_s + pause_s if self._began_s is not None else None
        self._blocked_s = self._blocked_s + pause_s if self._blocked_s is not None else None

    def retire(self, now_s: float) -> None:
        """Lets the calls under way end, then the connection."""
        self._retired_s = now_s
        self._until_s = min(self._until_s, now_s + self._limits.retired_s)

    def part(self, reason: str) -> None:
        """Ends the connection, and tells the other side why."""
        if self.reason or self._transport is None:
            return
        self._write(frame(Frames.BYE, 0, reason[:_REASON_CHARS_MAX].encode("utf-8", "replace")))
        self._transport.close()
        self._over(reason)

    def hang_up(self, reason: str) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self._over(reason)

    # ---- inside ------------------------------------------------------------------------------------------------------

    @property
    def _is_stranger(self) -> bool:
        return self._is_joining or self.node is None

    @property
    def _named(self) -> str:
        return f"node {self.node}" if self.node else "the other side"

    async def _admit(self) -> None:
        refusal = await self._owner.admit(self)
        if refusal:
            self.part(refusal)
            return
        if self.reason:
            return
        self._write(frame(Frames.HELLO, 0, msgspec.json.encode(self._owner.hello(self.attempt))))
        self._said_hello = True
        self._greeted_where_both_have()

    def _greeted_where_both_have(self) -> None:
        if self.is_up:
            self._until_s, self.up_s = self._certified_until_s, self._clock.monotonic_s()
            self._owner.greeted(self)
            self._settle()

    def _take(self, arrived: Frame) -> None:
        if arrived.what is Frames.BYE:
            self.hang_up(f"the other side ended it: {arrived.payload[:_REASON_CHARS_MAX].decode('utf-8', 'replace')}")
        elif self.peer is None and not self._is_stranger:
            self._take_hello(arrived)
        elif not (self._said_hello or self._is_stranger):
            raise BadFrame("something was said before it was greeted")
        else:
            self._taken[arrived.what](arrived)

    def _take_hello(self, arrived: Frame) -> None:
        if arrived.what is not Frames.HELLO or self.node is None:
            raise BadFrame("the first frame is no greeting")
        hello = read_hello(arrived.payload)
        self.peer = Peer(self.node, hello.incarnation, hello.address, hello.release)
        if not self.is_dialled:
            self.attempt = hello.attempt
        self._greeted_where_both_have()

    def _take_call(self, arrived: Frame) -> None:
        kind, timeout_s, body = read_call(arrived.payload)
        handler = self._owner.handler(kind, of_stranger=self._is_stranger)
        if handler is None:
            self._fail(arrived.call, CallRefused(f"it does not answer {kind}"), was_refused=True)
        elif arrived.call in self._work:
            raise BadFrame(f"two calls of the number {arrived.call}")
        elif (
            len(self._work) >= self._limits.calls_max
            or self._work_bytes + len(body) > self._limits.work_bytes_max
            or self._unsent() > self._limits.unsent_bytes_max
        ):
            self._fail(arrived.call, CallRefused("it has as many calls at work as it takes"), was_refused=True)
        else:
            self._work_bytes += len(body)
            work = self._carry_out(arrived.call, handler, body, timeout_s)
            self._work[arrived.call] = asyncio.get_running_loop().create_task(work)
            self._work[arrived.call].add_done_callback(self._finished(arrived.call, len(body)))

    def _finished(self, number: int, body_bytes: int) -> Callable[[asyncio.Task[None]], None]:
        def finished(_: asyncio.Task[None]) -> None:
            self._work_bytes -= body_bytes
            self._work.pop(number, None)

        return finished

    async def _carry_out(self, number: int, handler: Handler, body: bytes, timeout_s: float) -> None:
        deadline = asyncio.timeout(timeout_s)
        try:
            async with deadline:
                answer = await handler(self.node or NodeId(""), body)
        except TenetError as error:
            self._fail(number, error)
        except Exception as error:  # noqa: BLE001 - as said below
            # Who waits has to be told, whatever it was; after the deadline nobody waits.
            if not deadline.expired():
                _log.exception("a call from another node failed", peer=self.node)
                self._fail(number, TenetError(f"an internal error: {type(error).__name__}"))
        else:
            if len(answer) > BODY_BYTES_MAX:
                self._fail(number, FrameTooLarge(f"the answer has {len(answer)} bytes; {BODY_BYTES_MAX} are the limit"))
            else:
                self._write(frame(Frames.ANSWER, number, answer))

    def _fail(self, number: int, error: TenetError, *, was_refused: bool = False) -> None:
        failure = Failure(was_refused, error.code, error.message, error.retryable)
        self._write(frame(Frames.FAILURE, number, msgspec.json.encode(failure)))

    def _take_answer(self, arrived: Frame) -> None:
        answer = self._asked.pop(arrived.call, None)
        if answer is not None and not answer.done():
            answer.set_result(arrived.payload)

    def _take_failure(self, arrived: Frame) -> None:
        failure = read_failure(arrived.payload)
        answer = self._asked.pop(arrived.call, None)
        if answer is None or answer.done():
            return
        if failure.was_refused:
            _fail_to_answer(answer, CallRefused(f"{self._named} refuses the call: {failure.message}"))
        else:
            _fail_to_answer(answer, CallFailed(failure.message, code=failure.code, retryable=failure.retryable))

    def _take_cancel(self, arrived: Frame) -> None:
        work = self._work.get(arrived.call)
        if work is not None:
            work.cancel()

    def _take_notice(self, arrived: Frame) -> None:
        kind, body = read_notice(arrived.payload)
        receiver = None if self.node is None or self._is_joining else self._owner.receiver(kind)
        if receiver is not None and self.node is not None:
            receiver(self.node, body)

    def _take_keep(self, _: Frame) -> None:
        """Nothing: that something arrived has been noted."""

    def _take_second_hello(self, _: Frame) -> None:
        raise BadFrame("a second greeting")

    def _write(self, data: bytes) -> None:
        if self.reason or self._transport is None or self._transport.is_closing():
            return
        self._sent_s = self._clock.monotonic_s()
        self._transport.write(data)
        if self._unsent() > 2 * self._limits.unsent_bytes_max:
            self.hang_up(f"{self._unsent()} bytes wait to be read by it")

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)

    def _over(self, reason: str) -> None:
        if self.reason:
            return
        self.reason = reason
        for answer in self._asked.values():
            if not answer.done():
                _fail_to_answer(answer, CallLost(f"the connection with {self._named} ended: {reason}"))
        self._asked.clear()
        for work in [*self._work.values()]:
            work.cancel()
        if self._admitting is not None and self._admitting is not asyncio.current_task():
            self._admitting.cancel()
        self._settle()
        self._owner.ended(self)


def _fail_to_answer(answer: asyncio.Future[bytes], error: MeshError) -> None:
    answer.set_exception(error)
    # Whoever waited may be cancelled in the same moment, and then nobody looks at it.
    answer.exception()
