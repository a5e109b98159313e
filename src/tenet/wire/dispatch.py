"""One request, from complete to answered: routed, admitted, verified, decompressed, served, compressed, noted.

Each step that refuses does so before the next one costs anything. Whatever happens behind it, a client gets an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from zlib import crc32 as _crc32

import structlog

from tenet.base.clock import Clock
from tenet.base.errors import TenetError
from tenet.base.ids import Ids, request_id
from tenet.wire.admission import THROTTLED, Admission, check_nesting
from tenet.wire.answers import Present
from tenet.wire.compression import COMPRESS_BYTES_MIN, accepts_gzip, compress, decompress
from tenet.wire.cors import ANSWER_HEADERS, preflight_headers
from tenet.wire.door import Mount, Request, Response, Service
from tenet.wire.errors import BodyTooLarge, Throttled, UnknownOperation
from tenet.wire.exchange import BODY_TOO_LARGE, Incoming
from tenet.wire.metrics import Metrics
from tenet.wire.observe import Observer
from tenet.wire.routing import Routes, is_json
from tenet.wire.sigv4 import Verifier

_EDGE: Final = "edge"
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
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._routes = routes
        self._admission = admission
        self._verify = verifier.verify
        self._note = observer.note
        self._metrics = metrics
        self._pages = pages
        self._now = clock.monotonic_s
        self._ids = ids
        self._draw = ids.draw
        self._present = Present(clock)

    # ---- what connections ask ----------------------------------------------------------------------------------------

    async def handle(self, incoming: Incoming) -> bytes:
        """Answers a request with the bytes of a whole HTTP answer. Never raises."""
        began_s = self._now()
        if began_s >= self._present.until_s:
            self._present.renew(began_s)
        path, _, query = incoming.target.partition("?")
        headers, body = incoming.headers, incoming.body
        request = Request(incoming.method, path, query, headers, body, "", self._draw(26).hex().upper())
        found = self._routes.find(incoming.method, path, query, headers, body)
        if found is None:
            response, label, crc32 = await self._answer_unrouted(request, headers)
        else:
            service, request.operation = found
            mount = service.mount
            label, crc32 = mount.label, mount.crc32
            admission = self._admission
            entered = False
            try:
                self._check(request, incoming, began_s)
                entered = admission.enter(began_s, began_s - incoming.turn_s) or await admission.wait(began_s)
                if mount.signing_name:
                    self._identify(request, headers, mount.signing_name, began_s)
                if "content-encoding" in headers:
                    await self._decompress(request, headers["content-encoding"], mount)
                response = await service.answer(request)
            except TenetError as error:
                if isinstance(error, Throttled):
                    incoming.hold_s = admission.hold_s(began_s)
                response = service.refuse(request, error)
            except Exception:  # noqa: BLE001 (whatever happens, the client gets an answer and the log the traceback)
                response = _fail(service, request)
            finally:
                if entered:
                    admission.leave()
        if "accept-encoding" in headers and len(response.body) >= COMPRESS_BYTES_MIN:
            await _compress(headers["accept-encoding"], response)
        self._note(request, label, response, self._now() - began_s, len(body))
        return self._write(request, incoming, response, crc32=crc32)

    def _check(self, request: Request, incoming: Incoming, began_s: float) -> None:
        """Refuses what is too large or too deep, before it takes a place."""
        request.peer = incoming.peer
        limits = self._admission.limits
        request.deadline = incoming.read_s + limits.deadline_s
        if incoming.refusal == BODY_TOO_LARGE:
            raise BodyTooLarge
        if incoming.refusal or began_s > request.deadline:
            raise Throttled(THROTTLED)
        if (
            limits.nesting_max < len(incoming.body) <= _CHECKED_AT_ONCE_BYTES
            and "content-encoding" not in incoming.headers
        ):
            check_nesting(incoming.body, limits.nesting_max)

    def _identify(self, request: Request, headers: dict[str, str], service: str, began_s: float) -> None:
        """Finds out who signed a request, and counts it against the share of that tenant; looks at a large body."""
        self._verify(request, headers, service, self._present.wall_s)
        if len(request.body) > _CHECKED_AT_ONCE_BYTES and "content-encoding" not in headers:
            check_nesting(request.body, self._admission.limits.nesting_max)
        if self._admission.has_tenant_limits:
            self._admission.enter_tenant(request.principal.tenant, began_s)

    def _write(self, request: Request, incoming: Incoming, response: Response, *, crc32: bool) -> bytes:
        body, headers = response.body, incoming.headers
        front = self._present.front(response.status, response.content_type)
        head = f"{front}{len(body)}\r\nx-amzn-RequestId: {request.request_id}\r\n"
        if crc32:
            head += f"x-amz-crc32: {_crc32(body)}\r\n"
        for name, value in response.headers:
            head += f"{name}: {value}\r\n"
        if "traceparent" in headers:
            # As the header is called in W3C Trace Context, level 2 (a draft).
            head += f"traceresponse: {request.trace.traceparent}\r\n"
        if "origin" in headers:
            head += preflight_headers(headers) if incoming.method == "OPTIONS" else ANSWER_HEADERS
        if not incoming.keep_alive:
            head += "Connection: close\r\n"
        if incoming.method == "HEAD":
            body = b""
        return b"%b\r\n%b" % (head.encode("latin-1"), body)

    def body_bytes_max(self, target: str, headers: dict[str, str]) -> int:
        """Returns how large a request's body may be, going by its headers alone."""
        return self._routes.body_bytes_max(target.partition("?")[0], headers)

    def malformed(self, status: int, reason: str) -> bytes:
        """Returns the whole answer to what is no request, after which its connection ends."""
        self._metrics.malformed[status] = self._metrics.malformed.get(status, 0) + 1
        now_s = self._now()
        if now_s >= self._present.until_s:
            self._present.renew(now_s)
        body = f"{reason}\n".encode()
        front = self._present.front(status, "text/plain; charset=utf-8")
        head = f"{front}{len(body)}\r\nx-amzn-RequestId: {request_id(self._ids)}\r\nConnection: close\r\n\r\n"
        return head.encode("latin-1") + body

    # ---- serving -----------------------------------------------------------------------------------------------------

    async def _decompress(self, request: Request, encoding: str, mount: Mount) -> None:
        limits = self._admission.limits
        request.body = await decompress(
            request.body, encoding, bytes_max=mount.body_bytes_max, ratio_max=limits.decompressed_ratio_max
        )
        check_nesting(request.body, limits.nesting_max)

    async def _answer_unrouted(self, request: Request, headers: dict[str, str]) -> tuple[Response, str, bool]:
        """Answers what belongs to no service: browsers asking first, the server's own pages, and mistakes."""
        if request.method == "OPTIONS" and "origin" in headers:
            return Response(200, b"", ""), _EDGE, False
        page = await self._pages(request.method, request.path, headers)
        if page is not None:
            return page, _EDGE, request.path == "/"
        service = self._routes.fallback
        if service is None or request.method != "POST" or (request.body and not is_json(headers)):
            return Response(404, _NOTHING_HERE, "", error_code="UnknownOperationException"), _EDGE, True
        return service.refuse(request, UnknownOperation()), service.mount.label, service.mount.crc32


def _fail(service: Service, request: Request) -> Response:
    _log.exception("unexpected error", operation=request.operation, request_id=request.request_id)
    return service.refuse(request, TenetError(f"Internal server error (request id {request.request_id})"))


async def _compress(accept_encoding: str, response: Response) -> None:
    if accepts_gzip(accept_encoding) and not any(name == "Content-Encoding" for name, _ in response.headers):
        response.body = await compress(response.body)
        response.headers = (*response.headers, ("Content-Encoding", "gzip"))
