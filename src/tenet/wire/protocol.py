"""HTTP/1.1 on one connection (RFC 9112): bytes in, requests out, answers in the order of the requests.

What this module promises:

* A request is handed over once it is complete: headers, and the body freed of its transfer coding.
* Answers leave in the order of the requests, however many a client sends ahead.
* Memory is bounded: headers, bodies, waiting requests and unread answers each have a limit, and reading pauses where
  one is reached. Time is bounded: ``sweep`` ends what takes longer than its limit.
* A message that two parsers could understand differently (both lengths, a folded header, a second Host) ends the
  connection with 400. Nothing behind such a message is looked at.

A handler is stepped at once, inside the callback that completed its request; one that never suspends costs no turn of
the loop. The first time it suspends, the connection's own task takes it over where it stands: for the handler it is
one and the same task all the time.

It leaves to others: what a request means (``dispatch``), and when to listen and to stop (``server``).
"""

from __future__ import annotations

import asyncio
from asyncio import _enter_task, _leave_task  # documented under "Extending asyncio"
from collections import deque
from typing import Final, cast

import httptools

from tenet.wire.exchange import BODY_TOO_LARGE, MEMORY_FULL, Incoming, Outlet, Resumed
from tenet.wire.headers import KNOWN_NAMES, head_bytes
from tenet.wire.shapes import HEAD_BYTES_MAX, NONE_YET
from tenet.wire.shared import Shared

#: Bytes given to the parser at a time, which bounds how many requests one read can complete.
_SLICE_BYTES: Final = 16 * 1024
#: What chunk sizes and their extensions may add to a body as it comes over the wire.
_FRAMING_BYTES: Final = 64 * 1024

#: Requests of a connection whose shape is looked for in vain before that is given up.
_TRIES: Final = 8

#: A length of so few digits is fine for every service.
_SHORT_DIGITS: Final = 4

#: What a handler that never suspends steps to.
_DONE: Final = object()

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client's connection.

    Args:
        shared: what the server's connections have in common.
        loop: the loop that it runs on.
    """

    __slots__ = (
        "_at",
        "_blocked",
        "_body",
        "_body_bytes",
        "_body_limit",
        "_body_since_s",
        "_busy",
        "_continue_owed",
        "_ending",
        "_eof",
        "_final",
        "_head_bytes",
        "_head_since_s",
        "_headers",
        "_headers_done",
        "_held",
        "_idle_since_s",
        "_keep_alive",
        "_left_bytes",
        "_loop",
        "_offers_upgrade",
        "_open",
        "_outlet",
        "_parser",
        "_peer",
        "_queue",
        "_repeats",
        "_retires",
        "_shape",
        "_shared",
        "_suspended",
        "_task",
        "_time",
        "_tls",
        "_transport",
        "_tries",
        "_unread_bytes",
        "_url",
        "_wake",
        "_wire_bytes",
    )

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop) -> None:
        self._shared = shared
        self._loop = loop
        self._time = loop.time
        self._transport: asyncio.Transport | None = None
        self._outlet = Outlet(loop)
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] = loop.create_future()
        self._parser = httptools.HttpRequestParser(self)
        self._peer = ""
        self._tls = False
        self._shape = NONE_YET
        self._tries = _TRIES
        # The message that is being parsed.
        self._open = False
        self._url = b""
        self._headers: dict[str, str] = {}
        self._headers_done = False
        self._keep_alive = True
        self._retires = False
        self._offers_upgrade = False
        self._repeats = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._body_limit = 0
        self._left_bytes = 0
        self._head_bytes = 0
        self._wire_bytes = 0
        self._head_since_s = 0.0
        self._body_since_s = 0.0
        # The messages that are being answered.
        self._busy = False
        self._at: Resumed | None = None
        self._suspended: Resumed | None = None
        self._queue: deque[Incoming] = deque()
        self._held = b""
        self._continue_owed = False
        self._final = b""
        # The connection.
        self._idle_since_s = self._time()
        self._blocked = False
        self._unread_bytes = 0
        self._ending = False
        self._eof = False

    # ---- what the transport calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to serve the connection."""
        if self._ending:
            self._shared.greeted.discard(self)
            cast("asyncio.Transport", transport).abort()
            return
        self._transport = self._outlet.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._tls = transport.get_extra_info("sslcontext") is not None
        self._task = self._loop.create_task(self._run())
        self._shared.greeted.discard(self)
        self._shared.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection. A request under way is carried through and its answer dropped, unless it waits."""
        del exc
        self._transport = self._outlet.transport = None
        self._ending = True
        self._shared.connections.discard(self)
        self._shared.body_bytes_held -= self._body_bytes
        self._body_bytes = 0
        self._count_unread(0)
        self._drop_queue()
        self._held = b""
        if not self._busy and self._task is not None:
            self._task.cancel()
        elif self._is_waiting():
            self._end_task()

    def _is_waiting(self) -> bool:
        """Whether its request waits on purpose for something to come."""
        return self._at is not None and self._at.incoming.is_waiting

    def _end_task(self) -> None:
        """Ends the request under way, unless it is what runs just now."""
        if (task := self._task) is not None and asyncio.current_task(self._loop) is not task:
            # A task that is about to take a handler over does so first: what that waits for has to be ended with it.
            self._loop.call_soon(task.cancel) if self._suspended else task.cancel()

    def eof_received(self) -> bool:
        """Ends the connection, or, where answers are owed, only its reading half; to who waits on purpose, none is."""
        self._eof = True
        return not self._is_waiting() and not self._tls and bool(self._busy or self._queue or self._blocked)

    def pause_writing(self) -> None:
        """Stops serving a client that does not read its answers, and counts what waits for it."""
        self._blocked = self._outlet.is_blocked = True
        self._idle_since_s = self._time()
        if self._transport is not None:
            self._count_unread(self._transport.get_write_buffer_size())
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Goes on with the requests that waited."""
        self._blocked = False
        self._outlet.unblock()
        self._count_unread(0)
        self._idle_since_s = self._time()
        self._wake_task()

    def _count_unread(self, size: int) -> None:
        self._shared.body_bytes_held += size - self._unread_bytes
        self._unread_bytes = size

    def data_received(self, data: bytes) -> None:
        """Takes in what the client sent."""
        if self._ending:
            return
        if self._held:
            self._held += data
            return
        if self._left_bytes:
            self._read_on(data)
            return
        if not self._open and self._tries and self._read_by_shape(data):
            return
        self._open = True
        if len(data) > _SLICE_BYTES:
            self._feed(data)
        else:
            self._parse(data)

    # ---- reading what has a known shape ------------------------------------------------------------------------------

    def _read_by_shape(self, data: bytes) -> bool:
        """Reads a request, or its head and what is there of its body, if its head has a known shape; else nothing."""
        text = data[:HEAD_BYTES_MAX].decode("latin-1")
        shape, shared = self._shape, self._shared
        head = shape.match(text)
        if head is None:
            found = shared.shapes.find(text, self._time())
            if found is None or (head := found.match(text)) is None:
                self._tries -= 1
                return False
            self._shape = shape = found
        values = head.groups()
        end = head.end()
        length = int(values[shape.length_at])
        left = end + length - len(data)
        limits = shared.limits
        if (
            left < 0
            or "\r" in (joined := "".join(values))
            or "\0" in joined
            or length > shared.body_bytes_small
            or shared.body_bytes_held + length > limits.body_bytes_held_max
            or len(values) > limits.headers_max
            or end > limits.header_bytes_max
        ):
            return False
        headers = {name: value for name, value in zip(shape.names, values)}  # noqa: B905, C416 (on every request)
        if left:
            self._begin_body(headers, data[end:], left)
            return True
        shared.body_bytes_held += length
        turn_s = self._time()
        keep_alive = not (shared.draining or self._retires)
        self._take(Incoming("POST", "/", headers, data[end:], self._peer, keep_alive=keep_alive, read_s=turn_s))
        return True

    def _begin_body(self, headers: dict[str, str], begun: bytes, left: int) -> None:
        """Takes over a head, and begins to count its body."""
        self._open = self._headers_done = self._keep_alive = True
        self._url = b"/"
        self._headers = headers
        self._body_limit = self._shared.body_bytes_small
        self._left_bytes = left
        if begun:
            self.on_body(begun)
        self._track(len(begun))

    def _read_on(self, data: bytes) -> None:
        """Reads a piece of a body whose length is known, and what stands behind it."""
        left = self._left_bytes
        rest = data[left:]
        piece = data[:left] if rest else data
        self.on_body(piece)
        if self._ending:
            return
        if len(piece) < left:
            self._left_bytes = left - len(piece)
            self._track(len(piece))
            return
        self._complete("POST")
        if rest:
            self.data_received(rest)

    # ---- parsing -----------------------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(data), _SLICE_BYTES):
            if self._ending:
                return
            if self._is_full():
                self._held = bytes(view[start:])
                return
            self._parse(view[start : start + _SLICE_BYTES])

    def _parse(self, data: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._stumble(error, data)
        if self._open:
            self._track(len(data))

    def _stumble(self, error: Exception, data: bytes | memoryview) -> None:
        """Deals with what the parser did not go on from."""
        if isinstance(error, httptools.HttpParserCallbackError):
            self.abort()
            raise error
        if isinstance(error, httptools.HttpParserUpgrade):
            self._go_on_without_upgrade(memoryview(data)[error.args[0] :])
        else:
            self._refuse(400, str(error) or "The request is malformed")

    def _go_on_without_upgrade(self, rest: memoryview) -> None:
        """Serves a client that offered another protocol on with this one (RFC 9110, section 7.8).

        The parser takes what follows such an offer for the other protocol, the request's own body included. Its body
        is therefore read by a new parser, which is told how long it is by a head of ours.
        """
        former = self._parser
        parser = self._parser = httptools.HttpRequestParser(self)
        if self._offers_upgrade:
            self._offers_upgrade = False
            framing = ("content-length", "transfer-encoding", "connection" if not former.should_keep_alive() else "")
            lines = [f"{name}: {self._headers[name]}\r\n" for name in framing if name in self._headers]
            head = f"{former.get_method().decode()} / HTTP/1.1\r\n{''.join(lines)}\r\n"
            parser.feed_data(head.encode("latin-1"))
        if len(rest) and not self._ending:
            self._open = True
            self._parse(rest)

    def _track(self, size: int) -> None:
        """Counts bytes and time of a message that is not complete yet."""
        limits, now = self._shared.limits, self._time()
        if not self._headers_done:
            self._head_bytes += size
            self._head_since_s = self._head_since_s or now
            if self._head_bytes > limits.header_bytes_max:
                self._refuse(431, f"Request line and headers are longer than {limits.header_bytes_max} bytes")
            return
        self._wire_bytes += size
        self._body_since_s = self._body_since_s or now
        if self._wire_bytes > 2 * self._body_limit + _FRAMING_BYTES:
            self._refuse(400, "The chunks are too small for the body that they make up")

    def on_message_begin(self) -> None:
        """Notes that from here on bytes belong to a message that the parser has begun with."""
        self._open = True

    def on_url(self, url: bytes) -> None:
        """Takes in a piece of the request target."""
        if not self._headers_done:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes in one header line; a trailer is dropped (RFC 9110, section 6.5.1)."""
        if self._headers_done:
            return
        key = KNOWN_NAMES.get(name) or name.decode("latin-1").lower()
        headers = self._headers
        if key in headers:
            self._repeat(key, value)
        else:
            # ASCII is decoded in half the time without naming an encoding.
            headers[key] = value.decode() if value.isascii() else value.decode("latin-1")

    def _repeat(self, key: str, value: bytes) -> None:
        self._repeats += 1
        if key in {"host", "content-type", "authorization"}:
            self._refuse(400, f"Header {key} is given twice")
        elif self._repeats <= self._shared.limits.headers_max:
            self._headers[key] += "," + value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Checks what the headers alone can tell."""
        if self._headers_done or self._ending:
            return
        if (size := head_bytes(self._url, self._headers)) > self._shared.limits.header_bytes_max:
            self._track(size)
        self._headers_done = True
        headers, shared = self._headers, self._shared
        self._body_limit = shared.body_bytes_small
        self._keep_alive = self._parser.should_keep_alive()
        if len(headers) + self._repeats > shared.limits.headers_max:
            self._refuse(431, f"The request has more than {shared.limits.headers_max} headers")
        elif not self._keep_alive or "host" not in headers or "connection" in headers:
            self._check_version()
        if not self._ending:
            length = headers.get("content-length")
            if length is not None and len(length) > _SHORT_DIGITS and int(length) > shared.body_bytes_small:
                self._check_length(int(length))
            if "upgrade" in headers and self._parser.should_upgrade():
                self._offers_upgrade = length not in {None, "0"} or "transfer-encoding" in headers
            if "expect" in headers and not self._ending:
                self._expect(headers["expect"])

    def _check_version(self) -> None:
        """Checks what only a request of another version than HTTP/1.1 can get wrong, or get away with."""
        version = self._parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            self._refuse(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here")
        elif "host" not in self._headers and version == "1.1":
            self._refuse(400, "Header Host is missing")

    def _check_length(self, length: int) -> None:
        self._body_limit = self._shared.handler.body_bytes_max(self._url.decode(), self._headers)
        if length > self._body_limit:
            self._refuse_body(BODY_TOO_LARGE)

    def _expect(self, expectation: str) -> None:
        if expectation.lower() != "100-continue":
            self._refuse(417, "The only expectation that is met is 100-continue")
        elif self._busy or self._queue:
            self._continue_owed = True
        else:
            self._write(_CONTINUE)

    def on_body(self, chunk: bytes) -> None:
        """Takes in a piece of the body."""
        if self._ending:
            return
        shared, size = self._shared, len(chunk)
        self._body.append(chunk)
        self._body_bytes += size
        shared.body_bytes_held += size
        if self._body_bytes > self._body_limit:
            self._body_limit = shared.handler.body_bytes_max(self._url.decode(), self._headers)
            if self._body_bytes > self._body_limit:
                self._refuse_body(BODY_TOO_LARGE)
                return
        if shared.body_bytes_held > shared.limits.body_bytes_held_max:
            self._refuse_body(MEMORY_FULL)

    def on_message_complete(self) -> None:
        """Hands the request over, or puts it behind those that are being answered."""
        self._open = False
        if not (self._ending or self._offers_upgrade):
            self._complete(self._parser.get_method().decode())

    def _complete(self, method: str) -> None:
        self._open = False
        # uvloop's clock stands still during a turn of the loop.
        turn_s = self._time()
        url, body = self._url.decode(), b"".join(self._body)
        keep_alive = self._keep_alive and not (self._shared.draining or self._retires)
        incoming = Incoming(method, url, self._headers, body, self._peer, keep_alive=keep_alive, read_s=turn_s)
        if not self._keep_alive or "connection" in self._headers:
            incoming.is_old = self._parser.get_http_version() == "1.0"
        self._body_bytes = 0  # from here on the answer gives the body's bytes back
        self._begin_message()
        self._take(incoming)

    def _begin_message(self) -> None:
        self._url = b""
        self._headers = {}
        self._headers_done = False
        self._repeats = 0
        self._left_bytes = 0
        self._body = []
        self._head_bytes = self._wire_bytes = 0
        self._head_since_s = self._body_since_s = 0.0

    # ---- refusing ----------------------------------------------------------------------------------------------------

    def _refuse(self, status: int, reason: str) -> None:
        """Ends the connection with an answer to what is no request; it follows the answers that are still owed."""
        if self._ending:
            return
        self._stop_reading()
        self._final = self._shared.handler.malformed(status, reason)
        if not (self._busy or self._queue):
            self._end()

    def _refuse_body(self, refusal: str) -> None:
        """Hands over a request whose body is not kept, as the last one of its connection."""
        method = "POST" if self._left_bytes else self._parser.get_method().decode()
        url, now_s = self._url.decode(), self._time()
        headers = self._headers
        self._stop_reading()
        self._take(Incoming(method, url, headers, b"", self._peer, keep_alive=False, read_s=now_s, refusal=refusal))

    def _stop_reading(self) -> None:
        """Throws away what still comes, so that the client can finish sending and then see its answer."""
        self._ending = True
        self._shared.body_bytes_held -= self._body_bytes
        self._body_bytes = 0
        self._open = False
        self._begin_message()
        self._held = b""
        self._idle_since_s = self._time()

    # ---- answering ---------------------------------------------------------------------------------------------------

    def _take(self, incoming: Incoming) -> None:
        incoming.sink = self._outlet
        if self._busy or self._blocked or self._queue:
            self._queue.append(incoming)
            if self._is_full() and self._transport is not None:
                self._transport.pause_reading()
            return
        steps = self._shared.handler.handle(incoming).__await__()
        loop, task = self._loop, self._task
        assert task is not None
        _enter_task(loop, task)
        try:
            pending = next(steps, _DONE)
        finally:
            _leave_task(loop, task)
        if pending is not _DONE:
            self._busy = True
            self._at = self._suspended = Resumed(incoming, self._shared.pulse, steps, pending)
            self._wake_task()
        elif incoming.hold_s:
            self._busy = True
            loop.call_later(incoming.hold_s, self._give_out, incoming)
        else:
            self._answer(incoming)

    def _give_out(self, incoming: Incoming) -> None:
        """Gives an answer that was kept back, and goes on with what came meanwhile."""
        self._busy = False
        self._answer(incoming)
        if self._queue or self._held or self._transport is None:
            self._wake_task()
        else:
            self._settle()

    def _wake_task(self) -> None:
        if not self._wake.done():
            self._wake.set_result(None)

    async def _run(self) -> None:
        """Takes over handlers that suspend, and serves the requests that queue up behind them."""
        incoming: Incoming | None
        while self._transport is not None:
            await self._wake
            self._wake = self._loop.create_future()
            self._busy = True
            rest, self._suspended = self._suspended, None
            if rest is not None:
                await self._answer_in_time(rest)
            while (incoming := self._next()) is not None:
                # It waited for its own forerunners, not because the server was late.
                incoming.turn_s = self._time()
                steps = self._shared.handler.handle(incoming).__await__()
                rest = self._at = Resumed(incoming, self._shared.pulse, steps)
                await self._answer_in_time(rest)
            # An idle connection keeps no request in memory.
            rest = self._at = None
            self._busy = False
            self._settle()

    async def _answer_in_time(self, handled: Resumed) -> None:
        incoming = handled.incoming
        try:
            await handled
            if incoming.hold_s:
                await asyncio.sleep(incoming.hold_s)
        except asyncio.CancelledError:
            self._shared.body_bytes_held -= len(incoming.body)  # as its answer would have
            self._shared.handler.note(incoming)
            raise
        self._answer(incoming)

    def _next(self) -> Incoming | None:
        """Returns the next request in turn, from those that wait or the bytes that were held back."""
        if self._blocked:
            return None
        if not self._queue and self._held:
            held, self._held = self._held, b""
            self._open = True
            self._feed(held)
        return self._queue.popleft() if self._queue else None

    def _settle(self) -> None:
        """After the last answer: ends the connection if that is what is left to do, else reads on."""
        if self._transport is None or self._blocked:
            return
        if self._final or self._eof:
            self._end()
            return
        if self._continue_owed:
            self._continue_owed = False
            self._write(_CONTINUE)
        if not self._ending:
            self._transport.resume_reading()

    def _is_full(self) -> bool:
        return self._blocked or len(self._queue) >= self._shared.limits.pipelined_max

    def _answer(self, incoming: Incoming) -> None:
        self._shared.body_bytes_held -= len(incoming.body)
        self._idle_since_s = self._time()
        transport = self._transport
        if transport is not None:
            transport.write(incoming.answer)
        self._shared.handler.note(incoming)
        if transport is None:
            return
        if not incoming.keep_alive:
            self._drop_queue()
            self._final = b""
            self._end()

    def _drop_queue(self) -> None:
        self._shared.body_bytes_held -= sum(len(waiting.body) for waiting in self._queue)
        self._queue.clear()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _end(self) -> None:
        """Sends what is left to say and ends the connection, by halves where its client may still be sending."""
        transport = self._transport
        if transport is None:
            return
        if self._final:
            transport.write(self._final)
            self._final = b""
        if self._ending and not self._eof and transport.can_write_eof():
            transport.write_eof()
        else:
            self._ending = True
            transport.close()

    # ---- time --------------------------------------------------------------------------------------------------------

    def sweep(self, now_s: float) -> None:
        """Ends the connection if something takes longer than its limit. Called about once a second.

        Args:
            now_s: seconds on the loop's clock.
        """
        limits, transport = self._shared.limits, self._transport
        if transport is None:
            return
        waited_s = now_s - self._idle_since_s
        if self._blocked:
            if waited_s > limits.write_s_max:
                transport.abort()
        elif self._busy or self._queue:
            return
        elif self._ending:
            if waited_s > limits.linger_s_max:
                transport.abort()
        elif self._head_since_s or self._body_since_s:
            self._sweep_message(now_s)
        elif waited_s > limits.idle_s_max:
            transport.close()

    def _sweep_message(self, now_s: float) -> None:
        limits = self._shared.limits
        if self._body_since_s:
            if now_s - self._body_since_s > limits.body_s_max:
                self._refuse(408, f"The body took longer than {limits.body_s_max:g} s to arrive")
        elif now_s - self._head_since_s > limits.header_s_max:
            self._refuse(408, f"The headers took longer than {limits.header_s_max:g} s to arrive")

    def cut_off(self) -> None:
        """Ends the connection unheard, and its request where it does not last: the process stood still since then."""
        transport, at = self._transport, self._at
        if at is not None and at.incoming.is_lasting:
            at.incoming.keep_alive = False
            return
        self._ending = True
        if transport is None:
            return
        is_waiting = self._is_waiting()
        self.connection_lost(None)
        transport.abort()
        if at is not None and not is_waiting:
            self._end_task()

    def drain(self) -> None:
        """Ends the connection now if it is idle, else after the answer that it is at."""
        if self._transport is not None and not (self._busy or self._queue or self._open):
            self._transport.close()

    def retire(self) -> None:
        """Ends the connection after its next answer, or when it has been idle for as long as it may."""
        self._retires = True

    def abort(self) -> None:
        """Ends the connection at once, whatever it is at."""
        if self._transport is not None:
            self._transport.abort()
