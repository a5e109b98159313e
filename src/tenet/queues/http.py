"""The protocol edge of the queues service: AWS JSON 1.0 and the Query protocol, and where errors become bytes.

Both protocols lead to the same operations. A request of the JSON protocol has an ``X-Amz-Target``; one of the Query
protocol is a form, or a query string, and may name its queue by its path.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from tenet.base.errors import TenetError
from tenet.queues.context import Caller
from tenet.queues.errors import (
    AccessDenied,
    InternalFailure,
    InvalidParameterValue,
    QueueDoesNotExist,
    QueuesError,
    RequestThrottled,
    SerializationException,
    ServiceUnavailable,
    UnknownOperation,
)
from tenet.queues.rules.json_types import check_types
from tenet.queues.rules.message_attributes import is_trace
from tenet.queues.rules.query_answers import answer_document, error_document
from tenet.queues.rules.query_forms import read_form
from tenet.queues.rules.shapes import ANSWERS, REQUESTS
from tenet.store.errors import LimitExceeded, ReadOnlyStore, StoreUnavailable
from tenet.wire.door import Mount, Response
from tenet.wire.errors import EdgeError, words_for_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenet.wire.door import Request

TARGET: Final = "AmazonSQS"
VERSION: Final = "2012-11-05"
JSON_1_0: Final = "application/x-amz-json-1.0"
XML: Final = "text/xml"
#: A message of 1 MiB, each byte of which a form writes as three.
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
#: From so many bytes on, parsing and what follows are each long enough for one turn of the loop.
_LARGE_BYTES: Final = 256 * 1024

_MOUNT: Final = Mount(
    label="sqs", signing_name="sqs", targets=(TARGET,), form_versions=(VERSION,), body_bytes_max=BODY_BYTES_MAX
)

#: What the Query protocol does not take at the URL of a queue.
_NOT_OF_A_QUEUE: Final = frozenset({"CreateQueue", "ListQueues"})
_OF_QUERY: Final = "The specified queue does not exist for this wsdl version."
_DENIED: Final = "Access to the resource is denied."
_METHODS: Final = frozenset({"GET", "POST"})
_NOTHING_HERE: Final = b"<UnknownOperationException/>\n"

#: How the edge's own errors are called: in the JSON protocol, in the Query protocol, and with which status.
_EDGE: Final = {
    "AccessDeniedException": ("AccessDeniedException", "AccessDenied", 403),
    "IncompleteSignatureException": ("IncompleteSignatureException", "IncompleteSignature", 400),
    "InvalidSignatureException": ("InvalidSignatureException", "SignatureDoesNotMatch", 403),
    "MissingAuthenticationTokenException": ("AccessDeniedException", "AccessDenied", 403),
    "SerializationException": ("SerializationException", "MalformedInput", 400),
    "UnrecognizedClientException": ("UnrecognizedClientException", "InvalidClientTokenId", 403),
}

_log = structlog.get_logger(__name__)


class QueuesService:
    """Implements ``tenet.wire.door.Service``.

    Args:
        call: carries out an operation: its name, the parsed request, the caller; returns the answer's members.
        scheme: of the listener, ``https`` or ``http``; stands in the URLs of queues.
    """

    def __init__(
        self, call: Callable[[str, dict[str, Any], Caller], Awaitable[dict[str, Any] | None]], scheme: str
    ) -> None:
        self._call = call
        self._scheme = scheme + "://"

    @property
    def mount(self) -> Mount:
        """Which requests are the service's own."""
        return _MOUNT

    async def answer(self, request: Request) -> Response:
        """Answers a request; never raises for what a client can cause."""
        headers = request.headers
        takes_json = "x-amz-target" in headers
        operation = request.operation
        if not operation or request.method not in _METHODS:
            return Response(404, _NOTHING_HERE, "", error_code="UnknownOperationException")
        caller = Caller(
            request.principal.tenant,
            request.region,
            request.deadline,
            request.notes,
            self._scheme + headers.get("host", ""),
            request.peer,
            _trace(headers["x-amzn-trace-id"]) if "x-amzn-trace-id" in headers else "",
            takes_json,
            request.patience,
        )
        try:
            if operation not in REQUESTS:
                raise UnknownOperation
            asked = check_types(operation, parse(request.body)) if takes_json else _read_query(request)
            if len(request.body) >= _LARGE_BYTES:
                await asyncio.sleep(0)
            members = await self._call(operation, asked, caller)
        except TenetError as error:
            return self.refuse(request, error)
        if not takes_json:
            return Response(200, answer_document(operation, members, request.request_id), XML)
        if members is None and operation not in ANSWERS:
            return Response(200, b"", JSON_1_0)
        return Response(200, orjson.dumps(members), JSON_1_0)

    def refuse(self, request: Request, error: TenetError) -> Response:
        """Turns an error, the edge's own ones included, into the service's bytes."""
        told, code = _translate(request, error)
        if "x-amz-target" in request.headers:
            return _json_error(told, code)
        return _query_error(request, told, code)


def parse(body: bytes) -> dict[str, Any]:
    """Returns the request that a body holds: strict JSON (RFC 8259) in UTF-8.

    Raises:
        SerializationException: it holds none.
    """
    try:
        document = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        raise SerializationException from None
    if type(document) is dict:
        return document
    raise SerializationException


def _trace(header: str) -> str:
    """Returns a trace header as messages keep it; one that is none counts for nothing."""
    return header if is_trace(header) else ""


def _read_query(request: Request) -> dict[str, Any]:
    """Returns the request that a form or a query string holds; its path names the queue where it does not itself."""
    is_posted = request.method == "POST" and request.body
    try:
        form = request.body.decode("ascii") if is_posted else request.query
    except UnicodeDecodeError:
        raise SerializationException("The request is not a form") from None
    asked = read_form(request.operation, form)
    path = request.path.strip("/")
    if path:
        if request.operation in _NOT_OF_A_QUEUE:
            raise UnknownOperation
        if "QueueUrl" in REQUESTS[request.operation].members:
            asked.setdefault("QueueUrl", path)
    return asked


# ---- errors ----------------------------------------------------------------------------------------------------------


def _translate(request: Request, error: TenetError) -> tuple[QueuesError, str]:
    """Returns the error as the API says it, and the code that metrics and logs have.

    What went wrong inside is told to the log, not to the client.
    """
    if isinstance(error, QueuesError):
        return error, error.code
    if isinstance(error, EdgeError):
        return _of_edge(error), error.code
    inside = _of_store(request, error)
    return inside, inside.code


def _of_edge(error: EdgeError) -> QueuesError:
    named = _EDGE.get(error.code)
    if named is not None:
        told = AccessDenied(error.message)
        told.code, told.query_code, told.http_status = named
        if not told.message and told.query_code == AccessDenied.query_code:
            told.message = _DENIED
        return told
    if error.code == UnknownOperation.code:
        return UnknownOperation(error.message)
    if error.code == "ThrottlingException":
        return RequestThrottled(error.message)
    if error.code == "ServiceUnavailable":
        return ServiceUnavailable(error.message)
    refused = InvalidParameterValue(error.message or "The request is larger than the service takes.")
    refused.http_status = error.http_status
    return refused


def _of_store(request: Request, error: TenetError) -> QueuesError:
    if isinstance(error, LimitExceeded):
        return InvalidParameterValue(f"The request is larger than one commit of the store: {error.message}")
    is_worth_a_retry = isinstance(error, StoreUnavailable) and not isinstance(error, ReadOnlyStore)
    kind = ServiceUnavailable if is_worth_a_retry else InternalFailure
    return kind(words_for_failure(request, error, _log))


def _json_error(error: QueuesError, code: str) -> Response:
    answer = {"__type": f"{error.namespace}#{error.code}"}
    if error.message:
        answer["Message" if error.code == AccessDenied.code else "message"] = error.message
    fault = "Sender" if error.is_senders_fault else "Receiver"
    headers = (("x-amzn-query-error", f"{error.query_code};{fault}"),)
    return Response(error.http_status, orjson.dumps(answer), JSON_1_0, headers, error_code=code)


def _query_error(request: Request, error: QueuesError, code: str) -> Response:
    message = error.message
    if isinstance(error, QueueDoesNotExist):
        message = _OF_QUERY
    elif isinstance(error, UnknownOperation):
        message = f"The action {request.operation} is not valid for this endpoint."
    document = error_document(error.query_code, message, request.request_id, is_senders_fault=error.is_senders_fault)
    return Response(error.http_status, document, XML, error_code=code)
