"""The one base class of every error that a caller may see.

Errors are raised inside and become bytes once, at the edge of the service that was called. An assert is for a bug of
ours; an exception of this family is for a caller.
"""

from __future__ import annotations


class TenetError(Exception):
    """An error with a stable code that a program can act on.

    Args:
        message: what is wrong, naming the field and the limit, in the vendor's words where an API has them.

    Attributes:
        code: the stable name, unique within its service, for instance ``ResourceNotFoundException``.
        http_status: the status that the edge answers with, 400 to 599.
        retryable: whether the same request may succeed later without a change.
    """

    code: str = "InternalFailure"
    http_status: int = 500
    retryable: bool = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message
