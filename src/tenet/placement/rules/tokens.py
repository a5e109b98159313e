"""What is said to Keystone and what it says: who somebody is that shows a token, and until when.

Sources: OpenStack Identity API v3, "Authentication and token management"; keystonemiddleware, ``auth_token``, for what
of a token is told to a service; oslo.policy, which compares the names of roles without regard to case.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import orjson
from msgspec import Struct

from tenet.placement.rules.policy import Sender

#: A Fernet token has some 200 characters, one that is signed (JWS) some 1,000.
TOKEN_CHARS_MAX: Final = 8_192
_VERSION: Final = "/v3"
_MS: Final = 1000


class NoToken(Exception):
    """A document does not describe a token."""


class Account(Struct, frozen=True):
    """As whom Tenet speaks to Keystone.

    Args:
        user: name.
        user_domain: name of the domain that the user is of.
        project: name of the project that the user has the role in by which it may validate tokens.
        project_domain: name of the domain that the project is of.
    """

    user: str
    user_domain: str
    project: str
    project_domain: str


class Meanings(Struct, frozen=True):
    """Which roles of Keystone are those that the rules of placement ask for.

    Args:
        admin: names, in lower case.
        service: the same.
        reader: the same.
    """

    admin: frozenset[str]
    service: frozenset[str]
    reader: frozenset[str]


class Token(Struct, frozen=True):
    """What a token says.

    Args:
        sender: whose it is.
        expires_ms: when it ends, milliseconds since 1970.
    """

    sender: Sender
    expires_ms: int


def may_be_token(text: str) -> bool:
    """Tells whether a text may be a token of Keystone, and be put into a header.

    Args:
        text: what somebody shows.
    """
    return 0 < len(text) <= TOKEN_CHARS_MAX and text.isascii() and text.isprintable() and not set(text) & {" ", ":"}


def tokens_url(auth_url: str) -> str:
    """Returns the URL at which tokens are made and validated.

    Args:
        auth_url: of Keystone, with or without the version behind it.
    """
    return f"{auth_url.rstrip('/').removesuffix(_VERSION)}{_VERSION}/auth/tokens"


def authentication(account: Account, password: str) -> bytes:
    """Returns the body of a request for a token.

    Args:
        account: whose.
        password: of its user.
    """
    user = {"name": account.user, "domain": {"name": account.user_domain}, "password": password}
    project = {"name": account.project, "domain": {"name": account.project_domain}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return orjson.dumps({"auth": {"identity": identity, "scope": {"project": project}}})


def read_token(body: bytes, meanings: Meanings) -> Token:
    """Returns what Keystone says of a token.

    A token of system scope, and one of a domain, is of no project: none of the rules are for it, as in the reference.

    Args:
        body: JSON, as the answer to ``POST`` or ``GET /v3/auth/tokens`` has it.
        meanings: which roles matter.

    Raises:
        NoToken: the body is something else.
    """
    try:
        token = orjson.loads(body)["token"]
        names = {_text(role["name"]).lower() for role in token.get("roles") or ()}
        project = token.get("project")
        sender = Sender(
            _text(token["user"]["id"]),
            _text(project["id"]) if project else "",
            frozenset(meaning for meaning in Meanings.__struct_fields__ if names & getattr(meanings, meaning)),
            is_system=not project and bool(token.get("system") or token.get("domain")),
        )
        return Token(sender, _expiry_ms(token["expires_at"]))
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise NoToken(f"{type(error).__name__}: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a name or an id is no text")
    return value


def _expiry_ms(text: Any) -> int:
    """Returns a time like ``2026-11-22T15:04:05.000000Z``; one without a zone is in UTC."""
    at = datetime.fromisoformat(_text(text))
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * _MS)
