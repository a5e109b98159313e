"""Who sent a request: whose key of Tenet or token of Keystone it shows, or, without proof, who it says it is of."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from tenet.placement.errors import Unauthorized
from tenet.placement.rules.policy import Sender

if TYPE_CHECKING:
    from tenet.placement.keystone import Keystone

_TOKEN: Final = "x-auth-token"  # noqa: S105 (the name of a header)
_BEARER: Final = "bearer "
_BASIC: Final = "basic "
_ASKS_FOR_KEY: Final = 'Basic realm="placement"'
#: What is told to whom nobody knows: what to send, and not whether there is such a key.
_NOTHING_SHOWN: Final = (
    "Nothing was sent that says who you are. Send an access key as user and password of HTTP basic, or as ID:SECRET in "
    "X-Auth-Token; `tenet env --for openstack` prints the lines that make clients of OpenStack do so."
)
_NO_SUCH_KEY: Final = (
    "There is no such access key, or its secret is another one. It is sent as user and password of HTTP basic, or as "
    "ID:SECRET in X-Auth-Token."
)
#: What implied roles the roles of a project's own keys and of the root key expand to.
_ROOT_ROLES: Final = frozenset({"admin", "member", "reader", "service"})
_TENANT_ROLES: Final = frozenset({"member", "reader"})


class KnownKey(Struct, frozen=True):
    """What is known of an access key.

    Args:
        secret: that its owner has to show.
        tenant: the account that it belongs to, 12 digits.
        is_root: whether it may administer the installation.
    """

    secret: str
    tenant: str
    is_root: bool


#: Returns the key of an id; None where there is none or it was revoked.
FindKey = Callable[[str], KnownKey | None]


class Authenticator(Protocol):
    """Finds out who sent a request.

    Attributes:
        proves: whether a sender is proven to be who it says it is.
        challenge: what the header ``WWW-Authenticate`` says to whom nobody knows.
    """

    proves: bool
    challenge: str

    async def sender(self, headers: Mapping[str, str]) -> Sender:
        """Returns who sent a request.

        Args:
            headers: by lower-case name.

        Raises:
            Unauthorized: nobody knows.
            Unavailable: who knows does not say now.
        """
        ...


class Keys:
    """Asks for an access key of a tenant, as ``ID:SECRET``: bearer token, ``X-Auth-Token``, or user and password.

    The root key is of an administrator; every other key is of a project, its tenant.

    Args:
        find: finds keys.
    """

    def __init__(self, find: FindKey) -> None:
        self.proves = True
        self.challenge = _ASKS_FOR_KEY
        self._find = find

    async def sender(self, headers: Mapping[str, str]) -> Sender:
        """Implements ``Authenticator``; the secret is compared in constant time."""
        key_id, _, secret = _credentials(headers).partition(":")
        key = self._find(key_id)
        if not hmac.compare_digest(secret.encode(), (key.secret if key else "").encode()) or key is None:
            raise Unauthorized(_NO_SUCH_KEY)
        return Sender(key_id, key.tenant, _ROOT_ROLES if key.is_root else _TENANT_ROLES)


class KeysAndTokens:
    """Asks for a token of Keystone in ``X-Auth-Token``, or for an access key, of which no token has the colon.

    Args:
        keys: knows access keys.
        keystone: knows tokens.
        public_url: of Keystone, as clients reach it.
    """

    def __init__(self, keys: Keys, keystone: Keystone, public_url: str) -> None:
        self.proves = True
        self.challenge = f'Keystone uri="{public_url}"'
        self._keys = keys
        self._keystone = keystone

    async def sender(self, headers: Mapping[str, str]) -> Sender:
        """Implements ``Authenticator``."""
        token = headers.get(_TOKEN, "").strip()
        if token and ":" not in token:
            return await self._keystone.sender(token)
        return await self._keys.sender(headers)


def _credentials(headers: Mapping[str, str]) -> str:
    token = headers.get(_TOKEN)
    if token:
        return token
    given = headers.get("authorization", "")
    if given.lower().startswith(_BEARER):
        return given[len(_BEARER) :].strip()
    if given.lower().startswith(_BASIC):
        try:
            return base64.b64decode(given[len(_BASIC) :], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthorized(_NO_SUCH_KEY) from None
    raise Unauthorized(_NOTHING_SHOWN)


class NoProof:
    """Believes what a request says, as the reference's ``noauth2`` does: for tests, on a loopback address only.

    The token is ``USER[:PROJECT]``; ``X-Roles`` names the roles, without which the user ``admin`` is an administrator.
    """

    def __init__(self) -> None:
        self.proves = False
        self.challenge = _ASKS_FOR_KEY

    async def sender(self, headers: Mapping[str, str]) -> Sender:
        """Implements ``Authenticator``."""
        token = headers.get(_TOKEN)
        if token is None:
            raise Unauthorized
        user, _, project = token.partition(":")
        if "x-roles" in headers:
            roles = frozenset(headers["x-roles"].split(","))
        else:
            roles = frozenset({"admin"} if user == "admin" else ())
        is_system = bool(headers.get("openstack-system-scope"))
        project = headers.get("x-project-id") or ("" if is_system else project or user)
        return Sender(user, project, roles, is_system)
