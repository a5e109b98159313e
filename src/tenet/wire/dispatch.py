"""One request, from complete to answered: routed, admitted, verified, decompressed, served, compressed, noted.

Each step that refuses does so before the next one costs anything. Whatever happens behind it, a client gets an answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from tenet.base.clock import Clock
from tenet.base.errors import TenetError
from tenet.base.ids import Ids, request_id
from tenet.wire.admission import THROTTLED, Admission, check_nesting
from tenet.wire.answers import Heads
from tenet.wire.compression import COMPRESS_BYTES_MIN, accepts_gzip, compress, decompress
from tenet.wire.cors import ANSWER_HEADERS, preflight_headers
from tenet.wire.door import Mount, Request, Response, Service
from tenet.wire.errors import BodyTooLarge, Throttled, UnknownOperation
from tenet.wire.metrics import Metrics
from tenet.wire.observe import Observer
from tenet.wire.protocol import BODY_TOO_LARGE, Incoming
from tenet.wire.routing import Route, Routes
from tenet.wire.sigv4 import Verifier

_EDGE: Final = "edge"
_JSON_TYPES: Final = frozenset({"application/json", "application/x-amz-json-1.0", "application/x-amz-json-1.1"})
#: Where a request that no service knows ends (the words are DynamoDB's).
_NOTHING_HERE: Final = b"<UnknownOperationException/>\n"

_log = structlog.get_logger(__name__)

#: Answers the server's own pages: method, path, headers. None: there is no such page.
Pages = Callable[[str, str, dict[str, str]], Awaitable[Response | None]]


class Dispatcher:
    """Implements ``protocol.Handler``.

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
        self._verifier = verifier
        self._observer = observer
        self._metrics = metrics
        self._pages = pages
        self._now = clock.monotonic_s
        self._ids = ids
        self._heads = Heads(clock)

    # ---- what connections ask ----------------------------------------------------------------------------------------

    async def handle(self, incoming: Incoming) -> bytes:
        """Answers a request with the bytes of a whole HTTP answer. Never raises."""
        began_s = self._now()
        path, _, query = incoming.target.partition("?")
        headers, method = incoming.headers, incoming.method
        request = Request(method, path, query, headers, incoming.body, "", request_id(self._ids))
        request.peer = incoming.peer
        route = self._routes.find(method, path, query, headers, incoming.body)
        if route is None or not route.known:
            response, label = await self._answer_unrouted(request, incoming, route)
            crc32 = response.status != 204  # noqa: PLR2004 (without a body there is nothing to check)
        else:
            request.operation = route.operation
            mount = route.service.mount
            label, crc32 = mount.label, mount.crc32
            response = await self._serve(route.service, mount, request, incoming, began_s)
        if "accept-encoding" in headers and len(response.body) >= COMPRESS_BYTES_MIN:
            await _compress_answer(headers["accept-encoding"], response)
        now_s = self._now()
        body = response.body
        self._observer.note(request, label, response, seconds=now_s - began_s, received_bytes=len(incoming.body))
        head = self._heads.head(response.status, response.content_type, len(body), now_s)
        head += f"x-amzn-RequestId: {request.request_id}\r\n"
        if crc32:
            head += f"x-amz-crc32: {zlib.crc32(body)}\r\n"
        for name, value in response.headers:
            head += f"{name}: {value}\r\n"
        if "origin" in headers:
            head += preflight_headers(headers) if method == "OPTIONS" else ANSWER_HEADERS
        if not incoming.keep_alive:
            head += "Connection: close\r\n"
        if method == "HEAD":
            body = b""
        return head.encode("latin-1") + b"\r\n" + body

    def body_bytes_max(self, target: str, headers: dict[str, str]) -> int:
        """Returns how large a request's body may be, going by its headers alone."""
        return self._routes.body_bytes_max(target.partition("?")[0], headers)

    def malformed(self, status: int, reason: str) -> bytes:
        """Returns the whole answer to what is no request, after which its connection ends."""
        self._metrics.malformed[status] = self._metrics.malformed.get(status, 0) + 1
        body = f"{reason}\n".encode()
        head = self._heads.head(status, "text/plain; charset=utf-8", len(body), self._now())
        return f"{head}x-amzn-RequestId: {request_id(self._ids)}\r\nConnection: close\r\n\r\n".encode("latin-1") + body

    # ---- serving -----------------------------------------------------------------------------------------------------

    async def _serve(
        self, service: Service, mount: Mount, request: Request, incoming: Incoming, began_s: float
    ) -> Response:
        admission = self._admission
        limits = admission.limits
        entered = False
        try:
            if incoming.refusal:
                raise BodyTooLarge if incoming.refusal == BODY_TOO_LARGE else Throttled(THROTTLED)  # noqa: TRY301
            request.deadline = began_s + limits.deadline_s
            check_nesting(request.body, limits.nesting_max)
            entered = admission.enter(began_s, began_s - incoming.read_s)
            if not entered:
                await admission.wait(began_s)
                entered = True
            if mount.signing_name:
                verified = self._verifier.verify(
                    request.method,
                    request.path,
                    request.query,
                    incoming.headers,
                    request.body,
                    service=mount.signing_name,
                )
                request.principal, request.region = verified.principal, verified.region
                admission.enter_tenant(verified.principal.tenant, began_s)
            encoding = incoming.headers.get("content-encoding")
            if encoding is not None:
                request.body = await decompress(
                    request.body, encoding, bytes_max=mount.body_bytes_max, ratio_max=limits.decompressed_ratio_max
                )
                check_nesting(request.body, limits.nesting_max)
            return await service.answer(request)
        except TenetError as error:
            return service.refuse(request, error)
        except Exception:  # noqa: BLE001 (whatever happens, the client gets an answer and the log the traceback)
            _log.exception("unexpected error", operation=request.operation, request_id=request.request_id)
            return service.refuse(request, TenetError(f"Internal server error (request id {request.request_id})"))
        finally:
            if entered:
                admission.leave()

    async def _answer_unrouted(self, request: Request, incoming: Incoming, route: Route | None) -> tuple[Response, str]:
        """Answers what belongs to no service: browsers asking first, the server's own pages, and mistakes."""
        headers = incoming.headers
        if request.method == "OPTIONS" and "origin" in headers:
            return Response(200, b"", ""), _EDGE
        page = await self._pages(request.method, request.path, incoming.headers)
        if page is not None:
            return page, _EDGE
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if route is None or (request.body and content_type not in _JSON_TYPES):
            return Response(404, _NOTHING_HERE, "", error_code="UnknownOperationException"), _EDGE
        return route.service.refuse(request, UnknownOperation()), route.service.mount.label


async def _compress_answer(accept_encoding: str, response: Response) -> None:
    if accepts_gzip(accept_encoding) and not any(name == "Content-Encoding" for name, _ in response.headers):
        response.body = await compress(response.body)
        response.headers = (*response.headers, ("Content-Encoding", "gzip"))
