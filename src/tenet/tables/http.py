"""The protocol edge of the tables service: JSON 1.0 in and out, and the one place where errors become bytes."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from tenet.base.errors import TenetError
from tenet.base.json_text import without_strings
from tenet.store.errors import LimitExceeded, ReadOnlyStore, StoreUnavailable
from tenet.tables.context import Caller
from tenet.tables.errors import (
    InternalServerError,
    SerializationException,
    ServiceUnavailable,
    TablesError,
    ValidationException,
)
from tenet.tables.rules.shapes import check_json_types
from tenet.wire.door import Mount, Response
from tenet.wire.errors import BodyTooLarge, EdgeError, words_for_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenet.wire.door import Request

TARGET: Final = "DynamoDB_20120810"
JSON_1_0: Final = "application/x-amz-json-1.0"
JSON: Final = "application/json"
BODY_BYTES_MAX: Final = 16 * 1024 * 1024
#: From so many bytes on, a body may hold enough objects to wake the garbage collector.
_LARGE_BYTES: Final = 256 * 1024
#: Nothing in a request is denser than empty lists, ``{"L":[]},``: two brackets in 9 bytes. A body has no room for more.
_CONTAINERS_MAX: Final = 4_000_000

_MOUNT: Final = Mount(
    label="dynamodb",
    signing_name="dynamodb",
    targets=(TARGET,),
    body_bytes_max=BODY_BYTES_MAX,
    crc32=True,
    fallback=True,
)

#: Which requests are of the API of streams; SDKs sign them for the same service.
STREAMS_MOUNT: Final = Mount(
    label="dynamodbstreams",
    signing_name="dynamodb",
    targets=("DynamoDBStreams_20120810",),
    body_bytes_max=BODY_BYTES_MAX,
    crc32=True,
)

#: Where a request that is none of the API ends.
_NOTHING_HERE: Final = b"<UnknownOperationException/>\n"
_SERVICE: Final = "com.amazon.coral.service#"
_AVAILABILITY: Final = "com.amazon.coral.availability#"
#: What stands before the codes of the edge.
_EDGE_NAMESPACES: Final = {"ThrottlingException": _AVAILABILITY, "ServiceUnavailable": _AVAILABILITY}
#: Errors whose text is in ``Message``; all others have it in ``message``.
_CAPITAL: Final = frozenset(
    {
        "SerializationException",
        "AccessDeniedException",
        "TransactionCanceledException",
        "TransactionInProgressException",
        "IdempotentParameterMismatchException",
    }
)

_log = structlog.get_logger(__name__)


class TablesService:
    """Implements ``tenet.wire.door.Service``.

    Args:
        call: carries out an operation: its name, the parsed request, the caller.
        mount: which requests are its own.
    """

    def __init__(self, call: Callable[[str, dict[str, Any], Caller], Awaitable[bytes]], mount: Mount = _MOUNT) -> None:
        self._call = call
        self._mount = mount

    @property
    def mount(self) -> Mount:
        """Which requests are the service's own."""
        return self._mount

    async def answer(self, request: Request) -> Response:
        """Answers a request; never raises for what a client can cause."""
        headers = request.headers
        content_type = headers.get("content-type", JSON)
        if content_type != JSON_1_0 or request.method != "POST":
            content_type = content_type.partition(";")[0].strip().lower()
            if request.method != "POST" or (request.body and content_type not in {JSON_1_0, JSON}):
                return Response(404, _NOTHING_HERE, "", error_code="UnknownOperationException")
        caller = Caller(
            request.principal.tenant, request.region, request.deadline, request.notes, headers.get("host", "")
        )
        try:
            parsed = parse(request.body)
            if len(request.body) >= _LARGE_BYTES:
                # Parsing and what follows are each long enough for one turn of the loop.
                await asyncio.sleep(0)
            body = await self._call(request.operation, parsed, caller)
        except TenetError as error:
            return self.refuse(request, _first_problem(request, error))
        return Response(200, body, content_type)

    def refuse(self, request: Request, error: TenetError) -> Response:
        """Turns an error, the edge's own ones included, into the service's bytes."""
        if isinstance(error, BodyTooLarge):
            return Response(error.http_status, b"", _content_type(request), error_code=error.code)
        told = _translate(request, error)
        return Response(told.http_status, _error_body(told), _content_type(request), error_code=told.code)


def _first_problem(request: Request, error: TenetError) -> TenetError:
    """Returns what the service says first of a request: that JSON types are wrong comes before what is not valid.

    What is refused is parsed and looked through once more for that, since its values are canonical by now; a large body
    is not worth the time.
    """
    if isinstance(error, ValidationException) and len(request.body) < _LARGE_BYTES:
        try:
            check_json_types(request.operation, parse(request.body))
        except SerializationException as problem:
            return problem
    return error


def parse(body: bytes) -> dict[str, Any]:
    """Returns the request that a body holds.

    Strict JSON (RFC 8259) in UTF-8: no NaN, nothing behind the document. Of a member that stands twice in an object the
    last one counts, as in the service's parser.

    Raises:
        SerializationException: the body is none.
        ValidationException: it has more values than any right request.
    """
    try:
        document = orjson.loads(body) if len(body) < _LARGE_BYTES else _parse_large(body)
    except orjson.JSONDecodeError:
        raise SerializationException from None
    if type(document) is dict:
        return document
    # An empty list passes for an empty request in the service; whatever else is no object is refused.
    if document == []:
        return {}
    raise SerializationException("Unexpected field type")


def _parse_large(body: bytes) -> object:
    """Parses without the garbage collector, which would look at millions of new objects again and again.

    No other thread runs meanwhile: the parser keeps the interpreter to itself.

    Raises:
        ValidationException: it may hold more objects and lists than any right request.
    """
    # Brackets within strings are rare enough to be counted first, and taken out only where it matters.
    if _brackets(body) > _CONTAINERS_MAX and _brackets(without_strings(body)) > _CONTAINERS_MAX:
        raise ValidationException(f"The request has more than {_CONTAINERS_MAX:,} values")
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        if was_enabled:
            gc.enable()


def _brackets(body: bytes) -> int:
    return body.count(b"{") + body.count(b"[")


def _content_type(request: Request) -> str:
    """Returns that of the answer: the request's own where it is JSON 1.0, else plain JSON."""
    return JSON_1_0 if request.headers.get("content-type", JSON).lower().startswith(JSON_1_0) else JSON


def _translate(request: Request, error: TenetError) -> TenetError:
    """Returns the error as the API says it. What went wrong inside is told to the log, not to the client."""
    if isinstance(error, TablesError | EdgeError):
        return error
    if isinstance(error, LimitExceeded):
        return ValidationException(f"The request is larger than one commit of the store: {error.message}")
    is_worth_a_retry = isinstance(error, StoreUnavailable) and not isinstance(error, ReadOnlyStore)
    kind = ServiceUnavailable if is_worth_a_retry else InternalServerError
    return kind(words_for_failure(request, error, _log))


def _error_body(error: TenetError) -> bytes:
    if isinstance(error, TablesError):
        namespace = error.namespace + "#"
        members = error.members
    else:
        namespace = _EDGE_NAMESPACES.get(error.code, _SERVICE)
        members = {}
    answer: dict[str, Any] = {"__type": namespace + error.code}
    if error.message:
        answer["Message" if error.code in _CAPITAL else "message"] = error.message
    answer.update(members)
    return orjson.dumps(answer)
