"""What the edge refuses requests with. Codes and texts are the AWS ones; a service turns them into its own bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.base.errors import TenetError
from tenet.store.errors import OutcomeUnknown, ReadOnlyStore, StoreUnavailable

if TYPE_CHECKING:
    from tenet.wire.door import Request

#: What clients are told while the store cannot serve; nothing was written then, and all of it may be sent again.
_UNAVAILABLE: Final = {
    "StoreUnavailable": "The service is unavailable at the moment. Nothing was written; please try again.",
    "DeadlineExceeded": "The request could not be carried out in time. Nothing was written; please try again.",
    "DiskFull": "The server's disk is full. Nothing was written; try again when there is space.",
}
_READ_ONLY: Final = "The server's storage cannot be written to. Nothing was written; reads go on."
#: What they are told where a commit's outcome could not be found out in time.
_UNKNOWN_OUTCOME: Final = "The outcome of the request is not known: it may or may not have taken effect."
#: Under which name a request's notes, and so the log, have what the store failed with.
STORE_ERROR: Final = "store_error"


def words_for_failure(request: Request, error: TenetError, log: Any) -> str:
    """Tells the operator what went wrong behind a service, and returns what every service tells its clients of it.

    Args:
        request: its notes get what the store failed with; its id is what the client is told of anything else.
        error: told to the operator alone, word for word.
        log: of the service's module, for what is no trouble of the store.
    """
    if isinstance(error, StoreUnavailable | OutcomeUnknown):
        request.notes[STORE_ERROR] = f"{error.code}: {error.message}"
        if isinstance(error, OutcomeUnknown):
            return _UNKNOWN_OUTCOME
        if isinstance(error, ReadOnlyStore):
            return _READ_ONLY
        return _UNAVAILABLE.get(error.code, _UNAVAILABLE["StoreUnavailable"])
    log.error(
        "a request failed inside",
        operation=request.operation,
        request_id=request.request_id,
        error=error.code,
        reason=error.message,
    )
    return f"Internal server error (request id {request.request_id})"


class EdgeError(TenetError):
    """Base of what the edge refuses with."""

    http_status = 400


class MissingAuthenticationToken(EdgeError):
    """The request carries no signature."""

    code = "MissingAuthenticationTokenException"


class IncompleteSignature(EdgeError):
    """The Authorization header, or the query of a presigned URL, lacks a part."""

    code = "IncompleteSignatureException"


class InvalidSignature(EdgeError):
    """The signature is not the one that the key makes, or is out of its time."""

    code = "InvalidSignatureException"


class UnrecognizedClient(EdgeError):
    """The access key does not exist or was revoked."""

    code = "UnrecognizedClientException"


class AccessDenied(EdgeError):
    """The key exists and may not do this."""

    code = "AccessDeniedException"


class UnknownOperation(EdgeError):
    """No service has an operation of that name."""

    code = "UnknownOperationException"


class BodyTooLarge(EdgeError):
    """The body is larger than the service takes."""

    code = "RequestEntityTooLarge"
    http_status = 413


class MalformedBody(EdgeError):
    """The body could not be decompressed or read."""

    code = "SerializationException"


class Throttled(EdgeError):
    """The server, or this tenant's share of it, is at its limit; the same request may succeed a little later."""

    code = "ThrottlingException"
    retryable = True


class Overloaded(EdgeError):
    """The server sheds load, or drains before it stops."""

    code = "ServiceUnavailable"
    http_status = 503
    retryable = True


class PlaintextRefused(EdgeError):
    """The server was told to speak http on an address that other machines can reach."""

    code = "PlaintextRefused"


class MasterKeyUnusable(EdgeError):
    """The master key is missing, damaged, or not the one that a secret was encrypted under."""

    code = "MasterKeyUnusable"
    http_status = 500


class AccessKeyInvalid(EdgeError):
    """An access key cannot be made of this id, secret or tenant."""

    code = "InvalidAccessKey"


class AccessKeyExists(EdgeError):
    """There is an access key of this id."""

    code = "AccessKeyExists"
    http_status = 409


class AccessKeyNotFound(EdgeError):
    """There is no access key of this id."""

    code = "AccessKeyNotFound"
    http_status = 404


class RootKeyNeeded(EdgeError):
    """The last key that may administer the installation cannot be revoked."""

    code = "RootKeyNeeded"
    http_status = 409


class TlsUnusable(EdgeError):
    """A certificate or its private key cannot be read, made or used."""

    code = "TlsUnusable"
    http_status = 500


class TracesUnusable(EdgeError):
    """Traces cannot be left where the settings say."""

    code = "TracesUnusable"
    http_status = 500
