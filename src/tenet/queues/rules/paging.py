"""Tokens by which lists of queues go on."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

import orjson

from tenet.queues.errors import InvalidParameterValue


def next_token(asked: str, after: str) -> str:
    """Returns the token for the next page.

    Args:
        asked: what the list is about, which must be the same for the next page.
        after: name of the last queue of this page.
    """
    return urlsafe_b64encode(orjson.dumps([asked, after])).decode("ascii")


def read_token(token: str, asked: str, problem: str) -> str:
    """Returns the name of the queue to go on behind.

    Args:
        token: as in the request.
        asked: what the list is about.
        problem: what is said of a token that is none.

    Raises:
        InvalidParameterValue: the token is none, or another list's.
    """
    try:
        found = orjson.loads(urlsafe_b64decode(token.encode()))
    except (Base64Error, ValueError):
        raise InvalidParameterValue(problem) from None
    if not isinstance(found, list) or len(found) != 2 or not all(isinstance(part, str) for part in found):  # noqa: PLR2004 (as next_token made it)
        raise InvalidParameterValue(problem)
    if found[0] != asked or not found[1].isascii():
        raise InvalidParameterValue(
            f"{problem} If you are passing in NextToken, you must not change the other request parameters."
        )
    after: str = found[1]
    return after
