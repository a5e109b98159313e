"""What the edge refuses requests with. Codes and texts are the AWS ones; a service turns them into its own bytes."""

from __future__ import annotations

from tenet.base.errors import TenetError


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
