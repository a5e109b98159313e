"""The protocol edge of the pipes service: REST and JSON, and the one place where errors become bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

import orjson
import structlog

from tenet.base.errors import TenetError
from tenet.pipes.context import Caller
from tenet.pipes.errors import (
    AccessDeniedException,
    InternalException,
    PipesError,
    ThrottlingException,
    UnknownOperationException,
    ValidationException,
)
from tenet.wire.door import Mount, Response
from tenet.wire.errors import EdgeError, words_for_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenet.wire.door import Request

JSON: Final = "application/json"
PIPES_PATH: Final = "/v1/pipes"
TAGS_PATH: Final = "/tags"
BODY_BYTES_MAX: Final = 256 * 1024

_MOUNT: Final = Mount(
    label="pipes",
    signing_name="pipes",
    path_prefixes=(PIPES_PATH, TAGS_PATH),
    body_bytes_max=BODY_BYTES_MAX,
    is_aws=True,
)
#: Operations by method, for each form of path.
_OF_ALL: Final = {"GET": "ListPipes"}
_OF_ONE: Final = {"GET": "DescribePipe", "POST": "CreatePipe", "PUT": "UpdatePipe", "DELETE": "DeletePipe"}
_OF_TAGS: Final = {"GET": "ListTagsForResource", "POST": "TagResource", "DELETE": "UntagResource"}
_OF_ACTIONS: Final = {"start": "StartPipe", "stop": "StopPipe"}
#: What the edge refuses with that is the sender's doing, and with which status.
_DENIED: Final = frozenset(
    {
        "AccessDeniedException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)

_log = structlog.get_logger(__name__)


class PipesService:
    """Implements ``tenet.wire.door.Service``.

    Args:
        call: carries out an operation: its name, the request's members, the caller; returns the answer's.
    """

    def __init__(self, call: Callable[[str, dict[str, Any], Caller], Awaitable[dict[str, Any]]]) -> None:
        self._call = call

    @property
    def mount(self) -> Mount:
        """Which requests are the service's own."""
        return _MOUNT

    async def answer(self, request: Request) -> Response:
        """Answers a request; never raises for what a client can cause."""
        caller = Caller(request.principal.tenant, request.region, request.deadline, request.notes)
        try:
            request.operation, members = read_target(request.method, request.path, request.query)
            answer = await self._call(request.operation, {**parse(request.body), **members}, caller)
        except TenetError as error:
            return self.refuse(request, error)
        return Response(200, orjson.dumps(answer), JSON)

    def refuse(self, request: Request, error: TenetError) -> Response:
        """Turns an error, the edge's own ones included, into the service's bytes."""
        told = _translate(request, error)
        body = orjson.dumps({"message": told.message, **told.members})
        return Response(told.http_status, body, JSON, (("x-amzn-ErrorType", told.code),), error_code=told.code)


def read_target(method: str, path: str, query: str) -> tuple[str, dict[str, Any]]:
    """Returns the operation that a request line names, and the members that stand in it.

    Args:
        method: upper case.
        path: percent-encoded.
        query: what followed the question mark.

    Raises:
        UnknownOperationException: it names none.
    """
    operation, members = None, {}
    if path == TAGS_PATH or path.startswith(TAGS_PATH + "/"):
        operation = _OF_TAGS.get(method)
        members = {"resourceArn": unquote(path.removeprefix(TAGS_PATH + "/")), "tagKeys": _values(query, "tagKeys")}
    else:
        name, _, action = path.removeprefix(PIPES_PATH).strip("/").partition("/")
        if not name:
            operation, members = _OF_ALL.get(method), dict(parse_qsl(query))
        else:
            operation = _OF_ACTIONS.get(action) if action and method == "POST" else None
            operation = operation if action else _OF_ONE.get(method)
            members = {"Name": unquote(name)}
    if operation is None:
        raise UnknownOperationException(f"The Pipes API has no {method} {path}.")
    return operation, members


def _values(query: str, name: str) -> list[str]:
    return [value for key, value in parse_qsl(query, keep_blank_values=True) if key == name]


def parse(body: bytes) -> dict[str, Any]:
    """Returns the members that stand in a body: strict JSON (RFC 8259) in UTF-8, or nothing.

    Raises:
        ValidationException: it is something else.
    """
    try:
        document = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise ValidationException(f"The body is not JSON: {error}.") from None
    if type(document) is dict:
        return document
    raise ValidationException("The body is no JSON object.")


def _translate(request: Request, error: TenetError) -> PipesError:
    """Returns the error as the API says it. What went wrong inside is told to the log, not to the client."""
    if isinstance(error, PipesError):
        return error
    if isinstance(error, EdgeError):
        return _of_edge(error)
    return InternalException(words_for_failure(request, error, _log))


def _of_edge(error: EdgeError) -> PipesError:
    told: PipesError
    if error.code in _DENIED:
        told = AccessDeniedException(error.message or "Access is denied.")
        told.code = error.code
    elif error.retryable:
        told = ThrottlingException(error.message)
    else:
        told = ValidationException(error.message or "The request is larger than the service takes.")
        told.http_status = error.http_status
    return told
