"""The protocol edge of the tables service: JSON 1.0 in and out, and the one place where errors become bytes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from tenet.base.errors import TenetError
from tenet.store.errors import SpaceNotFound, StoreError
from tenet.tables.context import Caller
from tenet.tables.errors import (
    InternalServerError,
    ResourceNotFoundException,
    SerializationException,
    ServiceUnavailable,
    TablesError,
)
from tenet.wire.door import Mount, Response
from tenet.wire.errors import BodyTooLarge, EdgeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenet.wire.door import Request

TARGET: Final = "DynamoDB_20120810"
JSON_1_0: Final = "application/x-amz-json-1.0"
JSON: Final = "application/json"
BODY_BYTES_MAX: Final = 16 * 1024 * 1024

_MOUNT: Final = Mount(
    label="dynamodb",
    signing_name="dynamodb",
    targets=(TARGET,),
    body_bytes_max=BODY_BYTES_MAX,
    crc32=True,
    fallback=True,
)

_SERVICE: Final = "com.amazon.coral.service#"
_MODEL: Final = "com.amazonaws.dynamodb.v20120810#"
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
    """

    def __init__(self, call: Callable[[str, dict[str, Any], Caller], Awaitable[bytes]]) -> None:
        self._call = call

    @property
    def mount(self) -> Mount:
        """Which requests are the service's own."""
        return _MOUNT

    async def answer(self, request: Request) -> Response:
        """Answers a request; never raises for what a client can cause."""
        try:
            document = _parse(request.body)
            headers = request.headers
            caller = Caller(
                request.principal.tenant, request.region, request.deadline, request.notes, headers.get("host", "")
            )
            body = await self._call(request.operation, document, caller)
        except TenetError as error:
            return self.refuse(request, error)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - whatever happens, the client gets an answer and the log the traceback
            _log.exception("unexpected error", operation=request.operation, request_id=request.request_id)
            return self.refuse(request, _internal(request))
        return Response(200, body, _content_type(request))

    def refuse(self, request: Request, error: TenetError) -> Response:
        """Turns an error, the edge's own ones included, into the service's bytes."""
        if isinstance(error, BodyTooLarge):
            return Response(error.http_status, b"", _content_type(request), error_code=error.code)
        told = _translate(request, error)
        return Response(told.http_status, _error_body(told), _content_type(request), error_code=told.code)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise SerializationException from None
    if type(document) is not dict:
        raise SerializationException
    return document


def _content_type(request: Request) -> str:
    return JSON_1_0 if request.headers.get("content-type", JSON).startswith(JSON_1_0) else JSON


def _internal(request: Request) -> InternalServerError:
    return InternalServerError(f"Internal server error (request id {request.request_id})")


def _translate(request: Request, error: TenetError) -> TenetError:
    """Returns the error as the API says it."""
    if isinstance(error, TablesError | EdgeError):
        return error
    if isinstance(error, SpaceNotFound):
        return ResourceNotFoundException("Requested resource not found")
    _log.error(
        "the store failed",
        operation=request.operation,
        request_id=request.request_id,
        error=error.code,
        reason=error.message,
    )
    if isinstance(error, StoreError) and error.http_status in {503, 507}:
        return ServiceUnavailable(error.message)
    return _internal(request)


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
