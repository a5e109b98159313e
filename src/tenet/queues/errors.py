"""The error codes of the SQS API. ``http.py`` is the one place where they become bytes.

Each error has two names: the shape of the JSON protocol, which stands in ``__type``, and the code of the older Query
protocol, which clients of the JSON protocol are told as well, in ``x-amzn-query-error``.

Source: Amazon SQS API Reference, "Common Errors" and "Errors" of each action; the API's Smithy model (traits
``awsQueryError`` and ``httpError``).
"""

from __future__ import annotations

from typing import Final

from tenet.base.errors import TenetError

#: From this status on, the service is to blame (RFC 9110, section 15.6).
_SERVER_ERRORS: Final = 500


class QueuesError(TenetError):
    """Base of the errors of the SQS API.

    Args:
        message: the service's own words (us-east-1); by default those that the code always has.

    Attributes:
        namespace: what stands before the ``#`` of ``__type``.
        query_code: the code in the Query protocol.
        text: the default message.
    """

    http_status = 400
    namespace = "com.amazonaws.sqs"
    query_code = ""
    text = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.text)

    def __init_subclass__(cls) -> None:
        """Names the error in the Query protocol as in the JSON protocol where nothing else is said."""
        super().__init_subclass__()
        if "query_code" not in cls.__dict__:
            cls.query_code = cls.code

    @property
    def is_senders_fault(self) -> bool:
        """Whether the request is to blame; otherwise the service."""
        return self.http_status < _SERVER_ERRORS


# ---- queues ----------------------------------------------------------------------------------------------------------


class QueueDoesNotExist(QueuesError):
    """There is no queue of that name or URL in the account."""

    code = "QueueDoesNotExist"
    query_code = "AWS.SimpleQueueService.NonExistentQueue"
    text = "The specified queue does not exist."


class QueueNameExists(QueuesError):
    """There is a queue of that name with other attributes."""

    code = "QueueNameExists"
    query_code = "QueueAlreadyExists"


class QueueDeletedRecently(QueuesError):
    """A queue of that name was deleted within the last 60 s."""

    code = "QueueDeletedRecently"
    query_code = "AWS.SimpleQueueService.QueueDeletedRecently"
    text = "You must wait 60 seconds after deleting a queue before you can create another with the same name."


class PurgeQueueInProgress(QueuesError):
    """The queue was purged within the last 60 s."""

    code = "PurgeQueueInProgress"
    query_code = "AWS.SimpleQueueService.PurgeQueueInProgress"
    http_status = 403


class InvalidAttributeName(QueuesError):
    """The API has no such attribute, or it does not apply to this queue."""

    code = "InvalidAttributeName"


class InvalidAttributeValue(QueuesError):
    """The attribute cannot have this value."""

    code = "InvalidAttributeValue"

    @classmethod
    def of(cls, name: str, reason: str = "") -> InvalidAttributeValue:
        """Returns the error for an attribute, in the service's words.

        Args:
            name: of the attribute.
            reason: why it cannot have its value; empty where the service does not say.
        """
        return cls(f"Invalid value for the parameter {name}.{f' Reason: {reason}' if reason else ''}")


class ResourceNotFoundException(QueuesError):
    """There is no such queue or message movement task."""

    code = "ResourceNotFoundException"
    http_status = 404
    text = "The resource that you specified for the SourceArn parameter doesn't exist."


# ---- messages --------------------------------------------------------------------------------------------------------


class InvalidMessageContents(QueuesError):
    """The body has a character that the service does not take."""

    code = "InvalidMessageContents"
    text = (
        "Invalid characters found. Valid unicode characters are "
        "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
    )


class ReceiptHandleIsInvalid(QueuesError):
    """The receipt handle is not one of this queue."""

    code = "ReceiptHandleIsInvalid"
    http_status = 404

    @classmethod
    def of(cls, handle: str) -> ReceiptHandleIsInvalid:
        """Returns the error for a receipt handle, in the service's words."""
        return cls(f'The input receipt handle "{handle}" is not a valid receipt handle.')


class OverLimit(QueuesError):
    """Too many messages are in flight, or too many permissions given; the text is that of the former."""

    code = "OverLimit"
    http_status = 403
    text = (
        "Too many messages have been received without being deleted.\n"
        "Please delete your received messages or let them timeout before receiving more."
    )


# ---- batches ---------------------------------------------------------------------------------------------------------


class EmptyBatchRequest(QueuesError):
    """The batch has no entries."""

    code = "EmptyBatchRequest"
    query_code = "AWS.SimpleQueueService.EmptyBatchRequest"


class TooManyEntriesInBatchRequest(QueuesError):
    """The batch has more than ten entries."""

    code = "TooManyEntriesInBatchRequest"
    query_code = "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"


class BatchEntryIdsNotDistinct(QueuesError):
    """Two entries of the batch have the same id."""

    code = "BatchEntryIdsNotDistinct"
    query_code = "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"


class InvalidBatchEntryId(QueuesError):
    """The id of an entry is not 1 to 80 letters, digits, hyphens and underscores."""

    code = "InvalidBatchEntryId"
    query_code = "AWS.SimpleQueueService.InvalidBatchEntryId"
    text = (
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
        "It can be at most 80 letters long."
    )


class BatchRequestTooLong(QueuesError):
    """The messages of the batch are together larger than a request may be."""

    code = "BatchRequestTooLong"
    query_code = "AWS.SimpleQueueService.BatchRequestTooLong"


# ---- requests --------------------------------------------------------------------------------------------------------


class MissingParameter(QueuesError):
    """The request lacks a parameter."""

    code = "MissingRequiredParameterException"
    namespace = "com.amazon.coral.service"
    query_code = "MissingParameter"

    @classmethod
    def of(cls, name: str) -> MissingParameter:
        """Returns the error for a parameter, in the service's words."""
        return cls(f"The request must contain the parameter {name}.")


class InvalidParameterValue(QueuesError):
    """A parameter cannot have this value."""

    code = "InvalidParameterValueException"
    namespace = "com.amazon.coral.service"
    query_code = "InvalidParameterValue"

    @classmethod
    def of(cls, name: str, value: object, reason: str) -> InvalidParameterValue:
        """Returns the error for a parameter, in the service's words.

        Args:
            name: of the parameter.
            value: that it has.
            reason: why it cannot.
        """
        return cls(f"Value {value} for parameter {name} is invalid. Reason: {reason}")


class UnsupportedOperation(QueuesError):
    """The queue does not support the operation, or not in this state."""

    code = "UnsupportedOperation"
    query_code = "AWS.SimpleQueueService.UnsupportedOperation"


class SerializationException(QueuesError):
    """The body is not JSON of the operation's shape."""

    code = "SerializationException"
    namespace = "com.amazon.coral.service"
    query_code = "MalformedInput"


class UnknownOperation(QueuesError):
    """The API has no operation of that name; in the JSON protocol the answer has no text."""

    code = "UnknownOperationException"
    namespace = "com.amazon.coral.service"
    query_code = "InvalidAction"


class AccessDenied(QueuesError):
    """The caller may not do this."""

    code = "AccessDeniedException"
    namespace = "com.amazon.coral.service"
    query_code = "AccessDenied"
    http_status = 403


class RequestThrottled(QueuesError):
    """More was asked for than the server takes now; the same request may succeed a little later."""

    code = "RequestThrottled"
    http_status = 403
    retryable = True


class InternalFailure(QueuesError):
    """The store could not serve; the request may be sent again."""

    code = "InternalFailure"
    namespace = "com.amazon.coral.service"
    http_status = 500
    retryable = True


class ServiceUnavailable(QueuesError):
    """The server cannot serve now; the request may be sent again."""

    code = "ServiceUnavailable"
    namespace = "com.amazon.coral.availability"
    http_status = 503
    retryable = True
