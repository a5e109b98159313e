"""How a refusal is worded, where that depends on the operation.

The service checks requests in two generations of code. The newer one, which answers PutItem, UpdateItem, DeleteItem,
GetItem, BatchGetItem and Query, words numbers and duplicates in sets in its own way; on the three single-item writes it
lists what it found as ``1 validation error detected: …``. The older one answers Scan, BatchWriteItem, the transactions
and PartiQL.

Source: what the peer dynoxide 1.5 reports to have captured from us-east-1 in October 2026 (its changelog and
compatibility summary).
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NoReturn

from tenet.tables.errors import ValidationException

_LISTED_BY: Final = frozenset(("PutItem", "UpdateItem", "DeleteItem"))
_OLDER: Final = frozenset(
    (
        "Scan",
        "BatchWriteItem",
        "TransactWriteItems",
        "TransactGetItems",
        "ExecuteStatement",
        "BatchExecuteStatement",
        "ExecuteTransaction",
    )
)


class Wording(Enum):
    """Which generation of checks speaks."""

    NEWER = "newer"
    OLDER = "older"

    @classmethod
    def of(cls, operation: str) -> Wording:
        """Returns the wording of an operation, for instance of ``PutItem``."""
        return cls.OLDER if operation in _OLDER else cls.NEWER


class ListedRefusal(ValidationException):
    """A refusal that single-item writes list as a validation error of the request; other operations say it as it is."""


def worded(error: ValidationException, operation: str) -> ValidationException:
    """Returns the error as the operation says it.

    Args:
        error: as a rule raised it.
        operation: for instance ``PutItem``.
    """
    if isinstance(error, ListedRefusal) and operation in _LISTED_BY:
        return ValidationException(f"1 validation error detected: {error.message}")
    return error


def invalid_parameter(why: str) -> NoReturn:
    """Raises the listed refusal of a parameter's value."""
    raise ListedRefusal(f"One or more parameter values were invalid: {why}")
