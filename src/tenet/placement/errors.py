"""The errors of the Placement API. ``http.py`` is the one place where they become bytes.

Codes are those of the API reference ("Error Codes"); the texts are what clients of the service look for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tenet.base.errors import TenetError

UNDEFINED: Final = "placement.undefined_code"
INVENTORY_IN_USE: Final = "placement.inventory.inuse"
CONCURRENT_UPDATE: Final = "placement.concurrent_update"
DUPLICATE_NAME: Final = "placement.duplicate_name"
PROVIDER_IN_USE: Final = "placement.resource_provider.inuse"
CANNOT_DELETE_PARENT: Final = "placement.resource_provider.cannot_delete_parent"
PROVIDER_NOT_FOUND: Final = "placement.resource_provider.not_found"
DUPLICATE_KEY: Final = "placement.query.duplicate_key"
BAD_VALUE: Final = "placement.query.bad_value"
MISSING_VALUE: Final = "placement.query.missing_value"
#: Of ``/v1/claims``: there is no place; a consumer has something that this claim did not give it.
NO_PLACE: Final = "placement.claim.no_place"
CLAIMED_OTHERWISE: Final = "placement.claim.claimed_otherwise"
#: Of claims that have to be confirmed: its time has passed; it was freed before it was confirmed.
EXPIRED: Final = "placement.claim.expired"
NOT_HELD: Final = "placement.claim.not_held"
#: A project would have more than its quota lets it have.
QUOTA_EXCEEDED: Final = "placement.quota.exceeded"


class PlacementError(TenetError):
    """Base of the errors of the Placement API.

    Args:
        message: what is wrong; stands in the error's ``detail``.
        code: tells errors of one status apart, from microversion 1.23 on.
    """

    code = UNDEFINED
    http_status = 400
    #: Whether the code is told at every microversion: what the reference does not have is of none of them.
    is_code_told = False

    def __init__(self, message: str = "", code: str = UNDEFINED) -> None:
        super().__init__(message)
        self.code = code


class BadRequest(PlacementError):
    """The request is malformed, or names something that does not exist."""


class Unauthorized(PlacementError):
    """Nobody knows who sent the request."""

    http_status = 401


class Forbidden(PlacementError):
    """The sender may not do this."""

    http_status = 403

    @classmethod
    def of(cls, action: str) -> Forbidden:
        """Returns the error for a sender without a role that an action needs.

        Args:
            action: the name of its policy.
        """
        return cls(f"Policy does not allow {action} to be performed.")


class QuotaExceeded(Forbidden):
    """A project would have more than its quota lets it have."""

    is_code_told = True

    def __init__(self, message: str = "") -> None:
        super().__init__(message, QUOTA_EXCEEDED)


class NotFound(PlacementError):
    """There is no such thing, or no such URL at this microversion."""

    http_status = 404

    @classmethod
    def provider(cls, uuid: str) -> NotFound:
        """Returns the error for a provider that does not exist."""
        return cls(f"No resource provider with uuid {uuid} found")


class MethodNotAllowed(PlacementError):
    """The URL exists, and does not take this method.

    Args:
        message: what is wrong.
        allowed: the methods that it takes, for the header ``allow``.
    """

    http_status = 405

    def __init__(self, message: str = "", allowed: str = "") -> None:
        super().__init__(message)
        self.allowed = allowed


class NotAcceptable(PlacementError):
    """The answer would be of a type that the sender does not take."""

    http_status = 406


class VersionNotAcceptable(NotAcceptable):
    """The microversion does not exist; the error says which do."""


class Conflict(PlacementError):
    """The request does not fit what is stored, or somebody else changed it meanwhile."""

    http_status = 409

    @classmethod
    def generation(cls, message: str) -> Conflict:
        """Returns the error for a generation that is not the present one."""
        return cls(message, CONCURRENT_UPDATE)


class NoRoom(Conflict):
    """There is too little left of what was asked for."""


class ClaimRefused(Conflict):
    """A claim cannot be made.

    Args:
        message: what is wrong.
        code: tells the reasons apart.
        why_not: what was in the way, where there is no place for a consumer.
    """

    is_code_told = True

    def __init__(self, message: str, code: str, why_not: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, code)
        self.why_not = why_not


class ClaimExpired(PlacementError):
    """A claim was not confirmed in time, and what it had is free."""

    http_status = 410
    is_code_told = True

    def __init__(self, message: str = "") -> None:
        super().__init__(message, EXPIRED)


class UnsupportedMediaType(PlacementError):
    """The body is of another type than JSON."""

    http_status = 415


class TooLarge(PlacementError):
    """The body is larger than the service takes."""

    http_status = 413


class TooManyRequests(PlacementError):
    """The server is at its limit; the same request may succeed a little later."""

    http_status = 429
    retryable = True


class Unavailable(PlacementError):
    """The server cannot serve now; nothing was written."""

    http_status = 503
    retryable = True


class Contended(Unavailable):
    """Others were faster every time that the server tried; nothing was written."""


class InternalError(PlacementError):
    """The server failed, or does not know whether it carried out the request."""

    http_status = 500
