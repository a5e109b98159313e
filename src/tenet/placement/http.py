"""The protocol edge of the placement service: REST and JSON, and the one place where errors become bytes."""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import orjson
import structlog
from msgspec import Struct

from tenet.base.errors import TenetError
from tenet.base.ids import hyphened
from tenet.placement.context import NOW, UNTOLD, Answer, Asked
from tenet.placement.counts import OTHER
from tenet.placement.errors import (
    BadRequest,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PlacementError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from tenet.placement.rules.accepting import JSON, quality
from tenet.placement.rules.cross_origin import cross_origin_headers, is_preflight
from tenet.placement.rules.error_bodies import About, error_body
from tenet.placement.rules.microversions import HEADER, SERVICE_TYPE, read_version, text_of
from tenet.placement.rules.policy import Sender
from tenet.store.errors import LimitExceeded, StoreUnavailable
from tenet.wire.door import NOBODY, Mount, Principal, Response
from tenet.wire.errors import EdgeError, words_for_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.placement.context import Context
    from tenet.placement.loading import Loader
    from tenet.placement.opening import Opened
    from tenet.placement.routes import Route
    from tenet.placement.senders import Authenticator
    from tenet.wire.door import Request

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
_MODIFIED_SINCE: Final = 15
_MS: Final = 1000
#: How much of a refusal's text the log has.
_MESSAGE_CHARS_MAX: Final = 300
_NOBODY: Final = Sender("", "", frozenset())
_UUID_DIGITS: Final = 32
#: How large the body of a request may be whose sender nobody asks for.
_NOBODYS_BYTES_MAX: Final = 4096

#: Of what has only these characters, nothing has to be quoted in a path.
_is_plain: Final = re.compile("[A-Za-z0-9/_.-]*").fullmatch

_log = structlog.get_logger(__name__)


class Edge(Struct, frozen=True):
    """How the service is reached.

    Args:
        path: where it is mounted, for instance ``/placement``; empty for all paths that nobody else has.
        scheme: of the listener, ``https`` or ``http``.
        authenticator: finds out who sends requests.
        cors_origins: origins of pages whose scripts may call it.
        cors_headers: headers that they may send.
    """

    path: str
    scheme: str
    authenticator: Authenticator
    cors_origins: tuple[str, ...] = ()
    cors_headers: tuple[str, ...] = ()


class _Proven(Principal, frozen=True, gc=False, kw_only=True):
    """Whose request it is, as the edge knows it, with what placement knows of him: he is asked for once."""

    sender: Sender


class PlacementService:
    """Implements ``tenet.wire.door.Service``.

    Args:
        loader: opens the service when the first request asks for it.
        edge: how the service is reached.
    """

    def __init__(self, loader: Loader, edge: Edge) -> None:
        self._loader = loader
        self._edge = edge
        self._proves = edge.authenticator.proves
        self._counts = loader.counts
        self._mount = Mount(
            label="placement",
            signing_name="",
            path_prefixes=(edge.path,),
            body_bytes_max=BODY_BYTES_MAX,
            answers_cors=True,
            authenticate=self._authenticate,
        )

    @property
    def mount(self) -> Mount:
        """Which requests are the service's own."""
        return self._mount

    async def _authenticate(self, request: Request) -> Principal:
        """Returns whose request it is, before its body is decompressed or looked through.

        Raises:
            Unauthorized: nobody knows.
            Unavailable: who knows does not say now.
            BadRequest: everybody may send it, but without such a body.
        """
        if self._edge.cors_origins and is_preflight(request.method, request.headers):
            sender = _NOBODY
        else:
            sender = await self._sender(request, request.path.removeprefix(self._edge.path))
        if sender is _NOBODY and ("content-encoding" in request.headers or len(request.body) > _NOBODYS_BYTES_MAX):
            raise BadRequest("A request that everybody may send has no such body.")
        # Whom nobody proves to be anybody is held to no tenant's rate.
        return _Proven(sender.user, sender.project, sender=sender) if sender is not _NOBODY and self._proves else NOBODY

    async def answer(self, request: Request) -> Response:
        """Answers a request; never raises for what a client can cause."""
        headers = request.headers
        if self._edge.cors_origins and is_preflight(request.method, headers):
            return self._told_origin(request, Response(200, b"", "text/plain; charset=UTF-8"))
        version: int | None = None
        form = OTHER
        try:
            path = request.path.removeprefix(self._edge.path)
            sender = await self._sender(request, path)
            version = read_version(headers.get(HEADER))
            _check_body(request)
            opened = await self._loader.ask(request.deadline)
            form, methods, values = _found(opened, path)
            route = _route(methods, request.method, version)
            request.operation = route.name
            asked = self._asked(request, version, values, sender)
            _check(opened.context, route, asked, request)
            response = _response(opened.context, await route.operation(opened.context, asked), asked)
            self._counts.note_done(route.name, response.status)
        except TenetError as error:
            response = self._refusal(request, error, version)
        self._counts.note(request.method, form, response.status)
        return self._told_origin(request, response)

    def refuse(self, request: Request, error: TenetError) -> Response:
        """Turns an error, the edge's own ones included, into the service's bytes."""
        response = self._refusal(request, error, None)
        self._counts.note(request.method, OTHER, response.status)
        return self._told_origin(request, response)

    # ---- requests ----------------------------------------------------------------------------------------------------

    async def _sender(self, request: Request, path: str) -> Sender:
        """Returns who sent a request; the root document is for everybody."""
        if path in {"", "/"}:
            return _NOBODY
        if isinstance(request.principal, _Proven):
            return request.principal.sender
        return await self._edge.authenticator.sender(request.headers)

    def _asked(self, request: Request, version: int, values: dict[str, str], sender: Sender) -> Asked:
        host = request.headers.get("host", "")
        return Asked(
            version=version,
            path=values,
            query_string=request.query,
            body=request.body,
            sender=sender,
            base=self._edge.path,
            origin=f"{self._edge.scheme}://{host}" if host else "",
            request_id=request.request_id,
            deadline=request.deadline,
            notes=request.notes,
        )

    def _refusal(self, request: Request, error: TenetError, version: int | None) -> Response:
        told = _translate(request, error)
        request.notes["reason"] = self._counts.note_refused(request.operation, told)
        request.notes["message"] = told.message[:_MESSAGE_CHARS_MAX]
        request_id = _request_id_of(request.request_id)
        headers = request.headers
        about = About(
            method=request.method,
            accept=headers.get("accept", ""),
            content_type=headers.get("content-type", ""),
            request_id=request_id,
            version=version,
        )
        body, kind = error_body(told, about)
        more = [("x-openstack-request-id", request_id)]
        if version is not None:
            more += [(HEADER, f"{SERVICE_TYPE} {text_of(version)}"), ("vary", HEADER)]
        if isinstance(told, MethodNotAllowed) and told.allowed:
            more.append(("allow", told.allowed))
        if isinstance(told, Unauthorized):
            more.append(("www-authenticate", self._edge.authenticator.challenge))
        return Response(told.http_status, body, kind, tuple(more), error_code=told.code)

    def _told_origin(self, request: Request, response: Response) -> Response:
        """Adds what a browser has to know to let a page of another origin see the answer."""
        edge = self._edge
        if edge.cors_origins and "origin" in request.headers:
            more = cross_origin_headers(request.method, request.headers, edge.cors_origins, edge.cors_headers)
            response.headers = (*response.headers, *more)
        return response


def _found(opened: Opened, path: str) -> tuple[str, Mapping[str, tuple[Route, ...]], dict[str, str]]:
    found = opened.find(path)
    if found is None:
        raise NotFound
    return found


def _route(methods: Mapping[str, tuple[Route, ...]], method: str, version: int) -> Route:
    if method not in methods:
        raise MethodNotAllowed("The method specified is not allowed for this resource.", ", ".join(methods))
    routes = methods[method]
    for route in routes:
        if route.since <= version <= route.until:
            return route
    missing = NotFound if routes[0].missing == NotFound.http_status else MethodNotAllowed
    since = min(route.since for route in routes)
    raise missing(
        f"It is there from microversion 1.{since} on, and the request is of {text_of(version)}, which the header "
        "OpenStack-API-Version says; without one it is 1.0."
    )


def _check(context: Context, route: Route, asked: Asked, request: Request) -> None:
    """Refuses what an operation would not look at: types that are not JSON, and senders that may not."""
    headers = request.headers
    if route.media == "body":
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise UnsupportedMediaType(f"The media type {kind or None} is not supported, use {JSON}")
    if route.media == "answer" and not quality(headers.get("accept", ""), JSON):
        raise NotAcceptable(f"Only {JSON} is provided")
    if not context.policy.allows(route.rule, asked.sender):
        raise Forbidden.of(f"placement:{route.action}")


def _response(context: Context, answer: Answer, asked: Asked) -> Response:
    more = [(HEADER, f"{SERVICE_TYPE} {text_of(asked.version)}"), ("vary", HEADER)]
    more.append(("x-openstack-request-id", _request_id_of(asked.request_id)))
    if answer.location:
        path = answer.location if _is_plain(answer.location) else quote(answer.location)
        more.append(("location", f"{asked.origin}{asked.base}{path}"))
    if asked.version >= _MODIFIED_SINCE and answer.modified_ms != UNTOLD:
        modified_ms = context.clock.wall_ms() if answer.modified_ms == NOW else answer.modified_ms
        more.append(("last-modified", formatdate(modified_ms // _MS, usegmt=True)))
        more.append(("cache-control", "no-cache"))
    body = answer.body if answer.document is None else orjson.dumps(answer.document)
    kind = JSON if body or answer.pieces is not None else ""
    return Response(answer.status, body, kind, tuple(more), pieces=answer.pieces)


def _check_body(request: Request) -> None:
    if request.body and not request.headers.get("content-type"):
        raise BadRequest("content-type header required when content-length > 0")


def _request_id_of(request_id: str) -> str:
    """Returns the request id in the form of OpenStack's services: the first 32 digits of Tenet's, as a uuid."""
    return f"req-{hyphened(request_id[:_UUID_DIGITS].ljust(_UUID_DIGITS, '0').lower())}"


def _translate(request: Request, error: TenetError) -> PlacementError:
    """Returns the error as the API says it. What went wrong inside is told to the log, not to the client."""
    if isinstance(error, PlacementError):
        return error
    if isinstance(error, EdgeError):
        return _of_edge(error)
    if isinstance(error, LimitExceeded):
        return BadRequest(f"The request is too large for one change: {error.message}. Nothing was written.")
    kind = Unavailable if isinstance(error, StoreUnavailable) else InternalError
    return kind(words_for_failure(request, error, _log))


def _of_edge(error: EdgeError) -> PlacementError:
    if error.http_status == TooLarge.http_status:
        return TooLarge(error.message)
    if error.http_status == Unavailable.http_status:
        return Unavailable(error.message)
    if error.retryable:
        return TooManyRequests(error.message)
    return BadRequest(error.message)
