"""One request, from complete to answered: routed, admitted, verified, decompressed, served, compressed, noted.

Each step that refuses does so before the next one costs anything. Whatever happens behind it, a client gets an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

import structlog
from zlib_ng.zlib_ng import crc32 as _crc32

from tenet.base.clock import Clock
from tenet.base.errors import TenetError
from tenet.base.ids import Ids
from tenet.wire.admission import THROTTLED, Admission, check_nesting
from tenet.wire.answers import Present, request_ids
from tenet.wire.compression import COMPRESS_BYTES_MIN, accepts_gzip, compress, decompress
from tenet.wire.cors import ANSWER_HEADERS, preflight_headers
from tenet.wire.door import Mount, Request, Response, Service
from tenet.wire.errors import BodyTooLarge, Throttled, UnknownOperation
from tenet.wire.exchange import BODY_TOO_LARGE, Incoming, Outcome
from tenet.wire.foreign import refuse_foreign, service_meant
from tenet.wire.metrics import Metrics
from tenet.wire.observe import Observer
from tenet.wire.pulse import Pulse
from tenet.wire.routing import Routes, is_json
from tenet.wire.sigv4 import Verifier
from tenet.wire.streaming import framing, stream

_EDGE: Final = "edge"
#: What stays as it is in a header's value that has other characters than text.
_SAFE: Final = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"
#: Larger bodies are looked through only when their sender is known: it takes up to a second for the largest.
_CHECKED_AT_ONCE_BYTES: Final = 64 * 1024
#: Where a request that no service knows ends (the words are DynamoDB's).
_NOTHING_HERE: Final = b"<UnknownOperationException/>\n"

_log = structlog.get_logger(__name__)

#: Answers the server's own pages: method, path, headers. None: there is no such page.
Pages = Callable[[str, str, dict[str, str]], Awaitable[Response | None]]


class Dispatcher:
    """Implements ``exchange.Handler``.

    Args:
        routes: which service a request belongs to.
        admission: what is taken on.
        verifier: who signed.
        observer: notes answers.
        metrics: counts what was no request.
        pages: the server's own pages.
        pulse: notices that the process stood still.
        clock: time.
        ids: for request ids.
    """

    def __init__(
        self,
        *,
        routes: Routes,
        admission: Admission,
        verifier: Verifier,
        observer: Observer,
        metrics: Metrics,
        pages: Pages,
        pulse: Pulse,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._routes = routes
        self._admission = admission
        self._verify = verifier.verify
        self._note = observer.note
        self._metrics = metrics
        self._pages = pages
        self._pulse = pulse
        self._now = clock.monotonic_s
        self._next_id = request_ids(ids).__next__
        self._present = Present(clock)

    # ---- what connections ask ----------------------------------------------------------------------------------------

    async def handle(self, incoming: Incoming) -> None:
        """Leaves in a request the bytes of a whole HTTP answer, none where it is of another time. Never raises."""
        began_s = self._now()
        present = self._present
        if began_s >= present.until_s and self._begin_second(began_s):
            return
        path, _, query = incoming.target.partition("?")
        headers, body = incoming.headers, incoming.body
        admission = self._admission
        deadline = incoming.read_s + admission.deadline_s
        request = Request(
            incoming.method,
            path,
            query,
            headers,
            body,
            request_id=self._next_id(),
            deadline=deadline,
            peer=incoming.peer,
        )
        found = self._routes.find(incoming.method, path, query, headers, body)
        answers_cors = False
        if found is None:
            response, label, crc32 = await self._answer_unrouted(request, headers)
        else:
            route, request.operation = found
            label, crc32, answers_cors = route.label, route.crc32, route.answers_cors
            incoming.is_lasting = route.is_lasting
            entered = False
            try:
                if began_s > deadline or len(body) > admission.nesting_max or incoming.refusal:
                    self._check(incoming, began_s > deadline)
                entered = admission.enter(began_s, began_s - incoming.turn_s) or await admission.wait(began_s)
                incoming.admission, request.patience = admission, incoming
                if route.signing_name:
                    self._verify(request, headers, route.signing_name, present.wall_s)
                if (
                    len(body) > _CHECKED_AT_ONCE_BYTES
                    or admission.has_tenant_limits
                    or "content-encoding" in headers
                    or route.is_authenticated
                ):
                    await self._check_closely(request, headers, route.mount, began_s)
                response = await route.service.answer(request)
                _ = response.pieces is None or await self._stream(request, incoming, response, answers_cors)
            except TenetError as error:
                incoming.hold_s = self._hold_s(error, began_s)
                response = route.service.refuse(request, error)
            except Exception:  # noqa: BLE001 (whatever happens, the client gets an answer and the log the traceback)
                response = _fail(route.service, request)
            finally:
                if entered:
                    admission.leave()
        if "accept-encoding" in headers and len(response.body) >= COMPRESS_BYTES_MIN:
            await _compress(headers["accept-encoding"], response)
        incoming.answer = self._write(request, incoming, response, crc32=crc32, answers_cors=answers_cors)
        incoming.outcome = Outcome(request, label, response, self._now() - began_s - incoming.waited_s)

    def note(self, incoming: Incoming) -> None:
        """Notes a request whose answer is on its way, or goes nowhere."""
        # The outcome's request knows whom it tells that it waits, which is `incoming`: a cycle of objects that would
        # stay until the garbage collector comes by.
        outcome, incoming.outcome = incoming.outcome, None
        if outcome is not None:
            self._note(outcome.request, outcome.label, outcome.response, outcome.seconds, len(incoming.body))

    def _begin_second(self, now_s: float) -> bool:
        """Renews what holds for a second, and returns whether the process turns out to have stood still before."""
        self._present.renew(now_s)
        return now_s > self._pulse.until_s and self._pulse.look()

    def _hold_s(self, error: TenetError, began_s: float) -> float:
        """Returns how long a refusal waits for its turn; only those that shed load do."""
        return self._admission.hold_s(began_s) if isinstance(error, Throttled) else 0.0

    def _check(self, incoming: Incoming, is_late: bool) -> None:  # noqa: FBT001 (called in one place)
        """Refuses what is too late, too large or too deep, before it takes a place."""
        if incoming.refusal == BODY_TOO_LARGE:
            raise BodyTooLarge
        if incoming.refusal or is_late:
            raise Throttled(THROTTLED)
        if len(incoming.body) <= _CHECKED_AT_ONCE_BYTES and "content-encoding" not in incoming.headers:
            check_nesting(incoming.body, self._admission.nesting_max)

    async def _check_closely(self, request: Request, headers: dict[str, str], mount: Mount, began_s: float) -> None:
        """Does what few requests need, now that it is known who asks: their tenant's share, decompression, nesting.

        Who asks without a signature, the service itself knows, and says it first.
        """
        if mount.authenticate is not None:
            request.principal = await mount.authenticate(request)
        admission = self._admission
        limits = admission.limits
        if admission.has_tenant_limits and (mount.signing_name or request.principal.tenant):
            admission.enter_tenant(request.principal.tenant, began_s)
        encoding = headers.get("content-encoding")
        if encoding is not None:
            request.body = await decompress(
                request.body, encoding, bytes_max=mount.body_bytes_max, ratio_max=limits.decompressed_ratio_max
            )
        if encoding is not None or len(request.body) > _CHECKED_AT_ONCE_BYTES:
            check_nesting(request.body, limits.nesting_max)

    def _write(
        self, request: Request, incoming: Incoming, response: Response, *, crc32: bool, answers_cors: bool
    ) -> bytes:
        if response.pieces is not None:
            return incoming.answer
        body, kind = response.body, response.content_type
        present = self._present
        front = present.fronts.get((response.status, kind)) or present.front(response.status, kind)
        more = f"x-amz-crc32: {_crc32(body)}\r\n" if crc32 else ""
        more += self._more(request, incoming, response, answers_cors=answers_cors)
        head = f"{front}{len(body)}\r\n{more}".encode("latin-1", "replace")
        return head if incoming.method == "HEAD" else head + body

    async def _stream(self, request: Request, incoming: Incoming, response: Response, answers_cors: bool) -> bool:  # noqa: FBT001 (called in one place)
        """Sends an answer in pieces, but for what ``incoming.answer`` has then."""
        if incoming.is_old:
            incoming.keep_alive = False
        front = self._present.front(response.status, response.content_type).removesuffix("Content-Length: ")
        more = framing(incoming, response) + self._more(request, incoming, response, answers_cors=answers_cors)
        assert response.pieces is not None
        await stream(incoming, request, response, response.pieces, f"{front}{more}".encode("latin-1", "replace"))
        return True

    def _more(self, request: Request, incoming: Incoming, response: Response, *, answers_cors: bool) -> str:
        """Returns the header lines that every answer has, and the empty line behind them."""
        headers, more = incoming.headers, f"x-amzn-RequestId: {request.request_id}\r\n"
        for name, value in response.headers:
            # A line end would end the headers where a service did not mean to.
            more += f"{name}: {value if value.isprintable() else quote(value, safe=_SAFE)}\r\n"
        if "traceparent" in headers:
            # As the header is called in W3C Trace Context, level 2 (a draft).
            more += f"traceresponse: {request.trace.traceparent}\r\n"
        if "origin" in headers and not answers_cors:
            more += preflight_headers(headers) if incoming.method == "OPTIONS" else ANSWER_HEADERS
        if not incoming.keep_alive:
            more += "Connection: close\r\n"
        return f"{more}\r\n"

    def body_bytes_max(self, target: str, headers: dict[str, str]) -> int:
        """Returns how large a request's body may be, going by its headers alone."""
        return self._routes.body_bytes_max(target.partition("?")[0], headers)

    def malformed(self, status: int, reason: str) -> bytes:
        """Returns the whole answer to what is no request, after which its connection ends."""
        self._metrics.malformed[status] = self._metrics.malformed.get(status, 0) + 1
        now_s = self._now()
        if now_s >= self._present.until_s:
            self._begin_second(now_s)
        body = f"{reason}\n".encode()
        front = self._present.front(status, "text/plain; charset=utf-8")
        head = f"{front}{len(body)}\r\nx-amzn-RequestId: {self._next_id()}\r\nConnection: close\r\n\r\n"
        return head.encode("latin-1") + body

    # ---- serving -----------------------------------------------------------------------------------------------------

    async def _answer_unrouted(self, request: Request, headers: dict[str, str]) -> tuple[Response, str, bool]:
        """Answers what belongs to no service: browsers asking first, the server's own pages, and mistakes."""
        if request.method == "OPTIONS" and "origin" in headers:
            return Response(200, b"", ""), _EDGE, False
        meant = service_meant(request.query, headers)
        if meant and meant not in self._routes.signing_names:
            return refuse_foreign(meant, self._routes.spoken, headers, request.request_id), _EDGE, False
        page = await self._pages(request.method, request.path, headers)
        if page is not None:
            return page, _EDGE, request.path == "/"
        route = self._routes.fallback
        if route is None or request.method != "POST" or (request.body and not is_json(headers)):
            return Response(404, _NOTHING_HERE, "", error_code="UnknownOperationException"), _EDGE, True
        return route.service.refuse(request, UnknownOperation()), route.label, route.crc32


def _fail(service: Service, request: Request) -> Response:
    _log.exception("unexpected error", operation=request.operation, request_id=request.request_id)
    return service.refuse(request, TenetError(f"Internal server error (request id {request.request_id})"))


async def _compress(accept_encoding: str, response: Response) -> None:
    if accepts_gzip(accept_encoding) and not any(name == "Content-Encoding" for name, _ in response.headers):
        response.body = await compress(response.body)
        response.headers = (*response.headers, ("Content-Encoding", "gzip"))
