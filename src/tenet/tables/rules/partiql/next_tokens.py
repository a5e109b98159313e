"""Where a SELECT goes on: the NextToken, which is a position and what it is a position of.

Programs have no business in it. It is good for the statement and the parameters that it came with alone.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.tables.errors import ValidationException
from tenet.tables.rules.attributes import check_item

if TYPE_CHECKING:
    from tenet.tables.model import Item

_VERSION: Final = 1
_DIGEST_BYTES: Final = 12


def digest_of(account: str, request: dict[str, Any], *, is_by_choice: bool) -> str:
    """Returns what stands for the statement and the parameters of a request.

    Args:
        account: the tenant.
        request: its parameters canonical.
        is_by_choice: whether it is read in another order than by versions before, which scanned for it.
    """
    told = [account, request["Statement"], request.get("Parameters")]
    if is_by_choice:
        told.append("by choice")
    content = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[: 2 * _DIGEST_BYTES]


def encode(position: Item, digest: str) -> str:
    """Returns the token of a position."""
    return urlsafe_b64encode(orjson.dumps([_VERSION, digest, position])).decode()


def decode(token: str, digest: str) -> Item:
    """Returns the position of a token, its values checked and canonical.

    Args:
        token: as a client sent it.
        digest: of the request that it came with.

    Raises:
        ValidationException: it is none, or one of another statement.
    """
    try:
        version, found, position = orjson.loads(urlsafe_b64decode(token.encode()))
        check_item(position)
    except (ValueError, TypeError, AttributeError, ValidationException):
        raise invalid() from None
    if version != _VERSION or not isinstance(position, dict):
        raise invalid()
    if found != digest:
        raise ValidationException("NextToken does not match request")
    return position


def invalid() -> ValidationException:
    """Returns the error for a token that is none."""
    return ValidationException("Invalid NextToken")
