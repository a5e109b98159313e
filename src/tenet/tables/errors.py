"""The error codes of the DynamoDB API. ``http.py`` is the one place where they become bytes."""

from __future__ import annotations

from typing import Any

from tenet.base.errors import TenetError


class TablesError(TenetError):
    """Base of the errors of the DynamoDB API.

    Args:
        message: the service's own words (us-east-1).
        members: further members of the answer beside the message, for instance ``Item`` or ``CancellationReasons``.

    Attributes:
        namespace: what stands before the ``#`` of ``__type``.
    """

    http_status = 400
    namespace = "com.amazonaws.dynamodb.v20120810"

    def __init__(self, message: str = "", members: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.members = members or {}


class ValidationException(TablesError):
    """The request contradicts a rule of the API."""

    code = "ValidationException"
    namespace = "com.amazon.coral.validate"


class SerializationException(TablesError):
    """The body is not JSON of the operation's shape."""

    code = "SerializationException"
    namespace = "com.amazon.coral.service"


class UnknownOperationException(TablesError):
    """The API has no operation of that name; the answer has no text."""

    code = "UnknownOperationException"
    namespace = "com.amazon.coral.service"


class AccessDeniedException(TablesError):
    """The caller may not do this."""

    code = "AccessDeniedException"
    namespace = "com.amazon.coral.service"


class ResourceNotFoundException(TablesError):
    """No such table, index or resource, or one that is not active."""

    code = "ResourceNotFoundException"


class ResourceInUseException(TablesError):
    """The table exists already, or is in a state that rules the call out."""

    code = "ResourceInUseException"


class LimitExceededException(TablesError):
    """Too many of something at once."""

    code = "LimitExceededException"


class ConditionalCheckFailedException(TablesError):
    """The condition of a write did not hold."""

    code = "ConditionalCheckFailedException"


class DuplicateItemException(TablesError):
    """An INSERT found an item of the same key."""

    code = "DuplicateItemException"


class ItemCollectionSizeLimitExceededException(TablesError):
    """An item collection of a table with local indexes would pass 10 GB."""

    code = "ItemCollectionSizeLimitExceededException"


class ProvisionedThroughputExceededException(TablesError):
    """The table's provisioned capacity is used up."""

    code = "ProvisionedThroughputExceededException"
    retryable = True


class ThrottlingException(TablesError):
    """More than a configured maximum was asked for, or more than the server takes."""

    code = "ThrottlingException"
    retryable = True


class TransactionConflictException(TablesError):
    """A transaction holds the item, and the deadline is used up."""

    code = "TransactionConflictException"
    retryable = True


class TransactionCanceledException(TablesError):
    """A transaction was not carried out; ``CancellationReasons`` says why, an entry per item."""

    code = "TransactionCanceledException"


class TransactionInProgressException(TablesError):
    """The same token is being worked on."""

    code = "TransactionInProgressException"
    retryable = True


class IdempotentParameterMismatchException(TablesError):
    """The same token came with another request."""

    code = "IdempotentParameterMismatchException"


class ExpiredIteratorException(TablesError):
    """A shard iterator is older than 15 minutes."""

    code = "ExpiredIteratorException"


class TrimmedDataAccessException(TablesError):
    """Records of a stream that were asked for are older than 24 hours, and gone."""

    code = "TrimmedDataAccessException"


class InternalServerError(TablesError):
    """The store could not serve; the request may be sent again."""

    code = "InternalServerError"
    http_status = 500
    retryable = True


class ServiceUnavailable(TablesError):
    """The server cannot serve now."""

    code = "ServiceUnavailable"
    namespace = "com.amazon.coral.availability"
    http_status = 503
    retryable = True


class NotImplementedHere(ValidationException):
    """An operation or a parameter of the API that Tenet does not have; the compatibility page lists it."""
