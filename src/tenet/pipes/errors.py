"""The error codes of the EventBridge Pipes API. ``http.py`` is the one place where they become bytes.

Source: Amazon EventBridge Pipes API Reference, "Errors" of each action; the API's Smithy model (trait ``httpError``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tenet.base.errors import TenetError

#: What stands in errors about a pipe as the type of what they are about.
_PIPE: Final = "pipe"


class PipesError(TenetError):
    """Base of the errors of the Pipes API.

    Args:
        message: what is wrong.
        members: further members of the error's body.
    """

    http_status = 400

    def __init__(self, message: str = "", members: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.members = members or {}


class ValidationException(PipesError):
    """The request is not one that can be carried out."""

    code = "ValidationException"

    @classmethod
    def of(cls, field: str, reason: str) -> ValidationException:
        """Returns the error for a member of a request.

        Args:
            field: its name, with dots between a structure and its member.
            reason: what is wrong with it.
        """
        return cls(f"{field}: {reason}", {"fieldList": [{"name": field, "message": reason}]})


class NotFoundException(PipesError):
    """There is no such pipe, table or queue."""

    code = "NotFoundException"
    http_status = 404


class ConflictException(PipesError):
    """The pipe exists, or is in a state in which this cannot be done."""

    code = "ConflictException"
    http_status = 409

    @classmethod
    def of(cls, name: str, reason: str) -> ConflictException:
        """Returns the error about a pipe.

        Args:
            name: of the pipe.
            reason: what is in the way.
        """
        return cls(reason, {"resourceId": name, "resourceType": _PIPE})


class ServiceQuotaExceededException(PipesError):
    """The account has as many pipes as it may have."""

    code = "ServiceQuotaExceededException"
    http_status = 402


class ThrottlingException(PipesError):
    """The server is at its limit; the same request may succeed a little later."""

    code = "ThrottlingException"
    http_status = 429
    retryable = True


class InternalException(PipesError):
    """The server could not serve."""

    code = "InternalException"
    http_status = 500
    retryable = True


class AccessDeniedException(PipesError):
    """The sender may not do this, or did not sign as he should have."""

    code = "AccessDeniedException"
    http_status = 403


class UnknownOperationException(PipesError):
    """The API has no operation at this path."""

    code = "UnknownOperationException"
    http_status = 404
